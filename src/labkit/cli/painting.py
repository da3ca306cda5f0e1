"""Text for a terminal: painted where colours are shown, and never a command to the terminal.

Names that come from a camera, a TV or a file may hold sequences that drive the terminal: every
control character in a text is shown, not obeyed, and so is one that turns the direction of what
follows. Our own colours travel as noncharacters (U+FDD0 ends one, those after it begin one) and
become sequences at the very end.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Style", "mark", "paint", "visible", "without_color", "without_marks"]

Style = Literal["good", "bad", "warn", "dim", "bold", "heading"]

_SGR = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1", "heading": "1;36"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PLAIN_MARK = "\ufdd0"
_MARKS = {style: chr(ord(_PLAIN_MARK) + 1 + index) for index, style in enumerate(_SGR)}
_SEQUENCES = {
    _PLAIN_MARK: "\x1b[0m",
    **{mark: f"\x1b[{_SGR[style]}m" for style, mark in _MARKS.items()},
}
_MARK = re.compile(f"[{''.join(_SEQUENCES)}]")


def mark(text: str, style: Style) -> str:
    """Mark `text` to be painted."""
    return f"{_MARKS[style]}{text}{_PLAIN_MARK}" if text else text


def without_marks(text: str) -> str:
    """Take the marks out of `text`."""
    return _MARK.sub("", text)


def visible(text: str, keep: str = "") -> str:
    """Show control characters other than those of `keep`; a line break becomes a space."""

    def show(match: re.Match[str]) -> str:
        character = match.group()
        if character in keep:
            return character
        code = ord(character)
        return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - two digits

    text = _CONTROL.sub(show, text)
    if "\n" not in keep:
        text = text.replace("\n", " ")
    return text


def paint(text: str, *, colors: bool) -> str:
    """Turn the marks of `mark` into sequences, or take them out."""
    return _MARK.sub(lambda match: _SEQUENCES[match.group()] if colors else "", text)


def without_color(text: str) -> str:
    """Take the colours (SGR sequences) out of `text`."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)
