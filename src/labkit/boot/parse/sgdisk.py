"""`sgdisk -p` and `gdisk -l`: a table by GPT fdisk, with its own codes for types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.disks import Disk, Partition, device_path, is_whole_disk
from labkit.boot.parse.refusal import not_a
from labkit.boot.partition_types import PartitionType

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = ["parse_sgdisk_table"]

_DISK = re.compile(r"^Disk (?P<device>\S+): (?P<sectors>\d{1,18}) sectors")
_SECTOR = re.compile(r"^Sector size \(logical(?:/physical)?\): (\d{1,5})(?:/(\d{1,5}))? bytes")
_IDENTIFIER = re.compile(r"^Disk identifier \(GUID\): (\S+)")
_LAST = re.compile(r"last usable sector is (\d{1,18})")
_MAX_UNUSED_SECTORS = 4096  # The backup takes 33; some tools keep the last mebibyte free.
_MODEL = re.compile(r"^Model: (\S.*?)\s*\Z")
_ROW = re.compile(
    r"^\s*(?P<number>\d{1,3})\s+(?P<start>\d{1,18})\s+(?P<end>\d{1,18})\s+[\d.]+ \S+"
    r"\s+(?P<code>[0-9A-F]{4})(?:\s+(?P<name>\S.*?))?\s*\Z"
)
_FROM_MBR = "converting MBR to GPT"
# `sgdisk -L` lists the codes: MBR's byte and two digits that tell its kinds apart.
_CODES = {
    "0700": PartitionType.MICROSOFT_DATA,
    "0C01": PartitionType.MSR,
    "2700": PartitionType.RECOVERY,
    "4200": PartitionType.LDM_DATA,
    "4201": PartitionType.LDM_METADATA,
    "4202": PartitionType.STORAGE_SPACES,
    "8200": PartitionType.SWAP,
    "8E00": PartitionType.LVM,
    "EA00": PartitionType.XBOOTLDR,
    "EF00": PartitionType.ESP,
    "EF02": PartitionType.BIOS_BOOT,
    "FD00": PartitionType.RAID,
}


def parse_sgdisk_table(document: Document) -> tuple[Disk, ...]:
    """Read the tables of `sgdisk -p` or `gdisk -l`, of one disk or several.

    An MBR is shown as the GPT that it would become: without its extended partition and its flags.

    Raises:
        InputError: It holds no table of GPT fdisk.
    """
    disks: list[Disk] = []
    fields: dict[str, object] = {}
    rows: list[Partition] = []
    pending: list[Evidence] = []
    scheme = "gpt"
    for number, line in enumerate(document.lines, 1):
        if _FROM_MBR in line:
            scheme = "dos"
        elif line.startswith("Problem:"):
            pending.append(document.at(number))  # `-v -p` verifies before it prints.
        elif disk := _DISK.match(line):
            _end(disks, fields, rows)
            fields = {
                "device": device_path(disk["device"]),
                "scheme": scheme,
                "sectors": int(disk["sectors"]),
                "complaints": tuple(pending),
                "evidence": (document.at(number),),
            }
            rows, pending, scheme = [], [], "gpt"
        elif fields and (row := _ROW.match(line)):
            rows.append(_partition(document, number, row, fields))
        elif fields:
            _read_property(document, number, line, fields)
    _end(disks, fields, rows)
    if not disks:
        raise not_a(document, "a table of sgdisk -p")
    return tuple(disk for disk in disks if is_whole_disk(disk.device))


def _end(disks: list[Disk], fields: dict[str, object], rows: list[Partition]) -> None:
    if fields:
        disks.append(Disk(**fields, partitions=tuple(rows)))  # type: ignore[arg-type]  # the fields are Disk's own


def _read_property(document: Document, number: int, line: str, fields: dict[str, object]) -> None:
    if match := _SECTOR.match(line):
        fields["sector_bytes"] = int(match[1])
        fields["physical_sector_bytes"] = int(match[2]) if match[2] else None
    elif (match := _IDENTIFIER.match(line)) and fields["scheme"] == "gpt":
        fields["disk_id"] = match[1].lower()  # That of an MBR is made up for the conversion.
    elif match := _MODEL.match(line):
        fields["model"] = match[1]
    elif (match := _LAST.search(line)) and not fields["complaints"]:
        unused = int(str(fields["sectors"])) - int(match[1])
        if unused > _MAX_UNUSED_SECTORS:
            fields["complaints"] = (document.at(number),)


def _partition(
    document: Document, number: int, row: re.Match[str], fields: dict[str, object]
) -> Partition:
    device = str(fields["device"])
    separator = "p" if device[-1].isdigit() else ""
    start, end = int(row["start"]), int(row["end"])
    code = row["code"]
    kind = _CODES.get(code, PartitionType.LINUX if code[:2] == "83" else PartitionType.OTHER)
    on_mbr = fields["scheme"] == "dos"
    if on_mbr and kind is PartitionType.MICROSOFT_DATA:
        kind = PartitionType.NTFS
    return Partition(
        f"{device}{separator}{row['number']}",
        start=start,
        size=end - start + 1,
        scheme=str(fields["scheme"]),
        type=kind,
        name=None if on_mbr else row["name"],
        evidence=(document.at(number),),
    )
