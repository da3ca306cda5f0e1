"""From an entry of the failure catalogue, or a text that stands for one, to an error to raise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.tv.failures import explain, read_outcome

if TYPE_CHECKING:
    from labkit.errors import LabkitError
    from labkit.tv.failures import Operation

__all__ = ["adb_error", "failure_in", "lost"]


def adb_error(code: str | None, subject: str, detail: str = "") -> LabkitError:
    """Make the error for a failure on the way to a TV.

    Args:
        code: Its code in the catalogue; None where only the text tells.
        subject: The TV, as the user knows it.
        detail: What adb or the TV said.
    """
    outcome = read_outcome(detail) if code is None else replace(explain(code), detail=detail)
    return outcome.error(subject)


def lost(subject: str) -> LabkitError:
    """Make the error for a connection that broke."""
    return adb_error("lost", subject)


def failure_in(text: str, operation: Operation, subject: str) -> LabkitError | None:
    """Find the failure in what a package manager said; None where it is a success."""
    outcome = read_outcome(text, operation=operation)
    return None if outcome.ok else outcome.error(subject)
