"""Small inputs about the computer and its installed system, most of them a line or two."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import InputError

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = [
    "FstabEntry",
    "FullFileSystem",
    "GrubScript",
    "parse_clock_is_local",
    "parse_df",
    "parse_firmware_mode",
    "parse_fstab",
    "parse_grub_d",
    "parse_matching",
    "parse_os_release",
    "parse_secure_boot",
]


@dataclass(frozen=True, slots=True)
class FstabEntry:
    """One line of fstab.

    Attributes:
        spec: What is mounted, as written.
        uuid: The UUID that the spec names, where it names one.
        partuuid: The PARTUUID that it names, where it names one.
        mount: The mount point.
        fstype: The file system's type.
        options: The mount options.
        evidence: Its line.
    """

    spec: str
    uuid: str | None
    partuuid: str | None
    mount: str
    fstype: str
    options: str
    evidence: Evidence


_SPEC = re.compile(
    r'^(?:(?P<tag>UUID|PARTUUID)="?|/dev/disk/by-(?P<by>uuid|partuuid)/)(?P<id>[^"]+)'
)


def parse_fstab(document: Document) -> tuple[FstabEntry, ...]:
    """Read /etc/fstab; a file without entries is an empty one."""
    entries = []
    for number, line in enumerate(document.lines, 1):
        fields = line.split()
        if len(fields) < 3 or fields[0].startswith("#"):  # noqa: PLR2004 - spec, mount, type
            continue
        match = _SPEC.match(fields[0])
        kind = (match["tag"] or match["by"]).upper() if match else None
        entries.append(
            FstabEntry(
                fields[0],
                match["id"] if match and kind == "UUID" else None,
                match["id"].lower() if match and kind == "PARTUUID" else None,
                fields[1],
                fields[2],
                fields[3] if len(fields) > 3 else "",  # noqa: PLR2004 - the options may be absent
                document.at(number),
            )
        )
    return tuple(entries)


def parse_firmware_mode(document: Document) -> tuple[str, Evidence] | None:
    """Tell whether the system that collected the inputs ran by `uefi` or `bios`; None if unsaid."""
    for number, line in enumerate(document.lines, 1):
        if re.search(
            r"(?:in|is|mode[:=]?) ?(?:Legacy|BIOS|CSM)|not in EFI mode|no /sys/firmware/efi"
            r"|/sys/firmware/efi'?:? .*No such file|^bios\s*\Z|booted in (?:BIOS|legacy)"
            r"|EFI variables are not supported",
            line,
            re.IGNORECASE,
        ):
            return "bios", document.at(number)
        if re.search(
            r"in (?:U?EFI|EFI)[- ]mode|booted in U?EFI|^uefi\b|^(?:64|32)\s*\Z|efivars"
            r"|fw_platform_size|mode[:=] ?U?EFI|is in EFI",
            line,
            re.IGNORECASE,
        ):
            return "uefi", document.at(number)
    return None


def parse_secure_boot(document: Document) -> tuple[bool, Evidence] | None:
    """Tell whether Secure Boot is on, as `mokutil --sb-state` says; None if unsaid."""
    for number, line in enumerate(document.lines, 1):
        if match := re.search(r"Secure ?Boot:? (enabled|disabled)", line, re.IGNORECASE):
            return match[1].lower() == "enabled", document.at(number)
    return None


@dataclass(frozen=True, slots=True)
class FullFileSystem:
    """A line of df: where a file system is mounted and how full it is, in per cent."""

    device: str
    mount: str
    used_percent: int
    evidence: Evidence


def parse_df(document: Document) -> tuple[FullFileSystem, ...]:
    """Read `df`, with any of its size columns."""
    found = []
    for number, line in enumerate(document.lines, 1):
        match = re.match(r"^(\S+)\s.*?(\d{1,3})%\s+(/.*?)\s*\Z", line)
        if match:
            found.append(FullFileSystem(match[1], match[3], int(match[2]), document.at(number)))
    return tuple(found)


def parse_os_release(document: Document) -> dict[str, str]:
    """Read /etc/os-release: `ID`, `ID_LIKE`, `VERSION_ID`, `PRETTY_NAME` and the rest.

    Raises:
        InputError: It assigns nothing.
    """
    values = {
        match[1]: match[2].strip().strip("\"'")
        for line in document.lines
        if (match := re.match(r"^([A-Z_]+)=(.*)\Z", line.strip()))
    }
    if not values:
        raise InputError(f"{document.name} does not hold os-release", code="wrong-input")
    return values


@dataclass(frozen=True, slots=True)
class GrubScript:
    """A file of /etc/grub.d, from `ls -l`."""

    name: str
    is_executable: bool
    evidence: Evidence


def parse_grub_d(document: Document) -> tuple[GrubScript, ...]:
    """Read `ls -l /etc/grub.d`."""
    return tuple(
        GrubScript(match[2], "x" in match[1], document.at(number))
        for number, line in enumerate(document.lines, 1)
        if (match := re.match(r"^-([rwxsStT-]{9})\S?\s+\d+\s+.*\s(\S+)\s*\Z", line))
    )


def parse_clock_is_local(document: Document) -> tuple[bool, Evidence] | None:
    """Tell whether the hardware clock keeps local time, from adjtime or timedatectl."""
    for number, line in enumerate(document.lines, 1):
        if match := re.match(r"^\s*(LOCAL|UTC)\s*\Z", line):
            return match[1] == "LOCAL", document.at(number)
        if match := re.search(r"(?:LocalRTC=|RTC in local TZ:\s*)(yes|no)", line):
            return match[1] == "yes", document.at(number)
    return None


def parse_matching(document: Document, pattern: str) -> tuple[Evidence, ...]:
    """Collect the lines that `pattern` finds, without regard to case."""
    return tuple(
        document.at(number)
        for number, line in enumerate(document.lines, 1)
        if re.search(pattern, line, re.IGNORECASE)
    )
