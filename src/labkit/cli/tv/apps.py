"""`labkit tv apps`, `uninstall`, `disable`, `enable`, `launch` and `save`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.options import DryRun, Yes
from labkit.cli.output import Output, format_bytes
from labkit.cli.tv import tv
from labkit.cli.tv.chosen import PathWord, TvOption, chosen_tv
from labkit.errors import RefusedError

Package = Annotated[str, typer.Argument(help="The app's id, for instance org.xbmc.kodi.")]


@tv.command("labkit tv apps --third-party", "labkit tv apps --filter kodi")
def apps(
    third_party: Annotated[
        bool, typer.Option("--third-party", help="Only apps that did not come with the TV.")
    ] = False,
    disabled: Annotated[
        bool, typer.Option("--disabled", help="Only apps that are switched off.")
    ] = False,
    filter: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Only ids that contain TEXT.")
    ] = "",
    tv: TvOption = None,
) -> Result:
    """List the apps on a TV."""
    from labkit.tv.packages import list_apps

    found = list_apps(chosen_tv(tv), third_party=third_party, disabled=disabled, text=filter)

    def show(out: Output) -> None:
        rows = [
            (
                app.package,
                "TV's own" if app.system else "installed",
                "on" if app.enabled else "off",
            )
            for app in found
        ]
        out.table(("package", "origin", "state"), rows)

    return Result({"apps": [asdict(app) for app in found]}, show)


@tv.command("labkit tv uninstall org.example.player --yes")
def uninstall(
    package: Package,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Leave what the app stored on the TV.")
    ] = False,
    tv: TvOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> Result:
    """Remove an app and its data from a TV."""
    from labkit.tv.packages import installed_files, uninstall

    device = chosen_tv(tv)
    installed_files(device, package)
    loss = "its data stays" if keep_data else "its data and settings are lost"
    question = f"uninstall {package} from {device.name}? {loss}"
    done = not dry_run and current_output().confirm(question, yes=yes)
    if not done and not dry_run:
        raise RefusedError("not confirmed, nothing was changed", code="not-confirmed")
    if done:
        uninstall(device, package, keep_data=keep_data)
    data = {"package": package, "tv": device.name, "uninstalled": done, "data_kept": keep_data}
    word = "uninstalled" if done else "would uninstall"
    return Result(data, lambda out: out.line(f"{word} {package} on {device.name}: {loss}"))


@tv.command("labkit tv disable com.example.store")
def disable(package: Package, tv: TvOption = None, dry_run: DryRun = False) -> Result:
    """Switch an app off; `enable` brings it back as it was."""
    from labkit.tv.packages import disable

    device = chosen_tv(tv)
    if not dry_run:
        disable(device, package)
    return _switched(package, device.name, "disabled", dry_run=dry_run)


@tv.command("labkit tv enable com.example.store")
def enable(package: Package, tv: TvOption = None, dry_run: DryRun = False) -> Result:
    """Switch an app on again."""
    from labkit.tv.packages import enable

    device = chosen_tv(tv)
    if not dry_run:
        enable(device, package)
    return _switched(package, device.name, "enabled", dry_run=dry_run)


def _switched(package: str, name: str, state: str, *, dry_run: bool) -> Result:
    data = {"package": package, "tv": name, "state": state, "done": not dry_run}
    text = f"{'would be ' if dry_run else ''}{state}: {package} on {name}"
    return Result(data, lambda out: out.line(text))


@tv.command("labkit tv launch org.xbmc.kodi")
def launch(package: Package, tv: TvOption = None) -> Result:
    """Start an app."""
    from labkit.tv.packages import launch

    device = chosen_tv(tv)
    launch(device, package)
    data = {"package": package, "tv": device.name}
    return Result(data, lambda out: out.line(f"started {package} on {device.name}"))


@tv.command("labkit tv save org.example.player -o player.apks")
def save(
    package: Package,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="By default PACKAGE.apks.",
            click_type=PathWord(path_type=Path),
        ),
    ] = None,
    tv: TvOption = None,
) -> Result:
    """Copy an installed app into a file that `install` takes.

    Its splits are copied, too.
    """
    from labkit.tv.packages import save

    target = output or Path(f"{package}.apks")
    saved = save(chosen_tv(tv), package, target, progress=current_output().progress)
    size = format_bytes(saved.size_bytes)

    def show(out: Output) -> None:
        out.line(f"saved {package} to {saved.archive}: {len(saved.parts)} files, {size}")

    return Result(asdict(saved), show)
