"""Whose settings file or menu a path is: the system around it, and what its GRUB reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.boot.distributions import (
    Family,
    distribution_of,
    distribution_of_settings,
    distribution_of_text,
    os_release_names,
)
from labkit.errors import InputError, LabkitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.default_grub import GrubSettings
    from labkit.boot.distributions import Distribution

__all__ = [
    "InstalledSystem",
    "grub_cfg_below",
    "refuse_generated",
    "root_of",
    "settings_beside",
    "system_at",
    "system_settings",
]

_CFG_PLACES = ("boot/grub/grub.cfg", "boot/grub2/grub.cfg")
# Where a settings file or a menu stands below the root of its system; Fedora links the second.
_PLACES = ("etc/default/grub", "etc/sysconfig/grub", *_CFG_PLACES)
_DROP_IN_FOLDER = "etc/default/grub.d"


@dataclass(frozen=True, slots=True)
class InstalledSystem:
    """The system that a file belongs to.

    Attributes:
        root: Its root folder; None for a loose file.
        distribution: What its GRUB does.
        os_release: Its os-release.
        is_ostree: Whether its files are deployed as a whole (Silverblue, Bazzite).
    """

    root: Path | None
    distribution: Distribution
    os_release: Mapping[str, str] = field(default_factory=dict)
    is_ostree: bool = False

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self.os_release.get("PRETTY_NAME") or str(self.distribution.family)


def root_of(path: Path) -> Path | None:
    """Give the root of the system that `path` is a settings file or menu of; None where unknown."""
    for candidate in (path.absolute(), path.resolve()):
        for place in _PLACES:
            depth = place.count("/")
            if candidate.as_posix().endswith(f"/{place}"):
                return candidate.parents[depth]
        if candidate.parent.as_posix().endswith(f"/{_DROP_IN_FOLDER}"):
            return candidate.parent.parents[_DROP_IN_FOLDER.count("/")]
    return None


def grub_cfg_below(root: Path) -> Path:
    """Give the place of grub.cfg below `root`: the one that is there, else the usual one."""
    places = [root / place for place in _CFG_PLACES]
    for place in places:
        try:
            if place.exists():
                return place
        except PermissionError:
            # A folder that only root may enter is the one that GRUB uses.
            return place
    return places[0]


def settings_beside(grub_cfg: Path | None) -> Path | None:
    """Give the settings file of the system that has this menu; None for a loose menu.

    Without a menu it is this computer's.
    """
    root = Path("/") if grub_cfg is None else root_of(grub_cfg)
    return None if root is None else root / "etc/default/grub"


def system_at(path: Path, *, family: Family | None = None, text: str = "") -> InstalledSystem:
    """Tell the system around a settings file or menu.

    Args:
        path: The file.
        family: Whose GRUB it is, where the user says so.
        text: The file's content, or an entry's title, that may name the distribution of a loose
            file.
    """
    root = root_of(path)
    release = _os_release(root) if root is not None else {}
    distribution = distribution_of_text(os_release_names(release))
    if family is not None:
        distribution = distribution_of(family)
    elif distribution.family is Family.UNKNOWN:
        distribution = distribution_of_settings(text)
        if distribution.family is Family.UNKNOWN and "\n" not in text:
            distribution = distribution_of_text(text)
    is_ostree = "OSTREE_VERSION" in release or (
        root is not None and (root / "run/ostree-booted").exists()
    )
    return InstalledSystem(root, distribution, release, is_ostree)


def system_settings(
    path: Path, *, family: Family | None = None
) -> tuple[GrubSettings, InstalledSystem]:
    """Read a settings file with the drop-ins that its distribution reads, and tell whose it is.

    Raises:
        InputError: The file is missing, or is no text.
        UnmetError: It may not be read.
    """
    from labkit.boot.editor import read_settings

    alone = read_settings(path, drop_ins=False)
    system = system_at(path, family=family, text=alone.files[0].text)
    return read_settings(path, drop_ins=system.distribution.reads_drop_ins), system


def refuse_generated(system: InstalledSystem, path: Path) -> None:
    """Refuse to edit settings that do not decide anything, or that the system writes itself.

    Raises:
        RefusedError: The system is NixOS or one of ostree's; or the drop-in is not read there.
    """
    if system.os_release.get("ID") == "nixos":
        raise RefusedError(
            f"{system.name} generates {path}; an edit would be lost",
            hint="set boot.loader.timeout or boot.loader.grub.default in configuration.nix, "
            "then `sudo nixos-rebuild switch`",
            code="settings-generated",
        )
    if system.is_ostree:
        raise RefusedError(
            f"{system.name} is an ostree system: its boot entries come with each deployment, "
            f"and {path} does not decide over them",
            hint="the environment block does: `sudo grub2-set-default ID` for the default, "
            "`sudo grub2-editenv - unset menu_auto_hide` (or set menu_auto_hide=1) for the menu",
            code="settings-generated",
        )
    if path.parent.name == "grub.d" and not system.distribution.reads_drop_ins:
        raise RefusedError(
            f"{system.name} does not read {path.parent}",
            hint=f"change {path.parent.with_name('grub')} instead",
            code="drop-ins-not-read",
        )


def _os_release(root: Path) -> Mapping[str, str]:
    """Read os-release below `root`; a link that is absolute means a path below `root` too."""
    from labkit.boot.documents import read_document
    from labkit.boot.parse.host import parse_os_release

    for place in ("etc/os-release", "usr/lib/os-release"):
        path = root / place
        try:
            target = path.readlink()
        except OSError:
            target = Path(place)
        if target.is_absolute():
            path = root / target.relative_to("/")
        try:
            return parse_os_release(read_document(path))
        except InputError:
            continue
        except LabkitError:
            # It is there, and only root may read it: nothing else is more certain.
            break
    return {}
