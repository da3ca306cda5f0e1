"""`labkit gpupv init`: a specification to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.tool import gpupv as tool


@tool.command("labkit gpupv init", "labkit gpupv init -o gpupv.toml")
def init(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to this file.")
    ] = None,
) -> Result:
    """Print a commented example specification."""
    from labkit.gpupv.assembly import example_text
    from labkit.gpupv.script_set import write_new_file

    text = example_text()
    if output is None or str(output) == "-":
        return Result({"specification": text}, lambda out: out.line(text.rstrip("\n")))
    write_new_file(output, text)
    data = {"path": output, "specification": text}
    return Result(data, lambda out: out.line(f"wrote {output}"))
