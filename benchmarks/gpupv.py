"""`labkit gpupv plan` of ten machines beside `labkit --help`, as whole processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS = 15
TARGET = 2.0


def timed(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "labkit", *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def specification(machines: int) -> str:
    table = '[[gpu]]\npath = "auto"\n'
    for number in range(machines):
        table += f'[[vm]]\nname = "VM {number}"\nvhdx = "D:/{number}.vhdx"\nmemory = "8GiB"\n'
    return table


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "ten.toml"
        spec.write_text(specification(10))
        plan, dry, help_page = [], [], []
        for number in range(ROUNDS):  # in turn, so that a busy machine slows all alike
            help_page.append(timed(["--help"]))
            plan.append(timed(["gpupv", "plan", str(spec), "-o", f"{folder}/set{number}"]))
            dry.append(timed(["gpupv", "plan", str(spec), "--dry-run"]))
    base = median(help_page)
    print(f"labkit --help                      {base * 1000:6.0f} ms   1.00")
    for name, times in (("plan of 10 VMs, written", plan), ("plan of 10 VMs, --dry-run", dry)):
        ratio = median(times) / base
        verdict = "" if ratio <= TARGET else f"   above {TARGET}"
        print(f"{name:<35}{median(times) * 1000:6.0f} ms   {ratio:.2f}{verdict}")


if __name__ == "__main__":
    main()
