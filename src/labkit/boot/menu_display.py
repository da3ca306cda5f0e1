"""Whether the menu is shown, and for how long: in grub.cfg, and as the settings ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.boot.distributions import Family
from labkit.boot.grub_words import read_number

if TYPE_CHECKING:
    from labkit.boot.default_grub import GrubSettings, Setting
    from labkit.boot.distributions import Distribution
    from labkit.boot.grub_cfg import GrubCfg

__all__ = [
    "MenuDisplay",
    "MenuStyle",
    "PlannedDisplay",
    "menu_display",
    "planned_display",
    "style_and_timeout",
]

MenuStyle = Literal["menu", "countdown", "hidden"]
WAIT_FOREVER_S = -1
"""A timeout with this value waits until somebody chooses."""

_DEFAULT_TIMEOUT = "5"


@dataclass(frozen=True, slots=True)
class MenuDisplay:
    """How the menu appears.

    Attributes:
        style: `menu`; `countdown` shows one line with the seconds; `hidden` shows nothing.
        timeout_s: Seconds until the default starts; -1 waits for ever.
        style_line: The line of grub.cfg that decides the style; 0 where nothing does.
        timeout_line: The line that decides the timeout; 0 where nothing does.
        conditional: Whether one of them stands in an `if` that only GRUB can decide.
    """

    style: MenuStyle
    timeout_s: int
    style_line: int = 0
    timeout_line: int = 0
    conditional: bool = False

    @property
    def visible(self) -> bool:
        """Whether a menu appears without a key being pressed."""
        return self.style == "menu" and self.timeout_s != 0


def menu_display(cfg: GrubCfg) -> MenuDisplay:
    """Give the style and timeout in force when the menu would appear."""
    style = cfg.variables.get("timeout_style")
    timeout = cfg.variables.get("timeout")
    effective, seconds = style_and_timeout(cfg.value("timeout_style"), cfg.value("timeout"))
    return MenuDisplay(
        style=effective,
        timeout_s=seconds,
        style_line=style.line if style else 0,
        timeout_line=timeout.line if timeout else 0,
        conditional=any(given is not None and given.conditional for given in (style, timeout)),
    )


def style_and_timeout(style: str, timeout: str) -> tuple[MenuStyle, int]:
    """Read the two variables as GRUB's `normal/menu.c` does.

    Any word but `hidden` and `countdown` is `menu`; a timeout that is no number, or negative,
    waits for ever, and then the menu is shown whatever the style.
    """
    try:
        number = read_number(timeout)
    except OverflowError:
        number = None
    # strtoul reads no sign: `-1` is handled as "no timeout" by way of its error.
    seconds = WAIT_FOREVER_S if number is None or number.value < 0 else number.value
    if seconds == WAIT_FOREVER_S:
        return "menu", seconds
    if style == "hidden":
        return "hidden", seconds
    if style == "countdown":
        return "countdown", seconds
    return "menu", seconds


@dataclass(frozen=True, slots=True)
class PlannedDisplay:
    """How the menu will appear by the settings, once grub.cfg is made from them.

    Attributes:
        style: The style; None where the shell computes it.
        timeout_s: Seconds, -1 for ever; None where the shell computes it.
        decided_by: The settings that decide, the style's first; none where both are defaults.
        overrides: What shows or hides the menu in spite of them, in sentences.
    """

    style: MenuStyle | None
    timeout_s: int | None
    decided_by: tuple[Setting, ...] = ()
    overrides: tuple[str, ...] = ()


def planned_display(settings: GrubSettings, distribution: Distribution) -> PlannedDisplay:
    """Say what 00_header makes of the settings (`make_timeout`), and what later scripts change.

    GRUB_TIMEOUT is 5 where unset or empty; the old GRUB_HIDDEN_TIMEOUT counts only without
    GRUB_TIMEOUT_STYLE, and its 0 only on Ubuntu.
    """
    used = [settings.settings.get("GRUB_TIMEOUT_STYLE"), settings.settings.get("GRUB_TIMEOUT")]
    hidden = settings.settings.get("GRUB_HIDDEN_TIMEOUT")
    style = settings.value("GRUB_TIMEOUT_STYLE") if used[0] else ""
    counts = hidden is not None and hidden.value != ""
    if style == "" and counts and _honours(hidden, distribution):
        quiet = settings.value("GRUB_HIDDEN_TIMEOUT_QUIET") == "true"
        style, used = "hidden" if quiet else "countdown", [hidden, None]
    timeout = used[-1] or (hidden if used[0] is hidden else None)
    seconds = _DEFAULT_TIMEOUT if timeout is None or timeout.value == "" else timeout.value
    decided_by = tuple(setting for setting in used if setting is not None)
    overrides = _overrides(distribution)
    if style is None or seconds is None:
        known = None if seconds is None else style_and_timeout("menu", seconds)[1]
        return PlannedDisplay(None, known, decided_by, overrides)
    effective, number = style_and_timeout(style, seconds)
    return PlannedDisplay(effective, number, decided_by, overrides)


def _honours(hidden: Setting | None, distribution: Distribution) -> bool:
    """Whether GRUB_HIDDEN_TIMEOUT is used: Ubuntu's scripts use a zero, others ignore it."""
    return hidden is not None and (hidden.value != "0" or distribution.family is Family.UBUNTU)


def _overrides(distribution: Distribution) -> tuple[str, ...]:
    if distribution.family is Family.UBUNTU:
        return (
            "beside another system 30_os-prober shows the menu, for 10 s where the timeout is 0",
            "after a start that failed it is shown for GRUB_RECORDFAIL_TIMEOUT (30 s if unset)",
        )
    if distribution.family is Family.FEDORA:
        return (
            (
                "menu_auto_hide=1 in the environment block hides it after a start that went well, "
                "unless os-prober found another system"
            ),
        )
    return ()
