"""Replace what identifies a computer or a person, so that the outputs still fit together.

Each identifier becomes another one of the same form, the same one everywhere: a redacted bundle
leads to the same findings. What joins nothing - names of users and servers, network addresses,
passwords and keys in fstab, on a kernel's command line, in grub.cfg - becomes `redacted`. Labels
of file systems, menu titles, models of disks and paths other than below /home are kept.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from labkit.boot.distributions import is_distribution_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Redactor"]

# GUIDs that are the same on every computer: partition types, EFI variables, Windows' own.
_PUBLIC = frozenset(
    {
        "8be4df61-93ca-11d2-aa0d-00e098032b8c",
        "9dea862c-5cdd-4e70-acc1-f32b344d4795",
        "99e275e7-75a0-4b37-a2e6-c5385e6c00cb",
    }
)
# What joins the outputs: each is replaced by another of the same form.
_IDENTIFIER = re.compile(
    r"(?P<guid>\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b)"
    r"|(?P<mac>\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5,7}\b)"
    r"|(?<=MAC\()(?P<path_mac>[0-9A-Fa-f]{12})"
    r"|(?P<machine>\b[0-9a-f]{32}\b)"
    r"|(?P<lvm>\b[A-Za-z0-9]{6}(?:-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}\b)"
    r"|(?P<volume>\b(?:[0-9A-F]{16}|[0-9A-F]{4}-[0-9A-F]{4})\b)"
    # Lower case is not how these are printed, but how some write them; GRUB does not mind.
    r"|(?<=UUID=)(?P<typed>\"?(?:[0-9A-Fa-f]{16}|[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4})\b)"
    # The firmware's list drops the leading zeros of a disk's signature.
    r"|(?<=MBR,0x)(?P<signature>[0-9a-f]{1,8})\b"
    # `,0x` stands before the sectors of a device path.
    r"|(?P<mbr>(?<!,0x)(?<=0x)[0-9a-f]{8}\b|\b[0-9a-f]{8}(?=-[0-9a-f]{2}\b))"
)
_BY_ID = re.compile(
    r"(?<=/dev/disk/by-id/)(?P<kind>dm-uuid-[A-Z]+\d?-|[a-z]+-(?:uuid-|name-)?)"
    r"(?P<serial>[^\s,\"']+?)(?P<part>-part\d+)?(?=[\s,\"']|\Z)"
)
# What nothing is joined by, and what names a person, a network or a secret.
_SECRET_OPTION = re.compile(
    r"(?P<key>(?<![\w.-])(?:[\w.-]*[._-])?(?:password|passwd|passphrase|pass|pw|psk|secret|token"
    r"|credentials?|cred|key|keyfile|user|username|login|superusers|ip|nameserver|netroot|nfsroot"
    r"|hostname|domain|workgroup|server|proxy)=)(?P<quote>[\"']?)(?P<value>[^\s,\"']+)",
    re.IGNORECASE,
)
_SECRETS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"(?P<keep>\bgrub\.pbkdf2\.sha512\.\d+\.)[0-9A-Fa-f.]+",
        r"(?P<keep>^\s*password_pbkdf2\s+)\S+",
        r"(?P<keep>^\s*password\s+)\S+\s+\S+",
        r"(?P<keep>--users\s+)\S+",
        r"(?P<keep>^//)[^/\s]+/\S+",  # a share of Windows, in fstab
        r"(?P<keep>^)[^\s:/]+:/\S*(?=\s+\S+\s+nfs)",
        r"(?P<keep>://)[^\s/@\"']+@",
        r"(?P<keep>)(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
        r"(?P<keep>)(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w.-])",
        r"(?P<keep>)(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])",
        r"(?P<keep>)(?<![\w:])(?:[0-9A-Fa-f]{1,4}:)+:(?:[0-9A-Fa-f]{1,4}:?)*(?![\w:])",
    )
)
# Names of hosts that are also words of the tools' own; installers give them to many computers.
_COMMON_NAMES = frozenset(
    {"localhost", "live", "linux", "windows", "grub", "boot", "root", "home", "user", "default"}
    | {"name", "redacted", "archiso", "laptop", "desktop", "computer", "server", "disk", "efi"}
    | {"esp", "microsoft", "uuid", "label", "system", "linux-pc", "gnu", "menu", "title"}
)
_HOME = re.compile(r"(/home/)([^/\s:]+)")
_MBR_DIGITS = 8


def _is_personal(name: str) -> bool:
    """Tell a host's name that says something of its owner, and nothing of the system on it."""
    is_short = len(name) <= 2  # noqa: PLR2004 - it would hit any word
    return not (is_short or name.lower() in _COMMON_NAMES or is_distribution_name(name))


class Redactor:
    """Replaces identifiers, the same way in all inputs of one computer.

    Args:
        names: Words to replace too: the host's name, users' names.
        salt: What makes the replacements unpredictable; random by default.
    """

    def __init__(self, names: Iterable[str] = (), salt: bytes | None = None) -> None:
        from labkit.boot.partition_types import PUBLIC_GUIDS

        self._salt = secrets.token_bytes(16) if salt is None else salt
        self._public = _PUBLIC | PUBLIC_GUIDS
        words = [re.escape(name) for name in names if _is_personal(name)]
        self._names = re.compile(rf"\b(?:{'|'.join(words)})\b") if words else None

    def __call__(self, raw: bytes) -> bytes:
        """Redact one input; its length stays the same but for names, addresses and secrets."""
        text = raw.decode("utf-8", "surrogateescape")
        text = _BY_ID.sub(self._serial_replaced, text)
        text = _IDENTIFIER.sub(self._replaced, text)
        text = _SECRET_OPTION.sub(self._option_redacted, text)
        for secret in _SECRETS:
            text = secret.sub(lambda m: f"{m['keep']}redacted", text)
        text = _HOME.sub(lambda m: m[1] + "user", text)
        if self._names is not None:
            text = self._names.sub("name", text)
        return text.encode("utf-8", "surrogateescape")

    def _option_redacted(self, match: re.Match[str]) -> str:
        # A variable of the shell or of GRUB is no secret, and tells what the line does.
        value = match["value"] if match["value"].startswith("$") else "redacted"
        return f"{match['key']}{match['quote']}{value}"

    def _serial_replaced(self, match: re.Match[str]) -> str:
        return f"{match['kind']}{self._other(match['serial'])}{match['part'] or ''}"

    def _replaced(self, match: re.Match[str]) -> str:
        identifier = match[0]
        if match["signature"]:
            identifier = identifier.zfill(_MBR_DIGITS)
        # All zeros are no identity: they are what a damaged table shows.
        if identifier.lower() in self._public or not identifier.strip("0-"):
            return match[0]
        other = self._other(identifier)
        is_volume = match["volume"] or match["typed"]
        is_upper = identifier != identifier.lower() or (
            is_volume and identifier.upper() == identifier
        )
        return other.upper() if is_upper else other

    def _other(self, identifier: str) -> str:
        """Give the stand-in of an identifier: of the same form, in lower case."""
        key = identifier.lower().strip('"')
        digits = iter("".join(self._digests(key)))
        return "".join(next(digits) if c.isalnum() else c for c in identifier)

    def _digests(self, key: str) -> Iterator[str]:
        for turn in range(len(key) // hashlib.sha256().digest_size // 2 + 1):
            seed = self._salt + key.encode("utf-8", "surrogateescape") + b"+" * turn
            yield hashlib.sha256(seed).hexdigest()
