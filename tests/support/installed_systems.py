"""Folders that look like an installed system: settings, menu, entry files, os-release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def make_system(
    folder: Path,
    *,
    release: str | None,
    settings: str | None = None,
    drop_ins: Mapping[str, str] | None = None,
    menu: str | None = None,
    menu_place: str = "boot/grub/grub.cfg",
) -> Path:
    """Make a root folder below `folder`, with what is given, and return it."""
    root = folder / "root"
    files = {
        "etc/os-release": release,
        "etc/default/grub": settings,
        menu_place: menu,
        **{f"etc/default/grub.d/{name}": text for name, text in (drop_ins or {}).items()},
    }
    (root / "etc").mkdir(parents=True)
    for place, text in files.items():
        if text is not None:
            path = root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root


@dataclass(frozen=True)
class BlsSystem:
    """A system with Boot Loader Specification entries."""

    release: str
    settings: str
    menu: str
    grubenv: str
    entries: Mapping[str, str]

    def make(self, folder: Path) -> Path:
        """Make its root below `folder`."""
        root = make_system(
            folder,
            release=self.release,
            settings=self.settings,
            menu=self.menu,
            menu_place="boot/grub2/grub.cfg",
        )
        block = f"# GRUB Environment Block\n{self.grubenv}"
        (root / "boot/grub2/grubenv").write_text(block.ljust(1024, "#"))
        place = root / "boot/loader/entries"
        place.mkdir(parents=True)
        for name, text in self.entries.items():
            (place / name).write_text(text)
        return root


FEDORA = BlsSystem(
    release='ID=fedora\nPRETTY_NAME="Fedora Linux 41"\n',
    settings='GRUB_TIMEOUT=5\nGRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG="true"\n',
    menu="""\
if [ -s $prefix/grubenv ]; then
  load_env
fi
set default="${saved_entry}"
set timeout_style=menu
set timeout=5
insmod blscfg
blscfg
menuentry 'Windows Boot Manager (on /dev/nvme0n1p1)' --id osprober-efi-7A8C-9328 {
  chainloader /EFI/Microsoft/Boot/bootmgfw.efi
}
""",
    grubenv="saved_entry=6b1-6.9.12\nmenu_auto_hide=1\n",
    entries={
        "6b1-6.9.12.conf": "title Fedora Linux (6.9.12)\nversion 6.9.12\nlinux /vmlinuz-6.9.12\n",
        "6b1-6.10.3.conf": "title Fedora Linux (6.10.3)\nversion 6.10.3\nlinux /vmlinuz-6.10.3\n",
        "notes.txt": "not an entry\n",
    },
)
