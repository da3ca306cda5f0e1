from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from labkit.drops.errors import LimitError
from labkit.drops.prd import prd_from_constant, prd_from_nominal
from labkit.errors import UsageError

CONSTANTS = st.fractions(Fraction(1, 300), 1, max_denominator=400).filter(bool)
CONFIDENCES = st.fractions(Fraction(1, 10**6), 1 - Fraction(1, 10**6), max_denominator=10**6)


def survivals(constant):
    """The exact chance of 0, 1, 2, ... failures in a row, up to the last one above 0."""
    chances = [Fraction(1)]
    while (factor := 1 - len(chances) * constant) > 0:
        chances.append(chances[-1] * factor)
    return chances


@given(CONSTANTS)
def test_moments_and_extremes_agree_with_exact_sums(constant):
    """Mean, spread, longest and likeliest gap are those of the law's own terms."""
    law = prd_from_constant(constant)
    chances = [*survivals(constant), Fraction(0)]
    gaps = [before - after for before, after in pairwise(chances)]
    mean = sum(n * gap for n, gap in enumerate(gaps, 1))
    variance = sum(n * n * gap for n, gap in enumerate(gaps, 1)) - mean**2

    assert law.max_tries == len(gaps)
    assert law.most_likely == 1 + gaps.index(max(gaps))
    assert math.isclose(law.mean_tries, mean, rel_tol=1e-13)
    assert math.isclose(law.sd, math.sqrt(variance), rel_tol=1e-11, abs_tol=1e-7)


@given(CONSTANTS)
def test_the_constant_is_found_again(constant):
    """From a constant to its nominal chance and back."""
    nominal = 1 / sum(survivals(constant))
    law = prd_from_nominal(nominal)

    assert math.isclose(law.constant, constant, rel_tol=1e-12)
    assert law.max_tries == math.ceil(1 / constant)


@pytest.mark.parametrize("offset", [Fraction(-1, 10**40), Fraction(0), Fraction(1, 10**40)])
@pytest.mark.parametrize("longest", [3, 7, 50])
def test_the_longest_streak_is_exact_beside_a_whole_number(longest, offset):
    """Where 1/C is a whole number, or a hair beside one, no rounding decides."""
    nominal = 1 / sum(survivals(Fraction(1, longest))) + offset

    assert prd_from_nominal(nominal).max_tries == longest + (offset < 0)


@given(CONSTANTS, st.integers(0, 400), st.integers(0, 400))
def test_the_chance_within_tries_is_exact(constant, tries, failed):
    """Both tails agree with exact products, from any state that can be."""
    chances = survivals(constant)
    failed = min(failed, len(chances) - 1)
    left = chances[failed + tries] / chances[failed] if failed + tries < len(chances) else 0
    chance = prd_from_constant(constant).within(tries, failed)

    assert math.isclose(chance.value, 1 - left, rel_tol=1e-12)
    assert math.isclose(chance.complement, left, rel_tol=1e-11, abs_tol=1e-300)


@given(CONSTANTS, CONFIDENCES, st.booleans())
def test_the_tries_for_a_confidence_are_the_fewest(constant, confidence, tie):
    """Equality counts, also where a double would miss it."""
    chances = survivals(constant)
    if tie and len(chances) > 1:
        confidence = 1 - chances[1 + confidence.numerator % (len(chances) - 1)]
    tries = prd_from_constant(constant).tries_for(confidence)
    reached = [n for n, left in enumerate([*chances, Fraction(0)]) if 1 - left >= confidence]

    assert tries == reached[0]


@pytest.mark.parametrize("constant", ["0.99e-4", "3.7e-5", "1.0001e-5"])
def test_small_constants_need_no_sum(constant):
    """Where the sums give way to expansions, nothing is lost."""
    with mp.workdps(40):
        c, survival, total, second = mpf(constant), mpf(1), mpf(1), mpf(1)
        at_500, n = None, 0
        while survival > mpf("1e-45"):
            n += 1
            survival *= 1 - n * c
            total += survival
            second += (2 * n + 1) * survival
            at_500 = survival if n == 500 else at_500
        law = prd_from_constant(constant)

        assert math.isclose(law.mean_tries, total, rel_tol=1e-14)
        assert math.isclose(law.sd, mp.sqrt(second - total**2), rel_tol=1e-13)
        assert math.isclose(law.within(500).complement, at_500, rel_tol=1e-13)


def test_the_chances_of_all_gaps_sum_to_one():
    """Every gap up to the longest has its chance, and none beyond."""
    law = prd_from_nominal("25%")

    assert math.isclose(math.fsum(law.chance_at(gap) for gap in range(20)), 1, rel_tol=1e-15)
    assert law.chance_at(0) == law.chance_at(law.max_tries + 1) == 0


def test_certainty_is_the_longest_streak():
    """100 % is asked for and given there, and nowhere before."""
    law = prd_from_nominal("25%")

    assert law.tries_for(Fraction(1)) == law.max_tries == 12
    assert law.within(12).certain
    assert not law.within(11).certain


@pytest.mark.parametrize(
    ("make", "value", "error"),
    [
        (prd_from_nominal, "0", UsageError),
        (prd_from_nominal, "1e-7", LimitError),
        (prd_from_nominal, "101%", UsageError),
        (prd_from_constant, "0", UsageError),
        (prd_from_constant, "1e-13", LimitError),
        (prd_from_constant, "2", UsageError),
    ],
)
def test_what_is_no_chance_is_refused(make, value, error):
    """Neither a wrong number nor an endless sum."""
    with pytest.raises(error):
        make(value)
