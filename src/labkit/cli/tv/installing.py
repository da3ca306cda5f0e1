"""`labkit tv install`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.options import DryRun, Yes
from labkit.cli.output import Output, format_bytes
from labkit.cli.tv import tv
from labkit.cli.tv.chosen import (
    DEFAULT_WAIT_S,
    Apps,
    TvOption,
    WaitOption,
    adb_server,
    chosen_tv,
    given_apps,
    known_tvs,
)
from labkit.errors import ExitCode, LabkitError, RefusedError, UnreachableError, UsageError

if TYPE_CHECKING:
    from labkit.tv.apps import App
    from labkit.tv.device import Tv
    from labkit.tv.facts import DeviceFacts
    from labkit.tv.install import Installed, InstallPlan


@dataclass(frozen=True)
class _Done:
    """An app that was installed, and what was done beside."""

    app: Installed
    data_files: int
    started: bool


@dataclass
class _Report:
    """What became of each app on each TV."""

    installed: list[_Done] = field(default_factory=list)
    failed: list[tuple[str, str, LabkitError]] = field(default_factory=list)

    def missed(self, device: Tv, apps: Sequence[App], error: LabkitError) -> None:
        """Take down that none of the apps got to a TV."""
        self.failed += [(app.package, device.name, error) for app in apps]

    @property
    def errors(self) -> list[LabkitError]:
        """Why something failed, each reason once."""
        return list(dict.fromkeys(error for _, _, error in self.failed))


@tv.command(
    "labkit tv install player.apk",
    "labkit tv install player.xapk --tv livingroom --launch",
    "labkit tv install base.apk config.de.apk --all",
)
def install(
    app: Apps,
    *,
    tv: TvOption = None,
    all_tvs: Annotated[
        bool, typer.Option("--all", help="Install on every TV that is connected.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Uninstall what cannot be updated; its data is lost."),
    ] = False,
    downgrade: Annotated[
        bool, typer.Option("--downgrade", help="Put an older version over a newer debug build.")
    ] = False,
    launch: Annotated[bool, typer.Option("--launch", help="Start the app afterwards.")] = False,
    wait: WaitOption = DEFAULT_WAIT_S,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> Result:
    """Install apps on a TV: checks first, chooses the parts.

    Data on the TV is never lost unasked.
    """
    from labkit.tv.install import InstallOptions, plan_install

    if tv is not None and all_tvs:
        raise UsageError("--tv and --all exclude each other")
    output = current_output()
    options = InstallOptions(replace=replace, downgrade=downgrade)
    report = _Report()
    with given_apps(app) as apps:
        devices = _all_tvs(apps, report) if all_tvs else [chosen_tv(tv, wait_s=wait)]
        plans = [
            (device, plan_install(each, facts, options))
            for device, facts in _facts(devices, apps, report, wait_s=wait)
            for each in apps
        ]
        if report.failed and not all_tvs:
            raise report.failed[0][2]
        for device, plan in plans:
            for problem in plan.check.problems:
                if problem.severity == "warning":
                    output.warning(f"{device.name}: {problem.message}")
        if dry_run:
            return _planned(plans, report)
        _confirm_losses(plans, yes=yes)
        try:
            _carry_out(plans, report, launch=launch)
        except KeyboardInterrupt:
            for done in report.installed:
                output.message(_sentence(done))
            raise
        return _result(report)


def _all_tvs(apps: Sequence[App], report: _Report) -> list[Tv]:
    """Return the TVs that take commands; the others that adb holds are reported."""
    from labkit.tv.connection import READY
    from labkit.tv.device import Tv
    from labkit.tv.faults import state_error

    server = adb_server()
    names = {each.address: each.name for each in known_tvs()}
    listed = server.devices()
    if not listed:
        raise UnreachableError(
            "no TV is connected", hint="`labkit tv connect ADDRESS` connects one", code="no_devices"
        )
    ready = []
    for device in listed:
        tv = Tv(server, device.serial, names.get(device.serial))
        if device.state == READY:
            ready.append(tv)
        else:
            report.missed(tv, apps, state_error(device.state, tv.name))
    return ready


def _facts(
    devices: Sequence[Tv], apps: Sequence[App], report: _Report, *, wait_s: float
) -> list[tuple[Tv, DeviceFacts]]:
    """Ask all TVs at once; one that does not answer is reported, and keeps no other waiting."""
    from concurrent.futures import ThreadPoolExecutor

    from labkit.tv.install import facts_for_install

    progress = current_output().progress

    def ask(device: Tv) -> DeviceFacts | LabkitError:
        try:
            return facts_for_install(device, apps, wait_s=wait_s, progress=progress)
        except LabkitError as error:
            return error

    found = []
    with ThreadPoolExecutor(max_workers=len(devices) or 1) as pool:
        for device, answer in zip(devices, pool.map(ask, devices), strict=True):
            if isinstance(answer, LabkitError):
                report.missed(device, apps, answer)
            else:
                found.append((device, answer))
    return found


def _confirm_losses(plans: Sequence[tuple[Tv, InstallPlan]], *, yes: bool) -> None:
    losses = [f"{p.package} on {d.name}" for d, p in plans if p.uninstalls and not p.blocking]
    if not losses:
        return
    question = f"uninstall first: {', '.join(losses)}? Its data and settings are lost"
    if not current_output().confirm(question, yes=yes):
        raise RefusedError("not confirmed, nothing was changed", code="not-confirmed")


def _carry_out(plans: Sequence[tuple[Tv, InstallPlan]], report: _Report, *, launch: bool) -> None:
    """Install on all TVs at once, the apps of one TV one after the other."""
    from concurrent.futures import ThreadPoolExecutor

    from labkit.cli.tv.interruption import Interruptible

    progress = Interruptible(current_output().progress)
    by_tv: dict[str, list[tuple[Tv, InstallPlan]]] = {}
    for device, plan in plans:
        by_tv.setdefault(device.serial, []).append((device, plan))

    def work(queue: list[tuple[Tv, InstallPlan]]) -> None:
        from labkit.tv.install import install

        for device, plan in queue:
            progress.check()
            try:
                app = install(device, plan, progress=progress)
            except LabkitError as error:
                report.failed.append((plan.package, device.name, error))
                continue
            failure = _start(device, plan.package) if launch else None
            started = launch and failure is None
            done = _Done(app, len(plan.app.expansions), started)
            report.installed.append(done)
            if failure is not None:
                report.failed.append((plan.package, device.name, failure))

    with ThreadPoolExecutor(max_workers=len(by_tv) or 1) as pool, progress:
        list(pool.map(work, by_tv.values()))


def _start(device: Tv, package: str) -> LabkitError | None:
    """Start an app that was installed; return why it did not."""
    from labkit.tv.packages import launch

    try:
        launch(device, package)
    except LabkitError as error:
        return error
    return None


def _planned(plans: Sequence[tuple[Tv, InstallPlan]], report: _Report) -> Result:
    rows = [
        {
            "package": plan.package,
            "version_code": plan.version_code,
            "tv": device.name,
            "parts": [planned.name for planned in plan.parts],
            "size_bytes": plan.size_bytes,
            "uninstalls_first": plan.uninstalls,
            "problems": [{"code": p.code, "message": p.message} for p in plan.blocking],
        }
        for device, plan in plans
    ]
    blocking = (error for _, plan in plans if (error := _blocking_error(plan)))
    errors = (*report.errors, *blocking)
    code = errors[0].exit_code if errors else ExitCode.OK

    def show(out: Output) -> None:
        for device, plan in plans:
            if not plan.blocking:
                first = "uninstall (its data is lost), then " if plan.uninstalls else ""
                parts = ", ".join(planned.name for planned in plan.parts)
                size = format_bytes(plan.size_bytes)
                out.line(f"would {first}install {plan.package} on {device.name}: {parts} ({size})")

    data = {"planned": rows, "installed": [], "failed": _failed(report)}
    return Result(data, show, code, errors)


def _blocking_error(plan: InstallPlan) -> LabkitError | None:
    try:
        plan.require()
    except LabkitError as error:
        return error
    return None


def _result(report: _Report) -> Result:
    data = {
        "installed": [
            {
                "package": done.app.package,
                "version_code": done.app.version_code,
                "tv": done.app.tv,
                "size_bytes": done.app.size_bytes,
                "elapsed_s": round(done.app.elapsed_s, 3),
                "replaced": done.app.replaced,
                "data_files": done.data_files,
                "started": done.started,
            }
            for done in report.installed
        ],
        "failed": _failed(report),
    }

    def show(out: Output) -> None:
        for done in report.installed:
            out.line(_sentence(done))

    return Result(data, show, _exit_code(report), report.errors)


def _failed(report: _Report) -> list[dict[str, str | None]]:
    return [
        {
            "package": package,
            "tv": name,
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            **_former_app(error),
        }
        for package, name, error in report.failed
    ]


def _former_app(error: LabkitError) -> dict[str, str | None]:
    """Say what became of an app that was to be replaced."""
    from labkit.tv.replacing import ReplaceError

    if not isinstance(error, ReplaceError):
        return {"former_app": None, "former_app_copy": None}
    copy = str(error.archive) if error.archive else None
    return {"former_app": error.former, "former_app_copy": copy}


def _sentence(done: _Done) -> str:
    app = done.app
    parts = [
        f"installed {app.package} ({app.version_code}) on {app.tv}, {format_bytes(app.size_bytes)}"
    ]
    if done.data_files:
        parts.append(f"{done.data_files} data files copied")
    if done.app.replaced:
        parts.append("the former app and its data removed")
    if done.started:
        parts.append("started")
    return "; ".join(parts)


def _exit_code(report: _Report) -> ExitCode:
    if not report.failed:
        return ExitCode.OK
    if report.installed:
        return ExitCode.PARTIAL
    return report.failed[0][2].exit_code
