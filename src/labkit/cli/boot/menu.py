"""`labkit boot menu`: whether the GRUB menu is shown, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.edit import SETTINGS, edit
from labkit.cli.boot.options import CfgOption, DistributionOption, EnvOption, FileOption
from labkit.cli.boot.tool import boot
from labkit.cli.frame import Result
from labkit.cli.options import DryRun, Yes
from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.boot.menu_status import MenuStatus
    from labkit.cli.output import Output

_DEFAULT_TIMEOUT_S = 5
_MAX_TIMEOUT_S = 3600  # Nobody waits longer; for a computer that shall wait there is -1.

TimeoutOption = Annotated[
    int | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=-1, max=_MAX_TIMEOUT_S, help="-1 waits for ever."
    ),
]

menu = boot.group("menu", "Show or hide the GRUB menu, and set its timeout.")


@menu.command(
    "labkit boot menu status --grub-cfg grub.cfg", "labkit boot menu status --file default_grub"
)
def status(
    grub_cfg: CfgOption = None,
    grubenv: EnvOption = None,
    file: FileOption = None,
    distribution: DistributionOption = None,
) -> Result:
    """Show the timeout and style in force, the lines that decide them, and what overrides them."""
    from labkit.boot.menu_status import menu_status

    found = menu_status(grub_cfg, settings=file, grubenv=grubenv, family=distribution)
    data = {
        "timeout_s": found.timeout_s,
        "style": found.style,
        "visible": found.visible,
        "effective_from": list(found.effective_from),
        "overrides": list(found.overrides),
        "pending": found.pending,
        "distribution": found.distribution.family,
    }
    return Result(data, lambda output: _show(output, found))


def _show(output: Output, found: MenuStatus) -> None:
    if found.timeout_s is None:
        wait = "a timeout that the shell computes"
    else:
        wait = "for ever" if found.timeout_s < 0 else f"{found.timeout_s} s"
    style = found.style or "a style that the shell computes"
    places = ", ".join(found.effective_from) or "GRUB's own defaults"
    output.line(f"{style}, {wait} (from {places})")
    for sentence in found.overrides:
        output.line(f"but {sentence}")
    if found.pending:
        output.line(f"the settings ask for something else: {found.pending}")


@menu.command("labkit boot menu show --timeout 10 --dry-run", name="show")
def show_menu(
    timeout: TimeoutOption = None,
    file: FileOption = None,
    distribution: DistributionOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Result:
    """Show the menu at every start."""
    if timeout == 0:
        raise UsageError(
            "with a timeout of 0 GRUB shows no menu", hint="`labkit boot menu hide --timeout 0`"
        )
    seconds = _DEFAULT_TIMEOUT_S if timeout is None else timeout
    changes = {"GRUB_TIMEOUT_STYLE": "menu", "GRUB_TIMEOUT": str(seconds)}
    return edit(file or SETTINGS, changes, family=distribution, dry_run=dry_run, yes=yes)


@menu.command("labkit boot menu hide --timeout 3 --dry-run")
def hide(
    timeout: TimeoutOption = None,
    file: FileOption = None,
    distribution: DistributionOption = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Result:
    """Hide the menu; Esc during the timeout still shows it."""
    if timeout == -1:
        raise UsageError(
            "with a timeout of -1 GRUB shows the menu, hidden or not",
            hint="`labkit boot menu hide --timeout 3`",
        )
    changes = {"GRUB_TIMEOUT_STYLE": "hidden"}
    if timeout is not None:
        changes["GRUB_TIMEOUT"] = str(timeout)
    return edit(file or SETTINGS, changes, family=distribution, dry_run=dry_run, yes=yes)
