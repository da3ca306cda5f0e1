"""Is a photo or a sound file whole? JPEG (`.JPG`, `.THM`), GPR (a TIFF), WAV.

Formats: JPEG is ITU-T T.81 annex B, GPR is DNG and so TIFF 6.0, WAV is RIFF. Files are read in
blocks: the memory needed does not grow with the file.
"""

from __future__ import annotations

import re
import struct
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from labkit.gopro.damage import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["check_jpeg", "check_tiff", "check_wav"]

_BLOCK_BYTES = 1 << 20

_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA
# Markers without a segment: fill bytes, TEM, restarts and a second start of image.
_BARE_MARKERS = frozenset({0x01, 0xFF, *range(0xD0, 0xD9)})
# Within a scan 0xFF is data when 0x00 follows; restarts and fill bytes do not end it either.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)


def check_jpeg(file: BinaryIO) -> None:
    """Prove that a JPEG runs from its start to its end marker; bytes after it are allowed.

    Segments are passed by their lengths, so that the end marker of the thumbnail in the EXIF
    segment is not taken for the photo's.

    Raises:
        DamagedFileError: It does not.
    """
    size = _size_of(file)
    if _at(file, 0, 2) != _START_OF_IMAGE:
        raise DamagedFileError("jpeg-no-start", "it does not begin like a JPEG")
    position = 2
    while position + 2 <= size:
        lead, marker = _at(file, position, 2)
        if lead != 0xFF:  # noqa: PLR2004 - what every marker begins with
            raise DamagedFileError("jpeg-bad-segment", f"the bytes at {position} are no segment")
        if marker == _END_OF_IMAGE:
            return
        if marker in _BARE_MARKERS:
            position += 1 if marker == 0xFF else 2  # noqa: PLR2004 - a fill byte
            continue
        length = int.from_bytes(_at(file, position + 2, 2), "big")
        position += 2 + max(2, length)
        if marker == _START_OF_SCAN:
            position = _end_of_scan(file, position)
    raise DamagedFileError("jpeg-cut", "its end marker is missing: it was cut")


def _end_of_scan(file: BinaryIO, start: int) -> int:
    """Where the marker after the coded picture is; the end of the file where there is none."""
    file.seek(start)
    position, carry = start, b""
    while block := file.read(_BLOCK_BYTES):
        data = carry + block
        if match := _END_OF_SCAN.search(data):
            return position - len(carry) + match.start()
        position += len(block)
        carry = data[-1:]
    return position


_SUB_IFDS = 330
_EXIF_IFD = 34665
# Where the picture lies: (offsets, lengths) of strips, tiles and the embedded JPEG.
_DATA_TAGS = ((273, 279), (324, 325), (513, 514))
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I"}
_MAX_DIRECTORIES = 100


class _Entry(NamedTuple):
    """An entry of a TIFF directory: of what type and how many its values are, and where."""

    type: int
    number: int
    start: int


class _Tiff(NamedTuple):
    file: BinaryIO
    size: int
    order: str

    def unpack(self, layout: str, start: int) -> tuple[int, ...]:
        layout = self.order + layout
        length = struct.calcsize(layout)
        if start + length > self.size:
            raise _tiff_cut(start + length - self.size)
        return struct.unpack(layout, _at(self.file, start, length))

    def values(self, entry: _Entry) -> Iterator[int]:
        """The numbers of an entry, read in blocks; nothing for a type that holds no offsets."""
        if entry.type not in _UNSIGNED:
            return
        width = _TYPE_SIZES[entry.type]
        per_block = _BLOCK_BYTES // width
        for index in range(0, entry.number, per_block):
            count = min(per_block, entry.number - index)
            start = entry.start + index * width
            yield from self.unpack(f"{count}{_UNSIGNED[entry.type]}", start)


def check_tiff(file: BinaryIO) -> None:
    """Prove that every directory, value, strip and tile of a TIFF lies inside the file.

    Raises:
        DamagedFileError: One of them does not, or it is no TIFF.
    """
    start = _at(file, 0, 8)
    orders = {b"II*\x00": "<", b"MM\x00*": ">"}
    if start[:4] not in orders or len(start) < 8:  # noqa: PLR2004 - the header
        raise DamagedFileError("raw-no-start", "it does not begin like a GPR or DNG photo")
    tiff = _Tiff(file, _size_of(file), orders[start[:4]])
    waiting = list(tiff.unpack("I", 4))
    seen: set[int] = set()
    has_picture = False
    while waiting:
        if len(seen) + len(waiting) > _MAX_DIRECTORIES:
            raise DamagedFileError("raw-bad-index", "it has too many directories")
        directory = waiting.pop()
        if directory == 0 or directory in seen:
            continue
        seen.add(directory)
        entries, following = _read_directory(tiff, directory)
        waiting.append(following)
        for tag in (_SUB_IFDS, _EXIF_IFD):
            if tag in entries:
                waiting.extend(islice(tiff.values(entries[tag]), _MAX_DIRECTORIES))
        has_picture |= _check_picture(tiff, entries)
    if not has_picture:
        raise DamagedFileError("raw-no-picture", "it has no picture in it")


def _read_directory(tiff: _Tiff, start: int) -> tuple[dict[int, _Entry], int]:
    (count,) = tiff.unpack("H", start)
    entries: dict[int, _Entry] = {}
    for index in range(count):
        position = start + 2 + 12 * index
        tag, kind, length = tiff.unpack("HHI", position)
        size = _TYPE_SIZES.get(kind, 1) * length
        value = position + 8 if size <= 4 else tiff.unpack("I", position + 8)[0]  # noqa: PLR2004 - what fits stands in place
        if value + size > tiff.size:
            raise _tiff_cut(value + size - tiff.size)
        entries[tag] = _Entry(kind, length, value)
    (following,) = tiff.unpack("I", start + 2 + 12 * count)
    return entries, following


def _check_picture(tiff: _Tiff, entries: dict[int, _Entry]) -> bool:
    found = False
    for offsets_tag, lengths_tag in _DATA_TAGS:
        if offsets_tag not in entries or lengths_tag not in entries:
            continue
        offsets, lengths = tiff.values(entries[offsets_tag]), tiff.values(entries[lengths_tag])
        for offset, length in zip(offsets, lengths, strict=False):
            found = True
            if offset + length > tiff.size:
                raise _tiff_cut(offset + length - tiff.size)
    return found


def _tiff_cut(missing: int) -> DamagedFileError:
    return DamagedFileError("raw-cut", f"at least {missing} bytes are missing at its end")


def check_wav(file: BinaryIO) -> None:
    """Prove that a WAV file is as long as its header says.

    Raises:
        DamagedFileError: It is not; a recording that was cut short says 0 or too much.
    """
    header = _at(file, 0, 12)
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        raise DamagedFileError("wav-no-start", "it does not begin like a WAV file")
    stated = int.from_bytes(header[4:8], "little") + 8
    size = _size_of(file)
    if size not in {stated, stated + stated % 2}:  # chunks are padded to an even length
        raise DamagedFileError(
            "wav-cut", f"it has {size} bytes, its header says {stated}: the recording was cut"
        )


def _size_of(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _at(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)
