"""The folder pages that every camera's web server shows: the last resort, and the companions.

Sizes are rounded and times end at the minute; a file's exact size comes with its transfer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING
from urllib.parse import quote

from labkit.gopro.dialects.protocol import Probe, seen
from labkit.gopro.errors import NotSupportedError
from labkit.gopro.html_listing import NotAListingError, parse_listing
from labkit.gopro.link import NoAnswerError
from labkit.gopro.listing import FolderPage, ListedFile, MediaListing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from labkit.gopro.clock import CameraTime
    from labkit.gopro.html_listing import Listing, ListingRow
    from labkit.gopro.link import Link
    from labkit.gopro.state import CameraInfo, CameraState

__all__ = ["Html", "read_pages"]

_ROOTS = ("/videos/DCIM", "/DCIM")
_SECOND_CARD = "/videos2/DCIM"
_BUSY = frozenset({409, 503})
_ABSENT = frozenset({403, 404, 410})


class Html:
    """Any camera whose web server lists folders."""

    name = "html"

    def probe(self, link: Link) -> Probe:
        """Ask for the page of `DCIM`, which HERO3 has in two places."""
        saw: list[str] = []
        for root in _ROOTS:
            page, probe = _page(link, f"{root}/")
            if page is not None:
                return Probe(_read_card(link, root, page))
            if probe.busy:
                return probe
            saw.append(probe.saw)
        return Probe(saw=saw[0])

    def read_info(self, link: Link) -> CameraInfo | None:  # noqa: ARG002 - the pages do not tell
        """Nothing: the pages do not tell."""
        return None

    def read_state(self, link: Link) -> CameraState | None:  # noqa: ARG002 - the pages do not tell
        """Nothing: the pages do not tell."""
        return None

    def read_clock(self, link: Link) -> CameraTime:  # noqa: ARG002 - as above
        """Refuse: the pages do not tell the time."""
        raise NotSupportedError("this camera does not tell its time over the network")

    def set_clock(self, link: Link, now: datetime) -> None:  # noqa: ARG002 - as above
        """Refuse: there is no command for it."""
        raise NotSupportedError("this camera's clock cannot be set over the network")

    def read_duration(self, link: Link, file: ListedFile) -> float | None:  # noqa: ARG002 - as above
        """Nothing: the pages do not tell."""
        return None

    def set_turbo(self, link: Link, *, on: bool) -> None:  # noqa: ARG002 - as above
        """Refuse: there is no command for it."""
        raise NotSupportedError("this camera has no fast transfer mode")


def read_pages(link: Link, folders: Collection[str]) -> Iterator[FolderPage]:
    """Read the pages of `folders` one by one, each a path such as `/videos/DCIM/100GOPRO`.

    Some firmwares serve files but no pages: such a page is empty, and settled.
    """
    return (_read_page(link, folder) for folder in sorted(folders))


def _read_page(link: Link, folder: str) -> FolderPage:
    root, _, name = folder.rpartition("/")
    page, probe = _page(link, f"{folder}/")
    if page is None:
        return FolderPage(folder, fault=None if probe.is_absent else probe.saw or "it is busy")
    rows = (row for row in page.rows if not row.is_folder)
    return FolderPage(folder, tuple(_listed(root, name, row) for row in rows))


def _read_card(link: Link, root: str, page: Listing) -> MediaListing:
    reader = _PageReader(link)
    reader.read_root(root, page)
    if any(row.name.upper().endswith("GBACK") for row in page.rows):
        second, _ = _page(link, f"{_SECOND_CARD}/")
        if second is not None:
            reader.read_root(_SECOND_CARD, second)
    return MediaListing(tuple(reader.files), (), tuple(reader.refused), tuple(reader.warnings))


@dataclass
class _PageReader:
    link: Link
    files: list[ListedFile] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def read_root(self, root: str, page: Listing) -> None:
        self.refused.extend(page.refused)
        for row in page.rows:
            if row.is_folder:
                self.read_folder(root, row.name)

    def read_folder(self, root: str, folder: str) -> None:
        page, probe = _page(self.link, f"{root}/{folder}/")
        if page is None:
            self.warnings.append(f"the page of folder {folder} cannot be read ({probe.saw})")
            return
        self.refused.extend(page.refused)
        self.files.extend(_listed(root, folder, row) for row in page.rows if not row.is_folder)


def _listed(root: str, folder: str, row: ListingRow) -> ListedFile:
    created = row.modified
    return ListedFile(
        folder=folder,
        name=row.name,
        path=f"{root}/{folder}/{row.name}",
        size=None if row.size is None else row.size.exact,
        size_range=row.size,
        # The wall clock written as UTC, as in the JSON lists.
        created=None if created is None else int(created.replace(tzinfo=UTC).timestamp()),
        taken_at=created,
    )


def _page(link: Link, path: str) -> tuple[Listing | None, Probe]:
    try:
        answer = link.get_list(quote(path))
    except NoAnswerError as error:
        return None, Probe(saw=error.message)
    if answer.status in _BUSY:
        return None, Probe(busy=True, saw=seen(answer))
    if not answer.ok:
        return None, Probe(saw=seen(answer), is_absent=answer.status in _ABSENT)
    try:
        return parse_listing(answer.body, answer.url), Probe()
    except NotAListingError:
        return None, Probe(saw=seen(answer))
