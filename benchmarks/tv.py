"""How fast `labkit tv` is beside adb, with a genuine adbd on loopback, in ratios of one run.

    python benchmarks/tv.py

Needs what the tests need for adbd and for building APKs. A row's programs take turns, each starts
anew every time, what the one before left for the disk is written first, and the median counts.
The targets go by whole commands, which is what a user waits for: labkit's start-up and its
questions to the TV are part of its times, about 0.2 s; half of that are the doubles of the TV's
programs, which are Python programs here. On loopback that is as much as the work
itself for the sizes that the targets name (200 MB, 100 MB in 5,001 files), so each is measured
again with several times as much, and that row decides. A second figure of each row tells what a
call of the library takes.

All programs go through the same proxy and the same adb server, and do what they do on a real TV:

- labkit's install streams the APK into the file that the package manager keeps for the session;
  the commit renames. `adb install --no-streaming` writes the APK to `/data/local/tmp`, from where
  the package manager copies it into such a file, and renames as well. `adb install-multiple`
  works as labkit does, through a terminal in raw mode.
- A backup and its peer write one file of the TV's tar, and wait until it is on the disk. The
  backup also takes the sum of every file, and lists them in the archive.
"""

from __future__ import annotations

import compileall
import os
import random
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
FILE_BYTES = 20_000
KODI = "/sdcard/Android/data/org.xbmc.kodi/files"
PACKAGE = "org.labkit.sample"

# What a program that has everything loaded and knows the TV still has to do.
CORE = """\
import os, sys, time
from pathlib import Path
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


def fill_kodi(place: Path, files: int) -> None:
    """Make a data folder of `files` files of 20 kB, and one more; what is there stays."""
    dice = random.Random(files)
    for index in range(files):
        addon = place / "addons" / f"addon.{index % 100}"
        addon.mkdir(parents=True, exist_ok=True)
        (addon / f"file{index}").write_bytes(dice.randbytes(FILE_BYTES))
    (place / "userdata").mkdir(exist_ok=True)
    (place / "userdata/guisettings.xml").write_text("<settings/>")


def median_s(*programs: Callable[[], float | None], rounds: int = ROUNDS) -> list[float]:
    """Time programs in turns; the median of each. One that returns a time has measured itself."""
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(rounds):
        for program, own in zip(programs, times, strict=True):
            os.sync()
            begun = time.perf_counter()
            measured = program()
            own.append(time.perf_counter() - begun if measured is None else measured)
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
        """Time one call of the library in a process of its own."""
        command = [sys.executable, "-c", CORE + script, self._address, str(file)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def installs(self, size_mb: int) -> Path:
        """Compare installations of an APK of `size_mb`; return it."""
        apk = large_apk(self.scratch, size_mb)
        ours, theirs, core = median_s(
            lambda: self.labkit("install", apk),
            lambda: self.adb("install", "--no-streaming", apk),
            lambda: self._core_s(INSTALL, apk),
        )
        (streamed,) = median_s(lambda: self.adb("install-multiple", apk), rounds=1)
        print(f"install {size_mb} MB: labkit {ours:.2f} s, adb --no-streaming {theirs:.2f} s;")
        print(f"    speed {theirs / ours:.2f} x   (target >= 0.9)")
        print(f"    without start-up and checks {core:.2f} s: {theirs / core:.2f} x")
        print(f"    adb install-multiple, streamed {streamed:.2f} s: {streamed / ours:.2f} x")
        return apk

    def backups(self, files: int) -> float:
        """Compare copies of a tree of `files` files and one more; return what a backup takes."""
        fill_kodi(self.root / KODI.lstrip("/") / ".kodi", files)
        archive = self.scratch / "kodi.tar"

        def ours() -> None:
            archive.unlink(missing_ok=True)
            self.labkit("kodi", "backup", archive)

        def plain() -> None:
            tar = ("shell", "-T", "tar", "-C", KODI, "-cf", "-", ".kodi")
            self.adb(*tar, output=self.scratch / "plain.tar")
            with (self.scratch / "plain.tar").open("rb") as copy:
                os.fsync(copy.fileno())  # as a backup is

        backup_s, tar_s, core_s = median_s(ours, plain, lambda: self._core_s(BACKUP, archive))
        size_mb = files * FILE_BYTES / MEGABYTE
        print(
            f"backup {files + 1:,} files, {size_mb:.0f} MB: labkit {backup_s:.2f} s,"
            f" adb shell -T tar {tar_s:.2f} s;"
        )
        print(f"    time {backup_s / tar_s:.2f} x   (target <= 1.5)")
        print(f"    without start-up and checks {core_s:.2f} s: {core_s / tar_s:.2f} x")
        return backup_s

    def pull(self, backup_s: float) -> None:
        """Compare with a copy of the same tree, file by file."""
        place = self.scratch / "pulled"
        (pull_s,) = median_s(lambda: self.adb("pull", "-a", f"{KODI}/.kodi", place), rounds=1)
        print(f"    adb pull {pull_s:.1f} s: {pull_s / backup_s:.0f} x faster   (target >= 10)")

    def memory(self, apk: Path) -> None:
        """Measure the memory that a large installation takes."""
        peak_mb = self.peak_mb("install", apk)
        print(f"peak memory, install of 1 GB: {peak_mb:.0f} MB   (target < 100)")


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
    # As an installed program: its modules are compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(PROJECT / "src", quiet=1)
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
        bench.pull(bench.backups(5000))
        bench.backups(20_000)
        bench.installs(200)
        largest = bench.installs(1000)
        check(scratch)
        bench.memory(largest)


if __name__ == "__main__":
    main()
