"""Drops that come from several sources at different rates: the exact Poisson binomial law.

The law is tilted until the number asked about is the mean: each source's rate p becomes
p r / (q + p r). The tilted law is convolved directly, from positive terms only, and

    P(S = j) = P_tilted(S = j) r^-j prod (q_i + p_i r)^(n_i)

gives the wanted probabilities back with full relative precision, also far out in a tail.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import TYPE_CHECKING

from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance
from labkit.drops.errors import LimitError
from labkit.drops.rates import parse_rate, parse_tries
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from labkit.drops.rates import DropSpec

__all__ = ["Mixture", "Source", "parse_source"]

_NEGLIGIBLE = 1e-26
_MAX_MULTIPLICATIONS = 3 * 10**7
_SOURCE = re.compile(r"([^@]+)@([^@]+)")
_HALVINGS = 80
_LN_R_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Source:
    """So many tries at one rate."""

    tries: int
    rate: Fraction


def parse_source(text: str) -> Source:
    """Read tries and their rate: `40@1/120`.

    Raises:
        UsageError: It is not of that form, or a part of it makes no sense.
    """
    match = _SOURCE.fullmatch(text.strip())
    if not match:
        raise UsageError(
            f"`{text[:60]}` is not a source",
            hint="write tries and rate as 40@1/120",
            code="bad-source",
        )
    return Source(parse_tries(match[1]), parse_rate(match[2]))


class Mixture:
    """The total number of drops from several sources.

    Raises:
        LimitError: The convolution would take too long.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        given = [source for source in sources if source.tries and source.rate]
        self.mean = sum((s.tries * s.rate for s in given), start=Fraction(0))
        self.variance = sum((s.tries * s.rate * (1 - s.rate) for s in given), start=Fraction(0))
        self._sure = sum(s.tries for s in given if s.rate == 1)
        merged: dict[Fraction, int] = {}
        for source in given:
            if source.rate < 1:
                merged[source.rate] = merged.get(source.rate, 0) + source.tries
        self._groups = [(tries, rate) for rate, tries in merged.items()]
        self._most = sum(merged.values())

    def exactly(self, k: int) -> Chance:
        """Return P(S = k)."""
        return self._between(k, k)

    def at_least(self, k: int) -> Chance:
        """Return P(S >= k)."""
        return self._between(k, None)

    def at_most(self, k: int) -> Chance:
        """Return P(S <= k)."""
        return self._between(0, k)

    def within(self, spec: DropSpec) -> Chance:
        """Return the chance of a total that `spec` counts."""
        return self._between(spec.low, spec.high)

    def _between(self, low: int, high: int | None) -> Chance:
        first = max(low - self._sure, 0)
        last = self._most if high is None else min(high - self._sure, self._most)
        if first > last:
            return IMPOSSIBLE
        if first == 0 and last == self._most:
            return CERTAIN
        near = min(max(round(self.mean - self._sure), first), last)
        inside = self._ln_sum(first, last, near=near)
        if inside <= -math.log(2):
            return Chance.from_ln(inside)
        below = self._ln_sum(0, first - 1, near=first - 1) if first > 0 else -math.inf
        above = (
            self._ln_sum(last + 1, self._most, near=last + 1) if last < self._most else -math.inf
        )
        larger, smaller = max(below, above), min(below, above)
        outside = larger + math.log1p(math.exp(smaller - larger))
        return Chance.from_ln(min(outside, 0.0)).opposite

    def _ln_sum(self, first: int, last: int, *, near: int) -> float:
        """Return ln P(first <= S <= last), tilted so that `near` is the mean."""
        ln_r = self._tilt(near)
        offset, law = self._tilted_law(ln_r)
        ln_z = math.fsum(n * _ln_norm(p, ln_r) for n, p in self._groups)
        first, last = max(first, offset), min(last, offset + len(law) - 1)
        if first > last:
            return -math.inf
        terms = [
            math.log(law[j - offset]) - (j - near) * ln_r
            for j in range(first, last + 1)
            if law[j - offset] > 0
        ]
        largest = max(terms)
        total = math.fsum(math.exp(term - largest) for term in terms)
        return ln_z - near * ln_r + largest + math.log(total)

    def _tilt(self, near: int) -> float:
        """Return ln r for which the tilted mean is `near`, by bisection; any r is exact."""
        wanted = min(max(near, 0.5), self._most - 0.5)
        low, high = -_LN_R_MAX, _LN_R_MAX
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            mean = sum(n * _tilted(p, middle) for n, p in self._groups)
            low, high = (middle, high) if mean < wanted else (low, middle)
        return (low + high) / 2

    def _tilted_law(self, ln_r: float) -> tuple[int, list[float]]:
        """Return the smallest total with a chance worth counting, and the chances from there."""
        offset, law = 0, [1.0]
        work = 0
        for n, p in self._groups:
            start, weights = _window(n, _tilted(p, ln_r), _tilted(1 - p, -ln_r))
            work += len(law) * len(weights)
            if work > _MAX_MULTIPLICATIONS:
                raise LimitError(
                    "these sources take too long to combine",
                    hint="the spread of their drops is too wide: at most "
                    f"{_MAX_MULTIPLICATIONS} multiplications are made",
                )
            offset, law = offset + start, _convolve(law, weights)
        return offset, law


def _tilted(p: Fraction, ln_r: float) -> float:
    """Return p r / (1 - p + p r), without overflow."""
    return 1 / (1 + math.exp(min(math.log((1 - p) / p) - ln_r, 700)))


def _ln_norm(p: Fraction, ln_r: float) -> float:
    """Return ln(1 - p + p r), without cancellation where r is near 1 or p is near 1."""
    total = float(1 - p) + float(p) * math.exp(ln_r)
    if 1 / 2 < total < 2:  # noqa: PLR2004 - there the logarithm is that of a small change
        return math.log1p(float(p) * math.expm1(ln_r))
    return math.log(total)


def _window(n: int, p: float, q: float) -> tuple[int, list[float]]:
    """Return the part of the binomial law that is worth counting, from its mode outward."""
    mode = min(int((n + 1) * p), n)
    up, down = [1.0], []
    term, i = 1.0, mode
    while i < n and term > _NEGLIGIBLE:
        term *= (n - i) / (i + 1) * (p / q)
        up.append(term)
        i += 1
        _check_width(len(up))
    term, i = 1.0, mode
    while i > 0 and term > _NEGLIGIBLE:
        term *= i / (n - i + 1) * (q / p)
        down.append(term)
        i -= 1
        _check_width(len(down))
    weights = [*reversed(down), *up]
    total = math.fsum(weights)
    return mode - len(down), [weight / total for weight in weights]


def _check_width(width: int) -> None:
    if width > _MAX_MULTIPLICATIONS // 100:
        raise LimitError(
            "a source has too many tries to combine with others",
            hint=f"its drops may spread over at most {_MAX_MULTIPLICATIONS // 100} values",
        )


def _convolve(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Convolve directly: no Fourier transform, which would lose the small terms."""
    if len(a) < len(b):
        a, b = b, a
    reverse = b[::-1]
    width = len(b)
    result = []
    for i in range(len(a) + width - 1):
        low, high = max(0, i - width + 1), min(i, len(a) - 1)
        part = reverse[width - 1 - i + low : width - i + high]
        result.append(math.fsum(map(mul, a[low : high + 1], part)))
    return result
