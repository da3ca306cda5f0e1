"""os-prober's lines."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.parse.refusal import bad_json, not_a
from labkit.errors import InputError

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = [
    "OsProberOutput",
    "ProbedSystem",
    "parse_os_prober",
    "parse_os_prober_json",
]


@dataclass(frozen=True, slots=True)
class ProbedSystem:
    """One system that os-prober found.

    Attributes:
        device: Its partition; for a UEFI loader that of the ESP.
        path: The loader's path on the ESP, for the type `efi`.
        long: Its long name.
        short: Its short name, with a counter over the run.
        kind: `efi`, `chain`, `linux`, `macosx`, `hurd` or `minix`.
        evidence: Its line.
    """

    device: str
    path: str | None
    long: str
    short: str
    kind: str
    evidence: Evidence

    @property
    def is_windows(self) -> bool:
        """Whether it is a Windows, or its recovery environment."""
        path = (self.path or "").lower()
        return "microsoft" in path or bool(re.search(r"windows", self.long, re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class OsProberOutput:
    """The output of os-prober.

    Attributes:
        systems: What it found.
        malformed: Lines without a known type, such as boot-repair's rewritten one.
        denied: Lines that say it ran without the rights it needs; then it proves nothing.
        missing: Lines in which a shell says that there is no such program; then it did not run.
    """

    systems: tuple[ProbedSystem, ...]
    malformed: tuple[Evidence, ...]
    denied: tuple[Evidence, ...]
    missing: tuple[Evidence, ...] = ()


# From the right: the long name is not escaped and may hold colons.
_PROBED = re.compile(
    r"^(?P<device>/[^:@]*)(?:@(?P<path>[^:]*))?:(?P<long>.*):(?P<short>[^:]*)"
    r":(?P<kind>efi|chain|linux|macosx|hurd|minix)(?::[^:]*:[^:]*:[^:]*)?\s*\Z"
)
_DENIED = re.compile(r"unshare failed|Permission denied|must be root|Operation not permitted")
# A shell complains in the user's language: that it speaks, and of what, is the same in all.
_MISSING = re.compile(
    r"^-?(?:\S*/)?(?:bash|sh|dash|ash|zsh|ksh|fish|sudo|su|doas|env)\b.*:.*\bos-prober\b"
    r"|^Command 'os-prober' not found"
)
_PROMPT = re.compile(r"(?:^|[$#%>]\s*)(?:sudo\s+)?(?:\S*/)?os-prober\Z|[$#%>]\Z")


def parse_os_prober(document: Document) -> OsProberOutput:
    """Read os-prober's standard output, also with its standard error mixed in; it may be empty.

    Raises:
        InputError: There is text, and not a line of it is os-prober's, nor about it.
    """
    systems, malformed, denied, missing = [], [], [], []
    has_other = False
    for number, raw_line in enumerate(document.lines, 1):
        line = raw_line.strip()
        if match := _PROBED.match(line):
            systems.append(
                ProbedSystem(
                    match["device"],
                    match["path"],
                    match["long"],
                    match["short"],
                    match["kind"],
                    document.at(number),
                )
            )
        elif _DENIED.search(line):
            denied.append(document.at(number))
        elif line.startswith("/") and ":" in line:
            malformed.append(document.at(number))
        elif _MISSING.search(line):
            missing.append(document.at(number))
        else:
            has_other = has_other or bool(line and not _PROMPT.search(line))
    if has_other and not (systems or malformed or denied or missing):
        raise not_a(document, "a line of os-prober")
    return OsProberOutput(tuple(systems), tuple(malformed), tuple(denied), tuple(missing))


def parse_os_prober_json(document: Document) -> OsProberOutput:
    """Read what an installer made of the lines: `{"/dev/sda1": {"long": ..., "type": ...}}`.

    Raises:
        InputError: It is no such object.
    """
    try:
        value = json.loads(document.text)
    except (ValueError, RecursionError) as error:
        raise bad_json(document, error) from error
    systems = tuple(
        ProbedSystem(
            device,
            str(item["subpath"]) if item.get("subpath") else None,
            str(item.get("long", "")),
            str(item.get("label", "")),
            str(item["type"]),
            document.at(None, f"{device}: {item.get('long', '')} ({item['type']})"),
        )
        for device, item in (value.items() if isinstance(value, dict) else ())
        if isinstance(item, dict) and "type" in item
    )
    if not systems and value != {}:
        raise InputError(f"{document.name} does not hold parsed os-prober output")
    return OsProberOutput(systems, (), ())
