"""Writing what a TV sends below one folder, and nowhere else.

Names come from the TV and are not trusted: one that is absolute or has `..` is refused, a folder
that turns out to be a link is never written through, and links are made last.
"""

from __future__ import annotations

import os
import secrets
import stat
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import RefusedError, UnmetError
from labkit.tv.local_file import lock, remove_leftovers
from labkit.tv.tarstream import safe_parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from labkit.tv.tarstream import TarEntry

__all__ = ["Unpacker"]

_CHUNK_BYTES = 1 << 18


class Unpacker:
    """Writes below `root`.

    Args:
        root: The file or folder that is written.

    Attributes:
        files: How many files were written.
        size_bytes: Their size together.
        skipped: What was not written, with the reason.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._safe_folders: set[Path] = set()
        self._links: list[tuple[Path, str]] = []
        self.files = 0
        self.size_bytes = 0
        self.skipped: list[str] = []

    def entry(self, entry: TarEntry, contents: Iterable[bytes]) -> None:
        """Write one member of an archive; names are relative to the root.

        Raises:
            RefusedError: It would be written elsewhere.
            UnmetError: It cannot be written.
        """
        if entry.name.strip("/") == "." or entry.name == "./":
            self.folder(())
            return
        parts = self._parts(entry.name)
        if entry.kind == "folder":
            self.folder(parts)
        elif entry.kind == "file":
            self.file(parts, contents, entry.mtime)
        elif entry.kind == "symlink":
            self._links.append((self._root.joinpath(*parts), entry.target))
        elif entry.kind == "hardlink":
            self._copy_link(parts, entry.target)
        else:
            self.skipped.append(f"{entry.name}: no ordinary file")

    def folder(self, parts: tuple[str, ...]) -> None:
        """Make a folder.

        Raises:
            RefusedError: A part of the way is no plain name, or a link.
            UnmetError: It cannot be made.
        """
        self._folder(self._path(parts))

    def file(self, parts: tuple[str, ...], contents: Iterable[bytes], mtime: float) -> None:
        """Write a file under a temporary name, then give it its own.

        Raises:
            RefusedError: It would be written elsewhere.
            UnmetError: It cannot be written.
        """
        path = self._path(parts)
        if parts:
            self._folder(path.parent)
        else:
            remove_leftovers(path.parent)
        temporary = path.with_name(f".labkit-{secrets.token_hex(4)}.part")
        try:
            try:
                with temporary.open("xb") as file:
                    lock(file.fileno())
                    for piece in contents:
                        file.write(piece)
                        self.size_bytes += len(piece)
                os.utime(temporary, (mtime, mtime))
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _not_written(path, error) from error
        self.files += 1

    def finish(self) -> None:
        """Make the links, which lead nowhere outside."""
        for path, target in self._links:
            if not self._stays_inside(path, target):
                self.skipped.append(f"{path}: a link to {target}, outside")
                continue
            try:
                self._folder(path.parent)
                if path.is_symlink():
                    path.unlink()
                path.symlink_to(target)
            except OSError as error:
                self.skipped.append(f"{path}: {error.strerror or error}")

    def _stays_inside(self, path: Path, target: str) -> bool:
        """Tell whether a link leads nowhere outside, whatever other links its target passes."""
        words = [word for word in target.split("/") if word not in {"", "."}]
        names = list(dropwhile(lambda word: word == "..", words))
        # `..` behind the name of another link leads above what that one leads to.
        if target.startswith("/") or ".." in names:
            return False
        return Path(os.path.normpath(path.parent / target)).is_relative_to(self._root)

    def _copy_link(self, parts: tuple[str, ...], target: str) -> None:
        """Write a second name of a file that came before as a copy of it."""
        source = self._root.joinpath(*self._parts(target))
        try:
            if not stat.S_ISREG(source.lstat().st_mode):
                raise FileNotFoundError
            with source.open("rb") as file:
                mtime = os.fstat(file.fileno()).st_mtime
                self.file(parts, iter(lambda: file.read(_CHUNK_BYTES), b""), mtime)
        except OSError:
            self.skipped.append(f"{'/'.join(parts)}: a second name of {target}, which did not come")

    def _parts(self, name: str) -> tuple[str, ...]:
        parts = safe_parts(name)
        if parts is None:
            raise _leads_out(name)
        return parts

    def _path(self, parts: tuple[str, ...]) -> Path:
        for part in parts:
            if part in {"", ".", ".."} or "/" in part or os.sep in part or "\0" in part:
                raise _leads_out("/".join(parts))
        return self._root.joinpath(*parts)

    def _folder(self, path: Path) -> None:
        if path in self._safe_folders:
            return
        if path != self._root:
            self._folder(path.parent)
        try:
            # The root itself is the user's: it may be a link.
            if path != self._root and path.is_symlink():
                raise _leads_out(str(path))
            path.mkdir(parents=path == self._root, exist_ok=True)
            remove_leftovers(path)
        except OSError as error:
            raise _not_written(path, error) from error
        self._safe_folders.add(path)


def _leads_out(name: str) -> RefusedError:
    return RefusedError(
        f"the TV sent a name that leads out of the destination: {name!r}",
        hint="nothing was written there; pull a smaller part",
        code="unsafe-name",
    )


def _not_written(path: Path, error: OSError) -> UnmetError:
    return UnmetError(
        f"{path} cannot be written: {error.strerror or error}",
        hint="free some space or choose another folder",
        code="not-writable",
    )
