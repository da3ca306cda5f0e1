"""Files that a camera's list leaves out: none of them stays unseen, whatever a run missed."""

from __future__ import annotations

import sqlite3
from pathlib import PurePosixPath

import pytest

from labkit.gopro import PlanOptions, Selection
from labkit.gopro.journal import JOURNAL_NAME
from labkit.gopro.names import Kind

WITHOUT_SOUND = PlanOptions(selection=Selection(kinds=frozenset({Kind.VIDEO, Kind.PHOTO})))


def only(*kinds):
    """Plan options for these kinds."""
    return PlanOptions(selection=Selection(kinds=frozenset(kinds)))


def names(result):
    """The names of the files that came."""
    return sorted(planned.file.name for planned in result.downloaded)


@pytest.fixture
def failing(camera_with, monkeypatch):
    """A fake camera, and the set of the paths that it answers with an error."""
    fake = camera_with()
    broken = set()
    route = fake._route

    def answer(request, count):
        if PurePosixPath(request.path).name in broken:
            return [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"]
        if request.path in broken:
            return [b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"]
        return route(request, count)

    monkeypatch.setattr(fake, "_route", answer)
    return fake, broken


def test_sound_that_failed_comes_with_the_next_pull(failing, pull_from):
    """And the run after that asks no more than three times."""
    fake, broken = failing
    broken.add("GX010011.WAV")
    assert [failure.name for failure in pull_from(fake).failed] == ["GX010011.WAV"]
    broken.clear()

    assert names(pull_from(fake)) == ["GX010011.WAV"]
    before = len(fake.requests)
    assert pull_from(fake).downloaded == ()
    assert len(fake.requests) - before <= 3


def test_a_page_that_failed_is_asked_again(failing, pull_from):
    """The pull says so; what the page shows comes with the next one."""
    fake, broken = failing
    broken.add("/videos/DCIM/100GOPRO/")
    first = pull_from(fake)
    assert "GX010011.WAV" not in names(first)
    assert any("100GOPRO cannot be read" in warning for warning in first.warnings)
    broken.clear()

    assert names(pull_from(fake)) == ["GX010011.WAV"]


def test_narrow_pulls_hide_nothing_from_the_next_one(camera_with, pull_from):
    """Whatever was asked for first."""
    fake = camera_with()
    pull_from(fake, plan=WITHOUT_SOUND)
    pull_from(fake, plan=only(Kind.RAW))

    assert names(pull_from(fake)) == ["GX010011.WAV"]
    assert len(pull_from(fake, plan=only(Kind.THUMB)).downloaded) == 4


def test_sound_that_was_deleted_here_comes_again(camera_with, pull_from, tmp_path):
    """As every other file does."""
    fake = camera_with()
    pull_from(fake)
    for sound in (tmp_path / "dest").rglob("*.WAV"):
        sound.unlink()

    assert names(pull_from(fake)) == ["GX010011.WAV"]


@pytest.mark.parametrize("dialect", ["open-gopro", "legacy", "fusion"])
def test_a_camera_without_pages_is_asked_for_them_once(camera_with, pull_from, dialect):
    """Nothing new: three requests at most, also where no page is served."""
    fake = camera_with(dialect=dialect, pages=False)
    pull_from(fake)
    before = len(fake.requests)
    pull_from(fake, find_options={"remembered": dialect})

    assert len(fake.requests) - before <= 3


def test_what_was_gone_and_is_shown_comes(failing, pull_from):
    """A companion that answered 404 is tried again when the pages are read anew."""
    fake, broken = failing
    find = fake.card.find
    fake.card.find = lambda folder, name: None if name.endswith("WAV") else find(folder, name)
    assert [planned.file.name for planned in pull_from(fake).gone] == ["GX010011.WAV"]
    assert broken == set()
    fake.card.find = find

    assert "GX010011.WAV" in names(
        pull_from(fake, plan=PlanOptions(selection=Selection(kinds=frozenset(Kind))))
    )


def test_a_journal_of_the_first_version_learns_of_pages(camera_with, pull_from, tmp_path):
    """A destination of an older labkit goes on, and gets what that one missed."""
    fake = camera_with()
    pull_from(fake, plan=WITHOUT_SOUND)
    with sqlite3.connect(tmp_path / "dest" / JOURNAL_NAME) as database:
        database.execute("DROP TABLE pages")
        database.execute("PRAGMA user_version = 1")

    assert "GX010011.WAV" in names(pull_from(fake))
