"""What the head of an answer says of a file: take it, wait, give up, or begin anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.errors import PartialError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from labkit.http_get import Answer

__all__ = [
    "BusyError",
    "ChangedError",
    "GoneError",
    "HostUnreachableError",
    "TransferError",
    "WaitError",
    "check_status",
    "total_of",
]

_BUSY_STATUSES = frozenset({409, 429, 500, 502, 503, 504})
_GONE_STATUSES = frozenset({404, 410})
_OK, _PARTIAL_CONTENT = 200, 206
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


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
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != start:
            raise ChangedError("the server answers a range that was not asked for")
        return int(match[3])
    length = answer.headers.get("Content-Length", "")
    if "Transfer-Encoding" in answer.headers or not length.isdecimal():
        return None
    return int(length)


def _check_encoding(answer: Answer, name: str) -> None:
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise TransferError(
            f"{name}: the server compresses the file ({encoding}) although asked "
            "not to; its length cannot be checked"
        )
