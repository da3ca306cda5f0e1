"""`labkit gpupv lint`: bad advice in other people's scripts and guides."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.files import read_bytes
from labkit.cli.gpupv.tool import gpupv as tool
from labkit.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from labkit.cli.output import Output
    from labkit.gpupv.lint import LintFinding

_GUIDES = {".md", ".markdown"}
_SCRIPTS = {".ps1", ".psm1"}


@tool.command("labkit gpupv lint guide.md", "labkit gpupv lint New-GPUPVirtualMachine.ps1")
def lint(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A PowerShell script, or a guide in Markdown.")
    ],
) -> Result:
    """Find known bad advice in a GPU-PV script or guide."""
    from labkit.gpupv.lint import lint_guide, lint_script

    suffix = file.suffix.lower()
    if suffix not in _GUIDES | _SCRIPTS:
        raise UsageError(
            f"{file} is neither a script nor a guide by its name",
            hint="lint reads .ps1 and .psm1 as scripts, .md and .markdown as guides",
        )
    findings = (lint_guide if suffix in _GUIDES else lint_script)(read_bytes(file))
    return Result(
        {"path": file, "findings": [asdict(finding) for finding in findings]},
        lambda out: _show(out, file, findings),
        ExitCode.NO if findings else ExitCode.OK,
    )


def _show(out: Output, file: Path, findings: tuple[LintFinding, ...]) -> None:
    for finding in findings:
        place = out.style(f"{file}:{finding.line}", "bold")
        out.line(f"{place}: {finding.message} ({finding.code})")
        if finding.text:
            out.line(f"  - {finding.text}")
        out.line(f"  + {finding.instead}")
    if not findings:
        out.line(out.style("nothing found", "good"))
