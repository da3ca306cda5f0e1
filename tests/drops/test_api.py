from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import pytest

import labkit.drops
from labkit.drops import (
    chance_at_least,
    chance_at_most,
    chance_curve,
    chance_exactly,
    drops_to_count_on,
    mean_tries,
    sd_tries,
    tries_needed,
)
from labkit.errors import UsageError


@pytest.mark.parametrize("name", labkit.drops.__all__)
def test_every_public_name_is_there(name):
    """Each name of __all__ is loaded from its module, and documented."""
    assert getattr(labkit.drops, name).__doc__


def test_the_lazy_table_is_complete():
    """What is public and what is loaded lazily are the same names."""
    assert set(labkit.drops._HOME_OF) == set(labkit.drops.__all__) == set(dir(labkit.drops))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = labkit.drops.nothing


def test_importing_the_package_costs_nothing():
    """Neither a core module nor numpy or scipy is loaded before a name is used."""
    code = "import labkit.drops, sys; print(*(m for m in sys.modules if 'labkit.drops.' in m))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert result.stdout.strip() == ""


@pytest.mark.parametrize("rate", ["5%", "1/20", 0.05, Decimal("0.05"), Fraction(1, 20)])
def test_a_rate_may_be_of_any_exact_type(rate):
    """A float means the decimal that it prints as."""
    assert tries_needed(rate) == 59
    assert tries_needed(rate, drops=200, confidence=0.95) == 4464


def test_scalars_go_in_and_come_out():
    """Plain ints and floats, no objects of a library."""
    assert type(tries_needed("1/15000", confidence="90%")) is int
    assert chance_at_least(4, tries=40, rate="1/12") == pytest.approx(0.4301486871303613, rel=1e-14)
    assert chance_at_most(3, tries=40, rate="1/12") == pytest.approx(0.5698513128696387, rel=1e-14)
    assert chance_exactly(0, tries=10, rate="0.5") == 2**-10
    assert chance_at_least(1, tries=10, rate=0) == 0
    assert mean_tries("1/500", 3) == 1500
    assert sd_tries("0.3", 3) == pytest.approx(4.83045891539648, rel=1e-13)
    assert drops_to_count_on("1/500", 100_000) == 177


def test_a_curve_is_the_chance_at_each_number_of_tries():
    """The vectorised form agrees with the scalar one."""
    curve = chance_curve("1/500", range(0, 2000, 100), drops=2)

    assert curve == [chance_at_least(2, tries=n, rate="1/500") for n in range(0, 2000, 100)]
    assert curve == sorted(curve)


@pytest.mark.parametrize(
    "call",
    [
        lambda: tries_needed(0),
        lambda: tries_needed(1.5),
        lambda: tries_needed(float("nan")),
        lambda: tries_needed("1/5000", -1),
        lambda: tries_needed("1/5000", 1.5),
        lambda: tries_needed("1/5000", confidence=1),
        lambda: tries_needed("1/5000", confidence="100%"),
        lambda: chance_at_least(1, tries=-1, rate="1/2"),
        lambda: chance_at_least(10**11, tries=10**12, rate="1/2"),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    """Wrong values raise a UsageError, never a wrong number."""
    with pytest.raises(UsageError):
        call()
