"""`blkid`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.disks import Partition
from labkit.boot.parse.refusal import not_a

if TYPE_CHECKING:
    from labkit.boot.documents import Document

__all__ = ["parse_blkid"]

_BLKID_LINE = re.compile(r"^(?P<device>/dev/[^\s:]+):\s+(?P<tags>.*)")
_TAG = re.compile(r'([A-Z_]+)="((?:[^"\\]|\\.)*)"')


def parse_blkid(document: Document) -> tuple[Partition, ...]:
    """Read `blkid`; a line without a known tag still says that the device exists.

    Raises:
        InputError: It holds no line of blkid.
    """
    found = []
    for number, line in enumerate(document.lines, 1):
        match = _BLKID_LINE.match(line.strip())
        if not match:
            continue
        tags = dict(_TAG.findall(match["tags"]))
        if not tags:
            continue
        found.append(
            Partition(
                match["device"],
                partuuid=tags["PARTUUID"].lower() if "PARTUUID" in tags else None,
                name=tags.get("PARTLABEL"),
                fstype=tags.get("TYPE"),
                uuid=tags.get("UUID"),
                label=tags.get("LABEL"),
                evidence=(document.at(number),),
            )
        )
    if not found:
        raise not_a(document, "output of blkid")
    return tuple(found)
