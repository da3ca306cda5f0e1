"""What a camera says that it has: the facts of its list, whatever the dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.gopro.names import Kind, kind_of, split_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from labkit.gopro.html_listing import SizeRange

__all__ = [
    "Companion",
    "FolderPage",
    "ListedFile",
    "ListedGroup",
    "MediaListing",
    "companions_on",
    "folders_of",
    "merge_pages",
]


@dataclass(frozen=True, slots=True)  # a list can have 50,000 of them
class Companion:
    """How a file that no list shows by itself is known.

    Attributes:
        of: The name of the main file.
        alternatives: Other names to try where the camera does not have this one.
    """

    of: str
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)  # a list can have 50,000 of them
class ListedFile:
    """One file on the camera.

    Attributes:
        folder: Its folder, `100GOPRO`.
        name: Its name in that folder.
        path: Its path on the server, beginning with a slash.
        size: Bytes, where the list knows them exactly.
        size_range: The rounded size of a folder page.
        created: The list's own time stamp, part of the file's identity; None where it has none.
        taken_at: The camera's wall clock; None where unknown.
        time_is_shared: The time is that of the whole group.
        group: The list entry that it was expanded from.
        companion: How it is known, for a file that is not listed by itself.
    """

    folder: str
    name: str
    path: str
    size: int | None = None
    size_range: SizeRange | None = None
    created: int | None = None
    taken_at: datetime | None = None
    time_is_shared: bool = False
    group: str | None = None
    companion: Companion | None = None

    @property
    def is_growing(self) -> bool:
        """Whether the list shows no bytes yet: a recording that has just begun or ended."""
        return self.size == 0


@dataclass(frozen=True)
class ListedGroup:
    """A burst or time lapse: one list entry that stands for many files.

    Attributes:
        folder: Its folder.
        name: The entry's name, the first member's.
        names: All members.
        total_bytes: The sum of the members' sizes, where the list says it.
    """

    folder: str
    name: str
    names: tuple[str, ...]
    total_bytes: int | None = None


@dataclass(frozen=True)
class MediaListing:
    """Everything that a camera lists.

    Attributes:
        files: In the list's order, each (folder, name) once.
        groups: The entries that were expanded.
        refused: Entries that must not become files, shown harmlessly, each with its reason.
        warnings: What is odd, but stops nothing.
    """

    files: tuple[ListedFile, ...] = ()
    groups: tuple[ListedGroup, ...] = ()
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class FolderPage:
    """What the camera's page of one folder shows.

    Attributes:
        folder: The folder's path on the server.
        files: Every file of the page; none where the camera serves no such page.
        fault: Why it could not be read this time; None when it could.
    """

    folder: str
    files: tuple[ListedFile, ...] = ()
    fault: str | None = None


def folders_of(listing: MediaListing) -> frozenset[str]:
    """Give the paths on the server of the folders that hold listed files."""
    return frozenset(file.path.rpartition("/")[0] for file in listing.files)


def merge_pages(listing: MediaListing, pages: Iterable[FolderPage]) -> MediaListing:
    """Add to a JSON list the companions that only the folder pages show; the list wins.

    Only companions are taken: a main file that the list does not have may be deleted or hidden.
    """
    added = companions_on(listing, pages)
    return MediaListing((*listing.files, *added), listing.groups, listing.refused, listing.warnings)


def companions_on(listing: MediaListing, pages: Iterable[FolderPage]) -> tuple[ListedFile, ...]:
    """Give the companions of listed files that `pages` show and the list leaves out."""
    companion_kinds = {Kind.AUDIO, Kind.THUMB, Kind.RAW, Kind.PROXY}
    shown = [f for page in pages for f in page.files if kind_of(f.name) in companion_kinds]
    stems = {_stem_of(file) for file in shown}
    known: set[tuple[str, str]] = set()
    mains: dict[tuple[str, str], ListedFile] = {}
    for file in listing.files:
        if (stem := _stem_of(file)) in stems:
            known.add((file.folder, file.name.upper()))
            mains[stem] = file
    added: list[ListedFile] = []
    for file in shown:
        main = mains.get(_stem_of(file))
        if main is not None and (file.folder, file.name.upper()) not in known:
            added.append(
                ListedFile(
                    folder=file.folder,
                    name=file.name,
                    path=main.path.rpartition("/")[0] + f"/{file.name}",
                    size=None if file.size_range is None else file.size_range.exact,
                    size_range=file.size_range,
                    created=main.created,
                    taken_at=main.taken_at,
                    companion=Companion(main.name),
                )
            )
    return tuple(added)


def _stem_of(file: ListedFile) -> tuple[str, str]:
    """What a companion has in common with its main file."""
    return file.folder, split_name(file.name)[0].upper()
