"""The commands plan, init, check, diff and inventory-script of labkit gpupv."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import ExitCode
from labkit.gpupv.assembly import SCRIPTS

PROJECT = Path(__file__).parents[2]
QUICK = ["--vm", "Gaming VM", "--gpu", "auto", "--vhdx", r"D:\VMs\g.vhdx"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty present folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_example_becomes_a_set_that_checks(run, here):
    """`init`, `plan`, `check`, as a new user."""
    assert run("gpupv", "init", "-o", "g.toml").code == ExitCode.OK
    result = run("gpupv", "plan", "g.toml", "-o", "set", "--json")
    assert result.code == ExitCode.OK
    data = result.document["data"]
    assert {file["path"] for file in data["files"]} == {*SCRIPTS, "README.txt", "manifest.json"}
    assert {"name", "value", "why"} <= set(data["settings"][0])
    assert run("gpupv", "check", "set").code == ExitCode.OK
    assert run("gpupv", "check", "set", "--json").document["data"]["problems"] == []


def test_init_keeps_a_file_that_exists(run, here):
    """Never over somebody's specification."""
    (here / "g.toml").write_text("mine")
    assert run("gpupv", "init", "-o", "g.toml").code == ExitCode.REFUSED
    assert (here / "g.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("command", "words"), [("init", "[[vm]]"), ("inventory-script", "ConvertTo-Json")]
)
def test_text_without_a_file_is_printed(run, here, command, words):
    """So that it can be redirected; `-` is no name of a file."""
    assert words in run("gpupv", command).out
    assert words in run("gpupv", command, "-o", "-").out
    assert not list(here.iterdir())


@pytest.mark.parametrize("command", [["init"], ["inventory-script"], ["plan", *QUICK]])
def test_file_that_cannot_be_written_is_a_need_that_is_unmet(run, here, command):
    """As elsewhere: no folder, no permission, no space."""
    (here / "file").touch()
    result = run("gpupv", *command, "-o", "file/g")
    assert result.code == ExitCode.UNMET
    assert "cannot write" in result.err
    assert run("gpupv", *command, "-o", "").code in {ExitCode.USAGE, ExitCode.REFUSED}


def test_dry_run_shows_the_table_and_writes_nothing(run, here):
    """Value, why and source of each setting."""
    result = run("gpupv", "plan", *QUICK, "--memory", "8GiB", "-o", "set", "--dry-run")
    assert result.out.startswith("machine\tsetting\tvalue\twhy\tsource\n")
    assert "StartupBytes\t8 GiB" in result.out
    assert not list(here.iterdir())


def test_quick_form_names_the_option_that_is_wrong(run):
    """All of them at once, each an error of its own in the document."""
    result = run("gpupv", "plan", *QUICK, "--memory", "8", "--vcpu", "0", "-n", "--json")
    assert result.code == ExitCode.USAGE
    messages = [error["message"] for error in result.document["errors"]]
    assert [message.split(":")[0] for message in messages] == ["--memory", "--vcpu"]
    assert not result.document["ok"]


def test_quick_form_says_what_is_missing(run):
    """The option, not the key of a TOML that nobody wrote."""
    assert "--vhdx: is missing" in run("gpupv", "plan", "--vm", "a", "--gpu", "auto", "-n").err


@pytest.mark.parametrize(
    "arguments",
    [[], ["x.toml", *QUICK, "-n"], QUICK, ["x.toml", "-n"], ["-n"]],
)
def test_plan_that_cannot_start_is_a_usage_error(run, here, arguments):
    """No source, two sources, no folder, no file."""
    assert run("gpupv", "plan", *arguments).code == ExitCode.USAGE


def test_problems_come_with_lines_and_the_file(run, here):
    """All at once on standard error."""
    (here / "g.toml").write_text('[[gpu]]\npath = "x"\n[[vm]]\nnam = "a"\n')
    result = run("gpupv", "plan", "g.toml", "-n")
    assert result.code == ExitCode.USAGE
    assert re.findall(r"line (\d)", result.err) == ["2", "3", "3", "4"]
    assert "g.toml" in result.err


def test_specification_that_is_no_text_is_a_usage_error(run, here):
    """Bytes, and another syntax."""
    (here / "g.toml").write_bytes(b"\xff\xfe")
    assert run("gpupv", "plan", "g.toml", "-n").code == ExitCode.USAGE
    (here / "g.toml").write_text("{}")
    assert run("gpupv", "plan", "g.toml", "-n").code == ExitCode.USAGE


def test_foreign_folder_is_refused(run, here):
    """Exit 6, and nothing in it is touched."""
    (here / "set").mkdir()
    (here / "set/photo.jpg").touch()
    assert run("gpupv", "plan", *QUICK, "-o", "set").code == ExitCode.REFUSED


def test_check_says_which_script_was_edited(run, here):
    """Exit 1."""
    run("gpupv", "plan", *QUICK, "-o", "set")
    with (here / "set/40-Display.ps1").open("ab") as file:
        file.write(b"# edited\r\n")
    result = run("gpupv", "check", "set")
    assert result.code == ExitCode.NO
    assert re.search(r"40-Display\.ps1:\d+: was changed", result.out)
    assert run("gpupv", "check", "nowhere").code == ExitCode.USAGE


def test_diff_shows_what_changes(run, here):
    """Settings and files."""
    run("gpupv", "init", "-o", "a.toml")
    text = (here / "a.toml").read_text()
    (here / "b.toml").write_text(text.replace('"16GiB"', '"8GiB"'))
    result = run("gpupv", "diff", "a.toml", "b.toml")
    assert "StartupBytes\t16 GiB\t8 GiB" in result.out
    assert "files that change: none" in run("gpupv", "diff", "a.toml", "a.toml").out
    (here / "b.toml").write_text("x")
    assert run("gpupv", "diff", "a.toml", "b.toml").code == ExitCode.USAGE


def test_inventory_script_is_written_once(run, here):
    """The same bytes as in every set; another file is kept."""
    arguments = ["gpupv", "inventory-script", "-o", "i.ps1"]
    assert run(*arguments).code == ExitCode.OK
    assert run(*arguments).code == ExitCode.OK
    run("gpupv", "plan", *QUICK, "-o", "set")
    assert (here / "i.ps1").read_bytes() == (here / "set/00-Inventory.ps1").read_bytes()
    (here / "i.ps1").write_text("mine")
    assert run(*arguments).code == ExitCode.REFUSED


def test_plan_loads_nothing_heavy(here):
    """Nor the modules of the other commands."""
    code = (
        "import sys; from labkit.cli.app import main; "
        f"assert main(['gpupv', 'plan', *{QUICK!r}, '-o', 'set']) == 0; "
        "assert not {'numpy', 'rich', 'requests', 'adbutils', 'labkit.gpupv.doctor', "
        "'labkit.gpupv.failures'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


@pytest.mark.parametrize("page", ["README.md", "docs/gpupv.md"])
def test_documented_commands_work(run, here, page):
    """Each plan, init, check, diff and inventory-script line of the page, in its order."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    pattern = r"^(?:\$ )?labkit (gpupv (?:plan|init|check|diff|inventory-script)\b[^#\n]*)"
    lines = re.findall(pattern, text, re.MULTILINE)
    assert lines
    for line in lines:
        if "diff" in line:
            (here / "new.toml").write_bytes((here / "gpupv.toml").read_bytes())
        assert run(*shlex.split(line)).code == ExitCode.OK, line


def test_check_of_another_versions_set_gives_no_verdict(run, here):
    """Its hashes may have been made anew with the edit: 4, not 0; a problem is still a problem."""
    assert run("gpupv", "plan", *QUICK, "-o", "set").code == ExitCode.OK
    manifest = here / "set/manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"labkit": "', b'"labkit": "0.0.'))
    result = run("gpupv", "check", "set", "--json")
    assert result.code == ExitCode.UNMET
    assert result.document["data"]["problems"] == []
    assert "0.0." in result.document["errors"][0]["message"]
    (here / "set/10-Apply.ps1").write_text("Get-VM")
    assert run("gpupv", "check", "set").code == ExitCode.NO
