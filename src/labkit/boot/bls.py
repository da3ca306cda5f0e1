"""Boot Loader Specification entries, as Fedora, RHEL and (optionally) openSUSE keep them.

With `blscfg` in grub.cfg the Linux entries are files `loader/entries/NAME.conf`: a key, white space
and a value a line. An entry's id is its file name without `.conf`; the newest version comes first.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BlsEntry", "compare_versions", "parse_bls_entry", "sort_bls_entries"]

_KEYS = frozenset(
    {"title", "version", "linux", "initrd", "options", "machine-id", "sort-key", "architecture"}
    | {"devicetree", "efi", "id", "grub_users", "grub_arg", "grub_class", "grub_hotkey"}
)


@dataclass(frozen=True, slots=True)
class BlsEntry:
    """One file of `loader/entries`.

    Attributes:
        id: The file name without `.conf`; what `saved_entry` holds.
        title: What the menu shows; the id where the file gives none.
        version: The kernel's version; empty where the file gives none.
        linux: The kernel's path.
        initrd: The paths of initial RAM disks.
        options: The kernel's command line.
    """

    id: str
    title: str
    version: str = ""
    linux: str = ""
    initrd: tuple[str, ...] = ()
    options: str = ""


def parse_bls_entry(name: str, text: str) -> BlsEntry:
    """Parse one entry file.

    Args:
        name: Its file name, with or without a folder and `.conf`.
        text: Its content.

    Raises:
        InputError: No line of it has a key of the specification.
    """
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, *value = line.split(None, 1) or [""]
        if key in _KEYS:
            values.setdefault(key, []).append("".join(value).strip())
    if not values:
        raise InputError(
            f"{name}: not a boot loader entry: no line begins with `title`, `linux` or another key",
            code="bls-unreadable",
        )
    entry_id = re.split(r"[/\\]", name)[-1].removesuffix(".conf")
    return BlsEntry(
        id=entry_id,
        title=values.get("title", [entry_id])[-1],
        version=values.get("version", [""])[-1],
        linux=values.get("linux", [""])[-1],
        initrd=tuple(path for value in values.get("initrd", []) for path in value.split()),
        options=" ".join(values.get("options", [])),
    )


def sort_bls_entries(entries: Iterable[BlsEntry]) -> list[BlsEntry]:
    """Order entries as GRUB's `blscfg` does: by file name as a version, newest first."""
    by_version = functools.cmp_to_key(compare_versions)
    return sorted(entries, key=lambda entry: by_version(entry.id), reverse=True)


_SEGMENT = re.compile(r"(?P<number>[0-9]+)|(?P<letters>[A-Za-z]+)|(?P<tilde>~)|(?P<caret>\^)")


def compare_versions(left: str, right: str) -> int:
    """Compare two version strings by RPM's rules: -1, 0 or 1.

    Runs of digits compare as numbers and are newer than letters; a tilde is older than anything,
    the end included; other characters only separate.
    """
    left_parts = list(_SEGMENT.finditer(left))
    right_parts = list(_SEGMENT.finditer(right))
    for first, second in zip(left_parts, right_parts, strict=False):
        if (result := _compare_segments(first, second)) != 0:
            return result
    if len(left_parts) == len(right_parts):
        return 0
    longer, sign = (left_parts, 1) if len(left_parts) > len(right_parts) else (right_parts, -1)
    following = longer[min(len(left_parts), len(right_parts))]
    return -sign if following["tilde"] else sign


_RANKS = ("tilde", "caret", "letters", "number")


def _compare_segments(left: re.Match[str], right: re.Match[str]) -> int:
    if left.lastgroup != right.lastgroup:
        left_rank = _RANKS.index(str(left.lastgroup))
        right_rank = _RANKS.index(str(right.lastgroup))
        return 1 if left_rank > right_rank else -1
    if left["number"] is not None:
        one, two = left[0].lstrip("0"), right[0].lstrip("0")
        first, second = (len(one), one), (len(two), two)
        return (first > second) - (first < second)
    return (left[0] > right[0]) - (left[0] < right[0])
