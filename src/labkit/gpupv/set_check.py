"""Whether a script set is what labkit wrote: complete, unchanged, and the text of this package."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit import __version__
from labkit.gpupv.assembly import (
    MANIFEST,
    README,
    SCRIPTS,
    assemble_set,
    plan_hash,
    readme_text,
    script_text,
)
from labkit.gpupv.literals import literal
from labkit.gpupv.manifest import HOST_FILE, is_leftover, read_manifest, read_regular
from labkit.gpupv.tokenizer import ScriptError, brackets_match, read_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from labkit.gpupv.literals import Data
    from labkit.gpupv.manifest import Manifest

__all__ = ["FileProblem", "SetCheck", "check_set", "is_generated"]

_BARE_NEWLINE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_README_HASH = re.compile(r"^Plan SHA-256: ([0-9a-f]{64})\r$", re.MULTILINE)
_INVENTORY = "00-Inventory.ps1"


@dataclass(frozen=True, slots=True)
class FileProblem:
    """What is wrong with one file of a set."""

    path: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class SetCheck:
    """A set as it was found.

    Attributes:
        files: The SHA-256 of each file, the manifest among them.
        problems: What is wrong.
        version: The labkit that wrote the set, as its manifest says.
        compared: Whether the text was compared with what this labkit writes, which tells an edit
            also where the hashes of the manifest were made anew. Another version writes another.
    """

    files: Mapping[str, str]
    problems: tuple[FileProblem, ...]
    version: str
    compared: bool


def check_set(folder: Path) -> SetCheck:
    """See whether a set is complete, unchanged since generation, ASCII, CRLF and well-formed.

    Raises:
        InputError: The folder does not hold a set at all.
    """
    manifest = read_manifest(folder)
    problems: list[FileProblem] = []
    contents: dict[str, bytes] = {}
    for name in (*manifest.files, MANIFEST):
        try:
            contents[name] = read_regular(folder / name)
        except OSError as error:
            problems.append(FileProblem(name, f"cannot be read: {error.strerror}"))
    compared = manifest.version == __version__
    expected = _expected(contents, manifest) if compared else {}
    if compared and not expected:
        problems.append(FileProblem(MANIFEST, "no script carries the plan with this hash"))
    for name, data in contents.items():
        problems += _file_problems(name, data, manifest, expected)
    problems += _folder_problems(folder, manifest, compared=compared)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    return SetCheck(hashes, tuple(problems), manifest.version, compared)


def is_generated(name: str, data: bytes) -> bool:
    """Whether a file is what this labkit writes for some plan, as in a set that was cut short."""
    text = data.decode("ascii", "replace")
    if name == README:
        digest = _README_HASH.search(text)
        return digest is not None and text == readme_text(digest[1])
    if name not in SCRIPTS:
        return False
    plan = _plan_of(text) or {}
    if "Machines" in plan and plan_hash(plan) != plan.get("Hash"):
        return False
    return text == script_text(name, plan)


def _plan_of(text: str) -> dict[str, Data] | None:
    """Read the `$Plan` block of a script; None where it has none or holds more than data."""
    try:
        plan = read_data(text, "Plan")
        literal(plan)
    except (ValueError, RecursionError):
        return None
    return plan if isinstance(plan, dict) else None


def _expected(contents: Mapping[str, bytes], manifest: Manifest) -> dict[str, bytes]:
    """Write the set anew from the plan that has the recorded hash; empty where none has."""
    for data in contents.values():
        plan = _plan_of(data.decode("utf-8", "replace"))
        if plan and "Machines" in plan and plan_hash(plan) == manifest.plan_hash:
            whole = {**plan, "Tool": f"labkit {__version__}", "Hash": manifest.plan_hash}
            return {name: text.encode("ascii") for name, text in assemble_set(whole).items()}
    return {}


def _folder_problems(folder: Path, manifest: Manifest, *, compared: bool) -> Iterator[FileProblem]:
    for name in (*SCRIPTS, README) if compared else SCRIPTS:
        if name not in manifest.files:
            yield FileProblem(name, "is not in the manifest")
    for entry in sorted(folder.iterdir()):
        if is_leftover(entry):
            message = "is left from a write that was cut short; writing the set again removes it"
            yield FileProblem(entry.name, message)
        elif entry.name not in {*manifest.files, MANIFEST, HOST_FILE}:
            yield FileProblem(entry.name, "does not belong to the set")


def _file_problems(
    name: str, data: bytes, manifest: Manifest, expected: Mapping[str, bytes]
) -> Iterator[FileProblem]:
    line = _first_difference(data, expected[name]) if name in expected else None
    digest = manifest.files.get(name)
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        yield FileProblem(name, "was changed since it was generated", line)
    elif expected and name not in expected:
        yield FileProblem(name, "does not belong to the set")
    elif line is not None and (name != MANIFEST or not _has_changes(manifest, expected)):
        yield FileProblem(name, "is not what this labkit writes for this plan", line)
    if not data.isascii():
        yield FileProblem(name, "is not ASCII", data[: _first_wide(data)].count(b"\n") + 1)
    if bare := _BARE_NEWLINE.search(data):
        bare_line = data[: bare.start()].count(b"\n") + 1
        yield FileProblem(name, "has a line that does not end in CRLF", bare_line)
    if name.endswith(".ps1"):
        yield from _script_problems(name, data.decode("utf-8", "replace"), manifest, line)


def _has_changes(manifest: Manifest, expected: Mapping[str, bytes]) -> bool:
    """Whether the manifest differs because a file does, which is told of that file."""
    return any(
        hashlib.sha256(data).hexdigest() != manifest.files.get(name)
        for name, data in expected.items()
        if name != MANIFEST
    )


def _script_problems(
    name: str, script: str, manifest: Manifest, changed_line: int | None
) -> Iterator[FileProblem]:
    try:
        brackets_match(script)
        if name == _INVENTORY:
            return
        plan = read_data(script, "Plan")
    except ScriptError as error:
        # A quote that is missing shows where the next one stands, which may be far below.
        line = min(changed_line or error.line, error.line)
        yield FileProblem(name, f"does not parse: {error}", line)
        return
    except RecursionError:
        yield FileProblem(name, "does not parse: it is nested too deeply", changed_line)
        return
    if not isinstance(plan, dict) or plan.get("Hash") != manifest.plan_hash:
        yield FileProblem(name, "carries another plan than the rest of the set")


def _first_difference(data: bytes, expected: bytes) -> int | None:
    """Return the first line that differs; None where none does."""
    if data == expected:
        return None
    pairs = itertools.zip_longest(data.split(b"\n"), expected.split(b"\n"))
    return next(number for number, (one, other) in enumerate(pairs, 1) if one != other)


def _first_wide(data: bytes) -> int:
    return next(at for at, byte in enumerate(data) if byte > 0x7F)  # noqa: PLR2004 - ASCII ends
