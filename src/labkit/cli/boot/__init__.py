"""`labkit boot`: a module for each group of commands, imported when one of it is asked for."""

from __future__ import annotations

from labkit.cli.boot.tool import boot

__all__ = ["app"]

app = boot.app
