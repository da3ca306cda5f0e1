"""The tool `labkit boot`, to which its command modules add themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cli.frame import Tool, current_output

if TYPE_CHECKING:
    from labkit.boot.documents import Document

__all__ = ["boot", "given_document"]

boot = Tool("boot", "Say why a dual boot does not boot, and change its default.")


def given_document(file: str) -> Document:
    """Read the input that an argument names; `-` is standard input."""
    from labkit.boot.documents import decode, read_document

    if file != "-":
        return read_document(Path(file))
    if sys.stdin.isatty():
        current_output().progress.message("reading what you paste here; Ctrl-D ends it")
    return decode(sys.stdin.buffer.read(), "standard input")
