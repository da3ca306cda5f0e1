"""What is known about a TV when an app is held against it. Anything may be unknown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DeviceFacts", "InstalledApp"]


@dataclass(frozen=True)
class InstalledApp:
    """An app that is on the TV.

    Attributes:
        package: Its application id.
        version_code: Its long version code.
        version_name: Its version for humans.
        signers: The Java hashes of its signing certificates, as `dumpsys package` shows them; None
            where the TV does not tell (before Android 9).
        rollback_signers: The hashes of past keys that may still sign updates.
        splits: The names of its parts, `base` first.
        debuggable: Whether it is a debug build.
        system: Whether it belongs to the TV's own software.
    """

    package: str
    version_code: int | None = None
    version_name: str | None = None
    signers: frozenset[int] | None = None
    rollback_signers: frozenset[int] = frozenset()
    splits: tuple[str, ...] = ()
    debuggable: bool = False
    system: bool = False


@dataclass(frozen=True)
class DeviceFacts:
    """A TV, as far as it matters to an installation; None or empty means unknown.

    Attributes:
        name: What messages call it.
        sdk: Its Android API level.
        abis: The processor types that it runs, the preferred one first.
        density_dpi: Its screen density.
        languages: The languages of its user, as two- or three-letter codes.
        free_bytes: The free space for apps.
        features: The features that it has (`pm list features`).
        libraries: The shared libraries that it has (`pm list libraries`).
        installed: The apps on it that matter here, by application id.
    """

    name: str = "this TV"
    sdk: int | None = None
    abis: tuple[str, ...] = ()
    density_dpi: int | None = None
    languages: tuple[str, ...] = ()
    free_bytes: int | None = None
    features: frozenset[str] | None = None
    libraries: frozenset[str] | None = None
    installed: Mapping[str, InstalledApp] = field(default_factory=dict)
