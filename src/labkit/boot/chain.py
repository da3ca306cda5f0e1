"""The boot chain as links that hold, break, or cannot be seen: what "healthy" rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.linux_loader import linux_loader, uses_grub
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.partition_types import PartitionType
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.menu_facts import Menu
    from labkit.boot.parse.efibootmgr import BootEntry, BootList

__all__ = [
    "Link",
    "can_hold_menu",
    "check_chain",
    "first_leftover",
    "installed",
    "is_proved_healthy",
    "seen",
]


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain.

    Attributes:
        name: What is tested.
        detail: What was seen.
        needs: The topics that decide it, the one that speaks of it first.
        holds: Whether it holds; None where the inputs do not tell.
    """

    name: str
    detail: str
    needs: tuple[Topic, ...]
    holds: bool | None = None

    def lacks(self, facts: Facts) -> tuple[Topic, ...]:
        """Name what would show it: what is missing, or what was given only in part."""
        if self.holds is not None:
            return ()
        absent = tuple(topic for topic in self.needs if topic not in facts.topics)
        return absent or tuple(topic for topic in self.needs if topic in facts.partial)


def check_chain(facts: Facts) -> tuple[Link, ...]:
    """Test each link from the firmware to the systems; only those that this computer has.

    A Windows alone has no stub and no menu, a BIOS no ESP. What the screen shows is the last word.
    """
    failure = facts.screen_failure
    if failure is None and facts.unread:
        return (*_links(facts), Link("inputs", facts.unread[0].message, ()))
    if failure is None:
        return _links(facts)
    shown = Link(
        "start", f"the screen shows `{failure.text.strip()}`", (Topic.SCREEN,), holds=False
    )
    return (*_links(facts), shown)


def _links(facts: Facts) -> tuple[Link, ...]:
    if _has_windows_alone(facts):
        return (_firmware(facts), _windows(facts))
    if not uses_grub(facts):
        loader = f"{linux_loader(facts)} starts Linux; labkit judges the menus of GRUB alone"
        return (_firmware(facts), Link("menu", loader, ()), _windows(facts))
    stub = () if _has_no_stub(facts) else (_stub(facts),)
    return (_firmware(facts), *stub, _menu(facts), _windows(facts), _default(facts))


def seen(links: tuple[Link, ...]) -> tuple[Link, ...]:
    """Choose the links that were seen to hold."""
    return tuple(link for link in links if link.holds)


def is_proved_healthy(facts: Facts, links: tuple[Link, ...]) -> bool:
    """Tell whether what was seen suffices to call the chain healthy.

    Nothing may be broken, unreadable, or left open by the very input that speaks of it. Then it is
    proved by all links; by all but the ESP's grub.cfg, where the firmware is seen to start the GRUB
    that has this menu; and without a menu by os-prober, which found every loader on a proper ESP.
    """
    if any(link.holds is False for link in links) or facts.unread:
        return False
    if any(link.holds is None and facts.topics.intersection(link.needs[:1]) for link in links):
        return False
    if facts.menu is None and _probe_agrees(facts):
        return True
    return all(link.holds for link in links if link.name != _STUB)


_STUB = "esp-stub"


def installed(facts: Facts) -> tuple[str, ...]:
    """Name the systems that the inputs show."""
    systems = []
    in_menu = facts.menu is not None and bool(facts.menu.windows)
    if (in_menu or facts.windows_evidence) and not facts.windows_is_removed:
        systems.append("Windows")
    if facts.linux_evidence:
        systems.append("Linux")
    return tuple(systems)


def _has_windows_alone(facts: Facts) -> bool:
    lacks_linux = not facts.linux_evidence and facts.menu is None and facts.settings is None
    return lacks_linux and bool(facts.windows_evidence) and Topic.TABLE in facts.topics


def _has_no_stub(facts: Facts) -> bool:
    """Tell a BIOS, and a loader that carries its own first lines (Arch, Gentoo)."""
    if facts.stub is not None:
        return False
    is_inside = _lists_no_stub(facts) and not _lists_shim(facts)
    return facts.starts_by_uefi is False or is_inside


def _lists_no_stub(facts: Facts) -> bool:
    """Tell whether the files of a Linux are listed, such files too, and no grub.cfg is there."""
    listed = [file for esp in facts.esps for file in esp.files]
    return (
        facts.lists_every_esp
        and bool(facts.linux_uefi_folders)
        and any(esp.shows_other_files for esp in facts.esps)
        and not any(file.endswith("/grub.cfg") for file in listed)
    )


def _lists_shim(facts: Facts) -> bool:
    return any("/shim" in file for esp in facts.esps for file in esp.files)


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


def _last_start_went_well(facts: Facts) -> bool:
    """Tell whether GRUB led to a session with this environment block.

    Fedora's menu writes boot_success=0, and a service of the session writes 1 two minutes later.
    """
    block = facts.environment.block if facts.environment else None
    return block is not None and block.variables.get("boot_success") == "1"


def _firmware(facts: Facts) -> Link:
    needs = (Topic.BOOT_LIST, Topic.ESP_FILES, Topic.FILE_SYSTEMS)
    boot = facts.boot_list
    if boot is None or not boot.is_supported:
        return _boot_sector(facts, needs)
    if (leftover := first_leftover(facts)) is not None:
        detail = f"{leftover.name} `{leftover.label}` is first, and its Linux is on no partition"
        return Link("firmware", detail, needs, holds=False)
    return _entry_that_starts(facts, boot, needs)


def _entry_that_starts(facts: Facts, boot: BootList, needs: tuple[Topic, ...]) -> Link:
    """Look for an entry that is seen to start what is installed."""
    wanted = Starts.LINUX if facts.linux_evidence else Starts.WINDOWS
    entries = [e for e in boot.in_order if e.active and e.starts is wanted]
    dead = [e for e in entries if facts.lacks_loader(e)]
    for entry in (e for e in entries if e not in dead):
        is_known = facts.partition_of(entry) is not None
        is_unknown = bool(facts.by_partuuid) and entry.node is not None and not is_known
        if entry.number == boot.current and not is_unknown:
            detail = f"{entry.name} `{entry.label}` has started this system"
            return Link("firmware", detail, needs, holds=True)
        if is_known and any(esp.find(entry.loader or "") for esp in facts.esps):
            detail = f"{entry.name} `{entry.label}` starts {entry.loader}, which is on the ESP"
            return Link("firmware", detail, needs, holds=True)
    if dead and len(dead) == len(entries):
        detail = f"{dead[0].name} `{dead[0].label}` starts a file that is not on the ESP"
        return Link("firmware", detail, needs, holds=False)
    if entries:
        detail = f"{entries[0].name} `{entries[0].label}` is active; its loader was not looked for"
        return Link("firmware", detail, needs)
    return Link("firmware", f"no active entry in BootOrder that starts {wanted.title()}", needs)


def first_leftover(facts: Facts) -> BootEntry | None:
    """Give the entry that the firmware starts first, where it is all that is left of a Linux."""
    boot = facts.boot_list
    if boot is None or not facts.linux_is_removed:
        return None
    usable = (e for e in boot.in_order if e.active and not e.needs_medium)
    first = next((e for e in usable if not facts.lacks_loader(e)), None)
    if first is None or first.starts is not Starts.LINUX or first.is_removable:
        return None
    # An entry of a disk that is not listed may have its Linux there.
    is_elsewhere = first.node is not None and facts.partition_of(first) is None
    return None if is_elsewhere else first


def _boot_sector(facts: Facts, needs: tuple[Topic, ...]) -> Link:
    """Judge what starts the systems where there is no list of the firmware."""
    grub = next((m for m in facts.mbr_codes if m.content.startswith("Grub2")), None)
    if grub is not None and grub.finds_core:
        return Link("firmware", f"GRUB is in the MBR of {grub.device}", needs, holds=True)
    windows = next((m for m in facts.mbr_codes if m.content.startswith("Windows")), None)
    if windows is not None and facts.legacy_windows and not facts.linux_evidence:
        return Link("firmware", f"Windows is in the MBR of {windows.device}", needs, holds=True)
    if _last_start_went_well(facts):
        detail = "the last start by this menu reached a session (boot_success=1)"
        return Link("firmware", detail, needs, holds=True)
    if facts.starts_by_uefi is False and facts.mbr_codes:
        held = "; ".join(f"{m.content} in the MBR of {m.device}" for m in facts.mbr_codes)
        return Link("firmware", f"no GRUB: {held}", (Topic.BOOT_SECTORS,))
    if facts.starts_by_uefi is False:
        return Link("firmware", "the boot sectors are not given", (Topic.BOOT_SECTORS,))
    return Link("firmware", "the firmware's list is not given", needs)


def _stub(facts: Facts) -> Link:
    needs = (Topic.ESP_STUB, Topic.FILE_SYSTEMS)
    if facts.stub is None and _lists_no_stub(facts) and _lists_shim(facts):
        # A signed GRUB has no other way to its menu.
        return Link(_STUB, "there is none beside shim on the ESP", needs, holds=False)
    if facts.stub is None or facts.stub.uuid is None or not facts.by_uuid:
        return Link(_STUB, "the ESP's grub.cfg or the file systems are not given", needs)
    found = facts.by_uuid.get(facts.stub.uuid.lower())
    if found is not None and not can_hold_menu(found):
        return Link(
            _STUB, f"it leads to {found.device}, which holds {found.fstype}", needs, holds=False
        )
    if found is not None and not (facts.stub.prefix and facts.stub.loads_menu):
        return Link(_STUB, "it does not set a prefix and load the menu there", needs)
    if found is not None:
        return Link(_STUB, f"it leads to {found.device}", needs, holds=True)
    broken = False if facts.lists_every_file_system else None
    return Link(_STUB, f"{facts.stub.uuid} is on no listed file system", needs, holds=broken)


def can_hold_menu(partition: Partition) -> bool:
    """Tell whether a Linux keeps its /boot on such a file system, as far as it is known."""
    return not partition.is_windows_volume and partition.fstype not in {"swap", "exfat"}


def _menu(facts: Facts) -> Link:
    needs = (Topic.MENU, Topic.FILE_SYSTEMS)
    if facts.menu is None:
        return Link("menu", "no grub.cfg", needs)
    if facts.menu.syntax_error is not None:
        return Link("menu", "grub.cfg cannot be read", needs, holds=False)
    if not facts.menu.starts_linux:
        return Link("menu", "grub.cfg is only a part: it starts no Linux", needs)
    detail, holds = _menu_file_systems(facts, facts.menu)
    return Link("menu", f"{len(facts.menu.items)} entries{detail}", needs, holds)


def _menu_file_systems(facts: Facts, menu: Menu) -> tuple[str, bool | None]:
    """Tell whether the file systems that a menu looks for are there."""
    if facts.by_uuid:
        mounts = [entry.uuid for entry in facts.fstab or () if entry.mount == "/" and entry.uuid]
        wanted = [*(u for u, _ in menu.searched), *(u for u, _ in menu.roots), *mounts]
        unknown = [u for u in wanted if u.lower() not in facts.by_uuid]
        if not unknown:
            return "", True
        whose = "fstab's root " if unknown[0] in mounts else ""
        holds = False if facts.lists_every_file_system else None
        return f"; {whose}{unknown[0]} is not listed", holds
    if menu.searched and not _last_start_went_well(facts):
        return "; whether their file systems exist is not known", None
    return "", True


def _windows(facts: Facts) -> Link:
    is_removed = facts.windows_is_removed and Topic.TABLE in facts.topics
    is_offered = facts.menu is not None and bool(facts.menu.windows) and uses_grub(facts)
    if facts.menu is not None and is_offered and not is_removed:
        looked = ", its loader is on the ESP" if facts.windows_loader else ""
        detail = f"the menu has `{facts.menu.windows[0].title}`{looked}"
        return Link("windows", detail, _STARTS_WINDOWS, holds=True)
    if facts.windows_evidence and not is_removed:
        return _windows_beside_the_menu(facts)
    lists_all = facts.lists_every_file_system or facts.lists_every_disk
    if lists_all and not any(p.is_windows_volume for p in facts.partitions):
        return Link("windows", "none is installed", _STARTS_WINDOWS, holds=True)
    partitions = (Topic.FILE_SYSTEMS, Topic.TABLE)
    return Link("windows", "none is seen; whether there is one is not known", partitions)


_STARTS_WINDOWS = (Topic.MENU, Topic.BOOT_LIST)


def _windows_beside_the_menu(facts: Facts) -> Link:
    """Look for what starts an installed Windows that no menu offers."""
    from labkit.boot.rules.os_prober import windows_is_missing

    if uses_grub(facts) and windows_is_missing(facts):
        lacking = (Topic.ESP_FILES, Topic.TABLE, Topic.FILE_SYSTEMS)
        return Link("windows", "it is installed, and the menu lacks it", lacking)
    for entry in facts.boot_list.in_order if facts.boot_list else ():
        is_windows = entry.active and entry.starts is Starts.WINDOWS
        if is_windows and not facts.lacks_loader(entry):
            detail = f"the firmware starts it by {entry.name}"
            return Link("windows", detail, _STARTS_WINDOWS, holds=True)
    if facts.windows_loader is not None:
        return Link("windows", "its loader is on the ESP", _STARTS_WINDOWS, holds=True)
    is_in_mbr = any(m.content.startswith("Windows") for m in facts.mbr_codes)
    if facts.legacy_windows and is_in_mbr and not facts.linux_evidence:
        return Link("windows", "the MBR starts it", _STARTS_WINDOWS, holds=True)
    return Link("windows", "nothing that starts it is seen", _STARTS_WINDOWS)


def _default(facts: Facts) -> Link:
    from labkit.boot.rules.default_entry import default_value, resolve

    needs = (Topic.MENU, Topic.SETTINGS)
    menu = facts.menu
    if menu is None or not menu.starts_linux:
        return Link("default", "no whole menu to resolve it in", needs)
    found = default_value(facts)
    if found is None and facts.settings is None and menu.cfg is None:
        return Link("default", "the settings that name it are not given", (Topic.SETTINGS,))
    if menu.uses_bls and not any(item.kind == "linux" for item in menu.items):
        return _default_of_entry_files(facts)
    if found is None or found[0] in {"", "0"} or menu.uses_bls:
        return Link("default", "it starts the first entry, or a saved one", needs, holds=True)
    resolution = resolve(facts, found[0])
    if resolution is None:
        known = any(found[0] in {item.title, item.identifier} for item in menu.items)
        return Link("default", f"`{found[0]}`", needs, holds=known or None)
    title = resolution.entry.title if resolution.entry else "nothing"
    return Link("default", f"it starts `{title}`", needs, holds=resolution.exact or None)


def _default_of_entry_files(facts: Facts) -> Link:
    """Judge the default of a menu whose entries are files (BLS) that were not given."""
    if _last_start_went_well(facts):
        detail = "what the last start took (boot_success=1)"
        return Link("default", detail, _ENTRY_FILES, holds=True)
    return Link("default", "the menu's entries are files, which are not given", _ENTRY_FILES)


_ENTRY_FILES = (Topic.ENTRY_FILES, Topic.GRUBENV)
