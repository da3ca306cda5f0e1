"""`sfdisk --json`, `sfdisk -d`, and the problems that `sgdisk -v` names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from labkit.boot.disks import (
    Disk,
    Partition,
    device_path,
    is_optical,
    is_whole_disk,
    merge_disks,
)
from labkit.boot.parse.refusal import bad_json, not_a
from labkit.boot.partition_types import type_of_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = ["parse_sfdisk_dump", "parse_sfdisk_json", "parse_sgdisk_verify"]


def parse_sfdisk_json(document: Document) -> tuple[Disk, ...]:
    """Read `sfdisk --json`: one object, an array of them, or several one after the other.

    Raises:
        InputError: It is no JSON, or holds no partition table.
    """
    disks = []
    for value in _json_values(document):
        for item in value if isinstance(value, list) else [value]:
            table = item.get("partitiontable") if isinstance(item, dict) else None
            if isinstance(table, dict) and isinstance(table.get("device"), str):
                disks.append(_sfdisk_disk(document, table))
    if not disks:
        raise not_a(document, "a table of sfdisk --json")
    return tuple(d for d in disks if is_whole_disk(d.device) and not is_optical(d.device))


def _sfdisk_disk(document: Document, table: Mapping[str, object]) -> Disk:
    device = device_path(str(table["device"]))
    scheme = _text(table.get("label"))
    rows = table.get("partitions")
    partitions = tuple(
        _sfdisk_partition(document, row, scheme)
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and isinstance(row.get("node"), str)
    )
    return Disk(
        device,
        scheme=scheme,
        disk_id=(_text(table.get("id")) or "").lower() or None,
        sector_bytes=_number(table.get("sectorsize")),
        partitions=partitions,
        evidence=(document.at(None, f"partition table of {device}"),),
    )


def _sfdisk_partition(
    document: Document, row: Mapping[str, object], scheme: str | None
) -> Partition:
    identifier = _text(row.get("type"))
    device = device_path(str(row["node"]))
    uuid = _text(row.get("uuid"))
    quoted = ", ".join(f"{key}={row[key]}" for key in ("start", "size", "type") if key in row)
    return Partition(
        device,
        start=_number(row.get("start")),
        size=_number(row.get("size")),
        scheme=scheme,
        type_id=_type_id(identifier),
        type=type_of_id(identifier) if identifier else None,
        partuuid=uuid.lower() if uuid else None,
        name=_text(row.get("name")),
        active=row.get("bootable") is True if scheme == "dos" else None,
        evidence=(document.at(_line_of(document, str(row["node"])), f"{device}: {quoted}"),),
    )


def _line_of(document: Document, node: str) -> int | None:
    position = document.text.find(f'"{node}"')
    return None if position < 0 else document.text.count("\n", 0, position) + 1


_DUMP_ROW = re.compile(r"^(?P<device>\S+)\s*:\s*start=\s*(?P<start>\d+),\s*size=\s*(?P<size>\d+)")


def parse_sfdisk_dump(document: Document) -> tuple[Disk, ...]:
    """Read `sfdisk -d`, also in its old form with `Id=83`.

    Raises:
        InputError: It holds no row of a dump.
    """
    heads: dict[str, str] = {}
    disks: list[Disk] = []
    for number, line in enumerate(document.lines, 1):
        row = _DUMP_ROW.match(line)
        if row is None:
            if head := re.match(r"^(label|label-id|device|sector-size):\s*(\S+)", line):
                heads = {} if head[1] == "label" else heads
                heads[head[1]] = head[2]
            continue
        partition = _dump_partition(document, number, row, heads.get("label"))
        disks.append(
            Disk(
                device_path(heads.get("device", partition.disk)),
                scheme=partition.scheme,
                disk_id=heads.get("label-id", "").lower() or None,
                sector_bytes=_number(heads.get("sector-size")),
                partitions=(partition,),
            )
        )
    if not disks:
        raise not_a(document, "a dump of sfdisk")
    return tuple(d for d in merge_disks(disks) if is_whole_disk(d.device))


def _dump_partition(
    document: Document, number: int, row: re.Match[str], label: str | None
) -> Partition:
    rest = row.string[row.end() :]
    type_match = re.search(r"(?:type|Id)=\s*([0-9A-Fa-f-]+)", rest)
    identifier = type_match[1] if type_match else None
    uuid = re.search(r"uuid=([0-9A-Fa-f-]+)", rest)
    name = re.search(r'name="([^"]*)"', rest)
    scheme = label or ("gpt" if identifier and len(identifier) > len("ff") else "dos")
    return Partition(
        device_path(row["device"]),
        start=int(row["start"]),
        size=int(row["size"]),
        scheme=scheme,
        type_id=_type_id(identifier),
        type=type_of_id(identifier) if identifier else None,
        partuuid=uuid[1].lower() if uuid else None,
        name=name[1] if name else None,
        active=bool(re.search(r"\bbootable\b", rest)) if scheme == "dos" else None,
        evidence=(document.at(number),),
    )


def parse_sgdisk_verify(document: Document) -> tuple[Evidence, ...]:
    """Read the problems that `sgdisk -v` prints; none are an empty result."""
    return tuple(
        document.at(number)
        for number, line in enumerate(document.lines, 1)
        if line.startswith("Problem:")
    )


def _json_values(document: Document) -> list[object]:
    decoder, text, position = json.JSONDecoder(), document.text.strip(), 0
    values = []
    try:
        while position < len(text):
            value, position = decoder.raw_decode(text, position)
            values.append(value)
            position += len(text[position:]) - len(text[position:].lstrip())
    except (ValueError, RecursionError) as error:
        raise bad_json(document, error) from error
    return values


def _type_id(identifier: str | None) -> str | None:
    if identifier is None:
        return None
    lowered = identifier.lower()
    return lowered if len(lowered) > len("0xff") else f"0x{lowered.removeprefix('0x'):0>2}"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value) else None
