"""The one checksum that cameras give: a group's size is the sum of its members' sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.errors import LabkitError
from labkit.gopro.journal import EntryState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from labkit.gopro.camera import Camera
    from labkit.gopro.journal import Entry
    from labkit.gopro.listing import ListedGroup, MediaListing

__all__ = ["group_warnings", "wrong_sums"]

_Key = tuple[str, str]


def wrong_sums(
    groups: Iterable[ListedGroup], entries: Iterable[Entry], touched: Collection[_Key]
) -> dict[_Key, str]:
    """Find groups whose members, all of them here, do not add up to what the list says.

    Args:
        groups: As listed.
        entries: The journal's entries of this camera.
        touched: (folder, group name) of the groups to look at.
    """
    done = {
        (entry.folder, entry.name): entry.size_bytes or 0
        for entry in entries
        if entry.state is EntryState.DONE
    }
    wrong: dict[_Key, str] = {}
    for group in groups:
        sizes = [done.get((group.folder, name)) for name in group.names]
        known = [size for size in sizes if size is not None]
        if (group.folder, group.name) not in touched or len(known) < len(sizes):
            continue
        if group.total_bytes is not None and sum(known) != group.total_bytes:
            wrong[group.folder, group.name] = (
                f"group {group.folder}/{group.name}: its {len(known)} files have {sum(known)} "
                f"bytes together, the camera's list says {group.total_bytes}"
            )
    return wrong


def group_warnings(
    camera: Camera,
    listing: MediaListing,
    entries: Iterable[Entry],
    touched: Collection[_Key],
) -> tuple[tuple[str, ...], tuple[ListedGroup, ...]]:
    """Check the sums of the groups that a run touched; a mismatch is checked with a fresh list.

    The camera recomputes a sum when a member is deleted: then the second list explains it.

    Returns:
        The warnings, and the groups of the second list where one was needed.
    """
    entries = [entry for entry in entries if entry.camera == camera.identity]
    wrong = wrong_sums(listing.groups, entries, touched)
    if not wrong:
        return (), ()
    try:
        fresh = camera.listing()
    except LabkitError:
        return tuple(wrong.values()), ()
    return tuple(wrong_sums(fresh.groups, entries, tuple(wrong)).values()), fresh.groups
