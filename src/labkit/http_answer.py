"""The answer to a request, and what its head says of a file: take it, wait, give up, begin anew.

Every way in which an attempt to get an answer can fail is one of three errors, so that the caller
need not know which library made the request:

* `AttemptError`: another attempt may cure it (no connection, a stall, a connection that broke);
* `NotHttpError`, a kind of it: what came was no HTTP response;
* `BadRequestError`: no attempt will ever cure it (an address that cannot be requested).

Two more are about the file: `ChangedError` where an answer does not go on with what is there, and
`GarbledError`, a kind of it, where what came cannot be trusted either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import PartialError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Answer",
    "AttemptError",
    "BadRequestError",
    "BusyError",
    "ChangedError",
    "GarbledError",
    "GoneError",
    "HostUnreachableError",
    "NotHttpError",
    "TransferError",
    "WaitError",
    "check_status",
    "is_encoded",
    "length_of",
    "total_of",
    "without_overlap",
]

_BUSY_STATUSES = frozenset({409, 429, 500, 502, 503, 504})
_GONE_STATUSES = frozenset({404, 410})
_OK, _PARTIAL_CONTENT = 200, 206
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# More digits than any file needs, and fewer than Python refuses to read.
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Attributes:
        status: The HTTP status.
        headers: Its headers; ask for names in lower case.
        body: The body's pieces; raises AttemptError where it stalls or its connection breaks. A
            piece may be gone once the next one is asked for.
    """

    status: int
    headers: Mapping[str, str]
    body: Iterator[bytes | memoryview]

    @property
    def is_redirect(self) -> bool:
        """Whether it sends elsewhere."""
        return self.status in _REDIRECTS


class AttemptError(Exception):
    """An attempt failed in a way that another attempt may cure."""


class NotHttpError(AttemptError):
    """What came was no HTTP response."""


class BadRequestError(Exception):
    """The request cannot be made at all."""


class TransferError(PartialError):
    """The transfer failed; what was received is kept in the part."""

    code = "transfer-failed"


class HostUnreachableError(UnreachableError):
    """No connection to the host."""

    code = "host-unreachable"


class GoneError(PartialError):
    """The server does not have the file (any more)."""

    code = "gone"


class BusyError(PartialError):
    """The server stayed busy for longer than the caller wants to wait."""

    code = "busy"


class ChangedError(Exception):
    """The server's file is not the one that the part was begun with."""


class GarbledError(ChangedError):
    """The body is framed wrongly: nobody knows which of the bytes that came are the file's."""


class WaitError(Exception):
    """The server is busy."""


def check_status(answer: Answer, name: str) -> None:
    """Accept an answer that brings the plain file `name`, or the rest of it.

    Raises:
        GoneError: The server does not have it.
        WaitError: The server is busy.
        RefusedError: It refuses, or sends elsewhere.
        TransferError: It compresses the file.
    """
    status = answer.status
    if status in (_OK, _PARTIAL_CONTENT):
        _check_encoding(answer, name)
        return
    if status in _GONE_STATUSES:
        raise GoneError(f"{name}: the server does not have it any more ({status})")
    if status in _BUSY_STATUSES:
        raise WaitError(f"status {status}")
    if answer.is_redirect:
        raise RefusedError(f"{name}: the server redirects to another place", code="redirected")
    raise RefusedError(f"{name}: the server refuses it with status {status}", code="http-refused")


def total_of(answer: Answer, start: int) -> int | None:
    """Read the file's whole size from a response to a request from offset `start`."""
    if answer.status == _PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if match is None or int(match[1]) != start:
            raise ChangedError("the server answers a range that was not asked for")
        return int(match[3])
    if "transfer-encoding" in answer.headers:
        return None
    return length_of(answer.headers.get("content-length", ""))


def length_of(text: str) -> int | None:
    """Read a length as a header tells it; None for what is none.

    Some cameras send negative ones.
    """
    return int(text) if _LENGTH.fullmatch(text) else None


def is_encoded(encoding: str | None) -> bool:
    """Tell from a `Content-Encoding` whether a body is anything but the file itself."""
    return encoding is not None and encoding.strip().lower() not in {"", "identity"}


def without_overlap(
    received: bytes | memoryview, overlap: bytes
) -> tuple[bytes | memoryview, bytes]:
    """Take off what was there before; returns the fresh bytes and the rest of the overlap.

    Raises:
        ChangedError: The server has something else there.
    """
    common = min(len(received), len(overlap))
    if received[:common] != overlap[:common]:
        raise ChangedError("what was there before is not what the server has")
    return received[common:], overlap[common:]


def _check_encoding(answer: Answer, name: str) -> None:
    encoding = answer.headers.get("content-encoding")
    if is_encoded(encoding):
        raise TransferError(
            f"{name}: the server compresses the file ({encoding}) although asked "
            "not to; its length cannot be checked"
        )
