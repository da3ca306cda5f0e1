"""A camera that is none: any dialect, any fault, on 127.0.0.1, for rehearsals and tests."""

from __future__ import annotations

from labkit.gopro.fake.camera import DIALECT_NAMES, FakeCamera
from labkit.gopro.fake.card import Card, CardFile, made_up_card, read_card
from labkit.gopro.fake.faults import FAULTS, check_faults

__all__ = [
    "DIALECT_NAMES",
    "FAULTS",
    "Card",
    "CardFile",
    "FakeCamera",
    "check_faults",
    "made_up_card",
    "read_card",
]
