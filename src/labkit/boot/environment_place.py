"""Where GRUB's environment block stands, and whether GRUB itself can write there.

GRUB saves into the blocks of `grubenv` without the file system's help. Its `save_env` refuses that
on some file systems (`sparse file not allowed`), and has no way to write through LVM and RAID. What
Linux wrote there (`grub-reboot`) then stays, for GRUB cannot clear it. Debian's scripts of
/etc/grub.d name the same places (`check_writable` in 00_header). LUKS alone GRUB can write to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.menu import walk_entries
from labkit.boot.partition_types import PartitionType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.facts import Facts
    from labkit.boot.findings import Evidence
    from labkit.boot.grub_cfg import GrubCfg

__all__ = ["unwritable_mount", "unwritable_place"]

_FILE_SYSTEMS = {
    name: name for name in ("btrfs", "f2fs", "zfs", "squash4", "cpiofs", "romfs", "tarfs")
} | {"zfs_member": "zfs"}
_MODULES = _FILE_SYSTEMS | {"lvm": "LVM", "ldm": "LDM", "dm_nv": "RAID"}
_RAID_MODULE = re.compile(r"mdraid\w*|raid[56]rec")
_PLACES = ("/boot/grub", "/boot/grub2", "/boot", "/")


def unwritable_place(
    facts: Facts, cfg: GrubCfg | None, block: Mapping[str, str] | None = None
) -> str | None:
    """Name what the environment block is on where GRUB cannot write; None where it may.

    Args:
        facts: What is known about the computer: its fstab and its volumes.
        cfg: The menu, whose Linux entries load what GRUB needs to read /boot; None where unknown.
        block: The environment block's variables, where they are known. GRUBs that keep a block in
            the header of btrfs (SUSE, 2.14) name it in `env_block`.
    """
    if (block or {}).get("env_block"):
        return None
    mounted = {entry.mount for entry in facts.fstab or ()}
    found = unwritable_mount(facts)
    if found is not None:
        return found[0]
    # A file system of its own for GRUB's folder is not the one that the kernels are on.
    is_apart = bool(mounted & {"/boot/grub", "/boot/grub2"})
    return None if cfg is None or is_apart else _loaded(cfg)


def unwritable_mount(facts: Facts) -> tuple[str, Evidence] | None:
    """Name what the block is on where fstab shows that GRUB cannot write there, with the line."""
    mounts = {entry.mount: entry for entry in facts.fstab or ()}
    entry = next((mounts[place] for place in _PLACES if place in mounts), None)
    if entry is None:
        return None
    if entry.fstype in _FILE_SYSTEMS:
        return _FILE_SYSTEMS[entry.fstype], entry.evidence
    volume = facts.by_uuid.get((entry.uuid or "").lower())
    device = volume.device if volume is not None else entry.spec
    mapped = _mapped_by(facts, device)
    return None if mapped is None else (mapped, entry.evidence)


def _mapped_by(facts: Facts, device: str) -> str | None:
    """Tell LVM and RAID by a device's name; what LUKS alone maps can be written to."""
    if re.match(r"/dev/(?:md|disk/by-id/md-)", device):
        return f"RAID ({device})"
    if re.match(r"/dev/disk/by-id/dm-uuid-LVM-", device):
        return f"LVM ({device})"
    if not re.match(r"/dev/(?:mapper/|dm-\d|vg|[\w.-]*vg[\w.-]*/)", device):
        return None
    known = (*facts.partitions, *facts.volumes)
    has_lvm = any(p.fstype == "LVM2_member" or p.type is PartitionType.LVM for p in known)
    if not has_lvm and any(p.fstype == "crypto_LUKS" for p in known):
        return None
    return f"LVM ({device})" if has_lvm else device


def _loaded(cfg: GrubCfg) -> str | None:
    """Name the module without a way to write that the system's own Linux entry loads."""
    own = (
        entry
        for entry in walk_entries(cfg.entries)
        if entry.kind == "linux" and not entry.id.startswith("osprober-")
    )
    first = next(own, None)
    for module in first.modules if first is not None else ():
        if module in _MODULES:
            return _MODULES[module]
        if _RAID_MODULE.fullmatch(module):
            return "RAID"
    return None
