"""efibootmgr in all its dialects: 0.6, 0.7 to 17, 18, with efivar 39, and as pastes damage it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING

from labkit.errors import InputError

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = ["BootEntry", "BootList", "DiskNode", "Starts", "parse_efibootmgr"]


@unique
class Starts(StrEnum):
    """What a firmware entry starts."""

    WINDOWS = "windows"
    LINUX = "linux"
    FALLBACK = "fallback"
    """`\\EFI\\BOOT\\BOOTX64.EFI`, which may be either system's."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class DiskNode:
    """The `HD(...)` node of a device path: which partition an entry means.

    Attributes:
        number: The partition's number.
        scheme: `gpt` or `mbr`.
        identifier: The GPT partition's GUID, lower case; the MBR's signature as eight digits.
        start: The first sector, as the entry remembers it.
        size: The length in sectors, as the entry remembers it.
    """

    number: int
    scheme: str
    identifier: str
    start: int | None
    size: int | None

    @property
    def partuuid(self) -> str:
        """The identifier in the form that blkid prints as PARTUUID."""
        return self.identifier if self.scheme == "gpt" else f"{self.identifier}-{self.number:02x}"


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One `BootXXXX` line.

    Attributes:
        number: The entry's number.
        active: Whether the firmware offers it.
        label: Its name, free text.
        path: The device path as printed, empty where none was.
        node: The partition that it means, where it means one.
        loader: The file it starts, lower case with slashes: `/efi/ubuntu/shimx64.efi`.
        data: What follows the path: optional data.
        is_damaged: The text lost its backslashes on the way.
        evidence: Its line.
    """

    number: int
    active: bool
    label: str
    path: str
    node: DiskNode | None
    loader: str | None
    data: str
    is_damaged: bool
    evidence: Evidence

    @property
    def name(self) -> str:
        """The variable's name, `Boot0003`."""
        return f"Boot{self.number:04X}"

    @property
    def has_windows_data(self) -> bool:
        """Whether the optional data is that of Windows, in text or in hexadecimal digits."""
        return self.data.startswith(("WINDOWS", "57494e444f575300"))

    @property
    def is_removable(self) -> bool:
        """Whether it is for a stick or card that need not be plugged in."""
        return "USB(" in self.path or bool(_REMOVABLE_LABEL.search(self.label))

    @property
    def needs_medium(self) -> bool:
        """Whether it starts a system only from a stick, a disc, a network, or by a BIOS' ways."""
        if self.starts is not Starts.OTHER:
            return False
        # Some makers' entries have no device path but a word of their own (HP, Insyde: RC).
        if "(" in self.path:
            return bool(re.search(_MEDIUM_NODE, self.path))
        return bool(re.search(_MEDIUM_LABEL, self.label))

    @property
    def starts(self) -> Starts:
        """What it starts: told by the loader's path, or by the label where no path is shown."""
        if self.loader is not None:
            return _starts_of_loader(self.loader)
        return Starts.OTHER if self.path else _starts_of_label(self.label)


@dataclass(frozen=True, slots=True)
class BootList:
    """The firmware's list.

    Attributes:
        entries: In the order printed.
        order: The numbers in BootOrder; None where none is set or shown.
        current: BootCurrent.
        next: BootNext.
        is_supported: False where efibootmgr said that there are no EFI variables.
        has_paths: Whether any entry shows its device path.
        warnings: Lines in which efibootmgr complains.
        evidence: The lines of the header, by name (`BootOrder`).
    """

    entries: tuple[BootEntry, ...]
    order: tuple[int, ...] | None
    current: int | None
    next: int | None
    is_supported: bool
    has_paths: bool
    warnings: tuple[Evidence, ...]
    evidence: dict[str, Evidence]

    @property
    def in_order(self) -> tuple[BootEntry, ...]:
        """The entries that BootOrder names and the list shows, first started first."""
        by_number = {entry.number: entry for entry in self.entries}
        return tuple(by_number[n] for n in self.order or () if n in by_number)

    @property
    def unlisted(self) -> tuple[int, ...]:
        """Numbers in BootOrder without an entry: leftovers, or the list is cut."""
        known = {entry.number for entry in self.entries}
        return tuple(n for n in self.order or () if n not in known)

    @property
    def is_cut(self) -> bool:
        """Whether its end is missing: then the absence of an entry proves nothing.

        efibootmgr prints entries by number. A number of BootOrder or BootCurrent without a line is
        a leftover in the middle, but behind the last line it may be cut off.
        """
        known = {entry.number for entry in self.entries}
        named = {*(self.order or ()), *(() if self.current is None else (self.current,))}
        is_open = bool(self.entries) and _ends_in_a_node(self.entries[-1])
        return is_open or any(number > max(known, default=-1) for number in named - known)

    @property
    def linux(self) -> tuple[BootEntry, ...]:
        """The entries that start a Linux."""
        return self.starting(Starts.LINUX)

    def starting(self, what: Starts) -> tuple[BootEntry, ...]:
        """The entries that start `what`."""
        return tuple(entry for entry in self.entries if entry.starts is what)


def _ends_in_a_node(entry: BootEntry) -> bool:
    """Tell whether an entry's line ends in the middle of its device path."""
    return bool(re.search(r"\b(?:HD|File|PciRoot|Pci)\([^)]*\Z", entry.evidence.text))


_REMOVABLE_LABEL = re.compile(r"\b(?:USB|SD|removable|ventoy|sandisk|kingston)\b", re.IGNORECASE)
_ENTRY = re.compile(r"^Boot(?P<number>[0-9A-Fa-f]{4})(?P<active>[* ]|(?=\s))\s?(?P<rest>.*)\Z")
# What most lists do not need is compiled when it is first used: re keeps it.
_HEADER = re.compile(r"^(BootNext|BootCurrent|Timeout|BootOrder):\s*(.*?)\s*\Z")
_NO_VARIABLES = r"EFI variables are not supported|efivarfs.* not (?:found|mounted)"
_NODE_NAMES = (
    "HD|PciRoot|BBS|FvFile|FvVol|Fv|VenHw|VenMsg|MAC|ACPI|Acpi|PNP|NVMe|USB|Uri|Sata|Vendor"
)
_PATH_START = rf"\s(?=(?:{_NODE_NAMES})\()|\t"
_GPT_NODE = re.compile(
    r"HD\((\d+),GPT,([0-9a-f-]{36})(?:,0x([0-9a-f]+),0x([0-9a-f]+))?\)", re.IGNORECASE
)
_MBR_NODE = r"(?i)HD\((\d+),MBR,0x([0-9a-f]{1,8})(?:,0x([0-9a-f]+),0x([0-9a-f]+))?\)"
# efibootmgr 0.6: hexadecimal numbers without 0x, the identifier last.
_OLD_NODE = r"(?i)HD\((\d+),([0-9a-f]+),([0-9a-f]+),([0-9a-f-]{8,36})\)"
_FILE_NODE = re.compile(r"(?<![A-Za-z])File\((?P<file>[^)]*)\)")
_BARE_FILE = r"(?i)\)/(?P<file>\\.*?\.efi)"


def parse_efibootmgr(document: Document) -> BootList:
    """Read the output of `efibootmgr`, with or without `-v`.

    Raises:
        InputError: It holds nothing that efibootmgr prints.
    """
    entries, warnings = [], []
    header: dict[str, Evidence] = {}
    values: dict[str, str] = {}
    unsupported = False
    for number, line in _whole_lines(document.lines):
        evidence = document.at(number, line)
        if match := _HEADER.match(line.lstrip()):
            values[match[1]], header[match[1]] = match[2], evidence
        elif entry := _ENTRY.match(line.lstrip()):
            entries.append(_entry(entry, evidence))
        elif re.search(_NO_VARIABLES, line):
            unsupported, header["unsupported"] = True, evidence
        elif "not UEFI Spec compliant" in line or "unreadable variable" in line:
            warnings.append(evidence)
        elif "No BootOrder is set" in line:
            header["BootOrder"] = evidence
    if not entries and not header:
        raise InputError(
            f"{document.name} does not hold output of efibootmgr",
            hint="give the whole output of `efibootmgr -v`",
            code="wrong-input",
        )
    return BootList(
        tuple(entries),
        _order(values.get("BootOrder")),
        _hex(values.get("BootCurrent")),
        _hex(values.get("BootNext")),
        not unsupported,
        any(entry.path for entry in entries),
        tuple(warnings),
        header,
    )


# Where a line of efibootmgr begins, also in the middle of one where a post has lost line ends.
_BEGINNING = re.compile(
    r"\s*(?:Boot[0-9A-Fa-f]{4}(?:[* ]|\s*\Z)|Boot(?:Order|Next|Current):|Timeout:|Mirror\w+:"
    r"|No BootOrder|\*\*|dp:|data:|Skipping|EFI variables)"
)
_JOINED = re.compile(
    r"(?<=\S)\s+(?=Boot(?:Order|Next|Current): |Timeout: \d|Boot[0-9A-Fa-f]{4}(?:\*|  ?\s)\s*\S)"
)


_LONGEST_LINE = 4096  # No device path is longer; text without an end is none.


def _whole_lines(lines: list[str]) -> list[tuple[int, str]]:
    """Undo what windows and posts do to the list: wrapped lines, and lost line ends.

    Each line comes with the number of the line in which it began.
    """
    width = max((len(line) for line in lines), default=0)
    whole: list[tuple[int, str]] = []
    goes_on = False
    for number, line in enumerate(lines, 1):
        if whole and line.strip() and not _BEGINNING.match(line):
            first, before = whole[-1]
            if len(before) < _LONGEST_LINE and (goes_on or _is_open(before, line)):
                # A window cuts at its width, anywhere; mail cuts at a blank, which is lost.
                in_label = "(" not in before and not goes_on
                blank = " " if in_label and not before.endswith(" ") else ""
                whole[-1] = first, before + blank + line.lstrip("\t" if goes_on else None)
                goes_on = len(line) == width
                continue
        goes_on = len(line) == width and bool(_BEGINNING.match(line))
        whole += [(number, part) for part in _JOINED.split(line)]
    return [(number, line.rstrip()) for number, line in whole]


def _is_open(before: str, line: str) -> bool:
    """Tell whether an entry cannot end here: an open bracket, or no path while one follows."""
    if not re.match(r"\s*Boot[0-9A-Fa-f]{4}", before):
        return before.rstrip().endswith(",")
    if before.count("(") > before.count(")"):
        return True
    return bool(re.search(rf"(?:{_NODE_NAMES})\(", line)) and (
        "(" not in before or before.rstrip().endswith(("/", ","))
    )


def _entry(match: re.Match[str], evidence: Evidence) -> BootEntry:
    label, path_and_data = _split_label(match["rest"])
    node, end = _disk_node(path_and_data)
    loader, damaged, end = _loader(path_and_data, end)
    return BootEntry(
        int(match["number"], 16),
        match["active"] == "*",
        label,
        path_and_data[:end].strip(),
        node,
        loader,
        path_and_data[end:],
        damaged,
        evidence,
    )


def _split_label(rest: str) -> tuple[str, str]:
    """Split at the TAB; where a paste has lost it, before the first node of a device path."""
    label, tab, path = rest.partition("\t")
    if not tab and (start := re.search(_PATH_START, rest)):
        label, path = rest[: start.start()], rest[start.end() :]
    return label.strip(), path.strip()


def _disk_node(path: str) -> tuple[DiskNode | None, int]:
    if match := _GPT_NODE.search(path):
        return _node(match, "gpt", match[2].lower()), match.end()
    if match := re.search(_MBR_NODE, path):
        return _node(match, "mbr", match[2].lower().rjust(8, "0")), match.end()
    if match := re.search(_OLD_NODE, path):
        identifier = match[4].lower()
        scheme = "gpt" if "-" in identifier else "mbr"
        start, size = int(match[2], 16), int(match[3], 16)
        return DiskNode(int(match[1]), scheme, identifier, start, size), match.end()
    # Other paths are shown whole: where their optional data begins cannot be told.
    return None, len(path)


def _node(match: re.Match[str], scheme: str, identifier: str) -> DiskNode:
    start, size = (None if match[i] is None else int(match[i], 16) for i in (3, 4))
    return DiskNode(int(match[1]), scheme, identifier, start, size)


def _loader(path: str, end: int) -> tuple[str | None, bool, int]:
    """Find the loader's file: its path, whether its backslashes are lost, and where it ends."""
    match = _FILE_NODE.search(path) or re.search(_BARE_FILE, path)
    if match is None:
        return None, False, end
    file = match["file"]
    damaged = "\\" not in file and "/" not in file and file.upper().startswith("EFI")
    loader = "/" + file.replace("\\", "/").lstrip("/").lower()
    return loader, damaged, match.end()


def _starts_of_loader(loader: str) -> Starts:
    squashed = loader.replace("/", "")
    if "bootmgfw.efi" in squashed:
        return Starts.WINDOWS
    if re.search(r"shim|grub|systemd-boot|refind|vmlinuz|linux|limine|elilo|fwupdx?64", squashed):
        return Starts.LINUX
    if re.search(r"efibootboot(?:x64|ia32|aa64)\.efi\Z", squashed):
        return Starts.FALLBACK
    return Starts.OTHER


_MEDIUM_NODE = (
    r"(?:USB|UsbClass|UsbWwid|MAC|IPv[46]|Uri|Wi-?Fi|BBS|CDROM|FvFile|Fv|FvVol|VenMsg|VenHw"
    r"|Vendor)\("
)
_MEDIUM_LABEL = (
    r"(?i)\busb\b|pxe|network|\bnic\b|\blan\b|ipv[46]|http|\bcd\b|cd-?rom|dvd|optical|floppy"
    r"|diskette|removable|setup|diagnostic|boot menu|\bshell\b"
)

_LINUX_LABEL = (
    r"(?i)ubuntu|debian|fedora|opensuse|suse|arch|manjaro|mint|kali|grub|linux|centos|red ?hat"
    r"|rocky|alma|endeavour|pop[!_]?os|zorin|gentoo|nixos|shim"
)


def _starts_of_label(label: str) -> Starts:
    if re.search(r"windows", label, re.IGNORECASE):
        return Starts.WINDOWS
    return Starts.LINUX if re.search(_LINUX_LABEL, label) else Starts.OTHER


def _order(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    return tuple(int(n, 16) for n in re.findall(r"[0-9A-Fa-f]{4}", text))


def _hex(text: str | None) -> int | None:
    return int(text, 16) if text and re.fullmatch(r"[0-9A-Fa-f]{4}", text) else None
