"""`labkit boot`: say why a dual boot does not boot, and change its default."""

from labkit.cli.boot import check, collect, entries, explain, lint, menu, migrate, once, table
from labkit.cli.boot.tool import boot

__all__ = [
    "app",
    "check",
    "collect",
    "entries",
    "explain",
    "lint",
    "menu",
    "migrate",
    "once",
    "table",
]

app = boot.app
