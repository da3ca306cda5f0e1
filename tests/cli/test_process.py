"""What only a process of its own shows: pipes, terminals, signals, what is imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from labkit.errors import ExitCode

HEAVY = [
    "numpy",
    "scipy",
    "requests",
    "adbutils",
    "wget",
    "rich.console",
    "pydantic",
    "matplotlib",
    "apkInspector",
]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["doctor", "--help"], ["drops", "--help"], ["drops", "1/5000"]],
)
def test_start_up_imports_nothing_heavy(arguments):
    """Help and version load none of the packages that cost start-up time."""
    code = (
        "import sys; sys.argv = ['labkit', *sys.argv[1:]]; "
        "from labkit.__main__ import main; main(); "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert result.stdout
    assert result.stderr.strip() == "[]"


def test_closed_pipe_is_silent():
    """A reader that goes away, as `head` does, causes no message."""
    labkit = subprocess.Popen(
        [sys.executable, "-m", "labkit", "completion", "bash"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    labkit.stdout.close()
    error = labkit.stderr.read()
    labkit.stderr.close()

    assert labkit.wait(timeout=60) == ExitCode.PIPE_CLOSED
    assert error == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["drops", "-h"], ["completion", "bash"], ["doctor", "--json"]],
)
def test_full_disk_is_an_error_line(arguments):
    """A result that cannot be written is exit 4 and one error line, never the answer no."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "labkit", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert result.returncode == ExitCode.UNMET
    assert result.stderr.startswith("error: the output cannot be written: No space left on device")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_closed_streams_are_no_fault(closed):
    """A stream that is closed from the start takes and gives nothing, and the code is right."""
    for arguments, code in (("doctor", ExitCode.OK), ("doctor --nonsense", ExitCode.USAGE)):
        command = f'exec "$0" -m labkit {arguments} {closed}'
        result = subprocess.run(
            ["sh", "-c", command, sys.executable],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert result.returncode == code
        assert "Traceback" not in result.stderr


def test_interrupt_ends_with_130():
    """Ctrl-C at a question ends with 130 and without a traceback."""
    code = (
        "import sys; from labkit.cli import app; "
        "app.TOOLS['sample'] = ('support.sample_tool', 'A sample.'); "
        "sys.exit(app.main(['sample', 'danger']))"
    )
    environment = {**os.environ, "PYTHONPATH": "tests"}
    child = pexpect.spawn(sys.executable, ["-c", code], env=environment, timeout=30)
    child.expect_exact("Really? [y/N] ")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == ExitCode.INTERRUPTED
    assert b"Traceback" not in child.before


def test_progress_bar_on_a_terminal():
    """On a terminal a bar is drawn while the work goes on, and removed when it ends."""
    code = (
        "import sys; from labkit.cli import app; "
        "app.TOOLS['sample'] = ('support.sample_tool', 'A sample.'); "
        "sys.exit(app.main(['sample', 'work']))"
    )
    environment = {**os.environ, "PYTHONPATH": "tests", "TERM": "xterm-256color"}
    child = pexpect.spawn(
        sys.executable, ["-c", code], env=environment, timeout=30, encoding="utf-8"
    )
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == ExitCode.OK
    assert "half way" in child.before
    assert "━" in child.before
    assert "0 of 4" in child.before


def test_interrupt_while_starting():
    """Ctrl-C in the first moments ends with 130 or, before Python is up, by the signal."""
    for pause in (0.0, 0.02, 0.05):
        labkit = subprocess.Popen(
            [sys.executable, "-m", "labkit", "doctor"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        time.sleep(pause)
        labkit.send_signal(signal.SIGINT)
        error = labkit.stderr.read()
        labkit.stderr.close()
        code = labkit.wait(timeout=60)

        assert code in {ExitCode.OK, ExitCode.INTERRUPTED, -signal.SIGINT, 1}
        if code == ExitCode.INTERRUPTED:
            assert b"Traceback" not in error
