from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.drops.binomial import at_least, at_most, exactly
from labkit.drops.errors import LimitError
from labkit.drops.rates import DropSpec
from labkit.drops.sources import Mixture, Source, parse_source
from labkit.errors import UsageError

RATES = st.fractions(min_value=0, max_value=1, max_denominator=10**5)
SOURCES = st.lists(st.builds(Source, st.integers(0, 12), RATES), min_size=1, max_size=4)


def exact_law(sources):
    """P(S = k) for every k, as fractions, try by try."""
    law = [Fraction(1)]
    for source in sources:
        for _ in range(source.tries):
            hit, miss = source.rate, 1 - source.rate
            law = [a * miss + b * hit for a, b in zip([*law, 0], [0, *law], strict=True)]
    return law


def agrees(chance, reference):
    """Both sides are precise, and the ends are exact."""
    assert chance.value == pytest.approx(float(reference), rel=1e-11, abs=1e-300)
    assert chance.complement == pytest.approx(float(1 - reference), rel=1e-11, abs=1e-300)
    assert chance.impossible == (reference == 0)
    assert chance.certain == (reference == 1)


@given(SOURCES, st.integers(0, 50), st.integers(0, 50))
def test_small_mixtures_agree_with_exact_fractions(sources, a, b):
    """Every kind of event, with rates of 0 and 1 and sources without tries among them."""
    law, mixture = exact_law(sources), Mixture(sources)
    low, high = sorted((a, b))

    agrees(mixture.at_least(a), sum(law[a:], start=Fraction(0)))
    agrees(mixture.at_most(a), sum(law[: a + 1], start=Fraction(0)))
    agrees(mixture.exactly(a), law[a] if a < len(law) else Fraction(0))
    agrees(mixture.within(DropSpec(low, high)), sum(law[low : high + 1], start=Fraction(0)))


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 400), st.integers(1, 100))
def test_equal_rates_are_one_source(n1, n2, k, mean):
    """Two sources at the same rate are one binomial source, also far out in the tails."""
    rate = Fraction(mean, n1 + n2 + mean)
    mixture = Mixture([Source(n1, rate), Source(n2, rate)])

    for got, one in (
        (mixture.at_least(k), at_least(k, n1 + n2, rate)),
        (mixture.at_most(k), at_most(k, n1 + n2, rate)),
        (mixture.exactly(k), exactly(k, n1 + n2, rate)),
    ):
        assert got.ln == pytest.approx(one.ln, rel=1e-11, abs=1e-11)
        assert got.ln_complement == pytest.approx(one.ln_complement, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("k", range(8))
def test_rates_near_certainty_lose_no_digits(k):
    """Few hits of many near-certain tries are as precise as few misses."""
    rate = 1 - Fraction(1, 10**9)
    mixture = Mixture([Source(3, rate), Source(4, rate - Fraction(1, 10**8))])
    law = exact_law([Source(3, rate), Source(4, rate - Fraction(1, 10**8))])

    agrees(mixture.exactly(k), law[k])
    agrees(mixture.at_least(k), sum(law[k:], start=Fraction(0)))


def test_a_tail_below_every_double_keeps_its_logarithm():
    """All of 2000 tries at one half and 100 at one third."""
    mixture = Mixture([Source(2000, Fraction(1, 2)), Source(100, Fraction(1, 3))])

    assert mixture.exactly(2100).log10 == pytest.approx(-2000 * math.log10(2) - 100 * math.log10(3))


def test_mean_and_variance_are_exact():
    """The sums of n p and n p q."""
    mixture = Mixture([Source(40, Fraction(1, 120)), Source(60, Fraction(1, 50))])

    assert mixture.mean == Fraction(23, 15)
    assert mixture.variance == 40 * Fraction(119, 120**2) + 60 * Fraction(49, 50**2)


def test_a_spread_that_is_too_wide_is_refused():
    """A billion multiplications are not begun."""
    sources = [Source(10**10, Fraction(1, 2)), Source(10**10, Fraction(1, 3))]

    with pytest.raises(LimitError):
        Mixture(sources).at_least(8 * 10**9)


def test_a_source_is_read():
    """Tries and rate, around an @."""
    assert parse_source(" 40 @ 1/120 ") == Source(40, Fraction(1, 120))


@pytest.mark.parametrize("text", ["40", "@1/2", "40@", "40@0", "1.5@1/2", "40@5", "4@1/2@3"])
def test_what_is_no_source_is_refused(text):
    """A part is missing or makes no sense."""
    with pytest.raises(UsageError):
        parse_source(text)
