"""Which TV is meant: names from the configuration, remembered ones, and what adb lists."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from labkit.errors import InputError, UnmetError, UnreachableError, UsageError
from labkit.progress import SILENT
from labkit.tv.address import looks_like_address, parse_address
from labkit.tv.connection import READY, connect
from labkit.tv.device import Tv
from labkit.tv.faults import state_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from labkit.progress import Progress
    from labkit.tv.adb import AdbServer, ListedDevice

__all__ = [
    "KnownTv",
    "Target",
    "choose_target",
    "join_known",
    "open_tv",
    "read_remembered",
    "remember",
    "state_path",
]

_NAME = re.compile(r"\w[\w-]{0,62}")


@dataclass(frozen=True)
class KnownTv:
    """A TV with a name.

    Attributes:
        name: What the user calls it.
        address: HOST:PORT.
        source: Where the name comes from.
    """

    name: str
    address: str
    source: Literal["configuration", "remembered"]


@dataclass(frozen=True)
class Target:
    """The TV that a command is for.

    Attributes:
        name: What messages call it.
        serial: What adb calls it, or would once it is connected.
        may_connect: Whether the serial is an address to connect to.
    """

    name: str
    serial: str
    may_connect: bool


def state_path() -> Path:
    """Return the file that remembers names, in the platform's folder for state."""
    from pathlib import Path

    import platformdirs

    return Path(platformdirs.user_state_dir("labkit", appauthor=False)) / "tvs.json"


def read_remembered(path: Path) -> dict[str, str]:
    """Read the remembered names and their addresses.

    Raises:
        InputError: The file is damaged.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(tv["address"]) for name, tv in document["tvs"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the remembered TVs cannot be read: {getattr(error, 'strerror', None) or error}",
            hint=f"remove {path}; `labkit tv connect ADDRESS --name NAME` writes it anew",
        ) from error


def remember(path: Path, known: Sequence[KnownTv], name: str, address: str) -> None:
    """Remember that `name` is the TV at `address`.

    Raises:
        UsageError: The name is another TV's already, or looks like an address.
        UnmetError: The file cannot be written.
    """
    check_name(known, name, address)
    remembered = read_remembered(path) | {name: address}
    document = {"tvs": {n: {"address": a} for n, a in sorted(remembered.items())}}
    temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8") as file:
            json.dump(document, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UnmetError(f"{path} cannot be written: {error.strerror or error}") from error


def check_name(known: Sequence[KnownTv], name: str, address: str) -> None:
    """Make sure that `name` can be given to the TV at `address`.

    Raises:
        UsageError: It is another TV's already, is no word, or looks like an address.
    """
    if not _NAME.fullmatch(name) or looks_like_address(name):
        raise UsageError(
            f"{name!r} can be no name of a TV",
            hint="use one word of letters, digits, - and _, for instance livingroom",
            code="bad-name",
        )
    for tv in known:
        if tv.name == name and tv.address != address:
            raise UsageError(
                f"{name} is the name of another TV, at {tv.address} ({tv.source})",
                hint="choose another name",
                code="name-taken",
            )


def join_known(
    configured: Mapping[str, Mapping[str, Any]], remembered: Mapping[str, str]
) -> tuple[KnownTv, ...]:
    """Join the names of both sources.

    Raises:
        UsageError: A configured TV has no usable address, or two TVs have one name.
    """
    known: dict[str, KnownTv] = {}
    for name, settings in configured.items():
        address = settings.get("address")
        if not isinstance(address, str):
            raise UsageError(
                f"the TV {name} in the configuration has no address",
                hint=f'write `address = "192.168.1.20"` below `[tv.{name}]`',
            )
        known[name] = KnownTv(name, str(parse_address(address)), "configuration")
    for name, address in remembered.items():
        if name in known and known[name].address != address:
            raise UsageError(
                f"two TVs are called {name}: {known[name].address} (configuration) "
                f"and {address} (remembered)",
                hint="give one of them another name in the configuration file",
                code="name-taken",
            )
        known.setdefault(name, KnownTv(name, address, "remembered"))
    return tuple(known.values())


def choose_target(
    wanted: str | None, known: Sequence[KnownTv], listed: Sequence[ListedDevice]
) -> Target:
    """Find the TV that the user means; a pure function.

    Args:
        wanted: A name, an address or a serial; None for the only one that is connected.
        known: The TVs with names.
        listed: What adb holds.

    Raises:
        UsageError: Nothing has that name, or there are several and none was named.
        UnreachableError: None was named and none is there.
    """
    names = {tv.address: tv.name for tv in known}
    if wanted is None:
        return _only(known, listed, names)
    for tv in known:
        if tv.name == wanted:
            return Target(wanted, tv.address, may_connect=True)
    for device in listed:
        if device.serial == wanted:
            return Target(names.get(wanted, wanted), wanted, may_connect=":" in wanted)
    if looks_like_address(wanted):
        serial = str(parse_address(wanted))
        return Target(names.get(serial, serial), serial, may_connect=True)
    candidates = [*(tv.name for tv in known), *(device.serial for device in listed)]
    close = difflib.get_close_matches(wanted, candidates, n=1)
    hint = f"did you mean {close[0]}?" if close else "`labkit tv list` shows the known TVs"
    raise UsageError(f"there is no TV called {wanted}", hint=hint, code="no-such-tv")


def _only(
    known: Sequence[KnownTv], listed: Sequence[ListedDevice], names: Mapping[str, str]
) -> Target:
    ready = [device for device in listed if device.state == READY]
    candidates = ready or list(listed)
    if len(candidates) > 1:
        shown = ", ".join(names.get(d.serial, d.serial) for d in candidates)
        raise UsageError(
            f"several TVs are connected: {shown}",
            hint="choose one with --tv",
            code="many_devices",
        )
    if candidates:
        serial = candidates[0].serial
        return Target(names.get(serial, serial), serial, may_connect=":" in serial)
    if len(known) == 1:
        return Target(known[0].name, known[0].address, may_connect=True)
    if known:
        shown = ", ".join(tv.name for tv in known)
        raise UsageError(
            f"no TV is connected, and several are known: {shown}",
            hint="choose one with --tv",
            code="many_devices",
        )
    raise UnreachableError(
        "no TV is connected",
        hint="`labkit tv connect ADDRESS` connects one",
        code="no_devices",
    )


def open_tv(
    server: AdbServer, target: Target, *, wait_s: float = 30.0, progress: Progress = SILENT
) -> Tv:
    """Make sure that the TV takes commands, connecting to it where that is possible.

    Raises:
        UnreachableError: It does not answer.
        UnmetError: It did not accept this computer.
    """
    if target.may_connect:
        address = parse_address(target.serial)
        if server.state(target.serial) != READY:
            connect(server, address, wait_s=wait_s, progress=progress)
    elif (state := server.state(target.serial)) != READY:
        raise state_error(state, target.name)
    return Tv(server, target.serial, target.name)
