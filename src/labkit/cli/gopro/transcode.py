"""`labkit gopro transcode`: HEVC to H.264 with everything the camera wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labkit.cli.frame import Result, current_output
from labkit.cli.gopro.folding import fold_errors
from labkit.cli.gopro.tool import gopro
from labkit.cli.options import DryRun, Yes
from labkit.cli.output import Output, format_bytes
from labkit.errors import ExitCode, PartialError

if TYPE_CHECKING:
    from labkit.gopro.transcode import Converted, Failed, Job, Skipped, TranscodePlan


@gopro.command(
    "labkit gopro transcode GX010078.MP4",
    "labkit gopro transcode ~/Videos/gopro --encoder auto --max-height 2160",
)
def transcode(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Clips, or folders to search for them."),
    ],
    encoder: Annotated[
        Literal["auto", "x264", "nvenc", "vaapi", "qsv"],
        typer.Option(help="x264 is software; auto tries the graphics card first."),
    ] = "x264",
    crf: Annotated[
        int,
        typer.Option(metavar="0..51", min=0, max=51, help="Quality: lower is better, larger."),
    ] = 20,
    max_height: Annotated[
        int | None,
        typer.Option(metavar="LINES", min=16, help="Scale higher pictures down to this."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put each conversion in its original's place.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Result:
    """Convert HEVC clips to H.264, telemetry kept.

    Every player and browser shows H.264. The conversion of GX010078.MP4 lies beside it as
    GX010078-h264.MP4. It keeps every frame, the sound, the telemetry (GPS), HiLights, the creation
    time and the place, in 8 bits, and is compared with its original before it gets its name. Clips
    in H.264 are skipped, and so are those that are converted already, with whatever options: run
    it again after an interruption.
    """
    from labkit.gopro.encoders import EncoderChoice
    from labkit.gopro.transcode import plan_transcode
    from labkit.gopro.transcode import transcode as run

    plan = plan_transcode(paths, replace=replace, max_height=max_height)
    if dry_run:
        return _planned(plan)
    output = current_output()
    if replace and plan.jobs and not _confirmed(output, plan.jobs, yes=yes):
        return Result(
            _data((), plan.skipped, plan.failed),
            lambda out: out.line("nothing was changed"),
            exit_code=_exit_code(plan.failed),
            errors=_errors(plan.failed),
        )
    result = run(
        plan,
        encoder=EncoderChoice(encoder),
        crf=crf,
        max_height=max_height,
        progress=output.progress,
    )
    return Result(
        _data(result.converted, result.skipped, result.failed),
        lambda out: _show(out, result.converted, result.skipped),
        exit_code=_exit_code(result.failed),
        errors=_errors(result.failed),
    )


def _confirmed(output: Output, jobs: Sequence[Job], *, yes: bool) -> bool:
    for job in jobs:
        output.message(f"will be replaced: {job.source} ({format_bytes(job.size_bytes)})")
    clips = "1 original" if len(jobs) == 1 else f"{len(jobs)} originals"
    return output.confirm(f"Replace {clips}? The HEVC version is then gone.", yes=yes)


def _planned(plan: TranscodePlan) -> Result:
    data = {
        "plan": [
            {
                "path": job.source,
                "output": job.target,
                "replaces": job.replaces,
                "size_bytes": job.size_bytes,
                "duration_s": round(job.movie.duration_s, 3),
            }
            for job in plan.jobs
        ],
        **_data((), plan.skipped, plan.failed),
    }

    def show(output: Output) -> None:
        rows = [
            (
                str(job.source),
                "replaced" if job.replaces else job.target.name,
                f"{job.movie.duration_s:.1f} s",
                format_bytes(job.size_bytes),
            )
            for job in plan.jobs
        ]
        if rows:
            output.table(("clip", "becomes", "length", "size"), rows)
        _show_skipped(output, plan.skipped)
        output.line(f"{_clips(len(rows))} to convert")

    return Result(data, show, exit_code=_exit_code(plan.failed), errors=_errors(plan.failed))


def _data(
    converted: Sequence[Converted], skipped: Sequence[Skipped], failed: Sequence[Failed]
) -> Mapping[str, object]:
    return {
        "converted": [
            {
                "path": done.job.source,
                "output": done.job.target,
                "encoder": done.encoder,
                "duration_s": round(done.job.movie.duration_s, 3),
                "size_before_bytes": done.job.size_bytes,
                "size_bytes": done.size_bytes,
            }
            for done in converted
        ],
        "skipped": [{"path": skip.path, "reason": skip.reason} for skip in skipped],
        "failed": [
            {"path": bad.path, "code": bad.error.code, "message": bad.error.message}
            for bad in failed
        ],
    }


def _show(output: Output, converted: Sequence[Converted], skipped: Sequence[Skipped]) -> None:
    rows = [
        (
            str(done.job.target),
            done.encoder.value,
            f"{done.job.movie.duration_s:.1f} s",
            format_bytes(done.job.size_bytes),
            format_bytes(done.size_bytes),
        )
        for done in converted
    ]
    if rows:
        output.table(("clip", "encoder", "length", "before", "after"), rows)
    _show_skipped(output, skipped)
    output.line(f"{_clips(len(rows))} converted, {len(skipped)} skipped")


def _show_skipped(output: Output, skipped: Sequence[Skipped]) -> None:
    for skip in skipped:
        output.line(output.style(f"skipped {skip.path.name}: {skip.reason}", "dim"))


def _clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count} clips"


def _exit_code(failed: Sequence[Failed]) -> ExitCode:
    return ExitCode.PARTIAL if failed else ExitCode.OK


def _errors(failed: Sequence[Failed]) -> list[PartialError]:
    return fold_errors((str(bad.path), _with_path(bad)) for bad in failed)


def _with_path(bad: Failed) -> PartialError:
    message = f"{bad.path}: {bad.error.message}"
    return PartialError(message, hint=bad.error.hint, code=bad.error.code)
