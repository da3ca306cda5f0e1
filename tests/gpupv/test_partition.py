"""Partition values."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.gpupv.partition import (
    CAPABILITIES,
    MAX_TOTAL,
    PartitionValues,
    partition_parameters,
    partition_share,
)


@pytest.mark.parametrize(
    ("total", "percent", "value"),
    [
        (MAX_TOTAL, 33, 6087425544324152032),
        (MAX_TOTAL, 100, MAX_TOTAL),
        (MAX_TOTAL, 1, 184467440737095516),
        (1000000000, 50, 500000000),
        (1000000000, 33, 330000000),
        (99, 1, 1),
        (0, 100, 1),
    ],
)
def test_share(total, percent, value):
    """A share is exact to the last digit, and never 0."""
    assert partition_share(total, percent) == PartitionValues(1, value, value)


@given(total=st.integers(0, MAX_TOTAL), percent=st.integers(1, 100))
def test_share_is_the_exact_fraction_rounded_down(total, percent):
    """The value is the largest whole number within the share, and at least 1."""
    value = partition_share(total, percent).maximum
    exact = Fraction(total * percent, 100)

    assert value == 1 if exact < 1 else value <= exact < value + 1


@pytest.mark.parametrize(("total", "percent"), [(10, 0), (10, 101), (-1, 50), (2**64, 50)])
def test_out_of_range(total, percent):
    """A percentage beyond 1 to 100 and a total beyond 64 bits are refused."""
    with pytest.raises(UsageError):
        partition_share(total, percent)


def test_parameters():
    """The twelve parameters have the cmdlet's names."""
    parameters = partition_parameters(dict.fromkeys(CAPABILITIES, 200), 25)

    assert len(parameters) == 12
    assert parameters["MinPartitionVRAM"] == 1
    assert parameters["OptimalPartitionCompute"] == 50


def test_all_four_capabilities_are_needed():
    """A missing total is refused: a partial set left Compute at 0."""
    with pytest.raises(UsageError, match="Decode, Compute"):
        partition_parameters({"VRAM": 1, "Encode": 1}, 50)
