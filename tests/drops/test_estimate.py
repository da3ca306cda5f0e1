from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.drops.binomial import at_least, at_most
from labkit.drops.estimate import (
    clopper_pearson,
    jeffreys,
    judge_claim,
    pity_rate,
    stopped_interval,
    unbiased_stopped,
    wilson,
)
from labkit.errors import UsageError

COUNTS = st.tuples(st.integers(0, 300), st.integers(0, 10**6)).map(lambda t: (t[0], sum(t) + 1))
ALPHAS = st.sampled_from([Fraction(1, 20), Fraction(1, 100), Fraction(1, 10**9)])


@given(COUNTS, ALPHAS)
def test_the_exact_interval_solves_its_equations(counts, alpha):
    """A hair on either side of each end, the tail beyond what was seen crosses alpha/2."""
    got, tries = counts
    low, high = clopper_pearson(got, tries, alpha)
    half, hair = float(alpha / 2), 1e-11

    def many(rate):
        return at_least(got, tries, Fraction(min(rate, 1.0))).value

    def few(rate):
        return at_most(got, tries, Fraction(min(rate, 1.0))).value

    assert low <= got / tries <= high
    if got:
        assert many(low * (1 - hair)) < half < many(low * (1 + hair))
    if got < tries:
        assert few(high * (1 - hair)) > half > few(high * (1 + hair))


@given(COUNTS, ALPHAS)
def test_all_intervals_hold_the_observed_share(counts, alpha):
    """Each interval is in order, within 0 and 1, and its edges are exact."""
    got, tries = counts
    for method in (clopper_pearson, wilson, jeffreys):
        low, high = method(got, tries, alpha)

        assert 0 <= low <= got / tries <= high <= 1
        assert (low == 0) == (got == 0)
        assert (high == 1) == (got == tries)


@given(COUNTS, ALPHAS)
def test_wilson_solves_its_quadratic(counts, alpha):
    """At its ends the score equals the normal quantile."""
    got, tries = counts
    with mpmath.workdps(40):
        z2 = mpmath.mpf(2) * mpmath.erfinv(1 - mpmath.mpf(alpha.numerator) / alpha.denominator) ** 2
        share = mpmath.mpf(got) / tries
        for end in wilson(got, tries, alpha):
            scale = (1 + z2 / tries) * end**2 + share**2
            residue = scale - (2 * share + z2 / tries) * end
            assert abs(residue) <= 1e-12 * scale


def test_the_log_that_stopped_has_other_bounds():
    """A single drop at the first try says nothing about the upper end."""
    assert stopped_interval(1, 1, Fraction(1, 20))[1] == 1
    assert unbiased_stopped(1, 10) is None
    assert unbiased_stopped(5, 812) == Fraction(4, 811)


@given(COUNTS.filter(lambda counts: counts[0] > 0), st.booleans())
def test_a_claim_inside_the_interval_is_plausible(counts, stopped):
    """Judging a claim agrees with the exact interval of the same kind of log."""
    alpha = Fraction(1, 20)
    low, high = (stopped_interval if stopped else clopper_pearson)(*counts, alpha)
    inside, below = Fraction((low + high) / 2), Fraction(low * 0.999)

    assert judge_claim(*counts, inside, alpha, stopped=stopped).plausible
    assert not judge_claim(*counts, below, alpha, stopped=stopped).plausible


def test_a_pity_log_keeps_the_gaps_that_were_bound_to_end():
    """A gap counts when it and all that follows reach the hard pity."""
    log = pity_rate([70, 10, 80, 20, 10], 10, 90)

    assert (log.naive, log.unbiased, log.kept) == (Fraction(5, 200), Fraction(3, 160), 3)


def test_a_short_pity_log_has_no_unbiased_rate():
    """Where no gap can be kept, that is said."""
    assert pity_rate([5], 3, 90).unbiased is None


@pytest.mark.parametrize(("gaps", "leftover"), [([], 5), ([91], 0), ([10], 91), ([10], 90)])
def test_an_impossible_pity_log_is_refused(gaps, leftover):
    """No hit at all, or a gap longer than the pity allows."""
    with pytest.raises(UsageError):
        pity_rate(gaps, leftover, 90)
