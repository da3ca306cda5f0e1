"""Run one long ffmpeg: follow its progress stream, notice when it stalls, name its failure."""

from __future__ import annotations

import re
import subprocess
import time
from collections import deque
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING

from labkit.errors import PartialError, ProgramMissingError
from labkit.programs import install_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["EncodeDiskFullError", "EncodeError", "parse_progress_line", "run_ffmpeg"]

_OUT_TIME = re.compile(r"out_time_us=(\d{1,18})", re.ASCII)
_MESSAGES_KEPT = 20


class EncodeError(PartialError):
    """ffmpeg did not convert a file."""

    code = "ffmpeg-failed"


class EncodeDiskFullError(EncodeError):
    """The file system of the target is full."""

    code = "disk-full"


def parse_progress_line(line: str) -> float | None:
    """Read the seconds done from a line of `-progress`; None for any other line.

    Its `out_time_ms` holds microseconds as well, an old slip: only `out_time_us` is read.
    """
    match = _OUT_TIME.fullmatch(line.strip())
    return int(match[1]) / 1_000_000 if match else None


def run_ffmpeg(
    command: Sequence[str],
    *,
    on_time: Callable[[float], None] = lambda _: None,
    pass_fds: Sequence[int] = (),
    stall_timeout_s: float = 600.0,
) -> tuple[str, ...]:
    """Run ffmpeg, with `-progress pipe:1` among its arguments, to its end.

    It is killed when this call ends in any other way, also by Ctrl-C.

    Args:
        command: The whole command.
        on_time: Is told how many seconds of the film are done.
        pass_fds: Open files that ffmpeg inherits, and with them their locks (POSIX).
        stall_timeout_s: Give up when nothing moves for so long.

    Returns:
        What ffmpeg complained of although it succeeded.

    Raises:
        EncodeError: It failed, was killed, or stalled.
        EncodeDiskFullError: The disk is full.
        ProgramMissingError: It cannot be started.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            pass_fds=pass_fds,
        )
    except OSError as error:
        raise ProgramMissingError(
            f"`ffmpeg` cannot be started: {error.strerror or error}", hint=install_hint("ffmpeg")
        ) from error
    with process:
        messages: deque[str] = deque(maxlen=_MESSAGES_KEPT)
        drain = Thread(target=messages.extend, args=(process.stderr,), daemon=True)
        drain.start()
        try:
            _follow(process, on_time, stall_timeout_s)
            status = process.wait(timeout=stall_timeout_s)
        except subprocess.TimeoutExpired as error:
            raise _stalled(stall_timeout_s) from error
        finally:
            process.kill()  # does nothing to one that has ended
            process.wait()
            drain.join()
    lines = tuple(line.strip() for line in messages if line.strip())
    if status != 0:
        raise _failure(status, lines)
    return lines


def _follow(
    process: subprocess.Popen[str], on_time: Callable[[float], None], stall_timeout_s: float
) -> None:
    """Read the progress stream to its end."""
    lines: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_enqueue, args=(process.stdout, lines), daemon=True).start()
    reached, moved_at = -1.0, time.monotonic()
    while True:
        try:
            line = lines.get(timeout=max(0.0, moved_at + stall_timeout_s - time.monotonic()))
        except Empty:
            raise _stalled(stall_timeout_s) from None
        if line is None:
            return
        done = parse_progress_line(line)
        if done is not None and done > reached:
            reached, moved_at = done, time.monotonic()
            on_time(done)


def _enqueue(stream: IO[str] | None, lines: SimpleQueue[str | None]) -> None:
    for line in stream or ():
        lines.put(line)
    lines.put(None)


def _stalled(stall_timeout_s: float) -> EncodeError:
    return EncodeError(
        f"ffmpeg did not move for {stall_timeout_s:g} seconds and was stopped",
        hint="the disk or the graphics card may hang; `--encoder x264` does without the latter",
        code="ffmpeg-stalled",
    )


def _failure(status: int, lines: Sequence[str]) -> EncodeError:
    if any("No space left on device" in line for line in lines):
        return EncodeDiskFullError(
            "the disk is full", hint="make room and run it again: what is done is skipped"
        )
    if status < 0:
        return EncodeError(
            f"ffmpeg was killed by signal {-status}",
            hint="the system may have run out of memory; run it again for this file",
            code="ffmpeg-killed",
        )
    reason = lines[-1] if lines else f"it ended with status {status} and said nothing"
    return EncodeError(f"ffmpeg failed: {reason}")
