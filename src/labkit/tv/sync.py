"""adb's file service: what lies in a folder, one file to the TV, one file from it.

Where a TV has the newer requests (`stat_v2`, `ls_v2`), sizes have 64 bits and errors a number;
the old ones cannot tell a missing file from an empty one of 1970.

Protocol: `file_sync_protocol.h` and `SYNC.TXT` of the Android Open Source Project's adb.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import InputError, LabkitError, RefusedError
from labkit.tv.faults import adb_error, lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from labkit.tv.adb import AdbServer, AdbStream

__all__ = ["RemoteFile", "SyncSession"]

_REQUEST = struct.Struct("<4sI")
_STAT_V1 = struct.Struct("<3I")
_STAT_V2 = struct.Struct("<I2Q4IQ3q")
_DENT_V1 = struct.Struct("<4I")
_DENT_V2 = struct.Struct("<I2Q4IQ3qI")
_DATA_BYTES = 64 * 1024
_MAX_TEXT_BYTES = 64 * 1024
_SYNC_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class RemoteFile:
    """A file or folder on the TV.

    Attributes:
        name: Its name, or its path where it was asked for by path.
        mode: Type and permission bits, as `stat.S_ISDIR` takes them.
        size_bytes: Its size.
        mtime: When it was changed, in seconds since 1970.
    """

    name: str
    mode: int
    size_bytes: int
    mtime: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is an ordinary file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


class SyncSession:
    """An open file service; a context manager. After an error it is over: open another.

    Args:
        server: The adb server.
        serial: The TV.
        features: What the TV can do.
    """

    def __init__(self, server: AdbServer, serial: str, features: frozenset[str]) -> None:
        self._serial = serial
        self._stat_v2 = "stat_v2" in features
        self._ls_v2 = "ls_v2" in features
        self._stream: AdbStream = server.open(serial, "sync:", timeout_s=_SYNC_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self._stream.close()

    def stat(self, path: str, *, follow: bool = False) -> RemoteFile | None:
        """Look at one path; None where there is nothing, or nothing that may be seen.

        Args:
            path: An absolute path on the TV.
            follow: Look at what a link leads to (where the TV can).
        """
        if not self._stat_v2:
            self._request(b"STAT", path)
            self._expect(b"STAT")
            mode, size, mtime = _STAT_V1.unpack(self._stream.read_exactly(_STAT_V1.size))
            return RemoteFile(path, mode, size, mtime) if mode else None
        request = b"STA2" if follow else b"LST2"
        self._request(request, path)
        self._expect(request)
        fields = _STAT_V2.unpack(self._stream.read_exactly(_STAT_V2.size))
        if fields[0]:
            return None
        return RemoteFile(path, fields[3], fields[7], fields[9])

    def list(self, path: str) -> list[RemoteFile]:
        """List a folder, without `.` and `..`; nothing where it cannot be read."""
        request, answer, form = (
            (b"LIS2", b"DNT2", _DENT_V2) if self._ls_v2 else (b"LIST", b"DENT", _DENT_V1)
        )
        self._request(request, path)
        found = []
        while (word := self._stream.read_exactly(4)) == answer:
            fields = form.unpack(self._stream.read_exactly(form.size))
            if fields[-1] > _MAX_TEXT_BYTES:
                raise lost(self._serial)
            name = self._stream.read_exactly(fields[-1]).decode("utf-8", "surrogateescape")
            if name not in {".", ".."}:
                found.append(_listed(name, fields, v2=self._ls_v2))
        if word != b"DONE":
            raise lost(self._serial)
        self._stream.read_exactly(form.size)
        return sorted(found, key=lambda file: file.name)

    def receive(self, path: str) -> Iterator[bytes]:
        """Read a file, piece by piece.

        Raises:
            RefusedError: The TV does not give it.
            InputError: It is not there.
        """
        self._request(b"RECV", path)
        while True:
            word, size = _REQUEST.unpack(self._stream.read_exactly(_REQUEST.size))
            if word == b"DONE":
                return
            if word == b"FAIL":
                raise self._refusal(size, f"{path} cannot be read")
            if word != b"DATA" or size > 2 * _DATA_BYTES:
                raise lost(self._serial)
            yield self._stream.read_exactly(size)

    def send(self, path: str, mode: int, mtime: int, pieces: Iterable[bytes]) -> None:
        """Write a file, replacing one that is there.

        Args:
            path: An absolute path on the TV; missing folders are made by it.
            mode: Permission bits.
            mtime: The time of change that it gets, in seconds since 1970.
            pieces: The contents.

        Raises:
            RefusedError: The TV does not take it; the message has its reason.
        """
        self._request(b"SEND", f"{path},{stat.S_IFREG | mode}")
        try:
            for piece in pieces:
                for start in range(0, len(piece), _DATA_BYTES):
                    part = piece[start : start + _DATA_BYTES]
                    self._stream.send(_REQUEST.pack(b"DATA", len(part)) + part)
            self._stream.send(_REQUEST.pack(b"DONE", mtime & 0xFFFFFFFF))
        except LabkitError:
            # A refusal closes the stream; what it said may still be there to be read.
            self._finish(path)
            raise
        self._finish(path)

    def _finish(self, path: str) -> None:
        word, size = _REQUEST.unpack(self._stream.read_exactly(_REQUEST.size))
        if word == b"FAIL":
            raise self._refusal(size, f"{path} cannot be written")
        if word != b"OKAY":
            raise lost(self._serial)

    def _request(self, word: bytes, path: str) -> None:
        raw = os.fsencode(path) if os.name != "nt" else path.encode("utf-8", "surrogateescape")
        self._stream.send(_REQUEST.pack(word, len(raw)) + raw)

    def _expect(self, word: bytes) -> None:
        if self._stream.read_exactly(4) != word:
            raise lost(self._serial)

    def _refusal(self, size: int, what: str) -> LabkitError:
        reason = self._stream.read_exactly(min(size, _MAX_TEXT_BYTES)).decode("utf-8", "replace")
        if os.strerror(errno.ENOENT) in reason or "No such file" in reason:
            return InputError(f"{what}: there is no such file on the TV", code="not-on-tv")
        if "ermission denied" in reason or "not permitted" in reason:
            return adb_error("path_denied", self._serial, f"{what}: {reason}")
        return RefusedError(f"{what}: {reason}", code="file-refused")


def _listed(name: str, fields: tuple[int, ...], *, v2: bool) -> RemoteFile:
    if v2:
        return RemoteFile(name, fields[3], fields[7], fields[9])
    mode, size, mtime, _ = fields
    return RemoteFile(name, mode, size, mtime)
