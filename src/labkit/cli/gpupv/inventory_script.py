"""`labkit gpupv inventory-script`: the script that describes a host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.tool import gpupv as tool


@tool.command("labkit gpupv inventory-script -o 00-Inventory.ps1", name="inventory-script")
def inventory_script(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to this file.")
    ] = None,
) -> Result:
    """Write the read-only script that describes a host in host.json."""
    from labkit.gpupv.assembly import inventory_script as script_text
    from labkit.gpupv.script_set import file_hashes, write_new_file

    text = script_text()
    digest = file_hashes({"script": text})["script"]
    if output is None or str(output) == "-":
        lines = text.replace("\r\n", "\n").rstrip("\n")
        return Result({"script": text, "sha256": digest}, lambda out: out.line(lines))
    write_new_file(output, text)
    data = {"path": output, "sha256": digest}
    return Result(data, lambda out: out.line(f"wrote {output}; read it, then run it on the host"))
