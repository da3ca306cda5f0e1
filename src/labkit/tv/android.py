"""Android's API levels under the names that people know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PREVIEW_SDK", "describe_sdk", "lowest_target_sdk"]

PREVIEW_SDK = 10_000
"""The API level that stands for a preview's code name (`Build.VERSION_CODES.CUR_DEVELOPMENT`)."""

_VERSIONS: Mapping[int, str] = {
    1: "1.0",
    2: "1.1",
    3: "1.5",
    4: "1.6",
    5: "2.0",
    6: "2.0.1",
    7: "2.1",
    8: "2.2",
    9: "2.3",
    10: "2.3.3",
    11: "3.0",
    12: "3.1",
    13: "3.2",
    14: "4.0",
    15: "4.0.3",
    16: "4.1",
    17: "4.2",
    18: "4.3",
    19: "4.4",
    20: "4.4W",
    21: "5.0",
    22: "5.1",
    23: "6.0",
    24: "7.0",
    25: "7.1",
    26: "8.0",
    27: "8.1",
    28: "9",
    29: "10",
    30: "11",
    31: "12",
    32: "12L",
    33: "13",
    34: "14",
    35: "15",
    36: "16",
}

# The first API level that blocks apps made for versions before the second number.
_TARGET_BLOCKS = ((35, 24), (34, 23))


def describe_sdk(sdk: int) -> str:
    """Name the Android version of an API level: `Android 9 (API 28)`."""
    if sdk == PREVIEW_SDK:
        return "a preview of Android"
    version = _VERSIONS.get(sdk)
    return f"Android {version} (API {sdk})" if version else f"Android API {sdk}"


def lowest_target_sdk(sdk: int) -> int:
    """Return the lowest target API level that a TV of level `sdk` installs without being asked."""
    return next((lowest for first, lowest in _TARGET_BLOCKS if sdk >= first), 0)
