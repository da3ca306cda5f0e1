"""Open GoPro: HERO9 with firmware 1.70 and every camera after it.

Source of all paths: GoPro's specification (OpenGoPro, HTTP 2.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from labkit.gopro.clock import open_gopro_date_query, parse_open_gopro_date
from labkit.gopro.dialects.legacy import Legacy
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

    from labkit.gopro.clock import CameraTime
    from labkit.gopro.link import Link
    from labkit.gopro.listing import ListedFile
    from labkit.gopro.state import CameraInfo, CameraState

__all__ = ["OpenGoPro"]


class OpenGoPro:
    """HERO9 to HERO13, MAX 2, LIT HERO, MISSION 1."""

    name = "open-gopro"

    def probe(self, link: Link) -> Probe:
        """Ask `/gopro/media/list`."""
        document, probe = probe_json(link, "/gopro/media/list")
        return Probe(parse_media_list(document)) if media_of(document) is not None else probe

    def read_info(self, link: Link) -> CameraInfo | None:
        """Ask `/gopro/camera/info`; HERO9 to HERO11 only have the older form."""
        info = parse_info(read_optional_json(link, "/gopro/camera/info"))
        return info if info is not None else Legacy().read_info(link)

    def read_state(self, link: Link) -> CameraState | None:
        """Ask `/gopro/camera/state`."""
        return parse_state(read_optional_json(link, "/gopro/camera/state"))

    def read_clock(self, link: Link) -> CameraTime:
        """Ask `/gopro/camera/get_date_time` (HERO11 and later), else status 40."""
        document = read_optional_json(link, "/gopro/camera/get_date_time")
        if isinstance(document, dict):
            return parse_open_gopro_date(document)
        return Legacy().read_clock(link)

    def set_clock(self, link: Link, now: datetime) -> None:
        """Set time and, where the camera knows zones, the zone."""
        path = "/gopro/camera/set_date_time?"
        try:
            command(link, path + open_gopro_date_query(now, with_zone=True), "set its clock")
        except NotSupportedError:
            query = open_gopro_date_query(now, with_zone=False)
            command(link, path + query, "let its clock be set")

    def read_duration(self, link: Link, file: ListedFile) -> float | None:
        """Ask `/gopro/media/info`; the slash in the path must stay a slash."""
        path = f"/gopro/media/info?path={quote(file.folder)}/{quote(file.name)}"
        return duration_of(read_optional_json(link, path))

    def set_turbo(self, link: Link, *, on: bool) -> None:
        """Switch turbo transfer."""
        command(link, f"/gopro/media/turbo_transfer?p={int(on)}", "have a fast transfer mode")
