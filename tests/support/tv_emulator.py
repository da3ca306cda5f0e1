"""A TV in pure Python: adb's device side, for machines without adbd.

It speaks the transport, the shell protocol, `exec:` and the file service over a folder that stands
for the TV's file system, and answers the commands that labkit sends. The contract tests run
against it and against the genuine adbd, so that it cannot drift.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import shlex
import shutil
import socket
import stat
import struct
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from support.adb_proxy import ANDROID_9, packet, read_exactly
from support.android import NAMES, answer

if TYPE_CHECKING:
    from support.android import TvState

_HEADER = struct.Struct("<6I")
_CNXN, _OPEN, _OKAY, _CLSE, _WRTE = (
    int.from_bytes(word, "little") for word in (b"CNXN", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
_MAX_PAYLOAD = 1 << 20
_VERSION = 0x01000001
_STATUS = "; echo labkit-status=$?"


class Emulator:
    """The device side; `connect` gives the other end of a new connection to it."""

    def __init__(self, root: Path, state: TvState) -> None:
        self.root = root
        self.state = state

    def connect(self) -> socket.socket:
        """Open a connection, as `Adbd.connect` does."""
        near, far = socket.socketpair()
        threading.Thread(target=_Connection(self, far).serve, daemon=True).start()
        return near

    def place(self, path: str) -> Path:
        """Where the TV's `path` is on this computer."""
        return self.root / path.lstrip("/")


class _Connection:
    def __init__(self, tv: Emulator, sock: socket.socket) -> None:
        self.tv = tv
        self._socket = sock
        self._lock = threading.Lock()
        self._streams: dict[int, _Stream] = {}
        self._next = 1

    def send(self, command: int, first: int, second: int, payload: bytes = b"") -> None:
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendall(packet(command, first, second, payload))

    def serve(self) -> None:
        with contextlib.suppress(OSError), self._socket:
            while len(head := read_exactly(self._socket, _HEADER.size)) == _HEADER.size:
                command, first, second, length, _, _ = _HEADER.unpack(head)
                self._handle(command, first, second, read_exactly(self._socket, length))
        for stream in list(self._streams.values()):
            stream.end()

    def _handle(self, command: int, first: int, second: int, payload: bytes) -> None:
        if command == _CNXN:
            banner = f"device::ro.product.model=Emulator;features={ANDROID_9}"
            self.send(_CNXN, _VERSION, _MAX_PAYLOAD, banner.encode())
        elif command == _OPEN:
            stream = _Stream(self, self._next, first)
            self._streams[self._next] = stream
            self._next += 1
            self.send(_OKAY, stream.local, stream.remote)
            service = payload.rstrip(b"\0").decode()
            threading.Thread(target=stream.run, args=(service,), daemon=True).start()
        elif stream := self._streams.get(second):
            if command == _WRTE:
                stream.incoming.put(payload)
                self.send(_OKAY, stream.local, stream.remote)
            elif command == _OKAY:
                stream.may_send.release()
            elif command == _CLSE:
                stream.end()
                self._streams.pop(second, None)


class _Stream(io.RawIOBase):
    """One service; readable as a file, written with `put`."""

    def __init__(self, connection: _Connection, local: int, remote: int) -> None:
        self._connection = connection
        self.tv = connection.tv
        self.local = local
        self.remote = remote
        self.incoming: queue.Queue[bytes | None] = queue.Queue()
        self.may_send = threading.Semaphore(1)
        self._rest = b""
        self._ended = False

    def end(self) -> None:
        self._ended = True
        self.incoming.put(None)
        self.may_send.release()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._rest:
            self._rest = self.incoming.get() or b""
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def put(self, data: bytes) -> None:
        for start in range(0, len(data), 1 << 16):
            self.may_send.acquire()
            if self._ended:
                raise BrokenPipeError
            part = data[start : start + (1 << 16)]
            self._connection.send(_WRTE, self.local, self.remote, part)

    def run(self, service: str) -> None:
        kind, _, command = service.partition(":")
        with contextlib.suppress(BrokenPipeError):
            if kind == "sync":
                _Sync(self).serve()
            elif kind.startswith("shell,v2"):
                self._shell_v2(command)
            elif kind == "shell" and command.endswith(_STATUS):
                out, err, status = _Shell(self, io.BytesIO()).run(command.removesuffix(_STATUS))
                self.put((err + out).replace(b"\n", b"\r\n") + b"labkit-status=%d\r\n" % status)
            elif kind in {"exec", "shell"}:
                out, err, _ = _Shell(self, io.BufferedReader(self)).run(command)
                self.put(out + err)
            elif kind == "tcpip":
                with self._connection.tv.state.edit() as state:
                    state["log"].append(service)
                self.put(f"restarting in TCP mode port: {command}\n".encode())
        if not self._ended:
            # The last piece must have arrived before the stream closes.
            self.may_send.acquire(timeout=10)
            self._connection.send(_CLSE, self.local, self.remote)

    def _shell_v2(self, command: str) -> None:
        out, err, status = _Shell(self, io.BufferedReader(_StdinFrames(self))).run(command)
        for kind, data in ((1, out), (2, err)):
            for start in range(0, len(data), 1 << 15):
                part = data[start : start + (1 << 15)]
                self.put(struct.pack("<BI", kind, len(part)) + part)
        self.put(struct.pack("<BIB", 3, 1, status))


class _StdinFrames(io.RawIOBase):
    """The standard input inside the shell protocol."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = io.BufferedReader(stream)
        self._left = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._left:
            head = self._stream.read(5)
            if len(head) < 5:
                return 0
            kind, size = struct.unpack("<BI", head)
            if kind == 4:
                return 0
            self._left = size
        part = self._stream.read(min(len(buffer), self._left))
        self._left -= len(part)
        buffer[: len(part)] = part
        return len(part)


class _Shell:
    """The few commands that labkit sends."""

    def __init__(self, stream: _Stream, stdin: io.BufferedIOBase) -> None:
        self._tv = stream.tv
        self._stdin = stdin

    def run(self, line: str) -> tuple[bytes, bytes, int]:
        """Run one command; returns output, errors and exit status."""
        words = shlex.split(line.removesuffix(" | cat"))
        error_file = None
        if words and words[-1].startswith("2>"):
            error_file = self._tv.place(words.pop()[2:])
        program, *rest = words
        if program in NAMES:
            text, status = answer(words, self._tv.state, self._stdin, self._tv.root)
            result = text.encode(), b"", status
        elif command := getattr(self, f"_{program}", None):
            try:
                result = command(rest)
            except OSError as error:
                result = b"", f"{program}: {rest[-1]}: {error.strerror}\n".encode(), 1
        else:
            result = b"", f"sh: {program}: not found\n".encode(), 127
        if error_file is not None:
            error_file.parent.mkdir(parents=True, exist_ok=True)
            error_file.write_bytes(result[1])
            result = result[0], b"", result[2]
        return result

    def _ls(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        path = self._tv.place(rest[-1])
        if "-d" in rest:
            path.lstat()
            return f"{rest[-1]}\n".encode(), b"", 0
        names = sorted(os.listdir(path))  # noqa: PTH208 - names
        return "".join(f"{name}\n" for name in names).encode(), b"", 0

    def _cat(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        return self._tv.place(rest[-1]).read_bytes(), b"", 0

    def _mkdir(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        self._tv.place(rest[-1]).mkdir(parents="-p" in rest, exist_ok="-p" in rest)
        return b"", b"", 0

    def _rmdir(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        self._tv.place(rest[-1]).rmdir()
        return b"", b"", 0

    def _rm(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        if "-rf" in rest:
            shutil.rmtree(self._tv.place(rest[-1]), ignore_errors=True)
        else:
            self._tv.place(rest[-1]).unlink(missing_ok=True)
        return b"", b"", 0

    def _sh(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        script, name, *paths = rest[1:]  # sh -c SCRIPT NAME PATH...
        there = [str(self._tv.place(path)) if path else "" for path in paths]
        done = subprocess.run(["sh", "-c", script, name, *there], capture_output=True, check=False)
        root = str(self._tv.root).encode()
        return done.stdout.replace(root, b""), done.stderr.replace(root, b""), done.returncode

    def _mv(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        self._tv.place(rest[0]).rename(self._tv.place(rest[1]))
        return b"", b"", 0

    def _du(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        lines, status = [], 0
        for name in rest[1:]:
            place = self._tv.place(name)
            status |= int(not place.exists())
            if place.exists():
                size = sum(file.lstat().st_size for file in place.rglob("*"))
                lines.append(f"{-(-size // 1024)}\t{name}\n")
        return "".join(lines).encode(), b"", status

    def _sleep(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        threading.Event().wait(float(rest[0]))
        return b"", b"", 0

    def _tar(self, rest: list[str]) -> tuple[bytes, bytes, int]:
        if rest == ["--help"]:
            return b"usage: tar\n", b"", 0
        folder = self._tv.place(rest[rest.index("-C") + 1])
        if "-x" in rest:
            with tarfile.open(fileobj=self._stdin, mode="r|", errors="surrogateescape") as archive:
                archive.extractall(folder, filter="tar")
            while self._stdin.read(1 << 16):
                pass
            return b"", b"", 0
        patterns = [w.partition("=")[2] for w in rest if w.startswith("--exclude=")]
        names = rest[rest.index("-cf") + 2 :]
        return self._create(folder, names, patterns)

    @staticmethod
    def _create(folder: Path, names: list[str], patterns: list[str]) -> tuple[bytes, bytes, int]:
        errors: list[str] = []
        packed = io.BytesIO()

        def add(archive: tarfile.TarFile, path: Path, name: str) -> None:
            if any(Path(name).match(pattern) for pattern in patterns):
                return
            try:
                archive.add(path, name, recursive=False)
                children = sorted(path.iterdir()) if path.is_dir() and not path.is_symlink() else []
            except OSError as error:
                errors.append(f"tar: {name}: Cannot open: {error.strerror}\n")
                return
            for child in children:
                add(archive, child, f"{name}/{child.name}")

        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name in names:
                add(archive, folder / name, name)
        return packed.getvalue(), "".join(errors).encode(), 2 if errors else 0


class _Sync:
    """The file service, first version and the 64-bit requests."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._in = io.BufferedReader(stream)

    def serve(self) -> None:
        while len(head := self._in.read(8)) == 8:
            word, size = struct.unpack("<4sI", head)
            path = self._in.read(size).decode()
            if not getattr(self, f"_{word.decode().lower()}")(path):
                return

    def _fields(self, path: Path, *, follow: bool) -> tuple[int, os.stat_result | None]:
        try:
            return 0, path.stat() if follow else path.lstat()
        except OSError as error:
            return error.errno or 5, None

    def _pack_v2(self, path: Path, *, follow: bool) -> bytes:
        code, facts = self._fields(path, follow=follow)
        if facts is None:
            return struct.pack("<I2Q4IQ3q", code, *[0] * 10)
        mtime = int(facts.st_mtime)
        numbers = (0, 0, facts.st_mode, 1, 0, 0, facts.st_size, mtime, mtime, mtime)
        return struct.pack("<I2Q4IQ3q", 0, *numbers)

    def _stat(self, path: str) -> bool:
        _, facts = self._fields(self._stream.tv.place(path), follow=False)
        numbers = (facts.st_mode, facts.st_size, int(facts.st_mtime)) if facts else (0, 0, 0)
        self._stream.put(b"STAT" + struct.pack("<3I", *numbers))
        return True

    def _sta2(self, path: str) -> bool:
        self._stream.put(b"STA2" + self._pack_v2(self._stream.tv.place(path), follow=True))
        return True

    def _lst2(self, path: str) -> bool:
        self._stream.put(b"LST2" + self._pack_v2(self._stream.tv.place(path), follow=False))
        return True

    def _lis2(self, path: str) -> bool:
        folder = self._stream.tv.place(path)
        for name in os.listdir(folder) if folder.is_dir() else []:  # noqa: PTH208 - names
            raw = os.fsencode(name)
            facts = self._pack_v2(folder / name, follow=False)
            self._stream.put(b"DNT2" + facts + struct.pack("<I", len(raw)) + raw)
        self._stream.put(b"DONE" + struct.pack("<I2Q4IQ3qI", *[0] * 12))
        return True

    def _list(self, path: str) -> bool:
        folder = self._stream.tv.place(path)
        for name in os.listdir(folder) if folder.is_dir() else []:  # noqa: PTH208 - names
            raw = os.fsencode(name)
            facts = (folder / name).lstat()
            numbers = (facts.st_mode, facts.st_size, int(facts.st_mtime), len(raw))
            self._stream.put(b"DENT" + struct.pack("<4I", *numbers) + raw)
        self._stream.put(b"DONE" + struct.pack("<4I", *[0] * 4))
        return True

    def _recv(self, path: str) -> bool:
        try:
            data = self._stream.tv.place(path).read_bytes()
        except OSError as error:
            return self._fail(f"open failed: {error.strerror}")
        for start in range(0, len(data), 1 << 16):
            part = data[start : start + (1 << 16)]
            self._stream.put(struct.pack("<4sI", b"DATA", len(part)) + part)
        self._stream.put(struct.pack("<4sI", b"DONE", 0))
        return True

    def _send(self, target: str) -> bool:
        path, _, mode = target.rpartition(",")
        place = self._stream.tv.place(path)
        parts = []
        while True:
            word, size = struct.unpack("<4sI", self._in.read(8))
            if word == b"DONE":
                break
            parts.append(self._in.read(size))
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"".join(parts))
            place.chmod(stat.S_IMODE(int(mode)))
            os.utime(place, (size, size))
        except OSError as error:
            return self._fail(f"couldn't create file: {error.strerror}")
        self._stream.put(struct.pack("<4sI", b"OKAY", 0))
        return True

    def _quit(self, _path: str) -> bool:
        return False

    def _fail(self, reason: str) -> bool:
        raw = reason.encode()
        self._stream.put(struct.pack("<4sI", b"FAIL", len(raw)) + raw)
        return False


def make_root(folder: Path) -> Path:
    """Make the folders that every TV has."""
    for name in ("data/local/tmp", "data/app", "sdcard"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def empty_root(root: Path) -> None:
    """Take out what a test left on the TV."""
    for name in ("data/local/tmp", "data/app", "sdcard"):
        for child in (root / name).iterdir():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
