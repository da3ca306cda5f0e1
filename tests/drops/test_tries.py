from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labkit.drops.binomial import at_least
from labkit.drops.chances import IMPOSSIBLE
from labkit.drops.errors import LimitError, NeverError
from labkit.drops.tails import evaluate, step_down, step_up
from labkit.drops.tries import dependable_drops, minimum_tries, reaches

RATES = st.fractions(Fraction(1, 1000), Fraction(999, 1000), max_denominator=2000)
DROPS = st.integers(1, 12)
NEAR_MISSES = st.sampled_from(
    [Fraction(0), *(Fraction(s, 10**e) for s in (-1, 1) for e in (13, 60))]
)


def upper(k, n, rate):
    """P(X >= k) as a fraction."""
    if n < k:
        return Fraction(0)
    return 1 - sum(math.comb(n, i) * rate**i * (1 - rate) ** (n - i) for i in range(k))


@given(RATES, DROPS, st.fractions(Fraction(1, 10**15), 1 - Fraction(1, 10**15)))
def test_the_answer_is_the_least(rate, drops, confidence):
    """N tries reach the confidence and n - 1 do not, decided by exact fractions."""
    assume(drops / rate < 500)
    answer = minimum_tries(rate, drops, confidence)

    assert upper(drops, answer.tries, rate) >= confidence
    assert upper(drops, answer.tries - 1, rate) < confidence


@given(RATES, DROPS, st.integers(0, 30), NEAR_MISSES)
def test_ties_and_near_misses_are_told_apart(rate, drops, extra, offset):
    """A confidence that is hit exactly counts as reached; one a hair above does not."""
    tries = drops + extra
    confidence = upper(drops, tries, rate) + offset
    assume(0 < confidence < 1)
    answer = minimum_tries(rate, drops, confidence)

    assert (answer.tries <= tries) == (offset <= 0)
    assert upper(drops, answer.tries, rate) >= confidence > upper(drops, answer.tries - 1, rate)


@given(RATES, DROPS, st.fractions(Fraction(1, 10**6), 1 - Fraction(1, 10**6)))
def test_the_certificate_is_the_chance_itself(rate, drops, confidence):
    """The reported chances are those at n and n - 1, to the last digits."""
    assume(drops / rate < 10_000)
    answer = minimum_tries(rate, drops, confidence)
    expected = at_least(drops, answer.tries, rate)
    one_fewer = at_least(drops, answer.tries - 1, rate)

    assert answer.chance.value == pytest.approx(expected.value, rel=1e-12)
    assert answer.chance.complement == pytest.approx(expected.complement, rel=1e-12)
    assert answer.chance_one_fewer.value == pytest.approx(one_fewer.value, rel=1e-12)


@pytest.mark.parametrize("digits", [60, 200, 390])
def test_a_confidence_beyond_doubles_is_decided(digits):
    """Confidences a hair above a tie need one try more, whatever the number of digits."""
    hair = Fraction(1, 10**digits)

    assert minimum_tries(Fraction(1, 10), 1, Fraction(19, 100)).tries == 2
    assert minimum_tries(Fraction(1, 10), 1, Fraction(19, 100) + hair).tries == 3
    assert minimum_tries(Fraction(1, 10), 1, Fraction(19, 100) - hair).tries == 2


@pytest.mark.parametrize("exponent", [12, 60, 100])
def test_a_rate_near_certainty_loses_no_digits(exponent):
    """At p = 1 - e one try gives exactly 1 - e, and a hair more needs two."""
    rate = 1 - Fraction(1, 10**exponent)

    assert minimum_tries(rate, 1, rate).tries == 1
    assert minimum_tries(rate, 1, rate + Fraction(1, 10 ** (exponent + 5))).tries == 2


@pytest.mark.parametrize(
    ("rate", "drops", "confidence", "tries"),
    [
        (Fraction(1, 10**12), 10**6, Fraction(19, 20), 1001645421945189278),
        (Fraction(1, 2), 10**6, Fraction(1, 2), 2 * 10**6 - 1),
        (1 - Fraction(1, 10**12), 10**6, Fraction(1, 2), 10**6),
        (Fraction(1, 10**100), 1, Fraction(1, 10**100), 1),
        (Fraction(1), 7, Fraction(1), 7),
        (Fraction(1), 7, Fraction(1, 100), 7),
    ],
)
def test_extreme_questions_have_exact_answers(rate, drops, confidence, tries):
    """A million drops, symmetric ties, rates at the edge of what is computed with."""
    assert tries == minimum_tries(rate, drops, confidence).tries


@pytest.mark.parametrize("exponent", [1, 12, 50, 200, 390])
@pytest.mark.parametrize("drops", [1, 2, 300])
@pytest.mark.parametrize("likely", [True, False])
def test_tiny_and_huge_confidences_are_found(exponent, drops, likely):
    """The search ends at a crossing for confidences far beyond doubles, on either side."""
    confidence = Fraction(1, 10**exponent)
    if likely:
        confidence = 1 - confidence
    rate = Fraction(1, 10**5)
    answer = minimum_tries(rate, drops, confidence)

    assert reaches(rate, drops, answer.tries, confidence)
    assert not reaches(rate, drops, answer.tries - 1, confidence)


@pytest.mark.parametrize("exponent", [20, 49])
def test_steps_across_a_cliff_are_evaluated_afresh(exponent):
    """Where a try takes away nearly all of a tail, the recurrence would leave only noise."""
    rate = 1 - Fraction(7, 3 * 10**exponent)
    tails = evaluate(rate, 3, 4, 50)
    for after, tries in ((step_up(tails, rate, 3), 5), (step_down(tails, rate, 3), 3)):
        fresh = evaluate(rate, 3, tries, 50)

        assert after.tries == tries
        assert abs(after.lower / fresh.lower - 1) < Decimal("1e-40")
        assert abs(after.upper / fresh.upper - 1) < Decimal("1e-40")


def test_certainty_is_never_reached_below_rate_one():
    """100 % is refused unless every try drops."""
    with pytest.raises(NeverError):
        minimum_tries(Fraction(1, 2), 1, Fraction(1))


def test_the_fewest_possible_tries_have_no_try_to_spare():
    """One fewer than k tries cannot give k drops."""
    assert minimum_tries(Fraction(1, 2), 3, Fraction(1, 8)).chance_one_fewer == IMPOSSIBLE


@given(RATES, st.integers(0, 60), st.fractions(Fraction(1, 1000), Fraction(999, 1000)))
def test_the_dependable_drops_are_the_most(rate, tries, confidence):
    """K drops are that likely, k + 1 are not."""
    drops = dependable_drops(rate, tries, confidence)

    assert upper(drops, tries, rate) >= confidence > upper(drops + 1, tries, rate)


def test_a_tie_in_the_dependable_drops_counts():
    """Two coins show two heads with exactly 25 %."""
    assert dependable_drops(Fraction(1, 2), 2, Fraction(1, 4)) == 2
    assert dependable_drops(Fraction(1, 2), 2, Fraction(1, 4) + Fraction(1, 10**50)) == 1


def test_what_cannot_be_told_apart_is_refused(monkeypatch):
    """A comparison that no digits decide ends with the limit named, not with a guess."""
    monkeypatch.setattr("labkit.drops.tries._MAX_EXACT_BITS", 0)

    with pytest.raises(LimitError, match="cannot be told"):
        minimum_tries(Fraction(1, 10), 1, Fraction(19, 100))
