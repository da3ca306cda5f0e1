"""Rules about partition tables."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from labkit.boot.findings import Confidence, Severity
from labkit.boot.partition_types import PartitionType
from labkit.boot.remedies import steps
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from labkit.boot.disks import Disk, Partition
    from labkit.boot.facts import Facts

__all__ = ["RULES", "alignment_hits", "overlap_hits", "table_hits"]

_MEBIBYTE = 1 << 20
_FIRST_LOGICAL = 5
_SECTOR_4K = 4096


def overlap_hits(partitions: Iterable[Partition]) -> Iterator[Hit]:
    """Find partitions of one disk that share sectors; the extended one holds the logical ones."""
    placed = sorted(
        (
            (p.start, p.end, p)
            for p in partitions
            if p.start is not None and p.end is not None and p.type is not PartitionType.EXTENDED
        ),
        key=lambda item: item[:2],
    )
    furthest: tuple[int, int, Partition] | None = None
    for item in placed:
        start, _, partition = item
        if furthest is not None and start <= furthest[1]:
            first = furthest[2]
            yield Hit(
                f"{first.device} and {partition.device} overlap from sector {start}",
                (*first.evidence[:1], *partition.evidence[:1]),
                fix=steps(
                    f"Write to neither {first.device} nor {partition.device}; copy their files "
                    "away now. Save the table:",
                    f"sudo sfdisk -d {partition.disk} > table.txt",
                    "Which of the two is wrong, testdisk tells: it searches for the file systems.",
                ),
                undo=steps("From a live medium:", f"sudo sfdisk {partition.disk} < table.txt"),
            )
        if furthest is None or item[1] > furthest[1]:
            furthest = item


@rule(
    "P01",
    "partitions overlap",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.TABLE,),
    see="Odd failures after partitions were moved; tools refuse the table.",
    why="Two partitions claim the same sectors: what one system writes, the other loses.",
    check="sudo fdisk -l; sudo sfdisk --verify /dev/sda",
    fix=(
        "Write to neither, and copy their files away now. Save the table first: sudo sfdisk -d "
        "DISK > table.txt. Which of the two is wrong, testdisk tells (it searches for the file "
        "systems). Then restore an older dump of the table, or correct the wrong partition."
    ),
    undo="sudo sfdisk DISK < table.txt, from a live medium",
)
def overlaps(facts: Facts) -> Iterator[Hit]:
    """Start and size show it."""
    for disk in facts.disks:
        yield from overlap_hits(disk.partitions)


def alignment_hits(disk: Disk) -> Iterator[Hit]:
    """Find partitions that begin off the mebibyte; off 4 KiB it costs speed on a 4K disk."""
    sector = disk.sector_bytes or 512
    for p in disk.partitions:
        if p.start is None or p.type in {PartitionType.MSR, PartitionType.EXTENDED}:
            continue
        offset = p.start * sector
        is_logical = p.scheme == "dos" and (p.number or 0) >= _FIRST_LOGICAL
        is_old_windows = p.start in {34, 63}
        slow = offset % _SECTOR_4K != 0 and disk.physical_sector_bytes == _SECTOR_4K
        if offset % _MEBIBYTE == 0 or is_logical or (is_old_windows and not slow):
            continue
        yield Hit(
            f"{p.device} begins at sector {p.start}, which is no multiple of 1 MiB",
            p.evidence[:1],
            Severity.WARN if slow else Severity.INFO,
            fix=None if slow else "Nothing must be done: it costs speed at most.",
        )


@rule(
    "P02",
    "a partition is not aligned",
    Severity.INFO,
    Effect.SIDE_NOTE,
    needs=(Topic.TABLE,),
    see="The disk is slower than it could be.",
    why=(
        "A block of the file system that straddles two physical sectors costs two accesses. "
        "Multiples of 4 KiB are enough; 1 MiB is the custom. MSR at 34 and 63 are normal."
    ),
    check="sudo fdisk -l: Start divides by 2048 (by 8 at least).",
    fix=(
        "Nothing must be done. Making the partition anew erases everything on it, and moving it "
        "(GParted) rewrites every sector and may take hours: a backup comes first. What starts "
        "from a moved partition may need its firmware entry anew (N11)."
    ),
    undo="Only the backup brings the data back.",
)
def misaligned(facts: Facts) -> Iterator[Hit]:
    """Arithmetic on the starts."""
    for disk in facts.disks:
        yield from alignment_hits(disk)


def table_hits(disk: Disk) -> Iterator[Hit]:
    """Find a GPT whose backup is not at the end, or which is cut so that tools see an MBR."""
    if disk.has_damaged_gpt:
        yield Hit(
            f"{disk.device} looks like an MBR disk but is a damaged GPT: cut, or copied to a "
            "smaller disk",
            (*disk.complaints, *disk.partitions[0].evidence[:1]),
            Severity.ERROR,
            fix=steps(
                f"Write nothing to {disk.device}. This still lists its partitions (package gdisk):",
                f"sudo sgdisk -p {disk.device}",
                "If it is a copy, make it again, on a disk that is at least as large.",
            ),
        )
        return
    moved = [
        line
        for line in disk.complaints
        if "PMBR size mismatch" not in line.text or len(disk.complaints) > 1
    ]
    if moved:
        yield Hit(
            f"the backup GPT of {disk.device} is not at the end of the disk",
            disk.complaints,
            fix=steps(
                "It moves the table's copy and touches no data (package gdisk):",
                f"sudo sgdisk -e {disk.device}",
            ),
        )


@rule(
    "P03",
    "the backup partition table is not at the end",
    Severity.WARN,
    Effect.LEFTOVER,
    needs=(Topic.TABLE,),
    see="gdisk or Windows complains after a disk was copied to a larger one.",
    why="GPT keeps a copy in the last sectors; after a copy it lies in the middle of the new disk. "
    "A single row of type ee is the MBR that protects a GPT, never a partition: do not re-type it.",
    check="sudo sgdisk -v /dev/sda; fdisk -l prints `The backup GPT table is not on the end`.",
    fix="sudo sgdisk -e DISK (package gdisk) moves it; no data is touched. Be sure that it is the "
    "new disk.",
    undo="Not needed: only the table's copy moves.",
)
def backup_table_moved(facts: Facts) -> Iterator[Hit]:
    """The tools' own lines."""
    for disk in facts.disks:
        yield from table_hits(disk)


_SHARED_BY_DESIGN = frozenset({"btrfs", "linux_raid_member", "LVM2_member", "zfs_member"})


@rule(
    "P04",
    "a copied disk is still attached",
    Severity.WARN,
    Effect.CANNOT_START,
    needs=(Topic.FILE_SYSTEMS,),
    see="Now this disk starts, now that one; changes vanish.",
    why="A copy has the same identifiers. GRUB and Linux take whichever disk they meet first.",
    check="lsblk -o NAME,UUID,PARTUUID: an identifier is there twice.",
    fix=(
        "Shut down and unplug the copy; unplug the old disk instead if you mean to go on with the "
        "new one. Start with one of them only. To keep both, give the copy new identifiers: sudo "
        "sgdisk -G DISK (GPT; firmware entries and a Windows on it must be made anew then), and "
        "for ext4 sudo tune2fs -U random PARTITION (its fstab and grub.cfg then name an old UUID)."
    ),
    undo="Save the table before (sudo sfdisk -d DISK > table.txt), note the old UUID for "
    "tune2fs -U.",
    explains=("C03", "N05"),
    changes_start=True,
)
def copied_disk(facts: Facts) -> Iterator[Hit]:
    """The same identifier on partitions of two disks."""
    groups: dict[tuple[str, str], list[Partition]] = defaultdict(list)
    for p in facts.partitions:
        if p.fstype not in _SHARED_BY_DESIGN:
            for kind, value in (("UUID", p.uuid), ("PARTUUID", p.partuuid)):
                if value and not re.match(r"0000", value):  # A blank identifier says nothing.
                    groups[kind, value.lower()].append(p)
    reported: set[tuple[str, ...]] = set()
    for (kind, value), members in groups.items():
        disks = tuple(dict.fromkeys(p.disk for p in members))
        if len(disks) < 2 or disks in reported:  # noqa: PLR2004 - two disks make a copy
            continue
        reported.add(disks)
        roots = {(e.uuid or "").lower() for e in facts.fstab or () if e.mount == "/"}
        vital = value in roots or any(p.type is PartitionType.ESP for p in members)
        yield Hit(
            f"{' and '.join(disks)} hold the same {kind} {value}: one is a copy of the other",
            tuple(e for p in members for e in p.evidence[:1]),
            Severity.ERROR if vital else Severity.WARN,
            fix=_one_disk_only(facts, disks),
        )


def _one_disk_only(facts: Facts, disks: tuple[str, ...]) -> str:
    """Say which disk is in use, as far as mounts tell, and what taking one out means."""
    used = [d for d in disks if any(p.mounts for p in facts.partitions if p.disk == d)]
    others = " and ".join(d for d in disks if d not in used)
    which = (
        f"{used[0]} is in use now (mounted), {others} is not."
        if len(used) == 1
        else "Which is which, `lsblk -o NAME,MODEL,SERIAL,SIZE,MOUNTPOINTS` tells."
    )
    return steps(
        which,
        "Shut down and unplug the one that you do not go on with; start with one of them only. "
        "Until then changes may land on either disk.",
        "Erase nothing before the disk that you keep has started every system alone.",
    )


_DYNAMIC = frozenset({PartitionType.LDM_DATA, PartitionType.LDM_METADATA})


@rule(
    "P06",
    "a disk is dynamic",
    Severity.WARN,
    Effect.SIDE_NOTE,
    needs=(Topic.TABLE,),
    see="Volumes of Windows cannot be read in Linux, or partitions cannot be changed.",
    why=(
        "Windows' dynamic disks (LDM) keep their volumes in a database of their own; the "
        "partition table shows one block. os-prober and installers do not look inside."
    ),
    check="sudo fdisk -l: type 42 (SFS) or `Microsoft LDM data`.",
    fix=(
        "Nothing must be done if only data is on it. Windows converts it to basic only when all "
        "its volumes are deleted: that erases the disk. Back everything up first, restore it after."
    ),
    undo="Only the backup brings the data back.",
)
def dynamic_disk(facts: Facts) -> Iterator[Hit]:
    """LDM types; only a remark where the systems are on other disks."""
    for disk in facts.disks:
        parts = [p for p in disk.partitions if p.type in _DYNAMIC]
        if not parts:
            continue
        elsewhere = any(
            p.disk != disk.device and p.type in {PartitionType.ESP, PartitionType.LINUX}
            for p in facts.partitions
        )
        yield Hit(
            f"{disk.device} is a dynamic disk of Windows",
            tuple(e for p in parts for e in p.evidence[:1]),
            Severity.INFO if elsewhere else Severity.WARN,
        )


@rule(
    "P08",
    "the active flag is on another partition",
    Severity.WARN,
    Effect.CANNOT_START,
    needs=(Topic.TABLE, Topic.BOOT_SECTORS),
    see="Windows does not start on a BIOS computer.",
    why=(
        "Windows' MBR code starts the partition with the active flag. While GRUB is in the MBR "
        "the flag does not matter: GRUB starts the partition that its entry names."
    ),
    check="sudo fdisk -l: the star in the column Boot.",
    fix=(
        "sudo sfdisk -A DISK NUMBER sets the flag on the partition with bootmgr and takes it off "
        "all others. Not needed while GRUB in the MBR starts Windows."
    ),
    undo="sudo sfdisk -A DISK with the old number.",
    changes_start=True,
)
def wrong_active_flag(facts: Facts) -> Iterator[Hit]:
    """Bootmgr is on a partition without the flag; another one of the disk has it, or none."""
    for file in facts.boot_files:
        target = facts.partition(file.device)
        if file.path != "/bootmgr" or target is None or target.scheme != "dos":
            continue
        may_be_windows = target.fstype is None and target.type is PartitionType.NTFS
        if target.active or not (target.is_windows_volume or may_be_windows):
            continue
        active = next((p for p in facts.partitions if p.disk == target.disk and p.active), None)
        code = next((m for m in facts.mbr_codes if m.device == target.disk), None)
        by_windows = code is not None and "Windows" in code.content
        if active is None and not by_windows:
            continue  # No code that looks for the flag is seen.
        flag = f"the active flag is on {active.device}" if active else "no partition is active"
        yield Hit(
            f"{flag}, Windows starts from {target.device}",
            (*(active.evidence[:1] if active else ()), file.evidence),
            Severity.ERROR if by_windows else Severity.WARN,
            Confidence.LIKELY,
            steps(
                "" if by_windows else "Not needed while GRUB in the MBR starts Windows. Else:",
                f"sudo sfdisk -A {target.disk} {target.number}",
            ),
            f"sudo sfdisk -A {target.disk} {active.number if active else '-'}",
        )


RULES = (
    overlaps,
    misaligned,
    backup_table_moved,
    copied_disk,
    dynamic_disk,
    wrong_active_flag,
)
