"""`labkit drops plan`: a budget of pulls over several banners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.drops.banner import (
    At,
    Base,
    Featured,
    Guarantee,
    Guaranteed,
    Hard,
    PresetName,
    Soft,
    Step,
    describe,
    rule_fields,
)
from labkit.cli.drops.chart import Curve
from labkit.cli.drops.format import chance_fields, percentage, probability
from labkit.cli.drops.options import Chart, Cost, Digits, Display, PerHour, Plot
from labkit.cli.drops.tool import drops as tool
from labkit.cli.frame import Result

if TYPE_CHECKING:
    from labkit.cli.output import Output
    from labkit.drops.plans import PlanOutcome

_CONVENTION = (
    "pulls left over carry over to later stages; pulls of later stages cannot be used early"
)


@tool.command(
    "labkit drops plan --preset genshin --stage 1:100 --stage 1:100",
    "labkit drops plan --preset genshin --stage 1:80 --stage 1:120:genshin-weapon --at 30",
)
def plan(
    *,
    stage: Annotated[
        list[str],
        typer.Option(
            "--stage",
            "-s",
            metavar="COPIES:PULLS[:PRESET]",
            help="Copies wanted and pulls that come in; repeat for each banner in order.",
        ),
    ],
    preset: PresetName = None,
    base: Base = None,
    soft: Soft = None,
    step: Step = None,
    hard: Hard = None,
    featured: Featured = None,
    guarantee: Guarantee = None,
    at: At = 0,
    guaranteed: Guaranteed = False,
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Find the chance that a budget carries you through banners."""
    from labkit.drops.plans import parse_stage, plan_outcome
    from labkit.drops.presets import pity_rule

    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    default = None
    if preset is not None or base is not None:
        default = pity_rule(
            base,
            preset=preset,
            soft=soft,
            step=step,
            hard=hard,
            featured=featured,
            guarantee=guarantee,
        )
    stages = [parse_stage(text, default) for text in stage]
    return _answer(plan_outcome(stages, made=at, guaranteed=guaranteed), display)


def _answer(outcome: PlanOutcome, display: Display) -> Result:
    data: dict[str, object] = {
        **chance_fields(outcome.chance),
        "stages": [
            {
                "stage": place,
                "copies": part.stage.copies,
                "pulls": part.stage.pulls,
                "budget": part.budget,
                "rule": rule_fields(part.stage.rule),
                "reached": chance_fields(part.reached)["probability"],
                "done": chance_fields(part.done)["probability"],
                "fails_here": chance_fields(part.fails)["probability"],
            }
            | display.effort_fields(part.budget)
            for place, part in enumerate(outcome.stages, 1)
        ],
    }

    def text(out: Output) -> None:
        whole = probability(outcome.chance, display.long())
        out.line(f"the whole plan works: {out.style(whole, 'heading')}")
        rows = [
            [
                str(place),
                str(part.stage.copies),
                str(part.stage.pulls),
                str(part.budget),
                percentage(part.done, display.short()),
                percentage(part.fails, display.short()),
                *display.effort_cells(part.budget),
            ]
            for place, part in enumerate(outcome.stages, 1)
        ]
        columns = ["stage", "copies", "pulls", "pulls so far", "done by then", "fails here"]
        out.table([*columns, *display.effort_columns], rows)
        for rule in dict.fromkeys(part.stage.rule for part in outcome.stages):
            out.line(describe(rule))

    curve = Curve(
        "chance that the plan works with this many pulls spent",
        "pulls",
        0,
        outcome.stages[-1].budget,
        outcome.within,
    )
    return display.result(data, text, convention=_CONVENTION, curves=[curve])
