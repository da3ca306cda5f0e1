"""Commands that mend, composed from the facts: a line runs as shown, or is a sentence.

A command is written only where the facts name everything in it. Where a disk, a partition or a
file is not known, a sentence says what to find out: something that cannot run must not look as if
it could.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.distributions import Family
from labkit.boot.linux_loader import LinuxLoader, linux_loader, uses_grub
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
    "bios_disk",
    "bitlocker_caution",
    "chroot_steps",
    "create_entry",
    "esp_line",
    "free_number",
    "grub_folder",
    "grub_install",
    "loader_steps",
    "old_order",
    "only_esp",
    "order_after_bcdboot",
    "order_step",
    "order_with",
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


def order_step(boot: BootList, numbers: Iterable[int]) -> str:
    """Give the command that sets the boot order, in which every entry keeps a place.

    Where the end of the list is missing, it is a sentence: efibootmgr refuses an order that names
    what is not there, and one without it drops what is.
    """
    command = f"sudo efibootmgr -o {','.join(f'{n:04X}' for n in numbers)}"
    if not boot.is_cut:
        return command
    if not boot.unlisted:
        return "An order drops what it does not name: first give labkit the whole list."
    names = ", ".join(f"Boot{n:04X}" for n in boot.unlisted)
    return (
        f"BootOrder names {names}, without a line in the list. If the whole output of "
        f"`sudo efibootmgr` has none either, `{command}` sets the order; else give labkit that."
    )


def order_with(boot: BootList, number: int, before: BootEntry) -> str:
    """Give the step that puts a new entry before one that stays; empty where that has no place."""
    if before not in boot.in_order:
        return ""
    numbers = [e.number for e in boot.in_order]
    numbers.insert(numbers.index(before.number), number)
    return order_step(boot, numbers)


def old_order(boot: BootList) -> str:
    """Give the command that sets the order of the list again; its line where the list is a part."""
    if boot.order and boot.is_cut:
        line = boot.evidence["BootOrder"].text.strip()
        return f"The old order (efibootmgr refuses numbers without an entry): {line}"
    return order_step(boot, (e.number for e in boot.in_order)) if boot.in_order else ""


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
    """Give the command that generates the menu anew; a sentence where the system is not known.

    Where something else than GRUB starts Linux there is no such menu, and nothing to do.
    """
    if not uses_grub(facts):
        return ""
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
    """Give the commands that write what starts Linux anew; of GRUB its lines on the ESP too."""
    if facts.starts_by_uefi is False:
        return steps(_grub_for_bios(facts), update_steps(facts))
    loader, folder = linux_loader(facts), facts.esp_folder
    if loader not in {LinuxLoader.GRUB, None}:
        return _OTHER_LOADERS[loader].format(folder=quoted(folder))
    if not facts.distribution.loader_commands:
        return (
            f"Write the loader anew, with the ESP mounted on {folder}: `{grub_install(facts)}`; "
            "on Fedora `sudo dnf reinstall shim-x64 grub2-efi-x64`."
        )
    commands = (
        grub_install(facts) if "grub-install" in command else command
        for command in facts.distribution.loader_commands
    )
    return steps(commands, update_steps(facts))


def bios_disk(facts: Facts) -> str | None:
    """Name the disk whose MBR starts the systems: the one of the root, or the only one."""
    root = next((e for e in facts.fstab or () if e.mount == "/"), None)
    partition = facts.mounted(root) if root is not None else None
    if partition is not None:
        return partition.disk
    return facts.disks[0].device if len(facts.disks) == 1 else None


def _grub_for_bios(facts: Facts) -> str:
    disk = bios_disk(facts)
    if disk is None:
        return "Install GRUB on the disk that the BIOS starts from: `sudo grub-install` and it."
    return f"sudo grub-install {disk}"


_OTHER_LOADERS = {
    LinuxLoader.SYSTEMD_BOOT: "sudo bootctl install --esp-path={folder}",
    LinuxLoader.REFIND: "sudo refind-install",
    LinuxLoader.LIMINE: (
        "Limine starts this Linux: copy its BOOTX64.EFI to the place on {folder} that the "
        "firmware's entry names."
    ),
    LinuxLoader.KERNEL: (
        "The firmware starts the kernel of this Linux by itself: have the distribution write the "
        "kernel (or the unified kernel image) onto {folder} again, as its kernel package does: "
        "on Arch `sudo mkinitcpio -P`, elsewhere kernel-install or dracut."
    ),
}


def grub_install(facts: Facts) -> str:
    """Give the command that installs GRUB for UEFI; it looks for the ESP on /boot/efi alone."""
    folder = facts.esp_folder
    is_told = folder != "/boot/efi" or facts.distribution.family is Family.ARCH
    option = f" --efi-directory={quoted(folder)}" if is_told else ""
    return f"sudo grub-install --target=x86_64-efi{option}"


def chroot_steps(facts: Facts, mode: str = "UEFI") -> str:
    """Give the commands that lead from a live medium into the installed system."""
    start = f"From a live medium started in {mode} mode:"
    mounts = {e.mount: e for e in facts.fstab or ()}
    root = mounts.get("/")
    if root is None or not _is_mountable(root):
        return (
            f"{start[:-1]}, mount the installed system on /mnt, with its /boot and "
            f"{facts.esp_folder}, bind /dev, /proc, /sys and /run below it, and chroot into it."
        )
    esp = facts.esp_mount
    below = [mounts["/boot"]] if "/boot" in mounts and mounts["/boot"] is not esp else []
    return steps(
        start,
        _mount(root),
        (_mount(e) for e in below if _is_mountable(e)),
        _mount_esp(facts, esp) if esp is not None else "",
        "for d in dev proc sys run; do sudo mount --rbind /$d /mnt/$d; done",
        "sudo chroot /mnt",
    )


def only_esp(facts: Facts) -> Partition | None:
    """Give the ESP where there is one only: no other can be meant."""
    known = [p for p in facts.esp_partitions if p.is_fat and p.uuid]
    return known[0] if len(known) == 1 else None


def esp_line(esp: Partition, mount: str) -> str:
    """Give the line of fstab that mounts the ESP."""
    return f"The line in /etc/fstab: UUID={esp.uuid} {mount} vfat umask=0077 0 1"


def _mount_esp(facts: Facts, entry: FstabEntry) -> str:
    """Mount the ESP that there is: after it was formatted, fstab names one that is gone."""
    esp = only_esp(facts)
    if esp is not None and facts.lists_every_file_system and facts.mounted(entry) is None:
        return f"sudo mount UUID={esp.uuid} {quoted('/mnt' + entry.mount)}"
    return _mount(entry) if _is_mountable(entry) else ""


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
