"""How fast `labkit tv check` is beside aapt, and how much memory a large APK takes.

    python benchmarks/tv_check.py [APK]

The APK is filled up with incompressible bytes to 50 MB and to 1 GB; without one, aapt makes a
small one. Both programs start anew for every run, runs are interleaved, and the median counts.
`benchmarks/tv.py` shows the same rows beside those that need a TV.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CheckFigures", "measure_check", "small_apk"]

MEGABYTE = 1_000_000
ROUNDS = 9
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
MANIFEST = """\
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.labkit.sample">
  <uses-sdk android:minSdkVersion="21"/>
  <application android:label="sample"/>
</manifest>
"""
# Peak memory of a program of its own, from the kernel: its children's `getrusage` has the parent's.
PEAK = """\
import re, sys
from pathlib import Path
from labkit.cli.app import main
main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


@dataclass(frozen=True)
class CheckFigures:
    """What was measured.

    Attributes:
        check_s: Median wall time of `labkit tv check` of 50 MB, start-up included.
        aapt_s: The same for `aapt dump badging`.
        check_peak_mb: Peak memory of a check of 1 GB.
    """

    check_s: float
    aapt_s: float
    check_peak_mb: float


def small_apk(folder: Path) -> Path:
    """Make a small APK with aapt, which needs Debian's android-framework-res."""
    (folder / "AndroidManifest.xml").write_text(MANIFEST, encoding="utf-8")
    apk = folder / "small.apk"
    subprocess.run(
        ["aapt", "package", "-f", "-M", folder / "AndroidManifest.xml", "-I", FRAMEWORK, "-F", apk],
        check=True,
    )
    return apk


def fill_up(apk: Path, target: Path, size_bytes: int) -> Path:
    """Copy `apk` with incompressible assets added, to about `size_bytes`."""
    shutil.copyfile(apk, target)
    filler = random.Random(1).randbytes(MEGABYTE)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_STORED) as archive:
        for index in range(max(0, size_bytes - apk.stat().st_size) // MEGABYTE):
            archive.writestr(f"assets/filler{index}", filler)
    return target


def elapsed_s(command: list[str]) -> float:
    """Time one run of a program."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begun


def measure_check(apk: Path, folder: Path) -> CheckFigures:
    """Measure a check of `apk`, filled up in `folder` to 50 MB and to 1 GB."""
    medium = fill_up(apk, folder / "medium.apk", 50 * MEGABYTE)
    labkit = [sys.executable, "-m", "labkit", "tv", "check", str(medium)]
    aapt = ["aapt", "dump", "badging", str(medium)]
    times = [(elapsed_s(labkit), elapsed_s(aapt)) for _ in range(ROUNDS)]
    large = fill_up(apk, folder / "large.apk", 1000 * MEGABYTE)
    peak = subprocess.run(
        [sys.executable, "-c", PEAK, "tv", "check", str(large)],
        capture_output=True,
        text=True,
        check=True,
    ).stderr.split()[-1]
    large.unlink()
    return CheckFigures(
        check_s=statistics.median(ours for ours, _ in times),
        aapt_s=statistics.median(theirs for _, theirs in times),
        check_peak_mb=int(peak) * 1024 / MEGABYTE,
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as scratch:
        folder = Path(scratch)
        apk = Path(sys.argv[1]) if sys.argv[1:] else small_apk(folder)
        figures = measure_check(apk, folder)
    ratio = figures.check_s / figures.aapt_s
    print(f"{os.cpu_count()} processors, Python {sys.version.split()[0]}")
    print(f"check of 50 MB, start-up included  {figures.check_s:.3f} s   (target < 0.3 s)")
    print(f"aapt dump badging of the same      {figures.aapt_s:.3f} s   ratio {ratio:.1f}")
    print(f"peak memory, check of 1 GB         {figures.check_peak_mb:.0f} MB   (target < 100 MB)")


if __name__ == "__main__":
    main()
