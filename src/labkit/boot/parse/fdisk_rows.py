"""The rows of `fdisk -l`: as it prints them by default, with `-x`, and with the columns of `-o`."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FdiskRow", "columns_of", "read_columns", "read_row"]

_GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_DEVICE = r"\S*[A-Za-z./]\S*?\d{1,3}"
_ROW = re.compile(
    rf"^(?P<device>{_DEVICE})\s+(?P<active>\*\s+)?"
    r"(?P<start>\d{1,18})[+-]?\s+(?P<end>\d{1,18})[+-]?\s+(?P<count>\d{1,18})[+-]?\s+(?P<rest>\S.*)\Z"
)
_SIZE = r"\d{1,18}(?:[.,]\d{1,3})?[KMGTPE]?i?B?"
_SIZE_WORD = re.compile(rf"^({_SIZE})\s+(?=\S)")
_MBR_TYPE = re.compile(r"^([0-9a-f]{1,2})\s+(\S.*)\Z")
_POWERS = "KMGTPE"


@dataclass(frozen=True, slots=True)
class FdiskRow:
    """A row, before its unit is known.

    Attributes:
        device: The partition as printed.
        start: Its first unit.
        end: Its last unit.
        count: Its length: in the same unit, or in blocks of 1 KiB (old layouts).
        size_bytes: Its length in bytes as far as a rounded size such as `9.5G` tells.
        active: The boot flag; None where no column shows it.
        type_id: Its type: a GUID, or an MBR byte such as `0x07`.
        type_name: What fdisk calls its type.
        partuuid: Its identifier in the table.
        name: Its name in the table.
    """

    device: str
    start: int | None = None
    end: int | None = None
    count: int | None = None
    size_bytes: int | None = None
    active: bool | None = None
    type_id: str | None = None
    type_name: str | None = None
    partuuid: str | None = None
    name: str | None = None

    def is_in_sectors(self, sector_bytes: int) -> bool:
        """Tell whether its numbers can be sectors: cylinders do not agree with the lengths."""
        if self.start is None or self.end is None:
            return True
        length = (self.end - self.start + 1) * sector_bytes
        if self.size_bytes:
            return _is_near(length, self.size_bytes)
        is_count_of_sectors = self.count == self.end - self.start + 1
        return self.count is None or is_count_of_sectors or _is_near(length, self.count * 1024)


def _is_near(one: int, other: int) -> bool:
    """Tell whether two lengths are the same but for rounding."""
    return one <= 2 * other and other <= 2 * one


def read_row(line: str, scheme: object) -> FdiskRow | None:
    """Read a row whose columns begin as by default; what stands behind them is told by its looks.

    That is `100M EFI System`, `2G  7 HPFS/NTFS/exFAT`, or with -x two GUIDs and a name.
    """
    row = _ROW.match(line)
    if row is None:
        return None
    rest, size = row["rest"], None
    if (word := _SIZE_WORD.match(rest)) and not (scheme != "gpt" and _MBR_TYPE.match(rest)):
        rest, size = rest[word.end() :], word[1]
    elif scheme != "gpt" and word and _MBR_TYPE.match(rest[word.end() :]):
        rest, size = rest[word.end() :], word[1]  # A size such as `2` before the type `7`.
    mbr = None if scheme == "gpt" else _MBR_TYPE.match(rest)
    type_id, type_name, partuuid, name = (
        (f"0x{mbr[1]:0>2}", mbr[2], None, None) if mbr else _type_and_identifiers(rest)
    )
    return FdiskRow(
        row["device"],
        int(row["start"]),
        int(row["end"]),
        int(row["count"]),
        _bytes(size),
        bool(row["active"]),
        type_id,
        type_name,
        partuuid,
        name,
    )


def _type_and_identifiers(rest: str) -> tuple[str | None, str | None, str | None, str | None]:
    """Split `TYPE`, `TYPE UUID NAME` or `TYPE-UUID UUID NAME`; a lone GUID is a type's."""
    first = re.search(_GUID, rest)
    if first is None:
        return None, rest, None, None
    before, behind = rest[: first.start()].strip(), rest[first.end() :].strip()
    if before:
        return None, before, first[0].lower(), _first_column(behind)
    second = re.match(_GUID, behind)
    partuuid = second[0].lower() if second else None
    name = _first_column(behind[second.end() :] if second else behind)
    return first[0].lower(), None, partuuid, name


def _first_column(text: str) -> str | None:
    return re.split(r"\s{2,}", text.strip())[0] or None


# Column -> what its values look like. Those in the second table may be blank.
_COLUMNS = {
    "Device": rf"(?P<device>{_DEVICE})",
    "Start": r"(?P<start>\d{1,18})[+-]?",
    "End": r"(?P<end>\d{1,18})[+-]?",
    "Sectors": r"(?P<count>\d{1,18})[+-]?",
    "Cylinders": r"\d+[+-]?",
    "Size": rf"(?P<size>{_SIZE})",
    "Id": r"(?P<id>[0-9a-f]{1,2})",
    "Type": r"(?P<type>\S.*?)",
    "Type-UUID": rf"(?P<guid>{_GUID})",
    "UUID": rf"(?P<partuuid>{_GUID}|[0-9a-f]{{8}}-[0-9a-f]{{2}})",
    "Start-C/H/S": r"\d+/\d+/\d+",
    "End-C/H/S": r"\d+/\d+/\d+",
}
_BLANK_COLUMNS = {"Boot": r"(?P<active>\*)", "Name": r"(?P<name>\S.*?)", "Attrs": r"\S.*?"}
_DEFAULT_COLUMNS = {("Device", "Start", "End", unit) for unit in ("Sectors", "Cylinders")}


def columns_of(line: str) -> str | None:
    """Tell a heading of columns that `-o` chose (or cylinders of a GPT), which is given back.

    None for any other line, and for a heading after which `read_row` reads the rows.
    """
    names = line.split()
    known = _COLUMNS.keys() | _BLANK_COLUMNS.keys()
    is_heading = len(names) > 1 and "Device" in names and known.issuperset(names)
    first = tuple(name for name in names if name != "Boot")[:4]
    if not is_heading or len(set(names)) < len(names) or first in _DEFAULT_COLUMNS:
        return None
    return line


def read_columns(heading: str, line: str) -> FdiskRow | None:
    """Read a row below a heading of `columns_of`."""
    names = heading.split()
    label = None
    # Types and names are free text: only the place of their heading parts them.
    if "Name" in names and "  " in heading and names.index("Name") > names.index("Device"):
        place = heading.index(" Name") + 1
        label, line = _first_column(line[place:]), line[:place].rstrip()
        names = names[: names.index("Name")]
    match = re.match(_pattern(names), line)
    if match is None:
        return None
    cells = {key: value for key, value in match.groupdict().items() if value is not None}
    type_id = cells.get("guid", "").lower() or None
    if "id" in cells:
        type_id = f"0x{cells['id']:0>2}"
    start, end, count = (int(cells[k]) if k in cells else None for k in ("start", "end", "count"))
    return FdiskRow(
        cells["device"],
        start,
        end,
        count,
        _bytes(cells.get("size")),
        "active" in cells if "Boot" in names else None,
        type_id,
        cells.get("type"),
        cells.get("partuuid", "").lower() or None,
        label or cells.get("name"),
    )


def _pattern(names: list[str]) -> str:
    pattern = r"\s*"
    for number, name in enumerate(names):
        blank = r"\s+" if number else ""
        if name in _COLUMNS:
            pattern += blank + _COLUMNS[name]
        else:
            pattern += rf"(?:{blank}{_BLANK_COLUMNS[name]})?"
    return pattern + r"\s*\Z"


def _bytes(size: str | None) -> int | None:
    """Give the bytes of `9.5G` (powers of two), or of the plain number that --bytes prints."""
    match = re.match(r"([\d.,]+)([KMGTPE]?)", size or "")
    if match is None:
        return None
    power = _POWERS.index(match[2]) + 1 if match[2] else 0
    return int(float(match[1].replace(",", ".")) * 1024**power)
