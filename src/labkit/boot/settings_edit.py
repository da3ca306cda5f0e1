"""Changing settings in the text of /etc/default/grub: one value, and nothing else.

Pure functions on text. The last assignment of a key gets the new value; a key that has none gets a
new line behind its commented template, or at the end. Comments, order, quoting style and line ends
stay. What cannot be changed with certainty is refused, with the line that is in the way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.shell_reader import read_shell
from labkit.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.shell_reader import ShellAssignment, ShellScript

__all__ = ["edit_settings", "quote_value"]

_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:=-]+")
# Commands that may change a variable behind the reader's back.
_OPAQUE_COMMANDS = frozenset({".", "source", "eval"})


def edit_settings(text: str, changes: Mapping[str, str], *, name: str = "/etc/default/grub") -> str:
    """Give `text` with the settings `changes`, every other byte as it was.

    Args:
        text: The file.
        changes: Key -> new value, as the shell shall see it.
        name: The file's path, for messages.

    Raises:
        RefusedError: The file has a syntax error or Windows line ends, or the setting stands where
            a new value would not surely hold: in a condition, beside other commands, before a
            command that may change it.
    """
    _refuse_damaged(text, name)
    for key, value in changes.items():
        text = _set(text, key, value, name)
    return text


def quote_value(value: str, style: str = "") -> str:
    """Quote a value for the shell, in the style of the old value `style` where that works."""
    if style.startswith('"') and style.endswith('"') and not re.search(r'["\\$`]', value):
        return f'"{value}"'
    quoted = style.startswith("'")
    if not quoted and _PLAIN_VALUE.fullmatch(value):
        return value
    return "'" + value.replace("'", "'\\''") + "'"


def _refuse_damaged(text: str, name: str) -> None:
    problem = read_shell(text).problem
    reason = line = None
    if "\r" in text:
        reason, line = "Windows line ends", text.count("\n", 0, text.index("\r")) + 1
    elif "\ufeff" in text:
        reason, line = "a byte order mark", text.count("\n", 0, text.index("\ufeff")) + 1
    elif problem:
        reason, line = f"a syntax error ({problem.message})", problem.line
    if reason:
        raise RefusedError(
            f"{name}, line {line}: {reason}; a damaged file is not edited",
            hint=f"repair it first: `labkit boot lint {name}` names every fault",
            code="settings-damaged",
        )


def _set(text: str, key: str, value: str, name: str) -> str:
    script = read_shell(text)
    mine = [assignment for assignment in script.assignments if assignment.name == key]
    _refuse_interference(script, key, mine[-1] if mine else None, name)
    if mine:
        last = mine[-1]
        if last.value == value:
            return text
        return text[: last.start] + quote_value(value, last.written) + text[last.end :]
    line = f"{key}={quote_value(value)}\n"
    for position in _places(text, key):
        before = text[:position]
        if before and not before.endswith("\n"):
            before += "\n"
        candidate = before + line + text[position:]
        if _only_adds(script, read_shell(candidate), key, value):
            return candidate
    raise RefusedError(
        f"{name}: there is no place where a new {key} would surely hold",
        hint=f"add `{line.rstrip()}` by hand",
        code="settings-too-complex",
    )


def _places(text: str, key: str) -> list[int]:
    """Where a new line may go: behind the last commented template of the key, else at the end."""
    template = re.compile(
        rf"^[ \t]*#[ \t]*(?:export[ \t]+)?{re.escape(key)}=[^\n]*(?:\n|\Z)", re.MULTILINE
    )
    behind = [match.end() for match in template.finditer(text)]
    return [*behind[-1:], len(text)]


def _only_adds(before: ShellScript, after: ShellScript, key: str, value: str) -> bool:
    """Whether a new line is a plain assignment and everything else means what it meant."""
    added = [a for a in after.assignments if a.name == key]
    others = [(a.name, a.written) for a in after.assignments if a.name != key]
    return (
        after.problem is None
        and len(added) == 1
        and added[0].alone
        and not added[0].conditional
        and added[0].value == value
        and others == [(a.name, a.written) for a in before.assignments]
        and [c.words for c in after.commands] == [c.words for c in before.commands]
    )


def _refuse_interference(
    script: ShellScript, key: str, last: ShellAssignment | None, name: str
) -> None:
    reason = line = None
    if last is not None:
        line = last.line
        if last.lost_to is not None:
            reason = f"the value is lost to `{last.lost_to}`"
        elif last.conditional:
            reason = "a condition decides whether it is set"
        elif not last.alone:
            reason = "other commands stand on the same line"
    for command in script.commands:
        if last is not None and command.line < last.line:
            continue
        if key in command.words[1:] or command.words[0] in _OPAQUE_COMMANDS:
            reason, line = f"`{' '.join(command.words)}` may change it afterwards", command.line
    if reason:
        raise RefusedError(
            f"{name}, line {line}: {key} cannot be changed safely: {reason}",
            hint="change this place by hand",
            code="settings-too-complex",
        )
