"""Choosing the entry to start by default, and the GRUB_DEFAULT that starts it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from labkit.boot.default_entry import entry_value, resolve_grub_default
from labkit.boot.menu import walk_entries
from labkit.errors import InputError, RefusedError, UnmetError, UsageError

if TYPE_CHECKING:
    from labkit.boot.default_entry import Order
    from labkit.boot.default_grub import GrubSettings
    from labkit.boot.grub_cfg import GrubCfg
    from labkit.boot.menu import MenuEntry

__all__ = ["find_entry", "remarks_on_saving", "setting_for"]


def find_entry(cfg: GrubCfg, wish: str) -> MenuEntry:
    """Find the entry that `wish` names: `windows`, an id, a title or a path such as `1>0`.

    Raises:
        UnmetError: The menu has no Windows entry.
        UsageError: Several entries fit.
        InputError: None fits.
    """
    entries = list(walk_entries(cfg.entries))
    if wish.lower() == "windows":
        found = [entry for entry in entries if entry.kind == "windows"]
        if not found:
            raise UnmetError(
                "the GRUB menu has no Windows entry",
                hint="`labkit boot check` says why",
                code="no-windows-entry",
            )
    else:
        found = [entry for entry in entries if wish in {entry.id, entry.title, entry.path}]
    if not found:
        raise InputError(
            f"no entry has the id, title or path `{wish}`",
            hint="`labkit boot entries` lists them",
            code="no-such-entry",
        )
    if len(found) > 1:
        paths = ", ".join(f"{entry.path} ({entry.title})" for entry in found)
        raise UsageError(
            f"several entries fit `{wish}`: {paths}", hint="name one by its path", code="ambiguous"
        )
    return found[0]


def setting_for(cfg: GrubCfg, entry: MenuEntry, *, order: Order = "upstream") -> str:
    """Give the GRUB_DEFAULT that starts `entry`: its id, behind those of its submenus.

    Raises:
        RefusedError: The menu's entries come from BLS files, which GRUB_DEFAULT does not govern,
            or no value starts this entry alone.
    """
    value = entry_value(cfg.entries, entry, order=order)
    if cfg.uses_bls:
        raise RefusedError(
            "the default of this menu is kept with the entries of /boot/loader/entries (BLS), "
            "not in GRUB_DEFAULT",
            hint=f"run `sudo grub2-set-default {shlex.quote(value)}`; "
            "it holds where /etc/default/grub has GRUB_DEFAULT=saved",
            code="bls-overrides",
        )
    # grub-mkconfig writes the setting into double quotes.
    setting = re.sub(r'(["\\$])', r"\\\1", value)
    if resolve_grub_default(setting, cfg, order=order).entry is not entry:
        raise RefusedError(
            f"no value of GRUB_DEFAULT starts `{entry.title}` alone",
            hint="a submenu starts its first entry; name an entry inside it",
            code="no-stable-default",
        )
    return setting


def remarks_on_saving(settings: GrubSettings) -> tuple[str, ...]:
    """Say what a fixed GRUB_DEFAULT ends where the settings remember a choice until now."""
    remarks = []
    if settings.value("GRUB_DEFAULT") == "saved":
        remarks.append("the choice that was saved (grub-set-default) no longer counts")
    saving = settings.settings.get("GRUB_SAVEDEFAULT")
    if saving is not None and saving.value == "true":
        remarks.append(
            f"GRUB_SAVEDEFAULT=true ({saving.file}, line {saving.line}) has no effect beside a "
            "fixed default: GRUB comes back to the last choice only with GRUB_DEFAULT=saved"
        )
    return tuple(remarks)
