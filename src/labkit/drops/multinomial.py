"""The chance that every item of an exclusive table came often enough, for any number of items.

One roll per try gives at most one item, so the counts are multinomial. With an intensity r > 0
they are independent Poisson counts conditioned on their total being the number of tries n:

    P(all) = P(all Poisson counts suffice, total = n) / P(Poisson(r) = n)

The numerator is a coefficient of a product of generating functions, read off by a discrete
Fourier sum. Every r gives the same answer; the r at which the tilted mean is n leaves nothing to
cancel, whatever the size of the answer. The chance that something is still missing is the same
sum over the complement of the product, tilted for itself, so that it keeps its digits too.

A sum ends where every term of a block is below 1e-18 of its first: some hundred terms, whatever
the number of tries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.drops.binomial import deviance, stirling_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Complexes = NDArray[np.complex128]

__all__ = ["Group", "Multinomial", "ln_poisson"]

_BLOCK = 64
_NEGLIGIBLE = 1e-18
_FAR = 30
_SPREAD = 9.5
_MARGIN = 50
_ROOT_TOLERANCE = 1e-9
_ROOT_STEPS = 200
_CLOSE = 0.1
_CELLS = 2_000_000
_UNTHREADED = 200_000
_SMALL_ANGLE = 0.3
_LEAST_LACK = 1e-250
_NEGLIGIBLE_LACK = 1e-30
_COMMON = 0.1


@dataclass(frozen=True, slots=True)
class Group:
    """Items of equal rate of which equally many copies are wanted.

    Attributes:
        rate: The rate of each item.
        copies: The copies wanted of each, at least 1.
        size: The number of such items.
    """

    rate: float
    copies: int
    size: int


class Multinomial:
    """An exclusive table of which some copies of some items are wanted.

    Args:
        groups: The wanted items; their copies are at least 1.
        rest: The chance that a try gives none of them.
    """

    def __init__(self, groups: Sequence[Group], rest: float) -> None:
        import numpy as np

        # The common items, ten at the most, each stand for themselves.
        alone = [g for g in groups for _ in range(g.size) if g.rate > _COMMON]
        singles = [Group(g.rate, g.copies, 1) for g in alone]
        ordered = sorted([*singles, *(g for g in groups if g.rate <= _COMMON)], key=_copies)
        self._rest = rest
        self._rates = np.array([group.rate for group in ordered])
        self._copies = np.array([group.copies for group in ordered], dtype=np.float64)
        self._sizes = np.array([group.size for group in ordered], dtype=np.float64)
        self._wanted = sum(group.copies * group.size for group in ordered)
        self._ln_norms = np.array(
            [stirling_error(g.copies) + 0.5 * math.log(math.tau * g.copies) for g in ordered]
        )

    def ln_complete(self, tries: int) -> float:
        """Return the natural logarithm of the chance that nothing is missing after `tries`.

        `tries` must be at least the number of copies wanted. Precise to about 1e-13 relative.
        """
        import numpy as np

        if tries == self._wanted:
            return self._ln_just_enough(tries)
        intensity, deviation = self._complete_intensity(tries)
        ln_upper, _ = self._upper_tails(intensity)
        mean = self._complete_sum(tries, intensity, deviation)
        return float(np.dot(self._sizes, ln_upper)) + math.log(mean) - _ln_point(tries, intensity)

    def incomplete(self, tries: int, lack_of_commonest: float) -> float:
        """Return the chance that something is missing after `tries`, for one above 1e-14.

        The items are taken in turn: the commonest lacks, or it does not but the next one does,
        and so on, the rare ones together. Each part is tilted for itself, as what it takes for a
        common item to lack is far from what it takes for a rare one.

        Args:
            tries: The number of tries.
            lack_of_commonest: The chance that the item of the highest rate, and of those the one
                of which most copies are wanted, lacks; its own binomial law knows it better.

        Precise to about 1e-11 relative.
        """
        import numpy as np

        complete = np.zeros(len(self._rates), dtype=bool)
        order = np.lexsort((-self._copies, -self._rates))
        common = order[self._rates[order] > _COMMON]
        total = 0.0
        for place in common:
            lacking = np.zeros_like(complete)
            lacking[place] = True
            total += self._lack(tries, lacking, complete) if complete.any() else lack_of_commonest
            complete[place] = True
        if not complete.all():
            total += self._lack(tries, ~complete, complete)
        return total

    def _lack(self, tries: int, lacking: NDArray[np.bool_], complete: NDArray[np.bool_]) -> float:
        """Return the chance that some of the `lacking` groups lack and the `complete` do not."""
        if self._ln_all(float(tries), lacking) > -_NEGLIGIBLE_LACK:
            return 0.0
        intensity = self._lacking_intensity(tries, lacking)
        total = self._lacking_sum(tries, intensity, lacking, complete)
        return total * math.exp(-_ln_point(tries, intensity))

    def ln_complete_at(self, intensity: float) -> float:
        """Return the logarithm of the chance of completeness with Poisson counts."""
        import numpy as np

        return float(np.dot(self._sizes, self._upper_tails(intensity)[0]))

    def _ln_just_enough(self, tries: int) -> float:
        import numpy as np

        ln_factorials = self._ln_norms + self._copies * (np.log(self._copies) - 1)
        each = self._copies * np.log(self._rates) - ln_factorials
        ln_total = stirling_error(tries) + 0.5 * math.log(math.tau * tries)
        return float(np.dot(self._sizes, each)) + ln_total + tries * (math.log(tries) - 1)

    def _upper_tails(self, intensity: float) -> tuple[Floats, Floats]:
        """Return ln P(count >= copies) of each group, and P(count = copies) over it."""
        import numpy as np

        means = self._rates * intensity
        ln_point = ln_poisson(self._copies, means, self._ln_norms)
        ln_upper = np.empty_like(means)
        far = means > self._copies + _FAR
        if far.any():
            ln_upper[far] = np.log1p(-self._lower_weights(intensity, far).sum(axis=1))
        for part in self._parts(~far):
            series = self._upper_series(intensity, part).sum(axis=1)
            ln_upper[part] = ln_point[part] + np.log(series)
        return ln_upper, np.exp(ln_point - ln_upper)

    def _complete_intensity(self, tries: int) -> tuple[float, float]:
        """Return the intensity that tilts the mean total of a complete set to `tries`, and its sd.

        The tilted mean of a count is l + m u with u = P(= m) / P(>= m); Newton's method in a
        bracket.
        """
        import numpy as np

        low, high = 0.0, float(tries)
        intensity = high / 2 if tries < 2 * self._wanted else high - self._wanted / 2
        for _ in range(_ROOT_STEPS):
            means = self._rates * intensity
            _, u = self._upper_tails(intensity)
            excess = intensity + float(np.dot(self._sizes * self._copies, u)) - tries
            bend = (self._copies * u * u - (self._copies - means) * u) / means
            weight = self._sizes * self._copies * self._rates
            slope = max(1 - float(np.dot(weight, bend)), _ROOT_TOLERANCE)
            if excess > 0:
                high = intensity
            else:
                low = intensity
            deviation = math.sqrt(intensity * slope)
            if abs(excess) <= 1e-6 * max(deviation, 1e-3) or high - low <= _ROOT_TOLERANCE * high:
                break
            step = intensity - excess / slope
            intensity = step if low < step < high else (low + high) / 2
        return intensity, deviation

    def _ln_all(self, intensity: float, chosen: NDArray[np.bool_]) -> float:
        """Return the logarithm of the chance that none of the chosen groups lacks."""
        import numpy as np

        lacks = np.minimum(self._lower_tails(intensity, chosen), 1 - 1e-16)
        return float(np.dot(self._sizes[chosen], np.log1p(-lacks)))

    def _lacking_intensity(self, tries: int, chosen: NDArray[np.bool_]) -> float:
        """Return the intensity that tilts the mean total to `tries` when a chosen group lacks."""
        import numpy as np

        rates, copies, sizes = self._rates[chosen], self._copies[chosen], self._sizes[chosen]

        def tilted_mean(intensity: float) -> float:
            means = rates * intensity
            points = np.exp(ln_poisson(copies, means, self._ln_norms[chosen])) * copies / means
            ln_upper = np.log1p(-np.minimum(self._lower_tails(intensity, chosen), 1 - 1e-16))
            ln_all = float(np.dot(sizes, ln_upper))
            if ln_all > -_LEAST_LACK:
                return math.inf
            losing = float(np.dot(sizes * means, points * np.exp(ln_all - ln_upper)))
            return intensity - losing / -math.expm1(ln_all)

        low, high = float(tries), 2.0 * tries
        while tilted_mean(high) < tries:
            low, high = high, 2 * high
        while high - low > 1e-6 * math.sqrt(low):
            middle = (low + high) / 2
            if not low < middle < high:
                break
            if tilted_mean(middle) < tries:
                low = middle
            else:
                high = middle
        return low

    def _lower_tails(self, intensity: float, chosen: NDArray[np.bool_]) -> Floats:
        """Return P(count < copies) of the chosen groups."""
        import numpy as np

        tails = np.empty(int(chosen.sum()))
        place = 0
        for part in self._parts(chosen):
            tails[place : place + len(part)] = self._lower_weights(intensity, part).sum(axis=1)
            place += len(part)
        return tails

    def _parts(self, chosen: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
        """Split the chosen groups, which stand in order of copies, so that tables stay small."""
        import numpy as np

        places = np.flatnonzero(chosen)
        if not len(places):
            return []
        width = _SPREAD * math.sqrt(float(self._copies[places[-1]])) + 4 * _MARGIN
        count = math.ceil(len(places) * width / _CELLS)
        return np.array_split(places, count)

    def _upper_series(self, intensity: float, part: NDArray[np.intp] | NDArray[np.bool_]) -> Floats:
        """Return P(count = copies + j) / P(count = copies), a row per group, a column per j."""
        import numpy as np

        means, copies = self._rates[part] * intensity, self._copies[part]
        beyond = np.maximum(means - copies, 0) + _SPREAD * np.sqrt(np.maximum(means, copies))
        columns = np.arange(1, int(beyond.max()) + _MARGIN)
        ratios = means[:, None] / (copies[:, None] + columns)
        return np.hstack([np.ones((len(means), 1)), np.cumprod(ratios, axis=1)])

    def _lower_weights(
        self, intensity: float, part: NDArray[np.intp] | NDArray[np.bool_]
    ) -> Floats:
        """Return P(count = copies - 1 - j), a row per group, a column per j."""
        import numpy as np

        means, copies = self._rates[part] * intensity, self._copies[part]
        first = np.exp(ln_poisson(copies, means, self._ln_norms[part])) * copies / means
        most = float(copies.max())
        length = int(min(most, 2 * _SPREAD * math.sqrt(most) + _MARGIN))
        columns = np.arange(1, length)
        ratios = np.maximum(copies[:, None] - columns, 0) / means[:, None]
        return np.hstack([first[:, None], first[:, None] * np.cumprod(ratios, axis=1)])

    def _complete_sum(self, tries: int, intensity: float, deviation: float) -> float:
        """Return P(total = tries) of the Poisson counts given that all suffice."""
        import numpy as np

        means = self._rates * intensity
        far = means > self._copies + _FAR
        ln_upper, _ = self._upper_tails(intensity)
        near_parts = self._parts(~far)
        near_weights = [self._upper_series(intensity, part) for part in near_parts]
        near_weights = [weights / weights.sum(axis=1)[:, None] for weights in near_weights]
        far_parts = self._parts(far)
        far_weights = [self._lower_weights(intensity, part) for part in far_parts]
        turning = self._rest * intensity + float(np.dot(self._sizes[far], means[far]))
        still = float(np.dot(self._sizes[~far], self._copies[~far]))
        drift = turning - (tries - still)

        def term(angles: Floats) -> Complexes:
            versed = 2 * np.sin(angles / 2) ** 2
            phase = drift * angles - turning * _angle_less_sine(angles)
            product: Complexes = np.exp(1j * phase - self._rest * intensity * versed)
            for part, weights in zip(near_parts, near_weights, strict=True):
                product *= _powers(_harmonics(weights, angles), self._sizes[part])
            for part, weights in zip(far_parts, far_weights, strict=True):
                lacking = self._lacking(weights, part, means[part], angles)
                upper = np.exp(-means[part][:, None] * versed) - lacking
                upper = upper * np.exp(-ln_upper[part])[:, None]
                product *= _powers(upper, self._sizes[part])
            return product

        return _fourier_mean(term, deviation)

    def _lacking(
        self,
        weights: Floats,
        part: NDArray[np.intp] | NDArray[np.bool_],
        means: Floats,
        angles: Floats,
    ) -> Complexes:
        """Return the generating function of P(count < copies), turned by -mean sin(angle)."""
        import numpy as np

        drift = (self._copies[part] - 1 - means)[:, None] * angles
        turn = np.exp(1j * (drift + means[:, None] * _angle_less_sine(angles)))
        return np.asarray(_harmonics(weights, -angles) * turn)

    def _lacking_sum(
        self,
        tries: int,
        intensity: float,
        lacking: NDArray[np.bool_],
        complete: NDArray[np.bool_],
    ) -> float:
        """Return P(some lacking group lacks, no complete one does, total = tries) with Poisson."""
        import numpy as np

        means = self._rates * intensity
        tables = [
            (part, self._lower_weights(intensity, part), bool(lacking[part[0]]))
            for chosen in (lacking, complete)
            for part in self._parts(chosen)
        ]
        drift = intensity - tries

        def term(angles: Floats) -> Complexes:
            versed = 2 * np.sin(angles / 2) ** 2
            phase = drift * angles - intensity * _angle_less_sine(angles)
            ln_kept = np.zeros(len(angles), dtype=np.complex128)
            ln_complete = np.zeros(len(angles), dtype=np.complex128)
            for part, weights, lacks in tables:
                short = self._lacking(weights, part, means[part], angles)
                kept = _ln_one_minus(short, means[part][:, None] * versed)
                kept = (self._sizes[part][:, None] * kept).sum(axis=0)
                if lacks:
                    ln_kept += kept
                else:
                    ln_complete += kept
            ln_rest = ln_complete - intensity * versed + 1j * phase
            mild = ln_kept.real < 1
            missing = np.where(
                mild,
                -np.expm1(np.where(mild, ln_kept, 0)) * np.exp(ln_rest),
                np.exp(ln_rest) - np.exp(np.where(mild, 0, ln_kept) + ln_rest),
            )
            return np.asarray(missing)

        return _fourier_mean(term, math.sqrt(intensity))


def _copies(group: Group) -> int:
    return group.copies


def ln_poisson(counts: Floats, means: Floats, ln_norms: Floats) -> Floats:
    """Return ln P(Poisson(mean) = count) of each pair, by the saddle-point form of Loader (2000).

    Args:
        counts: Counts, at least 1.
        means: Means, above 0.
        ln_norms: Stirling's error of each count plus ln sqrt(2 pi count).
    """
    import numpy as np

    difference = counts - means
    v = difference / (counts + means)
    close = np.abs(v) < _CLOSE
    square = np.where(close, v, 0) ** 2
    series = np.zeros_like(means)
    # |v| < 0.1: nine terms reach the last digit.
    for odd in range(19, 1, -2):
        series = (series + 1 / odd) * square
    near = difference * v + 2 * counts * v * series
    away = counts * np.log(counts / means) - difference
    return np.asarray(-ln_norms - np.where(close, near, away))


def _ln_point(tries: int, intensity: float) -> float:
    """Return ln P(Poisson(intensity) = tries)."""
    return -stirling_error(tries) - deviance(tries, intensity) - 0.5 * math.log(math.tau * tries)


def _fourier_mean(term: Callable[[Floats], Complexes], deviation: float) -> float:
    """Return the mean of `term` over the circle, for a law of the given standard deviation.

    `term` is the characteristic function turned to its mean; its values at -t and t are
    conjugate. With N points, what aliases lies N away from the mean.
    """
    import numpy as np

    points = 2 * math.ceil(12 * deviation + 32)
    half = points // 2
    total = 0.0
    first = 0.0
    for start in range(0, half + 1, _BLOCK):
        places = np.arange(start, min(start + _BLOCK, half + 1), dtype=np.float64)
        values = term(2 * math.pi * places / points)
        weights = np.where((places == 0) | (places == half), 1.0, 2.0)
        total += float(np.dot(weights, values.real))
        sizes = np.abs(values)
        first = first or float(sizes[0])
        if sizes.max() < _NEGLIGIBLE * first:
            break
    return total / points


def _harmonics(weights: Floats, angles: Floats) -> Complexes:
    """Return sum over j of weights[:, j] e^(i j angle), a row per group, a column per angle."""
    import numpy as np

    turns = np.outer(np.arange(weights.shape[1]), angles)
    cosines, sines = np.cos(turns), np.sin(turns)
    # Real products of small tables: for larger ones, and for complex ones, OpenBLAS starts
    # threads, and waiting for them takes a hundred times as long where the processors are busy.
    rows = max(1, _UNTHREADED // turns.size)
    result = np.empty((len(weights), len(angles)), dtype=np.complex128)
    for start in range(0, len(weights), rows):
        part = slice(start, start + rows)
        result[part] = weights[part] @ cosines + 1j * (weights[part] @ sines)
    return result


def _angle_less_sine(angles: Floats) -> Floats:
    """Return t - sin t without cancellation."""
    import numpy as np

    square = angles * angles
    series = np.zeros_like(angles)
    # Below 0.3 the seventh term is beyond the last digit.
    for place in (14, 12, 10, 8, 6, 4):
        series = (1 - series) * square / (place * (place + 1))
    small = (1 - series) * square * angles / 6
    return np.where(angles < _SMALL_ANGLE, small, angles - np.sin(angles))


def _powers(factors: Complexes, sizes: Floats) -> Complexes:
    """Return the product over rows of each row to the power of its size."""
    import numpy as np

    single = sizes == 1
    product = np.prod(factors[single], axis=0)
    if not single.all():
        product = product * np.prod(factors[~single] ** sizes[~single][:, None], axis=0)
    return np.asarray(product)


def _ln_one_minus(lacking: Complexes, growth: Floats) -> Complexes:
    """Return ln(1 - lacking e^growth), also where that overflows."""
    import numpy as np

    with np.errstate(divide="ignore"):
        size = growth + np.log(np.abs(lacking))
    big = size > _FAR
    ratio = np.where(big, 0, lacking) * np.exp(np.where(big, 0, growth))
    # NumPy's complex log1p is naive in its real part: a small ratio would lose its digits.
    x, y = ratio.real, ratio.imag
    square = np.maximum(x * x + y * y - 2 * x, -1 + 1e-300)
    small = 0.5 * np.log1p(square) + 1j * np.arctan2(-y, 1 - x)
    return np.asarray(np.where(big, np.log(np.where(big, -lacking, 1)) + growth, small))
