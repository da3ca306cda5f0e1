"""What is wrong with /etc/default/grub by itself: rules F01 to F10.

grub-mkconfig accepts a misspelt key, a wrong value and a lost assignment without a word; this is
the reading that it does not do. Key names and value sets: the GRUB manual (2.14) and the scripts
of Debian, Ubuntu, Fedora, SUSE and Arch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.findings import Confidence, Evidence, Finding, Severity
from labkit.boot.settings_commands import COMMAND_CHECKS
from labkit.boot.settings_judge import ODD, ODD_CHARACTERS, Judge, is_odd_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labkit.boot.default_grub import DefaultGrub, GrubSettings
    from labkit.boot.shell_reader import ShellAssignment

__all__ = ["KNOWN_KEYS", "lint_file", "lint_settings", "nearest_key"]

_UPSTREAM = """
    DEFAULT SAVEDEFAULT TIMEOUT TIMEOUT_STYLE DEFAULT_BUTTON TIMEOUT_BUTTON TIMEOUT_STYLE_BUTTON
    HIDDEN_TIMEOUT_BUTTON BUTTON_CMOS_ADDRESS BUTTON_CMOS_CLEAN DISTRIBUTOR TERMINAL TERMINAL_INPUT
    TERMINAL_OUTPUT SERIAL_COMMAND CMDLINE_LINUX CMDLINE_LINUX_DEFAULT CMDLINE_LINUX_RECOVERY
    CMDLINE_XEN CMDLINE_XEN_DEFAULT CMDLINE_NETBSD CMDLINE_NETBSD_DEFAULT CMDLINE_GNUMACH
    CMDLINE_LINUX_XEN_REPLACE CMDLINE_LINUX_XEN_REPLACE_DEFAULT TOP_LEVEL TOP_LEVEL_XEN
    TOP_LEVEL_OS_PROBER EARLY_INITRD_LINUX_CUSTOM EARLY_INITRD_LINUX_STOCK DISABLE_UUID
    DISABLE_LINUX_UUID DISABLE_LINUX_PARTUUID DISABLE_RECOVERY DISABLE_OS_PROBER DISABLE_SUBMENU
    OS_PROBER_SKIP_LIST VIDEO_BACKEND GFXMODE GFXPAYLOAD_LINUX BACKGROUND THEME FONT
    ENABLE_CRYPTODISK INIT_TUNE BADRAM PRELOAD_MODULES FORCE_EFI_ALL_VIDEO HIDDEN_TIMEOUT
    HIDDEN_TIMEOUT_QUIET
"""
_DISTRIBUTIONS = """
    RECORDFAIL_TIMEOUT RECOVERY_TITLE FLAVOUR_ORDER ENABLE_BLSCFG DEFAULT_DTB USE_LINUXEFI
    COLOR_NORMAL COLOR_HIGHLIGHT
"""
KNOWN_KEYS = frozenset(f"GRUB_{name}" for name in (_UPSTREAM + _DISTRIBUTIONS).split())
"""Every setting that GRUB's scripts read, upstream and in the distributions."""

_FAMILIES = ("GRUB_BTRFS_",)
"""Prefixes of other packages' settings (grub-btrfs)."""

_BOOLEANS = frozenset({"true", "false"})
_TERMINALS = frozenset({"gfxterm", "console", "serial", "ofconsole", "vga_text"})
_TIMEOUTS = frozenset(
    {"GRUB_TIMEOUT", "GRUB_TIMEOUT_BUTTON", "GRUB_RECORDFAIL_TIMEOUT", "GRUB_HIDDEN_TIMEOUT"}
    | {"GRUB_HIDDEN_TIMEOUT_BUTTON"}
)
_STYLES = frozenset({"menu", "countdown", "hidden"})
_CHOICES = {
    "GRUB_TIMEOUT_STYLE": _STYLES,
    "GRUB_TIMEOUT_STYLE_BUTTON": _STYLES,
    "GRUB_SAVEDEFAULT": _BOOLEANS,
    "GRUB_DISABLE_UUID": _BOOLEANS,
    "GRUB_DISABLE_LINUX_UUID": _BOOLEANS,
    "GRUB_DISABLE_LINUX_PARTUUID": _BOOLEANS,
    "GRUB_DISABLE_RECOVERY": _BOOLEANS,
    "GRUB_DISABLE_OS_PROBER": _BOOLEANS,
    "GRUB_DISABLE_SUBMENU": frozenset({"true", "y", "yes", "false", "n", "no"}),
    "GRUB_ENABLE_CRYPTODISK": frozenset({"y", "n"}),
    "GRUB_ENABLE_BLSCFG": _BOOLEANS,
    "GRUB_HIDDEN_TIMEOUT_QUIET": _BOOLEANS,
}
_MAX_DISTANCE = 2


def lint_settings(settings: GrubSettings, *, sh_is_bash: bool = False) -> tuple[Finding, ...]:
    """Judge a settings file and its drop-ins: each file, and what later files override (F06).

    Where `sh_is_bash`, what only bash knows is no fault.
    """
    findings = [
        finding for file in settings.files for finding in lint_file(file, sh_is_bash=sh_is_bash)
    ]
    findings.extend(_overridden(settings))
    return tuple(findings)


def lint_file(file: DefaultGrub, *, sh_is_bash: bool = False) -> tuple[Finding, ...]:
    """Judge one settings file, findings in the order of its lines."""
    judge = Judge(file, sh_is_bash)
    found = [finding for check in _CHECKS for finding in check(judge)]
    return tuple(sorted(found, key=lambda finding: finding.evidence[0].line or 0))


def nearest_key(name: str) -> str | None:
    """Give the known key that `name` may be a misspelling of: at most two edits away."""
    if name in KNOWN_KEYS:
        return None
    distances = sorted((_distance(name, known), known) for known in KNOWN_KEYS)
    return distances[0][1] if distances[0][0] <= _MAX_DISTANCE else None


def _duplicates(judge: Judge) -> Iterator[Finding]:
    last: dict[str, ShellAssignment] = {}
    for assignment in judge.file.assignments:
        if assignment.lost_to is not None or assignment.conditional:
            continue
        earlier = last.get(assignment.name)
        last[assignment.name] = assignment
        if earlier is None or earlier.written == assignment.written:
            continue
        # `X="$X more"` builds on the earlier line.
        if re.search(rf"\$\{{?{assignment.name}\b", assignment.written):
            continue
        yield judge.finding(
            "F05",
            Severity.WARN,
            assignment.line,
            f"{assignment.name} is set in line {earlier.line} and again in line "
            f"{assignment.line}; the last one wins",
            f"remove line {earlier.line} or {assignment.line}",
            earlier.line,
        )


def _overridden(settings: GrubSettings) -> Iterator[Finding]:
    main = settings.files[0]
    for name, given in main.effective.items():
        for other in settings.overriders(name):
            changes = other.value is None or other.value != given.value
            yield Finding(
                "F06",
                Severity.WARN if changes else Severity.INFO,
                Confidence.LIKELY if other.conditional else Confidence.CERTAIN,
                f"{name} of {main.name} is overridden by {other.file}"
                + ("" if changes else " with the same value"),
                (
                    Evidence(other.file, other.line, _line(settings, other.file, other.line)),
                    Evidence(main.name, given.line, _line(settings, main.name, given.line)),
                ),
                f"change or remove line {other.line} of that file",
            )


def _line(settings: GrubSettings, name: str, line: int) -> str:
    text = next(file.text for file in settings.files if file.name == name)
    return text.split("\n")[line - 1].strip().encode("utf-8", "replace").decode()


def _unknown_keys(judge: Judge) -> Iterator[Finding]:
    for name, assignment in judge.file.effective.items():
        if not name.startswith("GRUB_") or name in KNOWN_KEYS or name.startswith(_FAMILIES):
            continue
        if re.search(rf"\$\{{?{name}\b", judge.file.text):
            continue  # the file's own variable
        likely = nearest_key(name)
        yield judge.finding(
            "F07",
            Severity.WARN if likely else Severity.INFO,
            assignment.line,
            f"{name} is no setting of GRUB" + (f"; {likely} is" if likely else ""),
            f"rename it to {likely}" if likely else "remove it if no script of yours reads it",
        )


def _wrong_values(judge: Judge) -> Iterator[Finding]:
    for name, assignment in judge.file.effective.items():
        value = assignment.value
        # An odd character is rule F10; an empty value means the default.
        if not value or ODD.search(value) or value.endswith("\r"):
            continue
        wanted = _wanted(name, value)
        if wanted is None:
            continue
        dies = name in {"GRUB_TERMINAL", "GRUB_TERMINAL_OUTPUT"}
        effect = (
            "update-grub dies" if dies else "GRUB's scripts take it silently for something else"
        )
        fixed = value.strip().lower()
        repair = f"write {name}={fixed}" if _wanted(name, fixed) is None else f"write {wanted}"
        yield judge.finding(
            "F08",
            Severity.ERROR if dies else Severity.WARN,
            assignment.line,
            f"{name} is `{value}` but must be {wanted}; {effect}",
            repair,
        )


def _wanted(name: str, value: str) -> str | None:
    """Say what `name` must be where `value` is outside its set; None where it is right."""
    if name in _TIMEOUTS:
        good = re.fullmatch(r"-1|[0-9]+", value)
        return None if good else "a whole number of seconds, or -1 to wait for ever"
    if name in {"GRUB_TERMINAL", "GRUB_TERMINAL_OUTPUT"}:
        unknown = [
            word
            for word in value.split()
            if word not in _TERMINALS and not word.startswith(("serial_", "vga_text_"))
        ]
        return "one of " + ", ".join(sorted(_TERMINALS)) if unknown else None
    choices = _CHOICES.get(name)
    return None if choices is None or value in choices else " or ".join(sorted(choices))


def _old_timeout(judge: Judge) -> Iterator[Finding]:
    if assignment := judge.file.effective.get("GRUB_HIDDEN_TIMEOUT"):
        if assignment.value == "":
            return
        yield judge.finding(
            "F09",
            Severity.INFO,
            assignment.line,
            "GRUB_HIDDEN_TIMEOUT is the old way to hide the menu",
            "use GRUB_TIMEOUT_STYLE=hidden with GRUB_TIMEOUT",
        )


def _odd_characters(judge: Judge) -> Iterator[Finding]:
    text = judge.file.text
    reported: set[tuple[int, str]] = set()
    commands = {command.line for command in judge.file.commands if is_odd_command(command)}
    comments = _comment_lines(text)
    for match in ODD.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        what = ODD_CHARACTERS[match[0]]
        if (line, what) in reported or line in comments:
            continue
        reported.add((line, what))
        dies = line in commands or match[0] == "\ufeff"
        yield judge.finding(
            "F10",
            Severity.ERROR if dies else Severity.WARN,
            line,
            f"{what} is no {'quote' if 'quote' in what else 'blank'} to the shell: "
            + ("it makes update-grub die" if dies else "it becomes part of the value"),
            "replace it with its plain ASCII counterpart",
        )
    yield from _carriage_returns(judge)


def _carriage_returns(judge: Judge) -> Iterator[Finding]:
    text = judge.file.text
    first = text.find("\r\n")
    if first < 0:
        return
    # An empty line is then a command called CR.
    dies = next((c.line for c in judge.file.commands if c.words[0] == "\r"), None)
    yield judge.finding(
        "F10",
        Severity.ERROR if dies else Severity.WARN,
        text.count("\n", 0, first) + 1,
        "Windows line ends (CR LF): every value ends in a carriage return, so `true` is not `true`"
        + (f", and the empty line {dies} makes update-grub die" if dies else ""),
        f"sudo sed -i.old 's/\\r$//' {judge.file.name}",
    )


def _comment_lines(text: str) -> frozenset[int]:
    lines = enumerate(text.split("\n"), 1)
    return frozenset(number for number, line in lines if line.lstrip(" \t").startswith("#"))


_CHECKS: tuple[Callable[[Judge], Iterator[Finding]], ...] = (
    *COMMAND_CHECKS,
    _duplicates,
    _unknown_keys,
    _wrong_values,
    _old_timeout,
    _odd_characters,
)


def _distance(left: str, right: str) -> int:
    """Count the edits between two words: insert, delete, replace, swap neighbours."""
    if abs(len(left) - len(right)) > _MAX_DISTANCE:
        return _MAX_DISTANCE + 1
    before_last: list[int] = []
    last = list(range(len(right) + 1))
    for row, one in enumerate(left, 1):
        current = [row]
        for column, other in enumerate(right, 1):
            best = min(last[column] + 1, current[column - 1] + 1, last[column - 1] + (one != other))
            swapped = row > 1 and column > 1 and one == right[column - 2]
            if swapped and left[row - 2] == other:
                best = min(best, before_last[column - 2] + 1)
            current.append(best)
        before_last, last = last, current
    return last[-1]
