"""Reading loot tables: labkit's own JSON and CSV, and New World's datasheets in either.

What is wrong in a file is said with the place: the line, or the table and its line.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from labkit.drops.loot import Line, LootTables, Table
from labkit.drops.quantities import Amount
from labkit.drops.rates import parse_number, parse_rate
from labkit.errors import InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.drops.loot import Measure, Rule

__all__ = ["parse_loot", "read_loot"]

_MEASURES: tuple[Measure, ...] = ("threshold", "weight", "rate")
_TABLE_KEYS = {"roll", "die", "luck_safe", "lines", "name"}
_LINE_KEYS = {"item", "table", "quantity", *_MEASURES}
_CSV_COLUMNS = {"table", "roll", "die", "luck_safe", "item", "then", "quantity", *_MEASURES}
_HINT = "docs/drops.md shows how a loot table is written"
_RANGE = re.compile(r"(\d{1,9})(?:\s*(?:-|\.\.)\s*(\d{1,9}))?")
_ID_COLUMN = "LootTableID"
_REFERENCE = "[LTID]"
_LEVEL_CONDITIONS = {"Level", "EnemyLevel", "MinPOIContLevel"}
_LUCK_DIE = 100_000
_MAX_DEPTH = 50
_MAX_THRESHOLD = 10**12


def read_loot(path: Path) -> LootTables:
    """Read loot tables from a `.csv` file, or from JSON of either form.

    Raises:
        InputError: The file cannot be read, is malformed, names a table that it lacks, or its
            tables lead in a circle.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror}", hint=_HINT) from error
    return parse_loot(content, f"`{path}`", as_csv=path.suffix.lower() == ".csv")


def parse_loot(content: bytes, source: str, *, as_csv: bool | None = None) -> LootTables:
    """Read loot tables from what a file holds.

    Args:
        content: The tables as UTF-8 text.
        source: What messages call it.
        as_csv: Whether it is CSV; None where only the content can tell.

    Raises:
        InputError: As for `read_loot`.
    """
    try:
        text = content.decode("utf-8-sig")
        if as_csv is None:
            as_csv = not text.lstrip().startswith(("{", "["))
        loot = _read_csv(text) if as_csv else _read_json(_load_json(text))
        _check_references(loot)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} cannot be read: it is not UTF-8 text", hint=_HINT, code="bad-loot-table"
        ) from error
    except InputError as error:
        message = f"{source}, {error.message}"
        raise InputError(message, hint=error.hint, code=error.code) from error
    return loot


def _fail(where: str, what: str) -> InputError:
    return InputError(f"{where}: {what}", hint=_HINT, code="bad-loot-table")


def _load_json(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _fail(where, f"this is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise _fail("the file", "it is nested too deeply") from error


# -- labkit's JSON


def _read_json(document: object) -> LootTables:
    """Read one table with those it names among `tables`, a library of tables, or a datasheet."""
    if isinstance(document, list):
        return _read_datasheet(document)
    if not isinstance(document, Mapping):
        raise _fail("the file", "it is neither a table nor a list of datasheet rows")
    found: dict[str, Table] = {}
    if "tables" not in document:
        return LootTables(found, _add_json_root(found, document))
    tables = document["tables"]
    if not isinstance(tables, Mapping) or not tables:
        raise _fail("`tables`", "it must be an object with a table under each name")
    for name, table in tables.items():
        _add_json_table(found, str(name), table, 0)
    own = {key: value for key, value in document.items() if key != "tables"}
    if "lines" in own:
        return LootTables(found, _add_json_root(found, own))
    _check_keys("beside `tables`", own, {"root"} if "root" in own else {"root", "lines"})
    root = own.get("root", next(iter(tables)))
    if root not in found:
        raise _fail("`root`", f"there is no table `{root}`")
    return LootTables(found, str(root))


def _add_json_root(found: dict[str, Table], table: Mapping[str, object]) -> str:
    """Add the table that the document itself is, and return its name."""
    name = str(table.get("name", "table"))
    _add_json_table(found, name, table, 0)
    return name


def _add_json_table(found: dict[str, Table], name: str, table: object, depth: int) -> None:
    where = f"table `{name}`"
    if not isinstance(table, Mapping):
        raise _fail(where, "it must be an object")
    if depth > _MAX_DEPTH:
        raise _fail(where, f"it is nested more than {_MAX_DEPTH} deep")
    _check_keys(where, table, _TABLE_KEYS)
    rows = table.get("lines")
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        raise _fail(where, "`lines` must be a list with at least one line")
    luck_safe = table.get("luck_safe", False)
    if not isinstance(luck_safe, bool):
        raise _fail(where, "`luck_safe` must be true or false")
    lines = []
    for number, row in enumerate(rows, 1):
        place = f"{where}, line {number}"
        if not isinstance(row, Mapping):
            raise _fail(place, "it must be an object")
        _check_keys(place, row, _LINE_KEYS)
        cells = dict(row)
        inner = cells.pop("table", None)
        if isinstance(inner, Mapping):
            inner_name = f"{name}/{number}"
            _add_json_table(found, inner_name, inner, depth + 1)
            inner = inner_name
        lines.append(_line(place, cells, inner))
    if name in found:
        raise _fail(where, "there are two tables of that name")
    found[name] = _table(where, name, table, lines, luck_safe=luck_safe)


def _check_keys(where: str, given: Mapping[Any, Any], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise _fail(where, f"`{key}` is unknown; known are {', '.join(sorted(known))}")


# -- CSV


def _read_csv(text: str) -> LootTables:
    lines = text.splitlines()
    rows = csv.reader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
    try:
        numbered = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise _fail(f"line {rows.line_num}", str(error)) from error
    if len(numbered) < 2:  # noqa: PLR2004 - a heading and a line
        raise _fail("the file", "it needs a line of column names and at least one line below")
    headings = [cell.strip() for cell in numbered[0][1]]
    if _ID_COLUMN in headings:
        return _read_datasheet([_cells(headings, *line) for line in numbered[1:]])
    names = [heading.lower() for heading in headings]
    _check_keys("line 1", dict.fromkeys(names), _CSV_COLUMNS)
    settings: dict[str, dict[str, str]] = {}
    lines_of: dict[str, list[tuple[Line, Measure]]] = {}
    for number, row in numbered[1:]:
        where = f"line {number}"
        cells = _cells(names, number, row)
        name = cells.pop("table", "table")
        for key in ("roll", "die", "luck_safe"):
            if (value := cells.pop(key, None)) is not None:
                before = settings.setdefault(name, {}).setdefault(key, value)
                if before != value:
                    raise _fail(where, f"`{key}` of table `{name}` was {before} before")
        lines_of.setdefault(name, []).append(_line(where, cells, cells.pop("then", None)))
    found = {}
    for name, parsed in lines_of.items():
        given = settings.get(name, {})
        safe = given.get("luck_safe", "no").lower() in {"yes", "true", "1"}
        found[name] = _table(f"table `{name}`", name, given, parsed, luck_safe=safe)
    return LootTables(found, next(iter(found)))


def _cells(names: Sequence[str], number: int, row: Sequence[str]) -> dict[str, str]:
    """Return the cells of a row that are not empty, by the names of their columns."""
    if len(row) != len(names):
        raise _fail(f"line {number}", f"{len(row)} cells instead of {len(names)}")
    return {name: cell.strip() for name, cell in zip(names, row, strict=True) if cell.strip()}


# -- what both have in common


def _line(where: str, cells: Mapping[str, object], inner: object) -> tuple[Line, Measure]:
    item = cells.get("item")
    if item is not None and inner is not None:
        raise _fail(where, "it has both an item and a table")
    for value, what in ((item, "item"), (inner, "table")):
        if value is not None and not isinstance(value, str):
            raise _fail(where, f"`{what}` must be a name")
    measures = [measure for measure in _MEASURES if measure in cells]
    if len(measures) != 1:
        raise _fail(
            where, f"it needs one of {', '.join(_MEASURES)}; a threshold of 0 is always reached"
        )
    if inner is not None and "quantity" in cells:
        raise _fail(where, "a quantity goes with an item, not with a table")
    amount = _amount(where, cells.get("quantity", 1))
    number = _number(where, measures[0], cells[measures[0]])
    return Line(cast("str | None", item), cast("str | None", inner), number, amount), measures[0]


def _number(where: str, measure: Measure, value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise _fail(where, f"`{measure}` must be a number")
    try:
        if measure == "rate":
            return parse_rate(value, zero=True)
        number = parse_number(str(value))
    except UsageError as error:
        raise _fail(where, error.message) from error
    if number is None or number < 0:
        raise _fail(where, f"`{measure}` is `{value}`, which is no number from 0 up")
    if measure == "threshold" and (number.denominator != 1 or number > _MAX_THRESHOLD):
        raise _fail(where, f"a threshold is a whole number up to {_MAX_THRESHOLD}, not {value}")
    return number


def _amount(where: str, value: object) -> Amount:
    match = _RANGE.fullmatch(str(value).strip())
    if not match:
        raise _fail(where, f"the quantity `{value}` is neither a number nor a range such as 3-8")
    low, high = int(match[1]), int(match[2] or match[1])
    if high < low:
        raise _fail(where, f"the quantity {value} is empty")
    return Amount(low, high)


def _table(
    where: str,
    name: str,
    settings: Mapping[str, object],
    parsed: Sequence[tuple[Line, Measure]],
    *,
    luck_safe: bool,
) -> Table:
    rule = settings.get("roll", "or")
    if not isinstance(rule, str) or rule.lower() not in {"and", "or"}:
        raise _fail(where, f"`roll` is `{rule}`, which is neither `and` nor `or`")
    measures = {measure for _, measure in parsed}
    if len(measures) > 1:
        raise _fail(where, f"its lines mix {' and '.join(sorted(measures))}")
    measure = measures.pop()
    lines = tuple(line for line, _ in parsed)
    die = settings.get("die")
    faces = 0
    if measure == "threshold":
        faces = _faces(where, die)
    elif die is not None:
        raise _fail(where, f"a die goes with thresholds, not with a {measure}")
    total = sum(line.number for line in lines)
    if measure == "weight" and (rule.lower() == "and" or total == 0):
        raise _fail(where, "weights choose one line: the roll must be `or`, their sum above 0")
    if measure == "rate" and rule.lower() == "or" and total > 1:
        raise _fail(where, f"the rates of lines that exclude each other add up to {total}, above 1")
    return Table(name, cast("Rule", rule.lower()), measure, lines, faces, luck_safe)


def _faces(where: str, die: object) -> int:
    if die is None:
        return _LUCK_DIE
    text = str(die)
    if isinstance(die, bool) or not text.isdecimal() or not 0 < int(text[:13]) <= _MAX_THRESHOLD:
        raise _fail(where, f"`die` is `{die}`, which is no number of faces")
    return int(text)


# -- New World datasheets


def _read_datasheet(rows: Sequence[object]) -> LootTables:
    """Read rows of `NAME`, `NAME_Probs` and `NAME_Qty` that share the columns Item1, Item2, ..."""
    named: dict[str, Mapping[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping) or not isinstance(row.get(_ID_COLUMN), str):
            raise _fail(f"row {number}", f"it is no datasheet row: `{_ID_COLUMN}` is missing")
        named[row[_ID_COLUMN]] = row
    found, small = {}, False
    for name, row in named.items():
        if name.endswith(("_Probs", "_Qty")):
            continue
        table = _datasheet_table(name, row, named.get(f"{name}_Probs"), named.get(f"{name}_Qty"))
        if table is None:
            continue
        found[name] = table
        small = small or 0 < table.faces < _LUCK_DIE
    if not found:
        raise _fail("the file", "it holds no table")
    notes = ["amounts are uniform in their range", "a bucket counts as one item"]
    if small:
        notes.append(f"luck is not applied to dice below {_LUCK_DIE}: its scale is unknown there")
    return LootTables(found, next(iter(found)), tuple(notes))


def _datasheet_table(
    name: str,
    row: Mapping[str, Any],
    probabilities: Mapping[str, Any] | None,
    quantities: Mapping[str, Any] | None,
) -> Table | None:
    """Make one table of its rows; None where it has no lines."""
    where = f"table `{name}`"
    columns = sorted(
        (key for key in row if re.fullmatch(r"Item\d+", key) and row[key]),
        key=lambda key: int(key[4:]),
    )
    if not columns:
        return None
    if probabilities is None:
        raise _fail(where, f"the row `{name}_Probs` is missing")
    rule = str(row.get("AND/OR", "OR")).upper()
    if rule not in {"AND", "OR"}:
        raise _fail(where, f"`AND/OR` is `{rule}`")
    faces = _datasheet_number(where, "MaxRoll", probabilities.get("MaxRoll", 0))
    conditions = re.split(r"[^A-Za-z]+", str(row.get("Conditions", "")))
    by_level = bool(_LEVEL_CONDITIONS.intersection(conditions))
    lines = []
    for column in columns:
        entry = str(row[column])
        number = _datasheet_number(where, column, probabilities.get(column) or 0)
        amount = _amount(f"{where}, {column}", (quantities or {}).get(column) or 1)
        if entry.startswith(_REFERENCE):
            lines.append(Line(None, entry.removeprefix(_REFERENCE), Fraction(number), amount))
        else:
            lines.append(Line(entry, None, Fraction(number), amount))
    unclear = not faces and not by_level and any(line.number for line in lines)
    luck_safe = str(row.get("LuckSafe", "")).upper() == "TRUE" or faces < _LUCK_DIE
    return Table(
        name,
        cast("Rule", rule.lower()),
        "threshold",
        tuple(lines),
        faces,
        luck_safe=luck_safe,
        by_level=by_level,
        problem="it has thresholds but no die (MaxRoll 0)" if unclear else None,
    )


def _datasheet_number(where: str, column: str, value: object) -> int:
    try:
        number = parse_number(str(value))
    except UsageError as error:
        raise _fail(where, error.message) from error
    if number is None or number.denominator != 1 or not 0 <= number <= _MAX_THRESHOLD:
        raise _fail(where, f"`{column}` is `{value}`, which is no whole number from 0 up")
    return int(number)


# -- references


def _check_references(loot: LootTables) -> None:
    """Refuse lines that lead to unknown tables, and tables that lead back to themselves."""
    done: set[str] = set()
    for name in loot.tables:
        _visit(loot.tables, name, [], done)


def _visit(tables: Mapping[str, Table], name: str, path: Sequence[str], done: set[str]) -> None:
    if name in path:
        circle = " -> ".join([*path[path.index(name) :], name])
        raise _fail(f"table `{name}`", f"it leads back to itself: {circle}")
    if name in done:
        return
    if len(path) > _MAX_DEPTH:
        raise _fail(f"table `{path[0]}`", f"it leads more than {_MAX_DEPTH} tables deep")
    for number, line in enumerate(tables[name].lines, 1):
        if line.table is None:
            continue
        if line.table not in tables:
            raise _fail(f"table `{name}`, line {number}", f"there is no table `{line.table}`")
        _visit(tables, line.table, [*path, name], done)
    done.add(name)
