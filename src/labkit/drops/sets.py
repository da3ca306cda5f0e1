"""Complete sets: the chance to own every item after some tries, and the tries it takes.

Three kinds of table are told apart, because each gives another number:

- exclusive: a try gives at most one item; the rates sum to at most 1;
- independent: every item is rolled for on every try;
- protected: a try gives some item at the total rate, and never one that is already complete.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from labkit.drops.binomial import at_least
from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance, ln_of_complement
from labkit.drops.errors import LimitError, NeverError
from labkit.drops.exact_sets import exact_exclusive, exact_independent
from labkit.drops.items import MAX_ITEMS
from labkit.drops.tries import minimum_tries
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labkit.drops.items import SetItem
    from labkit.drops.multinomial import Group, Multinomial

__all__ = [
    "MAX_SET_COPIES",
    "MAX_SET_TRIES",
    "SetLaw",
    "SetTries",
    "Table",
    "set_law",
]

Table = Literal["exclusive", "independent", "protected"]
"""How the items of a set are rolled for."""

MAX_SET_COPIES = 1_000_000
"""The largest number of copies, over all items, that is computed with."""

MAX_SET_TRIES = 10**15
"""The largest number of tries on a set that is computed with: a double still counts them."""

_TRUSTED = 1e-10
"""A relative difference that doubles settle; a closer one needs the exact fraction."""

_ALMOST = 1e-12
_FEW = 1e-14


@dataclass(frozen=True, slots=True)
class SetTries:
    """The smallest number of tries that completes a set with a confidence.

    Attributes:
        tries: The number.
        chance: The chance of completeness at it.
        certified: Whether it is proved to be the smallest; if not, a chance next to it is closer
            to the confidence than can be told apart within the limits.
    """

    tries: int
    chance: Chance
    certified: bool


class SetLaw(ABC):
    """The law of the number of tries that complete a set; made by `set_law`."""

    table: Table

    def __init__(self, items: Sequence[SetItem]) -> None:
        self.items = tuple(items)
        self._open = [(item.rate, item.missing) for item in items if item.missing]

    def within(self, tries: int) -> Chance:
        """Return the chance that the set is complete after `tries` tries.

        Raises:
            LimitError: More tries than `MAX_SET_TRIES`.
        """
        if tries > MAX_SET_TRIES:
            raise LimitError(f"{tries} tries on a set are too many", hint="at most 1e15")
        if tries < self.fewest:
            return IMPOSSIBLE
        if self.certain_at is not None and tries >= self.certain_at:
            return CERTAIN
        return self._within(tries)

    @abstractmethod
    def tries_for(self, confidence: Fraction) -> SetTries:
        """Return the smallest number of tries that completes the set with this confidence.

        Raises:
            NeverError: Certainty is asked for and no number of tries gives it.
            LimitError: It is above `MAX_SET_TRIES`.
        """

    @property
    @abstractmethod
    def fewest(self) -> int:
        """The fewest tries that can complete the set."""

    @property
    @abstractmethod
    def certain_at(self) -> int | None:
        """The number of tries from which on the set is complete for sure; None without one."""

    @property
    @abstractmethod
    def moments(self) -> tuple[float, float]:
        """The mean and the standard deviation of the tries until the set is complete."""

    @abstractmethod
    def _within(self, tries: int) -> Chance:
        """Return P(complete after `tries`) where it is neither 0 nor 1."""


class _Searched(SetLaw):
    """A law of several items, whose tries for a confidence are searched."""

    def tries_for(self, confidence: Fraction) -> SetTries:
        if self.certain_at is not None:
            return SetTries(self.certain_at, CERTAIN, certified=True)
        if confidence >= 1:
            raise NeverError(
                "no number of tries makes this certain",
                hint="ask for a confidence below 100 %, such as 99.9%",
            )
        return _Search(self, confidence).run()

    @abstractmethod
    def exactly_within(self, tries: int) -> Fraction | None:
        """Return P(complete after `tries`) as a fraction; None where that is too much work."""

    @abstractmethod
    def guess(self, confidence: Fraction) -> int:
        """Return about how many tries the confidence takes."""

    @cached_property
    def _groups(self) -> list[Group]:
        """The missing items of rate below 1, equal ones together."""
        from labkit.drops.multinomial import Group

        counted = Counter(pair for pair in self._open if pair[0] < 1)
        return [Group(float(rate), copies, size) for (rate, copies), size in counted.items()]

    def _nearly_certain(self, tries: int) -> Chance:
        """Return P(complete) where items almost never lack together, from each one's lack."""
        counted = Counter(self._open)
        lns = [
            at_least(copies, tries, rate).ln_complement + math.log(size)
            for (rate, copies), size in counted.items()
        ]
        top = max(lns)
        return Chance.from_ln(top + math.log(math.fsum(math.exp(ln - top) for ln in lns))).opposite


class _Exclusive(_Searched):
    table: Table = "exclusive"

    @property
    def fewest(self) -> int:
        return sum(copies for _, copies in self._open)

    @property
    def certain_at(self) -> None:
        return None

    @cached_property
    def moments(self) -> tuple[float, float]:
        from labkit.drops.set_means import exclusive_moments

        return exclusive_moments(self._groups)

    def exactly_within(self, tries: int) -> Fraction | None:
        return exact_exclusive(self._open, tries)

    def guess(self, confidence: Fraction) -> int:
        # With tries at the times of a Poisson process the counts are independent: near enough.
        low, high = 0.0, self.moments[0]
        ln = math.log(confidence)
        while self._multinomial.ln_complete_at(high) < ln and high < MAX_SET_TRIES:
            low, high = high, 2 * high
        while high - low > _ALMOST + 1e-4 * high:
            middle = (low + high) / 2
            if self._multinomial.ln_complete_at(middle) < ln:
                low = middle
            else:
                high = middle
        return round(high)

    @cached_property
    def _multinomial(self) -> Multinomial:
        from labkit.drops.multinomial import Multinomial

        rest = 1 - sum(rate for rate, _ in self._open)
        return Multinomial(self._groups, float(rest))

    def _within(self, tries: int) -> Chance:
        ln = self._multinomial.ln_complete(tries)
        if ln <= -math.log(2):
            return Chance.from_ln(ln)
        if ln > -_ALMOST:
            chance = self._nearly_certain(tries)
            if chance.complement < _FEW:
                return chance
        rate, copies = max(self._open)
        commonest = at_least(copies, tries, rate)
        missing = self._multinomial.incomplete(tries, commonest.complement)
        return Chance.from_value(1 - missing, missing)


class _Independent(_Searched):
    table: Table = "independent"

    @property
    def fewest(self) -> int:
        return max((copies for _, copies in self._open), default=0)

    @property
    def certain_at(self) -> int | None:
        return self.fewest if all(rate == 1 for rate, _ in self._open) else None

    @cached_property
    def moments(self) -> tuple[float, float]:
        if self.certain_at is not None:
            return float(self.certain_at), 0.0
        from labkit.drops.set_means import independent_moments

        return independent_moments(self._groups, self.fewest)

    def exactly_within(self, tries: int) -> Fraction | None:
        return exact_independent(self._open, tries)

    def guess(self, confidence: Fraction) -> int:
        mean, sd = self.moments
        return round(mean + (2 * sd if 2 * confidence > 1 else -sd))

    def _within(self, tries: int) -> Chance:
        counted = Counter(self._open)
        ln = math.fsum(
            size * at_least(copies, tries, rate).ln for (rate, copies), size in counted.items()
        )
        if ln > -_FEW:
            return self._nearly_certain(tries)
        if ln > -math.log(2):
            return Chance.from_ln(ln_of_complement(ln)).opposite
        return Chance.from_ln(ln)


class _Drops(SetLaw):
    """A set that is complete with a certain number of drops at one rate, whichever they are.

    A single missing item is such a set, and one protected against duplicates: there every drop
    is a piece still missing.
    """

    def __init__(self, items: Sequence[SetItem], table: Table, rate: Fraction) -> None:
        super().__init__(items)
        self.table = table
        self._rate = rate
        self._drops = sum(copies for _, copies in self._open)

    @property
    def fewest(self) -> int:
        return self._drops

    @property
    def certain_at(self) -> int | None:
        return self._drops if self._rate == 1 or not self._drops else None

    @property
    def moments(self) -> tuple[float, float]:
        variance = self._drops * (1 - self._rate) / self._rate**2
        return float(self._drops / self._rate), math.sqrt(variance)

    def tries_for(self, confidence: Fraction) -> SetTries:
        answer = minimum_tries(self._rate, self._drops, confidence)
        return SetTries(answer.tries, answer.chance, certified=True)

    def _within(self, tries: int) -> Chance:
        return at_least(self._drops, tries, self._rate)


class _Search:
    """Finds the smallest number of tries by steps along the logarithm of the smaller tail."""

    def __init__(self, law: _Searched, confidence: Fraction) -> None:
        self._law = law
        self._confidence = confidence
        self._lacks: dict[int, float] = {}
        self._unsettled: set[int] = set()

    def run(self) -> SetTries:
        low, high = self._bracket()
        over, under = self._lack(low), self._lack(high)
        bisect = False
        while high - low > 1:
            width = high - low
            share = 0.5 if bisect or math.isinf(over) else over / (over - under)
            middle = min(max(low + round(width * share), low + 1), high - 1)
            lack = self._lack(middle)
            if self._enough(middle, lack):
                high, under = middle, lack
            else:
                low, over = middle, lack
            # A step that leaves most of the bracket is followed by one that halves it.
            bisect = 2 * (high - low) > width
        certified = not self._unsettled & {low, high}
        return SetTries(high, self._law.within(high), certified=certified)

    def _bracket(self) -> tuple[int, int]:
        """Return numbers of tries of which the first is too few and the second enough."""
        fewest = self._law.fewest
        place = max(fewest, min(self._law.guess(self._confidence), MAX_SET_TRIES))
        step = max(1, place // 10_000)
        if self._enough(place, self._lack(place)):
            high = place
            while self._enough(low := max(fewest - 1, high - step), self._lack(low)):
                high, step = low, 4 * step
            return low, high
        low = place
        while low < MAX_SET_TRIES:
            high = min(low + step, MAX_SET_TRIES)
            if self._enough(high, self._lack(high)):
                return low, high
            low, step = high, 4 * step
        raise LimitError("this takes more than 1e15 tries", hint="the limit is 1e15 tries")

    def _lack(self, tries: int) -> float:
        """Return by how much, in logarithms, the confidence is missed; negative if reached."""
        if tries not in self._lacks:
            self._lacks[tries] = self._measure(tries)
        return self._lacks[tries]

    def _measure(self, tries: int) -> float:
        chance = self._law.within(tries)
        if 2 * self._confidence > 1:
            return chance.ln_complement - math.log(1 - self._confidence)
        return math.log(self._confidence) - chance.ln

    def _enough(self, tries: int, lack: float) -> bool:
        """Decide whether the confidence is reached; equality counts."""
        if abs(lack) > _TRUSTED:
            return lack < 0
        exact = self._law.exactly_within(tries)
        if exact is None:
            self._unsettled.add(tries)
            return lack <= 0
        return exact >= self._confidence


def set_law(items: Sequence[SetItem], table: Table = "exclusive") -> SetLaw:
    """Make the law of the tries that complete a set.

    Args:
        items: Its items.
        table: How they are rolled for.

    Raises:
        UsageError: There is no item, or the rates of an exclusive or protected set sum above 1.
        LimitError: More items than `MAX_ITEMS`, or more copies than `MAX_SET_COPIES`.
    """
    if not items:
        raise UsageError("a set needs an item", hint="give NAME=RATE, such as helm=1/500")
    if len(items) > MAX_ITEMS:
        raise LimitError(f"{len(items)} items are too many", hint=f"at most {MAX_ITEMS}")
    copies = sum(item.missing for item in items)
    if copies > MAX_SET_COPIES:
        raise LimitError(f"{copies} copies are too many", hint=f"at most {MAX_SET_COPIES} in all")
    total = sum((item.rate for item in items), Fraction(0))
    if table != "independent" and total > 1:
        raise UsageError(
            f"the rates of an exclusive set sum to {_short(total)}, above 1",
            hint="items that drop independently of each other need --independent",
            code="rates-above-one",
        )
    missing = [item for item in items if item.missing]
    if table == "protected":
        return _Drops(items, table, total)
    if len(missing) <= 1:
        return _Drops(items, table, missing[0].rate if missing else Fraction(1))
    return _Exclusive(items) if table == "exclusive" else _Independent(items)


def _short(total: Fraction) -> str:
    """Write a sum of rates exactly where it is short, and as a decimal."""
    decimal = f"{float(total):.6g}"
    exact = str(total)
    return decimal if len(exact) > 20 or exact == decimal else f"{exact} ({decimal})"  # noqa: PLR2004 - fits a line
