"""A probability that never pretends to be 0 or 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["CERTAIN", "IMPOSSIBLE", "Chance", "ln_of_complement", "ln_of_fraction"]

_LN10 = math.log(10)
_LN_MAX = math.log(1.7e308)
_SURE_DIGITS = 1e-300


@dataclass(frozen=True, slots=True)
class Chance:
    """A probability with its complement, each precise to its own last digits.

    Make one with `from_ln`, `from_value` or `from_fraction`; for one that is nearly certain,
    make its opposite: `Chance.from_ln(...).opposite`.

    Attributes:
        value: The probability; 0.0 where it is below the smallest double, see `ln` and `log10`.
        complement: 1 - probability, without cancellation.
        ln: The natural logarithm of the probability; minus infinity only when it is impossible.
        ln_complement: The natural logarithm of the complement; minus infinity only when certain.
    """

    value: float
    complement: float
    ln: float
    ln_complement: float

    @classmethod
    def from_ln(cls, ln: float) -> Chance:
        """Make one from the natural logarithm of a probability that is not close to 1."""
        return cls(math.exp(ln), -math.expm1(ln), ln, ln_of_complement(ln))

    @classmethod
    def from_value(cls, probability: float, complement: float | None = None) -> Chance:
        """Make one from a probability, and from its complement where that is known better."""
        if complement is None:
            complement = 1 - probability
        if probability > complement:
            return cls.from_value(complement, probability).opposite
        return cls(probability, complement, _ln(probability), math.log1p(-probability))

    @classmethod
    def from_fraction(cls, probability: Fraction) -> Chance:
        """Make one from an exact probability."""
        if 2 * probability > 1:
            return cls.from_fraction(1 - probability).opposite
        ln = ln_of_fraction(probability)
        return cls(float(probability), float(1 - probability), ln, ln_of_complement(ln))

    @property
    def opposite(self) -> Chance:
        """The chance that it does not happen."""
        return Chance(self.complement, self.value, self.ln_complement, self.ln)

    @property
    def log10(self) -> float:
        """The decimal logarithm of the probability; minus infinity only when impossible."""
        return self.ln / _LN10 + 0.0  # no -0.0

    @property
    def one_in(self) -> float | None:
        """1 / probability; None when impossible or beyond the largest double."""
        if -self.ln > _LN_MAX:
            return None
        if self.value <= _SURE_DIGITS:
            return math.exp(-self.ln)
        one_in = 1 / self.value
        # 1/100000 is no double, and its inverse not quite 100000: take the whole number meant.
        whole = float(round(one_in))
        return whole if 1 / whole == self.value else one_in

    @property
    def impossible(self) -> bool:
        """Whether the probability is exactly 0."""
        return self.ln == -math.inf

    @property
    def certain(self) -> bool:
        """Whether the probability is exactly 1."""
        return self.ln_complement == -math.inf


IMPOSSIBLE = Chance(0.0, 1.0, -math.inf, 0.0)
"""The chance of what cannot happen."""

CERTAIN = IMPOSSIBLE.opposite
"""The chance of what must happen."""


def ln_of_complement(ln: float) -> float:
    """Return ln(1 - e^ln), without cancellation at either end (Maechler 2012)."""
    if ln >= 0:
        return -math.inf
    return math.log(-math.expm1(ln)) if ln > -math.log(2) else math.log1p(-math.exp(ln))


def _ln(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def ln_of_fraction(value: Fraction) -> float:
    """Return the natural logarithm of a fraction, also where a double would underflow."""
    if value <= 0:
        return -math.inf
    as_float = float(value)
    if as_float > _SURE_DIGITS:
        return math.log(as_float)
    return math.log(value.numerator) - math.log(value.denominator)
