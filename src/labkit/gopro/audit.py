"""Check what lies in a destination: against its journal, its own structure, the camera."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from labkit.errors import InputError, LabkitError
from labkit.gopro.damage import Problem
from labkit.gopro.destination import locked, scan
from labkit.gopro.journal import EntryState, Journal, read_journal
from labkit.gopro.layout import with_counter
from labkit.gopro.names import Kind, kind_of
from labkit.gopro.reread import difference
from labkit.gopro.selection import DEFAULT_KINDS
from labkit.gopro.verification import check_file
from labkit.progress import SILENT
from labkit.transfer import GoneError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from labkit.gopro.camera import Camera
    from labkit.gopro.destination import Contents
    from labkit.gopro.journal import Entry, RecordedGroup
    from labkit.gopro.listing import ListedFile
    from labkit.progress import Progress

__all__ = ["Audit", "BadFile", "verify"]

_PART = ".part"
# Codes of problems for which nobody knows what is in the file.
_NOT_HERE = frozenset({"missing", "unreadable"})
_SPOILT = Problem("spoilt", "an earlier check found it damaged")


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
        again: Which of the bad files the next pull brings again, beside the old ones.
    """

    checked: int
    compared: int
    bad: tuple[BadFile, ...]
    unfinished: tuple[str, ...]
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    again: tuple[str, ...] = ()

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

    What came whole and is damaged now is written down in the journal: the next pull brings it
    again.

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
    contents = scan(destination)
    existing = contents.sizes
    done = {entry.path: entry for entry in journal.entries if entry.state is EntryState.DONE}
    loose = [path for path in existing if path not in done and kind_of(path) is not Kind.OTHER]
    spoilt = {entry.path: entry for entry in journal.entries if entry.state is EntryState.BAD}
    faults = _local_faults(destination, [*done, *loose], done, spoilt, contents, progress)
    bad = [BadFile(path, problem.reason) for path, problem in faults.items()]
    damaged = [path for path, problem in faults.items() if problem.code not in _NOT_HERE]
    bad.extend(_group_faults(journal.groups, done.values()))
    compared = 0
    refused: tuple[str, ...] = ()
    missing = {
        f"{entry.folder}/{entry.name}"
        for entry in journal.entries
        if entry.state in {EntryState.PLANNED, EntryState.BAD} and entry.path not in existing
    }
    if camera is not None:
        faulty = {one.path for one in bad}
        sound = [entry for entry in done.values() if entry.path not in faulty]
        listing = camera.with_pages(camera.listing())
        there, refused = listing.files, listing.refused
        compared, found = _compare(destination, sound, there, camera, progress)
        bad.extend(found)
        damaged.extend(one.path for one in found)
        missing.update(_never_pulled(there, journal.entries, camera.identity))
    here = {_identity(entry) for entry in done.values()}
    missing -= {f"{e.folder}/{e.name}" for e in spoilt.values() if _identity(e) in here}
    again = [done[path] for path in damaged if path in done and _came_whole(done[path])]
    noted = _note_damage(destination, again, progress)
    healed = {path for path in spoilt if _identity(spoilt[path]) not in here and path in existing}
    faulty = {one.path for one in bad}
    unfinished = sorted(path for path in existing if path.endswith(_PART) and path not in done)
    return Audit(
        checked=len(done) + len(loose),
        compared=compared,
        bad=tuple(_with_advice(one, done.keys() - faulty) for one in bad),
        unfinished=tuple(unfinished),
        missing=tuple(sorted(missing)),
        refused=refused,
        again=tuple(sorted(healed.union(noted))),
    )


def _came_whole(entry: Entry) -> bool:
    """Whether the file was as the camera's, and not converted here since."""
    return entry.problem is None and entry.listed_bytes in {None, entry.size_bytes}


def _identity(entry: Entry) -> tuple[str, str, str, int | None]:
    return entry.camera, entry.folder, entry.name, entry.created


def _note_damage(
    destination: Path, entries: Sequence[Entry], progress: Progress
) -> tuple[str, ...]:
    """Let the next pull bring damaged files again; gives the paths of those that it will bring."""
    if not entries:
        return ()
    try:
        with locked(destination), Journal(destination) as journal:
            journal.record(replace(entry, state=EntryState.BAD) for entry in entries)
    except LabkitError as error:
        progress.warning(
            f"no pull will bring the bad files again by itself ({error.message}): "
            "move them away before the next one"
        )
        return ()
    return tuple(entry.path for entry in entries)


def _with_advice(bad: BadFile, sound: AbstractSet[str]) -> BadFile:
    """Name the good file that lies beside a bad one."""
    beside = next((p for n in range(2, 10) if (p := with_counter(bad.path, n)) in sound), None)
    if beside is None:
        return bad
    return replace(bad, reason=f"{bad.reason}; a good one is {beside}: this one can be deleted")


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


def _local_faults(
    destination: Path,
    paths: Iterable[str],
    done: Mapping[str, Entry],
    spoilt: Collection[str],
    contents: Contents,
    progress: Progress,
) -> dict[str, Problem]:
    """Look at each file here; gives what is wrong with those that are not as they should be."""
    faults: dict[str, Problem] = {}
    ordered = sorted(paths)
    with progress.task("verify", total=len(ordered), unit="items") as task:
        for path in ordered:
            problem = _local_fault(destination, path, done.get(path), contents)
            if problem is None and path in spoilt:
                problem = _SPOILT
            if problem is not None:
                faults[path] = problem
            task.advance(1)
    return faults


def _local_fault(
    destination: Path, path: str, entry: Entry | None, contents: Contents
) -> Problem | None:
    if path not in contents.sizes:
        unread = contents.fault_at(path)
        if unread is not None:
            return Problem("unreadable", f"its folder cannot be read: {unread}")
        return Problem("missing", "it was pulled and is not here any more")
    expected = None if entry is None else entry.size_bytes
    name = None if entry is None else entry.name
    file = destination.joinpath(*PurePosixPath(path).parts)
    problem = check_file(file, expected_size=expected, name=name)
    if problem is not None and entry is not None and entry.problem is not None:
        return replace(problem, reason=f"{problem.reason}; the camera's own file was like that")
    return problem


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
