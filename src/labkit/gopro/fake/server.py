"""The fake camera's connections: raw sockets, so that an answer can be as broken as needed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import UnmetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

__all__ = ["Pause", "Piece", "RawServer", "Request", "SendFile", "head"]

_MAX_HEAD_BYTES = 64 * 1024
_IDLE_S = 30.0
_REASONS = {
    200: "OK",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    400: "Bad Request",
    404: "Not Found",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Request:
    """One request as it came: nothing is decoded.

    Attributes:
        method: GET or another.
        target: The path with its query, raw.
        headers: Names in lower case.
    """

    method: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The raw query."""
        return self.target.partition("?")[2]


@dataclass(frozen=True)
class Pause:
    """Silence on the line."""

    seconds: float


@dataclass(frozen=True)
class SendFile:
    """A stretch of a file on this computer, to be sent without passing through memory."""

    path: str
    start: int
    count: int


Piece = bytes | memoryview | Pause | SendFile


def head(status: int, headers: dict[str, object]) -> bytes:
    """Build the head of an answer that closes the connection."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("latin-1")


class RawServer:
    """Listens on 127.0.0.1 and hands each request to `answer`, one request per connection.

    Args:
        answer: Request -> the pieces to send.
        port: 0 takes a free one.
    """

    def __init__(self, answer: Callable[[Request], Iterable[Piece]], port: int = 0) -> None:
        self._answer = answer
        try:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        except OSError as error:
            raise UnmetError(
                f"port {port} cannot be used: {error.strerror or error}",
                hint="choose another one with `--port`",
                code="port-in-use",
            ) from error
        self.port: int = self._listener.getsockname()[1]
        self.alive = True
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self.die()
        self._thread.join(timeout=5)

    def die(self) -> None:
        """Stop answering for good: the battery is out."""
        self.alive = False
        # close() alone does not wake accept() on every system.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while self.alive:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that goes away in the middle is nothing to speak of.
        with connection, contextlib.suppress(OSError, ValueError):
            connection.settimeout(_IDLE_S)
            request = _read_request(connection)
            if request is None:
                return
            for piece in self._answer(request):
                if not self.alive:
                    return
                self._send(connection, piece)
            connection.shutdown(socket.SHUT_WR)

    def _send(self, connection: socket.socket, piece: Piece) -> None:
        if isinstance(piece, Pause):
            self._stopped.wait(piece.seconds)
        elif isinstance(piece, SendFile):
            if piece.count > 0:
                with open(piece.path, "rb") as file:  # noqa: PTH123 - a path as text
                    connection.sendfile(file, piece.start, piece.count)
        else:
            connection.sendall(piece)


def _read_request(connection: socket.socket) -> Request | None:
    received = b""
    until = time.monotonic() + _IDLE_S
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(_MAX_HEAD_BYTES)
        received += chunk
        if not chunk or len(received) > _MAX_HEAD_BYTES or time.monotonic() > until:
            return None
    first, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    return Request(method, target, {name.strip().lower(): v.strip() for name, _, v in pairs})
