"""GNU Wget carries the bytes, and the promises are those of labkit's own transfer."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from labkit.errors import LabkitError
from labkit.gopro import PullOptions, pull
from labkit.gopro.fake import Card, CardFile
from labkit.gopro.fake.media import make_mp4
from labkit.gopro.link import Link
from labkit.gopro.wget_fetcher import WgetFetcher
from labkit.progress import SILENT
from labkit.transfer import DiskFullError, Patience

CLIP = make_mp4(200_000, seed=1)
NAME = "GX010001.MP4"


@pytest.fixture(autouse=True)
def wget(need_tool):
    """The program itself."""
    return need_tool("wget")


@pytest.fixture
def one_clip():
    """A card with one clip."""
    return Card([CardFile("100GOPRO", NAME, CLIP)])


@pytest.mark.parametrize(
    "fault", ["F01", "F02", "F03", "F06", "F07", "F15", "F16-body", "F22", "F40"]
)
def test_a_fault_that_passes_is_survived(camera_with, pull_from, one_clip, fault, tmp_path):
    """Cuts, stalls, short and misplaced answers: the file comes whole in the same run."""
    result = pull_from(camera_with(fault, files=one_clip), backend="wget")

    assert result.is_complete, [failure.error.message for failure in result.failed]
    assert (tmp_path / "dest" / result.downloaded[0].path).read_bytes() == CLIP


def test_a_range_from_another_offset_is_no_lost_camera(camera_with, pull_from, one_clip):
    """Wget calls it a failure of the network; the file is begun again, once."""
    fake = camera_with("F07", files=one_clip)
    pull_from(fake, backend="wget")

    assert [request.headers.get("range") for request in fake.file_requests()] == [
        None,  # wget, cut
        "bytes=54464-",  # the look at what would follow
        None,  # wget, anew
    ]


def test_a_small_file_is_begun_again_as_well(camera_with, pull_from, tmp_path):
    """Its part is compared whole, by a request without a range: only wget's own shows the fault."""
    small = make_mp4(60_000, seed=3)
    fake = camera_with("F07", files=Card([CardFile("100GOPRO", NAME, small)]))
    result = pull_from(fake, backend="wget")

    assert (tmp_path / "dest" / result.downloaded[0].path).read_bytes() == small
    assert len(fake.file_requests()) == 4


def test_two_versions_are_never_mixed(camera_with, pull_from, one_clip, tmp_path):
    """The file is another one when its transfer goes on: wget alone would not see it."""
    result = pull_from(camera_with("F07-etag", files=one_clip), backend="wget")
    turned = CLIP[:50_000] + CLIP[50_000:100_000][::-1] + CLIP[100_000:]

    assert (tmp_path / "dest" / result.downloaded[0].path).read_bytes() == turned


def test_a_part_of_another_file_is_begun_again(camera_with, pull_from, one_clip, tmp_path):
    """An earlier run's part is compared before it is continued."""
    path = tmp_path / "dest/2024-06-15" / f"{NAME}.part"
    path.parent.mkdir(parents=True)
    path.write_bytes(CLIP[:90_000][::-1])
    result = pull_from(camera_with(files=one_clip), backend="wget")

    assert (tmp_path / "dest" / result.downloaded[0].path).read_bytes() == CLIP


@pytest.mark.parametrize("runs", [1, 2])
def test_a_file_that_stays_short_fails_without_retries(camera_with, find, one_clip, runs, tmp_path):
    """The server says itself where it ends: that is asked once a run, and the part is kept."""
    fake = camera_with("F02-short", files=one_clip)
    for _ in range(runs):
        fake.requests.clear()
        result = pull(find(fake), tmp_path / "dest", PullOptions(backend="wget"))

    assert [failure.error.code for failure in result.failed] == ["short"]
    assert len(fake.file_requests()) == (2 if runs == 1 else 1)
    assert [path.name for path in (tmp_path / "dest").rglob("*GX*")] == [f"{NAME}.part"]


def test_compressed_bodies_are_refused(camera_with, pull_from, one_clip):
    """As by labkit's own transfer."""
    result = pull_from(camera_with("F29", files=one_clip), backend="wget")

    assert "compresses" in result.failed[0].error.message


def test_a_part_that_is_whole_though_no_list_tells(camera_with, pull_from, tmp_path):
    """A RAW file's size is the response's: killed before the rename, it is not fetched again."""
    raw, photo = b"II*\0" + bytes(range(256)) * 400, CLIP
    card = Card(
        [CardFile("100GOPRO", "GOPR0001.JPG", photo), CardFile("100GOPRO", "GOPR0001.GPR", raw)]
    )
    path = tmp_path / "dest/2024-06-15/GOPR0001.GPR.part"
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)
    fake = camera_with(files=card, pages=False)
    pull_from(fake, backend="wget", verify="off")

    assert path.with_suffix("").read_bytes() == raw
    assert len(fake.file_requests("GOPR0001.GPR")) == 1


@pytest.fixture
def failing_wget(tmp_path):
    """A program in wget's place that counts its calls, and ends with a status."""

    def make(status):
        program = tmp_path / "wget"
        program.write_text(f"#!/bin/sh\necho call >> {tmp_path}/calls\nexit {status}\n")
        program.chmod(0o755)
        return program

    return make


def fetch_by(program, fake, tmp_path):
    """Fetch with another program than wget; the number of its calls, and the error."""
    patience = Patience(backoff_s=(0.0,) * 10)
    fetcher = WgetFetcher(Link(fake.address, patience=patience), program)
    with pytest.raises(LabkitError) as caught:
        fetcher.fetch(
            fake.address.url(f"/videos/DCIM/100GOPRO/{NAME}"),
            tmp_path / f"{NAME}.part",
            expected_size=len(CLIP),
            name=NAME,
            progress=SILENT,
        )
    return len((tmp_path / "calls").read_text().splitlines()), caught.value


def test_a_camera_that_is_gone_is_not_asked_for_half_a_minute(
    camera_with, one_clip, failing_wget, tmp_path
):
    """No answer at all: four more tries, as after refused connections by labkit itself."""
    calls, error = fetch_by(failing_wget(4), camera_with(files=one_clip), tmp_path)

    assert calls == 1 + 4
    assert error.code == "host-unreachable"


def test_a_full_disk_ends_the_transfer(camera_with, one_clip, tmp_path, wget):
    """It is told as labkit's own transfer tells it."""
    fake = camera_with(files=one_clip)
    part = tmp_path / f"{NAME}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match="the disk is full"):
        WgetFetcher(Link(fake.address), wget).fetch(
            fake.address.url(f"/videos/DCIM/100GOPRO/{NAME}"),
            part,
            expected_size=len(CLIP),
            name=NAME,
            progress=SILENT,
        )
    assert len(fake.file_requests()) == 1


def test_a_killed_pull_leaves_nothing_that_writes_to_its_part(camera_with, one_clip, dest):
    """The next run may have verified and named that file meanwhile."""
    fake = camera_with("F03", files=one_clip, stall_s=1.0)
    command = ["gopro", "pull", "--host", str(fake.address), "--backend", "wget", str(dest)]
    part = dest / "2024-06-15" / f"{NAME}.part"
    with subprocess.Popen(
        [sys.executable, "-m", "labkit", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as labkit:
        while not part.exists() or not part.stat().st_size:
            assert labkit.poll() is None
            time.sleep(0.02)
        labkit.kill()
    have = part.stat().st_size
    time.sleep(1.5)  # the camera sends the rest

    assert have < len(CLIP)
    assert part.stat().st_size == have
