"""Is a file that came from a camera whole? Proven from its own structure."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from labkit.gopro.damage import DamagedFileError, Problem
from labkit.gopro.mp4 import check_mp4
from labkit.gopro.names import escaped, split_name
from labkit.gopro.stills import check_jpeg, check_tiff, check_wav

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Problem", "check_file"]

_CHECKS: dict[str, Callable[[BinaryIO], object]] = {
    "MP4": check_mp4,
    "360": check_mp4,
    "LRV": check_mp4,
    "JPG": check_jpeg,
    "JPEG": check_jpeg,
    "THM": check_jpeg,
    "GPR": check_tiff,
    "WAV": check_wav,
}

_SMALL_BYTES = 1 << 20


def check_file(
    path: Path, *, expected_size: int | None = None, name: str | None = None
) -> Problem | None:
    """Check the file at `path`: its size, then the structure that its kind must have.

    MP4, 360 and LRV are walked box by box, JPG and THM to their end marker, GPR to the last
    strip, WAV by its stated length. Any other name is checked by what the file begins with, and
    an unknown format by its size alone. Nothing is decoded.

    Args:
        path: The file.
        expected_size: Its size in bytes by the camera's list; None where that is not known.
        name: Its name on the camera, where `path` is a partial file of another name.

    Returns:
        What is wrong with it; None when nothing is.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if expected_size is not None and size != expected_size:
                return Problem("wrong-size", f"it has {size} bytes instead of {expected_size}")
            if size == 0:
                return Problem("empty-file", "it is empty")
            file.seek(0)
            # A photo is read once: looking about in memory takes no calls to the system.
            content = BytesIO(file.read()) if size <= _SMALL_BYTES else file
            check = _check_for(name or path.name, content.read(12))
            if check is not None:
                check(content)
    except DamagedFileError as error:
        return error.problem
    except OSError as error:
        return Problem("unreadable", f"it cannot be read: {error.strerror or escaped(error)}")
    return None


def _check_for(name: str, start: bytes) -> Callable[[BinaryIO], object] | None:
    check = _CHECKS.get(split_name(name)[1].upper())
    if check is not None:
        return check
    if start[4:8] == b"ftyp":
        return check_mp4
    if start[:2] == b"\xff\xd8":
        return check_jpeg
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        return check_wav
    return None
