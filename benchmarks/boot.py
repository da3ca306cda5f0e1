"""How fast labkit boot is, in ratios to its floor within one run.

    python benchmarks/boot.py

`labkit boot check` of a whole bundle, as a process of its own, beside `labkit --help`; and a
grub.cfg of 5 MB beside reading the same bytes with grub-script-check, GRUB's own parser. Runs are
interleaved and processor time is compared, so that a busy machine slows both sides alike.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The healthy computer of the tests is the bundle that is measured.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
INPUTS = import_module("support.boot_inputs")
ROUNDS = 15
MENU_BYTES = 5_000_000


def processor_s(command: Sequence[str], environment: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ratio(
    command: Sequence[str], peer: Sequence[str], environment: Mapping[str, str]
) -> tuple[float, float]:
    """Median ratio, and the command's median in milliseconds."""
    runs = []
    for _ in range(ROUNDS + 1):
        floor = processor_s(peer, environment)
        runs.append((processor_s(command, environment), floor))
    measured = runs[1:]  # The first run compiles the bytecode.
    ratios = [own / floor for own, floor in measured]
    return statistics.median(ratios), 1000 * statistics.median(own for own, _ in measured)


def check_of_a_bundle(folder: Path, environment: Mapping[str, str]) -> None:
    labkit = [sys.executable, "-m", "labkit"]
    for name, text in INPUTS.HEALTHY.items():
        (folder / name).write_text(text)
    archive = folder.parent / "boot.tar.gz"
    shutil.make_archive(str(archive).removesuffix(".tar.gz"), "gztar", folder)
    for source in (folder, archive):
        command = [*labkit, "boot", "check", "--from", str(source)]
        times, own_ms = ratio(command, [*labkit, "--help"], environment)
        print(f"check --from {source.name:12} {own_ms:6.0f} ms  {times:5.2f} x `labkit --help`")


def large_menu(folder: Path) -> None:
    from labkit.boot.grub_cfg import parse_grub_cfg

    header, entries = INPUTS.GRUB_CFG.split("### BEGIN /etc/grub.d/10_linux ###")
    entry = entries[: entries.index("submenu")]
    text = header + entry.replace("### END", "#") * (MENU_BYTES // len(entry))
    path = folder / "large.cfg"
    path.write_text(text)
    begin = time.process_time()
    cfg = parse_grub_cfg(text)
    own_s = time.process_time() - begin
    line = f"grub.cfg of {len(text) / 1e6:.1f} MB, {len(cfg.entries)} entries: {own_s:.2f} s"
    checker = shutil.which("grub-script-check")
    if checker:
        peer_s = min(processor_s([checker, str(path)], os.environ) for _ in range(3))
        line += f", {own_s / peer_s:.1f} x grub-script-check"
    print(line)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bundle"
        folder.mkdir()
        # Bytecode is cached, as in an installation.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(name) / "bytecode")
        check_of_a_bundle(folder, environment)
        large_menu(Path(name))


if __name__ == "__main__":
    main()
