"""Apps by their address on the web, fetched whole before anything else is done with them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote, urlsplit

from labkit.errors import RefusedError, UsageError
from labkit.progress import SILENT
from labkit.transfer import download, new_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    import requests

    from labkit.progress import Progress

__all__ = ["fetch_sources", "is_url"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_MAX_NAME = 100


def is_url(text: str) -> bool:
    """Tell a web address from a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def fetch_sources(
    words: Sequence[str],
    folder: Path,
    *,
    session: requests.Session | None = None,
    progress: Progress = SILENT,
) -> tuple[Path, ...]:
    """Turn what the user named into files: paths as they are, addresses fetched into `folder`.

    An app that came unencrypted could be anybody's, so `https` is asked for throughout,
    redirections included.

    Args:
        words: Paths and https addresses.
        folder: Where to put what is fetched.
        session: Where connections come from; one that refuses `http` by default.
        progress: Counts the bytes.

    Raises:
        UsageError: An address is not https, or names no host.
        UnreachableError: The server does not answer.
        PartialError: The file did not come whole.
        RefusedError: A redirection leads away from https.
    """
    for word in words:
        if is_url(word):
            _require_https(word)
    paths = []
    for index, word in enumerate(words):
        if not is_url(word):
            paths.append(Path(word))
            continue
        place = folder / str(index)
        place.mkdir()
        target = place / _file_name(word)
        download(word, target, session=session or _encrypted_session(), progress=progress)
        paths.append(target)
    return tuple(paths)


def _encrypted_session() -> requests.Session:
    from requests.adapters import HTTPAdapter

    class Refusal(HTTPAdapter):
        """Stands where an unencrypted connection would be made: a redirection led there."""

        def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> NoReturn:
            host = urlsplit(request.url or "").hostname
            raise RefusedError(
                f"the server redirects to {host} without encryption (http)",
                hint="nobody can tell whether such an app was changed on the way; "
                "find an address that stays on https, or download it yourself and name the file",
                code="redirect-to-http",
            )

    session = new_session()
    session.mount("http://", Refusal())
    return session


def _require_https(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise UsageError(f"{url!r} is no address of a file: {error}") from error
    if parts.scheme.lower() != "https" or not host:
        raise UsageError(
            f"{url} is not an https address",
            hint="use https, so that nobody can change the app on the way; "
            "or download it yourself and name the file",
            code="not-https",
        )


def _file_name(url: str) -> str:
    name = posixpath.basename(unquote(urlsplit(url).path))
    return _UNSAFE.sub("_", name).lstrip(".")[-_MAX_NAME:] or "app.apk"
