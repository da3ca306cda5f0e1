"""A bundle: the inputs of one computer, from a folder, an archive, a list of files or a paste."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from labkit.boot.documents import MAX_SIZE_BYTES, decode, read_document
from labkit.boot.kinds import recognise
from labkit.errors import InputError, LabkitError, UnmetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from labkit.boot.documents import Document
    from labkit.boot.kinds import Kind

__all__ = ["MANIFEST", "NOT_KNOWN", "Bundle", "Input", "Skipped", "bundle_of", "read_bundle"]

MANIFEST = "collect.json"
"""The file in which `collect` says what it ran and what could not be run."""

NOT_KNOWN = "nothing in it is known"
"""Why a file that is no output of a boot tool was not read."""

_MAX_FILES = 2000
# How `collect` and most people call each input; such a file comes before its namesakes.
_CANONICAL = re.compile(
    r"^(?:esp_\w+_)?(?:efibootmgr|default_grub|grub\.cfg|grub\.cfg\.filtered|grubenv|fdisk|sfdisk|lsblk"
    r"|blkid|fstab|esp_files|os-prober|update-grub|firmware)(?:\.txt|\.json)?$"
)


@dataclass(frozen=True, slots=True)
class Input:
    """One recognised input."""

    kind: Kind
    document: Document


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input that was not read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """All inputs of one computer.

    Attributes:
        name: Where they come from.
        inputs: What was recognised; of one kind the best named comes first.
        skipped: What was not, or could not be read or collected.
    """

    name: str
    inputs: tuple[Input, ...]
    skipped: tuple[Skipped, ...] = ()

    def all(self, *kinds: Kind) -> tuple[Document, ...]:
        """Give every input of `kinds`, in their order."""
        return tuple(i.document for kind in kinds for i in self.inputs if i.kind is kind)

    def first(self, kind: Kind) -> Document | None:
        """Give the first input of `kind`; further ones belong to another time or system."""
        return next((i.document for i in self.inputs if i.kind is kind), None)

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of input that are there."""
        return frozenset(i.kind for i in self.inputs)


def read_bundle(path: Path) -> Bundle:
    """Read what was collected: a folder, an archive of `collect`, or one output in a file.

    Raises:
        InputError: There is nothing at `path`, or no file of it is an output that labkit reads.
        UnmetError: It may not be read.
    """
    if _is_folder(path):
        documents, skipped = _read_folder(path)
    elif _is_archive(path):
        documents, skipped = _read_archive(path)
    else:
        documents, skipped = [read_document(path)], []
    bundle = bundle_of(str(path), documents, skipped)
    if not bundle.inputs:
        raise InputError(
            f"{path} holds no output that labkit reads",
            hint="collect the outputs with `labkit boot collect -o boot.tar.gz` on that computer",
            code="no-inputs",
        )
    return bundle


def bundle_of(
    name: str,
    documents: Iterable[Document],
    skipped: Iterable[Skipped] = (),
    *,
    keep_order: bool = False,
) -> Bundle:
    """Recognise `documents` and put the best named first, unless their order means something."""
    inputs, left = [], list(skipped)
    for document in documents if keep_order else sorted(documents, key=_rank):
        if document.name.rpartition("/")[2] == MANIFEST:
            left += _failures(document)
        elif (kind := recognise(document)) is not None:
            inputs.append(Input(kind, document))
        else:
            left.append(Skipped(document.name, NOT_KNOWN))
    return Bundle(name, tuple(inputs), tuple(left))


def _rank(document: Document) -> tuple[bool, int, str]:
    base = document.name.rpartition("/")[2]
    return not _CANONICAL.match(base), document.name.count("/"), document.name


def _failures(manifest: Document) -> Iterator[Skipped]:
    try:
        failed = json.loads(manifest.text)["failed"]
        for item in failed:
            yield Skipped(str(item["name"]), str(item["reason"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        yield Skipped(manifest.name, "the list of what was collected is damaged")


def _is_folder(path: Path) -> bool:
    """Tell a folder that may be read.

    Raises:
        UnmetError: It, or the way to it, may not be.
    """
    try:
        if not path.is_dir():
            return False
        next(path.iterdir(), None)
    except PermissionError as error:
        raise UnmetError(
            f"{path} may not be read by this user",
            hint="run as root, or copy it somewhere readable first",
            code="unreadable-input",
        ) from error
    return True


def _read_folder(folder: Path) -> tuple[list[Document], list[Skipped]]:
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number >= _MAX_FILES:
            raise InputError(
                f"{folder} holds more than {_MAX_FILES} files; it is no folder of outputs",
                hint="to read a mounted system, use --root",
            )
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name == "meta.json":
            continue
        try:
            documents.append(read_document(path, name))
        except LabkitError as error:
            skipped.append(Skipped(name, error.message))
    return documents, skipped


_GZIP = b"\x1f\x8b"
_MAX_UNPACKED_BYTES = 4 * MAX_SIZE_BYTES


def _is_archive(path: Path) -> bool:
    if not path.is_file():
        return False
    import tarfile

    try:
        with path.open("rb") as file:
            if file.read(len(_GZIP)) == _GZIP:
                return True
        return tarfile.is_tarfile(path)
    except (OSError, EOFError):
        return False


def _read_archive(path: Path) -> tuple[list[Document], list[Skipped]]:
    """Read the members of an archive in memory; nothing is unpacked to disk."""
    import tarfile
    import zlib

    documents: list[Document] = []
    skipped: list[Skipped] = []
    try:
        with _unpacked(path) as file, tarfile.open(fileobj=file) as archive:
            for number, member in enumerate(archive):
                if number >= _MAX_FILES:
                    raise InputError(f"{path} holds more than {_MAX_FILES} files")
                if not member.isfile():
                    continue
                if member.size > MAX_SIZE_BYTES:
                    skipped.append(Skipped(member.name, "too large for an output"))
                    continue
                content = archive.extractfile(member)
                raw = content.read() if content else b""
                try:
                    documents.append(decode(raw, member.name))
                except LabkitError as error:
                    skipped.append(Skipped(member.name, error.message))
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is a damaged archive: {error}", hint="collect it again", code="bad-archive"
        ) from error
    return documents, skipped


def _unpacked(path: Path) -> IO[bytes]:
    """Open an archive; one of gzip is unpacked to its end, where its checksum stands."""
    import gzip
    from io import BytesIO

    file = path.open("rb")
    is_packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    if not is_packed:
        return file
    with file, gzip.open(file) as packed:
        data = packed.read(_MAX_UNPACKED_BYTES + 1)
    if len(data) > _MAX_UNPACKED_BYTES:
        raise InputError(f"{path} unpacks to more than {_MAX_UNPACKED_BYTES // 2**20} MiB")
    return BytesIO(data)
