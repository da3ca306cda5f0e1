"""A folder on the TV in which copies become whole before they get their names.

Beside what they replace, so that a rename brings them there: a file is never seen in part, and
what was there before stays until then.
"""

from __future__ import annotations

import posixpath
import secrets
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labkit.errors import LabkitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.progress import Progress
    from labkit.tv.device import Tv
    from labkit.tv.shell import ShellResult

__all__ = ["discard", "discarded_on_failure", "merge", "remove_folder", "staging_folder"]

# Moving or removing many files takes a TV a while.
_TIMEOUT_S = 120.0
_REMOVE_TRIES, _REMOVE_PAUSE_S = 5, 0.5
# Leftovers of the same push go, those of another one that still runs stay.
_MAKE = 'rm -rf "$3"????.part; mkdir -p "$1" && mkdir "$2"'
# Folders that are there are merged, all else is renamed, many files by one `mv`. A folder that
# has the name of a file is an error: `mv` would move into it. Old TVs have no `find`.
_MERGE = """\
exec </dev/null
into() { folder=$2; shift 2; [ $# = 0 ] || mv "$@" "$folder/"; }
merge() {
    for from in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        to=$2/${from##*/}
        if [ ! -e "$from" ]; then continue
        elif [ -d "$from" ] && [ -d "$to" ]; then merge "$from" "$to" || return 1
        elif [ -d "$to" ]; then echo "$to is a folder" >&2; return 1
        elif [ -d "$from" ]; then mv "$from" "$to" || return 1
        else
            set -- "$@" "$from"
            [ $# -lt 100 ] || { into "$@" && set -- "$1" "$2"; } || return 1
        fi
    done
    into "$@" && rmdir "$1"
}
merge "$1" "$2"
"""


def staging_folder(tv: Tv, folder: str, target: str) -> tuple[str, ShellResult]:
    """Make an empty folder inside `folder`, which is made too, for what becomes `target`.

    Returns:
        Its path, and how making it ended.
    """
    key = zlib.crc32(target.encode(errors="surrogateescape")) & 0xFFFF
    prefix = posixpath.join(folder, f".labkit-{key:04x}")
    path = f"{prefix}{secrets.token_hex(2)}.part"
    made = tv.run("sh", "-c", _MAKE, "sh", folder, path, prefix, timeout_s=_TIMEOUT_S)
    return path, made


def merge(tv: Tv, staging: str, folder: str) -> ShellResult:
    """Move what is in `staging` into `folder`, replacing files, by one command on the TV."""
    return tv.run("sh", "-c", _MERGE, "sh", staging, folder, timeout_s=_TIMEOUT_S)


@contextmanager
def discarded_on_failure(tv: Tv, staging: str, progress: Progress) -> Iterator[None]:
    """Remove `staging` where its block fails or is interrupted."""
    try:
        yield
    except BaseException:
        discard(tv, staging, progress)
        raise


def remove_folder(tv: Tv, folder: str) -> bool:
    """Remove a folder, and tell whether it is gone.

    The TV's tar may write into it a little longer than it is fed.
    """
    for _ in range(_REMOVE_TRIES):
        tv.run("rm", "-rf", folder, timeout_s=_TIMEOUT_S)
        with tv.sync() as sync:
            if sync.stat(folder) is None:
                return True
        time.sleep(_REMOVE_PAUSE_S)
    return False


def discard(tv: Tv, staging: str, progress: Progress) -> None:
    """Remove an incomplete copy, which nothing else uses, so that it takes no space."""
    try:
        if tv.reconnect() and remove_folder(tv, staging):
            return
    except LabkitError:
        pass
    progress.warning(f"an incomplete copy stays on {tv.name}: {staging}")
