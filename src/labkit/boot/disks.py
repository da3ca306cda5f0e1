"""Disks and partitions, as the tools describe them together."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from labkit.boot.partition_types import PartitionType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from labkit.boot.findings import Evidence

__all__ = [
    "Disk",
    "Partition",
    "device_path",
    "disk_of",
    "is_optical",
    "is_whole_disk",
    "merge_disks",
    "merge_partitions",
    "partition_number",
]

_KERNEL_NAME = re.compile(r"(?:sd|hd|vd|xvd|nvme|mmcblk|md|dm-|loop|sr|nbd|zram|pmem)[a-z]*\d*")
# A device name that ends in a digit gets a `p` before the number of the partition.
_PARTITION = re.compile(r"(?P<disk>.*\dp?(?<=\dp)|.*\D)(?P<number>\d+)\Z")
_NUMBERED_DISK = re.compile(
    r"(?:nvme\d+n\d+|mmcblk\d+|md\d+|loop\d+|nbd\d+|sr\d+|zram\d+|pmem\d+)\Z"
)


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition; what no input tells is None.

    Attributes:
        device: Its path, `/dev/sda1`.
        start: Its first sector, in units of its disk's logical sectors.
        size: Its length in such sectors.
        size_bytes: Its length in bytes, where only that is known.
        scheme: `gpt` or `dos`.
        type_id: Its type: a lower-case GUID or an MBR byte such as `0xef`.
        type: What the type says it is for.
        partuuid: Its identifier in the table, lower case (`2bd2c32a-01` in an MBR table).
        name: Its name in a GPT table; proves nothing about its content.
        active: The MBR's boot flag.
        fstype: Its file system, as blkid names it.
        uuid: Its file system's UUID, as printed.
        label: Its file system's label.
        mounts: Where it is mounted.
        evidence: The lines that describe it.
    """

    device: str
    start: int | None = None
    size: int | None = None
    size_bytes: int | None = None
    scheme: str | None = None
    type_id: str | None = None
    type: PartitionType | None = None
    partuuid: str | None = None
    name: str | None = None
    active: bool | None = None
    fstype: str | None = None
    uuid: str | None = None
    label: str | None = None
    mounts: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def disk(self) -> str:
        """The path of the disk that it is on."""
        return disk_of(self.device)

    @property
    def number(self) -> int | None:
        """Its number on the disk."""
        return partition_number(self.device)

    @property
    def end(self) -> int | None:
        """Its last sector."""
        return None if self.start is None or self.size is None else self.start + self.size - 1

    @property
    def is_fat(self) -> bool:
        """Whether it holds a FAT file system."""
        return (self.fstype or "").lower() in {"vfat", "fat", "fat12", "fat16", "fat32", "msdos"}

    @property
    def is_windows_volume(self) -> bool:
        """Whether it holds a file system of Windows: NTFS or BitLocker."""
        return (self.fstype or "").lower() in {"ntfs", "bitlocker"}


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk and its partition table; what no input tells is None.

    Attributes:
        device: Its path.
        scheme: `gpt` or `dos`.
        disk_id: The table's identifier: a lower-case GUID, or `0x` and eight digits.
        sectors: Its length in logical sectors.
        sector_bytes: The length of a logical sector.
        physical_sector_bytes: The length of a physical one.
        size_bytes: Its length in bytes.
        model: Its maker's name for it.
        partitions: In the order of the table.
        complaints: What the tool said about the table, such as a moved backup header.
        evidence: The lines that describe it.
    """

    device: str
    scheme: str | None = None
    disk_id: str | None = None
    sectors: int | None = None
    sector_bytes: int | None = None
    physical_sector_bytes: int | None = None
    size_bytes: int | None = None
    model: str | None = None
    partitions: tuple[Partition, ...] = ()
    complaints: tuple[Evidence, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def shows_protection_alone(self) -> bool:
        """Whether only the MBR that protects a GPT is shown: no partition at all, that is."""
        return bool(self.partitions) and all(
            p.type is PartitionType.PROTECTIVE for p in self.partitions
        )

    @property
    def is_mbr(self) -> bool:
        """Whether the table is an MBR's own, not the protection of a GPT."""
        return self.scheme == "dos" and not self.shows_protection_alone

    @property
    def has_damaged_gpt(self) -> bool:
        """Whether a tool that reads GPT saw nothing but the MBR that protects one."""
        return self.scheme == "dos" and self.disk_id == "0x00000000" and self.shows_protection_alone


def device_path(name: str) -> str:
    """Give a device's path for a kernel name (`sda1`), as boot-info and fdisk print it."""
    name = name.strip()
    return f"/dev/{name}" if _KERNEL_NAME.match(name) else name


def disk_of(device: str) -> str:
    """Name the disk that holds the partition `device`; `device` itself when it is a disk."""
    if is_whole_disk(device):
        return device
    match = _PARTITION.match(device)
    if not match:
        return device
    disk = match["disk"]
    shorter = disk[:-1]
    return shorter if disk.endswith("p") and shorter[-1:].isdigit() else disk


def partition_number(device: str) -> int | None:
    """Tell the number at the end of a partition's name; None for a disk."""
    match = None if is_whole_disk(device) else re.search(r"(\d{1,9})\Z", device, re.ASCII)
    return int(match[1]) if match else None


def is_whole_disk(device: str) -> bool:
    """Tell whether a kernel name is a disk's; a "table" on a partition is file-system data."""
    name = device.rpartition("/")[2]
    if device.startswith("/dev/mapper/") or re.match(r"dm-\d", name):
        return True  # LVM and LUKS: a device of its own, whatever its name ends with.
    return bool(_NUMBERED_DISK.match(name)) or not name[-1:].isdigit()


def is_optical(device: str) -> bool:
    """Tell whether a device is an optical drive, whose hybrid labels are no partition table."""
    return device.rpartition("/")[2].startswith("sr")


def merge_partitions(records: Iterable[Partition]) -> tuple[Partition, ...]:
    """Join what several inputs say about each partition; the first that knows a fact decides."""
    merged: dict[str, Partition] = {}
    for record in records:
        known = merged.get(record.device)
        merged[record.device] = record if known is None else _filled(known, record)
    return tuple(merged.values())


def merge_disks(records: Iterable[Disk]) -> tuple[Disk, ...]:
    """Join what several inputs say about each disk; the first that knows a fact decides."""
    merged: dict[str, Disk] = {}
    for record in records:
        known = merged.get(record.device)
        merged[record.device] = record if known is None else _filled_disk(known, record)
    return tuple(merged.values())


def _filled(known: Partition, more: Partition) -> Partition:
    changes: dict[str, object] = {
        field.name: getattr(more, field.name)
        for field in fields(Partition)
        if getattr(known, field.name) in (None, ()) and getattr(more, field.name) is not None
    }
    if known.type is PartitionType.OTHER and more.type is not None:
        changes["type"] = more.type
    changes["evidence"] = known.evidence + more.evidence
    return replace(known, **changes)  # type: ignore[arg-type]  # names come from the class itself


def _filled_disk(known: Disk, more: Disk) -> Disk:
    changes: dict[str, object] = {
        field.name: getattr(more, field.name)
        for field in fields(Disk)
        if getattr(known, field.name) in (None, ()) and getattr(more, field.name) is not None
    }
    changes["partitions"] = merge_partitions((*known.partitions, *more.partitions))
    changes["complaints"] = known.complaints + more.complaints
    changes["evidence"] = known.evidence + more.evidence
    return replace(known, **changes)  # type: ignore[arg-type]  # names come from the class itself
