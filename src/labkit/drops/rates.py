"""What users type, read exactly: rates, confidences, counts and drop specifications.

Everything becomes a `Fraction` or an `int`; no float is made on the way, so that a tie such as
`0.1` tried twice against 19 % stays a tie.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from labkit.drops.errors import LimitError
from labkit.errors import UsageError

__all__ = [
    "MAX_DROPS",
    "MAX_TRIES",
    "MIN_RATE",
    "DropSpec",
    "Exact",
    "parse_confidence",
    "parse_confidences",
    "parse_count",
    "parse_drop_spec",
    "parse_number",
    "parse_rate",
    "parse_tries",
    "percent",
    "what_cannot_come",
]

Exact = Fraction | Decimal | int | float | str
"""What the library takes for a rate or confidence: a float means its shortest decimal form."""

MAX_TRIES = 10**120
"""The largest number of tries that is computed with."""

MAX_DROPS = 10**9
"""The largest number of drops that is computed with: time grows with its square root."""

MIN_RATE = Fraction(1, 10**100)
"""The smallest rate above zero, and distance below one, that is computed with."""

_MAX_LENGTH = 400
_MAX_SHOWN = 60
_MAX_EXPONENT = 400
_MAX_PERCENT_DECIMALS = 20
_NUMBER = r"(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_PLAIN = re.compile(rf"[+-]?{_NUMBER}")
_PERCENT = re.compile(rf"([+-]?{_NUMBER})\s*%")
_RATIO = re.compile(rf"([+-]?{_NUMBER})\s*(?:/|\s*in\s*)\s*([+-]?{_NUMBER})", re.IGNORECASE)
_TWO_WHOLE = re.compile(r"(\d{1,3}),(\d{1,9})(%?)")
_DASHED = re.compile(r"(\d{1,12})\s*-\s*(\d{1,12})")
_SPEC = re.compile(r"(\d[\d_]*)(?:\.\.(\d[\d_]*)|([+-]))?")

_RATE_HINT = "write a rate as 1/5000, 0.02%, 2e-4, 1in5000 or 0.1"
_CONFIDENCE_HINT = "write a confidence as 95%, 95, 0.95 or 19/20"


@dataclass(frozen=True, slots=True)
class DropSpec:
    """How many drops count as the event: from `low` to `high`, both included.

    Attributes:
        low: The fewest drops that count.
        high: The most drops that count; None for "or more".
    """

    low: int
    high: int | None

    @property
    def spec(self) -> str:
        """The same as a user types it: `4`, `4+`, `4-` or `2..5`."""
        if self.high is None:
            return f"{self.low}+"
        if self.low == self.high:
            return str(self.low)
        return f"{self.high}-" if self.low == 0 else f"{self.low}..{self.high}"

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {self.low}"
        if self.low == self.high:
            return f"exactly {self.low}"
        if self.low == 0:
            return f"at most {self.high}"
        return f"{self.low} to {self.high}"


def parse_number(text: str) -> Fraction | None:
    """Read a plain or scientific decimal number exactly; None where `text` is not one.

    Raises:
        LimitError: It has more digits, or a larger exponent, than is computed with.
    """
    text = text.strip()
    if len(text) > _MAX_LENGTH:
        raise LimitError(
            f"a number of {len(text)} characters is too long", hint=f"at most {_MAX_LENGTH}"
        )
    if not _PLAIN.fullmatch(text):
        return None
    exponent = re.split("[eE]", text)[1:]
    if exponent and (len(exponent[0]) > 5 or abs(int(exponent[0])) > _MAX_EXPONENT):  # noqa: PLR2004 - long before int() could be slow
        raise LimitError(
            f"`{text}` is beyond what is computed with",
            hint=f"exponents go from -{_MAX_EXPONENT} to {_MAX_EXPONENT}",
        )
    return Fraction(text)


def _ratio(text: str) -> Fraction | None:
    """Read `a/b` or `a in b` exactly; None where `text` is neither.

    Raises:
        ZeroDivisionError: b is 0.
        LimitError: A part is beyond what is computed with.
    """
    match = _RATIO.fullmatch(text.strip())
    if not match:
        return None
    numerator, denominator = (parse_number(part) for part in match.groups())
    if numerator is None or denominator is None:  # pragma: no cover - the pattern excludes it
        return None
    return numerator / denominator


def _value(value: Exact, name: str, hint: str, code: str) -> tuple[Fraction, bool]:
    """Read a value exactly, and tell whether it was a bare number (no `%`, no `/`)."""
    if isinstance(value, Fraction):
        return value, False
    text = value.strip() if isinstance(value, str) else str(value)
    if (number := parse_number(text)) is not None:
        return number, True
    if match := _PERCENT.fullmatch(text):
        number = parse_number(match[1])
        if number is not None:
            return number / 100, False
    try:
        number = _ratio(text)
    except ZeroDivisionError:
        raise UsageError(f"{name} `{text}` divides by zero", hint=hint, code=code) from None
    if number is None:
        raise UsageError(f"`{text[:60]}` is not a {name}", hint=_meant(text) or hint, code=code)
    return number, False


def _meant(text: str) -> str | None:
    """Guess what a near miss meant: `1/5,000`, `1:5000`, `0,02%` or the sign for one half."""
    guess = re.sub(r",(?=\d{3}(?!\d))", "", text) if re.match(r"1\D", text) else text
    guess = guess.replace(",", ".").replace(":", "/")
    if len(text) == 1 and text.isnumeric():
        guess = str(Fraction(unicodedata.numeric(text)).limit_denominator(100))
    readable = len(text) <= _MAX_SHOWN and (
        _PLAIN.fullmatch(guess) or _PERCENT.fullmatch(guess) or _RATIO.fullmatch(guess)
    )
    return f"did you mean {guess}?" if readable else None


def parse_rate(value: Exact, *, zero: bool = False, name: str = "rate") -> Fraction:
    """Read a rate, the chance of a drop per try, exactly.

    Args:
        value: `1/5000`, `0.02%`, `2e-4`, `1in5000`, `0.1`, or a number.
        zero: Whether 0 is accepted.
        name: What messages call it. A whole number is then taken for a forgotten percent sign,
            and for a forgotten `1/` where it is the rate of a drop.

    Raises:
        UsageError: It is not a rate, or not between 0 and 1.
        LimitError: It is closer to 0 or 1 than `MIN_RATE` without being it.
    """
    rate, bare = _value(value, name, _RATE_HINT, "bad-rate")
    of_drops = name == "rate"
    if rate > 1:
        hint = f"a {name} is at most 1 (100%)"
        if bare and rate.denominator == 1 and of_drops:
            hint = f"did you mean 1/{rate.numerator}?"
        elif bare and rate <= 100:  # noqa: PLR2004 - percent
            hint = f"did you mean {value}%?"
        raise UsageError(f"a {name} of {value} is above 1", hint=hint, code="bad-rate")
    if rate < 0:
        raise UsageError(f"a {name} of {value} is negative", hint=_RATE_HINT, code="bad-rate")
    if rate == 0 and not zero:
        problem = f"a {name} of 0 is not above 0"
        if of_drops:
            problem = "at a rate of 0 there is never a drop"
        raise UsageError(problem, hint=f"give a {name} above 0, such as 5%", code="bad-rate")
    if 0 < rate < MIN_RATE or 0 < 1 - rate < MIN_RATE:
        raise LimitError(
            f"a {name} of {value} is too close to {round(rate)}",
            hint="rates from 1e-100 to 1 - 1e-100 are computed with",
        )
    return rate


def parse_confidence(value: Exact) -> Fraction:
    """Read a confidence exactly, as a probability above 0 and up to 1.

    A bare number above 1 is a percentage (`95`), below 1 a probability (`0.95`). A bare 1 could
    be either and is refused. Certainty is written `100%`; whether it can be reached is for the
    question to decide. A `Fraction` is always a probability.

    Raises:
        UsageError: It is not a confidence, or it is 0, a bare 1, or above 100 %.
    """
    confidence, bare = _value(value, "confidence", _CONFIDENCE_HINT, "bad-confidence")
    if bare and confidence == 1:
        raise UsageError(
            "a confidence of 1 can be read in two ways",
            hint="write 1% for one percent, or 100% for certainty",
            code="bad-confidence",
        )
    if bare and confidence > 1:
        confidence /= 100
    if confidence > 1:
        raise UsageError(
            f"a confidence of {value} is above 100 %", hint=_CONFIDENCE_HINT, code="bad-confidence"
        )
    if confidence <= 0:
        raise UsageError(
            f"a confidence of {value} asks for nothing",
            hint="it must be above 0 %",
            code="bad-confidence",
        )
    return confidence


def parse_confidences(texts: list[str] | tuple[str, ...]) -> list[Fraction]:
    """Read confidences given repeatedly or separated by commas, in the order given, each once.

    Raises:
        UsageError: One of them is not a confidence.
    """
    for text in texts:
        _check_no_decimal_comma(text)
    parts = [part for text in texts for part in text.split(",")]
    return list(dict.fromkeys(parse_confidence(part) for part in parts))


def _check_no_decimal_comma(text: str) -> None:
    """Refuse `95,5` and `0,95`: a list is written in rising order, so it may be one number."""
    match = _TWO_WHOLE.fullmatch(text.strip())
    if match and (int(match[1]) == 0 or int(match[2]) <= int(match[1])):
        first, second, sign = match.groups()
        one = f"{first}.{second}{sign}"
        two = f", or -c {first}% -c {second}% for two" if int(first) else ""
        raise UsageError(
            f"`{text}` is no list of confidences in rising order",
            hint=f"write {one} for one confidence{two}",
            code="bad-confidence",
        )


def parse_count(value: str | int, name: str, *, minimum: int = 0, maximum: int = MAX_TRIES) -> int:
    """Read a whole number exactly: `1000`, `1_000` or `1e3`.

    Args:
        value: What was typed.
        name: What it counts, in the plural, for the message: `tries`.
        minimum: The least value that makes sense.
        maximum: The largest value that is computed with.

    Raises:
        UsageError: It is not a whole number, or below `minimum`.
        LimitError: It is above `maximum`.
    """
    number = Fraction(value) if isinstance(value, int) else parse_number(str(value))
    code = f"bad-{name.replace(' ', '-')}"
    if number is None or number.denominator != 1:
        raise UsageError(
            f"{name}: `{str(value)[:60]}` is not a whole number",
            hint=f"give a whole number, at least {minimum}",
            code=code,
        )
    if number < minimum:
        raise UsageError(
            f"{name}: {value} is below {minimum}",
            hint=f"give a whole number, at least {minimum}",
            code=code,
        )
    if number > maximum:
        raise LimitError(f"{name}: {value} is too large", hint=f"at most {_round(maximum)}")
    return int(number)


def parse_tries(value: str | int, *, minimum: int = 0) -> int:
    """Read a number of tries: any whole number up to `MAX_TRIES`.

    Raises:
        UsageError: It is negative, fractional or no number.
        LimitError: It is above `MAX_TRIES`.
    """
    return parse_count(value, "tries", minimum=minimum)


def parse_drop_spec(text: str) -> DropSpec:
    """Read how many drops count: `4` exactly, `4+` at least, `4-` at most, `2..5` both included.

    Raises:
        UsageError: It is none of these, or the range is empty.
        LimitError: A number is above `MAX_DROPS`.
    """
    hint = "write 4 (exactly), 4+ (at least), 4- (at most) or 2..5"
    match = _SPEC.fullmatch(text.strip())
    if not match:
        if dash := _DASHED.fullmatch(text.strip()):
            hint = f"did you mean {dash[1]}..{dash[2]}?"
        raise UsageError(f"`{text[:60]}` is not a number of drops", hint=hint, code="bad-drops")
    number = parse_count(match[1], "drops", maximum=MAX_DROPS)
    if match[2] is not None:
        high = parse_count(match[2], "drops", maximum=MAX_DROPS)
        if high < number:
            raise UsageError(f"the range {text} is empty", hint=hint, code="bad-drops")
        return DropSpec(number, high)
    if match[3] == "+":
        return DropSpec(number, None)
    return DropSpec(0 if match[3] == "-" else number, number)


def percent(probability: Fraction) -> str:
    """Write a confidence: as an exact percentage where that is short, `95%`, else `19/23`.

    Where both are long it is rounded, from 0 or from 1, whichever is nearer: `1 - 1e-99`.
    """
    value = 100 * probability
    for decimals in range(_MAX_PERCENT_DECIMALS + 1):
        scaled = value * 10**decimals
        if scaled.denominator == 1:
            whole, rest = divmod(int(scaled), 10**decimals)
            return f"{whole}.{rest:0{decimals}}%" if decimals else f"{whole}%"
    if len(str(probability)) <= _MAX_PERCENT_DECIMALS:
        return str(probability)
    if 2 * probability > 1:
        return f"1 - {float(1 - probability):.6g}"
    return f"{float(probability):.6g}"


def what_cannot_come(drops: int, tries: int) -> str:
    """Say that there are more drops than tries: `2 drops cannot come from 1 try`."""
    a = "drop" if drops == 1 else "drops"
    b = "try" if tries == 1 else "tries"
    return f"{drops} {a} cannot come from {tries} {b}"


def _round(number: int) -> str:
    """Write a power of ten briefly."""
    digits = len(str(number)) - 1
    return f"1e{digits}" if number == 10**digits and digits > 6 else str(number)  # noqa: PLR2004 - readable in full up to a million
