"""Reader of what PowerShell prints for objects: `Format-List` blocks and the table of `Get-VM`.

A value longer than the console is wide goes on in the next line, broken at any character; the rest
is indented to the value's column, or not at all after some pastes. Blank lines stand between
objects and sometimes within one. So an object ends where one of its labels comes again.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.gpupv.partition import MAX_TOTAL

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["parse_flag", "parse_listing", "parse_number"]

_LABEL = re.compile(r"(?P<label>[A-Za-z_]\w*) *:(?: (?P<value>.*))?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}|[0-9]{1,3}(?:,[0-9]{3}){1,6}", re.ASCII)
_RULE = re.compile(r"\s*-+(?:\s+-+)+\s*")


def parse_listing(text: str) -> list[dict[str, str]]:
    """Read every object of a paste, as label -> value; an empty value means "not set".

    Lines before the first label, such as the command that was typed, are passed over. Labels keep
    their case.
    """
    lines = text.replace("\r\n", "\n").replace("\ufeff", "").split("\n")
    return [*_list_objects(lines), *_table_objects(lines)]


def parse_number(text: str, label: str) -> int | None:
    """Read a number up to 2**64 - 1, with or without thousands commas; None where it is not set.

    Raises:
        InputError: It is another thing.
    """
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or (value := int(text.replace(",", ""))) > MAX_TOTAL:
        raise InputError(
            f"{label} is no whole number below 2**64: {text[:60]!a}",
            hint="paste the listing as PowerShell printed it",
        )
    return value


def parse_flag(text: str, label: str) -> bool | None:
    """Read `True` or `False`; None where it is not set.

    Raises:
        InputError: It is another thing.
    """
    if not text:
        return None
    if text.lower() not in {"true", "false"}:
        raise InputError(f"{label} is neither True nor False: {text[:60]!a}")
    return text.lower() == "true"


def _list_objects(lines: list[str]) -> Iterator[dict[str, str]]:
    current: dict[str, str] = {}
    label, column = "", -1
    in_table = False
    for line in lines:
        in_table = bool(line.strip()) and (in_table or bool(_RULE.fullmatch(line)))
        if in_table:
            continue
        match = _LABEL.match(line.strip()) if _starts_label(line, column) else None
        if match:
            label, column = match["label"], line.index(":")
            if label in current:
                yield current
                current = {}
            current[label] = (match["value"] or "").strip()
        elif label and line.strip():
            current[label] += line.strip()
    if current:
        yield current


def _starts_label(line: str, column: int) -> bool:
    """Whether a line carries a label; a wrapped value may contain a colon too.

    Within a listing the colons stand below each other. A line whose colon stands elsewhere is a
    label all the same when it begins a listing of its own, padded as PowerShell pads.
    """
    match = _LABEL.match(line.strip())
    if match is None:
        return False
    return column in {-1, line.index(":")} or " :" in line[: line.index(":") + 1]


def _table_objects(lines: list[str]) -> Iterator[dict[str, str]]:
    """Read tables: a line of titles, a line of dashes, rows cut at the dashes' columns."""
    for above, (titles, rule) in enumerate(itertools.pairwise(lines)):
        if not _RULE.fullmatch(rule) or not titles.strip():
            continue
        starts = [match.start() for match in re.finditer(r"-+", rule)]
        spans = list(zip(starts, [*starts[1:], None], strict=True))
        names = [titles[a:b].strip() for a, b in spans]
        for row in lines[above + 2 :]:
            if not row.strip():
                break
            yield dict(zip(names, (row[a:b].strip() for a, b in spans), strict=True))
