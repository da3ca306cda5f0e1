"""`labkit boot collect` and `diff`: take the inputs along, and compare two of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.tool import boot
from labkit.cli.frame import Result, current_output
from labkit.errors import ExitCode, UnmetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labkit.boot.bundle import Skipped
    from labkit.boot.changes import Comparison
    from labkit.cli.output import Output


@boot.command("labkit boot collect -o boot.tar.gz", "labkit boot collect -o boot.tar.gz --redact")
def collect(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", readable=False, help="The archive to write."
        ),
    ] = Path("boot.tar.gz"),
    root: Annotated[
        Path,
        typer.Option(metavar="DIR", readable=False, help="The system's files are mounted there."),
    ] = Path("/"),
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace identifiers, addresses and names.")
    ] = False,
) -> Result:
    """Store what `check` reads, with commands that only read, in one archive."""
    from labkit.boot.collect import (
        collect_machine,
        host_names,
        require_destination,
        write_archive,
    )
    from labkit.boot.redact import Redactor

    require_destination(output)
    collection = collect_machine(root, progress=current_output().progress)
    write_archive(collection, output, redact=Redactor(host_names(root)) if redact else None)
    data = {
        "archive": str(output),
        "files": [{"name": n, "source": s} for n, s in collection.sources.items()],
        "failed": [{"name": s.name, "reason": s.reason} for s in collection.failed],
    }
    return Result(data, lambda out: _show(out, output, len(collection.files), collection.failed))


def _show(out: Output, archive: Path, count: int, failed: Sequence[Skipped]) -> None:
    out.line(f"{archive}: {count} inputs")
    for skipped in failed:
        out.line(out.style(f"  without {skipped.name}: {skipped.reason}", "dim"))


@boot.command("labkit boot diff before.tar.gz after.tar.gz")
def diff(
    before: Annotated[Path, typer.Argument(readable=False, help="Collected before the change.")],
    after: Annotated[Path, typer.Argument(readable=False, help="Collected after it.")],
) -> Result:
    """Say what changed between two collections, and which rules that concerns.

    Ends with 0 if nothing changed, 1 if something did, and 4 if that cannot be told because one
    of the two lacks an input.
    """
    from labkit.boot.bundle import read_bundle
    from labkit.boot.changes import compare
    from labkit.boot.diagnosis import diagnose

    found = compare(diagnose(read_bundle(before)), diagnose(read_bundle(after)))
    data = {
        "changes": [
            {
                "what": change.what,
                "name": change.name,
                "before": change.before,
                "after": change.after,
                "rules": list(change.rules),
            }
            for change in found.changes
        ],
        "not_comparable": [
            {
                "what": item.what,
                "name": item.name or None,
                "detail": item.detail or None,
                "only_in": item.only_in,
                "missing_inputs": list(item.missing),
            }
            for item in found.uncompared
        ],
    }
    code, errors = (ExitCode.NO if found.changes else ExitCode.OK), []
    if not found.changes and found.uncompared:
        code = ExitCode.UNMET
        errors.append(
            UnmetError(
                "not all can be compared: an input is in one of the two only",
                hint="collect both the same way: `sudo labkit boot collect`",
                code="not-comparable",
            )
        )
    return Result(data, lambda out: _show_comparison(out, found), code, errors)


def _show_comparison(out: Output, found: Comparison) -> None:
    if found.changes:
        rows = [
            (c.what, c.name, c.before or "-", c.after or "-", " ".join(c.rules))
            for c in found.changes
        ]
        out.table(("what", "name", "before", "after", "rules"), rows)
    else:
        out.line("nothing changed" + (" in what both tell" if found.uncompared else ""))
    for item in found.uncompared:
        other = "before" if item.only_in == "after" else "after"
        if item.name:
            lacks = ", ".join(item.missing)
            out.line(
                f"not comparable: {item.name} in {item.only_in} ({item.detail}); "
                f"{other} lacks {lacks}, so it may have been there too"
            )
        else:
            out.line(f"not comparable: {item.what}, which only {item.only_in} tells about")
