"""From an entry of the failure catalogue, or a text that stands for one, to an error to raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.tv.failures import explain, read_outcome

if TYPE_CHECKING:
    from labkit.errors import LabkitError
    from labkit.tv.failures import Operation

__all__ = ["adb_error", "booting_error", "failure_in", "lost", "state_error"]

_BOOTING = "tv_booting"
_STATES = frozenset({"offline", "unauthorized", "authorizing"})
# What else a package manager prints may be megabytes, and quote anything.
_LONGEST_REFUSAL = 1000


def adb_error(code: str | None, subject: str, detail: str = "") -> LabkitError:
    """Make the error for a failure on the way to a TV.

    Args:
        code: Its code in the catalogue; None where only the text tells.
        subject: The TV, as the user knows it.
        detail: What adb or the TV said.
    """
    outcome = read_outcome(detail) if code is None else explain(code, detail)
    return outcome.error(subject)


def lost(subject: str) -> LabkitError:
    """Make the error for a connection that broke."""
    return adb_error("lost", subject)


def failure_in(text: str, operation: Operation, subject: str) -> LabkitError | None:
    """Find the failure in what a package manager said; None where it is a success."""
    outcome = read_outcome(text, operation=operation)
    return None if outcome.ok else outcome.error(subject)


def booting_error(text: str, subject: str) -> LabkitError | None:
    """Make the error for a TV whose package manager does not run yet; None where it answered."""
    if len(text) > _LONGEST_REFUSAL:
        return None
    outcome = read_outcome(text)
    return outcome.error(subject) if outcome.code == _BOOTING else None


def state_error(state: str | None, subject: str) -> LabkitError:
    """Make the error for a TV that adb lists in another state than ready, or not at all."""
    return adb_error(state if state in _STATES else "not_found", subject)
