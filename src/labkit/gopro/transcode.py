"""Convert HEVC clips to H.264 and keep what a camera put into them.

```
plan_transcode   read the boxes of each file: convert, skip, or damaged
transcode        ffmpeg -> NAME.part, `udta` put back, compared with its source, renamed
```
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from labkit.errors import InputError, LabkitError, PartialError, RefusedError, UsageError
from labkit.gopro.damage import DamagedFileError, Problem
from labkit.gopro.encoders import (
    Encoder,
    EncoderChoice,
    EncoderSetup,
    choose_encoder,
    find_ffmpeg,
    transcode_command,
)
from labkit.gopro.ffmpeg_run import EncodeDiskFullError, EncodeError, run_ffmpeg
from labkit.gopro.journal import JOURNAL_NAME, EntryState, Journal
from labkit.gopro.mp4 import HEVC_CODECS, check_mp4, copy_user_data, read_movie, track_digest
from labkit.gopro.names import Kind, kind_of
from labkit.part_file import refuse_link
from labkit.progress import SILENT
from labkit.transfer import finish, part_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from labkit.gopro.encoders import Ffmpeg
    from labkit.gopro.mp4 import Movie
    from labkit.progress import Progress

__all__ = [
    "Converted",
    "Failed",
    "Job",
    "Skipped",
    "TranscodePlan",
    "TranscodeResult",
    "conversion_fault",
    "plan_transcode",
    "transcode",
]

_H264_CODECS = frozenset({"avc1", "avc3"})
# Level 5.2, which players and graphics cards know, ends at 4096 x 2304.
_WIDELY_PLAYED_HEIGHT = 2304

_WORST_CRF = 51
_MIN_HEIGHT = 16
_DISK_FULL = EncodeDiskFullError.code


@dataclass(frozen=True)
class Job:
    """A file to convert.

    Attributes:
        source: The HEVC file.
        target: The H.264 file; the same path where it replaces its source.
        movie: What is in the source.
        size_bytes: The source's size when it was looked at.
        modified_ns: The source's modification time then, in nanoseconds since 1970.
    """

    source: Path
    target: Path
    movie: Movie
    size_bytes: int
    modified_ns: int

    @property
    def replaces(self) -> bool:
        """Whether the original goes away."""
        return self.source == self.target


@dataclass(frozen=True)
class Skipped:
    """A file that needs no conversion, and why; `conversion` is the one that is there already."""

    path: Path
    reason: str
    conversion: Path | None = None


@dataclass(frozen=True)
class Failed:
    """A file that could not be converted, and why."""

    path: Path
    error: LabkitError


@dataclass(frozen=True)
class TranscodePlan:
    """What is to be done with each file that was named."""

    jobs: tuple[Job, ...]
    skipped: tuple[Skipped, ...] = ()
    failed: tuple[Failed, ...] = ()


@dataclass(frozen=True)
class Converted:
    """A finished conversion: its job, the encoder that did it, and the new size."""

    job: Job
    encoder: Encoder
    size_bytes: int


@dataclass(frozen=True)
class TranscodeResult:
    """What became of each file of a plan."""

    converted: tuple[Converted, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[Failed, ...]


def plan_transcode(
    paths: Iterable[Path], *, replace: bool = False, max_height: int | None = None
) -> TranscodePlan:
    """Look at files, and at the videos in folders and below, and decide what to convert.

    A conversion lies beside its source, as `NAME-h264.MP4`. One that is there already and fits
    its source is skipped, whatever its quality, so a second run goes on where the first ended;
    such a conversion has no line of its own, unless it was named.

    Args:
        paths: Files and folders.
        replace: Put the conversion in the place of its source.
        max_height: What will be asked of `transcode`: a conversion that is there already and
            higher is skipped with a word on that.

    Raises:
        InputError: One of `paths` does not exist.
    """
    jobs: list[Job] = []
    skipped: list[Skipped] = []
    failed: list[Failed] = []
    paths = [path.resolve() for path in paths]
    for path in _videos(paths):
        try:
            decision = _decide(path, replace=replace, max_height=max_height)
        except LabkitError as error:
            failed.append(Failed(path, error))
        except OSError as error:
            failed.append(Failed(path, InputError(f"it cannot be read: {error.strerror or error}")))
        else:
            if isinstance(decision, Job):
                jobs.append(decision)
            else:
                skipped.append(decision)
    conversions = {skip.conversion for skip in skipped}.difference(paths)
    return TranscodePlan(
        tuple(jobs),
        tuple(skip for skip in skipped if skip.path not in conversions),
        tuple(failed),
    )


def _videos(paths: Iterable[Path]) -> Iterator[Path]:
    """Each video once, in the order of the arguments; within a folder in the order of names."""
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("*"))
            found = [file for file in inside if kind_of(file.name) is Kind.VIDEO and file.is_file()]
        elif path.exists():
            found = [path]
        else:
            raise InputError(f"there is no file or folder {path}", code="no-such-file")
        for file in found:
            if file not in seen:
                seen.add(file)
                yield file


def _decide(path: Path, *, replace: bool, max_height: int | None) -> Job | Skipped:
    movie = read_movie(path)
    pictures = [track for track in movie.tracks if track.handler == "vide"]
    if not pictures:
        return Skipped(path, "it has no picture")
    if pictures[0].codec in _H264_CODECS:
        return Skipped(path, "it is H.264 already")
    if pictures[0].codec not in HEVC_CODECS:
        return Skipped(path, f"it is no HEVC but {pictures[0].codec!a}")
    if len(pictures) > 1:  # H.264 would keep one of both lenses
        return Skipped(path, "it is a 360 degree recording of two pictures")
    target = path if replace else path.with_name(f"{path.stem}-h264{path.suffix}")
    status = path.stat()
    job = Job(path, target, movie, status.st_size, status.st_mtime_ns)
    if replace or not target.exists():
        return job
    problem = _fault_of_existing(job)
    if problem is None:
        return Skipped(path, _there_already(target, max_height), target)
    raise RefusedError(
        f"{target} is there and is no conversion of it: {problem.reason}",
        hint="move that file away, or remove it",
        code="target-exists",
    )


def _there_already(target: Path, max_height: int | None) -> str:
    video = read_movie(target).video
    if max_height is None or video is None or video.height <= max_height:
        return f"{target.name} is there already"
    return (
        f"{target.name} is there already, with {video.height} lines; move it away to convert it "
        f"anew with {max_height}"
    )


def _fault_of_existing(job: Job) -> Problem | None:
    try:
        return conversion_fault(job.source, job.movie, job.target)
    except DamagedFileError as error:
        return error.problem


def conversion_fault(source: Path, movie: Movie, target: Path) -> Problem | None:
    """Compare a conversion with its source; None when nothing is lost.

    H.264 with as many frames, as long to within one of them, with byte for byte the same
    telemetry, the same creation time and place.

    Raises:
        DamagedFileError: `target` is no whole MP4 file.
        OSError: One of the files cannot be read.
    """
    with target.open("rb") as file:
        result = check_mp4(file)
    before, after = movie.video, result.video
    if before is None or after is None or after.codec not in _H264_CODECS:
        return Problem("not-h264", "it has no H.264 picture")
    if after.sample_count != before.sample_count:
        return Problem(
            "frames-differ", f"it has {after.sample_count} frames instead of {before.sample_count}"
        )
    frame_s = before.duration_s / max(1, before.sample_count)
    if abs(after.duration_s - before.duration_s) > frame_s:
        return Problem(
            "duration-differs",
            f"it lasts {after.duration_s:.3f} s instead of {before.duration_s:.3f} s",
        )
    if _telemetry(source, movie) != _telemetry(target, result):
        return Problem("telemetry-differs", "its telemetry is not that of the original")
    if movie.created != result.created or movie.location != result.location:
        return Problem("metadata-differs", "its creation time or place is not the original's")
    return None


def _telemetry(path: Path, movie: Movie) -> str | None:
    index = movie.telemetry_index
    return None if index is None else track_digest(path, movie.tracks[index])


def transcode(
    plan: TranscodePlan,
    *,
    encoder: EncoderChoice = EncoderChoice.X264,
    crf: int = 20,
    max_height: int | None = None,
    progress: Progress = SILENT,
) -> TranscodeResult:
    """Convert the files of a plan, one after the other; a failed one does not stop the next.

    A target appears under its name only after it was compared with its source. A full disk ends
    the run: the files that are left would fail as well.

    Args:
        plan: From `plan_transcode`.
        encoder: The encoder; `AUTO` takes the fastest that works, and the software encoder for
            a file that this one refuses.
        crf: The quality, 0 to 51, lower is better.
        max_height: Scale higher pictures down to this many lines.
        progress: Is told of each file.

    Raises:
        ProgramMissingError: ffmpeg is not installed, and there is something to convert.
        UnmetError: The encoder does not work here.
        UsageError: `crf` or `max_height` is out of range.
    """
    _check_settings(crf, max_height)
    if not plan.jobs:
        return TranscodeResult((), plan.skipped, plan.failed)
    ffmpeg = find_ffmpeg()
    setups = [choose_encoder(ffmpeg, encoder, progress=progress)]
    if encoder is EncoderChoice.AUTO and setups[0].encoder is not Encoder.X264:
        setups.append(EncoderSetup(Encoder.X264))
    run = _Run(ffmpeg, setups, crf, max_height, progress)
    jobs = iter(plan.jobs)
    for job in jobs:
        if not run.convert(job):
            break
    run.failed.extend(
        Failed(job.source, PartialError("not tried: the disk is full", code=_DISK_FULL))
        for job in jobs
    )
    return TranscodeResult(tuple(run.converted), plan.skipped, (*plan.failed, *run.failed))


def _check_settings(crf: int, max_height: int | None) -> None:
    if not 0 <= crf <= _WORST_CRF:
        raise UsageError(f"a quality of {crf} is not between 0 and {_WORST_CRF}", code="bad-crf")
    if max_height is not None and max_height < _MIN_HEIGHT:
        raise UsageError(f"a picture needs at least {_MIN_HEIGHT} lines", code="bad-height")


@dataclass
class _Run:
    ffmpeg: Ffmpeg
    setups: Sequence[EncoderSetup]
    crf: int
    max_height: int | None
    progress: Progress
    converted: list[Converted] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)

    def convert(self, job: Job) -> bool:
        """Convert one file; tell whether the next one can be tried."""
        part = part_path(job.target)
        try:
            with _owned(part) as lock:
                setup = self._encode(job, part, lock)
                _complete(job, part)
                shutil.copymode(job.source, part)
                finish(part, job.target, modified_at=job.modified_ns / 1e9)
            size = job.target.stat().st_size
            if job.replaces:
                _tell_journal(job.target, size, self.progress)
            self.converted.append(Converted(job, setup.encoder, size))
        except LabkitError as error:
            self.failed.append(Failed(job.source, error))
            return error.code != _DISK_FULL
        except OSError as error:
            reason = f"it cannot be converted: {error.strerror or error}"
            code = _DISK_FULL if error.errno == errno.ENOSPC else "file-error"
            self.failed.append(Failed(job.source, PartialError(reason, code=code)))
            return code != _DISK_FULL
        return True

    def _encode(self, job: Job, part: Path, lock: Sequence[int]) -> EncoderSetup:
        height = job.movie.video.height if job.movie.video else 0
        if min(height, self.max_height or height) > _WIDELY_PLAYED_HEIGHT:
            self.progress.warning(
                f"{job.source.name}: few players show H.264 of {height} lines; "
                "`--max-height 2160` makes it smaller"
            )
        for setup in self.setups[:-1]:
            try:
                self._run_ffmpeg(job, part, setup, lock)
            except EncodeDiskFullError:
                raise
            except EncodeError as error:
                self.progress.message(f"{job.source.name}: {setup.encoder}: {error.message}")
            else:
                return setup
        self._run_ffmpeg(job, part, self.setups[-1], lock)
        return self.setups[-1]

    def _run_ffmpeg(self, job: Job, part: Path, setup: EncoderSetup, lock: Sequence[int]) -> None:
        command = transcode_command(
            self.ffmpeg,
            setup,
            job.source,
            part,
            telemetry=job.movie.telemetry_index,
            crf=self.crf,
            max_height=self.max_height,
        )
        total = job.movie.duration_s
        with self.progress.task(job.source.name, total=total, unit="seconds") as task:
            complaints = run_ffmpeg(
                command, on_time=lambda done: task.reach(min(done, total)), pass_fds=lock
            )
            task.reach(total)  # ffmpeg's last word is the time of a packet before the end
        if complaints and job.replaces:
            # ffmpeg paints over what it cannot decode: the count of frames stays right.
            raise EncodeError(
                f"its pictures are damaged, the original is kept; ffmpeg says: {complaints[-1]}",
                hint="without --replace the conversion is made beside it",
                code="frames-differ",
            )
        for complaint in complaints[-3:]:
            self.progress.warning(f"{job.source.name}: ffmpeg says: {complaint}")


@contextmanager
def _owned(part: Path) -> Iterator[tuple[int, ...]]:
    """Keep `part` to this conversion; it is gone afterwards, unless it got its final name.

    ffmpeg inherits the lock: where labkit was killed and ffmpeg lives on, the next run does not
    write into the same file.
    """
    handles = _lock(part)
    try:
        yield handles
    finally:
        part.unlink(missing_ok=True)
        for handle in handles:
            os.close(handle)


def _lock(part: Path) -> tuple[int, ...]:
    """Open `part` and lock it; nothing where the system cannot hand a lock on."""
    if sys.platform == "win32":
        return ()
    import fcntl

    refuse_link(part)
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise RefusedError(
            "another conversion of it is under way",
            hint="wait for it, or end the ffmpeg that runs",
            code="conversion-running",
        ) from error
    except OSError:  # a network share without locks
        pass
    return (handle,)


def _complete(job: Job, part: Path) -> None:
    """Give the conversion what ffmpeg drops, and compare it with its source."""
    status = job.source.stat()
    if (status.st_size, status.st_mtime_ns) != (job.size_bytes, job.modified_ns):
        raise RefusedError(
            "it changed while it was converted", hint="run it again", code="source-changed"
        )
    if job.target.exists() and not job.replaces:
        raise RefusedError(f"{job.target} has appeared meanwhile", code="target-exists")
    try:
        copy_user_data(job.source, part)
        problem = conversion_fault(job.source, job.movie, part)
    except DamagedFileError as error:
        problem = Problem("bad-conversion", error.message)
    if problem is not None:
        raise EncodeError(
            f"the conversion is not kept: {problem.reason}",
            hint="the original may be damaged inside: play it to see",
            code=problem.code,
        )


def _tell_journal(path: Path, size_bytes: int, progress: Progress) -> None:
    """Give the replaced file's new size to the journal of the pull that brought it.

    Otherwise the next pull would find a file that it does not know, and fetch the original again.
    """
    root = next((folder for folder in path.parents if (folder / JOURNAL_NAME).is_file()), None)
    if root is None:
        return
    relative = path.relative_to(root).as_posix().casefold()
    try:
        with Journal(root) as journal:
            journal.record(
                replace(entry, size_bytes=size_bytes)
                for entry in journal.entries()
                if entry.path.casefold() == relative and entry.state is EntryState.DONE
            )
    except LabkitError as error:
        progress.warning(f"{path.name}: the next pull will fetch the original: {error.message}")
