"""A journal on a disk that is full."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from labkit.gopro import PlanOptions
from labkit.gopro.journal import EntryState, Journal
from labkit.gopro.listing import ListedFile, MediaListing
from labkit.gopro.plan import plan_pull
from labkit.transfer import DiskFullError


@pytest.fixture
def full_journal(tmp_path):
    """A journal that may not grow by a page: SQLite's own word for a full disk."""
    with Journal(tmp_path) as journal:
        database = journal._database
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        yield journal
        database.execute("PRAGMA max_page_count = 100000")


@pytest.fixture
def entries():
    """More entries than fit on a page."""
    listing = MediaListing(
        tuple(
            ListedFile("100GOPRO", f"GOPR{n:04d}.JPG", f"/videos/DCIM/100GOPRO/GOPR{n:04d}.JPG")
            for n in range(500)
        )
    )
    files = plan_pull(listing, PlanOptions()).files
    return [replace(planned.entry, state=EntryState.DONE, size_bytes=1) for planned in files]


def test_a_full_disk_is_called_so(full_journal, entries):
    """Not in SQLite's words for a rollback that it has made already."""
    with pytest.raises(DiskFullError, match="the disk is full"):
        full_journal.record(entries)


def test_a_journal_is_usable_after_the_disk_was_full(full_journal, entries):
    """Nothing of the failed transaction is there, and none is open."""
    with pytest.raises(DiskFullError):
        full_journal.record(entries)
    full_journal._database.execute("PRAGMA max_page_count = 100000")
    assert not full_journal.entries()
    full_journal.record(entries)

    assert len(full_journal.entries()) == len(entries)


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path, entries):
    """Another one can begin."""
    with Journal(tmp_path) as journal:
        reader = sqlite3.connect(journal.path, isolation_level=None)
        journal._database.execute("PRAGMA busy_timeout = 10")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM files").fetchall()
        with pytest.raises(Exception, match="locked"):
            journal.record(entries)
        reader.close()
        journal.record(entries)

        assert len(journal.entries()) == len(entries)
