"""Reading the files that `labkit gpupv` is given."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from labkit.cli.frame import current_output
from labkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MissingFileError", "read_bytes", "read_text"]

_MAX_BYTES = 64 * 2**20
_PEEK_BYTES = 1024
_FEW = 4
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class MissingFileError(InputError):
    """There is no such file."""


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, or in standard input for `-`.

    Raises:
        MissingFileError: There is no such file.
        InputError: It cannot be read, or is larger than any script or listing.
    """
    try:
        if str(path) == "-":
            if sys.stdin.isatty():
                current_output().progress.message("reading what you paste here; Ctrl-D ends it")
            content = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingFileError(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path} is larger than 64 MiB, so it is no text of this kind")
    return content


def read_text(path: Path) -> str:
    """Return the text of a file: UTF-8, or UTF-16 as Windows PowerShell's `>` writes it.

    UTF-16 is known by its mark, or by the zero bytes of its ASCII characters.

    Raises:
        InputError: It cannot be read, or is no text.
    """
    content = read_bytes(path)
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    if encoding is None:
        start = content[:_PEEK_BYTES]
        encoding = "utf-8"
        if start[1::2].count(0) > len(start) // _FEW:
            encoding = "utf-16-le"
        elif start[::2].count(0) > len(start) // _FEW:
            encoding = "utf-16-be"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper()
        raise InputError(f"{path} is no {name} text", hint="save it as UTF-8") from error
