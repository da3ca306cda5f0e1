"""Carry a plan out: every file once, whole, under its final name, and written down."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from labkit.errors import LabkitError, PartialError
from labkit.gopro.camera import UNKNOWN
from labkit.gopro.clock import modification_time, shifted, wall_clock_of_http_date
from labkit.gopro.destination import file_limit, free_bytes, prepare_path
from labkit.gopro.errors import CameraUnreachableError, OtherCameraError
from labkit.gopro.finishing import Finisher
from labkit.gopro.journal import EntryState
from labkit.gopro.layout import with_counter
from labkit.gopro.names import Kind, kind_of
from labkit.gopro.plan import Action, PlanOptions, expected_bytes
from labkit.gopro.reread import NoRangesError, difference, is_same_file, total_bytes
from labkit.gopro.run_progress import RunProgress
from labkit.gopro.verification import check_file
from labkit.part_file import refuse_link
from labkit.transfer import (
    DiskFullError,
    GoneError,
    HostUnreachableError,
    TargetError,
    TransferError,
    VerificationError,
    part_path,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from labkit.gopro.camera import Camera
    from labkit.gopro.fetchers import Fetcher
    from labkit.gopro.journal import Journal
    from labkit.gopro.plan import Plan, PlannedFile
    from labkit.progress import Progress
    from labkit.transfer import Fetched

__all__ = ["Failure", "Outcome", "PullOptions", "Run", "VerifyMode"]

VerifyMode = Literal["on", "deep", "off"]

_GIVE_UP_AFTER = 3
# Formats without an end that could be looked for: their last bytes are compared instead.
_ENDLESS = frozenset({Kind.RAW, Kind.AUDIO, Kind.OTHER})


@dataclass(frozen=True)
class PullOptions:
    """How to pull.

    Attributes:
        plan: What is wanted and where it goes.
        verify: `on` checks size and structure; `deep` also compares with the camera again.
        backend: Who carries the bytes: `labkit` or `wget`.
        jobs: How many photos may be under way at once.
        turbo: Use the camera's fast transfer mode, which blocks its screen.
    """

    plan: PlanOptions = field(default_factory=PlanOptions)
    verify: VerifyMode = "on"
    backend: str = "labkit"
    jobs: int = 1
    turbo: bool = False


@dataclass(frozen=True)
class Failure:
    """A file that did not come."""

    folder: str
    name: str
    error: LabkitError


@dataclass
class Outcome:
    """What became of each planned file, and what was seen on the way."""

    downloaded: list[PlannedFile] = field(default_factory=list)
    skipped: list[PlannedFile] = field(default_factory=list)
    gone: list[PlannedFile] = field(default_factory=list)
    postponed: list[PlannedFile] = field(default_factory=list)
    not_tried: list[PlannedFile] = field(default_factory=list)
    left_out: list[PlannedFile] = field(default_factory=list)
    empty: list[PlannedFile] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    received_bytes: int = 0


class _TooLargeError(LabkitError):
    """A file is larger than the user wants; the list did not tell."""


class Run:
    """One pass over a plan."""

    def __init__(
        self,
        camera: Camera,
        destination: Path,
        options: PullOptions,
        journal: Journal,
        fetcher: Fetcher,
    ) -> None:
        self.camera = camera
        self.destination = destination
        self.options = options
        self.journal = journal
        self.fetcher = fetcher
        self.outcome = Outcome()
        self._limit = file_limit(destination)
        self._lost = 0
        self._stopped = False
        self._absent_mains: set[tuple[str, str]] = set()
        # What an earlier run set out to bring: being too large for this one does not undo that.
        self._owed: set[tuple[str, str]] = set()
        self._lock = threading.RLock()
        self._folders: set[str] = set()
        self._finisher = Finisher(journal, self.outcome.downloaded.append, self._note_unfinished)

    def carry_out(self, plan: Plan, progress: Progress) -> Outcome:
        """Go through the plan's files; what fails is noted, and the next one is tried."""
        fetches = [p.entry for p in plan.files if p.action is Action.FETCH]
        if self.options.plan.selection.max_bytes is not None:
            self._owed = {
                (entry.folder, entry.name)
                for entry in self.journal.entries()
                if entry.camera == self.camera.identity and entry.state is EntryState.PLANNED
            }
        self.journal.plan([*fetches, *plan.moved], plan.dropped)
        waiting = (p for p in plan.files if p.action is Action.POSTPONE and p.file.is_growing)
        self.journal.record(replace(p.entry, state=EntryState.EMPTY) for p in waiting)
        self._warn_of_room(plan, progress)
        expected = plan.bytes_to_fetch
        count = len(plan.to_do)
        for planned in plan.files:
            self._note_idle(planned, progress)
        if not count:
            return self.outcome
        try:
            with progress.task(f"{count} file{'s' * (count > 1)}", total=expected or None) as whole:
                self._work(plan.to_do, RunProgress(progress, whole, expected))
        finally:
            self._finisher.close()
        return self.outcome

    def _work(self, to_do: Sequence[PlannedFile], progress: RunProgress) -> None:
        if self.options.jobs == 1:
            for planned in to_do:
                self._do(planned, progress)
            return
        # Only small files gain from a second connection; a camera's videos are one stream each.
        photos = [p for p in to_do if kind_of(p.file.name) is Kind.PHOTO]
        with ThreadPoolExecutor(self.options.jobs) as pool:
            for _ in pool.map(lambda planned: self._do(planned, progress), photos):
                pass
        for planned in to_do:
            if kind_of(planned.file.name) is not Kind.PHOTO:
                self._do(planned, progress)

    def _note_idle(self, planned: PlannedFile, progress: Progress) -> None:
        if planned.action is Action.HAVE:
            self.outcome.skipped.append(planned)
        elif planned.action is Action.GONE:
            self.outcome.gone.append(planned)
        elif planned.action is Action.EMPTY:
            self.outcome.empty.append(planned)
        elif planned.action is Action.POSTPONE:
            self._postpone(planned, progress)

    def _postpone(self, planned: PlannedFile, progress: Progress) -> None:
        self.outcome.postponed.append(planned)
        if planned.file.companion is None:
            self._absent_mains.add((planned.file.folder, planned.main))
        progress.message(f"{planned.file.name}: the camera still writes it; the next pull takes it")

    # -- one file

    def _do(self, planned: PlannedFile, progress: RunProgress) -> None:
        if self._stopped:
            self.outcome.not_tried.append(planned)
            return
        waits = (planned.file.folder, planned.main) in self._absent_mains
        if waits and planned.file.companion is not None:
            self.outcome.postponed.append(planned)
            return
        try:
            self._bring(planned, progress)
            self._lost = 0
        except GoneError:
            self._note_gone(planned)
        except _TooLargeError as error:
            progress.message(error.message)
            with self._lock:
                self.outcome.left_out.append(planned)
                if (planned.file.folder, planned.file.name) not in self._owed:
                    self.journal.plan([], [planned.entry.path])
        except LabkitError as error:
            self._note_failure(planned, error, progress)

    def _note_gone(self, planned: PlannedFile) -> None:
        with self._lock:
            self.outcome.gone.append(planned)
            if planned.file.companion is not None or planned.file.group is not None:
                self.journal.record([replace(planned.entry, state=EntryState.GONE)])

    def _note_failure(self, planned: PlannedFile, error: LabkitError, progress: Progress) -> None:
        with self._lock:
            if error.code == "empty-file" and planned.entry.state is EntryState.EMPTY:
                self.outcome.empty.append(planned)
                return
            if error.code in {"size-differs", "empty-file"}:
                self._postpone(planned, progress)
                if error.code == "empty-file":
                    self.journal.record([replace(planned.entry, state=EntryState.EMPTY)])
                return
            self.outcome.failed.append(Failure(planned.file.folder, planned.file.name, error))
            is_unreachable = isinstance(error, HostUnreachableError)
            if is_unreachable or error.code == "not-http":
                self._lost += 1
                self._stopped = self._lost >= _GIVE_UP_AFTER or (
                    is_unreachable and not self._is_still_there(planned)
                )
            else:
                self._stopped = _ends_the_run(error)

    def _note_unfinished(self, planned: PlannedFile, error: LabkitError) -> None:
        """Note a file that came, and that the disk did not take in the end."""
        with self._lock:
            self.outcome.failed.append(Failure(planned.file.folder, planned.file.name, error))
            self._stopped = self._stopped or _ends_the_run(error)

    def _is_still_there(self, planned: PlannedFile) -> bool:
        """After a break, ask which camera answers; another one must not fill this run's files."""
        before = self.camera.identity
        try:
            told = self.camera.asked_again() is not None
        except CameraUnreachableError:
            return False
        if self.camera.identity == before:
            return told or before == UNKNOWN
        error = OtherCameraError(
            f"another camera answers at {self.camera.address} since the connection broke",
            hint="start a pull for it by itself",
        )
        self.outcome.failed.append(Failure(planned.file.folder, planned.file.name, error))
        return False

    def _bring(self, planned: PlannedFile, progress: RunProgress) -> None:
        target = self._target(planned.path)
        if planned.action is Action.RECORD:
            self._finisher.accept(planned, target, target.stat().st_size)
            self.outcome.skipped.append(planned)
            return
        if os.path.lexists(target):
            if self._is_here(planned, target):
                if planned.action is Action.FETCH:  # it came there since the plan was made
                    progress.move(0, -expected_bytes(planned.file))
                self._finisher.accept(planned, target, target.stat().st_size)
                self.outcome.skipped.append(planned)
                return
            planned, target = self._elsewhere(planned)
        self._check_limit(planned)
        part = part_path(target)
        refuse_link(part)
        self._discard_bad_part(part, planned)
        self._check_wanted(planned)
        listener = progress.of_file(expected_bytes(planned.file))
        fetched = self._fetch(planned, part, listener)
        if not fetched.request_count:  # an earlier run had brought it
            progress.move(fetched.size_bytes, 0)
        fetched, problem = self._verified(planned, fetched, listener)
        self._finish(planned, target, fetched, problem)

    def _target(self, relative: str) -> Path:
        """Give the path of a file; its folder is checked and made once."""
        folder = relative.rpartition("/")[0]
        if folder not in self._folders:
            prepare_path(self.destination, relative)
            self._folders.add(folder)
        return self.destination / relative

    def _is_here(self, planned: PlannedFile, target: Path) -> bool:
        """Whether what lies at a file's path is the camera's file, as far as that can be told."""
        try:
            return target.is_file() and is_same_file(self.camera, planned.file, target)
        except NoRangesError:
            return False
        except OSError as error:
            raise PartialError(
                f"{planned.file.name}: {target} cannot be read: {error.strerror or error}",
                hint="check its permissions, or move it away; the camera's file comes then",
                code="target-not-readable",
            ) from error

    def _elsewhere(self, planned: PlannedFile) -> tuple[PlannedFile, Path]:
        """Give a file another path, because something else lies at its own."""
        with self._lock:
            taken = {entry.path.casefold() for entry in self.journal.entries()}
            count = 1
            while True:
                count += 1
                path = with_counter(planned.path, count)
                target = self._target(path)
                if path.casefold() not in taken and not os.path.lexists(target):
                    break
            entry = replace(
                planned.entry, path=path, state=EntryState.PLANNED, size_bytes=None, problem=None
            )
            self.journal.plan([entry], [planned.entry.path])
            self.outcome.warnings.append(
                f"{planned.path} is not the camera's {planned.file.name} (any more) and was left "
                f"alone; the camera's is at {path}"
            )
        return replace(planned, path=path, entry=entry, action=Action.FETCH), target

    def _check_limit(self, planned: PlannedFile) -> None:
        size = expected_bytes(planned.file)
        if self._limit is not None and size > self._limit:
            raise TargetError(
                f"{planned.file.name}: its {size} bytes do not fit on the destination's FAT "
                "file system, which ends at 4 GiB",
                hint="pull to a folder on exFAT, NTFS, ext4 or APFS",
                code="file-too-large",
            )

    def _check_wanted(self, planned: PlannedFile) -> None:
        """Where the list has no size, ask for it before a body comes that is not wanted."""
        limit = self.options.plan.selection.max_bytes
        if limit is None or planned.file.size is not None:
            return
        try:
            size = total_bytes(self.camera, planned.file)
        except NoRangesError:  # it does not tell beforehand
            return
        if size > limit:
            raise _TooLargeError(f"{planned.file.name}: its {size} bytes are not wanted")

    def _discard_bad_part(self, part: Path, planned: PlannedFile) -> None:
        """Throw away a whole part that an earlier run found to be wrong."""
        size = planned.file.size
        is_whole = size is not None and part.exists() and part.stat().st_size == size
        if is_whole and self._structure_problem(part, planned) is not None:
            part.unlink()

    def _fetch(self, planned: PlannedFile, part: Path, progress: Progress) -> Fetched:
        """Fetch a file, or a companion under the first of its possible names that fits."""
        companion = planned.file.companion
        names = [planned.file.name, *(companion.alternatives if companion else ())]
        for name in names[:-1]:
            try:
                return self._fetch_name(planned, name, part, progress)
            except GoneError:
                continue
            except TransferError as error:
                if error.code != "size-differs":
                    raise
        return self._fetch_name(planned, names[-1], part, progress)

    def _fetch_name(
        self, planned: PlannedFile, name: str, part: Path, progress: Progress
    ) -> Fetched:
        fetched = self.fetcher.fetch(
            self.camera.url(planned.file, name),
            part,
            expected_size=planned.file.size,
            name=name,
            progress=progress,
        )
        with self._lock:
            self.outcome.received_bytes += fetched.received_bytes
        return fetched

    # -- proof

    def _verified(
        self, planned: PlannedFile, fetched: Fetched, progress: Progress
    ) -> tuple[Fetched, str | None]:
        """Prove that the part is the camera's file; a wrong one is fetched once more.

        Returns:
            What came in the end, and what is wrong with the camera's own file, where the part is
            a true copy of it.

        Raises:
            VerificationError: Twice something else came than what the camera has.
        """
        problem = self._doubt(planned, fetched)
        if problem is None or self.options.verify == "off":
            return fetched, problem
        for attempt in (1, 2):
            differs = difference(self.camera, planned.file, fetched.part)
            if differs is None:
                warning = f"{planned.file.name}: {problem}; the camera's own file is like that"
                self.outcome.warnings.append(warning)
                return fetched, problem
            if attempt == 1:
                progress.message(f"{planned.file.name}: {differs}; fetched anew")
                fetched.part.unlink()
                fetched = self._fetch(planned, fetched.part, progress)
                problem = self._doubt(planned, fetched)
                if problem is None:
                    return fetched, None
        raise VerificationError(
            f"{planned.file.name}: {problem}",
            hint="run it again: it is fetched anew; if it stays like that, restart the camera",
        )

    def _doubt(self, planned: PlannedFile, fetched: Fetched) -> str | None:
        """Say what speaks against what came."""
        if fetched.size_bytes == 0:
            fetched.part.unlink()
            raise TransferError(f"{planned.file.name} is empty", code="empty-file")
        if self.options.verify == "off":
            return None
        problem = self._structure_problem(fetched.part, planned)
        if problem is not None:
            return problem
        if self.options.verify == "deep":
            return difference(self.camera, planned.file, fetched.part)
        is_endless = kind_of(planned.file.name) in _ENDLESS
        if is_endless and not self._ends_alike(planned, fetched.part):
            return "its end is not that of the camera's file"
        return None

    def _ends_alike(self, planned: PlannedFile, part: Path) -> bool:
        try:
            return is_same_file(self.camera, planned.file, part)
        except NoRangesError:
            return True  # nothing to compare with: the size has to do

    def _structure_problem(self, part: Path, planned: PlannedFile) -> str | None:
        size = planned.file.size
        problem = check_file(part, expected_size=size, name=planned.file.name)
        return None if problem is None else problem.reason

    # -- the end

    def _finish(
        self,
        planned: PlannedFile,
        target: Path,
        fetched: Fetched,
        problem: str | None,
    ) -> None:
        wall = self._time_of(planned, fetched)
        stamp = None if wall is None else modification_time(wall)
        self._finisher.finish(planned, target, fetched.size_bytes, problem, stamp)

    def _time_of(self, planned: PlannedFile, fetched: Fetched) -> datetime | None:
        """Prefer the list's time; a group's frame has its own in the response."""
        if planned.taken_at is not None and not planned.file.time_is_shared:
            return planned.taken_at
        told = wall_clock_of_http_date(fetched.last_modified)
        return shifted(told, self.options.plan.shift) or planned.taken_at

    def _warn_of_room(self, plan: Plan, progress: Progress) -> None:
        free = free_bytes(self.destination)
        need = plan.bytes_expected
        if free is not None and need > free:
            progress.warning(
                f"{self.destination} has {free} bytes free, {need} are to come: "
                "this pull will end when it is full"
            )


def _ends_the_run(error: LabkitError) -> bool:
    """Whether every other file would fail in the same way."""
    if isinstance(error, TargetError):
        return error.code != "file-too-large"
    return isinstance(error, (DiskFullError, OtherCameraError))
