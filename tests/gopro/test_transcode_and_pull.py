"""A pulled clip that was replaced by its conversion, and the next pull."""

from __future__ import annotations

import pytest

from labkit.gopro.camera import Camera
from labkit.gopro.fake import FakeCamera, read_card
from labkit.gopro.mp4 import read_movie
from labkit.gopro.pull import pull
from labkit.gopro.transcode import plan_transcode, transcode
from support.gopro_media import make_camera_clip


@pytest.fixture
def camera(need_tool, tmp_path):
    """A camera with one HEVC clip."""
    folder = tmp_path / "DCIM" / "100GOPRO"
    folder.mkdir(parents=True)
    make_camera_clip(need_tool("ffmpeg"), folder / "GX010001.MP4", seconds=0.5)
    with FakeCamera(read_card(tmp_path / "DCIM")) as fake:
        yield Camera.find(fake.address)


def test_a_replaced_clip_is_not_fetched_again(camera, tmp_path):
    """The journal learns the new size: nothing new, and the H.264 version stays."""
    destination = tmp_path / "gopro"
    assert len(pull(camera, destination).downloaded) == 1
    (done,) = transcode(plan_transcode([destination], replace=True)).converted
    again = pull(Camera.find(camera.address), destination)
    assert again.downloaded == ()
    assert len(again.skipped) == 1
    assert read_movie(done.job.target).video.codec == "avc1"
    assert [path.name for path in destination.rglob("*.MP4")] == ["GX010001.MP4"]


def test_a_conversion_beside_its_original_does_not_disturb_a_pull(camera, tmp_path):
    """The camera has no file of that name; the original is still known."""
    destination = tmp_path / "gopro"
    pull(camera, destination)
    assert len(transcode(plan_transcode([destination])).converted) == 1
    again = pull(Camera.find(camera.address), destination)
    assert (len(again.downloaded), len(again.skipped)) == (0, 1)
