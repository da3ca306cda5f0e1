"""`labkit drops need`: how many tries a confidence takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    percentage,
    proof,
    tries_text,
)
from labkit.cli.drops.options import (
    Chart,
    Confidences,
    Cost,
    Digits,
    Display,
    Each,
    MagicFind,
    PerHour,
    Plot,
    Rate,
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
    from labkit.drops.tries import MinimumTries

_DEFAULT_CONFIDENCES = ("50%", "90%", "95%", "99%")


@tool.command(
    "labkit drops need 1/5000",
    "labkit drops need 5% --drops 200 --confidence 95%",
    "labkit drops need 0.1% --each 3-8 --total 20",
)
def need(
    rate: Rate,
    *,
    drops: Annotated[
        str | None, typer.Option("--drops", "-k", metavar="K", help="How many drops you want.")
    ] = None,
    confidence: Confidences = None,
    tried: Annotated[
        str | None, typer.Option("--tried", metavar="N", help="Tries you have already made.")
    ] = None,
    got: Annotated[
        str | None, typer.Option("--got", metavar="X", help="Drops those tries gave you.")
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
    """Find how many tries the drops take, for a confidence."""
    from labkit.drops.rates import MAX_DROPS, parse_confidences, parse_count, parse_rate

    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    p = adjusted_rate(parse_rate(rate), rolls, magic_find)
    levels = parse_confidences(confidence or _DEFAULT_CONFIDENCES)
    if each is not None or total is not None:
        if drops is not None or got is not None:
            raise UsageError(
                "--total counts amounts, --drops and --got count drops",
                hint="ask for one of the two",
            )
        question = _of_quantity(p, *parse_quantity(each, total))
    else:
        wanted = parse_count(drops or "1", "drops", minimum=1, maximum=MAX_DROPS)
        have = parse_count(got or "0", "got")
        if have >= wanted:
            raise UsageError(
                f"you have the {drops_text(wanted)} that you ask for",
                hint="raise --drops, which counts those that you have too: "
                f"--drops {have + 1} asks for one more",
                code="bad-drops",
            )
        question = _of_drops(p, wanted, have)
    history = _History.parse(p, tried, got)
    return _answer(p, question, levels, history, display)


@dataclass(frozen=True)
class _Question:
    """What is asked for, in words and as functions."""

    wanted: str
    fields: dict[str, object]
    minimum: Callable[[Fraction], MinimumTries]
    at: Callable[[int], Chance]
    mean: float
    sd: float


@dataclass(frozen=True)
class _History:
    """The tries already made; they change nothing about those that come."""

    tried: int
    got: int
    luck: Chance | None

    @classmethod
    def parse(cls, rate: Fraction, tried: str | None, got: str | None) -> _History:
        from labkit.drops.binomial import at_most
        from labkit.drops.rates import parse_count, parse_tries, what_cannot_come

        made = parse_tries(tried or "0")
        drops = parse_count(got or "0", "got")
        if drops > made:
            raise UsageError(what_cannot_come(drops, made), hint="give --tried with --got")
        return cls(made, drops, at_most(drops, made, rate) if made else None)


def _of_drops(rate: Fraction, wanted: int, got: int) -> _Question:
    from labkit.drops.api import mean_tries, sd_tries
    from labkit.drops.binomial import at_least
    from labkit.drops.tries import minimum_tries

    missing = wanted - got
    return _Question(
        f"at least {drops_text(missing)}{' more' if got else ''}",
        {"drops": missing},
        lambda level: minimum_tries(rate, missing, level),
        lambda tries: at_least(missing, tries, rate),
        mean_tries(rate, missing),
        sd_tries(rate, missing),
    )


def _of_quantity(rate: Fraction, amount: Amount, total: int) -> _Question:
    from labkit.drops.quantities import QuantityQuestion

    question = QuantityQuestion(rate, amount, total)
    return _Question(
        f"a total of at least {total}, {amount} a drop",
        {"each": amount.spec, "total": total},
        question.minimum_tries,
        question.chance,
        question.mean,
        question.sd,
    )


def _answer(
    rate: Fraction,
    question: _Question,
    levels: Sequence[Fraction],
    history: _History,
    display: Display,
) -> Result:
    from labkit.drops.rates import percent

    answers = [(level, question.minimum(level)) for level in levels]
    median = question.minimum(Fraction(1, 2)).tries
    data: dict[str, object] = {
        "rate": str(rate),
        **question.fields,
        "results": [_row_data(level, answer, history, display) for level, answer in answers],
        "mean": question.mean,
        "sd": question.sd,
        "median": median,
        "certified": True,
    }
    if history.luck is not None:
        data["tried"] = history.tried
        data["got"] = history.got
        data["chance_of_so_few"] = chance_fields(history.luck)

    def text(out: Output) -> None:
        short = display.short()
        heading = f"{question.wanted}, {exact(rate)} per try"
        out.line(out.style(heading, "heading"))
        rows = [
            [
                percent(level),
                str(answer.tries),
                *proof(level, answer.chance, answer.chance_one_fewer, display.digits),
                *([str(history.tried + answer.tries)] if history.tried else []),
                *display.effort_cells(answer.tries),
            ]
            for level, answer in answers
        ]
        total = ["with those made"] if history.tried else []
        columns = ["confidence", "tries", "chance", "one try fewer", *total]
        out.table([*columns, *display.effort_columns], rows)
        mean, sd = (number(value, display.long(12)) for value in (question.mean, question.sd))
        out.line(f"mean {mean} tries, standard deviation {sd}, median {median}")
        if history.luck is not None:
            so_few = percentage(history.luck, short)
            out.line(
                f"so few drops in {tries_text(history.tried)}: {so_few}; what comes is not affected"
            )

    return display.result(
        data,
        text,
        convention="independent tries; the exact minimum, a tie counts as reached",
        curves=[_curve(question, [answer.tries for _, answer in answers])],
    )


def _curve(question: _Question, tries: Sequence[int]) -> Curve:
    title = f"chance of {question.wanted}"
    return Curve(title, "tries", 0, max(tries), question.at, marks=tries)


def _row_data(
    level: Fraction, answer: MinimumTries, history: _History, display: Display
) -> dict[str, object]:
    chance, one_fewer = chance_fields(answer.chance), chance_fields(answer.chance_one_fewer)
    row: dict[str, object] = {
        "confidence": str(level),
        "tries": answer.tries,
        "chance": chance["probability"],
        "chance_one_fewer": one_fewer["probability"],
        "complement": chance["complement"],
        "complement_one_fewer": one_fewer["complement"],
    }
    if history.tried:
        row["total_tries"] = history.tried + answer.tries
    return row | display.effort_fields(answer.tries)
