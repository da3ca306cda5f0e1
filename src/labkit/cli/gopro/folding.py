"""Many lines that say the same of many files become one with a count."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from labkit.errors import LabkitError, PartialError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["fold_errors", "fold_lines"]

# So many alike are shown one by one.
_FEW = 2
_MOST_NAMES = 3
_NUMBER = re.compile(r"\d+")
_WORD_WITH_NUMBER = re.compile(r"\S*\d\S*")


def fold_errors(failures: Iterable[tuple[str, LabkitError]]) -> list[PartialError]:
    """Fold errors that differ only in the file and in numbers; the first of them is shown whole.

    Args:
        failures: The name of each file, and what became of it.
    """
    alike: dict[tuple[str, str | None, str], list[tuple[str, LabkitError]]] = defaultdict(list)
    for name, error in failures:
        reason = error.message.removeprefix(f"{name}: ")
        alike[error.code, error.hint, _NUMBER.sub("#", reason)].append((name, error))
    return [folded for group in alike.values() for folded in _fold(group)]


def _fold(group: Sequence[tuple[str, LabkitError]]) -> list[PartialError]:
    shown = group if len(group) <= _FEW else group[:1]
    others = [name for name, _ in group[len(shown) :]]
    more = f" (and {_and_more(others)})" if others else ""
    return [
        PartialError(error.message + more, hint=error.hint, code=error.code) for _, error in shown
    ]


def _and_more(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES])
    return f"{len(names)} more: {listed}" + (", ..." if rest > 0 else "")


def fold_lines(lines: Iterable[str]) -> list[str]:
    """Fold lines that differ only in words with numbers in them, as file names and sizes have."""
    alike: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        alike[_WORD_WITH_NUMBER.sub("#", line)].append(line)
    return [
        line
        for group in alike.values()
        for line in (
            group if len(group) <= _FEW else [f"{group[0]} (and {len(group) - 1} more like it)"]
        )
    ]
