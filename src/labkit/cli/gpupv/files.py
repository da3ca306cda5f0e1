"""Reading the files that `labkit gpupv` is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_bytes", "read_text"]

_MAX_BYTES = 64 * 2**20
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_bytes(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
        InputError: It cannot be read, or is larger than any script or listing.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path} is larger than 64 MiB, so it is no text of this kind")
    return content


def read_text(path: Path) -> str:
    """Return the text of a file: UTF-8, or UTF-16 as Windows PowerShell's `>` writes it.

    Raises:
        InputError: It cannot be read, or is no text.
    """
    content = read_bytes(path)
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper()
        raise InputError(f"{path} is no {name} text", hint="save it as UTF-8") from error
