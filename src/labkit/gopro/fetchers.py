"""Who carries the bytes: labkit itself, or GNU Wget."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Protocol

from labkit.errors import RefusedError, UsageError
from labkit.programs import require_program
from labkit.transfer import (
    BusyError,
    DiskFullError,
    Fetched,
    GoneError,
    HostUnreachableError,
    TransferError,
    fetch,
)

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.gopro.link import Link
    from labkit.progress import Progress, Task

__all__ = ["BACKENDS", "Fetcher", "OwnFetcher", "WgetFetcher", "make_fetcher"]

BACKENDS = ("labkit", "wget")


class Fetcher(Protocol):
    """Brings the bytes of one URL into a part."""

    def fetch(
        self, url: str, part: Path, *, expected_size: int | None, name: str, progress: Progress
    ) -> Fetched:
        """Fill `part`; errors are those of `labkit.transfer.fetch`."""


def make_fetcher(backend: str, link: Link) -> Fetcher:
    """Make the fetcher that the user chose.

    Raises:
        UsageError: There is no such backend.
        ProgramMissingError: GNU Wget is not installed.
    """
    if backend == "labkit":
        return OwnFetcher(link)
    if backend == "wget":
        return WgetFetcher(link, require_program("wget"))
    raise UsageError(f"{backend!r} is no backend", hint=f"the backends are {', '.join(BACKENDS)}")


@dataclass(frozen=True)
class OwnFetcher:
    """labkit's own transfer."""

    link: Link

    def fetch(
        self, url: str, part: Path, *, expected_size: int | None, name: str, progress: Progress
    ) -> Fetched:
        """Fill `part` by `labkit.transfer.fetch`."""
        with self.link.slot():
            return fetch(
                url,
                part,
                session=self.link.session,
                expected_size=expected_size,
                verifiable=True,
                patience=self.link.patience,
                follow_redirects=False,
                progress=progress,
                name=name,
            )


# Exit statuses of GNU Wget's manual.
_FILE_IO_ERROR, _NETWORK_FAILURE, _SERVER_ERROR = 3, 4, 8
_POLL_S = 0.1
_STATUS = re.compile(r"HTTP/1\.[01] (\d{3})")


@dataclass(frozen=True)
class WgetFetcher:
    """GNU Wget, a process a file; it resumes within a run and across runs.

    Wget is never asked for a file that is whole: on cameras it would try that twenty times.
    """

    link: Link
    program: Path

    def fetch(
        self, url: str, part: Path, *, expected_size: int | None, name: str, progress: Progress
    ) -> Fetched:
        """Fill `part` by `wget --continue`."""
        have = part.stat().st_size if part.exists() else 0
        if expected_size is not None and have > expected_size:
            part.unlink()
            have = 0
        if expected_size is not None and have == expected_size and part.exists():
            return Fetched(part, have, 0, 0, None)
        with (
            self.link.slot(),
            progress.task(name, total=expected_size) as task,
            TemporaryFile("w+", encoding="utf-8", errors="replace") as said,
        ):
            task.reach(have)
            with subprocess.Popen(
                self._command(url, part),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            ) as process:
                try:
                    _follow(process, part, task)
                except BaseException:
                    process.terminate()
                    raise
            size = part.stat().st_size if part.exists() else 0
            task.reach(size, max(size, expected_size or 0))  # it may have come between two looks
            said.seek(0)
            log = said.read()
        self._check(process.returncode, log, name, part)
        if expected_size is not None and size != expected_size:
            raise TransferError(
                f"{name}: wget brought {size} bytes of {expected_size}",
                hint="run it again: it goes on from there",
                code="short",
            )
        return Fetched(part, size, size - have, 1, _last_modified(log))

    def _command(self, url: str, part: Path) -> list[str]:
        patience = self.link.patience
        return [
            str(self.program),
            "--no-config",
            "--no-proxy",
            "--no-verbose",
            "--server-response",
            "--continue",
            "--no-http-keep-alive",
            "--compression=none",
            "--max-redirect=0",
            f"--tries={len(patience.backoff_s) + 1}",
            "--retry-connrefused",
            "--waitretry=5",
            f"--connect-timeout={patience.connect_timeout_s}",
            f"--read-timeout={patience.stall_timeout_s}",
            f"--output-document={part}",
            url,
        ]

    def _check(self, status: int, log: str, name: str, part: Path) -> None:
        if status == 0:
            return
        answers = _STATUS.findall(log)
        last = int(answers[-1]) if answers else 0
        if part.exists() and not part.stat().st_size:
            part.unlink()
        if last in {404, 410}:
            raise GoneError(f"{name}: the camera does not have it any more ({last})")
        if last in {409, 500, 503}:
            raise BusyError(
                f"{name}: the camera is busy ({last})", hint="stop its recording and run it again"
            )
        if "No space left" in log:
            raise DiskFullError(f"{name}: the disk is full", hint="make room and run it again")
        if status == _NETWORK_FAILURE:
            raise HostUnreachableError(
                f"{name}: wget lost the camera", hint="check that the camera is still on"
            )
        if status == _SERVER_ERROR:
            raise RefusedError(f"{name}: the camera refuses it ({last})", code="http-refused")
        words = log.strip().splitlines()[-1:] or [f"status {status}"]
        raise TransferError(f"{name}: wget failed: {words[0][:200]}")


def _follow(process: subprocess.Popen[bytes], part: Path, task: Task) -> None:
    """Wait for wget's end, and tell how far the part has grown."""
    while process.poll() is None:
        if part.exists():
            task.reach(part.stat().st_size)
        time.sleep(_POLL_S)


def _last_modified(log: str) -> str | None:
    found = re.findall(r"Last-Modified: (.+)", log, re.IGNORECASE)
    return found[-1].strip() if found else None
