"""The two ways to start another system once; apart, so that the command line loads nothing else."""

from __future__ import annotations

from enum import StrEnum, unique

__all__ = ["Via"]


@unique
class Via(StrEnum):
    """Who starts the other system."""

    GRUB = "grub"
    FIRMWARE = "firmware"
