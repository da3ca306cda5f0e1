"""Bring every file off a GoPro: once, whole, with the right time.

```python
from labkit.gopro import Camera, parse_address, plan_pull, pull

camera = Camera.find(parse_address("10.5.5.9"))
result = pull(camera, Path("~/Videos/gopro").expanduser())
```
"""

from __future__ import annotations

from labkit.gopro.address import DEFAULT_ADDRESS, Address, parse_address, usb_address
from labkit.gopro.camera import Camera
from labkit.gopro.plan import Plan, PlannedFile, PlanOptions, plan_pull
from labkit.gopro.pull import PullResult, pull
from labkit.gopro.run import PullOptions
from labkit.gopro.selection import Selection

__all__ = [
    "DEFAULT_ADDRESS",
    "Address",
    "Camera",
    "Plan",
    "PlanOptions",
    "PlannedFile",
    "PullOptions",
    "PullResult",
    "Selection",
    "parse_address",
    "plan_pull",
    "pull",
    "usb_address",
]
