"""The frame that every command stands in: help, `--json`, errors and exit codes.

A command is a function that parses its arguments, makes one library call and returns a
`Result`. Everything else that commands have in common happens here, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.main import (
    get_command,
    get_command_from_info,
    get_command_name,
    get_params_convertors_ctx_param_name_from_function,
)

from labkit.cli.output import ClosedPipeError, ColorMode, Output, current_output
from labkit.errors import BugError, ExitCode, LabkitError

if TYPE_CHECKING:
    from typer._click.core import Command as ClickCommand
    from typer._click.core import Context, Parameter
    from typer._click.formatting import HelpFormatter

__all__ = ["Command", "Group", "Result", "Tool", "current_output"]

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass(frozen=True)
class Result:
    """What a command found or did, before anything is shown.

    Attributes:
        data: The `data` of the JSON document: snake_case keys, units in the names.
        text: Writes the same for a person.
        exit_code: How the process ends.
        errors: What failed while the rest went on; shown beside the result.
    """

    data: Mapping[str, object]
    text: Callable[[Output], None]
    exit_code: ExitCode = ExitCode.OK
    errors: Sequence[LabkitError] = field(default=())


def _every_command(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    color: Annotated[ColorMode, typer.Option(help="When to use colours.")] = "auto",
) -> None:
    """Declare the options that every command has."""


@cache
def _frame_params() -> tuple[Parameter, ...]:
    params, _, _ = get_params_convertors_ctx_param_name_from_function(_every_command)
    return tuple(params)


class Command(TyperCommand):
    """A command that renders the `Result` of its function, or its error, in one place."""

    def __init__(self, name: str | None, *, params: list[Parameter] | None = None, **attrs: Any):  # noqa: ANN401 - Typer's own settings
        super().__init__(name, params=[*(params or ()), *_frame_params()], **attrs)
        for param in self.params:
            if isinstance(param, TyperArgument) and param.metavar is None:
                param.metavar = f"{param.name}".upper() + ("..." if param.nargs != 1 else "")

    def invoke(self, ctx: Context) -> ExitCode:
        """Run the command and show what it returns."""
        output = current_output()
        output.json = ctx.params.pop("json")
        del ctx.params["color"]  # heeded before parsing, see labkit.cli.app
        schema = f"{ctx.command_path.replace(' ', '.')}/1"
        try:
            result = _run(lambda: super(Command, self).invoke(ctx))
        except LabkitError as error:
            if output.json:
                output.document(schema, error.exit_code, None, [error])
            raise
        except KeyboardInterrupt:
            if output.json:
                stopped = LabkitError("stopped by Ctrl-C", code="interrupted")
                output.document(schema, ExitCode.INTERRUPTED, None, [stopped])
            raise
        if output.json:
            output.document(schema, result.exit_code, result.data, result.errors)
        else:
            result.text(output)
        for failure in result.errors:
            output.error(failure)
        return result.exit_code

    def get_help(self, ctx: Context) -> str:
        """Write the help page, with its headings and literals painted."""
        return paint_help(super().get_help(ctx))

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """Write a required argument as RATE, not as Typer's {RATE}."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - Typer's signature
        """Write the examples, a line each."""
        if self.epilog:
            examples = self.epilog.splitlines()
            with formatter.section("Example" if len(examples) == 1 else "Examples"):
                formatter.write("".join(f"  {example}\n" for example in examples))


def _run(call: Callable[[], Result]) -> Result:
    """Call a command's function; what it did not foresee becomes a `BugError`."""
    try:
        return call()
    except (LabkitError, ClosedPipeError, typer.Exit, typer.Abort, typer.TyperException):
        raise
    except Exception as error:
        raise BugError(
            f"labkit stumbled: {type(error).__name__}: {error}",
            hint="this is a fault of labkit; run it with LABKIT_DEBUG=1 to see the traceback",
        ) from error


class Group(TyperGroup):
    """A group of commands, perhaps with one that runs when none is named."""

    default: str | None = None
    default_when: re.Pattern[str] | None = None

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Show the help where nothing was asked, and put the default command in."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True, color=ctx.color)
            raise typer.Exit(ExitCode.USAGE)
        if self.default and self._means_default(ctx, args[0] if args else ""):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, ClickCommand | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if self.get_command(ctx, args[0]) is None:
            raise unknown_command(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: Context) -> str:
        """Write the help page, with its headings and literals painted."""
        return paint_help(super().get_help(ctx))

    def _means_default(self, ctx: Context, first: str) -> bool:
        if first.startswith("-"):
            return first not in ctx.help_option_names
        return bool(self.default_when and self.default_when.match(first))


class LazyGroup(Group):
    """A group that knows its commands by a static table, and imports one when it is asked for."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Name -> the module that brings the command, and its line of help; in the order of help."""

    def load(self, name: str) -> ClickCommand:
        """Import the command `name`, which is in the table."""
        raise NotImplementedError

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - Typer's signature
        """Return the names in the table's order."""
        return list(self.table)

    def get_command(self, ctx: Context, cmd_name: str) -> ClickCommand | None:  # noqa: ARG002 - Typer's signature
        """Return the command `cmd_name`; None where there is no such command."""
        if cmd_name not in self.table:
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = self.load(cmd_name)
        return self.commands[cmd_name]

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - Typer's signature
        """Write the lines of help from the table, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


def unknown_command(ctx: Context, name: str, known: Sequence[str]) -> LabkitError:
    """Make the error for a mistyped command, with the likely one."""
    from labkit.errors import UsageError

    close = get_close_matches(name, known)
    hint = f"did you mean `{ctx.command_path} {close[0]}`?" if close else None
    return UsageError(
        f"`{ctx.command_path}` has no command `{name}`",
        hint=hint or f"see `{ctx.command_path} --help`",
        code="no-such-command",
    )


_F = TypeVar("_F", bound=Callable[..., Result])


class Tool:
    """A tool of labkit, or a group inside one: a name, a line of help, and its commands.

    Args:
        name: What the user types.
        help: One line; for a tool it is the same as its row in `labkit.cli.app`.
        default: The command that runs when none is named.
        default_when: A regular expression that the first argument must match for that.
        table: Where the tool has many commands: name -> the module that registers the command,
            and its line of help. A module is then imported when its command is asked for.
    """

    def __init__(
        self,
        name: str,
        help: str,
        *,
        default: str | None = None,
        default_when: str | None = None,
        table: Mapping[str, tuple[str, str]] | None = None,
    ):
        settings: dict[str, object] = {
            "default": default,
            "default_when": default_when and re.compile(default_when),
        }
        if table is not None:
            settings |= {"table": table, "load": lambda _, command: self._load(table, command)}
        base = Group if table is None else LazyGroup
        group = type(f"{name.title()}Group", (base,), settings)
        self.app = typer.Typer(
            name=name,
            help=help,
            cls=group,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            add_completion=False,
            context_settings=CONTEXT_SETTINGS,
        )
        # A callback keeps a group a group, also while it has a single command.
        self.app.callback()(_nothing)

    def command(self, *examples: str, name: str | None = None) -> Callable[[_F], _F]:
        """Register a command with its examples, each a full command line."""
        if not examples:
            raise ValueError("a command needs an example")
        return self.app.command(name, cls=Command, epilog="\n".join(examples))

    def _load(self, table: Mapping[str, tuple[str, str]], name: str) -> ClickCommand:
        import_module(table[name][0])
        for group in self.app.registered_groups:
            if group.typer_instance and group.typer_instance.info.name == name:
                return get_command(group.typer_instance)
        info = next(
            info
            for info in self.app.registered_commands
            if info.callback and (info.name or get_command_name(info.callback.__name__)) == name
        )
        return get_command_from_info(
            info, pretty_exceptions_short=True, rich_markup_mode=self.app.rich_markup_mode
        )

    def group(self, name: str, help: str) -> Tool:
        """Add a group of commands inside this one."""
        inner = Tool(name, help)
        self.app.add_typer(inner.app)
        return inner


def _nothing() -> None:
    pass


def single_command(function: Callable[..., Result], name: str, *examples: str) -> typer.Typer:
    """Make the application of a tool that is one command without sub-commands."""
    app = typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings=CONTEXT_SETTINGS,
    )
    app.command(name, cls=Command, epilog="\n".join(examples))(function)
    return app


_HEADING = re.compile(r"^(Usage|Arguments|Options|Commands|Examples?):", re.MULTILINE)
_LITERAL = re.compile(r"^(  )(-[\w-]+(?:, -[\w-]+)*|[a-z][\w-]*(?=  ))", re.MULTILINE)
_EXAMPLE = re.compile(r"^(  )(labkit .*)$", re.MULTILINE)


def paint_help(text: str) -> str:
    """Paint a plain help page: bold headings, cyan literals; Typer strips it off a pipe."""
    text = _EXAMPLE.sub("\\1\x1b[36m\\2\x1b[0m", text)
    text = _LITERAL.sub("\\1\x1b[36m\\2\x1b[0m", text)
    return _HEADING.sub("\x1b[1;32m\\1:\x1b[0m", text)
