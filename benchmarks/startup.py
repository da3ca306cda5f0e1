"""How long labkit takes to start, in ratios to its floor within one run.

    python benchmarks/startup.py

Three peers: `python -c pass`, the `--help` of a two-command Typer application with plain help,
and a completion press that does nothing. Runs are interleaved, so that a machine that slows down
slows down all alike; the median of the ratios is shown. Bytecode is compiled first.

The program's launcher is its installer's: the one of pip before 25 imports `re`, which costs
`labkit --version` half of its ratio. Those of current pip and of uv do not.
"""

from __future__ import annotations

import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import labkit

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 25
PRESSES = 200

HELLO_WORLD = """\
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)


@app.command()
def hello(name: Annotated[str, typer.Argument(help="Whom to greet.")], loud: bool = False) -> None:
    \"\"\"Say hello.\"\"\"
    print(f"hello {name}")


@app.command()
def bye(name: str, times: int = 1) -> None:
    \"\"\"Say goodbye.\"\"\"
    print(f"bye {name}" * times)


app()
"""


def elapsed_s(command: Sequence[str], environment: dict[str, str]) -> float:
    """Run `command` once and return how long it took."""
    start = time.perf_counter()
    subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return time.perf_counter() - start


def compare(rows: Sequence[tuple[str, Sequence[str], Sequence[str], float]]) -> None:
    """Print, for each row of (name, command, peer, limit), the median ratio to the peer."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    print(f"{'command':<28}{'ms':>8}{'peer ms':>9}{'ratio':>7}{'limit':>7}")
    for name, command, peer, limit in rows:
        elapsed_s(command, environment), elapsed_s(peer, environment)
        pairs = [
            (elapsed_s(command, environment), elapsed_s(peer, environment)) for _ in range(ROUNDS)
        ]
        ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        print(f"{name:<28}{ours * 1000:>8.1f}{theirs * 1000:>9.1f}{ratio:>7.2f}{limit:>7.2f}")


def completion_presses() -> None:
    """Print how long one press of Tab takes in bash and in fish."""
    folder = Path(__file__).parent.parent / "completions"
    bash = (
        f". {folder}/labkit.bash; COMP_WORDS=(labkit drops need --d); COMP_CWORD=3; "
        f"for ((n = 0; n < {PRESSES}; n++)); do _labkit; done"
    )
    fish = (
        f"source {folder}/labkit.fish; "
        f"for n in (seq {PRESSES}); complete -C 'labkit drops need --d' >/dev/null; end"
    )
    print(f"\n{'completion press':<28}{'ms':>8}{'limit':>16}")
    for shell, press, base in (
        (["bash", "--norc", "-c"], bash, "true"),
        (["fish", "--no-config", "-c"], fish, "true"),
    ):
        if not shutil.which(shell[0]):
            print(f"{shell[0]:<28} not installed")
            continue
        total = elapsed_s([*shell, press], dict(os.environ))
        empty = elapsed_s([*shell, base], dict(os.environ))
        print(f"{shell[0]:<28}{(total - empty) / PRESSES * 1000:>8.2f}{10:>16.2f}")


def main() -> None:
    """Compile, then compare."""
    for package in (labkit, typer):
        compileall.compile_dir(Path(package.__file__ or "").parent, quiet=2)
    # The program that the installer made, not `python -m`: that is what people run.
    program = str(Path(sys.executable).with_name("labkit"))
    with tempfile.TemporaryDirectory() as folder:
        hello = Path(folder, "hello.py")
        hello.write_text(HELLO_WORLD, encoding="utf-8")
        hello_help = [sys.executable, str(hello), "--help"]
        compare(
            [
                ("labkit --version", [program, "--version"], [sys.executable, "-c", "pass"], 1.5),
                ("labkit --help", [program, "--help"], hello_help, 1.25),
                ("labkit drops --help", [program, "drops", "--help"], hello_help, 1.25),
            ]
        )
    completion_presses()


if __name__ == "__main__":
    main()
