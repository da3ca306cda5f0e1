"""Writing a new file on this computer: whole or not at all, never over another."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from labkit.errors import RefusedError, UnmetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["new_file"]

_BUFFER_BYTES = 1 << 20


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
    if target.exists() or target.is_symlink():
        raise RefusedError(f"{target} exists already", hint="name another file", code="file-exists")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(temporary, flags, mode)
        try:
            with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _publish(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UnmetError(
            f"{target} cannot be written: {error.strerror or error}",
            hint="free some space or choose another folder",
            code="not-writable",
        ) from error


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
