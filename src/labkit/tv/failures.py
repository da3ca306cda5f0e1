"""Reading what adb and package managers say: pure functions from text to an entry of the catalogue.

Exit statuses do not decide: adb ends with 0 on failed connections and on some failed
installations. "Success" does not decide either unless it stands alone, since it also ends lines
such as `couldn't read status message): Success`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.errors import (
    ExitCode,
    LabkitError,
    RefusedError,
    UnmetError,
    UnreachableError,
    UsageError,
)
from labkit.tv.android import describe_sdk
from labkit.tv.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.tv.catalogue import Entry, FailureClass

__all__ = ["Operation", "Outcome", "explain", "outcome_of", "read_outcome"]

Operation = Literal["install", "uninstall", "connect", "pair", "shell", "push"]

_BY_CODE: Mapping[str, Entry] = {entry.code: entry for entry in CATALOGUE}
_INSTALL_NUMBERS: Mapping[int, Entry] = {
    e.number: e for e in CATALOGUE if e.number is not None and e.code.startswith("INSTALL_")
}
_DELETE_NUMBERS: Mapping[int, Entry] = {
    e.number: e for e in CATALOGUE if e.number is not None and e.code.startswith("DELETE_")
}
_BY_NAME: Mapping[str, Entry] = {
    name.upper().replace("-", "_"): entry
    for entry in CATALOGUE
    for name in (entry.code, *entry.aliases)
}
_PREFIXES = ("INSTALL_FAILED_", "INSTALL_PARSE_FAILED_", "DELETE_FAILED_")
_ERRORS: Mapping[ExitCode, type[LabkitError]] = {
    ExitCode.NO: LabkitError,
    ExitCode.USAGE: UsageError,
    ExitCode.UNREACHABLE: UnreachableError,
    ExitCode.UNMET: UnmetError,
    ExitCode.REFUSED: RefusedError,
}

# Lines that say nothing about the outcome: the server's start, the linker, progress in per cent.
_NOISE = re.compile(r"^(?:\* daemon .*|WARNING: linker:.*|\[ *\d+%\].*)$\n?", re.MULTILINE)
_BRACKET = re.compile(
    r"Failure \[(?P<code>[A-Z][A-Z0-9_]*|-?\d+)(?:: ?(?P<detail>.*?))?\]\s*$",
    re.MULTILINE | re.DOTALL,
)
_BARE_CODE = re.compile(
    r"\b(?P<code>(?:INSTALL_(?:PARSE_)?|DELETE_)FAILED_[A-Z0-9_]+)(?:: (?P<detail>.*))?"
)
_SUCCESS = re.compile(
    r"^(?:Success(?:: .*)?|connected to \S+|Successfully paired to .*)\s*$", re.MULTILINE
)


@dataclass(frozen=True)
class Outcome:
    """What a text says.

    Attributes:
        code: The catalogue's code, or the package manager's own where the catalogue lacks it.
        failure_class: What kind of thing went wrong; `ok` for success.
        exit_code: What labkit ends with.
        meaning: What it means, in plain words, with names and versions from the text.
        hint: What to do.
        detail: The sentence beside the code.
        raw: The whole text, as it was given.
        known: Whether the catalogue knows the code.
    """

    code: str
    failure_class: FailureClass
    exit_code: ExitCode
    meaning: str
    hint: str
    detail: str = ""
    raw: str = ""
    known: bool = True

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.failure_class == "ok"

    def error(self, subject: str) -> LabkitError:
        """Make the error that ends a command; `subject` says what was done to what."""
        said = f"{self.code}: {self.detail}" if self.detail else self.code
        if not self.known or self.code == "unknown":
            said = self.raw.strip() or "no answer"
        kind = _ERRORS.get(self.exit_code, LabkitError)
        return kind(f"{subject}: {self.meaning} ({said})", hint=self.hint, code=self.code)


def read_outcome(stdout: str, stderr: str = "", *, operation: Operation | None = None) -> Outcome:
    """Read what an operation printed, or what somebody pasted.

    Args:
        stdout: Its standard output, or the whole text.
        stderr: Its standard error.
        operation: What was done; None where unknown. An installation's text may contain the
            failure of a clean-up, which must not count.
    """
    raw = f"{stderr}\n{stdout}" if stderr else stdout
    text = _NOISE.sub("", raw.replace("\r", ""))
    if found := _find_code(text, operation):
        numbers = _DELETE_NUMBERS if operation == "uninstall" else _INSTALL_NUMBERS
        return _coded(found["code"], (found["detail"] or "").strip(), raw, numbers)
    for entry in CATALOGUE:
        for pattern in entry.patterns:
            if match := re.search(pattern, text, re.MULTILINE):
                return outcome_of(entry, _detail_of(entry, text, match), raw)
    if _SUCCESS.search(text):
        return outcome_of(_BY_CODE["success"], "", raw)
    empty = operation in ("install", "uninstall") and not text.strip()
    return outcome_of(_BY_CODE["lost" if empty else "unknown"], text.strip(), raw)


def _find_code(text: str, operation: Operation | None) -> re.Match[str] | None:
    """Find the code that counts, which may be neither the first nor the last in the text."""
    brackets = list(_BRACKET.finditer(text))
    matches = [*brackets, *_BARE_CODE.finditer(text)]
    deletions = [match for match in matches if match["code"].startswith("DELETE_")]
    others = [match for match in matches if match not in deletions]
    if operation == "uninstall":
        candidates = [*deletions, *others]
    elif operation == "install":
        candidates = others
    else:
        candidates = [*others, *deletions]
    return candidates[0] if candidates else None


def _coded(code: str, detail: str, raw: str, numbers: Mapping[int, Entry]) -> Outcome:
    entry = numbers.get(int(code)) if re.fullmatch(r"-?\d+", code) else _BY_CODE.get(code)
    if entry is not None:
        return outcome_of(entry, detail, raw)
    unknown = _BY_CODE["unknown"]
    return Outcome(
        code=code,
        failure_class=unknown.failure_class,
        exit_code=unknown.exit_code,
        meaning=f"the TV refused with the code {code}, which labkit does not know",
        hint=unknown.hint,
        detail=detail,
        raw=raw,
        known=False,
    )


def _detail_of(entry: Entry, text: str, match: re.Match[str]) -> str:
    """Return the sentence that a text without a code was known by."""
    if entry.code == "pm_exception":
        exception = re.search(r"^\s*((?:[\w$]+\.)+\w*(?:Exception|Error)\b.*)$", text, re.MULTILINE)
        if exception:
            return exception[1].strip()
    start = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", match.end())
    return text[start : end if end >= 0 else len(text)].strip()


def outcome_of(entry: Entry, detail: str = "", raw: str = "") -> Outcome:
    """Make the outcome that `entry` stands for, with what `detail` adds."""
    meaning, hint = entry.meaning, entry.hint
    for sentence in entry.details:
        if match := re.search(sentence.pattern, detail, re.DOTALL):
            names = {key: _shown(key, value) for key, value in match.groupdict().items()}
            meaning = sentence.meaning.format_map(names)
            hint = (sentence.hint or hint).format_map(names)
            break
    return Outcome(entry.code, entry.failure_class, entry.exit_code, meaning, hint, detail, raw)


def _shown(name: str, value: str) -> str:
    return describe_sdk(int(value)) if name.startswith("sdk") else value


def explain(code: str, detail: str = "") -> Outcome:
    """Look a code up: whole or without its prefix, in any case, or as a number.

    Args:
        code: The code.
        detail: The sentence that was said with it.

    Raises:
        UsageError: The catalogue has no such code.
    """
    name = code.strip().upper().replace("-", "_")
    if re.fullmatch(r"_?\d{1,9}", name):
        entry = _INSTALL_NUMBERS.get(-int(name.lstrip("_")))
    else:
        candidates = (name, *(prefix + name for prefix in _PREFIXES))
        entry = next((_BY_NAME[each] for each in candidates if each in _BY_NAME), None)
    if entry is None:
        near = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0.5)
        suggestion = f"did you mean {_BY_NAME[near[0]].code}? " if near else ""
        raise UsageError(
            f"the catalogue has no code {code}",
            hint=f"{suggestion}`labkit tv explain --list` shows all, `--text FILE` reads a log",
            code="unknown-code",
        )
    return outcome_of(entry, detail)
