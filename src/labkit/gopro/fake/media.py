"""Made-up media: small files with the structure of a camera's, and noise for pictures.

An MP4 is laid out as cameras do it (ISO/IEC 14496-12): `ftyp`, `mdat`, and `moov` last, so that
a truncated one is as unplayable as a real one.
"""

from __future__ import annotations

import random
import struct

__all__ = ["make_gpr", "make_jpeg", "make_mp4", "make_wav"]

_MP4_EPOCH_OFFSET = 2_082_844_800  # seconds from 1904 to 1970
_TIMESCALE = 90_000
_PIECE_BYTES = 1024 * 1024
_IDENTITY_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _noise(length: int, seed: int) -> bytes:
    source = random.Random(seed)  # noqa: S311 - pictures, not secrets
    pieces = [_PIECE_BYTES] * (length // _PIECE_BYTES)
    return b"".join(source.randbytes(size) for size in (*pieces, max(0, length) % _PIECE_BYTES))


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full_box(kind: bytes, *parts: bytes) -> bytes:
    return _box(kind, bytes(4), *parts)


def make_mp4(
    size: int, *, seed: int = 0, created: int = 1_700_000_000, codec: bytes = b"avc1"
) -> bytes:
    """Make a video of about `size` bytes with one sample; never shorter than its headers.

    Args:
        size: Bytes wanted.
        seed: What makes its noise differ from other files'.
        created: Its time, as the camera's list would give it.
        codec: The type of its sample entry: `avc1` H.264, `hvc1` HEVC.
    """
    ftyp = _box(b"ftyp", b"mp41", struct.pack(">I", 0x20131018), b"mp41")
    offset = len(ftyp) + 8
    moov_size = len(_moov(offset, 1, created, codec))
    sample = max(1, size - offset - moov_size)
    mdat = _box(b"mdat", _noise(sample, seed))
    return ftyp + mdat + _moov(offset, sample, created, codec)


def _moov(offset: int, sample: int, created: int, codec: bytes) -> bytes:
    stamp = created + _MP4_EPOCH_OFFSET
    times = struct.pack(">II", stamp, stamp)
    duration = _TIMESCALE  # one second
    mvhd = _full_box(
        b"mvhd",
        times,
        struct.pack(">II", _TIMESCALE, duration),
        struct.pack(">IHH8x", 0x10000, 0x100, 0),
        _IDENTITY_MATRIX,
        bytes(24),
        struct.pack(">I", 2),
    )
    tkhd = _full_box(
        b"tkhd",
        times,
        struct.pack(">IIII8x", 1, 0, duration, 0),
        struct.pack(">8x"),
        _IDENTITY_MATRIX,
        struct.pack(">II", 1920 << 16, 1080 << 16),
    )
    mdhd = _full_box(b"mdhd", times, struct.pack(">IIHH", _TIMESCALE, duration, 0x55C4, 0))
    hdlr = _full_box(b"hdlr", bytes(4), b"vide", bytes(12), b"\x09GoPro AVC\x00")
    entry = _box(codec, bytes(6), struct.pack(">H", 1), bytes(70))
    stbl = _box(
        b"stbl",
        _full_box(b"stsd", struct.pack(">I", 1), entry),
        _full_box(b"stts", struct.pack(">III", 1, 1, duration)),
        _full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        _full_box(b"stsz", struct.pack(">III", 0, 1, sample)),
        _full_box(b"stco", struct.pack(">II", 1, offset)),
    )
    minf = _box(b"minf", _full_box(b"vmhd", bytes(8)), stbl)
    return _box(b"moov", mvhd, _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf)))


def make_jpeg(size: int, *, seed: int = 0) -> bytes:
    """Make a photo of `size` bytes: header, one scan of noise, end marker."""
    head = b"\xff\xd8" + b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0\1\1\0\0\1\0\1\0\0"
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\1\1\0\0\x3f\0"
    length = size - len(head) - len(scan) - 2
    # 0xFF begins a marker; in a scan the byte after it would have to be stuffed.
    return head + scan + _noise(length, seed).replace(b"\xff", b"\xfe") + b"\xff\xd9"


def make_gpr(size: int, *, seed: int = 0) -> bytes:
    """Make a RAW photo of `size` bytes: a TIFF header, one directory, one strip of noise."""
    entries = 5
    data_offset = 8 + 2 + 12 * entries + 4
    length = max(1, size - data_offset)
    tags = ((256, 1), (257, 1), (258, 8), (273, data_offset), (279, length))
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", entries) + directory + bytes(4)
    return head + _noise(length, seed)


def make_wav(size: int, *, seed: int = 0) -> bytes:
    """Make a sound file of `size` bytes: RIFF, one format and one data chunk."""
    length = max(2, size - 44) // 2 * 2
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 48_000, 96_000, 2, 16)
    data = b"data" + struct.pack("<I", length) + _noise(length, seed)
    return b"RIFF" + struct.pack("<I", 4 + len(fmt) + len(data)) + b"WAVE" + fmt + data
