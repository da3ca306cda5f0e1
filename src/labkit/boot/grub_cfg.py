"""Reading a generated grub.cfg: its menu, its settings, the file systems that it looks for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.boot.collector import collector_paused
from labkit.boot.grub_machine import Machine, Surroundings
from labkit.boot.grub_script import parse_script
from labkit.boot.menu import UuidReference, searched_uuids
from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labkit.boot.bls import BlsEntry
    from labkit.boot.grub_machine import Assignment
    from labkit.boot.grub_script import SyntaxProblem
    from labkit.boot.menu import MenuEntry

__all__ = ["GrubCfg", "Section", "UuidReference", "parse_grub_cfg"]


@dataclass(frozen=True, slots=True)
class Section:
    """What one script of /etc/grub.d wrote, between its BEGIN and END comments.

    Attributes:
        script: The script's path as the comment gives it.
        line: The line of the BEGIN comment.
        empty: Whether the script wrote nothing.
    """

    script: str
    line: int
    empty: bool


@dataclass(frozen=True, slots=True)
class GrubCfg:
    """A grub.cfg, read.

    Attributes:
        entries: The menu, as a tree.
        variables: Variable -> its value when the menu appears; assigned ones only.
        file_systems: Every UUID that a `search` names, anywhere in the file.
        sections: What the scripts of /etc/grub.d wrote.
        sources: Other files that it reads (`custom.cfg`), which may add entries.
        uses_bls: Whether `blscfg` adds entries from loader/entries.
        syntax_error: Why GRUB cannot read the file; what stands behind it was not read.
    """

    entries: tuple[MenuEntry, ...]
    variables: Mapping[str, Assignment] = field(default_factory=dict)
    file_systems: tuple[UuidReference, ...] = ()
    sections: tuple[Section, ...] = ()
    sources: tuple[str, ...] = ()
    uses_bls: bool = False
    syntax_error: SyntaxProblem | None = None

    def value(self, name: str) -> str:
        """Give a variable's value; empty where it is not set or only the machine knows it."""
        assignment = self.variables.get(name)
        return (assignment.value or "") if assignment else ""


_SECTION = re.compile(
    r"^### BEGIN (?P<script>\S+) ###\n(?P<body>.*?)^### END (?P=script) ###",
    re.MULTILINE | re.DOTALL,
)
_BINARY = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f]")


def parse_grub_cfg(
    text: str,
    *,
    environment_block: Mapping[str, str] | None = None,
    platform: str | None = None,
    bls_entries: Sequence[BlsEntry] = (),
) -> GrubCfg:
    """Read a grub.cfg: parse it and run it on paper.

    Args:
        text: The file.
        environment_block: The variables of grubenv; without them saved choices are unknown.
        platform: GRUB's platform (`efi`, `pc`); where None, entries for one platform only are
            listed as conditional.
        bls_entries: The entries that `blscfg` adds, in menu order (`sort_bls_entries`).

    Raises:
        InputError: The text is binary, or runs more commands than a boot menu can need.
    """
    if match := _BINARY.search(text):
        raise InputError(
            f"not a grub.cfg: it holds the control character {ord(match[0]):#04x}",
            code="grub-cfg-unreadable",
        )
    with collector_paused():
        script = parse_script(text)
        machine = Machine(Surroundings(environment_block, platform, bls_entries))
        entries = machine.run(script.statements)
        return GrubCfg(
            entries=entries,
            variables={name: value for name, value in machine.variables.items() if value.line},
            file_systems=tuple(searched_uuids(script.statements)),
            sections=tuple(_sections(text)),
            sources=tuple(dict.fromkeys(word.text for word in machine.sources)),
            uses_bls=machine.uses_bls,
            syntax_error=script.problem,
        )


def _sections(text: str) -> list[Section]:
    sections: list[Section] = []
    line, position = 1, 0
    for match in _SECTION.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        sections.append(Section(match["script"], line, not match["body"].strip()))
    return sections
