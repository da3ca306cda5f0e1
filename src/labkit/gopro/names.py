"""What a camera's file name says: kind, clip, chapter, number; and whether it is safe to use.

Every generation names files in its own way, but the end of the stem tells them apart. A prefix
that the user gave the camera may stand before it, as in `20250901-CAM2-GX010001.MP4`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Kind",
    "MediaName",
    "Naming",
    "companion_name",
    "escaped",
    "file_name_fault",
    "kind_of",
    "parse_name",
    "proxy_names",
    "split_name",
]


@unique
class Kind(StrEnum):
    """What a file is, decided by its extension alone."""

    VIDEO = "video"
    PHOTO = "photo"
    RAW = "raw"
    AUDIO = "audio"
    PROXY = "proxy"
    THUMB = "thumb"
    OTHER = "other"


_KINDS = {
    "MP4": Kind.VIDEO,
    "360": Kind.VIDEO,
    "JPG": Kind.PHOTO,
    "JPEG": Kind.PHOTO,
    "36P": Kind.PHOTO,
    "GPR": Kind.RAW,
    "WAV": Kind.AUDIO,
    "LRV": Kind.PROXY,
    "THM": Kind.THUMB,
}


@unique
class Naming(StrEnum):
    """How files of one recording are tied together by their names."""

    CLIP = "clip"
    """Chapters of one recording share everything but the chapter."""
    SINGLE = "single"
    """The file stands alone; companions share its stem."""
    GROUP = "group"
    """Frames of a burst or a time lapse share everything but the number."""
    UNKNOWN = "unknown"
    """A name never seen before; it stands alone."""


@dataclass(frozen=True, slots=True)  # a list can have 50,000 of them
class MediaName:
    """What the name of a file on the camera says.

    Attributes:
        name: The whole name, as on the camera.
        kind: What the file is.
        naming: How it is tied to others.
        clip: The name of its clip or group within the folder, the same for all chapters and
            frames: `GX0078`, `GOPR0078`, `G001`; a file that stands alone has its stem here.
        prefix: What the user put before the camera's own name, mostly empty.
        number: The camera's number of the recording or photo; None where the name has none.
        chapter: The part of the recording, counted from 1; None for what has no chapters.
    """

    name: str
    kind: Kind
    naming: Naming
    clip: str
    prefix: str = ""
    number: int | None = None
    chapter: int | None = None


@dataclass(frozen=True)
class _Pattern:
    """One way of naming: the end of the stem and the extensions it comes with."""

    stem: re.Pattern[str]
    extensions: frozenset[str]
    naming: Naming
    clip: str
    first_chapter: int | None = None  # the chapter that the digits `00` stand for


def _pattern(
    stem: str, extensions: str, naming: Naming, clip: str, first_chapter: int | None = None
) -> _Pattern:
    return _Pattern(
        re.compile(rf"(?P<prefix>(?:.*[^a-z0-9])?){stem}", re.IGNORECASE | re.ASCII | re.DOTALL),
        frozenset(extensions.split()),
        naming,
        clip,
        first_chapter,
    )


_NUMBER = "(?P<number>[0-9]{4})"
_CHAPTER = "(?P<chapter>[0-9]{2})"

# The first match wins: the same stem means one thing for a video and another for a photo.
_PATTERNS = (
    # HERO2 to HERO5: the first chapter, then the continuations from GP01 on.
    _pattern(f"GOPR{_NUMBER}", "MP4 LRV THM", Naming.CLIP, "GOPR{number}", 1),
    _pattern(f"GP{_CHAPTER}{_NUMBER}", "MP4 LRV THM", Naming.CLIP, "GOPR{number}", 1),
    # Fusion, back and front lens.
    _pattern(f"(?P<letters>GPBK|GPFR){_NUMBER}", "MP4 LRV THM WAV", Naming.CLIP, "{stem}", 1),
    _pattern(f"(?P<letters>GPBK|GPFR){_NUMBER}", "JPG GPR", Naming.SINGLE, "{stem}"),
    # Photos; HERO13's GP01nnnn is one photo, no chapter.
    _pattern(f"GOPR{_NUMBER}", "JPG GPR", Naming.SINGLE, "{stem}"),
    _pattern(f"GP[0-9]{{2}}{_NUMBER}", "JPG GPR", Naming.SINGLE, "{stem}"),
    _pattern(f"G[SP]__{_NUMBER}", "JPG GPR", Naming.SINGLE, "{stem}"),
    _pattern(f"GS[0-9]{{2}}{_NUMBER}", "36P JPG", Naming.SINGLE, "{stem}"),
    # Frames of a burst or time lapse, numbered or lettered groups.
    _pattern(f"(?P<letters>G[0-9]{{3}}){_NUMBER}", "JPG GPR", Naming.GROUP, "{letters}"),
    _pattern(f"(?P<letters>G[A-Z]{{3}}){_NUMBER}", "JPG GPR 36P", Naming.GROUP, "{letters}"),
    # HERO6 and later: X is HEVC, H is AVC, M and L lower quality, S 360, G a live burst.
    _pattern(
        f"(?P<letters>G[A-Z]){_CHAPTER}{_NUMBER}",
        "MP4 360 LRV THM WAV",
        Naming.CLIP,
        "{letters}{number}",
        0,
    ),
    # Looping video: two letters in the place of the chapter.
    _pattern(f"G[A-Z]{{3}}{_NUMBER}", "MP4 LRV THM", Naming.SINGLE, "{stem}"),
)

# Most patterns are of other extensions: looked up, they cost a long list a third less time.
_PATTERNS_OF = {
    extension: tuple(pattern for pattern in _PATTERNS if extension in pattern.extensions)
    for extension in frozenset().union(*(pattern.extensions for pattern in _PATTERNS))
}


def split_name(name: str) -> tuple[str, str]:
    """Split a file name into its stem and its extension, without the dot and as written."""
    stem, dot, extension = name.rpartition(".")
    return (stem, extension) if dot else (name, "")


def kind_of(name: str) -> Kind:
    """Tell what the file `name` is; `Kind.OTHER` for an extension never seen before."""
    return _KINDS.get(split_name(name)[1].upper(), Kind.OTHER)


@lru_cache(maxsize=4096)
def parse_name(name: str) -> MediaName:
    """Read a file name of any generation of camera; a name of no known form stands alone."""
    stem, extension = split_name(name)
    for pattern in _PATTERNS_OF.get(extension.upper(), ()):
        if match := pattern.stem.fullmatch(stem):
            return _read(name, stem, pattern, match)
    return MediaName(name, kind_of(name), Naming.UNKNOWN, stem)


def _read(name: str, stem: str, pattern: _Pattern, match: re.Match[str]) -> MediaName:
    parts = match.groupdict()
    prefix, number = parts["prefix"], parts["number"]
    chapter = pattern.first_chapter
    if chapter is not None:
        chapter += int(parts.get("chapter") or 0)
    clip = pattern.clip.format(
        stem=stem[len(prefix) :], letters=parts.get("letters"), number=number
    )
    return MediaName(
        name, kind_of(name), pattern.naming, prefix + clip, prefix, int(number), chapter
    )


def companion_name(name: str, extension: str) -> str:
    """Name the companion of `name` that shares its stem: `GOPR0001.JPG` -> `GOPR0001.GPR`."""
    return f"{split_name(name)[0]}.{extension}"


def proxy_names(name: str, *, same_stem: bool) -> tuple[str, ...]:
    """Name the proxy of a video: the likely name first, then the other one in use.

    Args:
        name: The video's name.
        same_stem: The camera's list says that the proxy has the stem of the video (its key is
            `ls`); otherwise (`glrv`) the proxy of chapter cc of clip nnnn is `GLccnnnn.LRV`.
    """
    media = parse_name(name)
    own = companion_name(name, "LRV")
    if media.chapter is None or media.number is None:
        return (own,)
    separate = f"{media.prefix}GL{media.chapter:02d}{media.number:04d}.LRV"
    names = (own, separate) if same_stem else (separate, own)
    return tuple(dict.fromkeys(names))


# Room for `.part` and a counter within the 255 bytes of every file system.
_MOST_BYTES = 200
_RESERVED = frozenset('/\\<>:"|?*')
# A server that decodes a path twice would take it for another one.
_ENCODED = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE | re.ASCII)
_DEVICE_NAME = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9\u00b9\u00b2\u00b3]) *(?:\..*)?",
    re.IGNORECASE,
)


_NAME_FAULTS: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda name: not name, "it is empty"),
    (
        lambda name: not name.isprintable() or "\ufffd" in name,
        "it has characters that cannot be shown",
    ),
    (lambda name: not _RESERVED.isdisjoint(name), 'one of / \\ < > : " | ? * is in it'),
    (_ENCODED.search, "it hides a character behind a percent sign"),
    (lambda name: name[0] in ".- ", "it begins with a dot, a hyphen or a space"),
    (lambda name: name[-1] in ". ", "it ends with a dot or a space"),
    (lambda name: len(name.encode()) > _MOST_BYTES, f"it is longer than {_MOST_BYTES} bytes"),
    (_DEVICE_NAME.fullmatch, "it is the name of a device on Windows"),
)


def file_name_fault(name: object) -> str | None:
    """Say why `name` must not become a file or folder on this computer; None when it may.

    It must be one plain part of a path on every system (a library moves from disk to disk), and
    must not look like an option, a hidden file or a sequence that drives a terminal. A name is
    refused, never repaired: two different names could meet in the repaired one.
    """
    if not isinstance(name, str):
        return "it is no text"
    return next((fault for is_faulty, fault in _NAME_FAULTS if is_faulty(name)), None)


def escaped(value: object) -> str:
    """Show an untrusted value on one line of harmless characters, cut at 120 of them."""
    text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}..."  # noqa: PLR2004 - stated above
