"""A script set on disk: writing it, seeing that it is complete and unchanged, comparing two."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from labkit.errors import InputError, LabkitError, RefusedError
from labkit.gpupv.assembly import MANIFEST, SCRIPTS, plan_scripts
from labkit.gpupv.settings import plan_settings
from labkit.gpupv.tokenizer import ScriptError, brackets_match, read_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from labkit.gpupv.spec import Spec

__all__ = [
    "Change",
    "FileProblem",
    "SetCheck",
    "check_set",
    "compare_specs",
    "file_hashes",
    "write_new_file",
    "write_set",
]

_BARE_NEWLINE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


@dataclass(frozen=True, slots=True)
class FileProblem:
    """What is wrong with one file of a set."""

    path: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class SetCheck:
    """A set as it was found: its files with their hashes, and what is wrong."""

    files: Mapping[str, str]
    problems: tuple[FileProblem, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two plans; None where one has no such setting or file."""

    kind: str
    machine: str
    name: str
    old: str | None
    new: str | None


def file_hashes(files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each file of a set."""
    return {name: hashlib.sha256(text.encode("ascii")).hexdigest() for name, text in files.items()}


def write_set(files: Mapping[str, str], folder: Path) -> None:
    """Write a set into `folder`: a new one, an empty one, or one that holds an unchanged set.

    Raises:
        RefusedError: The folder holds other files, or scripts that were edited.
        LabkitError: The disk is full, or the folder cannot be written.
    """
    try:
        _check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            if not _holds(folder / name, text):
                _write_file(folder / name, text)
    except OSError as error:
        raise LabkitError(f"cannot write {error.filename or folder}: {error.strerror}") from error


def write_new_file(path: Path, text: str) -> None:
    """Write an ASCII file; one with the same content may be there already.

    Raises:
        RefusedError: The file exists with another content.
        LabkitError: It cannot be written.
    """
    try:
        if path.exists() and not _holds(path, text):
            raise RefusedError(f"{path} exists already", hint="name another file with -o")
        _write_file(path, text)
    except OSError as error:
        raise LabkitError(f"cannot write {path}: {error.strerror}") from error


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() == text.encode("ascii")


def _write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside it first, then renamed.

    It is flushed to the disk where it replaces another one. A new set that a power failure cut
    is found by `check_set`, and waiting for the disk eleven times would be most of the work.
    """
    replaces = path.exists()
    with NamedTemporaryFile("wb", dir=path.parent, prefix=".labkit-", delete=False) as file:
        try:
            file.write(text.encode("ascii"))
            if replaces:
                file.flush()
                os.fsync(file.fileno())
            file.close()
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            file.close()
            Path(file.name).unlink(missing_ok=True)
            raise


def check_set(folder: Path) -> SetCheck:
    """See whether a set is complete, unchanged since generation, ASCII, CRLF and well-formed.

    Raises:
        InputError: The folder does not hold a set at all.
    """
    recorded, plan_hash = _read_manifest(folder)
    found: dict[str, str] = {}
    problems: list[FileProblem] = []
    for name, digest in recorded.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            problems.append(FileProblem(name, f"cannot be read: {error.strerror}"))
            continue
        found[name] = hashlib.sha256(data).hexdigest()
        if found[name] != digest:
            problems.append(FileProblem(name, "was changed since it was generated"))
        problems += _file_problems(name, data, plan_hash)
    missing = [name for name in SCRIPTS if name not in recorded]
    problems += [FileProblem(name, "is not in the manifest") for name in missing]
    foreign = {entry.name for entry in folder.iterdir()} - {*recorded, MANIFEST}
    problems += [FileProblem(name, "does not belong to the set") for name in sorted(foreign)]
    return SetCheck(found, tuple(problems))


def compare_specs(old: Spec, new: Spec) -> list[Change]:
    """List what changes from one specification to the other, in settings and in files."""
    before, after = _settings(old), _settings(new)
    changes = [
        Change("setting", *key, before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]
    old_files, new_files = (file_hashes(plan_scripts(spec)) for spec in (old, new))
    changes += [
        Change("file", "", name, old_files.get(name), digest)
        for name, digest in new_files.items()
        if old_files.get(name) != digest
    ]
    return changes


def _settings(spec: Spec) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for setting in plan_settings(spec).settings:
        key = (setting.machine, setting.name)
        found[key] = f"{found[key]}, {setting.value}" if key in found else setting.value
    return found


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RefusedError(f"{folder} is a file, not a folder", hint="name another folder with -o")
    if not any(folder.iterdir()):
        return
    try:
        recorded, _ = _read_manifest(folder)
    except InputError as error:
        raise RefusedError(
            f"{folder} holds files that are no script set",
            hint="name an empty or a new folder with -o",
            code="foreign-files",
        ) from error
    for entry in sorted(folder.iterdir()):
        if entry.name == MANIFEST or _is_recorded(entry, recorded):
            continue
        raise RefusedError(
            f"{entry} was edited or does not belong to the script set; it would be lost",
            hint=f"see `labkit gpupv check {folder}`, or name another folder with -o",
            code="edited-set",
        )


def _is_recorded(path: Path, recorded: Mapping[str, str]) -> bool:
    digest = recorded.get(path.name)
    return path.is_file() and digest == hashlib.sha256(path.read_bytes()).hexdigest()


def _read_manifest(folder: Path) -> tuple[dict[str, str], str]:
    """Return the recorded hash of each file, and that of the plan."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{folder} holds no script set: cannot read {MANIFEST}: {error.strerror}",
            hint="`labkit gpupv plan SPEC.toml -o FOLDER` writes one",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    plan_hash = manifest.get("plan_sha256") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not isinstance(plan_hash, str):
        raise InputError(f"{path} is not the manifest of a script set")
    if odd := [name for name in files if not re.fullmatch(r"[\w-][\w.-]*", name)]:
        raise InputError(f"{path} names a file outside the set: {odd[0]!a}")
    return files, plan_hash


def _file_problems(name: str, data: bytes, plan_hash: str) -> Iterator[FileProblem]:
    if not data.isascii():
        yield FileProblem(name, "is not ASCII", data[: _first_wide(data)].count(b"\n") + 1)
    if bare := _BARE_NEWLINE.search(data):
        line = data[: bare.start()].count(b"\n") + 1
        yield FileProblem(name, "has a line that does not end in CRLF", line)
    if not name.endswith(".ps1"):
        return
    script = data.decode("utf-8", "replace")
    try:
        brackets_match(script)
        if name == "00-Inventory.ps1":
            return
        plan = read_data(script, "Plan")
    except ScriptError as error:
        yield FileProblem(name, f"does not parse: {error}", error.line)
        return
    if not isinstance(plan, dict) or plan.get("Hash") != plan_hash:
        yield FileProblem(name, "carries another plan than the rest of the set")


def _first_wide(data: bytes) -> int:
    return next(at for at, byte in enumerate(data) if byte > 0x7F)  # noqa: PLR2004 - ASCII ends
