"""What to do about entries of the firmware: make one, make it anew, delete a leftover.

Each function gives the commands, and those that take them back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.remedies import (
    BCDBOOT,
    as_written,
    chroot_steps,
    create_entry,
    entry_loader,
    free_number,
    loader_steps,
    old_order,
    order_step,
    order_with,
    steps,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.parse.efibootmgr import BootEntry, BootList
    from labkit.boot.parse.esp import EspListing

__all__ = [
    "entry_again",
    "entry_anew",
    "entry_for_linux",
    "entry_for_windows",
    "replacement",
    "spare_entry",
]

_LOADERS = ("shimx64.efi", "grubx64.efi", "systemd-bootx64.efi", "refind_x64.efi", "limine.efi")


def _best_loaders(esp: EspListing) -> Iterator[str]:
    """Give what can start a Linux, of each folder the file that the firmware is to start first."""
    for folder in esp.linux_folders:
        here = [file for file in esp.linux_loaders if file.split("/")[2] == folder]
        names = [f"/efi/{folder}/{name}" for name in _LOADERS]
        yield from [name for name in names if name in here] or here


def entry_for_linux(facts: Facts, boot: BootList) -> tuple[str, str]:
    """Give the commands that make an entry for the loader on the ESP, and that remove it."""
    for esp in facts.esps:
        for loader in _best_loaders(esp):
            found = esp.find(loader)
            path = as_written(loader, found.text) if found else loader
            label = path.split("/")[2]
            commands = create_entry(free_number(boot), _partition(facts, esp), label, path)
            if commands is not None:
                return commands
            return (
                (
                    f"Make an entry for {path}: labkit needs `sudo fdisk -l` to name the "
                    "disk and the partition of the ESP."
                ),
                "",
            )
    if facts.lists_every_esp:
        return steps(chroot_steps(facts), loader_steps(facts)), ""
    return (
        (
            f"Look whether the loader is on the ESP: `sudo find {facts.esp_folder} -type f`. If it "
            "is, give labkit that list, and it names the command; if not, install the loader (rule "
            "E03)."
        ),
        "",
    )


def _partition(facts: Facts, esp: EspListing) -> Partition | None:
    """Find the partition of a list of files.

    A list without a name is that of the only ESP, or of the one that is mounted where its paths
    begin.
    """
    if esp.device is not None:
        return facts.partition(esp.device)
    candidates = facts.esp_partitions
    if len(candidates) == 1:
        return candidates[0]
    mount = facts.esp_mount
    begins = mount is not None and all(
        line.text.strip().lower().startswith(f"{mount.mount}/efi/".lower()) for line in esp.evidence
    )
    return facts.mounted(mount) if mount is not None and begins and esp.evidence else None


_BOOTMGFW = "/EFI/Microsoft/Boot/bootmgfw.efi"


def entry_for_windows(facts: Facts, boot: BootList, esp: EspListing) -> tuple[str, str]:
    """Give the commands that make an entry for Windows behind the others, and that remove it."""
    number = free_number(boot)
    partition = _partition(facts, esp)
    commands = create_entry(number, partition, "Windows Boot Manager", _BOOTMGFW)
    if commands is None:
        return (
            (
                f"Make an entry for {_BOOTMGFW}: labkit needs `sudo fdisk -l` to name the disk "
                f"and the partition of the ESP.\nOr: {BCDBOOT[0].lower()}{BCDBOOT[1:]}"
            ),
            "",
        )
    # A new entry is put first.
    in_order = [e.number for e in boot.in_order]
    order = order_step(boot, (*in_order, number)) if in_order else ""
    return steps(commands[0], order), commands[1]


def spare_entry(boot: BootList, first: BootEntry, second: BootEntry) -> BootEntry:
    """Choose the entry to delete of two: not the one that started, nor the earlier in the order."""
    places = [e.number for e in boot.in_order]

    def disuse(entry: BootEntry) -> tuple[bool, int, int]:
        place = places.index(entry.number) if entry.number in places else len(places)
        return entry.number != boot.current, place, entry.number

    return max(first, second, key=disuse)


def entry_again(facts: Facts, boot: BootList, entry: BootEntry) -> str:
    """Give the commands that make a deleted entry again; its optional data cannot be given."""
    if entry.data or entry.loader is None:
        return "Not needed: the other entry starts the same."
    partition = facts.partition_of(entry)
    commands = create_entry(entry.number, partition, entry.label, entry_loader(entry))
    return "" if commands is None else steps(commands[0], old_order(boot))


def replacement(facts: Facts, boot: BootList, entry: BootEntry) -> tuple[str, str]:
    """Keep what starts a system: a new entry where its loader is, deleting only leftovers."""
    deletion = f"sudo efibootmgr -b {entry.number:04X} -B"
    home = next((esp for esp in facts.esps if esp.find(entry.loader or "")), None)
    rival = any(
        e is not entry and e.loader == entry.loader and facts.partition_of(e) for e in boot.entries
    )
    if rival:
        return steps("Another entry starts the same loader; this one can go:", deletion), ""
    if home is not None:
        number = free_number(boot)
        commands = create_entry(number, _partition(facts, home), entry.label, entry_loader(entry))
        if commands is not None:
            create = f"Its loader is on {_name(facts, home)}: make a new entry, and keep this one "
            return (
                steps(
                    f"{create}until the new one has started.",
                    commands[0],
                    order_with(boot, number, entry),
                ),
                steps(commands[1], old_order(boot)),
            )
    if entry.starts is Starts.WINDOWS or entry.has_windows_data:
        return (
            (
                "Do not delete it: Windows may be on a disk that is unplugged or that Linux does "
                "not see (R01). If its disk is here, write Windows' loader anew (E02)."
            ),
            "",
        )
    return (
        steps("Nothing must be done. If its disk is gone for good, it can be deleted:", deletion),
        "",
    )


def _name(facts: Facts, esp: EspListing) -> str:
    partition = _partition(facts, esp)
    return partition.device if partition else "the ESP"


def entry_anew(boot: BootList, entry: BootEntry, partition: Partition) -> tuple[str, str]:
    """Give the commands that make an entry anew, in its place in the order, beside the old one."""
    number = free_number(boot)
    commands = create_entry(number, partition, entry.label, entry_loader(entry))
    if commands is None or entry.loader is None:
        return "Make the entry anew with efibootmgr; keep the old one until it has started.", ""
    windows = entry.starts is Starts.WINDOWS
    return (
        steps(
            "Make a new entry, and keep the old one until the new one has started.",
            commands[0],
            order_with(boot, number, entry),
            "If Windows then shows 0xc000000e, write its BCD anew (rule W06)." if windows else "",
        ),
        steps(commands[1], old_order(boot)),
    )
