"""Cutting shell text into words and operators, by the quoting rules of POSIX sh."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ShellLexer", "ShellProblem", "ShellStopError", "Token"]


@dataclass(frozen=True, slots=True)
class ShellProblem:
    """A syntax error; `line` is where the culprit begins, not where the shell gives up."""

    line: int
    message: str


@dataclass(slots=True)
class Token:
    """A word or an operator.

    Attributes:
        kind: `word`, or the operator itself.
        line: Where it begins, from 1.
        start: Its offset in the text.
        end: The offset behind it.
        value: A word after unquoting; computed parts as they are written.
        computed: Whether the shell would compute part of it.
        quoted: Whether part of it is quoted, so that it is no reserved word.
    """

    kind: str
    line: int
    start: int
    end: int
    value: str = ""
    computed: bool = False
    quoted: bool = False


class ShellStopError(Exception):
    """The text cannot be read on; for the reader, which turns it into a result."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.problem = ShellProblem(line, message)


_OPERATOR = re.compile(r"&&|\|\||;;|[0-9]*(?P<redirection><<-|<<|<&|<>|>&|>>|>\||[<>])|[;&|()\n]")
_PLAIN = re.compile(r"""[^\s'"\\$`;&|<>()]+|[^\S \t\n'"\\$`;&|<>()]""")
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|[0-9@*#?$!-])", re.ASCII)
_BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_COMMENT = re.compile(r"#[^\n]*")


class ShellLexer:
    """Cuts the text into words and operators; keeps count of lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line = 1
        self.heredocs: list[tuple[str, bool]] = []

    def next(self) -> Token | None:
        """Give the next token; None at the end of the text."""
        text = self.text
        while True:
            if match := _BLANK.match(text, self.position):
                self.line += match[0].count("\n")
                self.position = match.end()
            elif match := _COMMENT.match(text, self.position):
                self.position = match.end()
            else:
                break
        if self.position >= len(text):
            return None
        if match := _OPERATOR.match(text, self.position):
            kind = match["redirection"] or match[0]
            token = Token(kind, self.line, match.start(), match.end())
            self.position = match.end()
            if match[0] == "\n":
                self.line += 1
                self._skip_heredocs()
            return token
        return self._word()

    def _word(self) -> Token:
        token = Token("word", self.line, self.position, self.position)
        parts: list[str] = []
        text = self.text
        while self.position < len(text):
            if match := _PLAIN.match(text, self.position):
                parts.append(match[0])
                self.position = match.end()
                continue
            character = text[self.position]
            if character == "'":
                parts.append(self._single())
                token.quoted = True
            elif character == '"':
                parts.append(self._double(token))
                token.quoted = True
            elif character == "\\":
                escaped = self._escape()
                parts.append(escaped)
                token.quoted = token.quoted or bool(escaped)
            elif character in "$`":
                parts.append(self._expansion(token))
            else:
                break
        token.end = self.position
        token.value = "".join(parts)
        return token

    def _single(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise ShellStopError(self.line, "a single quote is never closed")
        content = self.text[self.position + 1 : end]
        self.line += content.count("\n")
        self.position = end + 1
        return content

    def _double(self, token: Token) -> str:
        opened = self.line
        self.position += 1
        parts: list[str] = []
        text = self.text
        while self.position < len(text):
            character = text[self.position]
            if character == '"':
                self.position += 1
                return "".join(parts)
            if character == "\\":
                following = text[self.position + 1 : self.position + 2]
                self.position += 1 + len(following)
                self.line += following == "\n"
                if following not in {"\n", ""}:
                    parts.append(following if following in '"\\$`' else "\\" + following)
            elif character in "$`":
                parts.append(self._expansion(token))
            else:
                match = re.compile(r'[^"\\$`]+').match(text, self.position)
                plain = match[0] if match else character
                self.line += plain.count("\n")
                parts.append(plain)
                self.position += len(plain)
        raise ShellStopError(opened, "a double quote is never closed")

    def _escape(self) -> str:
        following = self.text[self.position + 1 : self.position + 2]
        self.position += 1 + len(following)
        if following == "\n":
            self.line += 1
            return ""
        return following or "\\"

    def _expansion(self, token: Token) -> str:
        """Pass over what the shell would compute; a `$` that begins nothing is itself."""
        start = self.position
        text = self.text
        if text[start] == "`":
            self._skip_backticks()
        elif text.startswith("$(", start):
            self.position += 2
            self._skip_nested(")", "`$(` is never closed")
        elif text.startswith("${", start):
            self.position += 2
            self._skip_nested("}", "`${` is never closed")
        elif match := _VARIABLE.match(text, start):
            self.position = match.end()
        else:
            self.position += 1
            return "$"
        token.computed = True
        return text[start : self.position]

    def _skip_backticks(self) -> None:
        opened = self.line
        match = re.compile(r"`(?:[^`\\]|\\.)*`", re.DOTALL).match(self.text, self.position)
        if match is None:
            raise ShellStopError(opened, "a backtick is never closed")
        self.line += match[0].count("\n")
        self.position = match.end()

    def _skip_nested(self, closer: str, message: str) -> None:
        """Pass over a `$(...)` or `${...}` with whatever is quoted and nested inside."""
        opened = self.line
        closers = [closer]
        piece = re.compile(r"'[^']*'|\\.|\$[({]|[(\"')}`\n]", re.DOTALL)
        while closers:
            match = piece.search(self.text, self.position)
            if match is None:
                raise ShellStopError(opened, message)
            found = match[0]
            in_quotes = closers[-1] == '"'
            self.position = match.end()
            if in_quotes and found[0] in "'(":
                # Only the first character is plain text; the rest may hold the closing quote.
                self.position = match.start() + 1
                continue
            self.line += found.count("\n")
            if found == closers[-1]:
                closers.pop()
            elif found in {"$(", "${"}:
                closers.append(")" if found == "$(" else "}")
            elif found == '"':
                closers.append('"')
            elif found == "(" and closers[-1] == ")":
                closers.append(")")
            elif found == "`":
                self.position = match.start()
                self._skip_backticks()
            elif found == "'":
                raise ShellStopError(self.line, "a single quote is never closed")

    def _skip_heredocs(self) -> None:
        for delimiter, tabs in self.heredocs:
            while self.position < len(self.text):
                end = self.text.find("\n", self.position)
                end = len(self.text) if end < 0 else end
                body = self.text[self.position : end]
                self.position = min(end + 1, len(self.text))
                self.line += 1
                if (body.lstrip("\t") if tabs else body) == delimiter:
                    break
        self.heredocs = []
