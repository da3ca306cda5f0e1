"""What makes update-grub die of /etc/default/grub, or lose a value: rules F01 to F03.

grub-mkconfig (`set -e`) sources the file with /bin/sh: a syntax error, a command that does not
exist and one that fails each end it, and grub.cfg stays as it is. What the file cannot be sourced
with is found here; each judgement was seen with dash.
"""

from __future__ import annotations

import re
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from labkit.boot.findings import Severity
from labkit.boot.settings_judge import is_odd_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labkit.boot.findings import Finding
    from labkit.boot.settings_judge import Judge
    from labkit.boot.shell_reader import ShellCommand

    _Problem = tuple[Severity, str, str]

__all__ = ["COMMAND_CHECKS"]

_DIES = "update-grub dies and grub.cfg stays as it is"
# Programs on every system: the shell runs them, and the assignment before them is lost silently.
_COMMON_PROGRAMS = """
    awk basename cat chmod cp cut date dd df dirname env expr find grep head hostname id install ln
    logger ls mkdir mktemp mount mv printenv ps readlink rm rmdir sed seq sh sleep sort stat sync
    tail tee touch tr uname uniq wc which xargs
"""
_SHELLS_OWN = """
    . : [ alias bg break cd command continue echo eval export false fg getopts hash jobs kill printf
    pwd read readonly set shift test times trap true type ulimit umask unalias unset wait
"""
_KNOWN = frozenset((_COMMON_PROGRAMS + _SHELLS_OWN).split())
_BASH_ONLY = frozenset({"[[", "((", "source", "declare", "typeset", "let", "shopt"})
_MAKERS = re.compile(r"(?:\S*/)?(?:update-grub2?|grub2?-mkconfig|update-bootloader)\Z")
_TESTS = frozenset({"[", "test", "[["})
_KEY_LIKE = re.compile(r"\$?(?P<name>GRUB[_-][A-Za-z_-]+)(?P<rest>.*)", re.DOTALL)
_EXPORTED = re.compile(r"-p\Z|[A-Za-z_]\w*(?:=|\Z)|.*[$`]", re.ASCII | re.DOTALL)
_PLAIN_VALUE = re.compile(r"[\w./:=-]*")


def _syntax(judge: Judge) -> Iterator[Finding]:
    if problem := judge.file.problem:
        yield judge.finding(
            "F01",
            Severity.ERROR,
            problem.line,
            f"shell syntax error: {problem.message}; {_DIES}",
            "correct the line; put a value with blanks or signs into single quotes",
        )


def _commands(judge: Judge) -> Iterator[Finding]:
    """Judge each command that is no assignment gone wrong, by the first that speaks against it."""
    for command in judge.file.commands:
        if is_odd_command(command) or _meant(command):
            continue
        # A command with assignments before it is rule F03's, as far as it is one at all.
        judgements = _ALWAYS if command.assignments else (*_ALWAYS, *_ALONE)
        found = (problem for judgement in judgements if (problem := judgement(judge, command)))
        for severity, message, fix in islice(found, 1):
            yield judge.finding("F01", severity, command.line, message, fix)


def _runs_for_ever(_: Judge, command: ShellCommand) -> _Problem | None:
    if not any(_MAKERS.match(word) for word in command.words):
        return None
    return Severity.ERROR, f"{_shown(command)} makes update-grub call itself", "remove the line"


def _only_of_bash(judge: Judge, command: ShellCommand) -> _Problem | None:
    name = command.words[0]
    if name not in _BASH_ONLY or judge.sh_is_bash:
        return None
    fix = "write `.` for `source`, `[ ... ]` for `[[ ... ]]`, NAME=VALUE for the others"
    what = f"`{name}` is no command of sh, only of bash"
    if command.conditional or command.connective:
        return Severity.WARN, f"{what}: it fails, and what depends on it is never done", fix
    return Severity.ERROR, f"{what}: {_DIES}", fix


def _ends_the_reading(_: Judge, command: ShellCommand) -> _Problem | None:
    name = command.words[0]
    if command.conditional:
        return None
    if name in {"exit", "exec"}:
        message = f"`{name}` ends grub-mkconfig before it writes anything, without an error"
        return Severity.ERROR, message, "remove the line"
    if name == "return":
        return Severity.ERROR, "`return` ends the file: what follows is not read", "remove the line"
    return None


def _sets_nothing(_: Judge, command: ShellCommand) -> _Problem | None:
    name, *arguments = command.words
    assigned = [word for word in arguments if _KEY_LIKE.match(word) and "=" in word]
    if name != "set" or not assigned:
        return None
    message = f"{_shown(command)} sets nothing in sh, without an error"
    return Severity.WARN, message, f"write {assigned[0]}"


def _fails(_: Judge, command: ShellCommand) -> _Problem | None:
    # A list goes on with what a failing command leads to.
    if command.conditional or command.connective:
        return None
    if command.words[0] == "false":
        return Severity.ERROR, f"`false` always fails: {_DIES}", "remove the line"
    if command.words[0] in _TESTS:
        message = f"where the test {_shown(command)} is false, {_DIES}"
        return Severity.ERROR, message, "remove the line, or make it `if ...; then ...; fi`"
    return None


def _is_unknown(judge: Judge, command: ShellCommand) -> _Problem | None:
    name = command.words[0]
    is_known = name in _KNOWN | _BASH_ONLY | judge.file.functions or re.search(r"[/$`]", name)
    if command.conditional or command.connective or is_known:
        return None
    message = f"{_shown(command)} is run as a command: where there is none of that name, {_DIES}"
    return Severity.ERROR, message, "remove the line, or make it a comment with `#`"


def _shown(command: ShellCommand) -> str:
    return f"`{' '.join(command.words)}`"


_ALWAYS = (_runs_for_ever, _ends_the_reading)
_ALONE = (_only_of_bash, _sets_nothing, _fails, _is_unknown)


def _last_condition(judge: Judge) -> Iterator[Finding]:
    line = judge.file.ends_in_condition
    if line is None:
        return
    never_true = {c.line for c in judge.file.commands if c.words[0] in _BASH_ONLY}
    is_certain = line in never_true and not judge.sh_is_bash
    yield judge.finding(
        "F01",
        Severity.ERROR if is_certain else Severity.WARN,
        line,
        f"the file ends in a condition (`&&`): where it is false, {_DIES}",
        "make it `if ...; then ...; fi`",
    )


def _read_only(judge: Judge) -> Iterator[Finding]:
    """Name the assignments of what an earlier line has made read-only."""
    fixed: dict[str, int] = {}
    for command in judge.file.commands:
        if command.words[0] == "readonly":
            fixed |= {word.partition("=")[0]: command.line for word in command.words[1:]}
    for assignment in judge.file.assignments:
        line = fixed.get(assignment.name)
        if line is not None and assignment.line > line:
            yield judge.finding(
                "F01",
                Severity.ERROR,
                assignment.line,
                f"{assignment.name} is read-only since line {line}: {_DIES}",
                f"remove `readonly` from line {line}",
                line,
            )


def _no_assignment(judge: Judge) -> Iterator[Finding]:
    """Name what was meant to be an assignment, and is a command to the shell."""
    for command in judge.file.commands:
        if not (meant := _meant(command)):
            continue
        name, value = meant
        first = command.words[0]
        if "+=" in "".join(command.words[:2]):
            if judge.sh_is_bash:
                continue
            what, fix = "`+=` is bash's, not sh's", f'write {name}="${name} {value}"'
        else:
            blank = re.match(r"\$?\w+=?\Z", first)
            what = "blanks around `=`" if blank else "this is no assignment"
            fix = f"write without blanks: {name}=" if blank else f"write {name}="
            fix += value if _PLAIN_VALUE.fullmatch(value) else f"'{value}'"
        yield judge.finding(
            "F02",
            Severity.ERROR,
            command.line,
            f"{what}: the shell takes `{first}` for a command and update-grub dies",
            fix,
        )


def _meant(command: ShellCommand) -> tuple[str, str] | None:
    """Give key and value of `KEY = VALUE`, `KEY: VALUE`, `KEY+=VALUE` and the like."""
    words = command.words
    if words[0] == "export":
        if len(words) < 3 or not words[2].startswith("="):  # noqa: PLR2004 - NAME = VALUE
            return None
        words = words[1:]
    match = _KEY_LIKE.fullmatch(words[0])
    if match is None:
        return None
    value = " ".join((match["rest"], *words[1:]))
    return match["name"].replace("-", "_"), re.sub(r"^\s*(?:\+=|:=|=|:)?\s*", "", value).strip()


def _stray_words(judge: Judge) -> Iterator[Finding]:
    lost = {a.name: a for a in judge.file.assignments if a.lost_to is not None}
    for command in judge.file.commands:
        if not command.assignments or command.words[0].startswith("GRUB_"):
            continue
        assignment = lost.get(command.assignments[-1])
        if assignment is None or is_odd_command(command):
            continue
        if not assignment.written:
            yield judge.finding(
                "F02",
                Severity.ERROR,
                assignment.line,
                f"a blank behind `{assignment.name}=`: the shell takes `{command.words[0]}` for a "
                "command and update-grub dies",
                f"write `{assignment.name}={command.words[0]}` without the blank",
            )
            continue
        silent = command.words[0] in _KNOWN - _TESTS - {"false"}
        effect = (
            "the assignment holds for that command only and is lost without a word"
            if silent
            else "update-grub dies"
        )
        comment = assignment.written.endswith("#")
        yield judge.finding(
            "F03",
            Severity.WARN if silent else Severity.ERROR,
            assignment.line,
            f"unquoted words behind {assignment.name}: the shell takes `{command.words[0]}` for a "
            f"command, {effect}" + ("; a comment needs a blank before `#`" if comment else ""),
            "put a blank before `#`"
            if comment
            else f"quote the value: {assignment.name}="
            f"'{' '.join([assignment.value or assignment.written, *command.words])}'",
        )


def _exported_words(judge: Judge) -> Iterator[Finding]:
    """Name the words of `export NAME=a b` that `export` takes for further names."""
    for command in judge.file.commands:
        if command.words[0] not in {"export", "readonly"} or command.conditional or _meant(command):
            continue
        words = command.words[1:]
        wrong = [word for word in words if not _EXPORTED.match(word)]
        behind = [word for before, word in pairwise(words) if "=" in before and "=" not in word]
        if wrong or behind:
            effect = f"update-grub dies of `{wrong[0]}`" if wrong else f"`{behind[0]}` is lost"
            yield judge.finding(
                "F03",
                Severity.ERROR if wrong else Severity.WARN,
                command.line,
                f"`{command.words[0]}` takes each word for a name: {effect}",
                f"quote the value: {words[0].partition('=')[0]}='...'",
            )


def _unquoted_signs(judge: Judge) -> Iterator[Finding]:
    """Name the assignments that an unquoted sign of the shell cuts, or takes out of the file."""
    for assignment in judge.file.assignments:
        sign = assignment.lost_to if assignment.lost_to in {"&", "|", "( )"} else None
        if sign is None and not assignment.redirected:
            continue
        effect = (
            f"`{sign}` makes a shell of its own, and the value is lost with it"
            if sign
            else "`>` or `<` is a redirection: the value ends before it, and a file is written"
        )
        yield judge.finding(
            "F03",
            Severity.WARN,
            assignment.line,
            f"an unquoted sign behind {assignment.name}: {effect}",
            "put the value into single quotes, or take the sign out",
        )


COMMAND_CHECKS: tuple[Callable[[Judge], Iterator[Finding]], ...] = (
    _syntax,
    _commands,
    _last_condition,
    _read_only,
    _no_assignment,
    _stray_words,
    _exported_words,
    _unquoted_signs,
)
"""The checks of what is run, and of what was meant to be an assignment."""
