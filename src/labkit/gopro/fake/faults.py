"""The faults that the fake camera can have, by the numbers of labkit's fault table.

Those that only this computer can have (a full disk, a second run, a kill) are not here: nothing
on the camera's side makes them.
"""

from __future__ import annotations

from labkit.errors import UsageError

__all__ = ["FAULTS", "check_faults"]

FAULTS: dict[str, str] = {
    "F01": "the first body of each file is cut at 60 %",
    "F02": "the first body of each file ends early without an error; a range gets the rest",
    "F02-short": "each file is 100 bytes shorter than listed, for good",
    "F03": "the first body of each file stalls in the middle",
    "F06": "ranges are ignored (and the first body is cut)",
    "F07": "a range is answered from another offset (and the first body is cut)",
    "F07-etag": "a file is another one when its transfer is resumed",
    "F09": "busy for the first requests of the list and of each file",
    "F09-always": "busy for good, as while recording",
    "F10": "the last listed photo and one frame of each group are not there",
    "F11": "the last clip is still being written: it is listed with 0 bytes",
    "F11-growing": "the last clip is larger than listed",
    "F13": "HEAD tells a wrong length",
    "F14": "the media list is empty, the card is not",
    "F14-404": "the media list is not there, the card is full",
    "F15": "the first request for each path is dropped without an answer",
    "F16": "a log line stands before every status line",
    "F16-body": "a log line stands in the middle of the first body of each file",
    "F17": "commands are answered with a corrupt status line",
    "F18": "commands hang",
    "F19": "a login page answers everything",
    "F19-redirect": "everything redirects to a login page on another host",
    "F20": "the camera dies when it has sent 90 % of its card",
    "F21": "the list holds hostile names",
    "F22": "each body goes on after its end",
    "F24": "numbers are numbers, times are missing, keys and file types are unknown",
    "F25": "an empty clip, a clip of a few bytes, a proxy larger than its clip",
    "F27": "the clock started again at 2016-01-01",
    "F28": "a deletion is refused",
    "F29": "bodies are compressed on the fly, without a length",
    "F31": "two requests at once make both fail",
    "F33": "the list redirects once, on the camera itself",
    "F34": "a group of millions of files",
    "F35": "files and folders are listed twice",
    "F36": "a group's sum of bytes is wrong",
    "F36-once": "a group's sum of bytes is wrong in the first list",
    "F37": "metadata of single files is not there",
    "F39": "the folder pages hold hostile links",
    "F40": "bodies have no length at all",
}
"""Number -> what the camera does; a suffix names a variant."""


def check_faults(names: list[str]) -> frozenset[str]:
    """Check the names of faults that a user gave.

    Raises:
        UsageError: There is no such fault.
    """
    for name in names:
        if name not in FAULTS:
            raise UsageError(
                f"the fake camera has no fault {name!r}",
                hint=f"it has {', '.join(FAULTS)}",
                code="no-such-fault",
            )
    return frozenset(names)
