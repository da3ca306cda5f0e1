"""Rules about /etc/default/grub itself; most of them are what `labkit boot lint` finds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.boot.distributions import Family
from labkit.boot.findings import Confidence, Evidence, Severity
from labkit.boot.remedies import settings_file, steps, update_steps
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labkit.boot.facts import Facts
    from labkit.boot.rules.base import Rule

__all__ = ["RULES"]


def _lint(rule_id: str) -> Callable[[Facts], Iterator[Hit]]:
    def detect(facts: Facts) -> Iterator[Hit]:
        for f in facts.settings_findings:
            if f.rule == rule_id:
                place = settings_file(facts, f.evidence[0].input)
                fix, undo = f"In {place}: {f.fix}", f"The old line: {f.evidence[0].text}"
                if f.fix.startswith("sudo "):
                    command = f.fix.replace(f.evidence[0].input, place)
                    fix = steps("The old file stays beside the new one, as *.old:", command)
                    undo = ""
                elif f.rule == "F10":
                    undo = ""  # What it takes away nobody wants back, nor can see.
                yield Hit(
                    f.message,
                    f.evidence,
                    f.severity,
                    f.confidence,
                    # The menu does not change before it is generated again.
                    steps(fix, update_steps(facts)),
                    undo,
                )

    return detect


_NO_EFFECT = "update-grub says nothing, and the setting has no effect."
_DIES = "Each later change has no effect, for update-grub stops before it writes the menu."
_CHECK = "labkit boot lint /etc/default/grub"
_UNDO = "Put the old line back and run update-grub."


def _lint_rule(
    rule_id: str, title: str, severity: Severity, *, see: str, why: str, fix: str
) -> Rule:
    """Declare a rule whose detector is the reading of the settings file."""
    stops = severity is Severity.ERROR
    return rule(
        rule_id,
        title,
        severity,
        Effect.CANNOT_START if rule_id == "F01" else Effect.SETTING_IGNORED,
        needs=(Topic.SETTINGS,),
        see=see,
        why=why,
        check=_CHECK,
        fix=fix,
        undo=_UNDO,
        explains=("O04", "C01", "O01") if stops else ("C01",),
    )(_lint(rule_id))


syntax = _lint_rule(
    "F01",
    "the settings file is no valid shell",
    Severity.ERROR,
    see=f"update-grub ends with `Syntax error`. {_DIES}",
    why=(
        "/etc/default/grub is a shell script that grub-mkconfig sources with /bin/sh. An open "
        "quote or a bare parenthesis stops it; the line that sh names is often the last one."
    ),
    fix="Quote the value: GRUB_DISTRIBUTOR='Debian (x)', then run update-grub.",
)
blanks = _lint_rule(
    "F02",
    "there are blanks around the equals sign",
    Severity.ERROR,
    see=f"update-grub ends with `GRUB_TIMEOUT: not found`. {_DIES}",
    why="For the shell, `GRUB_TIMEOUT = 5` is a program named GRUB_TIMEOUT with two arguments.",
    fix="Write GRUB_TIMEOUT=5, then run update-grub.",
)
unquoted = _lint_rule(
    "F03",
    "a value of several words is not quoted",
    Severity.ERROR,
    see=f"update-grub ends with `splash: not found`, or the value is lost silently. {_DIES}",
    why=(
        "`NAME=quiet splash` sets NAME for the one command `splash`. Where that is an existing "
        "program, it runs, all seems well, and the value is gone."
    ),
    fix='Write GRUB_CMDLINE_LINUX_DEFAULT="quiet splash", then run update-grub.',
)
duplicates = _lint_rule(
    "F05",
    "a setting is made twice",
    Severity.WARN,
    see="A changed value has no effect.",
    why="The shell runs the file from top to bottom; the last assignment wins.",
    fix="Take one of the lines out, then run update-grub.",
)
overridden = _lint_rule(
    "F06",
    "a later file overrides the setting",
    Severity.WARN,
    see="A changed value has no effect.",
    why="Debian, Ubuntu and Mint read /etc/default/grub.d/*.cfg after /etc/default/grub.",
    fix="Change the value in that file, then run update-grub.",
)
misspelt = _lint_rule(
    "F07",
    "a setting's name is misspelt",
    Severity.WARN,
    see=_NO_EFFECT,
    why="grub-mkconfig reads the names that it knows and ignores the rest.",
    fix="Write the name as the GRUB manual has it, then run update-grub.",
)
wrong_value = _lint_rule(
    "F08",
    "a setting's value is none of those it can have",
    Severity.WARN,
    see=_NO_EFFECT,
    why=(
        "Values are compared exactly: GRUB_DISABLE_OS_PROBER=True is not `true`, so os-prober "
        "runs; a timeout that is no number is written into the menu as it is."
    ),
    fix="Write one of the values that the manual names, then run update-grub.",
)
old_timeout = _lint_rule(
    "F09",
    "the timeout is set the old way",
    Severity.INFO,
    see="The timeout is another one than expected.",
    why="GRUB_HIDDEN_TIMEOUT was replaced by GRUB_TIMEOUT_STYLE and is read differently since.",
    fix="GRUB_TIMEOUT_STYLE=hidden and GRUB_TIMEOUT=3, then run update-grub.",
)
_CHARACTERS = _lint_rule(
    "F10",
    "there are characters that only look right",
    Severity.WARN,
    see="`not found` for a line that looks right, or a setting without effect.",
    why=(
        "Typographic quotes are no quotes, a no-break space is no blank, and a file with CRLF "
        "line ends gives every value a carriage return, so that `true` is not `true`."
    ),
    fix="Write plain ASCII. Carriage returns: sudo sed -i.old 's/\\r$//' /etc/default/grub takes "
    "them out and keeps the old file as grub.old. Then update-grub.",
)


def _odd_characters(facts: Facts) -> Iterator[Hit]:
    """Read the settings; line ends that all inputs share came on by copying and are one remark."""
    yield from _CHARACTERS.detect(facts)
    if facts.carried_line_ends is not None:
        yield Hit(
            "every input has Windows' line ends (CR LF): they came on while it was copied, and are "
            "taken off here; whether /etc/default/grub has them cannot be told",
            (facts.carried_line_ends,),
            Severity.INFO,
            fix="Nothing must be done if, there, `grep -c $'\\r' /etc/default/grub` prints 0.",
        )


odd_characters = replace(_CHARACTERS, detect=_odd_characters)


_DISPLAY = {"timeout", "timeout_style"}


@rule(
    "F04",
    "the menu is not shown",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=((Topic.MENU, Topic.SETTINGS),),
    see="The default system starts at once; there is no menu to choose from.",
    why=(
        "With style `hidden`, or timeout 0, the menu appears only if Esc, F4 or Shift is pressed "
        "in time. Ubuntu and Fedora undo that themselves when another system was found."
    ),
    check="labkit boot menu status",
    fix="sudo labkit boot menu show --timeout 5 (by hand: GRUB_TIMEOUT_STYLE=menu, "
    "GRUB_TIMEOUT=5), then update-grub.",
    undo="Put the old lines back and run update-grub.",
)
def menu_hidden(facts: Facts) -> Iterator[Hit]:
    """What grub.cfg really does; or else the settings, where nothing undoes them."""
    menu = facts.menu
    if menu is not None and menu.cfg is not None and menu.cfg.variables.keys() & _DISPLAY:
        from labkit.boot.menu_display import menu_display

        display = menu_display(menu.cfg)
        if not display.visible and not display.conditional:
            line = max(display.style_line, display.timeout_line)
            text = f"style {display.style}, timeout {display.timeout_s} s"
            evidence = (Evidence(menu.source.input, line or None, text),)
            severity = Severity.WARN if _offers_a_choice(facts) else Severity.INFO
            fix, undo = _shown(facts)
            message = f"the menu is not shown ({text})"
            yield Hit(message, evidence, severity, fix=fix, undo=undo)
        return
    if facts.settings is None or _is_undone(facts):
        return
    for name, hides in (("GRUB_TIMEOUT_STYLE", "hidden"), ("GRUB_TIMEOUT", "0")):
        written = facts.settings.written(name)
        if written is not None and facts.settings.value(name) == hides:
            evidence = (written,)
            message = f"{name}={hides} keeps the menu from being shown"
            fix, undo = _shown(facts)
            yield Hit(message, evidence, confidence=Confidence.LIKELY, fix=fix, undo=undo)
            return


def _shown(facts: Facts) -> tuple[str, str]:
    """Give the commands that show the menu, and the old lines where the settings hold them."""
    fix = steps(
        "sudo labkit boot menu show --timeout 5",
        update_steps(facts),
        "(By hand: GRUB_TIMEOUT_STYLE=menu and GRUB_TIMEOUT=5 in /etc/default/grub.)",
    )
    old = []
    if facts.settings is not None:
        lines = map(facts.settings.written, ("GRUB_TIMEOUT_STYLE", "GRUB_TIMEOUT"))
        old = [
            f"The old line of {settings_file(facts, line.input)}: {line.text}"
            for line in lines
            if line is not None
        ]
    return fix, steps(old, update_steps(facts)) if old else ""


def _offers_a_choice(facts: Facts) -> bool:
    """Tell whether another system is there to choose; alone, a hidden menu is the custom."""
    items = facts.menu.items if facts.menu else ()
    return bool(facts.windows_evidence) or any(
        item.kind == "windows" or item.identifier.startswith("osprober-") for item in items
    )


def _is_undone(facts: Facts) -> bool:
    """Tell whether the distribution shows the menu beside Windows in spite of the settings."""
    return facts.distribution.unhides_beside_windows and bool(facts.windows_evidence)


@rule(
    "F12",
    "the menu waits after a start that failed",
    Severity.INFO,
    Effect.SIDE_NOTE,
    needs=(Topic.GRUBENV,),
    see="After a crash the menu stays for 30 seconds.",
    why="Ubuntu sets recordfail in the environment block until a start went well.",
    check="grub-editenv list",
    fix="Nothing must be done: a good start ends it. To wait less: GRUB_RECORDFAIL_TIMEOUT=5 in "
    "/etc/default/grub, then update-grub.",
    undo="Take the line out again and run update-grub.",
)
def record_fail(facts: Facts) -> Iterator[Hit]:
    """recordfail=1 on a system whose entries use it."""
    block = facts.environment.block if facts.environment else None
    if block is None or facts.environment is None or block.variables.get("recordfail") != "1":
        return
    if facts.distribution.family in {Family.UBUNTU, Family.UNKNOWN}:
        line = block.lines["recordfail"]
        evidence = Evidence(facts.environment.evidence.input, line, "recordfail=1")
        yield Hit("the last start was recorded as failed", (evidence,))


RULES = (
    syntax,
    blanks,
    unquoted,
    menu_hidden,
    duplicates,
    overridden,
    misspelt,
    wrong_value,
    old_timeout,
    odd_characters,
    record_fail,
)
