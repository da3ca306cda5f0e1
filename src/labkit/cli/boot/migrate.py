"""`labkit boot migrate`: the layout of Windows on a larger disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.tool import boot, given_document
from labkit.cli.frame import Result

if TYPE_CHECKING:
    from labkit.boot.migrate import MigrationPlan, NewPartition
    from labkit.cli.output import Output

_COLUMNS = ("number", "role", "offset", "size", "content of")


@boot.command("labkit boot migrate --from fdisk.txt --to-size 1TB")
def migrate(
    table: Annotated[
        str,
        typer.Option("--from", metavar="TABLE", help="The old disk's table; - reads stdin."),
    ],
    to_size: Annotated[
        str,
        typer.Option(metavar="SIZE", help="The new disk: 1TB (10^12), 931GiB, or bytes."),
    ],
    disk: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="The disk to move, of several.")
    ] = None,
) -> Result:
    """Plan Windows' move to a larger disk: the layout and the commands; nothing is run."""
    from labkit.boot.migrate import parse_disk_size, plan_migration

    plan = plan_migration(given_document(table), parse_disk_size(to_size), disk=disk)
    data = {
        "disk": plan.disk,
        "size_bytes": plan.size_bytes,
        "partitions": [_data(partition) for partition in plan.partitions],
        "script": plan.script,
        "bcdboot": plan.bcdboot,
        "left_behind": plan.left_behind,
        "bitlocker": plan.has_bitlocker,
    }
    return Result(data, lambda output: _show(output, plan))


def _data(partition: NewPartition) -> dict[str, object]:
    return {
        "number": partition.number,
        "role": partition.role,
        "offset_kib": partition.offset_kib,
        "size_mib": partition.size_mib,
        "source": partition.source,
        "letter": partition.letter,
    }


def _show(output: Output, plan: MigrationPlan) -> None:
    rows = [
        (str(p.number), p.role, f"{p.offset_mib} MiB", f"{p.size_mib} MiB", p.source or "")
        for p in plan.partitions
    ]
    output.table(_COLUMNS, rows)
    output.line()
    output.line("diskpart script (with `diskpart /s FILE`, as administrator):")
    output.line(plan.script.rstrip())
    output.line()
    output.line("then copy the contents, and make the new disk start:")
    output.line(plan.bcdboot)
    if plan.left_behind:
        output.message(f"not part of Windows, left behind: {', '.join(plan.left_behind)}")
    if plan.has_bitlocker:
        output.message("BitLocker: switch it off before copying, and have the recovery key at hand")
