"""Options that several tools share, each declared once."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["DryRun", "Timeout", "Yes"]

DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Show what would be done, and do nothing.")
]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]

Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="Give up after this long.")
]
