"""Finishing beside the transfer: how files get their names, and what is asked of the camera."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from labkit.gopro.fake import Card, CardFile
from labkit.gopro.fake.media import make_jpeg
from labkit.gopro.journal import EntryState, read_journal

COUNT = 150


@pytest.fixture
def photos():
    """More photos than may wait for their flush at once."""
    return Card(
        [
            CardFile("100GOPRO", f"GOPR{number:04d}.JPG", make_jpeg(2_000, seed=number))
            for number in range(COUNT)
        ]
    )


def test_each_photo_costs_one_request(camera_with, pull_from, photos):
    """Nothing is asked for beside the files themselves."""
    fake = camera_with(files=photos)
    pull_from(fake)

    assert len(fake.file_requests()) == COUNT


def test_every_file_is_flushed_before_it_has_its_name(camera_with, pull_from, photos, monkeypatch):
    """Whichever thread does it: bytes on disk, then the name."""
    flushed, early, lock = set(), [], threading.Lock()
    flush, rename = os.fsync, Path.replace

    def fsync(handle):
        flush(handle)
        with lock:
            flushed.add(os.fstat(handle).st_ino)

    def replace(self, target):
        with lock:
            if self.stat().st_ino not in flushed:
                early.append(self)
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    result = pull_from(camera_with(files=photos))

    assert len(result.downloaded) == COUNT
    assert not early


def test_photos_are_flushed_in_groups(camera_with, pull_from, photos, monkeypatch):
    """The folder is flushed once for many photos, not once for each."""
    flushes = []
    monkeypatch.setattr("labkit.gopro.finishing.flush_folder_of", flushes.append)
    pull_from(camera_with(files=photos))

    assert 1 <= len(flushes) < COUNT / 5


def test_a_fault_in_the_background_is_raised_in_the_run(
    camera_with, pull_from, photos, monkeypatch
):
    """What nobody foresaw ends the pull, and is no success."""

    def broken(*_, **__):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("labkit.gopro.finishing.finish", broken)
    with pytest.raises(RuntimeError, match="unforeseen"):
        pull_from(camera_with(files=photos))


def test_all_that_came_is_written_down_at_the_end(camera_with, pull_from, photos, tmp_path):
    """The last, smaller batch as well."""
    pull_from(camera_with(files=photos))
    entries = read_journal(tmp_path / "dest").entries

    assert [entry.state for entry in entries] == [EntryState.DONE] * COUNT


def test_a_flush_that_fails_ends_the_run(camera_with, pull_from, photos, monkeypatch, tmp_path):
    """A disk that gives up in the background is no success: no name, no line in the journal."""

    def broken(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("labkit.part_file.os.fsync", broken)
    result = pull_from(camera_with(files=photos))

    assert not result.downloaded
    assert {failure.error.code for failure in result.failed} == {"target-not-writable"}
    assert len(result.failed) + len(result.not_tried) == COUNT
    assert not list((tmp_path / "dest").rglob("*.JPG"))
