"""Files between this computer and a TV: `push`, `pull` and `ls`.

Folders go through tar where the TV has it, else file by file; single files always through adb's
file service. Times are kept. Names from the TV never lead out of the destination.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import InputError, RefusedError, UnreachableError, UsageError
from labkit.progress import SILENT
from labkit.tv.faults import adb_error
from labkit.tv.staging import discarded_on_failure, merge, staging_folder
from labkit.tv.tarpipe import create_tar, extract_tar, has_tar
from labkit.tv.tarstream import TarReader, end_of_archive, padding
from labkit.tv.unpack import Unpacker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from labkit.errors import LabkitError
    from labkit.progress import Progress, Task
    from labkit.tv.device import Tv
    from labkit.tv.sync import RemoteFile

__all__ = [
    "PushItem",
    "PushPlan",
    "Transfer",
    "list_folder",
    "plan_push",
    "pull",
    "push",
    "require_device_path",
]

_CHUNK_BYTES = 1 << 18
# So much at most is sent again where a push breaks off; what came before has its names.
_BATCH_BYTES = 256 << 20


@dataclass(frozen=True)
class PushItem:
    """A file or folder that goes to the TV.

    Attributes:
        local: Where it is.
        remote: Where it goes, relative to the destination.
        is_folder: Whether it is a folder.
        size_bytes: The size of a file.
        mtime: When it was changed, in seconds since 1970.
    """

    local: Path
    remote: str
    is_folder: bool
    size_bytes: int
    mtime: int


@dataclass(frozen=True)
class PushPlan:
    """What a push will send.

    Attributes:
        folder: The folder on the TV that receives it.
        items: Folders and files, a folder before what is in it.
        skipped: What is neither file nor folder, or a link to a folder or nothing, and stays.
        replaces: The paths on the TV that exist already.
    """

    folder: str
    items: tuple[PushItem, ...]
    skipped: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[PushItem, ...]:
        """The files alone."""
        return tuple(item for item in self.items if not item.is_folder)

    @property
    def size_bytes(self) -> int:
        """The bytes to send."""
        return sum(item.size_bytes for item in self.files)

    @property
    def target(self) -> str:
        """What is written: the one file or folder by its path, else the folder that gets all."""
        tops = {item.remote.partition("/")[0] for item in self.items}
        return posixpath.join(self.folder, *tops) if len(tops) == 1 else self.folder


@dataclass(frozen=True)
class Transfer:
    """What was copied.

    Attributes:
        files: The number of files.
        size_bytes: Their size together.
        target: Where they are now.
        skipped: What was not copied, with the reason.
    """

    files: int
    size_bytes: int
    target: str
    skipped: tuple[str, ...] = ()


def require_device_path(text: str) -> str:
    """Return an absolute path on the TV in its shortest form.

    Raises:
        UsageError: It is not absolute; some adb versions never come back from a relative one.
    """
    if not text.startswith("/") or "\0" in text:
        raise UsageError(
            f"{text!r} is no absolute path on the TV",
            hint="start it with /, for instance /sdcard/Download",
        )
    return posixpath.normpath(text).replace("//", "/")


def list_folder(tv: Tv, path: str) -> list[RemoteFile]:
    """List a folder on the TV; a file is listed as itself.

    Raises:
        InputError: There is no such path.
        RefusedError: The TV does not allow a look.
    """
    path = require_device_path(path)
    with tv.sync() as sync:
        found = sync.stat(path, follow=True)
        if found is None:
            raise _nothing_there(tv, path)
        if not found.is_folder:
            return [found]
        files = sync.list(path)
    if not files:
        _require_readable(tv, path)
    return files


def _nothing_there(tv: Tv, path: str) -> LabkitError:
    result = tv.run("ls", "-d", path)
    if "ermission denied" in result.text:
        return adb_error("path_denied", tv.name, path)
    return InputError(f"there is no {path} on {tv.name}", code="not-on-tv")


def _require_readable(tv: Tv, path: str) -> None:
    result = tv.run("ls", path)
    if "ermission denied" in result.text:
        raise adb_error("path_denied", tv.name, path)


# -- push


def plan_push(tv: Tv, sources: Sequence[Path], destination: str) -> PushPlan:
    """Find out what a push will send, and where.

    Several sources, a folder that exists and a path that ends with `/` mean "into this folder";
    else the source gets the destination's name. A file is not renamed to what looks like the name
    of a folder that is missing: `film.mkv` to `/sdcard/Movies`.

    Raises:
        InputError: A source is missing or cannot be read.
        UsageError: The destination is no absolute path, or may be meant as a folder or as a name.
    """
    into_folder = len(sources) > 1 or destination.endswith("/")
    path = require_device_path(destination)
    with tv.sync() as sync:
        found = sync.stat(path, follow=True)
        into_folder = into_folder or path == "/" or (found is not None and found.is_folder)
        if into_folder and found is not None and not found.is_folder:
            raise UsageError(f"{path} on {tv.name} is a file, not a folder")
        if not into_folder and found is None:
            _refuse_ambiguous(tv, sources[0], path)
        folder = path if into_folder else posixpath.dirname(path)
        items: list[PushItem] = []
        skipped: list[str] = []
        replaces = []
        for source in sources:
            name = source.resolve().name if into_folder else posixpath.basename(path)
            items += _items(source, name, skipped)
            there = sync.stat(posixpath.join(folder, name))
            if there is not None:
                replaces.append(posixpath.join(folder, name))
    return PushPlan(folder, tuple(items), tuple(skipped), tuple(replaces))


def _refuse_ambiguous(tv: Tv, source: Path, path: str) -> None:
    """Ask back where a file with an extension would lose it: a folder is probably meant."""
    if not source.suffix or posixpath.splitext(path)[1] or source.is_dir():
        return
    raise UsageError(
        f"there is no folder {path} on {tv.name}",
        hint=f"write {path}/ to make it, or {path}{source.suffix} if that is the file's new name",
        code="no-such-folder",
    )


def _items(source: Path, name: str, skipped: list[str]) -> Iterator[PushItem]:
    def refuse(error: OSError) -> None:
        raise error

    try:
        yield from _item(source, name, skipped, top=True)
        if not source.is_dir():
            return
        for parent, folders, files in os.walk(source, onerror=refuse):
            relative = Path(parent).relative_to(source)
            folders.sort()
            for child in (*folders, *sorted(files)):
                remote = posixpath.join(name, *relative.parts, child)
                yield from _item(Path(parent, child), remote, skipped)
    except FileNotFoundError as error:
        raise InputError(f"there is no {error.filename}", code="file-not-found") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{error.filename or source} cannot be read: {reason}") from error


def _item(path: Path, remote: str, skipped: list[str], *, top: bool = False) -> Iterator[PushItem]:
    try:
        facts = path.stat()
    except FileNotFoundError:
        if top or not path.is_symlink():
            raise
        skipped.append(f"{path}: a link to nothing")
        return
    is_folder = stat.S_ISDIR(facts.st_mode)
    linked_folder = is_folder and path.is_symlink() and not top
    if linked_folder or not (is_folder or stat.S_ISREG(facts.st_mode)):
        skipped.append(f"{path}: {'a link to a folder' if linked_folder else 'no ordinary file'}")
        return
    if not os.access(path, os.R_OK):  # known before anything is sent
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    size = 0 if is_folder else facts.st_size
    yield PushItem(path, remote, is_folder, size, int(facts.st_mtime))


def push(tv: Tv, plan: PushPlan, *, progress: Progress = SILENT) -> Transfer:
    """Send files and folders to the TV, replacing what is there under the same names.

    A file gets its name when it is whole; until then, what was there stays.

    Raises:
        RefusedError: The TV does not take them; its reason is in the message.
        UnreachableError: The TV went away.
    """
    by_tar = any(i.is_folder for i in plan.items) and tv.has_shell_v2 and has_tar(tv)
    send = _send_tar if by_tar else _send_files
    sent = 0
    try:
        with progress.task(f"push to {tv.name}", total=plan.size_bytes) as task:
            for batch in _batches(plan.items):
                staging, made = staging_folder(tv, plan.folder, plan.target)
                if made.status:
                    raise _tar_refusal(tv, plan.folder, made.text.splitlines())
                with discarded_on_failure(tv, staging, progress):
                    send(tv, staging, batch, task)
                    moved = merge(tv, staging, plan.folder)
                    if moved.status:
                        raise _tar_refusal(tv, plan.folder, moved.text.splitlines())
                sent += sum(not item.is_folder for item in batch)
    except (KeyboardInterrupt, UnreachableError):
        progress.message(
            f"{sent} of {len(plan.files)} files were copied to {plan.target} on {tv.name}, "
            "the others are as before; repeat the command to send all"
        )
        raise
    return Transfer(len(plan.files), plan.size_bytes, plan.target, plan.skipped)


def _batches(items: Sequence[PushItem]) -> Iterator[tuple[PushItem, ...]]:
    """Divide what is sent, so that what breaks off costs only so much."""
    batch: list[PushItem] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.size_bytes
        if size >= _BATCH_BYTES:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


def _send_files(tv: Tv, folder: str, items: Sequence[PushItem], task: Task) -> None:
    with tv.sync() as sync:
        for item in items:
            target = posixpath.join(folder, item.remote)
            if item.is_folder:
                _make_folder(tv, target)
                continue
            with _open(item) as source:
                sync.send(target, 0o644, item.mtime, _noted(_pieces(source), task))


def _send_tar(tv: Tv, folder: str, items: Sequence[PushItem], task: Task) -> None:
    with extract_tar(tv, folder) as (sink, outcome):
        written = 0
        for item in items:
            for piece in _tar_member(item):
                if not sink.write(piece):
                    break
                written += len(piece)
            task.advance(item.size_bytes)
        sink.write(end_of_archive(written))
    if not outcome.ok:
        raise _tar_refusal(tv, folder, outcome.errors)


def _tar_member(item: PushItem) -> Iterator[bytes]:
    info = tarfile.TarInfo(item.remote)
    info.mtime = item.mtime
    info.mode = 0o755 if item.is_folder else 0o644
    info.type = tarfile.DIRTYPE if item.is_folder else tarfile.REGTYPE
    info.size = item.size_bytes
    yield info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    if item.is_folder:
        return
    remaining = item.size_bytes
    with _open(item) as source:
        while remaining and (piece := source.read(min(_CHUNK_BYTES, remaining))):
            remaining -= len(piece)
            yield piece
    if remaining:
        raise InputError(f"{item.local} became shorter while it was sent")
    yield padding(item.size_bytes)


def _open(item: PushItem) -> BinaryIO:
    try:
        return item.local.open("rb")
    except OSError as error:
        raise InputError(f"{item.local} cannot be read: {error.strerror or error}") from error


def _make_folder(tv: Tv, path: str) -> None:
    result = tv.run("mkdir", "-p", path)
    if result.status:
        raise _tar_refusal(tv, path, result.text.splitlines())


def _tar_refusal(tv: Tv, path: str, errors: Sequence[str]) -> LabkitError:
    reason = errors[0] if errors else "tar failed and gave no reason"
    if "ermission denied" in reason or "not permitted" in reason:
        return adb_error("path_denied", tv.name, f"{path}: {reason}")
    return RefusedError(f"{tv.name} cannot write below {path}: {reason}", code="file-refused")


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(_CHUNK_BYTES):
        yield piece


# -- pull


def pull(tv: Tv, source: str, destination: Path, *, progress: Progress = SILENT) -> Transfer:
    """Copy a file or a folder from the TV.

    Into `destination` where it is a folder, else under its name.

    Args:
        tv: The TV.
        source: An absolute path on the TV.
        destination: A folder, or a path that does not exist yet.
        progress: Counts the bytes.

    Raises:
        InputError: There is nothing at `source`.
        RefusedError: The TV does not give it, or a name in it would lead out of `destination`.
        UnmetError: The destination cannot be written.
    """
    source = require_device_path(source)
    target = pull_target(source, destination)
    with tv.sync() as sync:
        found = sync.stat(source, follow=True) or sync.stat(source)
    if found is None:
        raise _nothing_there(tv, source)
    unpacker = Unpacker(target)
    total = None if found.is_folder else float(found.size_bytes)
    with progress.task(f"pull from {tv.name}", total=total) as task:
        if not found.is_folder:
            with tv.sync() as sync:
                unpacker.file((), _noted(sync.receive(source), task), found.mtime)
            skipped: tuple[str, ...] = ()
        elif has_tar(tv):
            skipped = _pull_tar(tv, source, unpacker, task)
        else:
            skipped = _pull_files(tv, source, unpacker, task)
    unpacker.finish()
    return Transfer(unpacker.files, unpacker.size_bytes, str(target), (*skipped, *unpacker.skipped))


def pull_target(source: str, destination: Path) -> Path:
    """Return where a pull of `source` puts it on this computer."""
    name = posixpath.basename(source) or "tv"
    return destination / name if destination.is_dir() else destination


def _pull_tar(tv: Tv, source: str, unpacker: Unpacker, task: Task) -> tuple[str, ...]:
    # A folder behind a link is wanted itself, and `.` names it whatever it is called.
    with create_tar(tv, source, ["."]) as (pieces, outcome):
        reader = TarReader(pieces, f"what {tv.name} sent of {source}")
        unpacker.folder(())
        for entry in reader:
            unpacker.entry(entry, _noted(reader.contents(), task))
        for _ in pieces:
            pass
    if not reader.complete:
        raise _tar_refusal(tv, source, outcome.errors)
    if not unpacker.files and not outcome.ok:
        raise _tar_refusal(tv, source, outcome.errors)
    return () if outcome.ok else tuple(outcome.errors)


def _pull_files(tv: Tv, source: str, unpacker: Unpacker, task: Task) -> tuple[str, ...]:
    skipped = []
    waiting: list[tuple[str, ...]] = [()]
    sync = tv.sync()
    try:
        while waiting:
            folder = waiting.pop()
            unpacker.folder(folder)
            for file in sync.list(posixpath.join(source, *folder)):
                path = (*folder, file.name)
                remote = posixpath.join(source, *path)
                if file.is_folder:
                    waiting.append(path)
                elif not file.is_file:
                    skipped.append(f"{remote}: no ordinary file")
                else:
                    try:
                        unpacker.file(path, _noted(sync.receive(remote), task), file.mtime)
                    except RefusedError as error:
                        skipped.append(error.message)
                        # A refusal ends the session.
                        sync.close()
                        sync = tv.sync()
    finally:
        sync.close()
    return tuple(skipped)


def _noted(pieces: Iterator[bytes], task: Task) -> Iterator[bytes]:
    for piece in pieces:
        task.advance(len(piece))
        yield piece
