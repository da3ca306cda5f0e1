"""The one module that touches adb: which program, which server, connections through it.

adbutils brings an adb program where the system has none; nothing else of it is used. Its `install`
removes an app with its data on some failures, its `sync` loses errors and trusts names from the
device, a connection without a server starts one that writes on our standard error, and to import
it takes longer than most commands do. Here the server is started first, every wait has a limit,
and what goes wrong becomes a `LabkitError`.

Protocol: `docs/dev/services.md` and `SERVICES.TXT` of the Android Open Source Project's adb: a
request is its length as four hexadecimal digits and its text; the answer is `OKAY`, or `FAIL` and
a text of the same form.
"""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import LabkitError, ProgramMissingError, UnmetError, UnreachableError, UsageError
from labkit.programs import find_program, install_hint, run_program
from labkit.tv.faults import adb_error, lost
from labkit.tv.server_owner import foreign_owner, foreign_server_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

__all__ = [
    "DEFAULT_SERVER_PORT",
    "AdbProgram",
    "AdbServer",
    "AdbStream",
    "ListedDevice",
    "find_adb_programs",
    "newest_adb",
    "server_from_environment",
]

DEFAULT_SERVER_PORT = 5037
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

# `adb pair` came with platform tools 30.
_FIRST_THAT_PAIRS = 30

_START_TIMEOUT_S = 20.0
_HOST_TIMEOUT_S = 10.0
# A TV that works opens a service at once, however long the service itself then takes.
_OPEN_TIMEOUT_S = 10.0
_CHUNK_BYTES = 1 << 18
_LENGTH_DIGITS = 4
_OKAY, _FAIL = b"OKAY", b"FAIL"


@dataclass(frozen=True)
class AdbProgram:
    """An adb that can be run.

    Attributes:
        path: The program.
        version: As it says, for instance `34.0.5-debian`.
        bundled: Whether it is the one inside the adbutils package.
    """

    path: Path
    version: str
    bundled: bool = False

    @property
    def major(self) -> int:
        """The release of the platform tools, for instance 34; 0 where it does not tell."""
        match = re.match(r"\d+", self.version)
        return int(match.group()) if match else 0

    @property
    def can_pair(self) -> bool:
        """Whether it knows wireless pairing, and connections with TLS."""
        return self.major >= _FIRST_THAT_PAIRS


def find_adb_programs(preferred: Path | None = None) -> tuple[AdbProgram, ...]:
    """Find what adb there is: ADBUTILS_ADB_PATH's alone, else that in PATH and adbutils' own.

    Raises:
        ProgramMissingError: The preferred one does not run.
    """
    if preferred is not None:
        program = _probe(preferred, bundled=False)
        if program is None:
            raise ProgramMissingError(
                f"{preferred}, which ADBUTILS_ADB_PATH names, is no adb that runs here",
                hint="set ADBUTILS_ADB_PATH to another one, or unset it",
            )
        return (program,)
    candidates = ((find_program("adb"), False), (_bundled_path(), True))
    found = (_probe(path, bundled=bundled) for path, bundled in candidates if path)
    return tuple(program for program in found if program)


def newest_adb(programs: tuple[AdbProgram, ...]) -> AdbProgram:
    """Choose the newest adb: an older one cannot pair, and starts a server that cannot either.

    Raises:
        ProgramMissingError: There is none.
    """
    if not programs:
        raise ProgramMissingError(
            "no adb can be found: neither in PATH nor inside the adbutils package",
            hint=install_hint("adb"),
            code="adb-missing",
        )
    return max(programs, key=lambda program: program.major)


def _bundled_path() -> Path | None:
    spec = find_spec("adbutils")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "binaries"
    return next((p for name in ("adb", "adb.exe") if (p := folder / name).is_file()), None)


def _probe(path: Path, *, bundled: bool) -> AdbProgram | None:
    try:
        result = run_program([path, "version"], timeout_s=5)
    except UnmetError:
        return None
    if result.returncode or "Android Debug Bridge" not in result.stdout:
        return None
    match = re.search(r"^Version (\S+)", result.stdout, re.MULTILINE)
    return AdbProgram(path, match[1] if match else "unknown", bundled)


@dataclass(frozen=True)
class ListedDevice:
    """A device as the adb server lists it.

    Attributes:
        serial: What adb calls it; for a device in the network its address and port.
        state: The server's word: `device` is ready, else `offline`, `unauthorized` ...
        model: As the device announces it, with `_` for spaces; empty where unknown.
    """

    serial: str
    state: str
    model: str = ""


class AdbStream:
    """A connection through the adb server: bytes both ways, every wait limited.

    Use it in a `with` statement.
    """

    def __init__(self, connection: socket.socket, what: str) -> None:
        self._socket = connection
        self._what = what
        # Small requests must not wait for the acknowledgement of the one before: 40 ms a file.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both directions at once."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the socket's descriptor, for `select`."""
        return self._socket.fileno()

    def set_timeout(self, timeout_s: float) -> None:
        """Limit each further wait to `timeout_s` seconds."""
        self._socket.settimeout(timeout_s)

    def send(self, data: bytes | memoryview) -> None:
        """Send all of `data`.

        Raises:
            UnreachableError: The device went away or takes nothing.
        """
        with _translated(self._what):
            self._socket.sendall(data)

    def request(self, text: str) -> None:
        """Ask the server for a service and wait until it agrees.

        Raises:
            LabkitError: It refuses; what it says decides the kind.
        """
        words = text.encode("utf-8", "surrogateescape")
        self.send(b"%04x" % len(words) + words)
        answer = self.read_exactly(len(_OKAY))
        if answer == _FAIL:
            reason = self.read_text()
            # So says the server of a TV that hung up.
            raise lost(self._what) if reason == "closed" else adb_error(None, self._what, reason)
        if answer != _OKAY:
            raise adb_error("adb_server", self._what, f"an answer that is none: {answer!r}")

    def read_text(self) -> str:
        """Read a text that is preceded by its length."""
        digits = self.read_exactly(_LENGTH_DIGITS)
        try:
            length = int(digits, 16)
        except ValueError as error:
            raise lost(self._what) from error
        return self.read_exactly(length).decode("utf-8", errors="replace")

    def receive(self, limit: int = _CHUNK_BYTES) -> bytes:
        """Return what arrived, at most `limit` bytes; nothing at the end of the stream.

        Raises:
            UnreachableError: The device went away or stays silent.
        """
        with _translated(self._what):
            return self._socket.recv(limit)

    def read_exactly(self, count: int) -> bytes:
        """Read `count` bytes.

        Raises:
            UnreachableError: The stream ended before.
        """
        parts = []
        while count:
            part = self.receive(min(count, _CHUNK_BYTES))
            if not part:
                raise lost(self._what)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def read_all(self) -> bytes:
        """Read up to the end of the stream."""
        return b"".join(iter(self.receive, b""))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn what sockets raise into labkit's errors; `what` names the TV."""
    try:
        yield
    except TimeoutError as error:
        raise adb_error("conn_timeout", what, "no answer within the time limit") from error
    except OSError as error:
        raise lost(what) from error


class AdbServer:
    """The adb server of this computer, which holds the connections to the TVs.

    Args:
        program: The adb that starts it when it does not run; None for the newest there is.
        host: Where it listens.
        port: Its port.
    """

    def __init__(
        self,
        program: AdbProgram | None,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_SERVER_PORT,
    ) -> None:
        self.program = program
        self.host = host
        self.port = port
        self._running = False

    @property
    def address(self) -> str:
        """HOST:PORT of the server."""
        return f"{self.host}:{self.port}"

    # -- its life

    def is_listening(self) -> bool:
        """Whether something listens on the server's port."""
        try:
            with socket.create_connection((self.host, self.port), timeout=3):
                return True
        except OSError:
            return False

    def start(self) -> None:
        """Start the server if it does not run, and make sure that it is one.

        Raises:
            UnmetError: It cannot be started, another program holds its port, or it belongs to
                another user.
        """
        if self._running:
            return
        if not self.is_listening():
            self._launch()
        self.version()
        if (error := self.foreign_error()) is not None:
            raise error
        self._running = True

    def _launch(self) -> None:
        if self.host not in _LOOPBACK:
            raise adb_error(
                "adb_server", f"the adb server at {self.address}", "nothing listens there"
            )
        import tempfile  # an existing server is the rule

        program = self.program or newest_adb(find_adb_programs())
        # The server inherits what is open: a pipe would be held open for as long as it lives.
        with tempfile.TemporaryFile() as words:
            command = [str(program.path), "-P", str(self.port), "start-server"]
            try:
                status = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    timeout=_START_TIMEOUT_S,
                    check=False,
                ).returncode
            except (subprocess.TimeoutExpired, OSError) as error:
                raise adb_error("adb_server", "the adb server", str(error)) from error
            words.seek(0)
            text = words.read().decode("utf-8", errors="replace")
        if status:
            raise adb_error("adb_server", "the adb server", _last_words(text))

    def stop(self) -> None:
        """End the server and with it every connection to a TV."""
        if self.is_listening():
            self._ask("host:kill", answers=False)
        self._running = False

    def version(self) -> int:
        """Return the version of the server's protocol, for instance 41.

        Raises:
            UnmetError: What listens there is no adb server.
        """
        try:
            return int(self._ask("host:version", timeout_s=3), 16)
        except (ValueError, LabkitError) as error:
            raise _not_a_server(self.address) from error

    def foreign_error(self) -> UnmetError | None:
        """Return the error of a server that is another user's; None for one's own."""
        owner = foreign_owner(self.port) if self.host in _LOOPBACK else None
        return None if owner is None else foreign_server_error(self.address, owner)

    # -- what it knows

    def devices(self) -> tuple[ListedDevice, ...]:
        """List the devices that the server holds, whatever their state."""
        self.start()
        lines = self._ask("host:devices-l").splitlines()
        return tuple(found for line in lines if (found := _parse_device(line)))

    def state(self, serial: str) -> str | None:
        """Return the state of one device; None where the server does not list it."""
        return next((d.state for d in self.devices() if d.serial == serial), None)

    def features(self, serial: str) -> frozenset[str]:
        """Return what the device can do, in adb's words (`shell_v2`, `cmd` ...)."""
        self.start()
        text = self._ask(f"host-serial:{serial}:features", what=serial)
        return frozenset(filter(None, text.split(",")))

    # -- what it does

    def connect(self, address: str, *, timeout_s: float) -> str:
        """Ask the server to connect; return its sentence, which is no proof of success."""
        self.start()
        return self._ask(f"host:connect:{address}", timeout_s=timeout_s, what=address)

    def disconnect(self, address: str) -> None:
        """Ask the server to forget a connection; one that it does not have is no error."""
        self.start()
        try:
            self._ask(f"host:disconnect:{address}", what=address)
        except UnreachableError:  # "no such device"
            return

    def open(self, serial: str, service: str, *, timeout_s: float) -> AdbStream:
        """Open a service on a device, for instance `exec:cat /sdcard/x`.

        Args:
            serial: The device.
            service: What to open there.
            timeout_s: The limit of each wait on the stream, in seconds.

        Raises:
            UnreachableError: The device is not there, or does not open the service within 10 s.
            UnmetError: The device did not accept this computer's key.
        """
        self.start()
        stream = self._stream(serial, min(timeout_s, _OPEN_TIMEOUT_S))
        try:
            stream.request(f"host:transport:{serial}")
            stream.request(service)
            stream.set_timeout(timeout_s)
        except BaseException:
            stream.close()
            raise
        return stream

    # -- plumbing

    def _stream(self, what: str, timeout_s: float) -> AdbStream:
        with _translated(f"the adb server at {self.address}"):
            connection = socket.create_connection((self.host, self.port), timeout=timeout_s)
        return AdbStream(connection, what)

    def _ask(
        self,
        request: str,
        *,
        timeout_s: float = _HOST_TIMEOUT_S,
        what: str | None = None,
        answers: bool = True,
    ) -> str:
        with self._stream(what or "the adb server", timeout_s) as stream:
            stream.request(request)
            return stream.read_text() if answers else ""


def server_from_environment(environment: Mapping[str, str]) -> AdbServer:
    """Make the server that adb itself would use, by its environment variables.

    Reads ANDROID_ADB_SERVER_PORT, ANDROID_ADB_SERVER_ADDRESS (adb's) or ANDROID_ADB_SERVER_HOST
    (adbutils'), and ADBUTILS_ADB_PATH for the program.

    Raises:
        UsageError: The port is no port.
        ProgramMissingError: ADBUTILS_ADB_PATH names no adb that runs.
    """
    text = environment.get("ANDROID_ADB_SERVER_PORT") or str(DEFAULT_SERVER_PORT)
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise UsageError(
            f"ANDROID_ADB_SERVER_PORT is {text!r}, which is no port",
            hint="set it to a number from 1 to 65535, or unset it",
        )
    host = environment.get("ANDROID_ADB_SERVER_ADDRESS") or environment.get(
        "ANDROID_ADB_SERVER_HOST"
    )
    path = environment.get("ADBUTILS_ADB_PATH")
    # Only a server that must be started needs a program: looking for it takes a while.
    chosen = newest_adb(find_adb_programs(Path(path))) if path else None
    return AdbServer(chosen, host=host or "127.0.0.1", port=int(text))


def _parse_device(line: str) -> ListedDevice | None:
    # "SERIAL   STATE key:value ...", where the state of a USB device may be several words.
    match = re.match(r"(\S+)\s+(no permissions|\S+)(.*)", line)
    if match is None:
        return None
    model = re.search(r"\bmodel:(\S+)", match[3])
    return ListedDevice(match[1], match[2], model[1] if model else "")


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "cannot" in line.lower() or "mkdir" in line.lower()]
    return (telling or lines or ["it said nothing"])[0]


def _not_a_server(address: str) -> UnmetError:
    return UnmetError(
        f"what listens at {address} is no adb server",
        hint="another program holds the port: end it, or set ANDROID_ADB_SERVER_PORT to a free one",
        code="adb-server",
    )
