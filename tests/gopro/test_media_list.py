"""JSON media lists: real ones with their counts, and anything at all."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import InputError
from labkit.gopro.media_list import parse_media_list, read_json
from labkit.gopro.names import file_name_fault

REAL = {
    # file: (files with companions, groups, bytes of what has a size)
    "exfat_chapters_media_list.json": (6, 0, 25_621_912_525),
    "hero12_popro_gpMediaList.json": (13, 0, 64_992_775),
    "hero4_gpMediaList_excerpt.json": (3, 0, 300_310_719),
    "hero5_gpMediaList.json": (3, 0, 203_113_663),
    "hero7_gpMediaList_excerpt.json": (5, 0, 301_266_746),
    "max_media_list_excerpt.json": (7, 0, 144_930_684),
    "ogp_doc_timelapse_missing.json": (387, 1, 0),
    "ogp_py_media_list.json": (78, 2, 259_546_318),
    "ogp_tutorial_excerpt1.json": (5, 0, 26_587_084),
}


@pytest.mark.parametrize("name", REAL)
def test_real_lists(shared_fixtures, name):
    """Every real list is read whole: nothing refused, groups expanded, companions named."""
    text = (shared_fixtures / "gopro/list" / name).read_bytes()
    listing = parse_media_list(read_json(text))
    count, groups, size = REAL[name]

    assert listing.refused == ()
    assert (len(listing.files), len(listing.groups)) == (count, groups)
    assert sum(file.size or 0 for file in listing.files) == size


def test_all_real_lists_are_counted(shared_fixtures):
    """A new fixture needs its expected counts here."""
    assert {path.name for path in (shared_fixtures / "gopro/list").iterdir()} == set(REAL)


def test_a_group_leaves_its_missing_frames_out(shared_fixtures):
    """The specification's example: 8 to 396 without 75 and 139."""
    path = shared_fixtures / "gopro/list/ogp_doc_timelapse_missing.json"
    names = [file.name for file in parse_media_list(read_json(path.read_bytes())).files]

    assert (names[0], names[-1]) == ("G0010008.JPG", "G0010396.JPG")
    assert not {"G0010075.JPG", "G0010139.JPG"} & set(names)


def test_a_raw_photo_brings_its_gpr():
    """`raw` names a companion that no list shows."""
    item = {"n": "GOPR0039.JPG", "cre": "5", "raw": "1", "s": "7"}
    files = parse_media_list({"media": [{"d": "100GOPRO", "fs": [item]}]}).files

    assert [(file.name, file.size) for file in files] == [
        ("GOPR0039.JPG", 7),
        ("GOPR0039.GPR", None),
    ]


def test_a_companion_that_is_listed_by_itself_has_the_listed_size():
    """It is one file, not two."""
    items = [
        {"n": "GX010001.MP4", "s": "9", "glrv": "3"},
        {"n": "GL010001.LRV", "s": "4"},
    ]
    files = parse_media_list({"media": [{"d": "100GOPRO", "fs": items}]}).files

    assert [(file.name, file.size) for file in files] == [("GX010001.MP4", 9), ("GL010001.LRV", 4)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        key: st.one_of(JSON, st.integers(-5, 20_000).map(str), st.just("G0010008.JPG"))
        for key in ("n", "s", "cre", "mod", "glrv", "ls", "raw", "g", "b", "l", "m", "t")
    },
)
LIST = st.fixed_dictionaries(
    {
        "media": st.lists(
            st.fixed_dictionaries(
                {"d": st.just("100GOPRO") | JSON, "fs": st.lists(ITEM | JSON, max_size=5) | JSON}
            )
            | JSON,
            max_size=4,
        )
    }
)


@given(LIST)
def test_any_list_is_read_or_refused_entry_by_entry(document):
    """Whatever stands in it: no crash, no unsafe name, each (folder, name) once."""
    listing = parse_media_list(document)

    assert all(file_name_fault(file.name) is None for file in listing.files)
    assert all(file_name_fault(file.folder) is None for file in listing.files)
    keys = [(file.folder, file.name) for file in listing.files]
    assert len(keys) == len(set(keys))


@given(JSON)
def test_any_document_is_a_list_or_an_input_error(document):
    """Nothing but InputError."""
    try:
        parse_media_list(document)
    except InputError:
        assert not (isinstance(document, dict) and isinstance(document.get("media"), list))


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_an_input_error(data):
    """Nothing but InputError."""
    with contextlib.suppress(InputError):
        read_json(data)


def test_deep_json_is_refused():
    """A document that is nested beyond reason does not exhaust the stack."""
    with pytest.raises(InputError):
        read_json("[" * 100_000)


def test_a_real_list_survives_a_round_trip_through_numbers(shared_fixtures):
    """Numbers as numbers, as MAX sends them, mean the same as numbers as text."""
    path = shared_fixtures / "gopro/list/max_media_list_excerpt.json"
    expected = parse_media_list(json.loads(path.read_text()))
    document = json.loads(path.read_text())
    for item in document["media"][0]["fs"]:
        for key in set(item) - {"n"}:
            item[key] = int(item[key])

    assert parse_media_list(document) == expected
