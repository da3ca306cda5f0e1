"""`labkit boot explain`: what a rule looks for, why it matters, how to mend it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.tool import boot
from labkit.cli.frame import Result
from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.rules.base import Rule
    from labkit.cli.output import Output


@boot.command("labkit boot explain E01", "labkit boot explain --list")
def explain(
    rule: Annotated[str | None, typer.Argument(help="The rule's id.", metavar="RULE")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List all rules.")] = False,
) -> Result:
    """Explain a rule: what you see, why, how to check it by hand, the fix, how to undo it."""
    from labkit.boot.rules import RULES, find_rule

    if list_ or rule is None:
        if rule is not None:
            raise UsageError("choose a rule or --list, not both")
        if not list_:
            raise UsageError("which rule?", hint="`labkit boot explain --list` names them all")
        rows = [(r.id, r.severity.value, r.title) for r in RULES]
        data = {"rules": [{"rule": i, "severity": s, "title": t} for i, s, t in rows]}
        return Result(data, lambda output: output.table(("rule", "severity", "title"), rows))
    found = find_rule(rule)
    return Result(_data(found), lambda output: _show(output, found))


def _data(rule: Rule) -> dict[str, object]:
    return {
        "rule": rule.id,
        "title": rule.title,
        "severity": rule.severity,
        "see": rule.see,
        "why": rule.why,
        "check": rule.check,
        "fix": rule.fix,
        "undo": rule.undo,
        "needs": [list(need) if isinstance(need, tuple) else [need] for need in rule.needs],
        "explains": list(rule.explains),
        "changes_start": rule.changes_start,
    }


_BITLOCKER = (
    "If Windows uses BitLocker (device encryption), have its recovery key at hand, or suspend it "
    "in Windows: manage-bde -protectors -disable C:"
)
_PLACEHOLDERS = r"\b(?:DISK|NUMBER|LABEL|VENDOR|XXXX|TYPE|PARTITION|UUID|VALUE)\b"


def _notes(text: str) -> Iterator[str]:
    """Say what is left to the reader: values of their own, their distribution's command."""
    if re.search(_PLACEHOLDERS, text):
        yield (
            "words in capitals stand for values of your own; `labkit boot check` fills them in "
            "where the inputs show them"
        )
    if "update-grub" in text:
        yield (
            "update-grub is Debian's and Ubuntu's; Fedora, openSUSE: grub2-mkconfig -o "
            "/boot/grub2/grub.cfg; Arch: grub-mkconfig -o /boot/grub/grub.cfg"
        )


def _show(output: Output, rule: Rule) -> None:
    output.line(output.style(f"{rule.id} {rule.title} ({rule.severity})", "bold"))
    for heading, text in (
        ("what you see", rule.see),
        ("why", rule.why),
        ("check by hand", rule.check),
        ("before the fix", _BITLOCKER if rule.changes_start else ""),
        ("fix", rule.fix),
        ("undo", rule.undo),
    ):
        if not text:
            continue
        output.line()
        output.line(output.style(heading, "heading"))
        for line in text.split("\n"):
            output.line(f"  {line}")
    for note in _notes(f"{rule.check} {rule.fix} {rule.undo}"):
        output.line()
        output.line(output.style(note, "dim"))
    needs = [" or ".join(n) if isinstance(n, tuple) else n for n in rule.needs]
    output.line()
    output.line(output.style(f"needs: {', '.join(needs)}", "dim"))
