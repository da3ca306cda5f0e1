"""Symbolic links and files where a destination's own files go: nothing is written through them."""

from __future__ import annotations

import pytest

from labkit.errors import RefusedError, UsageError
from labkit.gopro.destination import LOCK_NAME
from labkit.gopro.journal import JOURNAL_NAME


@pytest.fixture
def outside(tmp_path):
    """A file outside of the destination."""
    path = tmp_path / "outside.txt"
    path.write_bytes(b"mine")
    return path


@pytest.mark.parametrize("backend", ["labkit", "wget"])
def test_a_part_that_is_a_link_is_refused(
    camera_with, pull_from, tmp_path, outside, backend, need_tool
):
    """The file that it leads to stays; the other files come."""
    if backend == "wget":
        need_tool("wget")
    folder = tmp_path / "dest/2024-06-15"
    folder.mkdir(parents=True)
    (folder / "GX020010.MP4.part").symlink_to(outside)
    result = pull_from(camera_with(), backend=backend)

    assert [failure.error.code for failure in result.failed] == ["leads-out"]
    assert len(result.downloaded) == 11
    assert outside.read_bytes() == b"mine"


@pytest.mark.parametrize("name", [LOCK_NAME, JOURNAL_NAME])
def test_a_lock_or_journal_that_is_a_link_is_refused(
    camera_with, pull_from, tmp_path, outside, name
):
    """Before anything is written."""
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / name).symlink_to(outside)
    with pytest.raises(RefusedError, match="symbolic link"):
        pull_from(camera_with())

    assert outside.read_bytes() == b"mine"


def test_a_destination_that_is_a_file_is_a_wrong_argument(camera_with, pull_from, outside):
    """Exit 2, and the file stays."""
    with pytest.raises(UsageError, match="is a file"):
        pull_from(camera_with(), outside)

    assert outside.read_bytes() == b"mine"
