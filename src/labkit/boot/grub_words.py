"""What GRUB makes of a word: quotes, escapes and variables; and of a number and a `[ ... ]` test.

Three-valued where it has to be: what only the starting machine knows (its platform, whether a file
exists) is neither true nor false here, but undecided (`None`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from labkit.boot.grub_script import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Number", "Word", "evaluate_test", "expand_words", "read_number"]


_SPECIAL = re.compile(r"""[$'"\\]""")
_PIECE = re.compile(
    rf"""'(?P<single>[^']*+)'|\$?"(?P<double>(?:[^\\"]++|\\.)*+)"|\\(?P<escape>.)"""
    rf"""|(?P<variable>{VARIABLE})|(?P<plain>[^$'"\\]++)""",
    re.ASCII | re.DOTALL,
)
_DOUBLE_PIECE = re.compile(
    rf"""\\(?P<escape>["$\\\n])|(?P<variable>{VARIABLE})|(?P<plain>\\|[^\\$]++|\$)""",
    re.ASCII | re.DOTALL,
)
# What grub_isspace knows.
SPACES = " \t\n\v\f\r"


@dataclass(frozen=True, slots=True)
class Word:
    """An expanded word; not `known` where it holds a variable that only the machine knows."""

    text: str
    known: bool = True


class _Fields:
    """The words that one written word becomes: a bare variable may make none or several."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.text: list[str] = []
        self.known = True
        self.exists = False

    def append(self, text: str, *, quoted: bool = True) -> None:
        self.text.append(text)
        self.exists = self.exists or quoted or bool(text)

    def unknown(self, variable: str) -> None:
        self.append(variable)
        self.known = False

    def close(self) -> None:
        if self.exists:
            self.words.append(Word("".join(self.text), self.known))
        self.text = []
        self.known = True
        self.exists = False

    def split(self, value: str) -> None:
        """Append a bare variable's value: white space in it ends the word."""
        parts = re.split(f"[{SPACES}]+", value)
        for number, part in enumerate(parts):
            if number:
                self.close()
            self.append(part, quoted=False)


def expand_words(
    written: Sequence[str], lookup: Callable[[str], Sequence[str] | None]
) -> list[Word]:
    """Expand words as they are written.

    Args:
        written: The words of a command, quotes and all.
        lookup: Gives a variable's values (several only for `$@` and `$*`); None where unknown.
    """
    words: list[Word] = []
    for word in written:
        if _SPECIAL.search(word):
            words.extend(_expand(word, lookup))
        else:
            words.append(Word(word))
    return words


def _expand(word: str, lookup: Callable[[str], Sequence[str] | None]) -> list[Word]:
    fields = _Fields()
    for piece in _PIECE.finditer(word):
        if (single := piece["single"]) is not None:
            fields.append(single)
        elif (double := piece["double"]) is not None:
            fields.append("")
            for inner in _DOUBLE_PIECE.finditer(double):
                _append_piece(fields, inner, lookup, quoted=True)
        else:
            _append_piece(fields, piece, lookup, quoted=False)
    fields.close()
    return fields.words


def _append_piece(
    fields: _Fields,
    piece: re.Match[str],
    lookup: Callable[[str], Sequence[str] | None],
    *,
    quoted: bool,
) -> None:
    if (plain := piece["plain"]) is not None:
        fields.append(plain)
    elif (escape := piece["escape"]) is not None:
        # Backslash and line end vanish together.
        fields.append("" if escape == "\n" else escape, quoted=escape != "\n")
    else:
        name = piece["variable"].strip("${}")
        values = lookup(name)
        if values is None:
            fields.unknown(piece["variable"])
            return
        for number, value in enumerate(values):
            if number:
                fields.close()
            if quoted:
                fields.append(value)
            else:
                fields.split(value)


@dataclass(frozen=True, slots=True)
class Number:
    """A number read from the beginning of a text.

    Attributes:
        value: What GRUB makes of it: cut to a signed 32-bit integer.
        base: 8, 10 or 16.
        rest: What follows the last digit; GRUB ignores it.
    """

    value: int
    base: int
    rest: str


_OVERFLOW = 1 << 64


def read_number(text: str) -> Number | None:
    """Read an unsigned number as GRUB's `strtoul(text, end, 0)` does.

    White space before it is skipped, `0x` means hexadecimal, a 0 before another octal digit means
    octal, reading stops at the first other character. None where there is no digit at all.

    Raises:
        OverflowError: The number does not fit into 64 bits; GRUB takes that as no match.
    """
    digits = text.lstrip(SPACES)
    base = 10
    if digits.startswith("0x"):
        digits, base = digits[2:], 16
    elif re.match(r"0[0-7]", digits):
        base = 8
    pattern = {8: r"[0-7]+", 10: r"[0-9]+", 16: r"[0-9a-fA-F]+"}[base]
    match = re.match(pattern, digits)
    if match is None:
        return None
    significant = match[0].lstrip("0") or "0"
    # 22 octal digits hold 64 bits; Python would refuse to convert very long decimals.
    value = int(significant, base) if len(significant) <= len("7" * 22) else _OVERFLOW
    if value >= _OVERFLOW:
        raise OverflowError(text)
    cut = value & 0xFFFFFFFF
    return Number(cut - (1 << 32) if cut >= 1 << 31 else cut, base, digits[match.end() :])


def _signed(text: str) -> int:
    """Read a number for `-eq` and its kin; GRUB takes what is no number as 0."""
    stripped = text.lstrip(SPACES)
    sign = -1 if stripped.startswith("-") else 1
    try:
        number = read_number(stripped.removeprefix("-"))
    except OverflowError:
        return sign * (_OVERFLOW // 2)
    return sign * number.value if number else 0


_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "=": lambda left, right: left == right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "-eq": lambda left, right: _signed(left) == _signed(right),
    "-ne": lambda left, right: _signed(left) != _signed(right),
    "-lt": lambda left, right: _signed(left) < _signed(right),
    "-le": lambda left, right: _signed(left) <= _signed(right),
    "-gt": lambda left, right: _signed(left) > _signed(right),
    "-ge": lambda left, right: _signed(left) >= _signed(right),
}
_UNDECIDED_PAIRS = frozenset({"-pgt", "-plt", "-nt", "-ot"})
_FILE_TESTS = frozenset({"-d", "-e", "-f", "-s"})


Verdict: TypeAlias = bool | None
"""True, false, or undecided."""


@dataclass(slots=True)
class _Terms:
    """`-a` binds before `-o`; `!` concerns the next term only."""

    conjunction: bool | None = True
    disjunction: bool | None = False
    invert: bool = False

    def term(self, value: Verdict) -> None:
        if self.invert and value is not None:
            value = not value
        self.invert = False
        self.conjunction = _both(self.conjunction, value)

    def alternative(self) -> None:
        self.disjunction = _either(self.disjunction, self.conjunction)
        self.conjunction = True

    def result(self) -> bool | None:
        return _either(self.disjunction, self.conjunction)


def _both(left: Verdict, right: Verdict) -> Verdict:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _either(left: Verdict, right: Verdict) -> Verdict:
    if left or right:
        return True
    return None if left is None or right is None else False


def evaluate_test(words: Sequence[Word]) -> bool | None:
    """Evaluate the arguments of `[` (without the `]`) or `test`, by the rules of GRUB's `test.c`.

    No arguments are true, a `-a` between terms is optional. File tests are undecided.
    """
    stack = [_Terms()]
    position = 0
    count = len(words)
    while position < count:
        used, value = _comparison(words, position)
        if used:
            stack[-1].term(value)
            position += used
            continue
        text = words[position].text
        position += 1
        if text == ")":
            if len(stack) == 1:
                break
            inner = stack.pop().result()
            stack[-1].term(inner)
        elif text == "(":
            stack.append(_Terms())
        elif text == "!":
            stack[-1].invert = not stack[-1].invert
        elif text == "-o":
            stack[-1].alternative()
        elif text != "-a":
            stack[-1].term(bool(text) if words[position - 1].known else None)
    while len(stack) > 1:
        inner = stack.pop().result()
        stack[-1].term(inner)
    return stack[-1].result()


def _comparison(words: Sequence[Word], position: int) -> tuple[int, bool | None]:
    """Evaluate a test of three or two words; (0, None) where none begins here."""
    if position + 2 < len(words):
        left, operator, right = words[position : position + 3]
        if operator.text in _UNDECIDED_PAIRS:
            return 3, None
        if compare := _COMPARE.get(operator.text):
            known = left.known and right.known
            return 3, compare(left.text, right.text) if known else None
    if position + 1 < len(words):
        operator, operand = words[position : position + 2]
        if operator.text in _FILE_TESTS:
            return 2, None
        if operator.text in {"-n", "-z"}:
            filled = bool(operand.text) if operand.known else None
            return 2, filled if operator.text == "-n" or filled is None else not filled
    return 0, None
