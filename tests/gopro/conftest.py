"""A fake camera for each test, and no way to any other host."""

from __future__ import annotations

import ipaddress
import json
import socket

import pytest

from labkit.cli import app
from labkit.gopro import Camera, PullOptions, pull
from labkit.gopro.fake import FakeCamera, made_up_card
from labkit.transfer import Patience

QUICK = Patience(
    connect_timeout_s=2,
    stall_timeout_s=0.4,
    backoff_s=(0.0, 0.01, 0.01),
    busy_wait_s=0.3,
    busy_pause_s=0.05,
)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    """Refuse every connection that leaves this computer; 10.5.5.9 may be somebody's camera."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            assert ipaddress.ip_address(address[0]).is_loopback, f"a test connects to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    # For commands that are run without --host, here and in processes of their own.
    monkeypatch.setenv("LABKIT_GOPRO_HOST", "127.0.0.1:9")


@pytest.fixture
def card():
    """A card with one of everything."""
    return made_up_card()


@pytest.fixture
def camera_with(card):
    """A function that starts a fake camera; it ends with the test."""
    started = []

    def start(*faults, files=None, **settings):
        settings.setdefault("stall_s", 1.5)
        fake = FakeCamera(files or card, faults=faults, **settings)
        fake.__enter__()
        started.append(fake)
        return fake

    yield start
    for fake in started:
        fake.__exit__(None, None, None)


@pytest.fixture
def find():
    """A function that finds a fake camera with short time-outs."""

    def call(fake, **settings):
        settings.setdefault("patience", QUICK)
        return Camera.find(fake.address, **settings)

    return call


@pytest.fixture
def pull_from(find, tmp_path):
    """A function that pulls from a fake camera into a folder of the test."""

    def call(fake, destination=tmp_path / "dest", *, find_options=None, **options):
        return pull(find(fake, **(find_options or {})), destination, PullOptions(**options))

    return call


@pytest.fixture
def assert_whole(card, tmp_path):
    """A function that compares every pulled file with the card, byte by byte."""

    def check(result, files=card, destination=tmp_path / "dest"):
        assert result.downloaded
        for planned in result.downloaded:
            original = files.find(planned.file.folder, planned.file.name)
            assert (destination / planned.path).read_bytes() == original.read(0, original.size)
        assert not list(destination.rglob("*.part"))

    return check


@pytest.fixture
def run(capsys):
    """A function that runs `labkit gopro` in this process: exit code, stdout, stderr."""

    def call(*arguments):
        code = app.main(["gopro", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def run_json(run):
    """A function that runs `labkit gopro ... --json`: exit code and document."""

    def call(*arguments):
        code, out, _ = run(*arguments, "--json")
        return code, json.loads(out)

    return call


@pytest.fixture
def dest(tmp_path):
    """Where pulls go."""
    return tmp_path / "dest"
