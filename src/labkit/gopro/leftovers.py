"""What a camera's JSON list leaves out, remembered from its folder pages.

A page shows sound files and thumbnails that no list names. It need not be asked again while the
list of its folder stays the same: the journal keeps what it showed, so that a file which was
missed for any reason is known to every later run, without a request.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.gopro.html_listing import SizeRange
from labkit.gopro.journal import RecordedPage
from labkit.gopro.listing import FolderPage, ListedFile, companions_on, folders_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from labkit.gopro.camera import Camera
    from labkit.gopro.listing import MediaListing

__all__ = ["digests_of", "pages_to_record", "read_leftovers", "recalled_pages"]


def digests_of(listing: MediaListing, firmware: str | None) -> dict[str, str]:
    """Digest what the list has in each folder: names, sizes, times, groups.

    The firmware counts as well: a new one may show pages that the old one did not have.
    """
    rows: dict[str, list[str]] = defaultdict(list)
    for file in listing.files:
        folder = file.path.rpartition("/")[0]
        rows[folder].append(f"{file.name}|{file.size}|{file.created}|{file.group}")
    return {
        folder: hashlib.sha256("\n".join([firmware or "", *sorted(lines)]).encode()).hexdigest()
        for folder, lines in rows.items()
    }


def recalled_pages(
    listing: MediaListing,
    recorded: Iterable[RecordedPage],
    camera: str,
    digests: Mapping[str, str],
) -> dict[str, FolderPage]:
    """Give the pages that were recorded when the list of their folder was what it is now."""
    folders = folders_of(listing)
    return {
        page.folder: FolderPage(page.folder, tuple(_listed(page.folder, *f) for f in page.files))
        for page in recorded
        if page.camera == camera and page.folder in folders and page.listed == digests[page.folder]
    }


def read_leftovers(
    camera: Camera,
    listing: MediaListing,
    recalled: Mapping[str, FolderPage],
    missed: Collection[tuple[str, str]],
) -> tuple[MediaListing, tuple[FolderPage, ...]]:
    """Ask for the folder pages; one that cannot be read now is the recalled one, or a warning.

    Args:
        camera: Which one.
        listing: What its list has.
        recalled: See `recalled_pages`.
        missed: Folders and names, in capitals, of files that an earlier run did not find.

    Returns:
        The list with the warnings, and the pages with what the list leaves out or was missed: all
        files of all pages would need as much memory as the list.
    """
    listed: dict[str, set[str]] = defaultdict(set)
    for file in listing.files:
        listed[file.folder].add(file.name.upper())
    pages = []
    warnings = []
    for page in camera.pages(listing):
        if page.fault is not None and page.folder in recalled:
            pages.append(recalled[page.folder])
            continue
        if page.fault is not None:
            warnings.append(
                f"the page of folder {page.folder.rpartition('/')[2]} cannot be read "
                f"({page.fault}): what the camera's list leaves out (sound, thumbnails) comes with "
                "a later pull"
            )
        of_use = (
            file
            for file in page.files
            if file.name.upper() not in listed[file.folder]
            or (file.folder, file.name.upper()) in missed
        )
        pages.append(replace(page, files=tuple(of_use)))
    return replace(listing, warnings=(*listing.warnings, *warnings)), tuple(pages)


def pages_to_record(
    listing: MediaListing, pages: Sequence[FolderPage], camera: str, digests: Mapping[str, str]
) -> tuple[RecordedPage, ...]:
    """Turn what was read into what the journal keeps; a page that failed is asked again."""
    found: dict[str, list[ListedFile]] = defaultdict(list)
    for file in companions_on(listing, pages):
        found[file.path.rpartition("/")[0]].append(file)
    return tuple(
        RecordedPage(
            camera,
            page.folder,
            digests[page.folder],
            tuple((file.name, *_range(file)) for file in found[page.folder]),
        )
        for page in pages
        if page.fault is None
    )


def _range(file: ListedFile) -> tuple[int | None, int | None]:
    size_range = file.size_range
    return (None, None) if size_range is None else (size_range.low, size_range.high)


def _listed(folder: str, name: str, low: int | None, high: int | None) -> ListedFile:
    size_range = None if low is None or high is None else SizeRange(low, high)
    return ListedFile(
        folder=folder.rpartition("/")[2],
        name=name,
        path=f"{folder}/{name}",
        size=None if size_range is None else size_range.exact,
        size_range=size_range,
    )
