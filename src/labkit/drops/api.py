"""The questions about one rate, as a library: what is typed in, plain numbers out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from labkit.drops import binomial
from labkit.drops.rates import MAX_DROPS, DropSpec, parse_confidence, parse_count, parse_rate
from labkit.drops.tries import dependable_drops, minimum_tries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from labkit.drops.rates import Exact

__all__ = [
    "chance_at_least",
    "chance_at_most",
    "chance_curve",
    "chance_exactly",
    "drops_to_count_on",
    "mean_tries",
    "sd_tries",
    "tries_needed",
]


def tries_needed(rate: Exact, drops: int = 1, confidence: Exact = "95%") -> int:
    """Return the smallest number of tries that gives `drops` drops with this confidence.

    The integer is exact: P(at least `drops` drops) >= `confidence` holds for it and not for one
    fewer, and equality counts. `labkit.drops.minimum_tries` returns both chances with it.

    >>> tries_needed("5%", 200)
    4464

    Args:
        rate: The chance of a drop per try.
        drops: How many drops are wanted.
        confidence: A probability (`0.95`, `19/20`) or a percentage (`95%`, `95`).

    Raises:
        UsageError: An argument makes no sense, or no number of tries is enough.
        LimitError: An argument is beyond what is computed with.
    """
    drops = parse_count(drops, "drops", maximum=MAX_DROPS)
    return minimum_tries(parse_rate(rate), drops, parse_confidence(confidence)).tries


def chance_at_least(drops: int, *, tries: int, rate: Exact) -> float:
    """Return P(at least `drops` drops in `tries` tries).

    >>> chance_at_least(4, tries=40, rate="1/12")
    0.430148687130361...

    Raises:
        UsageError: An argument makes no sense.
    """
    return chance_curve(rate, [tries], drops)[0]


def chance_at_most(drops: int, *, tries: int, rate: Exact) -> float:
    """Return P(at most `drops` drops in `tries` tries), precise where it is small.

    Raises:
        UsageError: An argument makes no sense.
    """
    spec = DropSpec(0, parse_count(drops, "drops", maximum=MAX_DROPS))
    return binomial.within(spec, parse_count(tries, "tries"), parse_rate(rate, zero=True)).value


def chance_exactly(drops: int, *, tries: int, rate: Exact) -> float:
    """Return P(exactly `drops` drops in `tries` tries).

    Raises:
        UsageError: An argument makes no sense.
    """
    drops = parse_count(drops, "drops", maximum=MAX_DROPS)
    return binomial.exactly(drops, parse_count(tries, "tries"), parse_rate(rate, zero=True)).value


def chance_curve(rate: Exact, tries: Iterable[int], drops: int = 1) -> list[float]:
    """Return P(at least `drops` drops) for each of many numbers of tries.

    Raises:
        UsageError: An argument makes no sense.
    """
    exact_rate = parse_rate(rate, zero=True)
    wanted = parse_count(drops, "drops", maximum=MAX_DROPS)
    return [binomial.at_least(wanted, parse_count(n, "tries"), exact_rate).value for n in tries]


def drops_to_count_on(rate: Exact, tries: int, confidence: Exact = "95%") -> int:
    """Return the largest number of drops that `tries` tries give with this confidence.

    Raises:
        UsageError: An argument makes no sense.
    """
    count = parse_count(tries, "tries")
    return dependable_drops(parse_rate(rate), count, parse_confidence(confidence))


def mean_tries(rate: Exact, drops: int = 1) -> float:
    """Return the mean number of tries up to and including the drop number `drops`: k / p.

    Raises:
        UsageError: An argument makes no sense.
    """
    return float(parse_count(drops, "drops", maximum=MAX_DROPS) / parse_rate(rate))


def sd_tries(rate: Exact, drops: int = 1) -> float:
    """Return the standard deviation of that number of tries: sqrt(k (1 - p)) / p.

    Raises:
        UsageError: An argument makes no sense.
    """
    exact_rate = parse_rate(rate)
    wanted = parse_count(drops, "drops", maximum=MAX_DROPS)
    return math.sqrt(wanted * (1 - exact_rate)) / float(exact_rate)
