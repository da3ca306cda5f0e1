"""How the tests of the command layer run labkit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from labkit.cli import app


@dataclass(frozen=True)
class Run:
    """How a run of labkit ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        """The JSON document on standard output."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    """A function that runs labkit in this process."""

    def call(*arguments: str) -> Run:
        code = app.main(arguments)
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return call


@pytest.fixture
def spawn():
    """A function that runs labkit as a process of its own."""

    def call(*arguments: str, **settings: object) -> Run:
        result = subprocess.run(
            [sys.executable, "-m", "labkit", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **settings,
        )
        return Run(result.returncode, result.stdout, result.stderr)

    return call


@pytest.fixture
def sample(monkeypatch):
    """Put a sample tool into the table."""
    monkeypatch.setitem(app.TOOLS, "sample", ("support.sample_tool", "A sample."))
