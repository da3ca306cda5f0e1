"""Progress of a whole run and of the file under way, from one source."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from labkit.progress import SILENT

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from labkit.progress import Progress, Task, Unit

__all__ = ["RunProgress"]

# A bar of its own for each of thousands of small photos would only flicker.
_OWN_BAR_BYTES = 16 * 1024 * 1024


class RunProgress:
    """A `Progress` for the files of a run, which also moves the run's own task.

    Args:
        inner: Who listens.
        whole: The run's task.
        expected: Bytes that are known to come.
    """

    def __init__(self, inner: Progress, whole: Task, expected: float) -> None:
        self._inner = inner
        self._whole = whole
        self._done = 0.0
        self._expected = expected
        self._lock = threading.Lock()

    def message(self, text: str) -> None:
        """Pass a message on."""
        self._inner.message(text)

    def warning(self, text: str) -> None:
        """Pass a warning on."""
        self._inner.warning(text)

    def task(self, name: str, *, total: float | None = None, unit: Unit = "bytes") -> Task:
        """Begin the task of one file, of which nothing was expected where `total` is unknown."""
        return self.file_task(name, total, unit, total or 0.0)

    def file_task(self, name: str, total: float | None, unit: Unit, estimate: float) -> Task:
        """Begin the task of one file, `estimate` bytes of which were expected so far."""
        own_bar = total is not None and total >= _OWN_BAR_BYTES
        shown = self._inner if own_bar else SILENT
        return _FileTask(self, shown.task(name, total=total, unit=unit), estimate)

    def of_file(self, estimate: float) -> Progress:
        """Give the listener of one file, `estimate` bytes of which were expected so far."""
        return _FileProgress(self, estimate)

    def move(self, done: float, expected: float) -> None:
        """Add to what is done and to what is expected; both may be negative."""
        with self._lock:
            self._done += done
            self._expected += expected
            self._whole.reach(self._done, max(self._done, self._expected))


class _FileProgress:
    def __init__(self, run: RunProgress, estimate: float) -> None:
        self._run = run
        self._estimate = estimate
        self.message = run.message
        self.warning = run.warning

    def task(self, name: str, *, total: float | None = None, unit: Unit = "bytes") -> Task:
        return self._run.file_task(name, total, unit, self._estimate)


class _FileTask:
    def __init__(self, run: RunProgress, own: Task, estimate: float) -> None:
        self._run = run
        self._own = own
        self._expected = estimate
        self._done = 0.0

    def advance(self, amount: float) -> None:
        self._done += amount
        self._own.advance(amount)
        self._run.move(amount, 0)

    def reach(self, done: float, total: float | None = None) -> None:
        # A size that the list did not tell becomes known with the response.
        grown = 0.0 if total is None else total - self._expected
        self._expected += grown
        self._own.reach(done, total)
        self._run.move(done - self._done, grown)
        self._done = done

    def __enter__(self) -> Self:
        self._own.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._own.__exit__(kind, error, trace)
