"""Connecting to a TV: a state machine over what can be observed.

`adb connect` ends with status 0 whatever happened, and says `already connected` of devices that
refuse every command. What counts is the state in the server's device list, and in the end the
answer to a first command.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, unique
from typing import TYPE_CHECKING

from labkit.errors import LabkitError, UnmetError, UnreachableError
from labkit.progress import SILENT
from labkit.tv.address import probe
from labkit.tv.faults import adb_error
from labkit.tv.shell import run_shell

if TYPE_CHECKING:
    from labkit.progress import Progress
    from labkit.tv.adb import AdbServer
    from labkit.tv.address import Address

__all__ = ["READY", "Connection", "Observation", "Step", "connect", "decide", "prove"]

READY = "device"
"""The server's word for a device that takes commands."""

_WAITING_FOR_THE_PROMPT = frozenset({"unauthorized", "authorizing"})

_MAX_ATTEMPTS = 2

_PROBE_TIMEOUT_S = 5.0
# The server itself gives up after 10 s.
_CONNECT_TIMEOUT_S = 15.0
_SETTLE_S = 2.0
_POLL_S = 0.25


@dataclass(frozen=True)
class Connection:
    """A TV that is ready.

    Attributes:
        serial: What adb calls it.
        state: The server's word for its state: `device`.
        sdk: Its Android API level; 0 where it does not tell.
    """

    serial: str
    state: str
    sdk: int


@unique
class Step(Enum):
    """What to do next."""

    CONNECT = "connect"
    RECONNECT = "reconnect"
    WAIT = "wait"
    PROVE = "prove"
    FAIL = "fail"


@dataclass(frozen=True)
class Observation:
    """What is known about a connection at a moment.

    Attributes:
        state: The server's word; None where it does not list the TV.
        attempts: How often connecting was asked for.
        reply: What the server answered the last time.
        proof_failed: Whether a first command failed although the state was `device`.
        time_left: Whether there is time for another attempt.
    """

    state: str | None
    attempts: int = 0
    reply: str = ""
    proof_failed: bool = False
    time_left: bool = True


def decide(seen: Observation) -> Step:
    """Choose the next step; a pure function of what was observed."""
    again = not seen.attempts or (seen.time_left and seen.attempts < _MAX_ATTEMPTS)
    match seen.state:
        case "device" if not seen.proof_failed:
            return Step.PROVE
        case "device" | "offline":
            return Step.RECONNECT if again else Step.FAIL
        case "unauthorized" | "authorizing" | "connecting":
            return Step.WAIT
        case None if not seen.attempts:
            return Step.CONNECT
        case None if again and seen.reply.startswith("already connected"):
            # The server was just about to notice that the connection had broken.
            return Step.RECONNECT
        case _:
            return Step.FAIL


def connect(
    server: AdbServer, address: Address, *, wait_s: float = 30.0, progress: Progress = SILENT
) -> Connection:
    """Connect to the TV at `address`, until it takes commands.

    Args:
        server: The adb server.
        address: The TV.
        wait_s: How long to wait for somebody to allow this computer on the TV, in seconds.
        progress: Told what is waited for.

    Raises:
        UnreachableError: Nothing answers there, or not as adb.
        UnmetError: The TV did not accept this computer in time, or wants it paired first.
    """
    server.start()
    attempt = _Attempt(server, address, time.monotonic() + wait_s, progress)
    try:
        return _carry_through(attempt, address, wait_s)
    except LabkitError:
        attempt.forget()
        raise


def _carry_through(attempt: _Attempt, address: Address, wait_s: float) -> Connection:
    while True:
        match decide(attempt.observe()):
            case Step.CONNECT:
                probe(address, timeout_s=min(_PROBE_TIMEOUT_S, max(wait_s, 1.0)))
                attempt.request()
            case Step.RECONNECT:
                attempt.start_over()
            case Step.WAIT:
                attempt.wait()
            case Step.PROVE:
                if connection := attempt.prove():
                    return connection
            case Step.FAIL:
                raise _failure(attempt.observe(), address)


def prove(server: AdbServer, serial: str) -> Connection:
    """Run a first command, which alone proves that a TV is ready.

    Raises:
        UnreachableError: It does not answer.
    """
    shell_v2 = "shell_v2" in server.features(serial)
    command = ("getprop", "ro.build.version.sdk")
    result = run_shell(server, serial, command, shell_v2=shell_v2, timeout_s=10)
    text = result.stdout.strip()
    return Connection(serial, READY, int(text) if text.isdecimal() else 0)


class _Attempt:
    """The doing side of the state machine."""

    def __init__(
        self, server: AdbServer, address: Address, deadline: float, progress: Progress
    ) -> None:
        self._server = server
        self._address = address
        self._deadline = deadline
        self._progress = progress
        self._attempts = 0
        self._reply = ""
        self._proof_failed = False
        self._told = False

    def observe(self) -> Observation:
        return Observation(
            self._server.state(str(self._address)),
            self._attempts,
            self._reply,
            self._proof_failed,
            time.monotonic() < self._deadline,
        )

    def request(self) -> None:
        self._attempts += 1
        self._progress.message(f"connecting to {self._address}")
        self._reply = self._server.connect(str(self._address), timeout_s=_CONNECT_TIMEOUT_S)

    def start_over(self) -> None:
        self._server.disconnect(str(self._address))
        probe(self._address, timeout_s=_PROBE_TIMEOUT_S)
        if self._attempts:
            time.sleep(_SETTLE_S)
        self._proof_failed = False
        self.request()

    def forget(self) -> None:
        """Let the server drop a connection that was only made here, and never came to be."""
        address = str(self._address)
        with suppress(LabkitError):  # what counts is why connecting failed
            if self._attempts and self._server.state(address) == "offline":
                self._server.disconnect(address)

    def wait(self) -> None:
        state = self._server.state(str(self._address))
        if time.monotonic() > self._deadline:
            raise adb_error("unauthorized", str(self._address))
        if state in _WAITING_FOR_THE_PROMPT and not self._told:
            self._progress.message(
                f"waiting for {self._address}: allow debugging on the TV's screen, "
                'and tick "always allow"'
            )
            self._told = True
        time.sleep(_POLL_S)

    def prove(self) -> Connection | None:
        try:
            return prove(self._server, str(self._address))
        except UnreachableError:
            if self._attempts >= _MAX_ATTEMPTS:
                raise
            self._proof_failed = True
            return None


def _failure(seen: Observation, address: Address) -> LabkitError:
    if seen.state == "offline":
        return adb_error("offline", str(address))
    if seen.state is not None:
        return UnmetError(
            f"{address} is in the mode {seen.state!r}, in which it takes no apps",
            hint="start the TV normally",
            code="wrong_mode",
        )
    reply = seen.reply
    # At once and without a reason: the TV wants TLS, and does not know this computer.
    if re.fullmatch(r"failed to connect to '?[^':]*(?::\d+)?'?|failed to connect to \S+", reply):
        return adb_error("unpaired", str(address))
    return adb_error(None, str(address), reply)
