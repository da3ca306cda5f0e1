"""Rules about the EFI system partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.findings import Confidence, Severity
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.partition_types import PartitionType
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.findings import Evidence

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
    fix=f"sfdisk --part-type DISK NUMBER {_ESP_GUID}",
    undo="sfdisk --part-type DISK NUMBER with the old type (EBD0A0A2-B9E5-4433-87C0-68B6B72699C7).",
    explains=("O03", "O01", "C01", "M03", "E03"),
)
def esp_mistyped(facts: Facts) -> Iterator[Hit]:
    """A FAT partition that serves as ESP has another type."""
    for partition in facts.partitions:
        if not partition.is_fat or partition.type in {None, PartitionType.ESP}:
            continue
        reason = _serves_as_esp(facts, partition)
        if reason is None:
            continue
        number = partition.number or 0
        kind = _ESP_GUID if partition.scheme == "gpt" else "ef"
        evidence = (*partition.evidence[:1], reason)
        severity = Severity.ERROR if facts.windows_evidence else Severity.INFO
        if facts.esp_partitions and "microsoft" not in reason.text.lower():
            severity = min(severity, Severity.WARN, key=_WEIGHT.__getitem__)
        yield Hit(
            f"{partition.device} serves as EFI system partition but is typed "
            f"`{partition.type}`: os-prober does not look at it",
            evidence,
            severity,
            fix=f"sudo sfdisk --part-type {partition.disk} {number} {kind}",
        )


def _serves_as_esp(facts: Facts, partition: Partition) -> Evidence | None:
    """Give the line that shows a partition used as ESP."""
    for esp in facts.esps:
        if esp.device == partition.device and esp.files:
            return esp.evidence[0]
    for entry in facts.boot_list.entries if facts.boot_list else ():
        starts_system = entry.starts in {Starts.WINDOWS, Starts.LINUX}
        if starts_system and entry.node and entry.node.partuuid == partition.partuuid:
            return entry.evidence
    for mount in facts.fstab or ():
        by_uuid = mount.uuid and partition.uuid and mount.uuid.lower() == partition.uuid.lower()
        by_part = mount.partuuid and mount.partuuid == partition.partuuid
        if mount.mount in {"/boot/efi", "/efi"} and (
            by_uuid or by_part or mount.spec == partition.device
        ):
            return mount.evidence
    if partition.name and "EFI" in partition.name.upper().split():
        return next(iter(partition.evidence), None)
    return None


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
    fix="From Windows media: bcdboot C:\\Windows /s S: /f UEFI (S: is the ESP), then update-grub.",
    undo="Nothing is lost: bcdboot only adds files.",
    explains=("O01", "O02", "O03", "N02", "N03", "N04", "N05", "N06", "C01", "C03"),
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
        fix="from Windows media: bcdboot C:\\Windows /s S: /f UEFI; then "
        f"{facts.distribution.update_command} with os-prober switched on",
    )


@rule(
    "E03",
    "Linux' loader is gone from the ESP",
    Severity.ERROR,
    Effect.FILE_GONE,
    needs=(Topic.ESP_FILES,),
    see="`No bootable device`, or Windows starts although Linux comes first.",
    why="The ESP was formatted or its folder deleted; the firmware's entry points at nothing.",
    check="sudo ls /boot/efi/EFI: there is no folder of the distribution.",
    fix="From a live system in UEFI mode: mount root and ESP, chroot, grub-install.",
    undo="Nothing is lost: grub-install only adds files.",
    explains=("N01", "N06", "N02", "E07"),
)
def linux_loader_gone(facts: Facts) -> Iterator[Hit]:
    """No listed ESP has a Linux loader, and a Linux for UEFI is installed."""
    if not facts.lists_every_esp or facts.linux_uefi_folders:
        return
    # GRUB can be installed as the fallback loader; beside Windows that file may be Windows' own.
    fallback = any(esp.find("/efi/boot/bootx64.efi") for esp in facts.esps)
    if any(esp.find("/efi/boot/grubx64.efi") for esp in facts.esps) or (
        fallback and facts.windows_loader is None
    ):
        return
    installed = [e.evidence for e in facts.fstab or () if e.mount in {"/boot/efi", "/efi"}]
    if facts.boot_list is not None:
        installed += [
            e.evidence
            for e in facts.boot_list.entries
            if e.starts is Starts.LINUX and e.loader is not None
        ]
    if installed and facts.linux_evidence:
        yield Hit(
            "Linux is installed for UEFI, but its loader is on no EFI system partition",
            (facts.esps[0].source, installed[0]),
            confidence=Confidence.LIKELY if fallback else Confidence.CERTAIN,
        )


@rule(
    "E04",
    "the ESP is not FAT",
    Severity.ERROR,
    Effect.FILE_GONE,
    needs=(Topic.TABLE, Topic.FILE_SYSTEMS),
    see="The installation of a loader fails, or the firmware finds no system.",
    why="UEFI firmwares read FAT. A partition typed as ESP with another file system is useless.",
    check="lsblk -o NAME,FSTYPE,PARTTYPENAME",
    fix="Save its files, mkfs.vfat -F32 on the partition, reinstall the loaders.",
    undo="Restore the saved files.",
    explains=("E03", "N01", "E02"),
)
def esp_not_fat(facts: Facts) -> Iterator[Hit]:
    """An ESP holds a file system that is not FAT."""
    for esp in facts.esp_partitions:
        if esp.fstype and not esp.is_fat:
            message = f"{esp.device} is typed as EFI system partition but holds {esp.fstype}"
            yield Hit(message, esp.evidence[:2])


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
    fix="From Windows media: bcdboot C:\\Windows /s S: /f UEFI",
    undo="Nothing is lost: bcdboot writes a new BCD.",
    explains=("O03", "O01"),
)
def bcd_missing(facts: Facts) -> Iterator[Hit]:
    """bootmgfw.efi is listed, BCD is not, and the list does show such files."""
    for esp in facts.esps:
        loader = esp.find("/efi/microsoft/boot/bootmgfw.efi")
        if loader and esp.shows_other_files and not esp.find("/efi/microsoft/boot/bcd"):
            yield Hit("the file BCD beside Windows' loader is missing", (loader,))


@rule(
    "E06",
    "there are several EFI system partitions",
    Severity.INFO,
    Effect.SIDE_NOTE,
    needs=(Topic.TABLE,),
    see="Changes go to one disk, the computer starts from the other.",
    why="Each disk may have an ESP; the firmware, fstab and Windows may mean different ones.",
    check="lsblk -o NAME,PARTTYPENAME,MOUNTPOINTS; efibootmgr -v",
    fix="Decide for one: mount it on /boot/efi and run grub-install.",
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
    "/boot/efi is not mounted, or from the wrong partition",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=(Topic.FSTAB, Topic.FILE_SYSTEMS),
    see="Updates of the loader do not reach the ESP; the start waits 90 seconds.",
    why="grub-install writes to /boot/efi; where fstab mounts no ESP there, it fills a folder.",
    check="findmnt /boot/efi; grep efi /etc/fstab",
    fix="Put UUID=... /boot/efi vfat umask=0077 0 1 into /etc/fstab, mount it, run grub-install.",
    undo="Take the line out again.",
)
def esp_mount_wrong(facts: Facts) -> Iterator[Hit]:
    """Fstab names a UUID that no file system has, or no ESP though Linux uses one."""
    entry = next((e for e in facts.fstab or () if e.mount in {"/boot/efi", "/efi"}), None)
    if not facts.lists_every_file_system:
        return
    if entry is not None and entry.uuid and entry.uuid.lower() not in facts.by_uuid:
        message = f"fstab mounts {entry.uuid} on {entry.mount}, which no file system has"
        yield Hit(message, (entry.evidence,))
    elif entry is None and facts.fstab and facts.linux_uefi_folders and facts.starts_by_uefi:
        message = "fstab does not mount the EFI system partition that Linux uses"
        root = next((e for e in facts.fstab if e.mount == "/"), facts.fstab[0])
        if root.mount == "/":
            yield Hit(message, (root.evidence,), confidence=Confidence.LIKELY)


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
    fix="Delete old kernels, loaders and dump-type0-* variables; delete dead entries.",
    undo="Nothing can be undone: save the files first.",
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
        if f.used_percent >= full and f.mount in {"/boot", "/boot/efi", "/efi", "/"}
    ]
    if lines:
        yield Hit("no space is left where the loader is written", tuple(lines))


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
