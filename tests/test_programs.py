"""Finding and running external programs."""

from __future__ import annotations

import sys

import pytest

from labkit import programs
from labkit.errors import ExitCode, ProgramMissingError, UnmetError


@pytest.fixture
def path_with(tmp_path, monkeypatch):
    """Make a PATH that holds only scripts with the given names and bodies."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_SYSTEM_FOLDERS", ())

    def make(**scripts: str):
        for name, body in scripts.items():
            script = tmp_path / name.replace("_", "-")
            script.write_text(f"#!/bin/sh\n{body}\n")
            script.chmod(0o755)
        return tmp_path

    return make


def test_missing_program_names_the_install_command(path_with):
    """A missing program is exit 4, with this system's own install command."""
    path_with(apt_get="")

    with pytest.raises(ProgramMissingError) as caught:
        programs.require_program("sfdisk")

    assert caught.value.exit_code == ExitCode.UNMET
    assert caught.value.hint == "install it with `sudo apt-get install fdisk`"


def test_missing_program_without_a_known_package_manager(path_with):
    """Where no package manager is known, the packages' names are given."""
    path_with()

    assert "android-tools" in programs.install_hint("adb")


def test_alternative_name(path_with):
    """Fedora's grub2-mkconfig is found as grub-mkconfig."""
    folder = path_with(grub2_mkconfig="")

    assert programs.find_program("grub-mkconfig") == folder / "grub2-mkconfig"


@pytest.mark.parametrize(
    ("name", "output", "version"),
    [
        ("adb", "Android Debug Bridge version 1.0.41\nVersion 29.0.6-debian\n", "29.0.6-debian"),
        ("ffmpeg", "ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000", "5.1.9-0+deb12u1"),
        ("wget", "GNU Wget 1.21.3 built on linux-gnu.", "1.21.3"),
        ("efibootmgr", "version 17", "17"),
        ("sfdisk", "sfdisk from util-linux 2.38.1", "2.38.1"),
        ("wget", "no idea", None),
    ],
)
def test_version(path_with, name, output, version):
    """The version is read from what the program prints of itself."""
    folder = path_with(**{name: f"echo '{output}'"})

    assert programs.program_version(name, folder / name) == version


def test_time_out():
    """A program that does not end is stopped, and the error says how to see what it waits for."""
    with pytest.raises(UnmetError, match="did not finish within") as caught:
        programs.run_program([sys.executable, "-c", "while True: pass"], timeout_s=0.2)

    assert caught.value.code == "program-timeout"


def test_questions_are_not_asked():
    """A program that reads its input meets the end of it at once."""
    code = "import sys; print(repr(sys.stdin.read()))"

    assert programs.run_program([sys.executable, "-c", code], timeout_s=30).stdout == "''\n"


def test_unreadable_output_is_replaced():
    """Bytes that are no UTF-8 do not stop the reading."""
    code = "import sys; sys.stdout.buffer.write(b'a\\xffb')"

    assert programs.run_program([sys.executable, "-c", code], timeout_s=30).stdout == "a�b"


def test_program_gets_the_c_locale():
    """What is run speaks English, whatever the user's language."""
    code = "import os; print(os.environ['LC_ALL'])"

    assert programs.run_program([sys.executable, "-c", code], timeout_s=30).stdout == "C.UTF-8\n"


def test_what_cannot_be_started(tmp_path):
    """A file that cannot be run is an error, not a traceback."""
    with pytest.raises(ProgramMissingError, match="cannot be started"):
        programs.run_program([tmp_path / "nothing"], timeout_s=1)
