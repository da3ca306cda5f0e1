"""The boot menu as a tree of entries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.boot.grub_script import commands_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from labkit.boot.grub_script import Command, Statement

__all__ = [
    "EntryBody",
    "EntryKind",
    "MenuEntry",
    "UuidReference",
    "read_body",
    "searched_uuid",
    "searched_uuids",
    "walk_entries",
]

EntryKind = Literal["windows", "linux", "submenu", "firmware", "chainload", "other"]

_LINUX_COMMANDS = frozenset({"linux", "linux16", "linuxefi", "xen_hypervisor"})
_HYPERVISOR_COMMANDS = frozenset({"multiboot", "multiboot2"})
_WINDOWS_LOADER = re.compile(r"bootmgfw\.efi$|^/?(?:bootmgr|ntldr)$", re.IGNORECASE)
_WINDOWS_TITLE = re.compile(r"\b(?:windows|microsoft)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UuidReference:
    """A file system that a `search` command looks for, and the line of that command."""

    uuid: str
    line: int


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """One line of the menu.

    Attributes:
        path: Its place as GRUB_DEFAULT names it: `2`, or `1>0` inside a submenu.
        title: What the menu shows.
        id: Its `--id`; its title where it has none, as GRUB does.
        kind: What it starts.
        line: Where it begins in grub.cfg; for an entry of a BLS file, the line of `blscfg`.
        has_id: Whether it has an id of its own.
        conditional: Whether only the starting machine knows that it exists (it stands in an `if`
            that asks for the platform or for a file); later entries are numbered as if it did.
        loader: What `chainloader` loads, where it does.
        file_systems: The UUIDs that its `search` commands look for.
        modules: What its `insmod` commands load.
        children: A submenu's entries.
    """

    path: str
    title: str
    id: str
    kind: EntryKind
    line: int
    has_id: bool = False
    conditional: bool = False
    loader: str | None = None
    file_systems: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    children: tuple[MenuEntry, ...] = ()

    @property
    def index(self) -> int:
        """Its number in its own menu."""
        return int(self.path.rpartition(">")[2])


def walk_entries(entries: Iterable[MenuEntry]) -> Iterator[MenuEntry]:
    """Yield all entries, each submenu followed by its own, in menu order."""
    stack = [iter(entries)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        yield entry
        stack.append(iter(entry.children))


@dataclass(frozen=True, slots=True)
class EntryBody:
    """What the commands of an entry do.

    Attributes:
        kind: What it starts.
        loader: What it chainloads; None where it does not.
        file_systems: The UUIDs that it searches.
        modules: The modules that it loads.
    """

    kind: EntryKind = "other"
    loader: str | None = None
    file_systems: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def read_body(title: str, entry_id: str, body: Sequence[Statement]) -> EntryBody:
    """Say what an entry does, from the commands of its body.

    Windows is a chainloaded Windows loader, or something chainloaded from an entry that os-prober
    or its author calls Windows; a title alone proves nothing.
    """
    loader: str | None = None
    kind: EntryKind = "other"
    uuids: list[str] = []
    modules: list[str] = []
    for command in commands_in(body):
        name = command.words[0]
        if name in _LINUX_COMMANDS or (name in _HYPERVISOR_COMMANDS and _starts_xen(command)):
            kind = "linux"
        elif name == "fwsetup":
            kind = "firmware"
        elif name in {"chainloader", "ntldr"} and kind != "linux":
            kind = "chainload"
            loader = _last_argument(command)
        elif name == "insmod":
            modules += command.words[1:]
        elif uuid := searched_uuid(command):
            uuids.append(uuid)
    if kind == "chainload" and loader is not None:
        named = _WINDOWS_TITLE.search(title) and not entry_id.startswith("osprober-gnulinux")
        if _WINDOWS_LOADER.search(loader) or named:
            kind = "windows"
    return EntryBody(kind, loader, tuple(dict.fromkeys(uuids)), tuple(dict.fromkeys(modules)))


def _starts_xen(command: Command) -> bool:
    return any("xen" in word for word in command.words[1:])


def _last_argument(command: Command) -> str | None:
    arguments = [word.strip("'\"") for word in command.words[1:] if not word.startswith("--")]
    return arguments[-1] if arguments else None


def searched_uuids(statements: Sequence[Statement]) -> list[UuidReference]:
    """Collect the file-system UUIDs that `search` commands name, in file order."""
    return [
        UuidReference(uuid, command.line)
        for command in commands_in(statements)
        if (uuid := searched_uuid(command))
    ]


def searched_uuid(command: Command) -> str | None:
    """Give the UUID of `search --fs-uuid ... UUID`; None for any other command."""
    words = command.words
    if words[0] == "search.fs_uuid" and len(words) > 1:
        return words[1].strip("'\"")
    if words[0] != "search" or ("--fs-uuid" not in words and "-u" not in words):
        return None
    arguments = iter(words[1:])
    for word in arguments:
        if word.startswith("--hint") and "=" not in word:
            next(arguments, None)
        elif not word.startswith("-"):
            uuid = word.strip("'\"")
            return None if "$" in uuid else uuid
    return None
