"""The reference of all commands, as Markdown: `python -m labkit.cli.reference > docs/cli.md`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from labkit.cli.frame import Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer._click.core import Command, Context

__all__ = ["command_contexts", "reference"]

_HEAD = """\
# Commands

Every command has `--json` (see [output.md](output.md)) and `--color`, and ends with one of the
[exit codes](exit-codes.md).
"""


def command_contexts(command: Command, context: Context) -> Iterator[tuple[Command, Context]]:
    """Yield `command` and every command below it, each with the context its help needs."""
    yield command, context
    if isinstance(command, Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from command_contexts(
                    child, typer.Context(child, parent=context, info_name=name)
                )


def reference() -> str:
    """Write the reference of all commands."""
    from labkit.cli.app import root_command

    root = root_command()
    # A fixed width, so that the page is the same wherever it is written.
    start = typer.Context(root, info_name="labkit", terminal_width=90, **root.context_settings)
    return _HEAD + "".join(
        f"\n## {context.command_path}\n\n```text\n{_help(command, context)}\n```\n"
        for command, context in command_contexts(root, start)
    )


def _help(command: Command, context: Context) -> str:
    from labkit.cli.output import without_color

    page = without_color(command.get_help(context))
    return "\n".join(line.rstrip() for line in page.splitlines())


if __name__ == "__main__":
    sys.stdout.write(reference())
