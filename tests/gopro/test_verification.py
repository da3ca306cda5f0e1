"""Photos, sound and the check of a file of any kind."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.gopro.damage import DamagedFileError
from labkit.gopro.stills import check_jpeg, check_tiff, check_wav
from labkit.gopro.verification import check_file
from support.gopro_media import make_jpeg, make_tiff, run_ffmpeg


def fault_of(check, data):
    """The code of what a check finds; None when it finds nothing."""
    try:
        check(io.BytesIO(data))
    except DamagedFileError as error:
        return error.code
    return None


@pytest.fixture(scope="module")
def photo(need_tool, tmp_path_factory):
    """A JPEG made by ffmpeg."""
    return make_jpeg(need_tool("ffmpeg"), tmp_path_factory.mktemp("jpeg") / "GOPR0001.JPG")


def with_thumbnail(data):
    """Put a whole small JPEG into an EXIF segment of `data`."""
    exif = b"Exif\x00\x00" + b"\xff\xd8\xff\xda\x00\x02xx\xff\xd9"
    return data[:2] + struct.pack(">HH", 0xFFE1, 2 + len(exif)) + exif + data[2:]


def test_a_whole_jpeg_passes_with_bytes_behind_it(photo):
    """Cameras append previews after the end marker."""
    data = photo.read_bytes()
    assert fault_of(check_jpeg, data) is None
    assert fault_of(check_jpeg, data + b"preview") is None


def test_every_truncation_of_a_jpeg_is_found(photo):
    """Also where the thumbnail's end marker is still there."""
    data = with_thumbnail(photo.read_bytes())
    assert fault_of(check_jpeg, data) is None
    for length in range(0, len(data), 13):
        assert fault_of(check_jpeg, data[:length]) in {"jpeg-cut", "jpeg-no-start"}
    assert fault_of(check_jpeg, data[:-1]) == "jpeg-cut"


def test_an_end_marker_across_two_blocks_is_found():
    """The scan is searched in blocks of 1 MiB; a marker on the seam counts."""
    start = b"\xff\xd8\xff\xda\x00\x02"
    for extra in range(-3, 2):
        scan = b"\x11" * ((1 << 20) + extra)
        assert fault_of(check_jpeg, start + scan + b"\xff\xd9") is None


def test_restarts_and_stuffed_bytes_do_not_end_a_scan():
    """0xFF00 is data, 0xFFD0 to D7 are restarts; tables between two scans are passed."""
    data = (
        b"\xff\xd8\xff\xda\x00\x02\xff\x00\xff\xd3\x12\xff\xff\xc4\x00\x04\xff\xd9"
        b"\xff\xda\x00\x02\x34"
    )
    assert fault_of(check_jpeg, data) == "jpeg-cut"
    assert fault_of(check_jpeg, data + b"\xff\xd9") is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_truncation_of_a_raw_photo_is_found(order):
    """Both byte orders; a strip that reaches past the end, a cut directory."""
    data = make_tiff(order=order)
    assert fault_of(check_tiff, data) is None
    for length in range(0, len(data), 7):
        assert fault_of(check_tiff, data[:length]) in {"raw-cut", "raw-no-start"}
    assert fault_of(check_tiff, data[:-1]) == "raw-cut"


def test_a_tiff_of_the_real_encoder_passes(need_tool, tmp_path):
    """Many strips, written by ffmpeg."""
    out = tmp_path / "x.tiff"
    source = ("-f", "lavfi", "-i", "testsrc2=duration=0.1", "-frames:v", 1)
    run_ffmpeg(need_tool("ffmpeg"), *source, out)
    assert fault_of(check_tiff, out.read_bytes()) is None
    assert fault_of(check_tiff, out.read_bytes()[:-200]) is not None


def test_a_raw_photo_without_a_picture_is_damaged():
    """Directories alone are no photo; a circle of them ends."""
    circle = b"II*\x00" + struct.pack("<I", 8) + struct.pack("<HI", 0, 8)
    assert fault_of(check_tiff, circle) == "raw-no-picture"


def test_a_sound_file_is_as_long_as_it_says(tmp_path):
    """A recording that was cut short, or never closed, is found."""
    path = tmp_path / "GX010001.WAV"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(48_000)
        sound.writeframes(bytes(1000))
    data = path.read_bytes()
    assert fault_of(check_wav, data) is None
    assert fault_of(check_wav, data[:-1]) == "wav-cut"
    assert fault_of(check_wav, data[:4] + bytes(4) + data[8:]) == "wav-cut"
    assert fault_of(check_wav, b"RIFF") == "wav-no-start"


@settings(max_examples=200)
@given(
    st.sampled_from([check_jpeg, check_tiff, check_wav]),
    st.sampled_from([b"", b"\xff\xd8", b"II*\x00\x08\x00\x00\x00", b"MM\x00*", b"RIFF"]),
    st.binary(max_size=200),
)
def test_arbitrary_bytes_never_crash_a_check(check, start, data):
    """The answer is whole or damaged, nothing else."""
    assert fault_of(check, start + data) != ""


@settings(max_examples=300)
@given(st.integers(0, 330), st.binary(min_size=1, max_size=8))
def test_a_damaged_raw_index_never_crashes_the_check(position, patch):
    """Directories full of nonsense are damaged or harmless."""
    data = make_tiff()
    patched = data[:position] + patch + data[position + len(patch) :]
    assert fault_of(check_tiff, patched) != ""


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("GX010001.MP4", b"<html>", "mp4-cut"),
        ("GS010001.360", b"\x00" * 16, "mp4-no-start"),
        ("GL010001.LRV", b"x" * 100, "mp4-cut"),
        ("GOPR0001.JPG", b"<html>busy</html>", "jpeg-no-start"),
        ("GX010001.THM", b"\xff\xd8\xff", "jpeg-cut"),
        ("GOPR0001.GPR", b"II*\x00", "raw-no-start"),
        ("GX010001.WAV", b"RIFF\x00\x00\x00\x00WAVE", "wav-cut"),
        ("GS010001.36P", b"\xff\xd8\xff", "jpeg-cut"),
        ("GS010001.36P", b"\x00\x00\x00\x08ftyp", "mp4-no-moov"),
        ("NEW.XYZ", b"RIFF\x00\x00\x00\x00WAVE", "wav-cut"),
        ("NEW.XYZ", b"never seen before", None),
        ("GX010001.MP4", b"", "empty-file"),
    ],
)
def test_each_kind_of_file_has_its_check(tmp_path, name, data, code):
    """By the extension; unknown ones by what they begin with, else by size alone."""
    path = tmp_path / name
    path.write_bytes(data)
    problem = check_file(path)
    assert (problem.code if problem else None) == code


def test_the_size_of_the_list_counts_first(tmp_path):
    """A file of another size is named as such, with both sizes."""
    path = tmp_path / "NEW.XYZ"
    path.write_bytes(b"12345")
    assert check_file(path, expected_size=5) is None
    problem = check_file(path, expected_size=6)
    assert problem.code == "wrong-size"
    assert "5 bytes instead of 6" in problem.reason


def test_a_partial_file_is_checked_as_what_it_will_be(tmp_path):
    """The name on the camera decides, not the `.part` at the end."""
    path = tmp_path / "GOPR0001.JPG.part"
    path.write_bytes(b"no photo")
    assert check_file(path, name="GOPR0001.JPG").code == "jpeg-no-start"


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path):
    """A missing file or a folder in its place does not end the run."""
    assert check_file(tmp_path / "GX010001.MP4").code == "unreadable"
    (tmp_path / "GX010002.MP4").mkdir()
    assert check_file(tmp_path / "GX010002.MP4").code == "unreadable"
