"""`labkit boot lint`: judge /etc/default/grub alone."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.check import evidence_data
from labkit.cli.boot.edit import SETTINGS
from labkit.cli.boot.options import DistributionOption
from labkit.cli.boot.tool import boot
from labkit.cli.frame import Result
from labkit.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labkit.boot.findings import Finding
    from labkit.cli.output import Output


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


_SARIF_LEVELS = {"error": "error", "warn": "warning", "info": "note"}
_GITHUB_LEVELS = {"error": "error", "warn": "warning", "info": "notice"}


@boot.command("labkit boot lint default_grub", "labkit boot lint --format sarif default_grub")
def lint(
    file: Annotated[Path, typer.Argument(readable=False, help="The settings file.")] = SETTINGS,
    distribution: DistributionOption = None,
    format: Annotated[Format, typer.Option(help="How findings are written.")] = Format.TEXT,
) -> Result:
    """Check /etc/default/grub and its drop-ins: syntax, keys, values, quoting, duplicates."""
    from labkit.boot.findings import Severity
    from labkit.boot.installed import system_settings
    from labkit.boot.settings_lint import lint_settings

    settings, system = system_settings(file, family=distribution)
    findings = lint_settings(settings, sh_is_bash=system.distribution.sh_is_bash)
    serious = any(finding.severity is not Severity.INFO for finding in findings)
    data = {"findings": [_data(finding) for finding in findings]}
    return Result(
        data,
        lambda output: _show(output, findings, format, str(file)),
        ExitCode.NO if serious else ExitCode.OK,
    )


def _data(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "message": finding.message,
        "evidence": [evidence_data(evidence) for evidence in finding.evidence],
        "fix": finding.fix,
    }


def _show(output: Output, findings: Sequence[Finding], format: Format, name: str) -> None:
    if format is Format.JSON:
        output.line(json.dumps([_data(finding) for finding in findings], indent=2))
    elif format is Format.SARIF:
        output.line(json.dumps(sarif(findings), indent=2))
    elif not findings and format is Format.TEXT:
        output.line(f"{name}: nothing to complain about")
    for finding in findings:
        place = finding.evidence[0]
        if format is Format.GITHUB:
            level = _GITHUB_LEVELS[finding.severity]
            properties = f"file={place.input},line={place.line},title={finding.rule}"
            # Line ends and percent signs are escaped as GitHub's workflow commands want it.
            message = finding.message.replace("%", "%25").replace("\n", "%0A")
            output.line(f"::{level} {properties}::{message}")
        elif format is Format.TEXT:
            where = f"{place.input}:{place.line}"
            output.line(f"{where}: {finding.rule} {finding.severity}: {finding.message}")
            output.line(f"    fix: {finding.fix}")


def sarif(findings: Sequence[Finding]) -> dict[str, object]:
    """Write findings as a SARIF 2.1.0 log."""
    results = [
        {
            "ruleId": finding.rule,
            "level": _SARIF_LEVELS[finding.severity],
            "message": {"text": f"{finding.message}. Fix: {finding.fix}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": finding.evidence[0].input},
                        "region": {"startLine": finding.evidence[0].line or 1},
                    }
                }
            ],
        }
        for finding in findings
    ]
    rules = [_sarif_rule(rule) for rule in sorted({finding.rule for finding in findings})]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {"name": "labkit", "rules": rules}}, "results": results}],
    }


def _sarif_rule(rule_id: str) -> dict[str, object]:
    """Describe a rule from its own text: viewers show the name beside the id."""
    from labkit.boot.rules import find_rule

    rule = find_rule(rule_id)
    words = re.findall(r"[A-Za-z0-9]+", rule.title)
    return {
        "id": rule.id,
        "name": "".join(word[:1].upper() + word[1:] for word in words),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.fix} (`labkit boot explain {rule.id}`)"},
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.severity]},
    }
