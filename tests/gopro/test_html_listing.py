"""Folder pages of both server families, and pages that lead astray."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labkit.errors import LabkitError
from labkit.gopro.html_listing import NotAListingError, parse_listing, parse_size
from labkit.gopro.names import file_name_fault

FOLDER = "http://127.0.0.1:8080/videos/DCIM/100GOPRO/"


def civetweb(*rows, url=FOLDER):
    """Parse a page of the newer server with `rows` of (href, date, size)."""
    body = "".join(
        f'<tr><td><a href="{href}">text</a></td>'
        f"<td>&nbsp;{date}</td><td>&nbsp;&nbsp;{size}</td></tr>\n"
        for href, date, size in rows
    )
    page = f"<html><head><title>Index of /videos/DCIM/</title></head><pre><table>{body}</table>"
    return parse_listing(page.encode(), url)


@pytest.mark.parametrize(
    ("page", "url", "folders", "files"),
    [
        ("hero3_cherokee_dcim.html", "http://10.5.5.9:8080/DCIM/", 1, 0),
        ("hero3_cherokee_folder.html", "http://10.5.5.9:8080/DCIM/107GOPRO/", 0, 3),
        ("hero3_ambarella_main.htm", "http://10.5.5.9:8080/", 5, 0),
        ("hero3_ambarella_dcim.htm", "http://10.5.5.9:8080/DCIM/", 0, 0),
        ("generated_civetweb_v1.12_DCIM.html", "http://127.0.0.1/videos/DCIM/", 2, 0),
        ("generated_civetweb_v1.12_DCIM100GOPRO.html", FOLDER, 0, 9),
        ("generated_civetweb_v1.12_DCIM101GOPRO.html", FOLDER, 0, 0),
    ],
)
def test_every_real_page_has_its_rows(shared_fixtures, page, url, folders, files):
    """Each page gives exactly its folders and files, and nothing is refused."""
    listing = parse_listing((shared_fixtures / "gopro" / "html" / page).read_bytes(), url)
    assert sum(row.is_folder for row in listing.rows) == folders
    assert sum(not row.is_folder for row in listing.rows) == files
    assert listing.refused == ()


def test_a_cherokee_row_has_name_size_and_time(shared_fixtures):
    """The size is split over two spans; the date is the wall clock."""
    page = (shared_fixtures / "gopro" / "html" / "hero3_cherokee_folder.html").read_bytes()
    row = parse_listing(page, "http://10.5.5.9:8080/DCIM/107GOPRO/").rows[0]
    assert row.name == "G0011760.JPG"
    assert row.size is not None
    assert row.size.holds(190 * 1024)
    assert row.modified == datetime.fromisoformat("2013-05-21 23:30")


def test_a_civetweb_page_has_sizes_and_times(shared_fixtures):
    """Rounded sizes hold the true ones of the served files; 0 is exactly 0."""
    page = (
        shared_fixtures / "gopro" / "html" / "generated_civetweb_v1.12_DCIM100GOPRO.html"
    ).read_bytes()
    rows = {row.name: row for row in parse_listing(page, FOLDER).rows}
    assert rows["GX010099.MP4"].size.holds(11_892_342_784)
    assert rows["GX010014.MP4"].size.holds(2_562_074)
    assert rows["GX010050.MP4"].size.exact == 0
    assert rows["GX010099.MP4"].modified == datetime.fromisoformat("2026-09-04 17:00")


def test_absolute_hrefs_of_older_civetweb_are_the_same_rows():
    """Version 1.11 writes whole paths, also for the parent."""
    path = "/videos/DCIM/100GOPRO/"
    listing = civetweb(
        (f"{path}..", "-", "-"), (f"{path}GX010001.MP4", "18-Feb-2023 17:29", "1.0M")
    )
    assert [row.name for row in listing.rows] == ["GX010001.MP4"]
    assert listing.refused == ()


def test_the_page_may_be_asked_for_without_its_slash():
    """A relative href is resolved below the folder, not beside it."""
    listing = civetweb(("GX010001.MP4", "-", "1.0M"), url=FOLDER.rstrip("/"))
    assert listing.rows[0].name == "GX010001.MP4"


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("349", [349], [348, 350]),
        ("0", [0], [1]),
        ("1.2M", [int(1.2 * 1024**2)], [int(1.26 * 1024**2), int(1.14 * 1024**2)]),
        (" 26K", [26 * 1024, 26 * 1024 + 511], [27 * 1024, 25 * 1024]),
        ("190K", [190 * 1024], [191 * 1024]),
        ("17.2k", [17_613], [17_700]),
        ("11.1G", [11_892_342_784], [12_000_000_000]),
        ("3.7G", [4_006_413_091], [4_100_000_000]),
    ],
)
def test_a_printed_size_is_a_range(text, inside, outside):
    """The range holds what would be printed so, and not its neighbours."""
    size = parse_size(text)
    assert size is not None
    assert all(size.holds(value) for value in inside)
    assert not any(size.holds(value) for value in outside)


@given(st.integers(min_value=0, max_value=1 << 50))
def test_the_range_holds_every_size_that_civetweb_prints(size):
    """Whatever the file's size, the page's text leads back to it."""
    if size < 1024:
        text = str(size)
    elif size < 0x100000:
        text = f"{size / 1024:.1f}k"
    elif size < 0x40000000:
        text = f"{size / 1048576:.1f}M"
    else:
        text = f"{size / 1073741824:.1f}G"
    assert parse_size(text).holds(size)


@given(st.integers(min_value=0, max_value=1 << 60))
@example(1024 * 1024 + 52736)  # 51.5 K over a megabyte: cut to 51, printed as 1.0M
def test_the_range_holds_every_size_that_cherokee_prints(size):
    """The same for Cherokee, which cuts remainders on the way and pads to three characters."""
    value, remainder, unit = size, 0, ""
    units = iter("KMGTPE")
    while value >= 973:
        value, remainder = divmod(value, 1024)
        unit = next(units)
    if not unit:
        text = str(value)
    elif value < 9 or (value == 9 and remainder < 973):
        tenths = (remainder * 5 + 256) // 512
        text = f"{value + tenths // 10}.{tenths % 10}{unit}"
    else:
        text = f"{value + (remainder >= 512):3d}{unit}"
    assert parse_size(text).holds(size)


@pytest.mark.parametrize(
    "text", ["", "-", "[DIRECTORY]", "1.2", "1.23M", "K", "9" * 5000, "\u0661K"]
)
def test_what_is_no_size_is_none(text):
    """Markers and malformed sizes give no range."""
    assert parse_size(text) is None


@pytest.mark.parametrize(
    "href",
    [
        "../../etc/passwd", "%2e%2e%2fpasswd", "%2e%2e/", "http://127.0.0.2:8080/x.MP4",
        "//elsewhere/x.MP4", "http://127.0.0.1:8081/videos/DCIM/100GOPRO/x.MP4", "a/b.MP4",
        "/videos/DCIM/101GOPRO/GX010001.MP4", "file:///etc/passwd", "javascript:alert(1)",
        "x.MP4#f", "a%00.MP4", "a%2fb.MP4", "a%5cb.MP4", "-y.MP4", "", "/", "./", "http://[::1",
        "http://127.0.0.1:99999999/x", "a\tb.MP4", "%252e%252e", "http://u@127.0.0.1:8080/x.MP4",
    ],
)  # fmt: skip
def test_a_row_that_leads_astray_is_refused_and_named(href):
    """Another host, another folder, an unsafe name: no row, one warning, the rest is kept."""
    listing = civetweb((href, "-", "1.0M"), ("GX010001.MP4", "-", "1.0M"))
    assert [row.name for row in listing.rows] == ["GX010001.MP4"]
    assert len(listing.refused) == 1
    assert listing.refused[0].isprintable()


def test_sort_links_parent_and_symbolic_links_are_left_out_silently():
    """They are part of every page and no files."""
    listing = civetweb(
        ("?nd", "", ""), ("..", "-", "-"), ("x.MP4?a=b", "-", "1"), ("y", "-", "link")
    )
    assert listing.rows == ()
    assert listing.refused == ()


def test_a_date_that_is_none_is_unknown():
    """An impossible date is no reason to lose the file."""
    row = civetweb(("GX010001.MP4", "31-Feb-2023 17:29", "1.0M")).rows[0]
    assert row.modified is None


@pytest.mark.parametrize(
    "page",
    [
        b"", b"<html><title>Login to Hotel WiFi</title><a href='/login'>log in</a></html>",
        b'{"media": []}', b"\xff\xfe\x00",
        b"<table><tr><td><a href='x.MP4'>x</a></td></tr></table>",
    ],
)  # fmt: skip
def test_another_page_is_no_listing(page):
    """A captive portal's page is refused, never taken for an empty folder."""
    with pytest.raises(NotAListingError):
        parse_listing(page, FOLDER)


_SNIPPETS = st.lists(
    st.sampled_from(
        ["<tr>", "<td>", "</td>", "<a href='", "x.MP4", "'>", "<title>Index of /", "<![if", "&#x0;",
         "..", "/", "%", "http://", "[", "<!--", "&nbsp;", "1.2M", "<img alt='[DIR]'", ">", "<?",
         "</"]
    )
).map("".join)  # fmt: skip


@given(st.one_of(st.binary(), _SNIPPETS.map(str.encode)))
@example(b"<![unknown[")
def test_arbitrary_bytes_give_safe_rows_or_a_clear_error(page):
    """Nothing but a LabkitError leaves the parser, and no unsafe name either."""
    try:
        listing = parse_listing(b"<title>Index of /</title>" + page, FOLDER)
    except LabkitError:
        return
    for row in listing.rows:
        assert file_name_fault(row.name) is None
