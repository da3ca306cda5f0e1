"""MP4 boxes: real camera files, real ffmpeg files, cut files and hostile bytes."""

from __future__ import annotations

import contextlib
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.gopro.clock import wall_clock_of_mp4
from labkit.gopro.damage import DamagedFileError
from labkit.gopro.mp4 import (
    HEVC_CODECS,
    check_mp4,
    copy_user_data,
    read_movie,
    track_digest,
    walk_boxes,
)
from support.gopro_media import CREATED, LOCATION, box, full_box, make_camera_clip, run_ffmpeg


@pytest.fixture(scope="module")
def karma(shared_fixtures):
    """A real camera file."""
    return shared_fixtures / "gopro" / "mp4" / "karma.mp4"


@pytest.fixture(scope="module")
def clip(need_tool, tmp_path_factory):
    """A HEVC clip with the tracks of a camera."""
    return make_camera_clip(need_tool("ffmpeg"), tmp_path_factory.mktemp("mp4") / "GX010001.MP4")


def fault_of(data):
    """The code of what is wrong with these bytes; None when nothing is."""
    try:
        check_mp4(io.BytesIO(data))
    except DamagedFileError as error:
        return error.code
    return None


def test_a_real_camera_file_is_whole_and_read(karma):
    """Five tracks as ffprobe shows them: H.264, sound, time code, telemetry, fdsc."""
    with karma.open("rb") as file:
        movie = check_mp4(file)
    assert [track.codec for track in movie.tracks] == ["avc1", "mp4a", "tmcd", "gpmd", "fdsc"]
    assert [track.sample_count for track in movie.tracks] == [362, 566, 1, 13, 943]
    assert movie.duration_s == pytest.approx(12.0787, abs=1e-4)
    assert (movie.video.width, movie.video.height) == (854, 480)
    assert movie.telemetry_index == 3
    assert wall_clock_of_mp4(movie.created).isoformat() == "2017-04-17T19:27:57"


def test_every_truncation_of_a_real_file_fails(karma):
    """Cut anywhere in its index, at its edges, or at many places of its data: never whole."""
    data = karma.read_bytes()
    with karma.open("rb") as file:
        edges = [found.start for found in walk_boxes(file, 0, len(data))]
    index = edges[-1]
    lengths = {*range(64), *range(20, index, 99_991), *range(index, len(data), 7)}
    lengths |= {edge + step for edge in edges for step in (-1, 0, 1, 7, 8, 9)}
    lengths |= {len(data) - step for step in range(1, 64)}
    whole = memoryview(data)
    for length in sorted(lengths):
        if 0 <= length < len(data):
            assert fault_of(whole[:length]) is not None, length


def test_bytes_after_the_last_box_are_found(karma):
    """A file that is too long is as wrong as one that is too short."""
    assert fault_of(karma.read_bytes() + b"GET / HTTP/1.1") == "mp4-cut"


def test_a_clip_of_the_real_encoder_is_read(clip):
    """HEVC, frames, creation time, place and telemetry of a file made by ffmpeg."""
    movie = read_movie(clip)
    assert movie.video.codec in HEVC_CODECS
    assert movie.video.sample_count == 30
    assert wall_clock_of_mp4(movie.created).isoformat() == CREATED.partition(".")[0]
    assert movie.location == LOCATION
    assert movie.tracks[movie.telemetry_index].sample_count == 3


@pytest.mark.parametrize(
    "options",
    [
        ("-movflags", "+faststart"),
        ("-movflags", "+frag_keyframe+empty_moov"),
        ("-f", "mov"),
        ("-an",),
        ("-c:a", "pcm_s16le", "-f", "mov"),
    ],
    ids=" ".join,
)
def test_every_layout_that_ffmpeg_writes_passes(need_tool, clip, tmp_path, options):
    """Index first, fragments, QuickTime, no sound, samples of one size: all whole."""
    out = tmp_path / "out.mp4"
    run_ffmpeg(need_tool("ffmpeg"), "-i", clip, "-c", "copy", *options, out)
    assert fault_of(out.read_bytes()) is None
    assert fault_of(out.read_bytes()[:-1]) is not None


def test_the_same_telemetry_has_the_same_digest(need_tool, clip, tmp_path):
    """A copied track hashes as its source, wherever its bytes lie; another does not."""
    movie = read_movie(clip)
    out = tmp_path / "out.mp4"
    index = movie.telemetry_index
    tracks = ("-map", "0:v", "-map", f"0:{index}")
    run_ffmpeg(need_tool("ffmpeg"), "-i", clip, *tracks, "-c", "copy", out)
    copied = read_movie(out)
    telemetry = copied.tracks[copied.telemetry_index]
    assert track_digest(out, telemetry) == track_digest(clip, movie.tracks[index])
    assert track_digest(out, telemetry) != track_digest(out, copied.video)


def movie_bytes(*, duration=1000, offset=None, size=10, samples=1, tables=None, extra=b""):
    """The smallest whole movie: one video track of one sample."""
    start = box(b"ftyp", b"mp41")
    data = box(b"mdat", bytes(10))
    place = len(start) + 8 if offset is None else offset
    table = tables or (
        full_box(b"stsd", struct.pack(">I", 1), box(b"hvc1", bytes(70))),
        full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        full_box(b"stsz", struct.pack(f">II{samples}I", 0, samples, *[size] * samples)),
        full_box(b"co64", struct.pack(">IQ", 1, place)),
    )
    track = box(
        b"trak",
        full_box(b"tkhd", bytes(80)),
        box(
            b"mdia",
            full_box(b"mdhd", struct.pack(">IIII", 0, 0, 1000, duration)),
            full_box(b"hdlr", bytes(4), b"vide", bytes(12)),
            box(b"minf", box(b"stbl", *table)),
        ),
    )
    header = full_box(b"mvhd", struct.pack(">IIII", 0, 0, 1000, duration))
    return start + data + box(b"moov", header, extra, track)


def test_a_missing_creation_time_is_none():
    """Zero is no time."""
    assert check_mp4(io.BytesIO(movie_bytes())).created is None


def test_a_size_of_64_bits_and_one_to_the_end_are_read():
    """Chapters beyond 4 GB have the first; the last box may have the second."""
    small = movie_bytes()
    wide = box(b"ftyp", b"mp41") + struct.pack(">I4sQ", 1, b"mdat", 26) + bytes(10)
    assert fault_of(wide + movie_bytes(offset=28)[30:]) is None
    moov = small.index(b"moov") - 4
    assert fault_of(small[:moov] + bytes(4) + small[moov + 4 :]) is None


def test_a_sparse_file_of_12_gigabytes_is_walked(tmp_path):
    """Offsets beyond 32 bits are followed without reading what lies between."""
    path = tmp_path / "GX010001.MP4"
    size = 12_000_000_000
    head = box(b"ftyp", b"mp41") + struct.pack(">I4sQ", 1, b"mdat", size)
    moov = movie_bytes(offset=size - 100)[30:]
    with path.open("wb") as file:
        file.write(head)
        file.seek(12 + size)
        file.write(moov)
    with path.open("rb") as file:
        assert check_mp4(file).video.codec == "hvc1"


def test_user_data_are_replaced_wherever_they_lie(tmp_path):
    """The `udta` of one file goes into another, whose tracks stay."""
    source, target = tmp_path / "source.MP4", tmp_path / "target.MP4"
    source.write_bytes(movie_bytes(extra=box(b"udta", box(b"FIRM", b"HD9"))))
    target.write_bytes(movie_bytes(extra=box(b"udta", box(b"meta", bytes(30)))))
    copy_user_data(source, target)
    assert b"HD9" in target.read_bytes()
    assert b"meta" not in target.read_bytes()
    assert fault_of(target.read_bytes()) is None
    target.write_bytes(target.read_bytes() + box(b"free", b"x"))
    with pytest.raises(DamagedFileError, match="not at its end"):
        copy_user_data(source, target)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-file"),
        (b"<html>busy</html>", "mp4-cut"),
        (box(b"mdat", b"x"), "mp4-no-start"),
        (box(b"ftyp") + box(b"mdat"), "mp4-no-moov"),
        (movie_bytes() + box(b"moov"), "mp4-no-moov"),
        (movie_bytes(duration=0), "mp4-empty"),
        (movie_bytes(offset=4), "mp4-bad-index"),
        (movie_bytes(size=11), "mp4-bad-index"),
        (movie_bytes(samples=2, size=5), "mp4-bad-index"),
        (movie_bytes(samples=0), "mp4-bad-index"),
        (movie_bytes(tables=(full_box(b"stsd"),)), "mp4-bad-index"),
        (box(b"ftyp") + struct.pack(">I4s", 7, b"mdat") + bytes(8), "mp4-bad-box"),
        (box(b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 15), "mp4-bad-box"),
        (box(b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1), "mp4-cut"),
    ],
)
def test_each_damage_has_its_code(data, code):
    """What is wrong is told apart."""
    assert fault_of(data) == code


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_damaged_never_a_crash(data):
    """Whatever the bytes, the answer is a DamagedFileError."""
    assert fault_of(data) is not None
    assert fault_of(box(b"ftyp") + box(b"mdat", b"x") + box(b"moov", data)) is not None


_SOUND = movie_bytes()


@settings(max_examples=500)
@given(st.integers(0, len(_SOUND) - 1), st.binary(min_size=1, max_size=12))
def test_overwritten_bytes_never_crash_the_reader(position, patch):
    """A damaged index is either still whole or named as damaged."""
    data = _SOUND[:position] + patch + _SOUND[position + len(patch) :]
    with contextlib.suppress(DamagedFileError):
        assert check_mp4(io.BytesIO(data)).video is None or data
