"""The items of a set: what they are called, how rare they are, how many are wanted and owned."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING

from labkit.drops.binomial import at_least
from labkit.drops.rates import parse_count, parse_rate
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from labkit.drops.chances import Chance
    from labkit.drops.rates import Exact

__all__ = [
    "MAX_ITEMS",
    "SetItem",
    "coupon_items",
    "expected_distinct",
    "parse_set_items",
    "set_items",
]

MAX_ITEMS = 10_000
"""The largest number of items of a set that is computed with."""


@dataclass(frozen=True, slots=True)
class SetItem:
    """An item of a set.

    Attributes:
        name: Its name.
        rate: Its chance per try, exact.
        copies: The copies wanted.
        owned: The copies already owned.
    """

    name: str
    rate: Fraction
    copies: int = 1
    owned: int = 0

    @property
    def missing(self) -> int:
        """The copies still to get."""
        return max(self.copies - self.owned, 0)

    def within(self, tries: int) -> Chance:
        """Return the chance that this item alone is complete after `tries` tries."""
        return at_least(self.missing, tries, self.rate)


def set_items(
    rates: Mapping[str, Exact],
    *,
    need: Mapping[str, int] | None = None,
    owned: Mapping[str, int] | None = None,
) -> list[SetItem]:
    """Make the items of a set from their rates, the copies wanted (1 each) and those owned.

    Raises:
        UsageError: A rate or number makes no sense, or a name is not in the set.
    """
    for name in (*(need or {}), *(owned or {})):
        if name not in rates:
            close = get_close_matches(name, rates, n=1)
            raise UsageError(
                f"the set has no item `{name}`",
                hint=f"did you mean {close[0]}?" if close else f"it has {', '.join(rates)}"[:200],
                code="no-such-item",
            )
    return [
        SetItem(
            name,
            parse_rate(rate),
            parse_count((need or {}).get(name, 1), "copies", minimum=1),
            parse_count((owned or {}).get(name, 0), "copies"),
        )
        for name, rate in rates.items()
    ]


def parse_set_items(
    texts: Iterable[str], needs: Iterable[str] = (), owned: Iterable[str] = ()
) -> list[SetItem]:
    """Read the items of a set as a user types them.

    Args:
        texts: `NAME=RATE`.
        needs: `NAME:COUNT`, the copies wanted of an item.
        owned: `NAME` for one copy already owned, or `NAME:COUNT`.

    Raises:
        UsageError: One of them cannot be read, a name comes twice or is not in the set.
    """
    rates: dict[str, str] = {}
    for text in texts:
        name, equals, rate = text.partition("=")
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise UsageError(
                "the name of an item is not UTF-8 text", hint="write it in UTF-8, or in ASCII"
            )
        if not (name.strip() and equals and rate.strip()):
            raise UsageError(f"`{text}` is not an item", hint="write NAME=RATE, such as helm=1/500")
        if name.strip() in rates:
            raise UsageError(
                f"the item `{name.strip()}` is given twice",
                hint=f"for two copies of it, use --need {name.strip()}:2",
            )
        rates[name.strip()] = rate.strip()
    wanted = _counts(needs, "--need", bare=None)
    return set_items(rates, need=wanted, owned=_counts(owned, "--owned", bare=1))


def coupon_items(
    types: int | str, needs: Iterable[str] = (), owned: Iterable[str] = ()
) -> list[SetItem]:
    """Make a set of `types` kinds of which every try gives one, all equally likely.

    Args:
        types: How many kinds; they are named 1, 2, 3, ...
        needs: `NAME:COUNT`, the copies wanted of a kind.
        owned: `NAME` for one copy already owned, or `NAME:COUNT`.

    Raises:
        UsageError: `types` is below 1, or a name is not in the set.
        LimitError: `types` is above `MAX_ITEMS`.
    """
    count = parse_count(types, "types", minimum=1, maximum=MAX_ITEMS)
    rates = {str(number): Fraction(1, count) for number in range(1, count + 1)}
    wanted, have = _counts(needs, "--need", bare=None), _counts(owned, "--owned", bare=1)
    return set_items(rates, need=wanted, owned=have)


def expected_distinct(items: Sequence[SetItem], tries: int) -> float:
    """Return the mean number of different items seen in `tries` tries, owned ones not counted."""
    return math.fsum(at_least(1, tries, item.rate).value for item in items)


def _counts(texts: Iterable[str], option: str, *, bare: int | None) -> dict[str, int]:
    """Read NAME:COUNT texts; a name without a count adds `bare`."""
    counts: Counter[str] = Counter()
    for text in texts:
        name, colon, count = text.rpartition(":")
        if not colon:
            name, count = text, str(bare) if bare is not None else ""
        if not name or not count:
            raise UsageError(f"`{option} {text}` cannot be read", hint=f"write {option} NAME:COUNT")
        counts[name] += parse_count(count, "copies")
    return dict(counts)
