"""What a rule is: one unit with its detector and everything that there is to say about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import TYPE_CHECKING, TypeAlias

from labkit.boot.findings import Confidence, Finding
from labkit.boot.remedies import bitlocker_caution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from labkit.boot.facts import Facts
    from labkit.boot.findings import Evidence, Severity
    from labkit.boot.topics import Topic

__all__ = ["Effect", "Hit", "Needs", "Rule", "rule"]

Needs: TypeAlias = "tuple[Topic | tuple[Topic, ...], ...]"
"""Topics a rule needs: all of them; of an inner tuple any one."""


@unique
class Effect(IntEnum):
    """What a finding does to the user; the smaller, the nearer to the root of the trouble."""

    FILE_GONE = 0
    CANNOT_START = 1
    WRONG_SYSTEM = 2
    NOT_IN_MENU = 3
    SETTING_IGNORED = 4
    LEFTOVER = 5
    SIDE_NOTE = 6


@dataclass(frozen=True, slots=True)
class Hit:
    """What a detector found; what is None is as the rule says.

    Attributes:
        message: What is wrong here, one sentence.
        evidence: The lines that show it.
        severity: How bad it is here.
        confidence: How far the inputs prove it.
        fix: What to do here: commands that run as shown and sentences, a line each.
        undo: How to take it back here, with the old values.
    """

    message: str
    evidence: tuple[Evidence, ...] = ()
    severity: Severity | None = None
    confidence: Confidence = Confidence.CERTAIN
    fix: str | None = None
    undo: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the catalogue.

    Attributes:
        id: Its stable name, such as `E01`.
        title: What is wrong, in a few words.
        severity: How bad it usually is.
        effect: What it does to the user; orders simultaneous causes.
        needs: Without these inputs it is silent.
        see: What the user sees.
        why: Why, with the behaviour of the real tool.
        check: How to check it by hand.
        fix: What to do.
        undo: How to take the fix back.
        explains: Rules whose findings it makes true: shown under it.
        changes_start: The fix changes the firmware, a loader or the boot order: what BitLocker's
            key may be bound to.
        detect: Finds it in the facts.
    """

    id: str
    title: str
    severity: Severity
    effect: Effect
    needs: Needs
    see: str
    why: str
    check: str
    fix: str
    undo: str
    explains: tuple[str, ...]
    changes_start: bool
    detect: Callable[[Facts], Iterable[Hit]]

    def missing(self, topics: frozenset[Topic]) -> tuple[Topic, ...]:
        """Name the topics it lacks; of a choice the first."""
        lacking = []
        for need in self.needs:
            choice = need if isinstance(need, tuple) else (need,)
            if not topics.intersection(choice):
                lacking.append(choice[0])
        return tuple(lacking)

    def apply(self, facts: Facts) -> Iterator[Finding]:
        """Run the detector; silent while an input that it needs is missing."""
        if self.missing(facts.topics):
            return
        caution = bitlocker_caution(facts) if self.changes_start else ""
        for hit in self.detect(facts):
            yield Finding(
                self.id,
                hit.severity or self.severity,
                hit.confidence,
                hit.message,
                hit.evidence,
                hit.fix or self.fix,
                caution,
                hit.undo,
            )


def rule(  # noqa: PLR0913 - a rule is declared whole, in one place
    id: str,  # noqa: A002 - the catalogue's own word
    title: str,
    severity: Severity,
    effect: Effect,
    *,
    needs: Needs,
    see: str,
    why: str,
    check: str,
    fix: str,
    undo: str,
    explains: tuple[str, ...] = (),
    changes_start: bool = False,
) -> Callable[[Callable[[Facts], Iterable[Hit]]], Rule]:
    """Make the decorated detector a rule."""

    def declare(detect: Callable[[Facts], Iterable[Hit]]) -> Rule:
        return Rule(
            id,
            title,
            severity,
            effect,
            needs,
            see,
            why,
            check,
            fix,
            undo,
            explains,
            changes_start,
            detect,
        )

    return declare
