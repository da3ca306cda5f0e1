"""How a file is found to be damaged: one word for it, shared by all formats."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import InputError

__all__ = ["DamagedFileError", "Problem"]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file.

    Attributes:
        code: A stable slug, `mp4-cut`.
        reason: The same in words, one line without a full stop.
    """

    code: str
    reason: str


class DamagedFileError(InputError):
    """A file is not whole, or not of the format that its name says."""

    code = "damaged-file"

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason, code=code)

    @property
    def problem(self) -> Problem:
        """The same as a value."""
        return Problem(self.code, self.message)
