"""`parted -lm`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.disks import Disk, Partition, device_path, is_optical, is_whole_disk, merge_disks
from labkit.boot.parse.refusal import not_a
from labkit.boot.partition_types import PartitionType

if TYPE_CHECKING:
    from labkit.boot.documents import Document

__all__ = ["parse_parted"]

_PARTED_FLAG_TYPES = (
    ("esp", PartitionType.ESP),
    ("msftres", PartitionType.MSR),
    ("bios_grub", PartitionType.BIOS_BOOT),
    ("diag", PartitionType.RECOVERY),
    ("lvm", PartitionType.LVM),
    ("raid", PartitionType.RAID),
    ("swap", PartitionType.SWAP),
    ("msftdata", PartitionType.MICROSOFT_DATA),
)
_PARTED_DISK = re.compile(r"^([^:;]+):([^:;]+):[^:;]*:(\d+):(\d+):(gpt|msdos|unknown|loop):([^:]*)")
_PARTED_FS = {"fat16": "vfat", "fat32": "vfat", "fat12": "vfat", "linux-swap(v1)": "swap"}


def parse_parted(document: Document) -> tuple[Disk, ...]:
    """Read `parted -lm`. Sizes count only when they are in sectors (`unit s`).

    Raises:
        InputError: It holds no disk of parted's machine-readable form.
    """
    disks: list[Disk] = []
    for number, line in enumerate(document.lines, 1):
        if disk := _PARTED_DISK.match(line):
            label = {"msdos": "dos", "gpt": "gpt"}.get(disk[5])
            disks.append(
                Disk(
                    device_path(disk[1]),
                    scheme=label,
                    sectors=_sectors(disk[2]),
                    sector_bytes=int(disk[3]),
                    physical_sector_bytes=int(disk[4]),
                    model=disk[6] or None,
                    evidence=(document.at(number),),
                )
            )
        elif disks and re.match(r"^\d+:", line):
            partition = _parted_partition(document, number, line, disks[-1])
            disks[-1] = merge_disks([disks[-1], Disk(disks[-1].device, partitions=(partition,))])[0]
    if not disks:
        raise not_a(document, "output of parted -m")
    return tuple(d for d in disks if is_whole_disk(d.device) and not is_optical(d.device))


def _parted_partition(document: Document, number: int, line: str, disk: Disk) -> Partition:
    cells = [*line.rstrip(";").split(":"), "", "", "", "", "", ""]
    flags = {flag.strip() for flag in cells[6].split(",")}
    kind = next((kind for flag, kind in _PARTED_FLAG_TYPES if flag in flags), None)
    separator = "p" if disk.device[-1].isdigit() else ""
    on_mbr = disk.scheme == "dos"
    return Partition(
        f"{disk.device}{separator}{cells[0]}",
        start=_sectors(cells[1]),
        size=_sectors(cells[3]),
        scheme=disk.scheme,
        type=kind,
        name=None if on_mbr else cells[5] or None,
        active="boot" in flags if on_mbr else None,
        fstype=_PARTED_FS.get(cells[4], cells[4]) or None,
        evidence=(document.at(number),),
    )


def _sectors(text: str) -> int | None:
    return int(text[:-1]) if re.fullmatch(r"[0-9]{1,18}s", text) else None
