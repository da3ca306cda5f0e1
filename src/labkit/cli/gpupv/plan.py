"""`labkit gpupv plan`: from a specification to the script set."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.reading import problems_result, read_spec
from labkit.cli.gpupv.tool import gpupv as tool
from labkit.cli.options import DryRun
from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.cli.output import Output
    from labkit.gpupv.settings import PlanSettings
    from labkit.gpupv.spec import Spec


def _text(flag: str, metavar: str, help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, help=help)
    return option


@tool.command(
    "labkit gpupv plan gpupv.toml --dry-run",
    "labkit gpupv plan gpupv.toml -o scripts",
    r"labkit gpupv plan --vm 'Gaming VM' --gpu auto --vhdx 'D:\VMs\g.vhdx' -o scripts",
)
def plan(
    *,
    spec: Annotated[
        Path | None, typer.Argument(help="The specification, a TOML file (see init).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder for the scripts.")
    ] = None,
    dry_run: DryRun = False,
    vm: Annotated[str | None, _text("--vm", "NAME", "Quick form: the virtual machine.")] = None,
    gpu: Annotated[str | None, _text("--gpu", "PATH", "Instance path, or auto.")] = None,
    vhdx: Annotated[str | None, _text("--vhdx", "PATH", "The machine's disk.")] = None,
    memory: Annotated[str | None, _text("--memory", "SIZE", "Its memory, as 8GiB.")] = None,
    vcpu: Annotated[str | None, _text("--vcpu", "N", "Its virtual processors.")] = None,
    resolution: Annotated[str | None, _text("--resolution", "WxH", "As 2560x1440.")] = None,
    guest_user: Annotated[str | None, _text("--guest-user", "NAME", "For PS Direct.")] = None,
    percent: Annotated[str | None, _text("--percent", "N", "Share, 1-100; advisory.")] = None,
    vram: Annotated[str | None, _text("--vram", "SIZE", "The card's memory.")] = None,
    address_bits: Annotated[
        str | None, _text("--address-bits", "N", "Physical address bits of the host's CPU.")
    ] = None,
    iso: Annotated[str | None, _text("--iso", "PATH", "Create it: Windows image.")] = None,
    vhd_size: Annotated[str | None, _text("--vhd-size", "SIZE", "Create it: disk size.")] = None,
    switch: Annotated[str | None, _text("--switch", "NAME", "Create it: the switch.")] = None,
) -> Result:
    """Check a specification and write its script set."""
    from labkit.gpupv.quick import quick_spec
    from labkit.gpupv.settings import plan_settings
    from labkit.gpupv.spec import SpecError

    quick = {
        "vm": vm,
        "gpu": gpu,
        "vhdx": vhdx,
        "memory": memory,
        "vcpu": vcpu,
        "resolution": resolution,
        "guest_user": guest_user,
        "percent": percent,
        "vram": vram,
        "address_bits": address_bits,
        "iso": iso,
        "vhd_size": vhd_size,
        "switch": switch,
    }
    given = {name: value for name, value in quick.items() if value is not None}
    if bool(given) == (spec is not None):
        raise UsageError(
            "give a specification or the options of the quick form, one of the two",
            hint="`labkit gpupv init -o gpupv.toml` writes a specification to begin with",
        )
    if str(output) == "-":
        raise UsageError("the set is a folder of files, which standard output cannot hold")
    if output is None and not dry_run:
        raise UsageError(
            "there is no folder to write to", hint="add `-o DIR`, or `--dry-run` to look first"
        )
    try:
        plan_spec = read_spec(spec) if spec else quick_spec(given)
        return _answer(plan_spec, plan_settings(plan_spec), output, dry_run=dry_run)
    except SpecError as error:
        return problems_result(error)


def _answer(spec: Spec, settings: PlanSettings, folder: Path | None, *, dry_run: bool) -> Result:
    from labkit.gpupv.assembly import plan_scripts
    from labkit.gpupv.script_set import file_hashes, write_set

    files = plan_scripts(spec)
    if folder is not None and not dry_run:
        write_set(files, folder)

    def text(out: Output) -> None:
        if dry_run:
            columns = ["machine", "setting", "value", "why", "source"]
            rows = [[s.machine, s.name, s.value, s.why, s.source] for s in settings.settings]
            out.table(columns, rows)
        else:
            for name in files:
                out.line(f"wrote {folder}/{name}")
        for warning in settings.warnings:
            out.warning(f"{warning.message} ({warning.code})")

    data = {
        "files": [{"path": name, "sha256": sha} for name, sha in file_hashes(files).items()],
        "settings": [asdict(setting) for setting in settings.settings],
        "warnings": [asdict(warning) for warning in settings.warnings],
    }
    return Result(data, text)
