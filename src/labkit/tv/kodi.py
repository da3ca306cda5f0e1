"""Backing Kodi's data up, and putting it back.

Whether this computer's disk, and for a restore the TV's folder, can be written is tried before
anything is done. A restore moves the old data aside and never deletes it.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from typing import TYPE_CHECKING

from labkit.errors import RefusedError, UnmetError, UnreachableError
from labkit.progress import SILENT
from labkit.tv.kodi_archive import (
    ArchiveWriter,
    BackupOrigin,
    compressed,
    is_compressed,
    open_archive,
    read_archive,
    require_archive_name,
)
from labkit.tv.kodi_place import FORBIDDEN_HINT, Kodi, entries, find_kodi, folder_forbidden
from labkit.tv.local_file import new_file, require_new
from labkit.tv.staging import discard, remove_folder
from labkit.tv.tarpipe import FIRST_SDK_WITH_TAR, create_tar, extract_tar, has_tar
from labkit.tv.tarstream import TarReader, end_of_archive

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path
    from typing import BinaryIO

    from labkit.progress import Progress
    from labkit.tv.device import Tv
    from labkit.tv.kodi_archive import BackupManifest
    from labkit.tv.tarpipe import TarOutcome

__all__ = [
    "Kodi",
    "RestorePlan",
    "Restored",
    "back_up",
    "find_kodi",
    "plan_restore",
    "require_backup_target",
    "restore",
]

# No Kodi's data fills that much: with as much free space its size need not be asked for.
_AMPLE_BYTES = 16 << 30
_CACHES = ("temp", "addons/packages", "*.log", "*.old.log", "kodi_crashlog*")
_STAGING = ".labkit-restore-"
# One command on the TV: whatever happens to this computer or to the network, it never ends between
# the two renames. `mv` would move into a folder that is there; a name that is taken is an error.
_SWAP = """\
folder=$1 aside=$2 restored=$3
absent() { [ ! -e "$1" ] && [ ! -L "$1" ] || { echo "$1 exists" >&2; return 1; }; }
if [ -n "$aside" ]; then absent "$aside" && mv "$folder" "$aside" || exit 1; fi
if absent "$folder" && mv "$restored" "$folder"; then rmdir "${restored%/*}"; exit 0; fi
[ -z "$aside" ] || { absent "$folder" && mv "$aside" "$folder"; } ||
    echo "the former data is now $aside" >&2
exit 1
"""
_THUMBNAILS = ("userdata/Thumbnails", "userdata/Database/Textures*.db")


@dataclass(frozen=True)
class RestorePlan:
    """What a restore will do.

    Attributes:
        archive: The backup.
        manifest: What it holds.
        kodi: Kodi on the TV.
        stamp: The time in the names of what is moved, as digits; no such name is taken.
        warnings: What may not work afterwards.
        leftovers: Incomplete copies of restores that were cut off, which go first.
    """

    archive: Path
    manifest: BackupManifest
    kodi: Kodi
    stamp: str
    warnings: tuple[str, ...]
    leftovers: tuple[str, ...] = ()

    @property
    def aside(self) -> str:
        """Where Kodi's present data is moved; where it is, if a restore was cut off before."""
        return self.kodi.former or f"{self.kodi.folder}.labkit-{self.stamp}"

    @property
    def staging(self) -> str:
        """Where the backup is unpacked."""
        return posixpath.join(self.kodi.parent, f"{_STAGING}{self.stamp}")


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


# -- backup


def excluded_patterns(*, thumbnails: bool) -> tuple[str, ...]:
    """Return what a backup leaves out, as patterns below the data folder."""
    return _CACHES if thumbnails else (*_CACHES, *_THUMBNAILS)


def require_backup_target(target: Path) -> None:
    """Make sure that a backup can be written to `target`, before a TV is troubled for it.

    Raises:
        UsageError: It is named as another kind of archive.
        RefusedError: It exists.
        UnmetError: Its folder is missing or cannot be written.
    """
    require_archive_name(target)
    require_new(target)


def back_up(
    tv: Tv,
    kodi: Kodi,
    target: Path,
    *,
    thumbnails: bool = False,
    progress: Progress = SILENT,
) -> BackupManifest:
    """Write Kodi's data to the new file `target`, readable for its owner alone: it has passwords.

    Kodi is stopped once nothing speaks against the backup, since its databases may not change
    meanwhile.

    Args:
        tv: The TV.
        kodi: What to back up.
        target: The file; compressed if it ends with `.gz`.
        thumbnails: Take the thumbnails too, which Kodi makes anew otherwise.
        progress: Counts the bytes.

    Returns:
        What the backup holds, and what could not be read.

    Raises:
        UsageError: `target` is named as another kind of archive.
        UnmetError: The TV has no tar, or Kodi no data folder, or `target` cannot be written.
        RefusedError: `target` exists, or the TV gave nothing.
    """
    require_backup_target(target)
    _require_data(tv, kodi)
    patterns = excluded_patterns(thumbnails=thumbnails)
    with new_file(target, mode=0o600) as file, ExitStack() as stack:
        _require_tar(tv)
        _require_room(tv, kodi, target, patterns)
        progress.message(f"stopping Kodi on {tv.name}")
        tv.run("am", "force-stop", kodi.package)
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
        return folder_forbidden(tv, kodi.folder)
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


def _require_data(tv: Tv, kodi: Kodi) -> None:
    if kodi.former is not None:
        raise UnmetError(
            f"Kodi on {tv.name} has no data folder: a restore was cut off, and the former data "
            f"is in {kodi.former}",
            hint="repeat the restore, or put the former data back: "
            f"adb -s {tv.serial} shell mv {kodi.former} {kodi.folder}",
            code="kodi-restore-cut-off",
        )


def _require_room(tv: Tv, kodi: Kodi, target: Path, patterns: tuple[str, ...]) -> None:
    """Refuse a backup that this computer's disk cannot hold; a compressed one takes its chance."""
    free = shutil.disk_usage(target.parent).free
    if free >= _AMPLE_BYTES or is_compressed(target):
        return
    left_out = [f"{kodi.folder}/{pattern}" for pattern in patterns if "*" not in pattern]
    needed = _disk_usage(tv, kodi.folder) - _disk_usage(tv, *left_out)
    if needed > free:
        raise UnmetError(
            f"Kodi's data on {tv.name} takes about {needed / 1e6:,.0f} MB, "
            f"and {target.parent} has {free / 1e6:,.0f} MB free",
            hint="choose another folder, or a name that ends with .gz to compress it",
            code="no-space",
        )


def _disk_usage(tv: Tv, *folders: str) -> int:
    """Ask how many bytes folders take; 0 where the TV does not tell in time."""
    try:
        text = tv.run("du", "-sk", *folders).stdout
    except UnreachableError:
        return 0
    return 1024 * sum(int(digits) for digits in re.findall(r"^(\d+)\s", text, re.MULTILINE))


def _require_tar(tv: Tv) -> None:
    if (tv.sdk or 0) < FIRST_SDK_WITH_TAR and not has_tar(tv):
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
    there = entries(tv, kodi.parent)
    stamp = _free_stamp(kodi, there, now or datetime.now(UTC).astimezone())
    leftovers = (posixpath.join(kodi.parent, n) for n in sorted(there) if n.startswith(_STAGING))
    return RestorePlan(archive, manifest, kodi, stamp, tuple(warnings), tuple(leftovers))


def _free_stamp(kodi: Kodi, taken: Container[str], now: datetime) -> str:
    """Return the time as digits, with a number where a restore of this second has them."""
    second = now.strftime("%Y%m%d-%H%M%S")
    stamps = chain([second], (f"{second}-{number}" for number in count(2)))
    names = (f"{kodi.name}.labkit-", _STAGING)
    return next(s for s in stamps if not any(f"{name}{s}" in taken for name in names))


def _probe_write(tv: Tv, kodi: Kodi) -> None:
    probe = posixpath.join(kodi.parent, ".labkit-probe")
    made = tv.run("mkdir", probe)
    tv.run("rmdir", probe)
    if made.status and "exists" not in made.text:
        raise folder_forbidden(tv, kodi.parent)


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
    for leftover in plan.leftovers:
        progress.message(f"removing what a restore that was cut off left: {leftover}")
        if not remove_folder(tv, leftover):
            progress.warning(f"{tv.name} does not let go of {leftover}")
    if (made := tv.run("mkdir", plan.staging)).status:
        raise _cannot_write(tv, plan.staging, made.text)
    try:
        _send(tv, plan, progress)
        # Meanwhile somebody may have started it again.
        tv.run("am", "force-stop", kodi.package)
        _swap(tv, plan)
    except BaseException as error:
        discard(tv, plan.staging, progress)
        if isinstance(error, UnreachableError):
            hint = f"repeat it; the former data is in place, or else in {plan.aside}"
            raise UnreachableError(error.message, hint=hint, code=error.code) from error
        raise
    manifest = plan.manifest
    return Restored(len(manifest.files), manifest.size_bytes, kodi.folder, plan.aside)


def _swap(tv: Tv, plan: RestorePlan) -> None:
    kodi = plan.kodi
    restored = posixpath.join(plan.staging, posixpath.basename(plan.manifest.origin.folder))
    aside = "" if kodi.former else plan.aside
    try:
        result = tv.run("sh", "-c", _SWAP, "sh", kodi.folder, aside, restored)
    except UnreachableError:
        # The answer got lost, not necessarily the work.
        if tv.reconnect() and posixpath.basename(plan.staging) not in entries(tv, kodi.parent):
            return
        raise
    if result.status:
        raise RefusedError(
            f"{tv.name} did not put the backup in place: {'; '.join(result.text.splitlines())}",
            hint="do not start Kodi on the TV meanwhile, and try again",
            code="restore-failed",
        )


def _cannot_write(tv: Tv, path: str, text: str) -> RefusedError:
    return RefusedError(
        f"{tv.name} does not let adb write {path}: {text.strip()}",
        hint=FORBIDDEN_HINT,
        code="kodi-folder-forbidden",
    )


def _send(tv: Tv, plan: RestorePlan, progress: Progress) -> None:
    size = plan.manifest.archive_bytes
    remaining = size
    with (
        open_archive(plan.archive) as pieces,
        progress.task(f"Kodi's data to {tv.name}", total=size) as task,
        extract_tar(tv, plan.staging) as (shell, outcome),
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
