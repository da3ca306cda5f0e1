"""Requests for lists and states: short, bounded, one at a time, to one host only."""

from __future__ import annotations

import http.client
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from labkit.errors import LabkitError
from labkit.gopro.errors import CameraUnreachableError, NotACameraError
from labkit.transfer import Patience, causes, new_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from labkit.gopro.address import Address

__all__ = ["Answer", "Link", "NoAnswerError", "reach_hint"]

_MAX_LIST_BYTES = 64 * 1024 * 1024
_MAX_CONTROL_BYTES = 1024 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = 200
_MOST_UNANSWERED = 2


class NoAnswerError(LabkitError):
    """One request was not answered, or not with HTTP."""

    code = "no-answer"


@dataclass(frozen=True)
class Answer:
    """The answer to one request.

    Attributes:
        status: The HTTP status.
        content_type: As sent, without parameters, in lower case.
        server: The `Server` header.
        body: The whole body.
        url: What was really asked, after at most one redirect.
    """

    status: int
    content_type: str
    server: str
    body: bytes
    url: str

    @property
    def ok(self) -> bool:
        """Whether the status is 200."""
        return self.status == _OK


class Link:
    """The way to one camera: its address, its time-outs, and its patience for one client.

    Args:
        address: Where the camera is.
        patience: Time-outs; see `labkit.transfer`.
        jobs: How many requests may be under way at once; more than one hangs some cameras.
        control_timeout_s: For a whole control request: sent to the wrong port it hangs.
        answer_timeout_s: For an answer to begin; by default as long as a body may stall.
    """

    def __init__(
        self,
        address: Address,
        *,
        patience: Patience | None = None,
        jobs: int = 1,
        control_timeout_s: float = 5.0,
        answer_timeout_s: float | None = None,
    ) -> None:
        self.address = address
        self.patience = patience or Patience()
        self.answer_timeout_s = answer_timeout_s or self.patience.stall_timeout_s
        self.control_timeout_s = min(control_timeout_s, answer_timeout_s or control_timeout_s)
        # Requests without an answer, until there is a first one.
        self._unanswered: int | None = 0
        self._slots = threading.BoundedSemaphore(jobs)
        self._session: requests.Session | None = None

    @property
    def session(self) -> requests.Session:
        """The session for this camera; it uses no proxy."""
        if self._session is None:
            self._session = new_session(direct=True)
        return self._session

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for the right to have a request under way."""
        with self._slots:
            yield

    def get_list(self, path: str) -> Answer:
        """Ask for a list or folder page, which may be long.

        Raises:
            CameraUnreachableError: Nobody answers.
            NoAnswerError: What answered was no HTTP, or stopped.
            NotACameraError: It sends to another host, or without end.
        """
        return self._get(path, control=False, limit=_MAX_LIST_BYTES, timeout_s=None)

    def get_control(self, path: str, *, legacy: bool = False) -> Answer:
        """Ask for a state or give a command; `legacy` paths have a port of their own.

        Raises:
            The errors of `get_list`.
        """
        return self._get(
            path, control=legacy, limit=_MAX_CONTROL_BYTES, timeout_s=self.control_timeout_s
        )

    def _get(self, path: str, *, control: bool, limit: int, timeout_s: float | None) -> Answer:
        url = self.address.url(path, control=control)
        with self.slot():
            answer, location = self._request(url, limit, timeout_s)
            if location is None:
                return answer
            target = urljoin(url, location)
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                raise NotACameraError(
                    f"{self.address} sends to {urlsplit(target).netloc or 'another place'}, "
                    "as the login page of a public wifi does",
                    hint="join the camera's own wifi and try again",
                )
            answer, location = self._request(target, limit, timeout_s)
            if location is not None:
                raise NotACameraError(f"{self.address} redirects in circles; no camera does that")
            return answer

    def _request(self, url: str, limit: int, timeout_s: float | None) -> tuple[Answer, str | None]:
        """Make one request; a connection that breaks without an answer is tried once more."""
        import requests

        error: Exception | None = None
        for _ in range(2):
            try:
                return self._request_once(url, limit, timeout_s)
            except requests.ConnectTimeout as timeout:
                error = timeout
                break
            except requests.Timeout as timeout:
                self._count_silence()
                raise NoAnswerError(f"{url} is not answered in time") from timeout
            except requests.ConnectionError as broken:
                error = broken
            except requests.RequestException as other:
                raise NoAnswerError(f"{url} is not answered with valid HTTP") from other
        raise _lost(url, self.address, error) from error

    def _count_silence(self) -> None:
        """Give a host up that takes connections and never answers.

        One path may hang on a camera that answers another: a second one decides.
        """
        if self._unanswered is None:
            return
        self._unanswered += 1
        if self._unanswered >= _MOST_UNANSWERED:
            raise CameraUnreachableError(
                f"{self.address} takes connections and does not answer",
                hint="restart the camera; if that does not help, another device has its address: "
                "join the camera's own wifi",
                code="camera-silent",
            )

    def _request_once(
        self, url: str, limit: int, timeout_s: float | None
    ) -> tuple[Answer, str | None]:
        idle_s = self.answer_timeout_s if timeout_s is None else timeout_s
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        import requests

        prepared = self.session.prepare_request(requests.Request("GET", url))
        # Preparing decodes what need not be encoded; a camera wants each byte of its clock as %xx.
        prepared.url = url
        with self.session.send(
            prepared,
            stream=True,
            allow_redirects=False,
            timeout=(self.patience.connect_timeout_s, idle_s),
        ) as response:
            self._unanswered = None
            answer = Answer(
                response.status_code,
                response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                response.headers.get("Server", ""),
                _read_body(response, limit, deadline),
                url,
            )
            redirects = response.status_code in _REDIRECTS
            return answer, response.headers.get("Location") if redirects else None


def _read_body(response: requests.Response, limit: int, deadline: float | None) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(64 * 1024):
        body += chunk
        if len(body) > limit:
            raise NotACameraError(
                f"{response.url} sends more than {limit // (1024 * 1024)} MiB; no camera does that"
            )
        if deadline is not None and time.monotonic() > deadline:
            raise NoAnswerError(f"{response.url} does not come to an end in time")
    return bytes(body)


def _lost(url: str, address: Address, error: Exception | None) -> LabkitError:
    """Tell a dead host from one that sends garbage."""
    chain = causes(error) if error is not None else []
    if any(
        isinstance(link, http.client.HTTPException) and not isinstance(link, ConnectionError)
        for link in chain
    ):
        return NoAnswerError(
            f"{url} is answered with something that is no HTTP response",
            hint="HERO12 did this with its first firmware: update the camera's firmware; "
            "HERO3 does it on port 80: use port 8080",
            code="not-http",
        )
    reason = getattr(chain[-1], "strerror", None) if chain else None
    reason = reason or "no answer"
    return CameraUnreachableError(
        f"no camera answers at {address} ({str(reason).lower()})", hint=reach_hint(sys.platform)
    )


def reach_hint(platform: str) -> str:
    """Say how to get into the camera's network on `platform`, as `sys.platform` names it."""
    joining = {
        "linux": "join it with `nmcli device wifi connect GP... password ...`",
        "darwin": "join it in the Wi-Fi menu, and let no other known network take over",
        "win32": "join it in the network flyout, and switch off its `Connect automatically` rivals",
    }
    how = joining.get(platform, "join its wifi")
    return (
        "switch the camera on and its wireless connection to `connect a device`; its wifi is "
        f"named GP and digits: {how}. On a USB cable give the serial number's last three digits "
        "with `--usb`"
    )
