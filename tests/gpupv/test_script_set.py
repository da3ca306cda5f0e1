"""A script set on disk: written whole, checked, and never written over what is not ours."""

from __future__ import annotations

import json

import pytest

from labkit.errors import InputError, LabkitError, RefusedError
from labkit.gpupv import Spec, plan_scripts
from labkit.gpupv.script_set import check_set, compare_specs, write_new_file, write_set


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


def test_write_failure_leaves_the_old_file_and_no_litter(tmp_path):
    """What cannot be encoded is not half written."""
    with pytest.raises(UnicodeEncodeError):
        write_new_file(tmp_path / "a.ps1", "\u2019")
    assert not list(tmp_path.iterdir())
    with pytest.raises(LabkitError, match="cannot write"):
        write_new_file(tmp_path / "no/a.ps1", "")


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
