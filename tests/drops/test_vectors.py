"""The shared test vectors: published figures and hard cases, correctly rounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import vectors_rates, vectors_sets

FILE = Path(__file__).parents[3] / "shared" / "fixtures" / "drops" / "vectors.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else []
ANSWERS = vectors_rates.ANSWERS | vectors_sets.ANSWERS


def check(expected, got, tolerance):
    """Compare as the vectors' README says: integers exactly, objects by the expected keys."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            check(value, got[key], tolerance)
    elif isinstance(expected, list):
        assert len(expected) == len(got)
        for one, other in zip(expected, got, strict=True):
            check(one, other, tolerance)
    elif isinstance(expected, int):
        assert expected == got
    else:
        allowed = max(tolerance.get("abs", 0), tolerance.get("rel", 0) * abs(expected))
        assert abs(got - expected) <= allowed


@pytest.mark.parametrize(
    "vector", [pytest.param(v, id=v["id"]) for v in VECTORS if v["kind"] in ANSWERS]
)
def test_a_shared_vector_is_answered(vector):
    """Each record of the shared vectors is answered within its tolerance."""
    check(vector["expected"], ANSWERS[vector["kind"]](vector["inputs"]), vector["tolerance"])


def test_every_kind_of_vector_is_answered(shared_fixtures):
    """Where the shared data is, each of its kinds is known here."""
    assert VECTORS
    assert {vector["kind"] for vector in VECTORS} <= set(ANSWERS)
