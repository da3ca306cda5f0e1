"""Installing an app: the plan, and one install session that carries it out.

adb's own `install` pushes temporary files on old TVs, says nothing about progress and cannot choose
splits; adbutils' `install` removes the app with its data on some failures. Here the session is
driven step by step: create, write each part, commit; abandoned after any failure, so that
nothing is half installed. The same works on Android 5 to 16.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labkit.errors import LabkitError, RefusedError, UnreachableError
from labkit.progress import SILENT
from labkit.tv.android import lowest_target_sdk
from labkit.tv.faults import adb_error
from labkit.tv.fit import check_app
from labkit.tv.session import BYPASS, counted, send_app

if TYPE_CHECKING:
    from collections.abc import Iterable

    from labkit.progress import Progress
    from labkit.tv.apps import App, Expansion, Part
    from labkit.tv.device import Tv
    from labkit.tv.facts import DeviceFacts
    from labkit.tv.fit import AppCheck, Problem

__all__ = [
    "InstallOptions",
    "InstallPlan",
    "Installed",
    "PlannedPart",
    "facts_for",
    "facts_for_install",
    "install",
    "plan_install",
    "wait_until_booted",
]

_BOOT_POLL_S = 1.0
_BOOTING = "tv_booting"
_NO_DOWNGRADE_SDK = 34
_DOWNGRADE_LIMITS = "Android takes --downgrade for debug builds only, and from Android 14 on never"


@dataclass(frozen=True)
class InstallOptions:
    """What the user allows.

    Attributes:
        replace: Uninstall an installed app, with its data, where it cannot be updated.
        downgrade: Install an older version over a newer debug build.
    """

    replace: bool = False
    downgrade: bool = False


@dataclass(frozen=True)
class PlannedPart:
    """One file of the session.

    Attributes:
        name: What the TV knows it by; never the user's file name.
        part: The APK.
    """

    name: str
    part: Part


@dataclass(frozen=True)
class InstallPlan:
    """What an installation will do; nothing has been done yet.

    Attributes:
        app: The app.
        check: What was found about it on this TV.
        parts: What is sent.
        flags: The options of the session.
        uninstalls: Whether the installed app goes first, with its data, if nothing else helps.
        blocking: What keeps it from being installed, after what the user allowed.
        installed_version_code: The version that is on the TV now.
    """

    app: App
    check: AppCheck
    parts: tuple[PlannedPart, ...]
    flags: tuple[str, ...]
    uninstalls: bool
    blocking: tuple[Problem, ...]
    installed_version_code: int | None = None

    @property
    def package(self) -> str:
        """The application id."""
        return self.app.package

    @property
    def version_code(self) -> int:
        """The version that will be there afterwards."""
        return self.check.base.version_code

    @property
    def size_bytes(self) -> int:
        """The bytes to send."""
        return sum(planned.part.apk.size_bytes for planned in self.parts)

    def require(self) -> None:
        """Refuse a plan that cannot work.

        Raises:
            LabkitError: The app does not fit (exit code 1), or data would be lost (6).
        """
        if self.blocking:
            first = self.blocking[0]
            kind = LabkitError if first.kind == "unfit" else RefusedError
            raise kind(first.message, hint=first.hint, code=first.code)


@dataclass(frozen=True)
class Installed:
    """An app that was installed.

    Attributes:
        package: Its id.
        version_code: Its version.
        tv: What the TV is called.
        size_bytes: What was sent.
        elapsed_s: How long it took.
        replaced: Whether the former app was uninstalled for it, with its data.
    """

    package: str
    version_code: int
    tv: str
    size_bytes: int
    elapsed_s: float
    replaced: bool = False


def plan_install(
    app: App, facts: DeviceFacts, options: InstallOptions | None = None
) -> InstallPlan:
    """Plan the installation of `app` on a TV; a pure function.

    Args:
        app: The app, as `open_apps` finds it.
        facts: What is known of the TV, with the app that is installed there.
        options: What the user allows.
    """
    options = options or InstallOptions()
    check = check_app(app, facts)
    installed = facts.installed.get(app.package)
    flags = ["-r"]
    uninstalls = False
    blocking = []
    for problem in check.errors:
        may_downgrade = (
            problem.code == "downgrade"
            and options.downgrade
            and installed is not None
            and installed.debuggable
            and (facts.sdk or 0) < _NO_DOWNGRADE_SDK
        )
        if may_downgrade:
            flags.append("-d")
        elif problem.kind == "data-loss" and options.replace and installed and not installed.system:
            uninstalls = True
        elif problem.code == "downgrade" and options.downgrade:
            blocking.append(replace(problem, hint=f"{_DOWNGRADE_LIMITS}; {problem.hint}"))
        else:
            blocking.append(problem)
    if any(part.apk.manifest.test_only for part in check.choice.parts):
        flags.append("-t")
    if check.base.target_sdk < lowest_target_sdk(facts.sdk or 0):
        flags.append(BYPASS)
    parts = planned_parts(check.choice.parts)
    present = installed.version_code if installed else None
    return InstallPlan(app, check, parts, tuple(flags), uninstalls, tuple(blocking), present)


def planned_parts(parts: Iterable[Part]) -> tuple[PlannedPart, ...]:
    """Give parts the names under which they are sent."""
    return tuple(PlannedPart(_remote_name(part), part) for part in parts)


def _remote_name(part: Part) -> str:
    # The user's file names made package managers fail: only what is surely harmless passes.
    split = part.apk.split
    return f"split_{re.sub(r'[^A-Za-z0-9_.]', '_', split)}.apk" if split else "base.apk"


def wait_until_booted(tv: Tv, *, wait_s: float, progress: Progress = SILENT) -> None:
    """Wait until the package manager answers, which comes late in a TV's start.

    Raises:
        UnreachableError: It does not within `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    told = False
    while (error := _not_booted(tv)) is not None:
        if time.monotonic() > deadline:
            raise error
        if not told:
            progress.message(f"waiting for {tv.name} to finish starting")
            told = True
        time.sleep(_BOOT_POLL_S)


def _not_booted(tv: Tv) -> LabkitError | None:
    try:
        answer = tv.package_manager("path", "android").stdout
    except UnreachableError as error:
        if error.code != _BOOTING:
            raise
        return error
    return None if "package:" in answer else adb_error(_BOOTING, tv.name)


def facts_for(tv: Tv, apps: Iterable[App]) -> DeviceFacts:
    """Ask a TV for what decides about these apps, and for nothing else."""
    apps = tuple(apps)
    return tv.facts(
        (app.package for app in apps),
        density=any(app.is_split for app in apps),
        libraries=any(app.needs_libraries for app in apps),
    )


def facts_for_install(
    tv: Tv, apps: Iterable[App], *, wait_s: float, progress: Progress = SILENT
) -> DeviceFacts:
    """Ask what decides about an installation; a TV that is still starting is waited for.

    Raises:
        UnreachableError: Its package manager does not answer within `wait_s` seconds.
    """
    apps = tuple(apps)
    try:
        facts = facts_for(tv, apps)
        # Every TV has features, unless there is nobody to list them yet.
        if facts.features is not None:
            return facts
    except UnreachableError as error:
        if error.code != _BOOTING:
            raise
    wait_until_booted(tv, wait_s=wait_s, progress=progress)
    return facts_for(tv, apps)


def install(tv: Tv, plan: InstallPlan, *, progress: Progress = SILENT) -> Installed:
    """Carry a plan out: send the parts, then let the package manager put them in place at once.

    An app that must go first is uninstalled only where the TV takes the new one (`replace_app`).

    Args:
        tv: The TV.
        plan: What to do.
        progress: Counts the bytes sent.

    Raises:
        LabkitError: The plan cannot work, or the TV refused; its code is the package manager's.
        ReplaceError: The same where an app had to go first; it says what became of that.
        UnreachableError: The TV went away; nothing was installed.
    """
    plan.require()
    begun = time.monotonic()
    replaced = False
    if plan.uninstalls:
        from labkit.tv.replacing import replace_app  # rarely needed, and slow to load

        replaced = replace_app(tv, plan, progress=progress)
    else:
        send_app(tv, plan, progress=progress)
    for expansion in plan.app.expansions:
        _copy_expansion(tv, expansion, progress)
    elapsed = time.monotonic() - begun
    return Installed(plan.package, plan.version_code, tv.name, plan.size_bytes, elapsed, replaced)


def _copy_expansion(tv: Tv, expansion: Expansion, progress: Progress) -> None:
    path = f"/sdcard/{expansion.device_path}"
    size = expansion.span.size_bytes
    with (
        expansion.span.open() as source,
        tv.sync() as files,
        progress.task(f"{expansion.device_path} to {tv.name}", total=size) as task,
    ):
        files.send(path, 0o660, int(time.time()), counted(source, task))
        found = files.stat(path)
    if found is None or found.size_bytes != size:
        raise RefusedError(
            f"{path} did not arrive whole on {tv.name}",
            hint="the app is installed; copy its data with `labkit tv push`",
            code="expansion-incomplete",
        )
