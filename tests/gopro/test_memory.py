"""What a long list costs in memory; a camera's card can hold tens of thousands of files."""

from __future__ import annotations

import gc
import tracemalloc

from labkit.gopro.media_list import parse_media_list
from labkit.gopro.plan import PlanOptions, plan_pull

COUNT = 9_990


def long_list():
    """A list of photos, as a HERO4 writes it."""
    folders = [
        {
            "d": f"{number}GOPRO",
            "fs": [
                {"n": f"GOPR{index:04d}.JPG", "mod": "1718442000", "s": "100000"}
                for index in range(999)
            ],
        }
        for number in range(100, 110)
    ]
    return {"id": "1", "media": folders}


def held_and_peak(build):
    """Bytes that the result of `build` holds, and the most that was held on the way."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result = build()
        gc.collect()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.files
    return held - before, peak - before


def test_a_list_holds_less_than_600_bytes_a_file():
    """Without the JSON that it was read from."""
    document = long_list()
    held, _ = held_and_peak(lambda: parse_media_list(document))

    assert held / COUNT < 600


def test_a_plan_holds_less_than_600_bytes_a_file():
    """Beside the list: a path, a journal entry and little else.

    No part of a path is kept for good in the interpreter's own table of strings, as pathlib does.
    """
    listing = parse_media_list(long_list())
    held, peak = held_and_peak(lambda: plan_pull(listing, PlanOptions()))

    assert held / COUNT < 600
    assert peak / COUNT < 1024
