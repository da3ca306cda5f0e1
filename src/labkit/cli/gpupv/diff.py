"""`labkit gpupv diff`: what changes from one specification to another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.reading import problems_result, read_spec
from labkit.cli.gpupv.tool import gpupv as tool

if TYPE_CHECKING:
    from labkit.cli.output import Output


@tool.command("labkit gpupv diff old.toml new.toml")
def diff(
    old: Annotated[Path, typer.Argument(help="The specification as it was.")],
    new: Annotated[Path, typer.Argument(help="The specification as it is to be.")],
) -> Result:
    """Show what changes from one specification to another."""
    from labkit.gpupv.script_set import compare_specs
    from labkit.gpupv.spec import SpecError

    try:
        changes = compare_specs(read_spec(old), read_spec(new))
    except SpecError as error:
        return problems_result(error)

    def text(out: Output) -> None:
        settings = [change for change in changes if change.kind == "setting"]
        if settings:
            columns = ["machine", "setting", "old", "new"]
            rows = [[c.machine, c.name, c.old or "-", c.new or "-"] for c in settings]
            out.table(columns, rows)
        files = [change.name for change in changes if change.kind == "file"]
        out.line(f"files that change: {', '.join(files) or 'none'}")

    return Result({"changes": [asdict(change) for change in changes]}, text)
