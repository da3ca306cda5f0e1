"""What holds for every command of every tool."""

from __future__ import annotations

import re
import shlex
from importlib import import_module

import pytest
import typer

from labkit.cli.app import TOOLS, root_command
from labkit.cli.frame import Group
from labkit.cli.reference import command_contexts, reference
from labkit.errors import ExitCode

ROOT = root_command()
TREE = [
    (command, context.command_path)
    for command, context in command_contexts(ROOT, typer.Context(ROOT, info_name="labkit"))
]
COMMANDS = [pytest.param(c, path, id=path) for c, path in TREE if not isinstance(c, Group)]
EXAMPLES = [
    pytest.param(example, id=example)
    for command, _ in TREE
    if not isinstance(command, Group)
    for example in command.epilog.splitlines()
]
each_command = pytest.mark.parametrize(("command", "path"), COMMANDS)


def words(path):
    """The words of a command path, without the program's name."""
    return path.split()[1:]


@pytest.mark.parametrize("name", TOOLS)
def test_table_says_what_the_tool_says(name):
    """A row of the static table has the help line of the module that it names."""
    module, help_line = TOOLS[name]
    command = typer.main.get_command(import_module(module).app)

    assert command.help.splitlines()[0] == help_line


@each_command
def test_help(run, command, path):
    """Help begins with a sentence, explains every parameter and ends with an example."""
    result = run(*words(path), "--help")

    assert result.code == ExitCode.OK
    assert result.err == ""
    assert re.match(r"[A-Z].*\.$", command.help.splitlines()[0])
    assert all(param.help for param in command.params)
    assert re.search(r"Examples?:\n(  labkit .*\n)+\Z", result.out)
    assert run(*words(path), "-h").out == result.out


@each_command
def test_bad_option(run, command, path):
    """An unknown option ends with 2, an error line and a hint, and nothing on stdout."""
    result = run(*words(path), "--no-such-option")

    assert result.code == ExitCode.USAGE
    assert result.out == ""
    assert re.fullmatch(r"error: .+\nhint: .+\n", result.err)


@each_command
def test_json_option(command, path):
    """Every command has --json and --color."""
    names = {name for param in command.params for name in param.opts}

    assert {"--json", "--color"} <= names


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_parses(example):
    """Every example in a help page is a command line that labkit accepts."""
    name, *arguments = shlex.split(example)
    assert name == "labkit"

    parse(ROOT, "labkit", arguments, None)


def parse(command, name, arguments, parent):
    """Parse a command line down to its last command, without running anything."""
    context = command.make_context(name, arguments, parent=parent)
    if isinstance(command, Group):
        rest = [*context._protected_args, *context.args]
        inner, child, remaining = command.resolve_command(context, rest)
        parse(child, inner, remaining, context)


@each_command
def test_documented(project, command, path):
    """README or a page of docs, other than the generated one, shows the command in use."""
    pages = [project / "README.md", *(project / "docs").glob("*.md")]
    text = "\n".join(p.read_text(encoding="utf-8") for p in pages if p.name != "cli.md")

    assert re.search(rf"{re.escape(path)}\b", text)


def test_reference_is_fresh(project):
    """docs/cli.md is what the command tree says; `.ci/generate` writes it."""
    assert (project / "docs/cli.md").read_text(encoding="utf-8") == reference()
