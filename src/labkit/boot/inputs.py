"""Single inputs, each named for what it is: recognised all the same, so that a mix-up is caught."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.boot.bundle import Bundle, Input
from labkit.boot.documents import Document, read_document
from labkit.boot.kinds import TABLE_KINDS, Kind, recognise
from labkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["SLOTS", "bundle_of_files"]

SLOTS: Mapping[str, tuple[Kind, ...]] = {
    "os-prober": (Kind.OS_PROBER, Kind.OS_PROBER_JSON),
    "table": TABLE_KINDS,
    "default-grub": (Kind.DEFAULT_GRUB,),
    "grub-cfg": (Kind.GRUB_CFG, Kind.FILTERED_CFG),
    "grubenv": (Kind.GRUBENV,),
    "efibootmgr": (Kind.EFIBOOTMGR,),
    "blkid": (
        Kind.BLKID,
        Kind.BOOTINFO_BLKID,
        Kind.LSBLK_TREE,
        Kind.LSBLK_JSON,
        Kind.BLKID_JSON,
        Kind.UDEV_JSON,
    ),
    "fstab": (Kind.FSTAB,),
    "esp-list": (Kind.ESP_LIST, Kind.BOOT_FILES),
    "esp-stub": (Kind.ESP_STUB,),
}
"""What each option takes; the first kind is meant where the content does not tell."""

# Short files that look like nothing in particular, and menus that overwrote a stub.
_LOOKALIKES = {
    "esp-stub": {Kind.GRUB_CFG},
    "esp-list": {Kind.FSTAB},
    "default-grub": {Kind.OS_RELEASE},
}


def bundle_of_files(files: Mapping[str, Path | Document]) -> Bundle:
    """Read single inputs by the names of `SLOTS`; a document has been read already.

    Raises:
        InputError: One of them is another tool's output, or cannot be read.
    """
    inputs = []
    for slot, given in files.items():
        document = given if isinstance(given, Document) else read_document(given)
        kind = recognise(document)
        allowed = SLOTS[slot]
        if kind is None or kind in _LOOKALIKES.get(slot, ()):
            kind = allowed[0]
        if kind not in allowed:
            raise InputError(
                f"{_name(given)} is output of {kind}, not of {slot}",
                hint="give it with its own option, or put all inputs into a folder: --from DIR",
                code="wrong-input",
            )
        inputs.append(Input(kind, document))
    return Bundle(", ".join(map(_name, files.values())), tuple(inputs))


def _name(given: Path | Document) -> str:
    return given.name if isinstance(given, Document) else str(given)
