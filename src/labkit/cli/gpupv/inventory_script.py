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
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the script.")
    ],
) -> Result:
    """Write the read-only script that describes a host in host.json."""
    from labkit.gpupv.assembly import inventory_script as script_text
    from labkit.gpupv.script_set import file_hashes, write_new_file

    text = script_text()
    write_new_file(output, text)
    data = {"path": output, "sha256": file_hashes({"script": text})["script"]}
    return Result(data, lambda out: out.line(f"wrote {output}; read it, then run it on the host"))
