"""Moving Windows to a larger disk: the new layout, and the diskpart script that makes it.

Pure arithmetic on a partition table. The order is Microsoft's for UEFI computers: EFI system
partition, Microsoft reserved partition, Windows, and its recovery partition right behind it, where
Windows can enlarge it later; other data follows. All partitions begin and end on a mebibyte, which
suits sectors of 512 and of 4096 bytes, and Windows gets the space that the disk has more.

Sources: Microsoft, "UEFI/GPT-based hard drive partitions" (order, smallest sizes, attributes of
the recovery partition); diskpart's `create partition` takes `size=` in MiB and `offset=` in KiB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from labkit.boot.partition_table import table_facts
from labkit.boot.partition_types import PartitionType
from labkit.errors import InputError, RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from labkit.boot.disks import Disk, Partition
    from labkit.boot.documents import Document
    from labkit.boot.facts import Facts

__all__ = ["MigrationPlan", "NewPartition", "parse_disk_size", "plan_migration"]

MIB = 1 << 20
_KIB = 1 << 10
_SECTOR_BYTES = 512
_LARGE_SECTOR_BYTES = 4096
# FAT32 needs 65,525 clusters: 100 MiB is enough for sectors of 512 bytes, not for 4096.
_MIN_ESP_MIB = {_SECTOR_BYTES: 100, _LARGE_SECTOR_BYTES: 260}
_MSR_MIB = 16
# The table stands in the first mebibyte, its copy in the last one.
_FIRST_MIB = 1
_RESERVED_END_MIB = 1
_MAX_SIZE_BYTES = 1 << 63

_DYNAMIC = {
    PartitionType.LDM_METADATA: "a dynamic disk",
    PartitionType.LDM_DATA: "a dynamic disk",
    PartitionType.STORAGE_SPACES: "part of a Storage Space",
}
_RECOVERY_ATTRIBUTES = "0x8000000000000001"  # required, and no drive letter
_RECOVERY_GUID = "de94bba4-06d1-4d40-a16a-bfd50179d6ac"
_ESP_LETTER, _WINDOWS_LETTER = "S", "W"
_SCRIPT_HEAD = (
    "rem Erases the selected disk. Put the number that `list disk` gives the NEW disk for N.",
    "rem For Windows PE (setup medium, Shift+F10). A running Windows makes a reserved partition",
    "rem by itself: put `select partition 1` and `delete partition override` after `convert gpt`.",
    "select disk N",
    "clean",
    "convert gpt",
)


@dataclass(frozen=True, slots=True)
class NewPartition:
    """A partition of the new disk.

    Attributes:
        number: Its number, from 1.
        role: What it is for.
        offset_mib: Where it begins, in MiB from the start of the disk.
        size_mib: Its length in MiB.
        source: The partition whose content it takes; None where Windows fills it itself.
        letter: The drive letter that the script gives it; None for none.
    """

    number: int
    role: PartitionType
    offset_mib: int
    size_mib: int
    source: str | None = None
    letter: str | None = None

    @property
    def offset_kib(self) -> int:
        """Where it begins, in diskpart's unit."""
        return self.offset_mib * MIB // _KIB


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """How Windows moves to another disk.

    Attributes:
        disk: The disk that it moves from.
        size_bytes: The length of the new disk.
        partitions: The new layout, in the order of the disk.
        left_behind: Partitions of the old disk that are not part of Windows.
        has_bitlocker: Whether the table shows BitLocker on a partition that moves.
    """

    disk: str
    size_bytes: int
    partitions: tuple[NewPartition, ...]
    left_behind: tuple[str, ...] = ()
    has_bitlocker: bool = False

    @property
    def script(self) -> str:
        """The diskpart script, which stops at `N` until the new disk's number stands there."""
        lines = list(_SCRIPT_HEAD)
        for partition in self.partitions:
            lines += _diskpart(partition)
        return "\n".join([*lines, "list partition", "exit", ""])

    @property
    def bcdboot(self) -> str:
        """The command that makes the new disk start, once Windows' files are on it."""
        return rf"bcdboot {_WINDOWS_LETTER}:\Windows /s {_ESP_LETTER}: /f UEFI"


def parse_disk_size(text: str) -> int:
    """Read the size of a disk in bytes.

    `1T` and `1TB` are 10^12 bytes, as on a disk's label; `931GiB` counts in powers of two; a plain
    number is in bytes.

    Raises:
        UsageError: It is no size.
    """
    match = re.fullmatch(
        r"\s*(?P<number>\d{1,19}(?:\.\d{1,6})?)\s*(?:(?P<unit>[KMGTP])(?P<binary>i?)B?|B)?\s*",
        text,
        re.IGNORECASE | re.ASCII,
    )
    if match:
        base = 1024 if match["binary"] else 1000
        power = " KMGTP".index(match["unit"].upper()) if match["unit"] else 0
        size = Decimal(match["number"]) * base**power
        if size == int(size) and 0 < size < _MAX_SIZE_BYTES:
            return int(size)
    raise UsageError(
        f"`{text}` is not the size of a disk",
        hint="write it as on the disk (`1TB`, `512G`), in powers of two (`931GiB`) or in bytes",
        code="bad-size",
    )


def plan_migration(
    document: Document, size_bytes: int, *, disk: str | None = None
) -> MigrationPlan:
    """Lay Windows out on a disk of `size_bytes`.

    Args:
        document: The old disk's partition table: the output of fdisk, sfdisk, parted or lsblk.
        size_bytes: The length of the new disk.
        disk: The disk to move, where the table shows several with Windows.

    Raises:
        InputError: It is no partition table, no Windows by UEFI is on it, or sizes are missing.
        UsageError: Windows is on several disks.
        RefusedError: The disk has an MBR, is a dynamic one, its partitions overlap, or the new
            one is too small.
    """
    facts = table_facts(document)
    name = _windows_disk(facts, disk, document.name)
    old = facts.disk(name)
    parts = sorted(
        (p for p in facts.partitions if p.disk == name), key=lambda p: (p.start or 0, p.number or 0)
    )
    _refuse_overlapping(parts)
    _refuse_rounded(old, document.name)
    _refuse_smaller(old, size_bytes)
    sector = (old.sector_bytes if old else None) or _SECTOR_BYTES
    wanted, left_behind = _wanted(parts, sector)
    return MigrationPlan(
        name,
        size_bytes,
        tuple(_placed(wanted, size_bytes)),
        tuple(left_behind),
        any(p.fstype == "BitLocker" for p in parts),
    )


def _windows_disk(facts: Facts, wish: str | None, name: str) -> str:
    """Choose the disk with an ESP or MSR and Windows' data, or say what is there instead."""
    disks = list(
        dict.fromkeys((*(d.device for d in facts.disks), *(p.disk for p in facts.partitions)))
    )
    if wish is not None:
        if wish not in disks:
            raise InputError(
                f"{name} shows no disk {wish}",
                hint=f"it shows {', '.join(disks)}",
                code="no-such-disk",
            )
        disks = [wish]
    found = [d for d in disks if _holds_windows(p for p in facts.partitions if p.disk == d)]
    if len(found) > 1:
        raise UsageError(
            f"Windows may be on any of {', '.join(found)}",
            hint=f"choose one: `--disk {found[0]}`",
            code="ambiguous",
        )
    if found:
        return found[0]
    for device in disks:
        _refuse_unmovable(facts, device)
    raise InputError(
        f"{name} shows no Windows that starts by UEFI: no EFI system partition with Microsoft data",
        hint="give the table of the disk that Windows is on",
        code="no-windows",
    )


def _holds_windows(parts: Iterable[Partition]) -> bool:
    types = {p.type for p in parts if p.scheme != "dos"}
    return {
        PartitionType.ESP,
        PartitionType.MICROSOFT_DATA,
    } <= types and not types & _DYNAMIC.keys()


def _refuse_unmovable(facts: Facts, device: str) -> None:
    """Say what to do first where Windows is there, but not in a form that can be laid out anew."""
    disk = facts.disk(device)
    parts = [p for p in facts.partitions if p.disk == device]
    types = {p.type for p in parts}
    if disk is not None and disk.has_damaged_gpt:
        raise RefusedError(
            f"the partition table of {device} is damaged: only its protective MBR can be read",
            hint="`labkit boot table` says what is wrong with it",
            code="damaged-table",
        )
    for kind, what in _DYNAMIC.items():
        if kind in types:
            raise RefusedError(
                f"{device} is {what}, which cannot be laid out anew",
                hint="copy the whole disk with Windows' own tools, or make it a basic disk first",
                code="dynamic-disk",
            )
    is_mbr = (disk is not None and disk.scheme == "dos") or any(p.scheme == "dos" for p in parts)
    if is_mbr and types & {PartitionType.NTFS, PartitionType.RECOVERY}:
        raise RefusedError(
            f"{device} has an MBR table; a layout for UEFI needs GPT",
            hint=r"in Windows, as administrator: `mbr2gpt /validate /allowFullOS`, then "
            r"`mbr2gpt /convert /allowFullOS`; switch the firmware to UEFI, take the table anew",
            code="mbr-table",
        )


def _refuse_overlapping(parts: Iterable[Partition]) -> None:
    """Of partitions that share sectors one is wrong: no layout follows from such a table."""
    from labkit.boot.rules.partitions import overlap_hits

    for hit in overlap_hits(parts):
        raise RefusedError(
            hit.message,
            hint="`labkit boot explain P01` says how to save the data; then move what is whole",
            code="damaged-table",
        )


def _refuse_rounded(old: Disk | None, name: str) -> None:
    """A copy does not fit into a partition that is as long as a rounded size says."""
    if old is not None and any(p.size is None and p.size_bytes for p in old.partitions):
        raise InputError(
            f"{name} gives rounded sizes, not sectors",
            hint="give the output of `fdisk -l` without -u and -o, or of `sfdisk --json`",
            code="no-size",
        )


def _refuse_smaller(old: Disk | None, size_bytes: int) -> None:
    if old is None:
        return
    length = old.size_bytes
    if length is None and old.sectors is not None:
        length = old.sectors * (old.sector_bytes or _SECTOR_BYTES)
    if length is not None and size_bytes < length:
        raise RefusedError(
            f"the new disk ({size_bytes} bytes) is smaller than {old.device} ({length} bytes)",
            hint="give the exact size of the new disk in bytes (`lsblk -bdo SIZE DISK`), "
            "or shrink Windows first and move it with a tool that copies files",
            code="smaller-disk",
        )


def _wanted(parts: Sequence[Partition], sector: int) -> tuple[list[NewPartition], list[str]]:
    """List what the new disk gets, in its order, not placed yet; and what stays behind."""
    esp = next(p for p in parts if p.type is PartitionType.ESP)
    data = [p for p in parts if p.type is PartitionType.MICROSOFT_DATA]
    recovery = [p for p in parts if p.type is PartitionType.RECOVERY]
    windows = _windows_volume(parts, data)
    esp_mib = max(_size_mib(esp, sector), _MIN_ESP_MIB.get(sector, _MIN_ESP_MIB[_SECTOR_BYTES]))
    moved = [windows, *recovery, *(p for p in data if p is not windows)]
    wanted = [
        NewPartition(1, PartitionType.ESP, 0, esp_mib, esp.device, _ESP_LETTER),
        NewPartition(2, PartitionType.MSR, 0, _MSR_MIB),
        *(
            NewPartition(
                number,
                p.type or PartitionType.OTHER,
                0,
                _size_mib(p, sector),
                p.device,
                _WINDOWS_LETTER if p is windows else None,
            )
            for number, p in enumerate(moved, 3)
        ),
    ]
    belongs = {esp.device, *(p.device for p in moved)}
    left = [p.device for p in parts if p.device not in belongs and p.type is not PartitionType.MSR]
    return wanted, left


def _windows_volume(parts: Sequence[Partition], data: Sequence[Partition]) -> Partition:
    """Tell Windows' own volume: the first data behind the reserved partition, as setup makes it."""
    reserved = next((i for i, p in enumerate(parts) if p.type is PartitionType.MSR), -1)
    behind = [p for p in parts[reserved + 1 :] if p.type is PartitionType.MICROSOFT_DATA]
    return (behind or data)[0]


def _size_mib(partition: Partition, sector: int) -> int:
    size = partition.size_bytes if partition.size is None else partition.size * sector
    if not size:
        raise InputError(
            f"the table does not say how long {partition.device} is",
            hint="give the output of `fdisk -l` or `sfdisk --json`",
            code="no-size",
        )
    return -(-size // MIB)


def _placed(wanted: Sequence[NewPartition], size_bytes: int) -> list[NewPartition]:
    """Put the partitions one behind the other; Windows gets what is left over."""
    available = size_bytes // MIB - _FIRST_MIB - _RESERVED_END_MIB
    spare = available - sum(partition.size_mib for partition in wanted)
    if spare < 0:
        raise RefusedError(
            f"the new disk is {-spare} MiB too small for an aligned layout",
            hint="shrink the Windows partition by that much first (diskmgmt.msc), take a new table",
            code="smaller-disk",
        )
    placed = []
    offset = _FIRST_MIB
    for partition in wanted:
        size = partition.size_mib + (spare if partition.letter == _WINDOWS_LETTER else 0)
        placed.append(replace(partition, offset_mib=offset, size_mib=size))
        offset += size
    return placed


def _diskpart(partition: NewPartition) -> list[str]:
    """Write the commands that make and format one partition."""
    place = f"size={partition.size_mib} offset={partition.offset_kib}"
    if partition.role is PartitionType.MSR:
        return [f"create partition msr {place}"]
    if partition.role is PartitionType.ESP:
        lines = [f"create partition efi {place}", 'format quick fs=fat32 label="System"']
    else:
        label = {PartitionType.RECOVERY: "Recovery"}.get(partition.role, "Data")
        label = "Windows" if partition.letter == _WINDOWS_LETTER else label
        lines = [f"create partition primary {place}", f'format quick fs=ntfs label="{label}"']
    if partition.letter:
        lines.append(f'assign letter="{partition.letter}"')
    if partition.role is PartitionType.RECOVERY:
        lines += [f'set id="{_RECOVERY_GUID}"', f"gpt attributes={_RECOVERY_ATTRIBUTES}"]
    return lines
