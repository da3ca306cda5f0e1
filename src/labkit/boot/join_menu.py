"""The menu as facts, from grub.cfg or from boot-info's shortened form of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.boot.menu_facts import Menu, MenuItem
from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from labkit.boot.bls import BlsEntry
    from labkit.boot.documents import Document
    from labkit.boot.findings import Evidence

__all__ = ["filtered_menu", "generated_menu"]


def generated_menu(
    document: Document,
    environment_block: Mapping[str, str] | None,
    bls_documents: Sequence[Document] = (),
) -> Menu:
    """Read grub.cfg.

    Raises:
        InputError: It is no grub.cfg.
    """
    from labkit.boot.grub_cfg import parse_grub_cfg
    from labkit.boot.menu import walk_entries

    cfg = parse_grub_cfg(
        document.text,
        environment_block=environment_block,
        bls_entries=_bls_entries(bls_documents) if bls_documents else (),
    )
    sections = {section.script.rpartition("/")[2]: section for section in cfg.sections}
    probed = sections.get("30_os-prober")
    problem = cfg.syntax_error
    return Menu(
        items=tuple(
            MenuItem(
                entry.title,
                entry.id,
                entry.kind,
                entry.loader,
                entry.file_systems,
                document.at(entry.line or None, None if entry.line else entry.title),
            )
            for entry in walk_entries(cfg.entries)
        ),
        cfg=cfg,
        searched=tuple((ref.uuid, document.at(ref.line)) for ref in cfg.file_systems),
        ran_os_prober=probed is not None,
        os_prober_wrote=probed is not None and not probed.empty,
        source=document.at(None, "grub.cfg"),
        syntax_error=document.at(problem.line, problem.message) if problem else None,
        header_default=_header_default(document),
        roots=tuple(_roots(document)),
    )


_ROOT = re.compile(r"^[ \t]*linux(?:16|efi)?[ \t].*?\sroot=UUID=([0-9A-Fa-f-]+)", re.MULTILINE)


def _roots(document: Document) -> Iterator[tuple[str, Evidence]]:
    """Find the root file systems of the kernels' lines, each UUID once."""
    seen: set[str] = set()
    for match in _ROOT.finditer(document.text):
        if match[1] not in seen:
            seen.add(match[1])
            line = document.text.count("\n", 0, match.start(1)) + 1
            yield match[1], document.at(line)


_NEXT_ENTRY = re.compile(
    r'^\s*set default="\$\{next_entry\}"\n(?:.*\n){0,6}?else\n\s*set default="(.*)"$', re.MULTILINE
)


def _header_default(document: Document) -> Evidence | None:
    """Find what 00_header writes: `default` is the one-time `next_entry`, or else this value."""
    match = _NEXT_ENTRY.search(document.text)
    if match is None:
        return None
    return document.at(document.text.count("\n", 0, match.start(1)) + 1, match[1])


def _bls_entries(documents: Sequence[Document]) -> list[BlsEntry]:
    from labkit.boot.bls import parse_bls_entry, sort_bls_entries

    entries = []
    for document in documents:
        try:
            entries.append(parse_bls_entry(document.name, document.text))
        except InputError:
            continue  # A file that is no entry brings no menu line, in GRUB as here.
    return sort_bls_entries(entries)


_FS_UUID = re.compile(
    r"[0-9A-F]{4}-[0-9A-F]{4}|[0-9A-F]{16}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


def filtered_menu(document: Document) -> Menu:
    """Read boot-info's shortened grub.cfg: titles, and ids or file-system UUIDs.

    Raises:
        InputError: It is no such text.
    """
    from labkit.boot.parse.bootinfo import parse_filtered_menu

    filtered = parse_filtered_menu(document)
    items = []
    for entry in filtered.entries:
        uuid = _FS_UUID.search(entry.identifier)
        kind = "other"
        if entry.is_windows:
            kind = "windows"
        elif entry.identifier == "uefi-firmware":
            kind = "firmware"
        elif uuid:
            kind = "linux"
        uuids = (uuid[0],) if uuid else ()
        items.append(MenuItem(entry.title, entry.identifier, kind, None, uuids, entry.evidence))
    probed = "30_os-prober" in filtered.ended
    wrote = any(item.kind == "windows" or "(on " in item.title for item in items)
    return Menu(
        items=tuple(items),
        cfg=None,
        searched=tuple((u, item.evidence) for item in items for u in item.file_systems),
        ran_os_prober=probed,
        os_prober_wrote=probed and wrote,
        source=document.at(None, "menu entries"),
        syntax_error=None,
    )
