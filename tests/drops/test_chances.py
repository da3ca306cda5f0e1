from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance


@given(st.fractions(min_value=0, max_value=1))
def test_a_chance_and_its_complement_are_both_precise(exact):
    """Value and complement are the correctly rounded doubles of the exact fraction."""
    chance = Chance.from_fraction(exact)

    assert float(exact) == chance.value
    assert float(1 - exact) == chance.complement
    assert chance.impossible == (exact == 0)
    assert chance.certain == (exact == 1)


def test_what_is_nearly_certain_is_not_certain():
    """A complement of 1e-400 is neither lost nor taken for 0."""
    chance = Chance.from_fraction(1 - Fraction(1, 10**400))

    assert not chance.certain
    assert chance.opposite.log10 == pytest.approx(-400, rel=1e-14)


def test_an_underflowing_chance_keeps_its_logarithm():
    """Far below the smallest double log10 still tells it from impossible."""
    chance = Chance.from_ln(-1e5)

    assert not chance.impossible
    assert chance.log10 == pytest.approx(-1e5 / math.log(10))
    assert chance.one_in is None


@pytest.mark.parametrize("value", [0.0, 1e-310, 1e-9, 0.25, 0.5, 0.75, 1 - 1e-16, 1.0])
def test_a_double_makes_a_chance(value):
    """Any double from 0 to 1 keeps its value; the ends are impossible and certain."""
    chance = Chance.from_value(value)

    assert value == chance.value
    assert (value == 0) == chance.impossible
    assert (value == 1) == chance.certain
    assert chance.opposite.opposite == chance


def test_the_constants_are_the_ends():
    """The two exact ends know what they are."""
    assert CERTAIN.certain
    assert IMPOSSIBLE.impossible
    assert CERTAIN.one_in == 1
    assert IMPOSSIBLE.one_in is None
