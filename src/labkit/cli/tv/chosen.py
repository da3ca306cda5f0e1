"""Which TV a command is for: the options that say it, and the connection to it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from typer.models import TyperPath

from labkit.cli.frame import current_output
from labkit.cli.options import number_of_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    from labkit.tv.adb import AdbServer
    from labkit.tv.apps import App
    from labkit.tv.device import Tv
    from labkit.tv.known import KnownTv, Target

__all__ = [
    "Apps",
    "PathWord",
    "TvOption",
    "WaitOption",
    "adb_server",
    "chosen_target",
    "chosen_tv",
    "given_apps",
    "known_tvs",
]


class PathWord(TyperPath):
    """A path that is not empty, as an unset variable of a script is: `""` is no folder."""

    def coerce_path_result(self, value: str | PathLike[str]) -> str | bytes | PathLike[str]:
        """Return the path.

        Raises:
            BadParameter: It is empty.
        """
        if value == "":
            raise typer.BadParameter("it is empty")
        return super().coerce_path_result(value)


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
        "--wait",
        metavar="SECONDS",
        min=0,
        callback=number_of_seconds,
        help="How long to wait for the TV to allow it.",
    ),
]

Apps = Annotated[
    list[str],
    typer.Argument(
        metavar="APP...",
        help="APKs, bundles, folders or https URLs.",
        # Shells complete paths, and an address stays as it was typed.
        click_type=PathWord(path_type=str),
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


@contextmanager
def given_apps(words: Sequence[str], *, verify: bool = False) -> Iterator[tuple[App, ...]]:
    """Find the apps in what the user named: files, folders and https addresses."""
    from labkit.tv.bundles import open_apps

    progress = current_output().progress
    with ExitStack() as stack:
        sources: Sequence[Path | str] = words
        if any("://" in word for word in words):
            # Loads the web client, which takes as long as a check.
            from pathlib import Path
            from tempfile import TemporaryDirectory

            from labkit.tv.downloads import fetch_sources

            scratch = Path(stack.enter_context(TemporaryDirectory(prefix="labkit-tv-")))
            sources = fetch_sources(words, scratch, progress=progress)
        yield stack.enter_context(open_apps(sources, verify=verify, progress=progress))
