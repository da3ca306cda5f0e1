"""What stands between this computer and a TV, line by line, each with its fix."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import LabkitError
from labkit.programs import install_hint
from labkit.tv.adb import find_adb_programs, newest_adb
from labkit.tv.connection import READY, prove

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.tv.adb import AdbProgram, AdbServer
    from labkit.tv.known import Target

__all__ = ["Check", "examine"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        ok: Whether it is as it should be.
        found: What was found.
        fix: What to do where it is not.
    """

    name: str
    ok: bool
    found: str
    fix: str | None = None


def examine(
    server: AdbServer, target: Target | None, *, home: Path, serial_set: str | None = None
) -> tuple[Check, ...]:
    """Look at adb, its server, the key and, where one is meant, the TV.

    Args:
        server: The adb server that would be used; it is not started. Where a program is set for
            it (ADBUTILS_ADB_PATH), no other one is used.
        target: The TV.
        home: The user's home folder.
        serial_set: The value of ANDROID_SERIAL.
    """
    found = find_adb_programs()
    usable = (server.program,) if server.program else found
    paths = {program.path for program in usable}
    others = tuple(program for program in found if program.path not in paths)
    checks = [_programs(usable, others), _pairing(usable), _server(server), _key(home)]
    if serial_set and target is not None and serial_set != target.serial:
        checks.append(
            Check(
                "ANDROID_SERIAL",
                ok=False,
                found=f"set to {serial_set}; labkit goes by --tv",
                fix="unset it, so that adb means the same TV",
            )
        )
    if target is not None:
        checks.append(_tv(server, target))
    return tuple(checks)


def _programs(usable: tuple[AdbProgram, ...], others: tuple[AdbProgram, ...]) -> Check:
    if not usable:
        return Check("adb", ok=False, found="none", fix=install_hint("adb"))
    used = newest_adb(usable)
    shown = ", ".join(f"{p.version} ({p.path})" for p in (*usable, *others) if p != used)
    also = f"; also {shown}" if shown else ""
    return Check("adb", ok=True, found=f"{used.version} ({used.path}){also}")


def _pairing(usable: tuple[AdbProgram, ...]) -> Check:
    able = [p for p in usable if p.can_pair]
    if able:
        return Check("pairing", ok=True, found=f"adb {newest_adb(tuple(able)).version} can pair")
    return Check(
        "pairing",
        ok=False,
        found="the adb that is used cannot pair (30 and later can)",
        fix="install a newer adb, or unset ADBUTILS_ADB_PATH where it names an old one; TVs before "
        "Android 11 need no pairing",
    )


def _server(server: AdbServer) -> Check:
    if not server.is_listening():
        return Check("server", ok=True, found=f"not running; will be started at {server.address}")
    try:
        version = server.version()
    except LabkitError as error:
        return Check("server", ok=False, found=error.message, fix=error.hint)
    if (foreign := server.foreign_error()) is not None:
        return Check("server", ok=False, found=foreign.message, fix=foreign.hint)
    return Check("server", ok=True, found=f"version {version} at {server.address}")


def _key(home: Path) -> Check:
    key = home / ".android" / "adbkey"
    if key.is_file():
        if os.access(key, os.R_OK):
            return Check("key", ok=True, found=str(key))
        return Check("key", ok=False, found=f"{key} cannot be read", fix=f"make {key} yours")
    folder = key.parent if key.parent.is_dir() else home
    if os.access(folder, os.W_OK):
        return Check("key", ok=True, found=f"none yet; adb makes {key}")
    return Check(
        "key",
        ok=False,
        found=f"none, and {folder} cannot be written",
        fix="set HOME to a folder of your own: without a key no TV accepts this computer",
    )


def _tv(server: AdbServer, target: Target) -> Check:
    name = f"TV {target.name}"
    try:
        state = server.state(target.serial)
        if state is None:
            fix = f"`labkit tv connect {target.serial}`" if target.may_connect else "plug it in"
            return Check(name, ok=False, found="not connected", fix=fix)
        if state != READY:
            fix = "look at its screen and allow debugging, or switch debugging off and on"
            return Check(name, ok=False, found=re.sub("_", " ", state), fix=fix)
        connection = prove(server, target.serial)
    except LabkitError as error:
        return Check(name, ok=False, found=error.message, fix=error.hint)
    return Check(name, ok=True, found=f"ready, Android API {connection.sdk}")
