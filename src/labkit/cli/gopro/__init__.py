"""`labkit gopro`: a module for each command, imported when it is asked for."""

from __future__ import annotations

from labkit.cli.gopro.tool import gopro

__all__ = ["app"]

app = gopro.app
