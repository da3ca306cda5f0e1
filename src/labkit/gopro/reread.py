"""Compare a file here with the camera's, by reading stretches of it again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from labkit.errors import LabkitError
from labkit.gopro.link import NoAnswerError
from labkit.http_answer import length_of
from labkit.transfer import GoneError

if TYPE_CHECKING:
    from pathlib import Path

    import requests

    from labkit.gopro.camera import Camera
    from labkit.gopro.listing import ListedFile

__all__ = ["NoRangesError", "difference", "is_same_file", "total_bytes"]

_WINDOW_BYTES = 1024 * 1024
_TAIL_BYTES = 64 * 1024
_WINDOWS = 3
_OK, _PARTIAL_CONTENT = 200, 206


class NoRangesError(LabkitError):
    """The camera's server sends whole files only."""

    code = "no-ranges"


def difference(
    camera: Camera, file: ListedFile, path: Path, *, seed: int | None = None
) -> str | None:
    """Say where `path` differs from the camera's file; None where every stretch is equal.

    Read again are the last MiB and two more at random places; all of it where it is smaller.

    Raises:
        The errors of `Camera`'s requests; GoneError when the camera does not have it any more.
    """
    size = path.stat().st_size
    total = total_bytes(camera, file)
    if total != size:
        return f"it has {size} bytes, the camera's {total}"
    for start, end in windows(size, seed):
        if _read_here(path, start, end) != _read_there(camera, file, start, end):
            return f"it differs from the camera's between byte {start} and byte {end - 1}"
    return None


def is_same_file(camera: Camera, file: ListedFile, path: Path) -> bool:
    """Tell whether `path` is the camera's file: its size and its last 64 KiB.

    Raises:
        The errors of `difference`.
    """
    size = path.stat().st_size
    if size == 0 or total_bytes(camera, file) != size:
        return False
    start = max(0, size - _TAIL_BYTES)
    return _read_here(path, start, size) == _read_there(camera, file, start, size)


def windows(size: int, seed: int | None = None) -> list[tuple[int, int]]:
    """Choose the stretches of a file of `size` bytes; each is (start, end), end exclusive."""
    if size <= _WINDOWS * _WINDOW_BYTES:
        return [(0, size)] if size else []
    chosen = random.Random(seed)  # noqa: S311 - a sample, not a secret
    last = size - _WINDOW_BYTES
    starts = [chosen.randrange(last) for _ in range(_WINDOWS - 1)]
    return [(start, start + _WINDOW_BYTES) for start in (*sorted(starts), last)]


def total_bytes(camera: Camera, file: ListedFile) -> int:
    """Ask for the file's real size by its first byte; HEAD lies on some cameras.

    Raises:
        GoneError: The camera does not have it.
        NoAnswerError: The answer tells no size.
    """
    _, total = _request(camera, file, 0, 1)
    return total


def _read_here(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as own:
        own.seek(start)
        return own.read(end - start)


def _read_there(camera: Camera, file: ListedFile, start: int, end: int) -> bytes:
    body, _ = _request(camera, file, start, end)
    return body


def _request(camera: Camera, file: ListedFile, start: int, end: int) -> tuple[bytes, int]:
    import requests

    link = camera.link
    url = camera.url(file)
    timeout = (link.patience.connect_timeout_s, link.patience.stall_timeout_s)
    # Never beyond the last byte: cameras promise a byte too many there.
    headers = {"Range": f"bytes={start}-{end - 1}"}
    error: Exception | None = None
    for _ in range(3):
        try:
            with (
                link.slot(),
                link.session.get(
                    url, headers=headers, timeout=timeout, allow_redirects=False, stream=True
                ) as response,
            ):
                return _read_answer(response, file, start, end)
        except requests.RequestException as failure:
            error = failure
    raise NoAnswerError(f"{file.name} cannot be read again: the connection breaks") from error


def _read_answer(
    response: requests.Response, file: ListedFile, start: int, end: int
) -> tuple[bytes, int]:
    if response.status_code in {404, 410}:
        raise GoneError(f"{file.name}: the camera does not have it any more")
    told = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code == _OK and start == 0:
        told = response.headers.get("Content-Length", "")  # the range was ignored
    elif response.status_code != _PARTIAL_CONTENT:
        raise NoRangesError(
            f"{file.name}: the camera does not send parts of it (status {response.status_code})"
        )
    total = length_of(told)
    if total is None:
        raise NoRangesError(f"{file.name}: the camera does not tell its size")
    body = bytearray()
    for chunk in response.iter_content(64 * 1024):
        body += chunk
        if len(body) >= end - start:
            break
    return bytes(body[: end - start]), total
