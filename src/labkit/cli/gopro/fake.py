"""`labkit gopro fake`: a camera to rehearse with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.gopro import show
from labkit.cli.gopro.stopping import ending_by_term
from labkit.cli.gopro.tool import gopro
from labkit.cli.options import number_of_seconds


@gopro.command(
    "labkit gopro fake",
    "labkit gopro fake ~/Videos/gopro --dialect legacy --fault F01 --fault F10",
)
def fake(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Files to serve; made up without.")
    ] = None,
    dialect: Annotated[
        Literal["open-gopro", "legacy", "fusion", "html"], typer.Option(help="What it speaks.")
    ] = "open-gopro",
    markup: Annotated[
        Literal["civetweb", "cherokee"], typer.Option(help="Whose folder pages it shows.")
    ] = "civetweb",
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="FAULT", help="What goes wrong: F01; `list` shows them all."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 picks one.")] = (
        18080
    ),
    scale: Annotated[
        int, typer.Option(min=1, max=1000, help="Make the made-up files so many times larger.")
    ] = 1,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--for",
            metavar="SECONDS",
            min=0,
            callback=number_of_seconds,
            help="End by itself.",
        ),
    ] = None,
) -> Result:
    """Play a camera on 127.0.0.1, to rehearse a pull.

    It speaks any dialect and has faults on request. Ctrl-C ends it.
    """
    import threading

    from labkit.gopro.fake import FAULTS, FakeCamera, check_faults, made_up_card, read_card

    if fault and "list" in fault:
        return show.faults(FAULTS)
    faults = check_faults(fault or [])
    card = made_up_card(scale=scale) if folder is None else read_card(folder)
    output = current_output()
    with FakeCamera(card, dialect=dialect, faults=faults, markup=markup, port=port) as camera:
        output.message(
            f"a camera with {len(card.files)} files at {camera.address}; Ctrl-C ends it\n"
            f"try: labkit gopro pull --host {camera.address} /tmp/rehearsal"
        )
        try:
            with ending_by_term():
                threading.Event().wait(seconds)
        except KeyboardInterrupt:
            output.message("")
        return show.faked(camera)
