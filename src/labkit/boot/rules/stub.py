"""Rules about the ESP's own grub.cfg, which leads GRUB to its menu."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.chain import can_hold_menu, first_leftover
from labkit.boot.findings import Confidence, Severity
from labkit.boot.menu_remedies import grub_anew, leftover_out, start_from_prompt, stub_anew
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labkit.boot.facts import Facts
    from labkit.boot.parse.host import FstabEntry

__all__ = ["stub_overwritten", "stub_prefix_wrong", "stub_uuid_gone"]


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
    fix=(
        "Move the file away and let the distribution write it again: Fedora sudo dnf reinstall "
        "grub2-common, Debian and Ubuntu sudo grub-install --target=x86_64-efi. Then run "
        "update-grub, which writes the menu where it belongs."
    ),
    undo="Move the old file back.",
    changes_start=True,
)
def stub_overwritten(facts: Facts) -> Iterator[Hit]:
    """The stub is longer than it can be, or holds entries."""
    if facts.stub is not None and facts.stub.is_overwritten:
        message = "the ESP's grub.cfg holds a menu instead of its few lines"
        fix, undo = stub_anew(facts)
        yield Hit(message, (facts.stub.source,), fix=fix, undo=undo)


@rule(
    "C04",
    "the ESP's grub.cfg looks for a file system that is gone",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=((Topic.ESP_STUB, Topic.BOOT_LIST), Topic.FILE_SYSTEMS),
    see="A bare `grub>` prompt instead of the menu.",
    why=(
        "The first line of EFI/<vendor>/grub.cfg names the file system of /boot by UUID. After a "
        "reinstallation or a restore it has another one, and GRUB finds no menu. A removed Linux "
        "leaves its GRUB on the ESP, which still starts first."
    ),
    check="Compare the UUID in /boot/efi/EFI/*/grub.cfg with `blkid`.",
    fix=(
        "At the grub> prompt start Linux once, with the UUID of /boot:\n"
        "search --no-floppy --fs-uuid --set=root UUID\n"
        "set prefix=($root)/boot/grub\n"
        "configfile $prefix/grub.cfg\n"
        "In Linux write the loader anew (on Fedora see C02):\n"
        "sudo grub-install --target=x86_64-efi"
    ),
    undo="Put the old line back.",
    changes_start=True,
)
def stub_uuid_gone(facts: Facts) -> Iterator[Hit]:
    """The stub's UUID is on no file system of a whole list, or its Linux is on no partition."""
    if (leftover := first_leftover(facts)) is not None:
        fix, undo = leftover_out(facts)
        yield Hit(
            f"the firmware starts {leftover.name} `{leftover.label}` first, whose Linux is on no "
            "listed partition",
            (leftover.evidence,),
            confidence=Confidence.LIKELY,
            fix=fix,
            undo=undo,
        )
        return
    stub = facts.stub
    if stub is None or stub.uuid is None or stub.uuid_evidence is None:
        return
    if facts.lists_every_file_system and stub.uuid.lower() not in facts.by_uuid:
        why = "which no file system has"
    elif (held := facts.by_uuid.get(stub.uuid.lower())) is not None and not can_hold_menu(held):
        why = f"which is {held.device} ({held.fstype}): no /boot of a Linux"
    else:
        return
    if facts.linux_is_removed:
        return  # A leftover that the firmware does not start first.
    boot = _boot_mount(facts)
    hint = f"; /boot is on {boot.uuid}" if boot is not None and boot.uuid else ""
    yield Hit(
        f"the ESP's grub.cfg looks for {stub.uuid}, {why}{hint}",
        (stub.uuid_evidence, *((boot.evidence,) if boot else ())),
        fix=start_from_prompt(facts),
        undo=f"The old line of the ESP's grub.cfg: {stub.uuid_evidence.text}",
    )


def _boot_mount(facts: Facts) -> FstabEntry | None:
    """Give the line of fstab whose file system holds /boot: its own, or that of the root."""
    mounts = {e.mount: e for e in facts.fstab or () if e is not facts.esp_mount}
    return mounts.get("/boot") or mounts.get("/")


@rule(
    "C05",
    "the menu is not where the ESP's grub.cfg looks",
    Severity.ERROR,
    Effect.CANNOT_START,
    needs=((Topic.ESP_STUB, Topic.SCREEN), (Topic.FSTAB, Topic.SCREEN)),
    see="A `grub>` prompt, or `error: file '/boot/grub/grub.cfg' not found`.",
    why=(
        "The stub's UUID is right, but its prefix is not: with a /boot of its own the menu is "
        "at /grub on that file system, without one at /boot/grub. GRUB then shows its prompt; at "
        "`grub rescue>` it did not find its own files either."
    ),
    check="At the prompt: ls (hd0,gpt2)/boot/grub, ls (hd0,gpt2)/grub",
    fix=(
        "At the grub> prompt start Linux once, with the UUID of /boot; without a /boot of its own "
        "the prefix is ($root)/boot/grub:\n"
        "search --no-floppy --fs-uuid --set=root UUID\n"
        "set prefix=($root)/grub\n"
        "configfile $prefix/grub.cfg\n"
        "In Linux write the loader anew (on Fedora see C02):\n"
        "sudo grub-install --target=x86_64-efi"
    ),
    undo="Put the old lines back.",
    changes_start=True,
)
def stub_prefix_wrong(facts: Facts) -> Iterator[Hit]:
    """The stub does not fit what fstab mounts on / and /boot, or the screen shows a prompt."""
    yield from _menu_not_found(facts)
    stub = facts.stub
    if stub is None or stub.uuid is None or stub.prefix is None or stub.is_overwritten:
        return
    mounts = {e.mount: e for e in facts.fstab or () if e.mount in {"/", "/boot"}}
    root, boot = mounts.get("/"), mounts.get("/boot")
    uuid = stub.uuid.lower()
    on_root = root is not None and _uuid_of(facts, root) == uuid
    on_boot = boot is not None and _uuid_of(facts, boot) == uuid
    message = ""
    if on_root and on_boot:
        return  # Subvolumes of one file system: their paths depend on their names.
    if on_boot and stub.prefix.startswith("/boot/"):
        message = f"/boot has its own file system, yet the ESP's grub.cfg wants {stub.prefix} on it"
    elif on_root and boot is not None:
        message = "the ESP's grub.cfg looks on the root file system, but /boot is another one"
    elif on_root and re.fullmatch(r"/grub2?", stub.prefix):
        message = f"/boot is on the root file system, yet the ESP's grub.cfg wants {stub.prefix}"
    if message:
        seen = tuple(e.evidence for e in (boot, root) if e is not None)
        yield Hit(
            message,
            (stub.source, *seen[:1]),
            confidence=Confidence.LIKELY,
            fix=start_from_prompt(facts),
        )


def _menu_not_found(facts: Facts) -> Iterator[Hit]:
    """Find GRUB's prompt on the screen, or its word that it did not get at its own files."""
    for line in facts.messages.get(Topic.SCREEN, ()):
        if re.search(_NO_MENU, line.text):
            text = line.text.strip()
            # The rescue prompt has no command that could start Linux.
            fix = start_from_prompt(facts) if text.startswith("grub>") else grub_anew(facts)
            message = f"GRUB did not find its menu or its files: `{text}`"
            yield Hit(message, (line,), confidence=Confidence.LIKELY, fix=fix)
            return


_NO_MENU = (
    r"^\s*grub(?: rescue)?>|normal\.mod.*not found|error:.*unknown filesystem"
    r"|file .*grub\.cfg.*not found"
)


def _uuid_of(facts: Facts, mount: FstabEntry) -> str | None:
    """Give the file system that a line of fstab means, however it names it."""
    if mount.uuid is not None:
        return mount.uuid.lower()
    named = facts.mounted(mount)
    return named.uuid.lower() if named is not None and named.uuid else None
