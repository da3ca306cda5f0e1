"""Two bundles of one computer, before and after: what changed, and which rules it concerns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from labkit.boot.facts import Facts
    from labkit.boot.judge import Diagnosis

__all__ = ["Change", "compare"]


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


# What each kind of fact is judged by.
_RULES = {
    "boot-order": ("N02", "N09"),
    "boot-entry": ("N01", "N03", "N04", "N05", "N06", "N08"),
    "partition": ("E01", "E04", "N11", "P01"),
    "file-system": ("C03", "C04", "E07"),
    "esp-file": ("E02", "E03", "E05"),
    "menu-entry": ("C01", "D01", "D02", "O01"),
    "setting": ("C01", "F04", "O01"),
    "esp-stub": ("C02", "C04"),
    "environment": ("C10", "D03", "F12"),
}


def compare(before: Diagnosis, after: Diagnosis) -> tuple[Change, ...]:
    """List what differs between two diagnoses, findings first.

    What only one of the two bundles tells about is left out: an input that was not collected is
    no change of the computer.
    """
    changes = list(_findings(before, after))
    for what, facts_of in _ASPECTS.items():
        old, new = facts_of(before.facts), facts_of(after.facts)
        if old is None or new is None:
            continue
        changes += _differences(what, old, new)
    return tuple(changes)


def _findings(before: Diagnosis, after: Diagnosis) -> Iterator[Change]:
    old = {r.finding.rule: r.finding.message for r in before.findings}
    new = {r.finding.rule: r.finding.message for r in after.findings}
    appeared, gone = new.keys() - old.keys(), old.keys() - new.keys()
    for rule in sorted(gone):
        if rule not in after.unchecked:
            yield Change("finding", rule, old[rule], None, (rule,))
    for rule in sorted(appeared):
        if rule not in before.unchecked:
            yield Change("finding", rule, None, new[rule], (rule,))


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
    return {p.device: f"{p.fstype} {p.uuid}" for p in facts.partitions if p.uuid} or None


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
