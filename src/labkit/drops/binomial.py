"""Binomial probabilities, precise in both tails, for numbers of tries of any size.

A point probability comes from the saddle-point expansion of Loader (2000), "Fast and accurate
computation of binomial probabilities": no term cancels, so that it keeps its digits where
`lgamma` differences lose them. A tail is the sum of the point probabilities on its own side;
the larger tail is the complement of the smaller, never the other way round. The relative error
of the smaller tail is below 1e-12 for up to 1e6 drops in up to 1e15 tries.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance, ln_of_fraction

if TYPE_CHECKING:
    from labkit.drops.rates import DropSpec

__all__ = [
    "at_least",
    "at_most",
    "deviance",
    "exactly",
    "ln_pmf",
    "stirling_error",
    "within",
]

_STIRLING_ERRORS = (
    math.nan,  # there is none at 0
    0.0810614667953272582,
    0.0413406959554092941,
    0.0276779256849983391,
    0.0207906721037650931,
    0.0166446911898211922,
    0.0138761288230707480,
    0.0118967099458917701,
    0.0104112652619720965,
    0.00925546218271273292,
    0.00833056343336287126,
    0.00757367548795184079,
    0.00694284010720952987,
    0.00640899418800420706,
    0.00595137011275884774,
    0.00555473355196280137,
)
_CLOSE = 0.2
_NEGLIGIBLE = 1e-18
_EXTREME = Fraction(1, 10**290)


def stirling_error(m: float) -> float:
    """Return ln m! - ln(sqrt(2 pi m) (m/e)^m) for a whole number m >= 1."""
    if m < len(_STIRLING_ERRORS):
        return _STIRLING_ERRORS[int(m)]
    s = 1 / (m * m)
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - s / 1188) * s) * s) * s) / m


def deviance(x: float, mean: float, difference: float | None = None) -> float:
    """Return x ln(x/mean) + mean - x, for positive x and mean.

    Args:
        x: The observed count.
        mean: The expected count.
        difference: x - mean where it is known more precisely than by subtracting.
    """
    if difference is None:
        difference = x - mean
    if abs(difference) >= _CLOSE * (x + mean):
        return x * math.log(x / mean) - difference
    # Both logarithm and difference would cancel: expand in v = (x - mean) / (x + mean).
    v = difference / (x + mean)
    total = difference * v
    term = 2 * x * v
    odd = 3
    while True:
        term *= v * v
        if (after := total + term / odd) == total:
            return total
        total, odd = after, odd + 2


def ln_pmf(n: int, x: int, rate: Fraction) -> float:
    """Return the natural logarithm of P(X = x) of `n` tries; minus infinity where impossible."""
    if not 0 <= x <= n:
        return -math.inf
    if rate in (0, 1):
        return 0.0 if x == n * rate else -math.inf
    if x == 0:
        return n * _ln_complement(rate)
    if x == n:
        return n * _ln_complement(1 - rate)
    a, b = rate.numerator, rate.denominator
    difference = (x * b - n * a) / b  # exact integers, rounded once
    return (
        stirling_error(n)
        - stirling_error(x)
        - stirling_error(n - x)
        - deviance(x, n * a / b, difference)
        - deviance(n - x, n * (b - a) / b, -difference)
        + 0.5 * math.log(n / (x * (n - x)) / math.tau)
    )


def exactly(k: int, n: int, rate: Fraction) -> Chance:
    """Return P(X = k), the chance of exactly `k` drops in `n` tries."""
    return Chance.from_ln(ln_pmf(n, k, rate))


def at_least(k: int, n: int, rate: Fraction) -> Chance:
    """Return P(X >= k), the chance of `k` or more drops in `n` tries."""
    if k <= 0 or (rate == 1 and k <= n):
        return CERTAIN
    if k > n or rate == 0:
        return IMPOSSIBLE
    if k == 1 and not _EXTREME <= rate <= 1 - _EXTREME:
        return _extreme_any(n, rate)

    # Sum the tail that lies beyond the mean. It is below 3/4, or the single term of k = n, so
    # that the other one may be its complement.
    if k * rate.denominator > n * rate.numerator:
        ln = ln_pmf(n, k, rate) + math.log(_relative_sum_up(k, n, rate))
        return Chance.from_ln(min(ln, 0.0))
    ln = ln_pmf(n, k - 1, rate) + math.log(_relative_sum_down(k - 1, n, rate))
    return Chance.from_ln(min(ln, 0.0)).opposite


def _extreme_any(n: int, rate: Fraction) -> Chance:
    """Return P(X >= 1) for a rate whose distance from 0 or 1 no double holds.

    Far below 1/n the chance is n times the rate: the next term is smaller by n times the rate.
    """
    if rate < _EXTREME:
        return Chance.from_ln(math.log(n) + ln_of_fraction(rate))
    return Chance.from_ln(n * ln_of_fraction(1 - rate)).opposite


def at_most(k: int, n: int, rate: Fraction) -> Chance:
    """Return P(X <= k), the chance of `k` or fewer drops in `n` tries."""
    return at_least(k + 1, n, rate).opposite


def within(spec: DropSpec, n: int, rate: Fraction) -> Chance:
    """Return the chance that the number of drops in `n` tries is one that `spec` counts."""
    if spec.high is None or spec.high >= n:
        return at_least(spec.low, n, rate)
    if spec.low == 0:
        return at_most(spec.high, n, rate)
    if spec.low == spec.high:
        return exactly(spec.low, n, rate)
    return _between(spec.low, spec.high, n, rate)


def _between(low: int, high: int, n: int, rate: Fraction) -> Chance:
    """Return P(low <= X <= high) for 0 < low < high < n, without subtracting large tails."""
    if rate in (0, 1):
        return CERTAIN if low <= n * rate <= high else IMPOSSIBLE
    below, above = at_most(low - 1, n, rate), at_least(high + 1, n, rate)
    if below.value + above.value <= 1 / 2:
        larger, smaller = max(below.ln, above.ln), min(below.ln, above.ln)
        return Chance.from_ln(larger + math.log1p(math.exp(smaller - larger))).opposite
    # The smaller part: sum it from its largest term, away from the mode on either side.
    mode = min(max((n + 1) * rate.numerator // rate.denominator, low), high)
    total = _relative_sum_up(mode, n, rate, last=high)
    total += _relative_sum_down(mode, n, rate, first=low) - 1
    return Chance.from_ln(ln_pmf(n, mode, rate) + math.log(total))


def _relative_sum_up(x: int, n: int, rate: Fraction, last: int | None = None) -> float:
    """Return sum of P(X = i) / P(X = x) over x <= i <= last (n where None)."""
    odds = rate.numerator / (rate.denominator - rate.numerator)
    failures = n - x
    steps = failures if last is None else last - x
    total = term = 1.0
    for j in range(steps):
        term *= (failures - j) / (x + j + 1) * odds
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return total


def _relative_sum_down(x: int, n: int, rate: Fraction, first: int = 0) -> float:
    """Return sum of P(X = i) / P(X = x) over first <= i <= x."""
    odds_against = (rate.denominator - rate.numerator) / rate.numerator
    failures = n - x + 1
    total = term = 1.0
    for j in range(x - first):
        term *= (x - j) / (failures + j) * odds_against
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return total


def _ln_complement(rate: Fraction) -> float:
    """Return ln(1 - rate), precise for rates near 0 and near 1."""
    if 2 * rate < 1:
        return math.log1p(-float(rate))
    return math.log(1 - rate)
