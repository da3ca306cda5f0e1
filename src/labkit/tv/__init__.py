"""Sideloading apps to Android TVs over adb.

```python
from labkit.tv import DeviceFacts, check_app, open_apps, read_apk

print(read_apk("player.apk").package)
with open_apps(["player.apks"]) as (app,):
    print(check_app(app, DeviceFacts(sdk=28, abis=("armeabi-v7a",))).problems)
```

The names below are imported when they are first used: a check of a file never loads adb.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.tv.apk import Apk, read_apk
    from labkit.tv.bundles import open_apps
    from labkit.tv.device import Tv
    from labkit.tv.facts import DeviceFacts, InstalledApp
    from labkit.tv.failures import explain, read_outcome
    from labkit.tv.fit import check_app
    from labkit.tv.install import plan_install

__all__ = [
    "Apk",
    "DeviceFacts",
    "InstalledApp",
    "Tv",
    "check_app",
    "explain",
    "open_apps",
    "plan_install",
    "read_apk",
    "read_outcome",
]

_MODULES = {
    "Apk": "apk",
    "DeviceFacts": "facts",
    "InstalledApp": "facts",
    "Tv": "device",
    "check_app": "fit",
    "explain": "failures",
    "open_apps": "bundles",
    "plan_install": "install",
    "read_apk": "apk",
    "read_outcome": "failures",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"labkit.tv.{_MODULES[name]}"), name)
