"""Ending a command from outside."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ending_by_term"]


@contextmanager
def ending_by_term() -> Iterator[None]:
    """Let SIGTERM end a run like Ctrl-C, so that the camera is left as it was."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
