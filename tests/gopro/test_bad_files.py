"""Files that were damaged here after they came: verify finds them, and the next pull heals."""

from __future__ import annotations

import pytest

from labkit.gopro.audit import verify
from labkit.gopro.fake.media import make_mp4
from labkit.gopro.journal import Journal
from labkit.gopro.transcode import _tell_journal
from labkit.progress import SILENT
from labkit.transfer import TargetError

DAY = "2024-06-15"


def flip(path, at):
    """Damage a byte; size and time stay."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "at"), [("GOPR0012.JPG", -1), ("G0010014.JPG", 0)])
def test_a_damaged_file_is_pulled_again_once(camera_with, pull_from, dest, card, name, at):
    """Beside the old one, which is the user's to delete; then all is good."""
    fake = camera_with()
    pull_from(fake)
    path = dest / DAY / name
    flip(path, at)
    assert verify(dest).again == (f"{DAY}/{name}",)
    second = pull_from(fake)

    assert [planned.file.name for planned in second.downloaded] == [name]
    beside = dest / second.downloaded[0].path
    original = card.find("100GOPRO", name)
    assert beside.read_bytes() == original.read(0, original.size)
    audit = verify(dest)
    assert [bad.path for bad in audit.bad] == [f"{DAY}/{name}"]
    assert f"a good one is {DAY}/{beside.name}: this one can be deleted" in audit.bad[0].reason
    assert not audit.again
    path.unlink()
    assert verify(dest).is_good
    assert not pull_from(fake).plan.to_do


def test_what_differs_from_the_camera_is_pulled_again(camera_with, pull_from, dest, find):
    """Also where the structure of the file is whole."""
    fake = camera_with()
    pull_from(fake)
    flip(dest / DAY / "GX020010.MP4", 5_000)
    assert verify(dest).is_good
    assert verify(dest, camera=find(fake)).again == (f"{DAY}/GX020010.MP4",)

    assert [planned.file.name for planned in pull_from(fake).downloaded] == ["GX020010.MP4"]


def test_a_damaged_file_that_was_deleted_is_missing_and_comes_to_its_own_path(
    camera_with, pull_from, dest
):
    """Nothing lies in the way any more."""
    fake = camera_with()
    pull_from(fake)
    path = dest / DAY / "GOPR0012.JPG"
    flip(path, -1)
    verify(dest)
    path.unlink()
    assert verify(dest).missing == ("100GOPRO/GOPR0012.JPG",)
    pull_from(fake)

    assert path.exists()
    assert verify(dest).is_good


def test_a_file_that_is_not_here_is_only_missing(camera_with, pull_from, dest):
    """The next pull brings it anyway."""
    pull_from(camera_with())
    (dest / DAY / "GOPR0012.JPG").unlink()

    assert not verify(dest).again


def test_a_verdict_that_cannot_be_written_down_is_told(
    camera_with, pull_from, dest, monkeypatch, run
):
    """A destination on a read-only medium can be verified all the same."""
    pull_from(camera_with())
    flip(dest / DAY / "GOPR0012.JPG", -1)

    def fail(*_):
        raise TargetError("the journal cannot be written")

    monkeypatch.setattr(Journal, "record", fail)
    code, out, err = run("verify", dest)

    assert code == 1
    assert "GOPR0012.JPG" in out
    assert "move them away before the next one" in err


def test_verify_says_what_happens_next(camera_with, pull_from, dest, run):
    """The next step stands below the verdict."""
    pull_from(camera_with())
    flip(dest / DAY / "GOPR0012.JPG", -1)
    _, out, _ = run("verify", dest)

    assert "the next pull brings 1 bad file again, beside what is here" in out


def test_what_was_converted_here_on_purpose_does_not_come_again(camera_with, pull_from, dest, find):
    """`transcode --replace` tells the journal the new size: the camera's is another one."""
    fake = camera_with()
    pull_from(fake)
    path = dest / DAY / "GX020010.MP4"
    path.write_bytes(make_mp4(50_000, seed=9))
    _tell_journal(path, path.stat().st_size, SILENT)
    audit = verify(dest, camera=find(fake))

    assert not audit.again
    assert not pull_from(fake).downloaded
