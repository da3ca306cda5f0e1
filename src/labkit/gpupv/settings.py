"""What a plan sets, to which value, why, and where that is known from: the table to review."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.gpupv.instance_path import parse_instance_path
from labkit.gpupv.memory_mapped import DEFAULT_HIGH_BASE_MB, LOW_SPACE_MB, plan_high_space
from labkit.gpupv.values import show_size, show_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.gpupv.memory_mapped import HighSpace
    from labkit.gpupv.spec import Gpu, Spec, VirtualMachine

    _Rows = Iterator[tuple[str, str, str, str]]
    """Name, value, reason and source of settings of one virtual machine."""

__all__ = ["MachineValues", "PlanSettings", "PlanWarning", "Setting", "plan_settings"]

_MIB = 2**20
_MUCH_MEMORY = 2**40
"""What few hosts have; a slip of the unit is more likely."""

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
class PlanWarning:
    """Something to know before the scripts run; `code` is one of the failure catalogue."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class MachineValues:
    """The computed numbers of a virtual machine; `base_mb` is None where the base stays."""

    low_bytes: int
    high_bytes: int
    base_mb: int | None = None


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
    warnings: tuple[PlanWarning, ...]


def plan_settings(spec: Spec) -> PlanSettings:
    """Compute every value that the scripts set.

    Raises:
        AddressRangeError: A memory-mapped space that the host's CPU does not reach; what
            `Spec.parse` returns holds none.
    """
    values: list[MachineValues] = []
    settings = list(_common_settings(spec))
    warnings = list(_common_warnings(spec))
    for machine in spec.machines:
        space = _high_space(spec, machine)
        low = machine.mmio_low_bytes or LOW_SPACE_MB * _MIB
        base_mb = space.base_mb if machine.mmio_base_bytes else None
        values.append(MachineValues(low, space.size_bytes, base_mb))
        settings += _machine_settings(spec, machine, low, space)
        warnings += _machine_warnings(spec, machine, space)
    return PlanSettings(tuple(values), tuple(settings), tuple(warnings))


def _high_space(spec: Spec, machine: VirtualMachine) -> HighSpace:
    """Choose the high space: the plan's own, or by the card with the most memory."""
    vram = max((spec.gpu(key).vram_bytes or 0 for key in machine.gpus), default=0)
    base_mb = DEFAULT_HIGH_BASE_MB
    if machine.mmio_base_bytes is not None:
        base_mb = machine.mmio_base_bytes // _MIB
    given = machine.mmio_high_bytes
    return plan_high_space(
        vram // _MIB or None, spec.host.address_bits, base_mb, given // _MIB if given else None
    )


def _common_settings(spec: Spec) -> Iterator[Setting]:
    """What the plan sets for all machines."""
    yield Setting("plan", "name", spec.name, "stands at the top of each script", _PLAN)
    if spec.host.allow_policy:
        for name in ("RequireSecureDeviceAssignment", "RequireSupportedDeviceAssignment"):
            why = "Windows Server refuses a card without isolation; this weakens the host"
            yield Setting("host", name, "0", why, "Easy-GPU-PV issue 125")


def _common_warnings(spec: Spec) -> Iterator[PlanWarning]:
    if spec.host.allow_policy:
        yield PlanWarning(
            "GPV-POLICY",
            "allow_policy: on Windows Server two policies of the host are switched off, which "
            "weakens the isolation of devices for every machine",
        )


def _machine_settings(
    spec: Spec, machine: VirtualMachine, low: int, space: HighSpace
) -> Iterator[Setting]:
    rows = (
        *_identity(machine),
        *_creation(machine),
        *_adapter_settings(spec, machine),
        *_space_settings(spec, machine, low, space),
        *_memory_settings(machine),
        *_state_settings(machine),
        *_guest_settings(machine),
    )
    for name, value, why, source in rows:
        yield Setting(machine.name, name, value, why, source)


def _identity(machine: VirtualMachine) -> _Rows:
    if machine.id:
        yield "Id", machine.id, "exactly this machine, whatever its name", _PLAN
    why = "the disk of the guest's Windows: 20-Sync-Drivers writes the driver files to it"
    yield "Path", machine.vhdx, why, _PLAN


def _adapter_settings(spec: Spec, machine: VirtualMachine) -> _Rows:
    cards = [spec.gpu(key) for key in machine.gpus]
    for gpu in cards:
        path = gpu.path or "auto: the only card of the host"
        yield "InstancePath", path, "exactly this card, never the first", _PLAN
    others = machine.remove_other_adapters
    what = "taken out" if others else "kept, and 10-Apply stops at one"
    why = f"adapters of cards that the plan does not name are {what}"
    yield "RemoveOtherAdapters", str(others), why, _PLAN
    if machine.percent:
        shared = any(map(_is_paravirtual, cards))
        rule = "advisory on a paravirtualised card" if shared else "a true partition keeps to it"
        why = f"for each capability, of the host's total; {rule}"
        yield "MaxPartition*", f"{machine.percent} %", why, "Easy-GPU-PV issue 138"


def _space_settings(spec: Spec, machine: VirtualMachine, low: int, space: HighSpace) -> _Rows:
    high, why = show_size(space.size_bytes), _why_high(spec, machine, space)
    source = _PLAN if machine.mmio_high_bytes else _PV_DOC
    yield "HighMemoryMappedIoSpace", high, why, source
    if machine.mmio_base_bytes:
        why = "as given, for a CPU with few address bits; the memory has to end below it"
        yield "HighMmioGapBase", show_size(machine.mmio_base_bytes), why, _PV_DOC
    why = "fits a UInt32, which 4 GiB does not"
    yield "LowMemoryMappedIoSpace", show_size(low), why, "measured"
    why = "write-combined caching for the guest's driver"
    yield "GuestControlledCacheTypes", "True", why, _PV_DOC


def _memory_settings(machine: VirtualMachine) -> _Rows:
    if machine.memory_bytes:
        size = show_size(machine.memory_bytes)
        yield "StartupBytes", size, "the plan's memory, a multiple of 2 MB", _PLAN
    why = "dynamic memory collides with a GPU partition unless startup equals minimum"
    yield "DynamicMemoryEnabled", "False", why, "ExHyperV issues 5, 60"
    if machine.vcpu:
        yield "Count", str(machine.vcpu), "virtual processors", _PLAN


def _state_settings(machine: VirtualMachine) -> _Rows:
    why = "on by default on Windows clients, and impossible with a GPU"
    yield "AutomaticCheckpointsEnabled", "False", why, _SET_VM
    why = "a checkpoint can stop the machine from starting"
    yield "CheckpointType", "Disabled", why, _SET_VM
    why = "a machine with a GPU cannot be saved when the host shuts down"
    yield "AutomaticStopAction", machine.stop_action, why, _SET_VM


def _guest_settings(machine: VirtualMachine) -> _Rows:
    if machine.resolution:
        width, height = machine.resolution
        yield "Set-VMVideo", f"{width}x{height}", "of the console, set by 40-Display", _PLAN
        why = "this size only" if machine.resolution_type == "Single" else "up to this size"
        why += "; with `Default` the numbers are ignored"
        yield "ResolutionType", machine.resolution_type, why, "Microsoft: Set-VMVideo"
    if machine.guest_user:
        why = "offered where the scripts ask for an account of the guest; never a password"
        yield "GuestUser", machine.guest_user, why, _PLAN


def _creation(machine: VirtualMachine) -> _Rows:
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
        yield name, value, why, "Microsoft: Hyper-V cmdlets"


def _why_high(spec: Spec, machine: VirtualMachine, space: HighSpace) -> str:
    if machine.mmio_high_bytes:
        return "as given"
    vram = max((spec.gpu(key).vram_bytes or 0 for key in machine.gpus), default=0)
    why = "the usual; VRAM not given"
    if vram and 2 * vram > space.wanted_mb * _MIB:
        why = f"Hyper-V's ceiling, less than twice the VRAM of {show_size(vram)}"
    elif vram:
        wanted = " is wanted" if space.reduced else ""
        why = f"twice the VRAM of {show_size(vram)}{wanted}"
    if space.reduced:
        return f"{why}; cut to what {spec.host.address_bits} address bits reach"
    if spec.host.address_bits is None:
        return f"{why}; the CPU's limit shows at the first start"
    return why


def _machine_warnings(
    spec: Spec, machine: VirtualMachine, space: HighSpace
) -> Iterator[PlanWarning]:
    name = f"VM {show_text(machine.name)}"
    cards: list[Gpu] = [spec.gpu(key) for key in machine.gpus]
    yield from _memory_warnings(spec, machine, name)
    if machine.percent and any(map(_is_paravirtual, cards)):
        yield PlanWarning(
            "GPV-PERCENT-ADVISORY",
            f"{name}: {machine.percent} % is advisory: a paravirtualised card is shared whole",
        )
    if not all(map(_is_paravirtual, cards)):
        yield PlanWarning(
            "GPV-TRUE-PARTITION",
            f"{name}: a path without \\GPUPARAV is a true partition, made for servers; "
            "the scripts are not written for its rules",
        )
    if space.reduced and not machine.mmio_high_bytes:
        yield PlanWarning(
            "GPV-MMIO-RANGE",
            f"{name}: {space.wanted_mb} MB of high memory-mapped space wanted, "
            f"{space.size_mb} MB is what the CPU reaches",
        )
    if space.size_mb & space.size_mb - 1:
        yield PlanWarning(
            "GPV-MMIO-RANGE",
            f"{name}: {space.size_mb} MB of high memory-mapped space is no power of two",
        )
    if len(cards) > 1:
        yield PlanWarning(
            "GPV-NO-DISPLAY",
            f"{name}: of {len(cards)} cards only one pairs with the display, and Windows chooses",
        )


def _memory_warnings(spec: Spec, machine: VirtualMachine, name: str) -> Iterator[PlanWarning]:
    if machine.memory_bytes is None:
        yield PlanWarning(
            "GPV-MEM-DYNAMIC",
            f"{name}: dynamic memory is switched off, and without `memory` the guest is left with "
            "its startup memory, which may be little",
        )
    elif machine.memory_bytes >= _MUCH_MEMORY and spec.host.memory_bytes is None:
        yield PlanWarning(
            "GPV-MEM-HOST",
            f"{name}: {show_size(machine.memory_bytes)} of memory; give [host] memory to have it "
            "compared",
        )


def _is_paravirtual(gpu: Gpu) -> bool:
    """Whether a card is shared by paravirtualisation; `auto` is taken for one that is."""
    return gpu.path is None or parse_instance_path(gpu.path).paravirtual
