"""File names of every camera generation, and names that no camera writes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.gopro.names import (
    Kind,
    Naming,
    companion_name,
    escaped,
    file_name_fault,
    kind_of,
    parse_name,
    proxy_names,
)


@pytest.mark.parametrize(
    ("name", "naming", "clip", "number", "chapter"),
    [
        ("GOPR0078.MP4", Naming.CLIP, "GOPR0078", 78, 1),
        ("GP010078.MP4", Naming.CLIP, "GOPR0078", 78, 2),
        ("GP030078.LRV", Naming.CLIP, "GOPR0078", 78, 4),
        ("GPBK0012.MP4", Naming.CLIP, "GPBK0012", 12, 1),
        ("GPFR0012.JPG", Naming.SINGLE, "GPFR0012", 12, None),
        ("GOPR0001.JPG", Naming.SINGLE, "GOPR0001", 1, None),
        ("GP010049.JPG", Naming.SINGLE, "GP010049", 49, None),
        ("GS__0049.JPG", Naming.SINGLE, "GS__0049", 49, None),
        ("GP__0049.GPR", Naming.SINGLE, "GP__0049", 49, None),
        ("GS010050.36P", Naming.SINGLE, "GS010050", 50, None),
        ("G0011760.JPG", Naming.GROUP, "G001", 1760, None),
        ("GPAA0007.JPG", Naming.GROUP, "GPAA", 7, None),
        ("GSAB0007.36P", Naming.GROUP, "GSAB", 7, None),
        ("GX010078.MP4", Naming.CLIP, "GX0078", 78, 1),
        ("GH120078.MP4", Naming.CLIP, "GH0078", 78, 12),
        ("GS010014.360", Naming.CLIP, "GS0014", 14, 1),
        ("GL010078.LRV", Naming.CLIP, "GL0078", 78, 1),
        ("GHAA0078.MP4", Naming.SINGLE, "GHAA0078", 78, None),
        ("IMG_1234.HEIC", Naming.UNKNOWN, "IMG_1234", None, None),
        ("GX010078", Naming.UNKNOWN, "GX010078", None, None),
    ],
)
def test_reads_each_form_of_name(name, naming, clip, number, chapter):
    """Every documented form gives its clip, number and chapter; others stand alone."""
    media = parse_name(name)
    assert (media.naming, media.clip, media.number, media.chapter) == (
        naming,
        clip,
        number,
        chapter,
    )


def test_a_users_prefix_stays_apart_from_the_cameras_name():
    """What the user put before the name is no part of the pattern, but of the clip's name."""
    media = parse_name("20250901_101500-CAM2-GX010001.MP4")
    assert media.prefix == "20250901_101500-CAM2-"
    assert media.clip == "20250901_101500-CAM2-GX0001"
    assert media.chapter == 1
    assert parse_name("CAMGX010001.MP4").naming is Naming.UNKNOWN


@pytest.mark.parametrize("name", ["gx010078.mp4", "Gx010078.Mp4"])
def test_case_does_not_matter(name):
    """A name in lower case is read the same."""
    assert parse_name(name).chapter == 1
    assert parse_name(name).kind is Kind.VIDEO


def test_the_extension_alone_decides_the_kind():
    """A low quality clip named GL is a video; an unknown extension is `other`, never lost."""
    assert kind_of("GL010001.MP4") is Kind.VIDEO
    assert kind_of("GL010001.LRV") is Kind.PROXY
    assert kind_of("GX010001.XYZ") is Kind.OTHER
    assert kind_of("README") is Kind.OTHER


def test_the_proxy_is_named_by_the_key_of_the_list():
    """`glrv` means GLccnnnn, `ls` the same stem; the other form is tried second."""
    assert proxy_names("GX020078.MP4", same_stem=False) == ("GL020078.LRV", "GX020078.LRV")
    assert proxy_names("GS010014.360", same_stem=True) == ("GS010014.LRV", "GL010014.LRV")
    assert proxy_names("CAM-GX010001.MP4", same_stem=False)[0] == "CAM-GL010001.LRV"
    assert proxy_names("MOVIE.MP4", same_stem=False) == ("MOVIE.LRV",)


def test_a_companion_keeps_the_stem():
    """RAW, thumbnail and sound have the stem of their file."""
    assert companion_name("GOPR0001.JPG", "GPR") == "GOPR0001.GPR"


def test_every_name_of_the_real_lists_is_known_and_safe(shared_fixtures):
    """No real list has a name that would be refused or end as `other`."""
    for path in (shared_fixtures / "gopro" / "list").glob("*.json"):
        for folder in json.loads(path.read_text(encoding="utf-8"))["media"]:
            assert file_name_fault(folder["d"]) is None
            for item in folder["fs"]:
                assert file_name_fault(item["n"]) is None
                assert kind_of(item["n"]) in {Kind.VIDEO, Kind.PHOTO}
                assert parse_name(item["n"]).naming is not Naming.UNKNOWN, (path.name, item["n"])


@pytest.mark.parametrize(
    "name",
    [
        "../x.MP4", "/etc/passwd", "a/b.MP4", "C:x.MP4", "a\\b.MP4", "", ".", "..", ".hidden",
        "-y.MP4", "a\x00.MP4", "a\n.MP4", "a\x1b[2J.MP4", "%2e%2e", "a%2Fb.JPG", "x" * 201, "GX01.",
        "GX01.MP4 ", "CON", "con.MP4", "nul.tar.gz", "LPT1.JPG", "con .MP4", "COM\u00b9.JPG",
        "ä" * 101, " a.MP4", "a.MP4\n", "a\u202egpj.MP4", "a\u00a0b.MP4", "a\u200bb.MP4",
        "gr\ufffd.JPG", "\ud800.JPG", "a<b>.JPG", "a*.JPG", "a?.JPG", 'a"b.JPG', "a|b.JPG",
        None, 7, ["a"], True,
    ],
)  # fmt: skip
def test_refuses_a_name_that_could_do_harm(name):
    """Paths, options, hidden files, devices, what cannot be seen or stored everywhere."""
    assert file_name_fault(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "GX010001.MP4", "x" * 200, "CONSOLE.MP4", "COM10.JPG", "a.b-c_d", "my photo äö.JPG",
        "a&b.JPG", "100 % sure.JPG", "写真.JPG", "(1) it's $HOME; `x` #1 + ~[2].JPG", "100GOPRO",
    ],
)  # fmt: skip
def test_takes_a_harmless_name(name):
    """Ordinary names pass; so do those that people give: spaces, umlauts, any script, signs."""
    assert file_name_fault(name) is None


@given(st.text(max_size=130))
def test_any_text_is_read_without_an_error(text):
    """Names are hostile until checked: reading one never fails, and keeps it as it was."""
    media = parse_name(text)
    assert media.name == text
    assert text.startswith(media.prefix)


@given(st.text(max_size=130))
def test_an_accepted_name_is_one_plain_path_part(text):
    """What the check lets through has no separator, no control character, and is visible."""
    if file_name_fault(text) is None:
        assert text.isprintable()
        assert not set(text) & set('/\\:*?"<>|')
        assert text[0] not in ".- "
        assert text[-1] not in ". "


@given(st.one_of(st.text(), st.binary(), st.lists(st.text())))
def test_an_escaped_value_cannot_touch_the_terminal(value):
    """What is shown of a refused name is short printable ASCII."""
    assert escaped(value).isprintable()
    assert escaped(value).isascii()
    assert len(escaped(value)) <= 120
