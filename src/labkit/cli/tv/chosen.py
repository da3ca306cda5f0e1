"""Which TV a command is for: the options that say it, and the connection to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.frame import current_output

if TYPE_CHECKING:
    from labkit.tv.adb import AdbServer
    from labkit.tv.device import Tv
    from labkit.tv.known import KnownTv, Target

__all__ = ["TvOption", "WaitOption", "adb_server", "chosen_target", "chosen_tv", "known_tvs"]

TvOption = Annotated[
    str | None,
    typer.Option(
        "--tv",
        metavar="NAME",
        help="The TV: a name, an address or a serial; by default the one that is connected.",
    ),
]

WaitOption = Annotated[
    float,
    typer.Option(
        "--wait", metavar="SECONDS", min=0, help="How long to wait for the TV to allow it."
    ),
]

DEFAULT_WAIT_S = 30.0


def adb_server() -> AdbServer:
    """Return the adb server that the environment names."""
    from labkit.tv.adb import server_from_environment

    return server_from_environment(current_output().env)


def known_tvs() -> tuple[KnownTv, ...]:
    """Return the TVs with names."""
    from labkit.config import read_config
    from labkit.tv.known import join_known, read_remembered, state_path

    return join_known(read_config().devices("tv"), read_remembered(state_path()))


def chosen_target(server: AdbServer, wanted: str | None) -> Target:
    """Find the TV that `--tv` means, without connecting to it."""
    from labkit.tv.known import choose_target

    output = current_output()
    target = choose_target(wanted or output.env.get("LABKIT_TV"), known_tvs(), server.devices())
    other = output.env.get("ANDROID_SERIAL")
    if other and other != target.serial:
        output.warning(f"ANDROID_SERIAL names {other}; this goes to {target.name}")
    return target


def chosen_tv(wanted: str | None, *, wait_s: float = DEFAULT_WAIT_S) -> Tv:
    """Return the TV that `--tv` means, ready for commands."""
    from labkit.tv.known import open_tv

    server = adb_server()
    target = chosen_target(server, wanted)
    return open_tv(server, target, wait_s=wait_s, progress=current_output().progress)
