"""What to do about the EFI system partition: which it is, what it holds, what mounts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.partition_types import PartitionType
from labkit.boot.remedies import (
    chroot_steps,
    esp_line,
    loader_steps,
    only_esp,
    retype,
    steps,
    type_number,
)

if TYPE_CHECKING:
    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.findings import Evidence

__all__ = [
    "esp_again",
    "esp_of_windows",
    "formatted",
    "fstab_fix",
    "loader_written",
    "typed_as_held",
    "was_esp",
]


def esp_of_windows(facts: Facts) -> str:
    """Say which of several ESPs is Windows' own: that of its entry, or on its disk."""
    if len(facts.esp_partitions) < 2:  # noqa: PLR2004 - one cannot be mistaken
        return ""
    entries = facts.boot_list.starting(Starts.WINDOWS) if facts.boot_list else ()
    named = [p for e in entries if (p := facts.partition_of(e)) in facts.esp_partitions]
    volumes = {p.disk for p in facts.partitions if p.evidence[:1] and _holds(facts, p)}
    beside = [p for p in facts.esp_partitions if p.disk in volumes]
    esp = next(iter((*named, *beside)), None)
    if esp is None:
        return "There are several EFI system partitions: choose that on the disk of Windows."
    size = facts.bytes_of(esp)
    told = f"{esp.device}, {size // _MIB} MiB, " if size else f"{esp.device}, "
    return f"There are several EFI system partitions; Windows' own is {told}on its disk."


def _holds(facts: Facts, partition: Partition) -> bool:
    return partition.evidence[0] in facts.windows_volumes


def loader_written(facts: Facts) -> str:
    """Write the loader anew, and fstab's line first where the ESP was formatted."""
    esp, entry = only_esp(facts), facts.esp_mount
    line = ""
    if esp is not None and entry is not None and facts.lists_every_file_system:
        line = esp_line(esp, entry.mount) if facts.mounted(entry) is None else ""
    return steps(chroot_steps(facts), line, loader_steps(facts))


_TYPE_OF_CONTENT = {
    "ntfs": PartitionType.MICROSOFT_DATA,
    "bitlocker": PartitionType.MICROSOFT_DATA,
    "exfat": PartitionType.MICROSOFT_DATA,
    "swap": PartitionType.SWAP,
    "lvm2_member": PartitionType.LVM,
    "linux_raid_member": PartitionType.RAID,
}


def typed_as_held(facts: Facts, esp: Partition) -> str:
    """Give the partition the type of its content, which stays; then see to the real ESP."""
    held = _TYPE_OF_CONTENT.get((esp.fstype or "").lower(), PartitionType.LINUX)
    command = retype(esp, type_number(esp, held))
    others = [p for p in facts.partitions if p.is_fat and p.device != esp.device]
    if any(p.type is PartitionType.ESP for p in others):
        rest = ""
    elif others:
        rest = f"The real ESP may be {others[0].device} (FAT): if it holds EFI, see rule E01."
    else:
        rest = (
            "There is no other ESP: make one in free space (FAT32, 300 MiB, type EFI System), then "
            "write the loaders anew (E02, E03)."
        )
    return steps(f"Do not format {esp.device}. Only its type is wrong:", command, rest)


def was_esp(facts: Facts, esp: Partition) -> Evidence | None:
    """Give the line of an entry that starts a file from a small partition: its loaders are gone."""
    size = facts.bytes_of(esp)
    if size is None or size > _LARGEST_ESP:
        return None
    for entry in facts.boot_list.entries if facts.boot_list else ():
        if entry.loader and entry.node and entry.node.partuuid == esp.partuuid:
            return entry.evidence
    return None


def esp_again(esp: Partition) -> str:
    """Make a formatted ESP one again, after a look and a copy."""
    return steps(
        f"The firmware starts files from {esp.device}: it was the ESP, and was formatted as "
        f"{esp.fstype}. Look what is on it now (this only reads):",
        f"sudo mount -o ro {esp.device} /mnt",
        "ls -la /mnt",
        "If nothing there is needed, keep a copy all the same and make it FAT again:",
        "sudo umount /mnt",
        f"sudo dd if={esp.device} of=old-esp.img bs=1M",
        f"sudo mkfs.vfat -F 32 {esp.device}",
        "Then write the loaders anew (E02, E03), and its new UUID into /etc/fstab.",
    )


_MIB = 1 << 20
_LARGEST_ESP = 1100 * _MIB  # Ubuntu's and Fedora's are up to 1 GiB.


def formatted(facts: Facts, esp: Partition) -> str:
    """Offer mkfs only for what is small, not in use, and the only one that can be the ESP."""
    look = f"sudo blkid -p {esp.device}"
    size = facts.bytes_of(esp)
    is_small = size is not None and size <= _LARGEST_ESP
    others = [p for p in facts.partitions if p.is_fat or p.type is PartitionType.ESP]
    is_used = bool(esp.mounts) or any(e.spec == esp.device for e in facts.fstab or ())
    if not is_small or is_used or any(p is not esp for p in others):
        return steps("Do not format it. Look what it holds (this only reads):", look)
    return steps(
        "Look what it holds (this only reads):",
        look,
        "If that prints no TYPE, keep a copy, and make it FAT; whatever was on it is lost:",
        f"sudo dd if={esp.device} of=old-esp.img bs=1M",
        f"sudo mkfs.vfat -F 32 {esp.device}",
        "Then write the loaders anew (E02, E03), and its new UUID into /etc/fstab.",
    )


def fstab_fix(facts: Facts, mount: str) -> str:
    """Give the line of the only ESP; with several it must be the one that starts Linux."""
    esp = only_esp(facts)
    if esp is None:
        return (
            f"Put the UUID of the ESP that starts Linux (lsblk -f) into the line of {mount} in "
            f"/etc/fstab, mount it, and write the loader anew."
        )
    return steps(
        esp_line(esp, mount),
        "sudo systemctl daemon-reload",
        f"sudo mount {mount}",
        loader_steps(facts),
    )
