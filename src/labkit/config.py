"""The user's configuration file: names for cameras and TVs.

The file is optional TOML:

```toml
[gopro.helmet]
address = "10.5.5.9"

[tv.livingroom]
address = "192.168.1.20"
```

A flag goes before an environment variable, that before this file, that before the default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Config", "config_path", "read_config"]


@dataclass(frozen=True)
class Config:
    """What the configuration file says.

    Attributes:
        path: The file, whether or not it exists.
        exists: Whether it was there.
        tables: Tool -> name of the device -> its settings.
    """

    path: Path
    exists: bool = False
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def devices(self, tool: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the named devices of `tool`, with their settings."""
        return self.tables.get(tool, {})


def config_path() -> Path:
    """Return where the configuration file is looked for on this platform."""
    import platformdirs

    return Path(platformdirs.user_config_dir("labkit", appauthor=False)) / "config.toml"


def read_config(path: Path | None = None) -> Config:
    """Read the configuration file; without one, the configuration is empty.

    Raises:
        InputError: It cannot be read, is no TOML, or has something other than tables of devices.
    """
    import tomllib

    path = path or config_path()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config(path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"the configuration file cannot be read: {reason}", hint=f"mend or remove {path}"
        ) from error
    for tool, devices in content.items():
        if not isinstance(devices, dict) or not all(isinstance(v, dict) for v in devices.values()):
            raise InputError(
                f"`{tool}` in the configuration file is not a table of named devices",
                hint=f'write `[{tool}.NAME]` and below it `address = "..."` in {path}',
            )
    return Config(path, exists=True, tables=content)
