"""Pasted reports: boot-info, boot-repair, a terminal session or a forum post, cut into outputs.

What pastes suffer on the way is undone first: HTML entities and tags, quoted and indented lines,
colours. Parsers cope with lost TABs, columns and wrapped lines themselves. Outputs that contradict
each other are of two computers, or of one before and after a change: they become two reports.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from labkit.boot.bundle import bundle_of
from labkit.boot.documents import Document
from labkit.boot.kinds import Kind, recognise
from labkit.boot.sessions import split_by_computer
from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.bundle import Bundle

__all__ = ["Report", "cut_paste"]


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a paste: the line where it begins, and its inputs."""

    line: int
    bundle: Bundle


# Each begins a boot-info report; a second one begins a second computer or a later run.
_BANNER = re.compile(r"^\s*(?:=+\s*)?Boot Info Summary\s*:?\s*=*\s*\Z", re.IGNORECASE)
_RULED = re.compile(r"^\s*={3,}\s*(\S.*?)\s*:?\s*={3,}\s*\Z")
_UNDERLINED = re.compile(r"^\s*\"?(\S.*?)\"?:?\s*_{5,}\s*\Z")
_DEVICE = re.compile(r"^(?:/dev/)?(?:sd|hd|vd|nvme|mmcblk)\w+\Z")
_COMMAND = (
    r"(?:os-prober|efibootmgr|s?fdisk|s?gdisk|blkid|lsblk|parted|cat|grep|update-grub"
    r"|grub2?-mkconfig|find|ls|df|mokutil|timedatectl|lspci|grub-install)\b"
)
# Prompts that no output begins with: user and host (bash, zsh, fish), Oh My Zsh's arrow, `$`, `%`.
_SHELL = (
    r"(?:\([\w.-]+\)\s*)?\[?(?P<user>[\w.-]+)@(?P<host>[\w.-]+)"
    r"(?:[^$#\n]{0,80}[$#]|[: ]?[^\s%>]*\s?[%>])"
)
_PROMPT = re.compile(
    rf"^\s*(?:{_SHELL}|\u279c\s+\S+(?:\s+git:\(\S*\))?(?:\s+\u2717)?|[$%])"
    r"(?:\s+(?:sudo\s+)?(?P<command>\S.*))?\s*\Z"
)
# Root's bare prompt is a comment in most files: only a command that labkit reads is one behind it.
_ROOT_PROMPT = re.compile(rf"^\s*#\s+(?:sudo\s+)?(?P<command>{_COMMAND}.*)")
# A forum's tag around code ends an output, as a prompt does.
_COMMAND_IN_CODE = re.compile(rf"\[code[^\]\n]*\](?=\s*(?:sudo\s+)?{_COMMAND})", re.IGNORECASE)
_CODE_BEGIN = re.compile(r"\[code[^\]\n]*\]", re.IGNORECASE)
_CODE_END = re.compile(r"(?<=\S)[ \t]*\[/code\]|(?P<alone>\[/code\])", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TAG = re.compile(r"</?(?:pre|code|br|p|div|span|tt|b|i|a|li|ul)\b[^>]*>", re.IGNORECASE)


def cut_paste(document: Document) -> tuple[Report, ...]:
    """Cut a paste into reports, and each report into the outputs that it holds.

    Raises:
        InputError: Nothing in it is an output that labkit reads.
    """
    lines = _repaired(document.text).split("\n")
    starts = [n for n, line in enumerate(lines) if _BANNER.match(line)]
    # What stands before the first banner belongs to it.
    cuts = sorted({0, *starts[1:], *_changes_of_host(lines), len(lines)})
    reports = []
    for begin, end in pairwise(cuts):
        documents = list(_outputs(lines[begin:end], begin))
        # A boot-info report is of one computer; boot-repair lists entries before and after in it.
        is_report = any(_BANNER.match(line) for line in lines[begin:end])
        for part in [documents] if is_report else split_by_computer(documents):
            bundle = bundle_of(document.name, part, keep_order=True)
            if bundle.inputs:
                line = begin if part[0] is documents[0] else _first_line(part[0])
                reports.append(Report(line + 1, bundle))
    if not reports:
        raise InputError(
            f"{document.name} holds no output that labkit reads",
            hint="paste the outputs of: sudo fdisk -l, lsblk -f, efibootmgr -v, sudo os-prober",
            code="no-inputs",
        )
    return tuple(reports)


def _changes_of_host(lines: list[str]) -> Iterator[int]:
    """Find the lines whose prompt is that of another computer than the prompt before."""
    last = None
    for number, line in enumerate(lines):
        if (match := _PROMPT.match(line)) and (host := match["host"]):
            if last is not None and host != last:
                yield number
            last = host


def _first_line(document: Document) -> int:
    """Tell how many lines stand before the first of a document: blanks hold their places."""
    return len(document.text) - len(document.text.lstrip("\n"))


def _repaired(text: str) -> str:
    """Undo what mail, forums and terminals do to text."""
    text = _ANSI.sub("", text)
    for _ in range(_MAX_ESCAPES):
        if not _ENTITY.search(text):
            break
        text = html.unescape(_TAG.sub(lambda m: "\n" if m[0].startswith("<br") else "", text))
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    text = _CODE_BEGIN.sub("", _COMMAND_IN_CODE.sub("$ ", text))
    text = _CODE_END.sub(lambda m: "$ " if m["alone"] else "\n$ ", text)
    return "\n".join(_dedented(_unquoted(text.split("\n"))))


_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|quot|lt|gt|amp|nbsp);", re.IGNORECASE)
_MAX_ESCAPES = 3  # Each system that a text went through may have escaped it once.
_QUOTE = re.compile(r"^\s*>(?:\s*>)*\s?|^\| ?(?![-`])")
_MOSTLY = 0.6


def _unquoted(lines: list[str]) -> list[str]:
    """Take off the marks of quoted lines, nested ones too, where most lines have them."""
    filled = [line for line in lines if line.strip()]
    quoted = sum(bool(_QUOTE.match(line)) for line in filled)
    if not filled or quoted < _MOSTLY * len(filled):
        return lines
    return [_QUOTE.sub("", line) for line in lines]


_CODE_INDENT = re.compile(r"^(?: {4}|\t)")


def _dedented(lines: list[str]) -> list[str]:
    """Take off the indent that makes code of lines in Markdown; boot-info's own indents stay."""
    if any(_BANNER.match(line) for line in lines):
        return lines
    result = list(lines)
    begin = 0
    while begin < len(lines):
        end = begin
        while end < len(lines) and (not lines[end].strip() or _CODE_INDENT.match(lines[end])):
            end += 1
        block = [_CODE_INDENT.sub("", line) for line in lines[begin:end]]
        first = next((line for line in block if line.strip()), "")
        if _heading(first) is not None or _kind_of_beginning(first) is not None:
            result[begin:end] = block
        begin = end + 1
    return result


def _outputs(lines: list[str], offset: int) -> Iterator[Document]:
    for heading, begin, end in _sections(lines):
        yield from _documents(heading, lines[begin:end], offset + begin)


def _sections(lines: list[str]) -> Iterator[tuple[str | None, int, int]]:
    """Cut at headings: ruled (boot-info), underlined (its parts), and shell prompts."""
    heading, begin = None, 0
    for number, line in enumerate(lines):
        found = _heading(line)
        if found is not None:
            yield heading, begin, number
            heading, begin = found, number + 1
    yield heading, begin, len(lines)


def _heading(line: str) -> str | None:
    if match := _RULED.match(line):
        return match[1]
    if (match := _UNDERLINED.match(line)) and not _DEVICE.match(match[1].rstrip(":")):
        return match[1]
    if match := _PROMPT.match(line) or _ROOT_PROMPT.match(line):
        return match["command"] or ""
    return None


# How the first line of an output looks, where no heading announces it.
_BEGINNINGS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (Kind.EFIBOOTMGR, r"^\s*Boot(?:Current|Order|Next|[0-9A-F]{4}[* ])"),
        (Kind.PARTED, r"^BYT;|^(?:/dev/)?\w+:[\d.]+\w+:\w*:\d+:\d+:(?:gpt|msdos)"),
        (
            Kind.FDISK,
            (
                r"^(?:Disk|Festplatte|Disco|Disque|Диск|Dysk|Schijf) (?:/dev/)?\w+ ?:.*\d{6}"
                r"|^(?:/dev/|sd|nvme|vd|hd)\w*\d\s+(?:\*\s+)?\d+\s+\d+\s+\d+\s"
            ),
        ),
        (Kind.LSBLK_TREE, r"^NAME\s+[A-Z]"),
        (Kind.BLKID, r'^/dev/\S+: .*(?:UUID|TYPE)="'),
        (Kind.OS_PROBER, r"^/dev/[^:\s]+(?:@[^:]*)?:[^:]+:[^:]+:(?:efi|chain|linux)\b"),
        (Kind.DEFAULT_GRUB, r"^(?:export )?#?GRUB_[A-Z_]+="),
        (Kind.FSTAB, r"^(?:UUID=|/dev/disk/by-)\S+\s+\S+\s+\w+\s"),
        (Kind.MKCONFIG_LOG, r"^(?:Generating grub|Sourcing file|Found linux image)"),
        (Kind.ESP_STUB, r"^search\.fs_uuid "),
        (Kind.ESP_LIST, r"^/?(?:\S+/)?(?:efi|EFI)/\S+\.(?:efi|EFI)\s*$"),
        (Kind.GRUB_CFG, r"^### BEGIN /etc/grub\.d|^menuentry "),
        (Kind.SECURE_BOOT, r"^SecureBoot (?:enabled|disabled)"),
        (Kind.FIRMWARE, r"(?:EFI|BIOS|CSM)[ -]mode|is in Legacy"),
    )
)


def _documents(heading: str | None, lines: list[str], offset: int) -> Iterator[Document]:
    """Make one document of a section, or several where outputs follow each other in it."""
    runs = list(_runs(lines))
    if len(runs) <= 1 and heading is not None:
        runs = [(runs[0][0] if runs else None, 0, len(lines))]
    for kind, begin, end in runs:
        name = _name(heading, kind)
        body = lines[begin:end]
        if not "".join(body).strip():
            continue
        # Blank lines stand for what comes before, so that line numbers are the paste's own.
        text = "\n" * (offset + begin) + "\n".join(body)
        document = Document.of(name, text)
        if kind is Kind.GRUB_CFG or recognise(document) is not None:
            yield document


def _name(heading: str | None, kind: Kind | None) -> str:
    name = re.sub(r"\s*\(filtered\)|\s*\(\d+/\d+\)", "", heading or "").strip(" :\"'")
    return name or (kind.value if kind else "paste")


def _runs(lines: list[str]) -> Iterator[tuple[Kind | None, int, int]]:
    """Cut lines without headings where another tool's output begins."""
    current: Kind | None = None
    begin = 0
    for number, line in enumerate(lines):
        kind = _kind_of_beginning(line)
        if kind is None or kind is current or _belongs(kind, current):
            continue
        if current is not None:
            yield current, begin, number
            begin = number
        current = kind
    if current is not None:
        yield current, begin, len(lines)


def _kind_of_beginning(line: str) -> Kind | None:
    return next((kind for kind, pattern in _BEGINNINGS if pattern.search(line)), None)


def _belongs(kind: Kind, current: Kind | None) -> bool:
    """Tell whether a line that could begin another output is a part of the current one."""
    return current is Kind.GRUB_CFG and kind in {Kind.ESP_STUB, Kind.GRUB_CFG}
