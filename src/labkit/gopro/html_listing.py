"""Read the folder pages of a camera's web server, in both markups that cameras use.

HERO3 to HERO7 and MAX run Cherokee, newer cameras civetweb; pages saved by a browser are read
as well. The page shows every file, but rounds sizes and knows times to the minute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from labkit.errors import UnreachableError
from labkit.gopro.names import escaped, file_name_fault

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = [
    "Listing",
    "ListingRow",
    "NotAListingError",
    "SizeRange",
    "parse_listing",
    "parse_size",
]


class NotAListingError(UnreachableError):
    """What answered sent a page that is no camera's folder page."""

    code = "not-a-listing"


class SizeRange(NamedTuple):
    """The sizes in bytes that a rounded size stands for: `low` up to but without `high`."""

    low: int
    high: int

    @property
    def exact(self) -> int | None:
        """The size, where the page did not round it."""
        return self.low if self.high == self.low + 1 else None

    def holds(self, size: int) -> bool:
        """Tell whether a file of `size` bytes would be shown like this."""
        return self.low <= size < self.high


@dataclass(frozen=True)
class ListingRow:
    """A file or folder of a page.

    Attributes:
        name: Its name, decoded and checked to be safe.
        is_folder: Whether it is a folder.
        size: The range of sizes of a file; None for a folder and where the page has none.
        modified: The camera's wall clock to the minute; None where the page has none.
    """

    name: str
    is_folder: bool
    size: SizeRange | None = None
    modified: datetime | None = None


@dataclass(frozen=True)
class Listing:
    """A folder page.

    Attributes:
        rows: Its files and folders, in the page's order.
        refused: A line for each row that must not be followed, and why.
    """

    rows: tuple[ListingRow, ...]
    refused: tuple[str, ...] = ()


_SIZE = re.compile(r"(\d{1,15})(?:\.(\d))?([KMGTPE]?)", re.ASCII | re.IGNORECASE)
_UNITS = " KMGTPE"


def parse_size(text: str) -> SizeRange | None:
    """Read a size as both servers print it; None where the text is no size.

    Both count in units of 1024 and round to one decimal or to a whole number, so `17.2k` stands
    for a range. Cherokee drops a remainder below 1/1024 of the unit before it rounds (its
    `cherokee_buffer_add_fsize`), which widens the range at the upper end.
    """
    match = _SIZE.fullmatch("".join(text.split()))
    if match is None:
        return None
    whole, decimal, letter = match.groups()
    if not letter:
        return None if decimal else SizeRange(int(whole), int(whole) + 1)
    unit = 1024 ** _UNITS.index(letter.upper())
    parts = 10 if decimal else 1
    halves = 2 * (int(whole) * parts + int(decimal or 0))
    low = max(0, _divide_up((halves - 1) * unit, 2 * parts))
    high = _divide_up((halves + 1) * unit, 2 * parts) + unit // 1024
    return SizeRange(low, high)


def _divide_up(value: int, divisor: int) -> int:
    return -(-value // divisor)


def parse_listing(page: bytes, url: str) -> Listing:
    """Read the folder page `page` that was fetched from `url`.

    Rows that lead anywhere but one step below `url`, or whose name is not safe, are refused with
    a warning; sort links, the link to the parent and symbolic links are left out silently.

    Raises:
        NotAListingError: The page is no folder page of a camera's server.
    """
    parser = _PageParser()
    try:
        parser.feed(page.decode("utf-8-sig", errors="replace"))
        parser.close()
    except AssertionError as error:  # how html.parser gives up on some broken declarations
        raise _not_a_listing(url) from error
    if not parser.is_listing:
        raise _not_a_listing(url)
    base = urlsplit(url if url.endswith("/") else f"{url}/")
    rows: list[ListingRow] = []
    refused: list[str] = []
    for raw in parser.rows:
        if _is_navigation(raw, base):
            continue
        result = _read_row(raw, base)
        if isinstance(result, ListingRow):
            rows.append(result)
        else:
            refused.append(f"{escaped(raw.href)} in the page of {base.path}: {result}")
    return Listing(tuple(rows), tuple(refused))


def _not_a_listing(url: str) -> NotAListingError:
    return NotAListingError(
        f"{url} answers with a page that is no camera's folder page",
        hint="check that this computer is still on the camera's wifi, not behind a login page",
    )


class _RawRow(NamedTuple):
    """A table row with a link, as it stands in the page."""

    href: str
    icon: str
    cells: tuple[str, ...]  # the texts after the link, without white space


class _PageParser(HTMLParser):
    """Collects the table rows that have a link, and the signs of a folder page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[_RawRow] = []
        self.is_listing = False
        self._in_title = False
        self._href: str | None = None
        self._icon = ""
        self._cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in {"title", "h1"}:
            self._in_title = True
        elif tag == "tr":
            self._end_row()
        elif tag == "td":
            self._cells.append("")
        elif tag == "img":
            self._icon = values.get("alt", "")
        elif tag == "a" and "href" in values:
            self._start_link(values["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag in {"title", "h1"}:
            self._in_title = False
        elif tag in {"tr", "table"}:
            self._end_row()

    def handle_data(self, data: str) -> None:
        if self._in_title and data.lstrip().startswith("Index of /"):
            self.is_listing = True
        if self._cells:
            self._cells[-1] += data

    def close(self) -> None:
        super().close()
        self._end_row()

    def _start_link(self, href: str) -> None:
        if _SORT_LINK.search(href):
            self.is_listing = True
        elif self._cells and self._href is None:
            self._href = href
            self._cells = [""]  # what stands before the link is decoration

    def _end_row(self) -> None:
        if self._href is not None:
            cells = tuple("".join(cell.split()) for cell in self._cells[1:])
            self.rows.append(_RawRow(self._href, self._icon, cells))
        self._href, self._icon, self._cells = None, "", []


# Cherokee: ?order=N, d, s; civetweb: name, date, size, ascending or descending.
_SORT_LINK = re.compile(r"\?(?:order=[NDSnds]|[nds][ad])$")


def _is_navigation(raw: _RawRow, base: SplitResult) -> bool:
    is_parent = raw.href in {"..", "../", f"{base.path}.."}
    return "?" in raw.href or is_parent or "link" in raw.cells


def _read_row(raw: _RawRow, base: SplitResult) -> ListingRow | str:
    """The row, or why it is refused."""
    segment = _segment_below(raw.href, base)
    if segment is None:
        return "it leads out of the folder"
    is_folder = segment.endswith("/") or raw.icon == "[DIR]" or "[DIRECTORY]" in raw.cells
    name = unquote(segment.removesuffix("/"))
    fault = file_name_fault(name)
    if fault is not None:
        return fault
    sizes = [size for cell in raw.cells if (size := parse_size(cell)) is not None]
    dates = [date for cell in raw.cells if (date := _parse_date(cell)) is not None]
    return ListingRow(
        name,
        is_folder,
        size=sizes[0] if sizes and not is_folder else None,
        modified=dates[0] if dates else None,
    )


def _segment_below(href: str, base: SplitResult) -> str | None:
    """The one path segment, still encoded, that `href` adds to `base`; None where it does not."""
    if not href.isprintable():  # urlsplit would drop control characters: a repaired name
        return None
    try:
        target = urlsplit(urljoin(base.geturl(), href))
        same_server = _server(target) == _server(base)
    except ValueError:
        return None
    parent, slash, name = target.path.removesuffix("/").rpartition("/")
    # Servers differ in what they encode, and in the case of its digits.
    is_below = unquote(f"{parent}{slash}") == unquote(base.path)
    if not same_server or target.fragment or not is_below or not name:
        return None
    return f"{name}/" if target.path.endswith("/") else name


def _server(url: SplitResult) -> tuple[str, str | None, int | None, str | None]:
    return url.scheme, url.hostname, url.port or {"http": 80}.get(url.scheme), url.username


# As in `21-May-2013 23:30`, here without its space; the months are English whatever the locale.
_DATE = re.compile(r"(\d\d)-([A-Z][a-z]{2})-(\d{4})(\d\d):(\d\d)", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _parse_date(cell: str) -> datetime | None:
    match = _DATE.fullmatch(cell)
    if match is None or match[2] not in _MONTHS:
        return None
    month = _MONTHS.index(match[2]) + 1
    try:
        return datetime(int(match[3]), month, int(match[1]), int(match[4]), int(match[5]))  # noqa: DTZ001 - the camera's wall clock has no zone
    except ValueError:
        return None
