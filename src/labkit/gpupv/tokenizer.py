"""Where strings and comments of a PowerShell script begin and end.

This is the second opinion on generated scripts: the tree-sitter grammar does not know that
PowerShell takes U+2018 to U+201B for a single quote and U+201C to U+201E for a double one
(`CharTraits.cs` of PowerShell), so it misses a value that ends its own string. The tokenizer
knows no more grammar than it needs for that, and for brackets that match.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labkit.gpupv.literals import Data

__all__ = ["Kind", "ScriptError", "Token", "brackets_match", "read_data", "tokenize"]

SINGLE_QUOTES = "'\u2018\u2019\u201a\u201b"
DOUBLE_QUOTES = '"\u201c\u201d\u201e'
_OPENING = {"{": "}", "(": ")", "[": "]"}


@unique
class Kind(Enum):
    """What a piece of a script is."""

    COMMENT = "comment"
    SINGLE = "single-quoted string"
    DOUBLE = "double-quoted string"
    HERE = "here-string"
    WORD = "word"
    SIGN = "sign"
    NEWLINE = "newline"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a script.

    Attributes:
        kind: What it is.
        text: Its text as it stands, with quotes.
        line: The line where it begins, counted from 1.
    """

    kind: Kind
    text: str
    line: int


class ScriptError(ValueError):
    """A script that does not tokenise, or data that is no plain literal.

    Attributes:
        line: Where, counted from 1.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


_SPACE = re.compile(r"(?:[^\S\r\n]|`\r?\n)+")
_NEWLINE = re.compile(r"\r\n|\r|\n")
_LINE_COMMENT = re.compile(r"#[^\r\n]*")
_VARIABLE = re.compile(r"[$@](?:\{[^}]*\}|[\w?^$][\w:?]*)")
_WORD = re.compile(rf"(?:`[^\r\n]|[^\s`;,|&(){{}}\[\]=+*/!<>$@#{SINGLE_QUOTES}{DOUBLE_QUOTES}])+")
_HERE = re.compile(rf"@([{SINGLE_QUOTES}]|[{DOUBLE_QUOTES}])[^\S\r\n]*(?:\r\n|\r|\n)")
_HERE_SINGLE_END = re.compile(rf"(?:^|[\r\n])[{SINGLE_QUOTES}]@")
_HERE_DOUBLE_END = re.compile(rf"(?:^|[\r\n])[{DOUBLE_QUOTES}]@")


def tokenize(script: str) -> Iterator[Token]:
    """Split `script` into tokens; blanks between them are left out.

    Raises:
        ScriptError: A string or block comment that does not end.
    """
    at, line = 0, 1
    while at < len(script):
        if blank := _SPACE.match(script, at):
            line += blank.group().count("\n")
            at = blank.end()
            continue
        kind, end = _token_at(script, at, line)
        text = script[at:end]
        yield Token(kind, text, line)
        line += len(_NEWLINE.findall(text))
        at = end


def brackets_match(script: str) -> None:
    """Tokenise `script` and see that its brackets pair up.

    Raises:
        ScriptError: It does not tokenise, or a bracket has no partner.
    """
    open_brackets: list[Token] = []
    for token in tokenize(script):
        if token.kind is not Kind.SIGN:
            continue
        if token.text[-1] in _OPENING:
            open_brackets.append(token)
        elif token.text in _OPENING.values():
            if not open_brackets or _OPENING[open_brackets[-1].text[-1]] != token.text:
                raise ScriptError(token.line, f"`{token.text}` closes nothing")
            open_brackets.pop()
    if open_brackets:
        raise ScriptError(open_brackets[-1].line, f"`{open_brackets[-1].text}` is never closed")


def _token_at(script: str, at: int, line: int) -> tuple[Kind, int]:
    if newline := _NEWLINE.match(script, at):
        return Kind.NEWLINE, newline.end()
    if comment_end := _comment_end(script, at, line):
        return Kind.COMMENT, comment_end
    if string := _string_at(script, at, line):
        return string
    if script.startswith(("$(", "@(", "@{"), at):
        return Kind.SIGN, at + 2
    if variable := _VARIABLE.match(script, at):
        return Kind.WORD, variable.end()
    word = _WORD.match(script, at)
    return (Kind.WORD, _word_end(script, word.end())) if word else (Kind.SIGN, at + 1)


def _comment_end(script: str, at: int, line: int) -> int | None:
    if script[at] == "#":
        return _end_of(_LINE_COMMENT, script, at)
    if script.startswith("<#", at):
        return _find(script, "#>", at + 2, line, "a block comment")
    return None


def _string_at(script: str, at: int, line: int) -> tuple[Kind, int] | None:
    if _HERE.match(script, at):
        return Kind.HERE, _here_end(script, at, line)
    if script[at] in SINGLE_QUOTES:
        return Kind.SINGLE, _single_end(script, at, line)
    if script[at] in DOUBLE_QUOTES:
        return Kind.DOUBLE, _double_end(script, at, line)
    return None


def _word_end(script: str, at: int) -> int:
    """A `#` inside a word is part of it: `a#b` holds no comment."""
    while at < len(script) and script[at] == "#":
        word = _WORD.match(script, at + 1)
        at = word.end() if word else at + 1
    return at


def _end_of(pattern: re.Pattern[str], script: str, at: int) -> int:
    found = pattern.match(script, at)
    return found.end() if found else at


def _find(script: str, end: str, at: int, line: int, what: str) -> int:
    found = script.find(end, at)
    if found < 0:
        raise ScriptError(line, f"{what} does not end")
    return found + len(end)


def _single_end(script: str, at: int, line: int) -> int:
    at += 1
    while at < len(script):
        if script[at] in SINGLE_QUOTES:
            if script[at + 1 : at + 2] not in tuple(SINGLE_QUOTES):
                return at + 1
            at += 1
        at += 1
    raise ScriptError(line, "a single-quoted string does not end")


def _double_end(script: str, at: int, line: int) -> int:
    at += 1
    while at < len(script):
        if script[at] == "`":
            at += 2
        elif script.startswith("$(", at):
            at = _subexpression_end(script, at + 2, line)
        elif script[at] in DOUBLE_QUOTES:
            if script[at + 1 : at + 2] not in tuple(DOUBLE_QUOTES):
                return at + 1
            at += 2
        else:
            at += 1
    raise ScriptError(line, "a double-quoted string does not end")


def _subexpression_end(script: str, at: int, line: int) -> int:
    depth = 1
    while at < len(script):
        if blank := _SPACE.match(script, at):
            at = blank.end()
            continue
        kind, end = _token_at(script, at, line)
        if kind is Kind.SIGN:
            depth += script[at:end].endswith("(") - (script[at:end] == ")")
            if not depth:
                return end
        at = end
    raise ScriptError(line, "`$(` inside a string is never closed")


def _here_end(script: str, at: int, line: int) -> int:
    ends = _HERE_SINGLE_END if script[at + 1] in SINGLE_QUOTES else _HERE_DOUBLE_END
    # The footer may stand on the line right after the header: look from its line break on.
    found = ends.search(script, _end_of(_HERE, script, at) - 1)
    if not found:
        raise ScriptError(line, "a here-string does not end")
    return found.end()


# -- data: the literals of `labkit.gpupv.literals`, read back


def read_data(script: str, variable: str) -> Data:
    """Read back the literal that `script` assigns to `$variable`, as PowerShell evaluates it.

    Raises:
        ScriptError: There is no such assignment, or it holds anything but plain literals.
    """
    tokens = [token for token in tokenize(script) if token.kind is not Kind.COMMENT]
    for at, token in enumerate(tokens[:-1]):
        if token.text == f"${variable}" and tokens[at + 1].text == "=":
            return _DataReader(tokens, at + 2).value()
    raise ScriptError(1, f"`${variable}` is not assigned")


_CONSTANTS: dict[str, Data] = {"$null": None, "$true": True, "$false": False}
_CODE_UNIT = re.compile(r"0x[0-9A-Fa-f]{4}")


class _DataReader:
    def __init__(self, tokens: list[Token], at: int) -> None:
        self._tokens = tokens
        self._at = at

    def value(self) -> Data:
        token = self._next()
        if token.kind is Kind.SINGLE:
            return _unquoted(token.text)
        if token.text in _CONSTANTS:
            return _CONSTANTS[token.text]
        if token.text.isascii() and token.text.isdigit():
            return int(token.text)
        compound: dict[str, Callable[[], Data]] = {
            "[": self._cast,
            "(": self._sum,
            "@(": self._array,
            "@{": self._table,
        }
        if token.text in compound:
            return compound[token.text]()
        raise ScriptError(token.line, f"`{token.text}` is no plain literal")

    def _next(self) -> Token:
        if self._at >= len(self._tokens):
            raise ScriptError(self._tokens[-1].line, "the data does not end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, text: str) -> None:
        token = self._next()
        if token.text != text:
            raise ScriptError(token.line, f"`{token.text}` where `{text}` belongs")

    def _skip_newlines(self) -> None:
        while self._at < len(self._tokens) and self._tokens[self._at].kind is Kind.NEWLINE:
            self._at += 1

    def _takes(self, text: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at].text == text
        self._at += found
        return found

    def _cast(self) -> Data:
        kind = self._next()
        self._expect("]")
        number = self._next().text
        if kind.text == "char" and _CODE_UNIT.fullmatch(number):
            return chr(int(number, 16))
        if kind.text == "uint64" and number.isascii() and number.isdigit():
            return int(number)
        raise ScriptError(kind.line, f"`[{kind.text}]{number}` is no plain literal")

    def _sum(self) -> str:
        parts = [self.value()]
        while self._takes("+"):
            parts.append(self.value())
        self._expect(")")
        units = b"".join(str(part).encode("utf-16-le", "surrogatepass") for part in parts)
        return units.decode("utf-16-le", "surrogatepass")

    def _array(self) -> list[Data]:
        items: list[Data] = []
        self._skip_newlines()
        while not self._takes(")"):
            items.append(self.value())
            self._takes(",")
            self._skip_newlines()
        return items

    def _table(self) -> dict[str, Data]:
        table: dict[str, Data] = {}
        self._skip_newlines()
        while not self._takes("}"):
            key = self._next()
            if key.kind is not Kind.WORD or key.text in table:
                raise ScriptError(key.line, f"`{key.text}` is no key, or stands twice")
            self._expect("=")
            table[key.text] = self.value()
            self._skip_newlines()
        return table


def _unquoted(text: str) -> str:
    """Undo the doubling; of a pair of quotes PowerShell keeps the first."""
    return re.sub(f"([{SINGLE_QUOTES}])[{SINGLE_QUOTES}]", r"\1", text[1:-1])
