"""Rolls on a die that luck is added to, as in New World; all of it in exact fractions.

A die has M faces, and a line with threshold T is reached when roll + luck >= T. Whether the
faces are 0..M-1 or 1..M is not documented by the game; it changes a chance by 1/M, so it is a
choice here: `first_roll` 0 (the default) or 1.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from labkit.drops.errors import NeverError
from labkit.drops.tries import reaches

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

__all__ = ["NEW_WORLD_DIE", "Die", "new_world_luck"]

_Key = TypeVar("_Key", bound="Hashable")

NEW_WORLD_DIE = 100_000
"""Faces of the die of most New World loot tables."""


@dataclass(frozen=True, slots=True)
class Die:
    """A die, and how it is counted.

    Attributes:
        faces: How many faces it has.
        first_roll: The lowest roll, 0 or 1.
    """

    faces: int = NEW_WORLD_DIE
    first_roll: int = 0

    def winning_faces(self, threshold: int, luck: int = 0) -> int:
        """Return how many faces reach the threshold."""
        return min(self.faces, max(0, self.faces + luck - threshold + self.first_roll))

    def reach(self, threshold: int, luck: int = 0) -> Fraction:
        """Return the chance that a roll reaches the threshold."""
        return Fraction(self.winning_faces(threshold, luck), self.faces)

    def reach_all(self, thresholds: Sequence[int], luck: int = 0) -> Fraction:
        """Return the chance that separate rolls reach one threshold each, with the same luck."""
        chance = Fraction(1)
        for threshold in thresholds:
            chance *= self.reach(threshold, luck)
        return chance

    def possible_from(self, threshold: int) -> int:
        """Return the smallest luck, at least 0, with which the threshold can be reached."""
        return max(0, threshold - self.faces + 1 - self.first_roll)

    def certain_from(self, threshold: int) -> int:
        """Return the smallest luck, at least 0, with which every roll reaches the threshold."""
        return max(0, threshold - self.first_roll)

    def highest_line(self, lines: Mapping[_Key, int], luck: int = 0) -> dict[_Key, Fraction]:
        """Return the chance of each line where the highest reached one pays (an OR table).

        Lines with equal thresholds share uniformly. What is missing to 1 pays nothing.
        """
        shares = Counter(lines.values())
        steps = sorted(shares)
        # Clamp first, then subtract: a line above the die takes nothing from the next.
        reached = [*(self.winning_faces(step, luck) for step in steps), 0]
        chances = {
            step: Fraction(reached[i] - reached[i + 1], self.faces * shares[step])
            for i, step in enumerate(steps)
        }
        return {name: chances[threshold] for name, threshold in lines.items()}

    def luck_for_chance(self, thresholds: Sequence[int], chance: Fraction) -> int:
        """Find the smallest luck, at least 0, that gives a chance per try."""
        return self._least_luck(thresholds, lambda reached: reached >= chance)

    def luck_for_confidence(
        self, thresholds: Sequence[int], tries: int, confidence: Fraction
    ) -> int:
        """Find the smallest luck, at least 0, for one hit or more in so many tries.

        Raises:
            NeverError: There are no tries.
        """
        if tries == 0:
            raise NeverError("without a try no luck is enough", hint="give --tries 1 or more")
        return self._least_luck(thresholds, lambda reached: reaches(reached, 1, tries, confidence))

    def _least_luck(self, thresholds: Sequence[int], enough: Callable[[Fraction], bool]) -> int:
        """Bisect for the least luck with which the chance per try is enough."""
        low, high = -1, max(map(self.certain_from, thresholds))
        while high - low > 1:
            middle = (low + high) // 2
            if enough(self.reach_all(thresholds, middle)):
                high = middle
            else:
                low = middle
        return high


def new_world_luck(
    *,
    gathering_level: int = 0,
    food: int = 0,
    tool_percent: Fraction = Fraction(0),
    trophies: Sequence[int] = (),
    other: int = 0,
) -> int:
    """Add up New World's gathering luck in points.

    A level of the trade gives 10 points, a percent of luck on gear 100; food, trophies and the
    rest are points already. Fractions of a point are lost.
    """
    return math.floor(10 * gathering_level + food + 100 * tool_percent + sum(trophies) + other)
