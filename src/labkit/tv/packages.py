"""The apps on a TV: listing, removing, switching off and on, starting, saving."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from labkit.errors import RefusedError, UsageError
from labkit.progress import SILENT
from labkit.tv.dumps import parse_names
from labkit.tv.faults import failure_in
from labkit.tv.local_file import new_file

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.progress import Progress
    from labkit.tv.device import Tv

__all__ = [
    "ListedApp",
    "SavedApp",
    "disable",
    "enable",
    "is_installed",
    "launch",
    "list_apps",
    "require_package_name",
    "save",
    "uninstall",
]

_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_UNINSTALL_TIMEOUT_S = 120.0
_LAUNCH_TIMEOUT_S = 30.0
_LAUNCHERS = ("android.intent.category.LEANBACK_LAUNCHER", "android.intent.category.LAUNCHER")


@dataclass(frozen=True)
class ListedApp:
    """An app on a TV.

    Attributes:
        package: Its id.
        system: Whether it came with the TV.
        enabled: Whether it can be started.
    """

    package: str
    system: bool
    enabled: bool


@dataclass(frozen=True)
class SavedApp:
    """An installed app, saved as a file that `install` takes.

    Attributes:
        package: Its id.
        archive: The file.
        parts: The names of its APKs.
        size_bytes: Their size together.
    """

    package: str
    archive: Path
    parts: tuple[str, ...]
    size_bytes: int


def require_package_name(text: str) -> str:
    """Return `text` if it can be an application id.

    Raises:
        UsageError: It cannot.
    """
    if not _PACKAGE.fullmatch(text):
        raise UsageError(
            f"{text!r} is no application id",
            hint="it looks like org.xbmc.kodi; `labkit tv apps` lists those on the TV",
        )
    return text


def list_apps(
    tv: Tv, *, third_party: bool = False, disabled: bool = False, text: str = ""
) -> tuple[ListedApp, ...]:
    """List the apps on a TV, by id.

    Args:
        tv: The TV.
        third_party: Only what did not come with it.
        disabled: Only what is switched off.
        text: Only ids that contain this, in any case.
    """
    own = set(tv.packages("-3"))
    off = set(tv.packages("-d"))
    apps = (ListedApp(p, p not in own, p not in off) for p in sorted(set(tv.packages())))
    return tuple(
        app
        for app in apps
        if not (third_party and app.system)
        and not (disabled and app.enabled)
        and text.lower() in app.package.lower()
    )


def installed_files(tv: Tv, package: str) -> tuple[str, ...]:
    """Return the paths of an app's APKs on the TV.

    Raises:
        UsageError: It is not installed.
    """
    files = _files(tv, require_package_name(package))
    if not files:
        raise UsageError(
            f"{package} is not installed on {tv.name}",
            hint="`labkit tv apps` lists what is",
            code="not_installed",
        )
    return files


def is_installed(tv: Tv, package: str) -> bool:
    """Ask whether an app is installed."""
    return bool(_files(tv, package))


def _files(tv: Tv, package: str) -> tuple[str, ...]:
    return parse_names(tv.package_manager("path", package).stdout, "package")


def uninstall(tv: Tv, package: str, *, keep_data: bool = False) -> None:
    """Remove an app and, unless `keep_data`, what it stored.

    Raises:
        UsageError: It is not installed.
        RefusedError: The TV does not let it go; one of its own can only be disabled.
    """
    installed_files(tv, package)
    options = ("-k",) if keep_data else ()
    result = tv.package_manager("uninstall", *options, package, timeout_s=_UNINSTALL_TIMEOUT_S)
    failure = failure_in(result.text, "uninstall", tv.name)
    if failure is not None:
        raise failure


def disable(tv: Tv, package: str) -> None:
    """Switch an app off for the TV's user; `enable` brings it back with its data.

    Raises:
        UsageError: It is not installed.
        RefusedError: The TV does not allow it.
    """
    _switch(tv, package, "disable-user", "disabled-user")


def enable(tv: Tv, package: str) -> None:
    """Switch an app on again.

    Raises:
        UsageError: It is not installed.
        RefusedError: The TV does not allow it.
    """
    _switch(tv, package, "enable", "enabled")


def _switch(tv: Tv, package: str, verb: str, state: str) -> None:
    installed_files(tv, package)
    options = ("--user", "0") if verb == "disable-user" else ()
    result = tv.package_manager(verb, *options, package)
    if f"new state: {state}" not in result.stdout:
        raise failure_in(result.text, "shell", tv.name) or RefusedError(
            f"{tv.name} did not switch {package} to {state}: {result.text.strip() or 'no answer'}",
            hint="some of a TV's own apps are protected",
        )


def launch(tv: Tv, package: str) -> None:
    """Start an app, by its tile on the home screen or else by its entry for phones.

    Raises:
        UsageError: It is not installed.
        RefusedError: It has nothing to start.
    """
    installed_files(tv, package)
    for category in _LAUNCHERS:
        words = ("monkey", "-p", package, "-c", category, "1")
        result = tv.run(*words, timeout_s=_LAUNCH_TIMEOUT_S)
        if "Events injected: 1" in result.stdout:
            return
    raise RefusedError(
        f"{package} has nothing to start on {tv.name}",
        hint="it may be a service, or be disabled: `labkit tv enable` switches it on",
        code="nothing-to-launch",
    )


def save(tv: Tv, package: str, target: Path, *, progress: Progress = SILENT) -> SavedApp:
    """Copy an installed app, base and splits, into one `.apks` file.

    Args:
        tv: The TV.
        package: The app's id.
        target: The file to write; one that exists is not replaced.
        progress: Counts the bytes.

    Raises:
        UsageError: It is not installed.
        RefusedError: The target exists, or the TV does not give a file.
    """
    files = installed_files(tv, package)
    names = tuple(PurePosixPath(file).name for file in files)
    if len(set(names)) != len(names):
        raise RefusedError(f"{tv.name} names two parts of {package} alike: {', '.join(names)}")
    total = 0
    with (
        new_file(target, mode=0o644) as archive,
        zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle,
        progress.task(f"{package} from {tv.name}") as task,
    ):
        for file, name in zip(files, names, strict=True):
            with tv.sync() as sync, bundle.open(name, "w", force_zip64=False) as member:
                for piece in sync.receive(file):
                    member.write(piece)
                    total += len(piece)
                    task.advance(len(piece))
    return SavedApp(package, target, names, total)
