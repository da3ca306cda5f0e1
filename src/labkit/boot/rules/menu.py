"""Rules about the generated menu, the ESP's own grub.cfg and the environment block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.distributions import Family
from labkit.boot.findings import Confidence, Evidence, Severity
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.disks import Partition
    from labkit.boot.facts import Facts

__all__ = ["RULES"]


@rule(
    "C01",
    "the menu is older than the settings",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=(Topic.SETTINGS, Topic.MENU),
    see="A change in /etc/default/grub has no effect.",
    why="GRUB never reads /etc/default/grub; grub-mkconfig copies it into grub.cfg when it runs.",
    check="Compare `grep 'set default' /boot/grub/grub.cfg` with GRUB_DEFAULT.",
    fix="Run update-grub.",
    undo="Put the old value back and run update-grub again.",
)
def menu_is_stale(facts: Facts) -> Iterator[Hit]:
    """The default or the timeout that grub.cfg sets is not the one of the settings."""
    yield from _stale_timeout(facts)
    cfg = facts.menu.cfg if facts.menu else None
    setting = facts.settings.settings.get("GRUB_DEFAULT") if facts.settings else None
    if cfg is None or setting is None or setting.value is None or facts.menu is None:
        return
    written = facts.menu.header_default
    wanted = "${saved_entry}" if setting.value == "saved" else setting.value or "0"
    if written is not None and written.text != wanted:
        yield Hit(
            f"grub.cfg sets the default `{written.text}`, the settings ask for `{setting.value}`",
            (written, Evidence(setting.file, setting.line, f"GRUB_DEFAULT={setting.value}")),
            fix=facts.distribution.update_command,
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
            fix=distribution.update_command,
        )


@rule(
    "C02",
    "the ESP's grub.cfg was overwritten by a menu",
    Severity.ERROR,
    Effect.FILE_GONE,
    needs=(Topic.ESP_STUB,),
    see="The menu never changes again, whatever update is made; on Fedora kernels stay old.",
    why=(
        "EFI/<vendor>/grub.cfg is three or four lines that lead to the real menu. grub2-mkconfig "
        "-o onto that path replaces them by a copy of the menu, which nothing updates."
    ),
    check="wc -l /boot/efi/EFI/*/grub.cfg: more than a handful of lines.",
    fix="Reinstall the packages that own it (Fedora: sudo dnf reinstall shim-* grub2-*), or write "
    "its three lines again.",
    undo="Keep a copy of the file before replacing it.",
)
def stub_overwritten(facts: Facts) -> Iterator[Hit]:
    """The stub is longer than it can be, or holds entries."""
    if facts.stub is not None and facts.stub.is_overwritten:
        yield Hit("the ESP's grub.cfg holds a menu instead of its few lines", (facts.stub.source,))


@rule(
    "C03",
    "the menu looks for a file system that is gone",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.MENU, Topic.FILE_SYSTEMS),
    see="error: no such device: UUID",
    why=(
        "grub.cfg names file systems by UUID. A formatted or restored partition has a new one, "
        "and the menu keeps the old until it is generated again."
    ),
    check="Look for the UUID in the output of `blkid`.",
    fix="Run update-grub.",
    undo="Nothing is lost: the menu is generated.",
)
def menu_uuid_gone(facts: Facts) -> Iterator[Hit]:
    """A UUID in grub.cfg is on no file system of a whole list."""
    if facts.menu is None or not facts.lists_every_file_system:
        return
    reported: set[str] = set()
    for uuid, evidence in facts.menu.searched:
        if uuid.lower() not in facts.by_uuid and uuid.lower() not in reported:
            reported.add(uuid.lower())
            yield Hit(
                f"the menu looks for the file system {uuid}, which no partition has",
                (evidence,),
                fix=facts.distribution.update_command,
            )


@rule(
    "C04",
    "the ESP's grub.cfg looks for a file system that is gone",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.ESP_STUB, Topic.FILE_SYSTEMS),
    see="A bare `grub>` prompt instead of the menu.",
    why=(
        "The first line of EFI/<vendor>/grub.cfg names the file system of /boot by UUID. After a "
        "reinstallation or a restore it has another one, and GRUB finds no menu."
    ),
    check="Compare the UUID in /boot/efi/EFI/*/grub.cfg with `blkid`.",
    fix="Run grub-install from the installed system, or correct the UUID in the first line.",
    undo="Put the old line back.",
)
def stub_uuid_gone(facts: Facts) -> Iterator[Hit]:
    """The stub's UUID is on no file system of a whole list."""
    stub = facts.stub
    if stub is None or stub.uuid is None or stub.uuid_evidence is None:
        return
    if facts.lists_every_file_system and stub.uuid.lower() not in facts.by_uuid:
        root = next((e for e in facts.fstab or () if e.mount in {"/boot", "/"} and e.uuid), None)
        hint = f"; /boot is on {root.uuid}" if root else ""
        yield Hit(
            f"the ESP's grub.cfg looks for {stub.uuid}, which no file system has{hint}",
            (stub.uuid_evidence, *((root.evidence,) if root else ())),
            fix="sudo grub-install (in the installed system, its ESP mounted on /boot/efi)",
        )


@rule(
    "C05",
    "the menu is not where the ESP's grub.cfg looks",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.ESP_STUB, (Topic.FSTAB, Topic.SCREEN)),
    see="A `grub>` prompt, or `error: file '/boot/grub/grub.cfg' not found`.",
    why=(
        "The stub's UUID is right, but its prefix is not: with a /boot of its own the menu is "
        "at /grub on that file system, without one at /boot/grub."
    ),
    check="At the prompt: ls (hd0,gpt2)/boot/grub, ls (hd0,gpt2)/grub",
    fix="Run grub-install from the installed system.",
    undo="Put the old lines back.",
)
def stub_prefix_wrong(facts: Facts) -> Iterator[Hit]:
    """Fstab's /boot contradicts the prefix, or the stub names the root beside a separate /boot."""
    stub = facts.stub
    if stub is None or stub.uuid is None or stub.prefix is None or stub.is_overwritten:
        return
    mounts = {e.mount: e for e in facts.fstab or () if e.uuid and e.mount in {"/", "/boot"}}
    boot, root = mounts.get("/boot"), mounts.get("/")
    uuid = stub.uuid.lower()
    if boot is not None and (boot.uuid or "").lower() == uuid and stub.prefix.startswith("/boot/"):
        yield Hit(
            f"/boot has its own file system, yet the ESP's grub.cfg looks for {stub.prefix} on it",
            (stub.source, boot.evidence),
            confidence=Confidence.LIKELY,
        )
    elif boot is not None and root is not None and (root.uuid or "").lower() == uuid:
        yield Hit(
            "the ESP's grub.cfg looks on the root file system, but /boot is another one",
            (stub.source, boot.evidence),
            confidence=Confidence.LIKELY,
        )


@rule(
    "C06",
    "a menu entry of Windows leads nowhere",
    Severity.WARN,
    Effect.LEFTOVER,
    needs=((Topic.MENU, Topic.SCRIPTS),),
    see="Two Windows entries; one of them works.",
    why=(
        "os-prober lists every partition with a Windows loader: the recovery environment and a "
        "system partition too. A copy of 30_os-prober in /etc/grub.d runs as well and doubles "
        "all entries."
    ),
    check="grep osprober /boot/grub/grub.cfg; ls -l /etc/grub.d",
    fix="Name the dead one in GRUB_OS_PROBER_SKIP_LIST; delete copies in /etc/grub.d.",
    undo="Take it out of the list again.",
)
def doubled_windows(facts: Facts) -> Iterator[Hit]:
    """The same Windows twice, a recovery environment, an ESP chainloaded, a copied script."""
    copies = [
        s.evidence
        for s in facts.scripts
        if s.is_executable and re.match(r"\d\d_os-prober.+", s.name) and not s.name.endswith("~")
    ]
    if copies:
        yield Hit("a copy of 30_os-prober in /etc/grub.d runs too", tuple(copies))
    windows = facts.menu.windows if facts.menu is not None else ()
    if len(windows) < 2:  # noqa: PLR2004 - one entry doubles nothing
        return
    seen: dict[str, Evidence] = {}
    for item in windows:
        first = seen.setdefault(item.identifier, item.evidence)
        partition = _partition_of(facts, item.file_systems)
        if first is not item.evidence:
            yield Hit(f"`{item.title}` is in the menu twice", (first, item.evidence))
        elif "Recovery" in item.title:
            yield Hit(f"`{item.title}` is no installed Windows", (item.evidence,))
        elif partition is not None and partition.is_fat and "efi" not in item.identifier:
            yield Hit(
                f"`{item.title}` starts the boot sector of the EFI system partition",
                (item.evidence, *partition.evidence[:1]),
                confidence=Confidence.LIKELY,
            )


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
    fix="Start in UEFI mode and run update-grub.",
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
            yield Hit(f"`{item.title}` starts a boot sector, which UEFI cannot", (item.evidence,))


@rule(
    "C08",
    "GRUB cannot read its menu",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=(Topic.MENU,),
    see="A syntax error when GRUB starts, or a rescue prompt.",
    why="grub.cfg was edited by hand, or is cut: a quote or a brace is open to its end.",
    check="grub-script-check /boot/grub/grub.cfg",
    fix="Run update-grub; put hand-written entries into /etc/grub.d/40_custom.",
    undo="Keep a copy of the file.",
)
def menu_syntax(facts: Facts) -> Iterator[Hit]:
    """The parser stops where GRUB's does. A part of a file is cut on purpose, not broken."""
    menu = facts.menu
    if menu is not None and menu.syntax_error is not None and menu.starts_linux:
        yield Hit(
            f"grub.cfg cannot be read: {menu.syntax_error.text}",
            (menu.syntax_error,),
            fix=facts.distribution.update_command,
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
    yield Hit("the menu is hidden after a good start", (line,), severity)


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
    fix="grub-editenv /boot/grub/grubenv create (saved choices are lost)",
    undo="Keep a copy of the file.",
    explains=("D03",),
)
def environment_damaged(facts: Facts) -> Iterator[Hit]:
    """The header or the line ends are wrong, or the size is odd."""
    environment = facts.environment
    if environment is None:
        return
    if environment.block is None:
        yield Hit(environment.problem or "it cannot be read", (environment.evidence,))
    elif not environment.block.standard_size:
        size = environment.block.size_bytes
        message = f"the environment block is {size} bytes long instead of 1024; GRUB reads it"
        yield Hit(message, (environment.evidence,), Severity.INFO)


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
