"""The chance that a set is complete as an exact fraction, for the cases that need one.

Inclusion and exclusion over the items that fall short, grouped by their total weight and by the
copies that came of them: with rates w/D, the terms of one weight and number share a power.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["exact_exclusive", "exact_independent"]

_MAX_TERMS = 20_000
_MAX_WORK = 2_000_000_000


def exact_exclusive(wanted: Sequence[tuple[Fraction, int]], tries: int) -> Fraction | None:
    """Return P(complete within `tries`) of an exclusive table; None where that is too much work.

    Args:
        wanted: The rate of each item and the copies wanted of it, at least 1.
        tries: The number of tries.
    """
    faces = math.lcm(*(rate.denominator for rate, _ in wanted))
    # (weight of the lacking items, copies that came of them) -> coefficient
    terms: dict[tuple[int, int], Fraction] = {(0, 0): Fraction(1)}
    bits = tries * faces.bit_length()
    for rate, copies in wanted:
        weight = rate.numerator * (faces // rate.denominator)
        if len(terms) * (copies + 1) > _MAX_TERMS:
            return None
        lacking = [
            (got, Fraction(-(weight**got), math.factorial(got)))
            for got in range(min(copies, tries + 1))
        ]
        grown = dict(terms)
        for (lost, came), coefficient in terms.items():
            for got, factor in lacking:
                key = (lost + weight, came + got)
                grown[key] = grown.get(key, Fraction(0)) + coefficient * factor
        terms = grown
        if len(terms) * bits > _MAX_WORK:
            return None
    total = Fraction(0)
    for (lost, came), coefficient in terms.items():
        if came <= tries:
            ways = coefficient * math.perm(tries, came)
            total += ways * (faces - lost) ** (tries - came)
    return total / Fraction(faces) ** tries


def exact_independent(wanted: Sequence[tuple[Fraction, int]], tries: int) -> Fraction | None:
    """Return P(complete within `tries`) of an independent table; None where it is too much work.

    Args:
        wanted: The rate of each item and the copies wanted of it, at least 1.
        tries: The number of tries.
    """
    bits = tries * sum(rate.denominator.bit_length() for rate, _ in wanted)
    if bits * sum(copies for _, copies in wanted) > _MAX_WORK:
        return None
    product = Fraction(1)
    for rate, copies in wanted:
        hit, faces = rate.numerator, rate.denominator
        lacking = sum(
            math.comb(tries, got) * hit**got * (faces - hit) ** (tries - got)
            for got in range(min(copies, tries + 1))
        )
        product *= 1 - Fraction(lacking, faces**tries)
    return product
