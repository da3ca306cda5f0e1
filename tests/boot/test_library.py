"""labkit.boot as a library: three names, loaded when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import labkit.boot
from support.boot_inputs import HEALTHY


def test_a_bundle_is_judged_in_two_calls(tmp_path):
    """Read, diagnose: the verdict, the causes and the links of the chain."""
    for name, text in HEALTHY.items():
        (tmp_path / name).write_text(text)
    diagnosis = labkit.boot.diagnose(labkit.boot.read_bundle(tmp_path))
    assert diagnosis.verdict == "healthy"
    assert [link.holds for link in diagnosis.links] == [True] * 5


def test_the_default_is_resolved_from_the_package():
    """`resolve_default` is the resolver itself."""
    from labkit.boot.default_entry import resolve_default

    assert labkit.boot.resolve_default is resolve_default


def test_importing_the_package_loads_nothing():
    """The names are loaded on demand, none of them by the import."""
    code = "import sys, labkit.boot; print(sorted(m for m in sys.modules if 'labkit.' in m))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert result.stdout.strip() == "['labkit.boot']"


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name fails as for any module."""
    with pytest.raises(AttributeError, match="diagnosis_of"):
        _ = labkit.boot.diagnosis_of
