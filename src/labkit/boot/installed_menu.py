"""The menu of an installed system: grub.cfg with what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.boot.bls import parse_bls_entry, sort_bls_entries
from labkit.boot.default_entry import Resolution, resolve_default, resolve_grub_default
from labkit.boot.documents import Document, read_document
from labkit.boot.grub_cfg import parse_grub_cfg
from labkit.boot.grubenv import parse_grubenv
from labkit.boot.installed import grub_cfg_below, root_of, system_at
from labkit.boot.kinds import Kind, recognise
from labkit.boot.menu import walk_entries
from labkit.errors import InputError, UnmetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.bls import BlsEntry
    from labkit.boot.distributions import Family
    from labkit.boot.grub_cfg import GrubCfg
    from labkit.boot.installed import InstalledSystem

__all__ = ["InstalledMenu", "read_installed_menu"]

_HEADER_LENGTH = 500  # The comment that names the program that wrote the file is at its top.
_GRUB_FOLDERS = frozenset({"grub", "grub2"})


@dataclass(frozen=True, slots=True)
class InstalledMenu:
    """A grub.cfg, read together with its environment block and its BLS entries.

    Attributes:
        path: Where grub.cfg is.
        cfg: The menu.
        block: The variables of the environment block; None where there is none.
        system: Whose menu it is.
        has_entry_files: Whether BLS entry files were found.
        is_grub2: Whether GRUB's programs are called grub2-... there.
    """

    path: Path
    cfg: GrubCfg
    block: Mapping[str, str] | None
    system: InstalledSystem
    has_entry_files: bool = False
    is_grub2: bool = False

    @property
    def reboot_program(self) -> str:
        """The program that chooses an entry for the next start alone."""
        return "grub2-reboot" if self.is_grub2 else "grub-reboot"

    @property
    def next_start(self) -> Resolution | None:
        """The entry that is chosen for the next start alone (grub-reboot); None where none is."""
        value = (self.block or {}).get("next_entry")
        if not value:
            return None
        return resolve_default(self.cfg.entries, value, order=self.system.distribution.order)

    @property
    def lacks_entries(self) -> bool:
        """Whether GRUB adds entries from files (BLS) of which none was found."""
        return self.cfg.uses_bls and not self.has_entry_files

    def resolve(self, value: str | None = None) -> Resolution:
        """Say which entry starts: by the menu as it is, or once GRUB_DEFAULT is `value`.

        What was chosen for one start is `next_start`'s.
        Where entry files are missing, only a name that is in grub.cfg itself can be resolved.
        """
        order = self.system.distribution.order
        if value is None:
            found = resolve_default(self.cfg.entries, self.cfg.value("default"), order=order)
        else:
            found = resolve_grub_default(value, self.cfg, self.block, order=order)
        if self.lacks_entries and (not found.exact or found.matched == "number"):
            return Resolution(found.value, None, "its entry files (BLS) were not found")
        return found


def read_installed_menu(
    grub_cfg: Path | None = None,
    *,
    settings: Path | None = None,
    grubenv: Path | None = None,
    bls: Path | None = None,
    family: Family | None = None,
) -> InstalledMenu:
    """Read a menu with what belongs to it.

    Args:
        grub_cfg: The menu; where None, that of the system that `settings` belongs to, else this
            computer's.
        settings: The system's settings file.
        grubenv: The environment block; where None, the one beside the menu.
        bls: The folder of BLS entries; where None, `loader/entries` beside GRUB's folder.
        family: Whose GRUB it is, where the user says so.

    Raises:
        InputError: A file cannot be read as what it is.
        UnmetError: A file may not be read.
    """
    root = root_of(settings) if settings is not None else None
    path = grub_cfg or grub_cfg_below(root or Path("/"))
    block = _block(path, grubenv)
    document = _document(path, "name the file with --grub-cfg")
    files = _bls_entries(path, bls)
    lasting = {name: value for name, value in (block or {}).items() if name != "next_entry"}
    cfg = parse_grub_cfg(
        document.text,
        environment_block=None if block is None else lasting,
        bls_entries=files,
    )
    if not cfg.entries and not cfg.uses_bls:
        _refuse_other(path, document, cfg)
    title = next((e.title for e in walk_entries(cfg.entries) if e.kind == "linux"), "")
    system = system_at(path, family=family, text=title)
    return InstalledMenu(
        path, cfg, block, system, bool(files), _is_grub2(path, document.text, cfg, system)
    )


def _is_grub2(path: Path, text: str, cfg: GrubCfg, system: InstalledSystem) -> bool:
    """Tell the GRUB of Fedora and openSUSE: by its folder, by what wrote the menu, or by BLS."""
    header = text[:_HEADER_LENGTH]
    is_named = path.parent.name == "grub2" or "grub2-mkconfig" in header
    return is_named or cfg.uses_bls or system.distribution.grubenv_command.startswith("grub2")


def _refuse_other(path: Path, document: Document, cfg: GrubCfg) -> None:
    """Refuse a text that no menu comes from: another tool's output, a stub, anything at all."""
    kind = recognise(Document("input", document.raw, document.text))  # Its name proves nothing.
    if kind is Kind.GRUB_CFG or (kind is None and cfg.variables):
        return
    hint = "give grub.cfg itself: /boot/grub/grub.cfg, or /boot/grub2/grub.cfg"
    if kind is Kind.ESP_STUB:
        message = f"{path} is the ESP's grub.cfg, which only leads to the menu"
    elif kind is not None:
        message = f"{path} holds {kind}, not a grub.cfg"
    else:
        message = f"{path} holds no menu of GRUB"
        hint = f"it reads {', '.join(cfg.sources)}: name that file" if cfg.sources else hint
    raise InputError(message, hint=hint, code="wrong-input")


def _text(path: Path, hint: str) -> str:
    return _document(path, hint).text


def _document(path: Path, hint: str) -> Document:
    try:
        return read_document(path)
    except UnmetError as error:
        raise UnmetError(
            f"{path} may not be read", hint="run it again with sudo", code=error.code
        ) from error
    except InputError as error:
        raise InputError(error.message, hint=error.hint or hint, code=error.code) from error


def _block(path: Path, given: Path | None) -> Mapping[str, str] | None:
    """Read the environment block; GRUB ignores a damaged one, and so is one that was not named."""
    beside = path.with_name("grubenv")
    if given is not None:
        _text(given, "name the file with --grubenv")
        return parse_grubenv(given.read_bytes()).variables
    try:
        return parse_grubenv(beside.read_bytes()).variables
    except (OSError, InputError):
        return None


def _bls_entries(path: Path, given: Path | None) -> list[BlsEntry]:
    """Read the entry files of the folder given, or of the one that belongs to the menu."""
    if given is not None and not given.is_dir():
        raise InputError(f"{given} is no folder", hint="name the folder loader/entries")
    entries = []
    for file in _entry_files(path, given):
        text = _text(file, "name the folder with --bls")
        try:
            entries.append(parse_bls_entry(file.name, text))
        except InputError:
            continue  # A file that is no entry brings no menu line, in GRUB as here.
    return sort_bls_entries(entries)


def _entry_files(path: Path, given: Path | None) -> list[Path]:
    places = [path.parent / "loader/entries"]
    if path.parent.name in _GRUB_FOLDERS:
        places.append(path.parent.parent / "loader/entries")
    for place in places if given is None else [given]:
        try:
            return sorted(file for file in place.iterdir() if file.suffix == ".conf")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            raise UnmetError(
                f"{place} may not be read", hint="run it again with sudo", code="unreadable-input"
            ) from error
    return []
