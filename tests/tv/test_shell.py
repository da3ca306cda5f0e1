"""The shell protocol's frames, however the bytes arrive."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from labkit.tv.shell import ShellStream

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2, 7]), st.binary(max_size=300)), max_size=8)


class Arriving:
    """A stream whose bytes come in pieces of these sizes."""

    def __init__(self, data, sizes):
        self._data = data
        self._sizes = sizes
        self._count = 0

    def receive(self):
        """Give the next piece."""
        size = self._sizes[self._count % len(self._sizes)]
        self._count += 1
        piece, self._data = self._data[:size], self._data[size:]
        return piece


@given(FRAMES, st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(0, 255))
def test_frames_are_taken_apart_whatever_the_pieces(frames, sizes, status):
    """Outputs stay apart and whole, unknown frames are passed over, the last one ends it."""
    data = b"".join(struct.pack("<BI", kind, len(part)) + part for kind, part in frames)
    data += struct.pack("<BIB", 3, 1, status) + b"behind the end"
    shell = ShellStream(Arriving(data, sizes), "tv")
    assert b"".join(shell.output()) == b"".join(part for kind, part in frames if kind == 1)
    errors = b"".join(part for kind, part in frames if kind == 2)
    assert shell.errors == errors.decode(errors="replace")
    assert shell.wait() == status
