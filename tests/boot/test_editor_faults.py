"""The editor where writing is not possible: a clear error, the old file, nothing left over."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labkit.boot.editor import apply_edit, plan_edit
from labkit.errors import RefusedError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD = "# my notes\nGRUB_DEFAULT=0 # first\n"
NOBODY = 65534
# The edit runs in a process of its own, which may lose its rights or have mounts of its own.
_EDIT = """
import os, sys
from datetime import datetime, timezone
from pathlib import Path
from labkit.boot.editor import apply_edit, plan_edit
from labkit.errors import LabkitError
path, user = Path(sys.argv[1]), int(sys.argv[2])
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
try:
    apply_edit(plan_edit(path, {"GRUB_DEFAULT": sys.argv[3]}), datetime.now(timezone.utc))
except LabkitError as error:
    print(type(error).__name__, error.exit_code, error, error.hint)
else:
    print("written")
"""


@pytest.fixture
def settings(tmp_path):
    """A settings file in a folder of its own."""
    folder = tmp_path / "default"
    folder.mkdir()
    path = folder / "grub"
    path.write_text(OLD)
    return path


@pytest.fixture
def open_folder():
    """A folder that every user may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def edit(path, *, user=0, value="1", before=()):
    """Edit in a process of its own and give what it says."""
    result = subprocess.run(
        [*before, sys.executable, "-c", _EDIT, str(path), str(user), value],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def in_namespace(need_tool, mount, after="true"):
    """Give the words before a command that run it with one more mount, or skip."""
    script = f'{mount}; "$@"; {after}'
    words = [need_tool("unshare"), "--mount", "--map-root-user", "sh", "-ec", script, "sh"]
    probe = subprocess.run(
        [*words, "true"], capture_output=True, text=True, timeout=20, check=False
    )
    if probe.returncode != 0:
        pytest.skip(f"needs a mount namespace: {probe.stderr.strip()}")
    return words


def names_in(folder):
    """Give the names of all files of a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_read_only_file_system_is_named(settings, need_tool):
    """With the way to make it writable; the file is as it was."""
    folder = settings.parent
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    said = edit(settings, before=in_namespace(need_tool, mount))

    assert said.startswith("UnmetError 4")
    assert "read-only" in said
    assert "remount,rw" in said
    assert settings.read_text() == OLD
    assert names_in(folder) == ["grub"]


def test_a_full_disk_is_named(settings, need_tool, tmp_path):
    """The old file is whole; no half of a new one and no backup of nothing lie beside it."""
    folder = settings.parent
    result = tmp_path / "result"
    result.mkdir()
    fill = f"dd if=/dev/zero of={folder}/filler bs=4k 2>/dev/null || true"
    mount = f"cp {settings} {result}/old; mount -t tmpfs -o size=64k none {folder}; "
    mount += f"cp {result}/old {settings}; {fill}"
    # What is in the private mount is seen from inside only.
    after = f"rm {folder}/filler; rm -rf {result}/after; cp -r {folder} {result}/after"
    said = edit(settings, value="x" * 9000, before=in_namespace(need_tool, mount, after))

    assert said.startswith("UnmetError 4")
    assert "the disk is full" in said
    assert names_in(result / "after") == ["grub"]
    assert (result / "after/grub").read_text() == OLD


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_user_may_not_write(open_folder):
    """`sudo` is the hint; nothing is left over."""
    settings = open_folder / "grub"
    settings.write_text(OLD)
    settings.chmod(0o644)
    said = edit(settings, user=NOBODY)

    assert said.startswith("UnmetError 4")
    assert "no permission" in said
    assert "sudo" in said
    assert settings.read_text() == OLD
    assert names_in(open_folder) == ["grub"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_the_owner_stays_the_owner(settings):
    """Also when root writes."""
    os.chown(settings, NOBODY, NOBODY)
    backup = apply_edit(plan_edit(settings, {"GRUB_DEFAULT": "1"}), NOW)

    for path in (settings, backup):
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


def test_extended_attributes_stay(settings):
    """SELinux labels and ACLs are such."""
    try:
        os.setxattr(settings, "user.label", b"mine")
    except OSError as error:
        pytest.skip(f"this file system has no extended attributes: {error.strerror}")
    backup = apply_edit(plan_edit(settings, {"GRUB_DEFAULT": "1"}), NOW)

    assert os.getxattr(settings, "user.label") == b"mine"
    assert os.getxattr(backup, "user.label") == b"mine"


def test_a_file_that_changed_in_the_meantime_is_not_overwritten(settings):
    """Somebody else's edit wins over a plan made before it."""
    plan = plan_edit(settings, {"GRUB_DEFAULT": "1"})
    settings.write_text("GRUB_DEFAULT=7\n")

    with pytest.raises(RefusedError, match="meantime"):
        apply_edit(plan, NOW)
    assert settings.read_text() == "GRUB_DEFAULT=7\n"


def test_two_backups_of_one_second_have_two_names(settings):
    """No backup is ever overwritten."""
    first = apply_edit(plan_edit(settings, {"GRUB_DEFAULT": "1"}), NOW)
    second = apply_edit(plan_edit(settings, {"GRUB_DEFAULT": "2"}), NOW)

    assert first != second
    assert first.read_text() == OLD
    assert "GRUB_DEFAULT=1" in second.read_text()
