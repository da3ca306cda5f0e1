"""Two bundles of one computer, before and after: what changed, and which rules it concerns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.rules import find_rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from labkit.boot.facts import Facts
    from labkit.boot.judge import Diagnosis
    from labkit.boot.topics import Topic

__all__ = ["Change", "Comparison", "Uncompared", "compare"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        what: What it is about: `finding`, `boot-order`, `boot-entry`, `partition`, ...
        name: Which one.
        before: What it was; None where it was not there.
        after: What it is; None where it is gone.
        rules: The rules that it concerns.
    """

    what: str
    name: str
    before: str | None
    after: str | None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Uncompared:
    """Something that only one of the two sides tells about.

    Attributes:
        what: What it is about, as in `Change`.
        name: The rule that reports on one side; empty for a kind of fact.
        detail: What that rule reports; empty for a kind of fact.
        only_in: `before` or `after`: the side that tells.
        missing: The topics that the other side lacks, where they are known.
    """

    what: str
    name: str
    detail: str
    only_in: str
    missing: tuple[Topic, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two sides, and what cannot be told because one of them is silent."""

    changes: tuple[Change, ...]
    uncompared: tuple[Uncompared, ...]


# What each kind of fact is judged by.
_RULES = {
    "boot-order": ("N02", "N09"),
    "boot-entry": ("N01", "N03", "N04", "N05", "N06", "N08"),
    "partition": ("E01", "E04", "N11", "P01"),
    "file-system": ("C03", "C04", "E07", "W02"),
    "esp-file": ("E02", "E03", "E05"),
    "menu-entry": ("C01", "D01", "D02", "O01"),
    "setting": ("C01", "F04", "O01"),
    "esp-stub": ("C02", "C04"),
    "environment": ("C10", "D03", "D09", "F12"),
}


def compare(before: Diagnosis, after: Diagnosis) -> Comparison:
    """List what differs between two diagnoses, findings first.

    What only one of the two bundles tells about is no change of the computer: it is listed apart.
    """
    changes, uncompared = _findings(before, after)
    for what, facts_of in _ASPECTS.items():
        old, new = facts_of(before.facts), facts_of(after.facts)
        if old is not None and new is not None:
            changes += _differences(what, old, new)
        elif old is not None or new is not None:
            only_in = "after" if old is None else "before"
            uncompared.append(Uncompared(what, "", "", only_in))
    return Comparison(tuple(changes), tuple(uncompared))


def _findings(before: Diagnosis, after: Diagnosis) -> tuple[list[Change], list[Uncompared]]:
    """Compare findings by rule; what one side could not see has neither come nor gone."""
    old, new = _messages(before), _messages(after)
    changes, uncompared = [], []
    for rule in sorted(old.keys() | new.keys()):
        if rule in old and rule in new:
            if old[rule] != new[rule]:
                changes.append(Change("finding", rule, old[rule], new[rule], (rule,)))
            continue
        telling, silent = (before, after) if rule in old else (after, before)
        if missing := _unseen_by(silent, telling, rule):
            only_in = "before" if telling is before else "after"
            detail = old.get(rule) or new[rule]
            uncompared.append(Uncompared("finding", rule, detail, only_in, missing))
        else:
            changes.append(Change("finding", rule, old.get(rule), new.get(rule), (rule,)))
    return changes, uncompared


def _unseen_by(silent: Diagnosis, telling: Diagnosis, rule: str) -> tuple[Topic, ...]:
    """Name what the silent side lacks of a finding: a need of the rule, or what shows it here."""
    needed = find_rule(rule).missing(silent.facts.topics)
    evidence = [e for r in telling.findings if r.finding.rule == rule for e in r.finding.evidence]
    shown_by = [topic for e in evidence for topic in telling.facts.answers.get(e.input, ())]
    lacking = [topic for topic in shown_by if topic not in silent.facts.topics]
    return tuple(dict.fromkeys((*needed, *lacking)))


def _messages(diagnosis: Diagnosis) -> dict[str, str]:
    """Join what each rule reports."""
    messages: dict[str, str] = {}
    for ranked in diagnosis.findings:
        finding = ranked.finding
        known = messages.get(finding.rule)
        messages[finding.rule] = f"{known}; {finding.message}" if known else finding.message
    return messages


def _differences(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield Change(what, name, old.get(name), new.get(name), _RULES[what])


def _boot_order(facts: Facts) -> Mapping[str, str] | None:
    if facts.boot_list is None or facts.boot_list.order is None:
        return None
    return {"BootOrder": ",".join(f"{n:04X}" for n in facts.boot_list.order)}


def _boot_entries(facts: Facts) -> Mapping[str, str] | None:
    if facts.boot_list is None or not facts.boot_list.is_supported:
        return None
    return {
        e.name: f"{e.label} {e.loader or e.path}".strip() + ("" if e.active else " (inactive)")
        for e in facts.boot_list.entries
    }


def _partitions(facts: Facts) -> Mapping[str, str] | None:
    return {
        p.device: f"{p.type}, start {p.start}, {p.size} sectors"
        for p in facts.partitions
        if p.start is not None
    } or None


def _file_systems(facts: Facts) -> Mapping[str, str] | None:
    # BitLocker shows a type alone, without a UUID.
    told = {p.device: " ".join(filter(None, (p.fstype, p.uuid))) for p in facts.partitions}
    return {device: what for device, what in told.items() if what} or None


def _esp_files(facts: Facts) -> Mapping[str, str] | None:
    return {file: "there" for esp in facts.esps for file in esp.files} or None


def _menu(facts: Facts) -> Mapping[str, str] | None:
    if facts.menu is None:
        return None
    return {item.identifier: item.title for item in facts.menu.items}


def _settings(facts: Facts) -> Mapping[str, str] | None:
    if facts.settings is None:
        return None
    return {
        name: "(computed)" if setting.value is None else setting.value
        for name, setting in facts.settings.settings.items()
    }


def _stub(facts: Facts) -> Mapping[str, str] | None:
    return {"uuid": facts.stub.uuid or ""} if facts.stub else None


def _environment(facts: Facts) -> Mapping[str, str] | None:
    block = facts.environment.block if facts.environment else None
    return dict(block.variables) if block else None


_ASPECTS = {
    "boot-order": _boot_order,
    "boot-entry": _boot_entries,
    "partition": _partitions,
    "file-system": _file_systems,
    "esp-file": _esp_files,
    "menu-entry": _menu,
    "setting": _settings,
    "esp-stub": _stub,
    "environment": _environment,
}
