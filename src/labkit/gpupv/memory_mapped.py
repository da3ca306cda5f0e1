"""Memory-mapped space of a guest with a GPU: how much, from where, and whether the CPU reaches it.

A guest maps the card's memory above its own, from a base that is 64 GiB less 512 MiB unless it
was moved. The whole region has to lie below the host CPU's physical address limit, or the virtual
machine does not start. Sizes are whole MiB ("MB" in Hyper-V's own words), addresses bytes.

Sources: Microsoft, "GPU paravirtualization" (default base, the least size of 8 GiB, the moved
base of 47 GiB); the ceiling and the relation of the start error's two numbers to the settings were
reported by users (Easy-GPU-PV issues 40 and 153, ExHyperV).
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import UsageError

__all__ = [
    "DEFAULT_HIGH_BASE_MB",
    "LOW_SPACE_MB",
    "MAX_HIGH_SPACE_MB",
    "MAX_LOW_SPACE_MB",
    "MIN_HIGH_SPACE_MB",
    "USUAL_HIGH_SPACE_MB",
    "AddressRangeError",
    "HighSpace",
    "RejectedRange",
    "largest_high_space_mb",
    "plan_high_space",
    "usual_high_space_mb",
]

_MIB = 2**20
_PAGE = 0x1000

LOW_SPACE_MB = 1024
"""The low space that works everywhere; the cmdlet takes it as a UInt32 of bytes."""

MAX_LOW_SPACE_MB = 3584
"""The largest low space in use; 4096 does not fit a UInt32."""

DEFAULT_HIGH_BASE_MB = 64 * 1024 - 512
"""Where the high space begins unless `HighMmioGapBase` was moved."""

MIN_HIGH_SPACE_MB = 8 * 1024
"""The least high space; below it the guest's adapter stops with Code 43."""

USUAL_HIGH_SPACE_MB = 32 * 1024
"""The high space for a card whose memory is unknown."""

MAX_HIGH_SPACE_MB = 256 * 1024
"""The largest power of two below Hyper-V's ceiling, which is 262656."""

_MIN_ADDRESS_BITS = 32
_MAX_ADDRESS_BITS = 57


class AddressRangeError(UsageError):
    """No high space of at least 8 GiB fits below the CPU's address limit."""

    code = "gpv-mmio-range"


@dataclass(frozen=True, slots=True)
class HighSpace:
    """A high memory-mapped space that the CPU reaches.

    Attributes:
        size_mb: Its size; `size_bytes` is what `Set-VM -HighMemoryMappedIoSpace` takes.
        base_mb: Where it begins.
        wanted_mb: The size that the card's memory asks for; more than `size_mb` where the CPU's
            address limit allows less.
    """

    size_mb: int
    base_mb: int
    wanted_mb: int

    @property
    def size_bytes(self) -> int:
        """The size in bytes, as the cmdlet takes it."""
        return self.size_mb * _MIB

    @property
    def top_bytes(self) -> int:
        """The first address above the space."""
        return (self.base_mb + self.size_mb) * _MIB

    @property
    def reduced(self) -> bool:
        """Whether the CPU's limit made it smaller than the card asks for."""
        return self.size_mb < self.wanted_mb


@dataclass(frozen=True, slots=True)
class RejectedRange:
    """The two numbers of "The upper MMIO region (0xTOP) is above ... below 0xLIMIT".

    Attributes:
        top: Address of the last page of the region, as the message gives it.
        limit: The first address that the CPU does not reach.
    """

    top: int
    limit: int

    @property
    def physical_bits(self) -> int | None:
        """The CPU's physical address bits; None where the limit is no power of two."""
        return (
            self.limit.bit_length() - 1 if self.limit and not self.limit & self.limit - 1 else None
        )

    @property
    def size_mb(self) -> int | None:
        """The high space that was asked for; None where the base is not the default one."""
        size = (self.top + _PAGE) // _MIB - DEFAULT_HIGH_BASE_MB
        return size if size > 0 else None

    @property
    def max_size_mb(self) -> int:
        """The largest high space that fits with the default base; 0 where none does."""
        return max(0, self.limit // _MIB - DEFAULT_HIGH_BASE_MB)

    @property
    def suggested_size_mb(self) -> int | None:
        """The largest power of two that fits and works; None where a smaller size is no cure."""
        return _working_power_of_two(min(self.max_size_mb, MAX_HIGH_SPACE_MB))


def usual_high_space_mb(vram_mb: int | None = None) -> int:
    """Return the high space for a card: the power of two that holds its memory twice.

    Args:
        vram_mb: The card's own memory in MiB; None where it is unknown.

    Returns:
        At least 32768, at most 262144.

    Raises:
        UsageError: `vram_mb` is negative.
    """
    if vram_mb is None:
        return USUAL_HIGH_SPACE_MB
    if vram_mb < 0:
        raise UsageError(f"a card cannot have {vram_mb} MB of memory")
    power = 1 << max(0, 2 * vram_mb - 1).bit_length()
    return min(max(USUAL_HIGH_SPACE_MB, power), MAX_HIGH_SPACE_MB)


def largest_high_space_mb(physical_bits: int, base_mb: int = DEFAULT_HIGH_BASE_MB) -> int:
    """Return the largest high space that a CPU with `physical_bits` reaches; 0 where none.

    With the default base: 512 for 36 bits, 66048 for 37, 197120 for 38, 459264 for 39. Hyper-V's
    own ceiling is not applied.

    Raises:
        UsageError: The bits are no CPU's, or the base is negative.
    """
    if not _MIN_ADDRESS_BITS <= physical_bits <= _MAX_ADDRESS_BITS:
        raise UsageError(
            f"no CPU has {physical_bits} physical address bits",
            hint=f"give a number from {_MIN_ADDRESS_BITS} to {_MAX_ADDRESS_BITS}, or leave it out",
        )
    if base_mb < 0:
        raise UsageError(f"the base of the high space cannot be {base_mb} MB")
    return max(0, (1 << physical_bits) // _MIB - base_mb)


def plan_high_space(
    vram_mb: int | None = None,
    physical_bits: int | None = None,
    base_mb: int = DEFAULT_HIGH_BASE_MB,
    given_mb: int | None = None,
) -> HighSpace:
    """Choose the high space for a card and a CPU, or check one that was chosen already.

    Where the CPU's limit does not allow what the card asks for, the largest power of two that fits
    is taken, as long as it is at least 8 GiB.

    Args:
        vram_mb: The card's own memory in MiB; None where it is unknown.
        physical_bits: The CPU's physical address bits; None where they are unknown, and then the
            start of the virtual machine is the proof.
        base_mb: Where the space begins.
        given_mb: The size, where somebody chose it.

    Raises:
        AddressRangeError: Not even 8 GiB fit, as on CPUs with 36 bits and the default base; or the
            size that was given does not.
        UsageError: A number is impossible.
    """
    wanted = usual_high_space_mb(vram_mb)
    if physical_bits is None:
        return HighSpace(given_mb or wanted, base_mb, wanted)
    room = largest_high_space_mb(physical_bits, base_mb)
    size = wanted if wanted <= room else _working_power_of_two(room)
    if size is None:
        raise AddressRangeError(
            f"a CPU with {physical_bits} physical address bits leaves {room} MB for the high "
            f"memory-mapped space above {base_mb} MB; a GPU needs {MIN_HIGH_SPACE_MB} MB",
            hint="a smaller size ends in Code 43: move the base down with `mmio_base`, such as "
            '"47GiB", with the virtual machine\'s memory below it, or use a newer CPU',
        )
    if given_mb is not None and given_mb > room:
        raise AddressRangeError(
            f"{given_mb} MB of high memory-mapped space end beyond the {physical_bits} address "
            f"bits of the CPU; the largest that fits is {room} MB"
        )
    return HighSpace(given_mb or size, base_mb, wanted)


def _working_power_of_two(room_mb: int) -> int | None:
    """Return the largest power of two within `room_mb`; None where it is below the least size."""
    return 1 << room_mb.bit_length() - 1 if room_mb >= MIN_HIGH_SPACE_MB else None
