"""Run adbd where it can harm nothing, and hand out connections to it.

adbd accepts everyone, listens on every interface and writes to the real file system. Here it gets
a network of its own, a root folder of its own whose `/data` and `/sdcard` are ordinary folders
outside and whose rest is read-only, and no capabilities, so that file permissions bind it as they
bind Android's shell user.

Started by `support.adbd` as `unshare -Urmn --pid --fork --kill-child python tv_namespace.py
SOCKET ROOT PORT COMMAND...`; every connection to SOCKET receives a descriptor of a TCP connection
to adbd, opened inside.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x41
# The doubles keep their state below the temporary folder.
_WRITABLE = frozenset({"tmp", "dev", "proc"})


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING)
        fcntl.ioctl(control, _SIOCSIFFLAGS, request)


def _build_root(root: Path) -> None:
    """Make ROOT look like this machine, except for the folders that it already has."""
    for entry in Path("/").iterdir():
        place = root / entry.name
        if place.exists() or place.is_symlink():
            continue
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif entry.is_dir():
            place.mkdir()
            subprocess.run(["mount", "--rbind", str(entry), str(place)], check=True)
            if entry.name not in _WRITABLE:
                options = "remount,bind,ro"
                subprocess.run(["mount", "-o", options, str(place)], check=True)


def _start(root: Path, command: list[str]) -> None:
    def enter() -> None:
        os.chroot(root)
        os.chdir("/")

    without_capabilities = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"]
    subprocess.Popen([*without_capabilities, *command], preexec_fn=enter)  # noqa: PLW1509 - single-threaded


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main() -> None:
    """Serve until killed."""
    path, root, port, *command = sys.argv[1:]
    _bring_loopback_up()
    _build_root(Path(root))
    _start(Path(root), command)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            client, _ = listener.accept()
            with client, _connect(int(port)) as connection:
                connection.setblocking(True)
                rights = array.array("i", [connection.fileno()])
                client.sendmsg([b"1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


if __name__ == "__main__":
    main()
