"""One GET request: the head of its answer, then its body piece by piece.

Bodies are given as they come, undecoded, and end without complaint where they end: whoever reads
them counts. Only a chunked one, whose length nobody tells, has to come to its own end.

Plain HTTP to a device in this network needs no proxies, certificates, cookies and redirects:
those requests go through `labkit.http_plain`, which takes a quarter of the time that requests
needs for a small file. All others go through requests. Every request opens a connection of its
own: cameras and other small servers fail on a second request.
"""

from __future__ import annotations

import http.client
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labkit import __version__
from labkit.http_answer import Answer, AttemptError, BadRequestError, NotHttpError
from labkit.http_plain import get_plainly

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

__all__ = [
    "Answer",
    "AttemptError",
    "BadRequestError",
    "NotHttpError",
    "causes",
    "get",
    "new_session",
]

_CHUNK_BYTES = 256 * 1024
_HEADERS = {
    "User-Agent": f"labkit/{__version__}",
    "Accept": "*/*",
    # Compression would hide the length.
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def new_session(*, direct: bool = False) -> requests.Session:
    """Make a session: no compression, one request per connection.

    Args:
        direct: Ignore proxies and credentials of the environment: for a device in this network.
    """
    import requests

    session = requests.Session()
    session.trust_env = not direct
    session.headers.clear()
    session.headers.update(_HEADERS)
    return session


@contextmanager
def get(
    session: requests.Session,
    url: str,
    *,
    start: int,
    timeouts_s: tuple[float, float],
    follow_redirects: bool,
) -> Iterator[Answer]:
    """Ask for `url` from byte `start` to its end; the connection ends with the context.

    Args:
        session: See `new_session`.
        url: What to get.
        start: The first byte that is wanted.
        timeouts_s: For the connection, and between two pieces of the answer; seconds.
        follow_redirects: False gives the redirecting answer itself.

    Raises:
        AttemptError: Nobody answers, or not with HTTP.
        BadRequestError: The request cannot be made.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    is_plain = not session.trust_env and not follow_redirects and url.startswith("http://")
    opened = (
        get_plainly(url, _HEADERS | headers, timeouts_s)
        if is_plain
        else _get_by_requests(session, url, headers, timeouts_s, follow_redirects=follow_redirects)
    )
    with opened as answer:
        yield answer


@contextmanager
def _get_by_requests(
    session: requests.Session,
    url: str,
    headers: dict[str, str],
    timeouts_s: tuple[float, float],
    *,
    follow_redirects: bool,
) -> Iterator[Answer]:
    import requests

    try:
        response = session.get(
            url,
            headers=headers,
            stream=True,
            timeout=timeouts_s,
            allow_redirects=follow_redirects,
        )
    except requests.ConnectionError as error:
        raise _connection_failure(error) from error
    except requests.Timeout as error:
        raise AttemptError("no answer in time") from error
    except requests.RequestException as error:
        raise BadRequestError(f"{url} cannot be requested: {error}") from error
    with response:
        yield Answer(response.status_code, response.headers, _body_by_requests(response))


def _body_by_requests(response: requests.Response) -> Iterator[bytes]:
    import urllib3

    try:
        # read1 returns after one read of the socket: nothing received is lost to a time-out.
        while piece := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            yield piece
    except urllib3.exceptions.IncompleteRead:
        return
    except urllib3.exceptions.ReadTimeoutError as error:
        raise AttemptError("the body stalls") from error
    except (urllib3.exceptions.HTTPError, ConnectionError) as error:
        raise AttemptError("the connection broke") from error


def causes(error: BaseException) -> list[BaseException]:
    """Give `error` and what caused it, the innermost exception last."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    return chain


def _connection_failure(error: BaseException) -> AttemptError:
    """Tell a lost connection from garbage, by the chain of exceptions."""
    chain = causes(error)
    if any(_is_garbage(link) for link in chain):
        return NotHttpError("no HTTP response")
    return AttemptError(_reason(chain[-1]))


def _is_garbage(error: BaseException) -> bool:
    # A connection that is closed without an answer is a BadStatusLine as well.
    return isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError)


def _reason(error: BaseException) -> str:
    """Say in a few words why a connection failed."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "the connection was closed without an answer"
