"""What a plan sets, to which value, why, and where that is known from: the table to review."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import LabkitError
from labkit.gpupv.memory_mapped import (
    LOW_SPACE_MB,
    HighSpace,
    largest_high_space_mb,
    plan_high_space,
)
from labkit.gpupv.spec import Problem, SpecError
from labkit.gpupv.values import show_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.gpupv.spec import Gpu, Spec, VirtualMachine

__all__ = ["MachineValues", "PlanSettings", "Setting", "Warning_", "plan_settings"]

_MIB = 2**20

_PV_DOC = "Microsoft: GPU paravirtualization"
_SET_VM = "Microsoft: Set-VM"
_PLAN = "the plan"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that the scripts establish.

    Attributes:
        machine: The virtual machine's name.
        name: The parameter, as the cmdlet calls it.
        value: As text, with its unit.
        why: The reason, for the person who reviews the plan.
        source: Where the value or the reason comes from.
    """

    machine: str
    name: str
    value: str
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class Warning_:  # noqa: N801 - the built-in name is taken
    """Something to know before the scripts run; `code` is one of the failure catalogue."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class MachineValues:
    """The computed numbers of a virtual machine, in bytes."""

    low_bytes: int
    high_bytes: int


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What a specification comes to.

    Attributes:
        values: The computed numbers of each virtual machine, in the specification's order.
        settings: The table to review.
        warnings: What to know.
    """

    values: tuple[MachineValues, ...]
    settings: tuple[Setting, ...]
    warnings: tuple[Warning_, ...]


def plan_settings(spec: Spec) -> PlanSettings:
    """Compute every value that the scripts set.

    Raises:
        SpecError: A memory-mapped space that the host's CPU does not reach.
    """
    values: list[MachineValues] = []
    settings: list[Setting] = []
    warnings: list[Warning_] = []
    problems: list[Problem] = []
    for index, machine in enumerate(spec.machines):
        try:
            space = _high_space(spec, machine)
        except LabkitError as error:
            message = f"{error.message}; {error.hint}"
            problems.append(Problem(f"vm[{index + 1}].mmio_high", message))
            continue
        low = machine.mmio_low_bytes or LOW_SPACE_MB * _MIB
        values.append(MachineValues(low, space.size_bytes))
        settings += _machine_settings(spec, machine, low, space)
        warnings += _machine_warnings(spec, machine, space)
    if problems:
        raise SpecError(problems)
    return PlanSettings(tuple(values), tuple(settings), tuple(warnings))


def _high_space(spec: Spec, machine: VirtualMachine) -> HighSpace:
    """Choose the high space: the plan's own, or by the card with the most memory."""
    vram = max((spec.gpu(key).vram_bytes or 0 for key in machine.gpus), default=0)
    space = plan_high_space(vram // _MIB or None, spec.host.address_bits)
    if machine.mmio_high_bytes is None:
        return space
    given = HighSpace(machine.mmio_high_bytes // _MIB, space.base_mb, space.wanted_mb)
    bits = spec.host.address_bits
    if bits is not None and given.top_bytes > 2**bits:
        raise SpecError(
            [
                Problem(
                    "",
                    f"{show_size(given.size_bytes)} ends beyond the {bits} address bits of the "
                    f"CPU; the largest that fits is {largest_high_space_mb(bits)} MB",
                )
            ]
        )
    return given


def _machine_settings(
    spec: Spec, machine: VirtualMachine, low: int, space: HighSpace
) -> Iterator[Setting]:
    def setting(name: str, value: str, why: str, source: str = _SET_VM) -> Setting:
        return Setting(machine.name, name, value, why, source)

    if machine.create:
        yield from _creation(machine)
    for key in machine.gpus:
        gpu = spec.gpu(key)
        path = gpu.path or "auto: the only card of the host"
        yield setting("InstancePath", path, "exactly this card, never the first", _PLAN)
    high, why = show_size(space.size_bytes), _why_high(spec, machine, space)
    source = _PLAN if machine.mmio_high_bytes else _PV_DOC
    yield setting("HighMemoryMappedIoSpace", high, why, source)
    why = "fits a UInt32, which 4 GiB does not"
    yield setting("LowMemoryMappedIoSpace", show_size(low), why, "measured")
    why = "write-combined caching for the guest's driver"
    yield setting("GuestControlledCacheTypes", "True", why, _PV_DOC)
    if machine.memory_bytes:
        size = show_size(machine.memory_bytes)
        yield setting("StartupBytes", size, "the plan's memory, a multiple of 2 MB", _PLAN)
    why = "dynamic memory collides with a GPU partition unless startup equals minimum"
    yield setting("DynamicMemoryEnabled", "False", why, "ExHyperV issues 5, 60")
    if machine.vcpu:
        yield setting("Count", str(machine.vcpu), "virtual processors", _PLAN)
    why = "on by default on Windows clients, and impossible with a GPU"
    yield setting("AutomaticCheckpointsEnabled", "False", why)
    yield setting("CheckpointType", "Disabled", "a checkpoint can stop the machine from starting")
    why = "a machine with a GPU cannot be saved when the host shuts down"
    yield setting("AutomaticStopAction", machine.stop_action, why)
    if machine.percent:
        why = "for each capability, of the host's total; advisory on a paravirtualised card"
        yield setting("MaxPartition*", f"{machine.percent} %", why, "Easy-GPU-PV issue 138")
    if machine.resolution:
        width, height = machine.resolution
        why = f"{machine.resolution_type}; with `Default` the numbers are ignored"
        yield setting("Set-VMVideo", f"{width}x{height}", why, "Microsoft: Set-VMVideo")


def _creation(machine: VirtualMachine) -> Iterator[Setting]:
    new = machine.create
    if new is None:
        return
    for name, value, why in (
        ("New-VM", "generation 2", "UEFI, Secure Boot and a TPM, which Windows 11 asks for"),
        ("NewVHDSizeBytes", show_size(new.vhd_size_bytes), "grows as it fills"),
        ("SecureBootTemplate", "MicrosoftWindows", "the other template is for Linux"),
        ("Enable-VMTPM", "local key protector", "made once, only for a new machine"),
        ("SwitchName", new.switch or "not connected", "the plan's switch"),
        ("Add-VMDvdDrive", new.iso, "press a key when it asks to boot from DVD"),
    ):
        yield Setting(machine.name, name, value, why, "Microsoft: Hyper-V cmdlets")


def _why_high(spec: Spec, machine: VirtualMachine, space: HighSpace) -> str:
    if machine.mmio_high_bytes:
        return "as given"
    vram = max((spec.gpu(key).vram_bytes or 0 for key in machine.gpus), default=0)
    why = f"holds {show_size(vram)} of VRAM twice" if vram else "the usual; VRAM not given"
    if space.reduced:
        return f"{why}; cut to what {spec.host.address_bits} address bits reach"
    if spec.host.address_bits is None:
        return f"{why}; the CPU's limit shows at the first start"
    return why


def _machine_warnings(spec: Spec, machine: VirtualMachine, space: HighSpace) -> Iterator[Warning_]:
    name = f"VM {machine.name!a}"
    cards: list[Gpu] = [spec.gpu(key) for key in machine.gpus]
    if machine.percent and any(gpu.path is None or "PARAV" in gpu.path.upper() for gpu in cards):
        yield Warning_(
            "GPV-PERCENT-ADVISORY",
            f"{name}: {machine.percent} % is advisory: a paravirtualised card is shared whole",
        )
    if any(gpu.path and not gpu.path.upper().endswith("PARAV") for gpu in cards):
        yield Warning_(
            "GPV-TRUE-PARTITION",
            f"{name}: a path without \\GPUPARAV is a true partition, made for servers; "
            "the scripts are not written for its rules",
        )
    if space.reduced and not machine.mmio_high_bytes:
        yield Warning_(
            "GPV-MMIO-RANGE",
            f"{name}: {space.wanted_mb} MB of high memory-mapped space wanted, "
            f"{space.size_mb} MB is what the CPU reaches",
        )
    if space.size_mb & space.size_mb - 1:
        yield Warning_(
            "GPV-MMIO-RANGE",
            f"{name}: {space.size_mb} MB of high memory-mapped space is no power of two",
        )
    if len(cards) > 1:
        yield Warning_(
            "GPV-NO-DISPLAY",
            f"{name}: of {len(cards)} cards only one pairs with the display, and Windows chooses",
        )
