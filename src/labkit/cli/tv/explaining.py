"""`labkit tv explain`."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labkit.cli.frame import Result
from labkit.cli.output import Output, Style
from labkit.cli.tv import tv
from labkit.errors import ExitCode, InputError, UsageError

if TYPE_CHECKING:
    from labkit.tv.failures import Outcome

_MAX_LOG_BYTES = 16 << 20
_SHOWN_LINES, _SHOWN_COLUMNS = 5, 200


@tv.command(
    "labkit tv explain INSTALL_FAILED_NO_MATCHING_ABIS",
    "labkit tv explain --text install.log",
    "labkit tv explain --list",
)
def explain(
    code: Annotated[
        str | None, typer.Argument(help="A code, its short form, or its number.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="FILE", help="Read what adb printed; - for standard input."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List all codes.")] = False,
) -> Result:
    """Say what a failure means and what to do.

    Ends with 1 where the text holds nothing that labkit knows.
    """
    from labkit.tv import failures

    if sum((code is not None, text is not None, listing)) != 1:
        raise UsageError(
            "give a code, or --text, or --list",
            hint="labkit tv explain INSTALL_FAILED_NO_MATCHING_ABIS",
        )
    if listing:
        return _list_codes()
    if code is not None:
        outcome = failures.explain(code)
    else:
        outcome = failures.read_outcome(_read_log(str(text)))
    return Result(
        data=_outcome_data(outcome),
        text=lambda out: _show_outcome(out, outcome),
        # A text may hold nothing that can be explained: then the answer is no.
        exit_code=ExitCode.NO if text is not None and outcome.code == "unknown" else ExitCode.OK,
    )


def _read_log(name: str) -> str:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_MAX_LOG_BYTES)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_MAX_LOG_BYTES)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error
    # PowerShell's `>` writes UTF-16.
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    log = data.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    if not log.strip():
        raise InputError(
            f"there is no text in {'standard input' if name == '-' else name}",
            hint="save both outputs of adb: `adb install app.apk > install.log 2>&1`",
            code="empty-text",
        )
    return log


def _list_codes() -> Result:
    from labkit.tv.catalogue import CATALOGUE

    rows = [
        (entry.code, entry.failure_class, str(int(entry.exit_code)), entry.meaning)
        for entry in CATALOGUE
    ]
    return Result(
        data={
            "codes": [
                {
                    "code": entry.code,
                    "number": entry.number,
                    "class": entry.failure_class,
                    "exit_code": int(entry.exit_code),
                    "meaning": entry.meaning,
                    "hint": entry.hint,
                }
                for entry in CATALOGUE
            ]
        },
        text=lambda out: out.table(("code", "class", "exit", "meaning"), rows),
    )


def _outcome_data(outcome: Outcome) -> dict[str, Any]:
    return {
        "code": outcome.code,
        "class": outcome.failure_class,
        "meaning": outcome.meaning,
        "hint": outcome.hint,
        "exit_code": int(outcome.exit_code),
        "detail": outcome.detail,
        "known": outcome.known,
    }


def _show_outcome(out: Output, outcome: Outcome) -> None:
    if outcome.code == "unknown":
        out.line(out.style("labkit knows nothing of this text", "bad"))
        lines = outcome.detail.splitlines()
        for line in lines[:_SHOWN_LINES]:
            out.line(f"  {line[:_SHOWN_COLUMNS]}")
        if len(lines) > _SHOWN_LINES:
            out.line(f"  ... ({len(lines)} lines)")
        out.line("give all that adb printed, with the line of the command")
        return
    style: Style = "good" if outcome.ok else "bad"
    out.line(out.style(outcome.code, style))
    fields = {"meaning": outcome.meaning, "do": outcome.hint}
    if outcome.detail:
        fields["text"] = outcome.detail
    out.fields(fields | {"class": f"{outcome.failure_class} (exit code {int(outcome.exit_code)})"})
