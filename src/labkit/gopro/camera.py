"""One camera: found, asked which dialect it speaks, and asked for what is known of it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from labkit.errors import UsageError
from labkit.gopro.clock import drift_s
from labkit.gopro.dialects import DIALECTS
from labkit.gopro.dialects.html import read_pages
from labkit.gopro.dialects.protocol import read_optional_json
from labkit.gopro.errors import (
    CameraBusyError,
    EmptyListError,
    NotACameraError,
    NotSupportedError,
)
from labkit.gopro.link import Link
from labkit.gopro.listing import folders_of, merge_pages
from labkit.gopro.state import CameraInfo
from labkit.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.gopro.address import Address
    from labkit.gopro.clock import CameraTime
    from labkit.gopro.dialects import Dialect, Probe
    from labkit.gopro.listing import FolderPage, ListedFile, MediaListing
    from labkit.gopro.state import CameraState
    from labkit.progress import Progress
    from labkit.transfer import Patience

__all__ = ["UNKNOWN", "Camera"]

UNKNOWN = "unknown"
"""The identity of a camera that does not tell its serial number."""


class Camera:
    """A camera that answers, in the dialect that it speaks.

    `Camera.find` makes one; nothing is asked twice that cannot change.
    """

    def __init__(self, link: Link, dialect: Dialect, listing: MediaListing | None = None) -> None:
        self.link = link
        self.dialect = dialect
        self._listing = listing
        self._info: CameraInfo | None = None

    @classmethod
    def find(  # noqa: PLR0913 - each is one independent choice of the caller
        cls,
        address: Address,
        *,
        dialect: str | None = None,
        remembered: str | None = None,
        patience: Patience | None = None,
        jobs: int = 1,
        wait_s: float = 0.0,
        need_list: bool = True,
        answer_timeout_s: float | None = None,
        progress: Progress = SILENT,
    ) -> Camera:
        """Find the camera at `address` and the dialect that it speaks.

        Args:
            address: Where to look.
            dialect: The dialect to force; by default each is tried.
            remembered: The dialect that this address spoke last time, to be tried first.
            patience: Time-outs.
            jobs: How many transfers may be under way at once.
            wait_s: How long to wait for a camera that is busy or records.
            need_list: A camera that is busy, or has lost its list, is an error; else it is given
                without a list.
            answer_timeout_s: For an answer to begin, where it is less than `patience` grants.
            progress: Hears what is looked for.

        Raises:
            CameraUnreachableError: Nobody answers.
            NotACameraError: What answers is no camera.
            CameraBusyError: It is busy for longer than `wait_s` seconds.
            EmptyListError: It is a camera, but has no list to give.
        """
        progress.message(f"looking for a camera at {address}")
        link = Link(address, patience=patience, jobs=jobs, answer_timeout_s=answer_timeout_s)
        order = _order(dialect, remembered)
        waited_s = 0.0
        while True:
            camera, busy, saw = _try_dialects(link, order)
            if camera is None and dialect is not None and _is_open_gopro(link):
                raise NotSupportedError(
                    f"the camera at {address} does not speak {dialect} ({saw})",
                    hint="leave `--dialect` out: labkit finds the right one",
                )
            if camera is None:
                camera = _without_list(link, saw, need_list=need_list)
            if not busy or not need_list:
                return camera
            if waited_s >= wait_s:
                raise CameraBusyError(
                    f"the camera at {address} is busy: it records, or is in its menu ({saw})",
                    hint="stop the recording and try again, or let labkit wait with `--wait`",
                )
            if not waited_s:
                progress.message(f"the camera records or is busy; waiting up to {wait_s:g} s")
            pause = min(link.patience.busy_pause_s, wait_s - waited_s)
            time.sleep(pause)
            waited_s += pause

    @property
    def address(self) -> Address:
        """Where the camera is."""
        return self.link.address

    @property
    def info(self) -> CameraInfo:
        """Which camera it is; fields are None where it does not tell."""
        if self._info is None:
            self._info = self.dialect.read_info(self.link) or CameraInfo()
        return self._info

    @property
    def identity(self) -> str:
        """What tells this camera from another: its serial number; `unknown` where it has none."""
        serial = self.info.serial
        return serial or UNKNOWN

    def asked_again(self) -> CameraInfo | None:
        """Ask anew which camera it is, after a break of the connection; None: it does not tell.

        Raises:
            CameraUnreachableError: It is gone; what was known of it stays.
        """
        fresh = self.dialect.read_info(self.link)
        self._info = fresh or self._info
        return fresh

    def state(self) -> CameraState | None:
        """Ask what the camera is doing; None where it does not tell."""
        return self.dialect.read_state(self.link)

    def listing(self) -> MediaListing:
        """Ask for the media list; the one that came with finding the camera counts once.

        Raises:
            EmptyListError: The list is empty while the camera counts files.
            CameraBusyError: The camera began to record.
            CameraUnreachableError: It is gone.
        """
        listing, self._listing = self._listing, None
        if listing is None:
            probe = self.dialect.probe(self.link)
            if probe.busy:
                raise CameraBusyError("the camera is busy: it records, or is in its menu")
            if probe.listing is None:
                raise _empty_list(f"the camera's list is not there ({probe.saw})")
            listing = probe.listing
        if not listing.files:
            self._check_empty(listing)
        return listing

    def pages(self, listing: MediaListing) -> Iterator[FolderPage]:
        """Read the folder pages one by one: they show what the camera's JSON list leaves out."""
        return read_pages(self.link, folders_of(listing) if self.has_leftovers else ())

    @property
    def has_leftovers(self) -> bool:
        """Whether the camera's list leaves files out that its folder pages show."""
        return self.dialect.name != "html"

    def with_pages(self, listing: MediaListing) -> MediaListing:
        """Add the companions that only the camera's folder pages show."""
        return merge_pages(listing, self.pages(listing))

    def url(self, file: ListedFile, name: str | None = None) -> str:
        """Give the URL of a listed file, or of another `name` in its folder."""
        path = file.path if name is None else f"{file.path.rpartition('/')[0]}/{name}"
        return self.link.address.url(quote(path))

    def clock(self) -> tuple[CameraTime, float]:
        """Ask for the camera's clock: the time, and how far it is ahead of this computer's, in s.

        Raises:
            NotSupportedError: The camera does not tell.
        """
        before = datetime.now().astimezone()
        asked = self.dialect.read_clock(self.link)
        middle = before + (datetime.now().astimezone() - before) / 2
        return asked, drift_s(asked.wall, middle.replace(tzinfo=None))

    def set_clock(self) -> None:
        """Set the camera's clock to this computer's.

        Raises:
            NotSupportedError: The camera does not allow it.
        """
        # Half a second up: the camera takes whole seconds.
        now = datetime.now().astimezone() + timedelta(milliseconds=500)
        self.dialect.set_clock(self.link, now)

    def duration_s(self, file: ListedFile) -> float | None:
        """Ask how long a clip is, in whole seconds; None where the camera does not tell."""
        return self.dialect.read_duration(self.link, file)

    def set_turbo(self, *, on: bool) -> None:
        """Switch the fast transfer mode, which blocks the camera's own use.

        Raises:
            NotSupportedError: The camera has none.
        """
        self.dialect.set_turbo(self.link, on=on)

    def _check_empty(self, listing: MediaListing) -> None:
        if listing.refused:
            return
        state = self.state()
        counted = 0 if state is None else max(0, state.photos or 0) + max(0, state.videos or 0)
        if counted:
            raise _empty_list(f"the camera counts {counted} files, but lists none")


def _order(dialect: str | None, remembered: str | None) -> list[Dialect]:
    if dialect is not None:
        if dialect not in DIALECTS:
            raise UsageError(
                f"{dialect!r} is no dialect", hint=f"the dialects are {', '.join(DIALECTS)}"
            )
        return [DIALECTS[dialect]]
    first = [DIALECTS[remembered]] if remembered in DIALECTS else []
    return [*first, *(other for other in DIALECTS.values() if other not in first)]


def _try_dialects(link: Link, order: list[Dialect]) -> tuple[Camera | None, bool, str]:
    """Ask for the list in each dialect: the camera, whether it is busy, and what was seen."""
    saw = ""
    for dialect in order:
        if dialect.name == "html" and saw and _is_open_gopro(link):
            break  # its pages would show files, but not which camera's and of what size
        probe: Probe = dialect.probe(link)
        if probe.listing is not None or probe.busy:
            return Camera(link, dialect, probe.listing), probe.busy, probe.saw
        saw = saw or probe.saw
    return None, False, saw


def _without_list(link: Link, saw: str, *, need_list: bool) -> Camera:
    """Tell a camera that has lost its list from something that is no camera."""
    if not _is_open_gopro(link):
        raise NotACameraError(
            f"what answers at {link.address} is no GoPro: {saw}",
            hint="check that this computer is in the camera's own wifi, not in another network "
            "with the same addresses",
        )
    if need_list:
        raise _empty_list(f"the camera gives no media list ({saw})")
    return Camera(link, DIALECTS["open-gopro"])


def _is_open_gopro(link: Link) -> bool:
    version = read_optional_json(link, "/gopro/version")
    return isinstance(version, dict) and "version" in version


def _empty_list(message: str) -> EmptyListError:
    return EmptyListError(
        message,
        hint="this happens until the camera is restarted: take out its battery, then try again; "
        "nothing was changed",
    )
