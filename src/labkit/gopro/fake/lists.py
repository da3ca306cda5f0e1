"""The JSON media lists of the fake camera, with the faults that lists have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from labkit.gopro.fake.card import Card

__all__ = ["HOSTILE_NAMES", "media_document"]

HOSTILE_NAMES: tuple[object, ...] = (
    "../evil.MP4",
    "..",
    "/etc/passwd",
    "C:\\evil.MP4",
    "a\\b.JPG",
    "a\x00b.JPG",
    "line\nbreak.JPG",
    "%2e%2e%2fevil.JPG",
    "x" * 300 + ".JPG",
    "trailing.",
    "trailing ",
    "-rf.MP4",
    ".hidden.JPG",
    "NUL.JPG",
    "com1.mp4",
    "\x1b[31mred.JPG",
    "gr\u00fc\u00df\u202egpj.JPG",
    "what?.JPG",
    None,
    7,
)
"""Names that must never become files on the client's side."""

_RESET_CLOCK = 1_451_608_343  # 2016-01-01 00:32:23


def media_document(card: Card, faults: frozenset[str], *, first: bool) -> dict[str, object]:
    """Build the list of `card`, wrong in the ways that `faults` ask for.

    Args:
        card: The card.
        faults: Names of faults.
        first: This is the first time that the list is asked for.
    """
    media: list[dict[str, Any]] = [] if "F14" in faults else card.media()
    items = [item for folder in media for item in folder["fs"]]
    for fault, spoil in _SPOILERS.items():
        if fault in faults and items:
            spoil(media, items)
    if "F36-once" in faults and first:
        _wrong_sum(media, items)
    return {"id": "1554375628411872255", "media": media}


def _growing(_: list[dict[str, Any]], items: list[dict[str, Any]], size: str = "0") -> None:
    clips = [item for item in items if str(item["n"]).endswith("MP4")]
    clips[-1]["s"] = size


def _too_small(media: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    _growing(media, items, "4096")


def _hostile(media: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    media[0]["fs"].extend({"n": name, "s": "10", "mod": "1718442000"} for name in HOSTILE_NAMES)
    media[0]["fs"].append("not an object")
    media.append({"d": "../100GOPRO", "fs": [{"n": "GX010001.MP4", "s": "1"}]})


def _odd_types(media: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    for item in items:
        item["s"] = int(item["s"])
        item["novelty"] = {"x": [1]}
    items[0].pop("cre", None)
    items[0].pop("mod", None)
    media[0]["novelty"] = True


def _reset_clock(_: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    for item in items:
        item["cre"] = item["mod"] = str(_RESET_CLOCK)


def _bomb(media: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    bomb = {"n": "G0090001.JPG", "g": "9", "b": "1", "l": "40000000", "m": [], "s": "1", "t": "b"}
    media[0]["fs"].append(bomb)
    many = [str(number) for number in range(200_000)]
    media[0]["fs"].append(bomb | {"n": "G0080001.JPG", "l": "3", "m": many})


def _twice(media: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    media[0]["fs"].append(dict(items[0]))
    media.append({"d": media[0]["d"], "fs": [items[1] | {"s": "12"}]})


def _wrong_sum(_: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    for item in items:
        if "g" in item:
            item["s"] = str(int(item["s"]) + 1000)


_SPOILERS: dict[str, Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]] = {
    "F11": _growing,
    "F11-growing": _too_small,
    "F21": _hostile,
    "F24": _odd_types,
    "F27": _reset_clock,
    "F34": _bomb,
    "F35": _twice,
    "F36": _wrong_sum,
}
