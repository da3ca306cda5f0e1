"""`labkit gopro verify`: what was pulled, checked again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.gopro import show
from labkit.cli.gopro.finding import AnswerTimeout, Dialect, Host, Usb, find_camera
from labkit.cli.gopro.tool import gopro


@gopro.command(
    "labkit gopro verify ~/Videos/gopro",
    "labkit gopro verify ~/Videos/gopro --against-camera",
)
def verify(
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="The folder of pulls.")],
    against_camera: Annotated[
        bool,
        typer.Option("--against-camera", help="Compare with what the camera still has as well."),
    ] = False,
    host: Host = None,
    usb: Usb = None,
    dialect: Dialect = None,
    timeout: AnswerTimeout = None,
) -> Result:
    """Check that every file in DEST is there and whole."""
    from labkit.gopro.audit import verify as run

    camera = None
    if against_camera:
        camera = find_camera(host, usb, dialect, timeout_s=timeout, destination=destination)
    audit = run(destination, camera=camera, progress=current_output().progress)
    return show.audited(audit)
