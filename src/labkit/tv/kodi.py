"""Kodi on a TV: where its data is, backing it up, putting it back.

The data lies in the app's own folder on the shared storage, unless `xbmc_env.properties` moves it.
Some TVs (Fire OS 8, some updated to Android 14) forbid adb to look there: both ways are tried
before anything is done. A restore moves the old data aside and never deletes it.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from labkit.errors import LabkitError, RefusedError, UnmetError
from labkit.progress import SILENT
from labkit.tv.dumps import parse_package
from labkit.tv.faults import adb_error
from labkit.tv.kodi_archive import (
    ArchiveWriter,
    BackupOrigin,
    compressed,
    is_compressed,
    open_archive,
    read_archive,
)
from labkit.tv.local_file import new_file
from labkit.tv.tarpipe import create_tar, extract_tar, has_tar
from labkit.tv.tarstream import TarReader, end_of_archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from labkit.progress import Progress
    from labkit.tv.device import Tv
    from labkit.tv.kodi_archive import BackupManifest
    from labkit.tv.tarpipe import TarOutcome

__all__ = ["Kodi", "RestorePlan", "Restored", "back_up", "find_kodi", "plan_restore", "restore"]

_KODI = "org.xbmc.kodi"
_STORAGE = "/sdcard"
_PARALLEL_QUESTIONS = 4
_DISCARD_TIMEOUT_S = 120.0
_CACHES = ("temp", "addons/packages", "*.log", "*.old.log", "kodi_crashlog*")
_THUMBNAILS = ("userdata/Thumbnails", "userdata/Database/Textures*.db")
_FORBIDDEN_HINT = (
    "this TV does not let adb into apps' folders; use the Backup add-on inside Kodi "
    "(script.xbmcbackup) with a folder such as /sdcard/Download, then `labkit tv pull` it"
)


@dataclass(frozen=True)
class Kodi:
    """Kodi on a TV.

    Attributes:
        package: Its application id.
        version: Its version, for instance `21.1`; None where the TV does not tell.
        folder: Its data folder, which ends with `.kodi` (or a fork's name).
    """

    package: str
    version: str | None
    folder: str

    @property
    def parent(self) -> str:
        """The folder that holds the data folder."""
        return posixpath.dirname(self.folder)

    @property
    def name(self) -> str:
        """The data folder's own name."""
        return posixpath.basename(self.folder)

    @property
    def major(self) -> int | None:
        """The first number of its version."""
        match = re.match(r"\d+", self.version or "")
        return int(match.group()) if match else None


@dataclass(frozen=True)
class RestorePlan:
    """What a restore will do.

    Attributes:
        archive: The backup.
        manifest: What it holds.
        kodi: Kodi on the TV.
        stamp: The time in the names of what is moved, as digits.
        warnings: What may not work afterwards.
    """

    archive: Path
    manifest: BackupManifest
    kodi: Kodi
    stamp: str
    warnings: tuple[str, ...]

    @property
    def aside(self) -> str:
        """Where Kodi's present data is moved."""
        return f"{self.kodi.folder}.labkit-{self.stamp}"


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes:
        files: How many files were written.
        size_bytes: Their size together.
        folder: Where they are.
        aside: Where the former data is.
    """

    files: int
    size_bytes: int
    folder: str
    aside: str


# -- finding it


def find_kodi(tv: Tv, package: str | None = None) -> Kodi:
    """Find Kodi, or the fork `package`, and its data folder.

    Raises:
        UnmetError: It is not installed, or was never started.
        RefusedError: The TV does not let adb see its folder.
    """
    wanted = package or _KODI
    _ = tv.features  # asked for once, not by every thread
    # Each answer takes a TV up to a second: the usual questions go out together.
    with ThreadPoolExecutor(_PARALLEL_QUESTIONS) as pool:
        properties = pool.submit(lambda: tv.properties)
        dump = pool.submit(tv.dump_package, wanted)
        moved = pool.submit(tv.run, "cat", f"{_STORAGE}/xbmc_env.properties")
        usual = pool.submit(_look, tv, _usual_folder(wanted))
        properties.result()
    app = parse_package(dump.result(), wanted, sdk=tv.sdk)
    if app is None and package is None:
        wanted = _fork(tv)
        app = tv.installed(wanted)
    if app is None:
        raise UnmetError(
            f"{wanted} is not installed on {tv.name}",
            hint="`labkit tv apps --filter kodi` shows what there is; forks need --package",
            code="kodi-missing",
        )
    known = {_usual_folder(package or _KODI): usual.result()}
    forbidden = None
    for folder in _candidates(moved.result().stdout, wanted):
        found = known[folder] if folder in known else _look(tv, folder)
        if found == "data":
            return Kodi(wanted, app.version_name, folder)
        if found == "forbidden":
            forbidden = folder
    if forbidden:
        raise _forbidden(tv, forbidden)
    raise UnmetError(
        f"{wanted} on {tv.name} has no data folder yet",
        hint="start Kodi once on the TV, then try again",
        code="kodi-never-started",
    )


def _fork(tv: Tv) -> str:
    """Find what may be a fork of Kodi; Kodi itself where there is none."""
    packages = tv.packages()
    return next((p for p in packages if "kodi" in p or ".spmc" in p or "xbmc" in p), _KODI)


def _look(tv: Tv, folder: str) -> Literal["data", "forbidden", "nothing"]:
    """See whether a folder holds Kodi's data."""
    result = tv.run("ls", "-a", folder)
    if result.status == 0 and re.search(r"^(userdata|addons)$", result.stdout, re.MULTILINE):
        return "data"
    refused = "ermission denied" in result.text or "not permitted" in result.text
    return "forbidden" if refused else "nothing"


def _usual_folder(package: str) -> str:
    return f"{_STORAGE}/Android/data/{package}/files/.kodi"


def _candidates(environment: str, package: str) -> Iterator[str]:
    """Iterate over where the data may be: where `xbmc_env.properties` moves it comes first."""
    if match := re.search(r"^\s*xbmc\.data\s*=\s*(/\S.*?)\s*$", environment, re.MULTILINE):
        yield posixpath.join(match[1], ".kodi")
        yield match[1].rstrip("/")
    yield _usual_folder(package)
    if ".spmc" in package:
        yield f"{_STORAGE}/Android/data/{package}/files/.spmc"


def _forbidden(tv: Tv, folder: str) -> RefusedError:
    error = adb_error("path_denied", tv.name, folder)
    return RefusedError(error.message, hint=_FORBIDDEN_HINT, code="kodi-folder-forbidden")


# -- backup


def excluded_patterns(*, thumbnails: bool) -> tuple[str, ...]:
    """Return what a backup leaves out, as patterns below the data folder."""
    return _CACHES if thumbnails else (*_CACHES, *_THUMBNAILS)


def back_up(
    tv: Tv,
    kodi: Kodi,
    target: Path,
    *,
    thumbnails: bool = False,
    progress: Progress = SILENT,
) -> BackupManifest:
    """Write Kodi's data to the new file `target`, readable for its owner alone: it has passwords.

    Kodi is stopped first, since its databases may not change meanwhile.

    Args:
        tv: The TV.
        kodi: What to back up.
        target: The file; compressed if it ends with `.gz`.
        thumbnails: Take the thumbnails too, which Kodi makes anew otherwise.
        progress: Counts the bytes.

    Returns:
        What the backup holds, and what could not be read.

    Raises:
        UnmetError: The TV has no tar, or `target` cannot be written.
        RefusedError: `target` exists, or the TV gave nothing.
    """
    _require_tar(tv)
    patterns = excluded_patterns(thumbnails=thumbnails)
    progress.message(f"stopping Kodi on {tv.name}")
    tv.run("am", "force-stop", kodi.package)
    with new_file(target, mode=0o600) as file, ExitStack() as stack:
        sink = stack.enter_context(compressed(file)) if is_compressed(target) else file
        manifest = _receive(tv, kodi, sink, patterns, progress)
        if manifest is None:  # an old tar that does not know --exclude; nothing was written
            manifest = _receive(tv, kodi, sink, patterns, progress, exclude_there=False)
    if manifest is None:
        raise RefusedError(f"{tv.name} sent no archive of {kodi.folder}", code="no-archive")
    return manifest


def _receive(
    tv: Tv,
    kodi: Kodi,
    sink: BinaryIO,
    patterns: tuple[str, ...],
    progress: Progress,
    *,
    exclude_there: bool = True,
) -> BackupManifest | None:
    """Copy the TV's archive; None where its tar did not take the options, and nothing came."""
    exclude = [f"{kodi.name}/{pattern}" for pattern in patterns] if exclude_there else []
    writer = ArchiveWriter(sink)
    excluded = _exclusion(kodi.name, patterns)
    members = 0
    with (
        progress.task(f"Kodi's data from {tv.name}") as task,
        create_tar(tv, kodi.parent, [kodi.name], exclude=exclude) as (pieces, outcome),
    ):
        reader = TarReader(pieces, f"what {tv.name} sent")
        try:
            for entry in reader:
                members += 1
                if excluded.match(entry.name.rstrip("/")):
                    continue
                contents = reader.contents()
                writer.member(entry.name, entry.header, contents, is_file=entry.kind == "file")
                task.advance(entry.size_bytes)
        finally:
            if reader.complete:
                for _ in pieces:
                    pass
    if not members and exclude_there and not outcome.ok:
        return None
    if not reader.complete or not members:
        raise _no_archive(tv, kodi, outcome)
    return writer.finish(_origin(tv, kodi, patterns), tuple(_complaints(outcome)))


def _exclusion(root: str, patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Make one expression of what is left out: a pattern takes what is below it, too."""
    alternatives = "|".join(re.sub(r"\\[Zz]$", "", fnmatch.translate(p)) for p in patterns)
    return re.compile(rf"(?:\./)?{re.escape(root)}/(?:{alternatives})(?:/.*)?\Z", re.DOTALL)


def _complaints(outcome: TarOutcome) -> list[str]:
    """Return what tar could not read; what it merely remarks on is left out."""
    if outcome.ok:
        return []
    remarks = ("Exiting with failure status", "Removing leading")
    return [line for line in outcome.errors if not any(remark in line for remark in remarks)]


def _no_archive(tv: Tv, kodi: Kodi, outcome: TarOutcome) -> RefusedError:
    text = " ".join(outcome.errors)
    if "ermission denied" in text or "not permitted" in text:
        return _forbidden(tv, kodi.folder)
    reason = outcome.errors[0] if outcome.errors else "the archive broke off"
    return RefusedError(f"{tv.name} sent no whole archive: {reason}", code="no-archive")


def _origin(tv: Tv, kodi: Kodi, patterns: tuple[str, ...]) -> BackupOrigin:
    return BackupOrigin(
        package=kodi.package,
        kodi_version=kodi.version,
        abis=tv.abis,
        model=tv.properties.get("ro.product.model", ""),
        sdk=tv.sdk,
        folder=kodi.folder,
        created=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        excluded=patterns,
    )


def _require_tar(tv: Tv) -> None:
    if not has_tar(tv):
        raise UnmetError(
            f"{tv.name} has no tar (Android 6 and later have)",
            hint="use the Backup add-on inside Kodi (script.xbmcbackup), then `labkit tv pull`",
            code="no-tar",
        )


# -- restore


def plan_restore(tv: Tv, kodi: Kodi, archive: Path, *, now: datetime | None = None) -> RestorePlan:
    """Read a backup, verify every file in it, and see whether it suits this TV's Kodi.

    Raises:
        InputError: The archive cannot be read, is damaged or is none of labkit's.
        RefusedError: It is of another major version of Kodi, or the folder cannot be written.
        UnmetError: The TV lacks what a restore needs.
    """
    manifest = read_archive(archive, verify=True)
    if not tv.has_shell_v2:
        raise UnmetError(
            f"{tv.name} is too old for a restore: its adb has no shell protocol (Android 7)",
            hint="use the Backup add-on inside Kodi (script.xbmcbackup)",
            code="tv-too-old",
        )
    _require_tar(tv)
    origin = manifest.origin
    backed_up = re.match(r"\d+", origin.kodi_version or "")
    if backed_up and kodi.major is not None and int(backed_up.group()) != kodi.major:
        raise RefusedError(
            f"the backup is of Kodi {origin.kodi_version}, {tv.name} has {kodi.version}",
            hint="install the same major version first; Kodi does not read data of another one",
            code="kodi-version",
        )
    _probe_write(tv, kodi)
    warnings = []
    if origin.abis and tv.abis and origin.abis[0] != tv.abis[0]:
        warnings.append(
            f"the backup is of a TV with {origin.abis[0]}, this one has {tv.abis[0]}: binary "
            "add-ons must be installed anew in Kodi"
        )
    if manifest.unreadable:
        warnings.append(f"{len(manifest.unreadable)} files could not be read for the backup")
    stamp = (now or datetime.now(UTC).astimezone()).strftime("%Y%m%d-%H%M%S")
    return RestorePlan(archive, manifest, kodi, stamp, tuple(warnings))


def _probe_write(tv: Tv, kodi: Kodi) -> None:
    probe = posixpath.join(kodi.parent, ".labkit-probe")
    made = tv.run("mkdir", probe)
    tv.run("rmdir", probe)
    if made.status and "exists" not in made.text:
        raise _forbidden(tv, kodi.parent)


def restore(tv: Tv, plan: RestorePlan, *, progress: Progress = SILENT) -> Restored:
    """Unpack the backup beside Kodi's present data, then move that aside and the new one in.

    Until everything is on the TV, the present data stays in place.

    Raises:
        RefusedError: The TV did not take it; Kodi's data is as before.
        UnreachableError: The TV went away; Kodi's data is as before.
    """
    kodi = plan.kodi
    progress.message(f"stopping Kodi on {tv.name}")
    tv.run("am", "force-stop", kodi.package)
    staging = posixpath.join(kodi.parent, f".labkit-restore-{plan.stamp}")
    if (made := tv.run("mkdir", staging)).status:
        raise _cannot_write(tv, staging, made.text)
    try:
        _send(tv, plan, staging, progress)
        _swap(tv, plan, staging)
    except BaseException:
        _discard(tv, staging, progress)
        raise
    tv.run("rmdir", staging)
    manifest = plan.manifest
    return Restored(len(manifest.files), manifest.size_bytes, kodi.folder, plan.aside)


def _swap(tv: Tv, plan: RestorePlan, staging: str) -> None:
    restored = posixpath.join(staging, posixpath.basename(plan.manifest.origin.folder))
    _move(tv, plan.kodi.folder, plan.aside)
    try:
        _move(tv, restored, plan.kodi.folder)
    except LabkitError:
        if tv.reconnect():
            _move(tv, plan.aside, plan.kodi.folder)
        raise


def _move(tv: Tv, source: str, target: str) -> None:
    result = tv.run("mv", source, target)
    if result.status:
        raise _cannot_write(tv, target, result.text)


def _cannot_write(tv: Tv, path: str, text: str) -> RefusedError:
    return RefusedError(
        f"{tv.name} does not let adb write {path}: {text.strip()}",
        hint=_FORBIDDEN_HINT,
        code="kodi-folder-forbidden",
    )


def _discard(tv: Tv, staging: str, progress: Progress) -> None:
    """Remove the incomplete copy, which nothing else uses, so that it takes no space."""
    try:
        if tv.reconnect():
            tv.run("rm", "-rf", staging, timeout_s=_DISCARD_TIMEOUT_S)
            return
    except LabkitError:
        pass
    progress.warning(f"an incomplete copy stays on {tv.name}: {staging}")


def _send(tv: Tv, plan: RestorePlan, staging: str, progress: Progress) -> None:
    size = plan.manifest.archive_bytes
    remaining = size
    with (
        open_archive(plan.archive) as pieces,
        progress.task(f"Kodi's data to {tv.name}", total=size) as task,
        extract_tar(tv, staging) as (shell, outcome),
    ):
        for piece in pieces:
            part = piece[:remaining]
            if not part or not shell.write(part):
                break
            remaining -= len(part)
            task.advance(len(part))
        if not remaining:
            shell.write(end_of_archive(size))
    if not outcome.ok or remaining:
        reason = outcome.errors[0] if outcome.errors else "tar ended early"
        raise RefusedError(
            f"{tv.name} did not unpack the backup: {reason}",
            hint="free some space on the TV and try again; the former data is in place",
            code="restore-failed",
        )
