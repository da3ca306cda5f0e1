"""Starting another system once: by GRUB or by the firmware, whichever suits the computer.

GRUB remembers the choice in its environment block (`grub-reboot`), the firmware in the variable
BootNext. The way matters to BitLocker, whose key is bound to what was measured on the way to
Windows: only the firmware starts Windows as it starts by itself.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.default_choice import find_entry
from labkit.boot.default_entry import entry_value
from labkit.boot.parse.efibootmgr import Starts
from labkit.boot.via import Via
from labkit.errors import LabkitError, RefusedError, UnmetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labkit.boot.default_entry import Order
    from labkit.boot.facts import Facts
    from labkit.boot.grub_cfg import GrubCfg
    from labkit.boot.parse.efibootmgr import BootEntry, BootList

__all__ = ["GrubWay", "OneTimeStart", "plan_one_time_start", "uses_bitlocker"]


@dataclass(frozen=True, slots=True)
class GrubWay:
    """What it takes to start an entry by GRUB.

    Attributes:
        cfg: The menu.
        program: `grub-reboot`, or what the distribution calls it.
        order: How its GRUB compares names and numbers.
        unwritable: What the environment block is on, where GRUB cannot write there.
    """

    cfg: GrubCfg
    program: str = "grub-reboot"
    order: Order = "upstream"
    unwritable: str | None = None


@dataclass(frozen=True, slots=True)
class OneTimeStart:
    """A command that starts an entry at the next start only.

    Attributes:
        command: The command.
        via: Who starts the entry.
        suits: The way that suits this computer.
        reason: Why it does.
        note: What else to know; empty for nothing.
    """

    command: str
    via: Via
    suits: Via
    reason: str
    note: str = ""


def uses_bitlocker(facts: Facts) -> bool | None:
    """Tell whether BitLocker encrypts a volume; None where no input shows all file systems."""
    return facts.bitlocker


def plan_one_time_start(
    wish: str,
    *,
    via: Via | None = None,
    grub: GrubWay | None = None,
    firmware: BootList | None = None,
    bitlocker: bool | None = None,
) -> OneTimeStart:
    """Give the command that starts `wish` once.

    Args:
        wish: `windows`; an entry's id, title or path in GRUB's menu; or its label or `Boot0003` in
            the firmware's list.
        via: Who shall start it; where None, the way that suits.
        grub: The GRUB menu, where it is known.
        firmware: The firmware's list, where it is known.
        bitlocker: Whether BitLocker is in use; None where that is not known.

    Raises:
        UnmetError: Neither way is known, or the one wanted has no Windows entry.
        RefusedError: GRUB, the way wanted or the only one, would start the entry for ever.
        UsageError: Several entries fit, or none.
    """
    ways: dict[Via, tuple[str, str]] = {}
    problems: dict[Via, LabkitError] = {}
    for way in Via:
        try:
            ways[way] = _by_grub(wish, grub) if way is Via.GRUB else _by_firmware(wish, firmware)
        except LabkitError as error:
            problems[way] = error
    if Via.GRUB in ways and grub is not None and grub.unwritable:
        command = ways.pop(Via.GRUB)[0]
        problems[Via.GRUB] = _for_ever(wish, grub.unwritable, command, _hint(ways, firmware))
    passing_by = _starts_without_grub(firmware)
    refused = problems.get(Via.GRUB)
    against = refused.message if isinstance(refused, RefusedError) else passing_by
    suits, reason = _suiting(ways, against, bitlocker=bitlocker)
    chosen = via or suits
    # A list that names several is a question to the user, not a reason to take the other way.
    if chosen not in ways or (via is None and _is_question(problems.get(Via.FIRMWARE))):
        raise problems.get(chosen) or problems[Via.FIRMWARE]
    command, note = ways[chosen]
    if chosen is Via.GRUB and passing_by:
        note = f"{passing_by}: choose Linux' entry at the next start, for GRUB to see the choice"
    return OneTimeStart(command, chosen, suits, reason, note)


def _is_question(problem: LabkitError | None) -> bool:
    return problem is not None and problem.code == "ambiguous"


def _for_ever(wish: str, place: str, command: str, hint: str) -> RefusedError:
    """Say why GRUB cannot start `wish` once."""
    program = command.split()[1]
    return RefusedError(
        f"GRUB's environment block is on {place}, where GRUB cannot write: it would not clear the "
        f"choice of {program}, and `{wish}` would start every time",
        hint=hint,
        code="choice-would-stay",
    )


def _hint(ways: dict[Via, tuple[str, str]], firmware: BootList | None) -> str:
    """Give the way that is left where GRUB's is none."""
    if Via.FIRMWARE in ways:
        return f"the firmware can: {ways[Via.FIRMWARE][0]}"
    if firmware is not None and not firmware.is_supported:
        return "choose it in the menu: `sudo labkit boot menu show` brings it up at each start"
    return "the firmware can: give its list, the output of `efibootmgr -v`, with --efibootmgr"


def _starts_without_grub(firmware: BootList | None) -> str:
    """Say what the firmware starts first where that is not GRUB; empty where it may be."""
    on_disk = (e for e in firmware.in_order if e.active and e.node) if firmware else iter(())
    first = next(on_disk, None)
    if first is None or first.starts in {Starts.LINUX, Starts.FALLBACK}:
        return ""
    return f"the firmware starts {first.name} `{first.label}` first, not GRUB"


def _suiting(
    ways: dict[Via, tuple[str, str]], against_grub: str, *, bitlocker: bool | None
) -> tuple[Via, str]:
    if bitlocker:
        return Via.FIRMWARE, (
            "BitLocker is in use: started by the firmware, Windows finds the boot path that its "
            "key is bound to; by way of GRUB it may ask for the recovery key"
        )
    if Via.FIRMWARE not in ways:
        return Via.GRUB, (
            "the firmware's list is not known or lacks it; "
            "with BitLocker have the recovery key at hand"
        )
    if against_grub:
        return Via.FIRMWARE, against_grub
    if Via.GRUB not in ways:
        return Via.FIRMWARE, "GRUB's menu is not known or lacks it; this way suits BitLocker, too"
    if bitlocker is False:
        return (
            Via.GRUB,
            "no volume has BitLocker, and GRUB changes no firmware variable",
        )
    return Via.FIRMWARE, (
        "whether BitLocker is in use is not known; started by the firmware, Windows does not "
        "ask for its recovery key"
    )


def _by_grub(wish: str, grub: GrubWay | None) -> tuple[str, str]:
    if grub is None:
        raise UnmetError(
            "GRUB's menu is not known", hint="name it with --grub-cfg", code="no-grub-menu"
        )
    value = entry_value(grub.cfg.entries, find_entry(grub.cfg, wish), order=grub.order)
    return f"sudo {grub.program} {shlex.quote(value)} && sudo systemctl reboot", ""


def _by_firmware(wish: str, firmware: BootList | None) -> tuple[str, str]:
    if firmware is None:
        raise UnmetError(
            "the firmware's list is not known",
            hint="give the output of `efibootmgr -v` with --efibootmgr",
            code="no-firmware-list",
        )
    if not firmware.is_supported:
        raise UnmetError(
            "this computer was not started by UEFI, and its firmware has no list",
            hint="`--via grub`",
            code="no-firmware-list",
        )
    found = _fitting(wish, firmware)
    if not found:
        raise UnmetError(
            f"the firmware's list has no entry for `{wish}`",
            hint="`labkit boot check` says why",
            code="no-firmware-entry",
        )
    note = ""
    if len(found) > 1:
        listed = "; ".join(f"{entry.name} {entry.label} {entry.path}".rstrip() for entry in found)
        if len({(entry.node, entry.loader) for entry in found}) > 1 or not found[0].path:
            raise UsageError(
                f"several firmware entries fit `{wish}`: {listed}",
                hint=f"name one: `labkit boot once {found[0].name} --via firmware`",
                code="ambiguous",
            )
        note = f"several firmware entries start the same file, the first is taken: {listed}"
    if not found[0].active:
        note = f"{found[0].name} is switched off; `sudo efibootmgr -a -b {found[0].name[4:]}`"
    return f"sudo efibootmgr --bootnext {found[0].name[4:]} && sudo systemctl reboot", note


def _fitting(wish: str, firmware: BootList) -> Sequence[BootEntry]:
    """Find the entries that `wish` means: in boot order, those switched on before all others."""
    number = re.fullmatch(r"(?:Boot)?([0-9A-F]{4})", wish, re.IGNORECASE)
    if number:
        return [entry for entry in firmware.entries if entry.number == int(number[1], 16)]
    order = {entry.number: place for place, entry in enumerate(firmware.in_order)}
    found = [
        entry
        for entry in firmware.entries
        if (entry.starts is Starts.WINDOWS if wish.lower() == "windows" else entry.label == wish)
    ]
    found.sort(key=lambda entry: order.get(entry.number, len(order)))
    return [entry for entry in found if entry.active] or found
