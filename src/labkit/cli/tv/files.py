"""`labkit tv push`, `pull` and `ls`."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.options import DryRun, Yes
from labkit.cli.output import Output, format_bytes
from labkit.cli.tv import tv
from labkit.cli.tv.chosen import PathWord, TvOption, chosen_tv
from labkit.errors import ExitCode, PartialError, RefusedError, UsageError

if TYPE_CHECKING:
    from labkit.tv.files import Transfer


@tv.command("labkit tv push film.mkv /sdcard/Movies/", "labkit tv push photos /sdcard/Pictures")
def push(
    paths: Annotated[list[str], typer.Argument(metavar="SRC... DEST", help="Files, then DEST.")],
    tv: TvOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> Result:
    """Copy files and folders to a TV; DEST is an absolute path there."""
    from labkit.tv.files import plan_push, push, require_device_path

    if len(paths) < 2:  # noqa: PLR2004 - a source and a destination
        raise UsageError("the destination is missing", hint="labkit tv push SRC... DEST")
    *sources, destination = paths
    if "" in sources:
        raise UsageError("one of the files has an empty name", code="empty-path")
    require_device_path(destination)
    device = chosen_tv(tv)
    plan = plan_push(device, [Path(source) for source in sources], destination)
    data = {"files": len(plan.files), "bytes": plan.size_bytes, "target": plan.target}
    if dry_run:
        text = f"would send {len(plan.files)} files, {format_bytes(plan.size_bytes)}"
        return Result(
            {**data, "replaces": plan.replaces, "done": False},
            lambda out: out.line(f"{text}, to {plan.target} on {device.name}"),
        )
    if plan.replaces:
        _confirm(f"{', '.join(plan.replaces)} on {device.name} exists; write into it?", yes=yes)
    done = push(device, plan, progress=current_output().progress)
    return _transferred(done, f"{done.target} on {device.name}")


@tv.command("labkit tv pull /sdcard/DCIM backup", "labkit tv pull /sdcard/kodi.log .")
def pull(
    source: Annotated[str, typer.Argument(help="An absolute path on the TV.")],
    destination: Annotated[
        Path,
        typer.Argument(help="A folder here, or a new name.", click_type=PathWord(path_type=Path)),
    ],
    tv: TvOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> Result:
    """Copy a file or folder from a TV."""
    from labkit.tv.files import pull, pull_target, require_device_path

    target = pull_target(require_device_path(source), destination)
    if dry_run:
        data = {"files": 0, "bytes": 0, "target": target, "done": False}
        return Result(data, lambda out: out.line(f"would copy {source} to {target}"))
    if target.exists():
        _confirm(f"{target} exists; write into it?", yes=yes)
    done = pull(chosen_tv(tv), source, destination, progress=current_output().progress)
    return _transferred(done, done.target)


def _confirm(question: str, *, yes: bool) -> None:
    if not current_output().confirm(question, yes=yes):
        raise RefusedError("not confirmed, nothing was changed", code="not-confirmed")


def _transferred(done: Transfer, where: str) -> Result:
    data = {
        "files": done.files,
        "bytes": done.size_bytes,
        "target": done.target,
        "skipped": done.skipped,
        "done": True,
    }
    text = f"copied {done.files} files, {format_bytes(done.size_bytes)}, to {where}"
    errors = tuple(PartialError(f"not copied: {reason}") for reason in done.skipped)
    code = ExitCode.PARTIAL if errors else ExitCode.OK
    return Result(data, lambda out: out.line(text), code, errors)


@tv.command("labkit tv ls /sdcard")
def ls(
    path: Annotated[str, typer.Argument(help="An absolute path on the TV.")],
    tv: TvOption = None,
) -> Result:
    """List a folder on a TV."""
    from labkit.tv.files import list_folder

    listed = list_folder(chosen_tv(tv), path)
    rows = [
        {
            "name": file.name,
            "mode": stat.filemode(file.mode),
            "size_bytes": file.size_bytes,
            "modified": datetime.fromtimestamp(file.mtime, UTC).isoformat(),
        }
        for file in listed
    ]

    def show(out: Output) -> None:
        cells = [(r["mode"], str(r["size_bytes"]), r["modified"], r["name"]) for r in rows]
        out.table(("mode", "bytes", "modified", "name"), [tuple(map(str, c)) for c in cells])

    return Result({"path": path, "files": rows}, show)
