"""Rules about the generated menu and the environment block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.distributions import Family
from labkit.boot.findings import Confidence, Evidence, Severity
from labkit.boot.menu_remedies import (
    grub_anew,
    skip_list_with,
)
from labkit.boot.remedies import grub_folder, steps, update_steps
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.rules.os_prober import may_probe, windows_is_missing
from labkit.boot.rules.stub import stub_overwritten, stub_prefix_wrong, stub_uuid_gone
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts
    from labkit.boot.menu_facts import MenuItem

__all__ = ["RULES"]


@rule(
    "C01",
    "the menu is older than the settings",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=(Topic.MENU, (Topic.SETTINGS, Topic.OS_PROBER)),
    see="A change in /etc/default/grub has no effect, or Windows, which os-prober finds, is not "
    "in the menu.",
    why=(
        "GRUB never reads /etc/default/grub nor looks for systems; grub-mkconfig writes both into "
        "grub.cfg when it runs."
    ),
    check="Compare `grep 'set default' /boot/grub/grub.cfg` with GRUB_DEFAULT, and `sudo "
    "os-prober` with the titles in grub.cfg.",
    fix="Run update-grub. It writes grub.cfg anew: changes made in that file by hand are lost.",
    undo="Put the old value back and run update-grub again.",
)
def menu_is_stale(facts: Facts) -> Iterator[Hit]:
    """What grub.cfg holds is not what the settings ask for, or lacks what os-prober finds."""
    yield from _stale_systems(facts)
    yield from _stale_timeout(facts)
    cfg = facts.menu.cfg if facts.menu else None
    line = facts.settings.written("GRUB_DEFAULT") if facts.settings else None
    value = facts.settings.value("GRUB_DEFAULT") if facts.settings else None
    if cfg is None or line is None or value is None or facts.menu is None:
        return
    written = facts.menu.header_default
    wanted = "${saved_entry}" if value == "saved" else value or "0"
    if written is not None and written.text != wanted:
        yield Hit(
            f"grub.cfg sets the default `{written.text}`, the settings ask for `{value}`",
            (written, line),
            fix=update_steps(facts),
        )


def _stale_systems(facts: Facts) -> Iterator[Hit]:
    """Windows can be found and os-prober is not off, but the menu was written without it."""
    if facts.menu is None or not windows_is_missing(facts) or not may_probe(facts):
        return
    if facts.starts_by_uefi and facts.legacy_windows and facts.windows_loader is None:
        return  # No menu that UEFI starts can start it: rule M02.
    prober = facts.prober.systems if facts.prober else ()
    log = facts.log.found if facts.log else ()
    found = [s.evidence for s in prober if s.is_windows]
    found += [line for line in log if re.search(r"windows|bootmgfw", line.text, re.IGNORECASE)]
    was_blind = facts.prober is not None and not facts.prober.denied
    if found:
        message = "os-prober finds Windows, but the menu lacks it: it was written before"
    elif was_blind or facts.log is not None:
        return  # A run that did not find it is a fault of its own: O02 to O04.
    else:
        message = "os-prober is on and Windows installed, but the menu lacks it: written before"
        found = [*facts.windows_evidence]
    yield Hit(
        message,
        (found[0], facts.menu.source),
        Severity.ERROR,
        Confidence.LIKELY,
        fix=update_steps(facts),
    )


def _stale_timeout(facts: Facts) -> Iterator[Hit]:
    """Compare timeouts where no script of the distribution rewrites them beside Windows."""
    distribution, cfg = facts.distribution, facts.menu.cfg if facts.menu else None
    setting = facts.settings.settings.get("GRUB_TIMEOUT") if facts.settings else None
    rewritten = distribution.unhides_beside_windows or distribution.family is Family.UNKNOWN
    if cfg is None or rewritten or setting is None or "timeout" not in cfg.variables:
        return
    written = cfg.variables["timeout"]
    if written.conditional or not written.value or not (setting.value or "").isdecimal():
        return
    if written.value != setting.value and facts.menu is not None:
        place = Evidence(facts.menu.source.input, written.line, f"set timeout={written.value}")
        wanted = Evidence(setting.file, setting.line, f"GRUB_TIMEOUT={setting.value}")
        yield Hit(
            f"grub.cfg waits {written.value} s, the settings ask for {setting.value} s",
            (place, wanted),
            fix=update_steps(facts),
        )


@rule(
    "C03",
    "the menu looks for a file system that is gone",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=((Topic.MENU, Topic.SCREEN), Topic.FILE_SYSTEMS),
    see="error: no such device: UUID; or the kernel stops: ALERT! UUID=... does not exist.",
    why=(
        "grub.cfg names file systems by UUID, for GRUB (search) and for the kernel (root=). A "
        "formatted or restored partition has a new one, "
        "and the menu keeps the old until it is generated again."
    ),
    check="Look for the UUID in the output of `blkid`.",
    fix="Run update-grub, in Linux or from a live medium after chroot. Changes made in grub.cfg by "
    "hand are lost.",
    undo="Nothing is lost: the menu is generated.",
    explains=("C05",),
)
def menu_uuid_gone(facts: Facts) -> Iterator[Hit]:
    """A UUID in grub.cfg is on no file system of a whole list, or GRUB says so."""
    yield from _device_not_seen(facts)
    if facts.menu is None or not facts.lists_every_file_system:
        return
    reported: set[str] = set()
    for verb, uuids in (
        ("looks for the file system", facts.menu.searched),
        ("gives the kernel the root", facts.menu.roots),
    ):
        for uuid, evidence in uuids:
            if uuid.lower() not in facts.by_uuid and uuid.lower() not in reported:
                reported.add(uuid.lower())
                yield Hit(
                    f"the menu {verb} {uuid}, which no partition has",
                    (evidence,),
                    fix=steps(
                        "In Linux; if it does not start, from a live medium after chroot:",
                        update_steps(facts),
                    ),
                )


def _device_not_seen(facts: Facts) -> Iterator[Hit]:
    """Find a file system that GRUB does not see, by its own word, while Linux lists it."""
    for line in facts.messages.get(Topic.SCREEN, ()):
        told = re.search(r"no such device: ([0-9A-Fa-f-]{8,36})", line.text)
        if told is not None and told[1].lower() in facts.by_uuid:
            yield Hit(
                f"GRUB does not see {told[1]}, though Linux does: the firmware hides that disk, or "
                "GRUB looks on another",
                (line,),
                confidence=Confidence.LIKELY,
                fix=grub_anew(facts),
            )


@rule(
    "C06",
    "a menu entry of Windows leads nowhere",
    Severity.WARN,
    Effect.LEFTOVER,
    needs=((Topic.MENU, Topic.SCRIPTS),),
    see="Two Windows entries, of which one works; or `error: file ... not found`.",
    why=(
        "os-prober lists every partition with a Windows loader: the recovery environment and a "
        "system partition too. A copy of 30_os-prober in /etc/grub.d runs as well and doubles "
        "all entries. An entry whose file is no longer on the ESP starts nothing."
    ),
    check="grep osprober /boot/grub/grub.cfg; ls -l /etc/grub.d",
    fix=(
        'Name the dead one in /etc/default/grub, GRUB_OS_PROBER_SKIP_LIST="UUID@/dev/sda3" (for '
        "EFI: UUID@/EFI/Microsoft/Boot/bootmgfw.efi), and take the execute bit off copies in "
        "/etc/grub.d: sudo chmod -x. Then update-grub."
    ),
    undo="Take it out of the list again, or chmod +x; then update-grub.",
)
def doubled_windows(facts: Facts) -> Iterator[Hit]:
    """The same Windows twice, a recovery environment, an ESP chainloaded, a copied script."""
    copies = [
        s.evidence
        for s in facts.scripts
        if s.is_executable and re.match(r"\d\d_os-prober.+", s.name) and not s.name.endswith("~")
    ]
    if copies:
        paths = [f"/etc/grub.d/{s.name}" for s in facts.scripts if s.evidence in copies]
        yield Hit(
            "a copy of 30_os-prober in /etc/grub.d runs too",
            tuple(copies),
            fix=steps((f"sudo chmod -x {path}" for path in paths), update_steps(facts)),
            undo=steps((f"sudo chmod +x {path}" for path in paths), update_steps(facts)),
        )
    windows = facts.menu.windows if facts.menu is not None else ()
    lacking = [item for item in windows if _lacks_loader(facts, item)]
    for item in lacking:
        yield Hit(
            f"`{item.title}` starts {item.loader}, which is on no EFI system partition",
            (item.evidence, facts.esps[0].source),
            Severity.WARN if len(lacking) < len(windows) else Severity.ERROR,
            fix=update_steps(facts),
        )
    if facts.windows_is_removed and not lacking:
        for item in windows:
            message = f"`{item.title}` starts a Windows that no listed partition holds"
            where = "If it is on a disk that is not listed: give labkit the lists with that disk."
            left = "If it was removed, nothing must be done: the entry ends in 0xc000000e or f."
            yield Hit(
                message, (item.evidence,), Severity.INFO, Confidence.LIKELY, steps(where, left)
            )
        return
    if len(windows) < 2:  # noqa: PLR2004 - one entry doubles nothing
        return
    seen: dict[str, Evidence] = {}
    for item in windows:
        first = seen.setdefault(item.identifier, item.evidence)
        partition = _partition_of(facts, item.file_systems)
        fix, undo = skip_list_with(facts, item, partition)
        if first is not item.evidence:
            yield Hit(
                f"`{item.title}` is in the menu twice",
                (first, item.evidence),
                fix=steps(
                    "Two scripts write it: a copy of 30_os-prober, or an entry in 40_custom.",
                    "ls -l /etc/grub.d",
                    "Take the execute bit off the copy (chmod -x), or the entry out, then:",
                    update_steps(facts),
                ),
            )
        elif "Recovery" in item.title:
            message = f"`{item.title}` is no installed Windows"
            yield Hit(message, (item.evidence,), fix=fix, undo=undo)
        elif partition is not None and partition.is_fat and "efi" not in item.identifier:
            yield Hit(
                f"`{item.title}` starts the boot sector of the EFI system partition",
                (item.evidence, *partition.evidence[:1]),
                confidence=Confidence.LIKELY,
                fix=fix,
                undo=undo,
            )


def _lacks_loader(facts: Facts, item: MenuItem) -> bool:
    """Tell whether the file that an entry chainloads is surely on no ESP."""
    path = re.sub(r"^\([^)]*\)", "", item.loader or "").lower()
    is_named = path.startswith("/efi/") and path.endswith(".efi")
    listed = facts.lists_every_esp and all(esp.is_certain for esp in facts.esps)
    return is_named and listed and not any(esp.find(path) for esp in facts.esps)


def _partition_of(facts: Facts, uuids: tuple[str, ...]) -> Partition | None:
    return next((facts.by_uuid[u.lower()] for u in uuids if u.lower() in facts.by_uuid), None)


@rule(
    "C07",
    "a BIOS entry in a menu that UEFI starts",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.MENU, Topic.MODE),
    see="error: invalid EFI file path",
    why=(
        "`chainloader +1` starts a boot sector, which only a BIOS can; GRUB for UEFI takes it "
        "for a file name. The menu was generated in legacy mode, or copied."
    ),
    check="grep -A8 'Windows' /boot/grub/grub.cfg shows `chainloader +1`.",
    fix="Start Linux in UEFI mode and run update-grub.",
    undo="Nothing is lost: the menu is generated.",
)
def bios_entry(facts: Facts) -> Iterator[Hit]:
    """A `chainloader +1` or osprober-chain entry while the computer starts by UEFI."""
    if facts.menu is None or not facts.starts_by_uefi or not facts.menu.starts_linux:
        return
    # The mode of a live system says nothing about a disk that is set up for a BIOS.
    if facts.partitions and not facts.esp_partitions:
        return
    for item in facts.menu.items:
        if item.loader == "+1" or item.identifier.startswith("osprober-chain-"):
            yield Hit(
                f"`{item.title}` starts a boot sector, which UEFI cannot",
                (item.evidence,),
                fix=steps("In Linux, started in UEFI mode:", update_steps(facts)),
            )


@rule(
    "C08",
    "GRUB cannot read its menu",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.MENU,),
    see="A syntax error when GRUB starts, or a rescue prompt.",
    why="grub.cfg was edited by hand, or is cut: a quote or a brace is open to its end.",
    check="grub-script-check /boot/grub/grub.cfg",
    fix="Keep a copy of grub.cfg, then run update-grub: it writes the file anew. Put hand-written "
    "entries into /etc/grub.d/40_custom.",
    undo="Put the copy back.",
)
def menu_syntax(facts: Facts) -> Iterator[Hit]:
    """The parser stops where GRUB's does. A part of a file is cut on purpose, not broken."""
    menu = facts.menu
    if menu is not None and menu.syntax_error is not None and menu.starts_linux:
        yield Hit(
            f"grub.cfg cannot be read: {menu.syntax_error.text}",
            (menu.syntax_error,),
            # The copy that was given may be cut, not the file.
            confidence=Confidence.LIKELY
            if "never closed" in menu.syntax_error.text
            else Confidence.CERTAIN,
            fix=steps(
                "It is written anew; put entries of your own into /etc/grub.d/40_custom. In Linux:",
                f"sudo cp {grub_folder(facts)}/grub.cfg {grub_folder(facts)}/grub.cfg.old",
                update_steps(facts),
            ),
            undo=f"sudo mv {grub_folder(facts)}/grub.cfg.old {grub_folder(facts)}/grub.cfg",
        )


@rule(
    "C10",
    "Fedora hides the menu after a good start",
    Severity.INFO,
    Effect.SETTING_IGNORED,
    needs=(Topic.GRUBENV,),
    see="No menu appears, though a timeout is set.",
    why=(
        "menu_auto_hide=1 in the environment block hides the menu after a start that went well. "
        "30_os-prober undoes it when it found another system, unless the value is 2."
    ),
    check="sudo grub2-editenv - list",
    fix="sudo grub2-editenv - unset menu_auto_hide",
    undo="sudo grub2-editenv - set menu_auto_hide=1",
    explains=("F04",),
)
def menu_auto_hide(facts: Facts) -> Iterator[Hit]:
    """menu_auto_hide is set and nothing undoes it."""
    block = facts.environment.block if facts.environment else None
    value = block.variables.get("menu_auto_hide") if block else None
    if block is None or value not in {"1", "2"} or facts.environment is None:
        return
    if value == "1" and facts.menu is not None and facts.menu.os_prober_wrote:
        return
    line = Evidence(
        facts.environment.evidence.input, block.lines["menu_auto_hide"], f"menu_auto_hide={value}"
    )
    severity = Severity.WARN if value == "2" else Severity.INFO
    undo = f"sudo grub2-editenv - set menu_auto_hide={value}"
    yield Hit("the menu is hidden after a good start", (line,), severity, undo=undo)


@rule(
    "C11",
    "the environment block is damaged",
    Severity.ERROR,
    Effect.SETTING_IGNORED,
    needs=(Topic.GRUBENV,),
    see="The saved choice is ignored, or saving it fails.",
    why=(
        "GRUB reads grubenv only with its header line and LF line ends, and saves into it only "
        "while there is room. grub-editenv makes it 1024 bytes long."
    ),
    check="grub-editenv /boot/grub/grubenv list; wc -c /boot/grub/grubenv",
    fix=(
        "Copy the file, then sudo grub-editenv /boot/grub/grubenv create (Fedora, openSUSE: grub2-"
        "editenv and /boot/grub2). What was saved in it is lost; on Fedora and RHEL run "
        "grub2-mkconfig -o /boot/grub2/grub.cfg after it, which sets kernelopts again."
    ),
    undo="Put the copy back.",
    explains=("D03",),
)
def environment_damaged(facts: Facts) -> Iterator[Hit]:
    """The header or the line ends are wrong, or the size is odd."""
    environment = facts.environment
    if environment is None:
        return
    if environment.block is None:
        file = f"{grub_folder(facts)}/grubenv"
        yield Hit(
            environment.problem or "it cannot be read",
            (environment.evidence,),
            fix=steps(
                "What was saved in it is lost:",
                f"sudo cp {file} {file}.old",
                f"sudo {facts.distribution.grubenv_command} {file} create",
                update_steps(facts) if facts.distribution.family is Family.FEDORA else "",
            ),
            undo=f"sudo mv {file}.old {file}",
        )
    elif not environment.block.standard_size:
        size = environment.block.size_bytes
        message = f"the environment block is {size} bytes long instead of 1024; GRUB reads it"
        fix = "Nothing must be done."
        yield Hit(message, (environment.evidence,), Severity.INFO, fix=fix)


RULES = (
    menu_is_stale,
    stub_overwritten,
    menu_uuid_gone,
    stub_uuid_gone,
    stub_prefix_wrong,
    doubled_windows,
    bios_entry,
    menu_syntax,
    menu_auto_hide,
    environment_damaged,
)
