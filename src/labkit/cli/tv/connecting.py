"""`labkit tv connect`, `pair`, `list`, `info` and `doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.output import Output, format_bytes
from labkit.cli.tv import tv
from labkit.cli.tv.chosen import (
    DEFAULT_WAIT_S,
    TvOption,
    WaitOption,
    adb_server,
    chosen_target,
    chosen_tv,
    known_tvs,
)
from labkit.errors import ExitCode, LabkitError, UsageError

if TYPE_CHECKING:
    from labkit.tv.device import TvInfo
    from labkit.tv.doctor import Check
    from labkit.tv.known import Target


@tv.command(
    "labkit tv connect 192.168.1.20",
    "labkit tv connect 192.168.1.20:5555 --name livingroom",
)
def connect(
    address: Annotated[str, typer.Argument(help="The TV: HOST or HOST:PORT (5555 by default).")],
    name: Annotated[
        str | None, typer.Option("--name", help="Remember the TV under this name.")
    ] = None,
    wait: WaitOption = DEFAULT_WAIT_S,
) -> Result:
    """Connect to a TV, until it takes commands.

    The first time, the TV asks on its screen whether to allow this computer.
    """
    from labkit.tv.address import parse_address
    from labkit.tv.connection import connect as connect_to
    from labkit.tv.known import check_name, remember, state_path

    known = known_tvs()
    named = {each.name: each.address for each in known}
    place = parse_address(named.get(address, address))
    if name is not None:
        check_name(known, name, str(place))
    connection = connect_to(adb_server(), place, wait_s=wait, progress=current_output().progress)
    if name is not None:
        remember(state_path(), known, name, str(place))
    data = {"serial": connection.serial, "state": connection.state, "name": name}
    remembered = f", from now on {name}" if name else ""
    return Result(data, lambda out: out.line(f"connected to {connection.serial}{remembered}"))


@tv.command(
    "labkit tv pair 192.168.1.20:37123 482910", "labkit tv pair 192.168.1.20:37123 --steady"
)
def pair(
    address: Annotated[str, typer.Argument(help="The address in the TV's pairing dialog.")],
    code: Annotated[
        str | None, typer.Argument(help="The six digits beside it; asked for if left out.")
    ] = None,
    steady: Annotated[
        bool, typer.Option("--steady", help="Let the TV listen on port 5555 until it restarts.")
    ] = False,
) -> Result:
    """Pair with a TV's wireless debugging (Android 11 and later).

    Then connects to it, where its connect port can be found.
    """
    from labkit.tv.address import parse_address
    from labkit.tv.pairing import pair as pair_with

    place = parse_address(address, port_needed=True)
    digits = code if code is not None else _ask_code()
    pairing = pair_with(
        adb_server(), place, digits, steady=steady, progress=current_output().progress
    )
    found = pairing.serial
    until = ", its port until the TV restarts" if steady else ""

    def show(out: Output) -> None:
        out.line(f"paired with {place.host}")
        out.line(
            f"connected to {found}{until}"
            if found
            else f"now: labkit tv connect {place.host}:PORT, the port on its screen"
        )

    return Result({"serial": found, "paired": pairing.paired}, show)


def _ask_code() -> str:
    output = current_output()
    if not output.can_ask:
        raise UsageError("the pairing code is missing", hint="give it behind the address")
    output.stderr.write("pairing code: ")
    output.stderr.flush()
    return output.stdin.readline().strip()


@tv.command("labkit tv list", name="list")
def list_tvs() -> Result:
    """List the known and the connected TVs with their state."""
    known = known_tvs()
    states = {device.serial: device for device in adb_server().devices()}
    rows = [
        {
            "name": each.name,
            "serial": each.address,
            "state": states[each.address].state if each.address in states else "absent",
            "model": states[each.address].model if each.address in states else "",
            "source": each.source,
        }
        for each in known
    ]
    named = {each.address for each in known}
    rows += [
        {"name": "", "serial": d.serial, "state": d.state, "model": d.model, "source": "adb"}
        for d in states.values()
        if d.serial not in named
    ]

    def show(out: Output) -> None:
        if not rows:
            out.line("no TV is known or connected")
            return
        columns = ("name", "serial", "state", "model")
        out.table(columns, [tuple(row[column] or "-" for column in columns) for row in rows])

    return Result({"tvs": rows}, show)


@tv.command("labkit tv info", "labkit tv info --tv livingroom")
def info(tv: TvOption = None) -> Result:
    """Show what kind of TV it is, and which files to choose for it."""
    found = chosen_tv(tv).info()
    best = _file_to_choose(found)
    return Result({**asdict(found), "choose_abi": best}, lambda out: _show_info(out, found, best))


def _file_to_choose(info: TvInfo) -> str | None:
    return info.abis[0] if info.abis else None


def _show_info(out: Output, info: TvInfo, best: str | None) -> None:
    sdk = f" (API {info.sdk})" if info.sdk is not None else ""
    free = format_bytes(info.free_bytes) if info.free_bytes is not None else "unknown"
    density = f"{info.density_dpi} dpi" if info.density_dpi else "unknown"
    abis = ", ".join(info.abis) or "unknown"
    out.fields(
        {
            "serial": info.serial,
            "model": f"{info.manufacturer} {info.model}".strip() or "unknown",
            "Android": f"{info.android or 'unknown'}{sdk}",
            "ABIs": f"{abis}{f' (choose {best})' if best else ''}",
            "density": density,
            "languages": ", ".join(info.languages) or "unknown",
            "free": free,
            "Kodi": ", ".join(info.kodi) or "not installed",
        }
    )


@tv.command("labkit tv doctor", "labkit tv doctor --tv livingroom")
def doctor(tv: TvOption = None) -> Result:
    """Show which adb is used, and whether the TV answers, with a fix each."""
    from pathlib import Path

    from labkit.tv.doctor import examine

    env = current_output().env
    server = adb_server()
    checks = examine(server, _target(tv), home=Path.home(), serial_set=env.get("ANDROID_SERIAL"))
    code = ExitCode.OK if all(check.ok for check in checks) else ExitCode.NO
    data = {"checks": [asdict(check) for check in checks]}
    return Result(data, lambda out: _show_checks(out, checks), code)


def _target(wanted: str | None) -> Target | None:
    server = adb_server()
    if wanted is None and not server.is_listening():
        return None
    try:
        return chosen_target(server, wanted)
    except LabkitError:
        if wanted is None:
            return None
        raise


def _show_checks(out: Output, checks: tuple[Check, ...]) -> None:
    for check in checks:
        word = out.style("ok", "good") if check.ok else out.style("no", "bad")
        out.line(f"{word}  {check.name}: {check.found}")
        if check.fix:
            out.line(f"    {check.fix}")
