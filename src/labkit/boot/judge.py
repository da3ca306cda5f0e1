"""From facts to a verdict: run the rules, rank causes above their symptoms, test the chain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING

from labkit.boot.chain import check_chain, is_proved_healthy
from labkit.boot.findings import Confidence, Severity
from labkit.boot.linux_loader import beside_the_point, uses_grub
from labkit.boot.rules import RULES

if TYPE_CHECKING:
    from labkit.boot.chain import Link
    from labkit.boot.facts import Facts
    from labkit.boot.findings import Finding
    from labkit.boot.rules.base import Rule
    from labkit.boot.topics import Topic

__all__ = ["MAX_CAUSES", "Diagnosis", "Ranked", "Verdict", "diagnose_facts"]

_WEIGHT_OF_LINK = 100  # rules are fewer than that: a link of the chain always counts more
MAX_CAUSES = 3
"""More causes at once help nobody; all findings stay in the list."""


@unique
class Verdict(StrEnum):
    """The answer."""

    HEALTHY = "healthy"
    FINDINGS = "findings"
    NO_VERDICT = "no-verdict"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A finding in its place.

    Attributes:
        finding: What was found.
        title: The rule's title.
        explained_by: The id of the root cause that makes it true; None for a root itself.
    """

    finding: Finding
    title: str
    explained_by: str | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a computer's boot chain, or that nothing is.

    Attributes:
        verdict: The answer.
        root_causes: At most three rule ids, the first to mend first.
        findings: All findings: roots in their order, each followed by what it explains.
        links: The links of the chain that were tested, with their outcome.
        missing: Topics that rules or links lack, the most useful first.
        unchecked: Ids of rules that were silent for lack of an input.
        facts: What the findings rest on.
    """

    verdict: Verdict
    root_causes: tuple[str, ...]
    findings: tuple[Ranked, ...]
    links: tuple[Link, ...]
    missing: tuple[Topic, ...]
    unchecked: tuple[str, ...]
    facts: Facts


def diagnose_facts(facts: Facts) -> Diagnosis:
    """Judge one computer."""
    rules = {rule.id: rule for rule in RULES}
    found = [finding for rule in RULES for finding in rule.apply(facts)]
    ranked = _ranked(found, rules)
    serious = [r for r in ranked if r.finding.severity is not Severity.INFO]
    roots = dict.fromkeys(r.finding.rule for r in serious if r.explained_by is None)
    links = check_chain(facts)
    if serious:
        verdict = Verdict.FINDINGS
    elif is_proved_healthy(facts, links):
        verdict = Verdict.HEALTHY
    else:
        verdict = Verdict.NO_VERDICT
    unchecked = [rule for rule in RULES if rule.missing(facts.topics)]
    return Diagnosis(
        verdict,
        tuple(roots)[:MAX_CAUSES],
        tuple(ranked),
        links,
        _missing(facts, links, unchecked),
        tuple(rule.id for rule in unchecked),
        facts,
    )


def _ranked(found: list[Finding], rules: dict[str, Rule]) -> list[Ranked]:
    """Put causes first and each symptom behind the cause that explains it."""
    order = {rule_id: number for number, rule_id in enumerate(rules)}

    def key(finding: Finding) -> tuple[bool, bool, int, bool, int]:
        rule = rules[finding.rule]
        return (
            finding.severity is Severity.INFO,
            finding.severity is not Severity.ERROR,
            rule.effect,
            finding.confidence is not Confidence.CERTAIN,
            order[finding.rule],
        )

    found = sorted(found, key=key)
    causes = _causes(found, rules)
    roots = [f for f in found if f.rule not in causes]
    ranked = []
    for root in roots:
        ranked.append(Ranked(root, rules[root.rule].title, None))
        if root.rule in {r.finding.rule for r in ranked[:-1]}:
            continue  # Its symptoms stand under the first finding of the rule.
        ranked += [
            Ranked(f, rules[f.rule].title, root.rule)
            for f in found
            if causes.get(f.rule) == root.rule
        ]
    return ranked


def _causes(found: list[Finding], rules: dict[str, Rule]) -> dict[str, str]:
    """Map each explained rule to its root: the highest-ranked finding that leads to it."""
    serious = list(dict.fromkeys(f.rule for f in found if f.severity is not Severity.INFO))
    causes: dict[str, str] = {}
    for cause in serious:
        if cause in causes:
            continue
        pending = list(rules[cause].explains)
        while pending:
            symptom = pending.pop()
            if symptom != cause and symptom not in causes and any(f.rule == symptom for f in found):
                causes[symptom] = cause
                pending += rules[symptom].explains
    # A rule that was taken for a root before its own cause came up is a symptom after all.
    return {symptom: _root_of(symptom, causes) for symptom in causes}


def _root_of(rule_id: str, causes: dict[str, str]) -> str:
    seen = {rule_id}
    root = causes[rule_id]
    while root in causes and root not in seen:
        seen.add(root)
        root = causes[root]
    return root


def _missing(facts: Facts, links: tuple[Link, ...], unchecked: list[Rule]) -> tuple[Topic, ...]:
    """Order what is missing: the chain's untested links first, then by the rules it would wake."""
    wanted: dict[Topic, int] = {}
    useless = beside_the_point(facts)
    for link in links:
        for topic in link.lacks(facts):
            wanted[topic] = wanted.get(topic, 0) + _WEIGHT_OF_LINK
    # Beside another loader than GRUB the rules that are left have little to say.
    for rule in unchecked if uses_grub(facts) else ():
        if rule.severity is Severity.ERROR:
            for topic in rule.missing(facts.topics):
                wanted[topic] = wanted.get(topic, 0) + 1
    wanted = {topic: weight for topic, weight in wanted.items() if topic not in useless}
    return tuple(sorted(wanted, key=lambda topic: (-wanted[topic], topic)))
