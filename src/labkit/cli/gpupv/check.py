"""`labkit gpupv check`: is a script set what was generated."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.tool import gpupv as tool
from labkit.errors import ExitCode, UnmetError

if TYPE_CHECKING:
    from labkit.cli.output import Output


@tool.command("labkit gpupv check scripts")
def check(
    folder: Annotated[Path, typer.Argument(help="The folder of the script set.")],
) -> Result:
    """See that a script set is complete, unchanged and sound."""
    from labkit import __version__
    from labkit.gpupv.set_check import check_set

    report = check_set(folder)

    def text(out: Output) -> None:
        for problem in report.problems:
            place = problem.path if problem.line is None else f"{problem.path}:{problem.line}"
            out.line(f"{out.style(place, 'bad')}: {problem.message}")
        count = f"{len(report.files)} files"
        if report.problems:
            number = len(report.problems)
            out.line(f"{count}, {number} problem{'' if number == 1 else 's'}")
        elif report.compared:
            what = "complete, unchanged, ASCII, CRLF, well-formed"
            out.line(out.style(f"{count}: {what}, labkit's own text", "good"))
        else:
            out.line(f"{count}: as the manifest says, ASCII, CRLF, well-formed")

    data = {
        "files": [{"path": path, "sha256": digest} for path, digest in report.files.items()],
        "problems": [asdict(problem) for problem in report.problems],
        "labkit_version": report.version,
        "compared": report.compared,
    }
    if report.problems or report.compared:
        return Result(data, text, ExitCode.NO if report.problems else ExitCode.OK)
    unsure = UnmetError(
        f"the set was made by labkit {report.version}; this is {__version__}, which can compare it "
        "with the hashes in its own manifest only",
        hint="to be sure, write it anew with `labkit gpupv plan`",
    )
    return Result(data, text, ExitCode.UNMET, (unsure,))
