"""What labkit relies on, against the genuine adbd and against the emulator."""

from __future__ import annotations

import os
import random
import time

import pytest

from labkit.errors import InputError, RefusedError, UnreachableError, UsageError
from labkit.tv import files, packages
from support.adb_proxy import ANDROID_6


def test_a_command_keeps_its_outputs_and_status_apart(tv):
    """Output, errors and exit status of a command come separately."""
    result = tv.run("ls", "/nothing-there")
    assert (result.stdout, result.status != 0) == ("", True)
    assert "No such file" in result.stderr


def test_an_old_shell_tells_the_status_too(endpoint):
    """Without the shell protocol the status comes from an echo, and CRLF is gone."""
    tv = endpoint.with_features(ANDROID_6)
    assert not tv.has_shell_v2
    result = tv.run("ls", "/nothing-there")
    assert result.status != 0
    assert "No such file" in result.stdout
    assert "\r" not in result.stdout
    assert tv.run("ls", "/sdcard").status == 0


def test_a_command_that_hangs_is_given_up(tv):
    """A command's time limit holds, and the error says that nothing came."""
    with pytest.raises(UnreachableError) as caught:
        tv.run("sleep", "30", timeout_s=0.3)
    assert caught.value.code == "conn_timeout"
    assert "no answer comes over the connection" in caught.value.message


def test_the_facts_of_a_tv_are_read(endpoint, tv):
    """Model, level, processor types, density, space and Kodi come from Android's own words."""
    endpoint.state.add_package("org.xbmc.kodi", system=False)
    info = tv.info()
    assert (info.model, info.sdk, info.android) == ("Test TV", 28, "9")
    assert info.abis == ("armeabi-v7a", "armeabi")
    assert (info.density_dpi, info.free_bytes) == (320, 4_000_000 * 1024)
    assert (info.languages, info.kodi) == (("de",), ("org.xbmc.kodi",))


def test_an_installed_app_is_read_with_its_signer(endpoint, tv):
    """Version, splits and signer come from the dump; a missing app is None."""
    endpoint.state.add_package("a.b", version_code=7, version_name="1.7", signers=["d7f1f224"])
    app = tv.installed("a.b")
    assert (app.version_code, app.version_name) == (7, "1.7")
    assert app.signers == {0xD7F1F224}
    assert tv.installed("a.c") is None


def test_apps_are_listed_and_filtered(endpoint, tv):
    """Origin and state of each app, and the filters over them."""
    endpoint.state.add_package("com.tv.store", system=True, enabled=False)
    endpoint.state.add_package("org.Example.player")
    assert [a.package for a in packages.list_apps(tv)] == ["com.tv.store", "org.Example.player"]
    assert [a.package for a in packages.list_apps(tv, third_party=True)] == ["org.Example.player"]
    assert [a.package for a in packages.list_apps(tv, disabled=True)] == ["com.tv.store"]
    assert [a.package for a in packages.list_apps(tv, text="EXAMPLE")] == ["org.Example.player"]


def test_an_app_is_switched_off_and_on(endpoint, tv):
    """Disabling and enabling change the TV; an app that is not there is a usage error."""
    endpoint.state.add_package("a.b")
    packages.disable(tv, "a.b")
    assert not endpoint.state.read()["packages"]["a.b"]["enabled"]
    packages.enable(tv, "a.b")
    assert endpoint.state.read()["packages"]["a.b"]["enabled"]
    with pytest.raises(UsageError) as caught:
        packages.disable(tv, "a.c")
    assert caught.value.code == "not_installed"


def test_a_system_app_is_not_uninstalled(endpoint, tv):
    """The TV's refusal comes with the advice to disable the app."""
    endpoint.state.add_package("com.tv.store", system=True)
    with pytest.raises(RefusedError, match="DELETE_FAILED_INTERNAL_ERROR") as caught:
        packages.uninstall(tv, "com.tv.store")
    assert "disable" in caught.value.hint


def test_an_app_is_uninstalled(endpoint, tv):
    """An app goes away; `keep_data` says so to the package manager."""
    endpoint.state.add_package("a.b")
    packages.uninstall(tv, "a.b", keep_data=True)
    state = endpoint.state.read()
    assert "a.b" not in state["packages"]
    assert any("uninstall -k a.b" in line for line in state["log"])


def test_a_saved_app_holds_its_parts(endpoint, tv, tmp_path):
    """Base and splits come into one archive, byte by byte; a second save replaces nothing."""
    folder = endpoint.place("/data/app/a.b")
    folder.mkdir()
    for name in ("base.apk", "split_config.de.apk"):
        (folder / name).write_bytes(name.encode() * 50_000)
    endpoint.state.add_package(
        "a.b", files=["/data/app/a.b/base.apk", "/data/app/a.b/split_config.de.apk"]
    )
    target = tmp_path / "a.apks"
    saved = packages.save(tv, "a.b", target)
    assert saved.parts == ("base.apk", "split_config.de.apk")
    import zipfile

    with zipfile.ZipFile(target) as archive:
        assert archive.read("base.apk") == b"base.apk" * 50_000
    with pytest.raises(RefusedError) as caught:
        packages.save(tv, "a.b", target)
    assert caught.value.code == "file-exists"


def make_tree(folder):
    """A tree with what breaks file copying: names, sizes, times, empty folders."""
    dice = random.Random(4)
    for index in range(60):
        sub = folder / f"d{index % 7}" / "Фильмы"
        sub.mkdir(parents=True, exist_ok=True)
        file = sub / f"Сцена {index} '\"$(x).bin"
        file.write_bytes(dice.randbytes(dice.choice([0, 1, 511, 512, 513, 70_000])))
        os.utime(file, (1_500_000_000 + index, 1_500_000_000 + index))
    (folder / "empty").mkdir()
    (folder / ("long" * 40)).write_text("x")


def contents(folder):
    """Relative name -> contents and time of each file, and the folders."""
    return {
        str(p.relative_to(folder)): (p.read_bytes(), int(p.stat().st_mtime)) if p.is_file() else 0
        for p in folder.rglob("*")
    }


@pytest.mark.parametrize("features", [None, ANDROID_6], ids=["tar", "file by file"])
def test_a_tree_goes_to_the_tv_and_back(endpoint, tmp_path, features):
    """Push and pull keep names, contents and times, by tar and file by file."""
    tv = endpoint.open() if features is None else endpoint.with_features(features)
    source = tmp_path / "tree"
    make_tree(source)
    plan = files.plan_push(tv, [source], "/sdcard/in")
    pushed = files.push(tv, plan)
    assert (pushed.files, plan.folder) == (61, "/sdcard")
    last = plan.files[-1]
    # adbd confirms a file before it sets its time.
    deadline = time.monotonic() + 10
    while int(endpoint.place(f"/sdcard/{last.remote}").stat().st_mtime) != last.mtime:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert contents(endpoint.place("/sdcard/in")) == contents(source)
    pulled = files.pull(tv, "/sdcard/in", tmp_path / "back")
    assert (pulled.files, pulled.skipped) == (61, ())
    assert contents(tmp_path / "back") == contents(source)


def test_one_file_is_renamed_or_put_into_a_folder(endpoint, tv, tmp_path):
    """A destination that is a folder receives the file; another gives it its name."""
    source = tmp_path / "a.txt"
    source.write_text("text")
    assert files.plan_push(tv, [source], "/sdcard/new.txt").items[0].remote == "new.txt"
    into = files.plan_push(tv, [source], "/sdcard")
    assert (into.folder, into.items[0].remote) == ("/sdcard", "a.txt")
    files.push(tv, into)
    assert endpoint.place("/sdcard/a.txt").read_text() == "text"
    assert files.plan_push(tv, [source], "/sdcard").replaces == ("/sdcard/a.txt",)


def test_what_is_not_there_cannot_be_pulled_or_listed(tv, tmp_path):
    """A missing path is an input error, and nothing is created here."""
    for call in (
        lambda: files.pull(tv, "/sdcard/none", tmp_path / "x"),
        lambda: files.list_folder(tv, "/sdcard/none"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.code == "not-on-tv"
    assert not list(tmp_path.iterdir())


def test_a_folder_is_listed(endpoint, tv):
    """Names, sizes and times of a folder, sorted."""
    place = endpoint.place("/sdcard")
    (place / "b").write_text("12345")
    os.utime(place / "b", (1_600_000_000, 1_600_000_000))
    (place / "a").mkdir()
    listed = files.list_folder(tv, "/sdcard/")
    assert [(f.name, f.is_folder) for f in listed] == [("a", True), ("b", False)]
    assert (listed[1].size_bytes, listed[1].mtime) == (5, 1_600_000_000)


def test_a_link_from_the_tv_never_leads_outside(endpoint, tv, tmp_path):
    """A link inside the tree stays a link; one that leads out is skipped and named."""
    place = endpoint.place("/sdcard/in")
    place.mkdir()
    (place / "file").write_text("x")
    (place / "good").symlink_to("file")
    (place / "bad").symlink_to("/etc/passwd")
    (place / "up").symlink_to("../../x")
    pulled = files.pull(tv, "/sdcard/in", tmp_path / "back")
    assert (tmp_path / "back/good").readlink().name == "file"
    assert sorted(p.name for p in (tmp_path / "back").iterdir()) == ["file", "good"]
    assert len(pulled.skipped) == 2
