"""Inputs as text: bytes of unknown origin, decoded once, with line numbers to point at."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.findings import Evidence
from labkit.errors import InputError, UnmetError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_SIZE_BYTES", "Document", "decode", "read_document"]

MAX_SIZE_BYTES = 64 * 1024 * 1024
"""No output of a boot tool is this large; what is larger was named by mistake."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Bytes that no text holds: C0 controls except TAB, LF, VT, FF, CR and ESC (colours).
_CONTROLS = bytes(set(range(0x20)) - {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1B})
_MAX_CONTROL_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Document:
    """One input.

    Attributes:
        name: What the user calls it: a file's name, or a section of a report.
        raw: Its bytes, untouched.
        text: The decoded text, every line ended by a line feed alone.
    """

    name: str
    raw: bytes
    text: str

    @classmethod
    def of(cls, name: str, text: str) -> Document:
        """Make a document of text that is decoded already."""
        return cls(name, text.encode("utf-8", "surrogatepass"), _plain_line_ends(text))

    @property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        return self.text.split("\n")

    def at(self, number: int | None, text: str | None = None) -> Evidence:
        """Point at line `number` (from 1), quoting it or `text`."""
        if text is None:
            text = self.lines[number - 1] if number is not None else ""
        return Evidence(self.name, number, text.strip())


def decode(raw: bytes, name: str) -> Document:
    """Decode an input: UTF-8, UTF-16 (PowerShell's redirection), or UTF-8 with bad bytes replaced.

    Raises:
        InputError: The bytes are no text.
    """
    encoding = next((e for bom, e in _BOMS if raw.startswith(bom)), None)
    if encoding is None:
        encoding = _bomless_utf16(raw) or "utf-8"
    text = raw.decode(encoding, "replace").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    controls = sum(text.count(chr(byte)) for byte in _CONTROLS)
    if controls > _MAX_CONTROL_SHARE * len(text):
        raise InputError(
            f"{name} is a binary file, not the output of a tool",
            hint="give the text that the tool printed, as `tool > file.txt` stores it",
            code="binary-input",
        )
    return Document(name, raw, _plain_line_ends(text))


def read_document(path: Path, name: str | None = None) -> Document:
    """Read the file at `path` as an input called `name` (the file's own name when None).

    Raises:
        UnmetError: The file may not be read.
        InputError: It does not exist, is a folder, is no text, or is larger than MAX_SIZE_BYTES.
    """
    name = path.name if name is None else name
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SIZE_BYTES + 1)
    except PermissionError as error:
        raise UnmetError(
            f"{path} may not be read by this user",
            hint="run as root, or copy the file somewhere readable first",
            code="unreadable-input",
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_SIZE_BYTES:
        raise InputError(
            f"{path} is larger than {MAX_SIZE_BYTES // 2**20} MiB; no output of a boot tool is",
            hint="name the file that holds the tool's output",
        )
    return decode(raw, name)


def _plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _bomless_utf16(raw: bytes) -> str | None:
    """Tell UTF-16 without a byte order mark by the zeros between its ASCII letters."""
    sample = raw[:4096]
    if len(sample) < 8 or b"\0" not in sample:  # noqa: PLR2004 - fewer letters prove nothing
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) / 2
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.1 * half:
        return "utf-16-be"
    return None
