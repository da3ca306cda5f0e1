"""Rules about the entry that starts by default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.environment_place import unwritable_mount, unwritable_place
from labkit.boot.findings import Confidence, Evidence, Severity
from labkit.boot.remedies import quoted, settings_file, steps, update_steps
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from labkit.boot.default_entry import Resolution
    from labkit.boot.facts import Facts
    from labkit.boot.menu import MenuEntry

__all__ = ["RULES"]

_BY_ID = (
    "Choose an id: `sudo labkit boot entries` lists them, `labkit boot default set` writes one."
)
_OLD_VALUE = "Put the old line back and run update-grub."


def default_value(facts: Facts) -> tuple[str, Evidence] | None:
    """Give GRUB_DEFAULT, or what grub.cfg sets where the settings are not given."""
    if facts.settings is not None:
        value, line = facts.settings.value("GRUB_DEFAULT"), facts.settings.written("GRUB_DEFAULT")
        return None if value is None or line is None else (value, line)
    written = facts.menu.header_default if facts.menu else None
    if written is None:
        return None
    return ("saved" if written.text == "${saved_entry}" else written.text), written


def resolve(facts: Facts, value: str) -> Resolution | None:
    """Resolve a value against a whole grub.cfg; None where there is none."""
    if facts.menu is None or facts.menu.cfg is None or not facts.menu.starts_linux:
        return None
    from labkit.boot.default_entry import resolve_grub_default

    block = facts.environment.block if facts.environment else None
    return resolve_grub_default(
        value,
        facts.menu.cfg,
        block.variables if block else None,
        order=facts.distribution.order,
    )


def _verdict(facts: Facts) -> tuple[str, str, Evidence, Resolution | None] | None:
    """Name the one of D01, D02, D06 and D07 that fits the value, if any does."""
    found = default_value(facts)
    if found is None:
        return None
    value, evidence = found
    if value in {"", "0", "saved"}:
        return None
    resolution = resolve(facts, value)
    uses_bls = facts.menu is not None and facts.menu.uses_bls
    if uses_bls and (resolution is None or not resolution.exact):
        return None  # Its entries are in files that were perhaps not given.
    first = value.partition(">")[0].strip()
    rule_id = None
    if resolution is not None and resolution.nested and not resolution.exact:
        rule_id = "D07"
    elif re.match(r"\d", first) and (not first.isdecimal() or re.match(r"0\d", first)):
        rule_id = "D06"
    elif resolution is not None and not resolution.exact:
        rule_id = "D02"
    elif re.fullmatch(r"\s*\d+", value) and not uses_bls:
        rule_id = "D01"
    return (rule_id, value, evidence, resolution) if rule_id else None


def _hits(facts: Facts, rule_id: str, message: str) -> Iterator[Hit]:
    verdict = _verdict(facts)
    if verdict is None or verdict[0] != rule_id:
        return
    _, value, evidence, resolution = verdict
    text = message.format(value=value)
    if resolution is not None and resolution.entry is not None:
        text += f"; GRUB starts `{resolution.entry.title}`: {resolution.reason}"
    yield Hit(
        text, (evidence,), fix=_fix(facts, value, resolution), undo=_old(facts, value, evidence)
    )


def _old(facts: Facts, value: str, evidence: Evidence) -> str:
    """Give the old line, where the settings hold it, and what makes it count again."""
    if facts.settings is None:
        return steps(f"The old value: GRUB_DEFAULT={quoted(value)}", update_steps(facts))
    place = settings_file(facts, evidence.input)
    return steps(f"The old line of {place}: {evidence.text}", update_steps(facts))


def _fix(facts: Facts, value: str, resolution: Resolution | None) -> str:
    """Give the value by ids of the entry that is meant; where none can be told, where to look."""
    entry = None
    if resolution is not None and resolution.nested:
        entry = resolution.nested[0]
    elif resolution is not None and resolution.exact:
        entry = resolution.entry
    elif facts.menu is not None and len(facts.menu.windows) == 1 and "windows" in value.lower():
        title = facts.menu.windows[0].title
        entries = facts.menu.cfg.entries if facts.menu.cfg else ()
        entry = next((e for e in _all_entries(entries) if e.title == title), None)
    cfg = facts.menu.cfg if facts.menu else None
    if entry is None or cfg is None:
        return _BY_ID
    from labkit.boot.default_entry import entry_value

    return _set_default(facts, entry_value(cfg.entries, entry, order=facts.distribution.order))


def _all_entries(entries: Iterable[MenuEntry]) -> Iterator[MenuEntry]:
    for entry in entries:
        yield entry
        yield from _all_entries(entry.children)


def _set_default(facts: Facts, value: str) -> str:
    return steps(
        f"sudo labkit boot default set {quoted(value)}",
        update_steps(facts),
        f"(By hand: GRUB_DEFAULT={quoted(value)} in /etc/default/grub.)",
    )


@rule(
    "D01",
    "the default is a bare number",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=((Topic.SETTINGS, Topic.MENU),),
    see="After a kernel update another system starts.",
    why="Entries are counted from the top. A new one before the chosen one moves the number.",
    check="grep GRUB_DEFAULT /etc/default/grub",
    fix="Use the entry's id, which stays: `sudo labkit boot entries` lists the ids, `sudo labkit "
    "boot default set` writes one; then update-grub.",
    undo=_OLD_VALUE,
)
def bare_number(facts: Facts) -> Iterator[Hit]:
    """The value is a plain number above 0."""
    yield from _hits(facts, "D01", "the default is entry number {value}, which moves with the menu")


@rule(
    "D02",
    "the default names no entry",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=(Topic.MENU,),
    see="The first entry starts, whatever GRUB_DEFAULT says.",
    why="GRUB compares titles and ids exactly; without a match it takes entry 0, silently.",
    check="labkit boot entries",
    fix="Use an id that the menu has: `sudo labkit boot default set` writes it; then update-grub.",
    undo=_OLD_VALUE,
)
def names_nothing(facts: Facts) -> Iterator[Hit]:
    """Nothing in a whole menu has this title or id."""
    yield from _hits(facts, "D02", "no menu entry is called `{value}`")


@rule(
    "D03",
    "the last choice is not remembered",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=((Topic.SETTINGS, Topic.MENU),),
    see="GRUB does not come back to what was chosen last.",
    why=(
        "GRUB_DEFAULT=saved only reads saved_entry; it is written by grub-set-default, or by each "
        "entry where GRUB_SAVEDEFAULT=true. Fedora and openSUSE are delivered like that on purpose."
    ),
    check="grub-editenv list (Fedora, openSUSE: grub2-editenv list)",
    fix=(
        "Save one choice with grub-set-default and an id of `labkit boot entries` (Fedora, "
        "openSUSE: grub2-set-default). Or have each choice saved: GRUB_SAVEDEFAULT=true in "
        "/etc/default/grub and update-grub; not where /boot is on btrfs, LVM or RAID (D05)."
    ),
    undo="sudo grub-editenv - unset saved_entry; take GRUB_SAVEDEFAULT out and run update-grub.",
)
def nothing_saved(facts: Facts) -> Iterator[Hit]:
    """`saved` without a saved entry, or with one that names nothing."""
    found = default_value(facts)
    if found is None or found[0] != "saved":
        return
    remembers = facts.settings is not None and facts.settings.value("GRUB_SAVEDEFAULT") == "true"
    block = facts.environment.block if facts.environment else None
    saved = block.variables.get("saved_entry") if block else None
    if saved:
        resolution = resolve(facts, "saved")
        if facts.menu is None or facts.menu.uses_bls or resolution is None or resolution.exact:
            return
        line = Evidence(facts.environment.evidence.input, block.lines["saved_entry"], saved)  # type: ignore[union-attr]  # a block has its environment
        program = facts.distribution.grubenv_command.replace("editenv", "set-default")
        yield Hit(
            f"the saved entry `{saved}` is not in the menu",
            (found[1], line),
            fix=f"Save one that is: {program} with an id that `sudo labkit boot entries` lists.",
            undo=f"sudo {program} {quoted(saved)}",
        )
    elif not remembers and facts.settings is not None:
        message = "the default is the saved entry, but no choice is saved automatically"
        fix = "Nothing must be done if that is meant; else see `labkit boot explain D03`."
        yield Hit(message, (found[1],), Severity.INFO, Confidence.LIKELY, fix)


@rule(
    "D04",
    "saving the choice has no effect",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=(Topic.SETTINGS,),
    see="GRUB_SAVEDEFAULT=true is set, and still the same entry starts.",
    why="The choice is written into grubenv, but only GRUB_DEFAULT=saved reads it from there.",
    check="grep -E 'GRUB_(SAVE)?DEFAULT' /etc/default/grub",
    fix="GRUB_DEFAULT=saved in /etc/default/grub, then update-grub. On btrfs, LVM or RAID take "
    "GRUB_SAVEDEFAULT out instead (D05).",
    undo=_OLD_VALUE,
)
def saved_in_vain(facts: Facts) -> Iterator[Hit]:
    """SAVEDEFAULT without DEFAULT=saved."""
    settings = facts.settings
    line = settings.written("GRUB_SAVEDEFAULT") if settings is not None else None
    if settings is None or line is None or settings.value("GRUB_SAVEDEFAULT") != "true":
        return
    default = settings.settings.get("GRUB_DEFAULT")
    if default is None or (default.value is not None and default.value != "saved"):
        place = settings_file(facts, line.input)
        default_line = settings.written("GRUB_DEFAULT")
        old = default_line.text if default_line is not None else "no GRUB_DEFAULT"
        yield Hit(
            "the choice is saved at every start, but the default is not the saved entry",
            (line,),
            fix=steps(
                f"In {place}: take GRUB_SAVEDEFAULT=true out, for GRUB cannot save here (D05)."
                if unwritable_mount(facts)
                else f"In {place}: GRUB_DEFAULT=saved",
                update_steps(facts),
            ),
            undo=steps(f"The old line: {old}", update_steps(facts)),
        )


@rule(
    "D05",
    "GRUB cannot save on this file system",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=(Topic.SETTINGS, Topic.FSTAB),
    see="error: sparse file not allowed. Press any key to continue...",
    why=(
        "savedefault writes into the blocks of grubenv without the file system's help. GRUB "
        "refuses that on btrfs, f2fs, zfs, LVM and RAID."
    ),
    check="findmnt -n -o FSTYPE,SOURCE /boot || findmnt -n -o FSTYPE,SOURCE /",
    fix="Take GRUB_SAVEDEFAULT=true out of /etc/default/grub, set a fixed default (labkit boot "
    "default set), then update-grub.",
    undo="Put GRUB_SAVEDEFAULT=true back and run update-grub.",
    explains=("C01", "D03", "D04"),
)
def cannot_save(facts: Facts) -> Iterator[Hit]:
    """SAVEDEFAULT with /boot on a file system that GRUB does not write to."""
    if facts.settings is None or facts.settings.value("GRUB_SAVEDEFAULT") != "true":
        return
    found = unwritable_mount(facts)
    if found is None:
        return
    what, evidence = found
    place = settings_file(facts, facts.settings.settings["GRUB_SAVEDEFAULT"].file)
    yield Hit(
        f"the choice is to be saved on {what}, where GRUB cannot write",
        (evidence,),
        fix=steps(
            f"In {place}: take the line GRUB_SAVEDEFAULT=true out. For a fixed default:",
            "sudo labkit boot default set windows" if facts.windows_evidence else "",
            update_steps(facts),
        ),
        undo=steps(f"In {place}: GRUB_SAVEDEFAULT=true", update_steps(facts)),
    )


@rule(
    "D06",
    "the default is read as a number",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=((Topic.SETTINGS, Topic.MENU),),
    see="Another entry starts than the one whose title GRUB_DEFAULT gives.",
    why=(
        "GRUB reads a leading number first, in C's notation: `2nd Windows` is entry 2, `010` is "
        "octal 8. A title that begins with a digit is never compared."
    ),
    check="labkit boot entries --default VALUE",
    fix="Use the entry's id: `sudo labkit boot default set` writes it; then update-grub.",
    undo=_OLD_VALUE,
)
def read_as_number(facts: Facts) -> Iterator[Hit]:
    """The value begins with a digit and is not a plain decimal number."""
    yield from _hits(facts, "D06", "GRUB reads the default `{value}` as a number")


@rule(
    "D07",
    "the default is inside a submenu",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=(Topic.MENU,),
    see="The first entry starts instead of the chosen kernel.",
    why=(
        "An entry of a submenu is only found with the path before it: SUBMENU>ENTRY. Blanks "
        "around `>` count; a `>` in a title is written `>>`."
    ),
    check="labkit boot entries",
    fix="Write submenu-id>entry-id: `sudo labkit boot default set` writes it; then update-grub.",
    undo=_OLD_VALUE,
)
def inside_submenu(facts: Facts) -> Iterator[Hit]:
    """The value fits an entry deeper down."""
    yield from _hits(facts, "D07", "`{value}` is in a submenu, whose path the default lacks")


_DEVICE_IN_TITLE = re.compile(r"\((?:on|[^)]*) /dev/[^)]*\)")


@rule(
    "D08",
    "the default's title holds a device name",
    Severity.WARN,
    Effect.SETTING_IGNORED,
    needs=((Topic.SETTINGS, Topic.MENU),),
    see="The default stops working when a disk is added, or in another language.",
    why="os-prober's titles end with `(on /dev/sda1)`: device names and the word `on` change.",
    check="grep GRUB_DEFAULT /etc/default/grub",
    fix="Use the id, osprober-efi-UUID: sudo labkit boot default set windows; then update-grub.",
    undo="Put the title back and run update-grub.",
)
def device_in_title(facts: Facts) -> Iterator[Hit]:
    """The value is a title with a device; only odd while that device still is the right one."""
    found = default_value(facts)
    if found is None or not _DEVICE_IN_TITLE.search(found[0]):
        return
    value, evidence = found
    titles = {item.title for item in facts.menu.items} if facts.menu else set()
    if facts.prober is not None:
        titles |= {f"{s.long} (on {s.device})" for s in facts.prober.systems}
    severity = Severity.INFO if value in titles else Severity.WARN
    yield Hit(
        "the default is a title with a device in it",
        (evidence,),
        severity,
        fix=_fix(facts, value, resolve(facts, value)),
        undo=_old(facts, value, evidence),
    )


@rule(
    "D09",
    "another entry is chosen for the next start",
    Severity.INFO,
    Effect.WRONG_SYSTEM,
    needs=(Topic.GRUBENV,),
    see="One start goes to another system than usual; on btrfs, ZFS, LVM or RAID each start does.",
    why=(
        "grub-reboot writes next_entry into the environment block, and GRUB clears it as it starts "
        "the entry. Where GRUB cannot write, it stays: the entry starts every time."
    ),
    check="grub-editenv list (Fedora, openSUSE: grub2-editenv list)",
    fix="sudo grub-editenv - unset next_entry (Fedora, openSUSE: grub2-editenv) takes it back.",
    undo="sudo grub-reboot ENTRY chooses it again.",
)
def chosen_once(facts: Facts) -> Iterator[Hit]:
    """next_entry is set, and clears itself or not."""
    environment = facts.environment
    block = environment.block if environment is not None else None
    value = block.variables.get("next_entry") if block is not None else None
    if environment is None or block is None or not value:
        return
    from labkit.boot.default_entry import resolve_default  # seldom needed, and slow to load

    cfg = facts.menu.cfg if facts.menu is not None else None
    place = unwritable_place(facts, cfg, block.variables)
    entry = cfg and resolve_default(cfg.entries, value, order=facts.distribution.order).entry
    title = entry.title if entry else value
    program = facts.distribution.grubenv_command
    command = f"sudo {program} - unset next_entry"
    evidence = (Evidence(environment.evidence.input, block.lines["next_entry"], value),)
    undo = f"sudo {program.replace('editenv', 'reboot')} {quoted(value)}"
    if place is None:
        fix = steps("Nothing must be done: it holds for one start. To take it back:", command)
        yield Hit(f"the next start goes to `{title}`", evidence, fix=fix, undo=undo)
    else:
        yield Hit(
            f"every start goes to `{title}`: it was chosen for one, and GRUB cannot clear that "
            f"choice on {place}",
            evidence,
            Severity.ERROR,
            Confidence.LIKELY,
            command,
            undo,
        )


RULES = (
    bare_number,
    names_nothing,
    nothing_saved,
    saved_in_vain,
    cannot_save,
    read_as_number,
    inside_submenu,
    device_in_title,
    chosen_once,
)
