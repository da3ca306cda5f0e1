"""The errors that labkit raises on purpose, and the exit codes they stand for.

```
LabkitError
├── UsageError          2   bad arguments
│   └── InputError      2   an input that cannot be read as what it should be
├── UnreachableError    3   the camera, TV or host does not answer
├── UnmetError          4   something needed is missing: a permission, an authorisation, an input
│   └── ProgramMissingError   an external program is not installed
├── PartialError        5   some items done, some not; running it again goes on
├── RefusedError        6   the device refused, or data would be lost without an explicit flag
└── BugError           70   a fault of labkit
```

A tool derives its own errors from these and gives each a `code`, a stable slug that scripts
may rely on (`camera-unreachable`). The command layer alone turns an error into text, JSON and
an exit code.
"""

from __future__ import annotations

from enum import IntEnum, unique

__all__ = [
    "BugError",
    "ExitCode",
    "InputError",
    "LabkitError",
    "PartialError",
    "ProgramMissingError",
    "RefusedError",
    "UnmetError",
    "UnreachableError",
    "UsageError",
]


@unique
class ExitCode(IntEnum):
    """What a labkit command's exit status means; the same for all tools."""

    OK = 0
    """Done; the answer is yes."""
    NO = 1
    """The command worked and the answer is no."""
    USAGE = 2
    """Bad arguments, or an input file that cannot be read as what it should be."""
    UNREACHABLE = 3
    """The camera, TV or network host does not answer."""
    UNMET = 4
    """Something needed is missing."""
    PARTIAL = 5
    """Some items done, some not; running it again goes on."""
    REFUSED = 6
    """Refused by the device, or by labkit because data would be lost."""
    BUG = 70
    """A fault of labkit."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""
    PIPE_CLOSED = 141
    """The reader of the output went away, as `| head` does."""


class LabkitError(Exception):
    """A foreseeable failure, in words that its reader can act on.

    Args:
        message: What happened, one line, without a full stop.
        hint: The next step, where there is one.
        code: A stable slug, where the class's own is too wide.
    """

    code: str = "error"
    exit_code: ExitCode = ExitCode.NO

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class UsageError(LabkitError):
    """The arguments make no sense together, or one of them makes none."""

    code = "usage"
    exit_code = ExitCode.USAGE


class InputError(UsageError):
    """An input that cannot be read, or not as what it should be."""

    code = "bad-input"


class UnreachableError(LabkitError):
    """A camera, TV or host does not answer."""

    code = "unreachable"
    exit_code = ExitCode.UNREACHABLE


class UnmetError(LabkitError):
    """Something that is needed is missing."""

    code = "unmet"
    exit_code = ExitCode.UNMET


class ProgramMissingError(UnmetError):
    """An external program is not installed."""

    code = "program-missing"


class PartialError(LabkitError):
    """Some items are done and some are not; running it again goes on."""

    code = "partial"
    exit_code = ExitCode.PARTIAL


class RefusedError(LabkitError):
    """The device refused, or labkit refuses because data would be lost."""

    code = "refused"
    exit_code = ExitCode.REFUSED


class BugError(LabkitError):
    """A fault of labkit itself."""

    code = "bug"
    exit_code = ExitCode.BUG
