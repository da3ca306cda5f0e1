"""Pull: plan what is missing, bring it, say what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from labkit.errors import LabkitError
from labkit.gopro.camera import UNKNOWN
from labkit.gopro.destination import locked, not_a_folder, scan, unreadable
from labkit.gopro.fetchers import make_fetcher
from labkit.gopro.group_sums import group_warnings
from labkit.gopro.journal import EntryState, Journal, JournalContent
from labkit.gopro.leftovers import digests_of, pages_to_record, read_leftovers, recalled_pages
from labkit.gopro.listing import merge_pages
from labkit.gopro.names import Kind
from labkit.gopro.plan import plan_pull
from labkit.gopro.run import PullOptions, Run
from labkit.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from labkit.gopro.camera import Camera
    from labkit.gopro.destination import Contents
    from labkit.gopro.journal import RecordedPage
    from labkit.gopro.listing import FolderPage, MediaListing
    from labkit.gopro.plan import Plan, PlannedFile, PlanOptions
    from labkit.gopro.run import Failure
    from labkit.progress import Progress

__all__ = ["PullResult", "Survey", "plan_for", "pull"]

# What a list can leave out.
_COMPANIONS = frozenset({Kind.AUDIO, Kind.THUMB, Kind.RAW, Kind.PROXY})
NOTHING_RECORDED = JournalContent()


@dataclass(frozen=True)
class PullResult:
    """What a pull did.

    Attributes:
        plan: What it set out to do.
        downloaded: Files that came.
        skipped: Files that were here before.
        gone: Files that the camera lists or implies, and does not have.
        postponed: Files that the camera still writes.
        not_tried: Files that were left when the run had to stop.
        left_out: Files that turned out to be larger than wanted.
        empty: Files without a byte, as an earlier pull found already.
        failed: Files that did not come, with the reason.
        warnings: What needs attention.
        received_bytes: Bytes that came over the network.
        elapsed_s: How long it took, in seconds.
    """

    plan: Plan
    downloaded: tuple[PlannedFile, ...]
    skipped: tuple[PlannedFile, ...]
    gone: tuple[PlannedFile, ...]
    postponed: tuple[PlannedFile, ...]
    not_tried: tuple[PlannedFile, ...]
    left_out: tuple[PlannedFile, ...]
    empty: tuple[PlannedFile, ...]
    failed: tuple[Failure, ...]
    warnings: tuple[str, ...]
    received_bytes: int
    elapsed_s: float

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do, and nothing is refused that was not told before."""
        return not (self.failed or self.postponed or self.not_tried or self.plan.newly_refused)


@dataclass(frozen=True)
class Survey:
    """What a pull starts from.

    Attributes:
        plan: What is to be done.
        listing: What the camera has, with what only its folder pages show.
        pages: Those pages, to be kept in the journal; empty where none was asked for.
    """

    plan: Plan
    listing: MediaListing
    pages: tuple[RecordedPage, ...] = ()


def plan_for(
    camera: Camera,
    destination: Path,
    options: PlanOptions,
    journal: JournalContent = NOTHING_RECORDED,
) -> Survey:
    """Plan a pull from `camera` to `destination`; nothing is written.

    The camera's folder pages, which show the companions that its JSON list leaves out, are read
    where something is to be had, or where the journal does not know them for this very list.

    Raises:
        TargetError: A folder with files of the plan cannot be read.
        The errors of `Camera.listing` and `plan_pull`.
    """
    options = replace(options, camera=camera.identity, label=_label(camera))
    if destination.exists() and not destination.is_dir():
        raise not_a_folder(destination)
    contents = scan(destination)
    listing = camera.listing()
    now = datetime.now().astimezone().replace(tzinfo=None)
    told = [line for of, line in journal.refused if of == camera.identity]

    def plan(
        found: MediaListing, shown: Iterable[FolderPage] = (), unseen: frozenset[Kind] = frozenset()
    ) -> Plan:
        planned = plan_pull(
            found,
            options,
            entries=journal.entries,
            existing=contents.sizes,
            now=now,
            shown=shown,
            told=told,
            unseen=unseen,
        )
        _check_readable(destination, contents, planned)
        return planned

    if not camera.has_leftovers:
        return Survey(plan(listing), listing)
    if not _COMPANIONS & options.selection.kinds:
        return Survey(plan(listing, unseen=_COMPANIONS), listing)
    digests = digests_of(listing, camera.info.firmware)
    recalled = recalled_pages(listing, journal.pages, camera.identity, digests)
    if len(recalled) == len(digests):
        known = merge_pages(listing, recalled.values())
        planned = plan(known)
        if not planned.to_do:
            return Survey(planned, known)
        del planned, known  # two plans of a full card do not fit into little memory
    missed = {
        (entry.folder, entry.name.upper())
        for entry in journal.entries
        if entry.state is EntryState.GONE
    }
    listing, pages = read_leftovers(camera, listing, recalled, missed)
    kept = pages_to_record(listing, pages, camera.identity, digests)
    listing = merge_pages(listing, pages)
    unseen = _COMPANIONS if any(page.fault is not None for page in pages) else frozenset[Kind]()
    return Survey(plan(listing, pages, unseen), listing, kept)


def _check_readable(destination: Path, contents: Contents, plan: Plan) -> None:
    """Refuse to fetch files that may be here already."""
    for planned in plan.to_do if contents.unread else ():
        reason = contents.fault_at(planned.path)
        if reason is not None:
            raise unreadable((destination / planned.path).parent, reason)


def _label(camera: Camera) -> str:
    """Name the camera in paths: model and the end of its serial number."""
    words = [camera.info.model or "GoPro"]
    if camera.identity != UNKNOWN:
        words.append(camera.identity[-4:])
    kept = "".join(c if c.isascii() and c.isalnum() else " " for c in " ".join(words))
    return "-".join(kept.split()) or "GoPro"


def pull(
    camera: Camera,
    destination: Path,
    options: PullOptions | None = None,
    *,
    progress: Progress = SILENT,
) -> PullResult:
    """Bring what is wanted and missing from `camera` to `destination`.

    Args:
        camera: The camera, as `Camera.find` gave it.
        destination: The folder to fill; it is made where needed.
        options: What is wanted and how.
        progress: Hears of files, bytes, waits.

    Raises:
        DestinationLockedError: Another pull writes there.
        TargetError: The destination cannot be written.
        EmptyListError: The camera counts files, but lists none.
        LayoutError: The layout is wrong.
        ProgramMissingError: The backend's program is not installed.
    """
    options = options or PullOptions()
    began = time.monotonic()
    fetcher = make_fetcher(options.backend, camera.link)
    with locked(destination), Journal(destination) as journal:
        if journal.left_turbo_on(str(camera.address)):
            _turbo_off(camera, journal, progress)
        survey = plan_for(camera, destination, options.plan, journal.content())
        plan, listing = survey.plan, survey.listing
        journal.record_pages(camera.identity, survey.pages)
        journal.record_refused(camera.identity, plan.newly_refused)
        if plan.to_do:
            journal.record_groups(camera.identity, listing.groups)
        use_turbo = options.turbo and bool(plan.to_do)
        journal.remember_camera(str(camera.address), camera.dialect.name, turbo=use_turbo)
        try:
            if use_turbo:
                camera.set_turbo(on=True)
            run = Run(camera, destination, options, journal, fetcher)
            outcome = run.carry_out(plan, progress)
        finally:
            if use_turbo:
                _turbo_off(camera, journal, progress)
        touched = {
            (planned.file.folder, planned.file.group)
            for planned in outcome.downloaded
            if planned.file.group is not None
        }
        sums: tuple[str, ...] = ()
        if touched:
            sums, groups = group_warnings(camera, listing, journal.entries(), touched)
            journal.record_groups(camera.identity, groups)
    return PullResult(
        plan=plan,
        downloaded=_in_order(plan, outcome.downloaded, options.jobs),
        skipped=tuple(outcome.skipped),
        gone=tuple(outcome.gone),
        postponed=tuple(outcome.postponed),
        not_tried=tuple(outcome.not_tried),
        left_out=tuple(outcome.left_out),
        empty=tuple(outcome.empty),
        failed=tuple(outcome.failed),
        warnings=(*plan.warnings, *outcome.warnings, *sums),
        received_bytes=outcome.received_bytes,
        elapsed_s=time.monotonic() - began,
    )


def _in_order(plan: Plan, files: Sequence[PlannedFile], jobs: int) -> tuple[PlannedFile, ...]:
    """Give `files` in the plan's order; they come in any, where several come at once."""
    if jobs == 1:
        return tuple(files)
    place = {(one.file.folder, one.file.name): index for index, one in enumerate(plan.files)}
    return tuple(sorted(files, key=lambda one: place[one.file.folder, one.file.name]))


def _turbo_off(camera: Camera, journal: Journal, progress: Progress) -> None:
    """Leave the camera as it was; where that fails, the next pull does it first."""
    try:
        camera.set_turbo(on=False)
    except LabkitError as error:
        progress.warning(f"the camera's fast transfer mode may still be on ({error.message})")
        return
    journal.remember_camera(str(camera.address), camera.dialect.name)
