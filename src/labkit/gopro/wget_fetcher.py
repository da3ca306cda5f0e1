"""GNU Wget as the carrier of bytes: a process for each attempt, and the judgement that it lacks.

Wget continues a file wherever the server lets it, whatever the file has become meanwhile; for a
file that is whole it asks a camera twenty times; and where a range is answered from another
offset it only says that the network failed. So each attempt to continue is preceded by a look at
the server's answer, which labkit compares with the part.

Wget hands the bytes to labkit, which alone writes to the part: a wget that survives a killed labkit
would go on writing to a file that the next run has verified and named.
"""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from labkit.errors import RefusedError
from labkit.http_answer import ChangedError, WaitError, check_status, is_encoded, total_of
from labkit.http_get import AttemptError, get
from labkit.part_file import discard, part_size, raise_target_error, tail_of
from labkit.transfer import (
    BusyError,
    Fetched,
    GoneError,
    HostUnreachableError,
    TransferError,
    short_of,
)

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from labkit.errors import LabkitError
    from labkit.gopro.link import Link
    from labkit.progress import Progress, Task

__all__ = ["WgetFetcher"]

# Exit statuses of GNU Wget's manual.
_NETWORK_FAILURE, _SERVER_ERROR = 4, 8
_PIECE_BYTES = 256 * 1024
# Nobody there seldom changes within half a minute.
_UNANSWERED_TRIES = 4
_OK = 200
_BEGIN = re.compile(r"bytes (\d{1,18})-")
_STATUS = re.compile(r"HTTP/1\.[01] (\d{3})")


@dataclass(frozen=True)
class WgetFetcher:
    """GNU Wget, a process for each attempt; it goes on within a run and across runs."""

    link: Link
    program: Path

    def fetch(
        self, url: str, part: Path, *, expected_size: int | None, name: str, progress: Progress
    ) -> Fetched:
        """Fill `part` from the output of wget; as `labkit.transfer.fetch`."""
        if expected_size is not None and part_size(part) > expected_size:
            discard(part)
        with self.link.slot(), progress.task(name, total=expected_size) as task:
            run = _Run(self.link, self.program, url, part, expected_size, name, progress, task)
            return run.run()


class _StoppedError(Exception):
    """An attempt ended before the file did; another one may go on."""

    def __init__(self, outcome: LabkitError, *, answered: bool = True) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome  # where no other one does
        self.answered = answered


@dataclass
class _Run:
    """The state of one `fetch`: what the server has said of the file so far."""

    link: Link
    program: Path
    url: str
    part: Path
    expected: int | None
    name: str
    progress: Progress
    task: Task
    received: int = 0
    request_count: int = 0
    etag: str | None = None
    last_modified: str | None = None
    restarted: bool = False

    def run(self) -> Fetched:
        failures = 0
        furthest = part_size(self.part)
        self.task.reach(furthest)
        while not (self._is_whole() or self._is_all()):
            try:
                self._attempt()
                break
            except ChangedError as error:
                self._restart(error)
                furthest = 0
            except _StoppedError as error:
                have = part_size(self.part)
                failures = 0 if have > furthest else failures + 1
                furthest = max(furthest, have)
                self._pause(failures, error)
        size = part_size(self.part)
        return Fetched(self.part, size, self.received, self.request_count, self.last_modified)

    def _is_whole(self) -> bool:
        return self.part.exists() and part_size(self.part) == self.expected

    def _is_all(self) -> bool:
        """Look whether the part can be continued; a part that cannot is discarded.

        Returns:
            True where nothing is missing, by the server's word: the list does not tell.

        Raises:
            TransferError: The server has less than it lists.
        """
        have = part_size(self.part)
        if not have:
            return False
        try:
            total = self._total_of_same_file(have)
        except ChangedError as error:
            self._restart(error)
            return False
        except AttemptError:  # wget has the retries
            return False
        if total == have and self.expected is not None:
            raise short_of(self.name, have, self.expected)
        return total == have

    def _total_of_same_file(self, have: int) -> int | None:
        """Ask for the end of the part and what follows it; the file's size, where it is told."""
        tail = tail_of(self.part, have)
        patience = self.link.patience
        self.request_count += 1
        with get(
            self.link.session,
            self.url,
            start=have - len(tail),
            timeouts_s=(patience.connect_timeout_s, patience.stall_timeout_s),
            follow_redirects=False,
        ) as answer:
            try:
                check_status(answer, self.name)
            except WaitError as error:
                raise _busy(self.name, answer.status) from error
            if answer.status == _OK and have > len(tail):
                raise ChangedError("the server sends whole files only")
            self._check_etag(answer.headers.get("etag"))
            total = total_of(answer, have - len(tail))
            there = bytearray()
            for piece in answer.body:
                there += piece
                if len(there) >= len(tail):
                    break
            self.received += len(there)
        if there[: len(tail)] != tail or (total is not None and total < have):
            raise ChangedError("what was there before is not what the server has")
        return total

    def _check_etag(self, etag: str | None) -> None:
        if self.etag is not None and etag is not None and etag != self.etag:
            raise ChangedError("another version is on the server")
        self.etag = etag or self.etag

    def _attempt(self) -> None:
        """Let wget go on until the file or the connection ends.

        Raises:
            _StoppedError: It ended early.
            ChangedError: The file is another one than before.
            The errors of `labkit.transfer.fetch`.
        """
        have = part_size(self.part)
        status, log = self._run_wget(have)
        self.request_count += 1
        size = part_size(self.part)
        self.received += max(0, size - have)
        self.task.reach(size, max(size, self.expected or 0))  # it may come between two looks
        self._check_etag(_header(log, "ETag"))
        begun = _BEGIN.match(_header(log, "Content-Range") or "")
        if begun is not None and int(begun[1]) != have:
            raise ChangedError("the server answers a range that was not asked for")
        self.last_modified = _header(log, "Last-Modified") or self.last_modified
        self._check(status, log)
        encoding = _header(log, "Content-Encoding")
        if is_encoded(encoding):
            discard(self.part)
            raise TransferError(
                f"{self.name}: the camera compresses the file ({encoding}) although asked not to"
            )
        if self.expected is not None and size != self.expected:
            raise _StoppedError(short_of(self.name, size, self.expected))

    def _run_wget(self, have: int) -> tuple[int, str]:
        """Let wget bring what follows the part's `have` bytes; gives its exit status and words."""
        with TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            with subprocess.Popen(
                self._command(have),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                bufsize=0,
            ) as process:
                try:
                    is_all = self._save(process.stdout)  # type: ignore[arg-type]  # it is a pipe
                except BaseException:
                    process.terminate()
                    raise
                if is_all:  # a body that goes on beyond the expected end is not waited for
                    process.terminate()
            said.seek(0)
            return 0 if is_all else process.returncode, said.read()

    def _save(self, body: BinaryIO) -> bool:
        """Append to the part what comes, and tell how far it has grown.

        Returns:
            Whether the expected size is reached; what comes after that is not read.
        """
        have = part_size(self.part)
        try:
            with self.part.open("ab", buffering=0) as file:
                while (not have or have != self.expected) and (piece := body.read(_PIECE_BYTES)):
                    rest = memoryview(piece)
                    if self.expected is not None:
                        rest = rest[: self.expected - have]
                    while rest:  # a disk that is nearly full takes a piece of what it is given
                        taken = file.write(rest)
                        rest = rest[taken:]
                        have += taken
                    self.task.reach(have)
        except OSError as error:
            raise_target_error(error, self.part, missing=max(0, (self.expected or 0) - have))
        return bool(have) and have == self.expected

    def _command(self, have: int) -> list[str]:
        patience = self.link.patience
        return [
            str(self.program),
            "--no-config",
            "--no-proxy",
            "--no-verbose",
            "--server-response",
            "--no-http-keep-alive",
            "--compression=none",
            "--max-redirect=0",
            "--tries=1",
            f"--connect-timeout={patience.connect_timeout_s}",
            f"--read-timeout={patience.stall_timeout_s}",
            "--output-document=-",
            *([f"--start-pos={have}"] if have else []),
            self.url,
        ]

    def _check(self, status: int, log: str) -> None:
        if status == 0:
            return
        answers = _STATUS.findall(log)
        last = int(answers[-1]) if answers else 0
        if self.part.exists() and not part_size(self.part):
            discard(self.part)
        if last in {404, 410}:
            raise GoneError(f"{self.name}: the camera does not have it any more ({last})")
        if last in {409, 500, 503}:
            raise _busy(self.name, last)
        # By its status and not by its words, which are in the user's language.
        if status == _NETWORK_FAILURE:
            lost = HostUnreachableError(
                f"{self.name}: wget lost the camera", hint="check that the camera is still on"
            )
            raise _StoppedError(lost, answered=bool(answers))
        if status == _SERVER_ERROR:
            raise RefusedError(f"{self.name}: the camera refuses it ({last})", code="http-refused")
        words = log.strip().splitlines()[-1:] or [f"status {status}"]
        raise TransferError(f"{self.name}: wget failed: {words[0][:200]}")

    def _restart(self, reason: Exception) -> None:
        if self.restarted:
            raise TransferError(
                f"{self.name}: changes on the server while it is fetched ({reason})",
                hint="run it again once the camera is at rest",
                code="changed-on-server",
            ) from reason
        self.progress.message(f"{self.name}: begins again, {reason}")
        self.restarted = True
        self.etag = None
        discard(self.part)

    def _pause(self, failures: int, error: _StoppedError) -> None:
        pauses = self.link.patience.backoff_s
        if failures > len(pauses) or (not error.answered and failures > _UNANSWERED_TRIES):
            raise error.outcome from error
        if failures:
            time.sleep(pauses[failures - 1])


def _busy(name: str, status: int) -> BusyError:
    return BusyError(
        f"{name}: the camera is busy ({status})", hint="stop its recording and run it again"
    )


def _header(log: str, name: str) -> str | None:
    found = re.findall(rf"^ *{name}: (.+)", log, re.IGNORECASE | re.MULTILINE)
    return found[-1].strip() if found else None
