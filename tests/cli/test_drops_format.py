from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.cli.drops.chart import Curve, bars
from labkit.cli.drops.format import (
    chance_fields,
    duration,
    exact,
    money,
    number,
    odds,
    percentage,
    probability,
)
from labkit.drops import Chance

LOGS = st.floats(-1e6, -1e-18)


@given(LOGS, st.booleans(), st.integers(1, 17))
def test_the_uncertain_is_never_shown_as_certain_or_impossible(ln, likely, digits):
    """Neither 0 % nor 100 % is ever written for what may or may not happen."""
    chance = Chance.from_ln(ln).opposite if likely else Chance.from_ln(ln)
    for text in (probability(chance, digits), percentage(chance, digits)):
        shown = text.removesuffix(" %")

        assert text not in {"impossible", "certain", "1 (certain)", "0 (impossible)"}
        if " - " not in shown and not shown.startswith("10^"):
            mantissa, _, _ = shown.partition("e")
            assert float(mantissa) > 0
            assert float(shown) < (100 if text.endswith("%") else 1)


@pytest.mark.parametrize(
    ("chance", "plain", "percent", "one_in"),
    [
        (Chance.from_fraction(Fraction(1, 5000)), "0.0002", "0.0200000 %", "1 in 5000"),
        (Chance.from_fraction(Fraction(0)), "0 (impossible)", "impossible", "never"),
        (Chance.from_fraction(Fraction(1)), "1 (certain)", "certain", "always"),
        (Chance.from_fraction(Fraction(1, 10**9)), "1e-09", "1e-07 %", "1 in 1000000000"),
        (
            Chance.from_fraction(Fraction(1, 2**1100)),
            "7.36215182902e-332",
            "7.36215e-332",
            "1 in 10^331.133",
        ),
        (
            Chance.from_fraction(1 - Fraction(1, 10**20)),
            "1 - 1e-20",
            "1 - 1e-20",
            "all but 1 in 1e+20",
        ),
    ],
)
def test_a_probability_is_written_for_a_person(chance, plain, percent, one_in):
    """Small ones by their logarithm, large ones by their distance from one."""
    assert plain == probability(chance)
    assert percent == percentage(chance)
    assert one_in == odds(chance)


def test_fields_hold_a_logarithm_where_a_double_underflows():
    """No 0.0 and no 1.0 alone stands for what is uncertain."""
    fields = chance_fields(Chance.from_ln(-1e5))

    assert fields["probability"] is None
    assert fields["log10"] == pytest.approx(-43429.448190325)
    assert fields["complement"] == 1.0
    assert fields["log10_complement"] < 0 or fields["log10"] < -300
    assert chance_fields(Chance.from_value(0.0))["probability"] == 0.0


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (1, "1 h"),
        (1.5, "1 h 30 min"),
        (0.01, "36 s"),
        (23.9999, "1 d"),
        (100, "4 d 4 h"),
        (9000, "1 y 10 d"),
        (1e8, "11416 y"),
    ],
)
def test_a_duration_has_two_units(hours, text):
    """Years, days, hours, minutes and seconds."""
    assert text == duration(hours)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(Fraction(120), "120"), (Fraction(5, 2), "2.50"), (Fraction(1, 3), "0.33")],
)
def test_money_has_cents_where_it_needs_them(amount, text):
    """Whole amounts stay whole."""
    assert text == money(amount)


def test_numbers_have_no_needless_zeros():
    """Up to twelve digits, scientific only where it must be."""
    assert number(5000.0) == "5000"
    assert number(1328.5714285714287) == "1328.57142857"
    assert number(1e30) == "1e+30"
    assert number(0) == "0"


def test_a_long_fraction_is_shortened():
    """Exact where it is short, a decimal where it would fill the line."""
    assert exact(Fraction(1, 5000)) == "1/5000"
    assert exact(Fraction(1, 3) ** 90) == "about 1.14574263767e-43"


@pytest.mark.parametrize("unicode", [True, False])
def test_bars_are_longest_at_certainty(unicode):
    """One line a point, the ends and the marks included, readable without colour."""
    curve = Curve("chance", "tries", 0, 100, lambda x: Chance.from_fraction(Fraction(x, 100)), [33])
    title, label, *lines = bars(curve, unicode=unicode)

    assert (title, label.strip()) == ("chance", "tries")
    assert len(lines) == 21
    assert any(line.strip().startswith("33 ") for line in lines)
    assert lines[-1].endswith(("█" if unicode else "#") * 40)
    assert all(line.isascii() for line in lines) == (not unicode)


def test_a_curve_of_one_point_is_drawn():
    """First and last may be the same."""
    curve = Curve("chance", "tries", 7, 7, lambda _: Chance.from_value(0.5))

    assert len(bars(curve)) == 3
