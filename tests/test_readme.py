"""README's lines and figures are true."""

from __future__ import annotations

import re

from labkit.errors import ExitCode


def test_ci_runs_readmes_test_line(project):
    """The line that README gives for the tests is the one that CI looks up and runs."""
    readme = (project / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if "bin/pytest" in line]

    assert len(lines) == 1
    assert "grep -m1 -F 'bin/pytest' README.md" in (project / ".ci/run").read_text(encoding="utf-8")


def test_every_exit_code_is_documented(project):
    """docs/exit-codes.md has a row for each exit code, with its name."""
    page = (project / "docs/exit-codes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", page, re.MULTILINE))

    assert rows == {str(code.value): code.name for code in ExitCode}


def test_links_lead_somewhere(project):
    """Every relative link of README and docs leads to a file."""
    for page in (project / "README.md", *(project / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{target} in {page.name}"
