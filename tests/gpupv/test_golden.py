"""One whole script set, as it was read line by line; run this file to write it anew."""

from __future__ import annotations

import sys
from pathlib import Path

from labkit.gpupv import Spec, plan_scripts

GOLDEN = Path(__file__).parent / "golden"


def golden_scripts():
    """The set of golden/plan.toml."""
    return plan_scripts(Spec.parse((GOLDEN / "plan.toml").read_text(encoding="utf-8")))


def test_set_is_the_reviewed_one():
    """Byte for byte; a wanted change is written with `python tests/gpupv/test_golden.py`."""
    folder = GOLDEN / "scripts"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    wanted = {name: text.encode("ascii") for name, text in golden_scripts().items()}
    assert sorted(found) == sorted(wanted)
    for name, data in wanted.items():
        assert found[name] == data, name


if __name__ == "__main__":
    for file_name, content in golden_scripts().items():
        (GOLDEN / "scripts" / file_name).write_bytes(content.encode("ascii"))
    sys.exit()
