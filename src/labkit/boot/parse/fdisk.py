"""`fdisk -l`, complete or as boot-info shortens it, in any of its languages."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.boot.disks import (
    Disk,
    Partition,
    device_path,
    disk_of,
    is_optical,
    is_whole_disk,
    merge_disks,
)
from labkit.boot.parse.fdisk_rows import columns_of, read_columns, read_row
from labkit.boot.parse.refusal import not_a
from labkit.boot.partition_types import type_of_id, type_of_name

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence
    from labkit.boot.parse.fdisk_rows import FdiskRow

__all__ = ["parse_fdisk"]

_GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_COUNT = r"([\d.,'\s\u00a0\u202f]*\d)"
# `Disk /dev/sda: 477 GiB, 512110190592 bytes, 1000215216 sectors` in any of fdisk's languages:
# the device, and at the end two large numbers, each beside its unit's name.
_DISK_LINE = re.compile(
    r"^(?:[^\s\d:]+ )?(?P<device>\S+?)\s?[:\uff1a]\s?(?P<sizes>\S.*[,\uff0c].*)\Z"
)
_LABEL_LINE = re.compile(r"[:\uff1a]\s*(gpt|dos)\s*\Z")
_ID_LINE = re.compile(rf"[:\uff1a]\s*({_GUID}|0x[0-9a-f]{{8}})\s*\Z", re.IGNORECASE)
_SECTOR_LINE = re.compile(r"\(.*/.*\)\s?[:\uff1a]\s*(\d{3,5})\s\S+\s/\s(\d{3,5})\s")
_MODEL_LINE = r"^(?:Disk model|Festplattenmodell|Modelo de disco)\s*[:\uff1a]\s*(.+)"
# `Units: cylinders of 16065 * 512 = 8225280 bytes`, in any language.
_UNITS_LINE = re.compile(r"(?<!\d)(\d{1,9}) \* \d+ = \d+")
_SECTOR_BYTES = 512
_COMPLAINTS = (
    "GPT PMBR size mismatch",
    "The backup GPT table is not on the end of the device",
    "The backup GPT table is corrupt",
    "The primary GPT table is corrupt",
)
_BACKUP_MOVED = (
    r"backup GPT table is not|GPT-Sicherungstabelle|tabla GPT de respaldo|table GPT de sauvegarde"
    r"|Резервну таблицю GPT|Zapasowa tablica GPT|tabela GPT backup|Záložní tabulka GPT"
    r"|备份 GPT 表|GPTテーブルのバックアップ|GTP-tabellen finns inte"
)


def _is_complaint(line: str) -> bool:
    if "GPT" not in line and "GTP" not in line:  # One translation has the letters mixed up.
        return False
    return any(text in line for text in _COMPLAINTS) or bool(re.search(_BACKUP_MOVED, line))


def parse_fdisk(document: Document) -> tuple[Disk, ...]:
    """Read `fdisk -l`, complete or as boot-info shortens it, in any language.

    Raises:
        InputError: It holds no table of fdisk.
    """
    reader = _FdiskReader(document)
    for number, line in enumerate(document.lines, 1):
        reader.read(number, line.strip())
    disks = reader.finish()
    if not disks:
        raise not_a(document, "a table of fdisk")
    return disks


class _FdiskReader:
    """The state between the lines of `fdisk -l`: the disk being read, complaints without one."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._disks: list[Disk] = []
        self._fields: dict[str, object] | None = None
        self._rows: list[Partition] = []
        self._pending: list[Evidence] = []
        self._heading: str | None = None
        self._counts_cylinders = False
        self._is_labelled = False

    def read(self, number: int, line: str) -> None:
        if not line:
            return
        if _is_complaint(line):
            self._pending.append(self._document.at(number))
        elif row := self._row(line):
            self._read_row(number, row)
        elif disk := self._disk_line(line):
            self._begin(number, *disk)
        elif heading := columns_of(line):
            self._heading = heading
        elif self._fields is not None:
            self._read_property(line)

    def _row(self, line: str) -> FdiskRow | None:
        if self._heading is not None and (row := read_columns(self._heading, line)):
            return row
        return read_row(line, self._fields.get("scheme") if self._fields else None)

    def finish(self) -> tuple[Disk, ...]:
        self._end()
        if self._pending and len(self._disks) == 1:
            # stderr was captured after stdout, or alone beside one disk: it can mean no other.
            self._disks = [
                *merge_disks(
                    [
                        *self._disks,
                        Disk(self._disks[0].device, complaints=tuple(self._pending)),
                    ]
                )
            ]
        return tuple(d for d in self._disks if is_whole_disk(d.device) and not is_optical(d.device))

    @staticmethod
    def _disk_line(line: str) -> tuple[str, int, int | None] | None:
        match = _DISK_LINE.match(line)
        if not match or _ID_LINE.search(line):
            return None
        numbers = [int(re.sub(r"\D", "", n)) for n in re.findall(_COUNT, match["sizes"])]
        large = [n for n in numbers if n >= 10**6 // 2]
        if not large or not re.search(r"[a-z]", match["device"]):
            return None
        size_bytes = large[0]
        sectors = large[1] if len(large) > 1 and large[1] < size_bytes else None
        return match["device"], size_bytes, sectors

    def _begin(self, number: int, device: str, size_bytes: int, sectors: int | None) -> None:
        self._end()
        self._fields = {
            "device": device_path(device),
            "size_bytes": size_bytes,
            "sectors": sectors,
            "evidence": (self._document.at(number),),
            "complaints": tuple(self._pending),
        }
        if sectors:
            self._fields["sector_bytes"] = size_bytes // sectors
        self._pending = []

    def _read_property(self, line: str) -> None:
        fields = self._fields
        if fields is None:
            return
        if match := _LABEL_LINE.search(line):
            fields["scheme"] = match[1]
            self._is_labelled = True
        elif match := _ID_LINE.search(line):
            fields["disk_id"] = match[1].lower()
            fields.setdefault("scheme", "dos" if match[1].startswith("0x") else "gpt")
        elif match := _SECTOR_LINE.search(line):
            fields["sector_bytes"] = int(match[1])
            fields["physical_sector_bytes"] = int(match[2])
        elif match := _UNITS_LINE.search(line):
            self._counts_cylinders = int(match[1]) > 1
        elif match := re.match(_MODEL_LINE, line):
            fields["model"] = match[1].strip()

    def _read_row(self, number: int, row: FdiskRow) -> None:
        device = device_path(row.device)
        if self._fields is None or self._fields["device"] != disk_of(device):
            self._end()
            self._fields = {"device": disk_of(device), "complaints": tuple(self._pending)}
            self._pending = []
        if row.start == row.end == 0:
            return  # An empty slot of an old table.
        fields = self._fields
        type_id, scheme = row.type_id, "gpt"
        if fields.get("scheme") == "dos" or (type_id and type_id.startswith("0x")):
            scheme = "dos"
        fields.setdefault("scheme", scheme)
        start, size = self._place(row)
        kind = type_of_id(type_id) if type_id else None
        if kind is None and row.type_name:
            kind = type_of_name(row.type_name)
        self._rows.append(
            Partition(
                device,
                start=start,
                size=size,
                size_bytes=row.size_bytes if size is None else None,
                scheme=scheme,
                type_id=type_id,
                type=kind,
                partuuid=row.partuuid,
                name=row.name,
                active=row.active if scheme == "dos" else None,
                evidence=(self._document.at(number),),
            )
        )

    def _place(self, row: FdiskRow) -> tuple[int | None, int | None]:
        """Give start and length in sectors; cylinders are too coarse to place a partition."""
        sector = (self._fields or {}).get("sector_bytes") or _SECTOR_BYTES
        is_exact = isinstance(sector, int) and row.is_in_sectors(sector)
        if self._counts_cylinders or not is_exact:
            return None, None
        if row.start is not None and row.end is not None:
            return row.start, row.end - row.start + 1
        return row.start, row.count

    def _end(self) -> None:
        if self._fields is not None:
            disk = Disk(**self._fields, partitions=tuple(self._rows))  # type: ignore[arg-type]  # the fields are Disk's own
            if disk.shows_protection_alone and not self._is_labelled:
                # fdisk before 2.23 prints no label and cannot read a GPT: nothing is wrong with it.
                disk = replace(disk, scheme="gpt")
            self._disks.append(disk)
        self._is_labelled = False
        self._fields, self._rows = None, []
        self._heading, self._counts_cylinders = None, False
