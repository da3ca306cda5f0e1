"""What a rule reports: a finding, how sure it is, and the lines that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique

__all__ = ["Confidence", "Evidence", "Finding", "Severity"]


@unique
class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """One system cannot be started, or sh or GRUB cannot read the file."""
    WARN = "warn"
    """Works now but will break, or a setting of the user has no effect."""
    INFO = "info"
    """Odd but harmless."""


@unique
class Confidence(StrEnum):
    """How far the inputs prove a finding."""

    CERTAIN = "certain"
    """All inputs of the test are there and agree."""
    LIKELY = "likely"
    """An input is missing or cut; another explanation is left."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A place in an input.

    Attributes:
        input: The input's name, as the user knows it.
        line: Its line, counted from 1; None where the whole input speaks.
        text: What stands there.
    """

    input: str
    line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found.

    Attributes:
        rule: The rule's id, such as `E01`.
        severity: How bad it is here; a rule may report less than its usual severity.
        confidence: How far the inputs prove it.
        message: What is wrong, one sentence with the names at hand.
        evidence: The lines it rests on.
        fix: What to do, step by step; a line is either a command that runs as shown, or a sentence.
        caution: What to have ready before the fix; empty for nothing.
        undo: How to take this fix back, with the old values; empty where the rule says it all.
    """

    rule: str
    severity: Severity
    confidence: Confidence
    message: str
    evidence: tuple[Evidence, ...] = ()
    fix: str = ""
    caution: str = ""
    undo: str = ""
