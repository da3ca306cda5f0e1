"""How fast the camera's link is, measured by reading for a moment."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.gopro.camera import Camera
    from labkit.gopro.listing import ListedFile

__all__ = ["measure_speed"]

_MOMENT_S = 1.0
_MOST_BYTES = 64 * 1024 * 1024


def measure_speed(camera: Camera, file: ListedFile) -> float | None:
    """Read the beginning of `file` for a second at most; bytes per second, None on failure.

    The file should be a large one: the beginning of a connection is slow.
    """
    import requests

    link = camera.link
    timeout = (link.patience.connect_timeout_s, link.patience.stall_timeout_s)
    received, began = 0, time.monotonic()
    # A connection that breaks has still shown how fast it was.
    with (
        contextlib.suppress(requests.RequestException),
        link.slot(),
        link.session.get(
            camera.url(file), stream=True, timeout=timeout, allow_redirects=False
        ) as response,
    ):
        if not response.ok:
            return None
        began = time.monotonic()
        for chunk in response.iter_content(64 * 1024):
            received += len(chunk)
            if time.monotonic() - began >= _MOMENT_S or received >= _MOST_BYTES:
                break
    elapsed_s = time.monotonic() - began
    return received / elapsed_s if received and elapsed_s > 0 else None
