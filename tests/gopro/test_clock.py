"""The camera's wall clock, its doubts and its encodings."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import InputError, LabkitError, UsageError
from labkit.gopro.clock import (
    clock_doubt,
    drift_s,
    legacy_date_bytes,
    modification_time,
    open_gopro_date_query,
    parse_legacy_date,
    parse_open_gopro_date,
    parse_shift,
    shifted,
    wall_clock,
    wall_clock_of_http_date,
    wall_clock_of_mp4,
)


def at(text):
    """A wall clock time."""
    return datetime.fromisoformat(text)


NOW = at("2026-11-20 12:00")


def test_a_real_photo_shows_that_the_list_has_the_wall_clock(shared_fixtures):
    """`cre` read as UTC lies 16 s before the local EXIF time of the same photo, not ten hours."""
    meta = shared_fixtures / "gopro" / "meta"
    created = json.loads((meta / "hero5_photo.json").read_text(encoding="utf-8"))["cre"]
    assert wall_clock(int(created)) == at("2018-10-19 14:41:15")


@pytest.mark.parametrize("seconds", [None, 0, -5, 10**15])
def test_no_time_is_unknown(seconds):
    """Nothing, zero and nonsense are no dates."""
    assert wall_clock(seconds) is None
    assert wall_clock_of_mp4(seconds) is None


def test_mp4_counts_from_1904():
    """2,082,844,800 seconds lie between both epochs."""
    assert wall_clock_of_mp4(2_082_844_800 + 86_400) == at("1970-01-02 00:00")


def test_the_last_modified_header_is_a_wall_clock_too():
    """Its GMT means nothing; a broken header is unknown."""
    assert wall_clock_of_http_date("Fri, 04 Sep 2026 16:41:02 GMT") == at("2026-09-04 16:41:02")
    assert wall_clock_of_http_date("yesterday") is None
    assert wall_clock_of_http_date(None) is None


def test_the_wall_clock_is_read_in_the_named_zone():
    """14:41 in Sydney in October is 03:41 UTC, as the GPS time of that photo says."""
    stamp = modification_time(at("2018-10-19 14:41:15"), ZoneInfo("Australia/Sydney"))
    assert stamp == at("2018-10-19 03:41:15+00:00").timestamp()


def test_without_a_zone_it_is_the_computers_own():
    """What the camera showed is what the file manager shows."""
    wall = at("2024-03-05 10:20:30")
    assert datetime.fromtimestamp(modification_time(wall)).isoformat() == wall.isoformat()  # noqa: DTZ006 - the point


@given(st.datetimes())
def test_every_time_becomes_a_stamp_or_none(wall):
    """A date beyond the platform's range is left out, never an error."""
    stamp = modification_time(wall, ZoneInfo("Europe/Zurich"))
    assert stamp is None or stamp >= 0


def test_a_shift_beyond_the_calendar_is_unknown():
    """A correction that leads out of the years there are gives no time."""
    assert shifted(at("2026-11-20 12:00"), timedelta(hours=1)) == at("2026-11-20 13:00")
    assert shifted(at("9999-12-31 12:00"), timedelta(days=1)) is None
    assert shifted(None, timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("text", "shift"),
    [
        ("+1h", timedelta(hours=1)),
        ("-30m", timedelta(minutes=-30)),
        ("+3650d2h", timedelta(days=3650, hours=2)),
        ("-1h30m15s", -timedelta(hours=1, minutes=30, seconds=15)),
        ("90s", timedelta(seconds=90)),
    ],
)
def test_reads_a_correction(text, shift):
    """Sign, then days, hours, minutes and seconds."""
    assert parse_shift(text) == shift


@given(st.text())
def test_any_other_correction_is_a_usage_error(text):
    """Bad text is a UsageError, never a traceback."""
    with contextlib.suppress(UsageError):
        assert isinstance(parse_shift(text), timedelta)


@pytest.mark.parametrize("text", ["", "+", "1", "h", "1h1d", "+1w"])
def test_refuses_what_is_no_correction(text):
    """A number without a unit is not guessed."""
    with pytest.raises(UsageError) as raised:
        parse_shift(text)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("wall", "doubtful"),
    [
        ("2016-01-01 00:32:23", True),
        ("2016-01-31 23:59:59", True),
        ("2016-02-01 00:00", False),
        ("2004-12-31 00:00", True),
        ("2013-05-21 23:30", False),
        ("2026-11-21 11:59", False),
        ("2026-11-21 12:01", True),
    ],
)
def test_doubts_a_lost_clock_and_the_future(wall, doubtful):
    """January 2016, before 2005 and more than a day ahead cannot be right."""
    assert (clock_doubt(at(wall), NOW) is not None) == doubtful


def test_doubts_a_time_before_the_model_existed():
    """A HERO5 took nothing in spring 2016; a HERO3 did."""
    wall = at("2016-03-01 00:00")
    assert clock_doubt(wall, NOW) is None
    assert "October 2016" in clock_doubt(wall, NOW, model_since=at("2016-10-01"))


def test_drift_is_positive_when_the_camera_is_ahead():
    """Seconds, with a sign."""
    assert drift_s(at("2026-11-20 12:00:05"), NOW) == 5
    assert drift_s(at("2016-01-01 00:00"), NOW) < 0


def test_reads_status_40_of_a_real_state(shared_fixtures):
    """Status 40 of a real camera is a date."""
    path = shared_fixtures / "gopro" / "state" / "ogp_camera_state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    assert parse_legacy_date(state["status"]["40"]) == at("2022-01-04 06:30:33")


@given(st.datetimes(min_value=at("2000-01-01"), max_value=at("2255-12-31")))
def test_the_legacy_encoding_is_a_round_trip(wall):
    """Two hexadecimal digits a part, with leading zeros."""
    text = legacy_date_bytes(wall)
    assert len(text) == 18
    assert parse_legacy_date(text) == wall.replace(microsecond=0)


def test_the_legacy_encoding_cannot_hold_every_year():
    """1999 does not fit into a byte."""
    with pytest.raises(UsageError):
        legacy_date_bytes(at("1999-12-31"))


@given(st.one_of(st.text(), st.from_regex(r"(%[0-9a-f]{2}){6}", fullmatch=True)))
def test_any_legacy_date_is_read_or_refused(text):
    """Nothing but a LabkitError."""
    with contextlib.suppress(LabkitError):
        assert parse_legacy_date(text).year >= 2000


def test_reads_the_open_gopro_clock():
    """The specification's example: west of Greenwich, no summer time."""
    time = parse_open_gopro_date(
        {"date": "2023_12_31", "time": "11_05_45", "tzone": -480, "dst": 0}
    )
    assert time.wall == at("2023-12-31 11:05:45")
    assert time.utc_offset == timedelta(hours=-8)
    assert time.summer_time is False
    assert parse_open_gopro_date({"date": "2023_1_3", "time": "1_5_4"}).utc_offset is None


@given(
    st.dictionaries(st.sampled_from(["date", "time", "tzone", "dst"]), st.text() | st.integers())
)
def test_any_open_gopro_answer_is_read_or_refused(answer):
    """A camera that talks nonsense gives a clear error."""
    with contextlib.suppress(InputError):
        assert parse_open_gopro_date(answer).wall.tzinfo is None


def test_writes_the_query_in_the_cameras_order():
    """Date, time, then zone and summer time, which older cameras do not know."""
    time = at("2023-01-31 03:04:05").replace(tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert open_gopro_date_query(time, with_zone=True) == (
        "date=2023_01_31&time=03_04_05&tzone=330&dst=0"
    )
    assert open_gopro_date_query(time, with_zone=False) == "date=2023_01_31&time=03_04_05"
