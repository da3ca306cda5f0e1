"""A budget of pulls over several banners: does the whole plan work, and where does it fail.

The stages come one after the other. Each wants some copies and brings some pulls; pulls left
over from earlier stages may be spent later, but not the other way round. The last hit of a stage
is a featured one, which resets pity and guarantee, so that each stage after the first begins
afresh. The plan fails in the first stage that lacks pulls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance
from labkit.drops.errors import LimitError
from labkit.drops.pity import MAX_COPIES, PityLaw, check_state
from labkit.drops.presets import PRESETS, find_preset
from labkit.drops.rates import parse_count
from labkit.drops.renewal import Renewal, decimal_gap, float_gap
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from labkit.drops.pity import PityRule
    from labkit.drops.renewal import Gap, Number

__all__ = ["MAX_PLAN_PULLS", "PlanOutcome", "Stage", "StageOutcome", "parse_stage", "plan_outcome"]

MAX_PLAN_PULLS = 1_000_000
"""The largest budget that is computed with, in pulls."""

_UNDERFLOW = 1e-290


@dataclass(frozen=True, slots=True)
class Stage:
    """One banner of a plan.

    Attributes:
        copies: The copies of its featured item that are wanted.
        pulls: The pulls that become available with it.
        rule: Its rule.
    """

    copies: int
    pulls: int
    rule: PityRule


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What becomes of one stage.

    Attributes:
        stage: The stage.
        budget: The pulls of this stage and all before it.
        reached: The chance that all stages before it worked.
        done: The chance that it worked too.
        fails: The chance that the plan fails in this very stage.
    """

    stage: Stage
    budget: int
    reached: Chance
    done: Chance
    fails: Chance


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """What becomes of a plan.

    Attributes:
        chance: The chance that every stage gets its copies.
        stages: What becomes of each stage.
        spent: P(the plan works with exactly 0, 1, ... pulls spent).
    """

    chance: Chance
    stages: tuple[StageOutcome, ...]
    spent: tuple[float, ...]

    def within(self, pulls: int) -> Chance:
        """Return the chance that the plan works and at most `pulls` pulls are spent on it."""
        if pulls >= len(self.spent) - 1:
            return self.chance
        return Chance.from_value(math.fsum(self.spent[: pulls + 1]))


def parse_stage(text: str, rule: PityRule | None) -> Stage:
    """Read a stage as a user types it: COPIES:PULLS or COPIES:PULLS:PRESET.

    Args:
        text: The stage.
        rule: The rule of stages that name no preset.

    Raises:
        UsageError: It cannot be read, or there is no rule for it.
    """
    hint = "write COPIES:PULLS, such as 1:90, or COPIES:PULLS:PRESET"
    match text.split(":"):
        case [copies, pulls]:
            pass
        case [copies, pulls, preset]:
            rule = find_preset(preset).rule
        case _:
            raise UsageError(f"`{text}` is not a stage", hint=hint, code="bad-plan")
    if rule is None:
        raise UsageError(
            f"the stage `{text}` has no rule",
            hint=f"give --preset with one of {', '.join(PRESETS)}, or --base",
            code="bad-plan",
        )
    return Stage(
        parse_count(copies, "copies", minimum=1, maximum=MAX_COPIES),
        parse_count(pulls, "pulls", maximum=MAX_PLAN_PULLS),
        rule,
    )


def plan_outcome(
    stages: Sequence[Stage], *, made: int = 0, guaranteed: bool = False
) -> PlanOutcome:
    """Work out the chance that a plan works, and where it fails.

    Args:
        stages: The stages, in order.
        made: The pulls made since the last hit when the first stage begins.
        guaranteed: Whether the next hit is then the featured item for sure.

    Raises:
        UsageError: There is no stage, a number makes no sense, or the state cannot be.
        LimitError: It takes too long to compute.
    """
    _check(stages, made=made, guaranteed=guaranteed)
    bounds = _Certainty(stages, made=made, guaranteed=guaranteed)
    try:
        return _outcome(stages, bounds, float_gap, made=made, guaranteed=guaranteed)
    except _UnderflowError:
        return _outcome(stages, bounds, decimal_gap, made=made, guaranteed=guaranteed)


class _UnderflowError(Exception):
    """A chance is too small for a double."""


class _Certainty:
    """From how many pulls on each stage and all before it can, and must, be done."""

    def __init__(self, stages: Sequence[Stage], *, made: int, guaranteed: bool) -> None:
        self.possible: list[bool] = []
        self.certain: list[bool] = []
        budget, fewest, most = 0, 0, 0
        possible, certain = True, True
        for number, stage in enumerate(stages):
            law = PityLaw(
                stage.rule,
                stage.copies,
                made=0 if number else made,
                guaranteed=guaranteed and not number,
            )
            budget += stage.pulls
            fewest += law.minimum
            possible = possible and fewest <= budget
            if law.maximum is None:
                certain = False
            else:
                most += law.maximum
                certain = certain and most <= budget
            self.possible.append(possible)
            self.certain.append(certain)


def _outcome(
    stages: Sequence[Stage],
    bounds: _Certainty,
    make_gap: Callable[[Sequence[Fraction], Fraction], Gap[Number]],
    *,
    made: int,
    guaranteed: bool,
) -> PlanOutcome:
    """Follow the plan in the numbers that `make_gap` makes."""
    outcomes: list[StageOutcome] = []
    spent: list[Number] | None = None
    failed: list[Number] = []
    reached = CERTAIN
    budget = 0
    for number, stage in enumerate(stages):
        budget += stage.pulls
        renewal: Renewal[Number] = Renewal(
            make_gap(stage.rule.hazards, stage.rule.featured),
            stage.copies,
            guarantee=stage.rule.guarantee,
            sure=guaranteed and not number,
            made=0 if number else made,
            start=spent,
        )
        renewal.extend(budget)
        spent = renewal.done
        failed.append(renewal.remaining(budget))
        if not bounds.possible[number]:
            done = IMPOSSIBLE
        elif bounds.certain[number]:
            done = CERTAIN
        else:
            done = _chance(spent, failed)
        if reached.impossible or bounds.certain[number]:
            fails = IMPOSSIBLE
        elif reached.certain and done.impossible:
            fails = CERTAIN
        else:
            fails = _chance(failed[-1:], failed[:-1] + renewal.done)
        outcomes.append(StageOutcome(stage, budget, reached, done, fails))
        reached = done
    return PlanOutcome(reached, tuple(outcomes), tuple(map(float, spent or ())))


def _chance(done: Sequence[Number], failed: Sequence[Number]) -> Chance:
    """Make a chance of the parts that make it up and of those that make up its complement."""
    value, complement = sum(done[1:], done[0]), sum(failed[1:], failed[0])
    smaller = min(value, complement)
    if isinstance(smaller, Decimal):
        chance = Chance.from_ln(float(smaller.ln()))
        return chance if value < complement else chance.opposite
    if smaller < _UNDERFLOW:
        raise _UnderflowError
    return Chance.from_value(float(value), float(complement))


def _check(stages: Sequence[Stage], *, made: int, guaranteed: bool) -> None:
    """Check a plan's numbers."""
    if not stages:
        raise UsageError("a plan needs a stage", hint="add --stage 1:90", code="bad-plan")
    check_state(stages[0].rule, made=made, guaranteed=guaranteed)
    for number, stage in enumerate(stages, 1):
        if not 1 <= stage.copies <= MAX_COPIES:
            raise UsageError(
                f"stage {number}: {stage.copies} copies", hint=f"1 to {MAX_COPIES}", code="bad-plan"
            )
        if stage.pulls < 0:
            raise UsageError(f"stage {number}: {stage.pulls} pulls is negative", code="bad-plan")
    budget = sum(stage.pulls for stage in stages)
    if budget > MAX_PLAN_PULLS:
        raise LimitError(
            f"a budget of {budget} pulls is too large", hint=f"at most {MAX_PLAN_PULLS}"
        )
