"""A long ffmpeg: its progress stream, its failures, its end."""

from __future__ import annotations

import os
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ProgramMissingError
from labkit.gopro.ffmpeg_run import (
    EncodeDiskFullError,
    EncodeError,
    parse_progress_line,
    run_ffmpeg,
)


def process(code):
    """A command that behaves as the given Python lines say."""
    return [sys.executable, "-c", f"import os, sys, time\n{code}"]


def test_reads_the_microseconds():
    """`out_time_us` counts, `out_time_ms` (which lies) and N/A do not."""
    assert parse_progress_line("out_time_us=1500000\n") == 1.5
    assert parse_progress_line("out_time_ms=1500000") is None
    assert parse_progress_line("out_time_us=N/A") is None
    assert parse_progress_line("out_time_us=-23220") is None


@given(st.text())
def test_any_line_is_read(line):
    """A line is a time or nothing."""
    seconds = parse_progress_line(line)
    assert seconds is None or seconds >= 0


def test_tells_of_the_time_and_returns_the_complaints():
    """Each step forward once; what is said on the side is kept."""
    times = []
    complaints = run_ffmpeg(
        process(
            "print('out_time_us=1000000\\nout_time_us=1000000\\nout_time_us=2000000');"
            "print('frame 7 is odd', file=sys.stderr)"
        ),
        on_time=times.append,
    )
    assert times == [1.0, 2.0]
    assert complaints == ("frame 7 is odd",)


def test_a_failure_has_the_last_words():
    """The last line of what ffmpeg said is the reason."""
    with pytest.raises(EncodeError, match="moov atom not found") as raised:
        run_ffmpeg(process("sys.stderr.write('x\\nmoov atom not found\\n'); sys.exit(1)"))
    assert raised.value.code == "ffmpeg-failed"


def test_a_silent_failure_is_still_one():
    """Status alone is enough."""
    with pytest.raises(EncodeError, match="status 3"):
        run_ffmpeg(process("sys.exit(3)"))


def test_a_full_disk_is_told_apart():
    """It is no fault of the file."""
    with pytest.raises(EncodeDiskFullError):
        run_ffmpeg(process("sys.stderr.write('av_write: No space left on device'); sys.exit(1)"))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_ffmpeg_is_named():
    """The signal is in the message."""
    with pytest.raises(EncodeError, match="signal 9") as raised:
        run_ffmpeg(process("os.kill(os.getpid(), 9)"))
    assert raised.value.code == "ffmpeg-killed"


def test_one_that_cannot_start_is_missing():
    """With the hint of a missing program."""
    with pytest.raises(ProgramMissingError):
        run_ffmpeg(["/nonexistent/ffmpeg"])


def test_one_that_stalls_is_stopped():
    """Progress that repeats itself is none; the process is gone afterwards."""
    code = "while True: print(f'out_time_us=5', flush=True); time.sleep(0.05)"
    with pytest.raises(EncodeError, match="did not move") as raised:
        run_ffmpeg(process(code), stall_timeout_s=0.5)
    assert raised.value.code == "ffmpeg-stalled"


def test_much_noise_does_not_block():
    """A megabyte of complaints is drained while the progress is read; the end of it is kept."""
    code = "for i in range(20000): print('noise ' * 10, i, file=sys.stderr)"
    assert run_ffmpeg(process(code))[-1].endswith("19999")


def test_an_interruption_stops_it(tmp_path):
    """Whatever ends the call ends the process."""
    mark = tmp_path / "alive"
    code = f"print('out_time_us=1', flush=True); time.sleep(2); open({str(mark)!r}, 'w').close()"

    def interrupt(_):
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_ffmpeg(process(code), on_time=interrupt)
    time.sleep(max(0, 2.5 - (time.monotonic() - started)))
    assert not mark.exists()
