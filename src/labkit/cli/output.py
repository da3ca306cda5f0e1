"""What a user sees: text, tables, JSON, colours, progress and prompts, in one object a run.

Standard output carries results only. Messages, progress and prompts go to standard error.
This is the only module that imports rich, and only when a table or a bar is really shown.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from labkit.cli.document import Row, json_pieces
from labkit.cli.painting import Style, mark, paint, visible, without_color, without_marks
from labkit.errors import ExitCode, LabkitError, UnmetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress as RichProgress

    from labkit.progress import Progress, Task, Unit

__all__ = [
    "ClosedPipeError",
    "ColorMode",
    "Output",
    "Row",
    "Style",
    "current_output",
    "format_bytes",
    "process_output",
    "use_output",
    "without_color",
]

ColorMode = Literal["auto", "always", "never"]

_KILO = 1000

_NUMERIC = re.compile(r"[-+~≈<>]?\s*[\d.,:]+(e[-+]?\d+)?\s*(%|[kMGT]?i?B|s|h|d|x|/s)*")

# A table that is wider than such a terminal is written as one record after the other.
_NARROW_COLUMNS = 60


class ClosedPipeError(Exception):
    """The reader of standard output went away."""


class UnwritableOutputError(UnmetError):
    """Standard output takes no more: its disk is full."""

    code = "output-not-writable"

    def __init__(self, error: OSError):
        super().__init__(
            f"the output cannot be written: {error.strerror or error}",
            hint="make room, or send it to another file",
        )


class Output:
    """The streams of one run, what they can show, and everything that is written to them."""

    def __init__(self, stdout: TextIO, stderr: TextIO, stdin: TextIO, env: Mapping[str, str]):
        self.stdout = stdout
        self.stderr = stderr
        self.stdin = stdin
        self.env = env
        self.json = False
        self.color: ColorMode = "auto"
        for stream in (stdout, stderr):
            # A character that the terminal's encoding lacks becomes "?", not a crash.
            if reconfigure := getattr(stream, "reconfigure", None):
                reconfigure(errors="replace")
        self.progress: Progress = _StderrProgress(self)

    # -- what the streams can show

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads standard output."""
        return self.stdout.isatty()

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to answer a question."""
        return self.stdin.isatty() and self.stderr.isatty()

    def colors(self, stream: TextIO) -> bool:
        """Whether `stream` shows colours: option, then NO_COLOR, FORCE_COLOR, TERM, terminal."""
        wanted = self.wants_color
        return stream.isatty() if wanted is None else wanted

    @property
    def wants_color(self) -> bool | None:
        """What the user asked for; None where the stream decides."""
        if self.color != "auto":
            return self.color == "always"
        if self.env.get("NO_COLOR"):
            return False
        if self.env.get("FORCE_COLOR"):
            return True
        return False if self.env.get("TERM") == "dumb" else None

    # -- results

    def line(self, text: str = "") -> None:
        """Write a line of the result to standard output."""
        self._write(self._painted(visible(text, keep="\n\t")) + "\n")

    def fields(self, pairs: Mapping[str, str]) -> None:
        """Write names and values, a line each: aligned for a person, tab-separated for a pipe."""
        width = max(map(len, pairs), default=0)
        for name, value in pairs.items():
            self.line(f"{name:<{width}}  {value}" if self.is_terminal else f"{name}\t{value}")

    def style(self, text: str, style: Style) -> str:
        """Mark `text` to be painted, where the stream that it is written to shows colours."""
        return mark(text, style)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table: aligned for a person, tab-separated for a pipe.

        A column whose cells all look like numbers is aligned to the right.
        """
        if not self.is_terminal:
            for row in chain([columns], rows):
                cells = (visible(cell.replace("\t", " ")) for cell in row)
                self._write(self._painted("\t".join(cells)) + "\n")
            return
        rows = list(rows)
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        painted = self.colors(self.stdout)
        console = Console(
            file=self.stdout,
            color_system="standard" if painted else None,
            no_color=not painted,
            highlight=False,
        )
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for index, column in enumerate(columns):
            numeric = bool(rows) and all(
                _NUMERIC.fullmatch(without_marks(row[index])) for row in rows
            )
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text.from_ansi(paint(visible(cell), colors=True)) for cell in row))
        unlimited = console.options.update(max_width=sys.maxsize)
        natural_width = console.measure(table, options=unlimited).maximum
        if console.width < min(_NARROW_COLUMNS, natural_width):
            self._records(columns, rows)
            return
        with console.capture() as capture:
            console.print(table)
        self._write(capture.get())

    def _records(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write rows one below the other, for a terminal that is too narrow for their columns."""
        for row in rows:
            self.fields(dict(zip(columns, row, strict=True)))
            self.line()

    def document(
        self,
        schema: str,
        exit_code: int,
        data: Mapping[str, object] | None,
        errors: Sequence[LabkitError],
    ) -> None:
        """Write the one JSON document of a command."""
        document = {
            "schema": schema,
            "ok": exit_code == ExitCode.OK,
            "data": data,
            "errors": [
                {"code": error.code, "message": error.message, "hint": error.hint}
                for error in errors
            ],
        }
        for text in json_pieces(document, self.stdout.encoding or "utf-8"):
            self._write(text)

    # -- messages

    def message(self, text: str) -> None:
        """Write a line for the person to standard error."""
        self.progress.message(text)

    def error(self, error: LabkitError) -> None:
        """Tell of a failure and the next step, on standard error."""
        self._tell("error", "bad", error.message)
        if error.hint:
            self._tell("hint", "heading", error.hint)

    def warning(self, text: str) -> None:
        """Tell of something that needs attention, on standard error."""
        self._tell("warning", "warn", text)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Ask whether to go on; `yes` answers beforehand.

        Raises:
            UsageError: Nobody is there to ask, and `yes` was not given.
        """
        if yes:
            return True
        if not self.can_ask:
            raise UsageError(
                "this needs a confirmation, and there is no terminal to ask on",
                hint="add `--yes` to do it without a question, or `--dry-run` to see what it does",
                code="confirmation-needed",
            )
        self.stderr.write(f"{visible(question, keep=chr(10))} [y/N] ")
        self.stderr.flush()
        return self.stdin.readline().strip().lower() in {"y", "yes"}

    # -- plumbing

    def _tell(self, label: str, style: Style, text: str) -> None:
        self.progress.message(f"{self.style(f'{label}:', style)} {text}")

    def _painted(self, text: str) -> str:
        return paint(text, colors=self.colors(self.stdout))

    def _write(self, text: str) -> None:
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError as error:
            raise ClosedPipeError from error
        except OSError as error:
            raise UnwritableOutputError(error) from error


_CURRENT: ContextVar[Output] = ContextVar("labkit-output")


def current_output() -> Output:
    """Return the output of the run that is under way."""
    return _CURRENT.get()


@contextmanager
def use_output(output: Output) -> Iterator[Output]:
    """Make `output` the current one for the length of a run."""
    token = _CURRENT.set(output)
    try:
        yield output
    finally:
        _CURRENT.reset(token)


def process_output(env: Mapping[str, str]) -> Output:
    """Make the output of this process from its streams; a closed one takes and gives nothing."""
    nothing = Path(os.devnull)
    return Output(
        sys.stdout or nothing.open("w", encoding="utf-8"),
        sys.stderr or nothing.open("w", encoding="utf-8"),
        sys.stdin or nothing.open(encoding="utf-8"),
        env,
    )


class _StderrProgress:
    """Progress on standard error: bars on a terminal, else one line when the work ends."""

    def __init__(self, output: Output):
        self._output = output
        self._lock = threading.RLock()
        self._bars: RichProgress | None = None
        self._running = 0

    @property
    def animated(self) -> bool:
        return self._output.stderr.isatty() and self._output.env.get("TERM") != "dumb"

    def message(self, text: str) -> None:
        output = self._output
        text = paint(visible(text, keep="\n\t"), colors=output.colors(output.stderr))
        with self._lock:
            if self._bars is not None:
                from rich.text import Text

                self._bars.console.print(Text.from_ansi(text), soft_wrap=True)
                return
            try:
                output.stderr.write(text + "\n")
                output.stderr.flush()
            except BrokenPipeError as error:
                raise ClosedPipeError from error
            except OSError:
                # Nobody can be told any more; the result and the exit code still count.
                return

    def warning(self, text: str) -> None:
        self._output.warning(text)

    def task(self, name: str, *, total: float | None = None, unit: Unit = "bytes") -> Task:
        name = visible(name)
        if self.animated:
            return _BarTask(self, name, total, unit)
        return _LineTask(self, name, total, unit)

    def begin(self) -> bool:
        """Count a task in; tell whether it is the outermost."""
        with self._lock:
            self._running += 1
            return self._running == 1

    def end(self) -> None:
        """Count a task out; take the bars down after the last."""
        with self._lock:
            self._running -= 1
            if not self._running and self._bars is not None:
                self._bars.stop()
                self._bars = None

    def bars(self) -> RichProgress:
        with self._lock:
            if self._bars is None:
                self._bars = _rich_bars(self._output)
                self._bars.start()
            return self._bars


def _rich_bars(output: Output) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    painted = output.colors(output.stderr)
    console = Console(
        file=output.stderr, force_terminal=True, color_system="standard" if painted else None
    )
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )


class _LineTask:
    """A task without a bar: its outermost one writes a line when it ends."""

    def __init__(self, progress: _StderrProgress, name: str, total: float | None, unit: Unit):
        self._progress = progress
        self._name = name
        self._total = total
        self._unit = unit
        self._done = 0.0
        self._outermost = False

    def advance(self, amount: float) -> None:
        self._done += amount

    def reach(self, done: float, total: float | None = None) -> None:
        self._done = done
        self._total = self._total if total is None else total

    def __enter__(self) -> Self:
        self._outermost = self._progress.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._progress.end()
        if self._outermost:
            self._progress.message(f"{self._name}: {self._bar()}")

    def _bar(self) -> str:
        if not self._total:
            return _amount(self._done, None, self._unit)
        from wget import bar_adaptive

        bar: str = bar_adaptive(int(self._done), int(self._total), 60)
        return bar.strip()


class _BarTask:
    """A task with a bar of its own, which goes away when it ends."""

    def __init__(self, progress: _StderrProgress, name: str, total: float | None, unit: Unit):
        self._progress = progress
        self._name = name
        self._total = total
        self._unit: Unit = unit
        self._done = 0.0

    def advance(self, amount: float) -> None:
        self.reach(self._done + amount)

    def reach(self, done: float, total: float | None = None) -> None:
        self._done = done
        self._total = self._total if total is None else total
        amount = _amount(done, self._total, self._unit)
        self._bars.update(self._id, completed=done, total=self._total, amount=amount)

    def __enter__(self) -> Self:
        self._progress.begin()
        self._bars = self._progress.bars()
        amount = _amount(0, self._total, self._unit)
        self._id = self._bars.add_task(self._name, total=self._total, amount=amount)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._bars.remove_task(self._id)
        self._progress.end()


def _amount(done: float, total: float | None, unit: Unit) -> str:
    def show(value: float) -> str:
        return format_bytes(value) if unit == "bytes" else f"{value:,.0f}"

    amount = show(done) if total is None else f"{show(done)} of {show(total)}"
    return f"{amount} s" if unit == "seconds" else amount


def format_bytes(count: float) -> str:
    """Write a number of bytes for a person, in powers of 1000 as disks and cameras count.

    >>> format_bytes(11_892_342_784)
    '11.9 GB'
    """
    if round(count) < _KILO:
        return f"{count:.0f} B"
    units = iter(("kB", "MB", "GB", "TB"))
    unit = next(units)
    count /= _KILO
    while round(count, 1) >= _KILO and unit != "TB":
        unit = next(units)
        count /= _KILO
    return f"{count:.1f} {unit}"
