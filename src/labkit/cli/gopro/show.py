"""What `labkit gopro` shows: the results of its core as JSON data and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cli.frame import Result
from labkit.cli.gopro.folding import fold_errors, fold_lines
from labkit.cli.output import Output, Row, format_bytes
from labkit.errors import ExitCode, LabkitError, PartialError, RefusedError

if TYPE_CHECKING:
    from labkit.gopro import Camera, Plan, PlannedFile, PullResult
    from labkit.gopro.audit import Audit
    from labkit.gopro.fake import FakeCamera
    from labkit.gopro.overview import ClipSummary, Overview
    from labkit.gopro.state import CameraState

__all__ = [
    "audited",
    "clock_set",
    "clocked",
    "described",
    "drift_text",
    "faked",
    "faults",
    "listed",
    "planned",
    "pulled",
]

_MOST_REFUSALS = 20
# Clocks show whole seconds, and a slow answer may cost some more.
_SET_WITHIN_S = 5
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def planned(plan: Plan) -> Result:
    """Show what a pull would do."""
    data = {
        "plan": [Row(one, _planned_file) for one in plan.files],
        "to_pull_bytes": plan.bytes_expected,
        "refused": list(plan.refused),
        "warnings": list(plan.warnings),
    }

    def text(output: Output) -> None:
        rows = (
            (one.path, _when(one.taken_at), _size(one.file.size), str(one.action))
            for one in plan.files
            if one.action != "have"
        )
        here = sum(one.action == "have" for one in plan.files)
        if here < len(plan.files):
            output.table(("path", "taken", "size", "what"), rows)
        output.line(
            f"{_count(len(plan.to_do), 'file')} to pull, {format_bytes(plan.bytes_expected)}"
            f"{_unsized(plan)}; {here} here already"
        )
        _warn(output, [*plan.warnings, *_known_refusals(plan)])

    return Result(data, text, _code(incomplete=bool(plan.newly_refused)), _refusals(plan))


def _unsized(plan: Plan) -> str:
    """Say how many files come on top, whose sizes the camera's list does not tell."""
    number = len(plan.unsized)
    return f" and {_count(number, 'file')} of unknown size" if number else ""


def _planned_file(one: PlannedFile) -> dict[str, object]:
    return {
        "folder": one.file.folder,
        "name": one.file.name,
        "path": one.path,
        "size_bytes": one.file.size,
        "taken_at": one.taken_at,
        "kind": one.media.kind,
        "clip": one.clip,
        "chapter": one.media.chapter,
        "have": one.action == "have",
        "action": one.action,
    }


def pulled(result: PullResult, destination: Path) -> Result:
    """Show what a pull did."""
    failed = [
        {
            "folder": failure.folder,
            "name": failure.name,
            "code": failure.error.code,
            "message": failure.error.message,
        }
        for failure in result.failed
    ]
    data = {
        "planned": len(result.plan.files),
        "downloaded": len(result.downloaded),
        "skipped": len(result.skipped),
        "gone": len(result.gone),
        "postponed": len(result.postponed),
        "not_tried": len(result.not_tried),
        "left_out": len(result.left_out),
        "empty": len(result.empty),
        "failed": failed,
        "refused": list(result.plan.refused),
        "warnings": list(result.warnings),
        "bytes": result.received_bytes,
        "elapsed_s": round(result.elapsed_s, 3),
    }

    def text(output: Output) -> None:
        rate = result.received_bytes / result.elapsed_s if result.elapsed_s > 0 else 0
        came = f"{_count(len(result.downloaded), 'file')} pulled to {destination}"
        if result.downloaded:
            came += f": {format_bytes(result.received_bytes)}, {format_bytes(rate)}/s"
        if not result.plan.files:
            came += ": the camera has nothing that these options ask for"
        output.line(came)
        for number, what in (
            (len(result.skipped), "here already"),
            (len(result.gone), "not on the camera any more"),
            (len(result.postponed), "still being written by the camera"),
            (len(result.not_tried), "not tried"),
            (len(result.left_out), "larger than wanted"),
            (len(result.empty), "empty on the camera, as before"),
            (len(result.failed), "failed"),
        ):
            if number:
                output.line(f"{number} {what}")
        _warn(output, [*result.warnings, *_known_refusals(result.plan)])

    errors = fold_errors((failure.name, failure.error) for failure in result.failed)
    if result.not_tried:
        left = _count(len(result.not_tried), "file")
        errors.append(PartialError(f"{left} not tried", hint="run it again: it goes on from here"))
    return Result(
        data, text, _code(incomplete=not result.is_complete), [*errors, *_refusals(result.plan)]
    )


def _refusals(plan: Plan) -> list[LabkitError]:
    refused = [f"refused: {line}" for line in plan.newly_refused]
    lines = refused[:_MOST_REFUSALS]
    if len(refused) > len(lines):
        lines.append(f"refused: {len(refused) - len(lines)} more; `--json` names them all")
    return [PartialError(line, code="unsafe-name") for line in lines]


def _known_refusals(plan: Plan) -> list[str]:
    """Say in one line that entries are refused which an earlier pull named one by one."""
    number = len(plan.told)
    entries = "1 entry" if number == 1 else f"{number} entries"
    return [f"{entries} of the camera's list refused for the name, as before"] if number else []


def listed(seen: Overview) -> Result:
    """Show what is on the camera."""
    data = {
        "camera": {"model": seen.model, "dialect": seen.dialect},
        "clips": [_clip(clip) for clip in seen.clips],
        "refused": list(seen.refused),
        "warnings": list(seen.warnings),
        "size_bytes": seen.size_bytes,
        "to_pull_bytes": seen.to_pull_bytes,
        "speed_bytes_per_s": None if seen.speed is None else round(seen.speed),
        "pull_s": None if seen.pull_s is None else round(seen.pull_s, 3),
    }

    def text(output: Output) -> None:
        columns = ("clip", "kind", "taken", "length", "files", "size", "with", "here")
        rows = [
            (
                f"{clip.folder}/{clip.clip}",
                str(clip.kind),
                _when(clip.taken_at),
                _length(clip.duration_s),
                str(len(clip.files)),
                _size(clip.size_bytes),
                " ".join(clip.companions),
                clip.here,
            )
            for clip in seen.clips
        ]
        if rows:
            output.table(columns, rows)
        total = f"{_count(len(seen.clips), 'recording')}, {format_bytes(seen.size_bytes)}"
        if seen.pull_s is not None and seen.speed is not None:
            total += (
                f"; a pull of the missing {format_bytes(seen.to_pull_bytes)} would take about "
                f"{_length(seen.pull_s)} at {format_bytes(seen.speed)}/s"
            )
        output.line(total)
        _warn(output, [*seen.warnings, *(f"refused: {line}" for line in seen.refused)])

    return Result(data, text)


def _clip(clip: ClipSummary) -> dict[str, object]:
    return {
        "clip": clip.clip,
        "kind": clip.kind,
        "folder": clip.folder,
        "taken_at": clip.taken_at,
        "size_bytes": clip.size_bytes,
        "duration_s": clip.duration_s,
        "chapters": clip.chapters,
        "here": clip.here,
        "files": [
            {"name": file.name, "size_bytes": file.size, "group": file.group} for file in clip.files
        ],
    }


def audited(audit: Audit) -> Result:
    """Show what a verification found."""
    data = {
        "checked": audit.checked,
        "compared": audit.compared,
        "bad": [{"path": one.path, "reason": one.reason} for one in audit.bad],
        "unfinished": list(audit.unfinished),
        "missing": list(audit.missing),
        "refused": list(audit.refused),
        "again": list(audit.again),
    }

    def text(output: Output) -> None:
        for one in audit.bad:
            output.line(f"{output.style('bad', 'bad')}  {one.path}: {one.reason}")
        for name in audit.missing:
            output.line(f"{output.style('missing', 'bad')}  {name}")
        for line in audit.refused:
            output.line(f"{output.style('refused', 'bad')}  {line}")
        compared = f", {audit.compared} compared with the camera" if audit.compared else ""
        faults = [
            f"{len(paths)} {what}"
            for paths, what in (
                (audit.bad, "bad"),
                (audit.missing, "missing"),
                (audit.refused, "refused for their names"),
            )
            if paths
        ]
        verdict = ", ".join(faults) or ("all good" if audit.checked else "nothing to check here")
        output.line(f"{_count(audit.checked, 'file')} checked{compared}: {verdict}")
        if audit.again:
            count = _count(len(audit.again), "bad file")
            output.line(f"the next pull brings {count} again, beside what is here")
        if audit.unfinished:
            output.line(f"{_count(len(audit.unfinished), 'unfinished part')}; a pull goes on there")

    return Result(data, text, ExitCode.OK if audit.is_good else ExitCode.NO)


def described(camera: Camera, state: CameraState | None, drift_s: float | None) -> Result:
    """Show which camera answers and how it is."""
    info = camera.info
    facts = {
        "battery_percent": None if state is None else state.battery_percent,
        "recording": None if state is None else state.recording,
        "busy": None if state is None else state.busy,
        "overheating": None if state is None else state.overheating,
        "card": None if state is None else state.card,
        "free_bytes": None if state is None else state.free_bytes,
        "photos": None if state is None else state.photos,
        "videos": None if state is None else state.videos,
        "turbo": None if state is None else state.turbo,
        "clock_drift_s": None if drift_s is None else round(drift_s, 1),
    }
    data = {
        "camera": {
            "address": str(camera.address),
            "model": info.model,
            "firmware": info.firmware,
            "serial": info.serial,
        },
        "dialect": camera.dialect.name,
        "state": facts,
    }
    shown = {
        "camera": info.model or "a camera that does not tell its model",
        "address": str(camera.address),
        "dialect": camera.dialect.name,
        "firmware": info.firmware,
        "serial": info.serial,
        "battery": None if state is None else _or_none(state.battery_percent, "{} %"),
        "doing": _doing(state),
        "card": _card(state),
        "clock": None if drift_s is None else drift_text(drift_s),
    }
    pairs = {name: value for name, value in shown.items() if value is not None}
    return Result(data, lambda output: output.fields(pairs))


def _doing(state: CameraState | None) -> str | None:
    if state is None:
        return None
    words = [
        word
        for word, flag in (
            ("recording", state.recording),
            ("busy", state.busy),
            ("too hot", state.overheating),
            ("turbo transfer on", state.turbo),
        )
        if flag
    ]
    return ", ".join(words) or "ready"


def _card(state: CameraState | None) -> str | None:
    if state is None or state.card is None:
        return None
    parts = [state.card]
    if state.free_bytes is not None:
        parts.append(f"{format_bytes(state.free_bytes)} free")
    if state.videos is not None and state.photos is not None:
        parts.append(f"{state.videos} videos, {state.photos} photos")
    return ", ".join(parts)


def clock_set(wall: datetime, left_s: float) -> Result:
    """Show whether the camera took the time that it was given."""
    if abs(left_s) < _SET_WITHIN_S:
        return clocked(wall, left_s, was_set=True)
    error = RefusedError(
        f"the camera did not take the time: its clock is still {drift_text(left_s)}",
        hint="set it in the camera's menu",
        code="clock-not-set",
    )
    shown = clocked(wall, left_s, was_set=False)
    return Result(shown.data, shown.text, ExitCode.REFUSED, (error,))


def clocked(wall: datetime, drift_s: float, *, was_set: bool, declined: bool = False) -> Result:
    """Show the camera's clock."""
    data = {"camera_time": wall, "drift_s": round(drift_s, 1), "set": was_set}

    def text(output: Output) -> None:
        done = "set; " if was_set else "not set; " if declined else ""
        output.line(
            f"{done}the camera's clock says {wall:%Y-%m-%d %H:%M:%S}: {drift_text(drift_s)}"
        )

    return Result(data, text)


def faults(table: Mapping[str, str]) -> Result:
    """Show the faults that the fake camera can have."""
    data = {"faults": [{"fault": name, "meaning": text} for name, text in table.items()]}
    return Result(data, lambda output: output.table(("fault", "what happens"), list(table.items())))


def faked(camera: FakeCamera) -> Result:
    """Show what the fake camera was asked."""
    data = {"address": str(camera.address), "requests": len(camera.requests)}
    return Result(
        data, lambda output: output.line(f"answered {_count(len(camera.requests), 'request')}")
    )


def drift_text(drift_s: float) -> str:
    """Say how far the camera's clock is off."""
    amount = abs(drift_s)
    if amount < 2:  # noqa: PLR2004 - clocks show whole seconds
        return "right"
    direction = "ahead" if drift_s > 0 else "behind"
    for unit_s, name in ((_DAY_S, "days"), (_HOUR_S, "hours"), (_MINUTE_S, "minutes")):
        if amount >= 2 * unit_s:
            return f"{amount / unit_s:.1f} {name} {direction}"
    return f"{amount:.0f} seconds {direction}"


def _warn(output: Output, warnings: Sequence[str]) -> None:
    for warning in fold_lines(warnings):
        output.warning(warning)


def _code(*, incomplete: bool) -> ExitCode:
    return ExitCode.PARTIAL if incomplete else ExitCode.OK


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _when(wall: datetime | None) -> str:
    return "unknown" if wall is None else f"{wall:%Y-%m-%d %H:%M}"


def _size(size: int | None) -> str:
    return "?" if size is None else format_bytes(size)


def _length(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _or_none(value: int | None, form: str) -> str | None:
    return None if value is None else form.format(value)
