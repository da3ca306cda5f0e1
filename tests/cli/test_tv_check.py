"""`labkit tv check` and `labkit tv explain` as their users meet them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile

import pytest
import typer

from labkit.cli.tv import COMMANDS, tv
from labkit.tv.catalogue import CATALOGUE
from support.apk_builder import ApkBuilder


@pytest.fixture(scope="module")
def builder(tmp_path_factory, need_tool):
    """A builder of small signed APKs, by Debian's own tools."""
    for tool in ("aapt", "apksigner", "keytool"):
        need_tool(tool)
    return ApkBuilder(tmp_path_factory.mktemp("apks"))


@pytest.fixture(scope="module")
def tv_app(builder):
    """A signed app with a tile on the TV's home screen."""
    return builder.build(
        builder.manifest(attributes='android:versionCode="3" android:versionName="1.2"')
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name):
    """A row of the static table has the name and the help line of the command it names."""
    command = typer.main.get_command(tv.app).get_command(None, name)
    assert command.name == name
    assert command.help.splitlines()[0] == COMMANDS[name][1]


def test_a_sound_app_is_shown_and_fits(run, tv_app):
    """Exit code 0, and every fact that decides."""
    result = run("tv", "check", str(tv_app))
    assert (result.code, result.err) == (0, "")
    assert "org.labkit.sample 1.2 (3)" in result.out
    assert "tile on the home screen" in result.out
    assert result.out.endswith("no problem was found in it\n")


def test_the_document_holds_what_scripts_need(run, tv_app):
    """The keys of the published schema."""
    result = run("tv", "check", str(tv_app), "--json")
    assert result.document["schema"] == "labkit.tv.check/1"
    assert result.document["data"]["fits"] is True
    (app,) = result.document["data"]["apps"]
    assert {
        "package",
        "version_code",
        "version_name",
        "min_sdk",
        "target_sdk",
        "abis",
        "split",
        "signers",
        "leanback",
        "touchscreen_required",
        "problems",
    } <= set(app)
    assert (app["package"], app["version_code"], app["leanback"]) == ("org.labkit.sample", 3, True)
    assert len(app["signers"][0]) == 64


def test_an_unfit_app_ends_with_1_and_says_why(run, builder):
    """The worst first, each with its code and the next step."""
    unsigned = builder.build(builder.manifest(), keys=())
    result = run("tv", "check", str(unsigned))
    assert result.code == 1
    assert "error:" in result.out
    assert "[unsigned]" in result.out
    assert result.out.endswith("cannot be installed\n")
    document = run("tv", "check", str(unsigned), "--json").document
    assert document["ok"] is False
    assert document["data"]["apps"][0]["problems"][0]["code"] == "unsigned"


def test_several_apps_are_checked_at_once(run, builder, tv_app):
    """One that does not fit decides."""
    unsigned = builder.build(builder.manifest("org.other"), keys=())
    result = run("tv", "check", str(tv_app), str(unsigned), "--json")
    assert result.code == 1
    assert [app["fits"] for app in result.document["data"]["apps"]] == [True, False]


def test_the_parts_of_a_bundle_are_listed(run, builder, tmp_path):
    """Which part is for what, and how much is sent."""
    bundle = tmp_path / "app.apks"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.write(builder.base(), "base.apk")
        archive.write(builder.split("config.de", owner=""), "config.de.apk")
    result = run("tv", "check", str(bundle))
    assert result.code == 0
    assert "2 of 2: base, config.de" in result.out


@pytest.mark.parametrize("name", ["page.apk", "missing.apk"])
def test_bad_input_ends_with_2(run, tmp_path, name):
    """An error and a hint, no traceback."""
    (tmp_path / "page.apk").write_text("<html></html>")
    result = run("tv", "check", str(tmp_path / name))
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.out == ""


def test_checking_loads_neither_adb_nor_the_network(tv_app, spawn):
    """Offline, a check costs what it uses; apkInspector is all that it needs."""
    script = (
        "import sys; from labkit.cli.app import main; main(sys.argv[1:]); "
        "print([m for m in ('adbutils', 'requests', 'rich', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "tv", "check", str(tv_app)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stdout.endswith("[]\n")


def test_a_code_is_explained(run):
    """Meaning, next step and exit code."""
    result = run("tv", "explain", "no_matching_abis", "--json")
    assert result.code == 0
    assert result.document["data"] == {
        "code": "INSTALL_FAILED_NO_MATCHING_ABIS",
        "class": "unfit",
        "exit_code": 1,
        "detail": "",
        "known": True,
    } | {key: result.document["data"][key] for key in ("meaning", "hint")}
    assert "armeabi-v7a" in run("tv", "explain", "no_matching_abis").out


def test_a_log_is_explained_from_a_file_and_from_a_pipe(run, tmp_path, monkeypatch):
    """Also as PowerShell writes it."""
    text = "adb: failed to install a.apk: Failure [INSTALL_FAILED_OLDER_SDK]\r\n"
    for encoding in ("utf-8", "utf-16"):
        log = tmp_path / "log.txt"
        log.write_bytes(text.encode(encoding))
        result = run("tv", "explain", "--text", str(log), "--json")
        assert result.document["data"]["code"] == "INSTALL_FAILED_OLDER_SDK"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert "INSTALL_FAILED_OLDER_SDK" in run("tv", "explain", "--text", "-").out


def test_all_codes_are_listed(run):
    """The whole catalogue, in one table and in one document."""
    document = json.loads(run("tv", "explain", "--list", "--json").out)
    assert [row["code"] for row in document["data"]["codes"]] == [e.code for e in CATALOGUE]
    assert len(run("tv", "explain", "--list").out.splitlines()) == len(CATALOGUE) + 1


@pytest.mark.parametrize(
    "arguments", [(), ("LOST", "--list"), ("NO_SUCH_CODE",), ("--text", "/nonexistent/log")]
)
def test_what_cannot_be_explained_ends_with_2(run, arguments):
    """Nothing, too much, an unknown code, a missing file."""
    result = run("tv", "explain", *arguments)
    assert result.code == 2
    assert result.err.startswith("error: ")


@pytest.mark.parametrize("data", [b"", b" \n\n"])
def test_an_empty_text_is_no_log(run, tmp_path, data, monkeypatch):
    """It says how to save one; from a file and from a pipe."""
    (tmp_path / "log.txt").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    for name in (str(tmp_path / "log.txt"), "-"):
        result = run("tv", "explain", "--text", name, "--json")
        assert (result.code, result.document["errors"][0]["code"]) == (2, "empty-text")


def test_a_text_of_something_else_ends_with_1(run, tmp_path):
    """Its beginning is shown, so that one sees what was read."""
    (tmp_path / "log.txt").write_text("lorem ipsum\n" * 100)
    result = run("tv", "explain", "--text", str(tmp_path / "log.txt"))
    assert result.code == 1
    assert "knows nothing of this text" in result.out
    assert result.out.count("lorem ipsum") == 5
    document = run("tv", "explain", "--text", str(tmp_path / "log.txt"), "--json").document
    assert (document["ok"], document["data"]["code"]) == (False, "unknown")


def test_a_damaged_app_is_called_so(run, builder, tmp_path):
    """Also where its manifest and its certificates can be read."""
    path = tmp_path / "app.apk"
    data = bytearray(builder.build(abis=["armeabi-v7a"]).read_bytes())
    data[data.index(b"lib/armeabi-v7a") + 40] ^= 1
    path.write_bytes(data)
    result = run("tv", "check", str(path))
    assert result.code == 1
    assert "[damaged]" in result.out
    assert "no problem" not in result.out
    app = run("tv", "check", str(path), "--json").document["data"]["apps"][0]
    assert app["contents_compared_with"] == ["entry-sums"]
