"""One install session: created, written part by part, committed; abandoned after any failure.

So that nothing is half installed. The same works on Android 5 to 16.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.errors import LabkitError, UnreachableError
from labkit.tv.failures import read_outcome
from labkit.tv.faults import adb_error, failure_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from labkit.progress import Progress, Task
    from labkit.tv.device import Tv
    from labkit.tv.failures import Operation
    from labkit.tv.install import InstallPlan, PlannedPart

__all__ = ["BYPASS", "counted", "require_success", "send_app"]

BYPASS = "--bypass-low-target-sdk-block"
"""Lets an app for old Android versions pass; Android 14 and later know it."""
_CHUNK_BYTES = 1 << 20
# Verification, extraction and compilation of a large app on a weak TV.
_COMMIT_TIMEOUT_S = 600.0
_SESSION_TIMEOUT_S = 60.0
# A transfer that failed for a reason that the package manager did not give.
_WITHOUT_REASON = frozenset({"lost", "unknown", "pm_exception"})
_LOW_TARGET_FAILURE = "INSTALL_FAILED_DEPRECATED_SDK_VERSION"
_FIRST_WITH_BYPASS = 34


def send_app(
    tv: Tv,
    plan: InstallPlan,
    *,
    progress: Progress,
    before_commit: Callable[[], None] | None = None,
) -> None:
    """Send the parts of a plan and let the package manager put them in place at once.

    Args:
        tv: The TV.
        plan: What to send.
        progress: Counts the bytes sent.
        before_commit: Called when all bytes are on the TV.

    Raises:
        LabkitError: The TV refused; the code is the package manager's.
        UnreachableError: The TV went away.
    """
    try:
        _run_session(tv, plan, progress, before_commit)
    except LabkitError as error:
        if error.code != _LOW_TARGET_FAILURE or BYPASS in plan.flags:
            raise
        if (tv.sdk or 0) < _FIRST_WITH_BYPASS:
            raise
        progress.message(
            f"{tv.name} blocks apps for old Android versions; asking it to let it pass"
        )
        _run_session(tv, replace(plan, flags=(*plan.flags, BYPASS)), progress, None)


def _run_session(
    tv: Tv, plan: InstallPlan, progress: Progress, before_commit: Callable[[], None] | None
) -> None:
    session = _create(tv, plan)
    try:
        with progress.task(f"{plan.package} to {tv.name}", total=plan.size_bytes) as task:
            sent = 0
            for planned in plan.parts:
                _write(tv, session, planned, task, sent)
                sent += planned.part.apk.size_bytes
        progress.message(f"{tv.name} installs {plan.package}")
        # From here on nothing listens to the user any more: the app that goes is replaced at once.
        if before_commit is not None:
            before_commit()
    except BaseException as error:
        _abandon(tv, session)
        if isinstance(error, UnreachableError):
            error.hint = "nothing was installed; connect again and repeat it"
        raise
    _commit(tv, session, plan)


def _create(tv: Tv, plan: InstallPlan) -> str:
    result = tv.package_manager(
        "install-create", *plan.flags, "-S", str(plan.size_bytes), timeout_s=_SESSION_TIMEOUT_S
    )
    match = re.search(r"^Success: created install session \[(\d+)\]", result.stdout, re.MULTILINE)
    if match is None:
        require_success(tv, result.text, "install")
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
                _feed_shell(tv, line, counted(source, task)), operation="install"
            )
        if outcome.ok:
            return
        if outcome.code not in _WITHOUT_REASON:
            raise outcome.error(tv.name)
        task.reach(sent)
    with planned.part.span.open() as source:
        text = _feed_exec(tv, line, counted(source, task))
    require_success(tv, text, "install")


def counted(source: BinaryIO, task: Task) -> Iterator[bytes]:
    """Iterate over the pieces of a file, and count them as they go."""
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
        require_success(tv, result.text, "install")
    except UnreachableError as error:
        # The answer got lost, not necessarily the work.
        if tv.reconnect() and _has_version(tv, plan):
            return
        _abandon(tv, session)
        error.hint = "the last step had begun: `labkit tv apps` tells whether it is installed"
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


def require_success(tv: Tv, text: str, operation: Operation) -> None:
    """Raise the error that a package manager's answer stands for, unless it is a success."""
    failure = failure_in(text, operation, tv.name)
    if failure is not None:
        raise failure
