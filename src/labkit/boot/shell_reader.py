"""A static reader of the POSIX shell, for settings files that are shell scripts.

It finds the assignments and commands of a script and never runs any of it. A word that the shell
would have to compute (`$X`, `$(...)`, backticks) has no value here. The structure (`if`, `case`,
loops, functions, here-documents) is followed so far that an assignment inside it is known as
conditional and a syntax error is found where `sh -n` finds one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from labkit.boot.shell_lexer import ShellLexer, ShellProblem, ShellStopError

if TYPE_CHECKING:
    from labkit.boot.shell_lexer import Token

__all__ = ["ShellAssignment", "ShellCommand", "ShellProblem", "ShellScript", "read_shell"]


@dataclass(frozen=True, slots=True)
class ShellAssignment:
    """One `NAME=VALUE`.

    Attributes:
        name: The variable.
        value: The value after unquoting; None where the shell would compute it.
        written: The value as it is written.
        line: The line where it begins, from 1.
        start: Offset of the value in the text; the name and `=` stand before it.
        end: Offset behind the value.
        conditional: Whether it stands in an `if`, a loop, a function, or behind `&&` and `||`.
        alone: Whether nothing else stands on its lines but blanks and a comment.
        exported: Whether `export` stands before it.
        lost_to: What it is lost to, where it does not last: the command that it is for, or `&`,
            `|` or `( )`, which run it in a shell of its own.
        redirected: Whether a redirection stands in its command: a `>` that was not quoted.
    """

    name: str
    value: str | None
    written: str
    line: int
    start: int
    end: int
    conditional: bool = False
    alone: bool = True
    exported: bool = False
    lost_to: str | None = None
    redirected: bool = False


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """A command of the script.

    Attributes:
        words: Its name and arguments, unquoted; a computed word as it is written.
        line: Where it begins.
        assignments: The names assigned before it on the same line.
        conditional: As for assignments.
        connective: What connects it with the next command: `&&`, `||`, `|`, `&`, or nothing.
    """

    words: tuple[str, ...]
    line: int
    assignments: tuple[str, ...] = ()
    conditional: bool = False
    connective: str = ""


@dataclass(frozen=True, slots=True)
class ShellScript:
    """What a script says. Behind `problem` nothing was read.

    Attributes:
        assignments: Its assignments.
        commands: Its other commands.
        problem: The syntax error that ends the reading, where there is one.
        functions: The names of the functions that it defines.
        ends_in_condition: The line of its last command where that is run behind `&&` only: the
            script fails where what stands before is false.
    """

    assignments: tuple[ShellAssignment, ...]
    commands: tuple[ShellCommand, ...]
    problem: ShellProblem | None = None
    functions: frozenset[str] = frozenset()
    ends_in_condition: int | None = None


_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)


@dataclass(slots=True)
class _Open:
    """An open construct: its word, where it began, what it waits for, what led to it."""

    word: str
    line: int
    expects: frozenset[str]
    filled: bool = False
    connective: str = ""


_NEXT = {
    "if": frozenset({"then"}),
    "then": frozenset({"elif", "else", "fi"}),
    "elif": frozenset({"then"}),
    "else": frozenset({"fi"}),
    "while": frozenset({"do"}),
    "until": frozenset({"do"}),
    "for": frozenset({"do"}),
    "do": frozenset({"done"}),
    "case": frozenset({"esac"}),
    "{": frozenset({"}"}),
    "(": frozenset({")"}),
}
_MIDDLE = frozenset({"then", "elif", "else", "do"})
_ENDS = frozenset({"fi", "done", "esac", "}"})
_RESERVED = (_NEXT.keys() - {"("}) | _ENDS | {"!", "in"}
_REDIRECTIONS = frozenset({"<", ">", ">>", "<<", "<<-", "<&", ">&", "<>", ">|"})
_SEPARATORS = frozenset({";", "&", "\n"})
_CONNECTIVES = frozenset({"&&", "||", "|"})
# Assignments before these stay; and their own arguments may be assignments.
_DECLARATIONS = frozenset({"export", "readonly"})
_SPECIAL_BUILTINS = _DECLARATIONS | frozenset(
    {":", ".", "break", "continue", "eval", "exec", "exit", "return", "set", "shift", "times"}
    | {"trap", "unset"}
)


@dataclass(slots=True)
class _Simple:
    """The simple command that is being read."""

    words: list[Token] = field(default_factory=list)
    redirected: bool = False


class _Reader:
    """Follows the structure and collects assignments and commands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lexer = ShellLexer(text)
        self.assignments: list[ShellAssignment] = []
        self.commands: list[ShellCommand] = []
        self.open: list[_Open] = []
        self.simple = _Simple()
        # After a compound command only a separator or a redirection may follow.
        self.after_compound = False
        self.connected = False  # behind && or ||
        self.must_follow: str | None = None  # an operator that needs a command behind it
        self.pushed: Token | None = None
        self.functions: set[str] = set()
        self.connective = ""  # before the command that is being read
        self.compound_line = 0  # where the compound command that has just ended began
        self.condition: int | None = None  # the line of the last command, where `&&` leads to it

    def read(self) -> ShellScript:
        problem = None
        try:
            while (token := self._take()) is not None:
                self._token(token)
            self._end_of_text()
        except ShellStopError as stop:
            problem = stop.problem
        alone = _standing_alone(self.text, self.assignments)
        return ShellScript(
            tuple(alone),
            tuple(self.commands),
            problem,
            frozenset(self.functions),
            self.condition,
        )

    def _end_of_text(self) -> None:
        self._end_command()
        if self.must_follow:
            raise ShellStopError(self.lexer.line, f"nothing follows `{self.must_follow}`")
        if self.open:
            last = self.open[-1]
            raise ShellStopError(last.line, f"`{last.word}` is never closed")

    def _take(self) -> Token | None:
        if self.pushed is not None:
            token, self.pushed = self.pushed, None
            return token
        return self.lexer.next()

    def _token(self, token: Token) -> None:
        kind = token.kind
        if kind == "word":
            self._word(token)
        elif kind in _REDIRECTIONS:
            self._redirection(token)
        elif kind in _SEPARATORS:
            self._separator(token)
        elif kind in _CONNECTIVES:
            if not self._has_command():
                raise ShellStopError(token.line, f'"{kind}" unexpected')
            self._end_command(kind, connected=kind != "|" or self.connected)
            self.must_follow = kind
        elif kind == "(":
            self._parenthesis(token)
        elif kind == ")":
            self._end_command()
            self._close(")", token.line)
        else:
            self._end_of_case_branch(token)

    def _has_command(self) -> bool:
        return bool(self.simple.words) or self.simple.redirected or self.after_compound

    def _separator(self, token: Token) -> None:
        if self._has_command():
            self._end_command("&" if token.kind == "&" else "")
        elif token.kind != "\n":
            raise ShellStopError(token.line, f'"{token.kind}" unexpected')
        if self.must_follow is None:
            self.connected = False

    # -- words

    def _word(self, token: Token) -> None:
        if self.after_compound:
            if self._reserved(token):
                self._end_command()
            else:
                raise ShellStopError(token.line, f"`{token.value}` unexpected")
        if self.simple.words or self.simple.redirected or not self._reserved(token):
            self.simple.words.append(token)
            return
        word = token.value
        if word == "in":
            raise ShellStopError(token.line, '"in" unexpected')
        if word == "!":
            self.must_follow = "!"
        elif word in {"if", "while", "until", "{"}:
            self._begin(word, token.line)
        elif word == "for":
            self._for(token)
        elif word == "case":
            self._case(token)
        else:
            self._close(word, token.line)

    def _reserved(self, token: Token) -> bool:
        return not token.quoted and not token.computed and token.value in _RESERVED

    def _begin(self, word: str, line: int) -> None:
        self._mark_filled()
        self.open.append(_Open(word, line, _NEXT[word], connective=self.connective))
        self.connective = ""
        self.must_follow = None

    def _mark_filled(self) -> None:
        if self.open:
            self.open[-1].filled = True

    def _close(self, word: str, line: int) -> None:
        if self.must_follow:
            raise ShellStopError(line, f"nothing follows `{self.must_follow}`")
        if not self.open or word not in self.open[-1].expects:
            raise ShellStopError(line, f'"{word}" unexpected')
        opened = self.open.pop()
        if not opened.filled and word != "esac" and opened.word != "for":
            raise ShellStopError(line, f'"{word}" unexpected: no command before it')
        if word in _MIDDLE:
            self.open.append(_Open(word, opened.line, _NEXT[word], connective=opened.connective))
        else:
            self.connective = opened.connective
            self.after_compound = True
            self.compound_line = opened.line

    def _for(self, token: Token) -> None:
        name = self._take()
        if name is None or name.kind != "word" or not _NAME.match(name.value):
            raise ShellStopError(token.line, "`for` needs a name")
        self._begin("for", token.line)
        following = self._take()
        while following is not None and following.kind == "\n":
            following = self._take()
        if following is not None and following.kind == "word" and following.value == "in":
            following = self._take()
            while following is not None and following.kind == "word":
                following = self._take()
            if following is None or following.kind not in {";", "\n"}:
                raise ShellStopError(token.line, "`for` needs `do`")
        elif following is not None and following.kind == "word":
            self.pushed = following
        elif following is not None and following.kind != ";":
            raise ShellStopError(token.line, "`for` needs `do`")

    def _case(self, token: Token) -> None:
        subject = self._take()
        following = self._take()
        while following is not None and following.kind == "\n":
            following = self._take()
        if (
            subject is None
            or subject.kind != "word"
            or following is None
            or following.value != "in"
        ):
            raise ShellStopError(token.line, "`case` needs a word and `in`")
        self._begin("case", token.line)
        self._case_pattern()

    def _case_pattern(self) -> None:
        """Read the patterns of a branch up to their `)`, or `esac`."""
        token = self._take()
        while token is not None and token.kind == "\n":
            token = self._take()
        if token is not None and token.kind == "word" and token.value == "esac":
            self._close("esac", token.line)
            return
        if token is not None and token.kind == "(":
            token = self._take()
        while token is not None:
            if token.kind != "word":
                raise ShellStopError(token.line, f'"{token.kind}" unexpected')
            token = self._take()
            if token is not None and token.kind == ")":
                return
            if token is None or token.kind != "|":
                break
            token = self._take()
        line = token.line if token else self.lexer.line
        raise ShellStopError(line, "a pattern of `case` ends in `)`")

    def _end_of_case_branch(self, token: Token) -> None:
        if token.kind != ";;" or not self.open or self.open[-1].word != "case":
            raise ShellStopError(token.line, f'"{token.kind}" unexpected')
        self._end_command()
        self._case_pattern()

    def _parenthesis(self, token: Token) -> None:
        words = self.simple.words
        if self.after_compound or len(words) > 1 or self.simple.redirected:
            raise ShellStopError(token.line, '"(" unexpected')
        if not words:
            self._begin("(", token.line)
            return
        closing = self._take()
        if closing is None or closing.kind != ")" or not _NAME.match(words[0].value):
            raise ShellStopError(token.line, '"(" unexpected')
        self.functions.add(words[0].value)
        self.simple = _Simple()
        self.must_follow = "()"
        # The body is a compound command; what it assigns, it assigns when it is called.
        body = self._take()
        while body is not None and body.kind == "\n":
            body = self._take()
        self.pushed = body

    def _redirection(self, token: Token) -> None:
        target = self._take()
        if target is None or target.kind != "word":
            raise ShellStopError(token.line, f'a file name is missing behind "{token.kind}"')
        if token.kind in {"<<", "<<-"}:
            self.lexer.heredocs.append((target.value, token.kind == "<<-"))
        self.simple.redirected = self.simple.redirected or not self.after_compound

    # -- simple commands

    def _end_command(self, connective: str = "", *, connected: bool = False) -> None:
        words = self.simple.words
        if self._has_command():
            self._mark_filled()
            self.must_follow = None
            if not self.open:
                line = words[0].line if words else self.compound_line
                self.condition = line if self.connective == "&&" else None
        elif self.must_follow and self.must_follow != "()":
            return
        if words:
            self._collect(words, connective)
        if self._has_command() or connective:
            self.connective = connective
        self.simple = _Simple()
        self.after_compound = False
        self.connected = connected

    def _own_shell(self, connective: str) -> str | None:
        """Tell what runs the command in a shell of its own, whose variables end with it."""
        if connective in {"&", "|"}:
            return connective
        if self.connective == "|":
            return "|"
        return "( )" if any(opened.word == "(" for opened in self.open) else None

    def _collect(self, words: list[Token], connective: str) -> None:
        conditional = bool(self.open) or self.connected or connective == "|"
        count = 0
        while count < len(words) and self._assigned_name(words[count]):
            count += 1
        command = words[count:]
        name = command[0].value if command else None
        kept = name is None or name in _SPECIAL_BUILTINS
        own_shell = self._own_shell(connective)
        for word in words[:count]:
            self._assign(word, conditional, lost_to=own_shell if kept else name)
        if name is None:
            return
        if name in _DECLARATIONS:
            for word in command[1:]:
                if self._assigned_name(word):
                    self._assign(word, conditional, exported=True, lost_to=own_shell)
        self.commands.append(
            ShellCommand(
                tuple(word.value for word in command),
                command[0].line,
                tuple(self._assigned_name(word) or "" for word in words[:count]),
                conditional,
                connective,
            )
        )

    def _assigned_name(self, word: Token) -> str | None:
        match = _ASSIGNED.match(self.text, word.start, word.end)
        return match[1] if match else None

    def _assign(
        self,
        word: Token,
        conditional: bool,  # noqa: FBT001 - one of several plain facts
        *,
        exported: bool = False,
        lost_to: str | None = None,
    ) -> None:
        match = _ASSIGNED.match(self.text, word.start, word.end)
        if match is None:
            return
        self.assignments.append(
            ShellAssignment(
                name=match[1],
                value=None if word.computed else word.value[len(match[0]) :],
                written=self.text[match.end() : word.end],
                line=word.line,
                start=match.end(),
                end=word.end,
                conditional=conditional,
                exported=exported,
                lost_to=lost_to,
                redirected=self.simple.redirected,
            )
        )


def _standing_alone(text: str, assignments: list[ShellAssignment]) -> list[ShellAssignment]:
    """Mark the assignments that share their lines with nothing but blanks and a comment."""
    result: list[ShellAssignment] = []
    for assignment in assignments:
        line_start = text.rfind("\n", 0, assignment.start) + 1
        line_end = text.find("\n", assignment.end)
        line_end = len(text) if line_end < 0 else line_end
        before = text[line_start : assignment.start].strip(" \t")
        after = text[assignment.end : line_end]
        prefix = before.removeprefix("export").lstrip(" \t") if assignment.exported else before
        alone = prefix == f"{assignment.name}=" and bool(
            re.fullmatch(r"\r?|[ \t]+(?:#.*|\r)?", after)
        )
        result.append(assignment if alone else replace(assignment, alone=False))
    return result


def read_shell(text: str) -> ShellScript:
    """Read a shell script without running it; never raises."""
    return _Reader(text).read()
