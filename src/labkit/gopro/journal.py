"""What was pulled into a destination: a SQLite database in it, good after any crash.

A row is written before a file's first byte moves (`planned`, with the path that the file will
have) and changed after the file has its final name (`done`). So a file that lies at a planned
path is whole, whatever happened between: only a verified part gets the final name.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from dataclasses import dataclass
from enum import StrEnum, unique
from itertools import islice
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.transfer import DiskFullError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from labkit.gopro.listing import ListedFile, ListedGroup

__all__ = [
    "JOURNAL_NAME",
    "Entry",
    "EntryState",
    "Journal",
    "JournalContent",
    "RecordedGroup",
    "RecordedPage",
    "read_journal",
    "remembered_dialect",
]

JOURNAL_NAME = ".labkit-gopro.sqlite3"
_VERSION = 4
_MINUTE_S = 60
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY COLLATE NOCASE,
    camera TEXT NOT NULL,
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    listed_bytes INTEGER,
    created INTEGER,
    group_name TEXT,
    state TEXT NOT NULL,
    size_bytes INTEGER,
    problem TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS groups (
    camera TEXT NOT NULL,
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    members INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    PRIMARY KEY (camera, folder, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cameras (
    address TEXT PRIMARY KEY,
    dialect TEXT,
    turbo INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS pages (
    camera TEXT NOT NULL,
    folder TEXT NOT NULL,
    listed TEXT NOT NULL,
    files TEXT NOT NULL,
    PRIMARY KEY (camera, folder)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (
    camera TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (camera, line)
) WITHOUT ROWID;
"""
# A hostile camera must not fill the disk; what goes beyond is told anew by each pull.
_MOST_REFUSED = 10_000


@unique
class EntryState(StrEnum):
    """How far a file is."""

    PLANNED = "planned"
    DONE = "done"
    BAD = "bad"
    """It came whole, and a later check found it damaged here: it is to come again."""
    GONE = "gone"
    """It was implied by another file or a group, and the camera does not have it."""
    EMPTY = "empty"
    """The camera has it, without a single byte. Its path is not reserved."""


@dataclass(frozen=True, slots=True)  # a list can have 50,000 of them
class Entry:
    """A file of the journal.

    Attributes:
        path: Where it is or will be, relative to the destination, with slashes.
        camera: The camera's serial number.
        folder: Its folder there.
        name: Its name there.
        listed_bytes: The size that the list gave.
        created: The list's time stamp.
        group: The group that it belongs to.
        state: How far it is.
        size_bytes: Its real size, once it is done.
        problem: What is wrong with the original, where it was taken as it is.
    """

    path: str
    camera: str
    folder: str
    name: str
    listed_bytes: int | None
    created: int | None
    group: str | None
    state: EntryState = EntryState.PLANNED
    size_bytes: int | None = None
    problem: str | None = None

    def is_of(self, file: ListedFile) -> bool:
        """Tell whether this is the entry of `file`: same size, same time, as far as known.

        Folder pages know sizes and times roughly; an entry made from a JSON list still fits.
        """
        return self._fits_size(file) and self.has_time_of(file)

    def _fits_size(self, file: ListedFile) -> bool:
        known = self.listed_bytes if self.size_bytes is None else self.size_bytes
        if known is None:
            return True
        if file.size is not None:
            return file.size in {known, self.listed_bytes}
        return file.size_range is None or file.size_range.holds(known)

    def has_time_of(self, file: ListedFile) -> bool:
        """Tell whether this can be the entry of `file`, which may have grown since."""
        if self.created is None or file.created is None or self.created == file.created:
            return True
        to_the_minute = not (self.created % _MINUTE_S and file.created % _MINUTE_S)
        return to_the_minute and self.created // _MINUTE_S == file.created // _MINUTE_S


@dataclass(frozen=True)
class RecordedGroup:
    """A group as the camera listed it: how many files, how many bytes in all."""

    camera: str
    folder: str
    name: str
    members: int
    total_bytes: int


@dataclass(frozen=True)
class RecordedPage:
    """What a folder page of the camera showed, and for which list.

    Attributes:
        camera: The camera's serial number.
        folder: The folder's path on the server.
        listed: The digest of what the camera's list had in that folder then.
        files: Name and range of sizes (low, high) of each companion of a listed file; both None
            where the page gave no size. None at all on a camera that serves no such page.
    """

    camera: str
    folder: str
    listed: str
    files: tuple[tuple[str, int | None, int | None], ...] = ()


def _read_row(  # noqa: PLR0913, PLR0917 - one parameter a column
    path: str,
    camera: str,
    folder: str,
    name: str,
    listed_bytes: int | None,
    created: int | None,
    group: str | None,
    state: str,
    size_bytes: int | None,
    problem: str | None,
) -> Entry:
    return Entry(
        path,
        camera,
        folder,
        name,
        listed_bytes,
        created,
        group,
        EntryState(state),
        size_bytes,
        problem,
    )


class Journal:
    """The journal of one destination, for any thread; a context manager that closes it.

    Raises:
        InputError: The file is no journal, or is damaged.
        TargetError: It cannot be written.
        DiskFullError: There is no room for it.
    """

    def __init__(self, destination: Path) -> None:
        self.path = destination / JOURNAL_NAME
        self._lock = threading.RLock()
        with self._translated():
            self._database = sqlite3.connect(
                self.path, isolation_level=None, timeout=10, check_same_thread=False
            )
            # One transaction at a time on disk, and none of them lost to a power cut.
            self._database.execute("PRAGMA synchronous = FULL")
            self._create()

    def _create(self) -> None:
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version < _VERSION:  # 1 had no pages, 2 no refused lines, 3 no bad files
            with self._transaction():
                for statement in _SCHEMA.strip().split(";\n"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
        elif version > _VERSION:
            raise InputError(
                f"the journal {self.path} was written by a newer labkit",
                hint="update labkit",
                code="newer-journal",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def entries(self) -> tuple[Entry, ...]:
        """Read all entries."""
        with self._translated():
            rows = self._database.execute(
                "SELECT path, camera, folder, name, listed_bytes, created, group_name, state,"
                " size_bytes, problem FROM files"
            )
            return tuple(_read_row(*row) for row in rows)

    def plan(self, entries: Iterable[Entry], dropped: Iterable[str] = ()) -> None:
        """Write planned `entries` and forget those at the `dropped` paths, in one transaction."""
        with self._translated(), self._transaction():
            self._database.executemany(
                "DELETE FROM files WHERE path = ?", [(path,) for path in dropped]
            )
            self._write(entries)

    def record(self, entries: Iterable[Entry]) -> None:
        """Write `entries` as they are, in one transaction."""
        with self._translated(), self._transaction():
            self._write(entries)

    def _write(self, entries: Iterable[Entry]) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    entry.path,
                    entry.camera,
                    entry.folder,
                    entry.name,
                    entry.listed_bytes,
                    entry.created,
                    entry.group,
                    str(entry.state),
                    entry.size_bytes,
                    entry.problem,
                )
                for entry in entries
            ),
        )

    def record_groups(self, camera: str, groups: Iterable[ListedGroup]) -> None:
        """Keep the sums that the camera lists for its groups, for a later verification."""
        rows = [
            (camera, group.folder, group.name, len(group.names), group.total_bytes)
            for group in groups
            if group.total_bytes is not None
        ]
        with self._translated(), self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO groups VALUES (?, ?, ?, ?, ?)", rows)

    def groups(self) -> tuple[RecordedGroup, ...]:
        """Read the groups' sums."""
        with self._translated():
            rows = self._database.execute(
                "SELECT camera, folder, name, members, total_bytes FROM groups"
            )
            return tuple(RecordedGroup(*row) for row in rows)

    def record_pages(self, camera: str, pages: Iterable[RecordedPage]) -> None:
        """Keep what the camera's folder pages showed."""
        rows = [(camera, page.folder, page.listed, json.dumps(page.files)) for page in pages]
        if rows:
            with self._translated(), self._transaction():
                self._database.executemany("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)", rows)

    def pages(self) -> tuple[RecordedPage, ...]:
        """Read what the folder pages showed."""
        with self._translated():
            rows = self._database.execute("SELECT camera, folder, listed, files FROM pages")
            return tuple(
                RecordedPage(camera, folder, listed, tuple(tuple(one) for one in json.loads(files)))
                for camera, folder, listed, files in rows
            )

    def record_refused(self, camera: str, lines: Iterable[str]) -> None:
        """Remember what was refused of the camera's list, so that it is told once."""
        rows = [(camera, line) for line in islice(lines, _MOST_REFUSED)]
        if rows:
            with self._translated(), self._transaction():
                self._database.executemany("INSERT OR REPLACE INTO refused VALUES (?, ?)", rows)

    def refused(self) -> frozenset[tuple[str, str]]:
        """Read what was refused of cameras' lists before: camera and line."""
        with self._translated():
            return frozenset(self._database.execute("SELECT camera, line FROM refused"))

    def content(self) -> JournalContent:
        """Read everything."""
        return JournalContent(self.entries(), self.groups(), self.pages(), self.refused())

    def dialect_of(self, address: str) -> str | None:
        """Which dialect the camera at `address` spoke last time."""
        row = self._camera(address)
        return None if row is None else row[0]

    def left_turbo_on(self, address: str) -> bool:
        """Whether a run that was killed left the camera's fast transfer mode on."""
        row = self._camera(address)
        return row is not None and bool(row[1])

    def _camera(self, address: str) -> tuple[str | None, int] | None:
        with self._translated():
            row: tuple[str | None, int] | None = self._database.execute(
                "SELECT dialect, turbo FROM cameras WHERE address = ?", (address,)
            ).fetchone()
            return row

    def remember_camera(self, address: str, dialect: str, *, turbo: bool = False) -> None:
        """Remember how to talk to the camera at `address`, and whether its turbo mode is on."""
        if self._camera(address) == (dialect, int(turbo)):
            return
        with self._translated(), self._transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO cameras VALUES (?, ?, ?)", (address, dialect, int(turbo))
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # SQLite itself rolls back after a full disk
                self._database.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise DiskFullError(
                    f"the disk is full: the journal {self.path} cannot grow",
                    hint="make room and run it again: it goes on from there",
                ) from error
            raise TargetError(
                f"the journal {self.path} cannot be written: {error}",
                hint="check the destination's permissions and its free space",
                code="journal-not-writable",
            ) from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise InputError(
                f"the journal {self.path} is damaged: {error}",
                hint="move it away and pull again: files that are there are recognised by "
                "comparing them with the camera's",
                code="journal-damaged",
            ) from error


@dataclass(frozen=True)
class JournalContent:
    """What a journal holds."""

    entries: tuple[Entry, ...] = ()
    groups: tuple[RecordedGroup, ...] = ()
    pages: tuple[RecordedPage, ...] = ()
    refused: frozenset[tuple[str, str]] = frozenset()


def read_journal(destination: Path) -> JournalContent:
    """Read the journal of `destination` without creating one; empty where there is none.

    Raises:
        InputError: It is damaged.
    """
    if not (destination / JOURNAL_NAME).is_file():
        return JournalContent()
    with Journal(destination) as journal:
        return journal.content()


def remembered_dialect(destination: Path, address: str) -> str | None:
    """Which dialect the camera at `address` spoke when `destination` was filled last.

    Raises:
        InputError: The journal is damaged.
    """
    if not (destination / JOURNAL_NAME).is_file():
        return None
    with Journal(destination) as journal:
        return journal.dialect_of(address)
