"""Rules about the EFI system partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.esp_remedies import (
    esp_again,
    esp_of_windows,
    formatted,
    fstab_fix,
    loader_written,
    typed_as_held,
    was_esp,
)
from labkit.boot.findings import Confidence, Severity
from labkit.boot.linux_loader import LinuxLoader, linux_loader, uses_grub
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.partition_types import PartitionType
from labkit.boot.remedies import (
    BCDBOOT,
    old_order,
    order_after_bcdboot,
    retype,
    steps,
    type_number,
    update_steps,
)
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.findings import Evidence
    from labkit.boot.parse.efibootmgr import BootList
    from labkit.boot.parse.host import FstabEntry

__all__ = ["RULES"]

_ESP_GUID = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"


_WEIGHT = {Severity.INFO: 0, Severity.WARN: 1, Severity.ERROR: 2}


@rule(
    "E01",
    "the EFI system partition has the wrong type",
    Severity.ERROR,
    Effect.NOT_IN_MENU,
    needs=(Topic.TABLE, Topic.FILE_SYSTEMS),
    see="Windows is missing in the menu; os-prober prints nothing, though it is switched on.",
    why=(
        "os-prober looks at a FAT file system only if its partition is typed as ESP: the GUID "
        "c12a7328-... on GPT, ef on MBR (its script mounted/05efi). Windows' repair and copy "
        "tools re-type it as `Microsoft basic data`; then os-prober leaves with status 1 and "
        "no message. The partition's NAME plays no part."
    ),
    check="lsblk -o NAME,FSTYPE,PARTTYPE,PARTTYPENAME: the loader's partition is not an ESP.",
    fix=(
        f"sudo sfdisk --part-type DISK NUMBER {_ESP_GUID} (on an MBR disk: ef). Only the type in "
        "the table changes, no file. Then update-grub."
    ),
    undo="The same command with the old type; `Microsoft basic data` is "
    "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7 (on an MBR disk: 7).",
    explains=("O03", "O01", "C01", "M03", "E03"),
)
def esp_mistyped(facts: Facts) -> Iterator[Hit]:
    """A FAT partition that serves as ESP has another type."""
    for partition in facts.partitions:
        if not partition.is_fat or partition.type in {None, PartitionType.ESP}:
            continue
        found = _serves_as_esp(facts, partition)
        if found is None:
            continue
        reason, weight = found
        kind = type_number(partition, PartitionType.ESP)
        evidence = (*partition.evidence[:1], reason)
        severity = Severity.ERROR if facts.windows_evidence else Severity.INFO
        if facts.esp_partitions:
            severity = min(severity, weight, key=_WEIGHT.__getitem__)
        yield Hit(
            f"{partition.device} serves as EFI system partition but is typed "
            f"`{partition.type}`: os-prober does not look at it",
            evidence,
            severity,
            fix=steps(retype(partition, kind), update_steps(facts)),
            undo=retype(partition, type_number(partition)),
        )


def _serves_as_esp(facts: Facts, partition: Partition) -> tuple[Evidence, Severity] | None:
    """Give the line that shows a partition used as ESP, and its weight beside a proper ESP.

    Windows' loader there is an error all the same, another use a fault to come; a name is a name.
    """
    for esp in facts.esps:
        if esp.device == partition.device and esp.files:
            windows = esp.find("/efi/microsoft/boot/bootmgfw.efi")
            return windows or esp.evidence[0], Severity.ERROR if windows else Severity.WARN
    for entry in facts.boot_list.entries if facts.boot_list else ():
        starts_system = entry.starts in {Starts.WINDOWS, Starts.LINUX}
        if starts_system and entry.node and entry.node.partuuid == partition.partuuid:
            is_windows = entry.starts is Starts.WINDOWS
            return entry.evidence, Severity.ERROR if is_windows else Severity.WARN
    for mount in facts.fstab or ():
        by_uuid = mount.uuid and partition.uuid and mount.uuid.lower() == partition.uuid.lower()
        by_part = mount.partuuid and mount.partuuid == partition.partuuid
        if mount is facts.esp_mount and (by_uuid or by_part or mount.spec == partition.device):
            return mount.evidence, Severity.WARN
    is_named = bool(partition.name) and "EFI" in (partition.name or "").upper().split()
    return (partition.evidence[0], Severity.INFO) if is_named and partition.evidence else None


@rule(
    "E02",
    "Windows' loader is gone from the ESP",
    Severity.ERROR,
    Effect.FILE_GONE,
    needs=(Topic.ESP_FILES, (Topic.TABLE, Topic.BOOT_SECTORS)),
    see="No Windows entry in the menu, or `file not found` when it is chosen.",
    why=(
        "The ESP was formatted anew, often by manual partitioning during a Linux installation. "
        "\\EFI\\Microsoft is gone while Windows itself is intact. os-prober cannot find what is "
        "not there, so switching it on does not help."
    ),
    check="sudo ls /boot/efi/EFI: there is no folder Microsoft.",
    fix=(
        "From Windows media: bcdboot C:\\Windows /s S: /f UEFI (S: is the ESP, a letter given by "
        "diskpart). bcdboot puts Windows first in the firmware's order: set it back, then run "
        "update-grub in Linux."
    ),
    undo="bcdboot adds files to the ESP, replaces EFI\\Boot\\bootx64.efi and adds a firmware "
    "entry; set the old order with efibootmgr -o.",
    explains=("O01", "O02", "O03", "N02", "N03", "N04", "N05", "N06", "C01", "C03", "C06"),
    changes_start=True,
)
def windows_loader_gone(facts: Facts) -> Iterator[Hit]:
    """No listed ESP has bootmgfw.efi, and a Windows volume is there."""
    if not facts.lists_every_esp or any(esp.has_windows for esp in facts.esps):
        return
    if facts.windows_loader is not None or not facts.windows_volumes:
        return
    # A Windows for a BIOS keeps /bootmgr on its own partition and has nothing on an ESP.
    if facts.starts_by_uefi is False or any(f.path == "/bootmgr" for f in facts.boot_files):
        return
    yield Hit(
        "Windows is installed, but its loader is on no EFI system partition",
        (facts.esps[0].source, *facts.windows_volumes[:2]),
        confidence=Confidence.CERTAIN
        if all(esp.is_certain for esp in facts.esps)
        else Confidence.LIKELY,
        fix=steps(
            esp_of_windows(facts),
            BCDBOOT,
            order_after_bcdboot(facts),
            "Then, with GRUB_DISABLE_OS_PROBER=false in /etc/default/grub:"
            if uses_grub(facts)
            else "",
            update_steps(facts),
        ),
        undo=_undo_order(facts),
    )


@rule(
    "E03",
    "Linux' loader is gone from the ESP",
    Severity.ERROR,
    Effect.FILE_GONE,
    needs=(Topic.ESP_FILES,),
    see="`No bootable device`, or Windows starts although Linux comes first.",
    why="The ESP was formatted or its folder deleted; the firmware's entry points at nothing. A "
    "kernel that the firmware starts beside the folder EFI is not judged.",
    check="sudo ls /boot/efi/EFI: there is no folder of the distribution.",
    fix=(
        "From a live medium in UEFI mode: mount root and ESP, chroot, and write the loader anew: "
        "grub-install --target=x86_64-efi --efi-directory=FOLDER (the ESP's); on Fedora dnf "
        "reinstall shim-x64 grub2-efi-x64. Where systemd-boot starts Linux it is bootctl install, "
        "for rEFInd refind-install, for a unified kernel image the kernel's package."
    ),
    undo="It adds files to the ESP and a firmware entry, first in the order; set the old order "
    "with efibootmgr -o.",
    explains=("N01", "N06", "N02", "E07", "C03"),
    changes_start=True,
)
def linux_loader_gone(facts: Facts) -> Iterator[Hit]:
    """No listed ESP has a Linux loader though one is installed, or not the one that is started."""
    if not facts.lists_every_esp or facts.linux_is_removed:
        return
    boot = facts.boot_list
    linux = [e for e in boot.starting(Starts.LINUX) if e.loader is not None] if boot else []
    dead = [e for e in linux if facts.lacks_loader(e)]
    is_certain = all(esp.is_certain for esp in facts.esps) and not _has_fallback(facts)
    confidence = Confidence.CERTAIN if is_certain else Confidence.LIKELY
    fix, undo = loader_written(facts), _undo_order(facts)
    if dead and any(e.active for e in linux if e not in dead):
        for entry in dead:
            message = f"{entry.name} `{entry.label}` starts {entry.loader}, which is on no ESP"
            yield Hit(
                f"{message}; another entry works",
                (entry.evidence,),
                Severity.INFO,
                fix="Nothing must be done: the firmware skips it.",
            )
    elif dead:
        named = f"{dead[0].name} `{dead[0].label}` starts {dead[0].loader}"
        message = f"{named}, which is on no EFI system partition"
        seen = (facts.esps[0].source, *(e.evidence for e in dead))
        yield Hit(message, seen, confidence=confidence, fix=fix, undo=undo)
    elif not (facts.linux_uefi_folders or _falls_back_to_linux(facts) or _starts_unseen(boot)):
        installed = facts.esp_mount.evidence if facts.esp_mount else None
        if installed and facts.linux_evidence:
            message = "Linux is installed for UEFI, but its loader is on no EFI system partition"
            yield Hit(
                message,
                (facts.esps[0].source, installed),
                confidence=confidence,
                fix=fix,
                undo=undo,
            )


def _starts_unseen(boot: BootList | None) -> bool:
    """Tell whether Linux started by what no list of EFI's files shows, such as a bare kernel."""
    if boot is None:
        return False
    return any(
        e.loader and (e.number == boot.current or not e.loader.startswith("/efi/"))
        for e in boot.linux
    )


def _has_fallback(facts: Facts) -> bool:
    return any(esp.find("/efi/boot/bootx64.efi") for esp in facts.esps)


def _falls_back_to_linux(facts: Facts) -> bool:
    """Tell GRUB installed as the fallback loader; beside Windows that file may be Windows' own."""
    return any(esp.find("/efi/boot/grubx64.efi") for esp in facts.esps) or (
        _has_fallback(facts) and facts.windows_loader is None
    )


def _undo_order(facts: Facts) -> str:
    """Give the old order: an installed loader gets an entry, and is put first."""
    order = old_order(facts.boot_list) if facts.boot_list else ""
    return steps("The firmware's old order:", order) if order else ""


@rule(
    "E04",
    "the ESP is not FAT",
    Severity.ERROR,
    Effect.FILE_GONE,
    needs=(Topic.TABLE, Topic.FILE_SYSTEMS),
    see="The installation of a loader fails, or the firmware finds no system.",
    why="UEFI firmwares read FAT. A partition typed as ESP with another file system is useless.",
    check="lsblk -o NAME,FSTYPE,PARTTYPENAME",
    fix=(
        "Do not format it: most often its type is wrong, not its content. Give it the type of what "
        "it holds: sudo sfdisk --part-type DISK NUMBER TYPE (Linux 0FC63DAF-8483-4772-8E79-"
        "3D69D8477DE4, Windows EBD0A0A2-B9E5-4433-87C0-68B6B72699C7). Only a small partition that "
        "holds nothing at all, where no other ESP is, is made an ESP by mkfs.vfat -F 32; then the "
        "loaders are written anew."
    ),
    undo=f"sudo sfdisk --part-type DISK NUMBER {_ESP_GUID}; a format cannot be undone.",
    explains=("E03", "N01", "E02", "E07"),
    changes_start=True,
)
def esp_not_fat(facts: Facts) -> Iterator[Hit]:
    """An ESP holds a file system that is not FAT, or none."""
    for esp in facts.esp_partitions:
        if esp.is_fat:
            continue
        if esp.fstype:
            message = f"{esp.device} is typed as EFI system partition but holds {esp.fstype}"
            if (used := was_esp(facts, esp)) is not None:
                undo = "A format cannot be undone: keep the copy."
                yield Hit(message, (*esp.evidence[:2], used), fix=esp_again(esp), undo=undo)
                continue
            undo = retype(esp, type_number(esp))
            yield Hit(message, esp.evidence[:2], fix=typed_as_held(facts, esp), undo=undo)
        elif _is_seen_empty(facts, esp):
            yield Hit(
                f"{esp.device} is typed as EFI system partition but holds no known file system",
                esp.evidence[:2],
                confidence=Confidence.LIKELY,
                fix=formatted(facts, esp),
                undo="A format cannot be undone: keep the copy.",
            )


def _is_seen_empty(facts: Facts, esp: Partition) -> bool:
    """Tell whether a list that shows file systems has the partition without one."""
    neighbours = [p for p in facts.partitions if p.disk == esp.disk and p.fstype]
    return bool(esp.partuuid and neighbours and facts.lists_every_file_system and not esp.uuid)


@rule(
    "E05",
    "Windows' boot configuration (BCD) is missing",
    Severity.ERROR,
    Effect.FILE_GONE,
    needs=(Topic.ESP_FILES,),
    see="0xc000000f when Windows starts; os-prober prints nothing.",
    why=(
        "os-prober wants both bootmgfw.efi and BCD in Microsoft/Boot and is silent when one is "
        "missing; Windows' loader needs the BCD as well."
    ),
    check="sudo ls /boot/efi/EFI/Microsoft/Boot/BCD",
    fix=(
        "From Windows media: bcdboot C:\\Windows /s S: /f UEFI (S: is the ESP, a letter given by "
        "diskpart). bcdboot puts Windows first in the firmware's order: set it back."
    ),
    undo="bcdboot writes a new BCD and adds a firmware entry; set the old order with "
    "efibootmgr -o.",
    explains=("O03", "O01", "C01"),
    changes_start=True,
)
def bcd_missing(facts: Facts) -> Iterator[Hit]:
    """bootmgfw.efi is listed, BCD is not, and the list does show such files."""
    for esp in facts.esps:
        loader = esp.find("/efi/microsoft/boot/bootmgfw.efi")
        if loader and esp.shows_other_files and not esp.find("/efi/microsoft/boot/bcd"):
            fix = steps(BCDBOOT, order_after_bcdboot(facts))
            undo = _undo_order(facts)
            yield Hit(
                "the file BCD beside Windows' loader is missing", (loader,), fix=fix, undo=undo
            )


@rule(
    "E06",
    "there are several EFI system partitions",
    Severity.INFO,
    Effect.SIDE_NOTE,
    needs=(Topic.TABLE,),
    see="Changes go to one disk, the computer starts from the other.",
    why="Each disk may have an ESP; the firmware, fstab and Windows may mean different ones.",
    check="lsblk -o NAME,PARTTYPENAME,MOUNTPOINTS; efibootmgr -v",
    fix=(
        "Nothing must be done. Know which one each system uses: the firmware's entries and "
        "/etc/fstab tell. Delete none of them."
    ),
    undo="Nothing was changed.",
)
def several_esps(facts: Facts) -> Iterator[Hit]:
    """More than one partition is an ESP; say who uses which."""
    esps = facts.esp_partitions
    if len(esps) > 1:
        uses = "; ".join(f"{p.device}: {_users(facts, p) or 'nobody'}" for p in esps)
        yield Hit(
            f"several EFI system partitions ({uses})",
            tuple(e for p in esps for e in p.evidence[:1]),
        )


def _users(facts: Facts, partition: Partition) -> str:
    users = [
        f"{entry.name} {entry.label}"
        for entry in (facts.boot_list.entries if facts.boot_list else ())
        if entry.node and entry.node.partuuid == partition.partuuid
    ]
    uuid = (partition.uuid or "-").lower()
    users += [f"fstab {e.mount}" for e in facts.fstab or () if (e.uuid or "").lower() == uuid]
    return ", ".join(users)


@rule(
    "E07",
    "the ESP is not mounted, or from the wrong partition",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=(Topic.FSTAB, Topic.FILE_SYSTEMS),
    see="Updates of the loader do not reach the ESP; the start waits 90 seconds.",
    why=(
        "grub-install writes to the ESP's folder (/boot/efi, on Arch often /boot or /efi); where "
        "fstab mounts no ESP there, it fills a folder. A line that names what no partition has "
        "stops the start. systemd mounts an ESP on /boot or /efi by itself, without a line."
    ),
    check="findmnt /boot/efi; grep -E 'efi|vfat' /etc/fstab",
    fix=(
        "Put the line `UUID=... /boot/efi vfat umask=0077 0 1` into /etc/fstab, with the UUID of "
        "the ESP (lsblk -f); then sudo mount /boot/efi, and write the loader anew."
    ),
    undo="Put the old line back.",
    explains=("C03",),
)
def esp_mount_wrong(facts: Facts) -> Iterator[Hit]:
    """Fstab names what no partition has or is no FAT, or no ESP though GRUB is on one."""
    entry = facts.esp_mount
    if not facts.lists_every_file_system:
        return
    if entry is not None:
        wrong = _wrong_mount(facts, entry)
        if wrong:
            old = f"The old line of /etc/fstab: {entry.evidence.text}"
            fix = fstab_fix(facts, entry.mount)
            yield Hit(wrong, (entry.evidence,), fix=fix, undo=old)
    elif _mounts_by_itself(facts):
        return
    elif facts.fstab and facts.linux_uefi_folders and facts.starts_by_uefi:
        message = "fstab does not mount the EFI system partition that Linux uses"
        root = next((e for e in facts.fstab if e.mount == "/"), facts.fstab[0])
        if root.mount == "/":
            yield Hit(
                message,
                (root.evidence,),
                confidence=Confidence.LIKELY,
                fix=fstab_fix(facts, "/boot/efi"),
                undo="Take the line out again.",
            )


def _wrong_mount(facts: Facts, entry: FstabEntry) -> str:
    """Say what is wrong with what fstab mounts as ESP; empty where it is right or not known."""
    partition = facts.mounted(entry)
    named = entry.uuid or entry.spec
    if partition is None:
        return f"fstab mounts {named} on {entry.mount}, which no file system has"
    if partition.fstype and not partition.is_fat:
        held = f"{partition.device} ({partition.fstype})"
        return f"fstab mounts {held} on {entry.mount}, which is no EFI system partition"
    return ""


def _mounts_by_itself(facts: Facts) -> bool:
    """Tell whether the ESP needs no line: systemd mounts it on /boot or /efi without one."""
    is_grub = linux_loader(facts) in {LinuxLoader.GRUB, None}
    return not is_grub or facts.esp_mounted_now in {"/boot", "/efi"}


@rule(
    "E08",
    "no room left for the loader",
    Severity.ERROR,
    Effect.SETTING_IGNORED,
    needs=((Topic.SPACE, Topic.RUN_LOG, Topic.GRUB_INSTALL, Topic.BOOT_LIST),),
    see="No space left on device.",
    why=(
        "The ESP is full of old loaders and firmware files, or the firmware's own storage is "
        "full of entries and crash dumps (dump-type0-* in efivars)."
    ),
    check="df -h /boot /boot/efi; ls /sys/firmware/efi/efivars | wc -l",
    fix=(
        "Take out old kernels with the package manager (Debian, Ubuntu: sudo apt-get autoremove "
        "--purge). On the ESP, `sudo du -ah /boot/efi | sort -h` shows the largest files: keep "
        "EFI/Microsoft, EFI/Boot and the folder of the running system, and copy what you delete. "
        "In /sys/firmware/efi/efivars delete nothing but files named dump-type0-*: a firmware may "
        "not start without its other variables."
    ),
    undo="Copy the files back. A deleted variable cannot be brought back.",
    explains=("O04", "C01"),
)
def no_space(facts: Facts) -> Iterator[Hit]:
    """Df shows 100 %, or a tool says so."""
    lines = [*(facts.log.no_space if facts.log else ())]
    lines += [e for e in facts.messages.get(Topic.GRUB_INSTALL, ()) if "No space left" in e.text]
    full = 100
    lines += [
        f.evidence
        for f in facts.full
        if f.used_percent >= full and f.mount in {"/boot", "/boot/efi", "/efi", facts.esp_folder}
    ]
    root = [f.evidence for f in facts.full if f.used_percent >= full and f.mount == "/"]
    if lines:
        yield Hit("no space is left where the loader is written", (*lines, *root))
    elif root:
        yield Hit(
            "the root file system is full: the menu and the kernels cannot be written",
            tuple(root),
            fix=_ROOM_ON_ROOT,
        )


_ROOM_ON_ROOT = steps(
    "Look what takes the room (this only reads):",
    "sudo du -xh / --max-depth=2 | sort -h | tail -n 20",
    "Take out what is not needed with the package manager (Debian, Ubuntu: `sudo apt-get clean`, "
    "`sudo apt-get autoremove --purge`), and copy what you delete yourself. The ESP has room.",
)


RULES = (
    esp_mistyped,
    windows_loader_gone,
    linux_loader_gone,
    esp_not_fat,
    bcd_missing,
    several_esps,
    esp_mount_wrong,
    no_space,
)
