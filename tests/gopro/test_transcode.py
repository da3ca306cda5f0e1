"""Conversions by the real ffmpeg, and everything that can go wrong in a batch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from labkit.errors import InputError, ProgramMissingError, UsageError
from labkit.gopro.encoders import Encoder, EncoderChoice
from labkit.gopro.ffmpeg_run import run_ffmpeg as follow_ffmpeg
from labkit.gopro.mp4 import check_mp4, copy_user_data, read_movie, track_digest
from labkit.gopro.transcode import conversion_fault, plan_transcode, transcode
from labkit.progress import SILENT
from support.gopro_media import (
    LOCATION,
    camera_user_data,
    make_camera_clip,
    make_clip,
    make_jpeg,
    run_ffmpeg,
)


@pytest.fixture(scope="module")
def ffmpeg(need_tool):
    """The real program."""
    return need_tool("ffmpeg")


@pytest.fixture(scope="module", params=["yuv420p", "yuv420p10le", "yuvj420p"])
def any_clip(request, ffmpeg, tmp_path_factory):
    """A camera's HEVC clip in 8 bits, 10 bits and full range."""
    path = tmp_path_factory.mktemp("hevc") / "GX010001.MP4"
    return make_camera_clip(ffmpeg, path, pixels=request.param)


@pytest.fixture(scope="module")
def original(ffmpeg, tmp_path_factory):
    """A camera's HEVC clip."""
    return make_camera_clip(ffmpeg, tmp_path_factory.mktemp("hevc") / "GX010001.MP4")


@pytest.fixture
def clip(original, tmp_path):
    """A copy of it to work on."""
    return shutil.copy2(original, tmp_path / "GX010001.MP4")


def run(*paths, replace=False, **options):
    """Plan and carry out."""
    return transcode(plan_transcode(paths, replace=replace), **options)


def probe(need_tool, path):
    """What ffprobe says of a file: format tags, and the streams by their tag."""
    entries = "stream=codec_tag_string,codec_name,profile,pix_fmt,nb_frames,height:format_tags"
    command = [need_tool("ffprobe"), "-v", "error", "-show_entries", entries, "-of", "json", path]
    result = subprocess.run(command, capture_output=True, check=True, timeout=60)
    view = json.loads(result.stdout)
    return view["format"]["tags"], {each["codec_tag_string"]: each for each in view["streams"]}


def test_a_conversion_keeps_what_the_camera_wrote(need_tool, any_clip):
    """Seen by ffprobe, H.264 in 8 bits with the same frames, sound, telemetry, time and place."""
    any_clip.with_name("GX010001-h264.MP4").unlink(missing_ok=True)
    result = run(any_clip)
    (done,) = result.converted
    tags, streams = probe(need_tool, done.job.target)
    tags_before, streams_before = probe(need_tool, any_clip)
    assert done.job.target.name == "GX010001-h264.MP4"
    assert streams["avc1"]["pix_fmt"] in {"yuv420p", "yuvj420p"}
    assert "High 10" not in streams["avc1"]["profile"]
    assert streams["avc1"]["nb_frames"] == streams_before["hvc1"]["nb_frames"] == "30"
    assert streams["mp4a"]["nb_frames"] == streams_before["mp4a"]["nb_frames"]
    assert streams["gpmd"]["nb_frames"] == "3"
    for tag in ("creation_time", "location", "firmware"):
        assert tags[tag] == tags_before[tag]
    assert any_clip.exists()


def test_telemetry_and_hilights_are_the_same_bytes(clip):
    """The telemetry track and the whole `udta` box, byte for byte."""
    (done,) = run(clip).converted
    target = done.job.target
    before, after = read_movie(clip), read_movie(target)
    digests = [
        track_digest(path, movie.tracks[movie.telemetry_index])
        for path, movie in ((clip, before), (target, after))
    ]
    assert digests[0] == digests[1]
    assert camera_user_data() in target.read_bytes()
    assert after.location == LOCATION
    with target.open("rb") as file:
        check_mp4(file)


def test_the_time_of_the_file_is_kept(clip):
    """File managers sort by it."""
    os.utime(clip, (1_500_000_000, 1_500_000_000))
    (done,) = run(clip).converted
    assert done.job.target.stat().st_mtime == 1_500_000_000


def test_a_real_cameras_telemetry_survives(shared_fixtures, ffmpeg, tmp_path):
    """The tracks of a real clip, its picture encoded as HEVC, go through the conversion."""
    karma = shared_fixtures / "gopro" / "mp4" / "karma.mp4"
    clip = tmp_path / "GX010001.MP4"
    encode = ("-c", "copy", "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1")
    tracks = ("-map", "0:v", "-map", "0:a", "-map", "0:3", "-map_metadata", 0)
    run_ffmpeg(ffmpeg, "-i", karma, *tracks, *encode, "-x265-params", "log-level=error", clip)
    copy_user_data(karma, clip)
    (done,) = run(clip).converted
    target, source = read_movie(done.job.target), read_movie(karma)
    assert target.video.sample_count == 362
    assert target.created == source.created
    assert track_digest(done.job.target, target.tracks[target.telemetry_index]) == track_digest(
        karma, source.tracks[source.telemetry_index]
    )


def test_the_height_can_be_limited(need_tool, clip):
    """180 lines become 90; what is smaller stays."""
    (done,) = run(clip, max_height=91).converted
    assert probe(need_tool, done.job.target)[1]["avc1"]["height"] == 90
    done.job.target.unlink()
    (done,) = run(clip, max_height=1080).converted
    assert probe(need_tool, done.job.target)[1]["avc1"]["height"] == 180


def test_the_quality_can_be_chosen(clip):
    """A higher crf is a smaller file."""
    (good,) = run(clip, crf=10).converted
    good.job.target.unlink()
    (poor,) = run(clip, crf=40).converted
    assert poor.size_bytes < good.size_bytes / 2


@pytest.mark.parametrize(("crf", "max_height"), [(-1, None), (52, None), (20, 0), (20, 15)])
def test_a_senseless_setting_is_refused(clip, crf, max_height):
    """Before anything runs."""
    with pytest.raises(UsageError):
        run(clip, crf=crf, max_height=max_height)


def test_a_second_run_does_nothing(clip):
    """What is converted is skipped; the conversion itself has no line of its own."""
    run(clip)
    plan = plan_transcode([clip.parent])
    assert plan.jobs == ()
    assert {skip.path.name: skip.reason for skip in plan.skipped} == {
        "GX010001.MP4": "GX010001-h264.MP4 is there already",
    }
    named = plan_transcode([clip.with_name("GX010001-h264.MP4")])
    assert [skip.reason for skip in named.skipped] == ["it is H.264 already"]


def test_a_higher_conversion_than_wanted_is_told(clip):
    """It is not made again, and does not pass for what was asked for."""
    run(clip)
    height = read_movie(clip).video.height
    (skip,) = plan_transcode([clip], max_height=height // 2).skipped
    assert f"is there already, with {height} lines; move it away" in skip.reason
    (skip,) = plan_transcode([clip], max_height=height).skipped
    assert skip.reason == "GX010001-h264.MP4 is there already"


def test_progress_ends_at_the_end(clip, monkeypatch):
    """Also where ffmpeg's last word is the time of a packet far before it."""
    steps = []

    def tells_little(command, *, on_time, **settings):
        return follow_ffmpeg(command, on_time=lambda done: on_time(done / 1000), **settings)

    monkeypatch.setattr("labkit.gopro.transcode.run_ffmpeg", tells_little)

    class Listener(type(SILENT)):
        def task(self, name, *, total=None, unit="bytes"):
            task = SILENT.task(name, total=total, unit=unit)
            task.reach = lambda done, _=None: steps.append(done / total)
            return task

    run(clip, progress=Listener())
    assert 0 < max(steps[:-1]) < 1
    assert steps[-1] == 1


def test_a_foreign_file_of_that_name_is_not_overwritten(clip, ffmpeg):
    """Another clip, or a broken one, in the place of the target is left alone."""
    target = clip.with_name("GX010001-h264.MP4")
    for content in (b"my holiday", make_clip(ffmpeg, clip.with_name("o.mp4"), codec="libx264",
                                             seconds=0.3).read_bytes()):  # fmt: skip
        target.write_bytes(content)
        result = run(clip)
        assert result.converted == ()
        assert result.failed[0].error.code == "target-exists"
        assert target.read_bytes() == content


def test_replace_puts_it_in_the_originals_place(clip):
    """The same name, H.264 inside; a second run finds nothing to do."""
    (done,) = run(clip, replace=True).converted
    assert done.job.replaces
    assert read_movie(clip).video.codec == "avc1"
    assert [path.name for path in clip.parent.iterdir()] == ["GX010001.MP4"]
    assert plan_transcode([clip], replace=True).jobs == ()


def test_a_folder_is_searched_and_each_file_taken_once(clip, ffmpeg, tmp_path):
    """Videos below a folder, whatever else lies there; a file named twice is one."""
    inside = tmp_path / "2024" / "100GOPRO"
    inside.mkdir(parents=True)
    shutil.copy(clip, inside / "GX010002.MP4")
    make_jpeg(ffmpeg, inside / "GOPR0003.JPG")
    (inside / "GX010004.MP4.part").write_bytes(b"half")
    plan = plan_transcode([tmp_path, clip])
    assert [job.source.name for job in plan.jobs] == ["GX010002.MP4", "GX010001.MP4"]


def test_a_path_that_is_not_there_is_an_input_error(tmp_path):
    """Said before anything is converted."""
    with pytest.raises(InputError, match="no file or folder"):
        plan_transcode([tmp_path / "nothing.MP4"])


def test_a_recording_of_two_lenses_is_skipped(clip, ffmpeg):
    """H.264 would keep one of the two pictures of a `.360`."""
    both = clip.with_name("GS010001.360")
    run_ffmpeg(ffmpeg, "-i", clip, "-map", "0:v", "-map", "0:v", "-c", "copy", "-f", "mp4", both)
    (skip,) = plan_transcode([both]).skipped
    assert "360 degree" in skip.reason


def test_a_batch_goes_on_after_a_bad_file(clip):
    """A cut clip is reported, the next one is converted."""
    cut = clip.with_name("GX010000.MP4")
    cut.write_bytes(clip.read_bytes()[:-10])
    result = run(clip.parent)
    assert [done.job.source for done in result.converted] == [clip]
    assert [(bad.path, bad.error.code) for bad in result.failed] == [(cut, "mp4-cut")]


def test_a_clip_with_damaged_pictures_is_not_taken_for_whole(clip):
    """Its boxes are in order, but frames are lost: the conversion is thrown away."""
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 200 : start + 20_000] = b"\x55" * 19_800
    clip.write_bytes(data)
    result = run(clip)
    assert result.converted == ()
    assert [path.name for path in clip.parent.iterdir()] == ["GX010001.MP4"]


def wrap_ffmpeg(ffmpeg, folder, monkeypatch, script):
    """Put a program named ffmpeg in front of the real one; probes go to the real one."""
    folder.mkdir(exist_ok=True)
    program = folder / "ffmpeg"
    head = f'#!/bin/sh\nreal={ffmpeg}\ncase "$*" in *testsrc2*|-version) exec "$real" "$@";; esac\n'
    program.write_text(f"{head}{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


_WRITE_JUNK = 'for last; do :; done; echo junk > "${last#file:}"'
# What the decoder says of damage that it paints over: the number of frames stays right.
_COMPLAIN = 'echo "[hevc] cu_qp_delta 40 is outside the valid range" >&2; exec "$real" "$@"'
_LOSE_FRAMES = """
for a; do shift; [ "$a" = -progress ] && set -- "$@" -frames:v 5; set -- "$@" "$a"; done
exec "$real" "$@"
"""


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("kill -9 $$", "ffmpeg-killed"),
        ("exit 0", "bad-conversion"),
        (_WRITE_JUNK, "bad-conversion"),
        (f"{_WRITE_JUNK}; exit 1", "ffmpeg-failed"),
        (_LOSE_FRAMES, "frames-differ"),
        (_COMPLAIN, "frames-differ"),
    ],
    ids=["killed", "nothing", "junk", "failed", "lost", "complained"],
)
def test_whatever_ffmpeg_does_nothing_wrong_stays(
    tmp_path, clip, ffmpeg, monkeypatch, script, code
):
    """No target and no part remain, and the original is untouched."""
    before = clip.read_bytes()
    wrap_ffmpeg(ffmpeg, tmp_path / "bin", monkeypatch, script)
    result = run(clip, replace=True)
    assert [bad.error.code for bad in result.failed] == [code]
    assert clip.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["GX010001.MP4", "bin"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("-frames:v", "20"), "frames-differ"),
        (("-itsscale", "1.2"), "duration-differs"),
        (("-map", "0:v", "-map", "0:a"), "telemetry-differs"),
        (("-map", "0:v", "-map", "0:a", "-map", "0:3", "-metadata", "creation_time=2001-01-01"),
         "metadata-differs"),
        (("-an",), None),
    ],
)  # fmt: skip
def test_each_loss_is_noticed(clip, ffmpeg, options, code):
    """Frames, length, telemetry and time are compared with the original."""
    out = clip.with_name("out.mp4")
    first = options if options[0] == "-itsscale" else ()
    rest = () if first else options
    if code in {"frames-differ", "duration-differs", None}:
        rest = ("-map", "0:v", "-map", "0:a", "-map", "0:3", *rest)
    encode = ("-c", "copy", "-c:v", "libx264", "-preset", "ultrafast", "-fps_mode", "passthrough")
    run_ffmpeg(ffmpeg, *first, "-i", clip, "-map_metadata", 0, *encode, *rest, out)
    copy_user_data(clip, out)
    problem = conversion_fault(clip, read_movie(clip), out)
    assert (problem.code if problem else None) == code


def test_a_file_that_changes_meanwhile_is_not_replaced(tmp_path, clip, ffmpeg, monkeypatch):
    """It may be one that is still being copied."""
    wrap_ffmpeg(ffmpeg, tmp_path / "bin", monkeypatch, f'echo x >> {clip}; exec "$real" "$@"')
    result = run(clip, replace=True)
    assert result.failed[0].error.code == "source-changed"
    assert read_movie_codec_of(clip.read_bytes()) == "hvc1"


def read_movie_codec_of(data):
    """The codec, found without the reader: the file has a tail that it would refuse."""
    return "hvc1" if b"hvc1" in data else "avc1"


@pytest.mark.skipif(os.name == "nt", reason="file locks are inherited on POSIX only")
def test_a_killed_labkit_leaves_its_ffmpeg_alone(tmp_path, clip, ffmpeg, monkeypatch):
    """While the ffmpeg of a killed run lives on, the file is busy; then it is converted."""
    release = tmp_path / "release"
    script = f'while [ ! -e {release} ]; do sleep 0.05; done; exec "$real" "$@"'
    wrap_ffmpeg(ffmpeg, tmp_path / "bin", monkeypatch, script)
    code = (
        "import pathlib; from labkit.gopro.transcode import *;"
        f"transcode(plan_transcode([pathlib.Path({str(clip)!r})]))"
    )
    first = subprocess.Popen([sys.executable, "-c", code])
    part = clip.with_name("GX010001-h264.MP4.part")
    deadline = time.monotonic() + 30
    while not has_child(first.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    first.kill()
    first.wait()
    assert [bad.error.code for bad in run(clip).failed] == ["conversion-running"]
    assert part.exists()
    release.touch()
    while not (result := run(clip)).converted and time.monotonic() < deadline:
        assert [bad.error.code for bad in result.failed] == ["conversion-running"]
        time.sleep(0.1)
    assert read_movie(clip.with_name("GX010001-h264.MP4")).video.sample_count == 30


def has_child(pid):
    """Whether a process runs the waiting wrapper of ffmpeg."""
    command = ["pgrep", "-P", str(pid), "-f", "progress"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_auto_falls_back_to_software_for_a_file(tmp_path, clip, ffmpeg, monkeypatch):
    """A graphics card that refuses one file (too wide for it) does not fail the file."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in *testsrc2*nvenc*) exit 0;; *h264_nvenc*) echo too wide >&2; exit 1;; esac\n'
        f'exec {ffmpeg} "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (done,) = run(clip, encoder=EncoderChoice.AUTO).converted
    assert done.encoder is Encoder.X264


def test_a_missing_ffmpeg_matters_only_where_there_is_work(clip, tmp_path, monkeypatch):
    """H.264 alone needs no ffmpeg; HEVC says how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("labkit.programs._SYSTEM_FOLDERS", ())
    with pytest.raises(ProgramMissingError):
        run(clip)
    assert transcode(plan_transcode([])).converted == ()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_the_batch_and_loses_nothing(small_disk, clip, ffmpeg):
    """The originals stay, no part stays, and what was not tried is said."""
    big = small_disk / "GX010001.MP4"
    make_camera_clip(ffmpeg, clip.with_name("big.MP4"), seconds=2, size="640x360")
    shutil.copy(clip.with_name("big.MP4"), big)
    shutil.copy(clip, small_disk / "GX010002.MP4")
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096 - 20_000))
    result = run(small_disk, crf=1)
    assert result.converted == ()
    assert [bad.error.code for bad in result.failed] == ["disk-full", "disk-full"]
    assert "not tried" in result.failed[1].error.message
    assert sorted(path.name for path in small_disk.iterdir()) == [
        "GX010001.MP4",
        "GX010002.MP4",
        "filler",
    ]
