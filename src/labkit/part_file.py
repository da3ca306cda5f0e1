"""The file that collects a download's bytes, from its first byte to its final name.

Bytes collect in `NAME.part`. A part that is whole and proven is flushed to disk, renamed, and its
folder flushed: after a power cut there is the whole file or the part, never anything between.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, NoReturn

from labkit.errors import PartialError, RefusedError, UnmetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "DiskFullError",
    "TargetError",
    "VerificationError",
    "discard",
    "finish",
    "flush_folder_of",
    "free_bytes",
    "part_path",
    "part_size",
    "raise_target_error",
    "refuse_link",
    "require_room",
    "tail_of",
]

_TAIL_BYTES = 64 * 1024


class DiskFullError(PartialError):
    """The target's file system has too little room; the part is kept."""

    code = "disk-full"


class TargetError(UnmetError):
    """The target cannot be written."""

    code = "target-not-writable"


class VerificationError(PartialError):
    """All bytes came, but they are not what they should be; the part is kept."""

    code = "verification-failed"


def part_path(target: Path) -> Path:
    """Give the file that collects the bytes of `target` until it is whole."""
    return target.with_name(target.name + ".part")


def refuse_link(path: Path) -> None:
    """Refuse to write through a symbolic link, which may lead anywhere.

    Raises:
        RefusedError: `path` is one.
    """
    if path.is_symlink():
        raise RefusedError(
            f"{path} is a symbolic link; labkit does not write through it",
            hint="remove the link and run it again",
            code="leads-out",
        )


def part_size(part: Path) -> int:
    """Give how many bytes the part has; 0 where there is none."""
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise_target_error(error, part)


def tail_of(part: Path, size: int) -> bytes:
    """Read the last bytes of an earlier run's part, to be compared with the server's."""
    if not size:
        return b""
    try:
        with part.open("rb") as file:
            file.seek(max(0, size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES)
    except OSError as error:
        raise_target_error(error, part)


def free_bytes(path: Path) -> int:
    """Give how many bytes the file system of `path` has free."""
    try:
        return shutil.disk_usage(path.parent).free
    except OSError as error:
        raise_target_error(error, path)


def require_room(part: Path, missing: int) -> None:
    """Check that `missing` more bytes fit.

    Raises:
        DiskFullError: They do not.
    """
    free = free_bytes(part)
    if missing > free:
        _raise_disk_full(part, missing - free)


def discard(part: Path) -> None:
    """Remove the part, if there is one."""
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        raise_target_error(error, part)


def finish(
    part: Path,
    target: Path,
    *,
    verify: Callable[[Path], str | None] | None = None,
    modified_at: float | None = None,
    flush_folder: bool = True,
) -> None:
    """Make a whole `part` the final `target`: verify, flush to disk, rename, flush the folder.

    Args:
        part: A complete part.
        target: Its final name, in the same folder; replaced if it exists.
        verify: Looks at the part; returns what is wrong with it, or None.
        modified_at: The modification time to give to the file, seconds since 1970.
        flush_folder: False leaves the flush of the folder to the caller (`flush_folder_of`), who
            has several files in it.

    Raises:
        VerificationError: `verify` objected; the part is kept and gets fetched anew next time.
        DiskFullError: The file system could not take what it had accepted.
        TargetError: The rename was refused.
    """
    problem = verify(part) if verify is not None else None
    if problem is not None:
        raise VerificationError(
            f"{target.name}: {problem}",
            hint="run it again: what is wrong is fetched anew; if it stays, the original is "
            "damaged",
        )
    try:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if modified_at is not None:
            os.utime(part, (modified_at, modified_at))
        part.replace(target)
        if flush_folder:
            flush_folder_of(target)
    except OSError as error:
        raise_target_error(error, target)


def flush_folder_of(path: Path) -> None:
    """Flush the folder entry of `path` to disk, where the system can do that."""
    try:
        handle = os.open(path.parent, os.O_RDONLY)
    except PermissionError:  # Windows does not open folders, and needs no flush
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def raise_target_error(error: OSError, path: Path, *, missing: int = 0) -> NoReturn:
    """Say in labkit's words what the file system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        _raise_disk_full(path, missing)
    if error.errno == errno.EFBIG:
        raise TargetError(
            f"{path.name}: the target's file system cannot hold a file of that size",
            hint="FAT32 ends at 4 GiB: use a folder on exFAT, NTFS, ext4 or APFS",
            code="file-too-large",
        ) from error
    raise TargetError(
        f"{path} cannot be written: {error.strerror or error}",
        hint="choose another folder, or check its permissions",
    ) from error


def _raise_disk_full(path: Path, missing: int) -> NoReturn:
    raise DiskFullError(
        f"{path.name}: the disk is full, {max(missing, 1)} bytes are missing in {path.parent}",
        hint="make room and run it again: it goes on from there",
    )
