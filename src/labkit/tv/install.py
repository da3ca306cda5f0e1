"""Installing an app: the plan, and one install session that carries it out.

adb's own `install` pushes temporary files on old TVs, says nothing about progress and cannot choose
splits; adbutils' `install` removes the app with its data on some failures. Here the session is
driven step by step: create, write each part, commit; abandoned after any failure, so that
nothing is half installed. The same works on Android 5 to 16.
"""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from labkit.errors import LabkitError, RefusedError, UnreachableError
from labkit.progress import SILENT
from labkit.tv.android import lowest_target_sdk
from labkit.tv.failures import read_outcome
from labkit.tv.faults import adb_error, failure_in
from labkit.tv.fit import check_app

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from labkit.progress import Progress, Task
    from labkit.tv.apps import App, Expansion, Part
    from labkit.tv.device import Tv
    from labkit.tv.facts import DeviceFacts
    from labkit.tv.failures import Operation
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

_CHUNK_BYTES = 1 << 20
# Verification, extraction and compilation of a large app on a weak TV.
_COMMIT_TIMEOUT_S = 600.0
_SESSION_TIMEOUT_S = 60.0
_BOOT_POLL_S = 1.0
_NO_DOWNGRADE_SDK = 34
_BYPASS = "--bypass-low-target-sdk-block"
# A transfer that failed for a reason that the package manager did not give.
_WITHOUT_REASON = frozenset({"lost", "unknown", "pm_exception"})
_LOW_TARGET_FAILURE = "INSTALL_FAILED_DEPRECATED_SDK_VERSION"


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
        uninstalls: Whether the installed app goes first, with its data.
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
    """

    package: str
    version_code: int
    tv: str
    size_bytes: int
    elapsed_s: float


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
        else:
            blocking.append(problem)
    if any(part.apk.manifest.test_only for part in check.choice.parts):
        flags.append("-t")
    if check.base.target_sdk < lowest_target_sdk(facts.sdk or 0):
        flags.append(_BYPASS)
    parts = tuple(PlannedPart(_remote_name(part), part) for part in check.choice.parts)
    present = installed.version_code if installed else None
    return InstallPlan(app, check, parts, tuple(flags), uninstalls, tuple(blocking), present)


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
    while "package:" not in tv.package_manager("path", "android").stdout:
        if time.monotonic() > deadline:
            raise adb_error("tv_booting", tv.name)
        if not told:
            progress.message(f"waiting for {tv.name} to finish starting")
            told = True
        time.sleep(_BOOT_POLL_S)


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
    facts = facts_for(tv, apps)
    if facts.features is not None:
        return facts
    # Every TV has features: there is nobody to list them yet.
    wait_until_booted(tv, wait_s=wait_s, progress=progress)
    return facts_for(tv, apps)


def install(tv: Tv, plan: InstallPlan, *, progress: Progress = SILENT) -> Installed:
    """Carry a plan out: send the parts, then let the package manager put them in place at once.

    An app that must go first is uninstalled after all bytes are on the TV, as the last step before
    the commit: a connection that breaks on the way costs nothing.

    Args:
        tv: The TV.
        plan: What to do.
        progress: Counts the bytes sent.

    Raises:
        LabkitError: The plan cannot work, or the TV refused; its code is the package manager's.
        UnreachableError: The TV went away; nothing was installed.
    """
    plan.require()
    begun = time.monotonic()
    try:
        _run_session(tv, plan, progress)
    except LabkitError as error:
        if error.code != _LOW_TARGET_FAILURE or _BYPASS in plan.flags:
            raise
        if (tv.sdk or 0) < _NO_DOWNGRADE_SDK:  # older ones do not know the option
            raise
        progress.message(
            f"{tv.name} blocks apps for old Android versions; asking it to let it pass"
        )
        _run_session(tv, replace(plan, flags=(*plan.flags, _BYPASS), uninstalls=False), progress)
    for expansion in plan.app.expansions:
        _copy_expansion(tv, expansion, progress)
    elapsed = time.monotonic() - begun
    return Installed(plan.package, plan.version_code, tv.name, plan.size_bytes, elapsed)


def _run_session(tv: Tv, plan: InstallPlan, progress: Progress) -> None:
    session = _create(tv, plan)
    try:
        with progress.task(f"{plan.package} to {tv.name}", total=plan.size_bytes) as task:
            sent = 0
            for planned in plan.parts:
                _write(tv, session, planned, task, sent)
                sent += planned.part.apk.size_bytes
        if plan.uninstalls:
            _require_success(tv, tv.package_manager("uninstall", plan.package).text, "uninstall")
        progress.message(f"{tv.name} installs {plan.package}")
    except BaseException:
        _abandon(tv, session)
        raise
    _commit(tv, session, plan)


def _create(tv: Tv, plan: InstallPlan) -> str:
    result = tv.package_manager(
        "install-create", *plan.flags, "-S", str(plan.size_bytes), timeout_s=_SESSION_TIMEOUT_S
    )
    match = re.search(r"^Success: created install session \[(\d+)\]", result.stdout, re.MULTILINE)
    if match is None:
        _require_success(tv, result.text, "install")
        raise adb_error("unknown", tv.name, result.text.strip() or "no answer")
    return match[1]


def _write(tv: Tv, session: str, planned: PlannedPart, task: Task, sent: int) -> None:
    """Send one part: through the shell protocol where that is sure, else as adb does it.

    adb sends apps through `exec:`, whose input is a terminal in raw mode: sure everywhere, and
    several times slower. With the shell protocol the input is a socket, open both ways. A
    package manager that runs inside the system (`cmd package`) was handed such a socket with
    `install-create` already, and Android's access policy lets the system read from it; the old
    `pm` script gives no such proof. Should it fail all the same without the package manager's
    own word, the part goes the sure way.
    """
    size = planned.part.apk.size_bytes
    words = ("install-write", "-S", str(size), session, planned.name, "-")
    line = shlex.join((*tv.package_command, *words))
    if tv.has_shell_v2 and "cmd" in tv.features:
        with planned.part.span.open() as source:
            outcome = read_outcome(
                _feed_shell(tv, line, _counted(source, task)), operation="install"
            )
        if outcome.ok:
            return
        if outcome.code not in _WITHOUT_REASON:
            raise outcome.error(tv.name)
        task.reach(sent)
    with planned.part.span.open() as source:
        text = _feed_exec(tv, line, _counted(source, task))
    _require_success(tv, text, "install")


def _counted(source: BinaryIO, task: Task) -> Iterator[bytes]:
    while piece := source.read(_CHUNK_BYTES):
        yield piece
        task.advance(len(piece))


def _feed_shell(tv: Tv, line: str, pieces: Iterator[bytes]) -> str:
    """Feed a command through the shell protocol; return what it said."""
    with tv.shell(line) as shell:
        for piece in pieces:
            if not shell.write(piece):
                break
        shell.close_input()
        output = b"".join(shell.output()).decode("utf-8", errors="replace")
        return f"{shell.errors}{output}"


def _feed_exec(tv: Tv, line: str, pieces: Iterator[bytes]) -> str:
    """Feed a command through a terminal in raw mode; return what it said."""
    with tv.execute(line) as stream:
        broken: UnreachableError | None = None
        try:
            for piece in pieces:
                stream.send(piece)
        except UnreachableError as error:
            # A package manager that gives up says why before the stream ends.
            broken = error
        try:
            text = stream.read_all().decode("utf-8", errors="replace")
        except UnreachableError:
            raise broken or adb_error("lost", tv.name) from None
    if broken is not None and not text.strip():
        raise broken
    return text


def _commit(tv: Tv, session: str, plan: InstallPlan) -> None:
    try:
        result = tv.package_manager("install-commit", session, timeout_s=_COMMIT_TIMEOUT_S)
        _require_success(tv, result.text, "install")
    except UnreachableError:
        # The answer got lost, not necessarily the work.
        if tv.reconnect() and _has_version(tv, plan):
            return
        _abandon(tv, session)
        raise
    except LabkitError:
        _abandon(tv, session)
        raise


def _has_version(tv: Tv, plan: InstallPlan) -> bool:
    try:
        installed = tv.installed(plan.package)
    except LabkitError:
        return False
    return (
        installed is not None
        and installed.version_code == plan.version_code
        and plan.installed_version_code != plan.version_code
    )


def _abandon(tv: Tv, session: str) -> None:
    """Give the session up, so that its bytes leave the TV; a TV that is gone is asked once more."""
    try:
        try:
            tv.package_manager("install-abandon", session)
        except UnreachableError:
            if tv.reconnect():
                tv.package_manager("install-abandon", session)
    except LabkitError:
        # What counts is why the session failed; Android drops an old one by itself.
        return


def _require_success(tv: Tv, text: str, operation: Operation) -> None:
    failure = failure_in(text, operation, tv.name)
    if failure is not None:
        raise failure


def _copy_expansion(tv: Tv, expansion: Expansion, progress: Progress) -> None:
    path = f"/sdcard/{expansion.device_path}"
    size = expansion.span.size_bytes
    with (
        expansion.span.open() as source,
        tv.sync() as files,
        progress.task(f"{expansion.device_path} to {tv.name}", total=size) as task,
    ):
        files.send(path, 0o660, int(time.time()), _counted(source, task))
        found = files.stat(path)
    if found is None or found.size_bytes != size:
        raise RefusedError(
            f"{path} did not arrive whole on {tv.name}",
            hint="the app is installed; copy its data with `labkit tv push`",
            code="expansion-incomplete",
        )
