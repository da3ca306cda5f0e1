"""The pseudo-random distribution of Warcraft III and Dota 2.

At the N-th try since the last success the chance is min(1, N C). The constant C belongs to a
nominal chance P in that the mean gap between successes is 1/P. With M = 1/C and
S(n) = (1 - 1/M) (1 - 2/M) ... (1 - n/M), the chance of n failures in a row, the mean gap is
Q(M) = S(0) + S(1) + ..., Ramanujan's Q function; its second moment follows from
C (S(0) + 2 S(1) + 3 S(2) + ...) = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from labkit.drops.binomial import deviance, stirling_error
from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance
from labkit.drops.errors import LimitError
from labkit.drops.rates import parse_rate

if TYPE_CHECKING:
    from labkit.drops.rates import Exact

__all__ = [
    "MIN_CHANCE",
    "MIN_CONSTANT",
    "PseudoRandom",
    "prd_from_constant",
    "prd_from_nominal",
]

MIN_CHANCE = Fraction(1, 10**6)
"""The smallest nominal chance: below it a double no longer settles the longest streak."""

MIN_CONSTANT = Fraction(1, 10**12)
"""The smallest constant, that of about `MIN_CHANCE`."""

_SUM_FROM = 1e-4
"""Above this constant sums run term by term; below it their expansions are exact to a double."""

_TIES_UP_TO = 2000
"""The largest 1/C at which a tie with a whole number is settled in integers."""

_NEAR = 1e-9

_SIMPLE = 1000
"""The largest denominator of a constant that is tried as a fraction."""


@dataclass(frozen=True)
class PseudoRandom:
    """A pseudo-random distribution: the law of the gap between two successes.

    Attributes:
        constant: C, the chance at the first try and its growth per try, as the nearest double.
        nominal: P, the long-run share of successes.
        mean_tries: The mean gap, 1/P.
        sd: The standard deviation of the gap.
        max_tries: The longest possible gap: the smallest N with N C >= 1.
        most_likely: The most likely gap, the smaller one on a tie.
        exact: C as a fraction, where it is known to be one.
    """

    constant: float
    nominal: float
    mean_tries: float
    sd: float
    max_tries: int
    most_likely: int
    exact: Fraction | None = None

    def chance_at(self, gap: int) -> float:
        """Return P(gap = `gap`): the first success since the last comes at this very try."""
        if not 1 <= gap <= self.max_tries:
            return 0.0
        return math.exp(self._ln_survival(gap - 1)) * min(1.0, gap * self.constant)

    def within(self, tries: int, failed: int = 0) -> Chance:
        """Return the chance of at least one success in the next `tries` tries.

        Args:
            tries: The number of tries to come.
            failed: The number of tries already made since the last success, below `max_tries`.
        """
        if tries <= 0:
            return IMPOSSIBLE
        if failed + tries >= self.max_tries:
            return CERTAIN
        ln = self._ln_survival(failed + tries) - self._ln_survival(failed)
        return Chance.from_ln(min(ln, 0.0)).opposite

    def tries_for(self, confidence: Fraction, failed: int = 0) -> int:
        """Return the smallest number of tries with at least `confidence` of a success.

        Equality counts; where C is a fraction, it is decided exactly.
        """
        low, high = 0, self.max_tries - failed
        if confidence >= 1:
            return high
        while high - low > 1:
            middle = (low + high) // 2
            if self._reaches(middle, failed, 1 - confidence):
                high = middle
            else:
                low = middle
        return high

    def _reaches(self, tries: int, failed: int, allowed: Fraction) -> bool:
        """Decide whether so many failures have at most the chance `allowed`."""
        excess = self.within(tries, failed).ln_complement - math.log(allowed)
        if self.exact is None or abs(excess) > _NEAR or tries > _TIES_UP_TO:
            return excess <= 0
        missed = Fraction(1)
        for place in range(failed + 1, failed + tries + 1):
            missed *= max(1 - place * self.exact, Fraction(0))
        return missed <= allowed

    def _ln_survival(self, tries: int) -> float:
        """Return ln S(tries), the logarithm of the chance that this many tries all fail."""
        if tries >= self.max_tries:
            return -math.inf
        if self.constant >= _SUM_FROM:
            return self._ln_survivals[tries]
        # S(n) = (M-n)/M M! / ((M-n)! M^n), with Stirling's errors and without cancellation.
        m = 1 / self.constant
        return (
            0.5 * math.log1p(-tries / m)
            - deviance(m - tries, m, -tries)
            + stirling_error(m)
            - stirling_error(max(m - tries, 1.0))
        )

    @cached_property
    def _ln_survivals(self) -> list[float]:
        return [math.log(s) if s > 0 else -math.inf for s in _survivals(self.constant)]


def prd_from_nominal(chance: Exact) -> PseudoRandom:
    """Find the distribution whose long-run share of successes is `chance`.

    Raises:
        UsageError: `chance` is not above 0 and at most 1.
        LimitError: It is below `MIN_CHANCE`.
    """
    nominal = parse_rate(chance, name="nominal chance")
    if nominal < MIN_CHANCE:
        raise LimitError(
            f"a nominal chance of {chance} is too small",
            hint="chances from 1e-6 are computed with",
        )
    constant = _constant(nominal)
    exact = _as_fraction(constant, nominal)
    mean = float(1 / nominal)
    longest = _longest_gap(nominal, constant)
    return _distribution(constant, float(nominal), mean, longest, exact)


def prd_from_constant(constant: Exact) -> PseudoRandom:
    """Make the distribution whose chance at the N-th try is N times `constant`.

    Raises:
        UsageError: `constant` is not above 0 and at most 1.
        LimitError: It is below `MIN_CONSTANT`.
    """
    exact = parse_rate(constant, name="constant")
    if exact < MIN_CONSTANT:
        raise LimitError(
            f"a constant of {constant} is too small", hint="constants from 1e-12 are computed with"
        )
    value = float(exact)
    mean = _mean_gap(value)
    longest = -(-exact.denominator // exact.numerator)
    return _distribution(value, 1 / mean, mean, longest, exact)


def _distribution(
    constant: float, nominal: float, mean: float, max_tries: int, exact: Fraction | None
) -> PseudoRandom:
    sd = _sd(constant, mean, max_tries)
    return PseudoRandom(constant, nominal, mean, sd, max_tries, _most_likely(max_tries), exact)


def _as_fraction(constant: float, nominal: Fraction) -> Fraction | None:
    """Return C as a fraction where it is one of few digits, proved by its mean gap being 1/P."""
    if nominal >= Fraction(2, 3):
        return 2 - 1 / nominal
    simple = Fraction(constant).limit_denominator(_SIMPLE)
    if simple * _SIMPLE < 1 or abs(simple - constant) > _NEAR * constant:
        return None
    survival, mean, place = Fraction(1), Fraction(0), 0
    while survival > 0:
        mean += survival
        place += 1
        survival *= 1 - place * simple
    return simple if mean * nominal == 1 else None


def _constant(nominal: Fraction) -> float:
    """Solve Q(1/C) = 1/P for C; the mean gap decreases in C, so bisection is safe."""
    if nominal >= Fraction(2, 3):
        return float(2 - 1 / nominal)  # at most two tries: the mean gap is 2 - C
    p, mean = float(nominal), float(1 / nominal)
    low, high = p * p, min(p, math.pi * p * p / 2)
    while low < (middle := low + (high - low) / 2) < high:
        if _mean_gap(middle) > mean:
            low = middle
        else:
            high = middle
    return middle


def _mean_gap(constant: float) -> float:
    """Return Q(1/C), the mean gap."""
    if constant >= _SUM_FROM:
        return math.fsum(_survivals(constant))
    # Q(M) = M! e^M / (2 M^M) - theta(M), theta being Ramanujan's; the next term is below 1e-16.
    m = 1 / constant
    theta = 1 / 3 + (4 / 135 - (8 / 2835 + 16 / 8505 / m) / m) / m
    return math.sqrt(math.pi * m / 2) * math.exp(stirling_error(m)) - theta


def _mean_gap_exact(m: int) -> Fraction:
    """Return Q(m) for a whole number m as an exact fraction: 1 + (m-1)/m (1 + (m-2)/m (...))."""
    numerator, denominator = 1, 1
    for factor in range(1, m):
        numerator = denominator * m + factor * numerator
        denominator *= m
    return Fraction(numerator, denominator)


def _survivals(constant: float) -> list[float]:
    """Return S(0), S(1), ... up to the last one above zero."""
    survivals = [1.0]
    while (factor := 1 - len(survivals) * constant) > 0 and survivals[-1] > 0:
        survivals.append(survivals[-1] * factor)
    return survivals


def _sd(constant: float, mean: float, max_tries: int) -> float:
    """Return the standard deviation of the gap: E[N^2] = 2 sum (n+1) S(n) - sum S(n)."""
    if constant >= _SUM_FROM:
        gaps = _survivals(constant)[:max_tries]
        square = math.fsum((2 * n + 1) * survival for n, survival in enumerate(gaps))
    else:
        square = 2 / constant - mean
    return math.sqrt(max(square - mean * mean, 0.0))


def _longest_gap(nominal: Fraction, constant: float) -> int:
    """Return the smallest whole m with C >= 1/m; where a double cannot tell, by exact integers."""
    inverse = 1 / constant
    nearest = round(inverse)
    if nearest <= _TIES_UP_TO and abs(inverse - nearest) < _NEAR * nearest:
        # The mean gap decreases in C: C >= 1/m exactly when 1/P <= Q(m).
        return nearest if nominal * _mean_gap_exact(nearest) >= 1 else nearest + 1
    return math.ceil(inverse)


def _most_likely(max_tries: int) -> int:
    """Return the smallest n with n (n+1) C >= 1: from there on, a longer gap is less likely."""
    n = math.isqrt(max_tries)
    return n if n * (n + 1) >= max_tries else n + 1
