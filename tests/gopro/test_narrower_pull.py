"""What a pull set out to bring stays missing, whatever a later pull is told to bring."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from labkit.gopro import PlanOptions, Selection, plan_pull
from labkit.gopro.audit import verify
from labkit.gopro.fake import made_up_card
from labkit.gopro.journal import EntryState, Journal
from labkit.gopro.listing import ListedFile, MediaListing
from labkit.gopro.media_list import parse_media_list
from labkit.gopro.names import Kind
from labkit.gopro.plan import Action

LISTING = parse_media_list({"media": made_up_card().media()})
PHOTOS = Selection(kinds=frozenset({Kind.PHOTO}))
NOTHING = Selection(match=("no such name",))


def rows_after(plan, entries):
    """What the journal has, by path, once a run began to carry `plan` out."""
    rows = {entry.path: entry for entry in entries if entry.path not in plan.dropped}
    written = [one.entry for one in plan.files if one.action is Action.FETCH]
    rows.update((entry.path, entry) for entry in (*written, *plan.moved))
    return rows


def planned_rows(listing=LISTING, **options):
    """What a first pull of everything writes before its first byte moves."""
    return [one.entry for one in plan_pull(listing, PlanOptions(**options)).files]


def ids(entries):
    """Which files entries stand for."""
    return {(entry.folder, entry.name) for entry in entries}


def clip(folder="100GOPRO", name="GX010001.MP4", **fields):
    """A listed clip."""
    fields = {"size": 9, "created": 60, **fields}
    return ListedFile(folder, name, f"/videos/DCIM/{folder}/{name}", **fields)


def test_a_file_that_failed_is_missing_after_a_narrower_pull(camera_with, pull_from, dest):
    """And comes with the next pull that wants it."""
    assert pull_from(camera_with("F20")).failed
    missing = verify(dest).missing
    assert "101GOPRO/GX010010.MP4" in missing

    healthy = camera_with()
    assert pull_from(healthy, plan=PlanOptions(selection=PHOTOS)).is_complete
    assert verify(dest).missing == missing

    assert pull_from(healthy).is_complete
    assert verify(dest).is_good


@pytest.mark.parametrize(
    "selection",
    [
        PHOTOS,
        NOTHING,
        Selection(last=1),
        Selection(max_bytes=1),
        Selection(folders=frozenset({"101GOPRO"})),
    ],
    ids=["only", "match", "last", "max-size", "folder"],
)
@pytest.mark.parametrize("layout", ["{date}/{name}", "new/{name}"])
def test_no_selection_and_no_layout_forgets_a_planned_file(selection, layout):
    """What is planned again has one entry, at its new path; the rest stays."""
    entries = planned_rows()
    plan = plan_pull(LISTING, PlanOptions(selection=selection, layout=layout), entries=entries)
    rows = rows_after(plan, entries)

    assert ids(rows.values()) == ids(entries)
    assert len(rows) == len(entries)
    assert {one.path for one in plan.files} <= rows.keys()


def test_a_file_that_no_pull_wanted_is_not_missing(camera_with, pull_from, dest):
    """It was left out from the start."""
    assert pull_from(camera_with(), plan=PlanOptions(selection=PHOTOS)).is_complete
    assert verify(dest).is_good


def test_a_planned_file_that_the_camera_deleted_is_forgotten():
    """Nothing can bring it any more; nor one of its name, made after the card was formatted."""
    entries = planned_rows(MediaListing((clip(), clip(name="GX010002.MP4"))))
    listing = MediaListing((clip(created=7260, size=5),))
    plan = plan_pull(listing, PlanOptions(selection=NOTHING), entries=entries)

    assert plan.dropped == tuple(sorted(entry.path for entry in entries))
    assert plan.moved == ()


def test_a_clip_that_has_grown_since_is_still_the_planned_one():
    """The camera wrote it when it was planned; a narrower pull sees its final size."""
    entries = planned_rows(MediaListing((clip(size=5),)))
    plan = plan_pull(MediaListing((clip(),)), PlanOptions(selection=NOTHING), entries=entries)

    assert plan.dropped == ()


@pytest.mark.parametrize("suffix", ["", ".part"])
def test_two_files_of_one_name_keep_an_entry_each(suffix):
    """The wanted one takes the free path; the other is moved aside, to a path that is free."""
    listing = MediaListing((clip(), clip("101GOPRO")))
    entries = planned_rows(listing, layout="{name}")
    assert [entry.path for entry in entries] == ["GX010001.MP4", "GX010001-2.MP4"]
    entries = entries[:1]
    options = PlanOptions(selection=Selection(folders=frozenset({"101GOPRO"})), layout="{name}")
    existing = {f"GX010001-2.MP4{suffix}": 3}
    plan = plan_pull(listing, options, entries=entries, existing=existing)
    rows = rows_after(plan, entries)

    assert {path: entry.folder for path, entry in rows.items()} == {
        "GX010001.MP4": "101GOPRO",
        "GX010001-3.MP4": "100GOPRO",
    }


@pytest.mark.parametrize("layout", ["{date}/{name}", "new/{name}"])
def test_a_planned_file_that_waits_now_keeps_its_entry(layout):
    """Its clip goes on being recorded, and nothing is written at the path of another layout."""
    entries = planned_rows(MediaListing((clip(),)))
    growing = clip(name="GX020001.MP4", size=0)
    listing = MediaListing((clip(), growing))
    plan = plan_pull(listing, PlanOptions(layout=layout), entries=entries)

    assert {one.action for one in plan.files} == {Action.POSTPONE}
    assert (plan.dropped, plan.moved) == ((), ())


def test_sound_that_only_a_folder_page_shows_stays_missing(camera_with, pull_from, dest):
    """Where a pull without companions does not look at the pages."""
    fake = camera_with()
    assert pull_from(fake).is_complete
    with Journal(dest) as journal:
        sound = next(one for one in journal.entries() if one.name.endswith(".WAV"))
        journal.record([replace(sound, state=EntryState.PLANNED, size_bytes=None)])
    (dest / sound.path).unlink()
    assert verify(dest).missing == (f"{sound.folder}/{sound.name}",)

    assert pull_from(fake, plan=PlanOptions(selection=PHOTOS)).is_complete
    assert verify(dest).missing == (f"{sound.folder}/{sound.name}",)

    assert pull_from(fake).is_complete
    assert verify(dest).is_good


def test_a_size_limit_forgets_no_file_that_an_earlier_pull_wanted(camera_with, pull_from, dest):
    """Even where the list has no size, and only the request for it shows that it is too large."""
    fake = camera_with(pages=False)
    raw = frozenset({Kind.RAW})
    assert pull_from(fake, plan=PlanOptions(selection=Selection(kinds=raw))).is_complete
    with Journal(dest) as journal:
        (entry,) = journal.entries()
        journal.record([replace(entry, state=EntryState.PLANNED, size_bytes=None)])
    (dest / entry.path).unlink()
    limited = PlanOptions(selection=Selection(kinds=raw, max_bytes=1000), shift=timedelta(days=3))

    assert pull_from(fake, plan=limited).left_out
    assert verify(dest).missing == (f"{entry.folder}/{entry.name}",)
    assert pull_from(fake, plan=limited).left_out
    assert verify(dest).missing == (f"{entry.folder}/{entry.name}",)
