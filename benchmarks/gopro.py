"""`labkit gopro pull` beside GNU Wget, curl and rclone, on loopback, in one run.

Run it with `python benchmarks/gopro.py`, alone on the machine; it needs civetweb, wget, curl and
about 30 GB in the temporary folder (`--small` needs 2 GB). rclone is measured where it is
installed. Every figure is a ratio or a limit; the bounds stand beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.gopro.fake import Card, CardFile, FakeCamera
from labkit.gopro.fake.media import make_jpeg, make_mp4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LABKIT = (sys.executable, "-m", "labkit", "gopro")
MIB = 1024 * 1024
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="smaller files, for a quick look")
    arguments = parser.parse_args()
    factor = 0.1 if arguments.small else 1.0
    print(f"{'what':<48} {'labkit':>12} {'bound':>14}   beside it")
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as name:
        folder = Path(name)
        one_large_file(folder, int(1e9 * factor))
        many_photos(folder, int(5000 * factor))
        second_run(folder, int(10_000 * factor))
        cut_transfer(folder, int(300e6 * factor))
        peak_memory(folder, int(12e9 * factor), int(50_000 * factor))


def report(what: str, value: str, bound: str, beside: str = "") -> None:
    print(f"{what:<48} {value:>12} {bound:>14}   {beside}", flush=True)


# -- what is measured


def one_large_file(folder: Path, size: int) -> None:
    """Throughput of one large file from civetweb."""
    camera = folder / "large"
    write_clip(camera / "videos/DCIM/100GOPRO/GX010001.MP4", size)
    path = "videos/DCIM/100GOPRO/GX010001.MP4"
    with civetweb(camera) as port:
        url = f"http://127.0.0.1:{port}/{path}"
        times = medians(
            lambda target: {
                "labkit": pull_command(port, target),
                "wget": ["wget", "-q", "-O", str(target / "f"), url],
                "curl": ["curl", "-s", "-o", str(target / "f"), url],
            },
            folder / "runs",
        )
    ratio = times["wget"] / times["labkit"]
    beside = ", ".join(f"{name} {size / s / 1e6:.0f} MB/s" for name, s in times.items())
    report(f"{size / 1e9:.1f} GB file, throughput / wget's", f"{ratio:.2f}", ">= 0.9", beside)
    shutil.rmtree(camera)


def many_photos(folder: Path, count: int) -> None:
    """Time for many photos from civetweb, as a user of the guide's wget line would fetch them."""
    camera = folder / "photos"
    write_photos(camera / "videos/DCIM/100GOPRO", count)
    with civetweb(camera) as port:
        url = f"http://127.0.0.1:{port}/videos/DCIM/100GOPRO/"

        def runs(target: Path) -> dict[str, list[str]]:
            commands = {
                "labkit": pull_command(port, target),
                "wget -r": ["wget", "-q", "-r", "-np", "-A", "JPG", "-P", str(target), url],
            }
            if shutil.which("rclone"):
                commands["rclone"] = ["rclone", "copy", "--http-url", url, ":http:", str(target)]
            return commands

        times = medians(runs, folder / "runs")
    ratio = times["wget -r"] / times["labkit"]
    beside = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
    report(f"{count} photos of 100 kB, speed / wget -r's", f"{ratio:.2f}", ">= 1", beside)
    shutil.rmtree(camera)


def second_run(folder: Path, count: int) -> None:
    """Time and requests when everything is there."""
    camera, target = folder / "again", folder / "out"
    write_photos(camera / "videos/DCIM/100GOPRO", count, size=2_000)
    card = Card(
        [
            CardFile("100GOPRO", path.name, path)
            for path in sorted((camera / "videos/DCIM/100GOPRO").iterdir())
        ]
    )
    emptied(target)
    with FakeCamera(card) as fake:
        command = pull_command(fake.address.port, target)
        timed(command)
        before = len(fake.requests)
        seconds = min(timed(command) for _ in range(ROUNDS))
        requests = (len(fake.requests) - before) / ROUNDS
    beside = f"{requests:.0f} requests (<= 3)"
    with civetweb(camera) as port:
        url = f"http://127.0.0.1:{port}/videos/DCIM/100GOPRO/"
        peers = {"wget -N": ["wget", "-q", "-r", "-np", "-N", "-P", str(target), url]}
        if shutil.which("rclone"):
            peers["rclone"] = ["rclone", "copy", "--http-url", url, ":http:", str(target / "r")]
        for name, peer in peers.items():
            timed(peer)
            beside += f", {name} {timed(peer):.2f} s"
    report(f"second run over {count} files", f"{seconds:.2f} s", "< 1.5 s", beside)
    shutil.rmtree(camera)


def cut_transfer(folder: Path, size: int) -> None:
    """Bytes fetched twice when the pull is killed at one and at two thirds."""
    target = folder / "out"
    card = Card([CardFile("100GOPRO", "GX010001.MP4", make_mp4(size))])
    emptied(target)
    twice = 0
    with FakeCamera(card) as fake:
        command = pull_command(fake.address.port, target)
        for share in (1 / 3, 2 / 3):
            kill_at(command, target, int(size * share))
            have = sum(part.stat().st_size for part in target.rglob("*.part"))
            before = len(fake.file_requests())
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            while len(fake.file_requests()) == before and process.poll() is None:
                time.sleep(0.001)
            process.kill() if share < 0.5 else process.wait()
            process.wait()
            start = fake.file_requests()[before].headers.get("range", "bytes=0-")
            twice += have - int(start.removeprefix("bytes=").rstrip("-"))
    report("fetched twice after cuts at 1/3 and 2/3", f"{twice / 1e6:.2f} MB", "< 1 MB")


def kill_at(command: Sequence[str], target: Path, size: int) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if sum(part.stat().st_size for part in target.rglob("*.part")) >= size:
            process.send_signal(signal.SIGKILL)
            process.wait()
        time.sleep(0.0005)


def peak_memory(folder: Path, size: int, count: int) -> None:
    """Largest resident memory of a pull: one huge file, and a list of many."""
    target = folder / "out"
    huge = folder / "huge.MP4"
    write_clip(huge, size, sparse=True)
    emptied(target)
    with FakeCamera(Card([CardFile("100GOPRO", "GX010001.MP4", huge)])) as fake:
        memory = peak_of(pull_command(fake.address.port, target))
    report(f"memory, {size / 1e9:.1f} GB file", f"{memory / 1e6:.0f} MB", "< 90 MB")
    huge.unlink()
    emptied(target)
    photo = make_jpeg(1000)
    folders = range(100, 100 + -(-count // 999))
    files = [
        CardFile(f"{number}GOPRO", f"GOPR{index:04d}.JPG", photo)
        for number in folders
        for index in range(1, 1000)
    ][:count]
    with FakeCamera(Card(files)) as fake:
        memory = peak_of([*pull_command(fake.address.port, target), "--dry-run", "--json"])
        pulled = peak_of(pull_command(fake.address.port, target))
    report(
        f"memory, list of {count} files",
        f"{max(memory, pulled) / 1e6:.0f} MB",
        "< 90 MB",
        f"dry run {memory / 1e6:.0f} MB, pull {pulled / 1e6:.0f} MB",
    )


# -- how it is measured


def pull_command(port: int, target: Path) -> list[str]:
    return [*LABKIT, "pull", "--host", f"127.0.0.1:{port}", str(target)]


def medians(runs: Callable[[Path], dict[str, list[str]]], folder: Path) -> dict[str, float]:
    """Run each command in turn, several rounds; the median time of each.

    What the one before left for the disk is written first. Every run has a new folder, and nothing
    is deleted before all of them are done: ext4 makes files slowly beside thousands that were just
    deleted, whoever makes them.
    """
    times: dict[str, list[float]] = {}
    for turn in range(ROUNDS):
        for name in runs(folder):
            target = folder / f"{name}-{turn}"
            target.mkdir(parents=True)
            os.sync()
            times.setdefault(name, []).append(timed(runs(target)[name]))
    shutil.rmtree(folder)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def timed(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


# The peak of a child counts what its parent held when it was started: so the parent is small.
MEASURE = (
    "import resource, subprocess, sys;"
    "code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
    "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def peak_of(command: Sequence[str]) -> int:
    """Run a command; its largest resident memory in bytes."""
    measured = [sys.executable, "-c", MEASURE, *command]
    result = subprocess.run(measured, check=True, capture_output=True, text=True)
    code, kib = result.stdout.split()
    if int(code):
        raise SystemExit(f"{command} ended with {code}")
    return int(kib) * 1024


def emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def write_clip(path: Path, size: int, *, sparse: bool = False) -> None:
    """Write a valid clip of `size` bytes whose sample is a hole, or noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = make_mp4(1000)
    moov = small[small.index(b"moov") - 4 :]
    ftyp = small[:20]
    noise = random.Random(1).randbytes(MIB)
    with path.open("wb") as file:
        mdat = size - len(ftyp) - len(moov)
        # A 64-bit box header, as cameras write it beyond 4 GB.
        file.write(ftyp + b"\0\0\0\1mdat" + mdat.to_bytes(8, "big"))
        if not sparse:
            while file.tell() < size - len(moov) - MIB:
                file.write(noise)
        file.seek(size - len(moov))
        offset = (len(ftyp) + 16).to_bytes(4, "big")
        file.write(re.sub(rb"(?s)(stco.{8}).{4}", lambda match: match[1] + offset, moov))


def write_photos(folder: Path, count: int, size: int = 100_000) -> None:
    folder.mkdir(parents=True)
    photo = make_jpeg(size)
    for number in range(1, count + 1):
        (folder / f"G{number:07d}.JPG").write_bytes(photo)


@contextlib.contextmanager
def civetweb(root: Path) -> Iterator[int]:
    """Serve `root` with Debian's civetweb; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [
        "civetweb",
        *("-document_root", str(root)),
        *("-listening_ports", f"127.0.0.1:{port}"),
        *("-enable_directory_listing", "yes"),
        *("-enable_keep_alive", "no"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
