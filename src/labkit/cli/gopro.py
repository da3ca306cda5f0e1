"""`labkit gopro`: every file off the camera, once, whole, with the right time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labkit.cli import gopro_show as show
from labkit.cli.frame import Result, Tool, current_output
from labkit.cli.gopro_transcode import EXAMPLES as TRANSCODE_EXAMPLES
from labkit.cli.gopro_transcode import transcode
from labkit.cli.options import DryRun, Yes

if TYPE_CHECKING:
    from labkit.gopro import Address, Camera, PlanOptions

gopro = Tool("gopro", "Bring every file off a GoPro, verified and resumable.")
app = gopro.app

gopro.command(*TRANSCODE_EXAMPLES)(transcode)

Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        envvar="LABKIT_GOPRO_HOST",
        show_envvar=False,
        help="Address, host:port, URL, or a name from the configuration; default 10.5.5.9:8080.",
    ),
]
Usb = Annotated[
    str | None,
    typer.Option(
        "--usb", metavar="DIGITS", help="A camera on a USB cable: its serial number's last three."
    ),
]
Dialect = Annotated[
    Literal["open-gopro", "legacy", "fusion", "html"] | None,
    typer.Option(help="Speak this dialect only; each is tried by default."),
]


def _finite(seconds: float | None) -> float | None:
    """Refuse `nan` and `inf`, which Python reads as numbers."""
    if seconds is not None and not isfinite(seconds):
        raise typer.BadParameter("it is no number of seconds")
    return seconds


Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        callback=_finite,
        help="Wait so long for a camera that records.",
    ),
]
AnswerTimeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        callback=_finite,
        help="For the camera to answer; default: 5 for the connection, 15 for the answer.",
    ),
]
StallTimeout = Annotated[
    float,
    typer.Option(
        "--stall-timeout",
        metavar="SECONDS",
        min=0.1,
        callback=_finite,
        help="For silence in the middle of a file.",
    ),
]
Destination = Annotated[
    Path, typer.Argument(metavar="[DEST]", help="The folder to fill; here by default.")
]


def _address(host: str | None, usb: str | None) -> Address:
    from labkit.config import read_config
    from labkit.gopro import DEFAULT_ADDRESS, parse_address, usb_address

    if usb is not None:
        return usb_address(usb)
    if host is None:
        return DEFAULT_ADDRESS
    return parse_address(host, read_config().devices("gopro"))


def _find(  # the options that every command with a camera has
    host: str | None,
    usb: str | None,
    dialect: str | None,
    *,
    wait_s: float = 0.0,
    timeout_s: float | None = None,
    stall_timeout_s: float = 15.0,
    jobs: int = 1,
    destination: Path | None = None,
    need_list: bool = True,
) -> Camera:
    from labkit.gopro import Camera
    from labkit.gopro.journal import remembered_dialect
    from labkit.transfer import Patience

    address = _address(host, usb)
    remembered = remembered_dialect(destination, str(address)) if destination else None
    patience = Patience(
        connect_timeout_s=timeout_s or 5.0,
        stall_timeout_s=stall_timeout_s,
        busy_wait_s=max(wait_s, 1.0),
    )
    return Camera.find(
        address,
        dialect=dialect,
        remembered=remembered,
        patience=patience,
        jobs=jobs,
        wait_s=wait_s,
        need_list=need_list,
        answer_timeout_s=timeout_s,
        progress=current_output().progress,
    )


@contextmanager
def _ending_by_term() -> Iterator[None]:
    """Let SIGTERM end a run like Ctrl-C, so that the camera is left as it was."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
    camera = _find(
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
        with _ending_by_term():
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

    camera = _find(host, usb, dialect, wait_s=wait, timeout_s=timeout, destination=to)
    seen = overview(camera, to, ask_lengths=lengths, progress=current_output().progress)
    return show.listed(seen)


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
        camera = _find(host, usb, dialect, timeout_s=timeout, destination=destination)
    audit = run(destination, camera=camera, progress=current_output().progress)
    return show.audited(audit)


@gopro.command("labkit gopro info", "labkit gopro info --usb 789")
def info(
    host: Host = None, usb: Usb = None, dialect: Dialect = None, timeout: AnswerTimeout = None
) -> Result:
    """Show which camera answers, and how it is."""
    from labkit.errors import LabkitError

    camera = _find(host, usb, dialect, timeout_s=timeout, need_list=False)
    state = camera.state()
    try:
        _, drift_s = camera.clock()
    except LabkitError:  # a camera that does not tell its time has no drift to show
        drift_s = None
    return show.described(camera, state, drift_s)


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
    camera = _find(host, usb, dialect, timeout_s=timeout, need_list=False)
    before, drift_s = camera.clock()
    if not set_it or dry_run:
        return show.clocked(before.wall, drift_s, was_set=False)
    question = f"The camera's clock is {show.drift_text(drift_s)}. Set it?"
    if not current_output().confirm(question, yes=yes):
        return show.clocked(before.wall, drift_s, was_set=False, declined=True)
    camera.set_clock()
    after, left_s = camera.clock()
    return show.clock_set(after.wall, left_s)


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
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="End by itself.")
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
            with _ending_by_term():
                threading.Event().wait(seconds)
        except KeyboardInterrupt:
            output.message("")
        return show.faked(camera)


__all__ = ["app", "gopro"]
