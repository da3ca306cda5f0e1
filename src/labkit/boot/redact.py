"""Replace what identifies a computer or a person, so that the outputs still fit together.

Each identifier becomes another one of the same form, the same one everywhere: a redacted bundle
leads to the same findings. File-system labels and menu titles are kept.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Redactor"]

# GUIDs that are the same on every computer: partition types, EFI variables, Windows' own.
_PUBLIC = frozenset(
    {
        "8be4df61-93ca-11d2-aa0d-00e098032b8c",
        "9dea862c-5cdd-4e70-acc1-f32b344d4795",
        "99e275e7-75a0-4b37-a2e6-c5385e6c00cb",
    }
)
_IDENTIFIER = re.compile(
    r"(?P<guid>\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b)"
    r"|(?P<mac>\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b)"
    r"|(?<=MAC\()(?P<path_mac>[0-9A-Fa-f]{12})"
    r"|(?P<machine>\b[0-9a-f]{32}\b)"
    r"|(?P<ntfs>\b[0-9A-F]{16}\b)"
    r"|(?P<fat>\b[0-9A-F]{4}-[0-9A-F]{4}\b)"
    r"|(?P<mbr>(?<=0x)[0-9a-f]{8}\b|\b[0-9a-f]{8}(?=-\d\d\b))"
)
_PASSWORD = re.compile(r"(grub\.pbkdf2\.sha512\.\d+\.)[0-9A-Fa-f.]+|(?<=password )\S+ \S+")
_HOME = re.compile(r"(/home/)([^/\s:]+)")


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
        # Shorter names would hit words of the tools' own.
        words = [re.escape(name) for name in names if len(name) > 2]  # noqa: PLR2004
        self._names = re.compile(rf"\b(?:{'|'.join(words)})\b") if words else None

    def __call__(self, raw: bytes) -> bytes:
        """Redact one input; its length stays the same but for names and passwords."""
        text = raw.decode("utf-8", "surrogateescape")
        text = _IDENTIFIER.sub(lambda m: self._replaced(m[0]), text)
        text = _PASSWORD.sub(lambda m: f"{m[1] or ''}redacted", text)
        text = _HOME.sub(lambda m: m[1] + "user", text)
        if self._names is not None:
            text = self._names.sub("name", text)
        return text.encode("utf-8", "surrogateescape")

    def _replaced(self, identifier: str) -> str:
        key = identifier.lower()
        if key in self._public:
            return identifier
        digits = iter(hashlib.sha256(self._salt + key.encode()).hexdigest())
        other = "".join(next(digits) if c.isalnum() else c for c in key)
        return other.upper() if identifier != key else other
