"""What every dialect can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from labkit.errors import InputError
from labkit.gopro.errors import CameraUnreachableError, NotACameraError, NotSupportedError
from labkit.gopro.link import NoAnswerError
from labkit.gopro.media_list import read_json

if TYPE_CHECKING:
    from datetime import datetime

    from labkit.gopro.clock import CameraTime
    from labkit.gopro.link import Answer, Link
    from labkit.gopro.listing import ListedFile, MediaListing
    from labkit.gopro.state import CameraInfo, CameraState

__all__ = [
    "Dialect",
    "Probe",
    "command",
    "duration_of",
    "json_of",
    "probe_json",
    "read_optional_json",
    "seen",
]

_BUSY = frozenset({409, 503})
_SERVER_FAULT = 500


@dataclass(frozen=True)
class Probe:
    """What came of asking for the media list in one dialect.

    Attributes:
        listing: The list, when the camera speaks this dialect.
        busy: The camera speaks it, and is busy.
        saw: What answered instead, for the error message.
        is_absent: The camera has no such list or page, and said so.
    """

    listing: MediaListing | None = None
    busy: bool = False
    saw: str = ""
    is_absent: bool = False


class Dialect(Protocol):
    """A way of talking to a camera; knows paths, holds no state."""

    @property
    def name(self) -> str:
        """What `--dialect` calls it."""

    def probe(self, link: Link) -> Probe:
        """Ask for the media list."""

    def read_info(self, link: Link) -> CameraInfo | None:
        """Ask which camera it is; None where it does not tell."""

    def read_state(self, link: Link) -> CameraState | None:
        """Ask what it is doing; None where it does not tell."""

    def read_clock(self, link: Link) -> CameraTime:
        """Ask for its clock; NotSupportedError where it does not tell."""

    def set_clock(self, link: Link, now: datetime) -> None:
        """Set its clock to the wall clock of `now`, which carries its zone."""

    def read_duration(self, link: Link, file: ListedFile) -> float | None:
        """Ask how long a clip is, in seconds; None where the camera does not tell."""

    def set_turbo(self, link: Link, *, on: bool) -> None:
        """Switch the fast transfer mode, which blocks the camera's own use."""


def json_of(answer: Answer) -> object | None:
    """Decode a JSON answer; None where it is none, whatever its Content-Type says."""
    if not answer.ok:
        return None
    try:
        return read_json(answer.body)
    except InputError:
        return None


def read_optional_json(link: Link, path: str, *, legacy: bool = False) -> object | None:
    """Ask for a small JSON document; None where the camera does not have it or does not answer.

    The port of `legacy` commands may be closed while files are served: that is no answer either.
    """
    try:
        return json_of(link.get_control(path, legacy=legacy))
    except (NoAnswerError, NotACameraError):
        return None
    except CameraUnreachableError:
        if legacy:
            return None
        raise


def probe_json(link: Link, path: str) -> tuple[object | None, Probe]:
    """Ask for a JSON list: the document, or why there is none."""
    try:
        answer = link.get_list(path)
    except NoAnswerError as error:
        return None, Probe(saw=error.message)
    if answer.status in _BUSY or (answer.status >= _SERVER_FAULT and b'"message"' in answer.body):
        return None, Probe(busy=True, saw=seen(answer))
    document = json_of(answer)
    if document is None and answer.ok and answer.body.lstrip()[:1] in {b"{", b"["}:
        answer = link.get_list(path)  # a list that was cut on the way: it is asked for once more
        document = json_of(answer)
    return document, Probe(saw=seen(answer))


def seen(answer: Answer) -> str:
    """Describe an answer in a few harmless words: status, type, title of a page, server."""
    import re

    title = re.search(rb"<title[^>]*>([^<]{1,80})", answer.body, re.IGNORECASE)
    words = [f"status {answer.status}"]
    if answer.content_type:
        words.append(ascii(answer.content_type)[1:-1])
    if title:
        words.append(f"a page titled {title[1].decode('utf-8', 'replace').strip()!a}")
    if answer.server:
        words.append(f"from {ascii(answer.server[:60])[1:-1]}")
    return ", ".join(words)


def command(link: Link, path: str, what: str, *, legacy: bool = False) -> None:
    """Give a command.

    Raises:
        NotSupportedError: The camera refuses it.
    """
    answer = link.get_control(path, legacy=legacy)
    if not answer.ok:
        raise NotSupportedError(f"the camera does not {what} (status {answer.status})")


def duration_of(document: object) -> float | None:
    """Read `dur` of a clip's metadata; its size and time there are wrong on some cameras."""
    text = str(document.get("dur", "")) if isinstance(document, dict) else ""
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 8 else None  # noqa: PLR2004 - 115 days
