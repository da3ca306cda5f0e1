"""Files on this computer: reading ordinary ones, and writing a new one whole or not at all.

A new file has a temporary name until it is whole. What a killed labkit left under such a name is
removed by the next one that writes to the folder; one that is being written is locked.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from labkit.errors import InputError, RefusedError, UnmetError

try:
    import fcntl
except ImportError:  # Windows, which does not remove a file that is open
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["lock", "new_file", "remove_leftovers", "require_new", "require_ordinary"]

_BUFFER_BYTES = 1 << 20
_PARTS = ".*labkit-????????.part"


def require_ordinary(path: Path) -> None:
    """Make sure that `path` is a file or a folder: a pipe would be waited for without end.

    Raises:
        InputError: It is a pipe, a device or a socket.
        OSError: It cannot be looked at.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
        raise InputError(
            f"{path} is {kind}, not a file",
            hint="its parts are read out of order: save it as a file first",
            code="not-a-file",
        )


def require_new(target: Path) -> None:
    """Make sure that the file `target` can be made, before anything is done for it.

    Raises:
        RefusedError: It exists.
        UnmetError: Its folder is missing or cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise RefusedError(f"{target} exists already", hint="name another file", code="file-exists")
    folder = target.parent
    if not folder.is_dir():
        raise _not_writable(target, f"there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable(target, f"the folder {folder} is not yours to write to")


@contextmanager
def new_file(target: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Write `target` under a temporary name; it gets its own when the block ends well.

    Args:
        target: The file, which must not exist.
        mode: Its permission bits, before the umask.

    Raises:
        RefusedError: It exists.
        UnmetError: It cannot be written, for instance because the disk is full.
    """
    require_new(target)
    remove_leftovers(target.parent)
    temporary = target.with_name(f".{target.name}.labkit-{os.urandom(4).hex()}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(temporary, flags, mode)
        try:
            with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as file:
                lock(descriptor)
                yield file
                file.flush()
                os.fsync(file.fileno())
            _publish(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _not_writable(target, error.strerror or str(error)) from error


def lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; tell whether nobody else has it locked."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another one has it, or the file system knows no locks
        return False
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove what was written when labkit was killed: it takes space, and may hold passwords."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    for leftover in folder.glob(_PARTS):
        with suppress(OSError):
            descriptor = os.open(leftover, flags)
            try:
                unused = lock(descriptor)
            finally:
                os.close(descriptor)
            if unused:
                leftover.unlink()


def _not_writable(target: Path, reason: str) -> UnmetError:
    return UnmetError(
        f"{target} cannot be written: {reason}",
        hint="free some space or choose another folder",
        code="not-writable",
    )


def _publish(temporary: Path, target: Path) -> None:
    try:
        # Unlike a rename, a link fails where another file took the name meanwhile.
        os.link(temporary, target)
    except FileExistsError:
        raise RefusedError(
            f"{target} exists already", hint="name another file", code="file-exists"
        ) from None
    except OSError:  # a file system without hard links
        temporary.rename(target)
    else:
        temporary.unlink()
