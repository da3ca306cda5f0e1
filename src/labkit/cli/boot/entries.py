"""`labkit boot entries` and `default`: the GRUB menu, and the entry that starts by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.edit import SETTINGS, edit
from labkit.cli.boot.options import (
    BlsOption,
    CfgOption,
    DistributionOption,
    EnvOption,
    FileOption,
)
from labkit.cli.boot.tool import boot
from labkit.cli.frame import Result
from labkit.cli.options import DryRun, Yes
from labkit.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.boot.default_entry import Resolution
    from labkit.boot.default_grub import Setting
    from labkit.boot.installed_menu import InstalledMenu
    from labkit.cli.output import Output

default = boot.group("default", "Show or set the entry that starts by default.")


@boot.command("labkit boot entries --grub-cfg grub.cfg --default '1>0'")
def entries(
    grub_cfg: CfgOption = None,
    grubenv: EnvOption = None,
    bls: BlsOption = None,
    value: Annotated[
        str | None,
        typer.Option("--default", metavar="VALUE", help="Resolve this GRUB_DEFAULT."),
    ] = None,
    distribution: DistributionOption = None,
) -> Result:
    """List the GRUB menu as a tree, and say which entry a default starts and why."""
    from labkit.boot.installed_menu import read_installed_menu
    from labkit.boot.menu import walk_entries

    menu = read_installed_menu(grub_cfg, grubenv=grubenv, bls=bls, family=distribution)
    cfg = menu.cfg
    resolution = menu.resolve(value)
    listed = list(walk_entries(cfg.entries))
    problem = None
    if cfg.syntax_error:
        problem = f"line {cfg.syntax_error.line}: {cfg.syntax_error.message}"
    elif not listed and not cfg.uses_bls:
        problem = "it has no entry: GRUB shows its prompt"
    data = {
        "entries": [
            {
                "path": entry.path,
                "id": entry.id,
                "title": entry.title,
                "kind": entry.kind,
                "conditional": entry.conditional,
            }
            for entry in listed
        ],
        "default": _resolution_data(resolution),
        "next_start": menu.next_start and _resolution_data(menu.next_start),
        "uses_bls": cfg.uses_bls,
        "distribution": menu.system.distribution.family,
        "problem": problem,
    }

    def show(output: Output) -> None:
        indent = "  " if output.is_terminal else ""  # A program cuts the tree by its paths.
        rows = [
            (entry.path, entry.kind, indent * entry.path.count(">") + entry.title, entry.id)
            for entry in listed
        ]
        output.table(("path", "kind", "title", "id"), rows)
        _show_resolution(output, resolution)
        _show_next_start(output, menu)
        if problem:
            output.line(output.style(f"{menu.path}: {problem}", "bad"))
        _remark_missing_bls(output, menu)

    return Result(data, show, ExitCode.NO if problem else ExitCode.OK)


@default.command("labkit boot default show --grub-cfg grub.cfg")
def show(
    grub_cfg: CfgOption = None,
    grubenv: EnvOption = None,
    bls: BlsOption = None,
    file: FileOption = None,
    distribution: DistributionOption = None,
) -> Result:
    """Show the entry that grub.cfg starts by default and why, and what the settings ask for."""
    from labkit.boot.installed_menu import read_installed_menu

    menu = read_installed_menu(
        grub_cfg, settings=file, grubenv=grubenv, bls=bls, family=distribution
    )
    resolution = menu.resolve()
    setting = _default_setting(menu, grub_cfg, file)
    planned = menu.resolve(setting.value) if setting and setting.value is not None else None
    data = {
        "default": _resolution_data(resolution),
        "next_start": menu.next_start and _resolution_data(menu.next_start),
        "setting": setting
        and {
            "value": setting.value,
            "file": setting.file,
            "line": setting.line,
            "starts": planned and _resolution_data(planned),
        },
        "distribution": menu.system.distribution.family,
    }

    def show_it(output: Output) -> None:
        _show_resolution(output, resolution)
        _show_next_start(output, menu)
        if setting and planned and planned.path != resolution.path:
            update = menu.system.distribution.update_command
            output.line(f"{setting.file}:{setting.line} asks for another; after `{update}`")
            _show_resolution(output, planned)
        _remark_missing_bls(output, menu)

    return Result(data, show_it)


@default.command("labkit boot default set windows --dry-run", name="set")
def set_default(
    entry: Annotated[str, typer.Argument(help="windows, or an id, title or path.")],
    file: FileOption = None,
    grub_cfg: CfgOption = None,
    bls: BlsOption = None,
    distribution: DistributionOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Result:
    """Set the entry that starts by default, by its id, in /etc/default/grub."""
    from labkit.boot.default_choice import find_entry, setting_for
    from labkit.boot.installed import refuse_generated, settings_beside
    from labkit.boot.installed_menu import read_installed_menu

    settings = file or settings_beside(grub_cfg) or SETTINGS
    menu = read_installed_menu(grub_cfg, settings=file, bls=bls, family=distribution)
    refuse_generated(menu.system, settings)
    setting = setting_for(
        menu.cfg, find_entry(menu.cfg, entry), order=menu.system.distribution.order
    )
    changes = {"GRUB_DEFAULT": setting}
    return edit(settings, changes, family=distribution, dry_run=dry_run, yes=yes)


def _default_setting(
    menu: InstalledMenu, grub_cfg: Path | None, file: Path | None
) -> Setting | None:
    """Find GRUB_DEFAULT in the settings that belong to the menu; None where none do."""
    from labkit.boot.editor import read_settings
    from labkit.boot.installed import settings_beside
    from labkit.errors import LabkitError

    path = file or settings_beside(grub_cfg)
    if path is None:
        return None
    try:
        settings = read_settings(path, drop_ins=menu.system.distribution.reads_drop_ins)
    except LabkitError:
        if file is not None:
            raise
        return None  # The menu alone was asked for, and tells what starts.
    return settings.settings.get("GRUB_DEFAULT")


def _resolution_data(resolution: Resolution) -> dict[str, object]:
    return {
        "value": resolution.value,
        "path": resolution.path,
        "title": resolution.entry.title if resolution.entry else None,
        "reason": resolution.reason,
    }


def _show_resolution(output: Output, resolution: Resolution) -> None:
    title = resolution.entry.title if resolution.entry else "nothing that is known"
    output.line(f"default `{resolution.value}` starts: {title} ({resolution.reason})")


def _show_next_start(output: Output, menu: InstalledMenu) -> None:
    """Tell what was chosen for one start, which goes before the default."""
    if (chosen := menu.next_start) is not None:
        title = chosen.entry.title if chosen.entry else "nothing that is known"
        output.line(f"next start only: {title} (next_entry of the environment block)")


def _remark_missing_bls(output: Output, menu: InstalledMenu) -> None:
    """Say that the menu is longer than what was read."""
    if menu.lacks_entries:
        output.message(
            "its Linux entries are files (BLS) and none was found: name their folder with --bls"
        )
