"""What is on the camera, recording by recording, and how long a pull would take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from labkit.gopro.clips import gather_sets
from labkit.gopro.damage import DamagedFileError
from labkit.gopro.journal import read_journal
from labkit.gopro.mp4 import read_movie
from labkit.gopro.names import Kind, Naming, kind_of, parse_name
from labkit.gopro.plan import Action, PlanOptions, expected_bytes
from labkit.gopro.pull import plan_for
from labkit.gopro.speed import measure_speed
from labkit.progress import SILENT

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from labkit.gopro.camera import Camera
    from labkit.gopro.clips import MediaSet
    from labkit.gopro.listing import ListedFile, MediaListing
    from labkit.gopro.plan import PlannedFile
    from labkit.progress import Progress

__all__ = ["ClipSummary", "Overview", "overview"]

_Key = tuple[str, str]


@dataclass(frozen=True)
class ClipSummary:
    """One recording.

    Attributes:
        clip: Its name.
        kind: Of its main files.
        folder: On the camera.
        taken_at: When it began, by the camera's clock.
        size_bytes: Of all its files together, as far as the list tells.
        duration_s: Its length in seconds, where known.
        chapters: How many parts it has; None for photos.
        files: Its files, companions last.
        companions: What goes with it: proxy, raw, thumb, audio.
        here: `yes`, `no` or `partly`.
    """

    clip: str
    kind: Kind
    folder: str
    taken_at: datetime | None
    size_bytes: int
    duration_s: float | None
    chapters: int | None
    files: tuple[ListedFile, ...]
    companions: tuple[str, ...]
    here: str


@dataclass(frozen=True)
class Overview:
    """Everything that is on the camera.

    Attributes:
        model: The camera's model.
        dialect: What it speaks.
        clips: Its recordings.
        refused: Entries that no pull would take.
        warnings: What is odd.
        size_bytes: All sizes together, as far as the list tells.
        to_pull_bytes: What a pull would bring.
        speed: Bytes per second, measured now; None when there is nothing to pull.
        pull_s: How long a pull would take, in seconds.
    """

    model: str | None
    dialect: str
    clips: tuple[ClipSummary, ...]
    refused: tuple[str, ...]
    warnings: tuple[str, ...]
    size_bytes: int
    to_pull_bytes: int
    speed: float | None
    pull_s: float | None


def overview(
    camera: Camera, destination: Path, *, ask_lengths: bool = False, progress: Progress = SILENT
) -> Overview:
    """Look at the camera's files, and at what of them is in `destination`.

    Args:
        camera: The camera.
        destination: Where pulls go; need not exist.
        ask_lengths: Ask the camera for the length of each clip that is not here: a request each.
        progress: Hears of those requests.

    Raises:
        The errors of `Camera.listing`.
    """
    survey = plan_for(camera, destination, PlanOptions(), read_journal(destination))
    plan, listing = survey.plan, survey.listing
    planned = {(one.file.folder, one.file.name): one for one in plan.files}
    to_pull = [one for one in plan.to_do if one.action is Action.FETCH]
    group_sizes = {(group.folder, group.name): group.total_bytes for group in listing.groups}
    missing = plan.bytes_expected
    largest = max(to_pull, key=lambda one: expected_bytes(one.file), default=None)
    speed = None if largest is None else measure_speed(camera, largest.file)
    sets = gather_sets(listing.files)
    listener = progress if ask_lengths else SILENT
    with listener.task("lengths", total=len(sets), unit="items") as task:
        clips: list[ClipSummary] = []
        for media_set in sets:
            length = _length(camera, media_set, planned, destination, ask=ask_lengths)
            clips.append(_summary(media_set, planned, group_sizes, length))
            task.advance(1)
    return Overview(
        model=camera.info.model,
        dialect=camera.dialect.name,
        clips=tuple(clips),
        refused=listing.refused,
        warnings=plan.warnings,
        size_bytes=_total(listing, group_sizes),
        to_pull_bytes=missing,
        speed=speed,
        pull_s=missing / speed if speed else None,
    )


def _summary(
    media_set: MediaSet[ListedFile],
    planned: dict[_Key, PlannedFile],
    group_sizes: dict[_Key, int | None],
    length: float | None,
) -> ClipSummary:
    files = (*media_set.files, *media_set.companions)
    plans = [planned[_key(file)] for file in files if _key(file) in planned]
    wanted = [one for one in plans if one.action is not Action.EMPTY]
    have = sum(one.action is Action.HAVE for one in wanted)
    chapters = {parse_name(file.name).chapter for file in media_set.files}
    return ClipSummary(
        clip=media_set.clip,
        kind=media_set.kind,
        folder=media_set.folder,
        taken_at=media_set.files[0].taken_at,
        size_bytes=_bytes_of(files, group_sizes),
        duration_s=length,
        chapters=len(chapters) if media_set.naming is Naming.CLIP else None,
        files=files,
        companions=tuple(sorted({str(kind_of(file.name)) for file in media_set.companions})),
        here="no" if not have else "yes" if have == len(wanted) else "partly",
    )


def _key(file: ListedFile) -> _Key:
    return file.folder, file.name


def _bytes_of(
    files: list[ListedFile] | tuple[ListedFile, ...], group_sizes: dict[_Key, int | None]
) -> int:
    """Add sizes up; a group's are only known together."""
    groups = {(file.folder, file.group) for file in files if file.group is not None}
    alone = sum(expected_bytes(file) for file in files if file.group is None)
    return alone + sum(group_sizes.get(group) or 0 for group in groups)


def _total(listing: MediaListing, group_sizes: dict[_Key, int | None]) -> int:
    return _bytes_of(listing.files, group_sizes)


def _length(
    camera: Camera,
    media_set: MediaSet[ListedFile],
    planned: dict[_Key, PlannedFile],
    destination: Path,
    *,
    ask: bool,
) -> float | None:
    """Add up the lengths of a clip's chapters; None where one of them is not known."""
    if media_set.kind is not Kind.VIDEO:
        return None
    total = 0.0
    for file in media_set.files:
        one = planned.get(_key(file))
        length = None
        if one is not None and one.action is Action.HAVE:
            length = _length_here(destination.joinpath(*PurePosixPath(one.path).parts))
        elif ask:
            length = camera.duration_s(file)
        if length is None:
            return None
        total += length
    return total


def _length_here(path: Path) -> float | None:
    try:
        return read_movie(path).duration_s
    except (DamagedFileError, OSError):
        return None
