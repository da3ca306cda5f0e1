r"""GRUB's environment block (`grubenv`): the variables that survive a restart.

Format, from `grub-core/lib/envblk.c`: a header line, `NAME=VALUE` lines with `\` doubled and a
line end in a value written as backslash and line end, filled with `#` to 1024 bytes. GRUB reads
other sizes as well, but cannot save into a block without filler.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GRUBENV_SIZE_BYTES", "Grubenv", "parse_grubenv"]

GRUBENV_SIZE_BYTES = 1024
"""The size that grub-editenv gives a block."""

_HEADER = b"# GRUB Environment Block\n"


@dataclass(frozen=True, slots=True)
class Grubenv:
    """The variables of an environment block.

    Attributes:
        variables: Name -> value.
        lines: Name -> the line it stands in, from 1.
        size_bytes: How long the file is.
        filler_bytes: How much room is left for GRUB to save into.
    """

    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    lines: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    size_bytes: int = GRUBENV_SIZE_BYTES
    filler_bytes: int = GRUBENV_SIZE_BYTES - len(_HEADER)

    @property
    def standard_size(self) -> bool:
        """Whether it is as long as grub-editenv makes it."""
        return self.size_bytes == GRUBENV_SIZE_BYTES


def parse_grubenv(data: bytes) -> Grubenv:
    """Parse an environment block.

    Raises:
        InputError: There is no header, or the line ends are not LF; GRUB ignores such a file.
    """
    if not data.startswith(_HEADER):
        raise InputError(
            "not a GRUB environment block: its first line is not `# GRUB Environment Block`",
            hint="GRUB ignores it; make a new one with `grub-editenv FILE create`",
            code="grubenv-unreadable",
        )
    variables: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in _logical_lines(data):
        if line.startswith(b"#"):
            continue
        name, equals, value = line.partition(b"=")
        if equals:
            text = name.decode("utf-8", "replace")
            variables[text] = _unescape(value).decode("utf-8", "replace")
            lines[text] = number
    filler = len(data) - len(data.rstrip(b"#"))
    return Grubenv(MappingProxyType(variables), MappingProxyType(lines), len(data), filler)


def _logical_lines(data: bytes) -> list[tuple[int, bytes]]:
    """Cut at line ends that no backslash escapes; an unfinished last line is not read."""
    result: list[tuple[int, bytes]] = []
    start = position = 0
    first = line = 1
    while position < len(data):
        byte = data[position : position + 1]
        if byte == b"\\":
            line += data[position + 1 : position + 2] == b"\n"
            position += 2
            continue
        position += 1
        if byte == b"\n":
            result.append((first, data[start : position - 1]))
            line += 1
            first, start = line, position
    return result


def _unescape(value: bytes) -> bytes:
    result = bytearray()
    escaped = False
    for byte in value:
        if byte == ord("\\") and not escaped:
            escaped = True
        else:
            result.append(byte)
            escaped = False
    return bytes(result)
