"""Partition values: what a share of the GPU in percent means for the four capabilities.

On a paravirtualised adapter the whole card is shared and Windows does not enforce the values, so
a percentage is advisory there. Totals go up to 2**64 - 1 (every PV host reports that for Encode),
so everything is integer arithmetic: dividing as a float is wrong in the last digits.

Source: Microsoft, `Add-VMGpuPartitionAdapter` (twelve UInt64 parameters) and "GPU
paravirtualization" (never 0, and all capabilities or none).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CAPABILITIES",
    "MAX_TOTAL",
    "PartitionValues",
    "partition_parameters",
    "partition_share",
]

CAPABILITIES = ("VRAM", "Encode", "Decode", "Compute")
"""The four capabilities, in the order and spelling of the cmdlets' parameters."""

MAX_TOTAL = 2**64 - 1
"""The largest total that Hyper-V reports; in PowerShell it is written with a `[uint64]` cast."""

_FULL_PERCENT = 100


@dataclass(frozen=True, slots=True)
class PartitionValues:
    """The three values of one capability, in the unit of the host's total.

    Attributes:
        minimum: What the partition needs to start; 1, since 0 switches the capability off.
        maximum: The most that it may use.
        optimal: What it is given where there is room.
    """

    minimum: int
    maximum: int
    optimal: int


def partition_share(total: int, percent: int) -> PartitionValues:
    """Return the values for `percent` of a capability's `total`, rounded down, never 0.

    Args:
        total: The host's total, as `Get-VMHostPartitionableGpu` reports it.
        percent: 1 to 100.

    Raises:
        UsageError: The percentage or the total is out of range.
    """
    if not 1 <= percent <= _FULL_PERCENT:
        raise UsageError(f"{percent} % of a GPU: give a whole number from 1 to {_FULL_PERCENT}")
    if not 0 <= total <= MAX_TOTAL:
        raise UsageError(f"a GPU's total cannot be {total}: it is a 64-bit unsigned number")
    value = max(1, total * percent // _FULL_PERCENT)
    return PartitionValues(minimum=1, maximum=value, optimal=value)


def partition_parameters(totals: Mapping[str, int], percent: int) -> dict[str, int]:
    """Return the twelve parameters of `Set-VMGpuPartitionAdapter` for `percent` of the GPU.

    Args:
        totals: The host's total of each of `CAPABILITIES`; setting only some of them has left
            Compute at 0, so all four are needed.
        percent: 1 to 100.

    Raises:
        UsageError: A capability is missing, or a number is out of range.
    """
    missing = [name for name in CAPABILITIES if name not in totals]
    if missing:
        raise UsageError(f"the GPU's total of {', '.join(missing)} is not known")
    parameters = {}
    for name in CAPABILITIES:
        values = partition_share(totals[name], percent)
        parameters[f"MinPartition{name}"] = values.minimum
        parameters[f"MaxPartition{name}"] = values.maximum
        parameters[f"OptimalPartition{name}"] = values.optimal
    return parameters
