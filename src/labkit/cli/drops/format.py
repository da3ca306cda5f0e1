"""How `labkit drops` writes probabilities, numbers, time and money.

A probability is never written as 0 % or 100 % unless it is exactly that: below 1e-300 its decimal
logarithm is given, and next to 1 its distance from 1.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.drops import Chance, DropSpec

__all__ = [
    "chance_fields",
    "drops_text",
    "duration",
    "exact",
    "money",
    "number",
    "odds",
    "percentage",
    "probability",
    "proof",
    "tries_text",
]

_TINY = 1e-300
_LARGE = 1e15
_SMALL = 1e-5
_UNITS = (("y", 365 * 24.0), ("d", 24.0), ("h", 1.0), ("min", 1 / 60), ("s", 1 / 3600))
_SHORT = 40
_PROOF_DIGITS = 6
_MAX_DIGITS = 17


def probability(chance: Chance, digits: int = 15) -> str:
    """Write a probability between 0 and 1: `0.430148687130361`, `1e-30103`, `1 - 3.2e-20`."""
    if chance.impossible:
        return "0 (impossible)"
    if chance.certain:
        return "1 (certain)"
    if chance.value < _TINY:
        return _power_of_ten(chance.log10, digits)
    text = f"{chance.value:.{digits}g}"
    return _distance_from_one(chance, digits) if float(text) == 1 else text


def percentage(chance: Chance, digits: int = 6) -> str:
    """Write a probability as a percentage: `43.0149 %`; `1 - 3.2e-20` next to certainty."""
    if chance.impossible:
        return "impossible"
    if chance.certain:
        return "certain"
    if chance.value < _TINY:
        return _power_of_ten(chance.log10, digits)
    value = 100 * chance.value
    text = f"{value:.{digits}g}" if value < _SMALL else _plain(value, digits)
    return _distance_from_one(chance, digits) if float(text) >= 100 else f"{text} %"  # noqa: PLR2004 - percent


def odds(chance: Chance, digits: int = 6) -> str:
    """Write a probability as `1 in 5000`, or `1 in 10^30103` beyond doubles."""
    if chance.impossible:
        return "never"
    if chance.certain:
        return "always"
    if chance.one_in is None:
        return f"1 in 10^{-chance.log10:.{digits}g}"
    text = number(chance.one_in, digits)
    if text == "1":
        return f"all but {odds(chance.opposite, digits)}"
    return f"1 in {text}"


def drops_text(count: int | DropSpec) -> str:
    """Write a number of drops, or which numbers count: `1 drop`, `at least 4 drops`."""
    alone = count == 1 if isinstance(count, int) else count.low == 1 and count.high in {1, None}
    return f"{count} drop{'' if alone else 's'}"


def tries_text(count: int) -> str:
    """Write a number of tries: `1 try`, `40 tries`."""
    return "1 try" if count == 1 else f"{count} tries"


def proof(
    level: Fraction, chance: Chance, one_fewer: Chance, digits: int | None
) -> tuple[str, str]:
    """Write the chances at and just below a minimum with digits enough to see the difference.

    Args:
        level: The confidence that one reaches and the other does not.
        chance: The chance that reaches it; they are the same in a tie.
        one_fewer: The chance with one try fewer.
        digits: Significant digits, where the user said; else as many as it takes.
    """
    from labkit.drops import Chance

    asked = Chance.from_fraction(level)
    for count in range(_PROOF_DIGITS, _MAX_DIGITS + 1) if digits is None else ():
        reached, missed = percentage(chance, count), percentage(one_fewer, count)
        target = percentage(asked, count)
        if missed != target and (reached != target or chance.value == asked.value):
            return reached, missed
    count = digits or _PROOF_DIGITS
    return percentage(chance, count), percentage(one_fewer, count)


def number(value: float, digits: int = 12) -> str:
    """Write a number with so many significant digits at most, and no needless zeros."""
    if value and not 1 / _LARGE < abs(value) < _LARGE:
        return f"{value:.{digits}g}"
    text = _plain(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact(value: Fraction) -> str:
    """Write an exact fraction, shortened in the middle where it is very long."""
    text = str(value)
    if len(text) <= _SHORT:
        return text
    return f"about {float(value):.12g}" if value.denominator > 1 else f"{float(value):.12g}"


def duration(hours: float) -> str:
    """Write a time with its two largest units: `3 d 4 h`, `12 min 5 s`."""
    if hours >= 1000 * 365 * 24:
        return f"{number(hours / (365 * 24), 4)} y"
    above = ("y", math.inf)
    for (unit, size), (next_unit, next_size) in pairwise(_UNITS):
        if hours >= size:
            count = round(hours / next_size)
            if count * next_size >= above[1]:  # rounded up to one of the unit above
                return f"1 {above[0]}"
            big, small = divmod(count, round(size / next_size))
            return f"{big} {unit} {small} {next_unit}" if small else f"{big} {unit}"
        above = (unit, size)
    return f"{number(hours * 3600, 3)} s"


def money(amount: Fraction) -> str:
    """Write an amount of money, to the cent where it has cents."""
    if amount.denominator == 1:
        return str(amount.numerator)
    return f"{float(round(amount, 2)):.2f}"


def chance_fields(chance: Chance) -> dict[str, float | None]:
    """Return a probability as fields of a JSON document.

    `probability` is null below 1e-300 and `complement` is null where it is below that; `log10`
    and `log10_complement` then hold them. They are null for what is impossible or certain.
    """
    return {
        "probability": _double(chance),
        "log10": None if chance.impossible else chance.log10,
        "complement": _double(chance.opposite),
        "log10_complement": None if chance.certain else chance.opposite.log10,
        "one_in": chance.one_in,
    }


def _double(chance: Chance) -> float | None:
    return None if chance.value < _TINY and not chance.impossible else chance.value


def _plain(value: float, digits: int) -> str:
    """Write a number with so many significant digits, never in scientific notation."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(decimals, 0)}f}"


def _power_of_ten(log10: float, digits: int) -> str:
    exponent = math.floor(log10)
    if -log10 > 10**digits:
        return f"10^{log10:.{digits}g}"
    mantissa = 10 ** (log10 - exponent)
    # The mantissa has as many digits fewer as the exponent uses up.
    precise = max(min(digits, 15 - len(str(-exponent))), 1)
    text = f"{mantissa:.{precise}g}"
    return f"1e{exponent + 1}" if text == "10" else f"{text}e{exponent}"


def _distance_from_one(chance: Chance, digits: int) -> str:
    return f"1 - {probability(chance.opposite, min(digits, 6))}"
