"""Commands on the TV, by the shell protocol that separates outputs and tells the exit status.

A TV before Android 7 has only the old form: a terminal, whose one output has CRLF line ends and no
exit status; there the status is asked for with an `echo`.

Protocol: `shell_protocol.h` of the Android Open Source Project's adb.
"""

from __future__ import annotations

import re
import select
import shlex
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from labkit.tv.faults import lost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from labkit.tv.adb import AdbServer, AdbStream

__all__ = ["ShellResult", "ShellStream", "run_shell"]

_FRAME = struct.Struct("<BI")
# As much as adb sends a TV in one packet, whose receipt it then waits for.
_STDIN_CHUNK_BYTES = 1 << 20
_STATUS_MARK = "labkit-status="


class _Id(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    CLOSE_STDIN = 4


@dataclass(frozen=True)
class ShellResult:
    """What a command on the TV said.

    Attributes:
        stdout: Its output, and its errors too on a TV that does not keep them apart.
        stderr: Its errors.
        status: Its exit status.
    """

    stdout: str
    stderr: str
    status: int

    @property
    def text(self) -> str:
        """Both outputs, errors first, as the reading of failures wants them."""
        return self.stderr + self.stdout


class ShellStream:
    """A running command on the TV with its three streams; a context manager.

    Args:
        stream: An open `shell,v2,raw:` service.
        serial: The TV, for messages.
    """

    def __init__(self, stream: AdbStream, serial: str) -> None:
        self._stream = stream
        self._serial = serial
        self._head = b""  # of a frame that has not fully arrived
        self._kind = _Id.STDOUT
        self._left = 0  # bytes of the present frame that are still to come
        self._early: list[bytes] = []
        self._errors: list[bytes] = []
        self.status: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def errors(self) -> str:
        """What the command wrote on its standard error so far."""
        return b"".join(self._errors).decode("utf-8", errors="replace")

    def write(self, data: bytes) -> bool:
        """Send `data` to the command's standard input; False once it has ended.

        Raises:
            UnreachableError: The TV went away.
        """
        view = memoryview(data)
        for start in range(0, len(view), _STDIN_CHUNK_BYTES):
            self._drain()
            if self.status is not None:
                return False
            part = view[start : start + _STDIN_CHUNK_BYTES]
            self._stream.send(_FRAME.pack(_Id.STDIN, len(part)) + part)
        return True

    def close_input(self) -> None:
        """Tell the command that its standard input ended."""
        if self.status is None:
            self._stream.send(_FRAME.pack(_Id.CLOSE_STDIN, 0))

    def output(self) -> Iterator[bytes]:
        """Iterate over the pieces of its standard output, up to its end.

        Raises:
            UnreachableError: The TV went away before the command ended.
        """
        yield from self._early
        self._early.clear()
        while self.status is None:
            yield from self._frames(self._receive())

    def wait(self) -> int:
        """Wait for the end, dropping what is still written; return the exit status."""
        for _ in self.output():
            pass
        return -1 if self.status is None else self.status

    def _drain(self) -> None:
        """Take in what has arrived, so that neither side waits for the other."""
        while self.status is None and select.select([self._stream], [], [], 0)[0]:
            self._early.extend(self._frames(self._receive()))

    def _receive(self) -> bytes:
        data = self._stream.receive()
        if not data:
            raise lost(self._serial)
        return data

    def _frames(self, data: bytes) -> Iterator[bytes]:
        """Take the frames in `data`, or parts of them, apart; iterate over what is output."""
        position = 0
        while self.status is None and position < len(data):
            if self._left:
                payload = data[position : position + self._left]
                position += len(payload)
                self._left -= len(payload)
                if self._kind == _Id.STDOUT:
                    yield payload
                elif self._kind == _Id.STDERR:
                    self._errors.append(payload)
                elif self._kind == _Id.EXIT:
                    self.status = payload[0]
                continue
            part = data[position : position + _FRAME.size - len(self._head)]
            position += len(part)
            self._head += part
            if len(self._head) == _FRAME.size:
                self._kind, self._left = _FRAME.unpack(self._head)
                self._head = b""
                if self._kind == _Id.EXIT and not self._left:
                    self.status = 0


def run_shell(
    server: AdbServer,
    serial: str,
    command: tuple[str, ...],
    *,
    shell_v2: bool,
    timeout_s: float,
) -> ShellResult:
    """Run a short command on the TV to its end.

    Args:
        server: The adb server.
        serial: The TV.
        command: Program and arguments; they are quoted for the TV's shell.
        shell_v2: Whether the TV has the shell protocol.
        timeout_s: The limit for the whole command, in seconds.

    Raises:
        UnreachableError: The TV went away or did not answer in time.
    """
    line = shlex.join(command)
    if shell_v2:
        return _run_v2(server, serial, line, timeout_s)
    return _run_v1(server, serial, line, timeout_s)


def _run_v2(server: AdbServer, serial: str, line: str, timeout_s: float) -> ShellResult:
    deadline = time.monotonic() + timeout_s
    with (
        server.open(serial, f"shell,v2,raw:{line}", timeout_s=timeout_s) as raw,
        ShellStream(raw, serial) as shell,
    ):
        shell.close_input()
        parts = []
        for part in shell.output():
            parts.append(part)
            raw.set_timeout(max(0.1, deadline - time.monotonic()))
        stdout = b"".join(parts).decode("utf-8", errors="replace")
        return ShellResult(stdout.replace("\r", ""), shell.errors.replace("\r", ""), shell.wait())


def _run_v1(server: AdbServer, serial: str, line: str, timeout_s: float) -> ShellResult:
    service = f"shell:{line}; echo {_STATUS_MARK}$?"
    with server.open(serial, service, timeout_s=timeout_s) as stream:
        text = stream.read_all().decode("utf-8", errors="replace").replace("\r", "")
    head, mark, tail = text.rpartition(_STATUS_MARK)
    if not mark:
        raise lost(serial)
    digits = re.match(r"\d+", tail)
    return ShellResult(head, "", int(digits.group()) if digits else 0)
