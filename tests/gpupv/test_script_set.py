"""A script set on disk: written whole, checked, and never written over what is not ours."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from labkit.errors import ExitCode, InputError, RefusedError, UsageError
from labkit.gpupv import Spec, plan_scripts
from labkit.gpupv.assembly import plan_data
from labkit.gpupv.script_set import UnwritableError, compare_specs, write_new_file, write_set
from labkit.gpupv.set_check import check_set


@pytest.fixture
def folder(tmp_path, table):
    """A written set."""
    write_set(plan_scripts(Spec.from_table(table())), tmp_path / "set")
    return tmp_path / "set"


def found(folder):
    """The problems of a set as (file, message)."""
    return {problem.path: problem.message for problem in check_set(folder).problems}


def test_written_set_is_sound_and_can_be_written_again(folder, table):
    """Also with another plan: an unchanged set is ours to replace."""
    assert not check_set(folder).problems
    write_set(plan_scripts(Spec.from_table(table(memory="8GiB"))), folder)
    assert not check_set(folder).problems


def test_edited_script_is_named_and_kept(folder, table):
    """The edit is found and not lost."""
    script = folder / "10-Apply.ps1"
    script.write_bytes(script.read_bytes().replace(b"ShutDown", b"TurnOff!"))
    assert found(folder) == {"10-Apply.ps1": "was changed since it was generated"}
    with pytest.raises(RefusedError, match=r"10-Apply\.ps1"):
        write_set(plan_scripts(Spec.from_table(table())), folder)


def test_foreign_files_are_kept(tmp_path, folder, table):
    """A folder with something else in it is not written to."""
    (folder / "notes.txt").write_text("mine")
    assert found(folder) == {"notes.txt": "does not belong to the set"}
    scripts = plan_scripts(Spec.from_table(table()))
    with pytest.raises(RefusedError, match=r"notes\.txt"):
        write_set(scripts, folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/photo.jpg").touch()
    with pytest.raises(RefusedError, match="no script set"):
        write_set(scripts, tmp_path / "other")
    with pytest.raises(RefusedError, match="is a file"):
        write_set(scripts, folder / "notes.txt")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda text: text.replace(b"\r\n", b"\n"), "CRLF"),
        (lambda text: text + "# \u2019\r\n".encode(), "not ASCII"),
        (lambda text: text + b"'\r\n", "does not parse"),
        (lambda text: text + b"}\r\n", "does not parse"),
        (lambda text: text.replace(b"Hash = '", b"Hash = 'f"), "another plan"),
        (lambda text: text.replace(b"$Plan = @{", b"$Plan = @{ x = (Get-Date)"), "does not parse"),
    ],
)
def test_each_kind_of_damage_is_named(folder, data, words):
    """Bytes, syntax and plan."""
    script = folder / "31-Verify-Host.ps1"
    script.write_bytes(data(script.read_bytes()))
    messages = [problem.message for problem in check_set(folder).problems]
    assert any(words in message for message in messages)


def test_missing_script_is_named(folder):
    """The set is complete or it is not."""
    (folder / "90-Rollback.ps1").unlink()
    assert "cannot be read" in found(folder)["90-Rollback.ps1"]


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "{}", '{"files": {"../../x": ""}, "plan_sha256": ""}', "[" * 10000],
)
def test_folder_without_a_manifest_is_no_set(folder, manifest):
    """Nor is one whose manifest leads out of it."""
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(InputError):
        check_set(folder)


def test_manifest_that_leaves_a_script_out_is_no_complete_set(folder):
    """Taking a script out of folder and manifest does not make the set complete."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    del manifest["files"]["90-Rollback.ps1"]
    path.write_text(json.dumps(manifest))
    assert found(folder)["90-Rollback.ps1"] in {
        "is not in the manifest",
        "does not belong to the set",
    }


def test_edit_is_found_where_the_hash_was_made_anew(folder):
    """Labkit knows its own text, and the plan its own hash."""
    script, manifest = folder / "10-Apply.ps1", folder / "manifest.json"
    before = script.read_bytes()

    def edit(old, new):
        edited = before.replace(old, new)
        script.write_bytes(edited)
        digests = [hashlib.sha256(data).hexdigest().encode() for data in (before, edited)]
        manifest.write_bytes(manifest.read_bytes().replace(*digests))

    kept = manifest.read_bytes()
    edit(b"Set-StrictMode", b"Get-VM | Remove-VM -Force\r\nSet-StrictMode")
    assert found(folder) == {"10-Apply.ps1": "is not what this labkit writes for this plan"}
    manifest.write_bytes(kept)
    edit(b"LowMmioBytes = 1073741824", b"LowMmioBytes = 2073741824")
    assert found(folder) == {"10-Apply.ps1": "is not what this labkit writes for this plan"}


def test_set_of_another_version_is_compared_with_its_manifest(folder):
    """Whose text this labkit cannot know; the result says so."""
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"labkit": "', b'"labkit": "0.0.'))
    report = check_set(folder)
    assert not report.compared
    assert not report.problems


def test_lost_quote_is_told_where_it_was_lost(folder):
    """Not where the next one happens to stand."""
    script = folder / "10-Apply.ps1"
    text = script.read_bytes()
    at = text.index(b"'", text.index(b"$ErrorActionPreference"))
    script.write_bytes(text[:at] + text[at + 1 :])
    line = text[:at].count(b"\n") + 1
    assert {problem.line for problem in check_set(folder).problems} == {line}


def test_inventory_of_the_host_may_lie_beside_the_scripts(folder, table):
    """00-Inventory writes it there; neither a check nor another write minds."""
    (folder / "host.json").write_text("{}")
    assert found(folder) == {}
    write_set(plan_scripts(Spec.from_table(table(memory="8GiB"))), folder)
    assert (folder / "host.json").read_text() == "{}"


def test_set_that_was_cut_short_is_finished(folder, table):
    """What was killed while it wrote leaves a part of the set and a file under its first name."""
    for name in ("manifest.json", "40-Display.ps1", "README.txt"):
        (folder / name).unlink()
    (folder / ".labkit-abc_1234").write_bytes(b"# half a scr")
    write_set(plan_scripts(Spec.from_table(table(memory="8GiB"))), folder)
    assert found(folder) == {}


def test_leftover_is_named(folder):
    """With the way to be rid of it."""
    (folder / ".labkit-abc_1234").touch()
    assert "writing the set again" in found(folder)[".labkit-abc_1234"]


def test_part_of_a_set_with_an_edit_is_kept(folder, table):
    """A script without a manifest is ours only as labkit writes it."""
    (folder / "manifest.json").unlink()
    with (folder / "10-Apply.ps1").open("ab") as file:
        file.write(b"# mine\r\n")
    with pytest.raises(RefusedError, match=r"10-Apply\.ps1"):
        write_set(plan_scripts(Spec.from_table(table())), folder)


WRITE = """
import sys
from pathlib import Path
from labkit.gpupv import Spec, plan_scripts
from labkit.gpupv.script_set import write_set
for memory in ("8GiB", "16GiB") * 200:
    files = plan_scripts(Spec.from_table({**TABLE, "vm": [{**TABLE["vm"][0], "memory": memory}]}))
    print(flush=True)
    write_set(files, Path(sys.argv[1]))
"""


def test_killed_write_can_be_run_again(tmp_path, table):
    """At any moment, over an empty folder or an old set."""
    code = WRITE.replace("TABLE", repr(table()))
    seed = random.Random(6)
    for folder in (tmp_path / str(number) for number in range(6)):
        with subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE) as run:
            run.stdout.readline()
            time.sleep(seed.uniform(0, 0.1))
            run.send_signal(signal.SIGKILL)
        write_set(plan_scripts(Spec.from_table(table())), folder)
        assert found(folder) == {}


def test_two_writes_at_once_leave_one_set(tmp_path, table):
    """One after the other, not a mixture."""
    plans = [plan_scripts(Spec.from_table(table(memory=size))) for size in ("8GiB", "16GiB")]
    for number in range(10):
        folder = tmp_path / str(number)
        writers = [threading.Thread(target=write_set, args=(plan, folder)) for plan in plans]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert found(folder) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="a folder is locked by flock")
def test_folder_that_another_writes_to_is_not_waited_for_without_end(folder, table, monkeypatch):
    """The one who waits says for what."""
    import fcntl

    monkeypatch.setattr("labkit.gpupv.script_set._LOCK_PATIENCE_S", 0.05)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match="another labkit"):
            write_set(plan_scripts(Spec.from_table(table())), folder)
    finally:
        os.close(handle)


def test_write_failure_leaves_the_old_file_and_no_litter(tmp_path):
    """What cannot be encoded is not half written."""
    with pytest.raises(UnicodeEncodeError):
        write_new_file(tmp_path / "a.ps1", "\u2019")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UnwritableError, match="cannot write") as raised:
        write_new_file(tmp_path / "no/a.ps1", "")
    assert raised.value.exit_code == ExitCode.UNMET
    with pytest.raises(UsageError, match="is a folder"):
        write_new_file(tmp_path, "")


def test_file_with_other_content_is_kept(tmp_path):
    """The same content may be written twice."""
    write_new_file(tmp_path / "a.ps1", "a")
    write_new_file(tmp_path / "a.ps1", "a")
    with pytest.raises(RefusedError):
        write_new_file(tmp_path / "a.ps1", "b")


def test_comparison_names_the_settings_and_files_that_change(table):
    """And nothing where nothing does."""
    old, new = Spec.from_table(table(memory="8GiB")), Spec.from_table(table(memory="16GiB"))
    assert compare_specs(old, old) == []
    changes = compare_specs(old, new)
    (setting,) = [change for change in changes if change.kind == "setting"]
    assert (setting.name, setting.old, setting.new) == ("StartupBytes", "8 GiB", "16 GiB")
    files = [change.name for change in changes if change.kind == "file"]
    assert "10-Apply.ps1" in files
    assert "00-Inventory.ps1" not in files


MORE = {"memory": "8GiB", "resolution": "800x600"}
NEW = {"iso": r"D:\w.iso", "vhd_size": "64GiB"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({}, {"vhdx": r"E:\o.vhdx"}, r"E:\o.vhdx"),
        ({}, {"remove_other_adapters": True}, "True"),
        ({}, {"host": {"allow_policy": True}}, "0"),
        ({}, {"resolution_type": "Single"}, "Single"),
        ({}, {"guest_user": "Player"}, "Player"),
        ({}, {"id": "6b2bd1b2-0000-0000-0000-000000000000"}, "6b2bd1b2"),
        ({}, {"mmio_low": "2GiB"}, "2 GiB"),
        ({}, {"mmio_base": "47GiB"}, "47 GiB"),
        ({}, {"percent": 50}, "50 %"),
        ({}, {"vcpu": 2}, "2"),
        ({}, {"stop_action": "TurnOff"}, "TurnOff"),
        ({}, {"gpu": {"path": "auto"}}, "auto"),
        ({}, {"create": NEW}, "64 GiB"),
        ({"create": NEW}, {"create": NEW | {"iso": r"D:\x.iso"}}, r"D:\x.iso"),
        ({"create": NEW}, {"create": NEW | {"switch": "lan"}}, "lan"),
    ],
)
def test_every_value_of_the_plan_block_is_a_row(table, old, new, words):
    """What changes the scripts changes the table that is reviewed."""
    before, after = (Spec.from_table(table(**(MORE | more))) for more in (old, old | new))
    rows = [change for change in compare_specs(before, after) if change.kind == "setting"]
    assert any(words in (row.new or "") for row in rows)


def test_name_of_the_plan_is_a_row(table):
    """It stands in every script too."""
    before, after = (Spec.from_table(table() | {"name": name}) for name in ("a", "b"))
    (row,) = [change for change in compare_specs(before, after) if change.kind == "setting"]
    assert (row.machine, row.old, row.new) == ("plan", "a", "b")


def test_tests_above_know_every_key_of_the_plan_block(table):
    """A new key of the block wants a row and a line in the test of rows."""
    data = plan_data(Spec.from_table(table()))
    assert set(data) == {"Tool", "Hash", "Name", "AllowPolicy", "Machines"}
    assert set(data["Machines"][0]) == {
        "Name", "Id", "Vhdx", "Gpus", "Percent", "RemoveOtherAdapters", "MemoryBytes",
        "ProcessorCount", "LowMmioBytes", "HighMmioBytes", "HighMmioBaseMb", "StopAction",
        "Width", "Height", "ResolutionType", "GuestUser", "Create",
    }  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["10-Apply.ps1", "manifest.json"])
def test_pipe_in_the_place_of_a_file_is_not_waited_for(folder, name):
    """Nobody may ever write to it."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    if name == "manifest.json":
        with pytest.raises(InputError, match="no regular file"):
            check_set(folder)
    else:
        assert found(folder) == {name: "cannot be read: it is no regular file"}


def test_what_is_no_file_is_not_called_edited(folder, table):
    """A folder or a link in the place of a script."""
    script = folder / "10-Apply.ps1"
    script.unlink()
    script.mkdir()
    with pytest.raises(RefusedError, match="no regular file"):
        write_set(plan_scripts(Spec.from_table(table())), folder)
