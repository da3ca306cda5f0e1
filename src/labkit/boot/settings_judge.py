"""A settings file on the bench: what the checks of `lint` share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.findings import Confidence, Evidence, Finding

if TYPE_CHECKING:
    from labkit.boot.default_grub import DefaultGrub
    from labkit.boot.findings import Severity
    from labkit.boot.shell_reader import ShellCommand

__all__ = ["ODD", "ODD_CHARACTERS", "Judge", "is_odd_command"]

ODD_CHARACTERS = {
    "\u201c": "a typographic quote",
    "\u201d": "a typographic quote",
    "\u201e": "a typographic quote",
    "\u2018": "a typographic quote",
    "\u2019": "a typographic quote",
    "\u00ab": "a typographic quote",
    "\u00bb": "a typographic quote",
    "\u00a0": "a no-break space",
    "\u202f": "a no-break space",
    "\u200b": "a zero-width space",
    "\ufeff": "a byte order mark",
}
"""What looks like a quote or a blank and is none to the shell."""

ODD = re.compile("[" + "".join(ODD_CHARACTERS) + "]")


@dataclass(frozen=True)
class Judge:
    """A file with its lines at hand, and whether the shell that sources it is bash."""

    file: DefaultGrub
    sh_is_bash: bool = False

    def finding(
        self,
        rule: str,
        severity: Severity,
        line: int,
        message: str,
        fix: str,
        *others: int,
    ) -> Finding:
        """Make a finding about `line`; `others` are further lines that show it."""
        evidence = tuple(self._evidence(number) for number in (line, *others))
        return Finding(rule, severity, Confidence.CERTAIN, message, evidence, fix)

    def _evidence(self, line: int) -> Evidence:
        lines = self.file.text.split("\n")
        text = lines[line - 1].strip(" \t\r") if line <= len(lines) else ""
        text = text.replace("\ufeff", "<BOM>").replace("\u200b", "<zero-width space>")
        return Evidence(self.file.name, line, text.encode("utf-8", "replace").decode())


def is_odd_command(command: ShellCommand) -> bool:
    """Tell a command whose name holds an odd character: rule F10's."""
    return bool(ODD.search(command.words[0])) or command.words[0] == "\r"
