"""What starts the installed Linux: GRUB, another boot manager, or its kernel by itself."""

from __future__ import annotations

import re
from enum import StrEnum, unique
from typing import TYPE_CHECKING

from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.facts import Facts
    from labkit.boot.parse.efibootmgr import BootEntry

__all__ = ["LinuxLoader", "beside_the_point", "linux_loader", "uses_grub"]


@unique
class LinuxLoader(StrEnum):
    """What the firmware starts of a Linux; the value is how a sentence calls it."""

    GRUB = "GRUB"
    SYSTEMD_BOOT = "systemd-boot"
    REFIND = "rEFInd"
    LIMINE = "Limine"
    KERNEL = "the kernel itself (EFI stub or unified kernel image)"


# Of the file's path, lower case; the first that fits decides. shim starts GRUB.
_FILES = (
    (LinuxLoader.SYSTEMD_BOOT, r"systemd-boot"),
    (LinuxLoader.REFIND, r"refind"),
    (LinuxLoader.LIMINE, r"limine"),
    (LinuxLoader.KERNEL, r"/efi/linux/|vmlinuz|/linux[^/]*\.efi\Z|bzimage"),
    (LinuxLoader.GRUB, r"shim|grub"),
)
_GRUB_TOPICS = frozenset(
    {
        Topic.MENU,
        Topic.SETTINGS,
        Topic.ESP_STUB,
        Topic.GRUBENV,
        Topic.RUN_LOG,
        Topic.OS_PROBER,
        Topic.SCRIPTS,
        Topic.ENTRY_FILES,
        Topic.GRUB_INSTALL,
    }
)
_UEFI_TOPICS = frozenset({Topic.BOOT_LIST, Topic.ESP_FILES, Topic.ESP_STUB, Topic.SECURE_BOOT})


def _of_path(path: str) -> LinuxLoader | None:
    return next((loader for loader, pattern in _FILES if re.search(pattern, path)), None)


def linux_loader(facts: Facts) -> LinuxLoader | None:
    """Tell what starts the installed Linux; None where nothing tells.

    The firmware's entry that started this system decides, then the first that starts a Linux, then
    GRUB's own files, then what lies on the ESP.
    """
    for entry in _linux_entries(facts):
        if found := _of_path(entry.loader or ""):
            return found
    if facts.menu is not None or facts.settings is not None or facts.stub is not None:
        return LinuxLoader.GRUB
    present = [_of_path(file) for esp in facts.esps for file in esp.linux_loaders]
    return next((loader for loader in LinuxLoader if loader in present), None)


def _linux_entries(facts: Facts) -> Iterator[BootEntry]:
    """Give the entries that start a Linux, the likeliest first; not sticks, nor fwupd's updater."""
    boot = facts.boot_list
    if boot is None:
        return
    linux = [e for e in boot.linux if not e.is_removable and "fwupd" not in (e.loader or "")]
    yield from (e for e in linux if e.number == boot.current)
    yield from (e for e in boot.in_order if e.active and e in linux)
    yield from linux


def uses_grub(facts: Facts) -> bool:
    """Tell whether GRUB starts the installed Linux, as far as anything tells."""
    return linux_loader(facts) in {LinuxLoader.GRUB, None}


def beside_the_point(facts: Facts) -> frozenset[Topic]:
    """Name the topics that this computer has nothing to say about.

    No GRUB, no menu of GRUB; no UEFI, no list of the firmware and no ESP.
    """
    topics = frozenset[Topic]() if uses_grub(facts) else _GRUB_TOPICS
    return topics if facts.starts_by_uefi is not False else topics | _UEFI_TOPICS
