"""`labkit boot check`, `paste`, `explain`, `table`, `collect` and `diff` as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from support.boot_inputs import EFIBOOTMGR, FDISK, HEALTHY

HEAVY = {"numpy", "scipy", "requests", "rich", "matplotlib", "adbutils", "wget"}


@pytest.fixture
def labkit():
    """A function that runs labkit as a process of its own."""

    def run(*arguments, stdin=None, cwd=None):
        return subprocess.run(
            [sys.executable, "-m", "labkit", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=cwd,
            env={**os.environ, "NO_COLOR": "1"},
            check=False,
        )

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder with the inputs of a healthy computer."""
    for name, text in HEALTHY.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_healthy_is_exit_0(labkit, folder):
    """A healthy chain is said to be one, with what was seen."""
    result = labkit("boot", "check", "--from", folder)
    assert result.returncode == 0, result.stderr
    assert "looks healthy (Windows and Linux seen)" in result.stdout


def test_a_finding_is_exit_1(labkit, folder):
    """The cause, its line and its fix are on the screen; the JSON document says the same."""
    (folder / "efibootmgr.txt").write_text(EFIBOOTMGR.replace("0003,0004", "0004,0003"))
    result = labkit("boot", "check", "--from", folder)
    assert result.returncode == 1
    assert "N02 error" in result.stdout
    assert "efibootmgr.txt:3" in result.stdout
    assert "fix: sudo efibootmgr -o 0003,0004" in result.stdout
    document = json.loads(labkit("boot", "check", "--from", folder, "--json").stdout)
    assert document["schema"] == "labkit.boot.check/1"
    assert document["ok"] is False
    data = document["data"]
    assert (data["verdict"], data["root_causes"]) == ("findings", ["N02"])
    first = data["findings"][0]
    assert first["evidence"][0] == {
        "input": "efibootmgr.txt",
        "line": 3,
        "text": "BootOrder: 0004,0003",
    }


def test_no_verdict_is_exit_4(labkit, tmp_path):
    """Too little to judge is never 0, and the next input to give is named as a command."""
    path = tmp_path / "fdisk.txt"
    path.write_text(FDISK)
    result = labkit("boot", "check", "--table", path)
    assert result.returncode == 4
    assert "no verdict" in result.stderr
    assert "hint: give the output of: efibootmgr -v" in result.stderr or "hint:" in result.stderr
    document = json.loads(labkit("boot", "check", "--table", path, "--json").stdout)
    assert document["data"]["verdict"] == "no-verdict"
    assert document["data"]["missing_inputs"]


def test_the_wrong_input_is_exit_2(labkit, tmp_path):
    """A mix-up of files is caught."""
    path = tmp_path / "x.txt"
    path.write_text(EFIBOOTMGR)
    result = labkit("boot", "check", "--table", path)
    assert result.returncode == 2
    assert "not of table" in result.stderr


def test_sources_do_not_mix(labkit, folder):
    """A folder and a single input at once make no sense."""
    result = labkit("boot", "check", "--from", folder, "--table", folder / "fdisk.txt")
    assert result.returncode == 2


def test_this_machine_is_read_without_a_traceback(labkit):
    """On any machine there is a verdict or an honest `no verdict`."""
    result = labkit("boot", "check")
    assert result.returncode in {0, 1, 4}
    assert "Traceback" not in result.stderr


def test_a_paste_is_read_from_standard_input(labkit):
    """`paste -` judges what is piped in."""
    result = labkit("boot", "paste", "-", stdin=EFIBOOTMGR.replace("0003,0004", "0004,0003"))
    assert result.returncode == 1
    assert "N02" in result.stdout


def test_two_reports_ask_which(labkit):
    """With two reports in one paste, one must be chosen."""
    report = f"======= Boot Info Summary =======\n\n======= UEFI =======\n\n{EFIBOOTMGR}\n"
    both = report + report.replace("0003,0004", "0004,0003")
    refused = labkit("boot", "paste", "-", stdin=both)
    assert refused.returncode == 2
    assert "--report" in refused.stderr
    assert labkit("boot", "paste", "-", "--report", 2, stdin=both).returncode == 1


def test_explain_says_all(labkit):
    """A rule's page has its five parts; the list has every rule; a wrong id gets a hint."""
    page = labkit("boot", "explain", "e01").stdout
    for heading in ("what you see", "why", "check by hand", "fix", "undo"):
        assert heading in page
    rules = json.loads(labkit("boot", "explain", "--list", "--json").stdout)["data"]["rules"]
    assert len(rules) > 60
    wrong = labkit("boot", "explain", "E99")
    assert wrong.returncode == 2
    assert "explain --list" in wrong.stderr


def test_table_shows_roles_and_faults(labkit, tmp_path):
    """Tab-separated when piped; a serious finding ends with 1."""
    path = tmp_path / "fdisk.txt"
    path.write_text(FDISK)
    result = labkit("boot", "table", path)
    assert result.returncode == 0
    assert "/dev/nvme0n1p1\t2048\t100 MiB\tEFI system" in result.stdout
    path.write_text(FDISK.replace("239616  461590527 461350912", "200000  461590527 461390528"))
    assert labkit("boot", "table", path).returncode == 1


def test_collect_and_diff(labkit, folder, tmp_path):
    """What is collected can be read, and two alike collections do not differ."""
    archive = tmp_path / "boot.tar.gz"
    result = labkit("boot", "collect", "-o", archive, "--root", folder, "--redact")
    assert result.returncode == 0, result.stderr
    assert archive.exists()
    assert labkit("boot", "collect", "-o", archive, "--root", folder).returncode == 6
    assert labkit("boot", "diff", folder, folder).stdout.strip() == "nothing changed"


def test_check_loads_nothing_heavy(folder):
    """Judging a whole bundle needs none of the packages that cost start-up time."""
    code = (
        "import sys; from labkit.cli.app import main;"
        f"main(['boot', 'check', '--from', {str(folder)!r}, '--json']);"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr.strip().endswith("[]")


def test_each_cause_is_shown_once(labkit, folder):
    """A fault on many lines is one entry on the screen; --all and JSON hold the others."""
    cfg = HEALTHY["grub.cfg"]
    stale = [f"search --fs-uuid --set=root 0000-{n:04d}\n" for n in range(5)]
    (folder / "grub.cfg").write_text(cfg + "".join(stale))
    short, whole = (labkit("boot", "check", "--from", folder, *more) for more in ((), ("--all",)))
    assert short.stdout.count("C03 error") == 1
    assert "4 more, shown by --all" in short.stdout
    assert whole.stdout.count("C03 error") == 5
