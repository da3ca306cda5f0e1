"""One TV that takes commands, and what can be learned about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from labkit.errors import LabkitError
from labkit.tv.address import looks_like_address, parse_address
from labkit.tv.connection import connect, prove
from labkit.tv.dumps import (
    parse_abis,
    parse_density,
    parse_free_bytes,
    parse_languages,
    parse_names,
    parse_package,
    parse_properties,
)
from labkit.tv.facts import DeviceFacts
from labkit.tv.faults import booting_error
from labkit.tv.shell import ShellStream, run_shell
from labkit.tv.sync import SyncSession

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from labkit.tv.adb import AdbServer, AdbStream
    from labkit.tv.facts import InstalledApp
    from labkit.tv.shell import ShellResult

__all__ = ["STREAM_TIMEOUT_S", "Tv", "TvInfo"]

COMMAND_TIMEOUT_S = 10.0
# The package manager is slow on a weak TV that is busy.
_DUMP_TIMEOUT_S = 30.0
_PARALLEL_QUESTIONS = 6
STREAM_TIMEOUT_S = 120.0
"""How long a TV may be silent within a transfer: its flash memory may stall for a while."""


@dataclass(frozen=True)
class TvInfo:
    """What kind of TV it is; None or empty means unknown.

    Attributes:
        serial: What adb calls it.
        manufacturer: Who made it.
        model: Its model.
        android: Its Android version, for instance `9`.
        sdk: Its Android API level.
        abis: The processor types that it runs, the preferred one first.
        density_dpi: Its screen density, in dots per inch.
        languages: The languages of its user.
        free_bytes: The free space for apps.
        kodi: The Kodi packages on it.
    """

    serial: str
    manufacturer: str
    model: str
    android: str
    sdk: int | None
    abis: tuple[str, ...]
    density_dpi: int | None
    languages: tuple[str, ...]
    free_bytes: int | None
    kodi: tuple[str, ...]


class Tv:
    """A connected TV.

    Args:
        server: The adb server that holds the connection.
        serial: What adb calls the TV.
        name: What messages call it; its serial by default.
    """

    def __init__(self, server: AdbServer, serial: str, name: str | None = None) -> None:
        self.server = server
        self.serial = serial
        self.name = name or serial

    # -- commands and streams

    @cached_property
    def features(self) -> frozenset[str]:
        """What its adb can do, in adb's words.

        Raises:
            UnreachableError: It is not there.
        """
        return self.server.features(self.serial)

    @property
    def has_shell_v2(self) -> bool:
        """Whether outputs and exit status of a command come separately (Android 7 and later)."""
        return "shell_v2" in self.features

    def run(self, *command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> ShellResult:
        """Run a short command to its end; `timeout_s` limits it as a whole.

        Raises:
            UnreachableError: The TV went away or did not answer in time.
            UnmetError: It does not accept this computer.
        """
        return run_shell(
            self.server, self.serial, command, shell_v2=self.has_shell_v2, timeout_s=timeout_s
        )

    def package_manager(self, *arguments: str, timeout_s: float = _DUMP_TIMEOUT_S) -> ShellResult:
        """Run a verb of the package manager.

        Raises:
            UnreachableError: The TV is still starting, or went away.
        """
        return self._ask_packages(*self.package_command, *arguments, timeout_s=timeout_s)

    def _ask_packages(self, *command: str, timeout_s: float) -> ShellResult:
        """Run a command whose answer means nothing before the package manager runs."""
        result = self.run(*command, timeout_s=timeout_s)
        if (error := booting_error(result.text, self.name)) is not None:
            raise error
        return result

    @property
    def package_command(self) -> tuple[str, ...]:
        """How the package manager is called: directly, or by the old script that starts Java."""
        return ("cmd", "package") if "cmd" in self.features else ("pm",)

    @contextmanager
    def shell(self, line: str, *, timeout_s: float = STREAM_TIMEOUT_S) -> Iterator[ShellStream]:
        """Run the shell command `line` with open streams; the TV must have `shell_v2`."""
        service = f"shell,v2,raw:{line}"
        with (
            self.server.open(self.serial, service, timeout_s=timeout_s) as raw,
            ShellStream(raw, self.serial) as stream,
        ):
            yield stream

    def execute(self, line: str, *, timeout_s: float = STREAM_TIMEOUT_S) -> AdbStream:
        """Run the shell command `line` with its input and output as one stream of bytes."""
        return self.server.open(self.serial, f"exec:{line}", timeout_s=timeout_s)

    def sync(self) -> SyncSession:
        """Open the file service."""
        return SyncSession(self.server, self.serial, self.features)

    def reconnect(self, *, wait_s: float = 10.0) -> bool:
        """Try to reach it again after the connection broke; tell whether it takes commands."""
        try:
            if looks_like_address(self.serial):
                connect(self.server, parse_address(self.serial), wait_s=wait_s)
            else:
                prove(self.server, self.serial)
        except LabkitError:
            return False
        return True

    # -- what it is

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """The system properties."""
        return parse_properties(self.run("getprop").stdout)

    @property
    def sdk(self) -> int | None:
        """Its Android API level."""
        text = self.properties.get("ro.build.version.sdk", "").strip()
        return int(text) if text.isdecimal() else None

    @property
    def abis(self) -> tuple[str, ...]:
        """The processor types that it runs, the preferred one first."""
        return parse_abis(self.properties)

    def free_bytes(self) -> int | None:
        """Ask for the free space for apps."""
        return parse_free_bytes(self.run("df", "-k", "/data").stdout)

    def packages(self, *options: str) -> tuple[str, ...]:
        """List the ids of apps; `options` are those of `pm list packages`."""
        return parse_names(self.package_manager("list", "packages", *options).stdout, "package")

    def dump_package(self, package: str) -> str:
        """Ask for everything that the package manager knows of one app."""
        dump = self._ask_packages("dumpsys", "package", package, timeout_s=_DUMP_TIMEOUT_S)
        return dump.stdout

    def installed(self, package: str) -> InstalledApp | None:
        """Look at one app; None where it is not installed."""
        return parse_package(self.dump_package(package), package, sdk=self.sdk)

    def info(self) -> TvInfo:
        """Ask what kind of TV it is."""
        properties = self.properties
        kodi = tuple(p for p in self.packages() if "kodi" in p or "xbmc" in p or ".spmc" in p)
        return TvInfo(
            serial=self.serial,
            manufacturer=properties.get("ro.product.manufacturer", ""),
            model=properties.get("ro.product.model", ""),
            android=properties.get("ro.build.version.release", ""),
            sdk=self.sdk,
            abis=self.abis,
            density_dpi=parse_density(self.run("wm", "density").stdout),
            languages=parse_languages(properties),
            free_bytes=self.free_bytes(),
            kodi=kodi,
        )

    def facts(
        self, packages: Iterable[str] = (), *, density: bool = True, libraries: bool = True
    ) -> DeviceFacts:
        """Ask for what decides whether the apps `packages` can be installed.

        Args:
            packages: Their ids.
            density: Ask for the screen's density, which decides between splits; before Android 9
                it takes the TV longer than all the rest.
            libraries: Ask for the TV's libraries, which few apps need.
        """
        names = tuple(dict.fromkeys(packages))
        _ = self.features  # asked for once, not by every thread
        # Each answer takes a TV up to a second; it is as quick with several of them.
        with ThreadPoolExecutor(_PARALLEL_QUESTIONS) as pool:
            properties = pool.submit(lambda: self.properties)
            features = pool.submit(self._listed, "features", "feature")
            known = pool.submit(self._listed, "libraries", "library") if libraries else None
            screen = pool.submit(self.run, "wm", "density") if density else None
            free = pool.submit(self.free_bytes)
            dumps = tuple(pool.map(self.dump_package, names))
            properties.result()
        found = map(partial(parse_package, sdk=self.sdk), dumps, names)
        return DeviceFacts(
            name=self.name,
            sdk=self.sdk,
            abis=self.abis,
            density_dpi=parse_density(screen.result().stdout) if screen else None,
            languages=parse_languages(self.properties),
            free_bytes=free.result(),
            features=frozenset(f.partition("=")[0] for f in features.result()) or None,
            libraries=(frozenset(known.result()) or None) if known else None,
            installed={app.package: app for app in found if app},
        )

    def _listed(self, what: str, prefix: str) -> tuple[str, ...]:
        return parse_names(self.package_manager("list", what).stdout, prefix)
