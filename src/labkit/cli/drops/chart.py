"""Curves: sampled once, shown as Unicode bars in the terminal or written to a file."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cli.drops.format import percentage
from labkit.errors import UnmetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from labkit.drops import Chance

__all__ = ["PLOT_FORMATS", "Curve", "bars", "check_plot", "save_plot"]

PLOT_FORMATS = (".png", ".svg", ".pdf")
CHART_ROWS = 20
PLOT_POINTS = 240
_BAR_WIDTH = 40
_EIGHTHS = "▏▎▍▌▋▊▉"
_FULL = "█"


@dataclass(frozen=True)
class Curve:
    """A probability as it depends on a whole number.

    Attributes:
        title: What the probability is of.
        x_label: What the whole number counts.
        first: The smallest x.
        last: The largest x.
        at: The probability at an x.
        marks: Values of x that deserve a row of their own, such as the answers.
    """

    title: str
    x_label: str
    first: int
    last: int
    at: Callable[[int], Chance]
    marks: Sequence[int] = ()

    def sample(self, count: int) -> list[tuple[int, Chance]]:
        """Return at most `count` evenly spaced points, both ends included, and the marks."""
        steps = min(count - 1, self.last - self.first)
        span = self.last - self.first
        xs = {self.first + span * i // steps for i in range(steps + 1)} if steps else {self.first}
        xs.update(x for x in self.marks if self.first <= x <= self.last)
        return [(x, self.at(x)) for x in sorted(xs)]


def bars(curve: Curve, *, unicode: bool = True) -> list[str]:
    """Draw a curve as horizontal bars, one line a point; full width is 100 %.

    Args:
        curve: What to draw.
        unicode: Whether block characters can be shown; else `#` is used.
    """
    points = curve.sample(CHART_ROWS)
    rows = [(str(x), percentage(chance, 4), chance.value) for x, chance in points]
    width = max(len(curve.x_label), *(len(x) for x, _, _ in rows))
    value_width = max(len(text) for _, text, _ in rows)
    lines = [curve.title, f"{curve.x_label:>{width}}"]
    lines += [
        f"{x:>{width}}  {text:>{value_width}}  {_bar(value, unicode=unicode)}".rstrip()
        for x, text, value in rows
    ]
    return lines


def check_plot(path: Path | None) -> None:
    """Refuse a plot that cannot be written, before anything is computed.

    Raises:
        UsageError: The name of the file has none of the known endings.
        UnmetError: matplotlib is not installed.
    """
    if path is None:
        return
    if path.suffix.lower() not in PLOT_FORMATS:
        raise UsageError(
            f"`{path.name}` is no name for a plot",
            hint=f"end it with {', '.join(PLOT_FORMATS)}",
            code="bad-plot",
        )
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UnmetError(
            "a plot needs matplotlib, which is not installed",
            hint="install the extra, in the clone: pip install '.[plot]'; or use --chart",
            code="extra-missing",
        )


def save_plot(path: Path, curves: Sequence[Curve]) -> None:
    """Draw the curves into one file, whose ending says the format.

    Raises:
        UnmetError: The file cannot be written.
    """
    # Without a home to write to, matplotlib tells of its cache; nobody asked for that.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for curve in curves:
        points = curve.sample(PLOT_POINTS)
        xs, ys = [x for x, _ in points], [chance.value for _, chance in points]
        axes.plot(xs, ys, label=curve.title.replace("$", r"\$"))
        for mark in curve.marks:
            axes.axvline(mark, linewidth=0.5, color="grey")
    axes.set_xlabel(curves[0].x_label)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend()
    else:
        axes.set_title(curves[0].title.replace("$", r"\$"))
    part = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(part, format=path.suffix[1:].lower(), dpi=150)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UnmetError(
            f"`{path}` cannot be written: {error.strerror or error}",
            hint="name a folder that exists and that you may write to",
            code="cannot-write",
        ) from error


def _bar(value: float, *, unicode: bool) -> str:
    eighths = round(value * _BAR_WIDTH * 8)
    if not unicode:
        return "#" * round(eighths / 8)
    full, rest = divmod(eighths, 8)
    return _FULL * full + (_EIGHTHS[rest - 1] if rest else "")
