"""Commands that mend, composed from the facts: a line runs as shown, or is a sentence.

A command is written only where the facts name everything in it. Where a disk, a partition or a
file is not known, a sentence says what to find out: something that cannot run must not look as if
it could.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.distributions import Family
from labkit.boot.parse.efibootmgr import Starts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.parse.efibootmgr import BootEntry, BootList
    from labkit.boot.parse.host import FstabEntry

__all__ = [
    "BCDBOOT",
    "as_written",
    "bitlocker_caution",
    "chroot_steps",
    "create_entry",
    "free_number",
    "grub_folder",
    "loader_steps",
    "old_order",
    "order_after_bcdboot",
    "order_command",
    "quoted",
    "retype",
    "settings_file",
    "steps",
    "type_number",
    "update_steps",
]

BCDBOOT = (
    "From Windows media (Shift+F10): diskpart, list volume, select the small FAT32 volume, "
    "assign letter=S, exit. Then, with the letter under which `dir C:\\Windows` shows files:\n"
    "bcdboot C:\\Windows /s S: /f UEFI"
)
"""How Windows' loader and BCD are written anew."""


def steps(*lines: str | Iterable[str]) -> str:
    """Join steps, leaving out empty ones."""
    flat = (part for line in lines for part in ((line,) if isinstance(line, str) else line))
    return "\n".join(line for line in flat if line)


def quoted(word: str) -> str:
    """Quote a word for the shell where it must be."""
    import shlex

    return shlex.quote(word)


def bitlocker_caution(facts: Facts) -> str:
    """Say what BitLocker needs before the start of Windows is changed; empty where nothing."""
    listed = facts.boot_list.entries if facts.boot_list else ()
    has_windows = facts.windows_evidence or any(e.starts is Starts.WINDOWS for e in listed)
    if facts.bitlocker is False or not (facts.bitlocker or has_windows):
        return ""
    if facts.bitlocker is None:
        return (
            "if Windows uses BitLocker (device encryption), have its recovery key at hand, or "
            "suspend it in Windows: manage-bde -protectors -disable C:"
        )
    return (
        "BitLocker is in use: have the recovery key at hand, or suspend it in Windows: "
        "manage-bde -protectors -disable C:"
    )


# --- the firmware's list ----------------------------------------------------------------------


def order_command(numbers: Iterable[int]) -> str:
    """Give the command that sets the boot order."""
    return f"sudo efibootmgr -o {','.join(f'{n:04X}' for n in numbers)}"


def old_order(boot: BootList) -> str:
    """Give the command that sets the order of the list again.

    Numbers without an entry are left out: efibootmgr refuses an order that names one.
    """
    return order_command(e.number for e in boot.in_order) if boot.in_order else ""


def order_after_bcdboot(facts: Facts) -> str:
    """Say how Linux comes first again: bcdboot makes an entry for Windows and puts it first."""
    boot = facts.boot_list
    if boot is None or not boot.in_order:
        return "That puts Windows first in the firmware's order: set it back in the firmware setup."
    return steps(
        "That puts Windows first in the firmware's order. To set it back, in Linux:",
        old_order(boot),
    )


def free_number(boot: BootList) -> int:
    """Give the lowest number that no entry has; efibootmgr refuses one that is taken after all."""
    taken = {entry.number for entry in boot.entries} | set(boot.order or ())
    return next(n for n in range(0x10000) if n not in taken)


def create_entry(
    number: int, partition: Partition | None, label: str, loader: str
) -> tuple[str, str] | None:
    """Give the commands that create a firmware entry and remove it again.

    Args:
        number: The entry's number.
        partition: The partition with the loader.
        label: What the firmware's menu shows.
        loader: The path from the partition's root, with slashes.

    Returns:
        The two commands; None where the partition is not known.
    """
    if partition is None or partition.number is None:
        return None
    path = loader.replace("/", "\\")
    return (
        (
            f"sudo efibootmgr -c -b {number:04X} -d {partition.disk} -p {partition.number} "
            f"-L {quoted(label)} -l '{path}'"
        ),
        f"sudo efibootmgr -b {number:04X} -B",
    )


def as_written(path: str, text: str) -> str:
    """Give `path` in the case in which `text` has it; FAT and the firmware compare without case."""
    found = re.search(re.escape(path), text.replace("\\", "/"), re.IGNORECASE)
    return found[0] if found else path


def entry_loader(entry: BootEntry) -> str:
    """Give the loader of an entry as its line writes it, with backslashes."""
    loader = entry.loader or ""
    written = as_written(loader.lstrip("/"), entry.path)
    return "\\" + written.replace("/", "\\")


# --- the distribution's commands --------------------------------------------------------------


def update_steps(facts: Facts) -> str:
    """Give the command that generates the menu anew; a sentence where the system is not known."""
    if facts.distribution.family is Family.UNKNOWN:
        return (
            "Update the menu: `sudo update-grub`, on Fedora and openSUSE "
            "`sudo grub2-mkconfig -o /boot/grub2/grub.cfg`, on Arch "
            "`sudo grub-mkconfig -o /boot/grub/grub.cfg`."
        )
    return facts.distribution.update_command


def settings_file(facts: Facts, name: str) -> str:
    """Name the settings file that the input `name` is: the main one, or a drop-in as it is called.

    Whoever reads the advice edits the file on the computer, not the copy that was collected.
    """
    is_main = facts.settings is None or name == facts.settings.files[0].name
    return "/etc/default/grub" if is_main else name


def grub_folder(facts: Facts) -> str:
    """Give the folder of the menu: Fedora and openSUSE call theirs grub2."""
    is_grub2 = facts.distribution.family in {Family.FEDORA, Family.SUSE}
    return "/boot/grub2" if is_grub2 else "/boot/grub"


def loader_steps(facts: Facts) -> str:
    """Give the commands that write the UEFI loader and the ESP's grub.cfg anew."""
    if not facts.distribution.loader_commands:
        return (
            "Write the loader anew, with the ESP mounted on /boot/efi: `sudo grub-install "
            "--target=x86_64-efi`; on Fedora `sudo dnf reinstall shim-x64 grub2-efi-x64`."
        )
    return steps(facts.distribution.loader_commands, update_steps(facts))


def chroot_steps(facts: Facts, mode: str = "UEFI") -> str:
    """Give the commands that lead from a live medium into the installed system."""
    start = f"From a live medium started in {mode} mode:"
    mounts = {e.mount: e for e in facts.fstab or ()}
    root = mounts.get("/")
    if root is None or not _is_mountable(root):
        return (
            f"{start[:-1]}, mount the installed system on /mnt, with its /boot and /boot/efi, "
            "bind /dev, /proc, /sys and /run below it, and chroot into it."
        )
    below = [mounts[place] for place in ("/boot", "/boot/efi", "/efi") if place in mounts]
    return steps(
        start,
        _mount(root),
        (_mount(e) for e in below if _is_mountable(e)),
        "for d in dev proc sys run; do sudo mount --rbind /$d /mnt/$d; done",
        "sudo chroot /mnt",
    )


def _is_mountable(entry: FstabEntry) -> bool:
    """Tell whether a plain mount suffices: no LVM or LUKS that must be opened first."""
    return bool(entry.uuid or entry.partuuid or re.match(r"/dev/(?:sd|nvme|vd|mmc)", entry.spec))


def _mount(entry: FstabEntry) -> str:
    subvolume = re.search(r"\bsubvol=[^,\s]+", entry.options)
    option = f"-o {subvolume[0]} " if subvolume else ""
    place = "/mnt" if entry.mount == "/" else f"/mnt{entry.mount}"
    spec = f"UUID={entry.uuid}" if entry.uuid else entry.spec
    return f"sudo mount {option}{spec} {place}"


# --- partition types --------------------------------------------------------------------------

_TYPES = {
    "EFI system": ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "ef"),
    "Microsoft basic data": ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "7"),
    "Windows recovery": ("DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", "27"),
    "NTFS/exFAT": ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "7"),
    "FAT": ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "c"),
    "Linux file system": ("0FC63DAF-8483-4772-8E79-3D69D8477DE4", "83"),
    "Linux swap": ("0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "82"),
    "Linux LVM": ("E6D6D379-F507-44C2-A23C-238F2A3DF928", "8e"),
    "Linux RAID": ("A19D880F-05FC-4D3B-A006-743F0F84911E", "fd"),
}


def type_number(partition: Partition, name: str | None = None) -> str | None:
    """Give the type `name` as sfdisk wants it on this table; without a name the present type."""
    if name is None and partition.type_id:
        return partition.type_id.removeprefix("0x").upper()
    pair = _TYPES.get(str(name or partition.type))
    return None if pair is None else pair[partition.scheme == "dos"]


def retype(partition: Partition, number: str | None) -> str:
    """Give the command that sets a partition's type; its content stays as it is."""
    if number is None or partition.number is None:
        return ""
    return f"sudo sfdisk --part-type {partition.disk} {partition.number} {number}"
