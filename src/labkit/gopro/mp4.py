"""Read the boxes of an MP4 file (`.MP4`, `.360`, `.LRV`): is it whole, and what is in it?

A camera writes `ftyp`, `mdat`, `moov` in this order, so a file that was cut anywhere has lost
its index: some box reaches past the end, or `moov` is missing. Formats: ISO/IEC 14496-12, whose
box names are used here. Tables are read in blocks: the memory needed does not grow with the file.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, NamedTuple

from labkit.gopro.damage import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any, BinaryIO

__all__ = [
    "HEVC_CODECS",
    "Box",
    "Movie",
    "Track",
    "check_mp4",
    "copy_user_data",
    "read_movie",
    "track_digest",
    "walk_boxes",
]

HEVC_CODECS = frozenset({"hvc1", "hev1"})
"""The sample entries of H.265; those of H.264 are `avc1` and `avc3`."""

_MAX_BOXES = 100_000
"""A camera writes a handful; a file of nothing but empty boxes must not be walked for hours."""

_BLOCK_BYTES = 64 * 1024

_MAX_USER_DATA_BYTES = 64 * 1024 * 1024


class Box(NamedTuple):
    """A box: where it begins and ends in the file, and where its contents begin."""

    kind: str
    start: int
    content: int
    end: int


@dataclass(frozen=True)
class Track:
    """One track of a movie.

    Attributes:
        handler: What it is: `vide`, `soun`, `meta`, `tmcd`.
        codec: The type of its first sample entry: `hvc1`, `avc1`, `mp4a`, `gpmd`.
        duration_s: By its own header.
        sample_count: Frames of a video track, packets of others.
        width: As shown, in pixels; 0 for what is no picture.
        height: As shown, in pixels.
    """

    handler: str
    codec: str
    duration_s: float
    sample_count: int
    width: int
    height: int
    _table: Box


@dataclass(frozen=True)
class Movie:
    """What an MP4 file holds.

    Attributes:
        duration_s: Of the movie, by its header.
        created: Seconds since 1904-01-01; None where the camera wrote none. Whether they are UTC
            or the wall clock depends on the camera.
        location: Where it was taken, as `+10.1234-020.1234/`; None where it does not say.
        tracks: In the order of the file.
    """

    duration_s: float
    created: int | None
    location: str | None
    tracks: tuple[Track, ...]

    @property
    def video(self) -> Track | None:
        """The first video track."""
        return next((track for track in self.tracks if track.handler == "vide"), None)

    @property
    def telemetry_index(self) -> int | None:
        """The position of the GPMF telemetry among the tracks; None where there is none."""
        codecs = [track.codec for track in self.tracks]
        return codecs.index("gpmd") if "gpmd" in codecs else None


def walk_boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets, which they must fill exactly.

    Raises:
        DamagedFileError: One of them is cut, or its size makes no sense.
    """
    position = start
    for _ in range(_MAX_BOXES):
        if position == end:
            return
        box = _read_box(file, position, end)
        yield box
        position = box.end
    raise DamagedFileError("mp4-bad-box", f"it has more than {_MAX_BOXES} boxes")


def _read_box(file: BinaryIO, start: int, end: int) -> Box:
    header = _read(file, start, min(16, end - start))
    if len(header) < 8:  # noqa: PLR2004 - a 32-bit size and four letters
        raise DamagedFileError("mp4-cut", f"the file ends inside the header of a box at {start}")
    size, kind_bytes = struct.unpack_from(">I4s", header)
    kind = kind_bytes.decode("latin-1")
    content = start + 8
    if size == 0:  # to the end
        return Box(kind, start, content, end)
    if size == 1:  # a 64-bit size follows
        if len(header) < 16:  # noqa: PLR2004 - eight more bytes
            raise DamagedFileError("mp4-cut", f"the file ends inside a box header at {start}")
        (size,) = struct.unpack_from(">Q", header, 8)
        content = start + 16
    if start + size < content:
        raise DamagedFileError("mp4-bad-box", f"the bytes at {start} are no box")
    if start + size > end:
        missing = start + size - end
        raise DamagedFileError("mp4-cut", f"it was cut: its box {kind!a} lacks {missing} bytes")
    return Box(kind, start, content, start + size)


def read_movie(path: Path) -> Movie:
    """Read what the movie at `path` holds, without reading its pictures and sound.

    Raises:
        DamagedFileError: It is no MP4 file, or it is cut.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return _read_movie(file, _read_layout(file).moov)


def check_mp4(file: BinaryIO) -> Movie:
    """Prove that an MP4 file is whole, as far as that is possible without decoding it.

    Its first box is `ftyp`, the boxes fill the file, there is exactly one `moov`, it has tracks,
    every sample of them lies inside an `mdat`, and the movie lasts longer than nothing.

    Raises:
        DamagedFileError: One of these is not so.
    """
    layout = _read_layout(file)
    movie = _read_movie(file, layout.moov)
    if not layout.data:
        raise DamagedFileError("mp4-no-data", "it has an index but no pictures and sound")
    if not movie.tracks:
        raise DamagedFileError("mp4-empty", "it has no tracks")
    if movie.duration_s <= 0 and not layout.has_fragments:
        raise DamagedFileError("mp4-empty", "it lasts 0 seconds")
    for track in movie.tracks:
        for offset, length in _chunks(file, track):
            if not any(start <= offset and offset + length <= end for start, end in layout.data):
                raise DamagedFileError(
                    "mp4-bad-index",
                    f"its index points to byte {offset}, where no pictures or sound are",
                )
    return movie


def track_digest(path: Path, track: Track) -> str:
    """Hash the contents of a track: the same for two files that hold the same telemetry.

    Raises:
        DamagedFileError: Its index makes no sense.
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for offset, length in _chunks(file, track):
            for start in range(offset, offset + length, _BLOCK_BYTES):
                size = min(_BLOCK_BYTES, offset + length - start)
                digest.update(_read_all(file, start, size))
    return digest.hexdigest()


def copy_user_data(source: Path, target: Path) -> None:
    """Give `target` the `udta` box of `source` in the place of its own.

    It holds what ffmpeg drops: HiLights, firmware, lens, place. The index of `target` must be its
    last box, as ffmpeg writes it by default, so that no byte moves that the index points to.

    Raises:
        DamagedFileError: One of them is no whole MP4 file, or the index is not last.
        OSError: One of the files cannot be read or written.
    """
    with source.open("rb") as file:
        moov = _read_layout(file).moov
        boxes = [box for box in walk_boxes(file, moov.content, moov.end) if box.kind == "udta"]
        if not boxes:
            return
        if sum(box.end - box.start for box in boxes) > _MAX_USER_DATA_BYTES:
            raise DamagedFileError("mp4-bad-index", "its user data are too large to be some")
        data = b"".join(_read_all(file, box.start, box.end - box.start) for box in boxes)
    with target.open("rb+") as file:
        moov = _read_layout(file).moov
        if moov.end != file.seek(0, 2) or moov.content != moov.start + 8:
            raise DamagedFileError("mp4-bad-index", "its index is not at its end")
        boxes = list(walk_boxes(file, moov.content, moov.end))
        own = next((box for box in boxes if box.kind == "udta"), None)
        # What follows the own `udta` is moved up; ffmpeg writes nothing there.
        after = [box for box in boxes if own and box.start >= own.end]
        data = b"".join(_read_all(file, box.start, box.end - box.start) for box in after) + data
        file.seek(own.start if own else moov.end)
        file.write(data)
        file.truncate()
        size = file.tell() - moov.start
        file.seek(moov.start)
        file.write(struct.pack(">I", size))


class _Layout(NamedTuple):
    moov: Box
    data: tuple[tuple[int, int], ...]
    has_fragments: bool


def _read_layout(file: BinaryIO) -> _Layout:
    size = file.seek(0, 2)
    if size == 0:
        raise DamagedFileError("empty-file", "it is empty")
    boxes = walk_boxes(file, 0, size)
    first = next(boxes)
    if first.kind != "ftyp":
        raise DamagedFileError("mp4-no-start", "it does not begin like an MP4 file")
    moovs: list[Box] = []
    data: list[tuple[int, int]] = []
    has_fragments = False
    for box in boxes:
        if box.kind == "moov":
            moovs.append(box)
        elif box.kind == "mdat":
            data.append((box.content, box.end))
        has_fragments |= box.kind == "moof"
    if len(moovs) != 1:
        found = "no index" if not moovs else f"{len(moovs)} indexes"
        raise DamagedFileError("mp4-no-moov", f"it has {found} (`moov`), so it cannot be played")
    return _Layout(moovs[0], tuple(data), has_fragments)


def _read_movie(file: BinaryIO, moov: Box) -> Movie:
    children = list(walk_boxes(file, moov.content, moov.end))
    header = _one(children, "mvhd")
    created, duration_s = _read_times(file, header)
    tracks = tuple(_read_track(file, box) for box in children if box.kind == "trak")
    location = next((_read_location(file, box) for box in children if box.kind == "udta"), None)
    return Movie(duration_s, created or None, location, tracks)


def _read_track(file: BinaryIO, trak: Box) -> Track:
    parts = list(walk_boxes(file, trak.content, trak.end))
    media_box = _one(parts, "mdia")
    media = list(walk_boxes(file, media_box.content, media_box.end))
    information = _one(media, "minf")
    table = _one(walk_boxes(file, information.content, information.end), "stbl")
    tables = list(walk_boxes(file, table.content, table.end))
    entry = _contents(file, _one(tables, "stsd"), 16)
    handler = _contents(file, _one(media, "hdlr"), 12)
    _, sample_count = _unpack(file, _one(tables, "stsz"), ">4xII")
    header = _one(parts, "tkhd")
    width, height = struct.unpack(">II", _read(file, max(header.end - 8, header.content), 8))
    return Track(
        handler=handler[8:12].decode("latin-1"),
        codec=entry[12:16].decode("latin-1"),
        duration_s=_read_times(file, _one(media, "mdhd"))[1],
        sample_count=sample_count,
        width=width >> 16,  # 16.16 fixed point
        height=height >> 16,
        _table=table,
    )


def _read_times(file: BinaryIO, header: Box) -> tuple[int, float]:
    """Creation time since 1904 and duration in seconds, of `mvhd` or `mdhd`."""
    (version,) = _unpack(file, header, ">B")
    layout = ">4xQQIQ" if version == 1 else ">4xIIII"
    created, _, scale, duration = _unpack(file, header, layout)
    unknown = (1 << 64) - 1 if version == 1 else (1 << 32) - 1
    if scale == 0 or duration == unknown:
        return created, 0.0
    return created, duration / scale


def _read_location(file: BinaryIO, udta: Box) -> str | None:
    try:
        for box in walk_boxes(file, udta.content, udta.end):
            if box.kind == "\xa9xyz":
                text = _contents(file, box, 260)[4:]  # after a length and a language
                return text.decode("utf-8", errors="replace").rstrip("\x00") or None
    except DamagedFileError:  # QuickTime ends `udta` with four zero bytes, which are no box
        return None
    return None


def _chunks(file: BinaryIO, track: Track) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each chunk: a run of samples that lie together."""
    tables = list(walk_boxes(file, track._table.content, track._table.end))  # noqa: SLF001 - its own module
    size_box = _one(tables, "stsz")
    uniform, sample_count = _unpack(file, size_box, ">4xII")
    sizes = iter(()) if uniform else _entries(file, size_box, 8, ">I", sample_count)
    used = 0
    for (offset,), samples in zip(_chunk_offsets(file, tables), _runs(file, tables), strict=False):
        if used + samples > sample_count:
            raise DamagedFileError("mp4-bad-index", "its index has places for too many samples")
        used += samples
        if uniform:
            yield offset, samples * uniform
        else:
            yield offset, sum(size for (size,) in islice(sizes, samples))
    if used != sample_count:
        raise DamagedFileError("mp4-bad-index", "its index has samples without a place")


def _chunk_offsets(file: BinaryIO, tables: list[Box]) -> Iterator[tuple[int, ...]]:
    wide = [box for box in tables if box.kind == "co64"]
    box = wide[0] if wide else _one(tables, "stco")
    (count,) = _unpack(file, box, ">4xI")
    return _entries(file, box, 4, ">Q" if wide else ">I", count)


def _runs(file: BinaryIO, tables: list[Box]) -> Iterator[int]:
    """Yield how many samples each chunk has, for ever: the last entry holds for all further."""
    box = _one(tables, "stsc")
    (count,) = _unpack(file, box, ">4xI")
    entries = _entries(file, box, 4, ">III", count)
    first, samples, _ = next(entries, (1, 0, 0))
    for next_first, next_samples, _ in entries:
        yield from repeat(samples, max(0, next_first - first))
        first, samples = next_first, next_samples
    yield from repeat(samples)


def _entries(
    file: BinaryIO, box: Box, skip: int, layout: str, count: int
) -> Iterator[tuple[Any, ...]]:
    """Read a table of `count` entries that begins `skip` bytes after version and flags."""
    entry = struct.Struct(layout)
    start = box.content + 4 + skip
    if start + count * entry.size > box.end:
        raise DamagedFileError("mp4-bad-index", f"the table {box.kind!a} is longer than its box")
    return _read_entries(file, entry, start, count)


def _read_entries(
    file: BinaryIO, entry: struct.Struct, start: int, count: int
) -> Iterator[tuple[Any, ...]]:
    per_block = _BLOCK_BYTES // entry.size
    blocks = (
        entry.iter_unpack(
            _read_all(file, start + index * entry.size, min(per_block, count - index) * entry.size)
        )
        for index in range(0, count, per_block)
    )
    return chain.from_iterable(blocks)


def _one(boxes: Iterator[Box] | list[Box], kind: str) -> Box:
    for box in boxes:
        if box.kind == kind:
            return box
    raise DamagedFileError("mp4-bad-index", f"its index lacks the box {kind!a}")


def _unpack(file: BinaryIO, box: Box, layout: str) -> tuple[Any, ...]:
    content = _contents(file, box, struct.calcsize(layout))
    return struct.unpack(layout, content)


def _contents(file: BinaryIO, box: Box, size: int) -> bytes:
    """Up to `size` bytes of a box; exactly `size` where the box is long enough."""
    available = min(size, box.end - box.content)
    return _read_all(file, box.content, available).ljust(size, b"\x00")


def _read_all(file: BinaryIO, start: int, size: int) -> bytes:
    block = _read(file, start, size)
    if len(block) < size:
        raise DamagedFileError("mp4-cut", f"the file ends before byte {start + size}")
    return block


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)
