"""The errors of `labkit drops`; all of them are exit code 2."""

from __future__ import annotations

from labkit.errors import UsageError

__all__ = ["LimitError", "NeverError"]


class LimitError(UsageError):
    """The answer would take unbounded time or memory; the message names the limit."""

    code = "limit-exceeded"


class NeverError(UsageError):
    """No number of tries reaches the confidence asked for."""

    code = "never"
