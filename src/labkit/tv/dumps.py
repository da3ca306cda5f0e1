"""Reading what Android's own programs print: getprop, wm, df, pm and dumpsys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.tv.facts import InstalledApp

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "parse_abis",
    "parse_density",
    "parse_free_bytes",
    "parse_languages",
    "parse_names",
    "parse_package",
    "parse_properties",
]

_KIB = 1024
_SUFFIXES = {"": 1, "K": _KIB, "M": _KIB**2, "G": _KIB**3, "T": _KIB**4}

# Up to Android 8.1 the dump shows the identity of objects instead of a hash of certificates.
_FIRST_SDK_WITH_SIGNERS = 28
# PackageParser.SigningDetails.CertCapabilities.ROLLBACK
_MAY_ROLL_BACK = 0x8
_SYSTEM_FLAG, _DEBUGGABLE_FLAG = "SYSTEM", "DEBUGGABLE"


def parse_properties(text: str) -> dict[str, str]:
    """Read `[name]: [value]` lines of `getprop`; a value may span lines."""
    return {match[1]: match[2] for match in re.finditer(r"(?ms)^\[([^\]\n]*)\]: \[(.*?)\]$", text)}


def parse_abis(properties: Mapping[str, str]) -> tuple[str, ...]:
    """Find the processor types that a TV runs, the preferred one first."""
    listed = properties.get("ro.product.cpu.abilist") or ""
    if not listed:  # before Android 5
        pair = (properties.get(f"ro.product.cpu.{key}", "") for key in ("abi", "abi2"))
        listed = ",".join(pair)
    return tuple(abi for abi in (part.strip() for part in listed.split(",")) if abi)


def parse_languages(properties: Mapping[str, str]) -> tuple[str, ...]:
    """Find the language of the TV's user, as a code of two or three letters."""
    for name in ("persist.sys.locale", "ro.product.locale", "ro.product.locale.language"):
        if match := re.match(r"[A-Za-z]{2,3}(?=$|[-_])", properties.get(name, "")):
            return (match.group().lower(),)
    return ()


def parse_density(text: str) -> int | None:
    """Read the screen density of `wm density`, in dots per inch; an override counts."""
    found = dict(re.findall(r"(Physical|Override) density: (\d{2,5})\b", text))
    value = found.get("Override") or found.get("Physical")
    return int(value) if value else None


def parse_free_bytes(text: str) -> int | None:
    """Read the free space of `df -k` (Android 6 and later) or of the old `df`, in bytes."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for words in reversed(lines):
        numbers = [word for word in words[1:] if re.fullmatch(r"\d{1,15}(\.\d{1,3})?[KMGT]?", word)]
        if len(numbers) < 3:  # noqa: PLR2004 - total, used, free
            continue
        match = re.fullmatch(r"([\d.]+)([KMGT]?)", numbers[2])
        if match is None:
            continue
        # `-k` counts in units of 1 KiB; the old form writes a suffix.
        unit = _SUFFIXES[match[2]] if match[2] else _KIB
        return int(float(match[1]) * unit)
    return None


def parse_names(text: str, prefix: str) -> tuple[str, ...]:
    """Read the `prefix:NAME` lines of `pm list` and `pm path`, in their order."""
    start = f"{prefix}:"
    lines = (line.strip() for line in text.splitlines())
    return tuple(line.removeprefix(start) for line in lines if line.startswith(start))


def parse_package(text: str, package: str, *, sdk: int | None) -> InstalledApp | None:
    """Read `dumpsys package`: which version of an app is on the TV, signed by whom.

    Args:
        text: The dump.
        package: The app's id.
        sdk: The TV's Android API level; below 28 the dump tells nothing about signers.

    Returns:
        The app; None where it is not installed.
    """
    block = _package_block(text.replace("\r", ""), package)
    if block is None or re.search(r"^\s+User 0:.*\binstalled=false\b", block, re.MULTILINE):
        return None
    flags = " ".join(re.findall(r"(?:pkgFlags|flags)=\[(.*?)\]", block)).split()
    code = re.search(r"\bversionCode=(\d{1,19})\b", block)
    name = re.search(r"^\s*versionName=(.*)$", block, re.MULTILINE)
    splits = re.search(r"\bsplits=\[(.*?)\]", block)
    tells = sdk is not None and sdk >= _FIRST_SDK_WITH_SIGNERS
    signers, rollback = _signers(block) if tells else (None, frozenset())
    return InstalledApp(
        package=package,
        version_code=int(code[1]) if code else None,
        version_name=name[1].strip() if name and name[1].strip() not in {"", "null"} else None,
        signers=signers,
        rollback_signers=rollback,
        splits=tuple(re.split(r",\s*", splits[1])) if splits and splits[1] else (),
        debuggable=_DEBUGGABLE_FLAG in flags,
        system=_SYSTEM_FLAG in flags,
    )


def _package_block(text: str, package: str) -> str | None:
    """Find the app's own block; a second one below is the factory's copy."""
    current = re.split(r"^Hidden system packages:", text, maxsplit=1, flags=re.MULTILINE)[0]
    head = re.search(rf"^(\s*)Package \[{re.escape(package)}\] \(.*$", current, re.MULTILINE)
    if head is None:
        return None
    rest = current[head.end() :]
    following = re.search(rf"^\s{{0,{len(head[1])}}}\S", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def _signers(block: str) -> tuple[frozenset[int] | None, frozenset[int]]:
    match = re.search(
        r"signatures=PackageSignatures\{\S+ version:\d+, signatures:\[(.*?)\]"
        r"(?:, past signatures:\[(.*?)\])?",
        block,
    )
    if match is None:
        return None, frozenset()
    current = frozenset(int(value, 16) for value in re.findall(r"\b[0-9a-f]{1,8}\b", match[1]))
    past = re.findall(r"\b([0-9a-f]{1,8}) flags: ([0-9a-f]{1,8})\b", match[2] or "")
    rollback = frozenset(int(v, 16) for v, flags in past if int(flags, 16) & _MAY_ROLL_BACK)
    return current or None, rollback
