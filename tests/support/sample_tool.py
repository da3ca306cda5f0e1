"""A tool with one command for each way a command can end."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.frame import Result, Tool, current_output
from labkit.errors import ExitCode, PartialError, RefusedError, UnreachableError

sample = Tool("sample", "A sample.", default="number", default_when=r"\d")
app = sample.app


@sample.command("labkit sample number 1/3")
def number(
    value: Annotated[str, typer.Argument(help="A number.")],
    times: Annotated[int, typer.Option(help="How often.")] = 1,
) -> Result:
    """Show a number."""
    return Result({"value": Fraction(value), "times": times}, lambda out: out.line(value))


@sample.command("labkit sample rows")
def rows() -> Result:
    """Show a table with a name that would drive the terminal."""
    cells = [("plain", "1"), ("\x1b]0;title\x07evil\tname", "22")]
    return Result({"path": Path("a")}, lambda out: out.table(("name", "size"), cells))


@sample.command("labkit sample echo hello")
def echo(text: Annotated[str, typer.Argument(help="A text.")]) -> Result:
    """Show a text in green; fail with one that begins with fail."""
    if text.startswith("fail"):
        raise UnreachableError(text)
    return Result({"text": text}, lambda out: out.line(out.style(text, "good")))


@sample.command("labkit sample unreachable")
def unreachable() -> Result:
    """Fail in a foreseen way."""
    raise UnreachableError("nobody answers", hint="switch it on", code="camera-unreachable")


@sample.command("labkit sample partial")
def partial() -> Result:
    """Do a part."""
    errors = [PartialError("one was left", hint="again", code="left")]
    return Result({"done": 1}, lambda out: out.line("done 1"), ExitCode.PARTIAL, errors)


@sample.command("labkit sample bug")
def bug() -> Result:
    """Fail in an unforeseen way."""
    raise ZeroDivisionError("by nothing")


@sample.command("labkit sample interrupt")
def interrupt() -> Result:
    """Be stopped by Ctrl-C."""
    raise KeyboardInterrupt


@sample.command("labkit sample danger --yes")
def danger(yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False) -> Result:
    """Ask before doing it."""
    if not current_output().confirm("Really?", yes=yes):
        raise RefusedError("not done")
    return Result({"done": True}, lambda out: out.line(out.style("done", "good")))


@sample.command("labkit sample work")
def work() -> Result:
    """Report progress."""
    progress = current_output().progress
    with progress.task("all", total=4, unit="items") as task:
        progress.message("half way")
        with progress.task("one", total=2) as inner:
            inner.advance(2)
        task.reach(4)
    return Result({}, lambda out: out.line("worked"))


deep = sample.group("deep", "A group in a group.")


@deep.command("labkit sample deep inside")
def inside() -> Result:
    """Show that it is inside."""
    return Result({}, lambda out: out.line("inside"))
