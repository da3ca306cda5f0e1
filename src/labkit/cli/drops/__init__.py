"""`labkit drops`: a module for each command, imported when the command is asked for."""

from __future__ import annotations

from labkit.cli.drops.tool import drops

__all__ = ["app"]

app = drops.app
