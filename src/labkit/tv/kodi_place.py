"""Kodi on a TV: whether it is there, and where its data is.

The data lies in the app's own folder on the shared storage, unless `xbmc_env.properties` moves it.
Some TVs (Fire OS 8, some updated to Android 14) forbid adb to look there.
"""

from __future__ import annotations

import posixpath
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.errors import RefusedError, UnmetError
from labkit.tv.dumps import parse_package
from labkit.tv.faults import adb_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.tv.device import Tv

__all__ = ["FORBIDDEN_HINT", "Kodi", "entries", "find_kodi", "folder_forbidden"]

_KODI = "org.xbmc.kodi"
_STORAGE = "/sdcard"
_PARALLEL_QUESTIONS = 4
FORBIDDEN_HINT = (
    "this TV does not let adb into apps' folders; use the Backup add-on inside Kodi "
    "(script.xbmcbackup) with a folder such as /sdcard/Download, then `labkit tv pull` it"
)
"""What to do where a TV does not let adb into the folder."""


@dataclass(frozen=True)
class Kodi:
    """Kodi on a TV.

    Attributes:
        package: Its application id.
        version: Its version, for instance `21.1`; None where the TV does not tell.
        folder: Its data folder, which ends with `.kodi` (or a fork's name).
        former: Where the former data is, if a restore that was cut off left Kodi without a data
            folder.
    """

    package: str
    version: str | None
    folder: str
    former: str | None = None

    @property
    def parent(self) -> str:
        """The folder that holds the data folder."""
        return posixpath.dirname(self.folder)

    @property
    def name(self) -> str:
        """The data folder's own name."""
        return posixpath.basename(self.folder)

    @property
    def major(self) -> int | None:
        """The first number of its version."""
        match = re.match(r"\d+", self.version or "")
        return int(match.group()) if match else None


def find_kodi(tv: Tv, package: str | None = None) -> Kodi:
    """Find Kodi, or the fork `package`, and its data folder, or what a cut-off restore left of it.

    Raises:
        UnmetError: It is not installed, or was never started.
        RefusedError: The TV does not let adb see its folder.
    """
    wanted = package or _KODI
    _ = tv.features  # asked for once, not by every thread
    # Each answer takes a TV up to a second: the usual questions go out together.
    with ThreadPoolExecutor(_PARALLEL_QUESTIONS) as pool:
        properties = pool.submit(lambda: tv.properties)
        dump = pool.submit(tv.dump_package, wanted)
        moved = pool.submit(tv.run, "cat", f"{_STORAGE}/xbmc_env.properties")
        usual = pool.submit(_look, tv, _usual_folder(wanted))
        properties.result()
    app = parse_package(dump.result(), wanted, sdk=tv.sdk)
    if app is None and package is None:
        wanted = _fork(tv)
        app = tv.installed(wanted)
    if app is None:
        raise UnmetError(
            f"{wanted} is not installed on {tv.name}",
            hint="`labkit tv apps --filter kodi` shows what there is; forks need --package",
            code="kodi-missing",
        )
    known = {_usual_folder(package or _KODI): usual.result()}
    forbidden = None
    candidates = tuple(_candidates(moved.result().stdout, wanted))
    for folder in candidates:
        found = known[folder] if folder in known else _look(tv, folder)
        if found == "data":
            return Kodi(wanted, app.version_name, folder)
        if found == "forbidden":
            forbidden = folder
    if forbidden:
        raise folder_forbidden(tv, forbidden)
    for folder in candidates:
        if former := _moved_aside(tv, folder):
            return Kodi(wanted, app.version_name, folder, former)
    raise UnmetError(
        f"{wanted} on {tv.name} has no data folder yet",
        hint="start Kodi once on the TV, then try again",
        code="kodi-never-started",
    )


def _fork(tv: Tv) -> str:
    """Find what may be a fork of Kodi; Kodi itself where there is none."""
    packages = tv.packages()
    return next((p for p in packages if "kodi" in p or ".spmc" in p or "xbmc" in p), _KODI)


def _look(tv: Tv, folder: str) -> Literal["data", "forbidden", "nothing"]:
    """See whether a folder holds Kodi's data."""
    result = tv.run("ls", "-a", folder)
    if result.status == 0 and re.search(r"^(userdata|addons)$", result.stdout, re.MULTILINE):
        return "data"
    refused = "ermission denied" in result.text or "not permitted" in result.text
    return "forbidden" if refused else "nothing"


def entries(tv: Tv, folder: str) -> frozenset[str]:
    """List the names in a folder on the TV; none where it cannot be read."""
    return frozenset(tv.run("ls", "-a", folder).stdout.splitlines())


def _moved_aside(tv: Tv, folder: str) -> str | None:
    """Find the data that a restore moved aside last; None where `folder` itself is there."""
    names = entries(tv, posixpath.dirname(folder))
    name = posixpath.basename(folder)
    stamp = r"\.labkit-\d{8}-\d{6}(-\d+)?"
    aside = [other for other in names if re.fullmatch(re.escape(name) + stamp, other)]
    if name in names or not aside:
        return None
    return posixpath.join(posixpath.dirname(folder), max(aside))


def _usual_folder(package: str) -> str:
    return f"{_STORAGE}/Android/data/{package}/files/.kodi"


def _candidates(environment: str, package: str) -> Iterator[str]:
    """Iterate over where the data may be: where `xbmc_env.properties` moves it comes first."""
    if match := re.search(r"^\s*xbmc\.data\s*=\s*(/\S.*?)\s*$", environment, re.MULTILINE):
        yield posixpath.join(match[1], ".kodi")
        yield match[1].rstrip("/")
    yield _usual_folder(package)
    if ".spmc" in package:
        yield f"{_STORAGE}/Android/data/{package}/files/.spmc"


def folder_forbidden(tv: Tv, folder: str) -> RefusedError:
    """Make the error for a folder that the TV does not let adb into."""
    error = adb_error("path_denied", tv.name, folder)
    return RefusedError(error.message, hint=FORBIDDEN_HINT, code="kodi-folder-forbidden")
