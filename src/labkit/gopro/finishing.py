"""Give whole files their final names while the next ones come.

A flush to disk takes as long as a small file's transfer, and file systems write many flushes that
wait at once with one commit. So verified parts are flushed by a few threads beside the transfer.
The order of things stays that of `labkit.part_file.finish`, for each file: bytes on disk, name,
folder on disk, journal. A crash at any moment costs at most names and lines of the journal, which
the next run adds without asking the camera for the files again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.errors import LabkitError
from labkit.gopro.journal import EntryState
from labkit.part_file import finish, flush_folder_of, part_path, raise_target_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from labkit.gopro.journal import Entry, Journal
    from labkit.gopro.plan import PlannedFile

__all__ = ["Finisher"]

_FLUSHES = 4
# So many verified files may wait for their flush; then the transfer waits for the disk.
_MOST_WAITING = 64
# Finished files are written down together, so many or after so many seconds.
_BATCH_FILES = 64
_BATCH_S = 1.0


class Finisher:
    """Finishes the files of one run; `close` it before its results are used.

    Args:
        journal: Where finished files are written down.
        on_finished: Hears of each file that got its final name.
        on_failure: Hears of each file that did not, or could not be written down, and why.

    Both are called from other threads.
    """

    def __init__(
        self,
        journal: Journal,
        on_finished: Callable[[PlannedFile], None],
        on_failure: Callable[[PlannedFile, LabkitError], None],
    ) -> None:
        self._journal = journal
        self._on_finished = on_finished
        self._on_failure = on_failure
        self._pool = ThreadPoolExecutor(_FLUSHES, thread_name_prefix="finisher")
        self._waiting: deque[Future[None]] = deque()
        self._turn = threading.Lock()
        self._finished: list[tuple[Path, Entry]] = []
        self._written_at = time.monotonic()
        self._lock = threading.Lock()

    def finish(
        self,
        planned: PlannedFile,
        target: Path,
        size: int,
        problem: str | None,
        stamp: float | None,
    ) -> None:
        """Finish the verified part of `target`; waits while too many wait already."""
        entry = replace(planned.entry, state=EntryState.DONE, size_bytes=size, problem=problem)
        with self._turn:
            self._pass_errors_on(_MOST_WAITING - 1)
            self._waiting.append(self._pool.submit(self._finish, planned, target, entry, stamp))

    def accept(self, planned: PlannedFile, target: Path, size: int) -> None:
        """Write down a file that has its final name already."""
        entry = replace(planned.entry, state=EntryState.DONE, size_bytes=size, problem=None)
        self._note(target, entry)

    def close(self) -> None:
        """Wait until every file is finished and written down.

        Raises:
            TargetError: The journal cannot be written.
        """
        try:
            with self._turn:
                self._pass_errors_on(0)
        finally:
            self._pool.shutdown()
            self._write_down(self._finished)

    def _pass_errors_on(self, most_left: int) -> None:
        """Raise what a thread did not expect; at most `most_left` files wait afterwards."""
        while self._waiting and (len(self._waiting) > most_left or self._waiting[0].done()):
            self._waiting.popleft().result()

    def _finish(
        self, planned: PlannedFile, target: Path, entry: Entry, stamp: float | None
    ) -> None:
        try:
            finish(part_path(target), target, modified_at=stamp, flush_folder=False)
            self._note(target, entry)
            self._on_finished(planned)
        except LabkitError as error:
            self._on_failure(planned, error)

    def _note(self, target: Path, entry: Entry) -> None:
        with self._lock:
            self._finished.append((target, entry))
            waited_s = time.monotonic() - self._written_at
            if len(self._finished) < _BATCH_FILES and waited_s < _BATCH_S:
                return
            batch, self._finished = self._finished, []
            self._written_at = time.monotonic()
        self._write_down(batch)

    def _write_down(self, batch: list[tuple[Path, Entry]]) -> None:
        """Flush the folders of finished files to disk, then note the files in the journal."""
        for target in {path.parent: path for path, _ in batch}.values():
            try:
                flush_folder_of(target)
            except OSError as error:
                raise_target_error(error, target)
        if batch:
            self._journal.record(entry for _, entry in batch)
