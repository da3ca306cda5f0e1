"""The safe editor of /etc/default/grub: one value changes, nothing is ever lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.boot.default_grub import parse_default_grub
from labkit.boot.editor import apply_edit, plan_edit
from labkit.boot.settings_edit import edit_settings
from labkit.errors import InputError, RefusedError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD = "# my notes\nGRUB_DEFAULT=0 # first\nGRUB_TIMEOUT='5'\n#GRUB_THEME=x\n"


@given(st.text(st.characters(exclude_characters="\0\r\ufeff", exclude_categories=["Cs"])))
def test_an_edited_value_is_read_back_and_other_lines_stay(value):
    """Whatever the value, reading gives it back, and editing again changes nothing."""
    edited = edit_settings(OLD, {"GRUB_DEFAULT": value})

    assert parse_default_grub(edited.encode()).values["GRUB_DEFAULT"] == value
    assert edited.startswith("# my notes\nGRUB_DEFAULT=")
    assert edited.endswith(" # first\nGRUB_TIMEOUT='5'\n#GRUB_THEME=x\n")
    assert edit_settings(edited, {"GRUB_DEFAULT": value}) == edited


def test_a_new_key_goes_behind_its_commented_template():
    """The comment stays, the new line follows it."""
    text = "#GRUB_THEME=x\nGRUB_DEFAULT=0\n"

    assert (
        edit_settings(text, {"GRUB_THEME": "y"}) == "#GRUB_THEME=x\nGRUB_THEME=y\nGRUB_DEFAULT=0\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "if true; then GRUB_DEFAULT=1; fi\n",
        "GRUB_DEFAULT=1; GRUB_TIMEOUT=3\n",
        "GRUB_DEFAULT=1 true\n",
        "GRUB_DEFAULT=1\nunset GRUB_DEFAULT\n",
        "GRUB_DEFAULT=1\n. /etc/other\n",
        "GRUB_DEFAULT='1\n",
        "GRUB_DEFAULT=1\r\n",
        "\ufeffGRUB_DEFAULT=1\n",
    ],
)
def test_what_cannot_be_changed_with_certainty_is_refused(text):
    """A condition, a shared line, a later command, a damaged file: exit code 6, no guess."""
    with pytest.raises(RefusedError, match="line"):
        edit_settings(text, {"GRUB_DEFAULT": "0"})


def test_a_link_is_followed_and_mode_and_backup_are_kept(tmp_path):
    """Fedora's settings file is a link; the file behind it keeps its mode, the backup the bytes."""
    real = tmp_path / "grub"
    real.write_text(OLD)
    real.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(real)

    backup = apply_edit(plan_edit(link, {"GRUB_DEFAULT": "2"}), NOW)

    assert link.is_symlink()
    assert "GRUB_DEFAULT=2 # first" in real.read_text()
    assert real.stat().st_mode & 0o7777 == 0o640
    assert backup == tmp_path / "grub.labkit-20260102T030405"
    assert backup.read_text() == OLD
    assert apply_edit(plan_edit(link, {"GRUB_DEFAULT": "2"}), NOW) is None


def test_a_drop_in_that_overrides_is_named(tmp_path):
    """Editing the main file would have no effect, so it is refused."""
    (tmp_path / "grub").write_text(OLD)
    (tmp_path / "grub.d").mkdir()
    (tmp_path / "grub.d" / "50_mint.cfg").write_text("GRUB_DEFAULT=3\n")

    with pytest.raises(RefusedError, match=r"50_mint\.cfg"):
        plan_edit(tmp_path / "grub", {"GRUB_DEFAULT": "2"})


def test_a_missing_file_is_a_clear_error(tmp_path):
    """No traceback for a wrong name."""
    with pytest.raises(InputError, match="cannot be read"):
        plan_edit(tmp_path / "none", {"GRUB_DEFAULT": "2"})


_EDIT_FOR_EVER = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from labkit.boot.editor import apply_edit, plan_edit
path = Path(sys.argv[1])
print("ready", flush=True)
for turn in range(100000):
    apply_edit(plan_edit(path, {"GRUB_DEFAULT": str(turn % 2) * 3000}), datetime.now(timezone.utc))
"""


@pytest.mark.parametrize("moment", range(8))
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_file(tmp_path, moment):
    """The file is always whole: its other lines are there and its value is one of the two."""
    path = tmp_path / "grub"
    path.write_text(OLD)
    process = subprocess.Popen(
        [sys.executable, "-c", _EDIT_FOR_EVER, str(path)], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.02 + moment * 0.013)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert path.read_text() in {OLD} | {
        edit_settings(OLD, {"GRUB_DEFAULT": digit * 3000}) for digit in "01"
    }


LINES = (
    "GRUB_DEFAULT=0", "GRUB_DEFAULT = 0", "GRUB_DEFAULT+=1", "GRUB_DEFAULT: 0", "GRUB_DEFAULT 0",
    "$GRUB_DEFAULT=0", "GRUB_DEFAULT=0 &", "(GRUB_DEFAULT=0)", "GRUB_DEFAULT=1>/dev/null",
    "set GRUB_DEFAULT=3", "readonly GRUB_DEFAULT=3", "export GRUB_DEFAULT=2",
    "export GRUB_DEFAULT 5", "export GRUB_CMDLINE_LINUX=a b.c", "GRUB_DEFAULT=a b",
    "#GRUB_DEFAULT=0", "GRUB_DEFAULT='1' # one", "GRUB_DEFAULT=`echo 1`", "unset GRUB_DEFAULT",
    "exit 0", "exec true", "return 0", "false", "true", "[ -f /x ] && GRUB_DEFAULT=2", "[ -f /x ]",
    "[ -f /x ] || GRUB_DEFAULT=2", "[[ -f /x ]] && GRUB_TIMEOUT=1", "source /x", "sudo update-grub",
    "if [ -f /x ]; then GRUB_DEFAULT=2; fi", "If you change this file", "f() { GRUB_DEFAULT=2; }",
    "eval GRUB_DEFAULT=5", "GRUB_TIMEOUT=5 \\", ": ${GRUB_DEFAULT:=7}",
    "while false; do GRUB_DEFAULT=2; done", "GRUB_DEFAULT=\u201c1\u201d",
)  # fmt: skip


def sourced(dash, path):
    """Source a settings file as grub-mkconfig does, and give the value that it sets."""
    script = f'set -e; . {path}; printf %s "$GRUB_DEFAULT"; : > {path}.done'
    command = [dash, "-c", script]
    end = subprocess.run(command, capture_output=True, check=False, env={"PATH": "/nowhere"})
    done = path.with_name(f"{path.name}.done")
    was_done = done.exists()
    done.unlink(missing_ok=True)
    return end.stdout.decode() if end.returncode == 0 and was_done else None


@pytest.mark.parametrize("first", LINES)
def test_an_edit_is_refused_or_holds_for_the_real_shell(need_tool, tmp_path, first):
    """Whatever stands before and behind: update-grub's shell reads the file and sees the value."""
    dash = need_tool("dash")
    path = tmp_path / "grub"
    for second in LINES:
        path.write_text(f"{first}\n{second}\n")
        with contextlib.suppress(RefusedError):
            apply_edit(plan_edit(path, {"GRUB_DEFAULT": "a>b c"}), NOW)
            assert sourced(dash, path) == "a>b c", path.read_text()
