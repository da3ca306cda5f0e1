"""The import rule: cli.<tool> -> <tool> -> shared modules -> errors, and no other way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import labkit

SOURCE = Path(labkit.__file__).parent
TOOLS = ("drops", "gopro", "tv", "boot", "gpupv")
SHARED = {path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")}
MODULES = [
    pytest.param(path, id=str(path.relative_to(SOURCE))) for path in sorted(SOURCE.rglob("*.py"))
]
CORES = [param for param in MODULES if param.values[0].relative_to(SOURCE).parts[0] in TOOLS]


def imports(path):
    """Every module that `path` imports anywhere, dotted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def labkit_imports(path):
    """The first part below labkit of every own module that `path` imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("labkit.")}


@pytest.mark.parametrize("path", CORES)
def test_core_imports_no_other_tool_and_no_command_layer(path):
    """A tool's core imports itself and the shared modules only."""
    own = path.relative_to(SOURCE).parts[0]

    assert labkit_imports(path) <= {own, *SHARED, "__version__"}


@pytest.mark.parametrize("path", MODULES)
def test_shared_modules_stand_below(path):
    """A shared module imports no tool and no command layer."""
    if path.parent == SOURCE and path.stem in SHARED:
        assert labkit_imports(path) <= {*SHARED, "__version__"}


@pytest.mark.parametrize("path", MODULES)
def test_command_module_uses_one_tool(path):
    """A command module imports one tool's core at the most."""
    if "cli" in path.relative_to(SOURCE).parts:
        assert len(labkit_imports(path) & set(TOOLS)) <= 1


@pytest.mark.parametrize("path", MODULES)
def test_only_output_imports_rich(path):
    """Rich is touched by labkit.cli.output alone."""
    if path.name != "output.py":
        assert not any(name.split(".")[0] == "rich" for name in imports(path))


@pytest.mark.parametrize("path", CORES)
def test_core_does_not_print_exit_or_look_around(path):
    """A core does not print, exit or read the environment, and knows no typer."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}

    assert not {"print", "input", "exit", "quit", "sys.exit"} & calls
    assert not {"os.environ", "sys.argv", "sys.stdout", "sys.stderr"} & names
    assert not any(name.split(".")[0] == "typer" for name in imports(path))
