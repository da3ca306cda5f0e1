"""The commands of `labkit tv` against a TV: exit codes, documents, questions."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack

import pytest

from labkit.cli import app
from labkit.errors import UnmetError
from support.adb_proxy import AdbProxy
from support.tv_emulator import empty_root

PACKAGE = "org.labkit.sample"


@pytest.fixture
def run(capsys, adb_home, monkeypatch, tmp_path):
    """A function that runs `labkit tv ... --json`: exit code and document."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def call(*words):
        code = app.main(["tv", *map(str, words), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def apk(apk_builder, endpoint):
    """A small app, which the next session installs."""
    with endpoint.state.edit() as state:
        state["next_package"] = PACKAGE
    return apk_builder.build()


def test_connecting_remembers_the_name(run, endpoint):
    """`--name` gives the TV a name that `--tv` and `list` know."""
    code, document = run("connect", endpoint.address, "--name", "livingroom")
    assert (code, document["ok"]) == (0, True)
    assert document["schema"] == "labkit.tv.connect/1"
    assert document["data"]["state"] == "device"
    _, listed = run("list")
    assert {"name": "livingroom", "state": "device"}.items() <= listed["data"]["tvs"][0].items()
    code, document = run("info", "--tv", "livingroom")
    assert code == 0
    assert document["data"]["choose_abi"] == "armeabi-v7a"


def test_a_name_is_one_tvs_only(run, endpoint):
    """A second TV cannot take a name: bad usage, and nothing is connected for it."""
    run("connect", endpoint.address, "--name", "livingroom")
    code, document = run("connect", "127.0.0.1:1", "--name", "livingroom")
    assert (code, document["errors"][0]["code"]) == (2, "name-taken")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("connect", "127.0.0.1:99999"), 2),
        (("connect", "http://tv"), 2),
        (("pair", "127.0.0.1", "123456"), 2),
        (("pair", "127.0.0.1:1", "12"), 2),
        (("ls", "sdcard"), 2),
        (("ls", "/sdcard", "--tv", "nobody"), 2),
        (("push", "/etc/hostname", "relative"), 2),
        (("install", "http://127.0.0.1/app.apk"), 2),
        (("install", "/nothing/here.apk"), 2),
        (("kodi", "list", "/nothing/here.tar"), 2),
        (("uninstall", "not a package", "--yes"), 2),
        (("connect", "127.0.0.1:1"), 3),
        (("pair", "127.0.0.1:1", "123456"), 4),
    ],
)
def test_bad_input_has_its_exit_code(run, endpoint, words, code):
    """Each fails with a clear error and a document, and the TV is as before."""
    before = endpoint.state.read()["packages"]
    endpoint.open()
    found, document = run(*words)
    assert (found, document["ok"]) == (code, False)
    assert document["errors"][0]["message"]
    assert endpoint.state.read()["packages"] == before


@pytest.mark.parametrize("words", [("connect", "127.0.0.1:1"), ("install", "app.apk")])
@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon"])
def test_waiting_takes_a_number_of_seconds(words, seconds, capsys):
    """`nan` would be waited for without end."""
    assert app.main(["tv", *words, "--wait", seconds]) == 2
    assert "--wait" in capsys.readouterr().err


def test_several_tvs_need_a_choice(run, endpoint, adb_server):
    """With two TVs and no `--tv` the answer lists them."""
    endpoint.open()
    with AdbProxy(endpoint.proxy._connect) as other:
        from labkit.tv.address import parse_address
        from labkit.tv.connection import connect

        connect(adb_server, parse_address(other.address))
        code, document = run("info")
        adb_server.disconnect(other.address)
    assert (code, document["errors"][0]["code"]) == (2, "many_devices")
    assert other.address in document["errors"][0]["message"]


def test_an_app_is_installed_and_started(run, endpoint, apk):
    """The document names package, version and TV."""
    endpoint.open()
    code, document = run("install", apk, "--tv", endpoint.address, "--launch")
    assert code == 0
    (done,) = document["data"]["installed"]
    expected = {"package": PACKAGE, "tv": endpoint.address, "started": True, "replaced": False}
    assert expected.items() <= done.items()
    assert any(line.startswith(f"monkey -p {PACKAGE}") for line in endpoint.state.read()["log"])


def test_what_was_done_is_said(endpoint, apk, capsys):
    """Also that the app was started, and that another one had to go first."""
    endpoint.open()
    endpoint.state.add_package(PACKAGE, version_code=0, signers=["c0ffee"])
    with endpoint.state.edit() as state:
        state["next_facts"] = {"signers": ["another"]}
    words = ["install", str(apk), "--tv", endpoint.address, "--launch", "--replace", "--yes"]
    assert app.main(["tv", *words]) == 0
    said = capsys.readouterr().out
    assert "installed org.labkit.sample" in said
    assert "the former app and its data removed; started" in said


def test_an_app_that_does_not_start_is_installed_all_the_same(run, endpoint, apk):
    """Partly done: the document has it under both."""
    endpoint.open()
    with endpoint.state.edit() as state:
        state["answers"]["monkey"] = "** No activities found to run, monkey aborted.\n"
        state["answers"]["cmd package resolve-activity"] = "No activity found\n"
    code, document = run("install", apk, "--tv", endpoint.address, "--launch")
    (done,) = document["data"]["installed"]
    assert (code, done["started"], len(document["data"]["failed"])) == (5, False, 1)


def test_a_file_is_not_pushed_under_the_name_of_a_missing_folder(run, endpoint, tmp_path):
    """With a slash, or with an extension, it is clear what is meant."""
    film = tmp_path / "film.mkv"
    film.write_bytes(b"film")
    endpoint.open()
    to = ("--tv", endpoint.address)
    code, document = run("push", film, "/sdcard/Movies", *to)
    assert (code, document["errors"][0]["code"]) == (2, "no-such-folder")
    assert "/sdcard/Movies/" in document["errors"][0]["hint"]
    assert not endpoint.place("/sdcard/Movies").exists()
    code, document = run("push", film, "/sdcard/Movies/", *to)
    assert (code, document["data"]["target"]) == (0, "/sdcard/Movies/film.mkv")
    code, document = run("push", film, "/sdcard/other.mkv", *to)
    assert (code, document["data"]["target"]) == (0, "/sdcard/other.mkv")
    assert endpoint.place("/sdcard/other.mkv").read_bytes() == b"film"
    assert endpoint.place("/sdcard/Movies/film.mkv").read_bytes() == b"film"


def test_a_link_to_nothing_stays_behind(run, endpoint, tmp_path):
    """The rest of its folder goes, and what stayed is named; alone it is a missing file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("a")
    (folder / "dangling").symlink_to("nowhere")
    endpoint.open()
    to = ("--tv", endpoint.address)
    code, document = run("push", folder, "/sdcard/x", *to)
    assert code == 5
    assert document["data"]["files"] == 1
    assert "dangling: a link to nothing" in document["errors"][0]["message"]
    assert endpoint.place("/sdcard/x/a").read_text() == "a"
    code, document = run("push", folder / "dangling", "/sdcard/y", *to)
    assert (code, document["errors"][0]["code"]) == (2, "file-not-found")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_known_before_anything_is_sent(run, endpoint, tmp_path):
    """The readable one beside it does not arrive either."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").touch(mode=0)
    endpoint.open()
    code, document = run(
        "push", tmp_path / "a", tmp_path / "b", "/sdcard/", "--tv", endpoint.address
    )
    assert (code, document["errors"][0]["code"]) == (2, "bad-input")
    assert not endpoint.place("/sdcard/a").exists()


@pytest.mark.parametrize("name", ["a b", "a/b", "..", "", "-x", "a\nb", "tv.lan"])
def test_a_name_is_one_word(run, endpoint, name):
    """Nothing is connected for another."""
    code, document = run("connect", endpoint.address, f"--name={name}")
    assert (code, document["errors"][0]["code"]) == (2, "bad-name")


@pytest.mark.parametrize("behaviour", ["silent", "drop"])
def test_a_failed_connect_leaves_nothing_in_the_list(run, endpoint, behaviour):
    """The server would keep it as an offline device without a name."""
    endpoint.proxy.faults.behaviour = behaviour
    code, _ = run("connect", endpoint.address, "--wait", "1")
    assert code == 3
    _, listed = run("list")
    assert endpoint.address not in {tv["serial"] for tv in listed["data"]["tvs"]}


def test_a_tv_without_a_name_has_a_dash_in_the_list(endpoint, capsys):
    """An empty first column would move the others."""
    endpoint.open()
    assert app.main(["tv", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"-\t{endpoint.address}\tdevice") for line in lines)


@pytest.mark.parametrize("command", ["check", "install", "kodi list"])
def test_a_pipe_is_refused_instead_of_waited_for(run, command, tmp_path):
    """Its bytes could not be read in the order that is needed."""
    pipe = tmp_path / "app.apk"
    os.mkfifo(pipe)
    code, document = run(*command.split(), pipe)
    assert (code, document["errors"][0]["code"]) == (2, "not-a-file")


@pytest.mark.parametrize(
    "words",
    [
        ("check", ""),
        ("install", ""),
        ("push", "", "/sdcard/"),
        ("pull", "/sdcard/a", ""),
        ("kodi", "backup", ""),
        ("kodi", "restore", ""),
        ("kodi", "list", ""),
        ("save", "a.b", "-o", ""),
    ],
)
def test_an_empty_argument_is_not_the_present_folder(words, capsys):
    """It is what an unset variable of a script leaves; no TV is asked for it."""
    assert app.main(["tv", *words]) == 2
    assert "empty" in capsys.readouterr().err


def test_an_adb_that_does_not_run_is_named_by_its_variable(run, monkeypatch):
    """The cure is there, and not to install another one."""
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/nope")
    code, document = run("list")
    (error,) = document["errors"]
    assert (code, "ADBUTILS_ADB_PATH" in error["message"]) == (4, True)
    assert "unset it" in error["hint"]


def test_checking_takes_addresses_as_installing_does(run):
    """Only encrypted ones; the address is not taken for a path."""
    code, document = run("check", "http://127.0.0.1/app.apk")
    (error,) = document["errors"]
    assert (code, error["code"]) == (2, "not-https")
    assert "http://127.0.0.1/app.apk" in error["message"]


def test_a_dry_run_sends_nothing(run, endpoint, apk):
    """The plan is shown; no session is created."""
    code, document = run("install", apk, "--tv", endpoint.address, "--dry-run")
    assert code == 0
    assert document["data"]["planned"][0]["parts"] == ["base.apk"]
    assert endpoint.state.read()["sessions"] == {}


def test_a_failure_is_in_the_document(run, endpoint, apk):
    """Another signer: exit 6, the code, and the way out, before a byte is sent."""
    endpoint.state.add_package(PACKAGE, version_code=0, signers=["c0ffee"])
    code, document = run("install", apk, "--tv", endpoint.address)
    (failed,) = document["data"]["failed"]
    assert (code, failed["code"]) == (6, "signer-mismatch")
    assert "labkit tv save" in failed["hint"]
    assert endpoint.state.read()["sessions"] == {}


def test_replacing_needs_a_yes(run, endpoint, apk):
    """Without a terminal `--replace` ends with 2 and names `--yes`; with it the app is replaced."""
    endpoint.state.add_package(PACKAGE, version_code=0, signers=["c0ffee"])
    words = ("install", apk, "--tv", endpoint.address, "--replace")
    code, document = run(*words)
    assert (code, document["errors"][0]["code"]) == (2, "confirmation-needed")
    assert PACKAGE in endpoint.state.read()["packages"]
    assert run(*words, "--yes")[0] == 0


def test_a_replacement_that_fails_says_what_became_of_the_former_app(run, endpoint, apk):
    """In the document, too."""
    endpoint.open()
    endpoint.state.add_package(PACKAGE, version_code=0, signers=["c0ffee"])
    with endpoint.state.edit() as state:
        state["answers"]["cmd package install-commit"] = (
            "Failure [INSTALL_FAILED_VERIFICATION_FAILURE: not verified]\n"
        )
    code, document = run("install", apk, "--tv", endpoint.address, "--replace", "--yes")
    (failed,) = document["data"]["failed"]
    assert (code, failed["former_app"], failed["former_app_copy"]) == (6, "untouched", None)
    assert "its data are as before" in failed["message"]


@pytest.mark.parametrize(
    "command",
    [
        "apps",
        "info",
        "check APK",
        "install APK --wait 0",
        "save a.b",
        "uninstall a.b --yes",
        "disable a.b",
        "launch a.b",
        "kodi backup",
    ],
)
def test_a_tv_that_is_still_starting_is_not_asked_for_apps(run, endpoint, apk, command):
    """Without a package manager nothing is known: neither "not installed" nor "it fits"."""
    endpoint.state.add_package("a.b")
    with endpoint.state.edit() as state:
        text = "cmd: Can't find service: package\n"
        state["answers"] = {"cmd package": text, "dumpsys package": text.removeprefix("cmd: ")}
    endpoint.open()
    words = [apk if word == "APK" else word for word in command.split()]
    code, document = run(*words, "--tv", endpoint.address)
    error = document["errors"][0]
    assert (code, error["code"]) == (3, "tv_booting")


def test_all_tvs_get_the_app(run, endpoint, adb_server, apk):
    """`--all` installs on every connected TV, and one that fails does not stop the other."""
    from labkit.tv.address import parse_address
    from labkit.tv.connection import connect

    endpoint.open()
    with ExitStack() as stack:
        other = stack.enter_context(AdbProxy(endpoint.proxy._connect))
        connect(adb_server, parse_address(other.address))
        stack.callback(adb_server.disconnect, other.address)
        code, document = run("install", apk, "--all")
    assert code == 0
    assert {done["tv"] for done in document["data"]["installed"]} == {
        endpoint.address,
        other.address,
    }


def test_a_tv_that_hangs_keeps_no_other_from_the_app(
    run, genuine, emulator, adb_server, apk_builder
):
    """`--all` installs where it can, and reports the TV that is frozen and the one not allowed."""
    from labkit.tv.address import parse_address
    from labkit.tv.connection import connect

    emulator.state.reset()
    with emulator.state.edit() as state:
        state["next_package"] = PACKAGE
    with AdbProxy(emulator.connect) as healthy, AdbProxy(emulator.connect) as unasked:
        unasked.faults.behaviour = "unauthorized"
        genuine.open()
        connect(adb_server, parse_address(healthy.address))
        with pytest.raises(UnmetError):
            connect(adb_server, parse_address(unasked.address), wait_s=1)
        genuine.process.freeze()
        try:
            code, document = run("install", apk_builder.build(), "--all")
        finally:
            genuine.process.thaw()
            for proxy in (healthy, unasked):
                adb_server.disconnect(proxy.address)
    assert code == 5
    assert [done["tv"] for done in document["data"]["installed"]] == [healthy.address]
    failed = {each["tv"]: each["code"] for each in document["data"]["failed"]}
    assert failed.pop(unasked.address) in {"unauthorized", "authorizing"}
    assert failed == {genuine.address: "conn_timeout"}
    empty_root(emulator.root)


def test_uninstalling_asks_and_can_be_tried_dry(run, endpoint):
    """A dry run changes nothing; `--yes` removes."""
    endpoint.state.add_package("a.b")
    words = ("uninstall", "a.b", "--tv", endpoint.address)
    assert run(*words)[0] == 2
    assert run(*words, "--dry-run")[1]["data"]["uninstalled"] is False
    assert "a.b" in endpoint.state.read()["packages"]
    assert run(*words, "--yes")[1]["data"]["uninstalled"] is True
    assert endpoint.state.read()["packages"] == {}


def test_files_are_pushed_listed_and_pulled(run, endpoint, tmp_path):
    """The documents count files and bytes; what exists needs a yes."""
    (tmp_path / "a.txt").write_text("12345")
    tv = ("--tv", endpoint.address)
    code, document = run("push", tmp_path / "a.txt", "/sdcard/", *tv)
    assert (code, document["data"]["files"], document["data"]["bytes"]) == (0, 1, 5)
    _, listed = run("ls", "/sdcard", *tv)
    assert [file["name"] for file in listed["data"]["files"]] == ["a.txt"]
    assert run("push", tmp_path / "a.txt", "/sdcard/", *tv)[0] == 2
    code, document = run("pull", "/sdcard/a.txt", tmp_path / "b.txt", *tv)
    assert (code, (tmp_path / "b.txt").read_text()) == (0, "12345")


def test_kodi_goes_into_a_file_and_back(run, endpoint, tmp_path):
    """Backup, list and restore by command; the restore needs a yes."""
    endpoint.state.add_package("org.xbmc.kodi", version_name="21.1")
    place = endpoint.place("/sdcard/Android/data/org.xbmc.kodi/files/.kodi/userdata")
    place.mkdir(parents=True)
    (place / "a.xml").write_text("<a/>")
    tv = ("--tv", endpoint.address)
    archive = tmp_path / "k.tar.gz"
    code, document = run("kodi", "backup", archive, *tv)
    assert (code, document["data"]["files"]) == (0, 1)
    code, document = run("kodi", "list", archive, "--verify")
    assert (code, document["data"]["files"][0]["path"]) == (0, ".kodi/userdata/a.xml")
    assert run("kodi", "restore", archive, *tv)[0] == 2
    code, document = run("kodi", "restore", archive, *tv, "--yes")
    assert (code, document["data"]["done"]) == (0, True)
    assert ".labkit-" in document["data"]["moved_aside"]


def test_the_doctor_names_what_is_wrong(run, endpoint):
    """A TV that is not connected is a no, with the command that connects it."""
    code, document = run("doctor", "--tv", endpoint.address)
    assert code == 1
    bad = [check for check in document["data"]["checks"] if not check["ok"]]
    assert [check["found"] for check in bad] == ["not connected"]
    assert f"labkit tv connect {endpoint.address}" in bad[0]["fix"]
    endpoint.open()
    assert run("doctor", "--tv", endpoint.address)[0] == 0
