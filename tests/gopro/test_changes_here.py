"""What happens to a destination between two pulls, and what the plan makes of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from labkit.gopro import PlanOptions, Selection
from labkit.gopro.journal import EntryState
from labkit.gopro.listing import ListedFile, MediaListing
from labkit.gopro.names import Kind
from labkit.gopro.plan import Action, plan_pull


def listed(name, **facts):
    """A file of a list."""
    return ListedFile("100GOPRO", name, f"/videos/DCIM/100GOPRO/{name}", **facts)


def test_a_file_that_was_edited_here_is_kept_and_its_original_comes_beside(
    camera_with, pull_from, tmp_path, card
):
    """Another size than the journal's: somebody's work, never overwritten, never taken for it."""
    fake = camera_with()
    first = pull_from(fake)
    edited = next(f for f in first.downloaded if f.file.name == "GOPR0012.JPG")
    path = tmp_path / "dest" / edited.path
    path.write_bytes(b"my edit")
    second = pull_from(fake)
    assert path.read_bytes() == b"my edit"
    assert [file.file.name for file in second.downloaded] == ["GOPR0012.JPG"]
    beside = tmp_path / "dest" / second.downloaded[0].path
    original = card.find("100GOPRO", "GOPR0012.JPG")
    assert beside.read_bytes() == original.read(0, original.size)


def test_a_clip_that_is_still_written_waits_with_its_companions():
    """The plan itself, and so a dry run, shows it as postponed."""
    listing = MediaListing(
        (listed("GX010001.MP4", size=0), listed("GL010001.LRV", size=5), listed("GX010002.MP4"))
    )
    options = PlanOptions(selection=Selection(kinds=frozenset({Kind.VIDEO, Kind.PROXY})))
    plan = plan_pull(listing, options)
    assert {file.file.name: file.action for file in plan.files} == {
        "GX010001.MP4": Action.POSTPONE,
        "GL010001.LRV": Action.POSTPONE,
        "GX010002.MP4": Action.FETCH,
    }


def test_another_size_is_another_file_where_the_list_has_no_times():
    """HERO3 lists no times: after a format the size alone tells the new file from the old."""
    (old,) = plan_pull(MediaListing((listed("GOPR0001.JPG", size=5),)), PlanOptions()).files
    entry = replace(old.entry, state=EntryState.DONE, size_bytes=5)
    existing = {old.path: 5}
    new = MediaListing((listed("GOPR0001.JPG", size=6),))
    (planned,) = plan_pull(new, PlanOptions(), entries=[entry], existing=existing).files
    assert planned.action is Action.FETCH
    assert planned.path != old.path


def test_threads_ask_the_camera_one_after_the_other(camera_with, find):
    """One request at a time holds for the whole camera, whoever asks."""
    fake = camera_with()
    camera = find(fake, jobs=1)
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: camera.state(), range(80)))
    assert all(states)
    assert fake.max_concurrent == 1
