"""`labkit boot collect` and `diff`: take the inputs along, and compare two of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.tool import boot
from labkit.cli.frame import Result, current_output
from labkit.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labkit.boot.bundle import Skipped
    from labkit.boot.changes import Change
    from labkit.cli.output import Output


@boot.command("labkit boot collect -o boot.tar.gz", "labkit boot collect -o boot.tar.gz --redact")
def collect(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The archive to write.")
    ] = Path("boot.tar.gz"),
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="The system's files are mounted there.")
    ] = Path("/"),
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace identifiers, addresses and names.")
    ] = False,
) -> Result:
    """Store what `check` reads, with commands that only read, in one archive."""
    import platform

    from labkit.boot.collect import collect_machine, write_archive
    from labkit.boot.redact import Redactor

    collection = collect_machine(root, progress=current_output().progress)
    write_archive(collection, output, redact=Redactor([platform.node()]) if redact else None)
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
    before: Annotated[Path, typer.Argument(help="Collected before the change.")],
    after: Annotated[Path, typer.Argument(help="Collected after it.")],
) -> Result:
    """Say what changed between two collections, and which rules that concerns.

    Ends with 0 if nothing changed, 1 otherwise.
    """
    from labkit.boot.bundle import read_bundle
    from labkit.boot.changes import compare
    from labkit.boot.diagnosis import diagnose

    changes = compare(diagnose(read_bundle(before)), diagnose(read_bundle(after)))
    data = {
        "changes": [
            {
                "what": change.what,
                "name": change.name,
                "before": change.before,
                "after": change.after,
                "rules": list(change.rules),
            }
            for change in changes
        ]
    }
    return Result(
        data,
        lambda out: _show_changes(out, changes),
        ExitCode.NO if changes else ExitCode.OK,
    )


def _show_changes(out: Output, changes: Sequence[Change]) -> None:
    if not changes:
        out.line("nothing changed")
        return
    rows = [(c.what, c.name, c.before or "-", c.after or "-", " ".join(c.rules)) for c in changes]
    out.table(("what", "name", "before", "after", "rules"), rows)
