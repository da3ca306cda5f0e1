"""Loot tables: what an opening can give, how likely, and how that moves with luck.

A table rolls by thresholds on a die, by weights or by rates. In an OR table one line pays, in an
AND table every line that is reached. A line may lead to another table, which rolls again. All
chances are exact fractions.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from labkit.drops.die import Die
from labkit.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from labkit.drops.quantities import Amount

__all__ = ["Line", "LootTables", "LuckRange", "Measure", "Opening", "Rule", "Table"]

_NAMES_SHOWN = 10

Rule = Literal["and", "or"]
"""Whether every line that is reached pays, or one."""

Measure = Literal["threshold", "weight", "rate"]
"""What the number of a line is."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a loot table.

    Attributes:
        item: What it pays; None where it leads to a table or pays nothing.
        table: The name of the table it leads to; None where there is none.
        number: Threshold, weight or rate, as the table's measure says.
        amount: How many of the item it pays.
    """

    item: str | None
    table: str | None
    number: Fraction
    amount: Amount


@dataclass(frozen=True, slots=True)
class Table:
    """A loot table.

    Attributes:
        name: Its name, unique among the tables of a file.
        rule: Whether one line pays or every line that is reached.
        measure: What the numbers of its lines are.
        lines: Its lines.
        faces: Faces of its die, for thresholds; 0 where nothing is rolled.
        luck_safe: Whether luck does not touch it.
        by_level: Whether the thresholds are levels at which a line begins to apply.
        problem: Why the table cannot be rolled, where that is so.
    """

    name: str
    rule: Rule
    measure: Measure
    lines: tuple[Line, ...]
    faces: int = 0
    luck_safe: bool = False
    by_level: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LootTables:
    """The tables of a file; every table that a line leads to is among them, without a cycle.

    Attributes:
        tables: Name -> table, in the file's order.
        root: The table that is opened unless another is named.
        notes: What a reader of the answers must know about the file.
    """

    tables: Mapping[str, Table]
    root: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LuckRange:
    """Luck from `first` to `last`, both included; no end where `last` is None."""

    first: int
    last: int | None


class Opening:
    """One opening of a table, under the conventions chosen.

    Args:
        loot: The tables.
        root: The table that is opened.
        first_roll: The lowest roll of every die, 0 or 1.
        shared_roll: Whether the lines of an AND table share one roll instead of rolling each.
        level: The level, for tables whose lines depend on it.

    Raises:
        UsageError: There is no such table, or a table needs a level that was not given.
        InputError: A table that can be reached cannot be rolled.
    """

    def __init__(
        self,
        loot: LootTables,
        root: str | None = None,
        *,
        first_roll: int = 0,
        shared_roll: bool = False,
        level: int | None = None,
    ) -> None:
        self.root = loot.root if root is None else root
        if self.root not in loot.tables:
            from difflib import get_close_matches

            close = get_close_matches(self.root, loot.tables)
            names = ", ".join([*loot.tables][:_NAMES_SHOWN])
            more = ", ..." if len(loot.tables) > _NAMES_SHOWN else ""
            hint = f"did you mean {close[0]}?" if close else f"the file has {names}{more}"
            raise UsageError(f"there is no table `{self.root}`", hint=hint, code="no-such-table")
        self._tables = loot.tables
        self._first_roll = first_roll
        self._shared_roll = shared_roll
        self._level = level
        for name in self._reachable:
            if problem := self._tables[name].problem:
                raise InputError(f"table `{name}`: {problem}", hint="open another with --table")
            if self._tables[name].by_level and level is None:
                raise UsageError(
                    f"the lines of table `{name}` depend on a level",
                    hint="give it with --level",
                    code="level-needed",
                )

    @cached_property
    def items(self) -> list[str]:
        """The items that the table names, then those of the tables it leads to."""
        lines = (line for name in self._reachable for line in self._tables[name].lines)
        return list(dict.fromkeys(line.item for line in lines if line.item is not None))

    def chance(self, item: str, luck: int = 0) -> Fraction:
        """Return the chance that an opening gives at least one of the item."""
        return 1 - self._none(self.root, item, luck, {})

    def mean_amount(self, item: str, luck: int = 0) -> Fraction:
        """Return how many of the item an opening gives on average."""
        return self._mean(self.root, item, luck, {})

    def possible_luck(self, item: str) -> list[LuckRange]:
        """Return the ranges of luck, from 0 up, in which the item can be had at all."""
        return _merged(self._possible(self.root, item))

    @cached_property
    def _reachable(self) -> list[str]:
        found, todo = [], [self.root]
        while todo:
            name = todo.pop()
            if name not in found:
                found.append(name)
                lines = reversed(self._tables[name].lines)
                todo += [line.table for line in lines if line.table is not None]
        return found

    def _none(self, name: str, item: str, luck: int, known: dict[str, Fraction]) -> Fraction:
        """Return the chance that opening the table gives none of the item."""
        if name in known:
            return known[name]
        table = self._tables[name]
        misses = [self._line_misses(line, item, luck, known) for line in table.lines]
        shares = self._shares(table, luck)
        if table.rule == "or":
            hits = (share * (1 - miss) for share, miss in zip(shares, misses, strict=True))
            result = 1 - sum(hits, start=Fraction(0))
        elif self._shared_roll and table.measure == "threshold":
            result = _shared_none(shares, misses)
        else:
            pairs = zip(shares, misses, strict=True)
            result = math.prod((1 - share * (1 - miss) for share, miss in pairs), start=Fraction(1))
        known[name] = result
        return result

    def _line_misses(
        self, line: Line, item: str, luck: int, known: dict[str, Fraction]
    ) -> Fraction:
        """Return the chance that a line, once it pays, gives none of the item."""
        if line.table is not None:
            return self._none(line.table, item, luck, known)
        if line.item != item:
            return Fraction(1)
        amount = line.amount
        return Fraction(int(amount.low == 0), amount.high - amount.low + 1)

    def _mean(self, name: str, item: str, luck: int, known: dict[str, Fraction]) -> Fraction:
        if name in known:
            return known[name]
        table = self._tables[name]
        total = Fraction(0)
        for share, line in zip(self._shares(table, luck), table.lines, strict=True):
            if line.table is not None:
                total += share * self._mean(line.table, item, luck, known)
            elif line.item == item:
                total += share * Fraction(line.amount.low + line.amount.high, 2)
        known[name] = total
        return total

    def _shares(self, table: Table, luck: int) -> list[Fraction]:
        """Return the chance of each line to pay, by itself."""
        numbers = [line.number for line in table.lines]
        if table.by_level:
            return _level_shares(table, numbers, self._level or 0)
        if table.measure == "rate":
            return numbers
        if table.measure == "weight":
            total = sum(numbers)
            return [number / total for number in numbers]
        if table.faces == 0:
            each = Fraction(1) if table.rule == "and" else Fraction(1, len(numbers))
            return [each] * len(numbers)
        die, effective = Die(table.faces, self._first_roll), 0 if table.luck_safe else luck
        thresholds = [int(number) for number in numbers]
        if table.rule == "and":
            return [die.reach(threshold, effective) for threshold in thresholds]
        return list(die.highest_line(dict(enumerate(thresholds)), effective).values())

    def _possible(self, name: str, item: str) -> list[LuckRange]:
        """Return the ranges of luck in which the table can give the item, not yet merged."""
        table = self._tables[name]
        found = []
        for line, own in zip(table.lines, self._line_ranges(table), strict=True):
            if own is None:
                continue
            if line.table is not None:
                inner = _merged(self._possible(line.table, item))
                found += [both for r in inner if (both := _overlap(own, r)) is not None]
            elif line.item == item and line.amount.high > 0:
                found.append(own)
        return found

    def _line_ranges(self, table: Table) -> Iterator[LuckRange | None]:
        """Yield for each line the luck with which it can pay; None where it never does."""
        steps = sorted({line.number for line in table.lines})
        if table.measure != "threshold" or table.by_level or not table.faces or table.luck_safe:
            for share in self._shares(table, 0):
                yield LuckRange(0, None) if share else None
            return
        die = Die(table.faces, self._first_roll)
        for line in table.lines:
            first, last = die.possible_from(int(line.number)), None
            if table.rule == "or" and line.number != steps[-1]:
                # From there on every roll reaches the next line.
                above = int(steps[steps.index(line.number) + 1])
                last = above - self._first_roll - 1
            yield None if last is not None and last < first else LuckRange(first, last)


def _level_shares(table: Table, numbers: Sequence[Fraction], level: int) -> list[Fraction]:
    """Give the lines of the bracket that the level falls into: all of them, or one of them."""
    begun = [number for number in numbers if number <= level]
    if not begun:
        return [Fraction(0)] * len(numbers)
    bracket = max(begun)
    each = Fraction(1) if table.rule == "and" else Fraction(1, Counter(numbers)[bracket])
    return [each if number == bracket else Fraction(0) for number in numbers]


def _shared_none(shares: Sequence[Fraction], misses: Sequence[Fraction]) -> Fraction:
    """Return the chance of none where one roll decides about all lines."""
    lines = sorted(zip(shares, misses, strict=True), reverse=True)
    result, missed = Fraction(0), Fraction(1)
    for i, (share, miss) in enumerate(lines):
        if i == 0:
            result += 1 - share
        missed *= miss
        beyond = lines[i + 1][0] if i + 1 < len(lines) else Fraction(0)
        result += (share - beyond) * missed
    return result


def _overlap(a: LuckRange, b: LuckRange) -> LuckRange | None:
    ends = [end for end in (a.last, b.last) if end is not None]
    first, last = max(a.first, b.first), min(ends) if ends else None
    return None if last is not None and last < first else LuckRange(first, last)


def _merged(ranges: Sequence[LuckRange]) -> list[LuckRange]:
    """Join ranges that touch."""
    merged: list[LuckRange] = []
    for following in sorted(ranges, key=lambda r: r.first):
        before = merged[-1] if merged else None
        if before is None or (before.last is not None and before.last + 1 < following.first):
            merged.append(following)
        elif before.last is not None:
            end = None if following.last is None else max(before.last, following.last)
            merged[-1] = LuckRange(before.first, end)
    return merged
