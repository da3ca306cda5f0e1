"""`labkit boot entries`, `default` and `menu`: the GRUB menu and its settings."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.tool import boot
from labkit.cli.frame import Result
from labkit.cli.options import DryRun, Yes
from labkit.cli.output import current_output
from labkit.errors import ExitCode, InputError, UnmetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.default_entry import Resolution
    from labkit.boot.editor import EditPlan
    from labkit.boot.grub_cfg import GrubCfg
    from labkit.cli.output import Output

_CFG_PLACES = (Path("/boot/grub/grub.cfg"), Path("/boot/grub2/grub.cfg"))
_DEFAULT_TIMEOUT_S = 5

CfgOption = Annotated[
    Path | None, typer.Option("--grub-cfg", metavar="FILE", help="The generated grub.cfg.")
]
EnvOption = Annotated[
    Path | None, typer.Option("--grubenv", metavar="FILE", help="GRUB's environment block.")
]
FileOption = Annotated[
    Path, typer.Option("--file", metavar="FILE", help="The settings file to read or change.")
]
TimeoutOption = Annotated[
    int | None, typer.Option("--timeout", metavar="SECONDS", min=-1, help="-1 waits for ever.")
]
_SETTINGS = Path("/etc/default/grub")

default = boot.group("default", "Show or set the entry that starts by default.")
menu = boot.group("menu", "Show or hide the GRUB menu, and set its timeout.")


@boot.command("labkit boot entries --grub-cfg grub.cfg --default '1>0'")
def entries(
    grub_cfg: CfgOption = None,
    grubenv: EnvOption = None,
    value: Annotated[
        str | None,
        typer.Option("--default", metavar="VALUE", help="Resolve this GRUB_DEFAULT."),
    ] = None,
) -> Result:
    """List the GRUB menu as a tree, and say which entry a default starts and why."""
    from labkit.boot.menu import walk_entries

    cfg, block = _read_menu(grub_cfg, grubenv)
    resolution = _resolution(cfg, block, value)
    listed = list(walk_entries(cfg.entries))
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
        "uses_bls": cfg.uses_bls,
        "problem": cfg.syntax_error and f"line {cfg.syntax_error.line}: {cfg.syntax_error.message}",
    }

    def show(output: Output) -> None:
        rows = [
            (entry.path, entry.kind, "  " * entry.path.count(">") + entry.title, entry.id)
            for entry in listed
        ]
        output.table(("path", "kind", "title", "id"), rows)
        _show_resolution(output, resolution)

    return Result(data, show, ExitCode.NO if cfg.syntax_error else ExitCode.OK)


@default.command("labkit boot default show --grub-cfg grub.cfg")
def show(grub_cfg: CfgOption = None, grubenv: EnvOption = None) -> Result:
    """Show the entry that grub.cfg starts by default, and why."""
    resolution = _resolution(*_read_menu(grub_cfg, grubenv), None)
    data = {"default": _resolution_data(resolution)}
    return Result(data, lambda output: _show_resolution(output, resolution))


@default.command("labkit boot default set windows --dry-run", name="set")
def set_default(
    entry: Annotated[str, typer.Argument(help="windows, or an id, title or path.")],
    file: FileOption = _SETTINGS,
    grub_cfg: CfgOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Result:
    """Set the entry that starts by default, by its id, in /etc/default/grub."""
    from labkit.boot.default_choice import find_entry, setting_for

    cfg, _ = _read_menu(grub_cfg, None)
    setting = setting_for(cfg, find_entry(cfg, entry))
    return _edit(file, {"GRUB_DEFAULT": setting}, dry_run=dry_run, yes=yes)


@menu.command("labkit boot menu status --grub-cfg grub.cfg")
def status(grub_cfg: CfgOption = None, grubenv: EnvOption = None) -> Result:
    """Show the timeout and style in force, and the lines that decide them."""
    from labkit.boot.menu_display import menu_display

    cfg, _ = _read_menu(grub_cfg, grubenv)
    display = menu_display(cfg)
    source = f"{_cfg_path(grub_cfg)}:{display.style_line or display.timeout_line}"
    data = {
        "timeout_s": display.timeout_s,
        "style": display.style,
        "visible": display.visible,
        "effective_from": source,
    }
    wait = "for ever" if display.timeout_s < 0 else f"{display.timeout_s} s"
    return Result(data, lambda output: output.line(f"{display.style}, {wait} (from {source})"))


@menu.command("labkit boot menu show --timeout 10 --dry-run", name="show")
def show_menu(
    timeout: TimeoutOption = None,
    file: FileOption = _SETTINGS,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Result:
    """Show the menu at every start."""
    seconds = _DEFAULT_TIMEOUT_S if timeout is None else timeout
    changes = {"GRUB_TIMEOUT_STYLE": "menu", "GRUB_TIMEOUT": str(seconds)}
    return _edit(file, changes, dry_run=dry_run, yes=yes)


@menu.command("labkit boot menu hide --timeout 3 --dry-run")
def hide(
    timeout: TimeoutOption = None,
    file: FileOption = _SETTINGS,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Result:
    """Hide the menu; Esc during the timeout still shows it."""
    changes = {"GRUB_TIMEOUT_STYLE": "hidden"}
    if timeout is not None:
        changes["GRUB_TIMEOUT"] = str(timeout)
    return _edit(file, changes, dry_run=dry_run, yes=yes)


def _cfg_path(given: Path | None) -> Path:
    return given or next((path for path in _CFG_PLACES if path.exists()), _CFG_PLACES[0])


def read_menu(grub_cfg: Path | None) -> tuple[Path, GrubCfg]:
    """Read grub.cfg, the given one or this computer's, and say where it is."""
    return _cfg_path(grub_cfg), _read_menu(grub_cfg, None)[0]


def _read_menu(
    grub_cfg: Path | None, grubenv: Path | None
) -> tuple[GrubCfg, Mapping[str, str] | None]:
    from labkit.boot.grub_cfg import parse_grub_cfg
    from labkit.boot.grubenv import parse_grubenv

    path = _cfg_path(grub_cfg)
    beside = path.with_name("grubenv")
    environment = grubenv or (beside if grub_cfg is None and beside.exists() else None)
    block = parse_grubenv(_bytes(environment)).variables if environment else None
    text = _bytes(path).decode("utf-8", "replace")
    return parse_grub_cfg(text, environment_block=block), block


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise UnmetError(f"{path} may not be read", hint="run it again with sudo") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", hint="name the file with --grub-cfg"
        ) from error


def _resolution(cfg: GrubCfg, block: Mapping[str, str] | None, value: str | None) -> Resolution:
    from labkit.boot.default_entry import resolve_default, resolve_grub_default

    if value is None:
        return resolve_default(cfg.entries, cfg.value("default"))
    return resolve_grub_default(value, cfg, block)


def _resolution_data(resolution: Resolution) -> dict[str, object]:
    return {
        "value": resolution.value,
        "path": resolution.path,
        "title": resolution.entry.title if resolution.entry else None,
        "reason": resolution.reason,
    }


def _show_resolution(output: Output, resolution: Resolution) -> None:
    title = resolution.entry.title if resolution.entry else "nothing"
    output.line(f"default `{resolution.value}` starts: {title} ({resolution.reason})")


def _edit(file: Path, changes: dict[str, str], *, dry_run: bool, yes: bool) -> Result:
    from labkit.boot.editor import apply_edit, plan_edit, read_settings

    before = read_settings(file)
    plan = plan_edit(file, changes)
    output = current_output()
    written = plan.changes and not dry_run
    if written:
        output.message(plan.diff)
        written = output.confirm(f"Change {plan.path}?", yes=yes)
    # A backup bears the time of the user's clock.
    backup = apply_edit(plan, datetime.now().astimezone()) if written else None
    data = {
        "file": str(plan.path),
        "before": {key: before.value(key) for key in changes},
        "after": changes,
        "diff": plan.diff,
        "written": written,
        "backup": str(backup) if backup else None,
    }
    return Result(data, lambda out: _show_edit(out, plan, str(backup or ""), dry_run=dry_run))


def _show_edit(output: Output, plan: EditPlan, backup: str, *, dry_run: bool) -> None:
    if not plan.changes:
        output.line(f"{plan.path} says so already")
    elif backup:
        output.line(f"changed {plan.path}; the old file is {backup}")
        output.line("now run `sudo update-grub` (or grub-mkconfig -o) to write grub.cfg")
    elif dry_run:
        output.line(plan.diff.rstrip("\n"))
    else:
        output.line("nothing was changed")
