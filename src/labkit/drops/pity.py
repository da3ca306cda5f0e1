"""Gacha pity: a chance that rises with the pulls since the last hit, until a hit is certain.

The hazard of pull i since the last hit is `base` before the pull `soft`; from there on it is
`base` + `step` (i - soft + 1), so that the pull `soft` itself is the first raised one; at the
pull `hard` it is 1. A hit is the featured item with the chance `featured`; under a guarantee,
the hit after another item is the featured one for sure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance
from labkit.drops.errors import LimitError, NeverError
from labkit.drops.renewal import Renewal, decimal_gap, exact_gap, float_gap
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labkit.drops.renewal import Gap, Number

__all__ = ["MAX_COPIES", "MAX_PITY", "PityLaw", "PityRule"]

MAX_PITY = 100_000
"""The longest pity that is computed with, in pulls."""

MAX_COPIES = 10_000
"""The largest number of copies that is computed with."""

_TRUSTED = 1e-10
"""A relative difference that doubles settle; a closer one is settled in whole numbers."""

_UNDERFLOW = 1e-290

_MAX_EXACT_WORK = 100_000_000
"""The largest number of multiplications, times their kilobits, to settle a tie with."""


@dataclass(frozen=True)
class PityRule:
    """The rule of a banner, exact.

    Attributes:
        base: The chance of a hit per pull before any pity.
        soft: The first pull since the last hit with a raised chance; None without a ramp.
        step: What the chance rises by at `soft` and each pull after it.
        hard: The pull at which a hit is certain; None without.
        featured: The chance that a hit is the featured item.
        guarantee: Whether the hit after one that was not the featured item is it for sure.

    Raises:
        UsageError: The figures make no rule.
        LimitError: The pity is longer than `MAX_PITY`.
    """

    base: Fraction
    soft: int | None = None
    step: Fraction | None = None
    hard: int | None = None
    featured: Fraction = Fraction(1)
    guarantee: bool = False

    def __post_init__(self) -> None:
        for problem, hint in _problems(self):
            raise UsageError(problem, hint=hint, code="bad-pity")
        if self._length > MAX_PITY:
            raise LimitError(
                f"a pity of {self._length} pulls is too long", hint=f"at most {MAX_PITY} pulls"
            )

    @cached_property
    def hazards(self) -> tuple[Fraction, ...]:
        """The chance of a hit at pull 1, 2, ... since the last hit; the last one persists."""
        return tuple(self._hazard(pull) for pull in range(1, self._length + 1))

    @property
    def certain_at(self) -> int | None:
        """The pull since the last hit at which a hit is certain; None where there is none."""
        return self._length if self.hazards[-1] == 1 else None

    @cached_property
    def mean_gap(self) -> float:
        """The mean number of pulls from one hit to the next."""
        return _moments(self.hazards)[0]

    @property
    def consolidated_rate(self) -> float:
        """Hits per pull in the long run, of whatever item: 1 / `mean_gap`."""
        return 1 / self.mean_gap

    @property
    def _length(self) -> int:
        """The number of pulls after which the hazard no longer changes."""
        if self.base == 1:
            return 1
        length = self.hard
        if self.soft is not None and self.step is not None:
            ramp = self.soft + math.ceil((1 - self.base) / self.step) - 1
            length = ramp if length is None else min(length, ramp)
        return length or 1

    def _hazard(self, pull: int) -> Fraction:
        if pull == self.hard:
            return Fraction(1)
        if self.soft is None or self.step is None or pull < self.soft:
            return self.base
        return min(Fraction(1), self.base + self.step * (pull - self.soft + 1))


def _problems(rule: PityRule) -> list[tuple[str, str | None]]:
    """List what is wrong with a rule, each with a hint."""
    ramp = "a ramp has a first raised pull and a rise per pull: --soft 74 --step 6%"
    problems: list[tuple[str, str | None]] = []
    if not 0 <= rule.base <= 1:
        problems.append((f"a base rate of {rule.base} is not between 0 and 1", None))
    if not 0 < rule.featured <= 1:
        problems.append((f"a featured share of {rule.featured} is not above 0 and up to 1", None))
    if (rule.soft is None) != (rule.step is None):
        problems.append(("soft pity needs both its start and its step", ramp))
    if rule.soft is not None and rule.soft < 1:
        problems.append((f"soft pity cannot start at pull {rule.soft}", ramp))
    if rule.step is not None and rule.step <= 0:
        problems.append(("the step of soft pity must be above 0", ramp))
    if rule.hard is not None and rule.hard < 1:
        problems.append((f"hard pity cannot be at pull {rule.hard}", "pulls count from 1"))
    if rule.soft is not None and rule.hard is not None and rule.soft > rule.hard:
        problems.append(
            (f"soft pity starts at pull {rule.soft}, after hard pity at {rule.hard}", ramp)
        )
    if rule.base == 0 and rule.soft is None and rule.hard is None:
        problems.append(
            ("at a base rate of 0 without pity there is never a hit", "give --base, or --hard")
        )
    return problems


class PityLaw:
    """The law of the number of further pulls until all copies of the featured item are there.

    Args:
        rule: The banner's rule.
        copies: The number of copies wanted.
        made: The number of pulls made since the last hit.
        guaranteed: Whether the next hit is the featured item for sure.

    Raises:
        UsageError: The state cannot be.
        LimitError: More copies than `MAX_COPIES`.
    """

    def __init__(
        self, rule: PityRule, copies: int = 1, *, made: int = 0, guaranteed: bool = False
    ) -> None:
        check_state(rule, made=made, guaranteed=guaranteed)
        if copies < 1:
            raise UsageError(f"copies: {copies} is below 1", code="bad-copies")
        if copies > MAX_COPIES:
            raise LimitError(f"{copies} copies are too many", hint=f"at most {MAX_COPIES}")
        self.rule = rule
        self.copies = copies
        self.made = made
        self.guaranteed = guaranteed
        self._sums = [0.0]

    @property
    def mean(self) -> float:
        """The mean number of further pulls."""
        mean, _ = _moments(self.rule.hazards)
        running, _ = _moments(self.rule.hazards, self.made)
        return running + (self._lost_mean + (self.copies - 1) * (1 + self._fresh_lost_mean)) * mean

    @property
    def sd(self) -> float:
        """The standard deviation of the number of further pulls."""
        mean, variance = _moments(self.rule.hazards)
        _, running = _moments(self.rule.hazards, self.made)
        gaps = self._lost_mean + (self.copies - 1) * (1 + self._fresh_lost_mean)
        spread = self._fresh_lost_variance * (self.copies - 1 + (not self.guaranteed))
        return math.sqrt(running + gaps * variance + spread * mean * mean)

    @property
    def minimum(self) -> int:
        """The fewest further pulls that can be enough."""
        hazards = self.rule.hazards
        first_possible = next(i for i, hazard in enumerate(hazards, 1) if hazard)
        return max(first_possible - self.made, 1) + (self.copies - 1) * first_possible

    @property
    def maximum(self) -> int | None:
        """The most further pulls that can be needed; None where there is no bound."""
        certain = self.rule.certain_at
        if certain is None or (self.rule.featured < 1 and not self.rule.guarantee):
            return None
        per_copy = 2 if self.rule.featured < 1 else 1
        gaps = per_copy * self.copies - (per_copy == 2 and self.guaranteed)  # noqa: PLR2004 - a lost hit and a sure one
        return gaps * certain - self.made

    def within(self, pulls: int) -> Chance:
        """Return the chance that `pulls` further pulls are enough.

        Raises:
            LimitError: It takes too long to compute.
        """
        if pulls < self.minimum:
            return IMPOSSIBLE
        if self.maximum is not None and pulls >= self.maximum:
            return CERTAIN
        done = self._done_by(pulls)
        missing = self._renewal.remaining(pulls)
        if min(done, missing) < _UNDERFLOW:
            return self._beyond_doubles(pulls)
        return Chance.from_value(done, missing)

    def at(self, pulls: int) -> float:
        """Return the chance that the last copy comes at just this further pull.

        Raises:
            LimitError: It takes too long to compute.
        """
        self._renewal.extend(pulls)
        return self._renewal.done[pulls] if pulls >= 0 else 0.0

    def pulls_for(self, confidence: Fraction) -> int:
        """Return the smallest number of further pulls with at least this chance of success.

        Raises:
            NeverError: Certainty is asked for and no number of pulls gives it.
            LimitError: It takes too long to compute.
        """
        if confidence >= 1:
            if self.maximum is None:
                raise NeverError(
                    "no number of pulls makes this certain",
                    hint="ask for a confidence below 100 %, such as 99.9%",
                )
            return self.maximum
        low, high = self.minimum - 1, max(self.minimum, math.ceil(self.mean))
        while not self._reaches(high, confidence):
            low, high = high, high + math.ceil(self.rule.mean_gap)
        while high - low > 1:
            middle = (low + high) // 2
            if self._reaches(middle, confidence):
                high = middle
            else:
                low = middle
        return high

    def _reaches(self, pulls: int, confidence: Fraction) -> bool:
        """Decide P(enough within `pulls`) >= `confidence`; equality counts."""
        chance = self.within(pulls)
        if chance.certain:
            return True
        smaller_side = 2 * confidence <= 1
        got = chance.value if smaller_side else chance.complement
        asked = float(confidence if smaller_side else 1 - confidence)
        if abs(got - asked) > _TRUSTED * asked:
            return (got > asked) == smaller_side
        return self._exactly_within(pulls) >= confidence

    @cached_property
    def _renewal(self) -> Renewal[float]:
        return self._count(float_gap(self.rule.hazards, self.rule.featured))

    def _count(self, gap: Gap[Number]) -> Renewal[Number]:
        return Renewal(
            gap,
            self.copies,
            guarantee=self.rule.guarantee,
            sure=self.guaranteed,
            made=self.made,
        )

    def _done_by(self, pulls: int) -> float:
        """Return P(enough within `pulls`), summed from its own terms."""
        self._renewal.extend(pulls)
        while len(self._sums) <= pulls:
            self._sums.append(self._sums[-1] + self._renewal.done[len(self._sums)])
        return self._sums[pulls]

    def _beyond_doubles(self, pulls: int) -> Chance:
        """Return the chance of enough within `pulls` where it or its complement underflows."""
        renewal = self._count(decimal_gap(self.rule.hazards, self.rule.featured))
        renewal.extend(pulls)
        done, missing = sum(renewal.done, Decimal()), renewal.remaining(pulls)
        if done < missing:
            return Chance.from_ln(float(done.ln()))
        return Chance.from_ln(float(missing.ln())).opposite

    def _exactly_within(self, pulls: int) -> Fraction:
        """Return P(enough within `pulls`) as an exact fraction."""
        gap = exact_gap(self.rule.hazards, self.rule.featured)
        multiplications = 2 * self.copies * pulls * min(pulls, len(gap.hazards))
        if multiplications * pulls * gap.unit.bit_length() / 1000 > _MAX_EXACT_WORK:
            raise LimitError(
                f"the chance of success within {pulls} pulls is too close to the confidence to "
                f"be told from it in {_MAX_EXACT_WORK:,} steps",
                hint="ask for a slightly different confidence, or for rounder rates",
            )
        renewal = self._count(gap)
        renewal.extend(pulls)
        total = 0
        for chance in renewal.done:
            total = total * gap.unit + chance
        return Fraction(total, gap.unit**pulls)

    @property
    def _fresh_lost_mean(self) -> float:
        """The mean number of lost hits before a featured one, nothing being guaranteed."""
        lost = 1 - self.rule.featured
        return float(lost if self.rule.guarantee else lost / self.rule.featured)

    @property
    def _fresh_lost_variance(self) -> float:
        """The variance of the number of lost hits before a featured one."""
        featured = self.rule.featured
        lost = 1 - featured
        return float(lost * featured if self.rule.guarantee else lost / featured**2)

    @property
    def _lost_mean(self) -> float:
        return 0.0 if self.guaranteed else self._fresh_lost_mean


def check_state(rule: PityRule, *, made: int, guaranteed: bool) -> None:
    """Check that a player can be in this state.

    Raises:
        UsageError: No player can have made that many pulls without a hit, or hold a guarantee
            that the rule does not give.
    """
    if made < 0:
        raise UsageError(f"pity: {made} is below 0", code="bad-pity")
    certain = rule.certain_at
    if certain is not None and made >= certain:
        raise UsageError(
            f"nobody makes {made} pulls without a hit: pull {certain} is a certain one",
            hint="give the pulls made since the last hit, not counting the next one",
            code="bad-pity",
        )
    if guaranteed and not (rule.guarantee and rule.featured < 1):
        raise UsageError(
            "the rule gives no guarantee that could be held",
            hint="describe it with --featured 50% --guarantee",
            code="bad-pity",
        )


def _moments(hazards: Sequence[Fraction], made: int = 0) -> tuple[float, float]:
    """Return the mean and variance of a gap's further pulls after `made` without a hit.

    With S(n) the chance of n further misses, the mean is sum S(n), and the mean square is
    sum (2n+1) S(n); past the last hazard both continue as geometric series.
    """
    place = min(made, len(hazards) - 1)
    survivals = [1.0]
    for hazard in hazards[place:-1]:
        survivals.append(survivals[-1] * float(1 - hazard))
    length, last = len(survivals) - 1, float(hazards[-1])
    tail = survivals.pop()
    mean = math.fsum([*survivals, tail / last])
    # From the last hazard on: sum over i >= 0 of (2 (length + i) + 1) (1 - last)^i.
    tail_square = tail * ((2 * length + 1) / last + 2 * (1 - last) / last**2)
    square = math.fsum([*((2 * n + 1) * s for n, s in enumerate(survivals)), tail_square])
    return mean, max(square - mean * mean, 0.0)
