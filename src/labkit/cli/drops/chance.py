"""`labkit drops chance`: how likely a number of drops is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
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
    probability,
    tries_text,
)
from labkit.cli.drops.options import (
    Chart,
    Cost,
    Digits,
    Display,
    Each,
    MagicFind,
    PerHour,
    Plot,
    Rolls,
    Total,
    adjusted_rate,
    parse_quantity,
)
from labkit.cli.drops.tool import drops as tool
from labkit.cli.frame import Result
from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.cli.output import Output
    from labkit.drops import Chance
    from labkit.drops.quantities import Amount
    from labkit.drops.rates import DropSpec


@dataclass(frozen=True)
class _Answer:
    """A probability, with what it is of and how it moves."""

    wanted: str
    origin: str
    chance: Chance
    mean: float
    mean_field: str
    tries: int
    fields: dict[str, object]
    curve: Curve
    convention: str


@tool.command(
    "labkit drops chance 1/5000 --tries 1000",
    "labkit drops chance 1/12 --tries 40 --drops 4+",
    "labkit drops chance 40@1/120 60@1/50 --drops 3+",
)
def chance(
    rates: Annotated[
        list[str],
        typer.Argument(metavar="RATE...", help="A rate (with --tries), or sources as 40@1/120."),
    ],
    *,
    tries: Annotated[
        str | None, typer.Option("--tries", "-n", metavar="N", help="How many tries.")
    ] = None,
    drops: Annotated[
        str | None,
        typer.Option("--drops", "-k", metavar="SPEC", help="4 exactly, 4+, 4- or 2..5; [1+]."),
    ] = None,
    each: Each = None,
    total: Total = None,
    rolls: Rolls = None,
    magic_find: MagicFind = None,
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Say how likely a number of drops is after some tries."""
    from labkit.drops.rates import parse_drop_spec, parse_rate, parse_tries

    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    spec = parse_drop_spec(drops or "1+")
    quantity = parse_quantity(each, total) if each is not None or total is not None else None
    if quantity is not None and drops is not None:
        raise UsageError("--total counts amounts, --drops counts drops", hint="ask for one")
    if any("@" in rate for rate in rates):
        if tries is not None or quantity is not None or rolls or magic_find:
            raise UsageError(
                "sources say their own tries, and go with --drops only",
                hint="write 40@1/120 60@1/50 --drops 3+",
            )
        return _show(_of_sources(rates, spec), display)
    if len(rates) > 1:
        raise UsageError(
            "several rates need the tries of each", hint="write sources as 40@1/120 60@1/50"
        )
    if tries is None:
        raise UsageError("how many tries?", hint="add --tries N")
    rate = adjusted_rate(parse_rate(rates[0]), rolls, magic_find)
    made = parse_tries(tries)
    if quantity is not None:
        return _show(_of_quantity(rate, made, *quantity), display)
    _check_possible(spec, made)
    return _show(_of_drops(rate, made, spec), display)


def _of_drops(rate: Fraction, tries: int, spec: DropSpec) -> _Answer:
    from labkit.drops.binomial import within

    return _Answer(
        drops_text(spec),
        f"{tries_text(tries)} at {exact(rate)}",
        within(spec, tries, rate),
        float(tries * rate),
        "mean_drops",
        tries,
        {"rate": str(rate), "tries": tries, "drops": spec.spec},
        _curve(f"chance of {drops_text(spec)}", tries, lambda n: within(spec, n, rate)),
        "independent tries",
    )


def _of_quantity(rate: Fraction, tries: int, amount: Amount, total: int) -> _Answer:
    from labkit.drops.quantities import QuantityQuestion

    question = QuantityQuestion(rate, amount, total)
    return _Answer(
        f"a total of at least {total}",
        f"{tries_text(tries)} at {exact(rate)}, {amount} a drop",
        question.chance(tries),
        float(tries * rate * (amount.low + amount.high) / 2),
        "mean_total",
        tries,
        {"rate": str(rate), "tries": tries, "each": amount.spec, "total": total},
        _curve(f"chance of a total of at least {total}", tries, question.chance),
        "independent tries, amounts uniform in their range",
    )


def _of_sources(texts: list[str], spec: DropSpec) -> _Answer:
    from labkit.drops.sources import Mixture, parse_source

    sources = [parse_source(text) for text in texts]
    mixture = Mixture(sources)
    tries = sum(source.tries for source in sources)
    _check_possible(spec, tries)
    last = min(tries, int(mixture.mean) + 6 * int(mixture.variance**0.5 + 1))
    return _Answer(
        drops_text(spec),
        f"{tries_text(tries)} from {len(sources)} source{'s' * (len(sources) > 1)}",
        mixture.within(spec),
        float(mixture.mean),
        "mean_drops",
        tries,
        {
            "sources": [{"tries": s.tries, "rate": str(s.rate)} for s in sources],
            "drops": spec.spec,
        },
        Curve("chance of so many drops or more", "drops", 0, last, mixture.at_least),
        "independent tries, exact Poisson binomial",
    )


def _check_possible(spec: DropSpec, tries: int) -> None:
    from labkit.drops.rates import what_cannot_come

    if spec.low > tries:
        raise UsageError(
            what_cannot_come(spec.low, tries),
            hint="a try gives one drop at most; see --rolls and --each",
            code="bad-drops",
        )


def _curve(title: str, tries: int, at: Callable[[int], Chance]) -> Curve:
    return Curve(title, "tries", 0, max(2 * tries, 1), at, marks=[tries])


def _show(answer: _Answer, display: Display) -> Result:
    data: dict[str, object] = answer.fields | chance_fields(answer.chance)
    data |= {answer.mean_field: answer.mean} | display.effort_fields(answer.tries)

    def text(out: Output) -> None:
        out.line(out.style(f"{answer.wanted} from {answer.origin}", "heading"))
        fields = {
            "probability": probability(answer.chance, display.long()),
            "that is": f"{percentage(answer.chance, display.short())}, "
            f"{odds(answer.chance, display.short())}",
            "otherwise": probability(answer.chance.opposite, display.long()),
            "mean": number(answer.mean, display.long(12)),
        }
        columns, cells = display.effort_columns, display.effort_cells(answer.tries)
        out.fields(fields | dict(zip(columns, cells, strict=True)))

    return display.result(data, text, convention=answer.convention, curves=[answer.curve])
