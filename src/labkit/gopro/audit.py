"""Check what lies in a destination: against its journal, its own structure, the camera."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.gopro.destination import scan
from labkit.gopro.journal import EntryState, read_journal
from labkit.gopro.names import Kind, kind_of
from labkit.gopro.reread import difference
from labkit.gopro.selection import DEFAULT_KINDS
from labkit.gopro.verification import check_file
from labkit.progress import SILENT
from labkit.transfer import GoneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from labkit.gopro.camera import Camera
    from labkit.gopro.journal import Entry, RecordedGroup
    from labkit.gopro.listing import ListedFile
    from labkit.progress import Progress

__all__ = ["Audit", "BadFile", "verify"]

_PART = ".part"


@dataclass(frozen=True)
class BadFile:
    """A file that is not as it should be; the path is relative to the destination."""

    path: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """What a verification found.

    Attributes:
        checked: How many files were looked at.
        compared: How many of them were compared with the camera.
        bad: What is wrong.
        unfinished: Parts that wait for the next pull.
        missing: Files that a pull set out to bring and did not, and with a camera those of a
            plain pull's kinds that it has and no pull brought; each as FOLDER/NAME.
        refused: What the camera lists and no pull will ever bring, and why.
    """

    checked: int
    compared: int
    bad: tuple[BadFile, ...]
    unfinished: tuple[str, ...]
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether something was checked, all of it is whole, and nothing is not here."""
        return self.checked > 0 and not (self.bad or self.missing or self.refused)


def verify(
    destination: Path, *, camera: Camera | None = None, progress: Progress = SILENT
) -> Audit:
    """Check every media file in `destination`.

    Sizes and presence are those of the journal, structures those of the formats; a group's
    frames must add up to what the camera listed. With a camera, the files that it still has are
    compared with it as well, sizes and stretches at random places, and what it has and no pull
    brought is missing. A sample is no proof of every byte.

    Args:
        destination: The folder that pulls fill; one without a journal is checked by structure.
        camera: The camera to compare with.
        progress: Hears how far it is.

    Raises:
        InputError: There is no such folder, or its journal is damaged.
        The errors of `Camera.listing`.
    """
    if not destination.is_dir():
        raise InputError(f"{destination} is no folder", hint="name the folder of a pull")
    journal = read_journal(destination)
    existing = scan(destination)
    done = {entry.path: entry for entry in journal.entries if entry.state is EntryState.DONE}
    loose = [path for path in existing if path not in done and kind_of(path) is not Kind.OTHER]
    bad: list[BadFile] = []
    with progress.task("verify", total=len(done) + len(loose), unit="items") as task:
        for path in sorted([*done, *loose]):
            reason = _local_fault(destination, path, done.get(path), existing)
            if reason is not None:
                bad.append(BadFile(path, reason))
            task.advance(1)
    bad.extend(_group_faults(journal.groups, done.values()))
    compared = 0
    refused: tuple[str, ...] = ()
    missing = {
        f"{entry.folder}/{entry.name}"
        for entry in journal.entries
        if entry.state is EntryState.PLANNED and entry.path not in existing
    }
    if camera is not None:
        faulty = {one.path for one in bad}
        sound = [entry for entry in done.values() if entry.path not in faulty]
        listing = camera.with_pages(camera.listing())
        there, refused = listing.files, listing.refused
        compared, found = _compare(destination, sound, there, camera, progress)
        bad.extend(found)
        missing.update(_never_pulled(there, journal.entries, camera.identity))
    unfinished = sorted(path for path in existing if path.endswith(_PART) and path not in done)
    return Audit(
        checked=len(done) + len(loose),
        compared=compared,
        bad=tuple(bad),
        unfinished=tuple(unfinished),
        missing=tuple(sorted(missing)),
        refused=refused,
    )


def _never_pulled(
    files: Iterable[ListedFile], entries: Iterable[Entry], camera: str
) -> Iterator[str]:
    """Name the camera's files, of the kinds that a plain pull brings, that no pull brought."""
    known: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.camera == camera and entry.state is not EntryState.PLANNED:
            known[entry.folder, entry.name].append(entry)
    for file in files:
        is_known = any(entry.is_of(file) for entry in known[file.folder, file.name])
        if kind_of(file.name) in DEFAULT_KINDS and not is_known:
            yield f"{file.folder}/{file.name}"


def _local_fault(
    destination: Path, path: str, entry: Entry | None, existing: Mapping[str, int]
) -> str | None:
    if path not in existing:
        return "it was pulled and is not here any more"
    expected = None if entry is None else entry.size_bytes
    name = None if entry is None else entry.name
    file = destination.joinpath(*PurePosixPath(path).parts)
    problem = check_file(file, expected_size=expected, name=name)
    if problem is None:
        return None
    if entry is not None and entry.problem is not None:
        return f"{problem.reason}; the camera's own file was like that"
    return problem.reason


def _group_faults(groups: Iterable[RecordedGroup], done: Iterable[Entry]) -> list[BadFile]:
    sizes: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    paths: dict[tuple[str, str, str], str] = {}
    for entry in done:
        if entry.group is not None and kind_of(entry.name) is kind_of(entry.group):
            key = (entry.camera, entry.folder, entry.group)
            sizes[key].append(entry.size_bytes or 0)
            paths.setdefault(key, entry.path)
    faults: list[BadFile] = []
    for group in groups:
        key = (group.camera, group.folder, group.name)
        have = sizes[key]
        if len(have) == group.members and sum(have) != group.total_bytes:
            reason = (
                f"the {group.members} files of its group have {sum(have)} bytes together, "
                f"the camera listed {group.total_bytes}"
            )
            faults.append(BadFile(paths[key], reason))
    return faults


def _compare(
    destination: Path,
    entries: Iterable[Entry],
    files: Iterable[ListedFile],
    camera: Camera,
    progress: Progress,
) -> tuple[int, list[BadFile]]:
    known: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.camera == camera.identity:
            known[entry.folder, entry.name].append(entry)
    pairs: list[tuple[ListedFile, Entry]] = []
    for file in files:
        entry_of = (entry for entry in known[file.folder, file.name] if entry.is_of(file))
        if (match := next(entry_of, None)) is not None:
            pairs.append((file, match))
    bad: list[BadFile] = []
    with progress.task("compare with the camera", total=len(pairs), unit="items") as task:
        for file, entry in pairs:
            path = destination.joinpath(*PurePosixPath(entry.path).parts)
            try:
                reason = difference(camera, file, path)
            except GoneError:
                reason = None
            if reason is not None:
                bad.append(BadFile(entry.path, reason))
            task.advance(1)
    return len(pairs), bad
