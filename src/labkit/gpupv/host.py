"""The facts of a Hyper-V host, read from host.json or from pasted PowerShell output.

None means "not known": a paste holds only part of what the inventory script writes, and a
diagnosis says nothing about what it does not know.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from labkit.errors import InputError
from labkit.gpupv.instance_path import parse_instance_path
from labkit.gpupv.listing import Kind, kinds_of, parse_flag, parse_listing, parse_number
from labkit.gpupv.partition import CAPABILITIES, MAX_TOTAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.gpupv.instance_path import InstancePath

__all__ = [
    "HOST_FORMAT",
    "Adapter",
    "Host",
    "HostFileError",
    "HostGpu",
    "Machine",
    "read_host",
    "read_listing",
]

HOST_FORMAT = "labkit-gpupv-host/1"
"""What host.json says it is."""

_T = TypeVar("_T")


class HostFileError(InputError):
    """A host.json that is cut off, or is something else."""

    code = "gpv-host-file"


@dataclass(frozen=True, slots=True)
class HostGpu:
    """A card that the host can share.

    Attributes:
        path: Its instance path; None where a paste lost it.
        name: Its name in Device Manager.
        device_class: Its Plug and Play class; `Display` for a graphics card.
        driver_version: The version of its driver.
        vram_bytes: Its own memory.
        totals: What the host reports of each capability; 2**64 - 1 is usual for Encode.
        partition_count: How many partitions the host divides it into.
        valid_partition_counts: What that number may be.
        counts_truncated: Whether PowerShell left some of them out.
    """

    path: InstancePath | None
    name: str | None = None
    device_class: str | None = None
    driver_version: str | None = None
    vram_bytes: int | None = None
    totals: Mapping[str, int] = field(default_factory=dict)
    partition_count: int | None = None
    valid_partition_counts: tuple[int, ...] = ()
    counts_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Adapter:
    r"""A GPU partition adapter of a virtual machine.

    Attributes:
        id: `Microsoft:<machine>\<adapter>`.
        path: The card that it points to; None where it names none.
        values: Its twelve partition values; None for one that is not set.
        machine_id: The virtual machine's id, in lower case.
        machine_name: The virtual machine's name.
    """

    id: str | None
    path: str | None
    values: Mapping[str, int | None]
    machine_id: str | None = None
    machine_name: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine and those of its settings that matter to a GPU."""

    name: str
    id: str | None = None
    state: str | None = None
    version: str | None = None
    generation: int | None = None
    stop_action: str | None = None
    checkpoint_type: str | None = None
    automatic_checkpoints: bool | None = None
    checkpoints: int | None = None
    clustered: bool | None = None
    cache_types: bool | None = None
    low_space_bytes: int | None = None
    high_space_bytes: int | None = None
    dynamic_memory: bool | None = None
    startup_bytes: int | None = None
    minimum_bytes: int | None = None
    disks: tuple[str, ...] | None = None
    adapters: tuple[Adapter, ...] | None = None

    @property
    def settings_known(self) -> bool:
        """Whether more than what the table of `Get-VM` shows is known."""
        return any(
            value is not None
            for value in (
                self.stop_action,
                self.checkpoint_type,
                self.cache_types,
                self.high_space_bytes,
                self.startup_bytes,
                self.adapters,
            )
        )


@dataclass(frozen=True, slots=True)
class Host:
    """A Hyper-V host."""

    gpus: tuple[HostGpu, ...] | None = None
    machines: tuple[Machine, ...] | None = None
    loose_adapters: tuple[Adapter, ...] = ()
    """Adapters of a paste without their virtual machine."""
    build: int | None = None
    revision: int | None = None
    edition: str | None = None
    server: bool | None = None
    processor: str | None = None
    memory_bytes: int | None = None
    hyper_v: bool | None = None
    hypervisor: bool | None = None
    management_service: bool | None = None
    instance_path_parameter: bool | None = None
    secure_assignment: int | None = None
    supported_assignment: int | None = None


_PARTITION_VALUES = tuple(
    f"{bound}Partition{name}" for name in CAPABILITIES for bound in ("Min", "Max", "Optimal")
)


# -- host.json


def read_host(text: str) -> Host:
    """Read host.json, as the inventory script writes it.

    Raises:
        HostFileError: It is cut off, no JSON, another file, or a value has another type.
        InstancePathError: A card's path is none.
    """
    try:
        document = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        cut = text.lstrip("\ufeff \t\r\n").startswith("{") and not text.rstrip().endswith("}")
        what = "is cut off" if cut else "is no JSON"
        raise HostFileError(
            f"the host file {what}: {error}", hint="run 00-Inventory.ps1 again and copy it whole"
        ) from error
    root = _Table(document, "the host file")
    if root.get("format", str) != HOST_FORMAT:
        raise HostFileError(
            f"this is no host file of labkit: its format is not {HOST_FORMAT}",
            hint="labkit gpupv inventory-script writes the script that makes one",
        )
    windows, hyper_v = root.table("windows"), root.table("hyper_v")
    policy = root.table("policy")
    return Host(
        gpus=tuple(map(_json_gpu, gpus)) if (gpus := root.tables("gpus")) is not None else None,
        machines=(
            tuple(map(_json_machine, machines))
            if (machines := root.tables("machines")) is not None
            else None
        ),
        build=windows.number("build"),
        revision=windows.number("revision"),
        edition=windows.get("edition", str),
        server=windows.get("server", bool),
        processor=root.get("processor", str),
        memory_bytes=root.number("memory_bytes"),
        hyper_v=hyper_v.get("installed", bool),
        hypervisor=hyper_v.get("hypervisor", bool),
        management_service=hyper_v.get("management_service", bool),
        instance_path_parameter=hyper_v.get("instance_path_parameter", bool),
        secure_assignment=policy.number("secure_assignment"),
        supported_assignment=policy.number("supported_assignment"),
    )


class _Table:
    """A JSON object whose values are read with their type; a wrong one is named by its place."""

    def __init__(self, value: object, place: str) -> None:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise HostFileError(f"{place} is no JSON object")
        self._values: Mapping[str, Any] = value
        self._place = place

    def get(self, key: str, kind: type[_T]) -> _T | None:
        value = self._values.get(key)
        if value is None or (value == {} and kind is not list):
            # Windows PowerShell 5.1 writes {} for what a function did not return.
            return None
        if not isinstance(value, kind):
            raise HostFileError(f"{key} in {self._place} is no {kind.__name__}")
        return value

    def number(self, key: str) -> int | None:
        """Read a whole number; large ones are texts, since many JSON readers round them."""
        value = self._values.get(key)
        if value is None or value in ("", {}):
            return None
        if isinstance(value, str):
            return parse_number(value, f"{key} in {self._place}")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOTAL:
            raise HostFileError(f"{key} in {self._place} is no whole number below 2**64")
        return value

    def table(self, key: str) -> _Table:
        return _Table(self._values.get(key), f"{key} in {self._place}")

    def tables(self, key: str) -> list[_Table] | None:
        items = self.get(key, list)
        if items is None:
            return None
        return [_Table(item, f"{key}[{index}]") for index, item in enumerate(items)]

    def texts(self, key: str) -> tuple[str, ...] | None:
        items = self.get(key, list)
        if items is None:
            return None
        if not all(isinstance(item, str) for item in items):
            raise HostFileError(f"{key} in {self._place} holds more than texts")
        return tuple(items)


def _json_gpu(gpu: _Table) -> HostGpu:
    totals = gpu.table("totals")
    path = gpu.get("instance_path", str)
    return HostGpu(
        path=parse_instance_path(path) if path else None,
        name=gpu.get("name", str),
        device_class=gpu.get("class", str),
        driver_version=gpu.get("driver_version", str),
        vram_bytes=gpu.number("vram_bytes"),
        totals={n: total for n in CAPABILITIES if (total := totals.number(n)) is not None},
        partition_count=gpu.number("partition_count"),
    )


def _json_machine(machine: _Table) -> Machine:
    adapters = machine.tables("adapters")
    name = machine.get("name", str) or ""
    return Machine(
        name=name,
        id=machine.get("id", str),
        state=machine.get("state", str),
        version=machine.get("version", str),
        generation=machine.number("generation"),
        stop_action=machine.get("stop_action", str),
        checkpoint_type=machine.get("checkpoint_type", str),
        automatic_checkpoints=machine.get("automatic_checkpoints", bool),
        checkpoints=machine.number("checkpoints"),
        clustered=machine.get("clustered", bool),
        cache_types=machine.get("cache_types", bool),
        low_space_bytes=machine.number("low_space_bytes"),
        high_space_bytes=machine.number("high_space_bytes"),
        dynamic_memory=machine.get("dynamic_memory", bool),
        startup_bytes=machine.number("startup_bytes"),
        minimum_bytes=machine.number("minimum_bytes"),
        disks=machine.texts("disks"),
        adapters=None if adapters is None else tuple(_json_adapter(a, name) for a in adapters),
    )


def _json_adapter(adapter: _Table, machine_name: str) -> Adapter:
    values = adapter.table("values")
    return Adapter(
        id=adapter.get("id", str),
        path=adapter.get("instance_path", str) or None,
        values={name: values.number(name) for name in _PARTITION_VALUES},
        machine_name=machine_name,
    )


# -- pasted output


def read_listing(text: str) -> Host:
    """Read pasted output of Get-VMHostPartitionableGpu, Get-VMGpuPartitionAdapter and Get-VM.

    Raises:
        InputError: It holds none of these, or a value that cannot be one.
    """
    gpus, adapters, machines = [], [], []
    for entry in parse_listing(text):
        kinds = kinds_of(entry)
        if kinds == {Kind.ADAPTER}:
            adapters.append(_listed_adapter(entry))
        elif kinds == {Kind.GPU}:
            gpus.append(_listed_gpu(entry))
        elif "Name" in entry and "State" in entry:
            machines.append(_listed_machine(entry))
    if not (gpus or adapters or machines):
        raise InputError(
            "the text holds no GPU, adapter or virtual machine",
            hint="paste the output of Get-VMHostPartitionableGpu, Get-VMGpuPartitionAdapter or "
            "Get-VM, each with | Format-List *; for an error message use labkit gpupv explain "
            "--text",
        )
    if machines and not (gpus or adapters or any(m.settings_known for m in machines)):
        raise InputError(
            "the text holds no settings: the table of Get-VM shows names and states only",
            hint="paste the output of Get-VM | Format-List *",
        )
    owned, loose = _with_adapters(machines, adapters)
    return Host(gpus=tuple(gpus) or None, machines=owned or None, loose_adapters=loose)


def _with_adapters(
    machines: list[Machine], adapters: list[Adapter]
) -> tuple[tuple[Machine, ...], tuple[Adapter, ...]]:
    """Give each machine its adapters, and return those whose machine is not in the text.

    A machine without one has none where the text lists those of others; where it lists none at
    all, or one that does not say whose it is, that remains unknown.
    """
    known = bool(adapters) and all(a.machine_id or a.machine_name for a in adapters)
    owned = []
    loose = dict.fromkeys(range(len(adapters)))
    for machine in machines:
        own = [index for index, adapter in enumerate(adapters) if _belongs(adapter, machine)]
        for index in own:
            loose.pop(index, None)
        listed = tuple(adapters[index] for index in own)
        owned.append(replace(machine, adapters=listed if listed or known else None))
    return tuple(owned), tuple(adapters[index] for index in loose)


def _belongs(adapter: Adapter, machine: Machine) -> bool:
    if adapter.machine_id and machine.id:
        return adapter.machine_id == machine.id.strip("{}").lower()
    return adapter.machine_name == machine.name


def _listed_gpu(entry: Mapping[str, str]) -> HostGpu:
    totals = {n: parse_number(entry.get(f"Total{n}", ""), f"Total{n}") for n in CAPABILITIES}
    counts = entry.get("ValidPartitionCounts", "")
    name = entry.get("Name", "")
    return HostGpu(
        path=parse_instance_path(name) if name else None,
        totals={name: total for name, total in totals.items() if total is not None},
        partition_count=parse_number(entry.get("PartitionCount", ""), "PartitionCount"),
        valid_partition_counts=tuple(int(n) for n in re.findall(r"[0-9]{1,6}", counts)),
        counts_truncated="..." in counts or "\u2026" in counts,
    )


def _listed_adapter(entry: Mapping[str, str]) -> Adapter:
    return Adapter(
        id=entry.get("Id") or None,
        path=entry.get("InstancePath") or None,
        values={name: parse_number(entry.get(name, ""), name) for name in _PARTITION_VALUES},
        machine_id=entry.get("VMId", "").lower() or None,
        machine_name=entry.get("VMName") or None,
    )


def _listed_machine(entry: Mapping[str, str]) -> Machine:
    return Machine(
        name=entry["Name"],
        id=entry.get("Id") or entry.get("VMId"),
        state=entry["State"] or None,
        version=entry.get("Version") or None,
        generation=_number(entry, "Generation"),
        stop_action=entry.get("AutomaticStopAction") or None,
        checkpoint_type=entry.get("CheckpointType") or None,
        automatic_checkpoints=_flag(entry, "AutomaticCheckpointsEnabled"),
        clustered=_flag(entry, "IsClustered"),
        cache_types=_flag(entry, "GuestControlledCacheTypes"),
        low_space_bytes=_number(entry, "LowMemoryMappedIoSpace"),
        high_space_bytes=_number(entry, "HighMemoryMappedIoSpace"),
        dynamic_memory=_flag(entry, "DynamicMemoryEnabled"),
        startup_bytes=_number(entry, "MemoryStartup"),
        minimum_bytes=_number(entry, "MemoryMinimum"),
    )


def _number(entry: Mapping[str, str], label: str) -> int | None:
    return parse_number(entry.get(label, ""), label)


def _flag(entry: Mapping[str, str], label: str) -> bool | None:
    return parse_flag(entry.get(label, ""), label)
