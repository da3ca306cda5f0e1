"""`labkit gopro clock`: the camera's time beside the computer's."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.gopro import show
from labkit.cli.gopro.finding import AnswerTimeout, Dialect, Host, Usb, find_camera
from labkit.cli.gopro.tool import gopro
from labkit.cli.options import DryRun, Yes


@gopro.command("labkit gopro clock", "labkit gopro clock --set --yes")
def clock(
    set_it: Annotated[bool, typer.Option("--set", help="Set it to this computer's time.")] = False,
    host: Host = None,
    usb: Usb = None,
    dialect: Dialect = None,
    timeout: AnswerTimeout = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Result:
    """Compare the camera's clock with the computer's."""
    camera = find_camera(host, usb, dialect, timeout_s=timeout, need_list=False)
    before, drift_s = camera.clock()
    if not set_it or dry_run:
        return show.clocked(before.wall, drift_s, was_set=False)
    question = f"The camera's clock is {show.drift_text(drift_s)}. Set it?"
    if not current_output().confirm(question, yes=yes):
        return show.clocked(before.wall, drift_s, was_set=False, declined=True)
    camera.set_clock()
    after, left_s = camera.clock()
    return show.clock_set(after.wall, left_s)
