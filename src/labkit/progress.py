"""How a core tells what it is doing, without knowing who listens.

A core takes a `Progress` and stays silent for the library user, who passes none. The command
layer passes one that writes to standard error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["SILENT", "Progress", "Task", "Unit"]

Unit = Literal["bytes", "items", "seconds"]


class Task(Protocol):
    """One piece of work with a measurable extent; a context manager that ends with it."""

    def advance(self, amount: float) -> None:
        """Report that `amount` more units are done."""

    def reach(self, done: float, total: float | None = None) -> None:
        """Report the absolute state: `done` units, of `total` where that became known."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


class Progress(Protocol):
    """A listener for messages and for the advance of tasks."""

    def message(self, text: str) -> None:
        """Say something worth a line: what a long wait waits for, what was skipped and why."""

    def warning(self, text: str) -> None:
        """Say something that needs attention but stops nothing."""

    def task(self, name: str, *, total: float | None = None, unit: Unit = "bytes") -> Task:
        """Begin a task of `total` units (None where unknown); use it in a `with` statement."""


class _SilentTask:
    def advance(self, amount: float) -> None:
        pass

    def reach(self, done: float, total: float | None = None) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        pass


class _Silent:
    def message(self, text: str) -> None:
        pass

    def warning(self, text: str) -> None:
        pass

    def task(self, name: str, *, total: float | None = None, unit: Unit = "bytes") -> Task:  # noqa: ARG002 - nobody listens
        return _SilentTask()


SILENT: Progress = _Silent()
"""The listener of those who pass none."""
