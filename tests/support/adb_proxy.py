"""A proxy between an adb server and a TV that rewrites the banner and injects faults."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = struct.Struct("<6I")
_CNXN, _AUTH, _STLS = (int.from_bytes(word, "little") for word in (b"CNXN", b"AUTH", b"STLS"))
_AUTH_TOKEN = 1

ANDROID_6 = ""
ANDROID_9 = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir"
ANDROID_11 = ANDROID_9 + ",apex,sendrecv_v2,sendrecv_v2_brotli,sendrecv_v2_lz4,sendrecv_v2_zstd"


def packet(command: int, first: int, second: int, payload: bytes) -> bytes:
    """Build one packet of the adb protocol."""
    checksum = sum(payload) & 0xFFFFFFFF
    head = _HEADER.pack(command, first, second, len(payload), checksum, command ^ 0xFFFFFFFF)
    return head + payload


def read_exactly(source: socket.socket, size: int) -> bytes:
    """Read `size` bytes; fewer at the end of the stream."""
    parts = []
    while size > 0 and (part := source.recv(min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@dataclass
class Faults:
    """What the proxy does wrong. Change it while it runs.

    Attributes:
        features: The feature list that the TV announces; None leaves its own.
        model: The model that it announces.
        behaviour: None, `silent`, `unauthorized`, `unpaired`, `drop` (closes at once) or
            `greet-only` (closes at the first request).
        cut_after: Close once `sent`, the bytes that went to the TV, is larger.
        cut_answers_after: Close once this many bytes more came from the TV.
        on_sent: Hears of `sent` before the bytes go on.
    """

    features: str | None = ANDROID_11
    model: str = "Test TV"
    behaviour: str | None = None
    cut_after: int | None = None
    cut_answers_after: int | None = None
    on_sent: Callable[[int], None] | None = None
    sent: int = field(default=0, init=False)


class AdbProxy:
    """A listening proxy on 127.0.0.1; a context manager. `port` is what `adb connect` takes."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self.faults = Faults()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self.connections = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close every connection, as a TV that loses its network does."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._open.append(client)
                threading.Thread(target=self._handle, args=(client,), daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            match self.faults.behaviour:
                case "silent":
                    while client.recv(65536):
                        pass
                case "drop":
                    return
                case "unauthorized":
                    self._refuse_keys(client)
                case "unpaired":
                    self._read_packet(client)
                    client.sendall(packet(_STLS, 0x01000000, 0, b""))
                case _:
                    self._relay(client)

    def _refuse_keys(self, client: socket.socket) -> None:
        while self._read_packet(client):
            if self.faults.behaviour != "unauthorized":  # allowed on the TV meanwhile
                return
            client.sendall(packet(_AUTH, _AUTH_TOKEN, 0, b"t" * 20))

    @staticmethod
    def _read_packet(source: socket.socket) -> tuple[int, int, int, bytes] | None:
        head = read_exactly(source, _HEADER.size)
        if len(head) < _HEADER.size:
            return None
        command, first, second, length, _, _ = _HEADER.unpack(head)
        return command, first, second, read_exactly(source, length)

    def _relay(self, client: socket.socket) -> None:
        with self._connect() as device:
            self._open.append(device)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if device.family != getattr(socket, "AF_UNIX", None):
                device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._answers, args=(device, client), daemon=True)
            back.start()
            self._requests(client, device)
            with contextlib.suppress(OSError):
                device.shutdown(socket.SHUT_RDWR)
            back.join(10)

    def _requests(self, client: socket.socket, device: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 18):
                faults = self.faults
                greeting = data[:4] == b"CNXN"
                if faults.behaviour == "greet-only" and not greeting:
                    return
                faults.sent += len(data)
                if faults.on_sent is not None:
                    faults.on_sent(faults.sent)
                if faults.cut_after is not None and faults.sent > faults.cut_after:
                    faults.cut_after = None
                    client.shutdown(socket.SHUT_RDWR)
                    return
                device.sendall(data)

    def _answers(self, device: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            first = self._read_packet(device)
            if first is None:
                return
            command, version, limit, payload = first
            if command == _CNXN and self.faults.features is not None:
                payload = self._banner()
            client.sendall(packet(command, version, limit, payload))
            while data := device.recv(1 << 18):
                if self.faults.cut_answers_after is not None:
                    self.faults.cut_answers_after -= len(data)
                    if self.faults.cut_answers_after < 0:
                        self.faults.cut_answers_after = None
                        break
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _banner(self) -> bytes:
        names = f"ro.product.name=test;ro.product.model={self.faults.model};ro.product.device=test"
        return f"device::{names};features={self.faults.features}".encode()
