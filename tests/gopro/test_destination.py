"""What is in a destination, and what of it cannot be read: nothing is fetched twice for it."""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.errors import ExitCode
from labkit.gopro.audit import verify
from labkit.gopro.destination import scan
from labkit.transfer import TargetError

DAY = "2024-06-15"
pull_module = importlib.import_module("labkit.gopro.pull")  # the package gives the function


@pytest.fixture
def unlistable(monkeypatch):
    """A function that makes a folder fail as a damaged disk or another owner's folder does.

    Permissions do not stop the administrator, as whom tests may run.
    """
    scandir = os.scandir

    def forbid(folder):
        def guarded(path):
            if str(path) == str(folder):
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", guarded)

    return forbid


@pytest.fixture
def unsearchable(monkeypatch):
    """A function that makes a folder give names and nothing else, as without its `x` permission."""
    scandir = os.scandir

    class Nameless:
        def __init__(self, entry):
            self._entry = entry

        def __getattr__(self, name):
            return getattr(self._entry, name)

        def stat(self, **_):
            raise PermissionError(13, "Permission denied", self._entry.path)

    @contextmanager
    def nameless(path):
        with scandir(path) as entries:
            yield (Nameless(entry) for entry in entries)

    def forbid(folder):
        monkeypatch.setattr(
            os, "scandir", lambda path: (nameless if str(path) == str(folder) else scandir)(path)
        )

    return forbid


@pytest.mark.parametrize("leads_to", ["loop", "nowhere"])
def test_a_broken_link_in_a_folder_hides_nothing_else(tmp_path, leads_to):
    """The files beside it are there, whatever order the folder lists them in."""
    for name in ("a", "n", "z"):
        (tmp_path / name).write_bytes(b"123")
    (tmp_path / "loop").symlink_to(leads_to)
    found = scan(tmp_path)

    assert found.sizes == {"a": 3, "n": 3, "z": 3}
    assert not found.unread


def test_a_broken_link_makes_no_file_come_again(camera_with, pull_from, dest):
    """A link to itself beside the photos: the second pull fetches nothing."""
    fake = camera_with()
    pull_from(fake)
    (dest / DAY / "loop").symlink_to("loop")
    second = pull_from(fake)

    assert not second.downloaded
    assert not second.warnings


@pytest.mark.parametrize("fault", ["unlistable", "unsearchable"])
def test_a_folder_that_cannot_be_read_ends_the_pull(camera_with, pull_from, dest, request, fault):
    """Its files are not taken for missing: nothing is fetched, and the error names the folder."""
    fake = camera_with()
    pull_from(fake)
    asked = len(fake.file_requests())
    request.getfixturevalue(fault)(dest / DAY)
    with pytest.raises(TargetError, match=f"{DAY} cannot be read: Permission denied") as caught:
        pull_from(fake)

    assert caught.value.code == "target-not-readable"
    assert caught.value.exit_code == ExitCode.UNMET
    assert len(fake.file_requests()) == asked


def test_a_folder_that_no_pull_fills_may_be_unreadable(camera_with, pull_from, dest, unlistable):
    """`lost+found` at the root of a disk, for one."""
    (dest / "lost+found").mkdir(parents=True)
    unlistable(dest / "lost+found")

    assert pull_from(camera_with()).is_complete


def test_verify_says_which_folder_cannot_be_read(camera_with, pull_from, dest, unlistable):
    """A file whose folder cannot be listed is not said to be missing."""
    pull_from(camera_with())
    unlistable(dest / DAY)
    reasons = {bad.reason for bad in verify(dest).bad}

    assert reasons == {"its folder cannot be read: Permission denied"}


def test_the_cameras_file_that_lies_there_unseen_is_not_fetched_again(
    camera_with, pull_from, dest, monkeypatch
):
    """It came since the plan was made, or the folder did not show it: compared, and kept."""
    fake = camera_with()
    first = pull_from(fake)
    with monkeypatch.context() as patch:
        patch.setattr(pull_module, "scan", lambda _: scan(dest / "nothing here"))
        second = pull_from(fake)

    assert not second.downloaded
    assert len(second.skipped) == len(first.downloaded)
    assert not second.warnings
    assert not pull_from(fake).plan.to_do


def test_another_file_that_lies_there_unseen_is_left_alone(
    camera_with, pull_from, dest, monkeypatch
):
    """Also where it has the size of the camera's."""
    fake = camera_with()
    path = dest / next(p.path for p in pull_from(fake).downloaded if p.file.size)
    mine = bytes(path.stat().st_size)
    path.write_bytes(mine)
    with monkeypatch.context() as patch:
        patch.setattr(pull_module, "scan", lambda _: scan(dest / "nothing here"))
        second = pull_from(fake)

    assert len(second.downloaded) == 1
    assert path.read_bytes() == mine
    assert len(second.warnings) == 1


def test_a_link_that_leads_nowhere_is_not_overwritten(camera_with, pull_from, dest):
    """The user moved the file to a disk that is not there at the moment."""
    fake = camera_with()
    path = dest / pull_from(fake).downloaded[0].path
    path.unlink()
    path.symlink_to(dest / "unplugged")
    second = pull_from(fake)

    assert path.is_symlink()
    assert [planned.path == str(path) for planned in second.downloaded] == [False]


def test_a_file_here_that_cannot_be_read_fails_alone(
    camera_with, pull_from, dest, monkeypatch, card
):
    """One file with another owner: its name is told, the others come."""
    path = dest / DAY / "GOPR0012.JPG"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(card.find("100GOPRO", "GOPR0012.JPG").size))
    opened = Path.open

    def guarded(self, *args, **kwargs):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", guarded)
    result = pull_from(camera_with())

    assert [failure.name for failure in result.failed] == ["GOPR0012.JPG"]
    assert "cannot be read: Permission denied" in result.failed[0].error.message
    assert len(result.downloaded) == 11
