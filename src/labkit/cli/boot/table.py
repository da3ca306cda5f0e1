"""`labkit boot table`: any tool's partition table, as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.check import evidence_data
from labkit.cli.boot.tool import boot, given_document
from labkit.cli.frame import Result
from labkit.errors import ExitCode

if TYPE_CHECKING:
    from labkit.boot.partition_table import PartitionTable, Row
    from labkit.cli.output import Output

_COLUMNS = ("device", "start", "size", "role", "content", "label", "remark")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


@boot.command("labkit boot table fdisk.txt", "labkit boot table -")
def table(
    file: Annotated[str, typer.Argument(help="The output; - reads standard input.")] = "-",
) -> Result:
    """Show the partitions of fdisk, sfdisk, parted or lsblk output: roles, gaps, warnings."""
    from labkit.boot.findings import Severity
    from labkit.boot.partition_table import read_table

    result = read_table(given_document(file))
    serious = any(finding.severity is not Severity.INFO for finding in result.findings)
    return Result(
        _data(result), lambda output: _show(output, result), ExitCode(1) if serious else ExitCode.OK
    )


def _data(result: PartitionTable) -> dict[str, object]:
    return {
        "has_places": result.has_places,
        "partitions": [
            {
                "device": row.device or None,
                "disk": row.disk,
                "start_sector": row.start,
                "size_bytes": row.size_bytes,
                "role": row.role,
                "content": row.content,
                "label": row.label,
                "aligned": row.aligned,
                "mismatch": row.mismatch,
            }
            for row in result.rows
        ],
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity,
                "confidence": finding.confidence,
                "message": finding.message,
                "evidence": [evidence_data(evidence) for evidence in finding.evidence],
                "fix": finding.fix,
            }
            for finding in result.findings
        ],
    }


def _show(output: Output, result: PartitionTable) -> None:
    output.table(_COLUMNS, [_cells(row) for row in result.rows])
    for finding in result.findings:
        output.line(f"{finding.rule} {finding.severity}: {finding.message}")
    if not result.has_places:
        output.message(
            "it does not say in sectors where the partitions are, so overlaps, alignment and free "
            "space are not checked: give `sudo fdisk -l`"
        )


def _cells(row: Row) -> tuple[str, ...]:
    remark = row.mismatch or ("not aligned" if row.aligned is False and row.device else "")
    start = "" if row.start is None else str(row.start)
    return (
        row.device or "-",
        start,
        _size(row.size_bytes),
        row.role,
        row.content or "",
        row.label or "",
        remark,
    )


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return ""
    size, unit = float(size_bytes), 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    return f"{size:.4g} {_UNITS[unit]}"
