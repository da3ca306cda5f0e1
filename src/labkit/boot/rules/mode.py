"""Rules about the firmware's mode: UEFI or legacy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.findings import Confidence, Severity
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.partition_types import PartitionType
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.facts import Facts
    from labkit.boot.findings import Evidence

__all__ = ["RULES"]


@rule(
    "M01",
    "running in legacy mode beside UEFI installations",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.MODE, Topic.TABLE),
    see="The installer or GRUB does not see the ESP; efibootmgr: not supported.",
    why="A medium started in legacy mode has no access to EFI variables and installs for a BIOS.",
    check="ls /sys/firmware/efi: the folder is missing.",
    fix="Start the medium by its UEFI entry; switch CSM (legacy) off in the firmware setup.",
    undo="Switch CSM on again.",
    explains=("M03", "N01"),
)
def legacy_run(facts: Facts) -> Iterator[Hit]:
    """No /sys/firmware/efi, a GPT disk, and an ESP that systems use."""
    runs_legacy = facts.running_mode == "bios" or (
        facts.boot_list is not None and not facts.boot_list.is_supported
    )
    on_gpt = [p for p in facts.esp_partitions if p.scheme == "gpt"]
    if not runs_legacy or not on_gpt:
        return
    used = facts.windows_loader or next(
        (esp.evidence[0] for esp in facts.esps if esp.linux_folders), None
    )
    used = used or next((e.evidence for e in facts.fstab or () if e.mount == "/boot/efi"), None)
    if used is None:
        return
    mode = facts.mode_evidence
    if mode is None and facts.boot_list is not None:
        mode = facts.boot_list.evidence.get("unsupported")
    yield Hit(
        "this system runs in legacy mode, but the disk is set up for UEFI",
        (*((mode,) if mode else ()), used),
    )


@rule(
    "M02",
    "one system is installed for UEFI, the other for legacy mode",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.TABLE, (Topic.BOOT_LIST, Topic.ESP_FILES, Topic.BOOT_SECTORS)),
    see="Only one of the systems can be reached, whichever mode is set.",
    why=(
        "A firmware starts either boot sectors or loaders on an ESP in one run. GRUB cannot "
        "cross over: a UEFI GRUB cannot start a boot sector, nor a BIOS GRUB an EFI file."
    ),
    check="efibootmgr -v names no Linux loader; dpkg -l grub-pc grub-efi-amd64-signed",
    fix="Install GRUB for the mode of Windows: start a live system in that mode, chroot, install "
    "grub-efi and run grub-install.",
    undo="Install the other package again.",
    explains=("N01", "N03", "E03", "E07", "O01", "O03", "C07", "M01", "M03"),
)
def mixed_modes(facts: Facts) -> Iterator[Hit]:
    """Windows by UEFI with two signs of a legacy Linux, or the reverse."""
    uefi_windows = facts.windows_loader or _windows_entry(facts)
    if uefi_windows is not None:
        if facts.boot_list is None or facts.boot_list.starting(Starts.LINUX):
            return
        signs = _legacy_signs(facts)
        if len(signs) > 1:
            message = "Windows is installed for UEFI, Linux for legacy mode"
            yield Hit(message, (uefi_windows, *signs))
    elif facts.boot_list is not None and facts.boot_list.starting(Starts.LINUX):
        bios_windows = _bios_windows(facts)
        if bios_windows is not None:
            linux = facts.boot_list.starting(Starts.LINUX)[0].evidence
            message = "Linux is installed for UEFI, Windows for legacy mode"
            yield Hit(message, (linux, bios_windows), confidence=Confidence.LIKELY)


def _windows_entry(facts: Facts) -> Evidence | None:
    entries = facts.boot_list.starting(Starts.WINDOWS) if facts.boot_list else ()
    return next((e.evidence for e in entries if e.loader), None)


def _legacy_signs(facts: Facts) -> list[Evidence]:
    """Collect what shows a GRUB for a BIOS: its package, its partition, its boot sector."""
    signs = [e for e in facts.packages if re.search(r"\bgrub-pc\b(?!-bin)", e.text)][:1]
    signs += [
        p.evidence[0] for p in facts.partitions if p.type is PartitionType.BIOS_BOOT and p.evidence
    ][:1]
    signs += [m.evidence for m in facts.mbr_codes if m.content.startswith("Grub2")][:1]
    return signs


def _bios_windows(facts: Facts) -> Evidence | None:
    for file in facts.boot_files:
        partition = facts.partition(file.device)
        if file.path == "/bootmgr" and partition is not None and partition.scheme == "dos":
            return file.evidence
    return None


@rule(
    "M03",
    "legacy GRUB has no place on this GPT disk",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.GRUB_INSTALL,),
    see="grub-install: this GPT partition label contains no BIOS Boot Partition; embedding won't "
    "be possible.",
    why="On MBR the BIOS loader hides behind the boot sector; GPT has no such gap.",
    check="ls /sys/firmware/efi: missing, so grub-install chose the BIOS target.",
    fix="Start in UEFI mode; or make a partition of 1 MiB with type 21686148-6449-6E6F-744E-"
    "656564454649 and run grub-install again.",
    undo="Delete that partition.",
)
def no_bios_boot_partition(facts: Facts) -> Iterator[Hit]:
    """grub-install said so."""
    for line in facts.messages.get(Topic.GRUB_INSTALL, ()):
        if "no BIOS Boot Partition" in line.text:
            yield Hit("grub-install wants to install for a BIOS on a GPT disk", (line,))
            return


RULES = (legacy_run, mixed_modes, no_bios_boot_partition)
