"""What an entry of the failure catalogue holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLASS_EXIT_CODES", "Detail", "Entry", "FailureClass"]

FailureClass = Literal[
    "ok", "local", "usage", "unreachable", "unauthorised", "unfit", "refused", "data-loss"
]

CLASS_EXIT_CODES: Mapping[FailureClass, ExitCode] = {
    "ok": ExitCode.OK,
    "local": ExitCode.UNMET,
    "usage": ExitCode.USAGE,
    "unreachable": ExitCode.UNREACHABLE,
    "unauthorised": ExitCode.UNMET,
    "unfit": ExitCode.NO,
    "refused": ExitCode.REFUSED,
    "data-loss": ExitCode.REFUSED,
}
"""The exit code of each class of failure."""


@dataclass(frozen=True)
class Detail:
    """A sentence that a package manager adds to a code, and what it says.

    Attributes:
        pattern: A regular expression to search for; it may span lines.
        meaning: Replaces the entry's meaning. `{name}` stands for a group of the pattern; a group
            whose name starts with `sdk` is shown as an Android version.
        hint: Replaces the entry's hint, where there is one.
    """

    pattern: str
    meaning: str
    hint: str | None = None


@dataclass(frozen=True)
class Entry:
    """A kind of failure.

    Attributes:
        code: What scripts may rely on: the package manager's own code, or a word of labkit's.
        failure_class: What kind of thing went wrong; it decides the exit code.
        meaning: What it means, in plain words.
        hint: What to do.
        number: The number that older package managers print instead of the code.
        patterns: Texts that it is known by, as regular expressions.
        details: Sentences that say more.
        aliases: The code that `labkit tv check` gives to the same trouble.
    """

    code: str
    failure_class: FailureClass
    meaning: str
    hint: str
    number: int | None = None
    patterns: tuple[str, ...] = ()
    details: tuple[Detail, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The exit status that labkit ends with."""
        return CLASS_EXIT_CODES[self.failure_class]
