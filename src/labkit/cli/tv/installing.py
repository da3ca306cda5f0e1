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
    from labkit.tv.device import Tv
    from labkit.tv.install import Installed, InstallPlan


@dataclass(frozen=True)
class _Done:
    """An app that was installed, and what was done beside."""

    app: Installed
    replaced: bool
    data_files: int
    started: bool


@dataclass
class _Report:
    """What became of each app on each TV."""

    installed: list[_Done] = field(default_factory=list)
    failed: list[tuple[str, str, LabkitError]] = field(default_factory=list)


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
    from labkit.tv.install import InstallOptions, facts_for_install, plan_install

    if tv is not None and all_tvs:
        raise UsageError("--tv and --all exclude each other")
    output = current_output()
    options = InstallOptions(replace=replace, downgrade=downgrade)
    with given_apps(app) as apps:
        plans: list[tuple[Tv, InstallPlan]] = []
        for device in _all_tvs() if all_tvs else [chosen_tv(tv, wait_s=wait)]:
            facts = facts_for_install(device, apps, wait_s=wait, progress=output.progress)
            plans += [(device, plan_install(each, facts, options)) for each in apps]
        for device, plan in plans:
            for problem in plan.check.problems:
                if problem.severity == "warning":
                    output.warning(f"{device.name}: {problem.message}")
        if dry_run:
            return _planned(plans)
        _confirm_losses(plans, yes=yes)
        return _result(_carry_out(plans, launch=launch))


def _all_tvs() -> list[Tv]:
    from labkit.tv.connection import READY
    from labkit.tv.device import Tv

    server = adb_server()
    names = {each.address: each.name for each in known_tvs()}
    ready = [device for device in server.devices() if device.state == READY]
    if not ready:
        raise UnreachableError(
            "no TV is connected", hint="`labkit tv connect ADDRESS` connects one", code="no_devices"
        )
    return [Tv(server, device.serial, names.get(device.serial)) for device in ready]


def _confirm_losses(plans: Sequence[tuple[Tv, InstallPlan]], *, yes: bool) -> None:
    losses = [f"{p.package} on {d.name}" for d, p in plans if p.uninstalls and not p.blocking]
    if not losses:
        return
    question = f"uninstall first: {', '.join(losses)}? Its data and settings are lost"
    if not current_output().confirm(question, yes=yes):
        raise RefusedError("not confirmed, nothing was changed", code="not-confirmed")


def _carry_out(plans: Sequence[tuple[Tv, InstallPlan]], *, launch: bool) -> _Report:
    """Install on all TVs at once, the apps of one TV one after the other."""
    from concurrent.futures import ThreadPoolExecutor

    progress = current_output().progress
    by_tv: dict[str, list[tuple[Tv, InstallPlan]]] = {}
    for device, plan in plans:
        by_tv.setdefault(device.serial, []).append((device, plan))
    report = _Report()

    def work(queue: list[tuple[Tv, InstallPlan]]) -> None:
        from labkit.tv.install import install

        for device, plan in queue:
            try:
                app = install(device, plan, progress=progress)
            except LabkitError as error:
                report.failed.append((plan.package, device.name, error))
                continue
            failure = _start(device, plan.package) if launch else None
            started = launch and failure is None
            done = _Done(app, plan.uninstalls, len(plan.app.expansions), started)
            report.installed.append(done)
            if failure is not None:
                report.failed.append((plan.package, device.name, failure))

    with ThreadPoolExecutor(max_workers=len(by_tv)) as pool:
        list(pool.map(work, by_tv.values()))
    return report


def _start(device: Tv, package: str) -> LabkitError | None:
    """Start an app that was installed; return why it did not."""
    from labkit.tv.packages import launch

    try:
        launch(device, package)
    except LabkitError as error:
        return error
    return None


def _planned(plans: Sequence[tuple[Tv, InstallPlan]]) -> Result:
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
    errors = tuple(error for _, plan in plans if (error := _blocking_error(plan)))
    code = errors[0].exit_code if errors else ExitCode.OK

    def show(out: Output) -> None:
        for device, plan in plans:
            if not plan.blocking:
                first = "uninstall (its data is lost), then " if plan.uninstalls else ""
                parts = ", ".join(planned.name for planned in plan.parts)
                size = format_bytes(plan.size_bytes)
                out.line(f"would {first}install {plan.package} on {device.name}: {parts} ({size})")

    return Result({"planned": rows, "installed": [], "failed": []}, show, code, errors)


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
                "replaced": done.replaced,
                "data_files": done.data_files,
                "started": done.started,
            }
            for done in report.installed
        ],
        "failed": [
            {
                "package": package,
                "tv": name,
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
            }
            for package, name, error in report.failed
        ],
    }

    def show(out: Output) -> None:
        for done in report.installed:
            out.line(_sentence(done))

    errors = [error for _, _, error in report.failed]
    return Result(data, show, _exit_code(report), errors)


def _sentence(done: _Done) -> str:
    app = done.app
    parts = [
        f"installed {app.package} ({app.version_code}) on {app.tv}, {format_bytes(app.size_bytes)}"
    ]
    if done.data_files:
        parts.append(f"{done.data_files} data files copied")
    if done.replaced:
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
