"""Ending the work of other threads by Ctrl-C, which the first thread alone hears."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from labkit.progress import Progress, Task, Unit

__all__ = ["Interruptible"]


class Interruptible:
    """A `Progress` whose listeners stop once its block is left by an exception.

    They stop where they next report bytes or say something, by KeyboardInterrupt; what they do
    between two reports is never cut.

    Args:
        inner: Who listens.
    """

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self._stopped = threading.Event()

    def check(self) -> None:
        """End the thread's work if it is to stop.

        Raises:
            KeyboardInterrupt: It is.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt

    def message(self, text: str) -> None:
        """Pass a message on."""
        self.check()
        self._inner.message(text)

    def warning(self, text: str) -> None:
        """Pass a warning on, also of what stopping itself met."""
        self._inner.warning(text)

    def task(self, name: str, *, total: float | None = None, unit: Unit = "bytes") -> Task:
        """Begin a task."""
        self.check()
        return _InterruptibleTask(self, self._inner.task(name, total=total, unit=unit))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        if kind is not None:
            self._stopped.set()
            self._inner.message("stopping; what is not installed yet is taken back")


class _InterruptibleTask:
    def __init__(self, progress: Interruptible, inner: Task) -> None:
        self._progress = progress
        self._inner = inner

    def advance(self, amount: float) -> None:
        self._progress.check()
        self._inner.advance(amount)

    def reach(self, done: float, total: float | None = None) -> None:
        self._progress.check()
        self._inner.reach(done, total)

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._inner.__exit__(kind, error, trace)
