"""How long a set of 100 unequal items takes, beside the alternating sum that others use.

    python benchmarks/drops_sets.py

The items have the rates 1/5050, 2/5050, ..., 100/5050 of an exclusive table. The truth is an
exact fraction; the alternating sum over the items that are missing, grouped by weight, runs in
doubles. Medians of several runs; the first one, which imports numpy, is not counted.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from labkit.drops.exact_sets import exact_exclusive
from labkit.drops.items import SetItem
from labkit.drops.sets import set_law

if TYPE_CHECKING:
    from collections.abc import Callable

WEIGHTS = range(1, 101)
FACES = sum(WEIGHTS)
TRIES = (120, 200, 1000, 30_000)
RUNS = 9


@dataclass(frozen=True)
class Row:
    """One question: what it took, and how far each answer is from the truth.

    Attributes:
        tries: The number of tries on the set.
        labkit_s: The time labkit takes.
        peer_s: The time the alternating sum takes.
        labkit_error: The relative error of labkit's answer.
        peer_error: The relative error of the alternating sum.
    """

    tries: int
    labkit_s: float
    peer_s: float
    labkit_error: float
    peer_error: float


def items() -> list[SetItem]:
    return [SetItem(str(weight), Fraction(weight, FACES)) for weight in WEIGHTS]


def complete(tries: int) -> float:
    return set_law(items()).within(tries).value


def alternating_sum(tries: int) -> float:
    """Sum (-1)^|S| (1 - p(S))^n over all sets S of missing items, grouped by weight."""
    counts = [0.0] * (FACES + 1)
    counts[0] = 1.0
    for weight in WEIGHTS:
        for lost in range(FACES, weight - 1, -1):
            counts[lost] -= counts[lost - weight]
    return math.fsum(c * (1 - lost / FACES) ** tries for lost, c in enumerate(counts))


def everything() -> None:
    """Ask what `labkit drops set` asks: chance, mean, spread and four confidences."""
    law = set_law(items())
    law.within(1000)
    assert law.moments[0] > 0
    for confidence in ("1/2", "9/10", "19/20", "99/100"):
        law.tries_for(Fraction(confidence))


def median_s(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def rows() -> list[Row]:
    """Measure every question."""
    measured = []
    for tries in TRIES:
        exact = exact_exclusive([(item.rate, item.copies) for item in items()], tries)
        assert exact is not None
        truth = float(exact)
        measured.append(
            Row(
                tries,
                median_s(partial(complete, tries)),
                median_s(partial(alternating_sum, tries)),
                abs(complete(tries) / truth - 1),
                abs(alternating_sum(tries) / truth - 1),
            )
        )
    return measured


def main() -> None:
    print("a set of 100 unequal items, exclusive table")
    print(f"{'tries':>6} {'labkit':>10} {'sum':>10} {'ratio':>7}  error of labkit, of the sum")
    for row in rows():
        print(
            f"{row.tries:>6} {row.labkit_s * 1e3:>7.2f} ms {row.peer_s * 1e3:>7.1f} ms "
            f"{row.labkit_s / row.peer_s:>7.3f}  {row.labkit_error:.1e}, {row.peer_error:.1e}"
        )
    print(f"chance, mean, spread and four confidences: {median_s(everything) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
