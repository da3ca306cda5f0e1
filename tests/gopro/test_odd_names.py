"""Names that no camera gives, and people do: a copied card, a prefix of one's own."""

from __future__ import annotations

import pytest

from labkit.errors import ExitCode
from labkit.gopro import PlanOptions, Selection, plan_pull
from labkit.gopro.fake import Card, CardFile
from labkit.gopro.fake.media import make_jpeg, make_mp4
from labkit.gopro.html_listing import parse_listing
from labkit.gopro.listing import ListedFile, MediaListing
from labkit.gopro.names import Kind

NAMES = ["my photo äö.JPG", "a&b 'c' #1 50 %.JPG", "写真.JPG", "Mäuse GX010001.MP4", "notes.txt"]


@pytest.fixture
def odd_card():
    """A card's copy, in a folder with a space."""
    contents = {"JPG": make_jpeg(20_000, seed=1), "MP4": make_mp4(90_000, seed=2), "txt": b"hello"}
    return Card(
        [
            CardFile(folder, name, contents[name.rpartition(".")[2]])
            for folder in ("100GOPRO", "Urlaub 2024.06 für Oma")
            for name in NAMES
        ]
    )


@pytest.mark.parametrize("dialect", ["open-gopro", "legacy", "html"])
@pytest.mark.parametrize("backend", ["labkit", "wget"])
def test_safe_names_are_files_like_any_other(
    camera_with, pull_from, odd_card, assert_whole, dialect, backend, need_tool
):
    """They come whole under their own names, and the second pull has nothing to do or to say."""
    if backend == "wget":
        need_tool("wget")
    fake = camera_with(files=odd_card, dialect=dialect)
    result = pull_from(fake, backend=backend)

    assert result.is_complete
    assert_whole(result, odd_card)
    assert {one.file.name for one in result.downloaded} == set(NAMES)
    again = pull_from(fake)
    assert again.is_complete
    assert len(again.skipped) == 2 * len(NAMES)


@pytest.mark.parametrize("markup", ["civetweb", "cherokee"])
def test_pages_of_both_servers_name_them(camera_with, pull_from, odd_card, assert_whole, markup):
    """However the server encodes its links."""
    fake = camera_with(files=odd_card, dialect="html", markup=markup)

    assert_whole(pull_from(fake), odd_card)


def test_absolute_links_into_a_folder_with_a_space_are_below_it():
    """Civetweb up to 1.11 writes whole paths, with other characters encoded than labkit."""
    page = (
        b"<title>Index of /</title><table><tr><td>"
        b'<a href="/videos/DCIM/f%c3%bcr%20Oma/a%26b.JPG">a</a></td><td>1</td></tr></table>'
    )
    listing = parse_listing(page, "http://127.0.0.1:8080/videos/DCIM/f%C3%BCr%20Oma/")

    assert [row.name for row in listing.rows] == ["a&b.JPG"]
    assert listing.refused == ()


def test_the_kind_is_that_of_the_extension():
    """A photo with an odd name is a photo: found by `--only photo`, proven by its structure."""
    files = tuple(ListedFile("100GOPRO", name, f"/videos/DCIM/100GOPRO/{name}") for name in NAMES)
    options = PlanOptions(Selection(kinds=frozenset({Kind.PHOTO})))

    assert len(plan_pull(MediaListing(files), options).files) == 3


def test_two_spellings_of_one_name_get_two_paths():
    """MacOS takes a composed and a decomposed umlaut for the same."""
    files = tuple(
        ListedFile("100GOPRO", name, f"/videos/DCIM/100GOPRO/{name}", size=1)
        for name in ("\u00e4.JPG", "a\u0308.JPG")
    )
    paths = [one.path for one in plan_pull(MediaListing(files), PlanOptions()).files]

    assert sorted(path.rpartition("/")[2] for path in paths) == ["a\u0308.JPG", "\u00e4-2.JPG"]


def test_a_layout_with_umlauts_spaces_and_a_time(camera_with, run, dest):
    """What people call their folders."""
    layout = "Fotos für Oma/{date:%H%M} {name}"
    code, _, err = run(
        "pull", dest, "--layout", layout, "--host", str(camera_with().address), "--last", "1"
    )

    assert code == ExitCode.OK, err
    assert (dest / "Fotos für Oma/0900 GX010010.MP4").is_file()
