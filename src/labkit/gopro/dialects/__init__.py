"""The languages that cameras speak, in the order in which they are tried.

Each dialect knows the paths and quirks of one generation of cameras; what it reads comes back in
the same terms (`MediaListing`, `CameraInfo`, `CameraState`) as from any other.
"""

from __future__ import annotations

from labkit.gopro.dialects.fusion import Fusion
from labkit.gopro.dialects.html import Html
from labkit.gopro.dialects.legacy import Legacy
from labkit.gopro.dialects.open_gopro import OpenGoPro
from labkit.gopro.dialects.protocol import Dialect, Probe

__all__ = ["DIALECTS", "Dialect", "Probe"]

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (OpenGoPro(), Legacy(), Fusion(), Html())
}
"""Name -> dialect, in the order of trying."""
