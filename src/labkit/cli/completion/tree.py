"""The command tree as the completion scripts need it: names, options, values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import typer

from labkit.cli.frame import Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer._click.core import Command, Context, Parameter

__all__ = ["Node", "Value", "ValueOption", "read_tree"]


@dataclass(frozen=True)
class Value:
    """What can be typed for an argument or after an option.

    Attributes:
        name: What the help calls it.
        kind: `choice` from `choices`, a `file` (or folder), a `folder`, or any `text`.
        choices: The words to choose from.
    """

    name: str
    kind: Literal["choice", "file", "folder", "text"]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValueOption:
    """An option: its spellings, its line of help, and the value it takes, if any."""

    names: tuple[str, ...]
    help: str
    value: Value | None
    repeatable: bool


@dataclass(frozen=True)
class Node:
    """A command or a group of commands.

    Attributes:
        path: The words that lead here, without the program's name.
        help: One line.
        options: Its options; a group with a default command has that command's as well.
        arguments: What its positions take, likewise.
        variadic: Whether the last argument may be repeated.
        nodes: The commands below.
        default: The name of the command that runs where none is named.
    """

    path: tuple[str, ...]
    help: str
    options: tuple[ValueOption, ...]
    arguments: tuple[Value, ...]
    variadic: bool
    nodes: tuple[Node, ...]
    default: str | None = None

    @property
    def name(self) -> str:
        """The last word of the path."""
        return self.path[-1] if self.path else "labkit"

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, parents first."""
        yield self
        for node in self.nodes:
            yield from node.walk()


def read_tree(command: Command) -> Node:
    """Read the whole tree below `command`, which imports every tool."""
    return _read(command, typer.Context(command, info_name="labkit"), ())


def _read(command: Command, context: Context, path: tuple[str, ...]) -> Node:
    params = [param for param in command.get_params(context) if not getattr(param, "hidden", False)]
    arguments = [param for param in params if param.param_type_name == "argument"]
    node = Node(
        path=path,
        help=command.get_short_help_str(limit=100),
        options=tuple(_option(param) for param in params if param.param_type_name == "option"),
        arguments=tuple(_value(param) for param in arguments),
        variadic=bool(arguments) and arguments[-1].nargs != 1,
        nodes=tuple(_children(command, context, path)),
    )
    if isinstance(command, Group) and command.default:
        return _with_default(node, command.default)
    return node


def _children(command: Command, context: Context, path: tuple[str, ...]) -> Iterator[Node]:
    if not isinstance(command, Group):
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None and not child.hidden:
            inner = typer.Context(child, parent=context, info_name=name)
            yield _read(child, inner, (*path, name))


def _with_default(group: Node, name: str) -> Node:
    default = next(node for node in group.nodes if node.name == name)
    known = {option.names for option in group.options}
    return Node(
        path=group.path,
        help=group.help,
        options=group.options + tuple(o for o in default.options if o.names not in known),
        arguments=default.arguments,
        variadic=default.variadic,
        nodes=group.nodes,
        default=name,
    )


def _option(param: Parameter) -> ValueOption:
    flag = getattr(param, "is_flag", False) or getattr(param, "count", False)
    return ValueOption(
        # Typer keeps the spellings of --help in a set, in no order.
        names=tuple(sorted((*param.opts, *param.secondary_opts), key=_dashes)),
        help=_first_sentence(getattr(param, "help", None) or ""),
        value=None if flag else _value(param),
        repeatable=param.multiple,
    )


def _value(param: Parameter) -> Value:
    name = (param.metavar or param.name or "value").strip(".")
    choices = getattr(param.type, "choices", None)
    if choices:
        words = tuple(str(getattr(choice, "value", choice)) for choice in choices)
        return Value(name, "choice", words)
    if param.type.name in {"path", "file", "directory", "filename"}:
        return Value(name, "file" if getattr(param.type, "file_okay", True) else "folder")
    return Value(name, "text")


def _dashes(name: str) -> int:
    return len(name) - len(name.lstrip("-"))


def _first_sentence(text: str) -> str:
    return text.split(". ", maxsplit=1)[0].rstrip(".").replace("\n", " ")
