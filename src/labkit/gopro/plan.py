"""What a pull would do: a pure function of the camera's list, the journal and the options."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum, unique
from typing import TYPE_CHECKING
from unicodedata import normalize

from labkit.gopro.clips import each_set
from labkit.gopro.clock import clock_doubt, shifted
from labkit.gopro.errors import LayoutError
from labkit.gopro.journal import Entry, EntryState
from labkit.gopro.layout import DEFAULT_LAYOUT, parse_layout, with_counter
from labkit.gopro.names import Kind, kind_of, parse_name
from labkit.gopro.selection import Selection, select, wanted_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from labkit.gopro.clips import MediaSet
    from labkit.gopro.layout import Layout
    from labkit.gopro.listing import FolderPage, ListedFile, ListedGroup, MediaListing
    from labkit.gopro.names import MediaName

__all__ = ["Action", "Plan", "PlanOptions", "PlannedFile", "plan_pull"]


@unique
class Action(StrEnum):
    """What is to be done with a file."""

    FETCH = "fetch"
    HAVE = "have"
    RECORD = "record"
    """It is here and whole; a killed run had no time to write that down."""
    COMPARE = "compare"
    """A file that labkit did not bring lies at its path: the same one, or another?"""
    POSTPONE = "postpone"
    """The camera still writes it."""
    GONE = "gone"
    """An earlier run found that the camera does not have it."""
    EMPTY = "empty"
    """It has no bytes, as an earlier run found already."""


@dataclass(frozen=True)
class PlanOptions:
    """How the user wants it.

    Attributes:
        selection: What is wanted.
        layout: Where it goes.
        shift: The correction of the camera's clock.
        proxies_first: Proxies before everything else.
        new_only: What was pulled once is not pulled again when it was moved or deleted here.
        camera: The camera's identity in the journal.
        label: Its name in paths.
    """

    selection: Selection = field(default_factory=Selection)
    layout: str = DEFAULT_LAYOUT
    shift: timedelta = timedelta()
    proxies_first: bool = False
    new_only: bool = False
    camera: str = "unknown"
    label: str = "gopro"


@dataclass(frozen=True, slots=True)  # a list can have 50,000 of them
class PlannedFile:
    """One file and what is to be done with it.

    Attributes:
        file: As the camera lists it.
        path: Where it goes, relative to the destination, with slashes.
        taken_at: The corrected time; None where unknown.
        clip: The recording that it belongs to.
        main: The name of the recording's first file.
        action: What is to be done.
        entry: What the journal has or will have.
    """

    file: ListedFile
    path: str
    taken_at: datetime | None
    clip: str
    main: str
    action: Action
    entry: Entry

    @property
    def media(self) -> MediaName:
        """What its name says."""
        return parse_name(self.file.name)


@dataclass(frozen=True)
class Plan:
    """Everything that a pull would do.

    Attributes:
        files: All wanted files, in the order of the transfer.
        refused: Entries of the list that must not become files.
        warnings: What is odd, but stops nothing.
        dropped: Paths of planned entries in the journal that nothing stands for any more.
        moved: Planned entries of files that are not wanted now, and whose path another file has.
        told: Which of `refused` an earlier run has told of.
        group_bytes: Folder and group -> bytes to come of its files, known only together.
    """

    files: tuple[PlannedFile, ...]
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    moved: tuple[Entry, ...] = ()
    told: frozenset[str] = frozenset()
    group_bytes: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def newly_refused(self) -> tuple[str, ...]:
        """What is refused and no earlier run has told of."""
        return tuple(line for line in self.refused if line not in self.told)

    @property
    def to_do(self) -> tuple[PlannedFile, ...]:
        """The files that need work."""
        idle = {Action.HAVE, Action.POSTPONE, Action.GONE, Action.EMPTY}
        return tuple(planned for planned in self.files if planned.action not in idle)

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes to come, as far as the list tells them file by file."""
        return sum(expected_bytes(p.file) for p in self.files if p.action is Action.FETCH)

    @property
    def bytes_expected(self) -> int:
        """Bytes to come, as far as the list tells them file by file or for whole groups."""
        return self.bytes_to_fetch + sum(self.group_bytes.values())

    @property
    def unsized(self) -> tuple[PlannedFile, ...]:
        """The files to come that are not in `bytes_expected`."""
        return tuple(
            planned
            for planned in self.files
            if planned.action is Action.FETCH
            and planned.file.size is None
            and planned.file.size_range is None
            and (planned.file.folder, planned.file.group) not in self.group_bytes
        )


def expected_bytes(file: ListedFile) -> int:
    """How large a file will be, as far as the list tells; 0 where it does not."""
    if file.size is not None:
        return file.size
    return 0 if file.size_range is None else (file.size_range.low + file.size_range.high) // 2


def plan_pull(  # noqa: PLR0913 - all but two are optional, and given by name
    listing: MediaListing,
    options: PlanOptions,
    *,
    entries: Iterable[Entry] = (),
    existing: Mapping[str, int] | None = None,
    now: datetime | None = None,
    shown: Iterable[FolderPage] = (),
    told: Iterable[str] = (),
    unseen: Collection[Kind] = (),
) -> Plan:
    """Plan a pull.

    Args:
        listing: What the camera has.
        options: What the user wants.
        entries: The journal.
        existing: Relative path -> size of what lies in the destination.
        now: The computer's wall clock, to judge the camera's; None judges nothing.
        shown: Folder pages as the camera shows them now: a file that an earlier run did not find
            and that stands there is tried again.
        told: Refused entries of the list that an earlier run has told of.
        unseen: Kinds that the camera may have and `listing` not: their entries are kept.

    Raises:
        LayoutError: The layout is wrong, or makes two files of different names meet.
    """
    planner = _Planner(options, parse_layout(options.layout), tuple(entries), existing or {})
    planner.shown = frozenset(
        (file.folder, file.name.upper()) for page in shown for file in page.files
    )
    files: list[PlannedFile] = []
    warnings = list(listing.warnings)
    # One recording at a time: those of a full card together need as much memory as the list.
    for media_set in select(each_set(listing.files), options.selection, options.shift):
        files.extend(planner.plan_set(media_set))
        warnings.extend(media_set.warnings)
    if options.proxies_first:
        files.sort(key=lambda planned: planned.media.kind is not Kind.PROXY)
    warnings.extend(_unshifted(files, options))
    if now is not None:
        warnings.extend(_clock_warnings(files, now))
    dropped, moved = planner.settle(files, listing.files, unseen)
    still_refused = frozenset(told).intersection(listing.refused)
    return Plan(
        files=tuple(files),
        refused=listing.refused,
        warnings=tuple(warnings),
        dropped=dropped,
        moved=moved,
        told=still_refused,
        group_bytes=_group_bytes(listing.groups, files),
    )


class _Planner:
    """Gives each file its action and a path that no other file has."""

    def __init__(
        self,
        options: PlanOptions,
        layout: Layout,
        entries: tuple[Entry, ...],
        existing: Mapping[str, int],
    ) -> None:
        self.options = options
        self.layout = layout
        self.existing = {_folded(path): size for path, size in existing.items()}
        self.known: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        # What a run never began has no path yet: the layout may be another one by now.
        placed = [e for e in entries if e.state is not EntryState.EMPTY]
        begun = [e for e in placed if e.camera != options.camera or self._is_begun(e)]
        for entry in begun:
            if entry.camera == options.camera and entry.state is not EntryState.BAD:
                self.known[entry.folder, entry.name].append(entry)
        # Planned entries keep their paths only while their files are still listed.
        self.taken = {_folded(e.path) for e in begun}
        self.planned: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.camera == options.camera and entry.state is EntryState.PLANNED:
                self.planned[entry.folder, entry.name].append(entry)
        self.empty = {
            (e.folder, e.name, e.created)
            for e in entries
            if e.state is EntryState.EMPTY and e.camera == options.camera
        }
        self.used: set[str] = set()
        self.shown: frozenset[tuple[str, str]] = frozenset()
        self.rendered: dict[str, str] = {}

    def _is_begun(self, entry: Entry) -> bool:
        is_here = self._has_bytes(entry.path)
        return entry.state not in {EntryState.PLANNED, EntryState.BAD} or is_here

    def _has_bytes(self, path: str) -> bool:
        folded = _folded(path)
        return folded in self.existing or f"{folded}.part" in self.existing

    def plan_set(self, media_set: MediaSet[ListedFile]) -> list[PlannedFile]:
        """Plan the wanted files of one recording; all of it waits while the camera writes it."""
        growing = any(file.is_growing and not self._is_empty(file) for file in media_set.files)
        main = media_set.files[0].name
        return [
            self.plan_file(file, media_set.clip, main, growing=growing)
            for file in wanted_files(media_set, self.options.selection)
        ]

    def plan_file(self, file: ListedFile, clip: str, main: str, *, growing: bool) -> PlannedFile:
        media = parse_name(file.name)
        taken_at = shifted(file.taken_at, self.options.shift)
        base = self.layout.path(file, media, taken_at, self.options.label)
        folded = _folded(base)
        self._check_layout(base, folded, file)
        known = self.known.get((file.folder, file.name), ())
        entry = next((e for e in known if e.is_of(file)), None)
        if entry is not None and entry.path not in self.used:
            action = self._action_of(entry, file)
        else:
            path = self._free_path(base, folded)
            state = EntryState.EMPTY if self._is_empty(file) else EntryState.PLANNED
            entry = _entry(file, path, self.options.camera, state)
            action = Action.COMPARE if _folded(path) in self.existing else Action.FETCH
        if known:  # no path but these is asked for again
            self.used.add(entry.path)
        if action is not Action.HAVE and (growing or file.is_growing):
            action = Action.POSTPONE if growing or not self._is_empty(file) else Action.EMPTY
        return PlannedFile(file, entry.path, taken_at, clip, main, action, entry)

    def settle(
        self, files: Iterable[PlannedFile], listed: Iterable[ListedFile], unseen: Collection[Kind]
    ) -> tuple[tuple[str, ...], tuple[Entry, ...]]:
        """Say which planned entries go, and which make room, once all `files` have their paths.

        What is planned anew has its entry at its new path. What an earlier run set out to bring
        and this one does not want stays, as long as the camera lists it.
        """
        dropped: list[str] = []
        kept: list[Entry] = []
        for planned in files:
            before = self.planned.pop((planned.file.folder, planned.file.name), ())
            elsewhere = [entry for entry in before if entry.path != planned.path]
            if planned.action is Action.POSTPONE and not planned.file.is_growing:
                kept.extend(elsewhere)  # a run writes nothing at the new path of what waits
            else:
                dropped.extend(entry.path for entry in elsewhere)
        for file in listed if self.planned else ():
            for entry in self.planned.pop((file.folder, file.name), ()):
                if entry.has_time_of(file):
                    kept.append(entry)
                else:
                    dropped.append(entry.path)
        for entry in (entry for entries in self.planned.values() for entry in entries):
            if kind_of(entry.name) in unseen:
                kept.append(entry)
            else:
                dropped.append(entry.path)
        moved = self._make_room(kept)
        # A whole file that a killed run had no time to write down is still the camera's.
        gone = [path for path in dropped if _folded(path) not in self.existing]
        return tuple(sorted([*gone, *moved])), tuple(moved.values())

    def _make_room(self, kept: Iterable[Entry]) -> dict[str, Entry]:
        """Give kept entries whose path another file has a free one; old path -> entry."""
        moved: dict[str, Entry] = {}
        for entry in kept:
            if self._is_begun(entry):
                continue  # no other file got its path
            folded = _folded(entry.path)
            path = self._free_path(entry.path, folded)
            while path != entry.path and self._has_bytes(path):
                path = self._free_path(entry.path, folded)
            if path != entry.path:
                moved[entry.path] = replace(entry, path=path)
        return moved

    def _is_empty(self, file: ListedFile) -> bool:
        """Whether an earlier run found it without a byte: then the camera does not write it."""
        return (file.folder, file.name, file.created) in self.empty

    def _action_of(self, entry: Entry, file: ListedFile) -> Action:
        if entry.state is EntryState.GONE:
            is_back = (file.folder, file.name.upper()) in self.shown
            return Action.FETCH if is_back else Action.GONE
        size = self.existing.get(_folded(entry.path))
        if size is None:
            pulled = entry.state is EntryState.DONE
            return Action.HAVE if pulled and self.options.new_only else Action.FETCH
        wanted = entry.size_bytes if entry.state is EntryState.DONE else file.size
        if wanted is not None and size != wanted:
            return Action.COMPARE  # changed here since: it is not overwritten
        return Action.HAVE if entry.state is EntryState.DONE else Action.RECORD

    def _free_path(self, base: str, folded: str) -> str:
        """Give a path that no entry of the journal has: `NAME`, then `NAME-2` and so on."""
        path, count = base, 1
        while folded in self.taken:
            count += 1
            path = with_counter(base, count)
            folded = _folded(path)
        self.taken.add(folded)
        return path

    def _check_layout(self, base: str, folded: str, file: ListedFile) -> None:
        """Refuse a layout that gives one path to files of different names.

        Files of the same name (in two folders, or after a format) are no fault of the layout:
        they get a number.
        """
        first = self.rendered.setdefault(folded, file.name)
        if _folded(first) != _folded(file.name):
            raise LayoutError(
                f"the layout {self.options.layout!r} gives the same path, {base}, to {first} and "
                f"{file.name}",
                hint="put {name} into it, or {stem} and {ext}",
                code="layout-collision",
            )


def _folded(path: str) -> str:
    """Give what paths have in common that some file system takes for the same."""
    return path.casefold() if path.isascii() else normalize("NFC", path).casefold()


def _entry(file: ListedFile, path: str, camera: str, state: EntryState) -> Entry:
    return Entry(
        path=path,
        camera=camera,
        folder=file.folder,
        name=file.name,
        listed_bytes=file.size,
        created=file.created,
        group=file.group,
        state=state,
    )


def _group_bytes(
    groups: Iterable[ListedGroup], files: Iterable[PlannedFile]
) -> dict[tuple[str, str], int]:
    """What is to come of groups: the listed sum without what is here; all members are planned."""
    members: dict[tuple[str, str], list[PlannedFile]] = defaultdict(list)
    for planned in files:
        if planned.file.group is not None:
            members[planned.file.folder, planned.file.group].append(planned)
    to_come: dict[tuple[str, str], int] = {}
    for group in groups:
        planned_members = members[group.folder, group.name]
        if group.total_bytes is None or len(planned_members) < len(group.names):
            continue
        if any(planned.action is Action.FETCH for planned in planned_members):
            here = (p.entry.size_bytes or 0 for p in planned_members if p.action is Action.HAVE)
            to_come[group.folder, group.name] = max(0, group.total_bytes - sum(here))
    return to_come


def _unshifted(files: Iterable[PlannedFile], options: PlanOptions) -> list[str]:
    """Say plainly what a correction of the clock does not reach."""
    here = sum(planned.action is Action.HAVE for planned in files) if options.shift else 0
    if not here:
        return []
    warning = (
        f"files that are here already ({here}) stay as they are: `--shift` corrects only what "
        "comes with the same pull; to correct times and paths of older files, pull them to an "
        "empty folder with it"
    )
    return [warning]


def _clock_warnings(files: Iterable[PlannedFile], now: datetime) -> list[str]:
    """Say once what is wrong with the camera's clock."""
    doubts: dict[str, list[str]] = defaultdict(list)
    for planned in files:
        if planned.taken_at is not None:
            doubt = clock_doubt(planned.taken_at, now)
            if doubt is not None:
                doubts[doubt].append(planned.file.name)
    return [
        f"{len(names)} files have a wrong time, {names[0]} among them: {doubt}; "
        "correct it with `--shift`, before they come"
        for doubt, names in doubts.items()
    ]
