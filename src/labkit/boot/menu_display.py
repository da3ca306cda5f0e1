"""Whether the menu is shown, and for how long: what grub.cfg really does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labkit.boot.grub_words import read_number

if TYPE_CHECKING:
    from labkit.boot.grub_cfg import GrubCfg

__all__ = ["MenuDisplay", "MenuStyle", "menu_display", "style_and_timeout"]

MenuStyle = Literal["menu", "countdown", "hidden"]
WAIT_FOREVER_S = -1
"""A timeout with this value waits until somebody chooses."""


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
