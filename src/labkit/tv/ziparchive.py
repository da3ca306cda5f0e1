"""Reading zip archives as Android does: by the central directory, with every size bounded.

Python's `zipfile` forgives what Android refuses (bytes in front of the archive, two entries of one
name) and reads a central directory of any size into memory. The signing block of an APK lies
in front of that directory, so its place is needed as well.

Format: PKWARE's APPNOTE.TXT, sections 4.3 (records) and 4.5.3 (zip64).
"""

from __future__ import annotations

import stat
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.tv.errors import ApkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["CHUNK_BYTES", "LOCAL_HEADER_MAGIC", "ZipArchive", "ZipEntry"]

LOCAL_HEADER_MAGIC = b"PK\x03\x04"
CHUNK_BYTES = 1 << 20

_END_MAGIC = b"PK\x05\x06"
_END = struct.Struct("<4s4H2IH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64_LOCATOR_MAGIC = b"PK\x06\x07"
_END64 = struct.Struct("<4sQ2H2I4Q")
_END64_MAGIC = b"PK\x06\x06"
_DIRECTORY_ENTRY = struct.Struct("<4s6H3I5H2I")
_DIRECTORY_MAGIC = b"PK\x01\x02"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_MAX_COMMENT_BYTES = 0xFFFF
_ZIP64_EXTRA = 1
_ZIP64_MARK = 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8
_UTF8_FLAG = 1 << 11

# Android reads no zip64 directory, so its entries are counted in 16 bits.
_MAX_ENTRIES = 0xFFFF
# A directory entry takes 46 bytes and its name: as many as that fit easily.
_MAX_DIRECTORY_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One file of a zip archive, as the central directory describes it.

    Attributes:
        name: Its path inside the archive, with `/` between folders.
        size_bytes: Its size when unpacked.
        packed_bytes: Its size in the archive.
        method: How it is packed, by APPNOTE's number.
        header_offset: Where its own header lies in the archive.
        crc32: The sum of its unpacked bytes.
        unix_mode: Its kind and permissions, where the archive tells; else 0.
    """

    name: str
    size_bytes: int
    packed_bytes: int
    method: int
    header_offset: int
    crc32: int
    unix_mode: int

    @property
    def stored(self) -> bool:
        """Whether it lies in the archive as it is, uncompressed."""
        return self.method == _STORED

    @property
    def is_folder(self) -> bool:
        """Whether it stands for a folder."""
        return self.name.endswith("/")

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.unix_mode)


class ZipArchive:
    """A zip archive in a seekable file.

    `size_bytes` is its size, `directory_offset` and `end_offset` where its directory and its end
    record begin.

    Args:
        file: The archive, open for reading; it stays open.
        name: How error messages call it.

    Raises:
        ApkError: It does not start as a zip archive, has no complete end, or its directory
            is damaged or absurdly large.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.size_bytes = file.seek(0, 2)
        file.seek(0)
        if file.read(4) != LOCAL_HEADER_MAGIC:
            raise ApkError(f"{name} does not start as a zip archive", code="not-a-zip")
        self.directory_offset, self._directory_bytes, self.end_offset = self._find_directory()

    def _damaged(self, what: str) -> ApkError:
        return ApkError(f"{self._name} is damaged: {what}", hint="download it again")

    def _read_at(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) != count:
            raise self._damaged(f"it ends within a record at byte {offset}")
        return data

    def _find_directory(self) -> tuple[int, int, int]:
        """Find where the directory begins, how long it is, and where the end record begins."""
        tail_size = min(self.size_bytes, _END.size + _MAX_COMMENT_BYTES)
        tail = self._read_at(self.size_bytes - tail_size, tail_size)
        position = tail.rfind(_END_MAGIC)
        while position >= 0:
            remaining = len(tail) - position - _END.size
            # The comment must reach exactly to the end, else the magic is part of a comment.
            if remaining >= 0 and _END.unpack_from(tail, position)[7] == remaining:
                break
            position = tail.rfind(_END_MAGIC, 0, position)
        else:
            raise ApkError(
                f"{self._name} is cut off: it starts as a zip archive and has no end",
                hint="the download did not complete; download it again",
                code="truncated",
            )
        end_offset = self.size_bytes - tail_size + position
        *_, directory_bytes, offset, _comment = _END.unpack_from(tail, position)
        limit = end_offset
        if _ZIP64_MARK in (directory_bytes, offset):
            offset, directory_bytes, limit = self._find_directory64(end_offset)
        if offset + directory_bytes > limit:
            raise self._damaged("its directory lies outside of the file")
        if directory_bytes > _MAX_DIRECTORY_BYTES:
            raise self._damaged(f"its directory takes {directory_bytes:,} bytes")
        return offset, directory_bytes, end_offset

    def _find_directory64(self, end_offset: int) -> tuple[int, int, int]:
        locator_offset = max(0, end_offset - _END64_LOCATOR.size)
        magic, _, offset64, _ = _END64_LOCATOR.unpack(
            self._read_at(locator_offset, _END64_LOCATOR.size)
        )
        if magic != _END64_LOCATOR_MAGIC or offset64 > locator_offset:
            raise self._damaged("its zip64 end record is missing")
        record = _END64.unpack(self._read_at(offset64, _END64.size))
        if record[0] != _END64_MAGIC:
            raise self._damaged("its zip64 end record is missing")
        return record[9], record[8], offset64

    def entries(self) -> Iterator[ZipEntry]:
        """Iterate over the entries of the central directory, in its order.

        Raises:
            ApkError: The directory is damaged.
        """
        directory = self._read_at(self.directory_offset, self._directory_bytes)
        position = 0
        count = 0
        while position + _DIRECTORY_ENTRY.size <= len(directory):
            count += 1
            if count > _MAX_ENTRIES:
                raise self._damaged(f"it holds more than {_MAX_ENTRIES:,} files")
            record = _DIRECTORY_ENTRY.unpack_from(directory, position)
            if record[0] != _DIRECTORY_MAGIC:
                raise self._damaged("its directory is not one")
            name_size, extra_size, comment_size = record[10:13]
            start = position + _DIRECTORY_ENTRY.size
            position = start + name_size + extra_size + comment_size
            if position > len(directory):
                raise self._damaged("its directory is cut off")
            extra = directory[start + name_size : start + name_size + extra_size]
            name = _decode_name(directory[start : start + name_size], utf8=record[3] & _UTF8_FLAG)
            yield self._entry(name, record, extra)
        if position != len(directory):
            raise self._damaged("its directory is cut off")

    def _entry(self, name: str, record: tuple[int, ...], extra: bytes) -> ZipEntry:
        method, packed, size, offset = record[4], record[8], record[9], record[16]
        if _ZIP64_MARK in (packed, size, offset):
            size, packed, offset = _apply_zip64(extra, size, packed, offset)
        return ZipEntry(name, size, packed, method, offset, record[7], record[15] >> 16)

    def data_offset(self, entry: ZipEntry) -> int:
        """Find where the bytes of `entry` begin in the file.

        Raises:
            ApkError: The entry's own header is damaged, or its bytes lie outside of the file.
        """
        header = _LOCAL_HEADER.unpack(self._read_at(entry.header_offset, _LOCAL_HEADER.size))
        if header[0] != LOCAL_HEADER_MAGIC:
            raise self._damaged(f"there is no entry where {entry.name} should be")
        offset: int = entry.header_offset + _LOCAL_HEADER.size + header[9] + header[10]
        if offset + entry.packed_bytes > self.size_bytes:
            raise self._damaged(f"{entry.name} lies outside of the file")
        return offset

    def chunks(self, entry: ZipEntry) -> Iterator[bytes]:
        """Unpack `entry` piece by piece, never more than its directory entry promises.

        Raises:
            ApkError: It is damaged, unpacks to another size than promised (as zip bombs do) or to
                other bytes, or is packed by a method that Android does not read.
        """
        offset = self.data_offset(entry)
        if entry.method == _STORED:
            pieces = self._packed_chunks(offset, entry)
        elif entry.method == _DEFLATED:
            pieces = self._inflated_chunks(offset, entry)
        else:
            raise self._damaged(f"{entry.name} is packed by the unknown method {entry.method}")
        total = crc32 = 0
        for piece in pieces:
            total += len(piece)
            if total > entry.size_bytes:
                break
            crc32 = zlib.crc32(piece, crc32)
            yield piece
        if total != entry.size_bytes:
            raise self._damaged(f"{entry.name} does not unpack to {entry.size_bytes:,} bytes")
        if crc32 != entry.crc32:
            raise self._damaged(f"{entry.name} does not match its sum (CRC-32)")

    def read(self, entry: ZipEntry, *, limit_bytes: int) -> bytes:
        """Unpack `entry` into memory.

        Raises:
            ApkError: It is larger than `limit_bytes`, or damaged.
        """
        if entry.size_bytes > limit_bytes:
            raise self._damaged(
                f"{entry.name} would unpack to {entry.size_bytes:,} bytes, "
                f"and more than {limit_bytes:,} make no sense"
            )
        return b"".join(self.chunks(entry))

    def fault(self, entry: ZipEntry) -> str | None:
        """Unpack `entry` to the end, and say what is wrong with it; None where nothing is."""
        try:
            for _ in self.chunks(entry):
                pass
        except ApkError as error:
            return error.message
        return None

    def _packed_chunks(self, offset: int, entry: ZipEntry) -> Iterator[bytes]:
        remaining = entry.packed_bytes
        while remaining:
            piece = self._read_at(offset, min(remaining, CHUNK_BYTES))
            offset += len(piece)
            remaining -= len(piece)
            yield piece

    def _inflated_chunks(self, offset: int, entry: ZipEntry) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for packed in self._packed_chunks(offset, entry):
                rest = packed
                while rest and not inflater.eof:
                    yield inflater.decompress(rest, CHUNK_BYTES)
                    rest = inflater.unconsumed_tail
            # What the inflater still holds back is at most one window.
            while not inflater.eof and (piece := inflater.decompress(b"", CHUNK_BYTES)):
                yield piece
        except zlib.error as error:
            raise self._damaged(f"{entry.name} cannot be unpacked") from error


def _decode_name(raw: bytes, *, utf8: int) -> str:
    if utf8:
        return raw.decode("utf-8", errors="replace")
    # Old zippers write their own code page without saying which; most of today's write UTF-8.
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _apply_zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == _ZIP64_EXTRA:
            field = extra[position + 4 : position + 4 + length]
            numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            size, packed, offset = (
                next(numbers, value) if value == _ZIP64_MARK else value
                for value in (size, packed, offset)
            )
            break
        position += 4 + length
    return size, packed, offset
