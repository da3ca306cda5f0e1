"""What a listener hears of a whole run."""

from __future__ import annotations

import pytest

from labkit.gopro import PlanOptions, PullOptions, Selection, pull
from labkit.gopro.names import Kind
from labkit.progress import SILENT


class Listener:
    """Keeps the last state of the first task, which is the whole run's."""

    def __init__(self):
        self.state = None
        self.first = True

    def message(self, text):
        """Nothing to keep."""

    def warning(self, text):
        """Nothing to keep."""

    def task(self, name, *, total=None, unit="bytes"):
        """Keep the first task's states."""
        if not self.first:
            return SILENT.task(name, total=total, unit=unit)
        self.first = False
        return Whole(self)


class Whole:
    """The run's task."""

    def __init__(self, listener):
        self.listener = listener

    def advance(self, amount):
        """Not used by a run."""
        raise AssertionError(amount)

    def reach(self, done, total=None):
        """Keep it."""
        self.listener.state = (done, total)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize("backend", ["labkit", "wget"])
@pytest.mark.parametrize(
    ("dialect", "markup"),
    [("open-gopro", "civetweb"), ("html", "civetweb"), ("html", "cherokee")],
)
def test_a_run_ends_at_all_of_its_bytes(
    camera_with, find, tmp_path, backend, dialect, markup, need_tool
):
    """Sizes that the list rounds, or does not have, count once."""
    if backend == "wget":
        need_tool("wget")
    fake = camera_with(dialect=dialect, markup=markup)
    listener = Listener()
    kinds = PlanOptions(selection=Selection(kinds=frozenset(Kind)))
    options = PullOptions(kinds, backend=backend)
    result = pull(find(fake), tmp_path / "dest", options, progress=listener)

    assert result.is_complete
    assert listener.state == (result.received_bytes, result.received_bytes)


def test_a_size_that_the_list_leaves_out_is_asked_for(camera_with, pull_from, tmp_path):
    """With --max-size, before the body comes; it is no failure, and not missing later."""
    fake = camera_with(pages=False)
    plan = PlanOptions(selection=Selection(kinds=frozenset({Kind.RAW}), max_bytes=1000))
    result = pull_from(fake, plan=plan)

    assert [one.file.name for one in result.left_out] == ["GOPR0013.GPR"]
    assert result.is_complete
    assert result.received_bytes == 0
    assert not list((tmp_path / "dest").rglob("*.GPR*"))
