"""What a camera says about itself: model, battery, card, what it is doing.

The status numbers are those of GoPro's specification (OpenGoPro, `/gopro/camera/state`) and of
the legacy `gpControl` schema, which agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.gopro.names import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CameraInfo", "CameraState", "parse_info", "parse_state"]

_CARDS = {
    -1: "unknown",
    0: "ok",
    1: "full",
    2: "removed",
    3: "format error",
    4: "busy",
    8: "swapped",
}

# What the first characters of a firmware version say where the camera does not name itself; for
# labels only, so that a camera that is not in the table works like any other.
_MODELS = {
    "HD3": "HERO3",
    "HD4.01": "HERO4 Silver",
    "HD4.02": "HERO4 Black",
    "HX1": "HERO4 Session",
    "HD5.03": "HERO5 Session",
    "HD5": "HERO5 Black",
    "HD6": "HERO6 Black",
    "HD7": "HERO7 Black",
    "HD8": "HERO8 Black",
    "HD9": "HERO9 Black",
    "H18": "HERO (2018)",
    "FS1": "Fusion",
    "H19": "MAX",
    "H21": "HERO10 Black",
    "H22": "HERO11 Black",
    "H23": "HERO12 Black",
    "H24.01": "HERO13 Black",
    "H24.02": "MAX 2",
    "H24.03": "HERO (2024)",
    "H25": "LIT HERO",
    "H26.01": "MISSION 1 PRO",
    "H26.02": "MISSION 1",
    "H26.03": "MISSION 1 PRO ILS",
}


@dataclass(frozen=True)
class CameraInfo:
    """Which camera it is; each field is None where the camera does not say."""

    model: str | None = None
    firmware: str | None = None
    serial: str | None = None


@dataclass(frozen=True)
class CameraState:
    """What the camera is doing; each field is None where the camera does not say.

    Attributes:
        battery_percent: The charge.
        recording: A recording is being written.
        busy: The camera is busy with something.
        overheating: It is too hot.
        card: The card's state in a word or two.
        free_bytes: Room left on the card.
        photos: Number of photos on the card; groups may count as one.
        videos: Number of videos on the card.
        turbo: The transfer mode that blocks the camera's own use is on.
        clock: Status 40, the clock of cameras before Open GoPro, as it was sent.
    """

    battery_percent: int | None = None
    recording: bool | None = None
    busy: bool | None = None
    overheating: bool | None = None
    card: str | None = None
    free_bytes: int | None = None
    photos: int | None = None
    videos: int | None = None
    turbo: bool | None = None
    clock: str | None = None


def parse_info(document: object) -> CameraInfo | None:
    """Read the flat answer of `/gopro/camera/info` or the nested one of `gpControl`.

    None where the document is neither.
    """
    if not isinstance(document, dict):
        return None
    nested = document.get("info")
    fields: Mapping[str, object] = nested if isinstance(nested, dict) else document
    firmware = _text(fields.get("firmware_version"))
    model = _text(fields.get("model_name")) or _model_of(firmware)
    serial = _text(fields.get("serial_number"))
    if model is None and firmware is None and serial is None:
        return None
    return CameraInfo(model, firmware, serial)


def parse_state(document: object) -> CameraState | None:
    """Read `/gopro/camera/state` or `/gp/gpControl/status`; None where the document is neither."""
    status = document.get("status") if isinstance(document, dict) else None
    if not isinstance(status, dict):
        return None
    numbers = {key: value for key, value in status.items() if isinstance(value, int)}
    card = numbers.get("33")
    free_kb = numbers.get("54")
    return CameraState(
        battery_percent=numbers.get("70"),
        recording=_flag(numbers.get("10")),
        busy=_flag(numbers.get("8")),
        overheating=_flag(numbers.get("6")),
        card=None if card is None else _CARDS.get(card, f"status {card}"),
        free_bytes=None if free_kb is None else free_kb * 1024,
        photos=numbers.get("38"),
        videos=numbers.get("39"),
        turbo=_flag(numbers.get("113")),
        clock=_text(status.get("40")),
    )


def _flag(value: int | None) -> bool | None:
    return None if value is None else value != 0


def _text(value: object) -> str | None:
    """Take a short text from the camera; what could drive a terminal is shown, not obeyed."""
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip()
    return text[:80] if text.isascii() and text.isprintable() else escaped(text)[1:-1]


def _model_of(firmware: str | None) -> str | None:
    prefixes = sorted(_MODELS, key=len, reverse=True)
    return next((_MODELS[p] for p in prefixes if firmware and firmware.startswith(p)), None)
