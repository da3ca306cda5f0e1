"""The root command: a static table of tools, each imported only when it is called."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.main import get_command

from labkit import __version__
from labkit.cli.frame import CONTEXT_SETTINGS, LazyGroup
from labkit.cli.output import (
    ClosedPipeError,
    ColorMode,
    Output,
    UnwritableOutputError,
    current_output,
    process_output,
    use_output,
)
from labkit.errors import BugError, ExitCode, LabkitError, UsageError

if TYPE_CHECKING:
    from typer._click.core import Command as ClickCommand
    from typer._click.core import Context

__all__ = ["TOOLS", "main", "root_command"]

TOOLS: dict[str, tuple[str, str]] = {
    "drops": ("labkit.cli.drops", "How likely is that drop, and how many tries does it take."),
    "gopro": ("labkit.cli.gopro", "Bring every file off a GoPro, verified and resumable."),
    "tv": ("labkit.cli.tv", "Sideload apps to Android TVs over adb."),
    "boot": ("labkit.cli.boot", "Say why a dual boot does not boot, and change its default."),
    "gpupv": ("labkit.cli.gpupv", "A GPU for the Hyper-V guest, as scripts to read first."),
    "doctor": ("labkit.cli.doctor", "Show what labkit finds on this computer."),
    "completion": ("labkit.cli.completion", "Print the completion script for a shell."),
}
"""Name -> module with an `app`, and the line of help. A row enters when its tool works."""


class Root(LazyGroup):
    """The root group: its commands are the tools."""

    table = TOOLS

    def load(self, name: str) -> ClickCommand:
        """Import the tool `name`."""
        return get_command(import_module(TOOLS[name][0]).app)


def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    color: Annotated[ColorMode, typer.Option(help="When to use colours.")] = "auto",  # noqa: ARG001 - heeded before parsing
) -> None:
    """One toolkit for the home lab."""
    if version:
        current_output().line(f"labkit {__version__}")
        raise typer.Exit


def root_command() -> ClickCommand:
    """Build the root of the command tree."""
    app = typer.Typer(
        cls=Root,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        invoke_without_command=True,
        context_settings=CONTEXT_SETTINGS,
    )
    app.callback()(_root)
    return get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run labkit and return its exit code; the one place where an error becomes text.

    Args:
        arguments: The words after `labkit`; those of this process by default.
    """
    with use_output(process_output(os.environ)) as output:
        try:
            return _dispatch(sys.argv[1:] if arguments is None else list(arguments), output)
        except (ClosedPipeError, SystemExit):
            # Typer itself ends with SystemExit where help meets a closed pipe.
            _drop_stdout()
            return ExitCode.PIPE_CLOSED
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED


def _dispatch(arguments: list[str], output: Output) -> int:
    output.color = _color_mode(arguments)
    settings: dict[str, Any] = {"color": output.wants_color}
    try:
        code = root_command().main(arguments, prog_name="labkit", standalone_mode=False, **settings)
    except LabkitError as error:
        return _failed(error, output)
    except typer.TyperException as error:
        return _failed(_usage_error(error), output)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except OSError as error:
        # Commands turn theirs into a LabkitError; what is left is Typer writing a help page.
        return _failed(UnwritableOutputError(error), output)
    return int(code or ExitCode.OK)


def _color_mode(arguments: Sequence[str]) -> ColorMode:
    """Look for `--color` before parsing: `--help` and errors of the parser heed it too."""
    mode: ColorMode = "auto"
    for word, following in pairwise((*arguments, "")):
        name, _, value = word.partition("=")
        if name == "--color" and (value or following) in get_args(ColorMode):
            mode = value or following  # type: ignore[assignment] # checked in the line above
    return mode


def _failed(error: LabkitError, output: Output) -> int:
    if isinstance(error, UnwritableOutputError):
        _drop_stdout()
    if isinstance(error, BugError) and output.env.get("LABKIT_DEBUG"):
        traceback.print_exception(error, file=output.stderr)
    output.error(error)
    return error.exit_code


def _usage_error(error: typer.TyperException) -> UsageError:
    """Say a parser's complaint in labkit's form, with the next step as the hint."""
    context: Context | None = getattr(error, "ctx", None)
    path = context.command_path if context else "labkit"
    hint = f"see `{path} --help`"
    message = error.format_message()
    if option := getattr(error, "option_name", None):
        message = error.message
        if possible := getattr(error, "possibilities", None):
            hint = f"did you mean {' or '.join(f'`{name}`' for name in possible)}?"
        elif option[1:2].isdigit():
            hint = "a number here cannot be negative"
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=hint)


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush is silent."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
