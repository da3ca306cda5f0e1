"""Join the inputs of a bundle into facts: each parsed as what it is, then put together."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from labkit.boot.disks import Disk, is_optical, is_whole_disk, merge_disks, merge_partitions
from labkit.boot.distributions import (
    distribution_of_text,
    named_in_settings,
    os_release_names,
)
from labkit.boot.facts import Facts
from labkit.boot.kinds import Kind
from labkit.boot.menu_facts import EnvironmentBlock
from labkit.boot.partition_types import PartitionType
from labkit.boot.topics import Topic, topics_of
from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from labkit.boot.bundle import Bundle
    from labkit.boot.default_grub import GrubSettings
    from labkit.boot.disks import Partition
    from labkit.boot.distributions import Distribution
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence
    from labkit.boot.menu_facts import Menu
    from labkit.boot.parse.efibootmgr import BootList
    from labkit.boot.parse.esp import EspListing, EspStub
    from labkit.boot.parse.mkconfig_log import MkconfigLog
    from labkit.boot.parse.os_prober import OsProberOutput
    from labkit.errors import LabkitError

__all__ = ["join", "read_tables"]

_T = TypeVar("_T")


def join(bundle: Bundle) -> Facts:
    """Read every input of `bundle` and join what they say.

    An input that cannot be read as what it should be is left out and named in `Facts.unread`.
    """
    carried = _line_ends_of_the_way(bundle)
    if carried is None:
        return _Joiner(bundle).facts()
    plain = [replace(i, document=_with_plain_line_ends(i.document)) for i in bundle.inputs]
    facts = _Joiner(replace(bundle, inputs=tuple(plain))).facts()
    return replace(facts, carried_line_ends=carried)


def _line_ends_of_the_way(bundle: Bundle) -> Evidence | None:
    """Tell whether every input has Windows' line ends: then they came on by being copied.

    One input alone may have had them on the computer, too.
    """
    raws = [i.document.raw for i in bundle.inputs if b"\n" in i.document.raw]
    if len(raws) > 1 and all(raw.count(b"\n") == raw.count(b"\r\n") for raw in raws):
        return bundle.inputs[0].document.at(None, "every line ends in CR LF")
    return None


def _with_plain_line_ends(document: Document) -> Document:
    return replace(document, raw=document.raw.replace(b"\r\n", b"\n"))


class _Joiner:
    """Parses inputs by kind and keeps account of those that could not be read."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._unread: list[LabkitError] = []
        self._broken: set[Kind] = set()

    def facts(self) -> Facts:
        disks, records = self._disks_and_partitions()
        environment = self._environment()
        menu = self._menu(environment)
        mode = self._read(Kind.FIRMWARE, "host", "parse_firmware_mode")
        os_release = self._read(Kind.OS_RELEASE, "host", "parse_os_release") or {}
        boot_list = self._boot_list()
        distribution = self._distribution(os_release, menu, boot_list)
        esps = self._esps(records)
        facts = Facts(
            distribution=distribution,
            disks=disks,
            partitions=tuple(p for p in records if _is_partition(p)),
            volumes=tuple(p for p in records if not _is_partition(p)),
            boot_list=boot_list,
            prober=self._prober(),
            log=self._log(),
            esps=esps,
            stub=self._stub(boot_list, esps),
            settings=self._settings(distribution),
            menu=menu,
            environment=environment,
            fstab=self._read(Kind.FSTAB, "host", "parse_fstab"),
            running_mode=mode[0] if mode else None,
            mode_evidence=mode[1] if mode else None,
            secure_boot=self._read(Kind.SECURE_BOOT, "host", "parse_secure_boot"),
            boot_sectors=self._read(Kind.BOOT_SECTORS, "bootinfo", "parse_boot_sectors") or (),
            mbr_codes=self._read(Kind.BOOT_SECTORS, "bootinfo", "parse_mbr_codes") or (),
            boot_files=(
                *(self._read(Kind.BOOT_FILES, "bootinfo", "parse_boot_files") or ()),
                *(self._read(Kind.BOOT_SECTORS, "bootinfo", "parse_boot_files") or ()),
            ),
            packages=self._lines(Kind.PACKAGES, r"grub|os-prober|shim"),
            full=self._read(Kind.DF, "host", "parse_df") or (),
            scripts=self._read(Kind.GRUB_D, "host", "parse_grub_d") or (),
            os_release=os_release,
            clock_is_local=self._read(Kind.CLOCK, "host", "parse_clock_is_local"),
            messages=self._messages(),
            skipped=self._bundle.skipped,
            answers={i.document.name: topics_of(i.kind) for i in self._bundle.inputs},
        )
        knows_mode = mode is not None or boot_list is not None
        topics = self._topics(knows_mode=knows_mode)
        if facts.esps:
            topics |= {Topic.ESP_FILES}
        # A list without the columns that tell, such as lsblk's default, answers nothing.
        if not any(p.fstype or p.uuid for p in records):
            topics -= {Topic.FILE_SYSTEMS}
        shown = [d for d in disks if not d.shows_protection_alone or d.has_damaged_gpt]
        if not shown and not any(p.type for p in records):
            topics -= {Topic.TABLE}
        return replace(facts, topics=topics, unread=tuple(self._unread))

    def _topics(self, *, knows_mode: bool) -> frozenset[Topic]:
        found = {topic for kind in self._bundle.kinds - self._broken for topic in topics_of(kind)}
        if knows_mode:
            found.add(Topic.MODE)
        return frozenset(found)

    def _parse(self, kind: Kind, document: Document, parse: Callable[[Document], _T]) -> _T | None:
        try:
            return parse(document)
        except InputError as error:
            self._unread.append(error)
            self._broken.add(kind)
            return None

    def _read(self, kind: Kind, module: str, name: str) -> Any:  # noqa: ANN401 - see _parser
        """Parse the first input of a kind, importing its parser only where there is one."""
        document = self._bundle.first(kind)
        return None if document is None else self._parse(kind, document, _parser(module, name))

    def _one(self, kind: Kind, parse: Callable[[Document], _T]) -> _T | None:
        document = self._bundle.first(kind)
        return None if document is None else self._parse(kind, document, parse)

    def _lines(self, kind: Kind, pattern: str) -> tuple[Evidence, ...]:
        from labkit.boot.parse.host import parse_matching

        return self._one(kind, lambda document: parse_matching(document, pattern)) or ()

    def _all_of(self, kind: Kind, module: str, name: str) -> list[Any]:
        """Parse every input of a kind, importing its parser only where there is one."""
        return self._all(kind, _parser(module, name)) if self._bundle.first(kind) else []

    def _all(self, kind: Kind, parse: Callable[[Document], tuple[_T, ...]]) -> list[_T]:
        found: list[_T] = []
        for document in self._bundle.all(kind):
            found += self._parse(kind, document, parse) or ()
        return found

    def _disks_and_partitions(self) -> tuple[tuple[Disk, ...], tuple[Partition, ...]]:
        found: list[Disk] = []
        for kind in _TABLE_PARSERS:
            found += self._all(kind, partial(read_tables, kind))
        complaints = self._all_of(Kind.SGDISK, "sfdisk", "parse_sgdisk_verify")
        disks = _with_complaints(merge_disks(found), complaints)
        tabled = [p for disk in disks for p in disk.partitions if not _protects_gpt(p)]
        listed: list[Partition] = []
        for kind in _FILE_SYSTEM_PARSERS:
            listed += self._all(kind, partial(read_file_systems, kind))
        if names_disagree(tabled, listed):
            self._unread.append(_names_error(tabled, listed))
            disks, tabled = (), []
        return disks, merge_partitions([*tabled, *listed])

    def _boot_list(self) -> BootList | None:
        boot_list: BootList | None = self._read(Kind.EFIBOOTMGR, "efibootmgr", "parse_efibootmgr")
        return boot_list

    def _prober(self) -> OsProberOutput | None:
        text: OsProberOutput | None = self._read(Kind.OS_PROBER, "os_prober", "parse_os_prober")
        return text or self._read(Kind.OS_PROBER_JSON, "os_prober", "parse_os_prober_json")

    def _log(self) -> MkconfigLog | None:
        log: MkconfigLog | None = self._read(
            Kind.MKCONFIG_LOG, "mkconfig_log", "parse_mkconfig_log"
        )
        return log

    def _esps(self, records: tuple[Partition, ...]) -> tuple[EspListing, ...]:
        listed: tuple[EspListing, ...] = tuple(self._all_of(Kind.ESP_LIST, "esp", "parse_esp_list"))
        return listed or self._esps_of_report(records)

    def _esps_of_report(self, records: tuple[Partition, ...]) -> tuple[EspListing, ...]:
        """Take the ESPs' files from the boot files that a boot-info report lists."""
        files = self._all_of(Kind.BOOT_SECTORS, "bootinfo", "parse_boot_files")
        on_esp = [file for file in files if file.path.startswith("/efi/")]
        devices = {file.device: file.evidence for file in on_esp}
        typed = {p.device for p in records if p.type is PartitionType.ESP}
        looked_at = self._all_of(Kind.BOOT_SECTORS, "bootinfo", "parse_boot_file_lines")
        devices |= {d: line for d, line in looked_at if d in typed and d not in devices}
        if not devices:
            return ()
        from labkit.boot.parse.esp import EspListing

        return tuple(
            EspListing(
                device,
                tuple(f.path for f in on_esp if f.device == device),
                tuple(f.evidence for f in on_esp if f.device == device),
                source,
            )
            for device, source in devices.items()
        )

    def _stub(self, boot_list: BootList | None, esps: tuple[EspListing, ...]) -> EspStub | None:
        """Read the stub that the firmware leads to; another folder's may be a leftover.

        Some GRUBs read that of the distribution they come from: only where the folder that is
        started has its own, which was not given, another one says nothing.
        """
        documents = self._bundle.all(Kind.ESP_STUB)
        if not documents:
            return None
        started = [e.loader.split("/") for e in boot_list.in_order if e.loader] if boot_list else []
        folders = [parts[2] for parts in started if len(parts) > _FOLDER_DEPTH]
        fitting = [d for folder in folders for d in documents if folder in d.name.lower()]
        own = [f"/efi/{f}/grub.cfg" for f in folders if f not in {"microsoft", "boot"}]
        are_others = not fitting and all(_VENDOR.search(d.name.lower()) for d in documents)
        if are_others and own and any(esp.find(own[0]) for esp in esps):
            return None
        chosen = (*fitting, *documents)[0]
        stub: EspStub | None = self._parse(Kind.ESP_STUB, chosen, _parser("esp", "parse_esp_stub"))
        return stub

    def _environment(self) -> EnvironmentBlock | None:
        document = self._bundle.first(Kind.GRUBENV)
        if document is None:
            return None
        from labkit.boot.grubenv import parse_grubenv

        evidence = document.at(None, "environment block")
        try:
            return EnvironmentBlock(parse_grubenv(document.raw), None, evidence)
        except InputError as error:
            return EnvironmentBlock(None, error.message, evidence)

    def _menu(self, environment: EnvironmentBlock | None) -> Menu | None:
        from labkit.boot.join_menu import filtered_menu, generated_menu

        variables = environment.block.variables if environment and environment.block else None
        bls = self._bundle.all(Kind.BLS_ENTRY)
        menu = self._one(Kind.GRUB_CFG, lambda d: generated_menu(d, variables, bls))
        return menu or self._one(Kind.FILTERED_CFG, filtered_menu)

    def _settings(self, distribution: Distribution) -> GrubSettings | None:
        from labkit.boot.default_grub import join_settings, parse_default_grub

        main = self._one(Kind.DEFAULT_GRUB, lambda d: parse_default_grub(d.raw, name=d.name))
        if main is None:
            return None
        drop_ins = self._all(Kind.DROP_IN, lambda d: (parse_default_grub(d.raw, name=d.name),))
        return join_settings(main, drop_ins if distribution.reads_drop_ins else ())

    def _distribution(
        self, os_release: Mapping[str, str], menu: Menu | None, boot_list: BootList | None
    ) -> Distribution:
        """Tell whose GRUB it is, from the strongest input that names it."""
        distributor = self._lines(Kind.DEFAULT_GRUB, r"^GRUB_DISTRIBUTOR=|^SUSE_")
        log = self._lines(Kind.MKCONFIG_LOG, "linuxmint")
        titles = [item.title for item in menu.items if item.kind == "linux"] if menu else []
        stubs = [document.name for document in self._bundle.all(Kind.ESP_STUB)]
        labels = [e.loader or e.label for e in boot_list.linux] if boot_list else []
        comments = self._lines(Kind.DEFAULT_GRUB, r"grub2-mkconfig|system-release|update-grub")
        return distribution_of_text(
            os_release_names(os_release),
            *(e.text for e in log),
            *titles[:1],
            *stubs,
            *labels,
            *(named_in_settings(e.text) for e in distributor),
            *(named_in_settings(e.text) for e in comments),
        )

    def _messages(self) -> Mapping[str, tuple[Evidence, ...]]:
        return {
            topic: lines
            for kind, topic in _MESSAGE_KINDS.items()
            if (lines := self._lines(kind, r"\S"))
        }


# A stub's file is called after its folder: esp_ubuntu_grub.cfg, EFI/ubuntu/grub.cfg.
_VENDOR = re.compile(r"(?:esp_|efi/)([a-z]+)[_/]grub\.cfg\Z")
_FOLDER_DEPTH = 3  # "", "efi", the folder, the file
_MESSAGE_KINDS = {
    Kind.NTFS: Topic.NTFS,
    Kind.GRUB_INSTALL: Topic.GRUB_INSTALL,
    Kind.LSPCI: Topic.HARDWARE,
    Kind.SCREEN: Topic.SCREEN,
}
# Parsers by module and name: each is imported when an input of its kind is there. The first that
# knows a fact decides, so the most exact tools stand first.
_TABLE_PARSERS = {
    Kind.SFDISK_JSON: ("sfdisk", "parse_sfdisk_json"),
    Kind.SFDISK_DUMP: ("sfdisk", "parse_sfdisk_dump"),
    Kind.FDISK: ("fdisk", "parse_fdisk"),
    Kind.BOOTINFO_TABLE: ("bootinfo_tables", "parse_bootinfo_table"),
    Kind.SGDISK_TABLE: ("sgdisk", "parse_sgdisk_table"),
    Kind.PARTED: ("parted", "parse_parted"),
}
_FILE_SYSTEM_PARSERS = {
    Kind.UDEV_JSON: ("probe", "parse_udev_json"),
    Kind.LSBLK_JSON: ("lsblk", "parse_lsblk_json"),
    Kind.LSBLK_TREE: ("lsblk", "parse_lsblk_tree"),
    Kind.BLKID: ("blkid", "parse_blkid"),
    Kind.BOOTINFO_BLKID: ("bootinfo_tables", "parse_bootinfo_blkid"),
    Kind.BLKID_JSON: ("probe", "parse_blkid_json"),
}


def _parser(module: str, name: str) -> Any:  # noqa: ANN401 - each kind has its own type
    return getattr(import_module(f"labkit.boot.parse.{module}"), name)


def _is_partition(record: Partition) -> bool:
    return not is_whole_disk(record.device) and not is_optical(record.device)


def names_disagree(tabled: Sequence[Partition], listed: Sequence[Partition]) -> bool:
    """Tell whether a table and a list of file systems give the same names to different disks.

    The kernel may number NVMe disks otherwise at each start. Then each of the two knows partitions
    under names that the other does not have; where only one lacks some, it is cut.
    """
    filled = {PartitionType.LINUX, PartitionType.ESP, PartitionType.MICROSOFT_DATA}
    names, disks = {p.device for p in tabled}, {p.disk for p in tabled}
    partitions = [p for p in listed if _is_partition(p) and p.number is not None]
    other_names, other_disks = {p.device for p in partitions}, {p.disk for p in partitions}
    if not names or not other_names:
        return False
    unlisted = any(p.device not in other_names and p.type in filled for p in tabled)
    comparable = disks if disks & other_disks else other_disks
    untabled = any(p.disk in comparable and p.device not in names for p in partitions)
    return unlisted and untabled


def _names_error(tabled: Sequence[Partition], listed: Sequence[Partition]) -> InputError:
    sources = (p.evidence[0].input for p in (tabled[0], listed[0]) if p.evidence)
    return InputError(
        f"{' and '.join(sources)} name different partitions: of two starts, or of two computers",
        hint="take both anew, one right after the other: the kernel may have numbered the disks "
        "otherwise",
        code="inputs-disagree",
    )


def _protects_gpt(record: Partition) -> bool:
    """Tell the MBR entry that keeps old tools off a GPT: it is no partition, and never retyped."""
    return record.type is PartitionType.PROTECTIVE


def read_tables(kind: Kind, document: Document) -> tuple[Disk, ...]:
    """Read a partition table of one of the kinds that show where partitions are.

    Raises:
        InputError: The document is no such table, or is cut.
    """
    module, name = _TABLE_PARSERS[kind]
    parse: Callable[[Document], tuple[Disk, ...]] = _parser(module, name)
    return parse(document)


def read_file_systems(kind: Kind, document: Document) -> tuple[Partition, ...]:
    """Read a list of what partitions hold.

    Raises:
        InputError: The document is no such list, or is cut.
    """
    module, name = _FILE_SYSTEM_PARSERS[kind]
    parse: Callable[[Document], tuple[Partition, ...]] = _parser(module, name)
    return parse(document)


def _with_complaints(disks: tuple[Disk, ...], complaints: list[Evidence]) -> tuple[Disk, ...]:
    """Give sgdisk's complaints to the disk they are about: it names none, so there must be one."""
    if not complaints or len(disks) != 1:
        return disks
    return merge_disks((disks[0], Disk(disks[0].device, complaints=tuple(complaints))))
