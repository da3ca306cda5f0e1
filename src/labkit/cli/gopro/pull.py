"""`labkit gopro pull`: every file off the camera, once, whole, with the right time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.gopro import show
from labkit.cli.gopro.finding import (
    AnswerTimeout,
    Dialect,
    Host,
    StallTimeout,
    Usb,
    Wait,
    find_camera,
)
from labkit.cli.gopro.stopping import ending_by_term
from labkit.cli.gopro.tool import gopro
from labkit.cli.options import DryRun

if TYPE_CHECKING:
    from labkit.gopro import PlanOptions


Destination = Annotated[
    Path, typer.Argument(metavar="[DEST]", help="The folder to fill; here by default.")
]


def _plan_options(  # one parameter an option
    *,
    only: str | None,
    since: str | None,
    until: str | None,
    last: int | None,
    match: list[str] | None,
    folder: list[str] | None,
    max_size: str | None,
    layout: str,
    shift: str | None,
    proxies_first: bool,
    new_only: bool,
) -> PlanOptions:
    from labkit.gopro import PlanOptions, Selection
    from labkit.gopro.clock import parse_shift
    from labkit.gopro.layout import parse_layout
    from labkit.gopro.selection import DEFAULT_KINDS, parse_kinds, parse_size_limit, parse_when

    now = datetime.now().astimezone().replace(tzinfo=None)
    selection = Selection(
        kinds=DEFAULT_KINDS if only is None else parse_kinds(only),
        since=None if since is None else parse_when(since, now),
        until=None if until is None else parse_when(until, now, end=True),
        last=last,
        match=tuple(match or ()),
        folders=tuple(folder or ()),
        max_bytes=None if max_size is None else parse_size_limit(max_size),
    )
    parse_layout(layout)  # a wrong one is refused before a camera is looked for
    options = PlanOptions(
        selection=selection, layout=layout, proxies_first=proxies_first, new_only=new_only
    )
    if shift is None:
        return options
    from dataclasses import replace

    return replace(options, shift=parse_shift(shift))


@gopro.command(
    "labkit gopro pull ~/Videos/gopro",
    "labkit gopro pull ~/Videos/gopro --since yesterday --only video",
    "labkit gopro pull --usb 789 --layout '{camera}/{date:%Y-%m}/{name}' ~/Videos/gopro",
)
def pull(  # noqa: PLR0917 - Typer passes them by name
    destination: Destination = Path(),
    host: Host = None,
    usb: Usb = None,
    dialect: Dialect = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS",
            help="video, photo, raw, audio, proxy, thumb, other, or all; "
            "default: all but proxy and thumb.",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="2024-06-15, yesterday, 3d, 12h.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="As --since; a whole day is included.")
    ] = None,
    last: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The N latest recordings.")
    ] = None,
    match: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Names that fit, such as 'GX*0078*'.")
    ] = None,
    folder: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Folders on the camera: 100GOPRO.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="No file larger than this: 500MB, 4GiB.")
    ] = None,
    proxies_first: Annotated[
        bool, typer.Option("--proxies-first", help="Fetch LRV files before everything else.")
    ] = False,
    new_only: Annotated[
        bool,
        typer.Option("--new-only", help="Leave out what was pulled once and moved away since."),
    ] = False,
    layout: Annotated[
        str,
        typer.Option(
            metavar="LAYOUT",
            help="Path of each file: {name} {stem} {ext} {folder} {clip} {chapter} {kind} "
            "{camera} {date:%Y-%m-%d}.",
        ),
    ] = "{date}/{name}",
    shift: Annotated[
        str | None, typer.Option(metavar="TIME", help="Correct the camera's clock: +1h, -30m.")
    ] = None,
    verify: Annotated[
        Literal["on", "deep", "off"],
        typer.Option(help="on: size and structure; deep: also some ranges, read again (a sample)."),
    ] = "on",
    backend: Annotated[
        Literal["labkit", "wget"], typer.Option(help="What carries the bytes.")
    ] = "labkit",
    jobs: Annotated[
        int, typer.Option(min=1, max=4, help="Photos at once; some cameras only bear one.")
    ] = 1,
    turbo: Annotated[
        bool, typer.Option("--turbo", help="The camera's fast mode; its screen shows nothing else.")
    ] = False,
    wait: Wait = 120.0,
    timeout: AnswerTimeout = None,
    stall_timeout: StallTimeout = 15.0,
    dry_run: DryRun = False,
) -> Result:
    """Bring what is not in DEST yet from the camera.

    Nothing is ever deleted on the camera. A pull that was cut off in any way goes on where it
    ended when it is run again; files that are here are not fetched again.
    """
    from labkit.gopro.journal import read_journal
    from labkit.gopro.pull import plan_for
    from labkit.gopro.pull import pull as run
    from labkit.gopro.run import PullOptions

    options = _plan_options(
        only=only,
        since=since,
        until=until,
        last=last,
        match=match,
        folder=folder,
        max_size=max_size,
        layout=layout,
        shift=shift,
        proxies_first=proxies_first,
        new_only=new_only,
    )
    if backend == "wget":
        from labkit.programs import require_program

        require_program("wget")
    camera = find_camera(
        host,
        usb,
        dialect,
        wait_s=wait,
        timeout_s=timeout,
        stall_timeout_s=stall_timeout,
        jobs=jobs,
        destination=destination,
    )
    if dry_run:
        return show.planned(plan_for(camera, destination, options, read_journal(destination)).plan)
    try:
        with ending_by_term():
            result = run(
                camera,
                destination,
                PullOptions(options, verify=verify, backend=backend, jobs=jobs, turbo=turbo),
                progress=current_output().progress,
            )
    except KeyboardInterrupt:
        current_output().message("stopped; what came is kept, the same pull goes on from there")
        raise
    return show.pulled(result, destination)
