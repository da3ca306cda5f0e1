"""Rules about Windows' side: hibernation, BitLocker, boot sectors, Secure Boot, RAID, the clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.findings import Confidence, Severity
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.facts import Facts

__all__ = ["RULES"]


@rule(
    "W01",
    "Windows is hibernated (Fast Startup)",
    Severity.WARN,
    Effect.SIDE_NOTE,
    needs=(Topic.NTFS,),
    see="NTFS volumes are read-only in Linux; forced writes lose files.",
    why=(
        "Shutting down with Fast Startup saves the kernel's state, with what it believes to be "
        "on disk. It has nothing to do with a missing menu entry: os-prober only reads."
    ),
    check="sudo ntfs-3g.probe --readwrite /dev/sda3; echo $? (14 hibernated, 15 unclean)",
    fix="In Windows: powercfg /h off, then shutdown /s /f /t 0",
    undo="powercfg /h on",
)
def hibernated(facts: Facts) -> Iterator[Hit]:
    """ntfs-3g says so."""
    for line in facts.messages.get(Topic.NTFS, ()):
        if re.search(r"hibernated|unclean|hiberfil|\b1[45]\s*\Z", line.text):
            yield Hit("Windows did not shut down: its volumes must not be written to", (line,))
            return


@rule(
    "W02",
    "BitLocker may ask for its recovery key",
    Severity.INFO,
    Effect.SIDE_NOTE,
    needs=(Topic.FILE_SYSTEMS,),
    see="Windows asks for the recovery key after the boot path changed.",
    why=(
        "BitLocker's key is bound to what the TPM measured on the way to Windows. Starting it "
        "through GRUB, a new loader or another boot order changes the measurement."
    ),
    check="lsblk -o NAME,FSTYPE shows BitLocker; in Windows: manage-bde -status",
    fix="Have the key ready; start Windows one way only; before changes: manage-bde -protectors "
    "-disable C:",
    undo="manage-bde -protectors -enable C:",
)
def bitlocker(facts: Facts) -> Iterator[Hit]:
    """A BitLocker volume on a computer that also starts Linux, or is about to."""
    for p in facts.partitions:
        if p.fstype == "BitLocker":
            message = f"{p.device} is encrypted by BitLocker: a changed boot path asks for the key"
            yield Hit(message, p.evidence[:1], confidence=Confidence.LIKELY)
            return


@rule(
    "W05",
    "GRUB sits in Windows' boot sector",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.BOOT_SECTORS,),
    see="Choosing Windows returns to the GRUB menu.",
    why=(
        "grub-install was given a partition instead of the disk. The entry chainloads the boot "
        "sector of Windows' partition, and GRUB is there now."
    ),
    check="A boot-info report says `Boot sector type: Grub2` for an ntfs partition.",
    fix="testdisk: Advanced, Boot, Backup BS; or from Windows media: bootrec /fixboot",
    undo="dd the saved boot sector back (save it first: dd if=/dev/sda1 of=pbr bs=512 count=16).",
    explains=("C06", "P08", "M02", "O03"),
)
def grub_in_boot_sector(facts: Facts) -> Iterator[Hit]:
    """A Grub boot sector on a file system of Windows."""
    for sector in facts.boot_sectors:
        partition = facts.partition(sector.device)
        fstype = sector.fstype or (partition.fstype if partition else None)
        if sector.content.startswith("Grub") and fstype == "ntfs":
            yield Hit(
                f"the boot sector of {sector.device}, which Windows needs, holds GRUB",
                (sector.evidence,),
            )


@rule(
    "W06",
    "Windows' BCD points to the old place",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.SCREEN,),
    see="0xc000000e or 0xc000000f after Windows was moved or copied.",
    why="The BCD names the partitions of Windows by their identifiers; a copy has new ones.",
    check="From Windows media: bcdedit /enum",
    fix="From Windows media: bcdboot C:\\Windows /s S: /f UEFI",
    undo="Export first: bcdedit /export backup",
)
def bcd_points_elsewhere(facts: Facts) -> Iterator[Hit]:
    """The screen shows one of the two codes."""
    for line in facts.messages.get(Topic.SCREEN, ()):
        if re.search(r"0xc000000[ef]\b", line.text, re.IGNORECASE):
            message = "Windows' loader does not find what its BCD names"
            yield Hit(message, (line,), confidence=Confidence.LIKELY)
            return


@rule(
    "S01",
    "the firmware starts an unsigned loader",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.BOOT_LIST, Topic.SECURE_BOOT),
    see="`Security Violation`, or the firmware goes on to Windows.",
    why="With Secure Boot on, the firmware starts shim, and shim GRUB; grubx64.efi alone fails.",
    check="mokutil --sb-state; efibootmgr -v names grubx64.efi instead of shimx64.efi.",
    fix="efibootmgr -c with \\EFI\\VENDOR\\shimx64.efi, and put it first.",
    undo="efibootmgr -b XXXX -B removes the new entry.",
    explains=("N02",),
)
def unsigned_loader(facts: Facts) -> Iterator[Hit]:
    """Secure Boot is on and every active Linux entry goes past shim."""
    if facts.boot_list is None or facts.secure_boot is None or not facts.secure_boot[0]:
        return
    linux = [e for e in facts.boot_list.starting(Starts.LINUX) if e.active and e.loader]
    if linux and all("grub" in (e.loader or "") for e in linux):
        yield Hit(
            f"Secure Boot is on, but {linux[0].name} starts {linux[0].loader} without shim",
            (linux[0].evidence, facts.secure_boot[1]),
            confidence=Confidence.LIKELY,
        )


@rule(
    "S02",
    "an old shim was revoked",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.SCREEN,),
    see="Verifying shim SBAT data failed / SBAT self-check failed: Security Policy Violation.",
    why="A Windows update of August 2024 wrote a policy (SBAT) that refuses shims before 15.8.",
    check="The message itself; mokutil --list-sbat-revocations",
    fix="Secure Boot off, start Linux, sudo mokutil --set-sbat-policy delete, restart once, update "
    "shim, Secure Boot on.",
    undo="mokutil --set-sbat-policy latest",
    explains=("N02",),
)
def revoked_shim(facts: Facts) -> Iterator[Hit]:
    """The screen shows the message."""
    for line in facts.messages.get(Topic.SCREEN, ()):
        if "SBAT" in line.text:
            yield Hit("the firmware refuses this shim (SBAT)", (line,))
            return


@rule(
    "R01",
    "the disk of Windows is behind Intel RST or VMD",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.BOOT_LIST, (Topic.FILE_SYSTEMS, Topic.HARDWARE)),
    see="Linux and its installer do not see the disk of Windows.",
    why="In RAID mode (RST, VMD) the controller hides the disks; Linux needs a driver or AHCI.",
    check="lspci | grep -iE 'raid|volume management'",
    fix="In Windows set safe mode (bcdedit /set {current} safeboot minimal), switch the firmware "
    "to AHCI, start Windows once, take safe mode out (bcdedit /deletevalue {current} safeboot).",
    undo="Switch the firmware back to RAID the same way.",
    explains=("N05", "O03", "O01"),
)
def hidden_by_raid(facts: Facts) -> Iterator[Hit]:
    """The Windows entry names a disk that is not seen, and RST or VMD is named somewhere."""
    if facts.boot_list is None:
        return
    unseen = [
        e
        for e in facts.boot_list.starting(Starts.WINDOWS)
        if e.node and facts.by_partuuid and e.node.partuuid not in facts.by_partuuid
    ]
    signs = [e.evidence for e in facts.boot_list.entries if re.search(r"\b(?:RST|VMD)\b", e.label)]
    signs += [
        line
        for line in facts.messages.get(Topic.HARDWARE, ())
        if re.search(r"RAID bus controller|Volume Management Device", line.text)
    ]
    if unseen and signs:
        yield Hit(
            "Windows is on a disk that Linux does not see, and the controller is in RAID mode",
            (unseen[0].evidence, *signs[:2]),
            confidence=Confidence.LIKELY,
        )


@rule(
    "T01",
    "the two systems disagree about the clock",
    Severity.INFO,
    Effect.SIDE_NOTE,
    needs=(Topic.CLOCK,),
    see="The clock is wrong by the time zone's hours after a change of system.",
    why="Linux keeps UTC in the hardware clock, Windows local time.",
    check="timedatectl: RTC in local TZ",
    fix="In Windows: reg add HKLM\\SYSTEM\\CurrentControlSet\\Control\\TimeZoneInformation /v "
    "RealTimeIsUniversal /t REG_DWORD /d 1; or in Linux: timedatectl set-local-rtc 1",
    undo="Delete the value, or timedatectl set-local-rtc 0",
)
def clocks_differ(facts: Facts) -> Iterator[Hit]:
    """UTC in the hardware clock and Windows installed."""
    if facts.clock_is_local is None or facts.clock_is_local[0] or not facts.windows_evidence:
        return
    yield Hit(
        "Linux keeps UTC in the hardware clock, Windows reads local time",
        (facts.clock_is_local[1],),
    )


RULES = (
    hibernated,
    bitlocker,
    grub_in_boot_sector,
    bcd_points_elsewhere,
    unsigned_loader,
    revoked_shim,
    hidden_by_raid,
    clocks_differ,
)
