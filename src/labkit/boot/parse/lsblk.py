"""`lsblk`: its JSON, and the tree that it prints."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from labkit.boot.disks import Partition, device_path
from labkit.boot.parse.refusal import bad_json, not_a
from labkit.boot.partition_types import type_of_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from labkit.boot.documents import Document

__all__ = ["parse_lsblk_json", "parse_lsblk_tree"]


def parse_lsblk_json(document: Document) -> tuple[Partition, ...]:
    """Read `lsblk --json` with any columns; disks are listed with their partitions.

    Raises:
        InputError: It is no JSON of lsblk.
    """
    value = _load(document)
    devices = value.get("blockdevices") if isinstance(value, dict) else None
    if not isinstance(devices, list):
        raise not_a(document, "output of lsblk --json")
    return tuple(_lsblk_partition(document, item) for item in _walk(devices))


def _walk(devices: list[object]) -> Iterator[Mapping[str, object]]:
    pending = list(reversed(devices))
    while pending:
        item = pending.pop()
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield item
            children = item.get("children")
            pending.extend(reversed(children if isinstance(children, list) else []))


def _lsblk_partition(document: Document, item: Mapping[str, object]) -> Partition:
    device = str(item.get("path") or device_path(str(item["name"])))
    if item.get("type") in {"crypt", "lvm"} and not device.startswith("/dev/mapper/"):
        device = f"/dev/mapper/{item['name']}"
    identifier = _string(item.get("parttype"))
    size = item.get("size")
    mounts = item.get("mountpoints", [item.get("mountpoint")])
    columns = ("fstype", "uuid", "parttype", "partuuid", "partlabel")
    quoted = " ".join(f"{key}={item[key]}" for key in columns if item.get(key))
    return Partition(
        device,
        size_bytes=size if isinstance(size, int) else None,
        scheme=_scheme_of(identifier),
        type_id=_lower(identifier),
        type=type_of_id(identifier) if identifier else None,
        partuuid=_lower(_string(item.get("partuuid"))),
        name=_string(item.get("partlabel")),
        fstype=_string(item.get("fstype")),
        uuid=_string(item.get("uuid")),
        label=_string(item.get("label")),
        mounts=tuple(m for m in mounts if isinstance(m, str)) if isinstance(mounts, list) else (),
        evidence=(document.at(_line_of(document, str(item["name"])), f"{device}: {quoted}"),),
    )


# What becomes of the tree's lines when a page's encoding was taken for another one.
_MOJIBAKE = {
    "\u00e2\u201d\u0153\u00e2\u201d\u20ac": "├─",
    "\u00e2\u201d\u201d\u00e2\u201d\u20ac": "└─",
    "\u00e2\u201d\u201a": "│",
}
_GLYPHS = re.compile(r"^[\s│├└─|`+-]*")
_LSBLK_FIELDS = {
    "FSTYPE": "fstype",
    "UUID": "uuid",
    "PARTUUID": "partuuid",
    "LABEL": "label",
    "PARTLABEL": "name",
    "PARTTYPE": "type_id",
    "MOUNTPOINT": "mounts",
    "MOUNTPOINTS": "mounts",
}


def parse_lsblk_tree(document: Document) -> tuple[Partition, ...]:
    """Read the tree that lsblk prints, by the columns of its heading.

    A paste that lost its alignment (one blank between all words) is read by what the values look
    like: UUIDs, file systems and paths are unmistakable, labels are not and are left out.

    Raises:
        InputError: It has no heading of lsblk.
    """
    lines = [_unmangled(line) for line in document.lines]
    heading = next((i for i, line in enumerate(lines) if re.match(r"^NAME\s+[A-Z]", line)), None)
    if heading is None:
        raise not_a(document, "a tree of lsblk with its heading")
    columns = [(m[0], m.start(), m.end()) for m in re.finditer(r"\S+", lines[heading])]
    collapsed = "  " not in lines[heading].strip()
    found = []
    for number, line in enumerate(lines[heading + 1 :], heading + 2):
        indent = _GLYPHS.match(line)
        start = indent.end() if indent else 0
        words = line[start:].split(maxsplit=1)
        if not words or not re.fullmatch(r"[A-Za-z][\w.!-]*", words[0]):
            continue
        values = (
            _by_looks(words[1] if len(words) > 1 else "")
            if collapsed
            else _by_columns(line, start + len(words[0]), columns)
        )
        found.append(_tree_partition(document, number, words[0], values))
    if not found:
        raise not_a(document, "a tree of lsblk")
    return tuple(found)


def _unmangled(line: str) -> str:
    for wrong, right in _MOJIBAKE.items():
        line = line.replace(wrong, right)
    return line


def _by_columns(line: str, start: int, columns: list[tuple[str, int, int]]) -> dict[str, str]:
    """Give each run of text to the column whose heading it overlaps, or else stands nearest to."""
    values: dict[str, str] = {}
    for run in re.finditer(r"\S+(?: \S+)*", line[start:]):
        for word in re.finditer(r"\S+", run[0]):
            left = start + run.start() + word.start()
            right = left + len(word[0])
            column = min(columns[1:], key=lambda c: _distance(left, right, c), default=None)
            if column is not None:
                values[column[0]] = f"{values.get(column[0], '')} {word[0]}".strip()
    return values


def _distance(left: int, right: int, column: tuple[str, int, int]) -> tuple[int, int]:
    _, begin, end = column
    gap = max(begin - right + 1, left - end + 1, 0)
    # A label's later words may stand between two headings: they belong to the left one.
    return (gap if left >= begin else gap * 4, abs(left - begin))


# The first group's UUIDs look like a partition's GUID, the second's do not.
_FSTYPE_WITH_GUID = re.compile(
    "ext[234]|btrfs|xfs|f2fs|jfs|reiserfs|swap|crypto_LUKS|LVM2_member|linux_raid_member|apfs"
)
_FSTYPE_WITHOUT_GUID = re.compile("vfat|exfat|ntfs|BitLocker|iso9660|squashfs|zfs_member|hfsplus")
_UUID_LIKE = re.compile(
    r"(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})|(?P<ntfs>[0-9A-F]{16})"
    r"|(?P<fat>[0-9A-F]{4}-[0-9A-F]{4})|(?P<mbr>[0-9a-f]{8}-[0-9a-f]{2})"
)


def _has_guid(fstype: str) -> bool:
    return bool(_FSTYPE_WITH_GUID.fullmatch(fstype))


def _by_looks(rest: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in rest.split():
        uuid = _UUID_LIKE.fullmatch(word)
        if _has_guid(word) or _FSTYPE_WITHOUT_GUID.fullmatch(word):
            values.setdefault("FSTYPE", word)
        elif word.startswith("/") or word == "[SWAP]":
            values["MOUNTPOINTS"] = word
        elif uuid and (uuid["ntfs"] or uuid["fat"]):
            values.setdefault("UUID", word)
        elif uuid and uuid["mbr"]:
            values["PARTUUID"] = word
        elif uuid and "UUID" not in values and _has_guid(values.get("FSTYPE", "")):
            values["UUID"] = word
        elif uuid:
            values.setdefault("PARTUUID", word)
    return values


def _tree_partition(
    document: Document, number: int, name: str, values: Mapping[str, str]
) -> Partition:
    fields = {_LSBLK_FIELDS[key]: value for key, value in values.items() if key in _LSBLK_FIELDS}
    identifier = fields.get("type_id")
    mount = fields.get("mounts")
    return Partition(
        path if (path := device_path(name)).startswith("/dev/") else f"/dev/mapper/{name}",
        scheme=_scheme_of(identifier),
        type_id=_lower(identifier),
        type=type_of_id(identifier) if identifier else None,
        partuuid=_lower(fields.get("partuuid")),
        name=fields.get("name"),
        fstype=fields.get("fstype"),
        uuid=fields.get("uuid"),
        label=fields.get("label"),
        mounts=(mount,) if mount else (),
        evidence=(document.at(number),),
    )


def _load(document: Document) -> object:
    try:
        return json.loads(document.text)
    except (ValueError, RecursionError) as error:
        raise bad_json(document, error) from error


def _line_of(document: Document, word: str) -> int | None:
    position = document.text.find(f'"{word}"')
    return None if position < 0 else document.text.count("\n", 0, position) + 1


def _scheme_of(identifier: str | None) -> str | None:
    if not identifier:
        return None
    return "gpt" if len(identifier) > len("0xff") else "dos"


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _lower(value: str | None) -> str | None:
    return value.lower() if value else None
