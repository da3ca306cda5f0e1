"""The facts about one computer: all inputs joined, and what follows from them together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from labkit.boot.distributions import Family, distribution_of
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.partition_types import PartitionType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.bundle import Skipped
    from labkit.boot.default_grub import GrubSettings
    from labkit.boot.disks import Disk, Partition
    from labkit.boot.distributions import Distribution
    from labkit.boot.findings import Evidence, Finding
    from labkit.boot.menu_facts import EnvironmentBlock, Menu
    from labkit.boot.parse.bootinfo import BootFile, BootSector, MbrCode
    from labkit.boot.parse.efibootmgr import BootEntry, BootList
    from labkit.boot.parse.esp import EspListing, EspStub
    from labkit.boot.parse.host import FstabEntry, FullFileSystem, GrubScript
    from labkit.boot.parse.mkconfig_log import MkconfigLog
    from labkit.boot.parse.os_prober import OsProberOutput
    from labkit.boot.topics import Topic
    from labkit.errors import LabkitError

_CONTAINERS = frozenset({"crypto_LUKS", "LVM2_member", "linux_raid_member", "zfs_member"})
_MINT_PROBES = 21
_FAT = frozenset({"vfat", "msdos"})
_LINUX_FILE_SYSTEMS = frozenset({"ext4", "ext3", "ext2", "btrfs", "xfs", "f2fs", "crypto_LUKS"})

# Windows' setup writes it in its own language.
_SYSTEM_RESERVED = (
    r"(?i)system[ -]?reserv|réservé au système|reservado p|reservado|riservato|zastrzeżone"
    r"|зарезервировано|systeem gereserveerd"
)

__all__ = ["Facts"]


@dataclass(frozen=True)
class Facts:
    """Everything that is known about one computer; what no input told is None or empty.

    Attributes:
        topics: The questions that inputs answered.
        distribution: Whose GRUB it is.
        disks: Whole disks with their tables.
        partitions: All partitions, joined from tables and file-system lists.
        volumes: Everything with a file system that is no partition: whole disks, LVM, LUKS, RAID.
        boot_list: The firmware's list.
        prober: What os-prober printed.
        log: What update-grub printed.
        esps: The files of each listed ESP.
        stub: The ESP's own grub.cfg.
        settings: /etc/default/grub.
        menu: The generated menu.
        environment: grubenv.
        fstab: The mounts of the installed Linux.
        running_mode: `uefi` or `bios`, the mode of the system that collected the inputs.
        mode_evidence: The line that tells it.
        secure_boot: Whether Secure Boot is on.
        boot_sectors: What the first sectors of partitions hold.
        mbr_codes: What the first sectors of disks hold.
        boot_files: Files that start systems, by partition.
        packages: Lines about installed packages.
        full: File systems with their fill level.
        scripts: The files of /etc/grub.d.
        os_release: os-release of the installed Linux.
        clock_is_local: Whether the hardware clock keeps local time.
        messages: Lines of other inputs by topic: ntfs-3g, grub-install, lspci, the screen, sgdisk.
        carried_line_ends: Every input has Windows' line ends, which were taken off: they came on
            while the inputs were copied.
        unread: Inputs that could not be read as what they are.
        skipped: Inputs that were not read at all.
        answers: What each input, by its name, tells about.
    """

    topics: frozenset[Topic] = frozenset()
    distribution: Distribution = field(default_factory=lambda: distribution_of(Family.UNKNOWN))
    disks: tuple[Disk, ...] = ()
    partitions: tuple[Partition, ...] = ()
    volumes: tuple[Partition, ...] = ()
    boot_list: BootList | None = None
    prober: OsProberOutput | None = None
    log: MkconfigLog | None = None
    esps: tuple[EspListing, ...] = ()
    stub: EspStub | None = None
    settings: GrubSettings | None = None
    menu: Menu | None = None
    environment: EnvironmentBlock | None = None
    fstab: tuple[FstabEntry, ...] | None = None
    running_mode: str | None = None
    mode_evidence: Evidence | None = None
    secure_boot: tuple[bool, Evidence] | None = None
    boot_sectors: tuple[BootSector, ...] = ()
    mbr_codes: tuple[MbrCode, ...] = ()
    boot_files: tuple[BootFile, ...] = ()
    packages: tuple[Evidence, ...] = ()
    full: tuple[FullFileSystem, ...] = ()
    scripts: tuple[GrubScript, ...] = ()
    os_release: Mapping[str, str] = field(default_factory=dict)
    clock_is_local: tuple[bool, Evidence] | None = None
    messages: Mapping[str, tuple[Evidence, ...]] = field(default_factory=dict)
    carried_line_ends: Evidence | None = None
    unread: tuple[LabkitError, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    answers: Mapping[str, tuple[Topic, ...]] = field(default_factory=dict)

    # --- partitions -----------------------------------------------------------------------

    @cached_property
    def esp_partitions(self) -> tuple[Partition, ...]:
        """Partitions typed as ESP on whole disks."""
        return tuple(p for p in self.partitions if p.type is PartitionType.ESP)

    @cached_property
    def by_uuid(self) -> Mapping[str, Partition]:
        """Lower-case file-system UUID -> partition."""
        return {p.uuid.lower(): p for p in (*self.volumes, *self.partitions) if p.uuid}

    @cached_property
    def by_partuuid(self) -> Mapping[str, Partition]:
        """Lower-case PARTUUID -> partition."""
        return {p.partuuid.lower(): p for p in self.partitions if p.partuuid}

    def partition(self, device: str) -> Partition | None:
        """Find the partition `device`."""
        return next((p for p in self.partitions if p.device == device), None)

    def partition_of(self, entry: BootEntry) -> Partition | None:
        """Find the partition that a firmware entry names."""
        return self.by_partuuid.get(entry.node.partuuid) if entry.node else None

    def lacks_loader(self, entry: BootEntry) -> bool:
        """Tell whether a firmware entry's loader is surely not on the ESP that it names.

        The lists show what is below EFI: a kernel beside that folder is out of their sight.
        """
        if entry.loader is None or entry.is_damaged or not self.lists_every_esp:
            return False
        if not entry.loader.startswith("/efi/"):
            return False
        if self.by_partuuid and self.partition_of(entry) is None:
            return False  # It names a disk that is not listed, such as a stick.
        found = [esp for esp in self.esps if esp.find(entry.loader)]
        return not found or all(esp.lacks_second_stage(entry.loader, entry.data) for esp in found)

    def mounted(self, entry: FstabEntry) -> Partition | None:
        """Find what a line of fstab mounts, however it names it; None where it is not listed."""
        if entry.uuid is not None:
            return self.by_uuid.get(entry.uuid.lower())
        if entry.partuuid is not None:
            return self.by_partuuid.get(entry.partuuid)
        by_name = re.match(r'(?:(PART)?LABEL=|/dev/disk/by-(part)?label/)"?([^"]+)', entry.spec)
        known = (*self.partitions, *self.volumes)
        if by_name is None:
            return next((p for p in known if p.device == entry.spec), None)
        in_table = by_name[1] or by_name[2]
        return next((p for p in known if (p.name if in_table else p.label) == by_name[3]), None)

    def bytes_of(self, partition: Partition) -> int | None:
        """Give a partition's length in bytes; None where no input tells it."""
        disk = self.disk(partition.disk)
        sector_bytes = (disk.sector_bytes if disk else None) or 512
        return partition.size_bytes or (partition.size * sector_bytes if partition.size else None)

    def disk(self, device: str) -> Disk | None:
        """Find the disk `device`."""
        return next((d for d in self.disks if d.device == device), None)

    @cached_property
    def lists_every_file_system(self) -> bool:
        """Whether the list of file systems is whole: no other input contradicts it.

        It is cut where a table shows a partition with a typical content that the list lacks, or
        where fstab's root is not in it. A closed container (LUKS, LVM, RAID) hides its own.
        """
        listed = {p.device for p in self.partitions if p.fstype or p.uuid or p.partuuid}
        expected = {
            p.device
            for p in self.partitions
            if p.start is not None and p.type in {PartitionType.LINUX, PartitionType.ESP}
        }
        roots = [e for e in self.fstab or () if e.mount == "/" and e.uuid]
        is_closed = any(p.fstype in _CONTAINERS for p in self.partitions) and not any(
            v.fstype and v.fstype != "iso9660" for v in self.volumes
        )
        return (
            bool(self.by_uuid)
            and not is_closed
            and expected <= listed
            and (
                all((e.uuid or "").lower() in self.by_uuid for e in roots)
                or self._tells_every_content
            )
        )

    @cached_property
    def _tells_every_content(self) -> bool:
        """Whether each partition of the tables has its content told, and none holds others."""
        empty = {PartitionType.MSR, PartitionType.EXTENDED, PartitionType.BIOS_BOOT}
        tabled = [p for p in self.partitions if p.start is not None and p.type not in empty]
        disks = {p.disk for p in self.partitions}
        return (
            bool(tabled)
            and not self.volumes
            and all(p.fstype and p.fstype not in _CONTAINERS for p in tabled)
            and disks == {p.disk for p in tabled}
        )

    @cached_property
    def lists_every_disk(self) -> bool:
        """Whether the tables show every disk that another input names."""
        tables = {d.device for d in self.disks if d.partitions and not d.shows_protection_alone}
        named = {p.disk for p in self.partitions if p.fstype or p.partuuid}
        return bool(tables) and bool(self.by_partuuid) and named <= tables | _removable(self)

    @cached_property
    def lists_every_partition(self) -> bool:
        """Whether the tables are whole, and what each partition holds is told."""
        return self.lists_every_disk and self.lists_every_file_system

    @cached_property
    def _names_unseen_disk(self) -> bool:
        """Whether an entry of Windows names a partition that no list shows."""
        listed = self.boot_list.entries if self.boot_list is not None else ()
        nodes = [e.node for e in listed if e.starts is Starts.WINDOWS and e.node is not None]
        return any(node.partuuid not in self.by_partuuid for node in nodes)

    # --- what is installed ----------------------------------------------------------------

    @cached_property
    def windows_loader(self) -> Evidence | None:
        """The line that lists Windows' boot manager on an ESP."""
        for esp in self.esps:
            if found := esp.find("/efi/microsoft/boot/bootmgfw.efi"):
                return found
        if self.prober is not None:
            for system in self.prober.systems:
                if system.kind == "efi" and system.is_windows:
                    return system.evidence
        return None

    @cached_property
    def windows_volumes(self) -> tuple[Evidence, ...]:
        """Lines that show an installed Windows itself, not merely a data disk with NTFS."""
        found = [f.evidence for f in self.boot_files if re.search(r"/winload\.e(xe|fi)$", f.path)]
        for disk in dict.fromkeys(p.disk for p in self.partitions):
            here = [p for p in self.partitions if p.disk == disk]
            kinds = {p.type for p in here}
            has_esp = PartitionType.ESP in kinds
            # An MSR alone is on every GPT disk that Windows made, also on pure data disks.
            has_system = PartitionType.RECOVERY in kinds or (has_esp and PartitionType.MSR in kinds)
            for p in here:
                is_data = p.type is PartitionType.MICROSOFT_DATA and has_system
                if is_data or (p.fstype == "BitLocker" and has_esp):
                    found += p.evidence[:1]
        return tuple(found)

    @cached_property
    def legacy_windows(self) -> tuple[Evidence, ...]:
        """Lines that show a Windows that a BIOS starts: it is on an MBR disk.

        NTFS alone is data. Windows' own signs are the active flag or the name `System Reserved` on
        an NTFS partition, a recovery partition, and the boot files.
        """
        found = [
            f.evidence
            for f in self.boot_files
            if f.path in {"/bootmgr", "/ntldr"}
            and (partition := self.partition(f.device)) is not None
            and partition.scheme == "dos"
        ]
        for disk in self.disks:
            here = [p for p in self.partitions if p.disk == disk.device]
            if not disk.is_mbr or not here:
                continue
            volumes = [p for p in here if _may_hold_windows(p)]
            is_alone = len(here) == 1 and len(self.disks) > 1  # A disk for data, as it is sold.
            has_system = any(p.active or _is_system_reserved(p) for p in volumes)
            has_recovery = any(p.type is PartitionType.RECOVERY for p in here)
            if volumes and not is_alone and (has_system or has_recovery):
                found += [p.evidence[0] for p in volumes if p.evidence]
        return tuple(found)

    @cached_property
    def windows_is_removed(self) -> bool:
        """Whether a loader, or an entry of the firmware, may be all that is left of a Windows."""
        if self.lists_every_partition and not any(map(_has_room_for_windows, self.partitions)):
            return not self._names_unseen_disk
        return (
            self.lists_every_esp
            and self.windows_loader is None
            and not self.windows_volumes
            and not self.legacy_windows
        )

    @cached_property
    def windows_evidence(self) -> tuple[Evidence, ...]:
        """Lines that show that Windows is installed, the strongest first."""
        found = [self.windows_loader] if self.windows_loader else []
        if self.boot_list is not None:
            found += [
                e.evidence
                for e in self.boot_list.entries
                if e.has_windows_data or (e.loader or "").startswith("/efi/microsoft/")
            ]
        if self.prober is not None:
            found += [s.evidence for s in self.prober.systems if s.is_windows]
        return tuple(dict.fromkeys((*found, *self.windows_volumes, *self.legacy_windows)))

    @cached_property
    def bitlocker(self) -> bool | None:
        """Whether BitLocker encrypts a volume; None where no input shows all file systems."""
        fstypes = {(p.fstype or "").lower() for p in (*self.partitions, *self.volumes)}
        if "bitlocker" in fstypes:
            return True
        return False if "ntfs" in fstypes and self.lists_every_file_system else None

    @cached_property
    def linux_evidence(self) -> tuple[Evidence, ...]:
        """Lines that show that a Linux is installed."""
        found = [e.evidence for e in self.fstab or () if e.mount == "/"]
        found += [
            p.evidence[0]
            for p in self.partitions
            if p.evidence
            and p.type is not PartitionType.EXTENDED
            and (
                p.fstype in _LINUX_FILE_SYSTEMS
                or p.type in {PartitionType.LINUX, PartitionType.LVM}
            )
        ]
        if self.menu is not None and self.menu.starts_linux:
            found.append(self.menu.source)
        return tuple(found)

    @cached_property
    def linux_is_removed(self) -> bool:
        """Whether a loader, or an entry of the firmware, is all that is left of a Linux."""
        return (
            self.lists_every_partition
            and not self.linux_evidence
            and not any(map(_has_room_for_linux, self.partitions))
        )

    @cached_property
    def legacy_linux(self) -> tuple[Evidence, ...]:
        """Signs of a GRUB for a BIOS: its package, its partition, its boot sector; two prove it."""
        signs = [e for e in self.packages if re.search(r"\bgrub-pc\b(?!-bin)", e.text)][:1]
        signs += [
            p.evidence[0]
            for p in self.partitions
            if p.type is PartitionType.BIOS_BOOT and p.evidence
        ][:1]
        signs += [m.evidence for m in self.mbr_codes if m.content.startswith("Grub2")][:1]
        return tuple(signs)

    @cached_property
    def esp_mount(self) -> FstabEntry | None:
        """The line of fstab that mounts the ESP: where one usually is, or of a partition so typed.

        systemd-boot's usual place is /boot.
        """
        lines = self.fstab or ()
        usual = [e for e in lines if e.mount in {"/boot/efi", "/efi", "/boot/EFI", "/esp"}]
        fat = [e for e in lines if e.mount.startswith("/boot") and e.fstype in _FAT]
        mounted = [(e, self.mounted(e)) for e in lines]
        typed = [e for e, p in mounted if p and p.is_fat and p.type is PartitionType.ESP]
        return next(iter((*usual, *fat, *typed)), None)

    @cached_property
    def esp_folder(self) -> str:
        """Where the installed Linux mounts its ESP; /boot/efi where nothing tells.

        fstab tells it, a list of mounts, or the paths of the ESP's files.
        """
        if self.esp_mount is not None:
            return self.esp_mount.mount
        return self.esp_mounted_now or "/boot/efi"

    @cached_property
    def esp_mounted_now(self) -> str | None:
        """Where an ESP was mounted in the system that was looked at; None where nothing tells."""
        mounts = [m for p in self.esp_partitions for m in p.mounts]
        paths = [line.text.strip() for esp in self.esps for line in esp.evidence[:1]]
        above = re.compile(r"(/.*?)/EFI/(?!EFI/)", re.IGNORECASE)
        mounts += [match[1] for path in paths if (match := above.match(path))]
        usual = re.compile(r"/(?:boot(?:/efi)?|efi|esp)", re.IGNORECASE)
        return next((m for m in mounts if usual.fullmatch(m)), None)

    @cached_property
    def linux_uefi_folders(self) -> tuple[str, ...]:
        """Folders of Linux loaders on the listed ESPs."""
        return tuple(folder for esp in self.esps for folder in esp.linux_folders)

    @cached_property
    def starts_by_uefi(self) -> bool | None:
        """Whether this computer starts its systems by UEFI; None where nothing tells."""
        if self.boot_list is not None:
            return self.boot_list.is_supported
        if self.running_mode is not None:
            return self.running_mode == "uefi"
        if self.windows_loader and self.esp_partitions:
            return True
        has_mbr_alone = bool(self.disks) and all(d.is_mbr for d in self.disks)
        uses_esp = self.esp_partitions or self.esps or self.esp_mount
        return False if has_mbr_alone and not uses_esp else None

    @property
    def probes_by_default(self) -> bool | None:
        """Whether os-prober runs where nothing is set: as the family does, and Mint from 21 on."""
        version = re.match(r"\d+", self.os_release.get("VERSION_ID", ""))
        if self.os_release.get("ID") == "linuxmint" and version is not None:
            return int(version[0]) >= _MINT_PROBES or None
        return self.distribution.probes_by_default

    @cached_property
    def settings_findings(self) -> tuple[Finding, ...]:
        """What is wrong with the settings files by themselves."""
        if self.settings is None:
            return ()
        from labkit.boot.settings_lint import lint_settings

        return lint_settings(self.settings, sh_is_bash=self.distribution.sh_is_bash)

    @cached_property
    def partial(self) -> frozenset[Topic]:
        """Topics whose input is only a part of what the tool prints: the whole would tell more."""
        from labkit.boot.topics import Topic

        boot, menu = self.boot_list, self.menu
        cut = {
            Topic.MENU: menu is not None and not menu.starts_linux,
            Topic.BOOT_LIST: boot is not None
            and boot.is_supported
            and (not boot.has_paths or boot.is_cut),
            Topic.FILE_SYSTEMS: not self.lists_every_file_system,
            Topic.ESP_FILES: bool(self.esps) and not self.lists_every_esp,
        }
        return frozenset(topic for topic, is_cut in cut.items() if is_cut and topic in self.topics)

    @cached_property
    def screen_failure(self) -> Evidence | None:
        """The line of the screen that shows that a start has failed."""
        from labkit.boot.topics import Topic

        lines = self.messages.get(Topic.SCREEN, ())
        return next((e for e in lines if _shows_failure(e.text)), None)

    @cached_property
    def lists_every_esp(self) -> bool:
        """Whether the files of every ESP are listed."""
        named = {esp.device for esp in self.esps if esp.device}
        known = {p.device for p in self.esp_partitions}
        return bool(self.esps) and (known <= named if named else len(known) <= 1)


# GRUB says these and goes on.
_HARMLESS = r"sparse file|video mode|locale|unicode|theme|background|loadfont|\.pf2|gfxterm"


def _shows_failure(line: str) -> bool:
    """Tell a failed start by what the screen shows: GRUB's prompt, an error of it or of Windows."""
    failure = r"^\s*error:|^\s*grub(?: rescue)?>|0xc0[0-9a-f]{6}|SBAT|Security .*Violation"
    return bool(re.search(failure, line, re.IGNORECASE)) and not re.search(_HARMLESS, line)


def _may_hold_windows(partition: Partition) -> bool:
    """Tell an NTFS partition by its content, or by its type where the content is not known."""
    if partition.fstype is not None:
        return partition.is_windows_volume
    return partition.type is PartitionType.NTFS


def _has_room_for_windows(partition: Partition) -> bool:
    """Tell whether Windows itself may be on a partition."""
    unknown = {PartitionType.LDM_DATA, PartitionType.STORAGE_SPACES}
    of_windows = {PartitionType.MICROSOFT_DATA, PartitionType.NTFS}
    if partition.is_windows_volume or partition.type in unknown:
        return True
    return partition.fstype is None and partition.type in of_windows


def _has_room_for_linux(partition: Partition) -> bool:
    """Tell whether a Linux may be on a partition that no list names a file system of."""
    kinds = {PartitionType.LINUX, PartitionType.LVM, PartitionType.RAID, PartitionType.OTHER}
    return partition.type in kinds or (partition.fstype is None and partition.type is None)


def _is_system_reserved(partition: Partition) -> bool:
    """Tell the small partition that Windows 7 and later start from, by its label."""
    return bool(re.match(_SYSTEM_RESERVED, partition.label or ""))


def _removable(facts: Facts) -> set[str]:
    """Disks that hold nothing but FAT: sticks and cards, which other lists may leave out."""
    disks = {p.disk for p in facts.partitions}
    return {
        d
        for d in disks
        if all(
            p.is_fat or p.fstype in {None, "iso9660", "exfat"}
            for p in facts.partitions
            if p.disk == d
        )
    }
