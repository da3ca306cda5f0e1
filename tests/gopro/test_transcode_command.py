"""`labkit gopro transcode` as a user runs it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from labkit.cli import app
from labkit.errors import ExitCode
from labkit.gopro.mp4 import read_movie
from support.gopro_media import make_camera_clip, make_clip


@pytest.fixture
def run(capsys):
    """A function that runs the command in this process."""

    def call(*arguments):
        code = app.main(["gopro", "transcode", *map(str, arguments)])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


@pytest.fixture
def clip(need_tool, tmp_path):
    """A camera's HEVC clip."""
    return make_camera_clip(need_tool("ffmpeg"), tmp_path / "GX010001.MP4", seconds=0.5)


def test_converts_and_says_so(run, clip):
    """A row for the clip, a line for the totals, exit 0; again: nothing to do."""
    first = run(clip)
    assert first.code == ExitCode.OK
    assert "GX010001-h264.MP4\tx264" in first.out
    assert first.out.endswith("1 clip converted, 0 skipped\n")
    again = run(clip)
    assert again.code == ExitCode.OK
    assert again.out == (
        "skipped GX010001.MP4: GX010001-h264.MP4 is there already\n0 clips converted, 1 skipped\n"
    )


def test_the_document_has_the_three_lists(run, clip, need_tool):
    """Converted, skipped and failed; a bad file makes it exit 5."""
    make_clip(need_tool("ffmpeg"), clip.with_name("GH010002.MP4"), codec="libx264", seconds=0.3)
    clip.with_name("GX010003.MP4").write_bytes(clip.read_bytes()[:5000])
    result = run(clip.parent, "--json")
    document = json.loads(result.out)
    assert result.code == ExitCode.PARTIAL
    assert document["ok"] is False
    data = document["data"]
    assert [done["output"] for done in data["converted"]] == [
        str(clip.with_name("GX010001-h264.MP4"))
    ]
    assert [skip["reason"] for skip in data["skipped"]] == ["it is H.264 already"]
    assert [bad["code"] for bad in data["failed"]] == ["mp4-cut"]
    assert "GX010003.MP4" in document["errors"][0]["message"]


def test_a_dry_run_changes_nothing(run, clip):
    """The plan is shown, no file appears."""
    result = run(clip, "--dry-run", "--json")
    plan = json.loads(result.out)["data"]["plan"]
    assert [job["replaces"] for job in plan] == [False]
    assert [path.name for path in clip.parent.iterdir()] == ["GX010001.MP4"]


def test_replace_needs_a_yes(run, clip):
    """Without a terminal it is refused with exit 2 and the flag's name; with it, done."""
    before = clip.read_bytes()
    refused = run(clip, "--replace")
    assert refused.code == ExitCode.USAGE
    assert "--yes" in refused.err
    assert clip.read_bytes() == before
    assert run(clip, "--replace", "--yes").code == ExitCode.OK
    assert read_movie(clip).video.codec == "avc1"


def test_a_missing_ffmpeg_is_unmet(run, clip, monkeypatch, tmp_path):
    """Exit 4 with the way to install it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("labkit.programs._SYSTEM_FOLDERS", ())
    result = run(clip)
    assert result.code == ExitCode.UNMET
    assert "hint: install" in result.err


@pytest.mark.parametrize(
    "arguments",
    [("--crf", "52"), ("--max-height", "2"), ("--encoder", "h265"), ("/no/such/file.MP4",)],
)
def test_a_bad_argument_is_a_usage_error(run, clip, arguments):
    """Exit 2 before anything is converted."""
    assert run(clip, *arguments).code == ExitCode.USAGE
    assert not clip.with_name("GX010001-h264.MP4").exists()
