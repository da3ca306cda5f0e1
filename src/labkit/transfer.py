"""One resumable, verified, atomic HTTP download.

```
fetch   url -> target.part     resumed, counted, compared; survives cuts, stalls and busy servers
finish  target.part -> target  flushed, verified, renamed, folder flushed
download = fetch + finish
```

A file under its final name is always whole: the bytes go to `NAME.part`, and only a part of
exactly the right length that passes the caller's check is renamed. What was received stays in the
part, so that the next call, in this process or another, goes on where this one ended.

What servers do that makes this longer than a loop (each was seen on a camera or a stock server):
a body ends early although its length was announced; it stalls for minutes; a range is ignored
(200), answered from another offset, or answered with a negative length; the file changes between
two requests; the body is compressed on the fly and has no length; the connection cannot be used
twice. So bytes are counted here, never by the HTTP library, and every request opens a connection.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.http_answer import (
    AttemptError,
    BadRequestError,
    BusyError,
    ChangedError,
    GarbledError,
    GoneError,
    HostUnreachableError,
    NotHttpError,
    TransferError,
    WaitError,
    check_status,
    total_of,
    without_overlap,
)
from labkit.http_get import causes, get, new_session
from labkit.part_file import (
    DiskFullError,
    TargetError,
    VerificationError,
    discard,
    finish,
    free_bytes,
    part_path,
    part_size,
    raise_target_error,
    require_room,
    tail_of,
)
from labkit.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import requests

    from labkit.http_answer import Answer
    from labkit.progress import Progress, Task

__all__ = [
    "BusyError",
    "DiskFullError",
    "Download",
    "Fetched",
    "GoneError",
    "HostUnreachableError",
    "Patience",
    "TargetError",
    "TransferError",
    "VerificationError",
    "causes",
    "download",
    "fetch",
    "finish",
    "new_session",
    "part_path",
    "short_of",
]

# A body of unknown length may fill the disk up to this much.
_RESERVE_BYTES = 16 * 1024 * 1024
_OK = 200


@dataclass(frozen=True)
class Patience:
    """How long to wait for what; seconds throughout.

    Attributes:
        connect_timeout_s: For a connection to be accepted.
        stall_timeout_s: Between two pieces of a body; there is no limit for the whole body.
        backoff_s: Pauses after attempts in a row that brought no byte; then the transfer fails.
        busy_wait_s: In total, for a server that says that it is busy.
        busy_pause_s: Between two questions to a busy server.
    """

    connect_timeout_s: float = 5.0
    stall_timeout_s: float = 15.0
    backoff_s: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
    busy_wait_s: float = 120.0
    busy_pause_s: float = 5.0


@dataclass(frozen=True)
class Fetched:
    """What `fetch` put into the part.

    Attributes:
        part: The file that holds the bytes.
        size_bytes: Its length, which is the whole file's.
        received_bytes: How many bytes came over the network in this call.
        request_count: How many requests were made; 0 when the part was whole already.
        last_modified: The response's `Last-Modified`, as it was sent.
    """

    part: Path
    size_bytes: int
    received_bytes: int
    request_count: int
    last_modified: str | None


@dataclass(frozen=True)
class Download:
    """A finished download; the fields are those of `Fetched`, for the final `path`."""

    path: Path
    size_bytes: int
    received_bytes: int
    request_count: int
    last_modified: str | None


def download(  # noqa: PLR0913 - each is one independent choice of the caller
    url: str,
    target: Path,
    *,
    session: requests.Session | None = None,
    expected_size: int | None = None,
    verify: Callable[[Path], str | None] | None = None,
    patience: Patience | None = None,
    follow_redirects: bool = True,
    progress: Progress = SILENT,
) -> Download:
    """Bring `url` to `target`, whole or not at all; an existing `target` is replaced.

    Args:
        url: What to get.
        target: The final name; its folder must exist. Bytes collect in `NAME.part` beside it.
        session: Where connections come from; see `new_session`.
        expected_size: Bytes, where known beforehand; else the response's total is taken.
        verify: Looks at the part; returns what is wrong with it, or None.
        patience: Time-outs and pauses.
        follow_redirects: False refuses to be sent elsewhere.
        progress: Hears of bytes and of waits.

    Raises:
        HostUnreachableError: No connection, after all retries.
        GoneError: 404 or 410.
        BusyError: Busy for longer than `patience.busy_wait_s`.
        DiskFullError: Too little room.
        TargetError: The target cannot be written.
        VerificationError: `verify` objected.
        TransferError: Anything else that retries did not cure.
    """
    part = part_path(target)
    if verify is not None and _is_whole_but_wrong(part, expected_size, verify):
        discard(part)
    fetched = fetch(
        url,
        part,
        session=session,
        expected_size=expected_size,
        verifiable=verify is not None,
        patience=patience,
        follow_redirects=follow_redirects,
        progress=progress,
        name=target.name,
    )
    finish(part, target, verify=verify)
    return Download(
        target,
        fetched.size_bytes,
        fetched.received_bytes,
        fetched.request_count,
        fetched.last_modified,
    )


def fetch(  # noqa: PLR0913 - each is one independent choice of the caller
    url: str,
    part: Path,
    *,
    session: requests.Session | None = None,
    expected_size: int | None = None,
    verifiable: bool = False,
    patience: Patience | None = None,
    follow_redirects: bool = True,
    progress: Progress = SILENT,
    name: str | None = None,
) -> Fetched:
    """Bring all bytes of `url` into `part`, going on where an earlier call ended.

    Args:
        url: What to get.
        part: The file to fill; its folder must exist.
        session: Where connections come from; see `new_session`.
        expected_size: Bytes, where known beforehand.
        verifiable: The caller can tell a whole file from its content; then a body without any
            announced length is accepted up to its end.
        patience: Time-outs and pauses.
        follow_redirects: False refuses to be sent elsewhere.
        progress: Hears of bytes and of waits.
        name: What `progress` calls the file; the part's name by default.

    Raises:
        The errors of `download`, except VerificationError.
    """
    have = part_size(part)
    if expected_size is not None and have > expected_size:
        discard(part)
        have = 0
    if expected_size is not None and have == expected_size and (have or part.exists()):
        return Fetched(part, have, 0, 0, None)
    own = session is None
    name = name or part.name
    session = session or new_session()
    try:
        with progress.task(name, total=expected_size) as task:
            run = _Fetch(
                session=session,
                url=url,
                part=part,
                expected=expected_size,
                verifiable=verifiable,
                patience=patience or Patience(),
                follow_redirects=follow_redirects,
                progress=progress,
                task=task,
                name=name,
                have=have,
            )
            return run.run()
    finally:
        if own:
            session.close()


# The host is there and nothing listens: that seldom changes within half a minute.
_REFUSED_TRIES = 4
# The server repeats that the file ends before the size that it was listed with.
_NO_MORE_TRIES = 1
# Log lines before an answer pass at once, or with a new firmware.
_GARBAGE_TRIES = 3
# A longer pause is announced.
_QUIET_PAUSE_S = 1.0


class _ShortError(AttemptError):
    """The body ended before its length was reached."""


class _NoMoreError(_ShortError):
    """The server itself says that the file ends there."""


@dataclass
class _Fetch:
    """The state of one `fetch`: how much is there, and what the server has said so far."""

    session: requests.Session
    url: str
    part: Path
    expected: int | None
    verifiable: bool
    patience: Patience
    follow_redirects: bool
    progress: Progress
    task: Task
    name: str
    have: int
    total: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    received: int = 0
    request_count: int = 0
    restarted: bool = False
    # True once this run has written the end of the part: no need to compare it again.
    part_is_ours: bool = field(default=False)

    def run(self) -> Fetched:
        failures = 0
        furthest = self.have
        waited_s = 0.0
        while True:
            try:
                self._attempt()
            except WaitError as error:
                waited_s += self._wait_while_busy(waited_s, error)
            except ChangedError as error:
                self._restart(error)
                furthest = 0
            except BadRequestError as error:
                raise TransferError(str(error)) from error
            except AttemptError as error:
                failures = 0 if self.have > furthest else failures + 1
                furthest = max(furthest, self.have)
                self._pause_before_retry(failures, error)
            else:
                return Fetched(
                    self.part, self.have, self.received, self.request_count, self.last_modified
                )

    def _attempt(self) -> None:
        """Make one request and write what comes.

        Returns normally only when the part is whole.
        """
        overlap = b"" if self.part_is_ours else tail_of(self.part, self.have)
        start = self.have - len(overlap)
        with self._request(start) as answer:
            body_total = self._check_head(answer, start)
            self._check_room(body_total)
            if start and answer.status == _OK:  # the range was ignored: all of it comes
                self.have, overlap = 0, b""
            ended_clean = self._write(answer.body, overlap)
        if self.have and not self.part_is_ours:
            raise _ShortError("the body ended before what was there could be compared")
        if self.expected is not None:
            if self.have < self.expected:
                # A first answer may be cut short with a wrong length; a range's is a second word.
                is_all = bool(self.have == body_total and start)
                early = f"the body ended {self.expected - self.have} bytes early"
                raise _NoMoreError(early) if is_all else _ShortError(early)
        elif body_total is not None:
            if self.have < body_total:
                raise _ShortError(f"the body ended {body_total - self.have} bytes early")
        elif not (ended_clean and self.verifiable):
            raise TransferError(
                f"{self.name}: the server announced no length, and nothing else tells "
                "whether the file is whole"
            )

    def _request(self, start: int) -> AbstractContextManager[Answer]:
        self.request_count += 1
        return get(
            self.session,
            self.url,
            start=start,
            timeouts_s=(self.patience.connect_timeout_s, self.patience.stall_timeout_s),
            follow_redirects=self.follow_redirects,
        )

    def _check_head(self, answer: Answer, start: int) -> int | None:
        """Check status and headers; returns the file's total size where the server tells it."""
        check_status(answer, self.name)
        total = total_of(answer, start)
        etag = answer.headers.get("etag")
        if start:
            self._check_same_file(total, etag)
        elif self.expected is not None and total is not None and total > self.expected:
            raise TransferError(
                f"{self.name}: the server has {total} bytes where {self.expected} were "
                "expected; the file is still growing or was replaced",
                code="size-differs",
            )
        self.total, self.etag = total, etag
        self.last_modified = answer.headers.get("last-modified")
        return total

    def _check_same_file(self, total: int | None, etag: str | None) -> None:
        if self.etag is not None and etag is not None and etag != self.etag:
            raise ChangedError("another version is on the server")
        if total is None:
            return
        if total < self.have:
            raise ChangedError(f"it has {total} bytes, fewer than came before")
        known = self.total if self.total is not None else self.expected
        # A server may hold less than its own list says: that shows as a short file in the end.
        short = self.total is None and self.expected is not None and total < self.expected
        if known is not None and total not in {known, self.expected} and not short:
            raise ChangedError(f"it has {total} bytes instead of {known}")

    def _check_room(self, total: int | None) -> None:
        need = self.expected if self.expected is not None else total
        if need is not None:
            require_room(self.part, need - self.have)

    def _write(self, chunks: Iterator[bytes | memoryview], overlap: bytes) -> bool:
        """Write the body to the part; returns False when it was cut off at a limit of ours.

        The part's last bytes are compared with `overlap`, what the server sends first.
        """
        limit = self.expected if self.expected is not None else self.total
        if limit is None:
            limit = self.have + max(0, free_bytes(self.part) - _RESERVE_BYTES)
        self.task.reach(self.have, self.expected if self.expected is not None else self.total)
        try:
            with self.part.open("r+b" if self.have else "wb", buffering=0) as file:
                if self.have:
                    file.seek(self.have)
                    file.truncate()
                for received in chunks:
                    self.received += len(received)
                    fresh, overlap = without_overlap(received, overlap)
                    self.part_is_ours = not overlap
                    rest = memoryview(fresh)[: limit - self.have]
                    fits = len(rest) == len(fresh)
                    while rest:  # a disk that is nearly full takes a piece of what it is given
                        taken = file.write(rest)
                        rest = rest[taken:]
                        self.have += taken
                        self.task.advance(taken)
                    if self.have >= limit and not overlap:
                        return fits
        except OSError as error:
            raise_target_error(error, self.part, missing=limit - self.have)
        return True

    def _restart(self, reason: Exception) -> None:
        if self.restarted:
            if isinstance(reason, GarbledError):
                discard(self.part)
            raise TransferError(
                f"{self.name}: changes on the server while it is fetched ({reason})",
                hint="run it again once the other side is at rest",
                code="changed-on-server",
            ) from reason
        self.progress.message(f"{self.name}: begins again, {reason}")
        self.restarted = True
        self.have, self.total, self.etag = 0, None, None
        discard(self.part)

    def _wait_while_busy(self, waited_s: float, reason: Exception) -> float:
        pause = min(self.patience.busy_pause_s, self.patience.busy_wait_s - waited_s)
        if pause <= 0:
            raise BusyError(
                f"{self.name}: the other side stayed busy for {waited_s:g} seconds ({reason})",
                hint="stop what it is doing (recording, for a camera) and run it again",
            ) from reason
        if not waited_s:
            self.progress.message(f"waiting: the other side is busy ({reason})")
        time.sleep(pause)
        return pause

    def _pause_before_retry(self, failures: int, reason: Exception) -> None:
        tries = len(self.patience.backoff_s)
        if any(isinstance(link, ConnectionRefusedError) for link in causes(reason)):
            tries = min(tries, _REFUSED_TRIES)
        if isinstance(reason, NotHttpError):
            tries = min(tries, _GARBAGE_TRIES)
        if isinstance(reason, _NoMoreError):
            tries = min(tries, _NO_MORE_TRIES)
        if failures <= tries:
            if failures:
                pause = self.patience.backoff_s[failures - 1]
                if pause > _QUIET_PAUSE_S:
                    self.progress.message(f"{self.name}: {reason}; again in {pause:g} seconds")
                time.sleep(pause)
            return
        if isinstance(reason, _NoMoreError) and self.expected is not None:
            raise short_of(self.name, self.have, self.expected) from reason
        if isinstance(reason, NotHttpError):
            raise TransferError(
                f"{self.name}: {_host(self.url)} sends something that is no HTTP response",
                hint="restart the device and look for an update of its firmware",
                code="not-http",
            ) from reason
        if reason.__cause__ is not None and not self.received:
            raise HostUnreachableError(
                f"{self.name}: {_host(self.url)} does not answer: {reason}",
                hint="check that the device is on and that this computer is still in its network",
            ) from reason
        raise TransferError(
            f"{self.name}: stopped at {self.have} bytes"
            + (f" of {self.expected}" if self.expected is not None else "")
            + f": {reason}",
            hint="run it again: it goes on from there",
            code="short" if isinstance(reason, _ShortError) else None,
        ) from reason


def short_of(name: str, have: int, expected: int) -> TransferError:
    """Say that the server does not have all that its list promises; what it has is in the part."""
    return TransferError(
        f"{name}: the other side lists {expected} bytes and has only {have}",
        hint="what it has stays in the `.part`; restart the device and run it again: the rest may "
        "be there then",
        code="short",
    )


def _is_whole_but_wrong(
    part: Path, expected_size: int | None, verify: Callable[[Path], str | None]
) -> bool:
    return (
        expected_size is not None
        and part.is_file()
        and part.stat().st_size == expected_size
        and verify(part) is not None
    )


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).netloc
