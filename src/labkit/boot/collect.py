"""Collect a computer's inputs with commands that only read, and store them in one archive.

os-prober is not among them: it mounts file systems. Its output, and others that labkit must not
fetch by itself, can be added to the archive's folder by hand.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import stat
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import __version__
from labkit.boot.bundle import MANIFEST, Skipped, bundle_of
from labkit.boot.documents import decode
from labkit.errors import InputError, LabkitError, RefusedError, UnmetError, UsageError
from labkit.programs import find_program, run_program
from labkit.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labkit.boot.bundle import Bundle
    from labkit.progress import Progress

__all__ = ["Collection", "collect_machine", "host_names", "require_destination", "write_archive"]

_TIMEOUT_S = 20.0
_ARCHIVE = "boot.tar.gz"
_OTHER_SUFFIXES = frozenset({".zip", ".7z", ".rar", ".tar", ".xz", ".bz2", ".zst", ".txt", ".json"})
_LSBLK_COLUMNS = "NAME,PATH,SIZE,TYPE,FSTYPE,PARTTYPE,PARTUUID,PARTLABEL,UUID,LABEL,MOUNTPOINT"
_ESP_MOUNTS = ("boot/efi", "efi", "boot")
_UNSEEN_DISKS = ("loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd")

# Output's name -> command. All of them only read.
_COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lsblk.json", ("lsblk", "--json", "--bytes", "--output", _LSBLK_COLUMNS)),
    ("blkid.txt", ("blkid",)),
    ("efibootmgr.txt", ("efibootmgr", "-v")),
    ("mokutil.txt", ("mokutil", "--sb-state")),
    ("lspci.txt", ("lspci",)),
)
# These speak of the running system; with a mounted one they would tell of the wrong one.
_SYSTEM_COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("timedatectl.txt", ("timedatectl", "show", "--property", "LocalRTC")),
    ("df.txt", ("df", "-h", "/", "/boot", "/boot/efi")),
)
_PACKAGE_COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("dpkg", ("-l", "grub*", "os-prober", "shim-signed")),
    ("rpm", ("-q", "grub2-common", "grub2-efi-x64", "grub2-pc", "os-prober", "shim-x64")),
    ("pacman", ("-Q", "grub", "os-prober")),
)
_FILES = (
    ("default_grub", "etc/default/grub"),
    ("fstab", "etc/fstab"),
    ("os-release", "etc/os-release"),
    ("adjtime", "etc/adjtime"),
)
_ALTERNATIVES = (
    ("grub.cfg", ("boot/grub/grub.cfg", "boot/grub2/grub.cfg")),
    ("grubenv", ("boot/grub/grubenv", "boot/grub2/grubenv")),
)
_PATTERNS = (
    ("default_grub.d/{name}", "etc/default/grub.d", "*.cfg"),
    ("loader/entries/{name}", "boot/loader/entries", "*.conf"),
)


@dataclass(frozen=True, slots=True)
class Collection:
    """What was collected.

    Attributes:
        files: Name -> bytes.
        sources: Name -> the command or file that it comes from.
        failed: What could not be had, and why.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    failed: tuple[Skipped, ...] = ()

    def bundle(self, name: str) -> Bundle:
        """Give the inputs as a bundle, as if they had been stored and read again."""
        documents, skipped = [], list(self.failed)
        for file, raw in self.files.items():
            try:
                documents.append(decode(raw, file))
            except LabkitError as error:
                skipped.append(Skipped(file, error.message))
        return bundle_of(name, documents, skipped)


class _Collector:
    def __init__(self, root: Path, progress: Progress) -> None:
        self._root = root
        self._progress = progress
        self._files: dict[str, bytes] = {}
        self._sources: dict[str, str] = {}
        self._failed: list[Skipped] = []

    def collect(self) -> Collection:
        self._tables()
        own = self._root == Path("/")
        for name, command in (*_COMMANDS, *(_SYSTEM_COMMANDS if own else ())):
            self._run(name, command)
        self._firmware_mode()
        self._packages()
        self._read_files()
        self._read_esp()
        self._grub_d()
        reason = "not run, because it mounts file systems: sudo os-prober > os-prober.txt"
        self._failed.append(Skipped("os-prober.txt", reason))
        return Collection(self._files, self._sources, tuple(self._failed))

    def _tables(self) -> None:
        """Read each disk by itself: its complaints, on stderr, must stay beside its table."""
        try:
            names = sorted(block.name for block in Path("/sys/block").iterdir())
        except OSError as error:
            self._failed.append(Skipped("fdisk", error.strerror or str(error)))
            return
        disks = [name for name in names if not name.startswith(_UNSEEN_DISKS)]
        if not disks:
            self._failed.append(Skipped("fdisk", "this computer shows no disk"))
        for disk in disks:
            self._run(f"fdisk-{disk}.txt", ("fdisk", "-l", f"/dev/{disk}"))

    def _run(self, name: str, command: tuple[str, ...]) -> None:
        program = find_program(command[0])
        if program is None:
            self._failed.append(Skipped(name, f"`{command[0]}` is not installed"))
            return
        self._progress.message(f"running {' '.join(command)}")
        try:
            result = run_program([program, *command[1:]], timeout_s=_TIMEOUT_S)
        except UnmetError as error:
            self._failed.append(Skipped(name, error.message))
            return
        complaint = result.stderr.strip()
        if not result.stdout.strip() and not _speaks(complaint):
            reason = complaint.split("\n")[0] or f"it printed nothing (status {result.returncode})"
            self._failed.append(Skipped(name, reason))
            return
        self._store(name, (result.stderr + result.stdout).encode(), " ".join(command))

    def _store(self, name: str, raw: bytes, source: str) -> None:
        self._files[name] = raw
        self._sources[name] = source

    def _firmware_mode(self) -> None:
        firmware = Path("/sys/firmware")
        try:
            entries = {entry.name for entry in firmware.iterdir()}
        except OSError as error:
            self._failed.append(Skipped("firmware.txt", error.strerror or str(error)))
            return
        if entries:  # A container's empty folder tells nothing.
            mode = b"uefi\n" if "efi" in entries else b"bios\n"
            self._store("firmware.txt", mode, "ls /sys/firmware")

    def _packages(self) -> None:
        if self._root != Path("/"):
            return
        for program, arguments in _PACKAGE_COMMANDS:
            if find_program(program) is not None:
                self._run("packages.txt", (program, *arguments))
                return

    def _read_files(self) -> None:
        for name, path in _FILES:
            self._read(name, self._root / path)
        for name, choices in _ALTERNATIVES:
            paths = [self._root / choice for choice in choices]
            there = [path for path in paths if _exists(path)]
            self._read(name, (there or paths)[0])
        for form, folder, pattern in _PATTERNS:
            for match in _matches(self._root / folder, pattern):
                self._read(form.format(name=match.name), match)

    def _read(self, name: str, path: Path) -> None:
        try:
            self._store(name, path.read_bytes(), str(path))
        except OSError as error:
            self._failed.append(Skipped(name, f"{path}: {error.strerror or error}"))

    def _read_esp(self) -> None:
        for mount in _ESP_MOUNTS:
            base = self._root / mount
            inside = _matches(base, "*")
            folder = next((f for f in inside if f.name.upper() == "EFI"), None)
            paths = list(_walk(folder)) if folder is not None else []
            for path in paths:
                if path.name == "grub.cfg":
                    self._read(f"esp_{path.parent.name.lower()}_grub.cfg", path)
            has_loader = any(path.suffix.lower() == ".efi" for path in paths)
            device = None if mount == "boot" else _mounted_device(base)
            # A mounted ESP without a loader is a finding; a mere folder is no ESP.
            if has_loader or device is not None:
                head = f"# {device}\n" if device is not None else ""
                text = "".join(f"/{p.relative_to(base).as_posix()}\n" for p in paths)
                self._store("esp_files.txt", (head + text).encode(), f"find {base} -type f")
                return
        reason = "no EFI system partition is mounted on /boot/efi, /efi or /boot, or not readable"
        self._failed.append(Skipped("esp_files.txt", reason))

    def _grub_d(self) -> None:
        folder = self._root / "etc/grub.d"
        lines = []
        for path in sorted(_matches(folder, "*")):
            info = path.lstat()
            if stat.S_ISREG(info.st_mode):
                mode, size = stat.filemode(info.st_mode), info.st_size
                lines.append(f"{mode} 1 {info.st_uid} {info.st_gid} {size} {path.name}\n")
        if lines:
            self._store("grub.d.txt", "".join(lines).encode(), f"ls -l {folder}")
        else:
            self._failed.append(Skipped("grub.d.txt", f"{folder} is not there"))


def collect_machine(root: Path = Path("/"), *, progress: Progress = SILENT) -> Collection:
    """Collect this computer's inputs; those of a file system mounted at `root` where given.

    Disks, firmware and devices are always this computer's; the installed system's files are those
    below `root`. Nothing is changed, and nothing that fails stops the rest.

    Raises:
        InputError: `root` is no folder.
        UnmetError: It may not be looked into.
    """
    geteuid = getattr(os, "geteuid", None)  # Windows has none.
    if geteuid is not None and geteuid() != 0:
        progress.warning("not root: most inputs can be read by root only")
    _require_folder(root)
    return _Collector(root, progress).collect()


def _require_folder(root: Path) -> None:
    try:
        is_folder = root.is_dir()
        if is_folder:
            next(root.iterdir(), None)
    except PermissionError as error:
        raise UnmetError(
            f"{root} may not be read by this user",
            hint="run it again with sudo",
            code="unreadable-input",
        ) from error
    if not is_folder:
        raise InputError(
            f"{root} is no folder", hint="name the folder on which the system is mounted"
        )


def host_names(root: Path = Path("/")) -> tuple[str, ...]:
    """Give the names of this computer and of the system at `root`, whole and without a domain."""
    names = [platform.node()]
    with contextlib.suppress(OSError):
        names += (root / "etc/hostname").read_text(errors="replace").split()
    return tuple(dict.fromkeys(part for name in names for part in (name, name.split(".")[0])))


def require_destination(path: Path) -> None:
    """Say before the work whether an archive can be written as `path`.

    Raises:
        UsageError: The name is that of another kind of file, or none.
        RefusedError: There is a file of that name.
        UnmetError: Its folder is not there.
    """
    if str(path) == "-":
        raise UsageError("the archive is written to a file", hint=f"-o {_ARCHIVE}")
    if path.suffix.lower() in _OTHER_SUFFIXES:
        raise UsageError(
            f"{path}: the archive is a tar.gz", hint=f"-o {path.with_suffix('.tar.gz')}"
        )
    if path.exists():
        raise RefusedError(
            f"{path} exists", hint="choose another name, or delete it first", code="exists"
        )
    if not path.parent.is_dir():
        raise UnmetError(
            f"{path} cannot be written: {path.parent} is no folder",
            hint="choose a folder that you may write to with -o",
            code="cannot-write",
        )


def write_archive(
    collection: Collection, path: Path, *, redact: Callable[[bytes], bytes] | None = None
) -> None:
    """Store a collection as a tar.gz, whole or not at all.

    Raises:
        UsageError: The name is that of another kind of file.
        RefusedError: There is a file of that name.
        UnmetError: The folder cannot be written to.
    """
    manifest = {
        "format": 1,
        "labkit": __version__,
        "files": collection.sources,
        "failed": [{"name": s.name, "reason": s.reason} for s in collection.failed],
    }
    members = {**collection.files, MANIFEST: json.dumps(manifest, indent=1).encode()}
    try:
        require_destination(path)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".labkit-", delete=False) as file:
            temporary = Path(file.name)
            try:
                with tarfile.open(fileobj=file, mode="w:gz") as archive:
                    for name, raw in members.items():
                        # A BLS entry is called after the computer, and known by that name.
                        hidden = redact(name.encode()).decode() if redact else name
                        _add(archive, hidden, redact(raw) if redact else raw)
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UnmetError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="choose a folder that you may write to with -o",
            code="cannot-write",
        ) from error


def _add(archive: tarfile.TarFile, name: str, raw: bytes) -> None:
    info = tarfile.TarInfo(f"boot/{name}")
    info.size, info.mtime, info.mode = len(raw), int(time.time()), 0o644
    archive.addfile(info, BytesIO(raw))


def _speaks(complaint: str) -> bool:
    """Tell a complaint that is an answer: efibootmgr's in legacy mode."""
    return "EFI variables are not supported" in complaint


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _matches(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _mounted_device(folder: Path) -> str | None:
    """Name the device that is mounted on a folder that may be read; None where none is."""
    try:
        next(folder.iterdir(), None)
        if not folder.is_mount():
            return None
        number = folder.stat().st_dev
        link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        return f"/dev/{link.resolve(strict=True).name}"
    except OSError:
        return None  # Not there, not readable, or no block device.


def _walk(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            yield Path(parent) / name
