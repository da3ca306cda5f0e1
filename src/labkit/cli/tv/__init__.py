"""`labkit tv`: the commands. Each module adds its own to the tool."""

from __future__ import annotations

from labkit.cli.frame import Tool

__all__ = ["app", "tv"]

tv = Tool("tv", "Sideload apps to Android TVs over adb.")
app = tv.app

# In the order in which the help lists them.
from labkit.cli.tv import connecting, checking, installing, apps, files, kodi, explaining  # noqa: E402, F401, I001
