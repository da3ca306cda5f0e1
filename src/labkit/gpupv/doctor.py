"""Diagnosis of a Hyper-V host: what is in the way of a GPU for its guests.

Pure functions from the facts of a host, and optionally a plan for it, to findings. What is not
known gives no finding.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labkit.gpupv.failures import find_failure
from labkit.gpupv.instance_path import parse_instance_path
from labkit.gpupv.memory_mapped import MIN_HIGH_SPACE_MB
from labkit.gpupv.partition import CAPABILITIES
from labkit.gpupv.settings import plan_settings
from labkit.gpupv.values import same_file, show_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.gpupv.host import Adapter, Host, HostGpu, Machine
    from labkit.gpupv.settings import MachineValues
    from labkit.gpupv.spec import Spec, VirtualMachine

__all__ = ["Finding", "diagnose_host", "missing_facts"]

_MIB = 2**20
_FIRST_BUILD = 17134
_LEAKING_BUILD, _LEAK_FIXED_REVISION = 26100, 4946
_MAX_ADAPTERS = 32
_MEMORY_STEP_BYTES = 2 * _MIB
# Sandy Bridge and Ivy Bridge, without their big siblings of socket 2011, which have 46 bits.
_OLD_PROCESSOR = re.compile(
    r"\bi[357]-(?!(?:3820|3930K|3960X|3970X)\b)[23][0-9]{3}[A-Z]{0,2}\b", re.ASCII
)
_LAST_OLD_VERSION = (9, 0)
_SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a diagnosis found.

    Attributes:
        code: The failure's code.
        severity: `error`, `warning` or `note`.
        subject: What it is about: `host`, a GPU's path, a virtual machine's name.
        message: What was found.
        fix: What to do.
    """

    code: str
    severity: str
    subject: str
    message: str
    fix: str


def diagnose_host(host: Host, spec: Spec | None = None) -> tuple[Finding, ...]:
    """Find what keeps a host from sharing its GPU, the worst first.

    Args:
        host: The facts; None in them means "not known" and is not judged.
        spec: A plan for this host, which is then compared with it.
    """
    planned = spec.machines if spec else ()
    findings = [*_host_findings(host), *_gpu_findings(host)]
    for machine in host.machines or ():
        in_plan = any(_is_planned(machine, wanted) for wanted in planned)
        if in_plan or machine.adapters:
            findings += _machine_findings(host, machine, planned=in_plan)
        elif machine.adapters is None and spec is None:
            findings += map(_if_it_is_meant, _machine_findings(host, machine, planned=False))
    for adapter in host.loose_adapters:
        findings += _adapter_findings(host, adapter, adapter.machine_name or "adapter")
    findings += _crowd_findings(host, spec)
    if spec is not None:
        findings += _plan_findings(host, spec)
    return tuple(sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity)))


def missing_facts(host: Host, spec: Spec | None = None) -> tuple[str, ...]:
    """Name the lists without which a diagnosis that finds nothing says nothing.

    One of them is enough to look at; a plan is compared with both.
    """
    known = {"gpus": host.gpus is not None, "machines": host.machines is not None}
    if host.loose_adapters:
        known["machines"] = True
    missing = tuple(name for name, is_known in known.items() if not is_known)
    return missing if spec is not None or len(missing) == len(known) else ()


def _finding(
    code: str, subject: str, message: str, *, fix: str | None = None, severity: str | None = None
) -> Finding:
    failure = find_failure(code)
    return Finding(code, severity or failure.severity, subject, message, fix or failure.fix)


def _if_it_is_meant(finding: Finding) -> Finding:
    """Judge a machine of which nobody said whether it has a GPU."""
    return replace(finding, message=f"if it is to have a GPU: {finding.message}")


# -- the host


def _host_findings(host: Host) -> Iterator[Finding]:
    if host.build is not None and host.build < _FIRST_BUILD:
        yield _finding("GPV-WINDOWS-BUILD", "host", f"Windows build {host.build} is too old")
    if host.hyper_v is False:
        edition = f" (edition {host.edition})" if host.edition else ""
        yield _finding("GPV-NO-HYPERV", "host", f"the Hyper-V commands are missing{edition}")
    if host.hypervisor is False:
        yield _finding("GPV-NO-HYPERVISOR", "host", "no hypervisor is running")
    if host.management_service is False:
        yield _finding("GPV-WMI-NAMESPACE", "host", "the service vmms is not running")
    if host.build == _LEAKING_BUILD and (host.revision or _LEAK_FIXED_REVISION) < (
        _LEAK_FIXED_REVISION
    ):
        build = f"{host.build}.{host.revision}"
        yield _finding("GPV-VMMEM-LEAK", "host", f"build {build} leaks memory with a GPU guest")
    if host.processor and (match := _OLD_PROCESSOR.search(host.processor)):
        yield _finding(
            "GPV-MMIO-RANGE",
            "host",
            f"{match[0]} may have 36 physical address bits only, which leave 512 MB",
            severity="warning",
        )
    if host.server and not (host.secure_assignment == host.supported_assignment == 0):
        yield _finding("GPV-POLICY", "host", "a server refuses paravirtualised GPUs by default")


# -- its cards


def _gpu_findings(host: Host) -> Iterator[Finding]:
    if host.gpus is None:
        return
    if not host.gpus:
        yield _finding("GPV-NO-GPU", "host", "the host lists no partitionable GPU")
    if len(host.gpus) > 1 and host.instance_path_parameter is False:
        yield _finding(
            "GPV-NO-INSTANCEPATH",
            "host",
            f"{len(host.gpus)} GPUs, and this host lets Hyper-V choose among them",
        )
    for gpu in host.gpus:
        yield from _one_gpu_findings(gpu)
    models = Counter(gpu.path.model_key for gpu in host.gpus if gpu.path)
    for model, count in models.items():
        if count > 1:
            yield _finding(
                "GPV-GPU-DUPLICATE-NAME", model, f"{count} equal cards: their names tell nothing"
            )


def _one_gpu_findings(gpu: HostGpu) -> Iterator[Finding]:
    subject = gpu.path.text if gpu.path else (gpu.name or "GPU without a path")
    if gpu.device_class is not None and gpu.device_class.lower() != "display":
        yield _finding(
            "GPV-GPU-NOT-DISPLAY", subject, f"its class is {gpu.device_class}, not Display"
        )
    if gpu.path is None:
        return
    if gpu.path.vendor == "Microsoft":
        yield _finding("GPV-GPU-GUEST-LISTING", subject, "this is a guest's adapter, not a card")
    elif not gpu.path.paravirtual:
        yield _finding("GPV-TRUE-PARTITION", subject, "the path has no \\GPUPARAV suffix")


def _crowd_findings(host: Host, spec: Spec | None) -> Iterator[Finding]:
    """Count the adapters of each card over all virtual machines: as it is, or with a plan."""
    planned = spec.machines if spec else ()
    paths = [adapter.path for adapter in host.loose_adapters]
    for machine in host.machines or ():
        if not any(_is_planned(machine, wanted) for wanted in planned):
            paths += [adapter.path for adapter in machine.adapters or ()]
    if spec is not None:
        auto = _only_card(host)
        paths += [spec.gpu(key).path or auto for wanted in planned for key in wanted.gpus]
    for path, count in Counter(path.upper() for path in paths if path).items():
        if count > _MAX_ADAPTERS:
            verb = "point" if spec is None else "would point"
            yield _finding("GPV-GPU-COUNT", path, f"{count} adapters {verb} to this GPU")


def _only_card(host: Host) -> str | None:
    """Return the path that `auto` stands for, where the host has one card."""
    paths = [gpu.path.text for gpu in host.gpus or () if gpu.path]
    return paths[0] if len(paths) == 1 else None


# -- virtual machines


def _machine_findings(host: Host, machine: Machine, *, planned: bool) -> Iterator[Finding]:
    """Judge a machine that has a GPU adapter, is to have one, or may have one."""
    name = machine.name
    yield from _state_findings(machine, planned=planned)
    yield from _setting_findings(machine)
    yield from _memory_findings(host, machine)
    for disk in machine.disks or ():
        if disk.lower().endswith(".avhdx"):
            yield _finding("GPV-VHD-AVHDX", name, f"{disk} is a differencing disk")
    paths: set[str] = set()
    for adapter in machine.adapters or ():
        yield from _adapter_findings(host, adapter, name)
        if adapter.path and adapter.path.upper() in paths:
            yield _finding("GPV-ADAPTER-STALE", name, f"two adapters point to {adapter.path}")
        paths.add((adapter.path or "").upper())


def _state_findings(machine: Machine, *, planned: bool) -> Iterator[Finding]:
    name = machine.name
    if machine.state in {"Saved", "FastSaved"}:
        yield _finding("GPV-SAVE-BLOCKED", name, "the machine is saved; with a GPU it cannot be")
    elif planned and machine.state not in {None, "Off"}:
        yield _finding("GPV-VM-NOT-OFF", name, f"the machine is {machine.state}")
    if machine.checkpoints:
        yield _finding("GPV-VM-CHECKPOINTS", name, f"it has {machine.checkpoints} checkpoints")
    if machine.clustered:
        yield _finding("GPV-VM-CLUSTER", name, "it is a cluster resource")
    version = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})", machine.version or "", re.ASCII)
    if version and (int(version[1]), int(version[2])) <= _LAST_OLD_VERSION:
        yield _finding("GPV-VM-VERSION", name, f"its configuration version is {version[0]}")


def _setting_findings(machine: Machine) -> Iterator[Finding]:
    name = machine.name
    if machine.automatic_checkpoints and machine.checkpoint_type != "Disabled":
        yield _finding("GPV-AUTO-CHECKPOINTS", name, "automatic checkpoints are on")
    if machine.stop_action == "Save":
        yield _finding("GPV-SAVE-BLOCKED", name, "its stop action is Save")
    if machine.cache_types is False:
        yield _finding("GPV-CACHE-TYPES", name, "GuestControlledCacheTypes is off")
    if machine.high_space_bytes is not None:
        size_mb = machine.high_space_bytes // _MIB
        if size_mb < MIN_HIGH_SPACE_MB:
            message = f"its high memory-mapped space is {size_mb} MB; 8192 MB is the least"
            yield _finding("GPV-MMIO-LOW", name, message)


def _memory_findings(host: Host, machine: Machine) -> Iterator[Finding]:
    name, startup = machine.name, machine.startup_bytes
    if machine.dynamic_memory and startup != machine.minimum_bytes:
        yield _finding("GPV-MEM-DYNAMIC", name, "dynamic memory, startup and minimum differ")
    if startup is None:
        return
    if startup % _MEMORY_STEP_BYTES:
        yield _finding(
            "GPV-MEM-ALIGN", name, f"its memory of {startup} bytes is no multiple of 2 MB"
        )
    if host.memory_bytes is not None and startup > host.memory_bytes:
        yield _finding("GPV-MEM-HOST", name, "its startup memory exceeds the host's memory")


def _adapter_findings(host: Host, adapter: Adapter, subject: str) -> Iterator[Finding]:
    gpus = host.gpus or ()
    known = {gpu.path.key for gpu in gpus if gpu.path}
    if adapter.path is None:
        if len(gpus) > 1:
            message = "its adapter names no GPU, and the host has several"
            yield _finding("GPV-GPU-AMBIGUOUS", subject, message)
    elif host.gpus is not None and len(known) == len(gpus) and adapter.path.upper() not in known:
        message = f"its adapter points to {adapter.path}, which the host does not list"
        yield _finding("GPV-ADAPTER-STALE", subject, message)
    values = {name: value for name, value in adapter.values.items() if value is not None}
    if not values:
        return
    asked = [c for c in CAPABILITIES if any(values.get(f"{b}Partition{c}") for b in _UPPER)]
    zeros = [name for name, value in values.items() if value == 0 and not name.startswith("Min")]
    if zeros or len(asked) < len(CAPABILITIES):
        message = f"values are 0 or missing ({', '.join(zeros) or 'some capabilities'})"
        yield _finding("GPV-PARTITION-ZERO", subject, message)
    elif adapter.path is None or "PARAV" in adapter.path.upper():
        message = "its adapter has partition values; a paravirtualised GPU ignores them"
        yield _finding("GPV-PERCENT-ADVISORY", subject, message)


_UPPER = ("Max", "Optimal")


# -- a plan against the host


def _plan_findings(host: Host, spec: Spec) -> Iterator[Finding]:
    for gpu in spec.gpus:
        yield from _planned_gpu_findings(host, gpu.key, gpu.path)
    if host.machines is not None:
        for machine, numbers in zip(spec.machines, plan_settings(spec).values, strict=True):
            yield from _planned_machine_findings(host, spec, machine, numbers)
    wanted = sum(machine.memory_bytes or 0 for machine in spec.machines)
    if host.memory_bytes is not None and wanted > host.memory_bytes:
        message = f"the machines ask for {wanted // _MIB} MB, the host has "
        yield _finding("GPV-MEM-HOST", "plan", f"{message}{host.memory_bytes // _MIB} MB")


def _planned_gpu_findings(host: Host, key: str, path: str | None) -> Iterator[Finding]:
    if host.gpus is None:
        return
    paths = [gpu.path for gpu in host.gpus if gpu.path]
    if path is None:
        if len(host.gpus) > 1:
            fix = "give the path of one of: " + ", ".join(p.text for p in paths)
            message = "the plan leaves the GPU to the host, which has several"
            yield _finding("GPV-GPU-AMBIGUOUS", key, message, fix=fix)
        return
    if path.upper() in {known.key for known in paths}:
        return
    model = parse_instance_path(path).model_key
    moved = [known.text for known in paths if known.model_key == model]
    place = f"an equal card is at {' and at '.join(moved)}" if moved else None
    yield _finding("GPV-GPU-NOT-FOUND", key, f"the host does not list {path}", fix=place)


def _planned_machine_findings(
    host: Host, spec: Spec, planned: VirtualMachine, numbers: MachineValues
) -> Iterator[Finding]:
    found = [machine for machine in host.machines or () if _is_planned(machine, planned)]
    if not found and planned.create is None:
        message = "the host has no virtual machine of that name"
        yield _finding("GPV-VM-NOT-FOUND", planned.name, message)
    if len(found) > 1:
        message = f"{len(found)} virtual machines have that name"
        yield _finding("GPV-VM-AMBIGUOUS", planned.name, message)
    elif found:
        yield from _disk_findings(found[0], planned)
        yield from _difference_findings(found[0], planned, numbers)
        yield from _adapter_differences(host, spec, found[0], planned)


def _disk_findings(machine: Machine, planned: VirtualMachine) -> Iterator[Finding]:
    """Compare the disk, which is where the driver files go."""
    if machine.disks is None or same_file(planned.vhdx) in map(same_file, machine.disks):
        return
    message = f"the plan's disk {planned.vhdx} is none of its: {', '.join(machine.disks) or 'none'}"
    yield _finding("GPV-VM-DISK", machine.name, message)


def _difference_findings(
    machine: Machine, planned: VirtualMachine, numbers: MachineValues
) -> Iterator[Finding]:
    """Say which settings 10-Apply would change."""
    if machine.dynamic_memory and planned.memory_bytes is None:
        message = "dynamic memory is on, and 10-Apply switches it off"
        if machine.startup_bytes is not None:
            message += f": the guest is left with {show_size(machine.startup_bytes)}"
        fix = "give the machine its `memory` in the plan"
        yield _finding("GPV-MEM-DYNAMIC", machine.name, message, fix=fix, severity="warning")
    sizes = (
        ("memory", machine.startup_bytes, planned.memory_bytes),
        ("low memory-mapped space", machine.low_space_bytes, numbers.low_bytes),
        ("high memory-mapped space", machine.high_space_bytes, numbers.high_bytes),
    )
    for name, actual, wanted in sizes:
        if None not in {actual, wanted} and actual != wanted:
            yield _difference(machine, name, show_size(actual or 0), show_size(wanted or 0))
    if machine.stop_action not in {None, "Save", planned.stop_action}:
        yield _difference(machine, "stop action", str(machine.stop_action), planned.stop_action)


def _difference(machine: Machine, name: str, actual: str, wanted: str) -> Finding:
    message = f"its {name} is {actual}, the plan says {wanted}"
    return _finding("GPV-DIFFERS", machine.name, message, fix=_APPLY, severity="note")


_APPLY = "10-Apply.ps1 sets it, with the machine off"


def _adapter_differences(
    host: Host, spec: Spec, machine: Machine, planned: VirtualMachine
) -> Iterator[Finding]:
    """Compare the adapters; `auto` is the card of a host that has one."""
    if machine.adapters is None:
        return
    auto = _only_card(host)
    paths = [spec.gpu(key).path or auto for key in planned.gpus]
    wanted = [path for path in paths if path is not None]
    present = [adapter.path for adapter in machine.adapters if adapter.path]
    folded = {path.upper() for path in present}
    for path in wanted:
        if path.upper() not in folded and len(present) == len(machine.adapters):
            message = f"it has no adapter of {path} yet"
            yield _finding("GPV-DIFFERS", machine.name, message, fix=_APPLY, severity="note")
    others = [path for path in present if path.upper() not in {want.upper() for want in wanted}]
    for path in others if len(wanted) == len(paths) else ():
        message = f"it has an adapter that the plan does not name: {path}"
        severity = "note" if planned.remove_other_adapters else None
        yield _finding("GPV-ADAPTER-OTHER", machine.name, message, severity=severity)


def _is_planned(machine: Machine, planned: VirtualMachine) -> bool:
    """Whether a plan means this machine: by its id where it gives one, else by its exact name."""
    if planned.id is None:
        return machine.name == planned.name
    return (machine.id or "").strip("{}").lower() == planned.id.strip("{}").lower()
