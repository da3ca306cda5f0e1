"""Reader of what PowerShell prints for objects: `Format-List` blocks and the table of `Get-VM`.

A value longer than the console is wide goes on in the next line, broken at any character; the rest
is indented to the value's column, or not at all after some pastes. Blank lines stand between
objects and sometimes within one. So an object ends where one of its labels comes again, at a
prompt, and at a blank line after which the labels are those of another kind of object.
"""

from __future__ import annotations

import itertools
import re
from enum import Enum, unique
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.gpupv.partition import CAPABILITIES, MAX_TOTAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Kind", "kinds_of", "parse_flag", "parse_listing", "parse_number"]

_LABEL = re.compile(r"(?P<label>[A-Za-z_]\w*) *:(?: (?P<value>.*))?", re.ASCII)
# Thousands are set off as the host's language does it: by comma, dot, blank or apostrophe.
_THOUSANDS = ",. '\u00a0\u202f\u2019"
_NUMBER = re.compile(
    rf"[0-9]{{1,20}}|[0-9]{{1,3}}(?:([{_THOUSANDS}])[0-9]{{3}})(?:\1[0-9]{{3}}){{0,5}}"
)
_RULE = re.compile(r"\s*-+(?:\s+-+)+\s*")
_PROMPT = re.compile(r"\s*(\[[^\]]*\]: )?PS [^>]*>")
_COLOR = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]")


@unique
class Kind(Enum):
    """What an object of a listing is."""

    GPU = "a GPU of the host"
    ADAPTER = "a partition adapter"
    MACHINE = "a virtual machine"


def _labels(names: str, *formats: str) -> frozenset[str]:
    """Return the blank-separated `names`, and each of `formats` for each capability."""
    made = {form.format(name) for form in formats for name in CAPABILITIES}
    return frozenset(names.split()) | made


_MACHINE_LABELS = """
    AutomaticCheckpointsEnabled AutomaticCriticalErrorAction AutomaticStartAction
    AutomaticStopAction CheckpointFileLocation CheckpointType ConfigurationLocation CPUUsage
    CreationTime DynamicMemoryEnabled EnhancedSessionTransportType Generation
    GuestControlledCacheTypes Heartbeat HighMemoryMappedIoSpace IntegrationServicesState
    IsClustered LowMemoryMappedIoSpace MemoryAssigned MemoryDemand MemoryMaximum MemoryMinimum
    MemoryStartup MemoryStatus OperationalStatus ParentCheckpointId ParentCheckpointName
    ParentSnapshotId ParentSnapshotName ProcessorCount ReplicationState ResourceMeteringEnabled
    SmartPagingFilePath SnapshotFileLocation State Uptime VirtualMachineType
"""
_GPU_LABELS = "ValidPartitionCounts PartitionCount SupportsIncomingLiveMigration"
_ADAPTER_LABELS = "InstancePath PartitionId PartitionVfLuid SupportsOutgoingLiveMigration"
_LABELS_OF: tuple[tuple[frozenset[Kind], frozenset[str]], ...] = (
    (frozenset({Kind.MACHINE}), _labels(_MACHINE_LABELS)),
    (frozenset({Kind.GPU}), _labels(_GPU_LABELS, "Total{}", "Available{}")),
    (frozenset({Kind.ADAPTER}), _labels(_ADAPTER_LABELS, "CurrentPartition{}")),
    (frozenset({Kind.ADAPTER, Kind.MACHINE}), _labels("VMId VMName")),
    (
        frozenset({Kind.ADAPTER, Kind.GPU}),
        _labels("", "MinPartition{}", "MaxPartition{}", "OptimalPartition{}"),
    ),
)
"""Labels that tell what an object may be; of those in no row nothing is known."""


def kinds_of(entry: Mapping[str, str]) -> frozenset[Kind]:
    """Return what an object, or a part of one, may be by its labels; nothing speaks for none."""
    kinds = frozenset(Kind)
    for possible, labels in _LABELS_OF:
        if not labels.isdisjoint(entry):
            kinds &= possible
    if name := entry.get("Name"):
        kinds &= {Kind.GPU} if name.startswith("\\\\") else {Kind.ADAPTER, Kind.MACHINE}
    if entry.get("Id", "").startswith("Microsoft:"):
        kinds &= {Kind.ADAPTER}
    return kinds


def parse_listing(text: str) -> list[dict[str, str]]:
    """Read every object of a paste, as label -> value; an empty value means "not set".

    Lines before the first label, such as the command that was typed, are passed over. Labels keep
    their case.
    """
    plain = _COLOR.sub("", text.replace("\r\n", "\n").replace("\ufeff", ""))
    lines = plain.split("\n")
    return [*_list_objects(lines), *_table_objects(lines)]


def parse_number(text: str, label: str) -> int | None:
    """Read a number up to 2**64 - 1, its thousands set off or not; None where it is not set.

    Raises:
        InputError: It is another thing.
    """
    if not text:
        return None
    digits = text.translate(dict.fromkeys(map(ord, _THOUSANDS)))
    if not _NUMBER.fullmatch(text) or (value := int(digits)) > MAX_TOTAL:
        raise InputError(
            f"{label} is no whole number below 2**64: {text[:60]!a}",
            hint="paste the listing as PowerShell printed it",
        )
    return value


def parse_flag(text: str, label: str) -> bool | None:
    """Read `True` or `False`; None where it is not set.

    Raises:
        InputError: It is another thing.
    """
    if not text:
        return None
    if text.lower() not in {"true", "false"}:
        raise InputError(f"{label} is neither True nor False: {text[:60]!a}")
    return text.lower() == "true"


def _list_objects(lines: list[str]) -> Iterator[dict[str, str]]:
    """Put the paragraphs together that belong to one object."""
    current: dict[str, str] = {}
    for paragraph in _paragraphs(lines):
        known = kinds_of(current)
        if current and (not paragraph or (known and not known & kinds_of(_first_of(paragraph)))):
            yield current
            current = {}
        for label, value in paragraph:
            if label in current:
                yield current
                current = {}
            current[label] = value
    if current:
        yield current


def _first_of(paragraph: list[tuple[str, str]]) -> dict[str, str]:
    """Return the part of a paragraph before a label that comes again: another object."""
    first: dict[str, str] = {}
    for label, value in paragraph:
        if label in first:
            break
        first[label] = value
    return first


def _paragraphs(lines: list[str]) -> Iterator[list[tuple[str, str]]]:
    """Return the labels and values between blank lines; an empty list stands for a prompt."""
    paragraph: list[tuple[str, str]] = []
    column = -1
    in_table = after_blank = False
    for line in lines:
        in_table = bool(line.strip()) and (in_table or bool(_RULE.fullmatch(line)))
        match = _LABEL.match(line.strip()) if _starts_label(line, column) else None
        if _PROMPT.match(line):
            yield from [paragraph, []]
            paragraph = []
        elif match and not in_table:
            if after_blank and paragraph:
                yield paragraph
                paragraph = []
            column = line.index(":")
            paragraph.append((match["label"], (match["value"] or "").strip()))
        elif paragraph and line.strip() and not in_table:
            label, value = paragraph[-1]
            paragraph[-1] = label, value + line.strip()
        after_blank = not line.strip()
    yield paragraph


def _starts_label(line: str, column: int) -> bool:
    """Whether a line carries a label; a wrapped value may contain a colon too.

    Within a listing the colons stand below each other. A line whose colon stands elsewhere is a
    label all the same when it begins a listing of its own, padded as PowerShell pads.
    """
    match = _LABEL.match(line.strip())
    if match is None:
        return False
    return column in {-1, line.index(":")} or " :" in line[: line.index(":") + 1]


def _table_objects(lines: list[str]) -> Iterator[dict[str, str]]:
    """Read tables: a line of titles, a line of dashes, rows cut at the dashes' columns."""
    for above, (titles, rule) in enumerate(itertools.pairwise(lines)):
        if not _RULE.fullmatch(rule) or not titles.strip():
            continue
        starts = [match.start() for match in re.finditer(r"-+", rule)]
        spans = list(zip(starts, [*starts[1:], None], strict=True))
        names = [titles[a:b].strip() for a, b in spans]
        for row in lines[above + 2 :]:
            if not row.strip():
                break
            yield dict(zip(names, (row[a:b].strip() for a, b in spans), strict=True))
