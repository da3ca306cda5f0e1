"""Telling the outputs of one computer at one time from those of another, by what contradicts.

Two lists of the firmware with different entries, or one disk with two identifiers, cannot be of
one computer at one time. Joined, the fix for the one would be run on the other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.kinds import Kind, recognise
from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from labkit.boot.documents import Document

__all__ = ["split_by_computer"]


def split_by_computer(documents: Sequence[Document]) -> list[list[Document]]:
    """Cut outputs, in their order, wherever one contradicts an earlier one of its kind.

    The cut is before the first output in between whose kind has come before: sessions repeat
    their commands in the same order.
    """
    groups: list[list[Document]] = []
    current: list[tuple[Kind | None, Document]] = []
    for document in documents:
        kind = recognise(document)
        rival = next(
            (
                place
                for place, (k, other) in enumerate(current)
                if k is kind and _contradicts(kind, other, document)
            ),
            None,
        )
        if rival is not None:
            cut = _begin_of_repetition(current, rival)
            groups.append([d for _, d in current[:cut]])
            current = current[cut:]
        current.append((kind, document))
    groups.append([d for _, d in current])
    return [group for group in groups if group]


def _begin_of_repetition(outputs: Sequence[tuple[Kind | None, Document]], rival: int) -> int:
    """Find where the second session begins: its first output of a kind that the first has."""
    known = {kind for kind, _ in outputs[: rival + 1]}
    for place in range(rival + 1, len(outputs)):
        kind = outputs[place][0]
        if kind in known and kind in _IDENTITIES and kind is not outputs[place - 1][0]:
            return place
        known.add(kind)
    return len(outputs)


def _contradicts(kind: Kind | None, first: Document, second: Document) -> bool:
    identities = _IDENTITIES.get(kind) if kind is not None else None
    if identities is None:
        return False
    try:
        one, other = identities(first), identities(second)
    except InputError:
        return False
    shared = one.keys() & other.keys()
    if any(one[key] and other[key] and one[key] != other[key] for key in shared):
        return True
    # Whole lists without a disk in common; `fdisk -l /dev/sdb` is asked for a part on purpose.
    is_part = any(re.search(r"/dev/", d.name) for d in (first, second))
    return kind is Kind.FDISK and bool(one and other) and not shared and not is_part


def _disks(document: Document) -> Mapping[str, str]:
    from labkit.boot.parse.fdisk import parse_fdisk

    return {disk.device: disk.disk_id or "" for disk in parse_fdisk(document)}


def _entries(document: Document) -> Mapping[str, str]:
    """Give what each entry is, and the order; a list without paths has labels alone."""
    from labkit.boot.parse.efibootmgr import parse_efibootmgr

    boot = parse_efibootmgr(document)
    order = ",".join(map(str, boot.order or ()))
    found = {f"{entry.name} label": f"{entry.label} {entry.active}" for entry in boot.entries}
    found |= {entry.name: entry.path for entry in boot.entries}
    return found | {"order": order}


def _blkid(document: Document) -> Mapping[str, str]:
    from labkit.boot.parse.blkid import parse_blkid

    return {p.device: (p.uuid or "").lower() for p in parse_blkid(document)}


def _lsblk(document: Document) -> Mapping[str, str]:
    from labkit.boot.parse.lsblk import parse_lsblk_tree

    return {p.device: (p.uuid or "").lower() for p in parse_lsblk_tree(document)}


_IDENTITIES: Mapping[Kind | None, Callable[[Document], Mapping[str, str]]] = {
    Kind.FDISK: _disks,
    Kind.EFIBOOTMGR: _entries,
    Kind.BLKID: _blkid,
    Kind.LSBLK_TREE: _lsblk,
}
