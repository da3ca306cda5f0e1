"""The file that a backup of Kodi is: the TV's own tar archive, and a manifest behind it.

The members are the bytes that the TV sent. The last member, `labkit-kodi.json`, lists every file
with its SHA-256, so that a damaged archive is known before anything on a TV changes. Any tar reads
it; a name that ends with `.gz` or `.tgz` makes it a compressed one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

from labkit.errors import InputError, UsageError
from labkit.tv.local_file import require_ordinary
from labkit.tv.tarstream import TarReader, end_of_archive, padding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = [
    "MANIFEST_MEMBER",
    "ArchiveWriter",
    "BackupManifest",
    "BackupOrigin",
    "FileSum",
    "is_compressed",
    "open_archive",
    "read_archive",
    "require_archive_name",
]

MANIFEST_MEMBER = "labkit-kodi.json"
_SCHEMA = "labkit.tv.kodi-backup/1"
_CHUNK_BYTES = 1 << 18
# 100,000 files at 200 bytes each.
_MAX_MANIFEST_BYTES = 64 << 20
_COMPRESSION_LEVEL = 6
# What says of a file that it is something else than a tar, or a tar compressed in another way.
_OTHER_ARCHIVES = (".zip", ".7z", ".rar", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".zst", ".tzst")


@dataclass(frozen=True)
class FileSum:
    """A file in the archive.

    Attributes:
        path: Its path.
        size_bytes: Its size.
        sha256: The digest of its contents, in hexadecimal.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class BackupOrigin:
    """Where a backup comes from.

    Attributes:
        package: Kodi's application id, which differs between its forks.
        kodi_version: Its version.
        abis: The TV's processor types, which binary add-ons are built for.
        model: The TV.
        sdk: Its Android API level.
        folder: The data folder on the TV.
        created: When it was made, ISO 8601 with offset.
        excluded: What was left out, as patterns.
    """

    package: str
    kodi_version: str | None
    abis: tuple[str, ...]
    model: str
    sdk: int | None
    folder: str
    created: str
    excluded: tuple[str, ...]


@dataclass(frozen=True)
class BackupManifest:
    """What a backup holds.

    Attributes:
        origin: Where it comes from.
        files: Its files.
        unreadable: What the TV did not give.
        archive_bytes: How much of the archive, uncompressed, stands before the manifest.
    """

    origin: BackupOrigin
    files: tuple[FileSum, ...]
    unreadable: tuple[str, ...] = ()
    archive_bytes: int = field(default=0, compare=False)

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size_bytes for file in self.files)


class ArchiveWriter:
    """Writes a backup; the members come first, `finish` adds the manifest.

    Args:
        target: An open file.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._written = 0
        self.files: list[FileSum] = []

    def member(self, path: str, header: bytes, contents: Iterator[bytes], *, is_file: bool) -> None:
        """Write one member as it came, and take its sum."""
        digest = hashlib.sha256()
        size = 0
        self._write(header)
        for piece in contents:
            digest.update(piece)
            size += len(piece)
            self._write(piece)
        self._write(padding(size))
        if is_file:
            self.files.append(FileSum(path, size, digest.hexdigest()))

    def finish(self, origin: BackupOrigin, unreadable: tuple[str, ...]) -> BackupManifest:
        """Write the manifest and the end of the archive."""
        manifest = BackupManifest(origin, tuple(self.files), unreadable, self._written)
        document = {
            "schema": _SCHEMA,
            "origin": asdict(origin),
            "files": [
                {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256}
                for file in manifest.files
            ],
            "unreadable": list(unreadable),
        }
        text = json.dumps(document, ensure_ascii=True).encode()
        info = tarfile.TarInfo(MANIFEST_MEMBER)
        info.size = len(text)
        info.mode = 0o600
        self._write(info.tobuf(tarfile.GNU_FORMAT) + text + padding(len(text)))
        self._write(end_of_archive(self._written))
        return manifest

    def _write(self, data: bytes) -> None:
        self._target.write(data)
        self._written += len(data)


def require_archive_name(path: Path) -> None:
    """Refuse a name for a backup that promises another form than the one it will have.

    Raises:
        UsageError: It ends as a zip archive's does, for instance.
    """
    suffix = path.suffix.lower()
    if suffix in _OTHER_ARCHIVES:
        stem = path.stem.removesuffix(".tar")
        raise UsageError(
            f"a backup is a tar archive, and {path} is named as a {suffix} file",
            hint=f"name it {stem}.tar, or {stem}.tar.gz to have it compressed",
            code="archive-name",
        )


def is_compressed(path: Path) -> bool:
    """Tell by its name whether a backup is, or is to be, compressed."""
    return path.name.lower().endswith((".gz", ".tgz"))


@contextmanager
def open_archive(path: Path) -> Iterator[Iterator[bytes]]:
    """Open a backup for reading; yields its uncompressed pieces.

    Raises:
        InputError: It cannot be read.
    """
    try:
        require_ordinary(path)
        with path.open("rb") as file:
            magic = file.read(2)
            file.seek(0)
            packed = magic == b"\x1f\x8b"
            yield _pieces(gzip.GzipFile(fileobj=file) if packed else file, path)
    except FileNotFoundError as error:
        raise InputError(f"there is no {path}", code="file-not-found") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def compressed(target: BinaryIO) -> BinaryIO:
    """Wrap an open file so that what is written to it is compressed."""
    packed = gzip.GzipFile(
        fileobj=target, mode="wb", filename="", compresslevel=_COMPRESSION_LEVEL, mtime=0
    )
    return cast("BinaryIO", packed)


def _pieces(source: BinaryIO | gzip.GzipFile, path: Path) -> Iterator[bytes]:
    import zlib

    try:
        while piece := source.read(_CHUNK_BYTES):
            yield piece
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, "its compressed data is broken") from error


def read_archive(path: Path, *, verify: bool) -> BackupManifest:
    """Read what a backup holds.

    Args:
        path: The file.
        verify: Compare every file with its sum, and refuse names that could lead elsewhere.

    Raises:
        InputError: It cannot be read, is no backup of labkit's, or is damaged.
    """
    with open_archive(path) as pieces:
        reader = TarReader(pieces, str(path))
        seen: dict[str, tuple[int, str]] = {}
        position = 0
        for entry in reader:
            if entry.name == MANIFEST_MEMBER:
                if entry.size_bytes > _MAX_MANIFEST_BYTES:
                    raise _damaged(path, "its manifest is absurdly large")
                manifest = _parse_manifest(path, b"".join(reader.contents()), position)
                if verify:
                    _compare(path, manifest, seen)
                return manifest
            position += len(entry.header) + entry.size_bytes + len(padding(entry.size_bytes))
            if verify:
                _refuse_hostile(path, entry.name)
                if entry.kind == "file":
                    seen[entry.name] = (entry.size_bytes, _digest(reader.contents()))
    raise _damaged(path, "it has no manifest of labkit's")


def _refuse_hostile(path: Path, name: str) -> None:
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise _damaged(path, f"the name {name!r} leads out of the folder")


def _digest(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _compare(path: Path, manifest: BackupManifest, seen: dict[str, tuple[int, str]]) -> None:
    expected = {file.path: (file.size_bytes, file.sha256) for file in manifest.files}
    for name in sorted(expected.keys() | seen.keys()):
        if expected.get(name) != seen.get(name):
            raise _damaged(path, f"{name} is not what was backed up")


def _parse_manifest(path: Path, data: bytes, position: int) -> BackupManifest:
    try:
        document: dict[str, Any] = json.loads(data)
        if document["schema"] != _SCHEMA:
            raise InputError(
                f"{path} is a backup in the form {document['schema']!r}, which this labkit "
                "does not know",
                hint="use a newer labkit",
                code="bad-archive",
            )
        fields = dict(document["origin"])
        fields["abis"] = tuple(map(str, fields["abis"]))
        fields["excluded"] = tuple(map(str, fields["excluded"]))
        return BackupManifest(
            BackupOrigin(**fields),
            tuple(
                FileSum(str(f["path"]), int(f["size_bytes"]), str(f["sha256"]))
                for f in document["files"]
            ),
            tuple(map(str, document["unreadable"])),
            position,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "its manifest makes no sense") from error


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} is no backup that can be restored: {what}",
        hint="`labkit tv kodi backup` makes one",
        code="bad-archive",
    )
