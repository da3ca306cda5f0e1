"""The folder that a pull fills: what lies in it, who else writes to it, what it can hold."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from labkit.errors import RefusedError, UsageError
from labkit.gopro.errors import DestinationLockedError
from labkit.gopro.journal import JOURNAL_NAME
from labkit.part_file import refuse_link
from labkit.transfer import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "LOCK_NAME",
    "Contents",
    "file_limit",
    "free_bytes",
    "locked",
    "not_a_folder",
    "prepare_path",
    "scan",
    "unreadable",
]

LOCK_NAME = ".labkit-gopro.lock"
_FAT_LIMIT = 2**32 - 1
_FAT_TYPES = frozenset({"vfat", "msdos", "fat"})


@dataclass(frozen=True)
class Contents:
    """What lies in a destination.

    Attributes:
        sizes: The relative path, with slashes, and the size of every file.
        unread: The relative path, with a slash at its end, of each folder that could not be read
            to its end, and why; what is in it is not known.
    """

    sizes: dict[str, int]
    unread: dict[str, str]

    def fault_at(self, path: str) -> str | None:
        """Say why nobody knows whether `path` is there; None where it is known."""
        faults = (reason for folder, reason in self.unread.items() if path.startswith(folder))
        return next(faults, None)


def scan(destination: Path) -> Contents:
    """Look at what lies in `destination`, without hidden files and folders."""
    contents = Contents({}, {})
    pending = [(str(destination), "")]
    while pending:
        folder, prefix = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, f"{prefix}{entry.name}/"))
                    elif (size := _size_of(entry)) is not None:
                        contents.sizes[prefix + entry.name] = size
        except FileNotFoundError:  # not made yet, or removed meanwhile
            continue
        except OSError as error:
            contents.unread[prefix] = error.strerror or str(error)
    return contents


def _size_of(entry: os.DirEntry[str]) -> int | None:
    """Give the size of a file; None for what is none, is gone, or is a link that leads nowhere."""
    try:
        return entry.stat().st_size if entry.is_file() else None
    except OSError as error:
        if entry.is_symlink() or isinstance(error, FileNotFoundError):
            return None
        raise


def unreadable(place: Path, reason: str) -> TargetError:
    """Say that what lies in the destination cannot be read, so that nobody knows what is there."""
    return TargetError(
        f"{place} cannot be read: {reason}; what is in it might come a second time",
        hint="check its permissions and its disk, and run it again",
        code="target-not-readable",
    )


def not_a_folder(destination: Path) -> UsageError:
    """Say that the destination is a file."""
    return UsageError(
        f"{destination} is a file, not a folder",
        hint="name the folder that pulls fill",
        code="not-a-folder",
    )


@contextlib.contextmanager
def locked(destination: Path) -> Iterator[None]:
    """Make `destination` if needed, and hold it against a second pull.

    The lock is the operating system's: it ends with the process, however that ends.

    Raises:
        UsageError: It is a file.
        RefusedError: A symbolic link lies where labkit writes its lock or its journal.
        DestinationLockedError: Another pull holds it.
        TargetError: The folder cannot be made or written to.
    """
    if destination.exists() and not destination.is_dir():
        raise not_a_folder(destination)
    try:
        destination.mkdir(parents=True, exist_ok=True)
        for name in (LOCK_NAME, JOURNAL_NAME):
            refuse_link(destination / name)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(destination / LOCK_NAME, flags, 0o644)
    except OSError as error:
        raise TargetError(
            f"{destination} cannot be written: {error.strerror or error}",
            hint="choose another destination, or check its permissions",
        ) from error
    try:
        if not _try_lock(handle):
            owner = os.pread(handle, 20, 0).decode("ascii", "replace") if _POSIX else ""
            raise DestinationLockedError(
                f"another pull{f' (process {owner})' if owner.isdigit() else ''} writes to "
                f"{destination}",
                hint="wait until it has finished, or pull to another folder",
            )
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)


_POSIX = os.name == "posix"

if sys.platform == "win32":

    def _try_lock(handle: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(handle: int) -> bool:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def prepare_path(destination: Path, relative: str) -> Path:
    """Give the path of a file in `destination` and make its folder.

    Raises:
        RefusedError: A symbolic link inside leads out of the destination.
        TargetError: The folder cannot be made.
    """
    target = destination.joinpath(*PurePosixPath(relative).parts)
    root = destination.resolve()
    if not target.parent.resolve().is_relative_to(root):
        raise RefusedError(
            f"{target.parent} leads out of {destination}",
            hint="replace the symbolic link in the destination by a folder",
            code="leads-out",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"{target.parent} cannot be made: {error.strerror or error}") from error
    return target


def free_bytes(destination: Path) -> int | None:
    """How many bytes are free; None where the system does not tell."""
    try:
        return shutil.disk_usage(destination).free
    except OSError:
        return None


def file_limit(destination: Path) -> int | None:
    """The largest file that the destination's file system holds; None where no limit is known."""
    fstype = _file_system(destination)
    return _FAT_LIMIT if fstype in _FAT_TYPES else None


def _file_system(destination: Path) -> str | None:
    """The file system's type, which Linux tells in /proc/self/mountinfo; None elsewhere."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    path = destination.resolve()
    best, fstype = -1, None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        mount = fields[4].replace("\\040", " ") if len(fields) > 4 else ""  # noqa: PLR2004 - the fifth
        if mount and path.is_relative_to(mount) and len(mount) > best:
            best, fstype = len(mount), after.split()[0]
    return fstype
