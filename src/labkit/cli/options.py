"""Options that several tools share, each declared once."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["DryRun", "Timeout", "Yes", "number_of_seconds"]


# Systems count such times in 32 bits of milliseconds.
_LONGEST_S = 1e6


def number_of_seconds(seconds: float | None) -> float | None:
    """Refuse `nan` and `inf`, which Python reads as numbers, and what no system can wait for.

    The callback of an option.
    """
    if seconds is not None and not seconds <= _LONGEST_S:  # false for `nan`
        raise typer.BadParameter(f"it is no number of seconds up to {_LONGEST_S:g}")
    return seconds


DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Show what would be done, and do nothing.")
]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]

Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        callback=number_of_seconds,
        help="Give up after this long.",
    ),
]
