"""`labkit drops rate`: what rate a log supports."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.drops.chart import Curve
from labkit.cli.drops.format import (
    chance_fields,
    drops_text,
    exact,
    number,
    percentage,
    tries_text,
)
from labkit.cli.drops.options import Chart, Cost, Digits, Display, PerHour, Plot
from labkit.cli.drops.tool import drops as tool
from labkit.cli.frame import Result
from labkit.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.cli.output import Output
    from labkit.drops.estimate import Interval, PityLog, Plausibility

_MAX_TRIES = 10**12
_MIN_ALPHA = Fraction(1, 10**100)
_STOPPED = "the log was stopped at its last drop, so the number of tries was left to luck"
_CURVE_STEPS = 1000


@tool.command(
    "labkit drops rate --got 10 --tries 4821",
    "labkit drops rate --got 5 --tries 812 --stopped --claim 1/100",
    "labkit drops rate --gaps 70,10,80,20,10 --leftover 10 --hard 90",
)
def rate(
    *,
    got: Annotated[str | None, typer.Option("--got", "-k", metavar="K", help="Drops seen.")] = None,
    tries: Annotated[
        str | None, typer.Option("--tries", "-n", metavar="N", help="Tries made.")
    ] = None,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="The log was stopped at its last drop.")
    ] = False,
    claim: Annotated[
        str | None, typer.Option("--claim", metavar="RATE", help="An advertised rate to judge.")
    ] = None,
    confidence: Annotated[
        str | None, typer.Option("--confidence", "-c", metavar="C", help="Of the intervals; [95%].")
    ] = None,
    gaps: Annotated[
        str | None,
        typer.Option(
            "--gaps", metavar="A,B,...", help="Pity games: pulls each hit took, in order."
        ),
    ] = None,
    leftover: Annotated[
        str | None, typer.Option("--leftover", metavar="N", help="Pulls after the last of --gaps.")
    ] = None,
    hard: Annotated[
        str | None, typer.Option("--hard", metavar="H", help="Hard pity, for --gaps.")
    ] = None,
    digits: Digits = None,
    per_hour: PerHour = None,
    cost: Cost = None,
    chart: Chart = False,
    plot: Plot = None,
) -> Result:
    """Estimate a rate from what dropped, and judge an advertised one."""
    display = Display.parse(digits, per_hour, cost, chart=chart, plot=plot)
    if gaps is not None:
        _refuse(
            "a log of gaps gives one estimate of the rate",
            {
                "--got": got,
                "--tries": tries,
                "--stopped": stopped or None,
                "--claim": claim,
                "--confidence": confidence,
                "--chart": chart or None,
                "--plot": plot,
            },
        )
        return _of_gaps(gaps, leftover or "0", hard, display)
    _refuse("a log of --got and --tries has no pity", {"--hard": hard, "--leftover": leftover})
    if got is None or tries is None:
        raise UsageError(
            "--got and --tries belong together",
            hint="such as: labkit drops rate --got 10 --tries 4821",
        )
    return _of_counts(got, tries, claim, confidence or "95%", display, stopped=stopped)


def _refuse(reason: str, options: Mapping[str, object]) -> None:
    """Refuse options that the question does not have, rather than pass over them."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            f"{reason}: {', '.join(given)} {'has' if len(given) == 1 else 'have'} no part in it",
            hint=f"leave {', '.join(given)} out; --gaps goes with --hard and --leftover",
        )


def _of_counts(
    got: str, tries: str, claim: str | None, confidence: str, display: Display, *, stopped: bool
) -> Result:
    from labkit.drops.errors import LimitError
    from labkit.drops.estimate import judge_claim, unbiased_stopped
    from labkit.drops.rates import (
        parse_confidence,
        parse_count,
        parse_rate,
        what_cannot_come,
    )

    made = parse_count(tries, "tries", minimum=1, maximum=_MAX_TRIES)
    dropped = parse_count(got, "got", minimum=int(stopped), maximum=_MAX_TRIES)
    if dropped > made:
        raise UsageError(what_cannot_come(dropped, made), hint="a try gives one drop at most")
    level = parse_confidence(confidence)
    if level == 1:
        raise UsageError(
            "only the whole range from 0 to 1 is certain", hint="ask for 99%", code="bad-confidence"
        )
    if 1 - level < _MIN_ALPHA:
        raise LimitError(
            f"a confidence of {confidence} is too close to 100 %", hint="at most 1 - 1e-100"
        )
    claimed = None if claim is None else parse_rate(claim)
    alpha = 1 - level
    share = Fraction(dropped, made)
    estimate = unbiased_stopped(dropped, made) if stopped else share
    intervals = _intervals(dropped, made, alpha, stopped=stopped)
    verdict = None
    if claimed is not None:
        verdict = judge_claim(dropped, made, claimed, alpha, stopped=stopped)
    data: dict[str, object] = {
        "got": dropped,
        "tries": made,
        "stopped": stopped,
        "estimate": None if estimate is None else float(estimate),
        "observed": float(share),
        "confidence": str(level),
        "intervals": {name: list(ends) for name, ends in intervals.items()},
        "claim": _claim_data(claimed, verdict),
        **display.effort_fields(made),
    }

    def text(out: Output) -> None:
        digits = display.short()
        ending = ", stopped at the last drop" if stopped else ""
        out.line(out.style(f"{drops_text(dropped)} in {tries_text(made)}{ending}", "heading"))
        best = "no unbiased estimate from one drop" if estimate is None else _rate(estimate, digits)
        out.fields({"estimate": best} | ({"observed": _rate(share, digits)} if stopped else {}))
        _write_intervals(out, intervals, level, digits)
        if claimed is not None and verdict is not None:
            _write_claim(out, claimed, verdict, level, digits)
        columns, cells = display.effort_columns, display.effort_cells(made)
        out.fields(dict(zip(columns, cells, strict=True)))

    result = display.result(
        data,
        text,
        convention=_STOPPED if stopped else "the number of tries was fixed in advance",
        curves=[_likelihood_curve(dropped, made, intervals)],
    )
    implausible = verdict is not None and not verdict.plausible
    return Result(result.data, result.text, ExitCode.NO if implausible else ExitCode.OK)


def _intervals(got: int, tries: int, alpha: Fraction, *, stopped: bool) -> dict[str, Interval]:
    from labkit.drops.estimate import clopper_pearson, jeffreys, stopped_interval, wilson

    if stopped:
        return {"exact": stopped_interval(got, tries, alpha)}
    return {
        "clopper_pearson": clopper_pearson(got, tries, alpha),
        "wilson": wilson(got, tries, alpha),
        "jeffreys": jeffreys(got, tries, alpha),
    }


def _claim_data(claim: Fraction | None, verdict: Plausibility | None) -> dict[str, object] | None:
    if claim is None or verdict is None:
        return None
    return {
        "rate": str(claim),
        "plausible": verdict.plausible,
        "at_most": chance_fields(verdict.at_most),
        "at_least": chance_fields(verdict.at_least),
        "two_sided": chance_fields(verdict.two_sided),
    }


def _write_intervals(
    out: Output, intervals: dict[str, Interval], level: Fraction, digits: int
) -> None:
    from labkit.drops.rates import percent

    rows = [
        [name.replace("_", "-"), _end(low, digits), _end(high, digits), _one_in(low, high)]
        for name, (low, high) in intervals.items()
    ]
    out.table([f"{percent(level)} interval", "low", "high", "1 in"], rows)


def _write_claim(
    out: Output, claim: Fraction, verdict: Plausibility, level: Fraction, digits: int
) -> None:
    from labkit.drops.rates import percent

    word = out.style("plausible", "good") if verdict.plausible else out.style("implausible", "bad")
    out.line(f"the claimed rate {exact(claim)} is {word} at {percent(level)}")
    out.fields(
        {
            "at that rate, so few or fewer": percentage(verdict.at_most, digits),
            "at that rate, so many or more": percentage(verdict.at_least, digits),
            "either way (twice the smaller)": percentage(verdict.two_sided, digits),
        }
    )


def _likelihood_curve(got: int, tries: int, intervals: dict[str, Interval]) -> Curve:
    """Show how likely just this log is, over the rates that come into question."""
    from labkit.drops.binomial import exactly

    low, high = next(iter(intervals.values()))
    width = high - low
    first, last = max(low - width / 4, 0.0), min(high + width / 4, 1.0)
    # The axis counts whole numbers: a rate as one in a power of ten that shows the range.
    scale = 10
    while (last - first) * scale < _CURVE_STEPS and scale < 10**15:
        scale *= 10
    return Curve(
        "chance of just this log at each rate",
        f"rate / {scale:g}",
        int(first * scale),
        int(last * scale) + 1,
        lambda x: exactly(got, tries, min(Fraction(x, scale), Fraction(1))),
        marks=[round(got / tries * scale)],
    )


def _of_gaps(gaps: str, leftover: str, hard: str | None, display: Display) -> Result:
    from labkit.drops.estimate import pity_rate
    from labkit.drops.rates import parse_count

    if hard is None:
        raise UsageError("--gaps needs the hard pity", hint="add --hard 90")
    pulls = [parse_count(gap, "gaps", minimum=1, maximum=10**9) for gap in gaps.split(",")]
    pity = parse_count(hard, "hard pity", minimum=1, maximum=10**9)
    after = parse_count(leftover, "leftover", maximum=10**9)
    log = pity_rate(pulls, after, pity)
    made = sum(pulls) + after
    data: dict[str, object] = {
        "estimate": None if log.unbiased is None else float(log.unbiased),
        "naive": float(log.naive),
        "kept": log.kept,
        "gaps": len(pulls),
        "pulls": made,
        "intervals": {},
        "claim": None,
        **display.effort_fields(made),
    }
    return display.result(
        data,
        lambda out: _write_gaps(out, log, len(pulls), made, display),
        convention="a gap counts only if it and all that follows it are at least the hard pity, "
        "so that short gaps are not favoured",
    )


def _write_gaps(out: Output, log: PityLog, hits: int, pulls: int, display: Display) -> None:
    digits = display.short()
    hit = "hit" if hits == 1 else "hits"
    heading = f"{hits} {hit} in {pulls} pulls, of which {log.kept} can be counted"
    out.line(out.style(heading, "heading"))
    unbiased = "the log is too short" if log.unbiased is None else _rate(log.unbiased, digits)
    out.fields({"unbiased": unbiased, "all hits / all pulls, biased": _rate(log.naive, digits)})
    out.fields(dict(zip(display.effort_columns, display.effort_cells(pulls), strict=True)))


def _rate(rate: Fraction, digits: int) -> str:
    from labkit.drops.chances import Chance

    if not rate:
        return "0"
    one_in = number(float(1 / rate), digits)
    return f"{percentage(Chance.from_fraction(rate), digits)}, 1 in {one_in}"


def _end(rate: float, digits: int) -> str:
    """Write an end of an interval, which may be 0 or 1, in percent."""
    from labkit.drops.chances import Chance

    if rate in {0, 1}:
        return "100 %" if rate else "0"
    return percentage(Chance.from_value(rate), digits)


def _one_in(low: float, high: float) -> str:
    longest = "any" if low == 0 else number(1 / low, 4)
    return f"{number(1 / high, 4)} to {longest}"
