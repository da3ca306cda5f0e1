"""What a card keeps for good (an empty clip, a hostile name) is news in the first pull only."""

from __future__ import annotations

import pytest

from labkit.errors import ExitCode
from labkit.gopro import PlanOptions, Selection
from labkit.gopro.audit import verify
from labkit.gopro.fake import Card, CardFile
from labkit.gopro.fake.media import make_jpeg, make_mp4
from labkit.gopro.names import Kind

FOLDER = "100GOPRO"
CLIP = make_mp4(60_000, seed=1)


def names(files):
    """The names of planned files, sorted."""
    return sorted(one.file.name for one in files)


@pytest.mark.parametrize("dialect", ["open-gopro", "html"])
def test_an_empty_clip_is_told_once(camera_with, pull_from, find, tmp_path, dialect):
    """The first pull waits for it; the second says that it is empty, and is complete."""
    fake = camera_with("F25", dialect=dialect)
    first = pull_from(fake)
    assert names(first.postponed) == ["GX010020.MP4"]
    assert not first.is_complete
    again = pull_from(fake)
    assert names(again.empty) == ["GX010020.MP4"]
    assert again.is_complete
    assert pull_from(fake).is_complete
    assert not verify(tmp_path / "dest", camera=find(fake)).missing


def test_its_bytes_come_when_it_has_some(camera_with, pull_from, assert_whole):
    """It was written after all: it comes to the path that it always had."""
    empty = Card([CardFile(FOLDER, "GX010001.MP4", b"")])
    for _ in range(2):
        assert not pull_from(camera_with(files=empty)).downloaded
    written = Card([CardFile(FOLDER, "GX010001.MP4", CLIP)])
    result = pull_from(camera_with(files=written))

    assert_whole(result, written)
    assert [one.path for one in result.downloaded] == ["2024-06-15/GX010001.MP4"]


def test_another_empty_clip_is_news(camera_with, pull_from):
    """What is known of one recording says nothing of the next one under its name."""
    old = Card([CardFile(FOLDER, "GX010001.MP4", b"")])
    new = Card([CardFile(FOLDER, "GX010001.MP4", b"", old.files[0].created + 60)])
    pull_from(camera_with(files=old))

    assert not pull_from(camera_with(files=new)).is_complete


def test_the_other_chapters_of_a_clip_come(camera_with, pull_from, assert_whole):
    """They wait while the last one may be written, not for ever."""
    card = Card([CardFile(FOLDER, "GX010001.MP4", CLIP), CardFile(FOLDER, "GX020001.MP4", b"")])
    fake = camera_with(files=card)
    assert names(pull_from(fake).postponed) == ["GX010001.MP4", "GX020001.MP4"]
    result = pull_from(fake)

    assert_whole(result, card)
    assert names(result.downloaded) == ["GX010001.MP4"]
    assert result.is_complete


def test_what_turns_out_empty_is_asked_again_and_told_once(camera_with, pull_from, tmp_path):
    """A RAW file has no size in the list: only asking tells that it has bytes by now."""
    photo = CardFile(FOLDER, "GOPR0001.JPG", make_jpeg(20_000, seed=1))
    fake = camera_with(files=Card([photo, CardFile(FOLDER, "GOPR0001.GPR", b"")]), pages=False)
    first = pull_from(fake)
    assert names(first.postponed) == ["GOPR0001.GPR"]
    assert not first.is_complete
    again = pull_from(fake)
    assert names(again.empty) == ["GOPR0001.GPR"]
    assert again.is_complete
    assert not list((tmp_path / "dest").rglob("*.part"))


def test_an_empty_sound_file_keeps_nothing_else_back(camera_with, pull_from):
    """Only a recording itself says that the camera still writes it."""
    files = [
        CardFile(FOLDER, "GX010001.MP4", CLIP),
        CardFile(FOLDER, "GX010001.WAV", b""),
        CardFile(FOLDER, "GX010001.THM", make_jpeg(9_000, seed=1)),
    ]
    options = PlanOptions(Selection(kinds=frozenset(Kind)))
    fake = camera_with(files=Card(files))

    assert names(pull_from(fake, plan=options).downloaded) == ["GX010001.MP4", "GX010001.THM"]
    assert pull_from(fake, plan=options).is_complete


def test_a_dry_run_shows_an_empty_clip(camera_with, run, dest):
    """As waiting before it was told, as empty afterwards."""
    host = ("--host", str(camera_with("F25").address))
    _, before, _ = run("pull", dest, "--dry-run", *host)
    run("pull", dest, *host)
    _, after, _ = run("pull", dest, "--dry-run", *host)

    assert "GX010020.MP4\t2024-06-15 09:00\t0 B\tpostpone" in before
    assert "GX010020.MP4\t2024-06-15 09:00\t0 B\tempty" in after


def test_hostile_names_are_named_once(camera_with, run, dest):
    """Each by the first pull, which is not complete; in one line by those after it."""
    host = ("--host", str(camera_with("F21").address))
    code, _, err = run("pull", dest, *host)
    assert code == ExitCode.PARTIAL
    assert err.count("error: refused:") == 20 + 1  # and how many more
    for options in ((), ("--dry-run",)):
        code, _, err = run("pull", dest, *host, *options)
        assert code == ExitCode.OK
        assert "error:" not in err
        assert "22 entries of the camera's list refused for the name, as before" in err


def test_a_new_hostile_name_is_news(camera_with, run, dest):
    """One that was refused before does not excuse it."""
    fake = camera_with("F39", dialect="html")
    run("pull", dest, "--host", str(fake.address))
    fake.card = Card([*fake.card.files, CardFile(FOLDER, "-rf.JPG", b"x")])
    code, _, err = run("pull", dest, "--host", str(fake.address))

    assert code == ExitCode.PARTIAL
    assert err.count("error: refused:") == 1


def test_a_verification_names_what_no_pull_will_bring(camera_with, run, run_json, dest):
    """Before a card is wiped it must be known: it is still only there."""
    host = ("--host", str(camera_with("F21").address))
    run("pull", dest, *host)
    code, out, _ = run("verify", dest, "--against-camera", *host)

    assert code == ExitCode.NO
    assert "refused  100GOPRO/'a\\\\b.JPG'" in out
    assert "22 refused for their names" in out
    assert run("verify", dest)[0] == ExitCode.OK
    _, document = run_json("verify", dest, "--against-camera", *host)
    assert len(document["data"]["refused"]) == 22
