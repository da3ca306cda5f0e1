"""A pull's promises beside the fault table: times, disks, backends, companions."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta

import pytest

from labkit.errors import ExitCode
from labkit.gopro import PlanOptions, Selection
from labkit.gopro.fake import Card, CardFile
from labkit.gopro.fake.media import make_jpeg, make_mp4
from labkit.gopro.journal import EntryState, read_journal
from labkit.gopro.names import Kind
from labkit.transfer import VerificationError

EVERYTHING = PlanOptions(selection=Selection(kinds=frozenset(Kind)))


def local_time(path):
    """A file's modification time as this computer's wall clock shows it."""
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone().replace(tzinfo=None)


def test_files_have_the_cameras_wall_clock(camera_with, pull_from, tmp_path):
    """Whatever this computer's zone; a frame of a group has its own time."""
    pull_from(camera_with())
    folder = tmp_path / "dest/2024-06-15"

    assert f"{local_time(folder / 'GX020010.MP4'):%Y-%m-%d %H:%M:%S}" == "2024-06-15 09:12:00"
    assert f"{local_time(folder / 'G0010017.JPG'):%H:%M}" == "10:00"


def test_shift_corrects_files(camera_with, pull_from, tmp_path):
    """Frames of groups as well."""
    pull_from(camera_with(), plan=PlanOptions(shift=timedelta(hours=1)))
    folder = tmp_path / "dest/2024-06-15"

    assert f"{local_time(folder / 'GX020010.MP4'):%H:%M}" == "10:12"
    assert f"{local_time(folder / 'G0010017.JPG'):%H:%M}" == "11:00"


def test_proxies_and_thumbnails_on_request(camera_with, pull_from, assert_whole):
    """Proxies are known from the list, thumbnails from the folder pages."""
    result = pull_from(camera_with(), plan=EVERYTHING)

    assert_whole(result)
    assert len(result.downloaded) == 20


def test_a_camera_without_pages_brings_what_the_list_knows(camera_with, pull_from, assert_whole):
    """Some firmwares answer 404 for pages: no sound, no thumbnails, no failure."""
    result = pull_from(camera_with(pages=False), plan=EVERYTHING)

    assert_whole(result)
    assert len(result.downloaded) == 15
    assert result.is_complete


def test_a_proxy_with_the_other_name_is_found(camera_with, pull_from, tmp_path):
    """The list's hint allows two names: the one whose size fits is taken."""
    card = Card(
        [
            CardFile("100GOPRO", "GX010001.MP4", make_mp4(50_000)),
            CardFile("100GOPRO", "GL010001.LRV", make_mp4(9_000)),
        ]
    )
    fake = camera_with(files=card, pages=False)
    card.files[1] = CardFile("100GOPRO", "GX010001.LRV", card.files[1].content)
    original = card.media
    card.media = lambda: [
        folder | {"fs": [folder["fs"][0] | {"glrv": "9000"}]} for folder in original()
    ]
    result = pull_from(fake, plan=EVERYTHING)

    assert len(result.downloaded) == 2
    assert not result.gone


def test_a_full_disk_keeps_the_part_and_ends(camera_with, pull_from, monkeypatch, tmp_path):
    """What came stays; the rest is not tried; the next run goes on."""
    fake = camera_with()
    usage = shutil.disk_usage(tmp_path)
    dest = tmp_path / "dest"

    def shrinking(_):
        used = sum(path.stat().st_size for path in dest.rglob("*.MP4*"))
        return usage._replace(free=max(0, 1_500_000 - used))

    monkeypatch.setattr("labkit.part_file.shutil.disk_usage", shrinking)
    result = pull_from(fake)

    assert [failure.error.code for failure in result.failed] == ["disk-full"]
    assert "missing" in result.failed[0].error.message
    assert result.failed[0].error.exit_code is ExitCode.PARTIAL
    assert len(result.not_tried) == 10
    monkeypatch.undo()
    assert len(pull_from(fake).downloaded) == 11


def test_deep_verification_finds_a_wrong_copy(camera_with, pull_from, clip_with_a_twin):
    """A body that changed on the way, with its structure intact, is fetched again."""
    card, twin = clip_with_a_twin
    fake = camera_with(files=card)
    honest = card.find
    card.find = lambda *key: twin if len(fake.file_requests()) == 1 else honest(*key)
    result = pull_from(fake, verify="deep")

    assert len(result.downloaded) == 1
    assert len([r for r in fake.file_requests() if "range" not in r.headers]) == 2


@pytest.fixture
def clip_with_a_twin():
    """A card with one clip, and a clip of the same size with other pictures."""
    card = Card([CardFile("100GOPRO", "GX010001.MP4", make_mp4(90_000, seed=1))])
    return card, CardFile("100GOPRO", "GX010001.MP4", make_mp4(90_000, seed=2))


def test_what_is_wrong_twice_fails(camera_with, pull_from, tmp_path):
    """Two downloads, neither of which is what the camera has: no final name."""
    card = Card([CardFile("100GOPRO", "GOPR0001.JPG", make_jpeg(90_000, seed=1))])
    broken = CardFile("100GOPRO", "GOPR0001.JPG", bytes(90_000))
    fake = camera_with(files=card)
    honest = card.find

    def lying(folder, name):
        ranged = "range" in fake.requests[-1].headers
        return broken if honest(folder, name) and not ranged else honest(folder, name)

    card.find = lying
    result = pull_from(fake)

    assert isinstance(result.failed[0].error, VerificationError)
    assert [path.name for path in (tmp_path / "dest").rglob("GOPR*")] == ["GOPR0001.JPG.part"]


def test_verify_off_takes_what_comes(camera_with, pull_from):
    """Sizes still count."""
    card = Card([CardFile("100GOPRO", "GX010001.MP4", b"no clip" * 1000)])
    result = pull_from(camera_with(files=card), verify="off")

    assert len(result.downloaded) == 1
    assert result.warnings == ()


def test_two_jobs_bring_photos_at_once(camera_with, pull_from, assert_whole):
    """Everything is whole; clips are still fetched one by one."""
    result = pull_from(camera_with(), find_options={"jobs": 2}, jobs=2)

    assert_whole(result)
    assert len(result.downloaded) == 12


@pytest.mark.parametrize("fault", ["F01", "F02", "F10", "F15", "F20"])
def test_wget_under_faults(camera_with, pull_from, card, fault, need_tool, tmp_path):
    """The same promises: nothing short under a final name, what is gone is gone."""
    need_tool("wget")
    files = [file for file in card.files if file.name.endswith("JPG")][-4:]
    fake = camera_with(fault, files=Card(files))
    result = pull_from(fake, backend="wget")

    for planned in result.downloaded:
        original = fake.card.find(planned.file.folder, planned.file.name)
        assert (tmp_path / "dest" / planned.path).read_bytes() == original.content
    if fault == "F10":
        assert result.gone
    if fault == "F20":
        assert result.failed


def test_the_journal_says_what_is_here(camera_with, pull_from, tmp_path):
    """An entry a file: path, size, camera, group."""
    pull_from(camera_with())
    entries = {entry.name: entry for entry in read_journal(tmp_path / "dest").entries}

    assert len(read_journal(tmp_path / "dest").entries) == 12
    assert entries["G0010017.JPG"].group == "G0010014.JPG"
    assert entries["G0010017.JPG"].size_bytes == 100_000
    assert entries["G0010017.JPG"].state is EntryState.DONE
    assert {entry.camera for entry in entries.values()} == {"C3500000000789"}
