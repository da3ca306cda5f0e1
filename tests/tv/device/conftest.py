"""TVs for the tests: a genuine adbd and a pure Python one, behind a real adb server."""

from __future__ import annotations

import os
import random
import socket
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from labkit.tv.adb import AdbServer, find_adb_programs, newest_adb
from labkit.tv.address import parse_address
from labkit.tv.connection import connect
from labkit.tv.device import Tv
from support.adb_proxy import AdbProxy
from support.adbd import AdbdUnavailableError, find_adbd, running_adbd
from support.android import TvState, write_doubles
from support.tv_emulator import Emulator, empty_root, make_root


def free_port():
    """A port that nobody listens on.

    It lies outside of what adb scans for emulators, and of the range that systems take for
    outgoing connections: one of those could take it before the server does.
    """
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@pytest.fixture(scope="session")
def adb_home(tmp_path_factory):
    """A home and a temporary folder for adb, and a server port of its own, in the environment."""
    home = tmp_path_factory.mktemp("home")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("TMPDIR", str(home))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        for name in ("ANDROID_SERIAL", "ADBUTILS_ADB_PATH", "LABKIT_TV", "ADB_SERVER_SOCKET"):
            patch.delenv(name, raising=False)
        yield SimpleNamespace(folder=home, port=port)


@pytest.fixture(scope="session")
def adb_server(adb_home):
    """A real adb server, ended with the tests."""
    server = AdbServer(newest_adb(find_adb_programs()), port=adb_home.port)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def adbd(project, tmp_path_factory):
    """A genuine adbd; with LABKIT_REQUIRE_TOOLS=1 its absence is a failure."""
    folder = tmp_path_factory.mktemp("adbd")
    state = TvState(folder / "state")
    write_doubles(folder / "bin")
    try:
        program = find_adbd(project / ".cache" / "adbd")
        with running_adbd(program, folder / "bin", state.folder) as running:
            yield SimpleNamespace(
                connect=running.connect, root=running.root, state=state, process=running
            )
    except AdbdUnavailableError as error:
        if os.environ.get("LABKIT_REQUIRE_TOOLS") == "1":
            pytest.fail(f"no adbd: {error}")
        pytest.skip(f"no adbd: {error}")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """The pure Python TV."""
    folder = tmp_path_factory.mktemp("emulator")
    state = TvState(folder / "state")
    root = make_root(folder / "root")
    return SimpleNamespace(connect=Emulator(root, state).connect, root=root, state=state)


class Endpoint:
    """A TV that a test can reach: `address`, its `root`, `state` and `proxy`."""

    def __init__(self, device, proxy, server):
        self.root = device.root
        self.state = device.state
        self.process = getattr(device, "process", None)
        self.proxy = proxy
        self.server = server
        self.address = proxy.address

    def place(self, path):
        """Where the TV's `path` is on this computer."""
        return self.root / path.lstrip("/")

    def open(self, name="testtv"):
        """Connect, and return the TV."""
        connection = connect(self.server, parse_address(self.address), wait_s=10)
        return Tv(self.server, connection.serial, name)

    def with_features(self, features):
        """Announce other features, and connect anew."""
        self.proxy.faults.features = features
        self.server.disconnect(self.address)
        return self.open()


@contextmanager
def reachable(device, server):
    """Put a proxy before a TV; whatever a test left on the TV goes afterwards."""
    device.state.reset()
    with AdbProxy(device.connect) as proxy:
        yield Endpoint(device, proxy, server)
        server.disconnect(proxy.address)
    empty_root(device.root)


@pytest.fixture
def genuine(adbd, adb_server):
    """The genuine adbd behind a proxy."""
    with reachable(adbd, adb_server) as endpoint:
        yield endpoint


@pytest.fixture
def emulated(emulator, adb_server):
    """The pure Python TV behind a proxy."""
    with reachable(emulator, adb_server) as endpoint:
        yield endpoint


@pytest.fixture(params=["adbd", "emulator"])
def endpoint(request, adb_server):
    """Each kind of TV, behind a proxy: the contract that the emulator has to keep."""
    with reachable(request.getfixturevalue(request.param), adb_server) as found:
        yield found


@pytest.fixture
def tv(endpoint):
    """Each kind of TV, connected."""
    return endpoint.open()
