"""The generated menu and GRUB's environment block, as facts with the lines that show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.boot.findings import Evidence
    from labkit.boot.grub_cfg import GrubCfg
    from labkit.boot.grubenv import Grubenv

__all__ = ["EnvironmentBlock", "Menu", "MenuItem"]


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A menu entry, from grub.cfg itself or from boot-info's shortened form of it.

    Attributes:
        title: What the menu shows.
        identifier: Its id; in the shortened form also the UUID of its file system.
        kind: `windows`, `linux`, `submenu`, `firmware`, `chainload` or `other`.
        loader: What it chainloads.
        file_systems: UUIDs that it searches.
        evidence: Its line.
    """

    title: str
    identifier: str
    kind: str
    loader: str | None
    file_systems: tuple[str, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Menu:
    """The generated menu.

    Attributes:
        items: Its entries at every depth.
        cfg: The parsed grub.cfg; None for boot-info's shortened form.
        searched: Every UUID that it looks for, with the line.
        roots: Every UUID that it gives a kernel as root, with the line.
        ran_os_prober: 30_os-prober wrote its part, perhaps an empty one.
        os_prober_wrote: 30_os-prober wrote entries or settings.
        source: The input as a whole.
        syntax_error: Where GRUB stops reading it.
        header_default: The value that 00_header gives `default` where no next_entry is set.
    """

    items: tuple[MenuItem, ...]
    cfg: GrubCfg | None
    searched: tuple[tuple[str, Evidence], ...]
    ran_os_prober: bool
    os_prober_wrote: bool
    source: Evidence
    syntax_error: Evidence | None
    header_default: Evidence | None = None
    roots: tuple[tuple[str, Evidence], ...] = ()

    @property
    def uses_bls(self) -> bool:
        """Whether entries come from loader/entries."""
        return self.cfg is not None and self.cfg.uses_bls

    @property
    def starts_linux(self) -> bool:
        """Whether it holds a Linux entry: a menu without one is a part of a file."""
        return self.uses_bls or any(item.kind == "linux" for item in self.items)

    @property
    def is_whole(self) -> bool:
        """Whether it is read to its end: only then may the absence of an entry prove a thing."""
        return self.starts_linux and self.syntax_error is None

    @property
    def windows(self) -> tuple[MenuItem, ...]:
        """Its entries that start Windows."""
        return tuple(item for item in self.items if item.kind == "windows")


@dataclass(frozen=True, slots=True)
class EnvironmentBlock:
    """grubenv; `block` is None where it cannot be read, and `problem` says why."""

    block: Grubenv | None
    problem: str | None
    evidence: Evidence
