"""The state of the menu's display on a system: what grub.cfg does, what its settings ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.boot.installed import root_of, settings_beside, system_settings
from labkit.boot.installed_menu import read_installed_menu
from labkit.boot.menu_display import menu_display, planned_display
from labkit.errors import InputError, LabkitError

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.boot.distributions import Distribution, Family
    from labkit.boot.installed_menu import InstalledMenu
    from labkit.boot.menu_display import MenuDisplay, MenuStyle, PlannedDisplay

__all__ = ["MenuStatus", "menu_status"]


@dataclass(frozen=True, slots=True)
class MenuStatus:
    """Whether and how long the menu is shown.

    Attributes:
        style: The style; None where the shell computes it.
        timeout_s: Seconds, -1 for ever; None where the shell computes it.
        effective_from: The lines that decide, as `FILE:LINE`; none where GRUB's defaults do.
        overrides: What shows or hides the menu in spite of that, in sentences.
        pending: What the settings ask for, where grub.cfg does something else; and the command.
        distribution: Whose GRUB it is.
    """

    style: MenuStyle | None
    timeout_s: int | None
    effective_from: tuple[str, ...]
    overrides: tuple[str, ...]
    pending: str | None
    distribution: Distribution

    @property
    def visible(self) -> bool | None:
        """Whether a menu appears without a key being pressed; None where that is computed."""
        if self.style is None or self.timeout_s is None:
            return None
        return self.style == "menu" and self.timeout_s != 0


def menu_status(
    grub_cfg: Path | None = None,
    *,
    settings: Path | None = None,
    grubenv: Path | None = None,
    family: Family | None = None,
) -> MenuStatus:
    """Say how the menu appears: by grub.cfg, or by the settings where there is no grub.cfg.

    Args:
        grub_cfg: The menu; where None, that of the system that the settings belong to.
        settings: The settings file; where None, that of the system that the menu belongs to.
        grubenv: The environment block; where None, the one beside the menu.
        family: Whose GRUB it is, where the user says so.

    Raises:
        InputError: What was named cannot be read as what it is, or there is neither.
        UnmetError: Nothing may be read.
    """
    menu, problem = _menu(grub_cfg, settings, grubenv, family)
    path = settings or settings_beside(grub_cfg)
    plan = None
    if path is not None:
        try:
            plan = _plan(path, family)
        except LabkitError:
            # A file that was named is needed; one that was not is one more thing to know.
            if settings is not None:
                raise
    if menu is not None:
        return _of_menu(menu, plan)
    if plan is None:
        raise problem or InputError("there is neither a grub.cfg nor a settings file")
    return _of_settings(plan)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a settings file asks for."""

    display: PlannedDisplay
    distribution: Distribution

    @property
    def places(self) -> tuple[str, ...]:
        given = self.display.decided_by
        return tuple(dict.fromkeys(f"{setting.file}:{setting.line}" for setting in given))


def _menu(
    grub_cfg: Path | None, settings: Path | None, grubenv: Path | None, family: Family | None
) -> tuple[InstalledMenu | None, LabkitError | None]:
    """Read the menu that belongs to what was named, or say why there is none."""
    if grub_cfg is None and settings is not None and root_of(settings) is None:
        return None, None
    try:
        menu = read_installed_menu(grub_cfg, settings=settings, grubenv=grubenv, family=family)
    except LabkitError as error:
        if grub_cfg is not None:
            raise
        return None, error
    return menu, None


def _plan(path: Path, family: Family | None) -> _Plan:
    settings, system = system_settings(path, family=family)
    return _Plan(planned_display(settings, system.distribution), system.distribution)


def _of_menu(menu: InstalledMenu, plan: _Plan | None) -> MenuStatus:
    """Tell what grub.cfg does; what overrides settings has been done to it already."""
    display = menu_display(menu.cfg)
    lines = sorted({display.style_line, display.timeout_line} - {0})
    pending = None
    if plan is not None and not _agree(display, plan.display):
        update = menu.system.distribution.update_command
        pending = f"{_words(plan.display)} ({', '.join(plan.places)}); `{update}` writes it"
    return MenuStatus(
        display.style,
        display.timeout_s,
        tuple(f"{menu.path}:{line}" for line in lines),
        (),
        pending,
        menu.system.distribution,
    )


def _of_settings(plan: _Plan) -> MenuStatus:
    display = plan.display
    return MenuStatus(
        display.style, display.timeout_s, plan.places, display.overrides, None, plan.distribution
    )


def _agree(display: MenuDisplay, planned: PlannedDisplay) -> bool:
    """Whether the menu may have been made from the settings; what is computed or overridden may."""
    if planned.overrides:
        return True
    return planned.style in {None, display.style} and planned.timeout_s in {None, display.timeout_s}


def _words(planned: PlannedDisplay) -> str:
    wait = "for ever" if (planned.timeout_s or 0) < 0 else f"{planned.timeout_s} s"
    return f"{planned.style}, {wait}"
