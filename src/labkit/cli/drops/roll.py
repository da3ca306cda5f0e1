"""`labkit drops roll`: a threshold on a die that luck is added to."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labkit.cli.drops.chart import Curve
from labkit.cli.drops.format import chance_fields, exact, odds, percentage, probability, proof
from labkit.cli.drops.options import (
    Chart,
    Confidences,
    Cost,
    Digits,
    Display,
    FirstRoll,
    PerHour,
    Plot,
)
from labkit.cli.drops.tool import drops as tool
from labkit.cli.frame import Result
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labkit.cli.output import Output
    from labkit.drops.die import Die
    from labkit.drops.tries import MinimumTries

_MAX_FACES = 10**12
_DEFAULT_CONFIDENCES = ("50%", "90%", "95%", "99%")


@tool.command(
    "labkit drops roll 101800 --luck 2000",
    "labkit drops roll 101800 --tries 100 --confidence 95% --solve luck",
)
def roll(
    threshold: Annotated[
        str, typer.Argument(metavar="THRESHOLD", help="What roll and luck must reach.")
    ],
    *,
    die: Annotated[
        str, typer.Option("--die", metavar="FACES", help="Faces of the die.")
    ] = "100000",
    luck: Annotated[
        str, typer.Option("--luck", "-l", metavar="L", help="Luck points added to the roll.")
    ] = "0",
    first_roll: FirstRoll = "0",
    then: Annotated[
        list[str] | None,
        typer.Option("--then", metavar="T", help="A second roll that must reach T; repeatable."),
    ] = None,
    tries: Annotated[
        str | None, typer.Option("--tries", "-n", metavar="N", help="How many tries.")
    ] = None,
    confidence: Confidences = None,
    solve: Annotated[
        Literal["luck"] | None,
        typer.Option("--solve", help="Find the smallest luck for --confidence within --tries."),
    ] = None,
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Say how likely a roll with luck is, or how much luck it takes."""
    from labkit.drops.die import Die
    from labkit.drops.rates import parse_confidences, parse_count, parse_tries

    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    faces = parse_count(die, "faces", minimum=1, maximum=_MAX_FACES)
    lines = [parse_count(t, "threshold", maximum=_MAX_FACES) for t in (threshold, *(then or ()))]
    points = parse_count(luck, "luck", maximum=_MAX_FACES)
    made = None if tries is None else parse_tries(tries, minimum=1)
    rolled = Die(faces, int(first_roll))
    levels = parse_confidences(confidence or (("95%",) if solve else _DEFAULT_CONFIDENCES))
    if solve is None:
        return _chance(rolled, lines, points, made, levels, display)
    if made is None:
        raise UsageError("within how many tries?", hint="add --tries N")
    return _luck_needed(rolled, lines, made, levels, display)


def _chance(
    die: Die,
    lines: Sequence[int],
    luck: int,
    tries: int | None,
    levels: Sequence[Fraction],
    display: Display,
) -> Result:
    from labkit.drops.binomial import at_least
    from labkit.drops.chances import Chance
    from labkit.drops.rates import percent
    from labkit.drops.tries import minimum_tries

    rate = die.reach_all(lines, luck)
    per_try = Chance.from_fraction(rate)
    possible_from = max(map(die.possible_from, lines))
    within = None if tries is None else at_least(1, tries, rate)
    answers = [(level, minimum_tries(rate, 1, level)) for level in levels] if rate else []
    data: dict[str, object] = _roll_data(die, lines) | {
        "luck": luck,
        "exact": str(rate),
        **chance_fields(per_try),
        "possible_from_luck": possible_from,
        "tries": [_tries_data(level, answer, display) for level, answer in answers],
    }
    if within is not None:
        data["within"] = {"tries": tries} | chance_fields(within)

    def text(out: Output) -> None:
        out.line(out.style(f"{_name(die, lines)}, luck {luck}", "heading"))
        if not rate:
            out.line(f"impossible below luck {possible_from}")
            return
        fields = {
            "per try": probability(per_try, display.long()),
            "exactly": exact(rate),
            "that is": f"{percentage(per_try, display.short())}, {odds(per_try, display.short())}",
        }
        if within is not None:
            fields[f"in {tries} tries"] = percentage(within, display.short())
        out.fields(fields)
        rows = [
            [
                percent(level),
                str(answer.tries),
                *proof(level, answer.chance, answer.chance_one_fewer, display.digits),
                *display.effort_cells(answer.tries),
            ]
            for level, answer in answers
        ]
        columns = ["confidence", "tries", "chance", "one try fewer"]
        out.table([*columns, *display.effort_columns], rows)

    curve = _curve(die, lines, "chance per try", 1, [luck])
    return display.result(data, text, convention=_convention(die, lines), curves=[curve])


def _luck_needed(
    die: Die, lines: Sequence[int], tries: int, levels: Sequence[Fraction], display: Display
) -> Result:
    from labkit.drops.binomial import at_least
    from labkit.drops.chances import Chance
    from labkit.drops.rates import percent

    answers = [(level, die.luck_for_confidence(lines, tries, level)) for level in levels]
    chances = {
        luck: (die.reach_all(lines, luck), at_least(1, tries, die.reach_all(lines, luck)))
        for _, luck in answers
    }
    data: dict[str, object] = _roll_data(die, lines) | {
        "tries": tries,
        "luck_needed": answers[0][1],
        "results": [
            {
                "confidence": str(level),
                "luck_needed": luck,
                "exact": str(chances[luck][0]),
                "chance": chance_fields(chances[luck][1])["probability"],
            }
            for level, luck in answers
        ],
        **display.effort_fields(tries),
    }

    def text(out: Output) -> None:
        out.line(out.style(f"{_name(die, lines)}, within {tries} tries", "heading"))
        rows = [
            [
                percent(level),
                str(luck),
                percentage(Chance.from_fraction(chances[luck][0]), display.short()),
                percentage(chances[luck][1], display.short()),
                *display.effort_cells(tries),
            ]
            for level, luck in answers
        ]
        columns = ["confidence", "luck needed", "chance per try", f"in {tries} tries"]
        out.table([*columns, *display.effort_columns], rows)

    curve = _curve(die, lines, f"chance within {tries} tries", tries, [luck for _, luck in answers])
    return display.result(data, text, convention=_convention(die, lines), curves=[curve])


def _curve(die: Die, lines: Sequence[int], title: str, tries: int, marks: Sequence[int]) -> Curve:
    """Show the chance as luck grows, from where it becomes possible to a little beyond."""
    from labkit.drops.binomial import at_least

    first = max(map(die.possible_from, lines))
    last = max(first + die.faces // 20, *(mark + mark // 4 for mark in marks), 1)
    at = lambda luck: at_least(1, tries, die.reach_all(lines, luck))  # noqa: E731 - one expression
    return Curve(title, "luck", max(first - 1, 0), last, at, marks=marks)


def _name(die: Die, lines: Sequence[int]) -> str:
    thresholds = ", then ".join(str(line) for line in lines)
    return f"threshold {thresholds} on a die of {die.faces} faces"


def _convention(die: Die, lines: Sequence[int]) -> str:
    last = die.first_roll + die.faces - 1
    again = "; each further threshold rolls anew with the same luck" if len(lines) > 1 else ""
    return f"rolls {die.first_roll}..{last}, reached when roll + luck >= threshold{again}"


def _roll_data(die: Die, lines: Sequence[int]) -> dict[str, object]:
    return {"thresholds": list(lines), "die": die.faces, "first_roll": die.first_roll}


def _tries_data(level: Fraction, answer: MinimumTries, display: Display) -> dict[str, object]:
    return {
        "confidence": str(level),
        "tries": answer.tries,
        "chance": chance_fields(answer.chance)["probability"],
        "chance_one_fewer": chance_fields(answer.chance_one_fewer)["probability"],
    } | display.effort_fields(answer.tries)
