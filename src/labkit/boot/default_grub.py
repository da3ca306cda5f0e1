"""/etc/default/grub and its drop-ins: what they set, without running them.

The file is a shell script that grub-mkconfig sources; on Debian, Ubuntu, Mint and their relatives
`/etc/default/grub.d/*.cfg` follow in alphabetical order. The last assignment wins.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from labkit.boot.findings import Evidence
from labkit.boot.shell_reader import read_shell
from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from labkit.boot.shell_reader import ShellAssignment, ShellCommand, ShellProblem

__all__ = [
    "DefaultGrub",
    "GrubSettings",
    "Setting",
    "decode_settings",
    "join_settings",
    "parse_default_grub",
]

DEFAULT_GRUB = "/etc/default/grub"
"""Where the settings stand."""


@dataclass(frozen=True)
class DefaultGrub:
    """One settings file, read.

    Attributes:
        name: Its path, for messages.
        text: Its content; bytes that are no UTF-8 are kept as surrogates.
        assignments: Every assignment in file order, GRUB's and others.
        commands: Every other command in it.
        problem: The syntax error that makes the shell give up, where there is one.
        functions: The names of the functions that it defines.
        ends_in_condition: The line of its last command where that is run behind `&&` only.
    """

    name: str
    text: str
    assignments: tuple[ShellAssignment, ...] = ()
    commands: tuple[ShellCommand, ...] = ()
    problem: ShellProblem | None = None
    functions: frozenset[str] = frozenset()
    ends_in_condition: int | None = None

    @cached_property
    def effective(self) -> Mapping[str, ShellAssignment]:
        """The last assignment of each variable that outlives its own line."""
        result: dict[str, ShellAssignment] = {}
        for assignment in self.assignments:
            if assignment.lost_to is None:
                result[assignment.name] = assignment
        return result

    @cached_property
    def values(self) -> Mapping[str, str]:
        """The variables whose value can be read; `computed` names the others."""
        return {
            name: assignment.value
            for name, assignment in self.effective.items()
            if assignment.value is not None
        }

    @cached_property
    def computed(self) -> frozenset[str]:
        """The variables whose value the shell computes."""
        return frozenset(self.effective) - self.values.keys()


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable's value after all files.

    Attributes:
        name: The variable.
        value: Its value; None where the shell computes it.
        file: The file whose assignment wins.
        line: Its line.
        conditional: Whether a condition decides if it is made at all.
    """

    name: str
    value: str | None
    file: str
    line: int
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class GrubSettings:
    """The settings of a main file and its drop-ins, in the order in which they are sourced."""

    files: tuple[DefaultGrub, ...]
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def value(self, name: str) -> str | None:
        """Give a variable's value; None where it is not set or is computed."""
        setting = self.settings.get(name)
        return setting.value if setting else None

    def written(self, name: str) -> Evidence | None:
        """Quote the line that sets a variable, as it stands in its file; None where none does."""
        setting = self.settings.get(name)
        if setting is None:
            return None
        file = next(file for file in reversed(self.files) if file.name == setting.file)
        given = file.effective[name]
        begin = file.text.rfind("\n", 0, given.start) + 1
        end = file.text.find("\n", given.end)
        text = file.text[begin : end if end >= 0 else len(file.text)].strip()
        return Evidence(setting.file, setting.line, text.encode("utf-8", "replace").decode())

    def overriders(self, name: str) -> list[Setting]:
        """Give the assignments of `name` in files behind the first, the winning one last."""
        return [
            Setting(name, given.value, file.name, given.line, given.conditional)
            for file in self.files[1:]
            if (given := file.effective.get(name)) is not None
        ]


def decode_settings(data: bytes, name: str = DEFAULT_GRUB) -> str:
    """Decode a settings file so that encoding it again gives the same bytes.

    Raises:
        InputError: It is UTF-16 or binary.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(
            f"{name}: UTF-16 text, which no shell can read",
            hint=f"convert it: `iconv -f UTF-16 -t UTF-8 {name}`",
            code="default-grub-unreadable",
        )
    if b"\0" in data:
        raise InputError(
            f"{name}: binary data, not a settings file", code="default-grub-unreadable"
        )
    return data.decode("utf-8", "surrogateescape")


def parse_default_grub(data: bytes, *, name: str = DEFAULT_GRUB) -> DefaultGrub:
    """Read a settings file. A syntax error is a `problem` of the result, not an exception.

    Raises:
        InputError: It is UTF-16 or binary.
    """
    text = decode_settings(data, name)
    script = read_shell(text)
    return DefaultGrub(
        name,
        text,
        script.assignments,
        script.commands,
        script.problem,
        script.functions,
        script.ends_in_condition,
    )


def join_settings(main: DefaultGrub, drop_ins: Iterable[DefaultGrub] = ()) -> GrubSettings:
    """Apply drop-ins to a main file: those named `*.cfg`, sorted by name.

    Pass none for a distribution that does not read grub.d (upstream, Fedora, SUSE, Arch).
    """
    files = (main, *_sourced(drop_ins))
    settings: dict[str, Setting] = {}
    for file in files:
        for name, given in file.effective.items():
            settings[name] = Setting(name, given.value, file.name, given.line, given.conditional)
    return GrubSettings(files, settings)


def _sourced(drop_ins: Iterable[DefaultGrub]) -> Sequence[DefaultGrub]:
    return sorted(
        (file for file in drop_ins if file.name.endswith(".cfg")), key=lambda file: file.name
    )
