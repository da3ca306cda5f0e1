"""The mean and spread of the number of tries that complete a set.

Exclusive tables: with tries at the times of a Poisson process of rate 1, the time T to complete
has P(T > t) = 1 - product of Poisson tails, and its moments give those of the number of tries N:
E[T] = E[N] and E[T^2] = E[N^2] + E[N].

Independent tables: E[N] = sum over n >= 0 of P(N > n). The sum runs term by term where P(N > n)
leaves 1, and from there on by Euler and Maclaurin, as P(N > n) then is smooth on the scale of a
single try.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from labkit.drops.binomial import stirling_error
from labkit.drops.multinomial import ln_poisson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from labkit.drops.multinomial import Group

    Floats = NDArray[np.float64]

__all__ = ["exclusive_moments", "independent_moments"]

_NODES = 24
_PRECISION = 1e-14
_MAX_ROUNDS = 40
_TERM_BY_TERM = 4000
_SPREAD = 9.5
_MARGIN = 60
_CELLS = 1_000_000


def exclusive_moments(groups: Sequence[Group]) -> tuple[float, float]:
    """Return the mean and the standard deviation of the tries that complete an exclusive set."""
    import numpy as np

    def open_at(times: Floats) -> Floats:
        """P(T > t)."""
        ln_all = np.zeros_like(times)
        for copies, rates, sizes in _tables(groups, len(times)):
            tails = _ln_poisson_upper(copies, np.outer(rates, times).ravel())
            ln_all += (sizes[:, None] * tails.reshape(len(rates), -1)).sum(axis=0)
        return np.asarray(-np.expm1(ln_all))

    scale = 1 / sum(group.rate * group.size for group in groups)
    end = max((45 + 4 * g.copies + math.log(g.size)) / g.rate for g in groups)
    mean, half_square = _integrals(open_at, 0.0, scale, end)
    variance = 2 * half_square - mean - mean * mean
    return mean, math.sqrt(max(variance, 0.0))


def independent_moments(groups: Sequence[Group], fewest: int) -> tuple[float, float]:
    """Return the mean and the standard deviation of the tries that complete an independent set.

    Args:
        groups: The missing items of rate below 1.
        fewest: The fewest tries that can complete the set.
    """
    import numpy as np

    def open_at(tries: Floats) -> Floats:
        """P(N > n), for any real n that is at least the copies wanted of each item."""
        ln_all = np.zeros_like(tries)
        for copies, rates, sizes in _tables(groups, len(tries)):
            places, each = np.tile(tries, len(rates)), np.repeat(rates, len(tries))
            lacking = np.minimum(_binomial_lower(copies, places, each), 1.0)
            with np.errstate(divide="ignore"):
                kept = np.log1p(-lacking).reshape(len(rates), -1)
            ln_all += (sizes[:, None] * kept).sum(axis=0)
        return np.asarray(-np.expm1(ln_all))

    begin = _leaves_one(open_at, fewest)
    middle = begin + _TERM_BY_TERM
    places = np.arange(begin, middle, dtype=np.float64)
    terms = open_at(places)
    # P(N > n) is 1 below `begin`.
    mean = begin + math.fsum(terms)
    half_square = begin * (begin - 1) / 2 + math.fsum(places * terms)

    scale = float(middle)
    end = max(
        (45 + 4 * g.copies + math.log(g.size)) / -math.log1p(-g.rate) + 2 * g.copies for g in groups
    )
    if end > middle:
        start = middle - 0.5
        tail, tail_half_square = _integrals(open_at, start, scale, end)
        ahead, behind = open_at(np.array([start + 0.5, start - 0.5]))
        slope = float(ahead - behind)
        value = float(open_at(np.array([start]))[0])
        # The midpoint rule's first correction: sum = integral + f'(start) / 24 + ...
        mean += tail + slope / 24
        half_square += tail_half_square + (value + start * slope) / 24
    variance = 2 * half_square + mean - mean * mean
    return mean, math.sqrt(max(variance, 0.0))


def _tables(groups: Sequence[Group], columns: int) -> Iterator[tuple[int, Floats, Floats]]:
    """Yield groups of equal copies together, as their rates and sizes, in tables of fair size."""
    import numpy as np

    by_copies: dict[int, list[Group]] = {}
    for group in groups:
        by_copies.setdefault(group.copies, []).append(group)
    rows = max(1, _CELLS // columns)
    for copies, alike in by_copies.items():
        for start in range(0, len(alike), rows):
            part = alike[start : start + rows]
            rates = np.array([group.rate for group in part])
            yield copies, rates, np.array([float(group.size) for group in part])


def _leaves_one(open_at: Callable[[Floats], Floats], fewest: int) -> int:
    """Return a number of tries before which completion has no chance worth a last digit."""
    import numpy as np

    low, width = fewest, 1
    while float(open_at(np.array([float(fewest + width)]))[0]) == 1.0:
        low, width = fewest + width, 2 * width
    high = fewest + width
    while high - low > 1:
        middle = (low + high) // 2
        if float(open_at(np.array([float(middle)]))[0]) == 1.0:
            low = middle
        else:
            high = middle
    return low


def _integrals(
    function: Callable[[Floats], Floats], begin: float, scale: float, end: float
) -> tuple[float, float]:
    """Return the integrals of f(t) and of t f(t) from `begin` to `end`.

    Gauss-Legendre rules on pieces of growing length, each halved until halving changes nothing.
    """
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)

    def over(starts: Floats, ends: Floats) -> Floats:
        half = (ends - starts) / 2
        places = (starts + half)[:, None] + half[:, None] * nodes
        values = function(places.ravel()).reshape(places.shape)
        first = (values @ weights) * half
        second = ((values * places) @ weights) * half
        return np.stack([first, second])

    edges = [begin]
    while edges[-1] < end:
        edges.append(min(end, begin + max(scale, 2 * (edges[-1] - begin))))
    starts, ends = np.array(edges[:-1]), np.array(edges[1:])
    whole = over(starts, ends)
    total = np.zeros(2)
    for _ in range(_MAX_ROUNDS):
        middles = (starts + ends) / 2
        left, right = over(starts, middles), over(middles, ends)
        parts = left + right
        size = np.abs(total + parts.sum(axis=1))
        settled = (np.abs(parts - whole) <= _PRECISION * size[:, None]).all(axis=0)
        total += parts[:, settled].sum(axis=1)
        if settled.all():
            break
        rough = ~settled
        starts, ends, whole = (
            np.concatenate([starts[rough], middles[rough]]),
            np.concatenate([middles[rough], ends[rough]]),
            np.concatenate([left[:, rough], right[:, rough]], axis=1),
        )
    else:
        total += whole.sum(axis=1)
    return float(total[0]), float(total[1])


def _ln_poisson_upper(copies: int, means: Floats) -> Floats:
    """Return ln P(Poisson(mean) >= copies) of each mean above 0."""
    import numpy as np

    if copies == 1:
        return np.asarray(np.log(-np.expm1(-means)))
    norm = stirling_error(copies) + 0.5 * math.log(math.tau * copies)
    counts = np.full_like(means, float(copies))
    ln_point = ln_poisson(counts, means, np.full_like(means, norm))
    few = means < copies
    upper, lower = np.ones(int(few.sum())), np.ones(int((~few).sum()))
    up, down = upper.copy(), lower.copy()
    small, large = means[few], means[~few]
    for j in range(1, int(_SPREAD * math.sqrt(copies)) + _MARGIN):
        up *= small / (copies + j)
        upper += up
        if j < copies:
            down *= (copies - j) / large
            lower += down
    result = np.empty_like(means)
    result[few] = ln_point[few] + np.log(upper)
    result[~few] = np.log1p(-np.exp(ln_point[~few]) * copies / large * lower)
    return result


def _binomial_lower(copies: int, tries: Floats, rates: Floats) -> Floats:
    """Return P(X < copies) of binomial X, continued to real numbers of tries >= copies.

    The terms C(n, j) p^j q^(n-j) are positive for real n > j; they are summed downwards from
    j = copies - 1, where they are largest once completion has a chance.
    """
    import numpy as np

    mean = tries * rates
    # Below this, Bernstein's bound leaves less than a last digit for the rest.
    hopeless = copies > mean + 10 * np.sqrt(mean * (1 - rates)) + 50
    result = np.ones_like(tries)
    hopeful, rate = tries[~hopeless], rates[~hopeless]
    top = copies - 1
    ln_first = (hopeful - top) * np.log1p(-rate)
    if top:
        ln_first += _ln_choose(hopeful, top) + top * np.log(rate)
    against = (1 - rate) / rate
    total = np.ones_like(hopeful)
    term = np.ones_like(hopeful)
    for j in range(min(top, int(2 * _SPREAD * math.sqrt(copies)) + 2 * _MARGIN)):
        term *= (top - j) / (hopeful - top + j + 1) * against
        total += term
    result[~hopeless] = np.exp(np.minimum(ln_first + np.log(total), 0))
    return result


def _ln_choose(n: Floats, k: int) -> Floats:
    """Return ln C(n, k) for real n >= k + 1, by Stirling's formula with its error."""
    import numpy as np

    rest = n - k
    error = _stirling_errors(n) - stirling_error(k) - _stirling_errors(rest)
    entropy = -k * np.log(k / n) - rest * np.log1p(-k / n)
    return np.asarray(error + entropy - 0.5 * np.log(math.tau * k * rest / n))


def _stirling_errors(m: Floats) -> Floats:
    """Return Stirling's error of each real m >= 1, raised by recurrence to where it converges."""
    import numpy as np

    raised = m.copy()
    error = np.zeros_like(m)
    for _ in range(15):
        low = raised < 16  # noqa: PLR2004 - where the series has its last digit
        if not low.any():
            break
        at = raised[low]
        error[low] += (at + 0.5) * np.log1p(1 / at) - 1
        raised[low] = at + 1
    s = 1 / (raised * raised)
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - s / 1188) * s) * s) * s) / raised
    return np.asarray(error + series)
