"""What to do about the menu and the ESP's grub.cfg: write them anew, start without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.distributions import Family
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.remedies import (
    chroot_steps,
    grub_folder,
    grub_install,
    loader_steps,
    old_order,
    order_step,
    steps,
    update_steps,
)

if TYPE_CHECKING:
    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.menu_facts import MenuItem

__all__ = ["grub_anew", "leftover_out", "skip_list_with", "start_from_prompt", "stub_anew"]


def stub_anew(facts: Facts) -> tuple[str, str]:
    """Give the commands that move the stub away and write it again, and that bring it back."""
    family, folders = facts.distribution.family, facts.linux_uefi_folders
    write = {
        Family.FEDORA: "sudo dnf reinstall grub2-common",
        Family.DEBIAN: grub_install(facts),
        Family.UBUNTU: grub_install(facts),
    }.get(family)
    folder = folders[0] if len(set(folders)) == 1 else None
    if folder is None and family is Family.FEDORA:
        folder = "fedora" if facts.os_release.get("ID") == "fedora" else None
    if write is None or folder is None:
        return (
            "Move the file away, let the distribution write it again, then update the menu.",
            "Move the old file back.",
        )
    stub = f"{facts.esp_folder}/EFI/{folder}/grub.cfg"
    return (
        steps(f"sudo mv {stub} {stub}.old", write, update_steps(facts)),
        f"sudo mv {stub}.old {stub}",
    )


def start_from_prompt(facts: Facts) -> str:
    """Give what starts Linux once at `grub>`, and what writes the ESP's grub.cfg anew there."""
    mounts = {e.mount: e for e in facts.fstab or () if e is not facts.esp_mount}
    boot = mounts.get("/boot") or mounts.get("/")
    if boot is None or boot.uuid is None:
        return steps(chroot_steps(facts), _stub_written(facts))
    folder = grub_folder(facts)
    path = folder.removeprefix("/boot") if boot.mount == "/boot" else folder
    if boot.fstype == "btrfs":
        return steps(chroot_steps(facts), _stub_written(facts))  # Its subvolume is a part of paths.
    return steps(
        "At the grub> prompt, to start Linux once:",
        f"search --no-floppy --fs-uuid --set=root {boot.uuid}",
        f"set prefix=($root){path}",
        "configfile $prefix/grub.cfg",
        "Then in Linux:",
        _stub_written(facts),
    )


def grub_anew(facts: Facts) -> str:
    """Give what installs GRUB again where no prompt of it can start Linux."""
    mode = "legacy" if facts.starts_by_uefi is False else "UEFI"
    return steps(chroot_steps(facts, mode), _stub_written(facts))


def leftover_out(facts: Facts) -> tuple[str, str]:
    """Put Windows before what is left of a Linux, and give the old order; no GRUB is installed."""
    boot = facts.boot_list
    if boot is None or not boot.in_order:
        return "Put Windows first in the firmware's boot order.", ""
    windows = [e.number for e in boot.in_order if e.starts is Starts.WINDOWS]
    if not windows:
        return "No listed partition holds that Linux, and no entry in BootOrder starts Windows.", ""
    others = [e.number for e in boot.in_order if e.number not in windows]
    return (
        steps(
            "No listed partition holds that Linux. If it was removed, put Windows first (in "
            "Windows: the firmware setup; in a live Linux this command); if it is on a disk that "
            "is not listed, give labkit the lists with that disk.",
            order_step(boot, (*windows, *others)),
        ),
        old_order(boot),
    )


def _stub_written(facts: Facts) -> str:
    if facts.starts_by_uefi is False:
        return loader_steps(facts)
    # Fedora writes a stub only where there is none.
    return (
        stub_anew(facts)[0] if facts.distribution.family is Family.FEDORA else loader_steps(facts)
    )


_SKIP_LIST = "GRUB_OS_PROBER_SKIP_LIST"


def skip_list_with(facts: Facts, item: MenuItem, partition: Partition | None) -> tuple[str, str]:
    """Give the skip list that leaves an entry out, what is on it already included, and the old."""
    if partition is None or partition.uuid is None:
        return f"Name it in {_SKIP_LIST} (labkit boot explain C06).", ""
    # 30_os-prober compares the UUID with the loader's path behind it, or the device where a boot
    # sector is started.
    is_efi = item.identifier.startswith("osprober-efi-")
    what = "/EFI/Microsoft/Boot/bootmgfw.efi" if is_efi else partition.device
    old = facts.settings.value(_SKIP_LIST) if facts.settings else None
    listed = " ".join(filter(None, (old, f"{partition.uuid}@{what}")))
    return (
        steps(f'In /etc/default/grub: {_SKIP_LIST}="{listed}"', update_steps(facts)),
        steps(
            f'In /etc/default/grub: {_SKIP_LIST}="{old}"' if old else f"Take {_SKIP_LIST} out.",
            update_steps(facts),
        ),
    )
