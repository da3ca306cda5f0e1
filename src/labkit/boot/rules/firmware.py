"""Rules about the firmware's boot list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.entry_remedies import (
    entry_again,
    entry_anew,
    entry_for_linux,
    entry_for_windows,
    replacement,
    spare_entry,
)
from labkit.boot.findings import Confidence, Severity
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.partition_types import PartitionType
from labkit.boot.remedies import (
    bios_disk,
    chroot_steps,
    entry_loader,
    loader_steps,
    old_order,
    order_step,
    steps,
)
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.facts import Facts
    from labkit.boot.parse.efibootmgr import BootEntry, BootList

__all__ = ["RULES"]


def _list(facts: Facts) -> BootList | None:
    """Give the list where there is one; efibootmgr's refusal in legacy mode is none."""
    return facts.boot_list if facts.boot_list and facts.boot_list.is_supported else None


@rule(
    "N01",
    "the firmware knows no Linux",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.BOOT_LIST, (Topic.ESP_FILES, Topic.FSTAB)),
    see="The computer never offers Linux; Windows starts, or nothing does.",
    why=(
        "A UEFI firmware starts what its own list names. A reset, an update or Windows' repair "
        "can drop the Linux entry; the loader on the ESP is not looked for."
    ),
    check="efibootmgr -v shows no path with shim or grub.",
    fix=(
        "Where the loader is on the ESP: sudo efibootmgr -c -d DISK -p NUMBER -L LABEL -l "
        "'\\EFI\\VENDOR\\shimx64.efi'. The new entry comes first in the order. Without Secure Boot "
        "and shim it is grubx64.efi. Where no loader is there, install it (rule E03)."
    ),
    undo="sudo efibootmgr -b XXXX -B removes the new entry and takes it out of the order.",
    changes_start=True,
)
def no_linux_entry(facts: Facts) -> Iterator[Hit]:
    """Linux is installed for UEFI and no entry can start it."""
    boot = _list(facts)
    if boot is None or boot.is_cut or facts.linux_is_removed:
        return
    if boot.starting(Starts.LINUX) or boot.starting(Starts.FALLBACK):
        return
    installed = [facts.esp_mount.evidence] if facts.esp_mount is not None else []
    installed += [
        evidence
        for esp in facts.esps
        for file, evidence in zip(esp.files, esp.evidence, strict=True)
        if any(file.startswith(f"/efi/{folder}/") for folder in esp.linux_folders)
    ][:1]
    if not installed:
        return
    confidence = Confidence.LIKELY if boot.unlisted else Confidence.CERTAIN
    seen = (*installed[:1], *boot.evidence.values())[:2]
    if len(facts.legacy_linux) > 1:
        # Another Linux of the computer may be meant than the one whose folder is on the ESP.
        yield Hit(
            "no entry of the firmware starts a Linux, and one here is installed for legacy mode",
            seen,
            confidence=confidence,
            fix="Nothing by itself: GRUB for UEFI makes its own entry when it is installed (M02).",
        )
        return
    fix, undo = entry_for_linux(facts, boot)
    yield Hit(
        "Linux is installed for UEFI, but no entry of the firmware starts it",
        seen,
        confidence=confidence,
        fix=fix,
        undo=undo,
    )


@rule(
    "N02",
    "Windows comes before Linux",
    Severity.ERROR,
    Effect.WRONG_SYSTEM,
    needs=((Topic.BOOT_LIST, Topic.BOOT_SECTORS),),
    see="The computer starts Windows at once; the GRUB menu never appears.",
    why=(
        "The firmware starts the first entry of BootOrder that is active and whose loader "
        "exists. Windows updates put Windows first; some firmwares rewrite the order at each "
        "start. On a BIOS the code in the MBR decides: that of Windows starts the active partition."
    ),
    check="efibootmgr: the first number of BootOrder is that of Windows Boot Manager.",
    fix=(
        "sudo efibootmgr -o with the number of Linux first, then the others. If Windows is first "
        "again after the next start, set the order in the firmware setup. On a BIOS: save the "
        "MBR's code (sudo dd if=DISK of=mbr.bin bs=440 count=1), then sudo grub-install DISK."
    ),
    undo="sudo efibootmgr -o with the old order: note BootOrder before. On a BIOS: sudo dd "
    "if=mbr.bin of=DISK bs=440 count=1",
    changes_start=True,
)
def windows_first(facts: Facts) -> Iterator[Hit]:
    """The first entry that starts a system is Windows; Linux follows, or is not in the order."""
    boot = _list(facts)
    if boot is None:
        yield from _windows_in_mbr(facts)
    if boot is None or not boot.order or facts.linux_is_removed:
        return
    usable = [e for e in boot.in_order if e.active and not facts.lacks_loader(e)]
    # Sticks, networks and setup programs start nothing while there is no medium.
    first = next((e for e in usable if not e.needs_medium), None)
    linux = [e for e in boot.linux if e.active and not facts.lacks_loader(e)]
    if first is None or first.starts is not Starts.WINDOWS or not linux:
        return
    in_order = [e for e in usable if e in linux]
    wanted = (in_order or linux)[0]
    # efibootmgr refuses an order that names an entry which is not there.
    rest = [e.number for e in boot.in_order if e is not wanted]
    rest.insert(rest.index(first.number), wanted.number)
    message = f"the firmware starts {first.label} ({first.name}) before {wanted.label}"
    if not in_order:
        message += f", whose {wanted.name} is not in BootOrder"
    yield Hit(
        message,
        (boot.evidence["BootOrder"], first.evidence, wanted.evidence),
        confidence=Confidence.CERTAIN if boot.has_paths and not boot.is_cut else Confidence.LIKELY,
        fix=steps(
            order_step(boot, rest),
            "If Windows is first again after the next start, set the order in the firmware setup.",
        ),
        undo=old_order(boot),
    )


def _windows_in_mbr(facts: Facts) -> Iterator[Hit]:
    """Find Windows' code in the MBR, which starts Windows, beside a Linux: no GRUB is started."""
    disk = bios_disk(facts)
    code = next((m for m in facts.mbr_codes if m.device == disk), None)
    contents = [m.content for m in facts.mbr_codes] + [b.content for b in facts.boot_sectors]
    grub = any(content.startswith("Grub") for content in contents)
    active = next((p for p in facts.partitions if p.disk == disk and p.active), None)
    if facts.starts_by_uefi is not False or not facts.linux_evidence or grub or active is None:
        return
    of_windows = active.is_windows_volume or active.type is PartitionType.NTFS
    if code is None or not code.content.startswith("Windows") or not of_windows:
        return
    saved = f"mbr-{code.device.rpartition('/')[2]}.bin"
    yield Hit(
        f"Windows' code is in the MBR of {code.device}, and no GRUB is started",
        (code.evidence, *active.evidence[:1], facts.linux_evidence[0]),
        fix=steps(
            chroot_steps(facts, "legacy"),
            "Save the code of the MBR; the table stands behind it:",
            f"sudo dd if={code.device} of={saved} bs=440 count=1",
            loader_steps(facts),
        ),
        undo=f"sudo dd if={saved} of={code.device} bs=440 count=1",
    )


@rule(
    "N03",
    "the firmware knows no Windows",
    Severity.WARN,
    Effect.NOT_IN_MENU,
    needs=(Topic.BOOT_LIST, Topic.ESP_FILES),
    see="Windows is missing in the firmware's boot menu.",
    why=(
        "The entry was removed or lost, while the loader is still on the ESP. GRUB's own entry "
        "works without it, for it names the file."
    ),
    check="efibootmgr -v shows no path to bootmgfw.efi.",
    fix=(
        "sudo efibootmgr -c -d DISK -p NUMBER -L 'Windows Boot Manager' -l "
        "'\\EFI\\Microsoft\\Boot\\bootmgfw.efi'. The new entry comes first in the order: put Linux "
        "back with efibootmgr -o. Not needed where Windows starts from GRUB's menu."
    ),
    undo="sudo efibootmgr -b XXXX -B removes the new entry.",
    changes_start=True,
)
def no_windows_entry(facts: Facts) -> Iterator[Hit]:
    """bootmgfw.efi is on an ESP and no entry names it."""
    boot = _list(facts)
    esp = next((esp for esp in facts.esps if esp.has_windows), None)
    if boot is None or boot.is_cut or esp is None or boot.starting(Starts.WINDOWS):
        return
    if any(e.has_windows_data for e in boot.entries):
        return
    in_menu = facts.menu is not None and bool(facts.menu.windows)
    known_missing = facts.menu is not None and not facts.menu.windows
    confidence = Confidence.LIKELY if boot.unlisted else Confidence.CERTAIN
    loader = esp.find("/efi/microsoft/boot/bootmgfw.efi") or esp.source
    message = "Windows' loader is on the ESP, but no entry of the firmware names it"
    if in_menu:
        message += "; it can be started from GRUB"
    severity = Severity.ERROR if known_missing else Severity.WARN
    fix, undo = entry_for_windows(facts, boot, esp)
    yield Hit(message, (loader,), severity, confidence, fix, undo)


@rule(
    "N04",
    "an entry is there twice",
    Severity.INFO,
    Effect.LEFTOVER,
    needs=(Topic.BOOT_LIST,),
    see="The firmware's boot menu shows a system twice.",
    why="Each installation of the loader may add an entry; most firmwares do not compare them.",
    check="efibootmgr -v: two lines with the same label, path and data.",
    fix="It is harmless. sudo efibootmgr -b XXXX -B deletes one: not BootCurrent, nor the first in "
    "the order.",
    undo="sudo efibootmgr -c with the label and path of the deleted one; the other does the same.",
    changes_start=True,
)
def duplicate_entries(facts: Facts) -> Iterator[Hit]:
    """Same label, path and optional data; without paths nothing can be said."""
    boot = _list(facts)
    if boot is None or not boot.has_paths:
        return
    seen: dict[tuple[str, str, str], BootEntry] = {}
    for entry in boot.entries:
        if entry.node is None:
            continue
        key = (entry.label, entry.path.lower(), entry.data)
        first = seen.setdefault(key, entry)
        if first is not entry:
            spare = spare_entry(boot, first, entry)
            yield Hit(
                f"{first.name} and {entry.name} are the same entry `{entry.label}`",
                (first.evidence, entry.evidence),
                fix=steps(
                    "It is harmless. To delete the one that is used less:",
                    f"sudo efibootmgr -b {spare.number:04X} -B",
                ),
                undo=entry_again(facts, boot, spare),
            )


@rule(
    "N05",
    "an entry names a partition that is gone",
    Severity.WARN,
    Effect.LEFTOVER,
    needs=(Topic.BOOT_LIST, Topic.TABLE, Topic.FILE_SYSTEMS),
    see="An entry of the firmware does nothing.",
    why=(
        "It names a partition by its GUID, and no disk has that partition now: it was deleted, or "
        "its disk is unplugged or not seen. The firmware skips such an entry."
    ),
    check="Compare the GUID in `efibootmgr -v` with `lsblk -o NAME,PARTUUID`, all disks attached.",
    fix=(
        "Nothing must be done. Where the loader is on another partition now, make an entry for it "
        "first (N01, N03). Delete the dead one only when its disk is gone for good: "
        "sudo efibootmgr -b XXXX -B"
    ),
    undo="An entry for a partition that is gone cannot be made again; keep its line.",
    changes_start=True,
)
def partition_gone(facts: Facts) -> Iterator[Hit]:
    """The PARTUUID of an entry is on no listed disk, and all disks are listed."""
    boot = _list(facts)
    if boot is None or not facts.lists_every_disk:
        return
    for entry in boot.entries:
        if entry.node is None or entry.number == boot.current or entry.loader is None:
            continue
        # Sticks start by the fallback loader; that one is not plugged in now is no fault.
        if entry.starts is Starts.FALLBACK or entry.is_removable:
            continue
        if entry.node.partuuid not in facts.by_partuuid:
            fix, undo = replacement(facts, boot, entry)
            yield Hit(
                f"{entry.name} `{entry.label}` names a partition that no listed disk has",
                (entry.evidence,),
                fix=fix,
                undo=undo,
            )


@rule(
    "N06",
    "an entry is inactive",
    Severity.WARN,
    Effect.WRONG_SYSTEM,
    needs=(Topic.BOOT_LIST,),
    see="The firmware skips a system although it is in the list.",
    why="Entries without the active attribute (no `*` in efibootmgr) are not started.",
    check="efibootmgr: the line has no `*` behind the number.",
    fix="sudo efibootmgr -b XXXX -a",
    undo="sudo efibootmgr -b XXXX -A",
    changes_start=True,
)
def inactive_entry(facts: Facts) -> Iterator[Hit]:
    """An entry of an installed system has no star."""
    boot = _list(facts)
    if boot is None:
        return
    linux = boot.starting(Starts.LINUX)
    for entry in boot.entries:
        if entry.active or entry.starts not in {Starts.LINUX, Starts.WINDOWS}:
            continue
        only = entry.starts is Starts.LINUX and not any(e.active for e in linux) and not boot.is_cut
        yield Hit(
            f"{entry.name} `{entry.label}` is inactive",
            (entry.evidence,),
            Severity.ERROR if only else Severity.WARN,
            fix=f"sudo efibootmgr -b {entry.number:04X} -a",
            undo=f"sudo efibootmgr -b {entry.number:04X} -A",
        )


@rule(
    "N07",
    "the next start goes elsewhere",
    Severity.INFO,
    Effect.SIDE_NOTE,
    needs=(Topic.BOOT_LIST,),
    see="One start goes to another system than usual.",
    why="BootNext names an entry for the next start only; the firmware deletes it then.",
    check="efibootmgr shows a line BootNext.",
    fix="Nothing must be done: it holds for one start. sudo efibootmgr -N takes it back.",
    undo="sudo efibootmgr -n XXXX sets it again.",
)
def boot_next(facts: Facts) -> Iterator[Hit]:
    """BootNext is set."""
    boot = _list(facts)
    if boot is not None and boot.next is not None:
        yield Hit(
            f"the next start goes to Boot{boot.next:04X}",
            (boot.evidence["BootNext"],),
            fix=steps(
                "Nothing must be done: it holds for one start. To take it back:",
                "sudo efibootmgr -N",
            ),
            undo=f"sudo efibootmgr -n {boot.next:04X}",
        )


@rule(
    "N08",
    "the Windows entry starts something else",
    Severity.ERROR,
    Effect.WRONG_SYSTEM,
    needs=(Topic.BOOT_LIST,),
    see="Choosing Windows in the firmware's menu opens GRUB.",
    why=(
        "The entry of Windows Boot Manager was pointed at GRUB with `bcdedit /set {bootmgr} "
        "path`, or its loader was replaced. Windows goes on to keep that entry at the front."
    ),
    check="efibootmgr -v: the line of Windows names a path outside \\EFI\\Microsoft.",
    fix=(
        "First give Linux an entry of its own (N01): on some computers this one is the only way to "
        "GRUB. Then in Windows, in a Command Prompt as administrator:\n"
        "bcdedit /set {bootmgr} path \\EFI\\Microsoft\\Boot\\bootmgfw.efi"
    ),
    undo="bcdedit /set {bootmgr} path with the old path.",
    explains=("N03",),
    changes_start=True,
)
def windows_entry_diverted(facts: Facts) -> Iterator[Hit]:
    """An entry with Windows' data or name has a path that is not Microsoft's."""
    boot = _list(facts)
    for entry in boot.entries if boot else ():
        is_windows = entry.has_windows_data or entry.label.lower() == "windows boot manager"
        if is_windows and entry.loader is not None and "microsoft" not in entry.loader:
            likely = entry.starts is Starts.FALLBACK
            alone = not any(e is not entry and e.active for e in boot.linux) if boot else False
            yield Hit(
                f"{entry.name} `{entry.label}` starts {entry.loader}",
                (entry.evidence,),
                Severity.WARN if likely else Severity.ERROR,
                Confidence.LIKELY if likely else Confidence.CERTAIN,
                steps(
                    "First give Linux an entry of its own (N01): this one is its only way."
                    if alone and entry.starts is Starts.LINUX
                    else "",
                    "In Windows, in a Command Prompt as administrator:",
                    "bcdedit /set {bootmgr} path \\EFI\\Microsoft\\Boot\\bootmgfw.efi",
                ),
                f"bcdedit /set {{bootmgr}} path {entry_loader(entry)}",
            )


@rule(
    "N09",
    "BootOrder names entries that are not there",
    Severity.INFO,
    Effect.LEFTOVER,
    needs=(Topic.BOOT_LIST,),
    see="Nothing; the firmware skips them.",
    why="An entry was deleted without its number being taken out of BootOrder.",
    check="efibootmgr: a number in BootOrder has no line.",
    fix="Nothing needs to be done.",
    undo="Nothing was changed.",
)
def order_has_gaps(facts: Facts) -> Iterator[Hit]:
    """Numbers in BootOrder without a line; a cut list looks the same."""
    boot = _list(facts)
    if boot is not None and boot.unlisted:
        names = ", ".join(f"Boot{n:04X}" for n in boot.unlisted)
        evidence = (boot.evidence["BootOrder"],)
        yield Hit(
            f"BootOrder names {names}, which the list does not show (deleted, or the list is cut)",
            evidence,
            confidence=Confidence.LIKELY,
        )


@rule(
    "N10",
    "a variable's name breaks the specification",
    Severity.INFO,
    Effect.LEFTOVER,
    needs=(Topic.BOOT_LIST,),
    see="efibootmgr prints a warning.",
    why="UEFI wants upper-case digits in BootXXXX; some firmwares compare the names as text.",
    check="efibootmgr 2>&1 | grep -i warning",
    fix="Nothing must be done while the entry starts. If it does not, make it anew with "
    "efibootmgr -c (as for N01), and delete the old one when the new one has started.",
    undo="sudo efibootmgr -b XXXX -B removes the new entry.",
    changes_start=True,
)
def lower_case_name(facts: Facts) -> Iterator[Hit]:
    """Efibootmgr complained."""
    boot = _list(facts)
    if boot is not None and boot.warnings:
        yield Hit("efibootmgr complains about a variable", boot.warnings)


@rule(
    "N11",
    "an entry remembers another place of its partition",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.BOOT_LIST, Topic.TABLE, Topic.FILE_SYSTEMS),
    see="0xc000000e or 0xc000000f, or nothing at all, after partitions were moved or copied.",
    why=(
        "An entry holds the partition's number, start and size beside its GUID. Some firmwares "
        "use these; a moved partition is not found by them. One that started this system all the "
        "same goes by the GUID."
    ),
    check="Compare HD(...) in `efibootmgr -v` (hexadecimal) with `fdisk -l`.",
    fix=(
        "Make the entry anew (efibootmgr -c, as for N01); delete the old one when the new one has "
        "started. If Windows then shows 0xc000000e, write its BCD anew (rule W06)."
    ),
    undo="sudo efibootmgr -b XXXX -B removes the new entry.",
    explains=("W06",),
    changes_start=True,
)
def partition_moved(facts: Facts) -> Iterator[Hit]:
    """The GUID fits a partition, its number, start or size does not."""
    boot = _list(facts)
    for entry in boot.entries if boot else ():
        partition = facts.partition_of(entry)
        node = entry.node
        if partition is None or node is None or entry.starts is Starts.OTHER:
            continue
        table = (partition.number, partition.start, partition.size)
        told = (node.number, node.start, node.size)
        if None in table or node.start is None or told == table:
            continue
        names = ("the number", "the first sector", "the length in sectors")
        differing = [
            f"{name} {old}, the table has {new}"
            for name, old, new in zip(names, told, table, strict=True)
            if old != new
        ]
        message = f"{entry.name} expects of {partition.device} {'; '.join(differing)}"
        seen = (entry.evidence, *partition.evidence[:1])
        if boot is not None and entry.number == boot.current:
            # This firmware goes by the GUID.
            started = "Nothing must be done: it has started this system all the same."
            yield Hit(message, seen, Severity.INFO, fix=started)
            continue
        severity = Severity.WARN if told[:2] == table[:2] else Severity.ERROR
        anew = entry_anew(boot, entry, partition) if boot else ()
        yield Hit(message, seen, severity, Confidence.LIKELY, *anew)


RULES = (
    no_linux_entry,
    windows_first,
    no_windows_entry,
    duplicate_entries,
    partition_gone,
    inactive_entry,
    boot_next,
    windows_entry_diverted,
    order_has_gaps,
    lower_case_name,
    partition_moved,
)
