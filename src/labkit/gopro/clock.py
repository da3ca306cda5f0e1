"""The camera's clock: what its times mean, how far it is off, how it is asked and set.

A camera knows no time zone for its files: its lists give the wall clock, written as if it were
UTC. A wall clock time is therefore a naive `datetime` throughout, and becomes an instant only
where a zone is named. Pure functions; nothing here asks a camera or this computer's clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from labkit.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

__all__ = [
    "CameraTime",
    "clock_doubt",
    "drift_s",
    "legacy_date_bytes",
    "modification_time",
    "open_gopro_date_query",
    "parse_legacy_date",
    "parse_open_gopro_date",
    "parse_shift",
    "shifted",
    "wall_clock",
    "wall_clock_of_http_date",
    "wall_clock_of_mp4",
]

_UNIX_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock
_MP4_EPOCH = datetime(1904, 1, 1)  # noqa: DTZ001 - a wall clock


def wall_clock(seconds: int | None) -> datetime | None:
    """Read `cre` or `mod` of a camera's list: the wall clock, written as a UTC time stamp.

    None where the list has no time: nothing, 0, or a number that is no date.
    """
    return _since(_UNIX_EPOCH, seconds)


def wall_clock_of_mp4(seconds: int | None) -> datetime | None:
    """Read a time of an MP4 file, in seconds since 1904; None where it has none.

    Most cameras write the wall clock here, those that know their time zone write UTC: which of
    both cannot be seen in the number.
    """
    return _since(_MP4_EPOCH, seconds)


def wall_clock_of_http_date(text: str | None) -> datetime | None:
    """Read a `Last-Modified` header, which on a camera carries the wall clock as if UTC."""
    try:
        return parsedate_to_datetime(text or "").replace(tzinfo=None)
    except (ValueError, TypeError, IndexError, OverflowError):  # as the parser fails, by version
        return None


def _since(epoch: datetime, seconds: int | None) -> datetime | None:
    if seconds is None or seconds <= 0:
        return None
    try:
        return epoch + timedelta(seconds=seconds)
    except OverflowError:
        return None


def modification_time(wall: datetime, zone: tzinfo | None = None) -> float | None:
    """Turn a wall clock time into a file's modification time, in seconds since 1970 UTC.

    Args:
        wall: The camera's wall clock.
        zone: The zone that the camera's clock was set to; None for this computer's own.

    Returns:
        The time stamp; None where the platform cannot express it.
    """
    try:
        stamp = wall.replace(tzinfo=zone).timestamp()
    except (OverflowError, OSError, ValueError):
        return None
    return stamp if stamp >= 0 else None


def shifted(wall: datetime | None, shift: timedelta) -> datetime | None:
    """Correct a time by `shift`; None where the result is no date."""
    if wall is None or not shift:
        return wall
    try:
        return wall + shift
    except OverflowError:
        return None


_SHIFT = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<days>\d{1,6})d)?(?:(?P<hours>\d{1,6})h)?"
    r"(?:(?P<minutes>\d{1,6})m)?(?:(?P<seconds>\d{1,9})s)?",
    re.ASCII,
)


def parse_shift(text: str) -> timedelta:
    """Read the user's correction of a wrong clock: `+1h`, `-30m`, `+3650d2h`.

    Raises:
        UsageError: It is none.
    """
    match = _SHIFT.fullmatch(text.strip())
    units = ("days", "hours", "minutes", "seconds")
    if match is None or not any(match[unit] for unit in units):
        raise UsageError(
            f"{text!r} is no correction of a clock",
            hint="write a sign and days, hours, minutes, seconds: +1h, -30m, +3650d2h",
            code="bad-shift",
        )
    shift = timedelta(**{unit: int(match[unit] or 0) for unit in units})
    return -shift if match["sign"] == "-" else shift


_TOO_OLD = datetime(2005, 1, 1)  # noqa: DTZ001 - a wall clock
_RESET_MONTH = (2016, 1)
_DAY = timedelta(days=1)


def clock_doubt(
    wall: datetime, now: datetime, *, model_since: datetime | None = None
) -> str | None:
    """Say why a file's time cannot be right; None when nothing speaks against it.

    A camera whose battery was out too long starts again on 2016-01-01 and runs on from there.

    Args:
        wall: The file's time by the camera's wall clock.
        now: The computer's wall clock.
        model_since: When this model of camera came out, where that is known.
    """
    if wall < _TOO_OLD:
        return "no digital camera of this maker is so old"
    if (wall.year, wall.month) == _RESET_MONTH:
        return "a camera that lost its clock starts again in January 2016"
    if model_since is not None and wall < model_since:
        return f"this model came out in {model_since:%B %Y}"
    if wall - _DAY > now:
        return "it lies in the future"
    return None


def drift_s(camera: datetime, computer: datetime) -> float:
    """How many seconds the camera's wall clock is ahead of the computer's; negative: behind.

    Both are wall clocks. Where the request took time, `computer` is the middle of it.
    """
    return (camera - computer).total_seconds()


@dataclass(frozen=True)
class CameraTime:
    """What a camera says about its clock.

    Attributes:
        wall: The wall clock.
        utc_offset: The zone that it is set to; None on a camera that has no zones.
        summer_time: Whether it says that summer time is on; None where it does not say.
    """

    wall: datetime
    utc_offset: timedelta | None = None
    summer_time: bool | None = None


_LEGACY_DATE = re.compile(r"(?:%[0-9A-Fa-f]{2}){6}", re.ASCII)


def parse_legacy_date(text: str) -> datetime:
    """Read status 40: `%16%01%04%06%1E%21` is 2022-01-04 06:30:33.

    Six bytes: years since 2000, month, day, hour, minute, second (GoPro's gpControl schema).

    Raises:
        InputError: It is no date.
    """
    if not _LEGACY_DATE.fullmatch(text):
        raise _bad_date(text)
    year, month, day, hour, minute, second = (int(part, 16) for part in text[1:].split("%"))
    return _date(text, 2000 + year, month, day, hour, minute, second)


def legacy_date_bytes(wall: datetime) -> str:
    """Write a time for `setup/date_time?p=` of cameras before Open GoPro; years 2000 to 2255.

    Raises:
        UsageError: The camera cannot hold this year.
    """
    year = wall.year - 2000
    if not 0 <= year <= 0xFF:  # noqa: PLR2004 - one byte
        raise UsageError(f"a camera's clock cannot show the year {wall.year}", code="bad-date")
    parts = (year, wall.month, wall.day, wall.hour, wall.minute, wall.second)
    return "".join(f"%{part:02x}" for part in parts)


_OPEN_GOPRO_DATE = re.compile(r"(\d{4})_(\d{1,2})_(\d{1,2})", re.ASCII)
_OPEN_GOPRO_TIME = re.compile(r"(\d{1,2})_(\d{1,2})_(\d{1,2})", re.ASCII)


def parse_open_gopro_date(answer: Mapping[str, object]) -> CameraTime:
    """Read the answer of `/gopro/camera/get_date_time`.

    Raises:
        InputError: It holds no date.
    """
    date = _OPEN_GOPRO_DATE.fullmatch(str(answer.get("date")))
    time = _OPEN_GOPRO_TIME.fullmatch(str(answer.get("time")))
    if date is None or time is None:
        raise _bad_date(answer)
    wall = _date(answer, *map(int, date.groups()), *map(int, time.groups()))
    offset = _integer(answer.get("tzone"))
    summer = _integer(answer.get("dst"))
    return CameraTime(
        wall,
        timedelta(minutes=offset) if offset is not None and abs(offset) < _DAY_MINUTES else None,
        None if summer is None else bool(summer),
    )


_DAY_MINUTES = 24 * 60


def open_gopro_date_query(time: datetime, *, with_zone: bool) -> str:
    """Write the query of `/gopro/camera/set_date_time`, in the order that cameras expect.

    Args:
        time: The time to set, with its zone: what it shows is what the camera will show.
        with_zone: Send zone and summer time as well; HERO9 and HERO10 know neither.
    """
    query = f"date={time:%Y_%m_%d}&time={time:%H_%M_%S}"
    if not with_zone:
        return query
    # The offset already holds summer time; `dst` on top could make a camera count it twice.
    minutes = round((time.utcoffset() or timedelta()).total_seconds() / 60)
    return f"{query}&tzone={minutes}&dst=0"


def _date(source: object, *parts: int) -> datetime:
    try:
        year, month, day, hour, minute, second = parts
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise _bad_date(source) from error


def _bad_date(source: object) -> InputError:
    return InputError(f"the camera's clock says {ascii(source)[:80]}", code="bad-camera-clock")


def _integer(value: object) -> int | None:
    text = str(value)
    is_number = re.fullmatch(r"-?\d{1,9}", text, re.ASCII)
    return int(text) if is_number else None
