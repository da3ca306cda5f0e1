"""How lucky a number of drops is, for one item and for a whole log."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from labkit.drops.binomial import at_least, at_most, exactly
from labkit.drops.chances import Chance
from labkit.drops.rates import MAX_DROPS, parse_count, parse_rate, parse_tries, what_cannot_come
from labkit.drops.sources import Mixture, Source
from labkit.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

__all__ = ["LogLine", "Luck", "log_luck", "luck_of", "read_log", "stouffer"]

_COLUMNS = ("item", "rate", "tries", "got")
_EXAMPLE = "the first line names the columns: item,rate,tries,got; then fang,1/128,300,1"
_SMALLEST_NORMAL = 1e-300


@dataclass(frozen=True, slots=True)
class Luck:
    """Where a number of drops stands among all players who made the same tries.

    Attributes:
        fewer: The chance of fewer drops.
        equal: The chance of just as many.
        more: The chance of more.
    """

    fewer: Chance
    equal: Chance
    more: Chance

    @property
    def luckier_than(self) -> Chance:
        """The share of players with fewer drops, ties counted half: the mid-p value."""
        below = _ln_add(self.fewer.ln, self.equal.ln - math.log(2))
        above = _ln_add(self.more.ln, self.equal.ln - math.log(2))
        return Chance.from_ln(below) if below <= above else Chance.from_ln(above).opposite

    @property
    def percentile(self) -> float:
        """The mid-p percentile, from 0 (as dry as can be) to 100."""
        return 100 * self.luckier_than.value


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a drop log."""

    item: str
    rate: Fraction
    tries: int
    got: int

    @property
    def luck(self) -> Luck:
        """How lucky this line is by itself."""
        return luck_of(self.got, self.tries, self.rate)


def luck_of(got: int, tries: int, rate: Fraction) -> Luck:
    """Say how lucky `got` drops in `tries` tries are."""
    return Luck(
        at_most(got - 1, tries, rate), exactly(got, tries, rate), at_least(got + 1, tries, rate)
    )


def log_luck(lines: Sequence[LogLine]) -> Luck:
    """Say how lucky the total number of drops over all lines is; common items weigh most."""
    mixture = Mixture(Source(line.tries, line.rate) for line in lines)
    got = sum(line.got for line in lines)
    return Luck(mixture.at_most(got - 1), mixture.exactly(got), mixture.at_least(got + 1))


def stouffer(lines: Sequence[LogLine]) -> Chance:
    """Combine the lines' mid-p values with equal weight: Stouffer's mean of normal scores.

    Lines that were never tried say nothing and are left out. Returns the share of players who
    are less lucky.
    """
    scores = [_score(line.luck.luckier_than) for line in lines if line.tries]
    if not scores:
        return Chance.from_value(0.5)
    z = math.fsum(scores) / math.sqrt(len(scores))
    tail = Chance.from_value(math.erfc(abs(z) / math.sqrt(2)) / 2)
    return tail if z < 0 else tail.opposite


def read_log(path: Path) -> list[LogLine]:
    """Read a drop log: CSV with the columns item, rate, tries and got, in any order.

    Raises:
        InputError: The file cannot be read, or a line of it makes no sense; the message says
            which.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"`{path}` cannot be read: {reason}", hint=_EXAMPLE) from error
    rows = csv.reader(text.splitlines(), delimiter=";" if ";" in text.split("\n")[0] else ",")
    try:
        lines = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"`{path}`, line {rows.line_num}: {error}", hint=_EXAMPLE) from error
    if not lines:
        raise InputError(f"`{path}` is empty", hint=_EXAMPLE)
    names = [cell.strip().lower() for cell in lines[0][1]]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise InputError(f"`{path}` has no column `{missing[0]}`", hint=_EXAMPLE)
    if len(lines) == 1:
        raise InputError(f"`{path}` has no line below its heading", hint=_EXAMPLE)
    return [_log_line(path, number, names, row) for number, row in lines[1:]]


def _log_line(path: Path, number: int, names: Sequence[str], row: Sequence[str]) -> LogLine:
    where = f"`{path}`, line {number}"
    if len(row) != len(names):
        raise InputError(f"{where}: {len(row)} cells instead of {len(names)}", hint=_EXAMPLE)
    cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
    try:
        line = LogLine(
            cells["item"],
            parse_rate(cells["rate"]),
            parse_tries(cells["tries"]),
            parse_count(cells["got"], "got", maximum=MAX_DROPS),
        )
    except UsageError as error:
        raise InputError(f"{where}: {error.message}", hint=error.hint) from error
    if line.got > line.tries:
        raise InputError(
            f"{where}: {what_cannot_come(line.got, line.tries)}",
            hint="a try gives one drop at most",
        )
    return line


def _score(chance: Chance) -> float:
    """Return the normal score of a probability, from its smaller side."""
    if chance.value > chance.complement:
        return -_score(chance.opposite)
    return NormalDist().inv_cdf(max(chance.value, _SMALLEST_NORMAL))


def _ln_add(a: float, b: float) -> float:
    """Return ln(e^a + e^b)."""
    larger, smaller = max(a, b), min(a, b)
    if larger == -math.inf:
        return larger
    return larger + math.log1p(math.exp(smaller - larger))
