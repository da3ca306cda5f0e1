"""Fusion: two cards, one for each lens, in one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.gopro.dialects.legacy import Legacy
from labkit.gopro.dialects.protocol import Probe, probe_json
from labkit.gopro.listing import MediaListing
from labkit.gopro.media_list import media_of, parse_media_list

if TYPE_CHECKING:
    from labkit.gopro.link import Link

__all__ = ["Fusion"]

_ROOTS = ("/videos/DCIM", "/videos2/DCIM")


class Fusion(Legacy):
    """A legacy camera whose list is an array: back lens, then front lens."""

    name = "fusion"

    def probe(self, link: Link) -> Probe:
        """Ask `/gp/gpMediaListEx`."""
        document, probe = probe_json(link, "/gp/gpMediaListEx")
        if not isinstance(document, list) or not document:
            return probe
        if any(media_of(card) is None for card in document):
            return probe
        cards = [parse_media_list(card, root) for card, root in zip(document, _ROOTS, strict=False)]
        return Probe(
            MediaListing(
                tuple(file for card in cards for file in card.files),
                tuple(group for card in cards for group in card.groups),
                tuple(line for card in cards for line in card.refused),
                tuple(line for card in cards for line in card.warnings),
            )
        )
