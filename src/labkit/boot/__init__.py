"""Diagnosing and changing a dual boot of Windows and Linux.

```python
from labkit.boot import diagnose, read_bundle

diagnosis = diagnose(read_bundle(Path("boot.tar.gz")))
print(diagnosis.verdict, diagnosis.root_causes)
```

The three names below are loaded when they are first asked for, so that importing one module of
the package never pays for the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.boot.bundle import read_bundle
    from labkit.boot.default_entry import resolve_default
    from labkit.boot.diagnosis import diagnose

__all__ = ["diagnose", "read_bundle", "resolve_default"]

_HOMES = {
    "diagnose": "labkit.boot.diagnosis",
    "read_bundle": "labkit.boot.bundle",
    "resolve_default": "labkit.boot.default_entry",
}


def __getattr__(name: str) -> object:
    """Load one of the public names from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
