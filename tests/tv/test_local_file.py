"""Writing a new file whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from labkit.tv.local_file import new_file
from labkit.tv.unpack import Unpacker

_WRITER = """
    import sys
    from pathlib import Path
    from labkit.tv.local_file import new_file
    with new_file(Path(sys.argv[1])) as file:
        file.write(b"passwords")
        file.flush()
        print("written", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path):
    """A labkit in the middle of writing a file."""
    command = [sys.executable, "-c", textwrap.dedent(_WRITER), str(tmp_path / "first.tar")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"written\n"
        yield process
        process.kill()


def names(folder):
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_labkit_left_is_removed(tmp_path, writer):
    """The next file that is written to the folder takes it away, whatever its name."""
    writer.kill()
    writer.wait(10)
    assert len(names(tmp_path)) == 1
    with new_file(tmp_path / "second.tar") as file:
        file.write(b"whole")
    assert names(tmp_path) == ["second.tar"]


@pytest.mark.skipif(os.name == "nt", reason="an open file stays by itself")
def test_what_another_labkit_is_writing_stays(tmp_path, writer):
    """Both files come to be."""
    with new_file(tmp_path / "second.tar") as file:
        file.write(b"whole")
    writer.communicate(timeout=10)
    assert names(tmp_path) == ["first.tar", "second.tar"]


def test_what_a_killed_pull_left_is_removed_by_its_repetition(tmp_path):
    """In each folder that it writes to."""
    for folder in (tmp_path, tmp_path / "inner"):
        folder.mkdir(exist_ok=True)
        (folder / ".labkit-1234abcd.part").write_text("half")
    unpacker = Unpacker(tmp_path)
    unpacker.file(("inner", "a"), [b"whole"], 0)
    assert names(tmp_path) == ["inner"]
    assert names(tmp_path / "inner") == ["a"]


def test_files_of_others_stay(tmp_path):
    """Only labkit's own temporary names are meant, and no links."""
    for name in (".film.part", ".film.1234abcd.part", "film.labkit-1234abcd.part"):
        (tmp_path / name).touch()
    (tmp_path / ".link.labkit-1234abcd.part").symlink_to(".film.part")
    before = names(tmp_path)
    with new_file(tmp_path / "second.tar"):
        pass
    assert names(tmp_path) == sorted([*before, "second.tar"])
