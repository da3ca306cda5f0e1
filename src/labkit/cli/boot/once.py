"""`labkit boot once`: the command that starts another system at the next start only."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.boot.menu import CfgOption, read_menu
from labkit.cli.boot.tool import boot, given_document
from labkit.cli.frame import Result
from labkit.errors import UnmetError

if TYPE_CHECKING:
    from labkit.cli.output import Output

_BITLOCKER = (
    "BitLocker: use the way in which Windows usually starts on this computer; changing between "
    "GRUB and the firmware changes the measured boot path, and Windows asks for the recovery key"
)


class Via(StrEnum):
    """Who starts the other system."""

    GRUB = "grub"
    FIRMWARE = "firmware"


@boot.command(
    "labkit boot once windows --grub-cfg grub.cfg",
    "labkit boot once windows --via firmware --efibootmgr efibootmgr.txt",
)
def once(
    entry: Annotated[str, typer.Argument(help="windows, or an id, title or path.")],
    via: Annotated[Via, typer.Option(help="Who starts it; matters to BitLocker.")] = Via.GRUB,
    grub_cfg: CfgOption = None,
    efibootmgr: Annotated[
        str | None, typer.Option(metavar="FILE", help="Output of efibootmgr; - reads stdin.")
    ] = None,
) -> Result:
    """Print the command for starting an entry once; nothing is run."""
    command = _by_grub(entry, grub_cfg) if via is Via.GRUB else _by_firmware(entry, efibootmgr)

    def show(output: Output) -> None:
        output.line(command)
        output.message(_BITLOCKER)

    return Result({"command": command, "via": via, "note": _BITLOCKER}, show)


def _by_grub(entry: str, grub_cfg: Path | None) -> str:
    from labkit.boot.default_choice import find_entry
    from labkit.boot.default_entry import entry_value

    path, cfg = read_menu(grub_cfg)
    value = entry_value(cfg.entries, find_entry(cfg, entry))
    program = "grub2-reboot" if path.parent.name == "grub2" else "grub-reboot"
    return f"sudo {program} {shlex.quote(value)} && sudo systemctl reboot"


def _by_firmware(entry: str, efibootmgr: str | None) -> str:
    from labkit.boot.documents import Document
    from labkit.boot.parse.efibootmgr import Starts, parse_efibootmgr
    from labkit.programs import require_program, run_program

    if efibootmgr is None:
        result = run_program([require_program("efibootmgr")], timeout_s=10)
        document = Document.of("efibootmgr", result.stdout + result.stderr)
    else:
        document = given_document(efibootmgr)
    listed = parse_efibootmgr(document)
    found = [
        candidate
        for candidate in listed.entries
        if (candidate.starts is Starts.WINDOWS if entry == "windows" else candidate.label == entry)
    ]
    if not found:
        raise UnmetError(
            f"the firmware's list has no entry for `{entry}`",
            hint="`labkit boot check` says why",
            code="no-firmware-entry",
        )
    return f"sudo efibootmgr --bootnext {found[0].number:04X} && sudo systemctl reboot"
