"""Who carries the bytes: labkit itself, or GNU Wget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from labkit.errors import UsageError
from labkit.gopro.wget_fetcher import WgetFetcher
from labkit.programs import require_program
from labkit.transfer import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.gopro.link import Link
    from labkit.progress import Progress
    from labkit.transfer import Fetched

__all__ = ["BACKENDS", "Fetcher", "OwnFetcher", "make_fetcher"]

BACKENDS = ("labkit", "wget")


class Fetcher(Protocol):
    """Brings the bytes of one URL into a part."""

    def fetch(
        self, url: str, part: Path, *, expected_size: int | None, name: str, progress: Progress
    ) -> Fetched:
        """Fill `part`; errors are those of `labkit.transfer.fetch`."""


def make_fetcher(backend: str, link: Link) -> Fetcher:
    """Make the fetcher that the user chose.

    Raises:
        UsageError: There is no such backend.
        ProgramMissingError: GNU Wget is not installed.
    """
    if backend == "labkit":
        return OwnFetcher(link)
    if backend == "wget":
        return WgetFetcher(link, require_program("wget"))
    raise UsageError(f"{backend!r} is no backend", hint=f"the backends are {', '.join(BACKENDS)}")


@dataclass(frozen=True)
class OwnFetcher:
    """labkit's own transfer."""

    link: Link

    def fetch(
        self, url: str, part: Path, *, expected_size: int | None, name: str, progress: Progress
    ) -> Fetched:
        """Fill `part` by `labkit.transfer.fetch`."""
        with self.link.slot():
            return fetch(
                url,
                part,
                session=self.link.session,
                expected_size=expected_size,
                verifiable=True,
                patience=self.link.patience,
                follow_redirects=False,
                progress=progress,
                name=name,
            )
