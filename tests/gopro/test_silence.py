"""Something takes connections and says nothing: a camera that hangs, or another device."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import replace

import pytest

from labkit.errors import ExitCode
from labkit.gopro import Camera, parse_address
from labkit.gopro.errors import CameraUnreachableError
from labkit.transfer import Patience
from support.scripted_server import ScriptedServer, Stall, whole

PATIENCE = Patience(connect_timeout_s=2, stall_timeout_s=0.2)


class SilentHost:
    """Takes every connection and keeps it open; counts them."""

    def __init__(self):
        self.connections = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        with contextlib.suppress(OSError):
            while True:
                self.connections.append(self._listener.accept()[0])

    def close(self):
        """End all connections."""
        for connection in [self._listener, *self.connections]:
            connection.close()


@pytest.fixture
def silent():
    """A host that says nothing."""
    host = SilentHost()
    yield host
    host.close()


def test_it_is_given_up_after_two_questions(silent):
    """Not after one for each path that some camera has."""
    with pytest.raises(CameraUnreachableError, match="does not answer") as caught:
        Camera.find(parse_address(silent.address), patience=PATIENCE)

    assert caught.value.code == "camera-silent"
    assert len(silent.connections) == 2


@pytest.mark.parametrize("command", ["info", "ls", "clock"])
def test_the_timeout_of_the_user_bounds_every_answer(silent, run, monkeypatch, command):
    """Also that of a list, which has more time otherwise."""
    import requests

    send, waits = requests.Session.send, []

    def recorded(self, request, **settings):
        waits.append(settings["timeout"])
        return send(self, request, **settings)

    monkeypatch.setattr(requests.Session, "send", recorded)
    code, _, err = run(command, "--timeout", "0.2", "--host", silent.address)

    assert code == ExitCode.UNREACHABLE
    assert "does not answer" in err
    assert waits == [(0.2, 0.2)] * 2


def test_one_path_that_hangs_is_not_the_camera():
    """A camera may hang on a path that it does not know, and answer the next one."""
    media = {"media": [{"d": "100GOPRO", "fs": [{"n": "GOPR0001.JPG", "s": "10"}]}]}
    script = [[Stall(0.7)], whole(json.dumps(media).encode())]
    patience = replace(PATIENCE, stall_timeout_s=0.5)
    with ScriptedServer(script) as server:
        camera = Camera.find(parse_address(f"127.0.0.1:{server.port}"), patience=patience)

    assert camera.dialect.name == "legacy"


def test_a_camera_that_answered_once_is_not_given_up(camera_with, find):
    """Its commands hang one after the other: they are not told, and its files are there."""
    camera = find(camera_with("F18", dialect="legacy"))
    camera.link.control_timeout_s = 0.2

    assert camera.state() is None
    assert camera.state() is None
    assert camera.info.serial is None
    assert len(camera.listing().files) > 0
