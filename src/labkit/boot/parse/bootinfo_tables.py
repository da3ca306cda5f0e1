"""The two tables of older boot-info reports: partitions, and what they hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.disks import Disk, Partition, disk_of, merge_disks
from labkit.boot.parse.refusal import not_a
from labkit.boot.partition_types import PartitionType, type_of_id

if TYPE_CHECKING:
    from labkit.boot.documents import Document

__all__ = ["parse_bootinfo_blkid", "parse_bootinfo_table"]

_MBR_TYPE = re.compile(r"^([0-9a-f]{1,2})\s+(\S.*)\Z")
_BOOTINFO_ROW = re.compile(
    r"^(?P<device>/dev/\S+)\s+(?P<flags>(?:[*RANHBP]\s*)*?)"
    r"(?P<start>[\d,]+)\s+(?P<end>[\d,]+)\s+(?P<size>[\d,]+)\s+(?P<type>\S.*)\Z"
)
_BOOTINFO_TYPES = (
    ("EFI System", PartitionType.ESP),
    ("Microsoft Reserved", PartitionType.MSR),
    ("Recovery Environment", PartitionType.RECOVERY),
    ("Data partition (Windows", PartitionType.MICROSOFT_DATA),
    ("Data partition (Linux", PartitionType.LINUX),
    ("BIOS Boot", PartitionType.BIOS_BOOT),
    ("Swap", PartitionType.SWAP),
    ("LDM metadata", PartitionType.LDM_METADATA),
    ("LDM data", PartitionType.LDM_DATA),
)


def parse_bootinfo_table(document: Document) -> tuple[Disk, ...]:
    """Read the table of older boot-info reports: thousands separators and an Attrs column.

    Raises:
        InputError: It holds no row of such a table.
    """
    disks: list[Disk] = []
    for number, line in enumerate(document.lines, 1):
        row = _BOOTINFO_ROW.match(line)
        if not row:
            continue
        device = row["device"]
        start, end = (int(row[key].replace(",", "")) for key in ("start", "end"))
        mbr = _MBR_TYPE.match(row["type"])
        kind = type_of_id(mbr[1]) if mbr else _bootinfo_type(row["type"])
        scheme = "dos" if mbr else "gpt"
        partition = Partition(
            device,
            start=start,
            size=end - start + 1,
            scheme=scheme,
            type_id=f"0x{mbr[1]:0>2}" if mbr else None,
            type=kind,
            active="*" in row["flags"] if mbr else None,
            evidence=(document.at(number),),
        )
        disks.append(Disk(disk_of(device), scheme=scheme, partitions=(partition,)))
    if not disks:
        raise not_a(document, "a partition table of boot-info")
    return merge_disks(disks)


def _bootinfo_type(text: str) -> PartitionType:
    return next((kind for word, kind in _BOOTINFO_TYPES if word in text), PartitionType.OTHER)


def parse_bootinfo_blkid(document: Document) -> tuple[Partition, ...]:
    """Read the table `Device UUID TYPE LABEL` of older boot-info reports.

    Raises:
        InputError: It holds no row of such a table.
    """
    found = []
    for number, line in enumerate(document.lines, 1):
        match = re.match(r"^(/dev/[^\s:]+)(?:\s+(\S+))?(?:\s+(\S+))?(?:\s+(\S.*))?\s*\Z", line)
        if match:
            device, uuid, fstype, label = match.groups()
            found.append(
                Partition(
                    device, fstype=fstype, uuid=uuid, label=label, evidence=(document.at(number),)
                )
            )
    if not found:
        raise not_a(document, "a blkid table of boot-info")
    return tuple(found)
