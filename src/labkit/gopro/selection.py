"""Which of the camera's files the user wants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from labkit.errors import UsageError
from labkit.gopro.clock import shifted
from labkit.gopro.names import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from labkit.gopro.clips import MediaSet
    from labkit.gopro.listing import ListedFile

__all__ = ["DEFAULT_KINDS", "Selection", "parse_kinds", "parse_size_limit", "parse_when", "select"]

DEFAULT_KINDS = frozenset(Kind) - {Kind.PROXY, Kind.THUMB}
"""All but what can be made again from the rest."""


@dataclass(frozen=True)
class Selection:
    """What is wanted; each condition narrows the rest.

    Attributes:
        kinds: Kinds of files.
        since: The earliest time of a recording, by the camera's clock as corrected.
        until: The time before which it began.
        last: Only so many of the latest recordings; a clip, a group, a photo count one each.
        match: Patterns, one of which the file's or the clip's name must fit, in any case.
        folders: Folders on the camera.
        max_bytes: The largest file.
    """

    kinds: frozenset[Kind] = DEFAULT_KINDS
    since: datetime | None = None
    until: datetime | None = None
    last: int | None = None
    match: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    max_bytes: int | None = None


def select(
    sets: Iterable[MediaSet[ListedFile]],
    selection: Selection,
    shift: timedelta = timedelta(),
) -> Iterator[MediaSet[ListedFile]]:
    """Give the recordings that hold something wanted; `wanted_files` narrows each to its files.

    A recording whose time is unknown is never left out for its time; among the latest, it is the
    oldest. Times are corrected by `shift` first.
    """
    kept = (
        media_set
        for media_set in sets
        if _in_time(media_set, selection, shift) and wanted_files(media_set, selection)
    )
    return kept if selection.last is None else _latest(list(kept), selection.last)


def _latest(sets: Sequence[MediaSet[ListedFile]], count: int) -> Iterator[MediaSet[ListedFile]]:
    by_time = sorted(sets, key=_time_of)
    latest = {id(media_set) for media_set in by_time[max(0, len(sets) - count) :]}
    return (media_set for media_set in sets if id(media_set) in latest)


def wanted_files(media_set: MediaSet[ListedFile], selection: Selection) -> tuple[ListedFile, ...]:
    """Give the wanted files of one recording, main files first."""
    if selection.folders and media_set.folder not in selection.folders:
        return ()
    return tuple(
        file
        for file in (*media_set.files, *media_set.companions)
        if kind_of(file.name) in selection.kinds
        and _matches(file.name, media_set.clip, selection.match)
        and _small_enough(file, selection.max_bytes)
    )


def _began_at(media_set: MediaSet[ListedFile]) -> datetime | None:
    """When it began: a clip's first chapter may lack the time that the next one has."""
    return next((file.taken_at for file in media_set.files if file.taken_at is not None), None)


def _in_time(media_set: MediaSet[ListedFile], selection: Selection, shift: timedelta) -> bool:
    taken_at = shifted(_began_at(media_set), shift)
    if taken_at is None:
        return True
    if selection.since is not None and taken_at < selection.since:
        return False
    return selection.until is None or taken_at < selection.until


def _time_of(media_set: MediaSet[ListedFile]) -> tuple[datetime, str, int]:
    return (_began_at(media_set) or datetime.min, media_set.folder, media_set.number or 0)  # noqa: DTZ901 - a wall clock


def _matches(name: str, clip: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(
        fnmatchcase(text.upper(), pattern.upper()) for pattern in patterns for text in (name, clip)
    )


def _small_enough(file: ListedFile, limit: int | None) -> bool:
    if limit is None:
        return True
    size = file.size if file.size_range is None else file.size_range.low
    return size is None or size <= limit


def parse_kinds(text: str) -> frozenset[Kind]:
    """Read `video,photo`; `all` stands for every kind.

    Raises:
        UsageError: There is no such kind.
    """
    if text.strip().lower() == "all":
        return frozenset(Kind)
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Kind)]
    if unknown or not names:
        raise UsageError(
            f"{unknown[0]!r} is no kind of file" if unknown else "no kind of file is named",
            hint=f"the kinds are {', '.join(Kind)}, or all",
            code="bad-kind",
        )
    return frozenset(Kind(name) for name in names)


_AGO = re.compile(r"(\d{1,5})\s*([hdw])", re.ASCII | re.IGNORECASE)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_when(text: str, now: datetime, *, end: bool = False) -> datetime:
    """Read a time by the camera's wall clock: a date, date and time, `yesterday`, `3d`.

    Args:
        text: `2024-06-15`, `2024-06-15T18:30`, `today`, `yesterday`, `12h`, `3d`, `2w`.
        now: The computer's wall clock.
        end: A whole day means its end, not its beginning.

    Raises:
        UsageError: It is none of these.
    """
    word = text.strip().lower()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"today": today, "yesterday": today - timedelta(days=1)}
    if word in days:
        return days[word] + timedelta(days=1) if end else days[word]
    try:
        if match := _AGO.fullmatch(word):
            return now - int(match[1]) * _UNITS[match[2].lower()]
        when = datetime.fromisoformat(text.strip()).replace(tzinfo=None)
        is_day = "T" not in text.upper() and ":" not in text
        return when + timedelta(days=1) if end and is_day else when
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is no date",
            hint="write 2024-06-15, 2024-06-15T18:30, today, yesterday, 12h, 3d or 2w",
            code="bad-date",
        ) from error


_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*([KMGT]?)(I?B)?", re.ASCII | re.IGNORECASE)


def parse_size_limit(text: str) -> int:
    """Read a size: `500MB`, `1.5G`, `4GiB`, `1000`; units of 1000, with `i` of 1024.

    Raises:
        UsageError: It is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no size", hint="write 500MB, 1.5GB or 4GiB", code="bad-size")
    base = 1024 if (match[3] or "").upper() == "IB" else 1000
    return int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " "))
