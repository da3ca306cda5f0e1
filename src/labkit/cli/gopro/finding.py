"""The options that name a camera, and finding it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labkit.cli.frame import current_output
from labkit.cli.options import number_of_seconds

if TYPE_CHECKING:
    from labkit.gopro import Address, Camera

__all__ = [
    "AnswerTimeout",
    "Dialect",
    "Host",
    "StallTimeout",
    "Usb",
    "Wait",
    "find_camera",
]

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


Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        callback=number_of_seconds,
        help="Wait so long for a camera that records.",
    ),
]
AnswerTimeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        callback=number_of_seconds,
        help="For the camera to answer; default: 5 for the connection, 15 for the answer.",
    ),
]
StallTimeout = Annotated[
    float,
    typer.Option(
        "--stall-timeout",
        metavar="SECONDS",
        min=0.1,
        callback=number_of_seconds,
        help="For silence in the middle of a file.",
    ),
]


def _address(host: str | None, usb: str | None) -> Address:
    from labkit.config import read_config
    from labkit.gopro import DEFAULT_ADDRESS, parse_address, usb_address

    if usb is not None:
        return usb_address(usb)
    if host is None:
        return DEFAULT_ADDRESS
    return parse_address(host, read_config().devices("gopro"))


def find_camera(
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
    """Find the camera that the options name; `destination` may remember how it speaks."""
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
