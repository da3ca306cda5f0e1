"""How commands change /etc/default/grub: shown as a diff, asked, written, and what comes next."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cli.frame import Result
from labkit.cli.output import current_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labkit.boot.distributions import Family
    from labkit.boot.editor import EditPlan
    from labkit.cli.output import Output

__all__ = ["SETTINGS", "edit"]

SETTINGS = Path("/etc/default/grub")
"""This computer's settings file."""


def edit(
    file: Path, changes: dict[str, str], *, family: Family | None, dry_run: bool, yes: bool
) -> Result:
    """Change settings of `file`, as the distribution around it reads them."""
    from labkit.boot.default_choice import remarks_on_saving
    from labkit.boot.editor import apply_edit, plan_edit
    from labkit.boot.installed import refuse_generated, system_settings

    before, system = system_settings(file, family=family)
    refuse_generated(system, file)
    remarks = remarks_on_saving(before) if "GRUB_DEFAULT" in changes else ()
    plan = plan_edit(
        file,
        changes,
        drop_ins=system.distribution.reads_drop_ins,
        sh_is_bash=system.distribution.sh_is_bash,
    )
    output = current_output()
    written = plan.changes and not dry_run
    if written:
        output.message(plan.diff)
        for remark in remarks:
            output.message(f"note: {remark}")
        written = output.confirm(f"Change {plan.path}?", yes=yes)
    # A backup bears the time of the user's clock.
    backup = apply_edit(plan, datetime.now().astimezone()) if written else None
    update = system.distribution.update_command
    data = {
        "file": str(plan.path),
        "before": {key: before.value(key) for key in changes},
        "after": changes,
        "diff": plan.diff,
        "remarks": list(remarks),
        "written": written,
        "backup": str(backup) if backup else None,
        "distribution": system.distribution.family,
        "next_command": update if plan.changes else None,
    }
    shown = remarks if plan.changes and dry_run else ()
    return Result(data, lambda out: _show(out, plan, backup, update, shown, dry_run=dry_run))


def _show(
    output: Output,
    plan: EditPlan,
    backup: Path | None,
    update: str,
    remarks: Sequence[str],
    *,
    dry_run: bool,
) -> None:
    if not plan.changes:
        output.line(f"{plan.path} says so already")
    elif backup:
        output.line(f"changed {plan.path}; the old file is {backup}")
        output.line(f"to write grub.cfg, run now: {update}")
    elif dry_run:
        output.line(plan.diff.rstrip("\n"))
        for remark in remarks:
            output.line(f"note: {remark}")
    else:
        output.line("nothing was changed")
