"""The catalogue of rules, grouped as the boot chain is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.rules import (
    default_entry,
    esp,
    firmware,
    menu,
    mode,
    os_prober,
    partitions,
    settings,
    windows,
)
from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.boot.rules.base import Rule

__all__ = ["RULES", "find_rule"]

RULES: tuple[Rule, ...] = (
    *os_prober.RULES,
    *firmware.RULES,
    *menu.RULES,
    *default_entry.RULES,
    *settings.RULES,
    *mode.RULES,
    *esp.RULES,
    *partitions.RULES,
    *windows.RULES,
)
"""Every rule, in the catalogue's order."""


def find_rule(name: str) -> Rule:
    """Find a rule by its id, in any case.

    Raises:
        UsageError: There is no such rule.
    """
    from difflib import get_close_matches

    by_id = {rule.id: rule for rule in RULES}
    if (wanted := name.strip().upper()) in by_id:
        return by_id[wanted]
    close = get_close_matches(wanted, by_id, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UsageError(
        f"there is no rule `{name}`",
        hint=f"{hint}`labkit boot explain --list` names them all",
        code="no-such-rule",
    )
