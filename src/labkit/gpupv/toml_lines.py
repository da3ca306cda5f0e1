"""At which line of a TOML text a key stands; the parser of the standard library does not say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KeyPath", "key_lines", "line_of"]

KeyPath = tuple[str | int, ...]
"""`("vm", 1, "memory")` is the key `memory` of the second `[[vm]]`."""

_BARE_OR_QUOTED = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_BARE_OR_QUOTED}(?:\s*\.\s*{_BARE_OR_QUOTED})*"
_TABLE = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_PART = re.compile(_BARE_OR_QUOTED)
_LONG_STRING = re.compile('"""|' + "'''")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map each table and key of a valid TOML document to its line, counted from 1.

    Keys inside inline tables and arrays are left out; `line_of` gives the line of their owner.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    inside: str | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if inside is None:
            if header := _TABLE.match(line):
                table = _enter(header[1], _resolve(_names(header[2]), counts), counts)
                lines.setdefault(table, number)
            elif key := _KEY.match(line):
                lines.setdefault((*table, *_names(key[1])), number)
        for mark in _LONG_STRING.findall(line):
            inside = mark if inside is None else None if inside == mark else inside
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of `path`, or of the nearest owner that has one; 1 at the last."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _names(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _resolve(path: KeyPath, counts: Mapping[KeyPath, int]) -> KeyPath:
    """Put the index of the present element behind each array of tables on the way."""
    resolved: KeyPath = ()
    for at, name in enumerate(path):
        resolved = (*resolved, name)
        if at < len(path) - 1 and resolved in counts:
            resolved = (*resolved, counts[resolved] - 1)
    return resolved


def _enter(bracket: str, path: KeyPath, counts: dict[KeyPath, int]) -> KeyPath:
    if bracket == "[":
        return path
    counts[path] = counts.get(path, 0) + 1
    return (*path, counts[path] - 1)
