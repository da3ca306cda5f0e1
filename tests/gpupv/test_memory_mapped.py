"""The arithmetic of memory-mapped space."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.gpupv.memory_mapped import (
    DEFAULT_HIGH_BASE_MB,
    MAX_HIGH_SPACE_MB,
    MIN_HIGH_SPACE_MB,
    AddressRangeError,
    RejectedRange,
    largest_high_space_mb,
    plan_high_space,
    usual_high_space_mb,
)


@pytest.mark.parametrize(
    ("vram_mb", "expected"),
    [
        (None, 32768),
        (0, 32768),
        (4096, 32768),
        (16384, 32768),
        (16385, 65536),
        (24576, 65536),
        (32768, 65536),
        (49152, 131072),
        (131072, 262144),
        (200000, 262144),
    ],
)
def test_usual_high_space(vram_mb, expected):
    """The space holds the card's memory twice, from 32 GiB to 256 GiB."""
    assert usual_high_space_mb(vram_mb) == expected


@pytest.mark.parametrize(("bits", "room"), [(36, 512), (37, 66048), (38, 197120), (39, 459264)])
def test_largest_high_space(bits, room):
    """The room above the default base is that of the CPU's address bits."""
    assert largest_high_space_mb(bits) == room


def test_moved_base():
    """With the base at 47 GiB a CPU with 36 bits has 17 GiB, of which 16 are taken."""
    assert largest_high_space_mb(36, 48128) == 17408
    assert plan_high_space(physical_bits=36, base_mb=48128).size_mb == 16384


def test_cpu_with_36_bits_is_refused():
    """512 MB start the guest and give Code 43, so there is no size to recommend."""
    with pytest.raises(AddressRangeError, match="512 MB"):
        plan_high_space(12288, 36)


def test_smaller_cpu_reduces_the_space():
    """A card of 48 GiB asks for 128 GiB; 37 bits leave room for 64."""
    space = plan_high_space(49152, 37)

    assert (space.size_mb, space.wanted_mb, space.reduced) == (65536, 131072, True)


@given(
    vram_mb=st.none() | st.integers(0, 2**24),
    bits=st.integers(32, 57),
    base_mb=st.integers(0, 2**20),
)
def test_planned_space_fits(vram_mb, bits, base_mb):
    """A planned space lies below the CPU's limit, is a power of two, and nothing larger fits."""
    try:
        space = plan_high_space(vram_mb, bits, base_mb)
    except AddressRangeError:
        assert largest_high_space_mb(bits, base_mb) < MIN_HIGH_SPACE_MB
        return
    assert space.top_bytes <= 2**bits
    assert space.size_mb & (space.size_mb - 1) == 0
    assert MIN_HIGH_SPACE_MB <= space.size_mb <= MAX_HIGH_SPACE_MB
    if space.reduced:
        assert (base_mb + 2 * space.size_mb) * 2**20 > 2**bits


def test_rejected_range_of_a_real_message():
    """The start error of a Sandy Bridge host: 36 bits, 32 GiB asked for, 512 MB fit."""
    rejected = RejectedRange(top=0x17DFFFF000, limit=0x1000000000)

    assert rejected.physical_bits == 36
    assert rejected.size_mb == 32768
    assert rejected.max_size_mb == 512
    assert rejected.suggested_size_mb is None


@given(size_mb=st.integers(1, 2**20), bits=st.integers(32, 57))
def test_rejected_range_gives_the_size_back(size_mb, bits):
    """The size is read back from the address of the region's last page."""
    top = (DEFAULT_HIGH_BASE_MB + size_mb) * 2**20 - 0x1000
    rejected = RejectedRange(top, 2**bits)

    assert rejected.size_mb == size_mb
    assert rejected.physical_bits == bits
    assert rejected.max_size_mb == largest_high_space_mb(bits)


@given(top=st.integers(0, 2**70), limit=st.integers(0, 2**70))
def test_rejected_range_takes_any_numbers(top, limit):
    """No pair of numbers fails; a limit that is no power of two gives no bits."""
    rejected = RejectedRange(top, limit)

    assert rejected.max_size_mb >= 0
    assert (rejected.physical_bits is None) == (limit.bit_count() != 1)
    assert rejected.suggested_size_mb is None or rejected.suggested_size_mb <= rejected.max_size_mb


@pytest.mark.parametrize("bits", [0, 31, 58, 64])
def test_impossible_bits(bits):
    """The word size of 64 is no address width."""
    with pytest.raises(UsageError, match="physical address bits"):
        largest_high_space_mb(bits)


def test_impossible_sizes():
    """Negative memory and a negative base are refused."""
    with pytest.raises(UsageError):
        usual_high_space_mb(-1)
    with pytest.raises(UsageError):
        largest_high_space_mb(39, -1)
