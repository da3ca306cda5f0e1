"""What an installer's probe of a computer stores: blkid's and udev's facts by device."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from labkit.boot.disks import Partition, is_whole_disk
from labkit.boot.parse.refusal import bad_json, not_a
from labkit.boot.partition_types import type_of_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.documents import Document

__all__ = ["parse_blkid_json", "parse_udev_json"]


def parse_blkid_json(document: Document) -> tuple[Partition, ...]:
    """Read an installer's probe of file systems: `{"/dev/sda1": {"TYPE": ..., "UUID": ...}}`.

    Raises:
        InputError: It is no such object.
    """
    return tuple(
        Partition(
            device,
            fstype=_string(values.get("TYPE")),
            uuid=_string(values.get("UUID")),
            label=_string(values.get("LABEL")),
            evidence=(
                document.at(
                    _line_of(document, device),
                    f"{device}: TYPE={values.get('TYPE')} UUID={values.get('UUID')}",
                ),
            ),
        )
        for device, values in _probe(document).items()
    )


def parse_udev_json(document: Document) -> tuple[Partition, ...]:
    """Read an installer's copy of udev's properties: `{"/dev/sda1": {"ID_FS_TYPE": ...}}`.

    Raises:
        InputError: It is no such object.
    """
    found = []
    for device, values in _probe(document).items():
        properties = {key: _string(value) for key, value in values.items()}
        identifier = properties.get("ID_PART_ENTRY_TYPE")
        size = properties.get("size")
        name = properties.get("ID_PART_ENTRY_NAME")
        keys = ("ID_PART_ENTRY_TYPE", "ID_FS_TYPE", "ID_FS_UUID")
        quoted = " ".join(f"{key}={properties[key]}" for key in keys if properties.get(key))
        found.append(
            Partition(
                device,
                size_bytes=int(size) if size and re.fullmatch(r"[0-9]{1,18}", size) else None,
                scheme=properties.get("ID_PART_ENTRY_SCHEME")
                or (properties.get("ID_PART_TABLE_TYPE") if is_whole_disk(device) else None),
                type_id=_lower(identifier),
                type=type_of_id(identifier) if identifier else None,
                partuuid=_lower(properties.get("ID_PART_ENTRY_UUID")),
                name=_unescaped(name) if name else None,
                fstype=properties.get("ID_FS_TYPE"),
                uuid=properties.get("ID_FS_UUID"),
                label=properties.get("ID_FS_LABEL"),
                evidence=(document.at(_line_of(document, device), f"{device}: {quoted}"),),
            )
        )
    return tuple(found)


def _unescaped(text: str) -> str:
    r"""Undo udev's `\x20`."""
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), text)


def _probe(document: Document) -> Mapping[str, Mapping[str, object]]:
    value = _load(document)
    devices = (
        {k: v for k, v in value.items() if k.startswith("/dev/") and isinstance(v, dict)}
        if isinstance(value, dict)
        else {}
    )
    if not devices:
        raise not_a(document, "a probe of block devices")
    return devices


def _load(document: Document) -> object:
    try:
        return json.loads(document.text)
    except (ValueError, RecursionError) as error:
        raise bad_json(document, error) from error


def _line_of(document: Document, word: str) -> int | None:
    position = document.text.find(f'"{word}"')
    return None if position < 0 else document.text.count("\n", 0, position) + 1


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _lower(value: str | None) -> str | None:
    return value.lower() if value else None
