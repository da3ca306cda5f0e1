"""The external programs that labkit can use: what for, where they are, how to get them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import ProgramMissingError, UnmetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "PROGRAMS",
    "Program",
    "find_program",
    "install_hint",
    "program_version",
    "require_program",
    "run_program",
]

# Debian keeps system programs out of an ordinary user's PATH.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

_INSTALL_COMMANDS = {
    "apt-get": "sudo apt-get install",
    "dnf": "sudo dnf install",
    "pacman": "sudo pacman -S",
    "zypper": "sudo zypper install",
    "brew": "brew install",
    "winget": "winget install",
}


@dataclass(frozen=True)
class Program:
    """An external program that labkit can use.

    Attributes:
        name: What is looked for in PATH.
        purpose: What labkit uses it for.
        packages: Package manager -> name of the package that brings it.
        version_arguments: What makes it print its version; None where nothing does.
        version_pattern: Finds the version in what it then prints.
    """

    name: str
    purpose: str
    packages: Mapping[str, str]
    version_arguments: tuple[str, ...] | None = ("--version",)
    version_pattern: str = r"\d+(?:\.\d+)+\S*|(?<=version )\d+"


def _linux(debian: str, fedora: str, arch: str, suse: str) -> dict[str, str]:
    return {"apt-get": debian, "dnf": fedora, "pacman": arch, "zypper": suse}


PROGRAMS: Mapping[str, Program] = {
    program.name: program
    for program in (
        Program(
            "adb",
            "tv: an adb of your own; one comes with labkit (labkit tv doctor)",
            _linux("adb", "android-tools", "android-tools", "android-tools")
            | {"brew": "android-platform-tools", "winget": "Google.PlatformTools"},
            # The first line tells the protocol's version, the second the program's.
            version_pattern=r"(?<=\nVersion )\S+",
        ),
        Program(
            "ffmpeg",
            "gopro transcode: converts HEVC to H.264",
            _linux("ffmpeg", "ffmpeg-free", "ffmpeg", "ffmpeg")
            | {"brew": "ffmpeg", "winget": "Gyan.FFmpeg"},
            ("-version",),
        ),
        Program(
            "ffprobe",
            "gopro transcode: compares duration and frames afterwards",
            _linux("ffmpeg", "ffmpeg-free", "ffmpeg", "ffmpeg")
            | {"brew": "ffmpeg", "winget": "Gyan.FFmpeg"},
            ("-version",),
        ),
        Program(
            "wget",
            "gopro pull --backend wget: carries the bytes",
            _linux("wget", "wget1-wget", "wget", "wget")
            | {"brew": "wget", "winget": "JernejSimoncic.Wget"},
        ),
        Program(
            "sfdisk",
            "boot: reads partition tables",
            _linux("fdisk", "util-linux", "util-linux", "util-linux"),
        ),
        Program(
            "grub-mkconfig",
            "boot: writes grub.cfg after a change of the default",
            _linux("grub-common", "grub2-tools", "grub", "grub2"),
        ),
        Program(
            "os-prober",
            "boot: finds Windows for the GRUB menu",
            _linux("os-prober", "os-prober", "os-prober", "os-prober"),
            None,
        ),
        Program(
            "efibootmgr",
            "boot: reads the firmware's boot entries",
            _linux("efibootmgr", "efibootmgr", "efibootmgr", "efibootmgr"),
        ),
    )
}
"""Every external program that labkit can use, by name."""

# Fedora, openSUSE and their kin install GRUB 2 under this name.
_ALTERNATIVE_NAMES = {"grub-mkconfig": "grub2-mkconfig"}


def find_program(name: str) -> Path | None:
    """Find the program `name` in PATH or in the system's folders; None when it is not there."""
    path = os.pathsep.join([*os.get_exec_path(), *_SYSTEM_FOLDERS])
    for candidate in (name, _ALTERNATIVE_NAMES.get(name)):
        if candidate and (found := shutil.which(candidate, path=path)):
            return Path(found)
    return None


def install_hint(name: str) -> str:
    """Say how to install the program `name` on this system."""
    packages = PROGRAMS[name].packages
    for tool, command in _INSTALL_COMMANDS.items():
        if tool in packages and shutil.which(tool):
            return f"install it with `{command} {packages[tool]}`"
    names = ", ".join(dict.fromkeys(packages.values()))
    return f"install the package that brings `{name}` (named {names}), or put it in PATH"


def require_program(name: str) -> Path:
    """Find the program `name`, which must be one of `PROGRAMS`.

    Raises:
        ProgramMissingError: It is not installed; the hint says how to install it.
    """
    found = find_program(name)
    if found is None:
        program = PROGRAMS[name]
        raise ProgramMissingError(
            f"`{name}` is not installed ({program.purpose})", hint=install_hint(name)
        )
    return found


def run_program(
    command: Sequence[str | Path], *, timeout_s: float, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a short program to its end and return its outputs as text, whatever its status.

    Undecodable bytes become U+FFFD. The program gets no terminal to ask questions on, and runs in
    the C locale, so that what it says can be read.

    Raises:
        ProgramMissingError: There is no such program, or it cannot be started.
        UnmetError: It did not end within `timeout_s` seconds; it was stopped.
    """
    name = Path(command[0]).name
    try:
        return subprocess.run(
            [str(part) for part in command],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout_s,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": ""},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnmetError(
            f"`{name}` did not finish within {timeout_s:g} seconds and was stopped",
            hint=f"run it by hand to see what it waits for: {' '.join(map(str, command))}",
            code="program-timeout",
        ) from error
    except OSError as error:
        hint = install_hint(name) if name in PROGRAMS else None
        raise ProgramMissingError(
            f"`{name}` cannot be started: {error.strerror or error}", hint=hint
        ) from error


def program_version(name: str, path: Path) -> str | None:
    """Ask the program at `path` for its version; None where it does not tell within 5 seconds."""
    program = PROGRAMS[name]
    if program.version_arguments is None:
        return None
    try:
        result = run_program([path, *program.version_arguments], timeout_s=5)
    except UnmetError:
        return None
    match = re.search(program.version_pattern, result.stdout + result.stderr)
    return match.group() if match else None
