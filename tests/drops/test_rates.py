from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.drops.rates import (
    DropSpec,
    parse_confidence,
    parse_confidences,
    parse_count,
    parse_drop_spec,
    parse_rate,
    percent,
)
from labkit.errors import LabkitError, UsageError


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1/5000", Fraction(1, 5000)),
        ("3/7000", Fraction(3, 7000)),
        (" 1 / 5000 ", Fraction(1, 5000)),
        ("0.02%", Fraction(1, 5000)),
        ("2e-4", Fraction(1, 5000)),
        ("1in5000", Fraction(1, 5000)),
        ("1 in 5000", Fraction(1, 5000)),
        ("1/1_000", Fraction(1, 1000)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("1", Fraction(1)),
        ("100%", Fraction(1)),
        ("1e-12", Fraction(1, 10**12)),
        (0.1, Fraction(1, 10)),
        (1e-5, Fraction(1, 100000)),
    ],
)
def test_a_rate_is_read_exactly(text, rate):
    """Every accepted form of a rate gives the exact fraction it stands for."""
    assert rate == parse_rate(text)


@pytest.mark.parametrize(
    "text",
    [
        *("0", "0/5", "-0.1", "1.5", "101%", "1/0", "0/0", "nan", "inf", "five", "", "%"),
        *("1/2/3", "1__0", "0x10", "½", "1e-101", "1e-999999999", "1e999999999"),
        pytest.param("9" * 5000, id="long"),
        pytest.param("1/" + "9" * 5000, id="long fraction"),
    ],
)
def test_what_is_no_rate_is_refused_with_a_hint(text):
    """A rate that is zero, negative, above one, absurdly long or no number is refused."""
    with pytest.raises(UsageError) as caught:
        parse_rate(text)

    assert caught.value.hint


def test_a_whole_number_as_rate_gets_a_suggestion():
    """A bare 5000 is most likely meant as 1/5000."""
    with pytest.raises(UsageError) as caught:
        parse_rate("5000")

    assert caught.value.hint == "did you mean 1/5000?"


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("95%", Fraction(19, 20)),
        ("95", Fraction(19, 20)),
        ("0.95", Fraction(19, 20)),
        ("19/20", Fraction(19, 20)),
        ("99.9999999999", 1 - Fraction(1, 10**12)),
        ("1%", Fraction(1, 100)),
        ("100%", Fraction(1)),
        ("100", Fraction(1)),
        (Fraction(1), Fraction(1)),
    ],
)
def test_a_confidence_is_read_exactly(text, confidence):
    """Above 1 a bare number is a percentage, below 1 a probability."""
    assert confidence == parse_confidence(text)


def test_a_bare_one_is_refused_with_both_readings():
    """1 may be one percent or certainty, so it is not guessed."""
    with pytest.raises(UsageError) as caught:
        parse_confidence("1")

    assert "1%" in caught.value.hint
    assert "100%" in caught.value.hint


@pytest.mark.parametrize("text", ["0", "0%", "-5", "101", "100.1%", "3/2", "1.0", "nan", ""])
def test_what_is_no_confidence_is_refused(text):
    """Zero, negative, above certainty, and what is no number."""
    with pytest.raises(UsageError):
        parse_confidence(text)


def test_confidences_come_in_commas_and_repeats_without_doubles():
    """`--confidence 50,90 --confidence 0.9` asks for two levels, in that order."""
    assert [Fraction(1, 2), Fraction(9, 10)] == parse_confidences(["50, 90", "0.9"])


@pytest.mark.parametrize(
    ("text", "count"),
    [("1000", 1000), ("1e3", 1000), ("1_000", 1000), ("0", 0), ("5.0", 5), (7, 7)],
)
def test_a_count_is_read_exactly(text, count):
    """A whole number in any notation, also beyond 64 bits."""
    assert count == parse_count(text, "tries")


def test_a_count_beyond_64_bits_keeps_every_digit():
    """Counts never pass through a float."""
    assert parse_count(str(10**30 + 1), "tries") == 10**30 + 1


@pytest.mark.parametrize("text", ["-1", "1.5", "1e400", "1e401", "1e121", "nan", "", "1e-3"])
def test_what_is_no_count_is_refused(text):
    """Negative, fractional, not finite, or beyond the named limit."""
    with pytest.raises(UsageError):
        parse_count(text, "tries")


@pytest.mark.parametrize(
    ("text", "spec", "words"),
    [
        ("4", DropSpec(4, 4), "exactly 4"),
        ("4+", DropSpec(4, None), "at least 4"),
        ("4-", DropSpec(0, 4), "at most 4"),
        ("2..5", DropSpec(2, 5), "2 to 5"),
        ("0", DropSpec(0, 0), "exactly 0"),
    ],
)
def test_a_drop_specification_says_which_numbers_count(text, spec, words):
    """The four forms, and how they are told back to the user."""
    assert spec == parse_drop_spec(text)
    assert words == str(spec)


@pytest.mark.parametrize("text", ["", "-4", "5..2", "4++", "1.5", "x", "1e400", "9" * 30])
def test_what_is_no_drop_specification_is_refused(text):
    """Empty ranges, signs, fractions and absurd sizes."""
    with pytest.raises(UsageError):
        parse_drop_spec(text)


@given(st.text(max_size=30))
def test_no_text_makes_a_parser_fall_over(text):
    """Any text is either read or refused with a LabkitError."""
    for parse in (parse_rate, parse_confidence, parse_drop_spec, lambda t: parse_count(t, "tries")):
        with suppress(LabkitError):
            parse(text)


@given(st.fractions(min_value=Fraction(1, 10**9), max_value=1))
def test_a_fraction_survives_being_written_and_read(rate):
    """A rate printed as a fraction reads back as itself."""
    assert rate == parse_rate(f"{rate.numerator}/{rate.denominator}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(19, 20), "95%"),
        (1 - Fraction(1, 10**12), "99.9999999999%"),
        (Fraction(1, 3), "1/3"),
        (Fraction(1), "100%"),
        (Fraction(1, 2000), "0.05%"),
        (1 - Fraction(1, 10**99), "1 - 1e-99"),
        (Fraction(3, 10**99), "3e-99"),
    ],
)
def test_an_exact_probability_is_written_exactly(value, text):
    """As a percentage where that has an end, else as a fraction."""
    assert text == percent(value)
