"""Rules about the firmware's mode: UEFI or legacy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.distributions import Family
from labkit.boot.findings import Confidence, Severity
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.remedies import chroot_steps, grub_install, steps, update_steps
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
    fix=(
        "Start the medium by its UEFI entry in the firmware's boot menu. If it has none, switch "
        "CSM (legacy) off in the firmware setup; a system installed for legacy mode (M02) does "
        "not start then."
    ),
    undo="Switch CSM on again.",
    explains=("M03", "N01", "O03"),
    changes_start=True,
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
    if used is None and facts.esp_mount is not None:
        used = facts.esp_mount.evidence
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
    fix=(
        "Install GRUB for the mode of Windows. Windows by UEFI: from a live medium in UEFI mode, "
        "mount the ESP on /boot/efi and install GRUB for UEFI. Windows by legacy mode: install "
        "GRUB for BIOS on the disk of Linux (save its first sector with dd before), or convert "
        "Windows to UEFI (mbr2gpt, after a backup). "
        "Until then choose the system in the firmware's boot menu."
    ),
    undo="Install the other package of GRUB again. Of a saved first sector dd only 440 bytes back: "
    "the table stands behind them.",
    explains=("N01", "N03", "E03", "E07", "O01", "O03", "C07", "M01", "M03"),
    changes_start=True,
)
def mixed_modes(facts: Facts) -> Iterator[Hit]:
    """Windows by UEFI with two signs of a legacy Linux, or the reverse."""
    uefi_windows = facts.windows_loader or _windows_entry(facts)
    if uefi_windows is not None:
        if facts.boot_list is None or facts.boot_list.starting(Starts.LINUX):
            return
        signs = facts.legacy_linux
        if len(signs) > 1:
            yield Hit(
                "Windows is installed for UEFI, Linux for legacy mode",
                (uefi_windows, *signs),
                confidence=Confidence.LIKELY if facts.boot_list.is_cut else Confidence.CERTAIN,
                fix=_to_uefi(facts),
                undo=_UNDO_UEFI[facts.distribution.family in _APT],
            )
    elif facts.boot_list is not None and facts.boot_list.starting(Starts.LINUX):
        bios_windows = next(iter(facts.legacy_windows), None)
        if bios_windows is not None:
            linux = facts.boot_list.starting(Starts.LINUX)[0].evidence
            yield Hit(
                "Linux is installed for UEFI, Windows for legacy mode",
                (linux, bios_windows),
                confidence=Confidence.LIKELY,
                fix=_to_legacy(_place(facts, bios_windows)),
            )


_APT = frozenset({Family.DEBIAN, Family.UBUNTU})
_UNDO_UEFI = {
    True: "Install grub-pc again: it takes the place of grub-efi-amd64.",
    False: "GRUB for BIOS stays on the disk: switch the firmware back to legacy mode.",
}


def _to_uefi(facts: Facts) -> str:
    """Give the way of a legacy Linux to UEFI, onto the ESP that Windows uses."""
    esp = next((p for p in facts.esp_partitions if p.uuid), None)
    mount: tuple[str, ...] = ()
    if esp is not None and facts.esp_mount is None:
        line = f"UUID={esp.uuid} /boot/efi vfat umask=0077 0 1"
        mount = (
            f"Put this line into /etc/fstab: {line}",
            "sudo mkdir -p /boot/efi",
            "sudo mount /boot/efi",
        )
    install: tuple[str, ...] = (
        "Install GRUB for UEFI as the distribution describes it, and update the menu.",
    )
    if facts.distribution.family in _APT:
        install = (
            "sudo apt-get install grub-efi-amd64 grub-efi-amd64-signed shim-signed",
            grub_install(facts),
            update_steps(facts),
        )
    return steps(
        "Windows stays as it is; Linux gets GRUB for UEFI. Several Linux: the one whose menu you "
        "want. If you want to keep it as it is, choose the system in the firmware's boot menu.",
        chroot_steps(facts),
        mount,
        install,
    )


def _place(facts: Facts, evidence: Evidence) -> str:
    """Name the partition that a line is about."""
    files = (f.device for f in facts.boot_files if f.evidence == evidence)
    partitions = (p.device for p in facts.partitions if evidence in p.evidence)
    return next(files, None) or next(partitions, "another disk")


def _to_legacy(windows: str) -> str:
    """Say how a UEFI Linux and a legacy Windows come together; the safe ways first."""
    return steps(
        "Windows starts in legacy mode, so GRUB for UEFI cannot start it.",
        "Without any change: choose the system in the firmware's boot menu, with CSM (legacy) on.",
        "Or give Linux GRUB for BIOS: from a live medium in legacy mode, chroot, install grub-pc "
        "and run grub-install on the disk of Linux (save its first sector before).",
        f"Or bring Windows (on {windows}) to UEFI: back the disk up, for this converts its table. "
        "Then in Windows as administrator:",
        "mbr2gpt /validate /allowFullOS",
        "mbr2gpt /convert /allowFullOS",
    )


def _windows_entry(facts: Facts) -> Evidence | None:
    entries = facts.boot_list.starting(Starts.WINDOWS) if facts.boot_list else ()
    return next((e.evidence for e in entries if e.loader), None)


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
    fix=(
        "If Windows or another system here starts by UEFI: start the medium in UEFI mode and run "
        "grub-install there. Only for a computer without UEFI: make a partition of 1 MiB in free "
        "space with type `BIOS boot` (21686148-6449-6E6F-744E-656564454649), and run grub-install "
        "again."
    ),
    undo="Delete that partition; it holds nothing but GRUB.",
    changes_start=True,
)
def no_bios_boot_partition(facts: Facts) -> Iterator[Hit]:
    """grub-install said so."""
    for line in facts.messages.get(Topic.GRUB_INSTALL, ()):
        if "no BIOS Boot Partition" in line.text:
            yield Hit("grub-install wants to install for a BIOS on a GPT disk", (line,))
            return


RULES = (legacy_run, mixed_modes, no_bios_boot_partition)
