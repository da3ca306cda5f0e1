"""Read the JSON media list of every camera that has one.

`{"media": [{"d": FOLDER, "fs": [{"n": NAME, "s": "123", ...}]}]}`: GoPro's specification
(OpenGoPro, `/gopro/media/list`) and what cameras from HERO3 on really send. Numbers come as
strings or as numbers, keys are missing by generation, groups stand for thousands of files, and
some names are companions that the list only hints at.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.gopro.clips import expand_group
from labkit.gopro.clock import wall_clock
from labkit.gopro.listing import Companion, ListedFile, ListedGroup, MediaListing
from labkit.gopro.names import (
    companion_name,
    escaped,
    file_name_fault,
    proxy_names,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["media_of", "parse_media_list", "read_json"]

MEDIA_ROOT = "/videos/DCIM"
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_MAX_MISSING = 10_000
_GROUP_KEYS = ("g", "b", "l")


def read_json(text: bytes | str) -> object:
    """Read JSON from a camera; lone log lines around it are not tolerated.

    Raises:
        InputError: It is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the camera sent something that is no JSON", code="bad-json") from error


def media_of(document: object) -> Sequence[object] | None:
    """Give the `media` array of a list; None where the document is no media list."""
    if isinstance(document, dict) and isinstance(document.get("media"), list):
        media: list[object] = document["media"]
        return media
    return None


def parse_media_list(document: object, root: str = MEDIA_ROOT) -> MediaListing:
    """Read a media list, expand its groups and name the companions that it hints at.

    An entry that cannot be a file is refused and the rest is read.

    Args:
        document: The decoded JSON. Its folders are emptied one by one, so that a long list is
            never held in both forms.
        root: The server's path above the folders.

    Raises:
        InputError: It is no media list.
    """
    media = media_of(document)
    if media is None:
        raise InputError("this is no media list of a camera", code="bad-media-list")
    reader = _Reader(root)
    for entry in media:
        reader.read_folder(entry)
    return reader.result()


@dataclass
class _Reader:
    root: str
    files: dict[tuple[str, str], ListedFile] = field(default_factory=dict)
    implied: dict[tuple[str, str], ListedFile] = field(default_factory=dict)
    groups: list[ListedGroup] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def result(self) -> MediaListing:
        implied = [file for key, file in self.implied.items() if key not in self.files]
        return MediaListing(
            (*self.files.values(), *implied),
            tuple(self.groups),
            tuple(self.refused),
            tuple(dict.fromkeys(self.warnings)),
        )

    def read_folder(self, entry: object) -> None:
        if not isinstance(entry, dict):
            self.refused.append(f"folder {escaped(entry)}: it is no object")
            return
        folder = entry.get("d")
        fault = file_name_fault(folder)
        if fault is not None or not isinstance(folder, str):
            self.refused.append(f"folder {escaped(folder)}: {fault}")
            return
        items = entry.pop("fs", None)
        for item in items if isinstance(items, list) else ():
            self.read_item(folder, item)

    def read_item(self, folder: str, item: object) -> None:
        name = item.get("n") if isinstance(item, dict) else None
        fault = "it is no object" if not isinstance(item, dict) else file_name_fault(name)
        if fault is not None or not isinstance(item, dict) or not isinstance(name, str):
            self.refused.append(f"{folder}/{escaped(name if name is not None else item)}: {fault}")
            return
        created = _number(item.get("cre"))
        if created is None:
            created = _number(item.get("mod"))
        if any(key in item for key in _GROUP_KEYS):
            self.read_group(folder, name, item, created)
        else:
            size = self.size_of(folder, name, item)
            self.add(self.file(folder, name, created, size=size))
            self.imply(folder, name, item, created)

    def size_of(self, folder: str, name: str, item: Mapping[str, object]) -> int | None:
        size = _number(item.get("s"))
        if size is None or size < 0:
            self.warnings.append(f"{folder}/{name}: the list gives no size; the transfer tells it")
            return None
        return size

    def file(
        self,
        folder: str,
        name: str,
        created: int | None,
        *,
        size: int | None = None,
        group: str | None = None,
        companion: Companion | None = None,
    ) -> ListedFile:
        return ListedFile(
            folder=folder,
            # Numbers begin again in each folder: the same names come many times on a full card.
            name=intern(name),
            path=f"{self.root}/{folder}/{name}",
            size=size,
            created=created,
            taken_at=wall_clock(created),
            time_is_shared=group is not None,
            group=group,
            companion=companion,
        )

    def add(self, file: ListedFile) -> None:
        """Take each (folder, name) once: the first one counts."""
        key = (file.folder, file.name)
        first = self.files.setdefault(key, file)
        if first != file and (first.size, first.created) != (file.size, file.created):
            self.warnings.append(
                f"{file.folder}/{file.name} is listed twice with different sizes or times; "
                "the first entry counts"
            )

    def read_group(
        self, folder: str, name: str, item: Mapping[str, object], created: int | None
    ) -> None:
        listed = item.get("m")
        missing = listed if isinstance(listed, list) and len(listed) <= _MAX_MISSING else []
        numbers = [number for value in missing if (number := _number(value)) is not None]
        group = expand_group(name, _number(item.get("b")), _number(item.get("l")), numbers)
        if group.warning is not None:
            self.warnings.append(f"{folder}: {group.warning}")
        for member in group.names:
            self.add(self.file(folder, member, created, group=name))
            self.imply(folder, member, item, created)
        total = _number(item.get("s"))
        self.groups.append(ListedGroup(folder, name, group.names, total or None))

    def imply(
        self, folder: str, name: str, item: Mapping[str, object], created: int | None
    ) -> None:
        """Name the companions that the entry hints at."""
        for key, same_stem in (("glrv", False), ("ls", True)):
            size = _number(item.get(key))
            if size is not None and size > 0:
                first, *others = proxy_names(name, same_stem=same_stem)
                companion = Companion(name, tuple(others))
                proxy = self.file(folder, first, created, size=size, companion=companion)
                self.implied.setdefault((folder, first), proxy)
        if _number(item.get("raw")) == 1:
            raw = companion_name(name, "GPR")
            if raw != name:
                file = self.file(folder, raw, created, companion=Companion(name))
                self.implied.setdefault((folder, raw), file)


def _number(value: object) -> int | None:
    """Read a whole number that came as a number or as text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**18 else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 10**18 else None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return int(value)
    return None
