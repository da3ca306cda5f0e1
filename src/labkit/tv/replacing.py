"""Replacing an app that cannot be updated, with as little lost as possible.

The new app is sent once as an update, which Android refuses after most of what else could speak
against it: whatever the TV says then, nothing was lost. Only a refusal that no update can get
around lets the former app go, after a copy of it was taken, and as the last step before the commit.
Should that fail all the same, the former app is put back; its data is gone.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from labkit.errors import LabkitError, UnreachableError
from labkit.progress import SILENT
from labkit.tv.catalogue import DATA_LOSS
from labkit.tv.packages import is_installed, save, uninstall
from labkit.tv.session import send_app

if TYPE_CHECKING:
    from labkit.progress import Progress
    from labkit.tv.device import Tv
    from labkit.tv.install import InstallPlan

__all__ = ["FormerApp", "ReplaceError", "replace_app"]

FormerApp = Literal["untouched", "reinstalled", "removed"]
"""What became of the app that was to be replaced."""

_ONLY_BY_REPLACING = frozenset(entry.code for entry in DATA_LOSS)


class ReplaceError(LabkitError):
    """The new app was not installed; code and exit code are those of the reason.

    Attributes:
        former: What became of the installed app.
        archive: The copy of it, where the TV has it no more.
    """

    def __init__(
        self,
        reason: LabkitError,
        outcome: str,
        *,
        former: FormerApp,
        archive: Path | None = None,
        hint: str | None = None,
    ) -> None:
        hints = "; ".join(filter(None, (hint, reason.hint)))
        super().__init__(f"{reason.message}; {outcome}", hint=hints or None, code=reason.code)
        self.exit_code = reason.exit_code
        self.former = former
        self.archive = archive


def replace_app(tv: Tv, plan: InstallPlan, *, progress: Progress) -> bool:
    """Install an app over one that probably cannot be updated.

    Returns:
        Whether the former app was uninstalled, with its data.

    Raises:
        ReplaceError: The new app was not installed; it says what became of the former one.
    """
    progress.message(f"trying {plan.package} on {tv.name} before the former app is removed")
    try:
        send_app(tv, plan, progress=progress)
    except LabkitError as error:
        if error.code not in _ONLY_BY_REPLACING:
            raise _untouched(error, plan) from error
    else:
        return False
    copy = _copy(tv, plan.package, progress)
    try:
        _exchange(tv, plan, copy, progress)
    except ReplaceError as error:
        if error.archive is None:
            _drop(copy)
        raise
    _drop(copy)
    return True


def _exchange(tv: Tv, plan: InstallPlan, copy: Path | None, progress: Progress) -> None:
    # Once the former app is gone, any version that is there is the new one.
    plan = replace(plan, installed_version_code=None)
    is_gone = False

    def remove_former() -> None:
        nonlocal is_gone
        is_gone = True
        uninstall(tv, plan.package)

    try:
        send_app(tv, plan, progress=progress, before_commit=remove_former)
    except LabkitError as error:
        raise _after_failure(tv, plan, error, copy, progress) from error
    except BaseException:
        if not is_gone:
            _drop(copy)
        raise


def _after_failure(
    tv: Tv, plan: InstallPlan, reason: LabkitError, copy: Path | None, progress: Progress
) -> ReplaceError:
    """Put the former app back where it is gone, and say what became of it."""
    try:
        if isinstance(reason, UnreachableError):
            tv.reconnect()
        if is_installed(tv, plan.package):
            return _untouched(reason, plan)
        if copy is not None:
            progress.warning(f"putting the former {plan.package} back on {tv.name}")
            _put_back(tv, copy)
            outcome = f"{plan.package} was uninstalled for it and put back without its data"
            return ReplaceError(reason, outcome, former="reinstalled")
    except LabkitError as error:
        progress.warning(f"{plan.package} could not be put back: {error.message}")
    hint = (
        f"`labkit tv install {copy}` puts the former app back, without its data"
        if copy
        else "get the former app from its maker"
    )
    outcome = f"the former {plan.package} was uninstalled for it, with its data"
    return ReplaceError(reason, outcome, former="removed", archive=copy, hint=hint)


def _untouched(reason: LabkitError, plan: InstallPlan) -> ReplaceError:
    outcome = f"the installed {plan.package} and its data are as before"
    return ReplaceError(reason, outcome, former="untouched")


def _copy(tv: Tv, package: str, progress: Progress) -> Path | None:
    """Take a copy of the installed app; None where the TV, or this computer's disk, refuses."""
    target = Path(tempfile.mkdtemp(prefix="labkit-former-")) / f"{package}.apks"
    try:
        save(tv, package, target, progress=progress)
    except LabkitError as error:
        progress.warning(f"no copy of {package} can be kept: {error.message}")
        _drop(target)
        return None
    except BaseException:
        _drop(target)
        raise
    progress.message(f"until the new app is installed, {target} is a copy of the former one")
    return target


def _drop(copy: Path | None) -> None:
    if copy is not None:
        shutil.rmtree(copy.parent, ignore_errors=True)


def _put_back(tv: Tv, copy: Path) -> None:
    from labkit.tv.bundles import open_apps
    from labkit.tv.install import plan_install, planned_parts

    with open_apps([copy]) as (app,):
        plan = plan_install(app, tv.facts([app.package]))
        # Whatever a new installation would leave out, it was there.
        parts = planned_parts(plan.check.choice.variant.parts)
        # Nobody who would stop listens: without this step an app is lost.
        send_app(tv, replace(plan, parts=parts), progress=SILENT)
