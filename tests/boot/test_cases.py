"""The real cases: what must be found, what comes first, and what must not be claimed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.boot.bundle import Bundle, Input, read_bundle
from labkit.boot.diagnosis import diagnose
from labkit.boot.documents import Document, read_document
from labkit.boot.kinds import recognise

CASES = sorted(
    folder.parent.name
    for folder in (Path(__file__).parents[2].parent / "shared/fixtures/boot").glob("*/meta.json")
)


@pytest.fixture(params=CASES or [None])
def case(request, boot_cases):
    """One case: its folder, what is expected, and the diagnosis."""
    folder = boot_cases / request.param
    meta = json.loads((folder / "meta.json").read_text())
    return folder, meta, diagnose(read_bundle(folder))


def _severities(diagnosis):
    return {r.finding.rule: r.finding.severity.value for r in reversed(diagnosis.findings)}


def _as_set(value):
    return set(value) if isinstance(value, list) else {value} - {None}


def test_what_must_be_found_is_found(case):
    """Every expected rule reports, and the root cause comes first."""
    _, meta, diagnosis = case
    expect = meta["expect"]
    assert set(expect["rules"]) <= set(_severities(diagnosis))
    if expect["root_cause"] is not None:
        assert diagnosis.root_causes[0] in _as_set(expect["root_cause"])


def test_nothing_is_claimed_wrongly(case):
    """Nothing forbidden is reported above a remark, and no error is a false alarm."""
    _, meta, diagnosis = case
    expect, found = meta["expect"], _severities(diagnosis)
    forbidden = expect.get("must_not_report", [])
    if forbidden == "any error":
        forbidden = [rule for rule, severity in found.items() if severity == "error"]
    assert not [rule for rule in forbidden if found.get(rule, "info") != "info"]
    right = set(expect["rules"]) | set(expect.get("may_report", []))
    right |= _as_set(expect["root_cause"])
    assert not [r for r, severity in found.items() if severity == "error" and r not in right]
    assert not [r for r in expect.get("rules_info", []) if found.get(r, "info") != "info"]


def test_no_certain_cause_where_the_data_prove_none(case):
    """Where nobody found a cause in the data, none is claimed as certain."""
    _, meta, diagnosis = case
    certain = [
        r.finding.rule
        for r in diagnosis.findings
        if r.finding.severity != "info" and r.finding.confidence == "certain"
    ]
    assert not certain or meta["expect"]["root_cause"] is not None


def test_the_verdict_is_honest(case):
    """Healthy is said where it is so, not where it is not, and not where nothing tells."""
    _, meta, diagnosis = case
    healthy = meta["expect"].get("healthy")
    assert (diagnosis.verdict == "healthy") is (healthy is True)


def test_the_order_of_findings(case):
    """A pair [a, b] of the case: a stands before b."""
    _, meta, diagnosis = case
    order = [r.finding.rule for r in diagnosis.findings]
    for first, second in meta["expect"].get("rank", []):
        if first in order and second in order:
            assert order.index(first) < order.index(second)


def test_what_the_inputs_show(case):
    """Systems that os-prober found, ESPs and real partition tables are read as they are."""
    _, meta, diagnosis = case
    expect, facts = meta["expect"], diagnosis.facts
    for system in expect.get("os_prober", []):
        found = [s for s in facts.prober.systems if s.device == system["device"]]
        assert [s.kind for s in found] == [system["type"]]
        assert found[0].long == system.get("long", found[0].long)
    if "esp" in expect:
        assert [p.device for p in facts.esp_partitions] == expect["esp"]
    if "partition_tables" in expect:
        assert [d.device for d in facts.disks] == expect["partition_tables"]
    if expect.get("windows") is False:
        assert not facts.windows_evidence


def test_inputs_are_recognised_without_their_names(case):
    """Each input's kind is told by what it says; the name is only a hint."""
    folder, meta, _ = case
    for name, kind in meta["inputs"].items():
        document = read_document(folder / name)
        assert recognise(document) == kind
        assert recognise(Document("input", document.raw, document.text)) == kind


def test_single_files_of_a_case(case):
    """What a case expects of one of its files holds for that file alone."""
    folder, meta, _ = case
    for name, expect in meta["expect"].get("per_file", {}).items():
        document = read_document(folder / name)
        diagnosis = diagnose(Bundle(name, (Input(recognise(document), document),)))
        found = _severities(diagnosis)
        assert not set(expect.get("must_not_report", [])) & found.keys()
        boot_list, prober = diagnosis.facts.boot_list, diagnosis.facts.prober
        if "entries" in expect:
            assert len(boot_list.entries) == expect["entries"]
        if "inactive" in expect:
            inactive = [f"{e.number:04X}" for e in boot_list.entries if not e.active]
            assert inactive == expect["inactive"]
        if "boot_current" in expect:
            assert boot_list.current == int(expect["boot_current"], 16)
        if "first_label" in expect:
            assert boot_list.in_order[0].label == expect["first_label"]
        if "partuuid" in expect:
            node = boot_list.entries[0].node
            assert (node.identifier, node.start, node.size) == (
                expect["partuuid"],
                expect["start"],
                expect["size"],
            )
        if "valid_lines" in expect:
            assert len(prober.systems) == expect["valid_lines"]
            malformed = [line.line for line in prober.malformed]
            assert malformed == expect.get("malformed_lines", [])
