"""What can go wrong between this computer and a camera, each with a stable code."""

from __future__ import annotations

from labkit.errors import PartialError, RefusedError, UnreachableError, UsageError

__all__ = [
    "CameraBusyError",
    "CameraUnreachableError",
    "DestinationLockedError",
    "EmptyListError",
    "LayoutError",
    "NotACameraError",
    "NotSupportedError",
    "OtherCameraError",
]


class CameraUnreachableError(UnreachableError):
    """Nobody answers at the camera's address."""

    code = "camera-unreachable"


class NotACameraError(UnreachableError):
    """Something answers that is no camera: a router, a login page, another service."""

    code = "not-a-camera"


class OtherCameraError(UnreachableError):
    """Another camera answers than the one that the run began with."""

    code = "other-camera"


class CameraBusyError(PartialError):
    """The camera records or is busy, and stayed so for as long as was waited."""

    code = "camera-busy"


class EmptyListError(PartialError):
    """The camera says that it has files, and lists none."""

    code = "empty-list"


class NotSupportedError(RefusedError):
    """The camera has no such function."""

    code = "not-supported"


class LayoutError(UsageError):
    """The layout is unknown, leads out of the destination, or makes two files meet."""

    code = "bad-layout"


class DestinationLockedError(RefusedError):
    """Another pull writes to the same destination."""

    code = "destination-locked"
