"""`labkit drops set`: the whole set, item by item."""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.drops.chart import Curve
from labkit.cli.drops.format import chance_fields, exact, number, odds, percentage, tries_text
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
    from collections.abc import Sequence

    from labkit.cli.output import Output
    from labkit.drops.items import SetItem
    from labkit.drops.sets import SetLaw, SetTries, Table

_DEFAULT_CONFIDENCES = ("50%", "90%", "95%", "99%")
_MOST_ITEMS_SHOWN = 200
_FOLDED_FROM = 6
_CONVENTIONS = {
    "exclusive": "exclusive table: a try gives at most one item; --independent for the other kind",
    "independent": "independent table: every item is rolled for on every try",
    "protected": "no duplicates: every drop, at the total rate, is a piece still missing",
}


@tool.command(
    "labkit drops set helm=1/500 boots=1/500 ring=1/750 gem=1/750",
    "labkit drops set sword=2% shield=1% --need sword:2 --owned shield --tries 200",
    "labkit drops set --types 100 --tries 600",
    name="set",
)
def set_(
    items: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=RATE...", help="The items of the set.")
    ] = None,
    *,
    types: Annotated[
        str | None,
        typer.Option(
            "--types", metavar="K", help="Instead: K equally likely kinds, one with every try."
        ),
    ] = None,
    tries: Annotated[
        str | None, typer.Option("--tries", "-n", metavar="N", help="Tries you will make.")
    ] = None,
    need: Annotated[
        list[str] | None,
        typer.Option("--need", metavar="NAME:COUNT", help="Copies wanted of an item; else 1."),
    ] = None,
    owned: Annotated[
        list[str] | None,
        typer.Option("--owned", metavar="NAME[:COUNT]", help="An item you already own."),
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="A try gives at most one item (the default).")
    ] = False,
    independent: Annotated[
        bool, typer.Option("--independent", help="Every item is rolled for on every try.")
    ] = False,
    no_dupes: Annotated[
        bool, typer.Option("--no-dupes", help="Every drop is a piece you still miss.")
    ] = False,
    confidence: Confidences = None,
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Find the chance of a complete set and the tries it takes."""
    from labkit.drops.items import coupon_items, parse_set_items
    from labkit.drops.rates import parse_confidences, parse_tries
    from labkit.drops.sets import set_law

    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    if (types is None) == (not items):
        raise UsageError(
            "give the items of the set, or --types for equal ones",
            hint="labkit drops set helm=1/500 boots=1/500",
        )
    if types is None:
        wanted = parse_set_items(items or (), need or (), owned or ())
    else:
        wanted = coupon_items(types, need or (), owned or ())
    table = _table(exclusive=exclusive, independent=independent, no_dupes=no_dupes)
    law = set_law(wanted, table)
    ahead = None if tries is None else parse_tries(tries)
    levels = parse_confidences(confidence or _DEFAULT_CONFIDENCES)
    return _answer(law, ahead, [(level, law.tries_for(level)) for level in levels], display)


def _table(*, exclusive: bool, independent: bool, no_dupes: bool) -> Table:
    if exclusive + independent > 1:
        raise UsageError(
            "a table is either exclusive or independent", hint="give one of the two options"
        )
    if independent and no_dupes:
        raise UsageError(
            "--no-dupes needs an exclusive table",
            hint="without --independent, the rates add up to the chance of some piece",
        )
    if no_dupes:
        return "protected"
    return "independent" if independent else "exclusive"


def _answer(
    law: SetLaw, ahead: int | None, answers: list[tuple[Fraction, SetTries]], display: Display
) -> Result:
    from labkit.drops.items import expected_distinct

    mean, sd = law.moments
    data: dict[str, object] = {
        "table": law.table,
        "tries": ahead,
        "probability": None,
        "expected_tries": mean,
        "sd": sd,
        "fewest_tries": law.fewest,
        "results": [
            {
                "confidence": str(level),
                "tries": answer.tries,
                "chance": chance_fields(answer.chance)["probability"],
                "certified": answer.certified,
            }
            | display.effort_fields(answer.tries)
            for level, answer in answers
        ],
        "items": [_item_fields(item, law, ahead) for item in law.items],
    }
    if ahead is not None:
        data |= chance_fields(law.within(ahead))
        if law.table != "protected":
            data["expected_distinct"] = expected_distinct(law.items, ahead)

    def text(out: Output) -> None:
        _write(out, law, ahead, answers, display)

    marks = [answer.tries for _, answer in answers]
    curve = Curve(
        "chance of the complete set", "tries", 0, max([*marks, ahead or 0]), law.within, marks
    )
    return display.result(data, text, convention=_CONVENTIONS[law.table], curves=[curve])


def _item_fields(item: SetItem, law: SetLaw, ahead: int | None) -> dict[str, object]:
    """Return an item as fields; protected items come in no fixed order, so they have no odds."""
    fields: dict[str, object] = {
        "name": item.name,
        "rate": str(item.rate),
        "copies": item.copies,
        "owned": item.owned,
        "missing": item.missing,
    }
    if law.table != "protected":
        fields["expected_tries"] = float(item.missing / item.rate)
        if ahead is not None:
            fields["probability"] = chance_fields(item.within(ahead))["probability"]
    return fields


def _write(
    out: Output,
    law: SetLaw,
    ahead: int | None,
    answers: list[tuple[Fraction, SetTries]],
    display: Display,
) -> None:
    from labkit.drops.items import expected_distinct
    from labkit.drops.rates import percent

    if ahead is not None:
        chance = law.within(ahead)
        text = percentage(chance, display.long(10))
        out.line(f"the set is complete within {tries_text(ahead)}: {text} ({odds(chance)})")
        if law.table != "protected":
            seen = number(expected_distinct(law.items, ahead), display.short())
            out.line(f"different items among them: {seen} of {len(law.items)} on average")
    rows = [
        [
            percent(level),
            str(answer.tries) + ("" if answer.certified else " or next to it"),
            percentage(answer.chance, display.short()),
            *display.effort_cells(answer.tries),
        ]
        for level, answer in answers
    ]
    out.table(["confidence", "tries", "chance", *display.effort_columns], rows)
    mean, sd = (number(value, display.long(12)) for value in law.moments)
    out.line(f"expected tries {mean}, standard deviation {sd}")
    if len(_folded(law.items)) <= _MOST_ITEMS_SHOWN:
        _write_items(out, law, ahead, display)


def _folded(items: Sequence[SetItem]) -> list[tuple[str, SetItem]]:
    """Put neighbours that differ by name alone into one row, where they are many."""
    folded: list[tuple[str, SetItem]] = []
    for _, group in groupby(items, lambda item: (item.rate, item.missing)):
        same = list(group)
        if len(same) < _FOLDED_FROM:
            folded += [(item.name, item) for item in same]
        else:
            folded.append((f"{same[0].name} to {same[-1].name}, {len(same)} alike", same[0]))
    return folded


def _write_items(out: Output, law: SetLaw, ahead: int | None, display: Display) -> None:
    alone = law.table != "protected"
    columns = ["item", "rate", "missing"]
    columns += ["alone: mean tries"] * alone + [f"within {ahead}"] * (alone and ahead is not None)
    rows = []
    for names, item in _folded(law.items):
        row = [names, exact(item.rate), str(item.missing)]
        if alone:
            row.append(number(float(item.missing / item.rate), display.short()))
            if ahead is not None:
                row.append(percentage(item.within(ahead), display.short()))
        rows.append(row)
    out.table(columns, rows)
