"""`labkit boot once`: the command that starts another system at the next start only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.boot.via import Via
from labkit.cli.boot.options import CfgOption
from labkit.cli.boot.tool import boot, given_document
from labkit.cli.frame import Result
from labkit.errors import LabkitError, UsageError

if TYPE_CHECKING:
    from labkit.boot.documents import Document
    from labkit.boot.facts import Facts
    from labkit.boot.one_time import GrubWay, OneTimeStart
    from labkit.cli.output import Output

_TIMEOUT_S = 10


@boot.command(
    "labkit boot once windows --grub-cfg grub.cfg",
    "labkit boot once windows --via firmware --efibootmgr efibootmgr.txt",
    "labkit boot once windows --from boot.tar.gz",
)
def once(
    entry: Annotated[
        str, typer.Argument(help="windows; an id, title or path; a firmware entry, Boot0003.")
    ],
    via: Annotated[
        Via | None,
        typer.Option(help="Who starts it.", show_default="what suits this computer"),
    ] = None,
    grub_cfg: CfgOption = None,
    efibootmgr: Annotated[
        str | None, typer.Option(metavar="FILE", help="Output of efibootmgr -v; - reads stdin.")
    ] = None,
    blkid: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Output of blkid or lsblk: shows BitLocker."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR or BUNDLE",
            readable=False,
            help="A computer's collected outputs.",
        ),
    ] = None,
) -> Result:
    """Print the command for starting an entry once; nothing is run."""
    from labkit.boot.one_time import plan_one_time_start, uses_bitlocker

    files = [file for file in (efibootmgr, blkid) if file is not None]
    if source is not None and (files or grub_cfg is not None):
        raise UsageError("choose one of --from and single inputs")
    facts = _facts(source, files, grub_cfg)
    bitlocker = uses_bitlocker(facts)
    start = plan_one_time_start(
        entry,
        via=via,
        grub=_grub_of(facts)
        if source
        else _grub(grub_cfg, facts, own=not files, wanted=via is Via.GRUB),
        firmware=facts.boot_list,
        bitlocker=bitlocker,
    )
    data = {
        "command": start.command,
        "via": start.via,
        "suits": start.suits,
        "reason": start.reason,
        "bitlocker": bitlocker,
        "note": start.note or None,
    }
    return Result(data, lambda output: _show(output, start))


def _show(output: Output, start: OneTimeStart) -> None:
    output.line(start.command)
    if start.via is not start.suits:
        output.message(f"--via {start.suits} suits this computer better")
    output.message(start.reason)
    if start.note:
        output.message(start.note)


def _facts(source: Path | None, files: list[str], grub_cfg: Path | None) -> Facts:
    """Read what was given; without any of it, this computer's list and file systems."""
    from labkit.boot.bundle import bundle_of, read_bundle
    from labkit.boot.installed import root_of
    from labkit.boot.join import join

    if source is not None:
        return join(read_bundle(source))
    given = [given_document(file) for file in files]
    own = _own_documents() if grub_cfg is None and not files else []
    root = Path("/") if grub_cfg is None else root_of(grub_cfg)
    facts = join(bundle_of("inputs", [*given, *own, *_fstab_below(root)]))
    if files and facts.unread:
        raise facts.unread[0]
    return facts


def _fstab_below(root: Path | None) -> list[Document]:
    """Read the fstab that belongs to the menu: it tells what GRUB's folder is on."""
    from labkit.boot.documents import read_document

    try:
        return [] if root is None else [read_document(root / "etc/fstab")]
    except LabkitError:
        return []


def _own_documents() -> list[Document]:
    """Run the two commands that only read; what cannot be run is not known."""
    from labkit.boot.documents import Document
    from labkit.programs import find_program, run_program

    documents = []
    for name, arguments in (
        ("efibootmgr", ("-v",)),
        ("lsblk", ("--json", "--output", "NAME,TYPE,FSTYPE,UUID,PARTUUID")),
    ):
        program = find_program(name)
        if program is None:
            continue
        try:
            result = run_program([program, *arguments], timeout_s=_TIMEOUT_S)
        except LabkitError:
            continue
        documents.append(Document.of(name, result.stdout + result.stderr))
    return documents


def _grub(grub_cfg: Path | None, facts: Facts, *, own: bool, wanted: bool) -> GrubWay | None:
    """Read GRUB's menu where it was named, or may be this computer's."""
    from labkit.boot.environment_place import unwritable_place
    from labkit.boot.installed_menu import read_installed_menu
    from labkit.boot.one_time import GrubWay

    if grub_cfg is None and not own and not wanted:
        return None
    try:
        menu = read_installed_menu(grub_cfg)
    except LabkitError:
        if grub_cfg is not None or wanted:
            raise
        return None
    unwritable = unwritable_place(facts, menu.cfg, menu.block)
    return GrubWay(menu.cfg, menu.reboot_program, menu.system.distribution.order, unwritable)


def _grub_of(facts: Facts) -> GrubWay | None:
    from labkit.boot.environment_place import unwritable_place
    from labkit.boot.one_time import GrubWay

    if facts.menu is None or facts.menu.cfg is None:
        return None
    # Only GRUBs that are called grub2 have entry files.
    is_grub2 = facts.menu.uses_bls or facts.distribution.grubenv_command.startswith("grub2")
    program = "grub2-reboot" if is_grub2 else "grub-reboot"
    environment = facts.environment
    block = environment.block.variables if environment and environment.block else None
    unwritable = unwritable_place(facts, facts.menu.cfg, block)
    return GrubWay(facts.menu.cfg, program, facts.distribution.order, unwritable)
