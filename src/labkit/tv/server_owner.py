"""Whose adb server it is: another user's has that user's key, and the TVs that trust it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from labkit.errors import UnmetError

__all__ = ["foreign_owner", "foreign_server_error", "server_owner"]

_LISTENING = b"0A"
_LINE_BYTES = 150


def server_owner(port: int) -> int | None:
    """Find the id of the user whose process listens on `port` of this computer.

    None where nobody does, or where the system does not tell: only Linux does, in `/proc/net`.
    """
    if not sys.platform.startswith("linux"):
        return None
    for table in ("tcp", "tcp6"):
        try:
            # The kernel makes a line when it is read, and those who listen come first: read
            # singly they take microseconds, all connections of a computer 5 to 25 ms.
            with Path("/proc/net", table).open("rb", buffering=_LINE_BYTES) as lines:
                for line in lines:
                    words = line.split()
                    if words[1].endswith(b":%04X" % port) and words[3] == _LISTENING:
                        return int(words[7])
        except OSError:
            continue
    return None


def foreign_owner(port: int) -> int | None:
    """Find the id of another user who holds `port` of this computer; None where it is ours."""
    own = getattr(os, "getuid", None)  # Windows has no such ids
    owner = server_owner(port) if own else None
    return owner if own and owner != own() else None


def foreign_server_error(address: str, owner: int) -> UnmetError:
    """Make the error for an adb server at `address` that belongs to the user `owner`."""
    return UnmetError(
        f"the adb server at {address} is another user's (id {owner})",
        hint="it uses that user's key: end it as that user with `adb kill-server`, "
        "or set ANDROID_ADB_SERVER_PORT to a port of your own",
        code="adb-server-foreign",
    )
