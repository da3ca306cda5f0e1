"""A genuine adbd on loopback: found or fetched, run in namespaces, reached through a proxy."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSTEM_ADBD = Path("/usr/lib/android-sdk/platform-tools/adbd")
_LOADERS = {
    "x86_64": ("/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
    "aarch64": ("/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
}
_FROM_BACKPORTS = (
    "adbd",
    "adb",
    "android-libbase",
    "android-libboringssl",
    "android-libcutils",
    "android-liblog",
    "android-libziparchive",
)
_FROM_RELEASE = ("libprotobuf32", "libbrotli1", "libbsd0")
_ATTEMPTS = 3
# Outside 5555-5585, which every adb server scans for emulators.
_PORT = 15555


class AdbdUnavailableError(Exception):
    """This machine can have no adbd; the text says why."""


@dataclass(frozen=True)
class AdbdProgram:
    """How to start adbd, and the adb of the same release."""

    command: tuple[str, ...]
    adb: Path | None = None
    libraries: str = ""


def find_adbd(cache: Path) -> AdbdProgram:
    """The system's adbd, or one unpacked privately below `cache`, fetched when it is not there.

    Raises:
        AdbdUnavailableError: Neither can be had here.
    """
    if _SYSTEM_ADBD.is_file():
        return AdbdProgram((str(_SYSTEM_ADBD),))
    if platform.machine() not in _LOADERS:
        raise AdbdUnavailableError(f"no adbd packages are known for {platform.machine()}")
    loader, triplet = _LOADERS[platform.machine()]
    root = cache / "root"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / "complete").exists():
            _fetch(cache, root)
            (cache / "complete").touch()
    libraries = root / "usr/lib" / triplet
    tools = root / "usr/lib/android-sdk/platform-tools"
    path = f"{libraries / 'android'}:{libraries}"
    # Through the loader, LD_LIBRARY_PATH stays out of the environment of what adbd starts.
    return AdbdProgram(
        (loader, "--library-path", path, str(tools / "adbd")), tools / "adb", libraries=path
    )


def _fetch(cache: Path, root: Path) -> None:
    if not shutil.which("apt-get") or "bookworm" not in Path("/etc/os-release").read_text():
        raise AdbdUnavailableError("needs Debian's package adbd: apt-get install adbd")
    for name in ("src", "lists/partial", "cache/archives/partial", "debs", "root"):
        (cache / name).mkdir(parents=True, exist_ok=True)
    suffix, text = _backports_source()
    (cache / f"src/adbd.{suffix}").write_text(text)
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": cache / "src",
        "Dir::State::lists": cache / "lists",
        "Dir::Cache": cache / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": 3,
    }
    apt = ["apt-get", "-q", *(part for k, v in options.items() for part in ("-o", f"{k}={v}"))]
    _run([*apt, "update"], cache)
    downloads = cache / "debs"
    _run([*apt, "-t", "bookworm-backports", "download", *_FROM_BACKPORTS], downloads)
    _run([*apt, "download", *_FROM_RELEASE], downloads)
    for package in downloads.glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(root)], downloads)


def _run(command: list[str], folder: Path) -> None:
    """Run a step; the mirror may be busy for a moment, so that a failure is tried again."""
    for attempt in range(1, _ATTEMPTS + 1):
        result = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=180, check=False
        )
        if result.returncode == 0:
            return
        time.sleep(attempt)
    last = (result.stderr.strip().splitlines() or ["no message"])[-1]
    # The configuration's host stays out of the message.
    raise AdbdUnavailableError(re.sub(r"https?://\S+", "(mirror)", f"{command[0]}: {last}"))


def _backports_source() -> tuple[str, str]:
    """The machine's own source of bookworm, widened to its backports: (file suffix, text)."""
    folder = Path("/etc/apt/sources.list.d")
    for file in sorted(folder.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text()):
            if re.search(r"^Suites:.*\bbookworm(\s|$)", stanza, re.MULTILINE):
                text = re.sub(
                    r"(?m)^Suites:.*", "Suites: bookworm bookworm-backports", stanza.strip()
                )
                return "sources", re.sub(r"(?m)^Components:.*", "Components: main", text) + "\n"
    for file in (Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))):
        text = file.read_text() if file.is_file() else ""
        if line := re.search(r"(?m)^(deb (?:\[.*?\] )?\S+) bookworm .*\bmain\b.*", text):
            return "list", f"{line[1]} bookworm main\n{line[1]} bookworm-backports main\n"
    raise AdbdUnavailableError("no apt source of bookworm is configured")


class Adbd:
    """A running adbd; `connect` opens a connection to it, `root` is the TV's file system."""

    def __init__(self, socket_path: Path, root: Path, process: subprocess.Popen[bytes]) -> None:
        self._socket_path = socket_path
        self.root = root
        self.process = process

    def connect(self) -> socket.socket:
        """Open a connection to adbd, which lives in another network."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as broker:
            broker.settimeout(10)
            broker.connect(str(self._socket_path))
            _, descriptors, _, _ = socket.recv_fds(broker, 1, 1)
        return socket.socket(fileno=descriptors[0])

    def freeze(self) -> None:
        """Stop answering, as a frozen TV does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for child in _descendants(self.process.pid):
            if b"/adbd" in (Path("/proc") / str(child) / "cmdline").read_bytes():
                os.kill(child, number)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_descendants(child)]
    return found


@contextmanager
def running_adbd(program: AdbdProgram, doubles: Path, state: Path) -> Iterator[Adbd]:
    """Run adbd with the commands of `doubles` first on its PATH until the block ends.

    Raises:
        AdbdUnavailableError: Namespaces are not allowed here.
    """
    probe = subprocess.run(
        ["unshare", "-Urmn", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if probe.returncode:
        raise AdbdUnavailableError("needs user namespaces: unshare -Urmn")
    place = Path(tempfile.mkdtemp(prefix="labkit-tv-"))
    root = place / "root"
    for name in ("data/local/tmp", "data/app", "sdcard"):
        (root / name).mkdir(parents=True)
    socket_path = place / "broker"
    log = (place / "log").open("wb")
    process = subprocess.Popen(
        [
            "unshare",
            "-Urmn",
            "--pid",
            "--fork",
            "--kill-child",
            sys.executable,
            str(Path(__file__).with_name("tv_namespace.py")),
            str(socket_path),
            str(root),
            str(_PORT),
            *program.command,
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={
            "PATH": f"{doubles}:/usr/bin:/bin:/usr/sbin:/sbin",
            "ADBD_PORT": str(_PORT),
            "LABKIT_TV_STATE": str(state),
            "EXTERNAL_STORAGE": "/sdcard",
            "LC_ALL": "C.UTF-8",
        },
    )
    try:
        deadline = time.monotonic() + 15
        while not socket_path.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                text = (place / "log").read_text(errors="replace").strip()
                raise AdbdUnavailableError(f"adbd does not start: {text[-300:]}")
            time.sleep(0.02)
        yield Adbd(socket_path, root, process)
    finally:
        process.kill()
        process.wait(10)
        log.close()
        shutil.rmtree(place, ignore_errors=True)
