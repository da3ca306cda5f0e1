"""The syntax tree of a script, as far as the tests ask it: functions, commands, variables."""

from __future__ import annotations

from dataclasses import dataclass

import tree_sitter_powershell
from tree_sitter import Language, Parser

PARSER = Parser(Language(tree_sitter_powershell.language()))


@dataclass(frozen=True)
class Command:
    """One call: its name, its parameters, the names it is splatted, what it gives by position."""

    name: str
    parameters: tuple[str, ...]
    splatted: tuple[str, ...]
    positional: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Function:
    """A function: its name, its parameters, its node."""

    name: str
    parameters: frozenset[str]
    switches: frozenset[str]
    node: object


def parse(text):
    """The root node of a script."""
    return PARSER.parse(text.encode("ascii")).root_node


def walk(node, *types, into=None):
    """Every node of these types below, in the order of the text; not below `into`."""
    for child in node.children:
        if child.type in types:
            yield child
        if child.type != into:
            yield from walk(child, *types, into=into)


def text_of(node):
    """The text of a node."""
    return node.text.decode("ascii")


def functions(root):
    """The functions of a script, by name."""
    found = {}
    for node in walk(root, "function_statement"):
        name = text_of(next(walk(node, "function_name")))
        parameters, switches = parameters_of(node)
        found[name] = Function(name, parameters, switches, node)
    return found


def parameters_of(node):
    """The parameters of a function or script block, and which of them are switches."""
    block = next(walk(node, "param_block", into="script_block_expression"), None)
    names, switches = set(), set()
    for parameter in walk(block, "script_parameter") if block else ():
        name = text_of(next(child for child in parameter.children if child.type == "variable"))[1:]
        names.add(name)
        if "[switch]" in text_of(parameter):
            switches.add(name)
    return frozenset(names), frozenset(switches)


def commands(root, switches=()):
    """Every call by name below a node; `switches` are the parameters that take no value."""
    for node in walk(root, "command"):
        name = next((c for c in node.children if c.type == "command_name"), None)
        if name is None:
            continue
        elements = next((c for c in node.children if c.type == "command_elements"), None)
        yield _command(text_of(name), elements, node.start_point[0] + 1, switches)


def _command(name, elements, line, switches):
    parameters, splatted, positional = [], [], []
    awaits = False
    for element in elements.children if elements else ():
        if element.type == "command_parameter":
            parameters.append(text_of(element)[1:])
            awaits = parameters[-1] not in switches
        elif element.type != "command_argument_sep":
            if text_of(element).startswith("@") and not text_of(element).startswith(("@(", "@{")):
                splatted.append(text_of(element)[1:])
            elif not awaits and not (parameters and parameters[-1] in switches):
                positional.append(text_of(element))
            awaits = False
    return Command(name, tuple(parameters), tuple(splatted), tuple(positional), line)
