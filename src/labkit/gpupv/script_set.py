"""A script set on disk: writing it whole over nothing but itself, and comparing two plans."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from labkit.errors import InputError, RefusedError, UnmetError, UsageError
from labkit.gpupv.assembly import MANIFEST, plan_scripts
from labkit.gpupv.manifest import HOST_FILE, LOCK_FILE, is_leftover, read_manifest
from labkit.gpupv.settings import plan_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from labkit.gpupv.spec import Spec

__all__ = [
    "Change",
    "UnwritableError",
    "compare_specs",
    "file_hashes",
    "write_new_file",
    "write_set",
]

_LOCK_PATIENCE_S = 10.0
_LOCK_PAUSE_S = 0.02


class UnwritableError(UnmetError):
    """A file that cannot be written: no permission, no space, no folder."""

    code = "not-writable"


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two plans; None where one has no such setting or file."""

    kind: str
    machine: str
    name: str
    old: str | None
    new: str | None


def file_hashes(files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each file of a set."""
    return {name: hashlib.sha256(text.encode("ascii")).hexdigest() for name, text in files.items()}


def write_set(files: Mapping[str, str], folder: Path) -> None:
    """Write a set into `folder`: a new one, an empty one, or one that holds an unchanged set.

    What an earlier write left that was killed, or had no room, is finished. Two writes at once go
    one after the other. host.json, which 00-Inventory writes beside the scripts, stays.

    Raises:
        RefusedError: The folder holds other files, or scripts that were edited, or another labkit
            is still writing to it.
        UnwritableError: The disk is full, or the folder cannot be written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise RefusedError(
                f"{folder} is a file, not a folder", hint="name another folder with -o"
            )
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            superfluous = [path for path in _own_files(folder) if path.name not in files]
            for path in filter(is_leftover, superfluous):
                _remove(path)
            for name, text in files.items():
                if not _holds(folder / name, text):
                    _write_file(folder / name, text)
            for path in superfluous:
                _remove(path)
    except OSError as error:
        raise UnwritableError(
            f"cannot write {error.filename or folder}: {error.strerror}"
        ) from error


def write_new_file(path: Path, text: str) -> None:
    """Write an ASCII file; one with the same content may be there already.

    Raises:
        RefusedError: The file exists with another content.
        UsageError: It is a folder.
        UnwritableError: It cannot be written.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder", hint="name a file with -o")
        if path.exists() and not _holds(path, text):
            raise RefusedError(f"{path} exists already", hint="name another file with -o")
        _write_file(path, text)
    except OSError as error:
        raise UnwritableError(f"cannot write {path}: {error.strerror}") from error


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() == text.encode("ascii")


def _write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside it first, then renamed.

    It is flushed to the disk where it replaces another one. A new set that a power failure cut
    is found by `check_set`, and waiting for the disk a dozen times would be most of the work.
    """
    replaces = path.exists()
    with NamedTemporaryFile("wb", dir=path.parent, prefix=".labkit-", delete=False) as file:
        try:
            file.write(text.encode("ascii"))
            if replaces:
                file.flush()
                os.fsync(file.fileno())
            file.close()
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            file.close()
            Path(file.name).unlink(missing_ok=True)
            raise


def compare_specs(old: Spec, new: Spec) -> list[Change]:
    """List what changes from one specification to the other, in settings and in files."""
    before, after = _settings(old), _settings(new)
    changes = [
        Change("setting", *key, before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]
    old_files, new_files = (file_hashes(plan_scripts(spec)) for spec in (old, new))
    changes += [
        Change("file", "", name, old_files.get(name), digest)
        for name, digest in new_files.items()
        if old_files.get(name) != digest
    ]
    return changes


def _settings(spec: Spec) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for setting in plan_settings(spec).settings:
        key = (setting.machine, setting.name)
        found[key] = f"{found[key]}, {setting.value}" if key in found else setting.value
    return found


def _remove(path: Path) -> None:
    if path.name != LOCK_FILE:
        path.unlink(missing_ok=True)


# -- what may be written over


def _own_files(folder: Path) -> list[Path]:
    """Return the files of `folder` that labkit may replace or remove.

    Raises:
        RefusedError: There are others.
    """
    entries = sorted(path for path in folder.iterdir() if path.name != HOST_FILE)
    recorded = _recorded_files(folder, entries)
    own = [path for path in entries if _is_own(path, recorded)]
    foreign = [path for path in entries if path not in own]
    if not foreign:
        return own
    if not own:
        raise RefusedError(
            f"{folder} holds files that are no script set",
            hint="name an empty or a new folder with -o",
            code="foreign-files",
        )
    raise RefusedError(
        f"{foreign[0]} {_why_foreign(foreign[0], recorded)}",
        hint=f"see `labkit gpupv check {folder}`, or name another folder with -o",
        code="edited-set",
    )


def _why_foreign(path: Path, recorded: Mapping[str, str]) -> str:
    if path.name not in recorded:
        return "does not belong to the script set in that folder"
    if path.is_symlink() or not path.is_file():
        return "stands in the place of a script and is no regular file"
    return "was edited since it was generated; it would be lost"


def _recorded_files(folder: Path, entries: list[Path]) -> Mapping[str, str]:
    if folder / MANIFEST not in entries:
        return {}
    try:
        return read_manifest(folder).files
    except InputError:
        return {}


def _is_own(path: Path, recorded: Mapping[str, str]) -> bool:
    """Whether a file is as it was recorded, or as this labkit writes it, or its leftover."""
    from labkit.gpupv.set_check import is_generated

    if path.name == MANIFEST:
        return bool(recorded)
    if is_leftover(path):
        return True
    if path.is_symlink() or not path.is_file():
        return False
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return recorded.get(path.name) == digest or is_generated(path.name, data)


# -- one write at a time


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; whoever dies gives it back.

    Raises:
        RefusedError: Another labkit holds it for long.
    """
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    with _lock_handle(folder) as handle:
        while not _try_lock(handle):
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"another labkit is writing to {folder}",
                    hint="wait until it has finished, or name another folder with -o",
                    code="folder-locked",
                )
            time.sleep(_LOCK_PAUSE_S)
        yield


if sys.platform == "win32":

    @contextmanager
    def _lock_handle(folder: Path) -> Iterator[int]:
        """Open a file for the lock, since Windows locks no folders."""
        path = folder / LOCK_FILE
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            yield handle
        finally:
            os.close(handle)
            # The next one may hold it open by now.
            with suppress(OSError):
                path.unlink()

    def _try_lock(handle: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    @contextmanager
    def _lock_handle(folder: Path) -> Iterator[int]:
        handle = os.open(folder, os.O_RDONLY)
        try:
            yield handle
        finally:
            os.close(handle)

    def _try_lock(handle: int) -> bool:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
