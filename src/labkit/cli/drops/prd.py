"""`labkit drops prd`: the pseudo-random distribution of Warcraft III and Dota 2."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.drops.chart import Curve
from labkit.cli.drops.format import chance_fields, number, percentage
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
from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.cli.output import Output
    from labkit.drops.prd import PseudoRandom

_DEFAULT_CONFIDENCES = ("50%", "90%", "95%", "99%")
_ROWS = 20
_CONVENTION = "the chance at the N-th try since the last success is N times C, at most 1"


@tool.command(
    "labkit drops prd 25%",
    "labkit drops prd 5% --failed 10 --tries 20",
    "labkit drops prd --from-c 0.0847",
)
def prd(
    chance: Annotated[
        str | None, typer.Argument(help="Nominal chance, as shown in the game: 25%.")
    ] = None,
    *,
    from_c: Annotated[
        str | None, typer.Option("--from-c", metavar="C", help="The constant instead.")
    ] = None,
    tries: Annotated[
        str | None, typer.Option("--tries", "-n", metavar="N", help="Tries to come.")
    ] = None,
    failed: Annotated[
        str, typer.Option("--failed", metavar="X", help="Tries made since the last success.")
    ] = "0",
    confidence: Confidences = None,
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Work out the pseudo-random distribution of Dota 2 and the like."""
    from labkit.drops.prd import prd_from_constant, prd_from_nominal
    from labkit.drops.rates import parse_confidences, parse_count, parse_tries

    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    if chance is not None and from_c is None:
        law = prd_from_nominal(chance)
    elif from_c is not None and chance is None:
        law = prd_from_constant(from_c)
    else:
        raise UsageError("give either a nominal chance or --from-c", hint="labkit drops prd 25%")
    made = parse_count(failed, "failed tries")
    if made >= law.max_tries:
        raise UsageError(
            f"nobody fails {made} times in a row: try {law.max_tries} is a certain one",
            hint="give the tries made since the last success, not counting the next one",
        )
    ahead = None if tries is None else parse_tries(tries)
    levels = parse_confidences(confidence or _DEFAULT_CONFIDENCES)
    answers = [(level, law.tries_for(level, made)) for level in levels]
    return _answer(law, made, ahead, answers, display)


def _answer(
    law: PseudoRandom,
    made: int,
    ahead: int | None,
    answers: list[tuple[Fraction, int]],
    display: Display,
) -> Result:
    places = _places(law)
    data: dict[str, object] = {
        "c": law.constant,
        "nominal": law.nominal,
        "max_tries": law.max_tries,
        "mean_tries": law.mean_tries,
        "sd": law.sd,
        "most_likely": law.most_likely,
        "failed": made,
        "tries": ahead,
        "probability": None,
        "results": [
            {
                "confidence": str(level),
                "tries": tries,
                "chance": law.within(tries, made).value,
            }
            | display.effort_fields(tries)
            for level, tries in answers
        ],
        "distribution": [
            {"try": place, "chance": law.chance_at(place), "within": law.within(place).value}
            for place in places
        ],
    }
    if ahead is not None:
        data |= chance_fields(law.within(ahead, made))

    def text(out: Output) -> None:
        _write(out, law, made, ahead, answers, display)

    curve = Curve(
        "chance of a success since the last one",
        "tries",
        0,
        places[-1],
        law.within,
        [law.most_likely],
    )
    return display.result(data, text, convention=_CONVENTION, curves=[curve])


def _write(
    out: Output,
    law: PseudoRandom,
    made: int,
    ahead: int | None,
    answers: list[tuple[Fraction, int]],
    display: Display,
) -> None:
    from labkit.drops.chances import Chance
    from labkit.drops.rates import percent

    digits = display.long()
    out.fields(
        {
            "constant C": number(law.constant, digits),
            "nominal chance": number(law.nominal, digits),
            "longest streak": f"success at try {law.max_tries} at the latest",
            "most likely": f"success at try {law.most_likely}",
            "mean": f"{number(law.mean_tries, digits)} tries",
            "standard deviation": f"{number(law.sd, digits)} tries",
        }
    )
    after = f", after {made} failure{'s' if made > 1 else ''}" if made else ""
    if ahead is not None:
        chance = percentage(law.within(ahead, made), display.long(10))
        out.line(f"a success within {ahead} {'try' if ahead == 1 else 'tries'}{after}: {chance}")
    rows = [
        [
            percent(level),
            str(tries),
            percentage(law.within(tries, made), display.short()),
            *display.effort_cells(tries),
        ]
        for level, tries in answers
    ]
    out.table(["confidence", f"tries{after}", "chance", *display.effort_columns], rows)
    if made:
        out.line("everything else counts tries from the last success, also those that failed")
    short = display.short()
    out.table(
        ["try", "its chance", "first success here", "success by then"],
        [
            [
                str(place),
                percentage(Chance.from_value(min(1.0, place * law.constant)), short),
                percentage(Chance.from_value(law.chance_at(place)), short),
                percentage(law.within(place), short),
            ]
            for place in _places(law)
        ],
    )


def _places(law: PseudoRandom) -> list[int]:
    """Return tries spread evenly up to where all but one gap in a thousand have ended."""
    last = law.tries_for(Fraction(999, 1000))
    return sorted({1 + (last - 1) * i // (_ROWS - 1) for i in range(_ROWS)})
