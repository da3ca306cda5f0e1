"""The smallest number of tries that gives a confidence, as an exact integer with a certificate.

A double only chooses where to look. The tails at the answer n and at n - 1 are then evaluated to
50 significant digits, and a comparison counts only when the two sides differ by more than the
error of the evaluation. Where they do not, either the precision grows, or, when number theory
allows an exact tie, both sides are compared as integers. Equality counts as reached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from statistics import NormalDist
from typing import TYPE_CHECKING

from labkit.drops.binomial import at_least
from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance
from labkit.drops.errors import LimitError, NeverError
from labkit.drops.tails import evaluate, high_precision, step_down, step_up

if TYPE_CHECKING:
    from labkit.drops.tails import Tails

__all__ = ["MAX_RARE_DROPS", "MinimumTries", "dependable_drops", "minimum_tries", "reaches"]

MAX_RARE_DROPS = 10**7
"""The largest number of drops at rates below 1e-15, where exact tails take a second."""

_RARE = Fraction(1, 10**15)
_DIGITS = 50
_MAX_DIGITS = 800
_MAX_EXACT_BITS = 5_000_000
_WALK = 4
_SMALLEST_NORMAL = 1e-300


@dataclass(frozen=True, slots=True)
class MinimumTries:
    """The smallest number of tries for a confidence, and the proof that it is the smallest.

    Attributes:
        tries: The least n with P(at least k drops in n tries) >= the confidence.
        chance: That probability at n; it reaches the confidence.
        chance_one_fewer: The same at n - 1; it does not.
    """

    tries: int
    chance: Chance
    chance_one_fewer: Chance


def minimum_tries(rate: Fraction, drops: int, confidence: Fraction) -> MinimumTries:
    """Find the smallest number of tries for at least `drops` drops with the given confidence.

    Raises:
        NeverError: The confidence is certainty, which no number of tries reaches at this rate.
        LimitError: There are more drops than `MAX_RARE_DROPS` at a rate below 1e-15.
    """
    if drops <= 0:
        return MinimumTries(0, CERTAIN, IMPOSSIBLE)
    if rate == 1:
        return MinimumTries(drops, CERTAIN, IMPOSSIBLE)
    if rate == 0 or confidence >= 1:
        raise NeverError(
            "no number of tries makes this certain",
            hint="ask for a confidence below 100 %, such as 99.9%",
        )
    if drops > MAX_RARE_DROPS and rate < _RARE:
        raise LimitError(
            f"{drops} drops at so small a rate take too long to search for",
            hint=f"below a rate of 1e-15, at most {MAX_RARE_DROPS}",
        )
    return _Search(rate, drops, confidence).run()


def reaches(rate: Fraction, drops: int, tries: int, confidence: Fraction) -> bool:
    """Decide exactly whether P(at least `drops` drops in `tries` tries) >= `confidence`."""
    if drops <= 0 or (rate == 1 and drops <= tries):
        return True
    if drops > tries or rate == 0:
        return False
    if confidence >= 1:
        return False
    return _Search(rate, drops, confidence).satisfied(tries)


def dependable_drops(rate: Fraction, tries: int, confidence: Fraction) -> int:
    """Find the largest k with P(at least k drops in `tries` tries) >= `confidence`; maybe 0."""
    low, high = 0, tries + 1  # low is reached, high is not
    guess = round(tries * rate)
    width = math.isqrt(int(tries * rate * (1 - rate))) + 1
    while high - low > 1:
        if not low < guess < high:
            guess = (low + high) // 2
        if at_least(guess, tries, rate).value >= confidence:
            low, guess = guess, guess + width
        else:
            high, guess = guess, guess - width
        width = max(width // 2, 1)
    # A double chose the place; certify both sides of it.
    while not reaches(rate, low, tries, confidence):
        low -= 1
    while reaches(rate, low + 1, tries, confidence):
        low += 1
    return low


class _Search:
    """The search for one question; it holds the numbers that stay the same."""

    def __init__(self, rate: Fraction, drops: int, confidence: Fraction) -> None:
        self.rate, self.drops, self.confidence = rate, drops, confidence
        # The smaller of the two tails is compared: it keeps its relative precision.
        self.by_lower = 2 * confidence > 1
        self.target = 1 - confidence if self.by_lower else confidence

    def run(self) -> MinimumTries:
        """Find the place by Newton's method, then walk to the exact crossing."""
        here = self._approach()
        while self._satisfied(here):
            if here.tries == self.drops:
                return MinimumTries(here.tries, _chance(here), IMPOSSIBLE)
            here = step_down(here, self.rate, self.drops)
        while True:
            below, here = here, step_up(here, self.rate, self.drops)
            if self._satisfied(here):
                return MinimumTries(here.tries, _chance(here), _chance(below))

    def satisfied(self, tries: int) -> bool:
        """Decide exactly whether `tries` tries reach the confidence."""
        return self._satisfied(evaluate(self.rate, self.drops, tries, _digits_for(tries)))

    def _approach(self) -> Tails:
        """Return the tails at a number of tries at most a few away from the answer."""
        fails, holds = self.drops - 1, math.inf  # the answer lies above one, at most the other
        tries = max(self._first_guess(), self.drops)
        while True:
            tails = evaluate(self.rate, self.drops, tries, _digits_for(tries))
            step = self._newton_step(tails)
            if abs(step) <= _WALK:
                return tails
            if step < 0:
                holds = tries
            else:
                fails = tries
            tries += step
            if not fails < tries < holds:
                tries = (fails + int(holds)) // 2 if holds < math.inf else 2 * fails
            if tries in (fails, holds):
                return tails

    def _first_guess(self) -> int:
        """Approximate the answer by the normal quantile with its first correction."""
        ln_q = _ln(1 - self.rate)
        if self.drops == 1:
            return max(math.ceil(_ln(1 - self.confidence) / ln_q), 1)
        # Beyond the range of doubles any start will do: Newton's method finds the way.
        z = NormalDist().inv_cdf(max(float(self.target), _SMALLEST_NORMAL))
        if self.by_lower:
            z = -z
        q = math.exp(ln_q)
        mean = self.drops * self.rate.denominator // self.rate.numerator
        correction = z * math.sqrt(self.drops * q) + (z * z - 1) * (1 + q) / 6
        return mean + int(Fraction(correction) / self.rate)

    def _newton_step(self, tails: Tails) -> int:
        """Return how far the answer is, by Newton's method on the logarithm of the tail."""
        with localcontext(high_precision(tails.digits)):
            change = self._rate * tails.point
            if self.by_lower:
                # Exact for the geometric decay of a single drop.
                excess = (tails.lower / self._target).ln()
                return _whole_decimal(excess / -(1 - change / tails.lower).ln())
            # Exact for the power of n that a small upper tail is: Newton in ln n.
            exponent = tails.tries * change / tails.upper
            excess = (self._target / tails.upper).ln()
            growth = min(max(excess / exponent, Decimal(-50)), Decimal(50))
            return _whole_decimal(tails.tries * (growth.exp() - 1))

    @property
    def _rate(self) -> Decimal:
        return Decimal(self.rate.numerator) / Decimal(self.rate.denominator)

    @property
    def _target(self) -> Decimal:
        return Decimal(self.target.numerator) / Decimal(self.target.denominator)

    def _satisfied(self, tails: Tails) -> bool:
        """Compare a tail with its target; with more digits, or exactly, where it is close."""
        while True:
            with localcontext(high_precision(tails.digits)):
                tail = tails.lower if self.by_lower else tails.upper
                difference = tail - self._target
                if abs(difference) > tail.scaleb(14 - tails.digits):
                    return (difference < 0) == self.by_lower
            if self._tie_is_possible(tails.tries) and self._exact_is_feasible(tails.tries):
                return self._exactly_satisfied(tails.tries)
            if tails.digits >= _MAX_DIGITS:
                raise LimitError(
                    f"the confidence cannot be told from the chance at {tails.tries} tries",
                    hint=f"they agree to {_MAX_DIGITS} digits; write the confidence with fewer",
                )
            tails = evaluate(self.rate, self.drops, tails.tries, 2 * tails.digits)

    def _tie_is_possible(self, tries: int) -> bool:
        """Whether P(X < drops) may equal 1 - confidence exactly, by necessary conditions.

        With the rate a/b and the tail in lowest terms: every prime of its denominator divides b,
        (b-a)^(n-k+1) divides the numerator of the lower tail, a^k that of the upper.
        """
        a, b = self.rate.numerator, self.rate.denominator
        w = 1 - self.confidence
        return (
            pow(b, w.denominator.bit_length(), w.denominator) == 0
            and _power_divides(b - a, tries - self.drops + 1, w.numerator)
            and _power_divides(a, self.drops, self.confidence.numerator)
        )

    def _exact_is_feasible(self, tries: int) -> bool:
        if self.confidence == Fraction(1, 2) and self._symmetric(tries):
            return True
        terms = min(self.drops, tries - self.drops + 1)
        return terms * tries * self.rate.denominator.bit_length() <= _MAX_EXACT_BITS

    def _symmetric(self, tries: int) -> bool:
        return 2 * self.rate == 1 and tries == 2 * self.drops - 1

    def _exactly_satisfied(self, tries: int) -> bool:
        """Compare as integers: a sum of `math.comb` times powers, on the side of fewer terms."""
        if self.confidence == Fraction(1, 2) and self._symmetric(tries):
            return True
        a, b, k = self.rate.numerator, self.rate.denominator, self.drops
        lower = k <= tries - k + 1
        counts = range(k) if lower else range(k, tries + 1)
        tail = Fraction(
            sum(math.comb(tries, i) * a**i * (b - a) ** (tries - i) for i in counts), b**tries
        )
        return (1 - tail if lower else tail) >= self.confidence


def _chance(tails: Tails) -> Chance:
    with localcontext(high_precision(_DIGITS)):
        smaller = min(tails.lower, tails.upper)
        other = float(1 - smaller)
        ln = float(smaller.ln())
        chance = Chance(float(smaller), other, ln, math.log1p(-float(smaller)))
    return chance if tails.upper <= tails.lower else chance.opposite


def _power_divides(base: int, exponent: int, number: int) -> bool:
    """Whether base**exponent divides a positive number, without building a huge power."""
    if base == 1:
        return True
    if exponent * (base.bit_length() - 1) > number.bit_length():
        return False
    power: int = base**exponent
    return number % power == 0


def _digits_for(tries: int) -> int:
    """Return how many digits tell the chances at neighbouring numbers of tries apart."""
    return max(_DIGITS, len(str(tries)) + 32)


def _ln(value: Fraction) -> float:
    """Return the logarithm of a number above 0 and below 1, also beyond the range of doubles."""
    if 2 * value > 1:
        return math.log1p(-float(1 - value))
    return math.log(value.numerator) - math.log(value.denominator)


def _whole_decimal(value: Decimal) -> int:
    return int(value.to_integral_value())
