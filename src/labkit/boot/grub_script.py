"""The language of grub.cfg: words, commands, conditions, loops and blocks.

Only syntax: nothing is looked up or run here. The grammar is GRUB's own (`script/parser.y` and
`script/yylex.l` of 2.06), so that what this module accepts `grub-script-check` accepts too, with
one exception: a file without a single command is no error here.

The parser keeps its own stack; nesting is limited by memory alone. After a syntax error it stops,
says where the open quote, brace or condition began, and hands over what it has read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "Command",
    "For",
    "Function",
    "If",
    "Loop",
    "Script",
    "Statement",
    "SyntaxProblem",
    "commands_in",
    "parse_script",
]

VARIABLE = r"\$(?:[A-Za-z_]\w*+|\d++|[?#*@]|\{(?:[A-Za-z_]\w*+|\d++|[?#*@])\})"
"""A variable as GRUB's lexer knows it; any other `$` is a syntax error."""

_WORD = re.compile(
    rf"""(?:[^{{}}|&$;<>\ \t\n'"\\]++|'[^']*+'"""
    rf"""|\$?"(?:[^\\"$]++|\\.|{VARIABLE})*+"|\\.|{VARIABLE})++""",
    re.ASCII | re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_]\w*+\Z", re.ASCII)
_BLANK = re.compile(r"[ \t]++")
_COMMENT = re.compile(r"#[^\n]*+")
# Most lines of a real file are one command, perhaps with the brace of its block: one match for the
# line instead of several for each word.
_COMMAND_LINE = re.compile(
    rf"""[ \t]*+([A-Za-z_][\w.]*+(?:[ \t]++(?!\#)(?:[^{{}}|&$;<>\s'"\\]++|'[^'\n]*+'"""
    rf"""|"(?:[^\\"$\n]++|{VARIABLE})*+"|{VARIABLE})++)*+)[ \t]*+(\{{[ \t]*+)?\n""",
    re.ASCII,
)
_EMPTY_LINES = re.compile(r"(?:[ \t]*+(?:#[^\n]*+)?\n)++")
_QUOTED = re.compile(r"""['"]""")
_CLOSERS = frozenset({"then", "elif", "else", "fi", "do", "done"})
_OPENERS = frozenset({"if", "while", "until", "for", "function"})
_RESERVED = _CLOSERS | _OPENERS | {"in", "case", "esac", "select", "[[", "]]"}
# These are refused even as arguments.
_REFUSED_WORDS = frozenset({"[[", "]]"})


@dataclass(slots=True)
class Command:
    """A command with its words as they are written, quotes and all.

    Attributes:
        line: Where it begins, from 1.
        words: Name and arguments.
        block: The `{ ... }` behind them; None where there is none.
    """

    line: int
    words: list[str]
    block: list[Statement] | None = None


@dataclass(slots=True)
class If:
    """`if ... elif ... else ... fi`: (condition, body) pairs, and the body of `else`."""

    line: int
    branches: list[tuple[list[Statement], list[Statement]]] = field(default_factory=list)
    otherwise: list[Statement] = field(default_factory=list)


@dataclass(slots=True)
class For:
    """`for variable in words`."""

    line: int
    variable: str = ""
    words: list[str] = field(default_factory=list)
    body: list[Statement] = field(default_factory=list)


@dataclass(slots=True)
class Loop:
    """`while` or, with `until`, the opposite."""

    line: int
    until: bool
    condition: list[Statement] = field(default_factory=list)
    body: list[Statement] = field(default_factory=list)


@dataclass(slots=True)
class Function:
    """A definition; it does nothing until its name is called."""

    line: int
    name: str = ""
    body: list[Statement] = field(default_factory=list)


Statement = Command | If | For | Loop | Function


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """Why GRUB cannot read the file.

    Attributes:
        line: The line that has to be looked at: where the open quote, brace or condition began.
        message: What is wrong with it.
    """

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Script:
    """A parsed file; `problem` is the first syntax error, behind which nothing was read."""

    statements: list[Statement]
    problem: SyntaxProblem | None


class _SyntaxStopError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.problem = SyntaxProblem(line, message)


@dataclass(slots=True)
class _Frame:
    """An open construct: the list that its statements go to, and what may close it."""

    opener: str
    line: int
    closers: frozenset[str]
    statements: list[Statement]
    node: Statement | None = None


_CONDITION = frozenset({"then"})
_THEN = frozenset({"elif", "else", "fi"})
_ELSE = frozenset({"fi"})
_LOOP_CONDITION = frozenset({"do"})
_BODY = frozenset({"done"})
_BLOCK = frozenset({"}"})


def parse_script(text: str) -> Script:
    """Parse a grub.cfg. Carriage returns are dropped, as GRUB drops them when it reads lines."""
    return _Parser(text.replace("\r", "")).parse()


def commands_in(statements: Sequence[Statement]) -> Iterator[Command]:
    """Yield every command, of all branches, bodies and blocks, in file order."""
    stack: list[Iterator[Statement]] = [iter(statements)]
    while stack:
        for statement in stack[-1]:
            if isinstance(statement, Command):
                yield statement
                if statement.block:
                    stack.append(iter(statement.block))
                    break
            else:
                stack.extend(iter(part) for part in reversed(_parts(statement)))
                break
        else:
            stack.pop()


def _parts(statement: If | For | Loop | Function) -> list[list[Statement]]:
    if isinstance(statement, If):
        pairs = [part for branch in statement.branches for part in branch]
        return [*pairs, statement.otherwise]
    if isinstance(statement, Loop):
        return [statement.condition, statement.body]
    return [statement.body]


class _Parser:
    """One pass over the text with an explicit stack of open constructs."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line = 1
        self.statements: list[Statement] = []
        self.frames = [_Frame("", 1, frozenset(), self.statements)]

    def parse(self) -> Script:
        problem = None
        try:
            self._script()
        except _SyntaxStopError as stop:
            problem = stop.problem
        return Script(self.statements, problem)

    def _script(self) -> None:
        text = self.text
        size = len(text)
        while True:
            # At the beginning of a line and of a command.
            self._whole_lines()
            self._skip_blank()
            if self.position >= size:
                break
            if text[self.position] == "\n":
                self._newline()
            else:
                self._statement()
        if len(self.frames) > 1:
            frame = self.frames[-1]
            raise _SyntaxStopError(frame.line, f"`{frame.opener}` is never closed")

    def _whole_lines(self) -> None:
        """Read empty lines and lines of one simple command, as long as they come."""
        text = self.text
        command_line = _COMMAND_LINE.match
        while True:
            if match := command_line(text, self.position):
                written = match[1]
                words = _WORD.findall(written) if _QUOTED.search(written) else written.split()
                if words[0] in _RESERVED or not _REFUSED_WORDS.isdisjoint(words):
                    return
                command = Command(self.line, words)
                self.frames[-1].statements.append(command)
                if match[2]:
                    command.block = []
                    self.frames.append(_Frame("{", self.line, _BLOCK, command.block, command))
                self.line += 1
            elif match := _EMPTY_LINES.match(text, self.position):
                self.line += text.count("\n", self.position, match.end())
            else:
                return
            self.position = match.end()

    # -- single characters

    def _skip_blank(self) -> None:
        if match := _BLANK.match(self.text, self.position):
            self.position = match.end()
        if match := _COMMENT.match(self.text, self.position):
            self.position = match.end()

    def _peek(self) -> str:
        self._skip_blank()
        return self.text[self.position : self.position + 1]

    def _newline(self) -> None:
        self.position += 1
        self.line += 1

    def _word(self) -> str:
        """Read the word that begins here."""
        start = self.position
        match = _WORD.match(self.text, start)
        end = match.end() if match else start
        follower = self.text[end : end + 1]
        if follower and follower in "'\"\\$":
            line = self.line + self.text.count("\n", start, end)
            raise _SyntaxStopError(line, _what_is_open(self.text, end))
        if match is None:
            raise _SyntaxStopError(self.line, f"`{follower}` cannot stand here")
        word = match[0]
        if "\n" in word:
            self.line += word.count("\n")
        self.position = end
        return word

    def _delimiter(self) -> bool:
        """Take the `;` or line end behind a statement; False at the end of the file."""
        following = self._peek()
        if following == "\n":
            self._newline()
        elif following == ";":
            self.position += 1
            if self._peek() == ";":
                raise _SyntaxStopError(self.line, "`;` without a command before it")
        elif following:
            return False
        return True

    def _end_of_compound(self) -> None:
        """After `fi`, `done` or a block: only a delimiter or the `}` around it may follow."""
        if not self._delimiter() and self._peek() != "}":
            raise _SyntaxStopError(self.line, "a line end or `;` is missing before this word")

    # -- statements

    def _statement(self) -> None:
        character = self.text[self.position]
        if character == "}":
            self._close_block(after_delimiter=True)
            return
        line = self.line
        word = self._word()
        if word in _CLOSERS:
            self._close(word, line)
        elif word in _OPENERS:
            self._open(word, line)
        elif word in _RESERVED:
            raise _SyntaxStopError(line, f"`{word}` cannot stand here")
        else:
            self._command(line, word)

    def _command(self, line: int, word: str) -> None:
        command = Command(line, [word])
        self.frames[-1].statements.append(command)
        words = command.words
        while True:
            following = self._peek()
            if following in {"", "\n", ";"}:
                self._delimiter()
                return
            if following == "{":
                command.block = []
                self.frames.append(_Frame("{", self.line, _BLOCK, command.block, command))
                self.position += 1
                return
            if following == "}":
                self._close_block(after_delimiter=False)
                return
            argument = self._word()
            if argument in _REFUSED_WORDS:
                raise _SyntaxStopError(self.line, f"`{argument}` is no GRUB command")
            words.append(argument)

    def _open(self, word: str, line: int) -> None:
        node: Statement
        if word == "if":
            node = If(line)
            self._push(node, word, line, _CONDITION, [])
        elif word in {"while", "until"}:
            node = Loop(line, until=word == "until")
            self._push(node, word, line, _LOOP_CONDITION, node.condition)
        elif word == "for":
            node = self._for_header(line)
            self._push(node, word, line, _BODY, node.body)
        elif len(self.frames) > 1:
            raise _SyntaxStopError(line, "a function cannot be defined inside another construct")
        else:
            node = self._function_header(line)
            self._push(node, word, line, _BLOCK, node.body)

    def _push(
        self, node: Statement, word: str, line: int, closers: frozenset[str], body: list[Statement]
    ) -> None:
        if isinstance(node, If):
            # A condition cut short still shows its entries: the branch exists from the start.
            node.branches.append((body, []))
        self.frames[-1].statements.append(node)
        self.frames.append(_Frame(word, line, closers, body, node))

    def _name(self, owner: str, line: int) -> str:
        following = self._peek()
        word = "" if following in {"", "\n", ";", "{", "}"} else self._word()
        if not _NAME.match(word) or word in _RESERVED:
            raise _SyntaxStopError(line, f"`{owner}` needs a name")
        return word

    def _for_header(self, line: int) -> For:
        node = For(line, self._name("for", line))
        if self._peek() in {"", "\n", ";", "{", "}"} or self._word() != "in":
            raise _SyntaxStopError(line, "`for` needs `in`")
        while (following := self._peek()) not in {"", "\n", ";"}:
            if following in "{}":
                raise _SyntaxStopError(self.line, f"`{following}` cannot stand here")
            node.words.append(self._word())
        self._delimiter()
        while self._peek() == "\n":
            self._newline()
        if self._peek() == "" or self._word() != "do":
            raise _SyntaxStopError(line, "`for` needs `do`")
        return node

    def _function_header(self, line: int) -> Function:
        node = Function(line, self._name("function", line))
        while self._peek() == "\n":
            self._newline()
        if self._peek() != "{":
            raise _SyntaxStopError(line, "`function` needs a block in braces")
        self.position += 1
        return node

    def _close_block(self, *, after_delimiter: bool) -> None:
        frame = self.frames[-1]
        if "}" not in frame.closers:
            raise _SyntaxStopError(self.line, "`}` closes nothing")
        if not frame.statements:
            raise _SyntaxStopError(frame.line, "an empty block is a syntax error for GRUB")
        if isinstance(frame.node, Function) and not after_delimiter:
            raise _SyntaxStopError(self.line, "a line end or `;` is missing before `}`")
        self.position += 1
        self.frames.pop()
        self._end_of_compound()

    def _close(self, word: str, line: int) -> None:
        frame = self.frames[-1]
        if word not in frame.closers:
            raise _SyntaxStopError(line, f"`{word}` closes nothing")
        if not frame.statements:
            raise _SyntaxStopError(line, f"no command before `{word}`")
        node = frame.node
        self.frames.pop()
        if isinstance(node, If):
            self._next_part(node, word, frame)
        elif isinstance(node, Loop) and word == "do":
            self.frames.append(_Frame(frame.opener, frame.line, _BODY, node.body, node))
        if word in {"fi", "done"}:
            self._end_of_compound()

    def _next_part(self, node: If, word: str, frame: _Frame) -> None:
        if word == "then":
            opened = _Frame("if", frame.line, _THEN, node.branches[-1][1], node)
        elif word == "elif":
            node.branches.append(([], []))
            opened = _Frame("if", frame.line, _CONDITION, node.branches[-1][0], node)
        elif word == "else":
            opened = _Frame("if", frame.line, _ELSE, node.otherwise, node)
        else:
            return
        self.frames.append(opened)


def _what_is_open(text: str, position: int) -> str:
    """Name the fault at a character that begins a quote, an escape or a variable."""
    character = text[position]
    if character == "'":
        return "a single quote is never closed"
    if character == "\\":
        return "a backslash ends the file"
    if character == '"' or text[position : position + 2] == '$"':
        start = position + (2 if character == "$" else 1)
        closed = re.compile(r'(?:[^\\"]++|\\.)*+"', re.DOTALL).match(text, start)
        return (
            'a "$" in double quotes begins no variable'
            if closed
            else "a double quote is never closed"
        )
    return "a `$` begins no variable"
