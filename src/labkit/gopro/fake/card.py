"""The card of the fake camera: files, and how a camera would list them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.gopro.fake.media import make_gpr, make_jpeg, make_mp4, make_wav
from labkit.gopro.names import Kind, Naming, companion_name, kind_of, parse_name, proxy_names

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Card", "CardFile", "made_up_card", "read_card", "with_stubs"]

_FIRST_TIME = 1_718_442_000  # 2024-06-15 09:00:00 on the camera's clock
_HIDDEN = frozenset({Kind.PROXY, Kind.THUMB, Kind.AUDIO})


@dataclass(frozen=True)
class CardFile:
    """A file on the card.

    Attributes:
        folder: Its folder.
        name: Its name.
        content: Its bytes, or the file on this computer that holds them.
        created: Its time: the camera's wall clock, written as UTC.
        size: Bytes.
    """

    folder: str
    name: str
    content: bytes | Path
    created: int = _FIRST_TIME
    size: int = field(init=False)

    def __post_init__(self) -> None:
        content = self.content
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        object.__setattr__(self, "size", size)

    def read(self, start: int, end: int) -> bytes:
        """Give the bytes from `start` up to but without `end`."""
        if isinstance(self.content, bytes):
            return self.content[start:end]
        with self.content.open("rb") as file:
            file.seek(start)
            return file.read(max(0, end - start))


@dataclass
class Card:
    """The files of the fake camera's card, in the order in which it lists them."""

    files: list[CardFile]

    def find(self, folder: str, name: str) -> CardFile | None:
        """Find a file; None where there is none."""
        if len(self._index) != len(self.files):
            self._index = {(file.folder, file.name): file for file in self.files}
        return self._index.get((folder, name))

    _index: dict[tuple[str, str], CardFile] = field(default_factory=dict)

    def folders(self) -> list[str]:
        """Name the folders, in order."""
        return list(dict.fromkeys(file.folder for file in self.files))

    def media(self, *, with_created: bool = True) -> list[dict[str, object]]:
        """Build the `media` array of a JSON list, as a camera does: numbers are strings."""
        media: list[dict[str, object]] = []
        for folder in self.folders():
            items = list(self._items(folder, with_created=with_created))
            media.append({"d": folder, "fs": items})
        return media

    def _items(self, folder: str, *, with_created: bool) -> list[dict[str, object]]:
        items: list[dict[str, object]] = []
        groups: dict[str, list[CardFile]] = {}
        for file in self.files:
            if file.folder != folder or self._is_hidden(file):
                continue
            if parse_name(file.name).naming is Naming.GROUP and file.name.endswith("JPG"):
                groups.setdefault(parse_name(file.name).clip, []).append(file)
            else:
                items.append(self._item(file, with_created=with_created))
        items.extend(_group_item(number, files) for number, files in enumerate(groups.values(), 1))
        return items

    def _is_hidden(self, file: CardFile) -> bool:
        """Whether the list leaves the file out, because it belongs to another."""
        kind = kind_of(file.name)
        if kind is Kind.RAW:
            return self.find(file.folder, companion_name(file.name, "JPG")) is not None
        return kind in _HIDDEN

    def _item(self, file: CardFile, *, with_created: bool) -> dict[str, object]:
        item: dict[str, object] = {"n": file.name}
        if with_created:
            item["cre"] = str(file.created)
        item["mod"] = str(file.created)
        if kind_of(file.name) is Kind.VIDEO:
            proxy = self.find(file.folder, proxy_names(file.name, same_stem=False)[0])
            item["glrv"] = str(proxy.size if proxy else 0)
            item["ls"] = "-1"
        elif self.find(file.folder, companion_name(file.name, "GPR")):
            item["raw"] = "1"
        item["s"] = str(file.size)
        return item


def _group_item(number: int, files: Sequence[CardFile]) -> dict[str, object]:
    numbers = [parse_name(file.name).number or 0 for file in files]
    first, last = min(numbers), max(numbers)
    missing = sorted(set(range(first, last + 1)) - set(numbers))
    created = str(files[0].created)
    return {
        "n": files[0].name,
        "g": str(number),
        "b": str(first),
        "l": str(last),
        "m": [str(value) for value in missing],
        "t": "t",
        "cre": created,
        "mod": created,
        "s": str(sum(file.size for file in files)),
    }


def made_up_card(*, scale: int = 1) -> Card:
    """Make a small card with one of everything: clips in chapters, proxies, RAW, a time lapse.

    Args:
        scale: Factor for all sizes; 1 makes about 5 MB in all.
    """
    files: list[CardFile] = []
    kilo = 1000 * scale

    def add(folder: str, name: str, content: bytes, minutes: int) -> None:
        files.append(CardFile(folder, name, content, _FIRST_TIME + 60 * minutes))

    def clip(folder: str, chapter: int, number: int, minutes: int, size: int) -> None:
        stem = f"{chapter:02d}{number:04d}"
        created, seed = _FIRST_TIME + 60 * minutes, number * 100 + chapter
        add(folder, f"GX{stem}.MP4", make_mp4(size, seed=seed, created=created), minutes)
        add(folder, f"GL{stem}.LRV", make_mp4(size // 10, seed=-seed, created=created), minutes)
        add(folder, f"GX{stem}.THM", make_jpeg(9_000, seed=seed), minutes)

    clip("100GOPRO", 1, 10, 0, 1200 * kilo)
    clip("100GOPRO", 2, 10, 12, 700 * kilo)
    clip("100GOPRO", 1, 11, 30, 600 * kilo)
    add("100GOPRO", "GX010011.WAV", make_wav(60 * kilo, seed=11), 30)
    for number in (12, 13):
        photo = make_jpeg(300 * kilo, seed=number)
        add("100GOPRO", f"GOPR{number:04d}.JPG", photo, 40 + number)
    add("100GOPRO", "GOPR0013.GPR", make_gpr(500 * kilo, seed=13), 53)
    for number in (14, 15, 17, 18):  # 16 was deleted on the camera
        frame = make_jpeg(100 * kilo, seed=number)
        add("100GOPRO", f"G001{number:04d}.JPG", frame, 60)
    clip("101GOPRO", 1, 10, 24 * 60, 400 * kilo)  # the same name in another folder
    return Card(files)


def with_stubs(card: Card) -> Card:
    """Add what aborted recordings leave: an empty clip, one of a few bytes with a larger proxy."""
    clip, proxy = make_mp4(20_000, seed=1), make_mp4(50_000, seed=2)
    stubs = {"GX010020.MP4": b"", "GX010021.MP4": clip[:5_000], "GL010021.LRV": proxy}
    added = [CardFile("100GOPRO", name, content) for name, content in stubs.items()]
    return Card([*card.files, *added])


_FOLDER = re.compile(r"\d{3}[A-Z_]{5}")


def read_card(folder: Path) -> Card:
    """Take a folder of this computer as the card; its files keep names and times.

    Files are taken from `DCIM/NNNXXXXX` or `NNNXXXXX` folders below it; a folder without any
    such folder is served as `100GOPRO`.

    Raises:
        InputError: There is no such folder, or no file in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", hint="name a folder with files to serve")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [
        CardFile(
            path.parent.name if _FOLDER.fullmatch(path.parent.name) else "100GOPRO",
            path.name,
            path,
            int(path.stat().st_mtime),
        )
        for path in paths
        if not path.name.startswith(".")
    ]
    if not files:
        raise InputError(f"{folder} has no files to serve", hint="name a folder with files")
    return Card(files)
