"""Just enough ASN.1 to find whose certificate signed an app by scheme v1.

Encoding: ITU-T X.690. Lengths of indefinite form occur: some signers stream their output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["INTEGER", "SEQUENCE", "SET", "Element", "context", "parse"]

INTEGER, SEQUENCE, SET = 0x02, 0x30, 0x31
_INDEFINITE = 0x80
_LONG_TAG = 0x1F
_MAX_DEPTH = 40


def context(number: int) -> int:
    """Return the tag byte of the constructed, context-specific element `number`."""
    return 0xA0 | number


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its tag byte, the bytes it holds, and the whole encoding."""

    tag: int
    content: bytes
    encoded: bytes

    def children(self) -> list[Element]:
        """Return the elements inside.

        Raises:
            ValueError: They are damaged.
        """
        return list(_elements(self.content))


def parse(data: bytes) -> Element:
    """Read the first element of `data`.

    Raises:
        ValueError: It is damaged.
    """
    return _parse_at(data, 0, 0)[0]


def _elements(data: bytes) -> Iterator[Element]:
    position = 0
    while position < len(data):
        element, position = _parse_at(data, position, 0)
        yield element


def _parse_at(data: bytes, start: int, depth: int) -> tuple[Element, int]:
    if start + 2 > len(data) or depth > _MAX_DEPTH:
        raise ValueError("an element that does not end")
    tag, length = data[start], data[start + 1]
    if tag & _LONG_TAG == _LONG_TAG:
        raise ValueError("an element with a long tag")
    content = start + 2
    if length == _INDEFINITE:
        end = content
        while data[end : end + 2] != b"\0\0":
            _, end = _parse_at(data, end, depth + 1)
        return Element(tag, data[content:end], data[start : end + 2]), end + 2
    if length > _INDEFINITE:
        width = length - _INDEFINITE
        length = int.from_bytes(data[content : content + width], "big")
        content += width
    end = content + length
    if end > len(data):
        raise ValueError("an element larger than the file")
    return Element(tag, data[content:end], data[start:end]), end
