"""One table out of any tool's: the role of each partition, its content, free space, warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.bundle import bundle_of
from labkit.boot.join import join
from labkit.boot.kinds import TABLE_KINDS, recognise
from labkit.boot.partition_types import PartitionType
from labkit.boot.rules.esp import RULES as ESP_RULES
from labkit.boot.rules.partitions import RULES as PARTITION_RULES
from labkit.errors import InputError

if TYPE_CHECKING:
    from labkit.boot.disks import Disk, Partition
    from labkit.boot.documents import Document
    from labkit.boot.facts import Facts
    from labkit.boot.findings import Finding

__all__ = ["PartitionTable", "Row", "read_table", "table_facts"]

_MIN_FREE_BYTES = 1 << 20
_GPT_COPY_SECTORS = 33
_DEFAULT_SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Row:
    """A partition, or a gap between two.

    Attributes:
        device: The partition; empty for free space.
        disk: The disk.
        start: The first sector; None where the tool does not say.
        size_bytes: The length in bytes.
        role: What its type says it is for; `free` for a gap.
        content: The file system on it.
        label: Its label or name.
        aligned: Whether it begins on a mebibyte; None where the start is unknown.
        mismatch: Where type and content contradict each other: how.
    """

    device: str
    disk: str
    start: int | None
    size_bytes: int | None
    role: str
    content: str | None = None
    label: str | None = None
    aligned: bool | None = None
    mismatch: str | None = None


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """All partitions and gaps, and what is wrong with them."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]

    @property
    def has_places(self) -> bool:
        """Whether it tells where partitions are: cylinders and lsblk do not."""
        return any(row.start is not None for row in self.rows)


def read_table(document: Document) -> PartitionTable:
    """Read a partition table of fdisk, sfdisk, parted or lsblk.

    Raises:
        InputError: It is another tool's output, or holds no partition.
    """
    facts = table_facts(document)
    findings = [finding for rule in (*PARTITION_RULES, *ESP_RULES) for finding in rule.apply(facts)]
    return PartitionTable(tuple(_rows(facts)), tuple(findings))


def table_facts(document: Document) -> Facts:
    """Read the disks and partitions of one tool's output, whichever tool it was.

    Raises:
        InputError: It is another tool's output, or holds no partition.
    """
    kind = recognise(document)
    if kind not in TABLE_KINDS:
        what = f"output of {kind}" if kind else "nothing that labkit knows"
        raise InputError(
            f"{document.name} is {what}, not a partition table",
            hint="give the output of `fdisk -l`, `sfdisk --json`, `parted -lm` or lsblk",
            code="wrong-input",
        )
    facts = join(bundle_of(document.name, [document]))
    if facts.unread:
        raise facts.unread[0]
    if not facts.partitions and not facts.disks:
        raise InputError(f"{document.name} shows no partition", code="no-partitions")
    return facts


def _rows(facts: Facts) -> list[Row]:
    rows = []
    disks = {disk.device: disk for disk in facts.disks}
    for name in dict.fromkeys((*disks, *(p.disk for p in facts.partitions))):
        disk = disks.get(name)
        sector = (disk.sector_bytes if disk else None) or _DEFAULT_SECTOR_BYTES
        parts = [p for p in facts.partitions if p.disk == name]
        rows += [_row(p, sector) for p in parts]
        if disk is not None:
            rows += _gaps(disk, parts, sector)
    order = {device: i for i, device in enumerate(dict.fromkeys(row.disk for row in rows))}
    return sorted(rows, key=lambda r: (order[r.disk], r.start is None, r.start or 0))


def _row(partition: Partition, sector: int) -> Row:
    size = partition.size_bytes
    if partition.size is not None:
        size = partition.size * sector
    start = partition.start
    return Row(
        partition.device,
        partition.disk,
        start,
        size,
        str(partition.type or "unknown"),
        partition.fstype,
        partition.label or partition.name,
        None if start is None else start * sector % _MIN_FREE_BYTES == 0,
        _mismatch(partition),
    )


_LINUX_CONTENT = frozenset({"ext2", "ext3", "ext4", "btrfs", "xfs", "f2fs"})


def _mismatch(partition: Partition) -> str | None:
    """Say how type and content contradict each other; a name never counts."""
    kind, content = partition.type, partition.fstype
    if kind is None or content is None:
        return None
    if kind is PartitionType.ESP and not partition.is_fat:
        return f"an EFI system partition with {content}"
    if kind is PartitionType.LINUX and partition.is_windows_volume:
        return f"typed for Linux, holds {content}"
    windows = {PartitionType.MICROSOFT_DATA, PartitionType.NTFS, PartitionType.RECOVERY}
    if kind in windows and content in _LINUX_CONTENT:
        return f"typed for Windows, holds {content}"
    return None


def _gaps(disk: Disk, partitions: list[Partition], sector: int) -> list[Row]:
    """Find unused ranges of at least 1 MiB between the table's own areas."""
    placed = sorted(
        (p.start, p.end)
        for p in partitions
        if p.start is not None and p.end is not None and p.type is not PartitionType.EXTENDED
    )
    if not placed or disk.sectors is None:
        return []
    free_from = _MIN_FREE_BYTES // sector
    last = disk.sectors - (_GPT_COPY_SECTORS if disk.scheme == "gpt" else 0)
    gaps = []
    for start, end in [*placed, (last, last)]:
        length = (start - free_from) * sector
        if length >= _MIN_FREE_BYTES:
            gaps.append(Row("", disk.device, free_from, length, "free"))
        free_from = max(free_from, end + 1)
    return gaps
