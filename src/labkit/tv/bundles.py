"""Opening what the user has: APKs, split sets, folders and all kinds of bundles.

A bundle is a zip archive with APKs in it: `.apks` of bundletool, SAI or App Manager, `.xapk`,
`.apkm`, or the `.zip` of a build service. Its content tells which; the file's name does not count.
An APK that lies uncompressed in a bundle is read where it lies; others are unpacked into a
temporary folder under names of our own.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from labkit.errors import InputError, UnmetError
from labkit.progress import SILENT
from labkit.tv.apk import MANIFEST_NAME, read_apk_file, require_zip
from labkit.tv.apps import Expansion, Found, Part, group_apps
from labkit.tv.errors import ApkError, BundleError, not_an_apk
from labkit.tv.local_file import require_ordinary
from labkit.tv.toc import parse_toc_json, parse_toc_pb
from labkit.tv.window import Span
from labkit.tv.ziparchive import ZipArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from labkit.progress import Progress
    from labkit.tv.apps import App
    from labkit.tv.toc import TocVariant
    from labkit.tv.ziparchive import ZipEntry

__all__ = ["is_safe_path", "open_apps"]

_MAX_ENTRIES = 20_000
_MAX_META_BYTES = 16 << 20
_MAX_APK_BYTES = 1 << 32  # Android reads no zip64
# Deflate reaches 1,032:1 on constant bytes; what is in APKs is compressed already.
_BOMB_RATIO = 200
_BOMB_BYTES = 64 << 20
_TOC_PARSERS: dict[str, Callable[[bytes], tuple[TocVariant, ...]]] = {
    "toc.pb": parse_toc_pb,
    "toc.json": parse_toc_json,
}
_EXPANSION_FOLDER = PurePosixPath("Android/obb")


@contextmanager
def open_apps(
    sources: Sequence[Path | str], *, verify: bool = False, progress: Progress = SILENT
) -> Iterator[tuple[App, ...]]:
    """Find the apps in files and folders; their bytes can be read while the context lasts.

    Loose APKs of one package make one app. A bundle or a folder must hold one app alone.

    Args:
        sources: APKs, bundles and folders.
        verify: Compare all bytes of the APKs with their sums, too.
        progress: Hears of what has to be unpacked first.

    Raises:
        InputError: A source cannot be opened.
        ApkError: One is no APK and no bundle, or is damaged.
        BundleError: Parts are missing, doubled, or of several apps.
        UnmetError: There is no room to unpack a bundle.
    """
    with ExitStack() as stack:
        opener = _Opener(stack, progress, verify=verify)
        yield group_apps([opener.look_into(Path(source)) for source in sources])


class _Opener:
    """Looks into what the user named.

    Args:
        stack: What is unpacked goes when it closes.
        progress: Hears of that.
        verify: Whether APKs are compared with their sums.
    """

    def __init__(self, stack: ExitStack, progress: Progress, *, verify: bool) -> None:
        self._stack = stack
        self._verify = verify
        self.progress = progress

    @cached_property
    def scratch(self) -> Path:
        """A folder for what must be unpacked."""
        import tempfile  # most apps need none

        folder = tempfile.TemporaryDirectory(prefix="labkit-tv-")
        return Path(self._stack.enter_context(folder))

    def look_into(self, source: Path) -> Found:
        try:
            require_ordinary(source)
            if source.is_dir():
                return self._look_into_folder(source)
            with source.open("rb") as file:
                return self._look_into_file(file, source)
        except FileNotFoundError as error:
            raise InputError(f"there is no {source}", code="file-not-found") from error
        except OSError as error:
            raise InputError(f"{source} cannot be read: {error.strerror or error}") from error

    def part(self, span: Span, name: str) -> Part:
        """Read one APK."""
        with span.open() as file:
            return Part(read_apk_file(file, name, verify=self._verify), span)

    def _look_into_folder(self, folder: Path) -> Found:
        def refuse(error: OSError) -> None:
            raise error

        paths = [
            Path(parent, name)
            for parent, _, names in os.walk(folder, onerror=refuse)
            for name in sorted(names)
            if name.lower().endswith(".apk")
        ]
        paths = sorted(path for path in paths if path.is_file() and not path.is_symlink())
        if not paths:
            raise BundleError(
                f"there is no .apk file in {folder}",
                hint="a bundle (.apks, .xapk, .apkm, .zip) is given by its own name",
                code="no-apk",
            )
        return Found(str(folder), tuple(self.part(Span.whole(path), str(path)) for path in paths))

    def _look_into_file(self, file: BinaryIO, source: Path) -> Found:
        try:
            require_zip(file, str(source))
        except ApkError:
            if source.suffix.lower() == ".apkm":
                raise BundleError(
                    f"{source} is no zip archive; old .apkm files are encrypted",
                    hint="download it again in today's form, or as .apk",
                    code="encrypted-bundle",
                ) from None
            raise
        archive = ZipArchive(file, str(source))
        entries = _safe_entries(archive, source)
        if MANIFEST_NAME in entries:
            part = self.part(Span.whole(source), str(source))
            return Found(str(source), (part,), is_container=False)
        return _Bundle(archive, entries, source, self).look()


def _safe_entries(archive: ZipArchive, source: Path) -> dict[str, ZipEntry]:
    entries: dict[str, ZipEntry] = {}
    for count, entry in enumerate(archive.entries()):
        if entry.name == MANIFEST_NAME:
            # An APK: its own reader takes over, and the names in it are never used as paths.
            return {MANIFEST_NAME: entry}
        if count >= _MAX_ENTRIES:
            continue
        entries[entry.name] = entry
    if len(entries) >= _MAX_ENTRIES:
        raise BundleError(
            f"{source} holds more than {_MAX_ENTRIES:,} files: it is no bundle of an app",
            code="not-a-bundle",
        )
    for name in entries:
        if not is_safe_path(name):
            raise BundleError(
                f"{source} holds a file that would leave its folder: {name}",
                hint="do not use this file; get the app from its maker",
                code="unsafe-path",
            )
    return entries


def is_safe_path(name: str) -> bool:
    """Whether a path from a bundle is relative and stays below where it starts."""
    parts = name.replace("\\", "/").split("/")
    return bool(name) and parts[0] != "" and ".." not in parts and ":" not in parts[0]


class _Bundle:
    """A zip archive that holds APKs."""

    def __init__(
        self,
        archive: ZipArchive,
        entries: dict[str, ZipEntry],
        source: Path,
        opener: _Opener,
    ) -> None:
        self._archive = archive
        self._source = source
        self._opener = opener
        self._entries = {
            name: entry
            for name, entry in entries.items()
            if not entry.is_folder and not entry.is_link
        }

    def look(self) -> Found:
        toc = self._toc()
        names = self._apk_names(toc)
        if not names:
            raise not_an_apk(
                str(self._source),
                "it is a zip archive without AndroidManifest.xml or APKs",
            )
        parts = [
            self._opener.part(self._span(self._entries[name]), f"{self._source}!{name}")
            for name in names
        ]
        return Found(str(self._source), tuple(parts), toc, tuple(self._expansions()))

    def _apk_names(self, toc: tuple[TocVariant, ...]) -> list[str]:
        if not toc:
            return sorted(name for name in self._entries if name.lower().endswith(".apk"))
        names = dict.fromkeys(path for variant in toc for path in variant.paths)
        for name in names:
            if name not in self._entries:
                raise BundleError(
                    f"{self._source} lacks {name}, which its table of contents names",
                    hint="build or download it again",
                    code="missing-part",
                )
        return list(names)

    def _toc(self) -> tuple[TocVariant, ...]:
        for name, parse in _TOC_PARSERS.items():
            if name in self._entries:
                data = self._archive.read(self._entries[name], limit_bytes=_MAX_META_BYTES)
                try:
                    variants = parse(data)
                except ValueError as error:
                    raise BundleError(f"{name} in {self._source} is damaged: {error}") from error
                return tuple(filter(None, (_without_instant(variant) for variant in variants)))
        return ()

    def _expansions(self) -> Iterator[Expansion]:
        for item in _expansion_items(self._xapk_manifest()):
            source, target = str(item.get("file", "")), str(item.get("install_path", ""))
            path = PurePosixPath(target)
            if not is_safe_path(target) or not path.is_relative_to(_EXPANSION_FOLDER):
                raise BundleError(
                    f"{self._source} would write outside of {_EXPANSION_FOLDER}: {target}",
                    hint="do not use this file; get the app from its maker",
                    code="unsafe-path",
                )
            if source not in self._entries:
                raise BundleError(
                    f"{self._source} lacks its data file {source}",
                    hint="download it again",
                    code="missing-part",
                )
            yield Expansion(str(path), self._span(self._entries[source]))

    def _xapk_manifest(self) -> dict[str, Any]:
        entry = self._entries.get("manifest.json")
        if entry is None:
            return {}
        try:
            manifest = json.loads(self._archive.read(entry, limit_bytes=_MAX_META_BYTES))
        except (ValueError, RecursionError):
            return {}  # a file of that name in a build's .zip need not be an .xapk's
        return manifest if isinstance(manifest, dict) else {}

    def _span(self, entry: ZipEntry) -> Span:
        if entry.stored:
            return Span(self._source, self._archive.data_offset(entry), entry.size_bytes)
        return Span.whole(self._unpack(entry))

    def _unpack(self, entry: ZipEntry) -> Path:
        self._refuse_bomb(entry)
        free = shutil.disk_usage(self._opener.scratch).free
        if entry.size_bytes > free:
            raise self._no_room(entry.size_bytes, free)
        target = self._opener.scratch / f"{len(list(self._opener.scratch.iterdir()))}.apk"
        with (
            self._opener.progress.task(f"unpacking {entry.name}", total=entry.size_bytes) as task,
            target.open("wb") as out,
        ):
            for chunk in self._archive.chunks(entry):
                try:
                    out.write(chunk)
                except OSError as error:
                    raise self._no_room(entry.size_bytes, 0) from error
                task.advance(len(chunk))
        return target

    def _refuse_bomb(self, entry: ZipEntry) -> None:
        ratio = entry.size_bytes / max(1, entry.packed_bytes)
        if entry.size_bytes > _MAX_APK_BYTES or (
            entry.size_bytes > _BOMB_BYTES and ratio > _BOMB_RATIO
        ):
            raise BundleError(
                f"{entry.name} in {self._source} would unpack from {entry.packed_bytes:,} "
                f"to {entry.size_bytes:,} bytes: no app does that",
                hint="do not use this file; get the app from its maker",
                code="zip-bomb",
            )

    def _no_room(self, needed: int, free: int) -> UnmetError:
        return UnmetError(
            f"no room to unpack {self._source}: it needs {needed:,} bytes "
            f"and {self._opener.scratch.parent} has {free:,}",
            hint="set TMPDIR to a folder with more space",
            code="no-space",
        )


def _without_instant(variant: TocVariant) -> TocVariant | None:
    """Leave the parts out that only instant apps use; None where nothing remains."""
    paths = tuple(path for path in variant.paths if not path.startswith("instant/"))
    return replace(variant, paths=paths) if paths else None


def _expansion_items(manifest: dict[str, Any]) -> Iterable[dict[str, Any]]:
    items = manifest.get("expansions")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
