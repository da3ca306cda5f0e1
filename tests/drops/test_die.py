from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.drops.die import Die, new_world_luck
from labkit.drops.errors import LimitError, NeverError
from labkit.drops.models import effective_magic_find, with_magic_find, with_rolls
from labkit.errors import UsageError

DICE = st.builds(Die, st.integers(1, 30), st.integers(0, 1))
LINES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 40), min_size=1)


@given(DICE, st.integers(0, 40), st.integers(0, 40))
def test_reach_counts_the_winning_faces(die, threshold, luck):
    """The chance is the share of faces whose roll and luck reach the threshold."""
    rolls = range(die.first_roll, die.first_roll + die.faces)
    winning = sum(roll + luck >= threshold for roll in rolls)

    assert die.reach(threshold, luck) == Fraction(winning, die.faces)


@given(DICE, st.integers(0, 40), st.integers(0, 40))
def test_possible_and_certain_luck_are_the_ends(die, threshold, luck):
    """Below the first luck nothing is reached, from the second on everything."""
    assert (die.reach(threshold, luck) > 0) == (luck >= die.possible_from(threshold))
    assert (die.reach(threshold, luck) == 1) == (luck >= die.certain_from(threshold))


@given(DICE, LINES, st.integers(0, 40))
def test_the_highest_reached_line_pays(die, lines, luck):
    """Face by face, the highest threshold that is reached pays, shared among equals."""
    expected = dict.fromkeys(lines, Fraction(0))
    for roll in range(die.first_roll, die.first_roll + die.faces):
        reached = [t for t in lines.values() if roll + luck >= t]
        payers = [name for name, t in lines.items() if reached and t == max(reached)]
        for name in payers:
            expected[name] += Fraction(1, die.faces * len(payers))

    assert expected == die.highest_line(lines, luck)


def test_a_line_above_the_die_takes_nothing_from_the_next():
    """85000, 85000 and 100001 without luck: 15000 faces shared by two."""
    chances = Die().highest_line({"a": 85_000, "b": 85_000, "rare": 100_001})

    assert chances == {"a": Fraction(3, 40), "b": Fraction(3, 40), "rare": 0}


@given(DICE, st.lists(st.integers(0, 40), min_size=1, max_size=2), st.fractions(Fraction(1, 99), 1))
def test_the_luck_for_a_chance_is_the_least(die, lines, chance):
    """The chance is reached at that luck and not one point below."""
    luck = die.luck_for_chance(lines, chance)

    assert die.reach_all(lines, luck) >= chance
    assert luck == 0 or die.reach_all(lines, luck - 1) < chance


@given(
    DICE,
    st.lists(st.integers(0, 40), min_size=1, max_size=2),
    st.integers(1, 9),
    st.fractions(Fraction(1, 99), 1),
)
def test_the_luck_for_a_confidence_is_the_least(die, lines, tries, confidence):
    """The chance within the tries is reached at that luck and not one point below."""
    luck = die.luck_for_confidence(lines, tries, confidence)

    assert 1 - (1 - die.reach_all(lines, luck)) ** tries >= confidence
    assert luck == 0 or 1 - (1 - die.reach_all(lines, luck - 1)) ** tries < confidence


def test_without_tries_no_luck_is_enough():
    """Zero tries are refused instead of searched."""
    with pytest.raises(NeverError):
        Die().luck_for_confidence([100], 0, Fraction(1, 2))


def test_new_world_points_add_up():
    """Ten a level, a hundred a percent of gear, the rest as it is; fractions are lost."""
    points = new_world_luck(
        gathering_level=200,
        food=2000,
        tool_percent=Fraction("9.275"),
        trophies=[1500, 500],
        other=3000,
    )

    assert points == 2000 + 2000 + 927 + 2000 + 3000


@given(st.fractions(0, 1, max_denominator=100), st.integers(1, 8))
def test_several_rolls_are_not_a_multiple_of_the_rate(rate, rolls):
    """At least one of r rolls hits: 1 - (1-p)^r, exactly."""
    assert 1 - with_rolls(rate, rolls) == (1 - rate) ** rolls


def test_a_huge_number_of_rolls_is_refused():
    """The exact fraction would have a million digits."""
    with pytest.raises(LimitError):
        with_rolls(Fraction(1, 4096), 10**6)


def test_magic_find_has_diminishing_returns():
    """300 % magic find counts as 136 % for a unique item."""
    assert effective_magic_find(300, "unique") == Fraction(1500, 11)
    assert with_magic_find(Fraction(1, 1000), 300, "unique") == Fraction(236, 100_000)
    assert with_magic_find(Fraction(9, 10), 300, "unique") == 1
    with pytest.raises(UsageError, match="magic"):
        with_magic_find(Fraction(1, 10), 300, "legendary")
