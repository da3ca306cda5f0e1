"""The EFI system partition: the list of its files, and the small grub.cfg that it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import InputError

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = ["EspListing", "EspStub", "parse_esp_list", "parse_esp_stub"]

_NOISE_FOLDERS = frozenset({"microsoft", "boot", "hp", "lenovo", "dell", "asus", "acer", "oem"})
_MAX_STUB_LINES = 6
# Unified kernel images are in EFI/Linux, by any name.
_LINUX_LOADER = (
    r"/efi/([^/]+)/(?:(?<=/linux/)|shim|grub|systemd-boot|refind|limine|elilo|vmlinuz|linux)"
    r"[^/]*\.efi"
)


@dataclass(frozen=True, slots=True)
class EspListing:
    """The files of one ESP.

    Attributes:
        device: Its partition, where the list names it.
        files: Paths from `/efi/` on, lower case; without those that are no part of `EFI`.
        evidence: A line for each path.
        source: The input as a whole.
        is_certain: Whether what it lacks is surely absent; an empty output may be a folder that
            could not be read.
    """

    device: str | None
    files: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    source: Evidence
    is_certain: bool = True

    def find(self, path: str) -> Evidence | None:
        """Find the file `path` (lower case, from `/efi/` on)."""
        return next(
            (e for file, e in zip(self.files, self.evidence, strict=True) if file == path), None
        )

    def lacks_second_stage(self, loader: str, data: str) -> bool:
        """Tell whether `loader` is a shim without the GRUB that it starts from its own folder.

        Optional data may name another second stage: fwupd's entries do so.
        """
        match = re.fullmatch(r"(/efi/[^/]+/)shim([a-z]+[0-9]*)\.efi", loader)
        if match is None or (data.strip() and not data.lstrip().startswith("File(.")):
            return False
        return self.find(f"{match[1]}grub{match[2]}.efi") is None

    @property
    def has_windows(self) -> bool:
        """Whether Windows' boot manager is there."""
        return self.find("/efi/microsoft/boot/bootmgfw.efi") is not None

    @property
    def shows_other_files(self) -> bool:
        """Whether the list goes beyond loaders, so that a missing BCD means something."""
        return any(not file.endswith((".efi", "grub.cfg")) for file in self.files)

    @property
    def linux_loaders(self) -> tuple[str, ...]:
        """Files that start a Linux: a shim, a boot manager, a kernel."""
        return tuple(
            file
            for file in self.files
            if (match := re.fullmatch(_LINUX_LOADER, file)) and match[1] not in _NOISE_FOLDERS
        )

    @property
    def linux_folders(self) -> tuple[str, ...]:
        """Folders that hold what starts a Linux."""
        return tuple(dict.fromkeys(file.split("/")[2] for file in self.linux_loaders))


@dataclass(frozen=True, slots=True)
class EspStub:
    """`EFI/<vendor>/grub.cfg`: three or four lines that lead to the real menu.

    Attributes:
        uuid: The file system that it looks for.
        prefix: The folder of the menu on it: `/boot/grub`, or `/grub` with a separate /boot.
        is_overwritten: It holds a whole menu instead.
        loads_menu: It goes on to a menu: one of its lines loads it.
        uuid_evidence: The line with the UUID.
        source: The input as a whole.
    """

    uuid: str | None
    prefix: str | None
    is_overwritten: bool
    uuid_evidence: Evidence | None
    source: Evidence
    loads_menu: bool = True


_SECTION = re.compile(r"^#\s*(/dev/\S+|(?:sd|nvme|vd|mmcblk)\S+)")
# Mounted on /boot/efi or /efi, the partition's own EFI is the second of the name.
_EFI_PATH = re.compile(r"(?:^|/)(?:efi/(?=efi/))?(efi/.*)\Z", re.IGNORECASE)
# What `find` and `ls -R` print where there is no file.
_NO_FILE = re.compile(r"^\s*(?:\S*/efi(?:/[^/\s.]+)*/?:?|total \d+)?\s*\Z", re.IGNORECASE)
_LS_FOLDER = re.compile(r"^(?P<folder>\S*/?[^\s:]*):\Z")


def parse_esp_list(document: Document) -> tuple[EspListing, ...]:
    """Read a list of files: one path a line (`find`), or `ls -R`; sections name several ESPs.

    An empty list is an answer too: the partition is empty, or the folder could not be read.

    Raises:
        InputError: It is some other text: no line is a path below EFI.
    """
    sections: list[tuple[str | None, list[str], list[Evidence]]] = [(None, [], [])]
    folder: str | None = None
    for number, raw_line in enumerate(document.lines, 1):
        line = raw_line.strip().replace("\\", "/")
        if section := _SECTION.match(line):
            device = section[1] if section[1].startswith("/dev/") else f"/dev/{section[1]}"
            sections.append((device, [], []))
            folder = None
        elif ls_folder := _LS_FOLDER.match(line):
            folder = ls_folder["folder"]
        elif line:
            names = [line] if _EFI_PATH.search(line) else _names_in(folder, line)
            for name in names:
                if path := _EFI_PATH.search(name):
                    sections[-1][1].append(f"/{path[1].lower()}")
                    sections[-1][2].append(document.at(number))
    listings = tuple(
        EspListing(device, tuple(files), tuple(evidence), document.at(None, "list of files"))
        for device, files, evidence in sections
        if files or device
    )
    if not listings and all(_NO_FILE.match(line) for line in document.lines):
        source = document.at(None, "an empty list of files")
        listings = (EspListing(None, (), (), source, bool(document.text.strip())),)
    if not listings:
        raise InputError(
            f"{document.name} lists no file below EFI",
            hint="give the output of `find /boot/efi -type f`",
            code="wrong-input",
        )
    return listings


def _names_in(folder: str | None, line: str) -> list[str]:
    is_total = re.match(r"total \d", line)
    return [f"{folder}/{name}" for name in line.split()] if folder and not is_total else []


_UUID = r"[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_STUB_UUID = re.compile(rf"(?:search\.fs_uuid|--fs-uuid)\b.*?(?<![\w-])({_UUID}|[0-9A-F]{{16}})\b")
_STUB_PREFIX = re.compile(r"^\s*set prefix=\(\$\{?\w+\}?\)['\"]?(/[^'\"\s]*)")


def parse_esp_stub(document: Document) -> EspStub:
    """Read `EFI/<vendor>/grub.cfg` of the ESP.

    Raises:
        InputError: It is neither a stub nor a menu.
    """
    uuid, prefix, uuid_evidence = None, None, None
    commands = [
        (number, line)
        for number, line in enumerate(document.lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    overwritten = len(commands) > _MAX_STUB_LINES or any(
        re.match(r"\s*(?:menuentry|blscfg)\b", line) for _, line in commands
    )
    for number, line in commands:
        if uuid is None and (match := _STUB_UUID.search(line)):
            uuid, uuid_evidence = match[1], document.at(number)
        if match := _STUB_PREFIX.match(line):
            prefix = match[1]
    if uuid is None and not overwritten:
        raise InputError(
            f"{document.name} is no grub.cfg of an ESP: it looks for no file system",
            code="wrong-input",
        )
    source = document.at(None, "the ESP's grub.cfg")
    loads = any(re.match(r"\s*(?:configfile|normal|source|\.)\s+\S", line) for _, line in commands)
    return EspStub(uuid, prefix, overwritten, uuid_evidence, source, loads)
