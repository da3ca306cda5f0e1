"""`labkit drops pity`: gacha with soft and hard pity, 50/50 and guarantee."""

from __future__ import annotations

from fractions import Fraction
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
from labkit.cli.drops.format import chance_fields, number, odds, percentage
from labkit.cli.drops.options import (
    Chart,
    Confidences,
    Cost,
    Digits,
    Display,
    PerHour,
    Plot,
)
from labkit.cli.drops.tool import drops as tool
from labkit.cli.frame import Result

if TYPE_CHECKING:
    from labkit.cli.output import Output
    from labkit.drops.pity import PityLaw
    from labkit.drops.presets import Preset

_DEFAULT_CONFIDENCES = ("50%", "90%", "95%", "99%")
_CONVENTION = (
    "the pull --soft is itself the first raised one; --at counts pulls made, not the next one"
)


@tool.command(
    "labkit drops pity --preset genshin",
    "labkit drops pity --preset genshin --at 20 --guaranteed --copies 3 --pulls 250",
    "labkit drops pity --base 0.6% --soft 74 --step 6% --hard 90 --featured 50% --guarantee",
)
def pity(
    *,
    base: Base = None,
    soft: Soft = None,
    step: Step = None,
    hard: Hard = None,
    featured: Featured = None,
    guarantee: Guarantee = None,
    preset: PresetName = None,
    copies: Annotated[
        str, typer.Option("--copies", "-k", metavar="K", help="How many copies you want.")
    ] = "1",
    at: At = 0,
    guaranteed: Guaranteed = False,
    pulls: Annotated[
        str | None, typer.Option("--pulls", metavar="N", help="Pulls that you have left.")
    ] = None,
    confidence: Confidences = None,
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Work out gacha pulls with pity, from where you stand."""
    from labkit.drops.pity import MAX_COPIES, PityLaw
    from labkit.drops.presets import find_preset, pity_rule
    from labkit.drops.rates import parse_confidences, parse_count

    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    rule = pity_rule(
        base,
        preset=preset,
        soft=soft,
        step=step,
        hard=hard,
        featured=featured,
        guarantee=guarantee,
    )
    wanted = parse_count(copies, "copies", minimum=1, maximum=MAX_COPIES)
    law = PityLaw(rule, wanted, made=at, guaranteed=guaranteed)
    budget = None if pulls is None else parse_count(pulls, "pulls")
    levels = parse_confidences(confidence or _DEFAULT_CONFIDENCES)
    return _Answer(law, None if preset is None else find_preset(preset)).result(
        budget, [(level, law.pulls_for(level)) for level in levels], display
    )


class _Answer:
    """What is known about a pity question, as data and as text."""

    def __init__(self, law: PityLaw, preset: Preset | None) -> None:
        self._law = law
        self._preset = preset

    def result(
        self, budget: int | None, answers: list[tuple[Fraction, int]], display: Display
    ) -> Result:
        law = self._law
        data: dict[str, object] = {
            "preset": _preset_fields(self._preset),
            "rule": rule_fields(law.rule),
            "copies": law.copies,
            "at": law.made,
            "guaranteed": law.guaranteed,
            "mean_pulls": law.mean,
            "sd": law.sd,
            "minimum_pulls": law.minimum,
            "maximum_pulls": law.maximum,
            "mean_pulls_per_hit": law.rule.mean_gap,
            "consolidated_rate": law.rule.consolidated_rate,
            "pulls": budget,
            "probability": None,
            "results": [
                {
                    "confidence": str(level),
                    "pulls": pulls,
                    "chance": chance_fields(law.within(pulls))["probability"],
                }
                | display.effort_fields(pulls)
                for level, pulls in answers
            ],
        }
        if budget is not None:
            data |= chance_fields(law.within(budget))

        def text(out: Output) -> None:
            self._write(out, budget, answers, display)

        return display.result(
            data, text, convention=_CONVENTION, curves=[self._curve(budget, answers)]
        )

    def _write(
        self,
        out: Output,
        budget: int | None,
        answers: list[tuple[Fraction, int]],
        display: Display,
    ) -> None:
        from labkit.drops.rates import percent

        law, rule = self._law, self._law.rule
        if self._preset is not None:
            out.line(out.style(f"{self._preset.game}, {self._preset.banner}", "heading"))
            out.line(out.style(f"{self._preset.as_of}: {self._preset.source}", "dim"))
        out.line(describe(rule))
        if budget is not None:
            chance = law.within(budget)
            text = percentage(chance, display.long(10))
            out.line(f"{self._wanted()} within {budget} pulls: {text} ({odds(chance)})")
        rows = [
            [
                percent(level),
                str(pulls),
                percentage(law.within(pulls), display.short()),
                *display.effort_cells(pulls),
            ]
            for level, pulls in answers
        ]
        out.table(["confidence", "pulls", "chance", *display.effort_columns], rows)
        digits = display.long(12)
        most = "no limit" if law.maximum is None else f"at most {law.maximum}"
        out.line(
            f"{self._wanted()}: mean {number(law.mean, digits)} pulls, "
            f"standard deviation {number(law.sd, digits)}, {most}"
        )
        out.line(
            f"any hit: mean {number(rule.mean_gap, digits)} pulls, "
            f"consolidated rate {number(rule.consolidated_rate, digits)}"
        )

    def _wanted(self) -> str:
        what = "featured" if self._law.rule.featured < 1 else "hit"
        return (
            f"{self._law.copies} {what}{'' if what == 'featured' or self._law.copies == 1 else 's'}"
        )

    def _curve(self, budget: int | None, answers: list[tuple[Fraction, int]]) -> Curve:
        marks = [pulls for _, pulls in answers]
        last = max([*marks, budget or 0])
        if self._law.maximum is not None:
            last = min(last, self._law.maximum)
        return Curve(f"chance of {self._wanted()}", "pulls", 0, last, self._law.within, marks=marks)


def _preset_fields(preset: Preset | None) -> dict[str, str] | None:
    if preset is None:
        return None
    return {
        "name": preset.name,
        "game": preset.game,
        "banner": preset.banner,
        "source": preset.source,
        "as_of": preset.as_of,
    }
