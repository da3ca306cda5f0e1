"""`labkit doctor`."""

from __future__ import annotations

import pytest

from labkit import __version__
from labkit.errors import ExitCode
from labkit.programs import PROGRAMS


@pytest.fixture(autouse=True)
def config_folder(tmp_path, monkeypatch):
    """Let the configuration folder be an empty one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def test_names_every_program(run):
    """Every program that labkit can use has a row, with its purpose."""
    result = run("doctor")

    assert result.code == ExitCode.OK
    assert f"labkit\t{__version__}" in result.out
    for program in PROGRAMS.values():
        assert program.purpose in result.out


def test_missing_programs_are_no_failure(run, monkeypatch, tmp_path):
    """A missing program is shown with how to install it, and the exit code stays 0."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("labkit.programs._SYSTEM_FOLDERS", ())

    document = run("doctor", "--json").document

    assert document["ok"]
    for program in document["data"]["programs"]:
        assert program["path"] is None
        assert "install" in program["install"]


def test_broken_configuration_is_shown(run, config_folder):
    """A configuration file that cannot be read is reported, not fatal."""
    path = config_folder / "labkit/config.toml"
    path.parent.mkdir()
    path.write_text("[tv")

    result = run("doctor", "--json")

    assert result.code == ExitCode.OK
    assert "cannot be read" in result.document["data"]["config"]["problem"]
