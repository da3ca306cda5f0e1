"""Wireless pairing (Android 11 and later): the code, the connect port, and a port that stays.

The pairing port and the connect port differ and change; the second is found by asking the
network, else the TV's screen shows it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import LabkitError, UnmetError, UsageError
from labkit.programs import run_program
from labkit.progress import SILENT
from labkit.tv.adb import find_adb_programs, newest_adb
from labkit.tv.address import Address, probe
from labkit.tv.connection import READY, connect
from labkit.tv.failures import read_outcome
from labkit.tv.faults import adb_error

if TYPE_CHECKING:
    from labkit.progress import Progress
    from labkit.tv.adb import AdbProgram, AdbServer

__all__ = ["STEADY_PORT", "Pairing", "pair", "parse_services"]

STEADY_PORT = 5555
"""The port of `adb tcpip 5555`, which stays until the TV restarts."""

_PAIR_TIMEOUT_S = 30.0
_SERVICES_TIMEOUT_S = 5.0
_DISCOVERY_S = 8.0
_PROBE_TIMEOUT_S = 5.0
_CODE = re.compile(r"\d{6}")
_CONNECT_SERVICE = "_adb-tls-connect._tcp"


@dataclass(frozen=True)
class Pairing:
    """What pairing led to.

    Attributes:
        paired: Whether the TV accepted this computer's key.
        serial: The TV, connected; None where its connect port was not found.
    """

    paired: bool
    serial: str | None


def pair(
    server: AdbServer,
    address: Address,
    code: str,
    *,
    steady: bool = False,
    progress: Progress = SILENT,
) -> Pairing:
    """Pair with the TV whose pairing dialog shows `address` and `code`, then connect to it.

    Args:
        server: The adb server; one that was started by an old adb cannot pair.
        address: The pairing address.
        code: Six digits.
        steady: Let the TV listen on port 5555 until it restarts.
        progress: Told what is waited for.

    Raises:
        UsageError: The code is none.
        UnmetError: No adb here can pair, or the TV refused the code.
        UnreachableError: Nothing answers at the address.
    """
    if not _CODE.fullmatch(code):
        raise UsageError(
            f"{code!r} is no pairing code", hint="the TV shows six digits beside the address"
        )
    program = server.program or newest_adb(find_adb_programs())
    if not program.can_pair:
        raise adb_error("adb_too_old", str(program.path), f"version {program.version}")
    _require_dialog(address)
    server.start()
    progress.message(f"pairing with {address}")
    result = _run(server, program, "pair", str(address), code, timeout_s=_PAIR_TIMEOUT_S)
    if "Successfully paired" not in result:
        raise _refusal(address, result)
    serial = _connect_after_pairing(server, program, address, progress)
    if serial is None:
        return Pairing(paired=True, serial=None)
    if steady:
        serial = _make_steady(server, serial, progress)
    return Pairing(paired=True, serial=serial)


def _require_dialog(address: Address) -> None:
    """Tell a closed dialog from a wrong code, which adb does not."""
    try:
        probe(address, timeout_s=_PROBE_TIMEOUT_S)
    except LabkitError as error:
        if error.code == "conn_refused":
            raise adb_error("pair_failed", str(address)) from error
        raise


def _refusal(address: Address, text: str) -> LabkitError:
    if "unknown host service" in text:
        return UnmetError(
            "the adb server that runs was started by an adb that cannot pair",
            hint="end it with `adb kill-server`, then pair again",
            code="adb_too_old",
        )
    outcome = read_outcome(text, operation="pair")
    return outcome.error(str(address))


def _run(server: AdbServer, program: AdbProgram, *arguments: str, timeout_s: float) -> str:
    place = ("-H", server.host, "-P", str(server.port))
    try:
        result = run_program([program.path, *place, *arguments], timeout_s=timeout_s)
    except UnmetError as error:
        # adb itself waits for ever on a port that stays silent.
        raise adb_error("pair_failed", arguments[1] if len(arguments) > 1 else "adb") from error
    return result.stdout + result.stderr


def parse_services(text: str, host: str) -> Address | None:
    """Find the connect port of `host` in the output of `adb mdns services`."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[-2].startswith(_CONNECT_SERVICE):  # noqa: PLR2004 - columns
            found, _, port = words[-1].rpartition(":")
            if found == host and port.isdecimal():
                return Address(host, int(port))
    return None


def _connect_after_pairing(
    server: AdbServer, program: AdbProgram, address: Address, progress: Progress
) -> str | None:
    progress.message(f"looking for the connect port of {address.host}")
    deadline = time.monotonic() + _DISCOVERY_S
    while True:
        # The server may have connected by itself.
        for device in server.devices():
            if device.serial.startswith(f"{address.host}:") and device.state == READY:
                return device.serial
        try:
            text = _run(server, program, "mdns", "services", timeout_s=_SERVICES_TIMEOUT_S)
        except LabkitError:
            text = ""
        if found := parse_services(text, address.host):
            return connect(server, found, progress=progress).serial
        if time.monotonic() > deadline:
            return None
        time.sleep(0.5)


def _make_steady(server: AdbServer, serial: str, progress: Progress) -> str:
    with server.open(serial, f"tcpip:{STEADY_PORT}", timeout_s=10) as stream:
        text = stream.read_all().decode("utf-8", errors="replace")
    if "restarting in TCP mode" not in text:
        raise adb_error(None, serial, text.strip() or "tcpip: no answer")
    progress.message(f"the TV restarts its adb on port {STEADY_PORT}")
    server.disconnect(serial)
    host = serial.rpartition(":")[0].strip("[]")
    return _connect_patiently(server, Address(host, STEADY_PORT), progress)


def _connect_patiently(server: AdbServer, address: Address, progress: Progress) -> str:
    deadline = time.monotonic() + _DISCOVERY_S
    while True:
        try:
            return connect(server, address, progress=progress).serial
        except LabkitError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
