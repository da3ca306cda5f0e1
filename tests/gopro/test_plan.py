"""The plan: a pure function that never overwrites, never leaves DEST, and does not wobble."""

# ruff: noqa: DTZ001 - a camera has a wall clock, and no zone

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.gopro import PlanOptions, Selection, plan_pull
from labkit.gopro.errors import LayoutError
from labkit.gopro.fake import made_up_card
from labkit.gopro.journal import EntryState
from labkit.gopro.layout import parse_layout
from labkit.gopro.listing import ListedFile, MediaListing
from labkit.gopro.media_list import parse_media_list
from labkit.gopro.names import Kind
from labkit.gopro.plan import Action
from labkit.gopro.selection import parse_kinds, parse_size_limit, parse_when

NOW = datetime(2026, 11, 21, 12, 0)
LISTING = parse_media_list({"media": made_up_card().media()})

NAMES = st.builds(
    "{}{:02d}{:04d}.{}".format,
    st.sampled_from(["GX", "GH", "GS", "GL", "gx"]),
    st.integers(0, 3),
    st.integers(0, 5),
    st.sampled_from(["MP4", "LRV", "JPG", "THM", "GPR", "xyz"]),
)
FILES = st.builds(
    lambda folder, name, size, created: ListedFile(
        folder=folder,
        name=name,
        path=f"/videos/DCIM/{folder}/{name}",
        size=size,
        created=created,
        taken_at=datetime(2024, 1, 1) + timedelta(hours=created),
    ),
    st.sampled_from(["100GOPRO", "101GOPRO"]),
    NAMES,
    st.none() | st.integers(0, 10**11),
    st.integers(0, 50),
)
LISTINGS = st.lists(FILES, max_size=25, unique_by=lambda file: (file.folder, file.name)).map(
    lambda files: MediaListing(tuple(files))
)
EVERYTHING = Selection(kinds=frozenset(Kind))


def names(plan):
    """The names of a plan's files."""
    return [one.file.name for one in plan.files]


def planned(**selection):
    """Plan the made-up card."""
    return plan_pull(LISTING, PlanOptions(selection=Selection(**selection)))


@given(
    LISTINGS, st.sampled_from(["{date}/{name}", "{name}", "{kind}/{stem}.{ext}", "{clip}-{name}"])
)
def test_no_two_files_share_a_path_and_none_leaves_the_destination(listing, layout):
    """Also on a file system that takes upper and lower case for the same."""
    plan = plan_pull(listing, PlanOptions(selection=EVERYTHING, layout=layout))
    paths = [one.path for one in plan.files]

    assert len({path.casefold() for path in paths}) == len(listing.files)
    for path in paths:
        assert not PurePosixPath(path).is_absolute()
        assert ".." not in PurePosixPath(path).parts


@given(LISTINGS, st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(listing, chance):
    """The same files in another order give the same plan."""
    shuffled = list(listing.files)
    chance.shuffle(shuffled)
    options = PlanOptions(selection=EVERYTHING)

    assert plan_pull(MediaListing(tuple(shuffled)), options) == plan_pull(listing, options)


@given(LISTINGS)
def test_what_is_done_is_not_done_again(listing):
    """With the journal that a finished pull leaves, nothing is left to do."""
    sized = [replace(file, size=file.size or 7) for file in listing.files]
    listing = MediaListing(tuple(sized))
    options = PlanOptions(selection=EVERYTHING)
    first = plan_pull(listing, options)
    entries = [
        replace(one.entry, state=EntryState.DONE, size_bytes=one.file.size) for one in first.files
    ]
    existing = {entry.path: entry.size_bytes for entry in entries}
    second = plan_pull(listing, options, entries=entries, existing=existing)

    assert second.to_do == ()
    assert [one.path for one in second.files] == [one.path for one in first.files]


def test_a_card_that_was_formatted_overwrites_nothing():
    """The same names with other times and sizes are other files: they get other paths."""
    options = PlanOptions(layout="{name}")
    first = plan_pull(LISTING, options)
    entries = [replace(one.entry, state=EntryState.DONE, size_bytes=5) for one in first.files]
    files = [replace(file, created=(file.created or 0) + 90, size=9) for file in LISTING.files]
    second = plan_pull(MediaListing(tuple(files)), options, entries=entries)

    assert not {one.path for one in first.files} & {one.path for one in second.files}


def test_a_file_that_is_there_without_a_journal_is_compared():
    """Brought by another tool: it is looked at before anything is fetched."""
    plan = plan_pull(LISTING, PlanOptions(), existing={"2024-06-15/GX010010.MP4": 5})

    assert [one.action for one in plan.files].count(Action.COMPARE) == 1


def test_a_file_that_was_moved_away_comes_again_unless_told():
    """`--new-only` leaves it out."""
    plan = plan_pull(LISTING, PlanOptions())
    entries = [replace(one.entry, state=EntryState.DONE, size_bytes=5) for one in plan.files]

    assert plan_pull(LISTING, PlanOptions(), entries=entries).to_do
    assert not plan_pull(LISTING, PlanOptions(new_only=True), entries=entries).to_do


def test_default_kinds():
    """All but proxies and thumbnails."""
    assert {one.media.kind for one in planned().files} == {Kind.VIDEO, Kind.PHOTO, Kind.RAW}


def test_last_counts_recordings():
    """A clip of two chapters counts once."""
    assert names(planned(last=1)) == ["GX010010.MP4"]
    assert planned(last=1).files[0].file.folder == "101GOPRO"
    assert len(planned(last=2).files) == 5  # the group's four frames


def test_since_and_until():
    """By the time of the recording's first file: a second chapter is never torn off."""
    morning = planned(until=datetime(2024, 6, 15, 9, 5))

    assert names(morning) == ["GX010010.MP4", "GX020010.MP4"]
    assert {one.file.folder for one in planned(since=datetime(2024, 6, 16)).files} == {"101GOPRO"}


def test_match_takes_names_and_clips_in_any_case():
    """A pattern for a file, or for all chapters of a clip."""
    assert names(planned(match=("gopr*",))) == ["GOPR0012.JPG", "GOPR0013.JPG", "GOPR0013.GPR"]
    assert names(planned(match=("GX0011",))) == ["GX010011.MP4"]


def test_folder_and_size():
    """Both narrow the plan."""
    assert len(planned(folders=("101GOPRO",)).files) == 1
    assert all((one.file.size or 0) <= 400_000 for one in planned(max_bytes=400_000).files)


def test_proxies_first():
    """The order changes, nothing else."""
    options = PlanOptions(selection=EVERYTHING, proxies_first=True)
    kinds = [one.media.kind for one in plan_pull(LISTING, options).files]

    assert kinds[:4] == [Kind.PROXY] * 4
    assert Kind.PROXY not in kinds[4:]


def test_shift_corrects_date_and_path():
    """An hour over midnight moves the file to the next day's folder."""
    plan = plan_pull(LISTING, PlanOptions(shift=timedelta(hours=15)))

    assert plan.files[0].path == "2024-06-16/GX010010.MP4"
    assert plan.files[0].taken_at == datetime(2024, 6, 16)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("{camera}/{date:%Y/%m}/{name}", "HERO12-0789/2024/06/GX020010.MP4"),
        ("{clip}-{chapter}.{ext}", "GX0010-02.MP4"),
        ("{kind}/{folder}_{stem}.{ext}", "video/100GOPRO_GX020010.MP4"),
        ("Fotos für Oma/{date:%d. %B %H%M}/{name}", "Fotos für Oma/15. June 0912/GX020010.MP4"),
        ("./a//{date:%H%M}-{name}", "a/0912-GX020010.MP4"),
    ],
)
def test_layouts(layout, expected):
    """Each field stands for what the documentation says."""
    options = PlanOptions(
        selection=Selection(match=("GX020010*",)), layout=layout, label="HERO12-0789"
    )

    assert [one.path for one in plan_pull(LISTING, options).files] == [expected]


@pytest.mark.parametrize(
    "layout",
    ["{nme}", "{name", "../{name}", "/{name}", "{name}/", "", "a\\{name}", "{name!r}", "{ext:>9}"],
)
def test_bad_layouts(layout):
    """Unknown fields, open braces and ways out are refused with the list of fields."""
    with pytest.raises(LayoutError, match=r"layout|format") as caught:
        parse_layout(layout)
    assert "{name}" in caught.value.hint


@pytest.mark.parametrize(
    "layout", ["{date:%H:%M}/{name}", "a?/{name}", "{date:%n}/{name}", "-{name}", " /{name}"]
)
def test_layouts_that_make_unsafe_names(layout):
    """What a format makes is checked like a name from the camera."""
    with pytest.raises(LayoutError):
        plan_pull(LISTING, PlanOptions(layout=layout))


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("2024-06-15", False, datetime(2024, 6, 15)),
        ("2024-06-15", True, datetime(2024, 6, 16)),
        ("2024-06-15T18:30", True, datetime(2024, 6, 15, 18, 30)),
        ("yesterday", False, datetime(2026, 11, 20)),
        ("yesterday", True, datetime(2026, 11, 21)),
        ("3d", False, NOW - timedelta(days=3)),
        ("12h", False, NOW - timedelta(hours=12)),
    ],
)
def test_times(text, end, expected):
    """Dates, words and spans, by the camera's wall clock."""
    assert parse_when(text, NOW, end=end) == expected


@pytest.mark.parametrize("text", ["", "2024-13-01", "soon", "3x", "99999d" * 9])
def test_bad_times(text):
    """Anything else is a usage error that shows the forms."""
    with pytest.raises(UsageError, match="no date"):
        parse_when(text, NOW)


@given(st.text(max_size=20))
def test_option_parsers_raise_usage_errors_only(text):
    """Whatever a user types."""
    for parser in (parse_kinds, parse_size_limit, parse_layout, lambda t: parse_when(t, NOW)):
        with contextlib.suppress(UsageError):
            parser(text)


def test_sizes():
    """Units of 1000, and of 1024 with an i."""
    sizes = [parse_size_limit(text) for text in ("1000", "500MB", "1.5G", "4GiB", "7k")]

    assert sizes == [1000, 500_000_000, 1_500_000_000, 4 * 2**30, 7000]


def test_what_was_never_begun_follows_a_new_layout():
    """What has bytes here keeps its path; the rest goes where it would go now."""
    first = plan_pull(LISTING, PlanOptions())
    entries = [one.entry for one in first.files]
    begun = first.files[0]
    again = plan_pull(
        LISTING,
        PlanOptions(layout="new/{name}"),
        entries=[replace(entry, camera="unknown") for entry in entries],
        existing={f"{begun.path}.part": 10},
    )

    assert [one.path for one in again.files if not one.path.startswith("new/")] == [begun.path]
    assert len(again.dropped) == len(first.files) - 1


def test_the_shift_comes_before_since():
    """Times are those that the files will have."""
    since = Selection(since=datetime(2024, 6, 20))
    shifted = plan_pull(LISTING, PlanOptions(selection=since, shift=timedelta(days=10)))

    assert "GX010010.MP4" not in names(plan_pull(LISTING, PlanOptions(selection=since)))
    assert "GX010010.MP4" in names(shifted)


def test_a_shift_says_what_it_does_not_reach():
    """Files that are here stay as they are."""
    done = [
        replace(one.entry, state=EntryState.DONE, size_bytes=one.file.size or 1)
        for one in plan_pull(LISTING, PlanOptions()).files
    ]
    existing = {entry.path: entry.size_bytes for entry in done}
    plan = plan_pull(
        LISTING, PlanOptions(shift=timedelta(hours=1)), entries=done, existing=existing
    )

    assert len(plan.warnings) == 1
    assert "`--shift` corrects only what comes" in plan.warnings[0]


def dated(name, taken_at):
    """A listed clip."""
    path = f"/videos/DCIM/100GOPRO/{name}"
    return ListedFile("100GOPRO", name, path, size=9, taken_at=taken_at)


def test_a_clip_has_the_time_of_any_of_its_chapters():
    """An undated first chapter does not bring an old clip with --since."""
    old = datetime(2024, 1, 1)
    listing = MediaListing((dated("GX010001.MP4", None), dated("GX020001.MP4", old)))
    options = PlanOptions(selection=Selection(since=datetime(2024, 6, 1)))

    assert names(plan_pull(listing, options)) == []


def test_undated_recordings_are_not_the_latest():
    """Where others have a time."""
    now = datetime(2024, 6, 1)
    listing = MediaListing((dated("GX010001.MP4", now), dated("GX010002.MP4", None)))

    assert names(plan_pull(listing, PlanOptions(selection=Selection(last=1)))) == ["GX010001.MP4"]


def test_a_group_counts_with_its_sum():
    """The list has the size of a burst as a whole: without what is here, that is what comes."""
    everything = planned(kinds=frozenset({Kind.PHOTO}))
    assert everything.bytes_expected == 2 * 300_000 + 400_000
    assert everything.unsized == ()

    frames = [one for one in everything.files if one.file.group]
    done = [replace(one.entry, state=EntryState.DONE, size_bytes=100_000) for one in frames[:3]]
    here = {entry.path: 100_000 for entry in done}
    options = PlanOptions(Selection(kinds=frozenset({Kind.PHOTO})))
    rest = plan_pull(LISTING, options, entries=done, existing=here)
    assert rest.bytes_expected == 2 * 300_000 + 100_000


def test_a_part_of_a_group_has_no_known_size():
    """Its sum does not tell how large single members are."""
    plan = planned(match=("G0010014*",))

    assert (plan.bytes_expected, len(plan.unsized)) == (0, 1)
