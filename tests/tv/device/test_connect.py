"""Connecting: every state that a TV can be in, with the real adb server in between."""

from __future__ import annotations

import socket
import threading

import pytest

from labkit.errors import ExitCode, LabkitError, UnmetError, UnreachableError
from labkit.tv.adb import AdbServer
from labkit.tv.address import parse_address
from labkit.tv.connection import Observation, Step, connect, decide


def error_of(endpoint, *, wait_s=1.0):
    """The error that connecting ends with."""
    with pytest.raises(LabkitError) as caught:
        connect(endpoint.server, parse_address(endpoint.address), wait_s=wait_s)
    return caught.value


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (Observation(None), Step.CONNECT),
        (Observation(None, attempts=1, reply="failed to connect"), Step.FAIL),
        (Observation(None, attempts=1, reply="already connected to a:1"), Step.RECONNECT),
        (Observation(None, attempts=2, reply="already connected to a:1"), Step.FAIL),
        (Observation("device"), Step.PROVE),
        (Observation("device", proof_failed=True), Step.RECONNECT),
        (Observation("device", attempts=2, proof_failed=True), Step.FAIL),
        (Observation("offline"), Step.RECONNECT),
        (Observation("offline", attempts=1), Step.RECONNECT),
        (Observation("offline", attempts=1, time_left=False), Step.FAIL),
        (Observation("offline", attempts=2), Step.FAIL),
        (Observation("unauthorized", attempts=1), Step.WAIT),
        (Observation("authorizing", attempts=1), Step.WAIT),
        (Observation("connecting", attempts=1), Step.WAIT),
        (Observation("recovery"), Step.FAIL),
        (Observation("a word of a later adb"), Step.FAIL),
    ],
)
def test_each_state_has_its_step(seen, step):
    """The state machine goes by the state alone, and gives up after two attempts."""
    assert decide(seen) is step


def test_a_tv_that_is_ready_is_connected(endpoint):
    """Success means that a first command was answered."""
    connection = connect(endpoint.server, parse_address(endpoint.address))
    assert (connection.serial, connection.state) == (endpoint.address, "device")
    assert connection.sdk == 28


def test_connecting_twice_asks_for_no_second_connection(endpoint):
    """A TV that is connected is proved to be ready, not connected again."""
    endpoint.open()
    before = endpoint.proxy.connections
    endpoint.open()
    assert endpoint.proxy.connections == before


def test_a_closed_port_is_refused_at_once(adb_server):
    """Nothing listens: unreachable, with the advice about debugging."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = parse_address(f"127.0.0.1:{reserved.getsockname()[1]}")
        with pytest.raises(UnreachableError) as caught:
            connect(adb_server, address, wait_s=1)
    assert caught.value.code == "conn_refused"
    assert "debugging" in caught.value.hint


def test_a_silent_port_is_offline(endpoint):
    """A port that takes connections and says nothing is no TV that is ready."""
    endpoint.proxy.faults.behaviour = "silent"
    error = error_of(endpoint)
    assert (error.code, error.exit_code) == ("offline", ExitCode.UNREACHABLE)


def test_another_protocol_is_no_tv(adb_server):
    """A web server on the port is told apart from a TV."""

    def serve(listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        address = parse_address(f"127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(UnreachableError):
            connect(adb_server, address, wait_s=1)
        adb_server.disconnect(str(address))


def test_a_refused_key_waits_for_the_prompt_and_says_so(endpoint):
    """Without permission on the TV the wait ends with `unauthorized`, which is unmet."""
    endpoint.proxy.faults.behaviour = "unauthorized"
    error = error_of(endpoint)
    assert isinstance(error, UnmetError)
    assert error.code == "unauthorized"
    assert "allow" in error.hint


def test_a_tv_that_wants_pairing_says_so(endpoint):
    """A TV that asks for TLS and does not know this computer is unpaired."""
    endpoint.proxy.faults.behaviour = "unpaired"
    error = error_of(endpoint)
    assert (error.code, error.exit_code) == ("unpaired", ExitCode.UNMET)
    assert "labkit tv pair" in error.hint


def test_a_tv_that_hangs_up_after_the_greeting_is_not_ready(endpoint):
    """`device` in the list is no proof: the first command must be answered."""
    endpoint.proxy.faults.behaviour = "greet-only"
    assert error_of(endpoint).exit_code == ExitCode.UNREACHABLE


def test_an_offline_tv_comes_back(endpoint):
    """A TV whose connection broke is connected anew."""
    endpoint.open()
    endpoint.proxy.hang_up()
    assert endpoint.open().run("getprop", "ro.build.version.sdk").stdout == "28\n"


def test_a_frozen_tv_does_not_hang_labkit(genuine):
    """A TV that stops in the middle costs no more than the time limit."""
    tv = genuine.open()
    assert tv.has_shell_v2
    genuine.process.freeze()
    try:
        with pytest.raises(UnreachableError) as caught:
            tv.run("getprop", timeout_s=0.5)
        assert caught.value.code == "conn_timeout"
    finally:
        genuine.process.thaw()


def test_a_frozen_tv_is_known_before_a_transfer_would_give_up(genuine, monkeypatch):
    """A service that does not open is no service that takes long."""
    monkeypatch.setattr("labkit.tv.adb._OPEN_TIMEOUT_S", 0.5)
    tv = genuine.open()
    assert tv.features
    genuine.process.freeze()
    try:
        with pytest.raises(UnreachableError) as caught:
            tv.sync()
        assert caught.value.code == "conn_timeout"
    finally:
        genuine.process.thaw()


def test_another_program_on_the_servers_port_is_told():
    """Where the adb server should be, something else answers."""

    def serve(listener):
        client, _ = listener.accept()
        client.close()
        client, _ = listener.accept()
        with client:
            client.recv(100)
            client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        server = AdbServer(None, port=listener.getsockname()[1])
        with pytest.raises(UnmetError) as caught:
            server.start()
    assert caught.value.code == "adb-server"


def test_a_server_that_cannot_start_says_why(tmp_path, monkeypatch):
    """A home that cannot be written keeps adb from making its key; its words come through."""
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\necho \"Cannot mkdir '/nowhere/.android'\" >&2\nexit 1\n")
    program.chmod(0o755)
    from labkit.tv.adb import AdbProgram

    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        server = AdbServer(AdbProgram(program, "34.0.0"), port=reserved.getsockname()[1])
        with pytest.raises(UnmetError, match="Cannot mkdir") as caught:
            server.start()
    assert caught.value.code == "adb_server"
