"""What grub-mkconfig (update-grub) says while it runs, in any of its languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = ["MkconfigLog", "RunState", "parse_mkconfig_log"]


@unique
class RunState(StrEnum):
    """How a run of grub-mkconfig ended."""

    DONE = "done"
    DIED = "died"
    """An error line and no `done`: grub.cfg was not replaced."""
    CUT = "cut"
    """Neither: the text may just end here."""


@dataclass(frozen=True, slots=True)
class MkconfigLog:
    """What grub-mkconfig (update-grub) printed on standard error.

    Attributes:
        state: How the run ended.
        probing: Whether os-prober ran; None where the log does not say (not installed, older
            than GRUB 2.06, or 30_os-prober not run).
        found: Lines that announce another system; they do not prove its menu entry.
        skipped: Lines that say that a system was skipped by user request.
        errors: Lines that stopped the run.
        probing_evidence: The line that tells `probing`.
        title_advice: Lines that call GRUB_DEFAULT's title old.
        no_space: Lines that say that a disk is full.
    """

    state: RunState
    probing: bool | None
    found: tuple[Evidence, ...]
    skipped: tuple[Evidence, ...]
    errors: tuple[Evidence, ...]
    probing_evidence: Evidence | None
    title_advice: tuple[Evidence, ...]
    no_space: tuple[Evidence, ...]

    @property
    def is_done(self) -> bool:
        """Whether the run came to its end."""
        return self.state is RunState.DONE

    @property
    def died(self) -> bool:
        """Whether an error stopped the run."""
        return self.state is RunState.DIED


_PREFIXED_ERROR = re.compile(
    r"printf: .|: not found\s*\Z|Syntax error|[Ss]yntax errors? (?:are|is) detected"
    r"|Invalid output terminal|Unsupported image format|command not found|unexpected"
    r"|未找到命令|Kommando nicht gefunden|commande introuvable|orden no encontrada"
    r"|команда не найдена|error: (?!.*(?:not accessible|Ignoring))"
)
_NOT = re.compile(r"\b(?:not|nicht|no|ne|nie|non|niet|não|inte|не)\b|不|ません|しない")
# The last word of a run, in GRUB's translations.
_DONE = re.compile(
    "done|erledigt|fertig|hecho|listo|fait|terminé|готово|завершено|完成|完了|fatto|completato"
    "|concluído|feito|klaar|gereed|gotowe|hotovo|klart|valmis|færdig",
    re.IGNORECASE,
)
_FOUND = re.compile(
    r"^(?!.*(?:linux image|initrd))(?:Found )?(?P<name>.+?) (?:on|auf|en|sur|su|na|op|на|в|em|på)"
    r" (?P<device>/dev/[^\s@]+)(?:@(?P<path>\S+))?(?: \S+)?\s*\Z",
    re.IGNORECASE,
)
_FOUND_EFI = re.compile(r"/dev/[^\s@]+@/\S+\.efi", re.IGNORECASE)


def parse_mkconfig_log(document: Document) -> MkconfigLog:
    """Read the messages of `update-grub` or `grub-mkconfig`, in any language."""
    probing: bool | None = None
    probing_evidence = None
    kinds: dict[str, list[Evidence]] = {
        key: [] for key in ("found", "skipped", "errors", "title", "space", "done")
    }
    for number, raw_line in enumerate(document.lines, 1):
        line = raw_line.strip()
        if "os-prober" in line and probing is None and _is_probing_notice(line):
            probing, probing_evidence = not _NOT.search(line), document.at(number)
        elif kind := _kind_of_line(line):
            kinds[kind].append(document.at(number))
    state = RunState.DONE if kinds["done"] else RunState.DIED if kinds["errors"] else RunState.CUT
    return MkconfigLog(
        state,
        probing,
        tuple(kinds["found"]),
        tuple(kinds["skipped"]),
        tuple(kinds["errors"]),
        probing_evidence,
        tuple(kinds["title"]),
        tuple(kinds["space"]),
    )


def _is_probing_notice(line: str) -> bool:
    """Tell the warning that os-prober will (not) run from lines that only name a file of it."""
    return "/os-prober" not in line and "os-prober:" not in line and "30_os" not in line


def _kind_of_line(line: str) -> str | None:
    kind = None
    if "No space left on device" in line:
        kind = "space"
    elif line.startswith("Please don't use old title"):
        kind = "title"
    elif line.startswith("Skipped ") and "by user request" in line:
        kind = "skipped"
    elif _DONE.fullmatch(line):
        kind = "done"
    elif _FOUND_EFI.search(line) or _FOUND.match(line):
        kind = "found"
    elif _PREFIXED_ERROR.search(line) and not line.startswith(("Warning", "grub-probe")):
        kind = "errors"
    return kind
