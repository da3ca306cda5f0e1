"""Files gathered into recordings, and groups expanded into their members."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.gopro.clips import expand_group, gather_sets, play_order
from labkit.gopro.names import Kind, Naming


@dataclass(frozen=True)
class Listed:
    """A file as a list gives it."""

    name: str
    folder: str = "100GOPRO"
    group: str | None = None


def gather(*names):
    """Gather files of one folder."""
    return gather_sets([Listed(name) for name in names])


def names_of(files):
    """The names of some files, in their order."""
    return [file.name for file in files]


def test_the_specifications_example_has_387_members():
    """G0010008.JPG, 8 to 396 without 75 and 139, is 387 files."""
    group = expand_group("G0010008.JPG", 8, 396, [75, 139])
    assert len(group.names) == 387
    assert group.names[0] == "G0010008.JPG"
    assert group.names[-1] == "G0010396.JPG"
    assert "G0010075.JPG" not in group.names
    assert group.warning is None


def test_a_group_keeps_its_extension_and_ignores_foreign_gaps():
    """Members have the entry's extension; missing numbers outside the group mean nothing."""
    group = expand_group("GSAA0001.36P", 1, 3, [2, 999, -4])
    assert group.names == ("GSAA0001.36P", "GSAA0003.36P")


@given(
    st.one_of(st.none(), st.integers()),
    st.one_of(st.none(), st.integers()),
    st.lists(st.integers(), max_size=5),
)
def test_a_group_never_grows_beyond_the_numbers_there_are(first, last, missing):
    """A list bomb yields the entry alone; the entry itself is always among the members."""
    group = expand_group("G0010008.JPG", first, last, missing)
    assert "G0010008.JPG" in group.names
    assert len(group.names) <= 10_000
    assert len(set(group.names)) == len(group.names)
    if first is None or last is None or not 0 <= first <= last <= 9999:
        assert group.names == ("G0010008.JPG",)
        assert group.warning


def test_an_entry_without_digits_is_taken_alone():
    """What has no number cannot be counted up."""
    assert expand_group("BURST.JPG", 1, 3).names == ("BURST.JPG",)


def test_members_of_a_group_without_an_extension_have_none():
    """No name ends with a dot: such a one could not be made on every system."""
    assert expand_group("1000", 1000, 1002).names == ("1000", "1001", "1002")


def test_chapters_come_in_the_order_of_recording():
    """The files of one clip are in one set, by chapter, and clips go by number."""
    sets = gather("GX010164.MP4", "GX010165.MP4", "GX020164.MP4", "GX100164.MP4")
    assert [media.clip for media in sets] == ["GX0164", "GX0165"]
    assert names_of(sets[0].files) == ["GX010164.MP4", "GX020164.MP4", "GX100164.MP4"]


@pytest.mark.parametrize(
    "names",
    [
        ("GX010164.MP4", "GX020164.MP4", "GX010165.MP4"),
        ("GOPR0078.MP4", "GP010078.MP4", "GOPR0079.MP4", "NEW.XYZ"),
    ],
)
def test_play_order_goes_by_number_then_chapter(names):
    """Sorted by name, both generations would play chapters after the next clip."""
    files = [Listed(name) for name in names]
    assert sorted(files, key=play_order) == files
    assert sorted(names) != list(names)


def test_legacy_chapters_join_their_first():
    """GOPRnnnn and GPccnnnn are one clip; the photo of the same number is another set."""
    sets = gather("GP020078.MP4", "GOPR0078.MP4", "GP010078.MP4", "GOPR0078.JPG")
    assert names_of(sets[1].files) == ["GOPR0078.MP4", "GP010078.MP4", "GP020078.MP4"]
    assert sets[1].warnings == ()
    assert sets[0].kind is Kind.PHOTO


def test_photos_with_a_chapter_like_name_stand_alone():
    """HERO13's GP010049.JPG and GP020049.JPG are two photos."""
    assert len(gather("GP010049.JPG", "GP020049.JPG")) == 2


def test_companions_join_their_recording():
    """Proxies join by chapter and number, the rest by stem."""
    sets = gather(
        "GX010078.MP4", "GX020078.MP4", "GL010078.LRV", "GL020078.LRV", "GX010078.THM",
        "GX020078.WAV", "GOPR0001.JPG", "GOPR0001.GPR",
    )  # fmt: skip
    assert [media.clip for media in sets] == ["GOPR0001", "GX0078"]
    assert names_of(sets[0].companions) == ["GOPR0001.GPR"]
    assert len(sets[1].companions) == 4


def test_a_companion_without_its_recording_is_a_set_of_its_own():
    """A proxy whose video was deleted is neither lost nor given to another clip."""
    sets = gather("GL010079.LRV", "GX010078.MP4", "GL010079.THM")
    assert sorted(names_of(file for media in sets for file in media.files)) == [
        "GL010079.LRV",
        "GL010079.THM",
        "GX010078.MP4",
    ]


def test_the_same_number_in_two_folders_is_two_clips():
    """Numbers start again in the next folder."""
    sets = gather_sets([Listed("GX010001.MP4", "100GOPRO"), Listed("GX020001.MP4", "101GOPRO")])
    assert len(sets) == 2


def test_a_missing_first_chapter_is_said():
    """An orphaned chapter is kept, with a warning."""
    (media,) = gather("GX020163.MP4", "GX040163.MP4")
    assert "chapters 1, 3" in media.warnings[0]


def test_the_lists_group_wins_over_the_name():
    """Two groups can share their number: the list's entry tells them apart."""
    sets = gather_sets(
        [
            Listed("G0010001.JPG", group="G0010001.JPG"),
            Listed("G0010002.JPG", group="G0010001.JPG"),
            Listed("G0010005.JPG", group="G0010005.JPG"),
        ]
    )
    assert [len(media.files) for media in sets] == [2, 1]


def test_frames_without_a_list_group_by_name():
    """The HTML listing shows frames alone; their names gather them."""
    sets = gather("G0011760.JPG", "G0011761.JPG", "G0021762.JPG", "G0011760.GPR")
    assert [(media.clip, len(media.files)) for media in sets] == [("G001", 2), ("G002", 1)]
    assert sets[0].naming is Naming.GROUP
    assert names_of(sets[0].companions) == ["G0011760.GPR"]


_NAMES = st.one_of(
    st.from_regex(r"G[XHLPS][0-2][0-9]000[1-3]\.(MP4|LRV|THM|JPG|GPR|WAV|360)", fullmatch=True),
    st.from_regex(r"(GOPR|G001|GPAA)000[1-3]\.(MP4|LRV|THM|JPG|GPR)", fullmatch=True),
    st.text(max_size=8),
)


@given(st.lists(_NAMES, unique=True, max_size=25), st.randoms(use_true_random=False))
def test_gathering_loses_nothing_and_does_not_depend_on_order(names, random):
    """Each file is in exactly one set, whatever the order of the list."""
    files = [Listed(name) for name in names]
    sets = gather_sets(files)
    assert sorted(
        name for media in sets for name in names_of(media.files + media.companions)
    ) == sorted(names)
    shuffled = random.sample(files, len(files))
    assert gather_sets(shuffled) == sets
    for media in sets:
        assert list(media.files) == sorted(media.files, key=play_order)
