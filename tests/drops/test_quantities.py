from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labkit.drops.errors import LimitError, NeverError
from labkit.drops.quantities import Amount, QuantityQuestion, _window_sums, parse_amount
from labkit.drops.tries import minimum_tries
from labkit.errors import UsageError

RATES = st.fractions(Fraction(1, 50), 1, max_denominator=50)
AMOUNTS = st.builds(
    lambda low, more: Amount(low, low + more), st.integers(0, 4), st.integers(0, 4)
).filter(lambda amount: amount.high)


def exact_chance(rate, amount, total, tries):
    """P(total reached) by following the exact law of the sum, try by try."""
    law = {0: Fraction(1)}
    gains = range(amount.low, amount.high + 1)
    for _ in range(tries):
        after = {}
        for have, weight in law.items():
            after[have] = after.get(have, 0) + weight * (1 - rate)
            for gain in gains:
                reached = min(have + gain, total)
                after[reached] = after.get(reached, 0) + weight * rate / len(gains)
        law = after
    return law.get(total, Fraction(0))


@given(RATES, AMOUNTS, st.integers(1, 20), st.integers(0, 15))
def test_the_chance_agrees_with_exact_fractions(rate, amount, total, tries):
    """Both sides are precise, for amounts that may be 0 and for rates up to 1."""
    chance = QuantityQuestion(rate, amount, total).chance(tries)
    exact = exact_chance(rate, amount, total, tries)

    assert chance.value == pytest.approx(float(exact), rel=1e-11, abs=1e-300)
    assert chance.complement == pytest.approx(float(1 - exact), rel=1e-11, abs=1e-300)
    assert chance.impossible == (exact == 0)
    assert chance.certain == (exact == 1)


@given(RATES, AMOUNTS, st.integers(1, 12), st.integers(1, 12))
def test_the_minimum_is_the_least_and_a_tie_counts(rate, amount, total, tries):
    """With the exact chance after some tries as confidence, so many tries are enough."""
    confidence = exact_chance(rate, amount, total, tries)
    assume(0 < confidence < 1)
    question = QuantityQuestion(rate, amount, total)
    answer = question.minimum_tries(confidence)

    assert answer.tries <= tries
    assert exact_chance(rate, amount, total, answer.tries) >= confidence
    assert exact_chance(rate, amount, total, answer.tries - 1) < confidence
    assert answer.chance.value == pytest.approx(question.chance(answer.tries).value, rel=1e-12)


@given(st.integers(1, 6), st.integers(1, 20))
def test_a_fixed_amount_is_a_number_of_drops(each, total):
    """A total from stacks of one size needs so many drops, with the certified minimum."""
    rate, confidence = Fraction(1, 1000), Fraction(19, 20)
    question = QuantityQuestion(rate, Amount(each, each), total)

    assert question.minimum_tries(confidence) == minimum_tries(rate, -(-total // each), confidence)


def test_mean_and_deviation_of_the_tries():
    """Two of 1..2 at one half: J is 1 or 2 with equal chance, so 3 tries on average."""
    question = QuantityQuestion(Fraction(1, 2), Amount(1, 2), 2)

    assert question.mean_drops == pytest.approx(1.5)
    assert question.mean == pytest.approx(3)
    assert question.sd == pytest.approx(math.sqrt(1.5 * 0.5 / 0.25 + 0.25 / 0.25))


def test_certainty_is_reached_at_rate_one_only():
    """At rate 1 the smallest amounts decide; below it nothing is certain."""
    assert QuantityQuestion(Fraction(1), Amount(1, 3), 10).minimum_tries(Fraction(1)).tries == 10
    with pytest.raises(NeverError):
        QuantityQuestion(Fraction(1, 2), Amount(1, 3), 10).minimum_tries(Fraction(1))


def test_a_total_that_takes_too_long_is_refused():
    """The limit is named before anything large is computed."""
    with pytest.raises(LimitError, match="too long"):
        QuantityQuestion(Fraction(1, 2), Amount(1, 3), 10**6)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 8))
def test_window_sums_are_the_convolution_with_ones(values, width):
    """Each entry is the sum of the values that a window of that width covers."""
    expected = [sum(values[max(0, i - width + 1) : i + 1]) for i in range(len(values) + width - 1)]

    assert expected == _window_sums([float(value) for value in values], width)


@pytest.mark.parametrize(
    ("text", "amount"), [("5", Amount(5, 5)), ("3-8", Amount(3, 8)), ("0..1", Amount(0, 1))]
)
def test_an_amount_is_read(text, amount):
    """A fixed amount or a range."""
    assert amount == parse_amount(text)


@pytest.mark.parametrize("text", ["", "8-3", "0", "-3", "3-", "1.5", "x", "1e3-2e3", "9" * 50])
def test_what_is_no_amount_is_refused(text):
    """Empty ranges, signs, fractions and absurd sizes."""
    with pytest.raises(UsageError):
        parse_amount(text)
