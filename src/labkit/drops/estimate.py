"""What rate a log supports: estimates, intervals, and whether a claimed rate is plausible.

The exact intervals come from SciPy's inverse incomplete beta functions, always from the side of
the small tail, and are polished by one Newton step on labkit's own binomial tails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import TYPE_CHECKING

from labkit.drops.binomial import at_least, at_most, ln_pmf
from labkit.drops.chances import CERTAIN, Chance
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Interval",
    "PityLog",
    "Plausibility",
    "clopper_pearson",
    "jeffreys",
    "judge_claim",
    "pity_rate",
    "stopped_interval",
    "unbiased_stopped",
    "wilson",
]

Interval = tuple[float, float]
"""The lower and the upper end of an interval for a rate."""


def clopper_pearson(got: int, tries: int, alpha: Fraction) -> Interval:
    """Return the exact interval for a number of tries that was fixed in advance.

    Low is where P(X >= got) = alpha/2, high where P(X <= got) = alpha/2 (Clopper, Pearson 1934).
    """
    return _low(got, tries, alpha), _high(got, tries, alpha)


def stopped_interval(got: int, tries: int, alpha: Fraction) -> Interval:
    """Return the exact interval for a log that was stopped at its last drop.

    Low is where P(X(tries) >= got) = alpha/2, high where P(X(tries - 1) < got) = alpha/2.
    """
    high = 1.0 if got == tries else _high(got - 1, tries - 1, alpha)
    return _low(got, tries, alpha), high


def unbiased_stopped(got: int, tries: int) -> Fraction | None:
    """Return the unbiased estimate (k-1)/(n-1) of a stopped log; None for a single drop."""
    return Fraction(got - 1, tries - 1) if got > 1 else None


def wilson(got: int, tries: int, alpha: Fraction) -> Interval:
    """Return Wilson's score interval (1927), without continuity correction."""
    z2 = NormalDist().inv_cdf(float(alpha / 2)) ** 2
    share = got / tries
    scale = 1 + z2 / tries
    centre = share + z2 / (2 * tries)
    spread = math.sqrt(z2 * (share * (1 - share) / tries + z2 / (4 * tries * tries)))
    high = 1.0 if got == tries else (centre + spread) / scale
    # The product of the ends is share^2 / scale: the difference would cancel.
    low = share * share / (centre + spread)
    return low, high


def jeffreys(got: int, tries: int, alpha: Fraction) -> Interval:
    """Return Jeffreys' interval: quantiles of Beta(got + 1/2, tries - got + 1/2).

    By custom the low end is 0 when nothing dropped, and the high end 1 when every try did.
    """
    from scipy.special import betainccinv, betaincinv

    a, b, half = got + 0.5, tries - got + 0.5, float(alpha / 2)
    low = 0.0 if got == 0 else float(betaincinv(a, b, half))
    high = 1.0 if got == tries else float(betainccinv(a, b, half))
    return low, high


@dataclass(frozen=True, slots=True)
class Plausibility:
    """How well a claimed rate fits a log.

    Attributes:
        at_most: At that rate, the chance of as few drops as seen, or fewer.
        at_least: At that rate, the chance of as many drops as seen, or more.
        two_sided: Twice the smaller of the two, at most 1; agrees with the exact interval.
        plausible: Whether that is not below alpha.
    """

    at_most: Chance
    at_least: Chance
    two_sided: Chance
    plausible: bool


def judge_claim(
    got: int, tries: int, rate: Fraction, alpha: Fraction, *, stopped: bool
) -> Plausibility:
    """Judge a claimed rate by both one-sided tails.

    In a log that was stopped at its last drop, few drops means many tries: the tails are those
    of the number of tries.
    """
    many = at_least(got, tries, rate)
    few = at_most(got - 1, tries - 1, rate) if stopped else at_most(got, tries, rate)
    smaller = min(many, few, key=lambda chance: chance.ln)
    double = CERTAIN if 2 * smaller.value >= 1 else Chance.from_ln(smaller.ln + math.log(2))
    return Plausibility(few, many, double, double.ln >= Chance.from_fraction(alpha).ln)


@dataclass(frozen=True, slots=True)
class PityLog:
    """What a log of a game with hard pity says about its rate.

    Attributes:
        naive: Hits per pull, the unfinished tail counted: biased.
        unbiased: Kept hits per pull of the kept gaps; None where no gap can be kept.
        kept: How many gaps were kept.
    """

    naive: Fraction
    unbiased: Fraction | None
    kept: int


def pity_rate(gaps: Sequence[int], leftover: int, hard: int) -> PityLog:
    """Estimate the rate of a game with hard pity from its gaps.

    A gap is kept only if it and everything recorded after it are at least `hard` pulls: then its
    end was bound to be seen, and short gaps are not favoured.

    Raises:
        UsageError: There is no hit, or a gap is longer than the pity allows.
    """
    if not gaps:
        raise UsageError("the log has no hit", hint="give the pulls each hit took: --gaps 70,10")
    if max(*gaps, leftover) > hard or leftover == hard:
        raise UsageError(
            f"no gap can be longer than the pity of {hard}", hint="check --gaps and --hard"
        )
    kept = []
    after = leftover
    for gap in reversed(gaps):
        after += gap
        if after >= hard:
            kept.append(gap)
    naive = Fraction(len(gaps), sum(gaps) + leftover)
    return PityLog(naive, Fraction(len(kept), sum(kept)) if kept else None, len(kept))


def _low(got: int, tries: int, alpha: Fraction) -> float:
    """Return the rate at which P(X >= got) = alpha/2."""
    half = float(alpha / 2)
    if got == 0:
        return 0.0
    if got == tries:
        return math.exp(math.log(half) / tries)
    from scipy.special import betaincinv

    start = float(betaincinv(got, tries - got + 1, half))
    # d/dp P(X >= k) = n P(X(n-1) = k-1)
    return _polish(start, half, lambda p: at_least(got, tries, p), tries, got - 1)


def _high(got: int, tries: int, alpha: Fraction) -> float:
    """Return the rate at which P(X <= got) = alpha/2."""
    half = float(alpha / 2)
    if got == tries:
        return 1.0
    if got == 0:
        return -math.expm1(math.log(half) / tries)
    from scipy.special import betainccinv

    start = float(betainccinv(got + 1, tries - got, half))
    return _polish(start, half, lambda p: at_most(got, tries, p), -tries, got)


def _polish(
    start: float, target: float, tail: Callable[[Fraction], Chance], slope: int, drops: int
) -> float:
    """Make one Newton step; the slope of the tail is `slope` P(X(tries - 1) = drops)."""
    rate = Fraction(start)
    if not 0 < rate < 1:  # a double cannot hold it any better
        return start
    density = slope * math.exp(ln_pmf(abs(slope) - 1, drops, rate))
    return start - (tail(rate).value - target) / density if density else start
