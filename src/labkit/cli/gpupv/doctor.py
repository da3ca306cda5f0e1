"""`labkit gpupv doctor`: what keeps a host from sharing its GPU."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.files import MissingFileError, read_text
from labkit.cli.gpupv.reading import problems_result, read_spec
from labkit.cli.gpupv.tool import gpupv as tool
from labkit.errors import ExitCode, UnmetError, UsageError

if TYPE_CHECKING:
    from labkit.cli.output import Output, Style
    from labkit.gpupv.doctor import Finding
    from labkit.gpupv.host import Host, HostGpu, Machine

_STYLES: dict[str, Style] = {"error": "bad", "warning": "warn", "note": "dim"}


@tool.command(
    "labkit gpupv doctor host.json",
    "labkit gpupv doctor host.json --plan gpupv.toml",
    "labkit gpupv doctor --text pasted.txt",
)
def doctor(
    host_file: Annotated[
        Path | None,
        typer.Argument(metavar="[HOST.JSON]", help="What 00-Inventory.ps1 wrote on the host."),
    ] = None,
    *,
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            metavar="FILE",
            help="Pasted output of Get-VMHostPartitionableGpu, Get-VMGpuPartitionAdapter, Get-VM; "
            "- reads standard input.",
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="SPEC.toml", help="A plan to compare the host with."),
    ] = None,
) -> Result:
    """Diagnose a host from host.json or from pasted output."""
    from labkit.gpupv.doctor import diagnose_host, missing_facts
    from labkit.gpupv.host import read_host, read_listing
    from labkit.gpupv.spec import SpecError

    if host_file is not None and text is None:
        host = read_host(read_text(host_file))
    elif text is not None and host_file is None:
        host = read_listing(_pasted(text))
    else:
        raise UsageError(
            "doctor needs one of HOST.JSON and --text",
            hint="labkit gpupv inventory-script writes the script that makes host.json",
        )
    try:
        spec = read_spec(plan) if plan else None
    except SpecError as error:
        return problems_result(error)
    findings = diagnose_host(host, spec)
    problems = any(finding.severity != "note" for finding in findings)
    data = {
        "gpus": [_gpu_fields(gpu) for gpu in host.gpus or ()],
        "machines": [_machine_fields(machine) for machine in host.machines or ()],
        "findings": [asdict(finding) for finding in findings],
    }
    if not problems and (missing := missing_facts(host, spec)):
        unmet = UnmetError(
            f"no verdict: the facts of the host hold no {' and no '.join(missing)}",
            hint="run 00-Inventory.ps1 again, with Hyper-V installed and its service running",
        )
        return Result(data, lambda out: _show(out, host, findings), ExitCode.UNMET, (unmet,))
    return Result(
        data,
        lambda out: _show(out, host, findings, judged=True),
        ExitCode.NO if problems else ExitCode.OK,
    )


def _pasted(file: Path) -> str:
    try:
        return read_text(file)
    except MissingFileError as error:
        error.hint = "--text takes a file; an error message is for `labkit gpupv explain --text`"
        raise


def _machine_fields(machine: Machine) -> dict[str, Any]:
    adapters = None if machine.adapters is None else len(machine.adapters)
    return {"name": machine.name, "state": machine.state, "adapters": adapters}


def _gpu_fields(gpu: HostGpu) -> dict[str, Any]:
    return {
        "instance_path": gpu.path.text if gpu.path else None,
        "vendor": gpu.path.vendor if gpu.path else None,
        "paravirtual": gpu.path.paravirtual if gpu.path else None,
        "name": gpu.name,
        "driver_version": gpu.driver_version,
        "vram_bytes": gpu.vram_bytes,
        "totals": {name.lower(): total for name, total in gpu.totals.items()},
        "partition_count": gpu.partition_count,
    }


def _examined(machine: Machine) -> str:
    """Say what of a virtual machine was looked at."""
    state = machine.state or "state unknown"
    if not machine.settings_known:
        return f"{state}; its settings are not in the text"
    if machine.adapters is None:
        return f"{state}; whether it has a GPU is not in the text"
    count = len(machine.adapters)
    return f"{state}, {count or 'no'} GPU adapter{'' if count == 1 else 's'}"


def _show(out: Output, host: Host, findings: tuple[Finding, ...], *, judged: bool = False) -> None:
    for gpu in host.gpus or ():
        kind = ""
        if gpu.path:
            kind = "paravirtual" if gpu.path.paravirtual else "partitioned"
        name = gpu.name or (gpu.path.vendor if gpu.path else None) or "GPU"
        out.line(f"{out.style(name, 'bold')}: {kind or 'its path is not in the text'}")
        if gpu.path:
            out.line(f"  {gpu.path.text}")
    for machine in host.machines or ():
        out.line(f"{out.style(machine.name, 'bold')}: {_examined(machine)}")
    for finding in findings:
        label = out.style(finding.severity, _STYLES[finding.severity])
        out.line(f"{label}: {finding.subject}: {finding.message} ({finding.code})")
        out.line(f"  fix: {finding.fix}")
    if judged and not findings:
        out.line(out.style("nothing found", "good"))
