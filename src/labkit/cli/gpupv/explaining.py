"""`labkit gpupv explain`: the failure catalogue, and what a pasted error means."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labkit.cli.frame import Result
from labkit.cli.gpupv.files import read_text
from labkit.cli.gpupv.tool import gpupv as tool
from labkit.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from labkit.cli.output import Output
    from labkit.gpupv.failures import Failure, Recognition


@tool.command(
    "labkit gpupv explain GPV-CODE43",
    "labkit gpupv explain --text \"memory value assigned ('4077' MB) is not properly aligned\"",
    "labkit gpupv explain --list",
)
def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="A code, such as GPV-MMIO-RANGE.")
    ] = None,
    *,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", metavar="TEXT", help="An error message, pasted; - reads standard input."
        ),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Show every code.")] = False,
) -> Result:
    """Explain a failure by its code, or recognise an error message."""
    from labkit.gpupv.failures import find_failure, load_failures, recognise

    if sum((code is not None, text is not None, list_all)) != 1:
        raise UsageError(
            "explain needs one of CODE, --text and --list",
            hint="labkit gpupv explain --list shows every code",
        )
    if code is not None:
        failure = find_failure(code)
        return Result(_fields(failure), lambda out: _show(out, failure))
    if text is not None:
        found = recognise(read_text(Path("-")) if text == "-" else text)
        return _recognised(found, _file_named(text))
    failures = list(load_failures().values())
    return Result(
        {"failures": [_fields(failure) for failure in failures]},
        lambda out: out.table(("code", "what you see"), [(f.code, f.title) for f in failures]),
    )


def _file_named(text: str) -> str | None:
    """Return the name of a file that `--text` seems to mean; it takes the message itself."""
    try:
        return text if text != "-" and Path(text).is_file() else None
    except (OSError, ValueError):
        return None


def _recognised(found: tuple[Recognition, ...], file: str | None) -> Result:
    """Show what an error text means; the first match also stands at the top of the data."""
    matches: list[dict[str, Any]] = [
        {**_fields(r.failure), "numbers": dict(r.numbers), "advice": r.advice} for r in found
    ]
    if not matches:
        hint = "labkit gpupv explain --list shows what is known"
        if file:
            hint = (
                "--text takes the message itself, and this is the name of a file: "
                f"labkit gpupv explain --text - < {shlex.quote(file)}"
            )
        return Result(
            {"code": None, "cause": None, "fix": None, "matches": [], "hint": hint},
            lambda out: out.line(f"not recognised; {hint}"),
            ExitCode.NO,
        )

    def show(out: Output) -> None:
        for index, recognition in enumerate(found):
            if index:
                out.line()
            _show(out, recognition.failure, recognition)

    return Result({**matches[0], "matches": matches}, show)


def _fields(failure: Failure) -> dict[str, Any]:
    return {
        "code": failure.code,
        "severity": failure.severity,
        "title": failure.title,
        "cause": failure.cause,
        "check": failure.check,
        "fix": failure.fix,
        "source": failure.source,
    }


def _show(out: Output, failure: Failure, recognition: Recognition | None = None) -> None:
    out.line(f"{out.style(failure.code, 'heading')}: {failure.title}")
    rows = {"cause": failure.cause, "check": failure.check, "fix": failure.fix}
    if recognition and recognition.numbers:
        numbers = recognition.numbers.items()
        rows["read"] = ", ".join(f"{name} {_number(name, value)}" for name, value in numbers)
    if recognition and recognition.advice:
        rows["use"] = recognition.advice
    rows["source"] = failure.source
    out.fields(rows)


def _number(name: str, value: int) -> str:
    """Write addresses as the message does, everything else in decimals."""
    return f"0x{value:x}" if name in {"top", "limit"} else str(value)
