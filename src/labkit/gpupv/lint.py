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
    """A logical line: what backticks at line ends join, or a paragraph of a guide."""

    number: int
    text: str
    is_code: bool
    follows: str = ""
    """Of a guide: the sentence that announces this code."""

    def line_at(self, position: int) -> _Line:
        """Return the line of a paragraph in which a position lies."""
        before, start = self.text.count("\n", 0, position), self.text.rfind("\n", 0, position) + 1
        text = self.text[start:].partition("\n")[0]
        return _Line(self.number + before, text, self.is_code)


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


_FENCE = re.compile(r"\s*(?:```|~~~)")
_BEGINS_ANEW = re.compile(r"\s*(?:[-*+>|#]|\d+[.)])")


def _guide_lines(text: str) -> Iterator[_Line]:
    """Return the paragraphs of a guide, and each line of its code without comments."""
    paragraph: list[str] = []
    block: list[str] | None = None
    announced = ""
    lines = text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate([*lines, "```" if _is_open(lines) else ""], 1):
        if _FENCE.match(line) and block is not None:
            yield from _code_block(block, number - len(block), announced)
            block, announced = None, ""
            continue
        if block is not None:
            block.append(line)
            continue
        indented = line.startswith("    ") and not paragraph
        if paragraph and (indented or not line.strip() or _starts_new(line)):
            joined = "\n".join(paragraph)
            yield _Line(number - len(paragraph), joined, is_code=False)
            announced = _SENTENCE_END.split(joined)[-1] if joined.endswith(":") else ""
            paragraph = []
        if _FENCE.match(line):
            block = []
        elif indented:
            yield from _code_block([line], number, announced)
            announced = ""
        elif line.strip():
            paragraph.append(line)


def _is_open(lines: list[str]) -> bool:
    return sum(1 for line in lines if _FENCE.match(line)) % 2 == 1


def _starts_new(line: str) -> bool:
    return bool(_FENCE.match(line) or _BEGINS_ANEW.match(line))


def _code_block(block: list[str], number: int, announced: str) -> Iterator[_Line]:
    for offset, code in _without_comments("\n".join(block)):
        follows = announced if offset == 1 else ""
        yield _Line(number + offset - 1, code, is_code=True, follows=follows)


def _logical_lines(lines: list[_Line]) -> Iterator[_Line]:
    start: _Line | None = None
    text = ""
    for line in lines:
        start = start or line
        text += line.text.rstrip()
        if line.is_code and text.endswith("`"):
            text = text[:-1] + " "
            continue
        yield _Line(start.number, text, start.is_code, start.follows)
        start, text = None, ""
    if start is not None:
        yield _Line(start.number, text, start.is_code, start.follows)


_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=[^a-z\s])")

# A sentence that speaks against what it names: words before the advice, or words after it.
_WARNS_BEFORE = re.compile(
    r"\b(not|never|no need|(?:do|does|is|are|must)n['\u2018\u2019]?t|wrong|avoid|instead of|"
    r"rather than|(?:it is|it['\u2019]s) (?:a mistake|an error))\b",
    re.IGNORECASE,
)
_WARNS_AFTER = re.compile(r"\b(is|are) (ignored|wrong|an error|a mistake)\b", re.IGNORECASE)


def _matches(lines: list[_Line], text: str) -> Iterator[LintFinding]:
    rules = [
        rule
        for rule in RULES
        if not (rule.unless and rule.unless.search(text))
        and not (rule.where and not rule.where.search(text))
    ]
    for line in lines:
        for rule in rules:
            if not line.is_code:
                yield from _prose_matches(rule, line)
            elif _applies_to_code(rule, line):
                yield _finding(rule.code, line, rule.message, rule.instead)


def _applies_to_code(rule: Rule, line: _Line) -> bool:
    text = f"{line.follows} {line.text}" if rule.prose and line.follows else line.text
    if rule.prose and not line.follows:
        return False
    if rule.beside and rule.beside.search(text):
        return False
    return bool(rule.pattern.search(text))


def _prose_matches(rule: Rule, paragraph: _Line) -> Iterator[LintFinding]:
    """Look at each sentence; curly quotes and dashes are what a sentence is written with."""
    if rule.code in _CURLY_CODES:
        return
    end = 0
    for sentence in _SENTENCE_END.split(paragraph.text):
        start = paragraph.text.index(sentence, end)
        end = start + len(sentence)
        flat = sentence.replace("\n", " ")
        match = rule.pattern.search(flat)
        if match is None or (rule.beside and rule.beside.search(flat)):
            continue
        before, after = flat[: match.start()], flat[match.end() :]
        if not _WARNS_BEFORE.search(before) and not _WARNS_AFTER.search(after):
            line = paragraph.line_at(start + match.start())
            yield _finding(rule.code, line, rule.message, rule.instead)


_SETS = re.compile(r"\bSet-VM\b", re.IGNORECASE)
_NEEDS_OFF = re.compile(
    r"-(GuestControlledCacheTypes|(Low|High)MemoryMappedIoSpace)\b", re.IGNORECASE
)
_STARTS = re.compile(r"\bStart-VM\b", re.IGNORECASE)
_STOPS = re.compile(r"\bStop-VM\b", re.IGNORECASE)
_COPIES = re.compile(r"\bCopy-VMFile\b", re.IGNORECASE)


def _wrong_order(lines: list[_Line]) -> Iterator[LintFinding]:
    """Follow whether the machine is off or running, as far as the lines tell."""
    running: bool | None = None
    for line in lines:
        if _needs_off(line.text):
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


def _needs_off(text: str) -> bool:
    """Two searches: one pattern for both would try each `Set-VM` to the end of the line."""
    setter = _SETS.search(text)
    return setter is not None and _NEEDS_OFF.search(text, setter.end()) is not None


def _state_finding(line: _Line, message: str) -> LintFinding:
    return _finding("GPV-SCRIPT-STATE", line, message, find_failure("GPV-SCRIPT-STATE").fix)


def _finding(code: str, line: _Line, message: str, instead: str) -> LintFinding:
    severity = find_failure(code).severity
    return LintFinding(code, severity, line.number, line.text.strip(), message, instead)


def _sorted(findings: list[LintFinding]) -> tuple[LintFinding, ...]:
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: (finding.line, finding.code)))
