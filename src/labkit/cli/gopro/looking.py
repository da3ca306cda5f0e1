"""`labkit gopro ls` and `info`: what is on the camera, and how it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.gopro import show
from labkit.cli.gopro.finding import AnswerTimeout, Dialect, Host, Usb, Wait, find_camera
from labkit.cli.gopro.tool import gopro


@gopro.command("labkit gopro ls", "labkit gopro ls --to ~/Videos/gopro --lengths")
def ls(
    host: Host = None,
    usb: Usb = None,
    dialect: Dialect = None,
    to: Annotated[
        Path, typer.Option("--to", metavar="DEST", help="Where pulls go: marks what is there.")
    ] = Path(),
    lengths: Annotated[
        bool, typer.Option("--lengths", help="Ask the camera for each clip's length.")
    ] = False,
    wait: Wait = 0.0,
    timeout: AnswerTimeout = None,
) -> Result:
    """List the recordings on the camera."""
    from labkit.gopro.overview import overview

    camera = find_camera(host, usb, dialect, wait_s=wait, timeout_s=timeout, destination=to)
    seen = overview(camera, to, ask_lengths=lengths, progress=current_output().progress)
    return show.listed(seen)


@gopro.command("labkit gopro info", "labkit gopro info --usb 789")
def info(
    host: Host = None, usb: Usb = None, dialect: Dialect = None, timeout: AnswerTimeout = None
) -> Result:
    """Show which camera answers, and how it is."""
    from labkit.errors import LabkitError

    camera = find_camera(host, usb, dialect, timeout_s=timeout, need_list=False)
    state = camera.state()
    try:
        _, drift_s = camera.clock()
    except LabkitError:  # a camera that does not tell its time has no drift to show
        drift_s = None
    return show.described(camera, state, drift_s)
