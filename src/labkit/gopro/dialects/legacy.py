"""The JSON of cameras before Open GoPro: HERO2 to HERO8 and MAX.

Lists and files are on the media port, commands under `/gp/gpControl` on port 80: on the media
port a HERO9 lets them hang. Source: the `gpControl` schemas that the cameras themselves serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from labkit.gopro.clock import CameraTime, legacy_date_bytes, parse_legacy_date
from labkit.gopro.dialects.protocol import (
    Probe,
    command,
    duration_of,
    probe_json,
    read_optional_json,
)
from labkit.gopro.errors import NotSupportedError
from labkit.gopro.media_list import media_of, parse_media_list
from labkit.gopro.state import parse_info, parse_state

if TYPE_CHECKING:
    from datetime import datetime

    from labkit.gopro.link import Link
    from labkit.gopro.listing import ListedFile
    from labkit.gopro.state import CameraInfo, CameraState

__all__ = ["Legacy"]


class Legacy:
    """HERO2 to HERO8, MAX; often still there on later cameras."""

    name = "legacy"

    def probe(self, link: Link) -> Probe:
        """Ask `/gp/gpMediaList`."""
        document, probe = probe_json(link, "/gp/gpMediaList")
        return Probe(parse_media_list(document)) if media_of(document) is not None else probe

    def read_info(self, link: Link) -> CameraInfo | None:
        """Ask `/gp/gpControl/info`."""
        return parse_info(read_optional_json(link, "/gp/gpControl/info", legacy=True))

    def read_state(self, link: Link) -> CameraState | None:
        """Ask `/gp/gpControl/status`."""
        return parse_state(read_optional_json(link, "/gp/gpControl/status", legacy=True))

    def read_clock(self, link: Link) -> CameraTime:
        """Read status 40."""
        state = self.read_state(link)
        if state is None or state.clock is None:
            raise NotSupportedError("this camera does not tell its time")
        return CameraTime(parse_legacy_date(state.clock))

    def set_clock(self, link: Link, now: datetime) -> None:
        """Set date and time; the camera knows no zones."""
        path = f"/gp/gpControl/command/setup/date_time?p={legacy_date_bytes(now)}"
        command(link, path, "let its clock be set", legacy=True)

    def read_duration(self, link: Link, file: ListedFile) -> float | None:
        """Ask `/gp/gpMediaMetadata` in its second form, which HERO5 and later know."""
        path = f"/gp/gpMediaMetadata?p={quote(file.folder)}/{quote(file.name)}&t=v4info"
        return duration_of(read_optional_json(link, path))

    def set_turbo(self, link: Link, *, on: bool) -> None:
        """Switch turbo transfer."""
        command(link, f"/gp/gpTurbo?p={int(on)}", "have a fast transfer mode")
