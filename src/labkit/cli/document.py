"""JSON for scripts, written piece by piece: a long document is never whole in memory."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from numbers import Integral, Rational
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Row", "json_pieces"]

_PIECE_LENGTH = 1 << 16


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a long document, made when it is written: all of them together take much memory.

    Attributes:
        of: What it tells of.
        make: Makes the row's mapping of it.
    """

    of: Any
    make: Callable[[Any], Mapping[str, object]]


def json_pieces(document: object, encoding: str) -> Iterator[str]:
    """Write `document` as JSON that `encoding` can hold; the last piece ends the line.

    Raises:
        TypeError: Something in it has no place in JSON.
        ValueError: A number in it is not finite.
    """
    encoder = json.JSONEncoder(indent=2, allow_nan=False, ensure_ascii=False, default=_plain)
    for text in _joined(encoder.iterencode(document)):
        yield _encodable(text, encoding)
    yield "\n"


def _joined(pieces: Iterable[str]) -> Iterator[str]:
    """Join small pieces to a few long ones, so that a long document is never whole in memory."""
    held = io.StringIO()
    for piece in pieces:
        held.write(piece)
        if held.tell() >= _PIECE_LENGTH:
            yield held.getvalue()
            held = io.StringIO()
    yield held.getvalue()


def _encodable(text: str, encoding: str) -> str:
    """Escape a piece of JSON that `encoding` cannot hold; only strings have such characters."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return re.sub(r"[^\x00-\x7f]", lambda match: json.dumps(match.group())[1:-1], text)
    return text


def _plain(value: object) -> object:
    if isinstance(value, Row):
        return value.make(value.of)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Rational) and not isinstance(value, Integral):
        return str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no place in a JSON document")
