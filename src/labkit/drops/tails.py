"""Both binomial tails to any number of digits, and their exact recurrences in the tries.

With L(n) = P(X < k), U(n) = P(X >= k) and f(n) = P(X = k-1) of n tries at rate p:

    L(n+1) = L(n) - p f(n),    U(n+1) = U(n) + p f(n),    f(n+1) = f(n) q (n+1) / (n-k+2)

so that one evaluation serves a whole neighbourhood of n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, getcontext, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["Tails", "evaluate", "high_precision", "step_down", "step_up"]

_FEW = 64
_STIRLING_FROM = 2000
_GUARD_DIGITS = 10
_CANCELLED = 8  # a difference this much smaller than its parts is evaluated afresh


@dataclass(frozen=True, slots=True)
class Tails:
    """The tails of the number of drops in `tries` tries, split below `drops` drops.

    Attributes:
        tries: n.
        lower: L(n) = P(X < k).
        upper: U(n) = P(X >= k).
        point: f(n) = P(X = k - 1).
        digits: How many significant digits the smaller of the tails and the point have.
    """

    tries: int
    lower: Decimal
    upper: Decimal
    point: Decimal
    digits: int


def high_precision(digits: int) -> Context:
    """Return a decimal context of so many digits, whose exponents never run out."""
    return Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX)


def evaluate(rate: Fraction, drops: int, tries: int, digits: int) -> Tails:
    """Evaluate the tails for 1 <= drops <= tries and 0 < rate < 1.

    The time grows with the square root of `drops` and with the square of `digits`.
    """
    a, b = rate.numerator, rate.denominator
    point = _point(a, b, tries, drops - 1, digits)
    with localcontext(high_precision(digits + _GUARD_DIGITS)):
        odds = Decimal(a) / Decimal(b - a)
        if (drops - 1) * b <= tries * a:
            lower = _sum_down(point, tries, drops - 1, odds, digits)
            upper = 1 - lower
            if 10 * upper < 1:  # 1 - lower has lost digits
                upper = _sum_up(point, tries, drops - 1, odds, digits)
        else:
            upper = _sum_up(point, tries, drops - 1, odds, digits)
            lower = 1 - upper
    return Tails(tries, lower, upper, point, digits)


def step_up(tails: Tails, rate: Fraction, drops: int) -> Tails:
    """Return the tails after one try more."""
    with localcontext(high_precision(tails.digits + _GUARD_DIGITS)):
        change = tails.point * rate.numerator / rate.denominator
        growth = (rate.denominator - rate.numerator) * (tails.tries + 1)
        shrinkage = rate.denominator * (tails.tries - drops + 2)
        after = Tails(
            tails.tries + 1,
            tails.lower - change,
            tails.upper + change,
            tails.point * growth / shrinkage,
            tails.digits,
        )
        cancelled = _CANCELLED * after.lower < tails.lower
    return evaluate(rate, drops, after.tries, tails.digits) if cancelled else after


def step_down(tails: Tails, rate: Fraction, drops: int) -> Tails:
    """Return the tails after one try fewer, which must leave at least `drops`."""
    with localcontext(high_precision(tails.digits + _GUARD_DIGITS)):
        growth = rate.denominator * (tails.tries - drops + 1)
        shrinkage = (rate.denominator - rate.numerator) * tails.tries
        point = tails.point * growth / shrinkage
        change = point * rate.numerator / rate.denominator
        after = Tails(
            tails.tries - 1, tails.lower + change, tails.upper - change, point, tails.digits
        )
        cancelled = _CANCELLED * after.upper < tails.upper
    return evaluate(rate, drops, after.tries, tails.digits) if cancelled else after


def _point(a: int, b: int, n: int, x: int, digits: int) -> Decimal:
    """Return P(X = x) of `n` tries at the rate a/b, to `digits` significant digits."""
    # The logarithms are of the size n ln n and cancel down to about 1.
    with localcontext(high_precision(digits + 2 * len(str(n)) + _GUARD_DIGITS)):
        ln_p = (Decimal(a) / Decimal(b)).ln()
        ln_q = (Decimal(b - a) / Decimal(b)).ln()
        return (_ln_combinations(n, x) + x * ln_p + (n - x) * ln_q).exp()


def _sum_down(point: Decimal, n: int, x: int, odds: Decimal, digits: int) -> Decimal:
    """Return P(X <= x), given P(X = x)."""
    smallest = Decimal(10) ** -(digits + 2)
    total = term = point
    failures = n - x + 1
    for j in range(x):
        term = term * (x - j) / (odds * (failures + j))
        total += term
        if term < total * smallest:
            break
    return total


def _sum_up(point: Decimal, n: int, x: int, odds: Decimal, digits: int) -> Decimal:
    """Return P(X > x), given P(X = x)."""
    smallest = Decimal(10) ** -(digits + 2)
    total, term = Decimal(0), point
    for j in range(n - x):
        term = term * (n - x - j) * odds / (x + j + 1)
        total += term
        if term < total * smallest:
            break
    return total


def _ln_combinations(n: int, x: int) -> Decimal:
    """Return ln C(n, x) in the current precision."""
    if min(x, n - x) < _FEW or n < _STIRLING_FROM:
        return Decimal(math.comb(n, x)).ln()
    return _ln_factorial(n) - _ln_factorial(x) - _ln_factorial(n - x)


def _ln_factorial(m: int) -> Decimal:
    """Return ln m! in the current precision: exactly for small m, else by Stirling's series."""
    if m < _STIRLING_FROM:
        return Decimal(math.factorial(m)).ln()
    prec = getcontext().prec
    x = Decimal(m)
    total = (x + Decimal("0.5")) * x.ln() - x + _half_ln_tau(prec)
    smallest = Decimal(10) ** -prec
    power = x
    for coefficient in _stirling_coefficients(prec):
        term = coefficient / power
        total += term
        if abs(term) < smallest:
            break
        power *= x * x
    return total


@lru_cache(maxsize=64)
def _half_ln_tau(prec: int) -> Decimal:
    """Return ln(2 pi) / 2 to `prec` digits, with pi by Machin's formula."""
    unit: int = 10 ** (prec + 10)
    pi = 4 * (4 * _arctan_of_inverse(5, unit) - _arctan_of_inverse(239, unit))
    with localcontext(high_precision(prec + 5)):
        return (2 * Decimal(pi) / unit).ln() / 2


def _arctan_of_inverse(x: int, unit: int) -> int:
    """Return arctan(1/x) as a multiple of 1/unit."""
    power = total = unit // x
    odd = 1
    while power:
        power //= -x * x
        odd += 2
        total += power // odd
    return total


@lru_cache(maxsize=64)
def _stirling_coefficients(prec: int) -> tuple[Decimal, ...]:
    """Return B_2j / (2j (2j-1)) for j = 1, 2, ..., enough of them for m >= 2000.

    The Bernoulli numbers come from the tangent numbers (Brent and Harvey 2011), which are
    integers: B_2j = (-1)^(j-1) 2j T_j / (4^j (4^j - 1)).
    """
    count = prec // 4 + 8
    tangents = [math.factorial(j) for j in range(count)]
    for j in range(1, count):
        for i in range(j, count):
            tangents[i] = (i - j) * tangents[i - 1] + (i - j + 2) * tangents[i]
    with localcontext(high_precision(prec + 5)):
        return tuple(
            Decimal((-1) ** (j - 1) * tangents[j - 1]) / ((2 * j - 1) * 4**j * (4**j - 1))
            for j in range(1, count + 1)
        )
