"""Pairing, with a stand-in for the adb program: adbd of Debian knows neither TLS nor pairing."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import pytest

from labkit.errors import LabkitError, UnmetError, UsageError
from labkit.tv.adb import AdbProgram, AdbServer, find_adb_programs, server_from_environment
from labkit.tv.address import Address, parse_address
from labkit.tv.doctor import examine
from labkit.tv.pairing import pair, parse_services
from labkit.tv.server_owner import foreign_owner, server_owner
from support.adb_proxy import AdbProxy


@pytest.fixture
def pairing_port():
    """A port that takes connections, as a TV's pairing dialog does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@dataclass
class Stub:
    """A server whose program answers `pair` and `mdns services` as told."""

    server: AdbServer

    def pair(self, port, code="123456", **options):
        """Pair with a dialog on `port`."""
        return pair(self.server, parse_address(f"127.0.0.1:{port}"), code, **options)


@pytest.fixture
def stub(adb_server, tmp_path):
    """A function that makes an adb program with these answers."""

    def make(answer, services="", version="34.0.5"):
        program = tmp_path / "adb"
        program.write_text(
            "#!/bin/sh\n"
            'case "$*" in\n'
            f"*pair*) printf '%s\\n' \"{answer}\";;\n"
            f"*mdns*) printf '%b' \"{services}\";;\n"
            "esac\n"
        )
        program.chmod(0o755)
        return Stub(AdbServer(AdbProgram(program, version), port=adb_server.port))

    return make


def test_pairing_finds_the_connect_port_and_connects(stub, endpoint, pairing_port):
    """The port that the network announces is connected to, and the TV is ready."""
    port = endpoint.address.rpartition(":")[2]
    services = (
        f"List of discovered mdns services\\nadb-X-1\\t_adb-tls-connect._tcp\\t127.0.0.1:{port}\\n"
    )
    pairing = stub("Successfully paired to 127.0.0.1 [guid=adb-X]", services).pair(pairing_port)
    assert (pairing.paired, pairing.serial) == (True, endpoint.address)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Failed: Wrong password or connection was dropped.", "pair_wrong_code"),
        ("Failed: Unable to start pairing client.", "pair_failed"),
        ("error: protocol fault (couldn't read status message): Success", "pair_failed"),
        ("error: unknown host service", "adb_too_old"),
    ],
)
def test_a_failed_pairing_says_why(stub, pairing_port, answer, code):
    """Adb's words become a code; all are unmet conditions."""
    with pytest.raises(UnmetError) as caught:
        stub(answer).pair(pairing_port)
    assert caught.value.code == code
    assert caught.value.hint


def test_a_closed_dialog_is_told_from_a_wrong_code(stub):
    """Nothing listens on the pairing port: the dialog is closed."""
    with pytest.raises(UnmetError) as caught:
        stub("never asked").pair(1)
    assert caught.value.code == "pair_failed"


def test_an_old_adb_cannot_pair(stub, pairing_port):
    """Before 30 adb has no pairing; the error names the program."""
    with pytest.raises(UnmetError) as caught:
        stub("never asked", version="29.0.6-debian").pair(pairing_port)
    assert caught.value.code == "adb_too_old"


def test_a_code_has_six_digits(stub, pairing_port):
    """Anything else is bad usage, before adb is asked."""
    with pytest.raises(UsageError):
        stub("never asked").pair(pairing_port, code="12345a")


def test_only_the_connect_service_of_this_host_counts():
    """The pairing service and other hosts are passed over."""
    text = (
        "List of discovered mdns services\n"
        "a\t_adb-tls-pairing._tcp\t10.0.0.2:1111\n"
        "b\t_adb-tls-connect._tcp\t10.0.0.3:2222\n"
        "c\t_adb-tls-connect._tcp.\t10.0.0.2:3333\n"
    )
    assert parse_services(text, "10.0.0.2") == Address("10.0.0.2", 3333)
    assert parse_services("adb: unknown command mdns", "10.0.0.2") is None


def test_adb_programs_are_found_with_their_versions():
    """What is in PATH and what adbutils brings; each says its release."""
    programs = find_adb_programs()
    assert programs
    assert all(program.major >= 28 for program in programs)


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1"])
def test_a_server_port_that_is_none_is_bad_usage(port):
    """ANDROID_ADB_SERVER_PORT is checked before anything connects."""
    with pytest.raises(UsageError):
        server_from_environment({"ANDROID_ADB_SERVER_PORT": port})


def test_a_program_that_is_no_adb_is_refused(tmp_path):
    """ADBUTILS_ADB_PATH must name an adb that runs."""
    (tmp_path / "adb").write_text("#!/bin/sh\necho something else\n")
    (tmp_path / "adb").chmod(0o755)
    with pytest.raises(UnmetError):
        server_from_environment({"ADBUTILS_ADB_PATH": str(tmp_path / "adb")})


def test_no_adb_anywhere_is_an_unmet_condition(monkeypatch, tmp_path):
    """Without any adb the error says how to install one."""
    from labkit.tv import adb

    monkeypatch.setattr(adb, "find_program", lambda _: None)
    monkeypatch.setattr(adb, "_bundled_path", lambda: None)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        server = AdbServer(None, port=reserved.getsockname()[1])
        with pytest.raises(UnmetError) as caught:
            server.start()
    assert caught.value.code == "adb-missing"
    assert caught.value.hint


def test_the_owner_of_a_server_is_found(adb_server):
    """It is known whose server listens; nobody's where none does."""
    import os

    assert server_owner(adb_server.port) == os.getuid()
    assert server_owner(1) is None
    assert foreign_owner(adb_server.port) is None


def test_the_doctor_judges_the_adb_that_is_set(adb_server, tmp_path):
    """One that is set is used, however old; a newer one beside it helps nobody."""
    old = AdbProgram(tmp_path / "adb", "29.0.6")
    server = AdbServer(old, port=adb_server.port)
    checks = {check.name: check for check in examine(server, None, home=tmp_path)}
    assert checks["adb"].found.startswith(f"29.0.6 ({old.path}); also")
    assert not checks["pairing"].ok
    assert "ADBUTILS_ADB_PATH" in checks["pairing"].fix


def test_a_system_without_user_ids_has_no_foreign_servers(adb_server, monkeypatch, tmp_path):
    """Windows lacks `os.getuid`: the doctor finishes there, and finds the server in order."""
    import os

    monkeypatch.delattr(os, "getuid")
    checks = {check.name: check for check in examine(adb_server, None, home=tmp_path)}
    assert checks["server"].ok


def test_a_server_of_another_user_is_named_by_the_doctor(adb_server, monkeypatch, tmp_path):
    """The doctor says whose it is, and how to get one's own."""
    monkeypatch.setattr("labkit.tv.server_owner.server_owner", lambda _: 4321)
    checks = {check.name: check for check in examine(adb_server, None, home=tmp_path)}
    assert "4321" in checks["server"].found
    assert "ANDROID_ADB_SERVER_PORT" in checks["server"].fix


@pytest.mark.parametrize(
    "call",
    [
        lambda server: server.devices(),
        lambda server: server.features("x"),
        lambda server: server.connect("127.0.0.1:1", timeout_s=1),
        lambda server: server.disconnect("127.0.0.1:1"),
        lambda server: server.open("x", "shell:true", timeout_s=1),
    ],
    ids=["devices", "features", "connect", "disconnect", "open"],
)
def test_a_server_of_another_user_is_never_used(adb_server, monkeypatch, call):
    """Its key is another's: every request is an unmet condition that says so."""
    monkeypatch.setattr("labkit.tv.server_owner.server_owner", lambda _: 4321)
    with pytest.raises(UnmetError, match="another user") as caught:
        call(AdbServer(adb_server.program, port=adb_server.port))
    assert caught.value.code == "adb-server-foreign"
    assert "ANDROID_ADB_SERVER_PORT" in caught.value.hint


def test_a_steady_port_is_asked_for_and_connected_to(
    stub, emulator, emulated, pairing_port, monkeypatch
):
    """With `steady` the TV is told to listen on the port that stays, and is reached there."""
    port = emulated.address.rpartition(":")[2]
    services = f"adb-X-1\\t_adb-tls-connect._tcp\\t127.0.0.1:{port}\\n"
    with AdbProxy(emulator.connect) as steady:
        monkeypatch.setattr("labkit.tv.pairing.STEADY_PORT", steady.port)
        paired = stub("Successfully paired to 127.0.0.1 [guid=adb-X]", services)
        pairing = paired.pair(pairing_port, steady=True)
        assert pairing.serial == steady.address
        states = {device.serial: device.state for device in paired.server.devices()}
        assert states.get(emulated.address) is None
        assert states[steady.address] == "device"
        paired.server.disconnect(steady.address)
    assert f"tcpip:{steady.port}" in emulated.state.read()["log"]


def test_a_tv_that_keeps_its_port_is_an_error(stub, genuine, pairing_port):
    """Where the TV does not restart its adb, `steady` says so instead of guessing a port."""
    port = genuine.address.rpartition(":")[2]
    services = f"adb-X-1\\t_adb-tls-connect._tcp\\t127.0.0.1:{port}\\n"
    paired = stub("Successfully paired to 127.0.0.1 [guid=adb-X]", services)
    with pytest.raises(LabkitError) as caught:
        paired.pair(pairing_port, steady=True)
    assert caught.value.hint
