"""The failure catalogue, and the recognition of pasted error texts.

The catalogue is data (`failures.toml`): codes, causes, fixes and the patterns that recognise an
error. Error texts are translated, but identifiers, codes and numbers are not, and a console wraps
them anywhere, even within a word; so a text is matched with all its white space removed.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from labkit.errors import UsageError
from labkit.gpupv.memory_mapped import (
    LOW_SPACE_MB,
    MAX_LOW_SPACE_MB,
    MIN_HIGH_SPACE_MB,
    RejectedRange,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Failure",
    "Recognition",
    "TextPattern",
    "UnknownCodeError",
    "find_failure",
    "load_failures",
    "recognise",
]


class UnknownCodeError(UsageError):
    """A code that is not in the catalogue."""

    code = "gpv-unknown-code"


@dataclass(frozen=True, slots=True)
class TextPattern:
    """Recognises an error: every pattern of `all` and none of `none` is in the compact text."""

    all: tuple[re.Pattern[str], ...]
    none: tuple[re.Pattern[str], ...]

    def position(self, compact: str) -> int | None:
        """Return where the first pattern of `all` begins; None where the text does not match."""
        found = [pattern.search(compact) for pattern in self.all]
        if not all(found) or any(pattern.search(compact) for pattern in self.none):
            return None
        return found[0].start() if found[0] else None


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry of the catalogue.

    Attributes:
        code: The stable name, `GPV-MMIO-RANGE`.
        title: What the user sees.
        cause: Why it happens.
        check: How to see that it is this.
        fix: What to do.
        severity: `error`, `warning` or `note`.
        seen: Where it shows: `preflight`, `text`, `guest`, `lint`.
        source: Where it is documented or reported.
        generic: Whether other codes explain the same symptom better.
        texts: What recognises it in an error text.
    """

    code: str
    title: str
    cause: str
    check: str
    fix: str
    severity: str
    seen: tuple[str, ...]
    source: str
    generic: bool
    texts: tuple[TextPattern, ...]


@dataclass(frozen=True, slots=True)
class Recognition:
    """A failure that an error text names.

    Attributes:
        failure: The catalogue's entry.
        numbers: What the text says and what follows from it, such as `max_size_mb`.
        advice: The value to use; None where the text holds no number to work with.
    """

    failure: Failure
    numbers: Mapping[str, int] = field(default_factory=dict)
    advice: str | None = None


@cache
def load_failures() -> Mapping[str, Failure]:
    """Return the catalogue, by code, in its own order."""
    text = files("labkit.gpupv").joinpath("failures.toml").read_text("utf-8")
    return {code: _failure(code, entry) for code, entry in tomllib.loads(text).items()}


def find_failure(code: str) -> Failure:
    """Return the entry `code`; case and a missing `GPV-` do not matter.

    Raises:
        UnknownCodeError: There is no such code; the hint names the likely one.
    """
    failures = load_failures()
    wanted = code.strip().upper()
    for name in (wanted, f"GPV-{wanted}"):
        if name in failures:
            return failures[name]
    close = get_close_matches(wanted, failures, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UnknownCodeError(
        f"no failure has the code {code!a}", hint=f"{hint}labkit gpupv explain --list shows all"
    )


def recognise(text: str) -> tuple[Recognition, ...]:
    """Find every failure that an error text names, the likely cause first.

    Order: entries that explain before entries that only name a symptom; within these, as in the
    text, since the first error of a chain causes the others. A text that matches nothing gives
    nothing: no code is guessed.
    """
    compact = _compact(text)
    found = []
    for failure in load_failures().values():
        positions = [p for t in failure.texts if (p := t.position(compact)) is not None]
        if positions:
            found.append((failure.generic, min(positions), failure))
    found.sort(key=lambda item: item[:2])
    return tuple(_with_numbers(failure, compact) for _, _, failure in found)


def _failure(code: str, entry: Mapping[str, Any]) -> Failure:
    return Failure(
        code=code,
        title=entry["title"],
        cause=entry["cause"],
        check=entry["check"],
        fix=entry["fix"],
        severity=entry["severity"],
        seen=tuple(entry["seen"]),
        source=entry["source"],
        generic=entry.get("generic", False),
        texts=tuple(
            TextPattern(_patterns(rule["all"]), _patterns(rule.get("none", ())))
            for rule in entry.get("texts", ())
        ),
    )


def _patterns(sources: list[str]) -> tuple[re.Pattern[str], ...]:
    """Compile patterns for compact text: their own blanks are for the reader."""
    return tuple(re.compile("".join(source.split())) for source in sources)


_COLOR = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]")
_QUOTES = str.maketrans(dict.fromkeys('"`\u2018\u2019\u201a\u201b\u201c\u201d\u201e', "'"))
# The quoted source line of an error, its underline, and the frame that PowerShell 7 draws. They
# show what was typed, not what went wrong.
_SOURCE_LINE = re.compile(
    r"\s*(\+\s(?!\s*(CategoryInfo|FullyQualifiedErrorId))|\d+\s\|)", re.IGNORECASE
)
_FRAME = re.compile(r"^\s*\|\s?|^Line\s\|\s*$")


def _compact(text: str) -> str:
    """Return the text without noise and white space, in lower case, with one kind of quote."""
    lines = _COLOR.sub("", text).splitlines()
    kept = (_FRAME.sub("", line) for line in lines if not _SOURCE_LINE.match(line))
    return "".join("".join(kept).split()).translate(_QUOTES).lower()


# No message needs more digits; longer runs come from elsewhere and would only cost time.
_MMIO_NUMBERS = re.compile(r"mmio.{0,80}?0x([0-9a-f]{1,16}).{0,200}?0x([0-9a-f]{1,16})")
_MEMORY_NUMBER = re.compile(r"memoryvalueassigned\(?'?([0-9]{1,9})'?mb")
_UINT32_NUMBER = re.compile(r"convertvalue'?([0-9]{1,20})'?totype")


def _with_numbers(failure: Failure, compact: str) -> Recognition:
    reader = _NUMBER_READERS.get(failure.code)
    return (reader and reader(failure, compact)) or Recognition(failure)


def _read_mmio_range(failure: Failure, compact: str) -> Recognition | None:
    match = _MMIO_NUMBERS.search(compact)
    if match is None:
        return None
    rejected = RejectedRange(top=int(match[1], 16), limit=int(match[2], 16))
    if rejected.limit == 0:
        return None
    numbers = {"top": rejected.top, "limit": rejected.limit, "max_size_mb": rejected.max_size_mb}
    if rejected.physical_bits is not None:
        numbers["physical_bits"] = rejected.physical_bits
    if rejected.size_mb is not None:
        numbers["size_mb"] = rejected.size_mb
    room = f"at most {rejected.max_size_mb} MB fit above the default base of 65024 MB"
    if rejected.suggested_size_mb is None:
        advice = (
            f"{room}, and a GPU needs {MIN_HIGH_SPACE_MB} MB: a smaller size is no cure; "
            "move HighMmioGapBase down, or use another CPU"
        )
    else:
        numbers["suggested_size_mb"] = rejected.suggested_size_mb
        advice = f"{room}: Set-VM -HighMemoryMappedIoSpace {rejected.suggested_size_mb}MB"
    return Recognition(failure, numbers, advice)


def _read_memory_alignment(failure: Failure, compact: str) -> Recognition | None:
    match = _MEMORY_NUMBER.search(compact)
    if match is None:
        return None
    size_mb = int(match[1])
    if size_mb == 0:
        return None
    aligned_mb = size_mb + size_mb % 2
    return Recognition(
        failure,
        {"size_mb": size_mb, "suggested_size_mb": aligned_mb},
        f"Set-VMMemory -StartupBytes {aligned_mb}MB",
    )


def _read_low_gap(failure: Failure, compact: str) -> Recognition | None:
    match = _UINT32_NUMBER.search(compact)
    if match is None:
        return None
    return Recognition(
        failure,
        {"size_bytes": int(match[1]), "max_size_mb": MAX_LOW_SPACE_MB},
        f"Set-VM -LowMemoryMappedIoSpace {LOW_SPACE_MB}MB",
    )


_NUMBER_READERS: Mapping[str, Callable[[Failure, str], Recognition | None]] = {
    "GPV-MMIO-RANGE": _read_mmio_range,
    "GPV-MEM-ALIGN": _read_memory_alignment,
    "GPV-MMIO-LOWGAP-RANGE": _read_low_gap,
}
