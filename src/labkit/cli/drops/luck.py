"""`labkit drops luck`: how lucky a player was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.drops.chart import Curve
from labkit.cli.drops.format import (
    chance_fields,
    drops_text,
    exact,
    number,
    odds,
    percentage,
    tries_text,
)
from labkit.cli.drops.options import Chart, Cost, Digits, Display, PerHour, Plot
from labkit.cli.drops.tool import drops as tool
from labkit.cli.frame import Result
from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.cli.output import Output
    from labkit.drops import Chance
    from labkit.drops.luck import LogLine, Luck

_MIDP = "mid-p: players with just as many count half"


@tool.command(
    "labkit drops luck 1/5000 --tries 12000 --got 1",
    "labkit drops luck --log drops.csv",
)
def luck(
    rate: Annotated[
        str | None, typer.Argument(help="Chance per try, unless a log is given.")
    ] = None,
    *,
    tries: Annotated[
        str | None, typer.Option("--tries", "-n", metavar="N", help="Tries made.")
    ] = None,
    got: Annotated[
        str | None, typer.Option("--got", "-k", metavar="K", help="Drops they gave.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="A CSV file: item, rate, tries, got."),
    ] = None,
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Say how many players are luckier and how many are drier."""
    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    if log is not None:
        if rate is not None or tries is not None or got is not None:
            raise UsageError("a log holds rates, tries and drops", hint="give --log alone")
        return _of_log(log, display)
    if rate is None or tries is None or got is None:
        raise UsageError(
            "a rate, --tries and --got belong together",
            hint="such as: labkit drops luck 1/5000 --tries 12000 --got 1",
        )
    return _of_one(rate, tries, got, display)


def _of_one(rate: str, tries: str, got: str, display: Display) -> Result:
    from labkit.drops.binomial import exactly
    from labkit.drops.luck import luck_of
    from labkit.drops.rates import (
        MAX_DROPS,
        parse_count,
        parse_rate,
        parse_tries,
        what_cannot_come,
    )

    p = parse_rate(rate)
    made = parse_tries(tries)
    dropped = parse_count(got, "got", maximum=MAX_DROPS)
    if dropped > made:
        raise UsageError(what_cannot_come(dropped, made), hint="a try gives one drop at most")
    answer = luck_of(dropped, made, p)
    data = {"rate": str(p), "tries": made, "got": dropped}
    mean = float(made * p)

    def text(out: Output) -> None:
        heading = (
            f"{drops_text(dropped)} in {tries_text(made)} at {exact(p)}, "
            f"mean {number(mean, display.short())}"
        )
        out.line(out.style(heading, "heading"))
        out.fields(
            {
                name: f"{percentage(chance, display.short())}, {odds(chance, display.short())}"
                for name, chance in _parts(answer).items()
            }
        )
        out.line(_verdict(answer.luckier_than, display))
        columns, cells = display.effort_columns, display.effort_cells(made)
        out.fields(dict(zip(columns, cells, strict=True)))

    spread = 4 * int((mean * float(1 - p)) ** 0.5 + 1)
    curve = Curve(
        "chance of exactly so many drops",
        "drops",
        max(0, min(dropped, int(mean) - spread)),
        min(made, max(dropped, int(mean) + spread)),
        lambda k: exactly(k, made, p),
        marks=[dropped],
    )
    data |= _luck_data(answer) | display.effort_fields(made) | {"mean_drops": mean}
    return display.result(data, text, convention=_MIDP, curves=[curve])


def _of_log(path: Path, display: Display) -> Result:
    from labkit.drops.luck import log_luck, read_log, stouffer

    lines = read_log(path)
    overall, equal_weight = log_luck(lines), stouffer(lines)
    tries = sum(line.tries for line in lines)
    data: dict[str, object] = {
        "lines": [_line_data(line) for line in lines],
        "overall": _luck_data(overall)
        | {"method": "total number of drops", "stouffer_percentile": 100 * equal_weight.value},
    }

    def text(out: Output) -> None:
        short = display.short()
        rows = [
            [
                line.item,
                exact(line.rate),
                str(line.tries),
                str(line.got),
                number(float(line.tries * line.rate), 4),
                *(percentage(chance, short) for chance in _parts(line.luck).values()),
                number(line.luck.percentile, 4),
                *display.effort_cells(line.tries),
            ]
            for line in lines
        ]
        parts = [f"chance of {name}" for name in _parts(overall)]
        columns = ["item", "rate", "tries", "got", "mean", *parts, "percentile"]
        out.table([*columns, *display.effort_columns], rows)
        out.line(f"all drops together: {_verdict(overall.luckier_than, display)}")
        out.line(f"every item with equal weight: {_verdict(equal_weight, display)}")

    return display.result(
        data | display.effort_fields(tries),
        text,
        convention=f"{_MIDP}; together: the total number of drops, an exact Poisson binomial; "
        "equal weight: Stouffer's mean of normal scores",
        curves=[_log_curve(lines)],
    )


def _log_curve(lines: list[LogLine]) -> Curve:
    percentiles = [line.luck.luckier_than for line in lines]
    return Curve(
        "share of players who are drier, line by line",
        "line",
        1,
        len(lines),
        lambda number: percentiles[number - 1],
    )


def _verdict(luckier_than: Chance, display: Display) -> str:
    """Say in words where a player stands."""
    drier = luckier_than.value < luckier_than.complement
    share = luckier_than.opposite if drier else luckier_than
    word = "drier" if drier else "luckier"
    return f"{word} than {percentage(share, display.short(4))} of players"


def _parts(luck: Luck) -> dict[str, Chance]:
    return {"fewer": luck.fewer, "equal": luck.equal, "more": luck.more}


def _line_data(line: LogLine) -> dict[str, object]:
    identity = {"item": line.item, "rate": str(line.rate), "tries": line.tries, "got": line.got}
    return identity | _luck_data(line.luck)


def _luck_data(luck: Luck) -> dict[str, object]:
    data: dict[str, object] = {}
    for name, chance in _parts(luck).items():
        fields = chance_fields(chance)
        data |= {name: fields["probability"], f"{name}_log10": fields["log10"]}
    return data | {"percentile": luck.percentile}
