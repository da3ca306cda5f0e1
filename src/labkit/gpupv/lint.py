"""Finds known bad advice in GPU-PV scripts and guides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.gpupv.failures import find_failure
from labkit.gpupv.lint_rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.gpupv.lint_rules import Rule

__all__ = ["LintFinding", "lint_guide", "lint_script"]

_CURLY_CODES = {"GPV-SCRIPT-DASH", "GPV-SCRIPT-QUOTE"}


@dataclass(frozen=True, slots=True)
class LintFinding:
    """A line with bad advice.

    Attributes:
        code: The entry in the failure catalogue.
        severity: `error`, `warning` or `note`.
        line: The line, counted from 1; of several that belong together, the first.
        text: What stands there.
        message: What is wrong with it.
        instead: The right form.
    """

    code: str
    severity: str
    line: int
    text: str
    message: str
    instead: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A logical line: what backticks at line ends join."""

    number: int
    text: str
    is_code: bool


def lint_script(content: bytes) -> tuple[LintFinding, ...]:
    """Find bad advice in a PowerShell script, comments left aside.

    Raises:
        InputError: The bytes are no text in UTF-8, UTF-16 with a mark, or Windows-1252.
    """
    text, marked = _decode(content)
    lines = list(_logical_lines([_Line(n, t, is_code=True) for n, t in _without_comments(text)]))
    findings = [*_matches(lines, text), *_wrong_order(lines)]
    if not marked and not text.isascii():
        number = next(n for n, line in enumerate(text.splitlines(), 1) if not line.isascii())
        findings.append(
            _finding(
                "GPV-SCRIPT-NO-BOM",
                _Line(number, "", is_code=True),
                "non-ASCII characters without a byte order mark: Windows PowerShell misreads them",
                "save it as UTF-8 with BOM",
            )
        )
    return _sorted(findings)


def lint_guide(content: bytes) -> tuple[LintFinding, ...]:
    """Find bad advice in a guide in Markdown: in its code and in its sentences.

    A sentence that warns ("do not ...", "never ...") is not taken for advice.

    Raises:
        InputError: The bytes are no text.
    """
    text, _ = _decode(content)
    lines = list(_logical_lines(list(_guide_lines(text))))
    code = [line for line in lines if line.is_code]
    return _sorted([*_matches(lines, text), *_wrong_order(code)])


def _decode(content: bytes) -> tuple[str, bool]:
    """Return the text and whether a byte order mark says how it is encoded."""
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = next((name for mark, name in marks.items() if content.startswith(mark)), None)
    for attempt in [encoding] if encoding else ["utf-8", "cp1252"]:
        try:
            text = content.decode(attempt)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, encoding is not None
    raise InputError(
        "this is no text", hint="give a PowerShell script (.ps1) or a guide in Markdown (.md)"
    )


_CODE_OR_COMMENT = re.compile(
    r"""
    (?P<string> '(?:[^'\n]|'')*' | "(?:[^"`\n]|`.|"")*" | `.)
    | <\# (?P<block> .*?) (?:\#>|\Z)
    | (?<![^\s;{}()|,]) \# (?!>) [^\n]*
    """,
    re.VERBOSE | re.DOTALL,
)


def _without_comments(text: str) -> Iterator[tuple[int, str]]:
    """Return each line with its number, comments blanked out."""

    def keep(match: re.Match[str]) -> str:
        if match["string"] is not None:
            return match[0]
        return "\n" * match[0].count("\n")

    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return enumerate(_CODE_OR_COMMENT.sub(keep, plain).split("\n"), 1)


def _guide_lines(text: str) -> Iterator[_Line]:
    fenced = False
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            yield _Line(number, "", is_code=False)
        else:
            yield _Line(number, line, is_code=fenced or line.startswith("    "))


def _logical_lines(lines: list[_Line]) -> Iterator[_Line]:
    start: _Line | None = None
    text = ""
    for line in lines:
        start = start or line
        text += line.text.rstrip()
        if line.is_code and text.endswith("`"):
            text = text[:-1] + " "
            continue
        yield _Line(start.number, text, start.is_code)
        start, text = None, ""
    if start is not None:
        yield _Line(start.number, text, start.is_code)


# A sentence that speaks against what it names: words before the advice, or words after it.
_WARNS_BEFORE = re.compile(
    r"\b(not|never|no need|don'?t|doesn'?t|isn'?t|wrong|avoid|instead of|rather than)\b",
    re.IGNORECASE,
)
_WARNS_AFTER = re.compile(r"\b(is|are) (ignored|wrong|an error|a mistake)\b", re.IGNORECASE)


def _matches(lines: list[_Line], text: str) -> Iterator[LintFinding]:
    rules = [rule for rule in RULES if not (rule.unless and rule.unless.search(text))]
    for line in lines:
        for rule in rules:
            if _applies(rule, line):
                yield _finding(rule.code, line, rule.message, rule.instead)


def _applies(rule: Rule, line: _Line) -> bool:
    match = rule.pattern.search(line.text)
    if match is None:
        return False
    if line.is_code:
        return not rule.prose
    before, after = line.text[: match.start()], line.text[match.end() :]
    warns = _WARNS_BEFORE.search(before) or _WARNS_AFTER.search(after)
    return rule.code not in _CURLY_CODES and not warns


_NEEDS_OFF = re.compile(
    r"\bSet-VM\b.*-(GuestControlledCacheTypes|(Low|High)MemoryMappedIoSpace)\b", re.IGNORECASE
)
_STARTS = re.compile(r"\bStart-VM\b", re.IGNORECASE)
_STOPS = re.compile(r"\bStop-VM\b", re.IGNORECASE)
_COPIES = re.compile(r"\bCopy-VMFile\b", re.IGNORECASE)


def _wrong_order(lines: list[_Line]) -> Iterator[LintFinding]:
    """Follow whether the machine is off or running, as far as the lines tell."""
    running: bool | None = None
    for line in lines:
        if _NEEDS_OFF.search(line.text):
            if running:
                message = "the machine runs by now, and these settings need it off"
                yield _state_finding(line, message)
            running = False
        if _COPIES.search(line.text) and running is False:
            yield _state_finding(line, "the machine is off, and Copy-VMFile needs it running")
        if _STARTS.search(line.text):
            running = True
        elif _STOPS.search(line.text):
            running = False


def _state_finding(line: _Line, message: str) -> LintFinding:
    return _finding("GPV-SCRIPT-STATE", line, message, find_failure("GPV-SCRIPT-STATE").fix)


def _finding(code: str, line: _Line, message: str, instead: str) -> LintFinding:
    severity = find_failure(code).severity
    return LintFinding(code, severity, line.number, line.text.strip(), message, instead)


def _sorted(findings: list[LintFinding]) -> tuple[LintFinding, ...]:
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: (finding.line, finding.code)))
