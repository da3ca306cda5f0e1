"""`labkit tv kodi backup`, `restore` and `list`."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.options import DryRun, Yes
from labkit.cli.output import Output, format_bytes
from labkit.cli.tv import tv
from labkit.cli.tv.chosen import PathWord, TvOption, chosen_tv
from labkit.errors import ExitCode, PartialError, RefusedError

kodi = tv.group("kodi", "Back Kodi up and restore it.")

ArchiveArgument = Annotated[
    Path,
    typer.Argument(
        help="An archive of `labkit tv kodi backup`.", click_type=PathWord(path_type=Path)
    ),
]
PackageOption = Annotated[
    str | None,
    typer.Option("--package", metavar="ID", help="A fork of Kodi; by default what is installed."),
]


@kodi.command("labkit tv kodi backup", "labkit tv kodi backup kodi.tar.gz --thumbnails")
def backup(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The archive; compressed if it ends with .gz.",
            click_type=PathWord(path_type=Path),
        ),
    ] = None,
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails", help="Take the thumbnails too; Kodi can remake them.")
    ] = False,
    package: PackageOption = None,
    tv: TvOption = None,
) -> Result:
    """Copy Kodi's data into one archive, which only you can read: it holds passwords."""
    from labkit.tv.kodi import back_up, find_kodi, require_backup_target

    if file is not None:
        require_backup_target(file)
    device = chosen_tv(tv)
    found = find_kodi(device, package)
    target = file or Path(_default_name(device.name))
    manifest = back_up(
        device, found, target, thumbnails=thumbnails, progress=current_output().progress
    )
    data = {
        "archive": target,
        "files": len(manifest.files),
        "bytes": manifest.size_bytes,
        "unreadable": manifest.unreadable,
        "kodi_version": found.version,
        "folder": found.folder,
    }
    size = format_bytes(manifest.size_bytes)
    text = (
        f"backed up {len(manifest.files)} files, {size}, to {target} (it holds passwords); "
        "Kodi was stopped for it"
    )
    errors = tuple(PartialError(f"not readable: {line}") for line in manifest.unreadable)
    code = ExitCode.PARTIAL if errors else ExitCode.OK
    return Result(data, lambda out: out.line(text), code, errors)


def _default_name(name: str) -> str:
    stamp = datetime.now(UTC).astimezone().strftime("%Y%m%d-%H%M%S")
    return f"kodi-{re.sub(r'[^A-Za-z0-9-]+', '-', name)}-{stamp}.tar"


@kodi.command("labkit tv kodi restore kodi.tar --yes")
def restore(
    file: ArchiveArgument,
    package: PackageOption = None,
    tv: TvOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> Result:
    """Put a backup in place; what is there now is moved aside, never deleted."""
    from labkit.tv.kodi import find_kodi, plan_restore, restore

    output = current_output()
    device = chosen_tv(tv)
    plan = plan_restore(device, find_kodi(device, package), file)
    for warning in plan.warnings:
        output.warning(warning)
    data = {
        "archive": file,
        "files": len(plan.manifest.files),
        "bytes": plan.manifest.size_bytes,
        "folder": plan.kodi.folder,
        "moved_aside": plan.aside,
        "leftovers": plan.leftovers,
        "warnings": plan.warnings,
    }
    what = f"{len(plan.manifest.files)} files to {plan.kodi.folder} on {device.name}"
    if plan.kodi.former:
        output.warning(f"a restore was cut off before; the former data stays in {plan.aside}")
    if dry_run:
        text = f"would restore {what}; the data before it would be in {plan.aside}"
        return Result({**data, "done": False}, lambda out: out.line(text))
    question = f"restore {what}? The data before it will be in {plan.aside}"
    if not output.confirm(question, yes=yes):
        raise RefusedError("not confirmed, nothing was changed", code="not-confirmed")
    restore(device, plan, progress=output.progress)
    text = f"restored {what}; the data before it is in {plan.aside}; Kodi was stopped for it"
    return Result({**data, "done": True}, lambda out: out.line(text))


@kodi.command("labkit tv kodi list kodi.tar", name="list")
def list_archive(
    file: ArchiveArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file with its sum.")
    ] = False,
) -> Result:
    """Show what a backup holds; no TV is needed."""
    from labkit.tv.kodi_archive import read_archive

    manifest = read_archive(file, verify=verify)
    origin = manifest.origin
    data = {
        "archive": file,
        "bytes": manifest.size_bytes,
        "origin": asdict(origin),
        "files": [asdict(each) for each in manifest.files],
        "unreadable": manifest.unreadable,
        "verified": verify,
    }

    def show(out: Output) -> None:
        for each in manifest.files:
            out.line(f"{each.size_bytes:>12}  {each.path}")
        out.line(
            f"{len(manifest.files)} files, {format_bytes(manifest.size_bytes)}; "
            f"Kodi {origin.kodi_version or '?'} of {origin.model or 'a TV'}, {origin.created}"
        )

    return Result(data, show)
