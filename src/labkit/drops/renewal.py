"""The law of the number of pulls until enough hits of the right kind, pull by pull.

A hit starts the pity count anew, so the pulls form a renewal process: what enters a state at
pull j hits at pull j + x with the chance of a gap of length x. A state is the number of copies
still wanted and whether the next hit is sure to be the wanted item. All terms are positive, so
that both tails keep their digits, and the same steps run in doubles, in decimals beyond the
range of a double, or in whole numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from operator import mul
from typing import TYPE_CHECKING, Generic, TypeVar

from labkit.drops.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from fractions import Fraction

__all__ = ["MAX_WORK", "Gap", "Number", "Renewal", "decimal_gap", "exact_gap", "float_gap"]

MAX_WORK = 150_000_000
"""The largest number of multiplications spent on one question: about five seconds."""

_STEP_OVERHEAD = 40
"""What one step of one state costs beside its multiplications, in multiplications."""

Number = TypeVar("Number", int, float, Decimal)


@dataclass(frozen=True)
class Gap(Generic[Number]):
    """The chances of one gap between hits, in numbers of one kind; the last hazard persists.

    In whole numbers, what belongs to pull j is scaled by `unit` to the power j: a miss carries
    the scale of its pull, and a hit carries it together with the factor of its outcome. In
    doubles and decimals every scale is 1.

    Attributes:
        hazards: The chance of a hit at pull 1, 2, ... of the gap, given none before.
        misses: The complement of each.
        won: The chance that a hit is the wanted item.
        lost: The chance that it is not.
        sure: What stands for certainty in place of `won`.
        unit: The scale of one pull.
    """

    hazards: tuple[Number, ...]
    misses: tuple[Number, ...]
    won: Number
    lost: Number
    sure: Number
    unit: Number


def float_gap(hazards: Sequence[Fraction], featured: Fraction) -> Gap[float]:
    """Make the chances of a gap in doubles."""
    return Gap(
        tuple(float(hazard) for hazard in hazards),
        tuple(float(1 - hazard) for hazard in hazards),
        float(featured),
        float(1 - featured),
        sure=1.0,
        unit=1.0,
    )


def decimal_gap(hazards: Sequence[Fraction], featured: Fraction) -> Gap[Decimal]:
    """Make the chances of a gap in decimals of the current context's precision."""

    def decimal(value: Fraction) -> Decimal:
        return Decimal(value.numerator) / Decimal(value.denominator)

    return Gap(
        tuple(map(decimal, hazards)),
        tuple(decimal(1 - hazard) for hazard in hazards),
        decimal(featured),
        decimal(1 - featured),
        sure=Decimal(1),
        unit=Decimal(1),
    )


def exact_gap(hazards: Sequence[Fraction], featured: Fraction) -> Gap[int]:
    """Make the chances of a gap in whole numbers."""
    faces = math.lcm(*(hazard.denominator for hazard in hazards))
    outcomes = featured.denominator
    chances = tuple(hazard.numerator * (faces // hazard.denominator) for hazard in hazards)
    return Gap(
        chances,
        tuple((faces - chance) * outcomes for chance in chances),
        featured.numerator,
        outcomes - featured.numerator,
        sure=outcomes,
        unit=faces * outcomes,
    )


class _State(Generic[Number]):
    """One state: the chance that it is entered at each pull, and what waits at the last hazard."""

    def __init__(self, copies: int, zero: Number, *, sure: bool) -> None:
        self.copies = copies
        self.sure = sure
        self.begun = False
        self.entries: list[Number] = []
        self.waiting: list[Number] = []
        self.zero: Number = zero

    def enter(self, chance: Number, gap: Gap[Number], survivals: list[Number]) -> None:
        """Add what enters at the next pull, and move what has outlived the varying hazards."""
        self.entries.append(chance)
        self.begun = self.begun or bool(chance)
        age = len(survivals) - 1
        waiting = self.waiting[-1] * gap.misses[-1] if self.waiting else self.zero
        if len(self.entries) > age:
            waiting += survivals[age] * self.entries[-1 - age]
        self.waiting.append(waiting)


class Renewal(Generic[Number]):
    """The number of pulls until all copies are there, extended pull by pull as far as needed.

    Args:
        gap: The chances of a gap.
        copies: The number of wanted items still to get.
        guarantee: Whether the hit after a lost one is sure to be the wanted item.
        sure: Whether the next hit is.
        made: The number of pulls made since the last hit.
        start: Where the count begins at pull 0, 1, ... with these chances, instead of at pull 0.
            Then no pull was made since the last hit.

    Attributes:
        done: The chance that the last copy comes at pull 0, 1, ...
    """

    def __init__(
        self,
        gap: Gap[Number],
        copies: int,
        *,
        guarantee: bool,
        sure: bool = False,
        made: int = 0,
        start: Sequence[Number] | None = None,
    ) -> None:
        self._gap: Gap[Number] = gap
        self._guarantee = guarantee
        self._zero: Number = gap.unit - gap.unit
        self._survivals: list[Number] = [_one(gap)]
        for miss in gap.misses[:-1]:
            self._survivals.append(self._survivals[-1] * miss)
        self._hits: list[Number] = list(map(mul, self._survivals, gap.hazards[:-1]))
        self._hits.reverse()
        self._states: dict[tuple[int, bool], _State[Number]] = {
            (left, kind): _State(left, self._zero, sure=kind)
            for left in range(copies, 0, -1)
            for kind in (True, False)
        }
        self._initial = (copies, sure)
        self._start: list[Number] = [] if start is None else list(start)
        self._made = made
        # The running gap may be older than a fresh one: it is followed on its own.
        self._running: list[Number] = [_one(gap) if start is None else self._zero]
        self._work = 0
        self.done: list[Number] = [self._zero]
        self._enter({})

    @property
    def pulls(self) -> int:
        """The number of pulls computed so far."""
        return len(self.done) - 1

    def extend(self, pulls: int) -> None:
        """Compute up to `pulls` pulls.

        Raises:
            LimitError: That takes more than `MAX_WORK` multiplications.
        """
        size = len(self._hits) + _STEP_OVERHEAD
        # Each further pull takes a step of one state at least: what cannot be is not begun.
        self._check(self._work + (pulls - self.pulls) * _STEP_OVERHEAD, pulls)
        while self.pulls < pulls:
            begun = sum(state.begun for state in self._states.values())
            step = size * begun + _STEP_OVERHEAD
            # No later step takes less, since what has begun stays so.
            self._check(self._work + (pulls - self.pulls) * step, pulls)
            self._work += step + len(self._states)
            self._step()

    def _check(self, work: int, pulls: int) -> None:
        if work > MAX_WORK:
            raise LimitError(
                f"to compute {pulls} pulls takes too long for this banner and so many copies",
                hint=f"the limit is {MAX_WORK:,} multiplications: ask for fewer copies or pulls, "
                "a shorter pity or a lower confidence",
            )

    def remaining(self, pulls: int) -> Number:
        """Return the chance that copies are missing after `pulls` pulls, which were computed."""
        total = self._running[pulls]
        young = self._survivals[:-1]
        for state in self._states.values():
            if state.begun:
                entries = state.entries[max(0, pulls + 1 - len(young)) : pulls + 1]
                total += _dot(reversed(entries), young, state.waiting[pulls])
        return total

    def _step(self) -> None:
        """Compute the next pull."""
        arrivals: dict[tuple[int, bool], Number] = {}
        done = self._hit(self._initial, self._running_hit(), arrivals)
        for key, state in self._states.items():
            if state.begun:
                done += self._hit(key, self._state_hit(state), arrivals)
        self.done.append(done)
        self._enter(arrivals)

    def _hit(
        self, key: tuple[int, bool], hit: Number, arrivals: dict[tuple[int, bool], Number]
    ) -> Number:
        """Send a hit in the state `key` to the states it leads to; return what is complete."""
        copies, sure = key
        won = hit * (self._gap.sure if sure else self._gap.won)
        if not sure:
            after = (copies, self._guarantee)
            arrivals[after] = arrivals.get(after, self._zero) + hit * self._gap.lost
        if copies == 1:
            return won
        arrivals[copies - 1, False] = arrivals.get((copies - 1, False), self._zero) + won
        return self._zero

    def _state_hit(self, state: _State[Number]) -> Number:
        """Return the chance of a hit at the next pull in the state, short of its outcome."""
        pull = len(self.done)
        length = min(pull, len(self._hits))
        recent = state.entries[pull - length : pull]
        weights = self._hits[len(self._hits) - length :]
        return _dot(recent, weights, state.waiting[-1] * self._gap.hazards[-1])

    def _running_hit(self) -> Number:
        """Return the chance of a hit at the next pull in the running gap, and follow the rest."""
        place = min(self._made + len(self.done), len(self._gap.hazards)) - 1
        running = self._running[-1]
        self._running.append(running * self._gap.misses[place])
        return running * self._gap.hazards[place]

    def _enter(self, arrivals: dict[tuple[int, bool], Number]) -> None:
        """Let the states be entered at the pull just computed."""
        pull = self.pulls
        if pull < len(self._start):
            arrivals[self._initial] = arrivals.get(self._initial, self._zero) + self._start[pull]
        for key, state in self._states.items():
            state.enter(arrivals.get(key, self._zero), self._gap, self._survivals)


def _dot(left: Iterable[Number], right: Iterable[Number], start: Number) -> Number:
    """Return `start` plus the sum of the products of both."""
    total: Number = sum(map(mul, left, right), start)
    return total


def _one(gap: Gap[Number]) -> Number:
    """Return the number 1 of the gap's kind."""
    return gap.unit // gap.unit
