"""`labkit gpupv init`: a specification to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.tool import gpupv as tool
from labkit.errors import LabkitError, RefusedError


@tool.command("labkit gpupv init", "labkit gpupv init -o gpupv.toml")
def init(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to this file.")
    ] = None,
) -> Result:
    """Print a commented example specification."""
    from labkit.gpupv.assembly import example_text

    text = example_text()
    if output is None:
        return Result({"specification": text}, lambda out: out.line(text.rstrip("\n")))
    try:
        with output.open("x", encoding="ascii", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise RefusedError(f"{output} exists already", hint="name another file with -o") from error
    except OSError as error:
        raise LabkitError(f"cannot write {output}: {error.strerror}") from error
    data = {"path": output, "specification": text}
    return Result(data, lambda out: out.line(f"wrote {output}"))
