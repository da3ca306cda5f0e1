from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labkit.drops.binomial import at_least, at_most, deviance, exactly, stirling_error, within
from labkit.drops.rates import DropSpec
from labkit.drops.tails import evaluate

RATES = st.fractions(min_value=0, max_value=1, max_denominator=10**6)
SMALL = st.integers(0, 60)
PRECISE = 1e-12


def exact(low, high, n, rate):
    """P(low <= X <= high) as a fraction."""
    counts = range(max(low, 0), min(high, n) + 1)
    return sum(
        (math.comb(n, i) * rate**i * (1 - rate) ** (n - i) for i in counts), start=Fraction(0)
    )


def agrees(chance, reference):
    """Both the value and the complement are precise."""
    assert chance.value == pytest.approx(float(reference), rel=PRECISE, abs=1e-300)
    assert chance.complement == pytest.approx(float(1 - reference), rel=PRECISE, abs=1e-300)
    assert chance.impossible == (reference == 0)
    assert chance.certain == (reference == 1)


@given(SMALL, SMALL, RATES)
def test_small_cases_agree_with_exact_fractions(k, n, rate):
    """At least, at most and exactly, for any rate from 0 to 1 and any k, also above n."""
    agrees(at_least(k, n, rate), exact(k, n, n, rate))
    agrees(at_most(k, n, rate), exact(0, k, n, rate))
    agrees(exactly(k, n, rate), exact(k, k, n, rate))


@given(SMALL, SMALL, SMALL, RATES)
def test_a_range_agrees_with_exact_fractions(a, b, n, rate):
    """P(low <= X <= high), wherever the range lies."""
    low, high = sorted((a, b))

    agrees(within(DropSpec(low, high), n, rate), exact(low, high, n, rate))


@given(st.integers(1, 10**12), st.integers(0, 3000), st.integers(-12, 12), st.integers(1, 99))
def test_tails_are_precise_for_many_tries(n, k, sigmas, percent):
    """For up to 1e12 tries the tails agree with 60 digits, some standard deviations out."""
    assume(1 <= k <= n)
    rate = Fraction(k, n) * percent / 100
    assume(0 < rate < 1)
    wanted = round(n * rate + sigmas * math.sqrt(n * rate * (1 - rate)))
    assume(1 <= wanted <= n)
    chance, tails = at_least(wanted, n, rate), evaluate(rate, wanted, n, 60)

    assert chance.value == pytest.approx(float(tails.upper), rel=1e-11)
    assert chance.complement == pytest.approx(float(tails.lower), rel=1e-11)


@pytest.mark.parametrize(
    ("k", "n", "rate"),
    [
        (10**6, 10**12, Fraction(1, 10**6)),
        (10**6 + 6000, 10**12, Fraction(1, 10**6)),
        (10**6, 1001645421945189278, Fraction(1, 10**12)),
        (10**6, 10**6 + 1, 1 - Fraction(1, 10**6)),
        (5 * 10**5, 10**6, Fraction(1, 2)),
    ],
)
def test_a_million_drops_are_precise(k, n, rate):
    """The tails of a million drops agree with 60 digits."""
    chance, tails = at_least(k, n, rate), evaluate(rate, k, n, 60)

    assert chance.value == pytest.approx(float(tails.upper), rel=1e-11)
    assert chance.complement == pytest.approx(float(tails.lower), rel=1e-11)


@pytest.mark.parametrize("exponent", [9, 15, 60])
def test_the_complement_of_near_certainty_is_precise(exponent):
    """At p = 1 - e, one try misses with the chance e, to all its digits."""
    rate = 1 - Fraction(1, 10**exponent)

    agrees(at_least(1, 1, rate), rate)
    agrees(at_least(2, 3, rate), exact(2, 3, 3, rate))
    agrees(at_most(1, 2, rate), exact(0, 1, 2, rate))


@given(st.integers(1, 200), st.integers(1, 400), RATES)
def test_the_two_tails_add_up(k, n, rate):
    """P(X >= k) + P(X < k) = 1."""
    assert at_least(k, n, rate).value + at_most(k - 1, n, rate).value == pytest.approx(1, rel=1e-14)


@given(st.integers(1, 200), st.integers(1, 10**6), st.fractions(Fraction(1, 10**9), 1))
def test_more_tries_fewer_drops_and_a_better_rate_help(k, n, rate):
    """P(at least k) increases with the tries and the rate, and falls with k."""
    chance = at_least(k, n, rate).ln

    assert at_least(k, n + 1, rate).ln >= chance - 1e-12
    assert at_least(k + 1, n, rate).ln <= chance + 1e-12
    assert at_least(k, n, min(1, rate * 2)).ln >= chance - 1e-12


def test_a_tail_below_every_double_keeps_its_logarithm():
    """2^-100000 is no zero."""
    chance = at_most(0, 100_000, Fraction(1, 2))

    assert chance.log10 == pytest.approx(-100_000 * math.log10(2), rel=1e-14)
    assert not chance.impossible


def test_a_range_around_the_mode_is_not_certain():
    """What lies outside is far below every double, and still there."""
    chance = within(DropSpec(1, 199_999), 200_000, Fraction(1, 2))

    assert not chance.certain
    assert chance.opposite.log10 == pytest.approx(math.log10(2) * (1 - 200_000), rel=1e-12)


@given(st.integers(1, 10**6))
def test_the_stirling_error_is_what_it_says(m):
    """Ln m! minus Stirling's first approximation, to the last digits."""
    with mpmath.workdps(40):
        reference = mpmath.loggamma(m + 1) - (
            mpmath.log(2 * mpmath.pi * m) / 2 + m * mpmath.log(m) - m
        )

    assert stirling_error(m) == pytest.approx(float(reference), rel=1e-14)


@given(st.floats(1e-3, 1e9), st.floats(0.1, 10))
def test_the_deviance_does_not_cancel(x, ratio):
    """X ln(x/M) + M - x, also where x and M are close."""
    mean = x * ratio
    with mpmath.workdps(60):
        reference = x * mpmath.log(mpmath.mpf(x) / mean) + mpmath.mpf(mean) - x

    assert deviance(x, mean) == pytest.approx(float(reference), rel=1e-13)


@pytest.mark.parametrize("exponent", [295, 309, 400, 4000])
def test_a_rate_beyond_doubles_keeps_its_logarithm(exponent):
    """At a distance from 0 or 1 that no double holds."""
    tiny = Fraction(1, 10**exponent)

    assert at_least(1, 20, tiny).log10 == pytest.approx(math.log10(20) - exponent, rel=1e-14)
    assert at_least(1, 20, 1 - tiny).opposite.log10 == pytest.approx(-20 * exponent, rel=1e-14)
