"""PowerShell literals: the one place where a value of the user becomes text of a script.

PowerShell treats five characters as the single quote (U+0027 and U+2018 to U+201B), and Windows
PowerShell 5.1 reads a file without a byte order mark in the code page of the machine. Both
vanish when a literal is printable ASCII only: what lies outside is written as UTF-16 code units,
`('' + [char]0x2019 + 'Brien')`, and U+0027 alone is left to be doubled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["Data", "literal", "string_literal"]

Data = str | int | bool | None | Sequence["Data"] | Mapping[str, "Data"]
"""What a `$Plan` block can hold."""

_RUNS = re.compile(r"[\x20-\x7e]+|[^\x20-\x7e]")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_INT64_MAX = 2**63 - 1
_UINT64_MAX = 2**64 - 1
_INDENT = "    "


def string_literal(text: str) -> str:
    r"""Write `text` as an expression of printable ASCII that PowerShell evaluates to it.

    The expression begins with a string, because adding to a string always concatenates. A lone
    surrogate is kept as the one code unit that it is.

    >>> string_literal("O'Brien")
    "'O''Brien'"
    >>> string_literal("O\u2019Brien")
    "('O' + [char]0x2019 + 'Brien')"
    """
    parts: list[str] = []
    for run in _RUNS.findall(text):
        if " " <= run[0] <= "~":
            parts.append(_quoted(run))
        else:
            parts += [f"[char]0x{unit:04X}" for unit in _utf16_units(run)]
    if not parts or not parts[0].startswith("'"):
        parts.insert(0, "''")
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


def literal(value: Data, depth: int = 0) -> str:
    """Write `value` as a PowerShell expression: `$null`, Boolean, number, string, `@()`, `@{}`.

    A number beyond Int64 is cast, since PowerShell reads it as a Decimal otherwise. Lines end in
    a line feed; `depth` is how far the continuation lines are indented.

    Raises:
        ValueError: A key that is no bare word, or a number outside 0 to 2**64 - 1.
    """
    if value is None:
        return "$null"
    if isinstance(value, bool):
        return "$true" if value else "$false"
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, str):
        return string_literal(value)
    if isinstance(value, Mapping):
        return _table(value, depth)
    return _array(value, depth)


def _quoted(ascii_text: str) -> str:
    return "'" + ascii_text.replace("'", "''") + "'"


def _utf16_units(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _number(value: int) -> str:
    if not 0 <= value <= _UINT64_MAX:
        raise ValueError(f"{value} is no unsigned 64-bit number")
    return str(value) if value <= _INT64_MAX else f"[uint64]{value}"


def _table(table: Mapping[str, Data], depth: int) -> str:
    inner = _INDENT * (depth + 1)
    lines = []
    for key, value in table.items():
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key of a plan")
        lines.append(f"{inner}{key} = {literal(value, depth + 1)}\n")
    return "@{\n" + "".join(lines) + _INDENT * depth + "}" if lines else "@{}"


def _array(items: Sequence[Data], depth: int) -> str:
    if not items:
        return "@()"
    inner = _INDENT * (depth + 1)
    body = ",\n".join(inner + literal(item, depth + 1) for item in items)
    return "@(\n" + body + "\n" + _INDENT * depth + ")"
