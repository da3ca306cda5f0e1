"""Installing: real APKs, real transport; only the package manager's answers are doubles."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from pathlib import Path

import pytest

from labkit.cli import app
from labkit.errors import ExitCode, LabkitError, RefusedError, UnreachableError
from labkit.tv.bundles import open_apps
from labkit.tv.device import Tv
from labkit.tv.install import InstallOptions, install, plan_install, wait_until_booted
from labkit.tv.replacing import ReplaceError
from labkit.tv.shell import ShellResult
from support.adb_proxy import ANDROID_6, ANDROID_9
from support.android import signer_hash

PACKAGE = "org.labkit.split"


@pytest.fixture(scope="session")
def base_apk(apk_builder):
    """The base of a split app, version 5."""
    return apk_builder.base(code=5)


@pytest.fixture(scope="session")
def split_set(apk_builder, base_apk, tmp_path_factory):
    """A folder with the base and its parts for two processors and two languages."""
    folder = tmp_path_factory.mktemp("split set ü")
    parts = {
        "Основа.apk": base_apk,
        "a.apk": apk_builder.split("config.armeabi_v7a", code=5, owner="", abis=["armeabi-v7a"]),
        "b.apk": apk_builder.split("config.arm64_v8a", code=5, owner="", abis=["arm64-v8a"]),
        "c.apk": apk_builder.split("config.de", code=5, owner=""),
        "d.apk": apk_builder.split("config.fr", code=5, owner=""),
    }
    for name, path in parts.items():
        (folder / name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="session")
def large_apk(apk_builder):
    """An app of 20 MB that does not compress."""
    import random

    apk = apk_builder.build(apk_builder.manifest(PACKAGE), keys=())
    library = apk.parent / "assets/film.bin"
    library.parent.mkdir()
    library.write_bytes(random.Random(2).randbytes(20_000_000))
    from support.apk_builder import run

    run("aapt", "add", "app.apk", "assets/film.bin", cwd=apk.parent)
    apk_builder.sign(apk)
    return apk


def install_on(tv, source, options=None):
    """Plan and install what `source` is, as the command does."""
    with open_apps([source]) as (app,):
        return install(tv, plan_install(app, tv.facts([app.package]), options))


def services_of(tv, monkeypatch):
    """A list to which every service opened on the TV is added."""
    opened = []
    original = tv.server.open

    def watched(serial, service, **options):
        opened.append(service)
        return original(serial, service, **options)

    monkeypatch.setattr(tv.server, "open", watched)
    return opened


def signer_of(path):
    """The number that the TV shows for the signer of an APK."""
    from labkit.tv.apk import read_apk

    (signer,) = read_apk(path).signatures.on(28).signers
    return f"{signer.certificate.java_hash:x}"


def sessions(endpoint):
    """The states of all sessions that were ever created."""
    return [s["state"] for s in endpoint.state.read()["sessions"].values()]


@pytest.mark.parametrize("features", [ANDROID_6, ANDROID_9], ids=["Android 6", "Android 9"])
def test_an_app_arrives_byte_by_byte(endpoint, base_apk, features):
    """One session: created with the size, written, committed; `pm` on old TVs, `cmd` on newer."""
    endpoint.state.reset()
    with endpoint.state.edit() as state:
        state["next_package"] = PACKAGE
    tv = endpoint.with_features(features)
    done = install_on(tv, base_apk)
    assert (done.package, done.version_code) == (PACKAGE, 5)
    arrived = endpoint.place(f"/data/app/{PACKAGE}/base.apk").read_bytes()
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(base_apk.read_bytes()).digest()
    verbs = [line for line in endpoint.state.read()["log"] if "install-" in line]
    words = "pm" if features == ANDROID_6 else "cmd package"
    assert verbs[0] == f"{words} install-create -r -S {base_apk.stat().st_size}"
    assert sessions(endpoint) == ["committed"]


def test_the_parts_for_this_tv_go_in_one_session(endpoint, split_set):
    """A 32-bit German TV gets base, armeabi-v7a and German, under names of our own."""
    with endpoint.state.edit() as state:
        state["next_package"] = PACKAGE
    install_on(endpoint.open(), split_set)
    names = sorted(p.name for p in endpoint.place(f"/data/app/{PACKAGE}").iterdir())
    assert names == ["base.apk", "split_config.armeabi_v7a.apk", "split_config.de.apk"]
    assert sessions(endpoint) == ["committed"]


def test_another_signer_is_refused_before_a_byte_is_sent(endpoint, base_apk):
    """The installed app's key is compared first; no session is created."""
    endpoint.state.add_package(PACKAGE, version_code=4, signers=[signer_hash(b"another key")])
    with pytest.raises(RefusedError) as caught:
        install_on(endpoint.open(), base_apk)
    assert (caught.value.code, caught.value.exit_code) == ("signer-mismatch", ExitCode.REFUSED)
    assert "--replace" in caught.value.hint
    assert sessions(endpoint) == []


def test_the_same_signer_may_update(endpoint, base_apk):
    """An update by the same key goes through without removing anything."""
    endpoint.state.add_package(PACKAGE, version_code=4, signers=[signer_of(base_apk)])
    with endpoint.state.edit() as state:
        state["next_package"] = PACKAGE
    install_on(endpoint.open(), base_apk)
    assert not [line for line in endpoint.state.read()["log"] if "uninstall" in line]


def verbs_of(endpoint):
    """What the package manager was asked for that changes something, in order."""
    return [
        word
        for line in endpoint.state.read()["log"]
        for word in line.split()
        if word.startswith(("install-", "uninstall"))
    ]


@pytest.fixture
def other_key(endpoint, base_apk):
    """The app by another key is on the TV, which refuses to update it."""
    former = endpoint.place(f"/data/app/{PACKAGE}/base.apk")
    former.parent.mkdir(parents=True)
    former.write_bytes(base_apk.read_bytes())
    endpoint.state.add_package(PACKAGE, version_code=4, signers=["1234abcd"])
    with endpoint.state.edit() as state:
        state["next_package"] = PACKAGE
        state["next_facts"] = {"signers": [signer_of(base_apk)], "version_code": 5}


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """The folder in which copies of former apps are kept."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return lambda: list(tmp_path.rglob("*.apks"))


ATTEMPT = ["install-create", "install-write", "install-commit"]
EXCHANGE = ["install-create", "install-write", "uninstall", "install-commit"]


def test_replace_removes_only_what_the_tv_does_not_update(endpoint, base_apk, other_key, copies):
    """The new app is tried first; then the former one goes, as the last step before the commit."""
    done = install_on(endpoint.open(), base_apk, InstallOptions(replace=True))
    assert done.replaced
    assert verbs_of(endpoint) == [*ATTEMPT, "install-abandon", *EXCHANGE]
    assert endpoint.state.read()["packages"][PACKAGE]["version_code"] == 5
    assert copies() == []


def test_replace_keeps_what_the_tv_updates_after_all(endpoint, base_apk, other_key, copies):
    """The TV knows better than the comparison: its data stays."""
    with endpoint.state.edit() as state:
        state["next_facts"] = {}
    done = install_on(endpoint.open(), base_apk, InstallOptions(replace=True))
    assert not done.replaced
    assert verbs_of(endpoint) == ATTEMPT


def test_replace_loses_nothing_where_the_tv_refuses_the_new_app(
    endpoint, base_apk, other_key, copies
):
    """Whatever speaks against the new app is known before the former one goes."""
    with endpoint.state.edit() as state:
        state["answers"] = {
            "cmd package install-commit": "Failure [INSTALL_FAILED_VERIFICATION_FAILURE: no]\n"
        }
    with pytest.raises(ReplaceError, match="as before") as caught:
        install_on(endpoint.open(), base_apk, InstallOptions(replace=True))
    assert caught.value.code == "INSTALL_FAILED_VERIFICATION_FAILURE"
    assert (caught.value.exit_code, caught.value.former) == (ExitCode.REFUSED, "untouched")
    assert endpoint.state.read()["packages"][PACKAGE]["version_code"] == 4
    assert "uninstall" not in verbs_of(endpoint)


def refuse_after_uninstall(endpoint, monkeypatch, *, commits):
    """Let the TV refuse the first `commits` commits after the former app has gone."""
    original = Tv.package_manager
    gone = []

    def fails(self, *arguments, **options):
        if arguments[0] == "uninstall":
            gone.append(arguments)
        if arguments[0] == "install-commit" and gone and len(gone) <= commits:
            gone.append(arguments)
            text = "Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]\n"
            return ShellResult(text, "", 1)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Tv, "package_manager", fails)


def test_a_former_app_is_put_back_when_the_new_one_fails_late(
    endpoint, base_apk, other_key, copies, monkeypatch
):
    """Its data is gone, and the message says so."""
    refuse_after_uninstall(endpoint, monkeypatch, commits=1)
    tv = endpoint.open()
    with endpoint.state.edit() as state:
        state["next_facts"] = {"signers": ["not the former one"]}
    with pytest.raises(ReplaceError, match="put back without its data") as caught:
        install_on(tv, base_apk, InstallOptions(replace=True))
    assert caught.value.code == "INSTALL_FAILED_INSUFFICIENT_STORAGE"
    assert caught.value.former == "reinstalled"
    arrived = endpoint.place(f"/data/app/{PACKAGE}/base.apk")
    assert arrived.read_bytes() == base_apk.read_bytes()
    assert PACKAGE in endpoint.state.read()["packages"]
    assert copies() == []


def test_a_former_app_that_cannot_be_put_back_is_kept_as_a_file(
    endpoint, base_apk, other_key, copies, monkeypatch
):
    """The message says that it is gone, and which command installs the copy."""
    refuse_after_uninstall(endpoint, monkeypatch, commits=2)
    with pytest.raises(ReplaceError, match="uninstalled for it, with its data") as caught:
        install_on(endpoint.open(), base_apk, InstallOptions(replace=True))
    (copy,) = copies()
    assert caught.value.former == "removed"
    assert caught.value.archive == copy
    assert f"labkit tv install {copy}" in caught.value.hint
    with open_apps([copy]) as (app,):
        assert app.package == PACKAGE


def test_replace_works_where_the_tv_gives_no_copy(endpoint, base_apk, other_key, copies):
    """The user allowed the loss; the missing copy is no reason to stop."""
    endpoint.place(f"/data/app/{PACKAGE}/base.apk").unlink()
    assert install_on(endpoint.open(), base_apk, InstallOptions(replace=True)).replaced


@pytest.mark.parametrize("sent", [5_000_000, 30_000_000], ids=["first try", "exchange"])
def test_ctrl_c_stops_before_the_former_app_goes(  # noqa: PLR0917 - fixtures
    genuine, base_apk, large_apk, copies, sent, adb_home, monkeypatch, tmp_path
):
    """Sending ends at once, the session is given up, and the installed app stays; exit 130."""
    former = genuine.place(f"/data/app/{PACKAGE}/base.apk")
    former.parent.mkdir(parents=True)
    former.write_bytes(base_apk.read_bytes())
    genuine.state.add_package(PACKAGE, version_code=4, signers=["1234abcd"])
    with genuine.state.edit() as state:
        state["next_package"] = PACKAGE
        state["next_facts"] = {"signers": [signer_of(large_apk)]}
    genuine.open()

    def press(so_far):
        if so_far > sent:
            genuine.proxy.faults.on_sent = None
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.5)

    genuine.proxy.faults.on_sent = press
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code = app.main(["tv", "install", str(large_apk), "--replace", "--yes"])

    assert code == ExitCode.INTERRUPTED
    verbs = verbs_of(genuine)
    assert "uninstall" not in verbs
    assert verbs[-1] == "install-abandon"
    assert set(sessions(genuine)) == {"abandoned"}
    assert copies() == []


def test_a_system_app_is_never_replaced(endpoint, base_apk):
    """What belongs to the TV's own software is not removed, whatever was allowed."""
    endpoint.state.add_package(PACKAGE, version_code=9, signers=["1234abcd"], system=True)
    with pytest.raises(RefusedError):
        install_on(endpoint.open(), base_apk, InstallOptions(replace=True, downgrade=True))
    assert PACKAGE in endpoint.state.read()["packages"]


def test_a_wrong_processor_is_unfit(endpoint, apk_builder):
    """A 64-bit app does not fit a 32-bit TV: the answer is no, with the file to choose."""
    apk = apk_builder.build(abis=["arm64-v8a"])
    with pytest.raises(LabkitError, match="arm64-v8a") as caught:
        install_on(endpoint.open(), apk)
    assert (caught.value.code, caught.value.exit_code) == ("abi-mismatch", ExitCode.NO)
    assert "armeabi-v7a" in caught.value.hint
    assert sessions(endpoint) == []


@pytest.mark.parametrize(
    ("answer", "code", "exit_code"),
    [
        ("Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]", "INSTALL_FAILED_INSUFFICIENT_STORAGE", 6),
        (
            "Failure [INSTALL_FAILED_OLDER_SDK: Requires newer sdk version #29]",
            "INSTALL_FAILED_OLDER_SDK",
            1,
        ),
        ("Failure [INSTALL_FAILED_VENDOR_SAYS_NO: because]", "INSTALL_FAILED_VENDOR_SAYS_NO", 6),
    ],
)
def test_a_refused_commit_is_explained_and_abandoned(endpoint, base_apk, answer, code, exit_code):
    """The package manager's code, its meaning and the next step; the session is given up."""
    tv = endpoint.open()
    with endpoint.state.edit() as state:
        state["answers"] = {"cmd package install-commit": answer + "\n"}
    with pytest.raises(LabkitError, match=code) as caught:
        install_on(tv, base_apk)
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert caught.value.hint
    assert sessions(endpoint) == ["abandoned"]


def test_a_package_manager_that_dies_is_a_lost_connection(endpoint, base_apk):
    """A write that ends without a word is `lost`, and the session is abandoned."""
    tv = endpoint.open()
    with endpoint.state.edit() as state:
        state["answers"] = {"cmd package install-write": ""}
    with pytest.raises(UnreachableError) as caught:
        install_on(tv, base_apk)
    assert caught.value.code == "lost"
    assert sessions(endpoint) == ["abandoned"]


@pytest.mark.parametrize(("features", "way"), [(ANDROID_6, "exec:"), (ANDROID_9, "shell,v2,raw:")])
def test_the_bytes_go_the_way_that_is_sure(endpoint, base_apk, monkeypatch, features, way):
    """The shell protocol where the package manager runs inside the system, else as adb does."""
    tv = endpoint.with_features(features)
    opened = services_of(tv, monkeypatch)
    install_on(tv, base_apk)
    assert [s.startswith(way) for s in opened if "install-write" in s] == [True]


def test_a_shell_that_loses_the_bytes_is_replaced_by_the_sure_way(
    genuine, base_apk, monkeypatch, tmp_path
):
    """Where the fast way fails without the package manager's word, the part goes as adb does it."""
    tv = genuine.open()
    opened = services_of(tv, monkeypatch)
    original = Tv.shell

    def deaf(self, line, **options):
        return original(self, "exit 1" if "install-write" in line else line, **options)

    monkeypatch.setattr(Tv, "shell", deaf)
    with genuine.state.edit() as state:
        state["next_package"] = PACKAGE
    install_on(tv, base_apk)
    assert opened[-2].startswith("exec:cmd package install-write")
    arrived = genuine.place(f"/data/app/{PACKAGE}/base.apk").read_bytes()
    assert arrived == base_apk.read_bytes()


def test_a_cut_in_the_middle_leaves_nothing_half_installed(genuine, large_apk):
    """The connection breaks while bytes flow: the session is abandoned over a new one."""
    tv = genuine.open()
    genuine.proxy.faults.sent = 0
    genuine.proxy.faults.cut_after = 5_000_000
    with pytest.raises(UnreachableError) as caught:
        install_on(tv, large_apk)
    assert "nothing was installed" in caught.value.hint
    assert sessions(genuine) == ["abandoned"]
    assert genuine.state.read()["packages"] == {}


def test_a_low_target_is_let_past_the_block(endpoint, apk_builder):
    """From Android 14 on the session carries the bypass flag for an old app."""
    apk = apk_builder.build(
        apk_builder.manifest(PACKAGE, sdk='android:minSdkVersion="9" android:targetSdkVersion="9"')
    )
    with endpoint.state.edit() as state:
        state["props"]["ro.build.version.sdk"] = "34"
    install_on(endpoint.open(), apk)
    create = next(x for x in endpoint.state.read()["log"] if "install-create" in x)
    assert "--bypass-low-target-sdk-block" in create


def test_a_tv_that_is_still_starting_is_waited_for(endpoint):
    """Without a package manager the TV is unreachable for as long as one waits."""
    tv = endpoint.open()
    with endpoint.state.edit() as state:
        state["answers"] = {"cmd package path": "cmd: Can't find service: package\n"}
    with pytest.raises(UnreachableError) as caught:
        wait_until_booted(tv, wait_s=0.1)
    assert caught.value.code == "tv_booting"


def test_the_plan_is_pure_and_tells_what_is_lost(apk_builder, base_apk):
    """A plan needs no TV: facts in, flags and blocking problems out."""
    from labkit.tv.facts import DeviceFacts, InstalledApp

    facts = DeviceFacts(
        sdk=28,
        abis=("armeabi-v7a",),
        installed={PACKAGE: InstalledApp(PACKAGE, version_code=9, debuggable=True)},
    )
    with open_apps([Path(base_apk)]) as (app,):
        blocked = plan_install(app, facts)
        assert [problem.code for problem in blocked.blocking] == ["downgrade"]
        allowed = plan_install(app, facts, InstallOptions(downgrade=True))
        assert (allowed.blocking, allowed.flags) == ((), ("-r", "-d"))
        assert not allowed.uninstalls
        assert plan_install(app, facts, InstallOptions(replace=True)).uninstalls


def test_a_downgrade_that_android_does_not_take_says_why(base_apk):
    """Neither of a release build nor from Android 14 on."""
    from labkit.tv.facts import DeviceFacts, InstalledApp

    for sdk, debuggable in ((28, False), (34, True)):
        present = InstalledApp(PACKAGE, version_code=9, debuggable=debuggable)
        facts = DeviceFacts(sdk=sdk, abis=("armeabi-v7a",), installed={PACKAGE: present})
        with open_apps([base_apk]) as (app,):
            (problem,) = plan_install(app, facts, InstallOptions(downgrade=True)).blocking
        assert "debug builds only" in problem.hint
