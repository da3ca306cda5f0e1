"""`labkit drops table`: what a loot table gives, and how that moves with luck."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.drops.chart import Curve
from labkit.cli.drops.format import chance_fields, number, odds, percentage
from labkit.cli.drops.options import (
    Chart,
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
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from labkit.cli.output import Output
    from labkit.drops import Chance
    from labkit.drops.loot import LootTables, LuckRange, Opening

_MAX_POINTS = 1000
_MAX_LUCK = 10**12
_MAX_ROLLS = 10**12
_SWEEP = re.compile(r"(\d[\d_]*)(?:\.\.(\d[\d_]*)(?::(\d[\d_]*))?)?")


@tool.command(
    "labkit drops table boar.json --luck 0..5000:1000",
    "labkit drops table boar.csv --item RareHide --rolls 200",
)
def table(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A loot table in JSON or CSV, - for standard input."),
    ],
    *,
    luck: Annotated[
        str, typer.Option("--luck", "-l", metavar="A..B:STEP", help="Luck, or a sweep of it.")
    ] = "0",
    item: Annotated[
        list[str] | None, typer.Option("--item", metavar="NAME", help="Only this item; repeatable.")
    ] = None,
    rolls: Annotated[
        str, typer.Option("--rolls", "-n", metavar="R", help="How often the table is opened.")
    ] = "1",
    root: Annotated[
        str | None, typer.Option("--table", metavar="NAME", help="Which table of the file.")
    ] = None,
    level: Annotated[
        int | None, typer.Option("--level", min=0, help="The level, for tables that ask for it.")
    ] = None,
    shared_roll: Annotated[
        bool, typer.Option("--shared-roll", help="One roll for all lines of an AND table.")
    ] = False,
    first_roll: FirstRoll = "0",
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Show the chance of each item of a loot table."""
    from labkit.drops.loot import Opening
    from labkit.drops.rates import parse_count

    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    lucks = _parse_sweep(luck)
    openings = parse_count(rolls, "rolls", minimum=1, maximum=_MAX_ROLLS)
    loot = _read(file)
    opening = Opening(loot, root, first_roll=int(first_roll), shared_roll=shared_roll, level=level)
    items = _chosen(opening, item or [])
    conventions = _conventions(int(first_roll), loot.notes, shared_roll=shared_roll)
    return _show(opening, items, lucks, openings, conventions, display)


def _read(file: Path) -> LootTables:
    from labkit.drops.loot_files import parse_loot, read_loot

    if file == Path():  # also what an empty argument becomes
        raise UsageError("no loot table was named", hint="name a file, or - for standard input")
    if str(file) == "-":
        return parse_loot(sys.stdin.buffer.read(), "standard input")
    return read_loot(file)


def _show(
    opening: Opening,
    items: Sequence[str],
    lucks: range,
    openings: int,
    conventions: Sequence[str],
    display: Display,
) -> Result:
    chances = {
        (name, luck): _chance(opening, name, luck, openings) for name in items for luck in lucks
    }
    ranges = {name: opening.possible_luck(name) for name in items}
    data: dict[str, object] = {
        "table": opening.root,
        "rolls": openings,
        "luck": lucks[0],
        "items": [
            _item_data(opening, name, lucks[0], openings, chances[name, lucks[0]], ranges[name])
            for name in items
        ],
        **display.effort_fields(openings),
    }
    if len(lucks) > 1:
        data["sweep"] = [
            {
                "luck": luck,
                "items": [{"name": name} | chance_fields(chances[name, luck]) for name in items],
            }
            for luck in lucks
        ]

    def text(out: Output) -> None:
        often = "" if openings == 1 else f", opened {openings} times"
        out.line(out.style(f"table {opening.root}{often}", "heading"))
        if len(lucks) > 1:
            _write_sweep(out, items, lucks, chances, display.short())
        else:
            amounts = {name: openings * opening.mean_amount(name, lucks[0]) for name in items}
            _write_items(out, {n: chances[n, lucks[0]] for n in items}, amounts, ranges, display)
        for name in items:
            impossible = any(chances[name, luck].impossible for luck in lucks)
            if impossible and ranges[name] and lucks[0] < ranges[name][0].first:
                out.line(f"{name} is impossible below luck {ranges[name][0].first}")
        columns, cells = display.effort_columns, display.effort_cells(openings)
        out.fields(dict(zip(columns, cells, strict=True)))

    curves = [_curve(opening, name, lucks, openings) for name in items]
    return display.result(data, text, convention="; ".join(conventions), curves=curves)


def _write_sweep(
    out: Output,
    items: Sequence[str],
    lucks: range,
    chances: Mapping[tuple[str, int], Chance],
    digits: int,
) -> None:
    rows = [
        [str(luck), *(percentage(chances[name, luck], digits) for name in items)] for luck in lucks
    ]
    out.table(["luck", *items], rows)


def _write_items(
    out: Output,
    chances: Mapping[str, Chance],
    amounts: Mapping[str, Fraction],
    ranges: Mapping[str, Sequence[LuckRange]],
    display: Display,
) -> None:
    digits = display.short()
    rows = [
        [
            name,
            percentage(chance, digits),
            odds(chance, digits),
            number(float(amounts[name]), digits),
            _range_text(ranges[name]),
        ]
        for name, chance in chances.items()
    ]
    out.table(["item", "chance", "odds", "mean amount", "possible with luck"], rows)


def _curve(opening: Opening, name: str, lucks: range, openings: int) -> Curve:
    """Draw the sweep; without one, from no luck to twice the luck given."""
    first, last = (lucks[0], lucks[-1]) if len(lucks) > 1 else (0, max(2 * lucks[0], 10_000))
    return Curve(
        f"chance of {name}",
        "luck",
        first,
        last,
        lambda luck: _chance(opening, name, luck, openings),
    )


def _chance(opening: Opening, name: str, luck: int, openings: int) -> Chance:
    """Return the chance of at least one of the item in so many openings."""
    from labkit.drops.binomial import at_least

    return at_least(1, openings, opening.chance(name, luck))


def _item_data(
    opening: Opening,
    name: str,
    luck: int,
    openings: int,
    chance: Chance,
    ranges: Sequence[LuckRange],
) -> dict[str, object]:
    return {
        "name": name,
        **chance_fields(chance),
        "exact_per_roll": str(opening.chance(name, luck)),
        "mean_amount": float(openings * opening.mean_amount(name, luck)),
        "possible_luck": [{"first": r.first, "last": r.last} for r in ranges],
    }


def _chosen(opening: Opening, wanted: Sequence[str]) -> list[str]:
    if not wanted:
        return opening.items
    for name in wanted:
        if name not in opening.items:
            from difflib import get_close_matches

            close = get_close_matches(name, opening.items)
            raise UsageError(
                f"table `{opening.root}` gives no `{name}`",
                hint=f"did you mean {close[0]}?" if close else "leave --item out to see all items",
                code="no-such-item",
            )
    return list(dict.fromkeys(wanted))


def _parse_sweep(text: str) -> range:
    """Read `2000`, `0..5000` or `0..5000:500`."""
    from labkit.drops.errors import LimitError
    from labkit.drops.rates import parse_count

    match = _SWEEP.fullmatch(text.strip())
    if not match:
        raise UsageError(
            f"`{text[:60]}` is no luck", hint="write 2000, or a sweep 0..5000:500", code="bad-luck"
        )
    first = parse_count(match[1], "luck", maximum=_MAX_LUCK)
    last = first if match[2] is None else parse_count(match[2], "luck", maximum=_MAX_LUCK)
    if last < first:
        raise UsageError(f"the sweep {text} is empty", hint="write it as 0..5000:500")
    default = max((last - first) // 10, 1)
    step = (
        default
        if match[3] is None
        else parse_count(match[3], "step of luck", minimum=1, maximum=_MAX_LUCK)
    )
    if (last - first) // step >= _MAX_POINTS:
        raise LimitError(
            f"the sweep {text} has too many steps", hint=f"at most {_MAX_POINTS}; widen the step"
        )
    return range(first, last + 1, step)


def _conventions(first_roll: int, notes: Sequence[str], *, shared_roll: bool) -> list[str]:
    lines = "share one roll" if shared_roll else "roll each by itself"
    return [
        f"rolls begin at {first_roll}",
        f"the lines of an AND table {lines}",
        "an item counts once it drops at all",
        *notes,
    ]


def _range_text(ranges: Sequence[LuckRange]) -> str:
    parts = [f"{r.first}+" if r.last is None else f"{r.first}..{r.last}" for r in ranges]
    return ", ".join(parts) or "never"
