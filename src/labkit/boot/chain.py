"""The boot chain as links that hold, break, or cannot be seen: what "healthy" rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.partition_types import PartitionType
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from labkit.boot.facts import Facts

__all__ = ["Link", "check_chain", "is_proved_healthy"]


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain.

    Attributes:
        name: What is tested.
        detail: What was seen.
        needs: The topics that decide it.
        holds: Whether it holds; None where the inputs do not tell.
    """

    name: str
    detail: str
    needs: tuple[Topic, ...]
    holds: bool | None = None


def check_chain(facts: Facts) -> tuple[Link, ...]:
    """Test each link from the firmware to the menu."""
    return (_firmware(facts), _stub(facts), _menu(facts), _windows(facts), _default(facts))


def is_proved_healthy(facts: Facts, links: tuple[Link, ...]) -> bool:
    """Tell whether the links that were seen suffice to call the chain healthy.

    Two proofs are accepted. With a menu: it is whole, everything that it names exists, Windows is
    in reach (or, without a Windows, the menu itself is) and the default resolves. Without one: a
    running system found the loaders on a properly typed ESP. Any broken link, and any input that
    could not be read, forbids it.
    """
    if any(link.holds is False for link in links) or facts.unread:
        return False
    by_name = {link.name: link.holds for link in links}
    if facts.menu is not None:
        is_whole = by_name["menu"] and by_name["default"] and by_name["windows"] is not None
        # A menu of Linux alone says nothing about what leads to it.
        is_reached = facts.menu.windows or by_name["firmware"] or by_name["esp-stub"]
        return bool(is_whole and is_reached)
    return _probe_agrees(facts)


def installed(facts: Facts) -> tuple[str, ...]:
    """Name the systems that the inputs show."""
    systems = []
    if facts.windows_evidence:
        systems.append("Windows")
    if facts.linux_evidence:
        systems.append("Linux")
    return tuple(systems)


def _probe_agrees(facts: Facts) -> bool:
    """Tell whether os-prober's loaders are on ESPs that the table shows, with FAT on them."""
    if facts.prober is None or facts.settings is not None:
        return False
    loaders = [s for s in facts.prober.systems if s.kind == "efi"]
    on_esp = [
        p
        for s in loaders
        if (p := facts.partition(s.device)) is not None and p.type is PartitionType.ESP and p.is_fat
    ]
    return bool(loaders) and len(on_esp) == len(loaders)


def _firmware(facts: Facts) -> Link:
    needs = (Topic.BOOT_LIST, Topic.TABLE, Topic.FILE_SYSTEMS)
    boot = facts.boot_list
    if boot is None or not boot.is_supported or not boot.has_paths:
        grub = next((m for m in facts.mbr_codes if m.content.startswith("Grub2")), None)
        if grub is not None and grub.finds_core:
            return Link("firmware", f"GRUB is in the MBR of {grub.device}", needs, holds=True)
        if facts.starts_by_uefi is False:
            return Link("firmware", "the boot sectors are not given", (Topic.BOOT_SECTORS,))
        return Link("firmware", "no list of firmware entries with their paths", needs)
    wanted = Starts.LINUX if facts.linux_evidence else Starts.WINDOWS
    for entry in boot.starting(wanted):
        partition = facts.partition_of(entry)
        known = partition is not None or not facts.by_partuuid
        listed = entry.is_damaged or not facts.lists_every_esp or entry.loader is None
        if (
            entry.active
            and known
            and (listed or any(e.find(entry.loader or "") for e in facts.esps))
        ):
            return Link("firmware", f"{entry.name} `{entry.label}` is active", needs, holds=True)
    return Link("firmware", f"no entry that surely starts {wanted}", needs)


def _stub(facts: Facts) -> Link:
    needs = (Topic.ESP_STUB, Topic.FILE_SYSTEMS)
    if facts.stub is None or facts.stub.uuid is None or not facts.by_uuid:
        return Link("esp-stub", "the ESP's grub.cfg or the file systems are not given", needs)
    found = facts.by_uuid.get(facts.stub.uuid.lower())
    if found is not None:
        return Link("esp-stub", f"it leads to {found.device}", needs, holds=True)
    broken = False if facts.lists_every_file_system else None
    return Link("esp-stub", f"{facts.stub.uuid} is on no listed file system", needs, holds=broken)


def _menu(facts: Facts) -> Link:
    needs = (Topic.MENU,)
    if facts.menu is None:
        return Link("menu", "no grub.cfg", needs)
    if facts.menu.syntax_error is not None:
        return Link("menu", "grub.cfg cannot be read", needs, holds=False)
    if not facts.menu.starts_linux:
        return Link("menu", "grub.cfg is only a part: it starts no Linux", needs)
    if facts.by_uuid:
        unknown = [u for u, _ in facts.menu.searched if u.lower() not in facts.by_uuid]
        if unknown:
            whole = facts.lists_every_file_system
            return Link(
                "menu", f"{unknown[0]} is not listed", needs, holds=False if whole else None
            )
    return Link("menu", f"{len(facts.menu.items)} entries", needs, holds=True)


def _windows(facts: Facts) -> Link:
    needs = (Topic.MENU, Topic.BOOT_LIST)
    if not facts.windows_evidence and not (facts.menu and facts.menu.windows):
        return Link("windows", "no Windows is seen", needs, holds=True)
    if facts.menu is not None and facts.menu.windows:
        return Link("windows", f"the menu has `{facts.menu.windows[0].title}`", needs, holds=True)
    entries = facts.boot_list.starting(Starts.WINDOWS) if facts.boot_list else ()
    if any(entry.active for entry in entries):
        return Link("windows", f"the firmware starts it by {entries[0].name}", needs, holds=True)
    if facts.windows_loader is not None:
        return Link("windows", "its loader is on the ESP", needs, holds=True)
    return Link("windows", "its loader is not seen", needs)


def _default(facts: Facts) -> Link:
    from labkit.boot.rules.default_entry import default_value, resolve

    needs = (Topic.MENU, Topic.SETTINGS)
    menu = facts.menu
    if menu is None or not menu.starts_linux:
        return Link("default", "no whole menu to resolve it in", needs)
    found = default_value(facts)
    if found is None or found[0] in {"", "0"} or menu.uses_bls:
        return Link("default", "the first entry, or one of loader/entries", needs, holds=True)
    resolution = resolve(facts, found[0])
    if resolution is None:
        known = any(found[0] in {item.title, item.identifier} for item in menu.items)
        return Link("default", f"`{found[0]}`", needs, holds=known or None)
    title = resolution.entry.title if resolution.entry else "nothing"
    return Link("default", f"it starts `{title}`", needs, holds=resolution.exact or None)
