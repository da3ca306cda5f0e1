"""The options that the commands of `labkit drops` share, and what they do to a result.

A command declares the five display options and hands them to `Display`:

    def prd(..., digits: Digits = None, per_hour: PerHour = None, cost: Cost = None,
            chart: Chart = False, plot: Plot = None) -> Result:
        display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
        ...
        return display.result(data, text, convention="...", curves=[...])
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labkit.cli.drops import chart as charts
from labkit.cli.drops.format import chance_fields, duration, money
from labkit.cli.frame import Result
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from labkit.cli.drops.chart import Curve
    from labkit.cli.output import Output
    from labkit.drops.quantities import Amount

__all__ = [
    "Chart",
    "Confidences",
    "Cost",
    "Digits",
    "Display",
    "Each",
    "FirstRoll",
    "MagicFind",
    "PerHour",
    "Plot",
    "Rate",
    "Rolls",
    "Total",
    "adjusted_rate",
    "parse_quantity",
]

Rate = Annotated[str, typer.Argument(help="Chance per try: 1/5000, 0.02%, 2e-4, 1in5000 or 0.1.")]
Each = Annotated[
    str | None, typer.Option("--each", metavar="A-B", help="How much a drop gives: 5, or 3-8.")
]
Total = Annotated[
    str | None, typer.Option("--total", metavar="T", help="The amount you want, with --each.")
]

Digits = Annotated[
    int | None,
    typer.Option("--digits", metavar="N", min=1, max=17, help="Significant digits to show."),
]
PerHour = Annotated[
    str | None,
    typer.Option("--per-hour", metavar="TRIES", help="Tries you make in an hour; adds the time."),
]
Cost = Annotated[
    str | None,
    typer.Option("--cost", metavar="AMOUNT", help="What one try costs; adds the money."),
]
Rolls = Annotated[
    str | None, typer.Option("--rolls", metavar="R", help="Rolls that each try makes at the rate.")
]
MagicFind = Annotated[
    str | None,
    typer.Option(
        "--magic-find",
        metavar="MF:QUALITY",
        help="Diablo II magic find in percent, for unique, set or rare: 300:unique.",
    ),
]
FirstRoll = Annotated[
    Literal["0", "1"], typer.Option("--first-roll", help="The lowest roll of the die.")
]
Chart = Annotated[bool, typer.Option("--chart", help="Show the curve as bars.")]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw the curve into a .png, .svg or .pdf file."),
]
Confidences = Annotated[
    list[str] | None,
    typer.Option(
        "--confidence",
        "-c",
        metavar="C",
        help="95%, 95, 0.95 or 19/20; several with commas, or repeated.",
    ),
]


@dataclass(frozen=True)
class Display:
    """How the user wants to see a result.

    Attributes:
        digits: Significant digits, where the user said.
        per_hour: Tries an hour, where the user said.
        cost: Price of a try, where the user said.
        chart: Whether to show curves as bars.
        plot: The file to draw curves into.
    """

    digits: int | None = None
    per_hour: Fraction | None = None
    cost: Fraction | None = None
    chart: bool = False
    plot: Path | None = None

    @classmethod
    def parse(
        cls,
        digits: int | None,
        per_hour: str | None,
        cost: str | None,
        *,
        chart: bool = False,
        plot: Path | None = None,
    ) -> Display:
        """Read the display options.

        Raises:
            UsageError: One of them makes no sense.
            UnmetError: A plot is wanted and matplotlib is not installed.
        """
        charts.check_plot(plot)
        return cls(
            digits, _positive(per_hour, "--per-hour"), _positive(cost, "--cost"), chart, plot
        )

    def short(self, default: int = 6) -> int:
        """Return how many digits a percentage in a table has."""
        return self.digits or default

    def long(self, default: int = 15) -> int:
        """Return how many digits the one figure that was asked for has."""
        return self.digits or default

    @property
    def effort_columns(self) -> list[str]:
        """The titles of the columns that `effort_cells` fills."""
        return ["time"] * (self.per_hour is not None) + ["cost"] * (self.cost is not None)

    def effort_cells(self, tries: Fraction | float) -> list[str]:
        """Return the time and the money that so many tries take, as far as the user asked."""
        cells = []
        if self.per_hour is not None:
            cells.append(duration(float(tries / self.per_hour)))
        if self.cost is not None:
            cells.append(money(Fraction(tries) * self.cost))
        return cells

    def effort_fields(self, tries: Fraction | float) -> dict[str, float]:
        """Return the same as fields of a JSON document: `time_h` and `cost`."""
        fields = {}
        if self.per_hour is not None:
            fields["time_h"] = float(tries / self.per_hour)
        if self.cost is not None:
            fields["cost"] = float(Fraction(tries) * self.cost)
        return fields

    def result(
        self,
        data: dict[str, object],
        text: Callable[[Output], None],
        *,
        convention: str,
        curves: Sequence[Curve] = (),
    ) -> Result:
        """Make the result of a command: with its convention, its charts and its plot.

        Args:
            data: The fields of the JSON document.
            text: Writes the same for a person.
            convention: In one sentence, how the question was understood.
            curves: What `--chart` and `--plot` draw.
        """
        data = data | {"convention": convention}
        if self.chart:
            data["curves"] = [_curve_data(curve) for curve in curves]
        if self.plot:
            charts.save_plot(self.plot, curves)
            data["plot"] = str(self.plot)

        def write(out: Output) -> None:
            text(out)
            if self.chart:
                _write_charts(out, curves)
            if self.plot:
                out.message(f"wrote {self.plot}")
            out.line(out.style(f"({convention})", "dim"))

        return Result(data, write)


def parse_quantity(each: str | None, total: str | None) -> tuple[Amount, int]:
    """Read `--each` and `--total`, of which at least one was given.

    Raises:
        UsageError: One of them is missing or makes no sense.
    """
    from labkit.drops.quantities import parse_amount
    from labkit.drops.rates import parse_count

    if each is None or total is None:
        raise UsageError(
            "--each and --total belong together",
            hint="give how much a drop brings and how much you want: --each 3-8 --total 20",
        )
    return parse_amount(each), parse_count(total, "total", minimum=1)


def adjusted_rate(rate: Fraction, rolls: str | None, magic_find: str | None) -> Fraction:
    """Apply `--magic-find` and `--rolls` to a rate, exactly.

    Raises:
        UsageError: One of them makes no sense.
    """
    from labkit.drops.models import with_magic_find, with_rolls
    from labkit.drops.rates import parse_count

    if magic_find is not None:
        percent, separator, quality = magic_find.partition(":")
        if not separator:
            raise UsageError(
                f"`{magic_find}` does not say which quality is wanted",
                hint="write magic find as 300:unique, 300:set or 300:rare",
                code="bad-quality",
            )
        rate = with_magic_find(rate, parse_count(percent, "magic find"), quality)
    if rolls is not None:
        rate = with_rolls(rate, parse_count(rolls, "rolls", minimum=1))
    return rate


def _write_charts(out: Output, curves: Sequence[Curve]) -> None:
    unicode = _shows_blocks(out.stdout.encoding or "ascii")
    for curve in curves:
        heading, *lines = charts.bars(curve, unicode=unicode)
        out.line()
        out.line(out.style(heading, "heading"))
        for line in lines:
            out.line(line)
    out.line()


def _shows_blocks(encoding: str) -> bool:
    try:
        "█▏".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _curve_data(curve: Curve) -> dict[str, object]:
    points = [{"x": x} | chance_fields(chance) for x, chance in curve.sample(charts.CHART_ROWS)]
    return {"title": curve.title, "x_label": curve.x_label, "points": points}


# As for rates: products with any number of tries stay numbers.
_SMALLEST = Fraction(1, 10**100)


def _positive(text: str | None, option: str) -> Fraction | None:
    from labkit.drops.rates import parse_number

    if text is None:
        return None
    number = parse_number(text)
    if number is None or number <= 0:
        raise UsageError(
            f"{option}: `{text[:60]}` is not a number above 0",
            hint="write it as 250, 0.5 or 1e3",
            code="bad-number",
        )
    if not _SMALLEST <= number <= 1 / _SMALLEST:
        raise UsageError(
            f"{option}: {text[:60]} is too far from 1 to be computed with",
            hint="numbers from 1e-100 to 1e100 are",
            code="bad-number",
        )
    return number
