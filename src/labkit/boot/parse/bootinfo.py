"""What only boot-info reports hold: boot sectors, boot files by partition, the shortened menu."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.disks import device_path
from labkit.errors import InputError

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = [
    "BootFile",
    "BootSector",
    "FilteredEntry",
    "FilteredMenu",
    "MbrCode",
    "parse_boot_file_lines",
    "parse_boot_files",
    "parse_boot_sectors",
    "parse_filtered_menu",
    "parse_mbr_codes",
]


@dataclass(frozen=True, slots=True)
class BootSector:
    """What the first sector of a partition holds: `Grub2 (v2.00)`, `Windows 7: NTFS`, `FAT32`."""

    device: str
    fstype: str | None
    content: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class MbrCode:
    """What the first sector of a disk holds."""

    device: str
    content: str
    finds_core: bool
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class BootFile:
    """A file that starts a system, and the partition it is on; the path in lower case."""

    device: str
    path: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class FilteredEntry:
    """A menu entry as boot-info prints it: its title, and its id or its file system's UUID."""

    title: str
    identifier: str
    evidence: Evidence

    @property
    def is_windows(self) -> bool:
        """Whether it starts Windows."""
        if self.identifier.startswith("osprober-efi-"):
            return True
        return bool(re.search(r"\bWindows\b", self.title))


@dataclass(frozen=True, slots=True)
class FilteredMenu:
    """The "(filtered)" grub.cfg of a report; scripts that ended with a marker, in order."""

    entries: tuple[FilteredEntry, ...]
    ended: tuple[str, ...]


_PARTITION_HEAD = re.compile(r"^((?:/dev/)?(?:sd|hd|vd|nvme|mmcblk)\w*?\d+):?\s*_*\s*\Z")
_SECTOR_TYPE = re.compile(r"^\s*Boot sector type:\s*(.+?)\s*\Z")
_FILE_SYSTEM = re.compile(r"^\s*File system:\s*(\S+)")
_MBR = re.compile(r"=>\s*(.+?) is installed in the MBR of (/dev/[^\s.,]+)")


def parse_boot_sectors(document: Document) -> tuple[BootSector, ...]:
    """Read the `Boot sector type:` lines, each below the name of its partition."""
    found, device, fstype = [], None, None
    for number, line in enumerate(document.lines, 1):
        if head := _PARTITION_HEAD.match(line.strip()):
            device, fstype = device_path(head[1]), None
        elif match := _FILE_SYSTEM.match(line):
            fstype = match[1]
        elif device and (match := _SECTOR_TYPE.match(line)):
            found.append(BootSector(device, fstype, match[1], document.at(number)))
    return tuple(found)


def parse_mbr_codes(document: Document) -> tuple[MbrCode, ...]:
    """Read the `=> ... is installed in the MBR of` lines, with what follows them."""
    lines = document.lines
    found = []
    for number, line in enumerate(lines, 1):
        if match := _MBR.search(line):
            story = " ".join(part.strip() for part in lines[number - 1 : number + 3])
            finds_core = "core.img is at this location" in story
            found.append(MbrCode(match[2], match[1], finds_core, document.at(number)))
    return tuple(found)


def parse_boot_files(document: Document) -> tuple[BootFile, ...]:
    """Read boot files by partition: `sda3: /a /b`, or `Boot files:` in a boot-info summary."""
    found: list[BootFile] = []
    device, continuing = None, False
    for number, line in enumerate(document.lines, 1):
        text = line.strip()
        if head := _PARTITION_HEAD.match(text):
            device, continuing = device_path(head[1]), False
        elif match := re.match(r"^((?:/dev/)?[a-z]+\w*\d+):\s+(/.*)", text):
            device, continuing = device_path(match[1]), True
            text = match[2]
        elif match := re.match(r"^Boot files:\s*(.*)", text):
            continuing, text = True, match[1]
        elif ":" in text:
            continuing = False
        if device and continuing:
            found += [
                BootFile(device, path.lower(), document.at(number))
                for path in text.split()
                if path.startswith("/")
            ]
    return tuple(found)


def parse_boot_file_lines(document: Document) -> tuple[tuple[str, Evidence], ...]:
    """Read which partitions were looked into: each has a line `Boot files:`, empty without any."""
    found, device = [], None
    for number, line in enumerate(document.lines, 1):
        text = line.strip()
        if head := _PARTITION_HEAD.match(text):
            device = device_path(head[1])
        elif device is not None and text.startswith("Boot files:"):
            found.append((device, document.at(number)))
            device = None
    return tuple(found)


_ENTRY = re.compile(r"^(?P<title>\S.*?)\s{2,}(?P<id>\S+)\s*\Z")
_END = re.compile(r"^### END (\S+) ###")


def parse_filtered_menu(document: Document) -> FilteredMenu:
    """Read boot-info's shortened grub.cfg: `TITLE   ID` lines and END markers.

    Raises:
        InputError: It holds neither.
    """
    entries, ended = [], []
    for number, raw_line in enumerate(document.lines, 1):
        line = raw_line.replace("\t", "   ").rstrip()
        if end := _END.match(line):
            ended.append(end[1].rpartition("/")[2])
        elif entry := _ENTRY.match(line):
            entries.append(FilteredEntry(entry["title"], entry["id"], document.at(number)))
    if not entries and not ended:
        raise InputError(f"{document.name} is no shortened menu of boot-info", code="wrong-input")
    return FilteredMenu(tuple(entries), tuple(ended))
