"""How the fake camera sends files: the range quirks of civetweb, and the faults of bodies.

The quirks were measured on civetweb 1.12: a range that begins at the end is answered with 206
and no bytes, one beyond it with 206 and a negative length, one that ends beyond it promises a
byte too many; suffix ranges and `If-Range` are ignored.
"""

from __future__ import annotations

import re
import zlib
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.gopro.fake.server import Pause, SendFile, head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.gopro.fake.card import CardFile
    from labkit.gopro.fake.server import Piece, Request

__all__ = ["answer_file"]

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_LOG_LINE = b"gpHttpServer: [04325594][INFO ] conn 0: /gopro/media/list @civetweb.c:17872\r\n"
_SHORT_BYTES = 100


def answer_file(
    file: CardFile, request: Request, faults: frozenset[str], *, first: bool, stall_s: float
) -> Iterator[Piece]:
    """Answer a request for a file.

    Args:
        file: What is asked for.
        request: The request.
        faults: What goes wrong.
        first: This is the first request for this file.
        stall_s: How long a stall lasts.
    """
    size = file.size - (_SHORT_BYTES if "F02-short" in faults else 0)
    etag = f'"{file.created:x}.{file.size}"'
    if "F07-etag" in faults and not first:
        etag = f'"{file.created + 1:x}.{file.size}"'
    headers: dict[str, object] = {
        "Last-Modified": formatdate(file.created, usegmt=True),
        "ETag": etag,
        "Content-Type": "application/octet-stream",
        "Accept-Ranges": "bytes",
    }
    if request.method == "HEAD":
        yield head(200, headers | {"Content-Length": 41 if "F13" in faults else size})
        return
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted is None or "F06" in faults:
        yield from _whole(file, size, headers, faults, first=first, stall_s=stall_s)
    else:
        yield from _range(file, size, headers, faults, wanted)


def _range(
    file: CardFile,
    size: int,
    headers: dict[str, object],
    faults: frozenset[str],
    wanted: re.Match[str],
) -> Iterator[Piece]:
    start = int(wanted[1])
    end = min(int(wanted[2]), size) if wanted[2] else size - 1
    if start > size:
        yield head(206, headers | {"Content-Length": size - start})
        return
    told = 0 if "F07" in faults else start
    headers["Content-Length"] = end - start + 1
    headers["Content-Range"] = f"bytes {told}-{end}/{size}"
    yield head(206, headers)
    yield from _bytes(file, start, min(end + 1, size))


def _whole(
    file: CardFile,
    size: int,
    headers: dict[str, object],
    faults: frozenset[str],
    *,
    first: bool,
    stall_s: float,
) -> Iterator[Piece]:
    if "F29" in faults:
        yield head(200, headers | {"Content-Encoding": "gzip"})
        yield zlib.compress(file.read(0, size))
        return
    announced = size - min(_SHORT_BYTES, size) if "F02" in faults and first else size
    if "F40" not in faults:
        headers["Content-Length"] = announced
    yield head(200, headers)
    middle = size * 6 // 10
    if first and faults & {"F01", "F06", "F07", "F07-etag"}:
        yield from _bytes(file, 0, middle)
        return
    if first and "F03" in faults:
        yield from _bytes(file, 0, middle)
        yield Pause(stall_s)
    elif first and "F16-body" in faults:
        yield from _bytes(file, 0, middle)
        yield _LOG_LINE
        yield from _bytes(file, middle, max(middle, announced - len(_LOG_LINE)))
        return
    else:
        yield from _bytes(file, 0, middle)
    yield from _bytes(file, middle, announced)
    if "F22" in faults:
        for _ in range(64):
            yield bytes(65536)


def _bytes(file: CardFile, start: int, end: int) -> Iterator[Piece]:
    if isinstance(file.content, Path):
        yield SendFile(str(file.content), start, end - start)
    else:
        yield memoryview(file.content)[start:end]
