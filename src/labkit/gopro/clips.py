"""From a list of files to clips, photos and groups: what belongs together, in which order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from labkit.gopro.names import Kind, Naming, escaped, kind_of, parse_name, split_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from labkit.gopro.names import MediaName

__all__ = [
    "MAX_GROUP_MEMBERS",
    "Group",
    "MediaFile",
    "MediaSet",
    "each_set",
    "expand_group",
    "gather_sets",
    "play_order",
]

MAX_GROUP_MEMBERS = 9_999
"""More numbers than this do not fit into a name: the list is broken or hostile."""

_DIGITS = 4


@dataclass(frozen=True)
class Group:
    """The members of a burst or time lapse that the camera lists as one entry.

    Attributes:
        names: The members' names in order, without the missing ones.
        warning: Why the entry could not be expanded as it stands; None when it could.
    """

    names: tuple[str, ...]
    warning: str | None = None


def expand_group(
    name: str, first: int | None, last: int | None, missing: Collection[int] = ()
) -> Group:
    """Name the members of the group that the camera lists as `name`.

    Args:
        name: The entry's name: the group's first member.
        first: The number of the first member (`b` in the list); None when absent.
        last: The number of the last member (`l`); None when absent.
        missing: Numbers between them that are not there (`m`); others are ignored.

    Returns:
        The members. An entry that makes no sense gives `name` alone and a warning.
    """
    stem, _ = split_name(name)
    head, digits, ending = stem[:-_DIGITS], stem[-_DIGITS:], name[len(stem) :]
    fault = _group_fault(digits, first, last)
    if fault is not None or first is None or last is None:
        return Group((name,), f"group {escaped(name)}: {fault}; only this file of it is taken")
    absent = frozenset(missing)
    numbers = [number for number in range(first, last + 1) if number not in absent]
    names = tuple(f"{head}{number:04d}{ending}" for number in numbers)
    if name in names:
        return Group(names)
    return Group((name, *names), f"group {escaped(name)} does not list its own first member")


def _group_fault(digits: str, first: int | None, last: int | None) -> str | None:
    if len(digits) != _DIGITS or not (digits.isascii() and digits.isdigit()):
        return "its name does not end in four digits"
    if first is None or last is None:
        return "its first or last number is missing"
    if not 0 <= first <= last <= MAX_GROUP_MEMBERS:
        return f"its numbers {first} to {last} make no sense"
    return None


class MediaFile(Protocol):
    """The least that is known of a listed file."""

    @property
    def folder(self) -> str:
        """The folder on the camera."""

    @property
    def name(self) -> str:
        """The name in that folder."""

    @property
    def group(self) -> str | None:
        """The name of the list entry that it was expanded from; None for a single file."""


F = TypeVar("F", bound=MediaFile)


@dataclass(frozen=True, slots=True)  # a list can have 50,000 of them
class MediaSet(Generic[F]):
    """One recording: the chapters of a clip, the frames of a group, or one photo.

    Attributes:
        folder: The folder on the camera.
        clip: Its name in that folder, as in `MediaName.clip`.
        naming: How its files are tied together.
        kind: The kind of its files.
        number: The camera's number; the first frame's for a group; None where there is none.
        files: The recording itself, in play order.
        companions: Proxies, thumbnails, RAW and sound that belong to it.
        warnings: What is wrong with it: a missing chapter.
    """

    folder: str
    clip: str
    naming: Naming
    kind: Kind
    number: int | None
    files: tuple[F, ...]
    companions: tuple[F, ...] = ()
    warnings: tuple[str, ...] = ()


def play_order(file: MediaFile) -> tuple[str, bool, int, int, str]:
    """A sort key: by folder, number, chapter, then name; files without a number come last.

    Names alone do not sort into the order of recording: chapter 2 of clip 164 (`GX020164`)
    sorts after chapter 1 of clip 165 (`GX010165`).
    """
    media = parse_name(file.name)
    number = media.number
    return (file.folder, number is None, number or 0, media.chapter or 0, file.name)


_Key = tuple[str, str, Naming]

# What a companion belongs to, the likelier kind first.
_PARTNERS = {
    Kind.PROXY: (Kind.VIDEO, Kind.OTHER),
    Kind.THUMB: (Kind.VIDEO, Kind.PHOTO, Kind.OTHER),
    Kind.AUDIO: (Kind.VIDEO, Kind.PHOTO, Kind.OTHER),
    Kind.RAW: (Kind.PHOTO,),
}


def gather_sets(files: Iterable[F]) -> tuple[MediaSet[F], ...]:
    """Gather files into recordings; independent of the order of `files`.

    A companion joins the recording that has its stem, or, for a proxy, its chapter and number.
    One that joins nothing is a set of its own. Each file is in exactly one set.
    """
    return tuple(each_set(files))


def each_set(files: Iterable[F]) -> Iterator[MediaSet[F]]:
    """Give the recordings of `gather_sets` one after the other."""
    by_folder: dict[str, list[F]] = defaultdict(list)
    for file in files:
        by_folder[file.folder].append(file)
    for folder in sorted(by_folder):  # no recording reaches from one folder into another
        yield from _sets_of_folder(by_folder.pop(folder))


def _sets_of_folder(files: list[F]) -> list[MediaSet[F]]:
    ordered = sorted(files, key=play_order)
    has_companions = any(kind_of(file.name) in _PARTNERS for file in ordered)
    sets: dict[_Key, list[F]] = {}
    index: dict[tuple[object, ...], _Key] = {}
    partners: list[tuple[F, MediaName]] = []
    for file in ordered:
        media = parse_name(file.name)
        if media.kind in _PARTNERS:
            partners.append((file, media))
            continue
        key = _set_key(file, media)
        sets.setdefault(key, []).append(file)
        if has_companions:
            for trait in _traits(file, media):
                index.setdefault((*trait, media.kind), key)
    companions: dict[_Key, list[F]] = {}
    for file, media in partners:
        owner = _owner(file, media, index)
        if owner is None:
            sets.setdefault(_lone_key(file, media), []).append(file)
        else:
            companions.setdefault(owner, []).append(file)
    gathered = [_media_set(key, files, companions.get(key, [])) for key, files in sets.items()]
    return sorted(gathered, key=lambda media_set: play_order(media_set.files[0]))


def _traits(file: MediaFile, media: MediaName) -> list[tuple[object, ...]]:
    """What a companion shares with its recording: the stem; for a proxy, the chapter at least."""
    traits: list[tuple[object, ...]] = [(file.folder, split_name(file.name)[0].upper())]
    if media.chapter is not None and media.kind in {Kind.VIDEO, Kind.PROXY}:
        traits.append((file.folder, media.prefix.upper(), media.number, media.chapter))
    return traits


def _owner(
    file: MediaFile, media: MediaName, index: Mapping[tuple[object, ...], _Key]
) -> _Key | None:
    for trait in _traits(file, media):
        for kind in _PARTNERS[media.kind]:
            if (key := index.get((*trait, kind))) is not None:
                return key
    return None


def _set_key(file: MediaFile, media: MediaName) -> _Key:
    if file.group is not None:
        return file.folder, file.group.upper(), Naming.GROUP
    if media.naming is Naming.UNKNOWN:
        return file.folder, file.name.upper(), media.naming
    return file.folder, media.clip.upper(), media.naming


def _lone_key(file: MediaFile, media: MediaName) -> _Key:
    """The key of a companion without its recording: never that of a recording."""
    _, clip, naming = _set_key(file, media)
    return file.folder, f"{clip}.{media.kind}", naming


def _media_set(key: _Key, files: list[F], companions: list[F]) -> MediaSet[F]:
    folder, _, naming = key
    first = parse_name(files[0].name)
    return MediaSet(
        folder=folder,
        clip=first.clip,
        naming=naming,
        kind=first.kind,
        number=first.number,
        files=tuple(files),
        companions=tuple(companions),
        warnings=_chapter_warnings(folder, first, files),
    )


def _chapter_warnings(folder: str, first: MediaName, files: Iterable[F]) -> tuple[str, ...]:
    """A clip whose chapters do not run from 1 without a gap cannot be joined without a loss."""
    if first.naming is not Naming.CLIP or first.kind is not Kind.VIDEO:
        return ()
    chapters = {parse_name(file.name).chapter or 0 for file in files}
    missing = sorted(set(range(1, max(chapters) + 1)) - chapters)
    if not missing:
        return ()
    numbers = ", ".join(map(str, missing))
    word = "chapter" if len(missing) == 1 else "chapters"
    return (f"clip {folder}/{first.clip}: {word} {numbers} not on the camera",)
