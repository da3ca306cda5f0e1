"""How fast `labkit tv` is beside adb, with a genuine adbd on loopback, in ratios of one run.

    python benchmarks/tv.py

Needs what the tests need for adbd and for building APKs. Every program starts anew for every
run, runs are interleaved, and the median counts; labkit's start-up and its checks of the TV are
part of its times. All go through the same proxy and the same adb server.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

PROJECT = Path(__file__).parent.parent
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "benchmarks")]

from tv_check import PEAK, measure_check  # noqa: E402

from labkit.tv.adb import AdbServer, find_adb_programs, newest_adb  # noqa: E402
from support.adb_proxy import AdbProxy  # noqa: E402 - the path comes first
from support.adbd import find_adbd, running_adbd  # noqa: E402
from support.android import TvState, write_doubles  # noqa: E402
from support.apk_builder import ApkBuilder, run  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MEGABYTE = 1_000_000
ROUNDS = 5
KODI = "/sdcard/Android/data/org.xbmc.kodi/files"
PACKAGE = "org.labkit.sample"

# What a program that has everything loaded and knows the TV still has to do.
CORE = """\
import os, sys, time
from pathlib import Path
import adbutils
from labkit.tv.adb import server_from_environment
from labkit.tv.bundles import open_apps
from labkit.tv.device import Tv
from labkit.tv.facts import DeviceFacts
from labkit.tv.install import install, plan_install
from labkit.tv.kodi import Kodi, back_up
tv = Tv(server_from_environment(os.environ), sys.argv[1])
tv.properties
file = Path(sys.argv[2])
"""
INSTALL = """\
with open_apps([file]) as (app,):
    plan = plan_install(app, DeviceFacts())
    begun = time.perf_counter()
    install(tv, plan)
    print(time.perf_counter() - begun)
"""
BACKUP = f"""\
file.unlink(missing_ok=True)
begun = time.perf_counter()
back_up(tv, Kodi("org.xbmc.kodi", "21.1", "{KODI}/.kodi"), file)
print(time.perf_counter() - begun)
"""


def large_apk(folder: Path, size_mb: int) -> Path:
    """Build a signed APK of `size_mb` incompressible megabytes."""
    folder = folder / f"{size_mb}MB"
    folder.mkdir()
    builder = ApkBuilder(folder)
    apk = Path(builder.build(builder.manifest(PACKAGE), keys=()))
    assets = apk.parent / "assets"
    assets.mkdir()
    for index in range(size_mb // 100):
        # A name that aapt stores uncompressed.
        (assets / f"film{index}.mp4").write_bytes(random.Random(index).randbytes(100 * MEGABYTE))
        run("aapt", "add", "-k", "app.apk", f"assets/film{index}.mp4", cwd=apk.parent)
        (assets / f"film{index}.mp4").unlink()
    builder.sign(apk, schemes=(2, 3))
    return apk


def fill_kodi(place: Path) -> None:
    """Make a data folder of 5,001 files and 100 MB."""
    dice = random.Random(1)
    for index in range(5000):
        addon = place / "addons" / f"addon.{index % 100}"
        addon.mkdir(parents=True, exist_ok=True)
        (addon / f"file{index}").write_bytes(dice.randbytes(20_000))
    (place / "userdata").mkdir()
    (place / "userdata/guisettings.xml").write_text("<settings/>")


def median_s(*programs: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Time programs in turns; the median of each."""
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(rounds):
        for program, own in zip(programs, times, strict=True):
            begun = time.perf_counter()
            program()
            own.append(time.perf_counter() - begun)
    return [statistics.median(own) for own in times]


def call(command: Sequence[str | Path], output: Path | None = None) -> None:
    """Run a program, which must succeed."""
    with ExitStack() as stack:
        stdout = stack.enter_context(output.open("wb")) if output else subprocess.PIPE
        result = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)
    if result.returncode:
        raise SystemExit(f"{command}: {result.stderr.decode()}")


class Bench:
    """A connected TV, and the programs that use it."""

    def __init__(self, scratch: Path, adb: Path, address: str, root: Path) -> None:
        self.scratch = scratch
        self.root = root
        self._adb: tuple[str, ...] = (str(adb), "-s", address)
        self._labkit: tuple[str, ...] = (sys.executable, "-m", "labkit", "tv")
        self._address = address

    def adb(self, *words: str | Path, output: Path | None = None) -> None:
        """Run adb."""
        call([*self._adb, *words], output)

    def labkit(self, *words: str | Path) -> None:
        """Run labkit."""
        call([*self._labkit, *words, "--tv", self._address])

    def peak_mb(self, *words: str | Path) -> float:
        """Run labkit and return its peak memory."""
        command = [sys.executable, "-c", PEAK, "tv", *words, "--tv", self._address]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(result.stderr.split()[-1]) * 1024 / MEGABYTE

    def _core_s(self, script: str, file: Path) -> float:
        """Time one call of the library in a process of its own; the median."""
        command = [sys.executable, "-c", CORE + script, self._address, str(file)]
        times = []
        for _ in range(ROUNDS):
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            times.append(float(result.stdout))
        return statistics.median(times)

    def installs(self) -> None:
        """Compare installations of 200 MB."""
        apk = large_apk(self.scratch, 200)
        ours, theirs, streamed = median_s(
            lambda: self.labkit("install", apk),
            lambda: self.adb("install", "--no-streaming", apk),
            lambda: self.adb("install-multiple", apk),
        )
        print(f"install 200 MB: labkit {ours:.2f} s, adb install --no-streaming {theirs:.2f} s;")
        print(f"    speed {theirs / ours:.2f} x   (target >= 0.9)")
        print(f"    adb install-multiple, streamed {streamed:.2f} s: {streamed / ours:.2f} x")
        core = self._core_s(INSTALL, apk)
        print(f"    without start-up and checks {core:.2f} s: {theirs / core:.2f} x")

    def backups(self) -> None:
        """Compare copies of a tree of many files."""
        fill_kodi(self.root / KODI.lstrip("/") / ".kodi")
        archive = self.scratch / "kodi.tar"

        def ours() -> None:
            archive.unlink(missing_ok=True)
            self.labkit("kodi", "backup", archive)

        def plain() -> None:
            tar = ("shell", "-T", "tar", "-C", KODI, "-cf", "-", ".kodi")
            self.adb(*tar, output=self.scratch / "plain.tar")
            with (self.scratch / "plain.tar").open("rb") as copy:
                os.fsync(copy.fileno())  # as a backup is

        def pull() -> None:
            shutil.rmtree(self.scratch / "pulled", ignore_errors=True)
            self.adb("pull", "-a", f"{KODI}/.kodi", self.scratch / "pulled")

        backup_s, tar_s = median_s(ours, plain)
        core_s = self._core_s(BACKUP, archive)
        (pull_s,) = median_s(pull, rounds=1)
        print(
            f"backup 5,001 files, 100 MB: labkit {backup_s:.2f} s, adb shell -T tar {tar_s:.2f} s;"
        )
        print(f"    time {backup_s / tar_s:.2f} x   (target <= 1.5)")
        print(f"    without start-up and checks {core_s:.2f} s: {core_s / tar_s:.2f} x")
        print(f"    adb pull {pull_s:.1f} s: {pull_s / backup_s:.0f} x faster   (target >= 10)")

    def memory(self) -> None:
        """Measure the memory that a large installation takes."""
        apk = large_apk(self.scratch, 1000)
        print(
            f"peak memory, install of 1 GB: {self.peak_mb('install', apk):.0f} MB   (target < 100)"
        )


def check(scratch: Path) -> None:
    """Show the rows of `tv check`, which needs no TV."""
    folder = scratch / "check"
    folder.mkdir()
    builder = ApkBuilder(folder)
    figures = measure_check(Path(builder.build()), folder)
    print(f"check of 50 MB: {figures.check_s:.3f} s   (target < 0.3)")
    print(f"    aapt dump badging of the same {figures.aapt_s:.3f} s")
    print(f"peak memory, check of 1 GB: {figures.check_peak_mb:.0f} MB   (target < 100)")


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    program = newest_adb(find_adb_programs())
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labkit-bench-")))
        server = AdbServer(program, port=free_port())
        places = {name: str(scratch) for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME")}
        os.environ.update(places, ANDROID_ADB_SERVER_PORT=str(server.port))
        state = TvState(scratch / "state")
        state.add_package("org.xbmc.kodi", version_name="21.1")
        write_doubles(scratch / "bin")
        adbd = stack.enter_context(
            running_adbd(find_adbd(PROJECT / ".cache/adbd"), scratch / "bin", state.folder)
        )
        proxy = stack.enter_context(AdbProxy(adbd.connect))
        stack.callback(server.stop)
        call([sys.executable, "-m", "labkit", "tv", "connect", proxy.address])
        print(
            f"{os.cpu_count()} processors, Python {sys.version.split()[0]}, adb {program.version}"
        )
        bench = Bench(scratch, program.path, proxy.address, adbd.root)
        bench.backups()
        bench.installs()
        check(scratch)
        bench.memory()


if __name__ == "__main__":
    main()
