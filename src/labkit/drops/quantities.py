"""Drops that come in random amounts: how many tries for a total.

The number of drops J that first brings the sum of the amounts to the total T has a finite law,
and the chance to have the total after n tries is the mixture

    P(total >= T) = sum over j of P(J = j) P(X(n) >= j)

in which every term is positive, on both sides: neither tail cancels.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from labkit.drops.binomial import at_least
from labkit.drops.chances import CERTAIN, IMPOSSIBLE, Chance
from labkit.drops.errors import LimitError, NeverError
from labkit.drops.rates import parse_count
from labkit.drops.tries import MinimumTries, minimum_tries
from labkit.errors import UsageError

__all__ = ["Amount", "QuantityQuestion", "parse_amount"]

_MAX_WORK = 10**7
_MAX_TOTAL = 10**9
_MAX_EXACT_WORK = 10**6
_SAFE = 1e-11
_AMOUNT = re.compile(r"(\d[\d_]*)(?:\s*(?:-|\.\.)\s*(\d[\d_]*))?")


@dataclass(frozen=True, slots=True)
class Amount:
    """How much a drop gives: any whole number from `low` to `high`, each equally likely."""

    low: int
    high: int

    @property
    def spec(self) -> str:
        """The same as a user types it: `5` or `3..8`."""
        return str(self.low) if self.low == self.high else f"{self.low}..{self.high}"

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


def parse_amount(text: str) -> Amount:
    """Read how much a drop gives: `5`, `3-8` or `3..8`, both ends included.

    Raises:
        UsageError: It is none of these, the range is empty, or a drop never gives anything.
    """
    hint = "write how much a drop gives as 5 or 3-8"
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise UsageError(f"`{text[:60]}` is not an amount", hint=hint, code="bad-amount")
    low = parse_count(match[1], "amount", maximum=_MAX_TOTAL)
    high = low if match[2] is None else parse_count(match[2], "amount", maximum=_MAX_TOTAL)
    if high < low or high == 0:
        raise UsageError(f"the amount {text} is empty", hint=hint, code="bad-amount")
    return Amount(low, high)


class QuantityQuestion:
    """How likely a total amount is after some tries, and how many tries it takes.

    Args:
        rate: Chance of a drop per try.
        amount: How much a drop gives.
        total: The amount wanted, at least 1.

    Raises:
        LimitError: The law of the number of drops would take too long.
    """

    def __init__(self, rate: Fraction, amount: Amount, total: int) -> None:
        if amount.low == 0:  # a drop of nothing is a failed try
            rate = rate * amount.high / (amount.high + 1)
            amount = Amount(1, amount.high)
        self.rate, self.amount, self.total = rate, amount, total
        self.first, self.law = _drops_law(amount, total)

    @property
    def mean_drops(self) -> float:
        """The mean number of drops until the total is reached."""
        return math.fsum(j * weight for j, weight in self._law())

    @property
    def mean(self) -> float:
        """The mean number of tries until the total is reached."""
        return self.mean_drops / float(self.rate)

    @property
    def sd(self) -> float:
        """The standard deviation of that number of tries."""
        mean = self.mean_drops
        variance = math.fsum((j - mean) ** 2 * weight for j, weight in self._law())
        return math.sqrt(variance + mean * float(1 - self.rate)) / float(self.rate)

    def chance(self, tries: int) -> Chance:
        """Return the chance of at least the total after so many tries."""
        if tries < self.first or self.rate == 0:
            return IMPOSSIBLE
        if self.rate == 1 and tries >= self.first + len(self.law) - 1:
            return CERTAIN
        terms = [
            (math.log(weight), at_least(j, tries, self.rate)) for j, weight in self._law() if weight
        ]
        reached = _ln_sum([ln + chance.ln for ln, chance in terms])
        missed = _ln_sum([ln + chance.ln_complement for ln, chance in terms])
        if reached < missed:
            return Chance.from_ln(min(reached, 0.0))
        return Chance.from_ln(min(missed, 0.0)).opposite

    def minimum_tries(self, confidence: Fraction) -> MinimumTries:
        """Find the smallest number of tries that gives the total with the confidence.

        Raises:
            NeverError: The confidence is certainty, which no number of tries reaches.
            LimitError: The chance is too close to the confidence to tell them apart.
        """
        last = self.first + len(self.law) - 1
        if len(self.law) == 1:
            return minimum_tries(self.rate, self.first, confidence)
        if confidence >= 1:
            if self.rate < 1:
                raise NeverError(
                    "no number of tries makes this certain",
                    hint="ask for a confidence below 100 %, such as 99.9%",
                )
            return MinimumTries(last, CERTAIN, self.chance(last - 1))
        # P(J <= last) = 1: so many tries for the largest number of drops are always enough.
        low, high = self.first - 1, minimum_tries(self.rate, last, confidence).tries
        while high - low > 1:
            middle = (low + high) // 2
            if self._reaches(middle, confidence):
                high = middle
            else:
                low = middle
        return MinimumTries(high, self.chance(high), self.chance(high - 1))

    def _law(self) -> enumerate[float]:
        return enumerate(self.law, self.first)

    def _reaches(self, tries: int, confidence: Fraction) -> bool:
        """Decide whether the chance reaches the confidence; exactly where a double cannot."""
        chance = self.chance(tries)
        by_value = 2 * confidence <= 1
        target = float(confidence if by_value else 1 - confidence)
        tail = chance.value if by_value else chance.complement
        if abs(tail - target) > _SAFE * target:
            return (tail > target) == by_value
        if tries * len(self.law) * self.first > _MAX_EXACT_WORK:
            raise LimitError(
                f"the chance after {tries} tries is too close to the confidence to decide",
                hint="ask for a confidence with fewer digits, or another total",
            )
        return self._exact_chance(tries) >= confidence

    def _exact_chance(self, tries: int) -> Fraction:
        p, q = self.rate, 1 - self.rate
        points = [math.comb(tries, i) * p**i * q ** (tries - i) for i in range(tries + 1)]
        tails = [*accumulate(reversed(points))][::-1]
        _, law = _exact_drops_law(self.amount, self.total)
        pairs = zip(law, tails[self.first :], strict=False)
        return sum((weight * tail for weight, tail in pairs), start=Fraction(0))


def _drops_law(amount: Amount, total: int) -> tuple[int, list[float]]:
    """Return the first j with P(J = j) > 0, and P(J = j) from there on."""
    first, last = -(-total // amount.high), -(-total // amount.low)
    if first == last:
        return first, [1.0]
    if last * total > _MAX_WORK:
        raise LimitError(
            f"a total of {total} from amounts of {amount} takes too long to compute",
            hint=f"total times the drops it may take is at most {_MAX_WORK}",
        )
    width = amount.high - amount.low + 1
    sums, law = [1.0], []  # sums[i] = P(the sum of j amounts is j * low + i), below the total
    for j in range(last):
        law.append(_passing(sums, j * amount.low, amount, total))
        # Window sums without subtraction, to keep every digit of the tails.
        room = total - (j + 1) * amount.low
        sums = [s / width for s in _window_sums(sums, width)[: max(room, 0)]]
    return first, law[first - 1 :]


def _passing(sums: list[float], offset: int, amount: Amount, total: int) -> float:
    """Return P(the next amount takes the sum from below the total to it)."""
    width = amount.high - amount.low + 1
    chance = 0.0
    for i, weight in enumerate(sums):
        missing = total - offset - i
        ways = min(max(amount.high - missing + 1, 0), width)
        chance += weight * ways
    return chance / width


def _window_sums(values: list[float], width: int) -> list[float]:
    """Return every sum of `width` neighbours, the ends padded with zeros; additions only.

    Each window is the end of one block and the beginning of the next (van Herk 1992).
    """
    padding = [0.0] * (width - 1)
    padded = [*padding, *values, *padding]
    padded += [0.0] * (-len(padded) % width)
    blocks = [padded[i : i + width] for i in range(0, len(padded), width)]
    ends = [s for block in blocks for s in [*accumulate(block[::-1])][::-1]]
    beginnings = [s for block in blocks for s in accumulate(block)]
    count = len(values) + width - 1
    return [
        ends[i] if i % width == 0 else ends[i] + beginnings[i + width - 1] for i in range(count)
    ]


def _exact_drops_law(amount: Amount, total: int) -> tuple[int, list[Fraction]]:
    """Return the same law as `_drops_law`, in fractions."""
    width = amount.high - amount.low + 1
    first, last = -(-total // amount.high), -(-total // amount.low)
    sums, law = {0: Fraction(1)}, []
    for _ in range(last):
        after: dict[int, Fraction] = {}
        for have, weight in sums.items():
            for gain in range(amount.low, amount.high + 1):
                after[have + gain] = after.get(have + gain, Fraction(0)) + weight / width
        law.append(sum((w for have, w in after.items() if have >= total), start=Fraction(0)))
        sums = {have: w for have, w in after.items() if have < total}
    return first, law[first - 1 :]


def _ln_sum(lns: list[float]) -> float:
    """Return ln of the sum of exponentials."""
    largest = max(lns)
    if largest == -math.inf:
        return largest
    return largest + math.log(math.fsum(math.exp(ln - largest) for ln in lns))
