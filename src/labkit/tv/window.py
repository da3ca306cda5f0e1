"""A stretch of bytes inside a file, read as if it were a file of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

__all__ = ["Span"]


@dataclass(frozen=True)
class Span:
    """A stretch of bytes inside a file.

    Attributes:
        path: The file.
        offset: Where the stretch begins.
        size_bytes: How long it is.
    """

    path: Path
    offset: int
    size_bytes: int

    @classmethod
    def whole(cls, path: Path) -> Span:
        """Return the span that is all of the file `path`."""
        return cls(path, 0, path.stat().st_size)

    def open(self) -> BinaryIO:
        """Open it for reading; the caller closes it."""
        return io.BufferedReader(_Window(self.path.open("rb"), self.offset, self.size_bytes))


class _Window(io.RawIOBase):
    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file = file
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._offset + self._position)
        read = self._file.readinto(view[:count])  # type: ignore[attr-defined]
        self._position += read
        return int(read)

    def close(self) -> None:
        self._file.close()
        super().close()
