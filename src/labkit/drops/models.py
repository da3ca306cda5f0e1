"""How games turn a base rate into the rate per try."""

from __future__ import annotations

import math
from fractions import Fraction

from labkit.drops.errors import LimitError
from labkit.errors import UsageError

__all__ = ["MAGIC_FIND_FACTORS", "effective_magic_find", "with_magic_find", "with_rolls"]

MAGIC_FIND_FACTORS = {"unique": 250, "set": 500, "rare": 600}
"""Diablo II: how much magic find is worth for each quality, by diminishing returns."""

_MAX_ROLL_BITS = 100_000


def with_rolls(rate: Fraction, rolls: int) -> Fraction:
    """Return the chance of at least one hit when each try rolls several times: 1 - (1-p)^r.

    Raises:
        LimitError: The exact fraction would be huge.
    """
    if rolls * rate.denominator.bit_length() > _MAX_ROLL_BITS:
        raise LimitError(
            f"{rolls} rolls a try are too many to compute with exactly",
            hint="make each roll a try: multiply --tries instead",
        )
    return 1 - (1 - rate) ** rolls


def effective_magic_find(percent: int, quality: str) -> Fraction:
    """Return Diablo II's effective magic find in percent, before it is rounded down.

    Source: MF f / (MF + f), with f = 250 for unique, 500 for set and 600 for rare items.

    Raises:
        UsageError: There is no such quality.
    """
    factor = MAGIC_FIND_FACTORS.get(quality)
    if factor is None:
        raise UsageError(
            f"`{quality}` is not a quality that magic find knows",
            hint=f"one of {', '.join(MAGIC_FIND_FACTORS)}",
            code="bad-quality",
        )
    return Fraction(percent * factor, percent + factor)


def with_magic_find(rate: Fraction, percent: int, quality: str) -> Fraction:
    """Return Diablo II's rate with magic find: p (1 + effective/100), at most 1.

    Raises:
        UsageError: There is no such quality.
    """
    effective = math.floor(effective_magic_find(percent, quality))
    return min(Fraction(1), rate * (100 + effective) / 100)
