"""Which entry GRUB starts: the value of `default` against the menu.

The rules are those of GRUB's `normal/menu.c`, observed with grub-emu 2.06. A value is cut at the
first single `>`; what stands before it chooses in this menu, the rest in the submenu chosen.

- GRUB itself, Debian, Ubuntu, SUSE, Arch: a leading number counts (in C's notation: `010` is 8) and
  what follows it is ignored; only a value without one is compared with titles and ids.
- Fedora and RHEL: id, then title, then number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from labkit.boot.grub_words import expand_words, read_number
from labkit.boot.menu import walk_entries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labkit.boot.grub_cfg import GrubCfg
    from labkit.boot.menu import MenuEntry

__all__ = [
    "Match",
    "Order",
    "Resolution",
    "entry_value",
    "grub_default_value",
    "resolve_default",
    "resolve_grub_default",
]

Order = Literal["upstream", "fedora"]
Match = Literal["number", "title", "id", "fallback", "none"]


@dataclass(frozen=True, slots=True)
class Step:
    """How one part of the value chose in one menu.

    Attributes:
        part: The part of the value; None where nothing was left for this menu.
        matched: What it matched; `fallback` where it matched nothing and GRUB takes entry 0.
        entry: The entry chosen.
        base: The base in which a number was read.
        ignored: What followed the number and was ignored.
    """

    part: str | None
    matched: Match
    entry: MenuEntry
    base: int = 10
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The entry that a value of `default` starts, and why.

    Attributes:
        value: The value, as GRUB sees it.
        entry: The entry that starts; None where the menu is empty.
        reason: Why, in one sentence.
        steps: The choice in each menu on the way.
        exact: Whether every part of the value named an entry; False where GRUB fell back.
        nested: Where the value names nothing in its menu: the entries deeper down that have this
            title or id, and need the path before it.
    """

    value: str
    entry: MenuEntry | None
    reason: str
    steps: tuple[Step, ...] = ()
    exact: bool = False
    nested: tuple[MenuEntry, ...] = field(default=())

    @property
    def path(self) -> str | None:
        """The place of the entry that starts, such as `1>0`."""
        return self.entry.path if self.entry else None

    @property
    def matched(self) -> Match:
        """What the first part of the value matched."""
        return self.steps[0].matched if self.steps else "none"


def resolve_default(
    entries: Sequence[MenuEntry], value: str, *, order: Order = "upstream"
) -> Resolution:
    """Say which entry GRUB starts when the variable `default` holds `value`.

    Args:
        entries: The menu, as `parse_grub_cfg` reads it.
        value: What `default` holds; `saved` means nothing here (see `resolve_grub_default`).
        order: Whose rules: GRUB's own, or those of Fedora and RHEL.
    """
    steps: list[Step] = []
    menu = entries
    rest: str | None = value
    entry: MenuEntry | None = None
    while menu:
        part, following = _split(rest)
        step = _choose(menu, part, order)
        steps.append(step)
        entry = step.entry
        menu = entry.children
        rest = following
    if entry is None:
        return Resolution(value, None, "the menu has no entries")
    named = [step for step in steps if step.part is not None]
    exact = bool(named) and all(step.matched != "fallback" for step in named)
    nested = () if exact else _nested_matches(entries, value)
    return Resolution(value, entry, _reason(value, steps, nested), tuple(steps), exact, nested)


def grub_default_value(
    setting: str, cfg: GrubCfg, environment_block: Mapping[str, str] | None = None
) -> str:
    r"""Give the `default` that GRUB sees for a GRUB_DEFAULT of /etc/default/grub.

    Empty means `0`, `saved` the saved entry; a `next_entry`, which goes before both once, is not
    what the setting starts. The setting is written into grub.cfg inside double quotes, where `$`,
    `\\` and `"` have a meaning.
    """
    block = environment_block or {}
    if setting == "saved":
        return block.get("saved_entry", "")

    def lookup(name: str) -> list[str]:
        return [block.get(name, cfg.value(name))]

    if not setting:
        return "0"
    words = expand_words([f'"{setting}"'], lookup)
    return words[0].text if words else ""


def resolve_grub_default(
    setting: str,
    cfg: GrubCfg,
    environment_block: Mapping[str, str] | None = None,
    *,
    order: Order = "upstream",
) -> Resolution:
    """Say which entry a GRUB_DEFAULT of /etc/default/grub starts, once grub.cfg is made again.

    Args:
        setting: The value of GRUB_DEFAULT, with `saved` and empty as that file means them.
        cfg: The generated menu.
        environment_block: The variables of grubenv.
        order: Whose rules: GRUB's own, or those of Fedora and RHEL.
    """
    return resolve_default(
        cfg.entries, grub_default_value(setting, cfg, environment_block), order=order
    )


def entry_value(
    entries: Sequence[MenuEntry], entry: MenuEntry, *, order: Order = "upstream"
) -> str:
    """Give the value that starts `entry` whatever is added to the menu: ids joined with `>`.

    An id that GRUB would read as a number, or that an earlier entry has as well, cannot be used;
    the title or, last, the number stands in for it.
    """
    parts: list[str] = []
    menu = entries
    for number in entry.path.split(">"):
        chosen = menu[int(number)]
        parts.append(_stable_name(menu, chosen, order) or number)
        menu = chosen.children
    return ">".join(parts)


def _stable_name(menu: Sequence[MenuEntry], entry: MenuEntry, order: Order) -> str | None:
    for name in (entry.id, entry.title):
        quoted = name.replace(">", ">>")
        # A name that begins or ends with `>` cannot be told from the separator.
        if name and not name.startswith(">") and not name.endswith(">"):
            step = _choose(menu, quoted, order)
            if step.matched in {"id", "title"} and step.entry is entry:
                return quoted
    return None


def _split(value: str | None) -> tuple[str | None, str | None]:
    """Cut at the first `>` that is not doubled; an empty rest is no rest."""
    if value is None:
        return None, None
    position = 0
    while (position := value.find(">", position)) >= 0:
        if value.startswith(">>", position):
            position += 2
            continue
        return value[:position], value[position + 1 :] or None
    return value, None


def _choose(menu: Sequence[MenuEntry], part: str | None, order: Order) -> Step:
    if part is None:
        return Step(None, "fallback", menu[0])
    if order == "fedora":
        step = _by_name(menu, part, fedora=True) or _by_number(menu, part)
    else:
        step = _by_number(menu, part) if _has_number(part) else _by_name(menu, part)
    return step or Step(part, "fallback", menu[0])


def _has_number(part: str) -> bool:
    try:
        return read_number(part) is not None
    except OverflowError:
        return True


def _by_number(menu: Sequence[MenuEntry], part: str) -> Step | None:
    try:
        number = read_number(part)
    except OverflowError:
        return None
    if number is None or not 0 <= number.value < len(menu):
        return None
    return Step(part, "number", menu[number.value], number.base, number.rest)


def _by_name(menu: Sequence[MenuEntry], part: str, *, fedora: bool = False) -> Step | None:
    name = part.replace(">>", ">")
    if fedora:
        for entry in menu:
            if entry.id.partition(" ")[0] == name:
                return Step(part, "id", entry)
    for entry in menu:
        if entry.title == name:
            return Step(part, "title", entry)
        if entry.id == name:
            return Step(part, "id", entry)
    return None


def _nested_matches(entries: Sequence[MenuEntry], value: str) -> tuple[MenuEntry, ...]:
    """Find what the user may have meant: deeper entries with this name, or with sloppy `>`."""
    names = {value, value.replace(">>", ">"), *(part.strip() for part in value.split(">")[-1:])}
    return tuple(
        entry
        for entry in walk_entries(entries)
        if ">" in entry.path and (entry.title in names or entry.id in names)
    )


def _reason(value: str, steps: Sequence[Step], nested: Sequence[MenuEntry]) -> str:
    first = steps[0]
    sentence = _first_reason(value, first, nested)
    if first.entry.children:
        second = steps[1]
        if second.part is None:
            sentence += "; the submenu's first entry, for the value names none in it"
        elif second.matched == "fallback":
            sentence += f"; nothing in the submenu is called `{second.part}`: its first entry"
        else:
            sentence += f"; in the submenu its {second.matched} `{second.part}`"
    elif first.matched != "fallback" and first.entry.kind != "submenu" and _split(value)[1]:
        sentence += "; what follows `>` is ignored, for this is no submenu"
    if steps[-1].entry.kind == "submenu":
        sentence += "; that submenu is empty, so GRUB starts nothing and waits"
    if any(step.entry.conditional for step in steps):
        sentence += "; whether the entry exists depends on a condition that only GRUB can decide"
    return sentence


def _first_reason(value: str, step: Step, nested: Sequence[MenuEntry]) -> str:
    part = step.part
    if step.matched == "number":
        sentence = f"entry number {step.entry.index}"
        if step.base != 10:  # noqa: PLR2004 - decimal needs no remark
            notation = "octal" if step.base == 8 else "hexadecimal"  # noqa: PLR2004
            sentence += f" (`{part}` is {notation})"
        if step.ignored:
            sentence += f" (GRUB reads the number and ignores `{step.ignored}`)"
        return sentence
    if step.matched in {"id", "title"}:
        return f"its {step.matched} is `{part}`"
    if not value:
        return "the value is empty, so the first entry"
    if part is not None and _has_number(part):
        return f"the menu has no entry number `{part}`, so the first entry"
    if nested:
        return (
            f"`{part}` is not in this menu but in a submenu, whose path is needed; "
            "so the first entry"
        )
    return f"no entry has the title or id `{part}`, so the first entry"
