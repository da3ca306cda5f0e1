"""The manifest of a script set: which files it has, and what they were when they were written."""

from __future__ import annotations

import errno
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.gpupv.assembly import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "HOST_FILE",
    "LOCK_FILE",
    "NO_FILE",
    "Manifest",
    "is_leftover",
    "read_manifest",
    "read_regular",
]

HOST_FILE = "host.json"
"""What 00-Inventory writes beside the scripts; the one other file that a set's folder holds."""

LOCK_FILE = ".labkit-lock"
"""What holds the lock of a folder on Windows, which locks files only."""

NO_FILE = "it is no regular file"
"""Said of a folder, a pipe or the like."""

_LEFTOVER = re.compile(r"\.labkit-(?:lock|[a-z0-9_]{8})")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.json says.

    Attributes:
        version: The labkit that wrote the set.
        plan_hash: The SHA-256 of the plan.
        files: The SHA-256 of each file, by name.
    """

    version: str
    plan_hash: str
    files: Mapping[str, str]


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the set in `folder`.

    Raises:
        InputError: There is none, or it is no manifest of a set.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(read_regular(path))
    except OSError as error:
        raise InputError(
            f"{folder} holds no script set: cannot read {MANIFEST}: {error.strerror}",
            hint="`labkit gpupv plan SPEC.toml -o FOLDER` writes one",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    values = manifest if isinstance(manifest, dict) else {}
    files, plan_hash = values.get("files"), values.get("plan_sha256")
    if not isinstance(files, dict) or not isinstance(plan_hash, str):
        raise InputError(f"{path} is not the manifest of a script set")
    if odd := [name for name in files if not re.fullmatch(r"[\w-][\w.-]*", name)]:
        raise InputError(f"{path} names a file outside the set: {odd[0]!a}")
    return Manifest(str(values.get("labkit")), plan_hash, files)


def read_regular(path: Path) -> bytes:
    """Read a file; a named pipe in its place is not waited for.

    Raises:
        OSError: It cannot be read, or is something else than a file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, NO_FILE, str(path))
    return path.read_bytes()


def is_leftover(path: Path) -> bool:
    """Whether a file is labkit's own, left when a write was killed."""
    return bool(_LEFTOVER.fullmatch(path.name)) and path.is_file() and not path.is_symlink()
