"""What a single value of a specification may be, by kind.

Each function takes the text as it was written and returns the value that goes into the scripts,
or raises ValueError with the reason and the way out. What is accepted is kept to the byte: no
trimming, no Unicode normalisation. Sizes are bytes; MB, GB and TB are powers of two, as in
PowerShell.
"""

from __future__ import annotations

import re
import unicodedata

from labkit.gpupv.memory_mapped import DEFAULT_HIGH_BASE_MB

__all__ = [
    "account",
    "existing_name",
    "guid",
    "high_space",
    "image_path",
    "instance_path",
    "low_space",
    "machine_name",
    "memory",
    "new_name",
    "path",
    "resolution",
    "same_file",
    "show_size",
    "show_text",
    "size",
    "space_base",
    "vhd_size",
    "vhdx_path",
    "whole_number",
]

_MIB = 2**20
_GIB = 2**30
_TIB = 2**40
_UNITS = {"mb": _MIB, "gb": _GIB, "tb": _TIB, "mib": _MIB, "gib": _GIB, "tib": _TIB}
_SIZE = re.compile(r"([0-9]+) ?(MB|MiB|GB|GiB|TB|TiB)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_GUID = re.compile(r"\{?([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\}?")
_DEVICE_NAME = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9\u00b9\u00b2\u00b3]) *(?:\..*)?",
    re.IGNORECASE,
)
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_MAX_NAME_UNITS = 100
_MAX_NEW_NAME = 63
_MAX_USER = 20
_MAX_PATH = 259
_MAX_SHOWN = 200
_SHOWN_END = 80
_NEW_NAME = re.compile(r"[A-Za-z0-9 ._()-]+")
_ACCOUNT_FORBIDDEN = set('"/\\[]:;|=,+*?<>')
_DOMAIN = re.compile(r"[A-Za-z0-9._-]+")
_RESOLUTION = re.compile(r"([0-9]{3,4})x([0-9]{3,4})")
_LEAST_RESOLUTION = (640, 480)
_MOST_RESOLUTION = (7680, 4320)


def machine_name(text: str) -> str:
    """Check the name of a virtual machine that exists; an odd one may be replaced by its id."""
    return existing_name(text, "; for such a name give `id` instead")


def existing_name(text: str, way_out: str = "") -> str:
    """Check the name of something that exists: a virtual machine, a switch, a card.

    Wildcards, quotes, `$` and the like are fine; the scripts compare whole names with `-ceq`.
    """
    _check_visible(text, way_out)
    if text[0] != text.lstrip()[:1] or text[-1] != text.rstrip()[-1:]:
        raise ValueError(f"begins or ends with a blank{way_out}")
    if len(text.encode("utf-16-le")) // 2 > _MAX_NAME_UNITS:
        raise ValueError(f"is longer than {_MAX_NAME_UNITS} characters")
    return text


def new_name(text: str) -> str:
    """Check the name of a virtual machine that the scripts create; it names folders too."""
    _check_visible(text)
    if len(text) > _MAX_NEW_NAME:
        raise ValueError(f"is longer than {_MAX_NEW_NAME} characters, too long for a new one")
    if not _NEW_NAME.fullmatch(text):
        raise ValueError("a new name has letters of ASCII, digits, blanks and . _ - ( ) only")
    if text[0] in " ." or text[-1] in " .":
        raise ValueError("a new name neither begins nor ends with a blank or a dot")
    if _DEVICE_NAME.fullmatch(text):
        raise ValueError("is the name of a Windows device")
    return text


def guid(text: str) -> str:
    """Check a GUID, with or without braces; return it bare, in lower case."""
    match = _GUID.fullmatch(text)
    if not match or text.startswith("{") != text.endswith("}"):
        raise ValueError("is no GUID; `(Get-VM).Id` shows them")
    return match[1].lower()


def account(text: str) -> str:
    r"""Check a Windows account: `user`, `.\user`, `DOMAIN\user` or `user@domain`."""
    _check_visible(text)
    domain, backslash, user = text.rpartition("\\")
    allowed = ""
    if backslash:
        if domain != "." and not _DOMAIN.fullmatch(domain):
            raise ValueError("has no domain's name before the backslash")
    elif "@" in text:
        user, _, domain = text.rpartition("@")
        allowed = "+"
        if not _DOMAIN.fullmatch(domain):
            raise ValueError("has no domain's name after the @")
    if bad := sorted(set(user) & (_ACCOUNT_FORBIDDEN - set(allowed))):
        raise ValueError(f"holds {' '.join(bad)}, which no Windows account name can")
    if not 1 <= len(user) <= _MAX_USER or not user.strip(" ."):
        raise ValueError(f"a Windows account name has 1 to {_MAX_USER} characters, not all dots")
    return text


def path(text: str) -> str:
    r"""Check a full Windows path of a file; forward slashes become backslashes.

    `X:\...`, `\\server\share\...`, `\\?\X:\...` and `\\?\UNC\server\share\...` are taken.
    """
    _check_visible(text)
    if text.startswith(("%", "$")):
        raise ValueError("begins with a variable that nobody expands; write the full path")
    long = text.startswith("\\\\?\\")
    if long and "/" in text:
        raise ValueError("has a forward slash, which \\\\?\\ does not allow")
    normal = text.replace("/", "\\")
    for segment in _segments(normal):
        _check_segment(segment)
    if not long and len(normal.encode("utf-16-le")) // 2 > _MAX_PATH:
        raise ValueError(f"is longer than {_MAX_PATH} characters; begin it with \\\\?\\")
    return normal


def same_file(text: str) -> str:
    r"""Fold the spellings of one path into one: the prefix `\\?\`, slashes and case."""
    folded = text.replace("/", "\\").lower()
    if folded.startswith("\\\\?\\unc\\"):
        return "\\" + folded[7:]
    return folded.removeprefix("\\\\?\\")


def vhdx_path(text: str) -> str:
    """Check the path of a virtual disk: `.vhdx` or `.vhd`."""
    if text.lower().endswith(".avhdx"):
        raise ValueError("is a checkpoint's disk; merge the checkpoints and give the .vhdx")
    return _with_suffix(text, (".vhdx", ".vhd"))


def image_path(text: str) -> str:
    """Check the path of an installation image: `.iso`."""
    return _with_suffix(text, (".iso",))


def instance_path(text: str) -> str:
    """Check a GPU's instance path, or `auto` for the host's only card."""
    from labkit.gpupv.instance_path import InstancePathError, parse_instance_path

    if text.lower() == "auto":
        return "auto"
    try:
        found = parse_instance_path(text)
    except InstancePathError as error:
        raise ValueError(f"is no instance path: {error.hint}") from error
    if found.vendor == "Microsoft":
        raise ValueError(
            "is Microsoft's own adapter, which exists only inside a guest; take the Name from "
            "Get-VMHostPartitionableGpu on the host"
        )
    return found.text


def size(text: str, least: int, most: int, step: int = _MIB) -> int:
    """Read a size in bytes: a whole number, perhaps a blank, and MB, GB or TB (MiB, GiB, TiB)."""
    match = _SIZE.fullmatch(text)
    if not match:
        unit = "; add a unit: GiB" if text.isascii() and text.isdigit() else ""
        raise ValueError(f"is no size like 8GiB or 512 MB{unit}")
    if len(match[1]) > len(str(most)):
        raise ValueError(f"is more than {show_size(most)}")
    value = int(match[1]) * _UNITS[match[2].lower()]
    if not least <= value <= most:
        raise ValueError(f"is not between {show_size(least)} and {show_size(most)}")
    if value % step:
        raise ValueError(f"is no multiple of {show_size(step)}")
    return value


def memory(text: str) -> int:
    """Read the memory of a virtual machine: 512 MiB to 12 TiB, in steps of 2 MiB."""
    return size(text, 512 * _MIB, 12 * _TIB, 2 * _MIB)


def card_memory(text: str) -> int:
    """Read the memory of a graphics card."""
    return size(text, 64 * _MIB, _TIB)


def low_space(text: str) -> int:
    """Read the low memory-mapped space; the cmdlet takes it as a UInt32."""
    return size(text, 128 * _MIB, 3584 * _MIB)


def high_space(text: str) -> int:
    """Read the high memory-mapped space; below 8 GiB a guest's card stops with Code 43."""
    return size(text, 8 * _GIB, 256 * _GIB)


def space_base(text: str) -> int:
    """Read where the high memory-mapped space begins; nobody needs it above its usual place."""
    return size(text, 8 * _GIB, DEFAULT_HIGH_BASE_MB * _MIB)


def vhd_size(text: str) -> int:
    """Read the size of a new virtual disk."""
    return size(text, _GIB, 64 * _TIB)


def show_size(count: int) -> str:
    """Write a number of bytes in the largest unit that holds it whole.

    >>> show_size(8 * 2**30)
    '8 GiB'
    """
    for unit, name in ((_TIB, "TiB"), (_GIB, "GiB"), (_MIB, "MiB")):
        if count and not count % unit:
            return f"{count // unit} {name}"
    return f"{count} bytes"


def show_text(text: str) -> str:
    r"""Write a value for a message: in quotes, unseen characters escaped, backslashes as they are.

    >>> print(show_text(r"D:\VMs\g.vhdx"))
    'D:\VMs\g.vhdx'
    """
    if len(text) > _MAX_SHOWN:
        text = f"{text[: _MAX_SHOWN - _SHOWN_END]}...{text[-_SHOWN_END:]}"
    return f"'{''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text)}'"


def resolution(text: str) -> tuple[int, int]:
    """Read a resolution, `2560x1440`: 640x480 to 7680x4320."""
    match = _RESOLUTION.fullmatch(text)
    if not match:
        raise ValueError("is no resolution like 2560x1440")
    width, height = int(match[1]), int(match[2])
    if not (_LEAST_RESOLUTION[0] <= width <= _MOST_RESOLUTION[0]) or not (
        _LEAST_RESOLUTION[1] <= height <= _MOST_RESOLUTION[1]
    ):
        raise ValueError("is not between 640x480 and 7680x4320")
    return width, height


def whole_number(text: str, least: int, most: int) -> int:
    """Read a whole number: ASCII digits without sign, unit or leading zero."""
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(f"is no whole number from {least} to {most}")
    return int(text)


def _check_visible(text: str, way_out: str = "") -> None:
    if not text:
        raise ValueError("is empty")
    for character in text:
        noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF  # noqa: PLR2004 - Unicode's own
        if noncharacter or unicodedata.category(character) in _UNSEEN:
            raise ValueError(
                f"holds U+{ord(character):04X}, a character that cannot be seen or printed{way_out}"
            )


def _with_suffix(text: str, suffixes: tuple[str, ...]) -> str:
    checked = path(text)
    if not checked.lower().endswith(suffixes):
        raise ValueError(f"does not end in {' or '.join(suffixes)}")
    return checked


def _segments(normal: str) -> list[str]:
    """Take the root off a path and return the names that follow."""
    rest = normal
    if rest.startswith("\\\\?\\"):
        rest = rest[4:]
        if rest[:4].upper() == "UNC\\":
            rest = "\\\\" + rest[4:]
    if rest.startswith("\\\\"):
        names = rest[2:].split("\\")
        if len(names) < 3 or names[0] in {".", "?"}:  # noqa: PLR2004 - server, share, name
            raise ValueError("is no file on a share: \\\\server\\share\\file")
        return names
    if not re.match(r"[A-Za-z]:\\", rest):
        raise ValueError("is no full path; begin it with a drive, as in D:\\VMs\\disk.vhdx")
    return rest[3:].split("\\")


def _check_segment(name: str) -> None:
    if not name:
        raise ValueError("ends in a separator or has two in a row; it must name a file")
    if name in {".", ".."}:
        raise ValueError(f"holds the segment {name}; write the full path")
    if bad := sorted(set(name) & set('<>"|?*:')):
        raise ValueError(f"holds {' '.join(bad)}, which no Windows file name can")
    if name[-1] in " .":
        raise ValueError(f"has a name that ends in a blank or a dot: {show_text(name)}")
    if _DEVICE_NAME.fullmatch(name):
        raise ValueError(f"holds {show_text(name)}, the name of a Windows device")
