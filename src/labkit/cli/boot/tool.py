"""The tool `labkit boot`, to which its command modules add themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cli.frame import Tool, current_output

if TYPE_CHECKING:
    from labkit.boot.documents import Document

__all__ = ["COMMANDS", "boot", "given_document"]

_PACKAGE = "labkit.cli.boot"

COMMANDS = {
    "check": (f"{_PACKAGE}.check", "Say what keeps a dual boot from booting."),
    "paste": (f"{_PACKAGE}.check", "Judge somebody's pasted report or terminal session."),
    "collect": (f"{_PACKAGE}.collect", "Store what `check` reads in one archive."),
    "diff": (f"{_PACKAGE}.collect", "Say what changed between two collections."),
    "entries": (
        f"{_PACKAGE}.entries",
        "List the GRUB menu, and say what a default starts and why.",
    ),
    "explain": (
        f"{_PACKAGE}.explain",
        "Explain a rule: why, how to check it by hand, fix and undo.",
    ),
    "lint": (f"{_PACKAGE}.lint", "Check /etc/default/grub and its drop-ins."),
    "migrate": (f"{_PACKAGE}.migrate", "Plan Windows' move to a larger disk; nothing is run."),
    "once": (f"{_PACKAGE}.once", "Print the command for starting an entry once; nothing is run."),
    "table": (f"{_PACKAGE}.table", "Show any tool's partition table: roles, gaps, warnings."),
    "default": (f"{_PACKAGE}.entries", "Show or set the entry that starts by default."),
    "menu": (f"{_PACKAGE}.menu", "Show or hide the GRUB menu, and set its timeout."),
}
"""Name -> the module that registers the command or group, and its line of help."""

boot = Tool("boot", "Say why a dual boot does not boot, and change its default.", table=COMMANDS)


def given_document(file: str) -> Document:
    """Read the input that an argument names; `-` is standard input."""
    from labkit.boot.documents import decode, read_document

    if file != "-":
        return read_document(Path(file))
    if sys.stdin.isatty():
        current_output().progress.message("reading what you paste here; Ctrl-D ends it")
    return decode(sys.stdin.buffer.read(), "standard input")
