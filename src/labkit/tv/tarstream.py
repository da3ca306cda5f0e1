"""Reading a tar archive as it arrives: headers and contents in one pass, nothing held.

Python's `tarfile` reads streams too, but hides the raw bytes, which a backup keeps as the TV sent
them, and does not tell whether the archive really ended: a failed `tar` still writes a well-formed
empty one.

Format: POSIX.1-2017 pax and ustar, and GNU's long names, as GNU tar and Android's toybox write.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["BLOCK_BYTES", "TarEntry", "TarReader", "end_of_archive", "padding", "safe_parts"]

BLOCK_BYTES = 512
# tar writes in records of 20 blocks; some read whole ones only.
_RECORD_BYTES = 20 * BLOCK_BYTES
# The length of a pax record, with the space behind it.
_MAX_LENGTH_DIGITS = 10
# What every file system can store: up to the year 3000.
_MAX_TIME_S = 32_503_680_000
# Names and pax headers: a file system's longest path is 4,096 bytes.
_MAX_HEADER_BYTES = 1 << 20

Kind = Literal["file", "folder", "symlink", "hardlink", "other"]

_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
)
_ORDINARY = frozenset(
    {
        tarfile.REGTYPE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        _LONG_NAME,
        _LONG_LINK,
        _PAX,
        _PAX_GLOBAL,
    }
)
# Where the fields of a header lie.
_NAME, _MODE, _SIZE, _MTIME = slice(0, 100), slice(100, 108), slice(124, 136), slice(136, 148)
_CHECKSUM, _LINK, _PREFIX = slice(148, 156), slice(157, 257), slice(345, 500)
_CHECKSUM_AS_SPACES = 8 * ord(" ")


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One member of an archive.

    Attributes:
        name: Its path as written, with `/`.
        kind: What it is.
        size_bytes: The size of its contents.
        mode: Its permission bits.
        mtime: When it was changed, in seconds since 1970.
        target: Where a link leads.
        header: The raw header blocks, those of long names included.
    """

    name: str
    kind: Kind
    size_bytes: int
    mode: int
    mtime: float
    target: str
    header: bytes


def padding(size_bytes: int) -> bytes:
    """Return the zeros that follow contents of `size_bytes` up to the next block."""
    return bytes(-size_bytes % BLOCK_BYTES)


def end_of_archive(written_bytes: int) -> bytes:
    """Return the zeros that end an archive of `written_bytes`: two blocks, then a full record."""
    return bytes(2 * BLOCK_BYTES + -(written_bytes + 2 * BLOCK_BYTES) % _RECORD_BYTES)


def safe_parts(name: str) -> tuple[str, ...] | None:
    """Split a member's name into its parts; None where it could lead out of the folder.

    >>> safe_parts("./a/b")
    ('a', 'b')
    >>> safe_parts("../a") is None
    True
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or not parts or "\0" in name:
        return None
    return parts


class TarReader:
    """The members of an archive, one after the other.

    Iterate over it for the entries; `contents` gives those of the latest, unread ones are skipped.
    After the last entry `complete` tells whether the archive's end was really there.

    Args:
        pieces: The archive, in pieces of any size.
        name: How messages call it.
    """

    def __init__(self, pieces: Iterable[bytes], name: str) -> None:
        self._pieces = iter(pieces)
        self._name = name
        self._piece = b""
        self._at = 0  # what is read of the piece
        self._unread = 0
        self._pad = 0
        self.complete = False

    def __iter__(self) -> Iterator[TarEntry]:
        while (entry := self._next()) is not None:
            yield entry

    def contents(self) -> Iterator[bytes]:
        """Iterate over the contents of the latest entry.

        Raises:
            InputError: The archive ends inside.
        """
        while self._unread:
            part = self._some(self._unread)
            self._unread -= len(part)
            yield part

    def _next(self) -> TarEntry | None:
        for _ in self.contents():
            pass
        self._exactly(self._pad)
        self._pad = 0
        header = b""
        overrides: dict[str, str] = {}
        while True:
            block = self._exactly(BLOCK_BYTES, may_end=not header)
            if not block:
                return None
            if not any(block):
                self.complete = not any(self._exactly(BLOCK_BYTES, may_end=True) or b"\1")
                return None
            info = self._parse(block)
            header += block
            if info.type not in {_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL}:
                return self._entry(info, header, overrides)
            if not 0 <= info.size <= _MAX_HEADER_BYTES:
                raise self._damaged("a header of absurd size")
            extra = self._exactly(info.size + len(padding(info.size)))
            header += extra
            overrides |= _overrides(info.type, extra[: info.size])

    def _parse(self, block: bytes) -> tarfile.TarInfo:
        if (info := _ordinary_header(block)) is not None:
            return info
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.TarError, ValueError) as error:
            raise self._damaged("a header that makes no sense") from error

    def _entry(self, info: tarfile.TarInfo, header: bytes, overrides: dict[str, str]) -> TarEntry:
        try:
            size = int(overrides.get("size", info.size))
            mtime = _plausible_time(float(overrides.get("mtime", info.mtime)))
        except ValueError as error:
            raise self._damaged("a number that is none") from error
        kind = _KINDS.get(info.type, "other")
        # Only what is a file has contents; a link's size tells about its target.
        self._unread = size if kind in {"file", "other"} else 0
        if size < 0:
            raise self._damaged("a negative size")
        self._pad = len(padding(self._unread))
        return TarEntry(
            name=overrides.get("path", info.name),
            kind=kind,
            size_bytes=self._unread,
            mode=info.mode & 0o7777,
            mtime=mtime,
            target=overrides.get("linkpath", info.linkname),
            header=header,
        )

    # -- the bytes

    def _some(self, limit: int) -> bytes:
        """Return at least one byte and at most `limit`."""
        if self._at == len(self._piece) and not self._advance():
            raise self._damaged("it is cut off")
        part = self._piece[self._at : self._at + limit]
        self._at += len(part)
        return part

    def _exactly(self, count: int, *, may_end: bool = False) -> bytes:
        part = self._piece[self._at : self._at + count]
        self._at += len(part)
        if len(part) == count:
            return part
        parts = [part]
        missing = count - len(part)
        while missing:
            if not self._advance():
                if may_end and missing == count:
                    return b""
                raise self._damaged("it is cut off")
            parts.append(self._some(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _advance(self) -> bool:
        """Go on to the next piece that is not empty; False at the end."""
        self._piece = next((piece for piece in self._pieces if piece), b"")
        self._at = 0
        return bool(self._piece)

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self._name} is damaged: {what}", code="bad-archive")


def _ordinary_header(block: bytes) -> tarfile.TarInfo | None:
    """Read the header of a file, folder, link or extension; None where `tarfile` must look at it.

    `tarfile` takes five times as long, which is most of the work on a tree of small files.
    """
    kind = block[156:157]
    if kind not in _ORDINARY or block[257:262] != b"ustar":
        return None
    try:
        checksum, size, mode, mtime = (
            int(block[field].rstrip(b"\0 ") or b"0", 8)
            for field in (_CHECKSUM, _SIZE, _MODE, _MTIME)
        )
    except ValueError:  # numbers beyond eleven octal digits are written in binary
        return None
    if checksum != sum(block) - sum(block[_CHECKSUM]) + _CHECKSUM_AS_SPACES:
        return None
    name, link, prefix = (
        block[field].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        for field in (_NAME, _LINK, _PREFIX)
    )
    if kind == tarfile.DIRTYPE:
        name = name.rstrip("/")
    if prefix and kind not in {_LONG_NAME, _LONG_LINK}:
        name = f"{prefix}/{name}"
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode, info.mtime, info.linkname = kind, size, mode, mtime, link
    return info


def _overrides(kind: bytes, extra: bytes) -> dict[str, str]:
    text = extra.rstrip(b"\0")
    if kind == _LONG_NAME:
        return {"path": text.decode("utf-8", "surrogateescape")}
    if kind == _LONG_LINK:
        return {"linkpath": text.decode("utf-8", "surrogateescape")}
    return _pax_records(extra) if kind == _PAX else {}


def _plausible_time(seconds: float) -> float:
    """Return a time that can be set on a file; the epoch for one that cannot."""
    return seconds if abs(seconds) < _MAX_TIME_S else 0.0  # False for NaN as well


def _pax_records(extra: bytes) -> dict[str, str]:
    """Read `LENGTH KEY=VALUE` lines; what does not parse ends the reading."""
    records = {}
    while extra:
        digits, space, _ = extra[:_MAX_LENGTH_DIGITS].partition(b" ")
        if not space or not digits.isdigit() or not 0 < int(digits) <= len(extra):
            break
        line, extra = extra[: int(digits)], extra[int(digits) :]
        key, _, value = line[len(digits) + 1 : -1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
    return records
