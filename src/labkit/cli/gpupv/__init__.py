"""`labkit gpupv`: a module for each command, imported when the command is asked for."""

from __future__ import annotations

from labkit.cli.gpupv.tool import gpupv

__all__ = ["app"]

app = gpupv.app
