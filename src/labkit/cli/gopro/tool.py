"""The tool `labkit gopro`, to which its command modules add themselves."""

from __future__ import annotations

from labkit.cli.frame import Tool

__all__ = ["COMMANDS", "gopro"]

_PACKAGE = "labkit.cli.gopro"

COMMANDS = {
    "pull": (f"{_PACKAGE}.pull", "Bring what is not in DEST yet from the camera."),
    "ls": (f"{_PACKAGE}.looking", "List the recordings on the camera."),
    "verify": (f"{_PACKAGE}.verify", "Check that every file in DEST is there and whole."),
    "info": (f"{_PACKAGE}.looking", "Show which camera answers, and how it is."),
    "clock": (f"{_PACKAGE}.clock", "Compare the camera's clock with the computer's."),
    "transcode": (f"{_PACKAGE}.transcode", "Convert HEVC clips to H.264, telemetry kept."),
    "fake": (f"{_PACKAGE}.fake", "Play a camera on 127.0.0.1, to rehearse a pull."),
}
"""Name -> the module that registers the command, and its line of help."""

gopro = Tool("gopro", "Bring every file off a GoPro, verified and resumable.", table=COMMANDS)
