"""Rules about Windows' side: hibernation, BitLocker, boot sectors, Secure Boot, RAID, the clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.disks import disk_of, partition_number
from labkit.boot.findings import Confidence, Severity
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.remedies import (
    BCDBOOT,
    as_written,
    create_entry,
    free_number,
    order_after_bcdboot,
    steps,
)
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.parse.bootinfo import BootSector
    from labkit.boot.parse.efibootmgr import BootEntry

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
    fix=(
        "In Windows, as administrator: powercfg /h off, save your work, then shutdown /s /t 0. "
        "Until then mount its volumes read-only, and never remove hiberfil.sys from Linux: what "
        "was open in Windows is lost with it."
    ),
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
    fix=(
        "Have the recovery key ready (it is in the Microsoft account, or where you saved it). "
        "Start Windows one way only. Before a change, in Windows as administrator: manage-bde "
        "-protectors -disable C: (holds for one restart)."
    ),
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
    fix=(
        "Save the boot sector: sudo dd if=PARTITION of=pbr.bin bs=512 count=16\n"
        "Write NTFS's own copy back: sudo testdisk DISK, Advanced, the partition of Windows, Boot, "
        "Backup BS.\n"
        "Only if that copy is bad: bootrec /fixboot from Windows media. It writes to the ACTIVE "
        "partition, so rule P08 comes first.\n"
        "Keep GRUB off that partition: on Debian and Ubuntu choose the whole disk in "
        "sudo dpkg-reconfigure grub-pc."
    ),
    undo="sudo dd if=pbr.bin of=PARTITION bs=512 count=16 writes the saved sectors back.",
    explains=("C06", "P08", "M02", "O03"),
    changes_start=True,
)
def grub_in_boot_sector(facts: Facts) -> Iterator[Hit]:
    """A Grub boot sector on a file system of Windows."""
    for sector in facts.boot_sectors:
        partition = facts.partition(sector.device)
        fstype = sector.fstype or (partition.fstype if partition else None)
        if sector.content.startswith("Grub") and fstype == "ntfs":
            active = _active_beside(facts, sector.device)
            flag = f"sudo sfdisk -A {active.disk} {active.number}" if active else ""
            copy = f"pbr-{sector.device.rpartition('/')[2]}.bin"
            yield Hit(
                f"the boot sector of {sector.device}, which Windows needs, holds GRUB",
                (sector.evidence,),
                fix=_boot_sector_back(facts, sector, copy),
                undo=steps(f"sudo dd if={copy} of={sector.device} bs=512 count=16", flag),
            )


def _active_beside(facts: Facts, device: str) -> Partition | None:
    """Find the partition that has the active flag in place of `device`, on the same disk."""
    disk = disk_of(device)
    active = next((p for p in facts.partitions if p.disk == disk and p.active), None)
    return None if active is None or active.device == device else active


def _boot_sector_back(facts: Facts, sector: BootSector, copy: str) -> str:
    """Give the steps: save, write NTFS's own copy back; Windows' tool only on the right flag."""
    device, disk = sector.device, disk_of(sector.device)
    active = _active_beside(facts, device)
    media = "Only if testdisk calls that copy bad: bootrec /fixboot, from Windows media. It writes"
    if active is not None:
        flag: tuple[str, ...] = (
            f"{media} to the ACTIVE partition, now {active.device}: set the flag first.",
            f"sudo sfdisk -A {disk} {partition_number(device)}",
        )
    else:
        flag = (f"{media} to the ACTIVE partition: see that it is {device}.",)
    return steps(
        f"Save the boot sector of {device}:",
        f"sudo dd if={device} of={copy} bs=512 count=16",
        f"Write NTFS's own copy back: Advanced, {device}, Boot, Backup BS in",
        f"sudo testdisk {disk}",
        flag,
        "Keep GRUB off that partition: on Debian and Ubuntu choose the whole disk in "
        "`sudo dpkg-reconfigure grub-pc`.",
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
    fix=(
        "From Windows media: save the BCD with bcdedit /export C:\\bcd.bak, then bcdboot "
        "C:\\Windows /s S: /f UEFI (S: is the ESP, a letter given by diskpart); on a BIOS computer "
        "/f BIOS, S: being the active partition."
    ),
    undo="bcdedit /import C:\\bcd.bak",
    changes_start=True,
)
def bcd_points_elsewhere(facts: Facts) -> Iterator[Hit]:
    """The screen shows one of the two codes."""
    for line in facts.messages.get(Topic.SCREEN, ()):
        if re.search(r"0xc000000[ef]\b", line.text, re.IGNORECASE):
            message = "Windows' loader does not find what its BCD names"
            # In which mode Windows starts decides between two forms of the command.
            fix = steps(BCDBOOT, order_after_bcdboot(facts)) if facts.starts_by_uefi else None
            yield Hit(message, (line,), confidence=Confidence.LIKELY, fix=fix)
            return


@rule(
    "S01",
    "the firmware starts an unsigned loader",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.BOOT_LIST, Topic.SECURE_BOOT),
    see="`Security Violation`, or the firmware goes on to Windows.",
    why="With Secure Boot on, the firmware starts shim, and shim GRUB; grubx64.efi alone fails, "
    "unless it is signed with keys of your own that the firmware knows.",
    check="mokutil --sb-state; efibootmgr -v names grubx64.efi instead of shimx64.efi.",
    fix=(
        "Where shim is on the ESP: sudo efibootmgr -c -d DISK -p NUMBER -L LABEL -l "
        "'\\EFI\\VENDOR\\shimx64.efi'; the new entry comes first. Where it is not, install it "
        "(Debian, Ubuntu: shim-signed, then grub-install)."
    ),
    undo="sudo efibootmgr -b XXXX -B removes the new entry.",
    explains=("N02",),
    changes_start=True,
)
def unsigned_loader(facts: Facts) -> Iterator[Hit]:
    """Secure Boot is on and every active Linux entry goes past shim."""
    if facts.boot_list is None or facts.secure_boot is None or not facts.secure_boot[0]:
        return
    linux = [e for e in facts.boot_list.starting(Starts.LINUX) if e.active and e.loader]
    if any(e.number == facts.boot_list.current for e in linux):
        return  # The firmware accepted it: it is signed with keys of the user's own.
    if linux and all("grub" in (e.loader or "") for e in linux):
        yield Hit(
            f"Secure Boot is on, but {linux[0].name} starts {linux[0].loader} without shim",
            (linux[0].evidence, facts.secure_boot[1]),
            Severity.ERROR,
            Confidence.LIKELY,
            *_with_shim(facts, linux[0]),
        )


def _with_shim(facts: Facts, entry: BootEntry) -> tuple[str, str]:
    """Give the commands that make the same entry by way of shim, and that remove it."""
    folder = (entry.loader or "").rpartition("/")[0]
    shim = f"{folder}/shimx64.efi"
    found = next((e for esp in facts.esps if (e := esp.find(shim))), None)
    if found is None and facts.lists_every_esp:
        install = "Install shim (Debian, Ubuntu: the package shim-signed), then run grub-install."
        return f"{install} Until then Linux starts only with Secure Boot off.", ""
    path = as_written(shim, found.text if found else shim)
    commands = None
    if found is not None and facts.boot_list is not None:
        number = free_number(facts.boot_list)
        commands = create_entry(number, facts.partition_of(entry), entry.label, path)
    if commands is None:
        return f"Look whether the ESP holds {path}; if so, make an entry for it (as for N01).", ""
    return commands


@rule(
    "S02",
    "an old shim was revoked",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.SCREEN,),
    see="Verifying shim SBAT data failed / SBAT self-check failed: Security Policy Violation.",
    why="A Windows update of August 2024 wrote a policy (SBAT) that refuses shims before 15.8.",
    check="The message itself; mokutil --list-sbat-revocations",
    fix=(
        "Switch Secure Boot off in the firmware setup and start Linux. There:\n"
        "sudo mokutil --set-sbat-policy delete\n"
        "Restart Linux once. Update shim to 15.8 or later with the package manager.\n"
        "Switch Secure Boot on again."
    ),
    undo="Not needed: shim writes its own policy again when it starts.",
    explains=("N02",),
    changes_start=True,
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
    fix=(
        "Only where the disks are single ones: a real RAID array or Optane volume is lost to both "
        "systems under AHCI. Back up.\n"
        "In Windows, in a Command Prompt as administrator:\n"
        "bcdedit /set {current} safeboot minimal\n"
        "Restart into the firmware setup, switch RAID/RST/VMD to AHCI, start Windows (safe mode).\n"
        "There: bcdedit /deletevalue {current} safeboot, and restart."
    ),
    undo="Switch the firmware back to RAID the same way, with safe mode before.",
    explains=("N05", "O03", "O01"),
    changes_start=True,
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
    fix=(
        "One of the two, not both. In Windows, as administrator: reg add "
        "HKLM\\SYSTEM\\CurrentControlSet\\Control\\TimeZoneInformation /v RealTimeIsUniversal /t "
        "REG_DWORD /d 1 /f. Or in Linux: sudo timedatectl set-local-rtc 1"
    ),
    undo="reg delete HKLM\\SYSTEM\\CurrentControlSet\\Control\\TimeZoneInformation /v "
    "RealTimeIsUniversal /f; or sudo timedatectl set-local-rtc 0",
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
