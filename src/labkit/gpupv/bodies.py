"""The constant text of each script: its own, and of the shared parts what it comes to call.

A body names shared parts by a line `# labkit: include NAME`. Of these only the functions that
are reached from the script stand in it, so that a person reads what can run and nothing else.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["read_body", "script_body"]

_FOLDER = Path(__file__).parent / "scripts"
_INCLUDE = re.compile(r"^# labkit: include (\w+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^function ([\w-]+) \{\n.*?^\}\n\n?", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"[A-Z]\w+-\w+")
_EMPTY_PART = re.compile(r"^(?:# -- .*\n)+\n(?=# -- )", re.MULTILINE)


@cache
def read_body(name: str) -> str:
    """Return a file of the package's scripts as it is."""
    return (_FOLDER / name).read_text(encoding="ascii")


@cache
def script_body(name: str) -> str:
    """Return a script without its data, lines ending in LF.

    A function counts as reached where its name stands in reached text, also as a text of its
    own: some are called by name inside the guest.
    """
    text = _INCLUDE.sub(lambda part: read_body(f"shared/{part[1]}.ps1").rstrip(), read_body(name))
    functions = {found[1]: found[0].partition("\n")[2] for found in _FUNCTION.finditer(text)}
    todo, reached = [_FUNCTION.sub("", text)], set[str]()
    while todo:
        new = set(_NAME.findall(todo.pop())) & functions.keys() - reached
        reached |= new
        todo += [functions[function] for function in new]
    text = _FUNCTION.sub(lambda found: found[0] if found[1] in reached else "", text)
    return _EMPTY_PART.sub("", text)
