"""Kodi: found where it is, backed up whole, restored without losing what was there."""

from __future__ import annotations

import json
import random
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from labkit.cli import app
from labkit.errors import InputError, LabkitError, RefusedError, UnmetError
from labkit.tv.kodi import back_up, find_kodi, plan_restore, restore
from labkit.tv.kodi_archive import MANIFEST_MEMBER, read_archive

DATA = "/sdcard/Android/data/org.xbmc.kodi/files/.kodi"


def make_kodi(endpoint, *, count=40, version="21.1", folder=DATA):
    """Install Kodi with a data folder of `count` files, a Cyrillic name and a link."""
    endpoint.state.add_package("org.xbmc.kodi", version_name=version)
    place = endpoint.place(folder)
    dice = random.Random(count)
    for index in range(count):
        addon = place / "addons" / f"addon.{index % 50}"
        addon.mkdir(parents=True, exist_ok=True)
        (addon / f"f{index}.py").write_bytes(dice.randbytes(dice.randrange(2000)))
    (place / "userdata").mkdir()
    (place / "userdata/Настройки.xml").write_text("<settings/>")
    (place / "userdata/link").symlink_to("Настройки.xml")
    (place / "temp").mkdir()
    (place / "temp/kodi.log").write_text("left out")
    thumbnails = place / "userdata/Thumbnails/0"
    thumbnails.mkdir(parents=True)
    (thumbnails / "0.jpg").write_bytes(b"x" * 100)
    return place


def tree(place):
    """What lies in a folder: contents, times and link targets by name."""
    found = {}
    for path in place.rglob("*"):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = (path.read_bytes(), int(path.stat().st_mtime))
        else:
            found[name] = None
    return found


def test_a_large_tree_comes_back_byte_by_byte(genuine, tmp_path):
    """5,000 files, a Cyrillic name, a link and one unreadable file: all else is identical."""
    place = make_kodi(genuine, count=5000)
    secret = place / "userdata/secret.xml"
    secret.write_text("no")
    secret.chmod(0)
    tv = genuine.open()
    target = tmp_path / "kodi.tar"
    kodi = find_kodi(tv)
    manifest = back_up(tv, kodi, target)
    assert len(manifest.files) == 5001
    assert len(manifest.unreadable) == 1
    assert "secret.xml" in manifest.unreadable[0]
    assert target.stat().st_mode & 0o777 == 0o600
    secret.chmod(0o600)
    secret.unlink()
    expected = {k: v for k, v in tree(place).items() if "Thumbnails" not in k}
    expected = {k: v for k, v in expected.items() if not k.startswith("temp")}
    done = restore(tv, plan_restore(tv, kodi, target))
    assert tree(place) == expected
    assert genuine.place(done.aside).is_dir()
    assert any("am force-stop org.xbmc.kodi" in line for line in genuine.state.read()["log"])


@pytest.mark.parametrize("name", ["kodi.tar", "kodi.tar.gz"])
def test_a_backup_is_an_ordinary_archive_with_a_manifest(endpoint, tmp_path, name):
    """Any tar reads it; the manifest behind it has version, processor type and sums."""
    make_kodi(endpoint)
    tv = endpoint.open()
    target = tmp_path / name
    back_up(tv, find_kodi(tv), target)
    with tarfile.open(target) as archive:
        names = archive.getnames()
        document = json.load(archive.extractfile(MANIFEST_MEMBER))
    assert names[-1] == MANIFEST_MEMBER
    assert not [n for n in names if "Thumbnails" in n or "/temp" in n]
    assert document["origin"]["kodi_version"] == "21.1"
    assert document["origin"]["abis"] == ["armeabi-v7a", "armeabi"]
    manifest = read_archive(target, verify=True)
    assert ".kodi/userdata/Настройки.xml" in {file.path for file in manifest.files}


def test_thumbnails_are_taken_when_wanted(endpoint, tmp_path):
    """With thumbnails only caches are left out."""
    make_kodi(endpoint)
    tv = endpoint.open()
    manifest = back_up(tv, find_kodi(tv), tmp_path / "k.tar", thumbnails=True)
    paths = {file.path for file in manifest.files}
    assert ".kodi/userdata/Thumbnails/0/0.jpg" in paths
    assert ".kodi/temp/kodi.log" not in paths


def test_a_restore_brings_back_and_keeps_what_was_there(endpoint, tmp_path):
    """The backup is in place, and the former data lies beside it."""
    place = make_kodi(endpoint)
    tv = endpoint.open()
    kodi = find_kodi(tv)
    back_up(tv, kodi, tmp_path / "k.tar")
    (place / "userdata/Настройки.xml").write_text("changed since")
    done = restore(tv, plan_restore(tv, kodi, tmp_path / "k.tar"))
    assert (place / "userdata/Настройки.xml").read_text() == "<settings/>"
    aside = endpoint.place(done.aside)
    assert (aside / "userdata/Настройки.xml").read_text() == "changed since"


def test_the_data_folder_may_be_moved(endpoint):
    """`xbmc_env.properties` says where the data is, and counts before the usual place."""
    make_kodi(endpoint, count=3)
    moved = endpoint.place("/sdcard/other/.kodi/userdata")
    moved.mkdir(parents=True)
    endpoint.place("/sdcard/xbmc_env.properties").write_text("xbmc.data=/sdcard/other\n")
    assert find_kodi(endpoint.open()).folder == "/sdcard/other/.kodi"


def test_a_missing_or_unused_kodi_is_told_apart(endpoint):
    """Not installed and never started are two different next steps."""
    tv = endpoint.open()
    with pytest.raises(UnmetError) as caught:
        find_kodi(tv)
    assert caught.value.code == "kodi-missing"
    endpoint.state.add_package("org.xbmc.kodi")
    with pytest.raises(UnmetError) as caught:
        find_kodi(tv)
    assert caught.value.code == "kodi-never-started"


def test_a_tv_that_forbids_access_says_what_to_do_instead(genuine):
    """Without permission on the data folder, Kodi's own add-on is the way."""
    place = make_kodi(genuine, count=3)
    place.parent.chmod(0)
    try:
        with pytest.raises(RefusedError) as caught:
            find_kodi(genuine.open())
    finally:
        place.parent.chmod(0o700)
    assert caught.value.code == "kodi-folder-forbidden"
    assert "script.xbmcbackup" in caught.value.hint


def test_a_folder_that_cannot_be_written_is_known_before_anything_moves(genuine, tmp_path):
    """The write probe refuses a restore while Kodi's data is untouched."""
    place = make_kodi(genuine, count=3)
    tv = genuine.open()
    kodi = find_kodi(tv)
    back_up(tv, kodi, tmp_path / "k.tar")
    place.parent.chmod(0o500)
    try:
        with pytest.raises(RefusedError) as caught:
            plan_restore(tv, kodi, tmp_path / "k.tar")
    finally:
        place.parent.chmod(0o700)
    assert caught.value.code == "kodi-folder-forbidden"
    assert place.is_dir()


def test_an_incomplete_restore_leaves_the_present_data_in_place(genuine, tmp_path):
    """When the TV goes away in the middle, Kodi's data is as before and no copy stays."""
    place = make_kodi(genuine, count=300)
    big = place / "userdata/big.bin"
    big.write_bytes(random.Random(1).randbytes(8_000_000))
    tv = genuine.open()
    kodi = find_kodi(tv)
    back_up(tv, kodi, tmp_path / "k.tar")
    before = tree(place)
    plan = plan_restore(tv, kodi, tmp_path / "k.tar")
    genuine.proxy.faults.sent = 0
    genuine.proxy.faults.cut_after = 1_000_000
    with pytest.raises(LabkitError) as caught:
        restore(tv, plan)
    assert "the former data is in place" in caught.value.hint
    assert tree(place) == before
    assert [p.name for p in place.parent.iterdir()] == [".kodi"]


def test_restores_within_one_second_keep_all_former_data(endpoint, tmp_path):
    """Each moves what was there to a name of its own, and into nothing that is there."""
    place = make_kodi(endpoint, count=3)
    tv = endpoint.open()
    kodi = find_kodi(tv)
    back_up(tv, kodi, tmp_path / "k.tar")
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    asides = []
    for text in ("first", "second", "third"):
        (place / "userdata/mine.xml").write_text(text)
        plan = plan_restore(tv, kodi, tmp_path / "k.tar", now=now)
        asides.append((endpoint.place(restore(tv, plan).aside), text))
    assert len({aside for aside, _ in asides}) == 3
    for aside, text in asides:
        assert (aside / "userdata/mine.xml").read_text() == text
        assert not (aside / ".kodi").exists()


def test_a_name_that_is_taken_meanwhile_is_not_moved_into(endpoint, tmp_path):
    """Kodi's data stays where it is, what is in the way too, and no copy is left."""
    place = make_kodi(endpoint, count=3)
    tv = endpoint.open()
    kodi = find_kodi(tv)
    back_up(tv, kodi, tmp_path / "k.tar")
    plan = plan_restore(tv, kodi, tmp_path / "k.tar")
    aside = endpoint.place(plan.aside)
    aside.mkdir()
    before = tree(place)
    with pytest.raises(RefusedError, match="exists") as caught:
        restore(tv, plan)
    assert caught.value.code == "restore-failed"
    assert tree(place) == before
    assert list(aside.iterdir()) == []
    assert sorted(p.name for p in place.parent.iterdir()) == [".kodi", aside.name]


def test_a_backup_that_cannot_move_in_gives_its_place_back(endpoint, tmp_path):
    """The second rename fails: the former data is under its own name again."""
    place = make_kodi(endpoint, count=3)
    tv = endpoint.open()
    kodi = find_kodi(tv)
    back_up(tv, kodi, tmp_path / "k.tar")
    plan = plan_restore(tv, kodi, tmp_path / "k.tar")
    origin = replace(plan.manifest.origin, folder="/sdcard/.another")
    before = tree(place)
    with pytest.raises(RefusedError):
        restore(tv, replace(plan, manifest=replace(plan.manifest, origin=origin)))
    assert tree(place) == before
    assert [p.name for p in place.parent.iterdir()] == [".kodi"]


def test_what_a_killed_restore_left_goes_with_the_next(endpoint, tmp_path):
    """Its incomplete copy may be as large as the data."""
    place = make_kodi(endpoint, count=3)
    tv = endpoint.open()
    kodi = find_kodi(tv)
    back_up(tv, kodi, tmp_path / "k.tar")
    left = place.parent / ".labkit-restore-20260101-000000"
    (left / ".kodi/userdata").mkdir(parents=True)
    (left / ".kodi/userdata/half.xml").write_text("half")
    plan = plan_restore(tv, kodi, tmp_path / "k.tar")
    assert [path.rpartition("/")[2] for path in plan.leftovers] == [left.name]
    aside = endpoint.place(restore(tv, plan).aside)
    assert sorted(p.name for p in place.parent.iterdir()) == [".kodi", aside.name]


def test_a_restore_cut_off_between_its_renames_can_be_repeated(endpoint, tmp_path):
    """The former data is found and named; a backup says where it is instead of "never started"."""
    place = make_kodi(endpoint, count=3)
    tv = endpoint.open()
    back_up(tv, find_kodi(tv), tmp_path / "k.tar")
    before = tree(place)
    aside = place.with_name(".kodi.labkit-20260101-000000")
    place.rename(aside)
    kodi = find_kodi(tv)
    assert kodi.former.rpartition("/")[2] == aside.name
    with pytest.raises(UnmetError, match=aside.name) as caught:
        back_up(tv, kodi, tmp_path / "again.tar")
    assert caught.value.code == "kodi-restore-cut-off"
    done = restore(tv, plan_restore(tv, kodi, tmp_path / "k.tar"))
    assert endpoint.place(done.aside) == aside
    assert tree(aside) == before
    assert (place / "userdata/Настройки.xml").is_file()


def test_another_major_version_is_refused(endpoint, tmp_path):
    """Data of Kodi 21 does not go into Kodi 20."""
    make_kodi(endpoint)
    tv = endpoint.open()
    back_up(tv, find_kodi(tv), tmp_path / "k.tar")
    endpoint.state.add_package("org.xbmc.kodi", version_name="20.5")
    with pytest.raises(RefusedError) as caught:
        plan_restore(tv, find_kodi(tv), tmp_path / "k.tar")
    assert caught.value.code == "kodi-version"


def test_a_damaged_backup_is_refused_before_anything_changes(endpoint, tmp_path):
    """One changed byte in a file is found by its sum; a cut archive by its end."""
    make_kodi(endpoint)
    tv = endpoint.open()
    target = tmp_path / "k.tar"
    back_up(tv, find_kodi(tv), target)
    data = target.read_bytes()
    position = data.index(b"<settings/>")
    target.write_bytes(data[:position] + b"!" + data[position + 1 :])
    with pytest.raises(InputError, match="not what was backed up"):
        plan_restore(tv, find_kodi(tv), target)
    target.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError):
        plan_restore(tv, find_kodi(tv), target)


def test_a_backup_replaces_no_file(endpoint, tmp_path):
    """A file that exists stays as it is."""
    make_kodi(endpoint, count=3)
    tv = endpoint.open()
    target = tmp_path / "k.tar"
    target.write_text("mine")
    with pytest.raises(RefusedError) as caught:
        back_up(tv, find_kodi(tv), target)
    assert caught.value.code == "file-exists"
    assert target.read_text() == "mine"


def stops_of_kodi(endpoint):
    """How often Kodi was stopped."""
    return sum("force-stop" in call for call in endpoint.state.read()["log"])


def test_kodi_runs_on_where_the_backup_cannot_be_written(endpoint, tmp_path, monkeypatch):
    """A missing folder, a file in the way and a full disk are found before Kodi is stopped."""
    make_kodi(endpoint, count=3)
    tv = endpoint.open()
    kodi = find_kodi(tv)
    (tmp_path / "mine.tar").write_text("mine")
    full = SimpleNamespace(free=1000)
    for target, code in (
        (tmp_path / "missing/k.tar", "not-writable"),
        (tmp_path / "mine.tar", "file-exists"),
        (tmp_path / "k.tar", "no-space"),
    ):
        if code == "no-space":
            monkeypatch.setattr("shutil.disk_usage", lambda _: full)
        with pytest.raises(LabkitError) as caught:
            back_up(tv, kodi, target)
        assert caught.value.code == code
    assert stops_of_kodi(endpoint) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar"]


def test_a_tree_that_fits_is_backed_up_to_a_small_disk(endpoint, tmp_path, monkeypatch):
    """What is left out takes no space: only the rest is asked for."""
    place = make_kodi(endpoint, count=3)
    (place / "userdata/Thumbnails/1.jpg").write_bytes(bytes(3_000_000))
    tv = endpoint.open()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    back_up(tv, find_kodi(tv), tmp_path / "k.tar")
    assert stops_of_kodi(endpoint) == 1


@pytest.mark.parametrize("name", ["k.zip", "k.tar.xz"])
def test_a_backup_is_not_named_as_another_kind_of_archive(name, tmp_path, capsys):
    """It would be a tar under a zip's name; no TV is needed to say so."""
    assert app.main(["tv", "kodi", "backup", str(tmp_path / name), "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["code"] == "archive-name"
    assert "k.tar.gz" in error["hint"]


def test_a_backup_that_breaks_leaves_no_file(genuine, tmp_path):
    """A TV that goes away in the middle leaves nothing that looks like a backup."""
    place = make_kodi(genuine, count=3)
    (place / "userdata/big.bin").write_bytes(bytes(30_000_000))
    tv = genuine.open()
    kodi = find_kodi(tv)
    genuine.proxy.faults.cut_answers_after = 5_000_000
    with pytest.raises(LabkitError):
        back_up(tv, kodi, tmp_path / "k.tar")
    assert list(tmp_path.iterdir()) == []
