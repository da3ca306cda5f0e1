"""Real GRUB as the judge: grub-emu boots a menu headless and says which entry it chose.

Nothing real is touched: GRUB sees the test's folder as its only file system through `-r host` and
an empty device map, and every command of an entry's body is replaced by one that reports a number
and ends the program.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

MODULES = Path("/usr/lib/grub/x86_64-emu")
_ENDING = "\nterminal_output console\nset timeout_style=menu\nset timeout=0\n"
_REPORT = re.compile(rb"labkit-boots-(\d+)-")
_TIME_LIMIT_S = 5.0


def reporting_body(number):
    """Give the body of an entry that reports `number` when GRUB starts it."""
    return f"echo labkit-boots-{number}-; exit"


def booted_number(grub_emu, folder, cfg, grubenv=None):
    """Boot `cfg` in `folder` and give the number that the started entry reports; None if none."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = folder / "x86_64-emu"
    if not modules.exists():
        modules.symlink_to(MODULES)
    (folder / "grub.cfg").write_text(cfg + _ENDING, encoding="utf-8")
    (folder / "device.map").write_text("")
    if grubenv is not None:
        (folder / "grubenv").write_bytes(grubenv)
    command = [grub_emu, "-d", folder, "-m", folder / "device.map", "-r", "host"]
    return _reported(_terminal_output(command))


def _reported(output):
    found = _REPORT.search(output)
    return int(found[1]) if found else None


def _terminal_output(command):
    """Run a program on a terminal of its own until it ends or has reported."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 250, 0, 0))
    environment = {"TERM": "dumb", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    output = b""
    limit = time.monotonic() + _TIME_LIMIT_S
    try:
        while time.monotonic() < limit and not _REPORT.search(output):
            ready, _, _ = select.select([master], [], [], 0.2)
            if ready:
                with contextlib.suppress(OSError):  # EIO: the program has ended
                    if data := os.read(master, 65536):
                        output += data
                        continue
                break
            if process.poll() is not None:
                break
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return output


_ENTRY = re.compile(r"^\s*menuentry\b.*\{\s*$")
_STRUCTURE = re.compile(
    r"^\s*(?:(?:set(?!\s+root)|export|if|then|elif|else|fi|function|for|do|done|submenu|load_env|\})"
    r"(?![\w-])|menuentry_id_option=|#|$)"
)


def harmless(cfg):
    """Turn a real grub.cfg into one whose entries report their line number and do nothing else.

    What would look for disks, load modules or change the terminal becomes `true`; the structure,
    the variables and the menu stay as they are.
    """
    lines = []
    for number, line in enumerate(cfg.split("\n"), 1):
        if _ENTRY.match(line):
            lines.append(f"{line} {reporting_body(number)}; true")
        elif _STRUCTURE.match(line):
            quiet = re.sub(r"\bif (?:loadfont|keystatus|sleep|cmostest)\b[^;]*", "if false", line)
            lines.append(quiet)
        else:
            lines.append("true")
    return "\n".join(lines)
