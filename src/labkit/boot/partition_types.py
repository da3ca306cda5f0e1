"""What the type of a partition means, from GPT's GUIDs, MBR's bytes and the tools' names for them.

GUIDs: UEFI 2.10, section 5.3.3, and the Discoverable Partitions Specification; bytes: sfdisk -T.
"""

from __future__ import annotations

import re
from enum import StrEnum, unique
from functools import cache

__all__ = ["ESP_GUID", "PUBLIC_GUIDS", "PartitionType", "type_of_id", "type_of_name"]

ESP_GUID = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
"""The GPT type of an EFI system partition, in udev's lower case."""


@unique
class PartitionType(StrEnum):
    """What a partition's type says it is for; the value is the name shown."""

    ESP = "EFI system"
    MSR = "Microsoft reserved"
    MICROSOFT_DATA = "Microsoft basic data"
    RECOVERY = "Windows recovery"
    LDM_METADATA = "Windows dynamic disk metadata"
    LDM_DATA = "Windows dynamic disk"
    STORAGE_SPACES = "Windows Storage Spaces"
    BIOS_BOOT = "BIOS boot"
    XBOOTLDR = "Linux extended boot"
    LINUX = "Linux file system"
    SWAP = "Linux swap"
    LVM = "Linux LVM"
    RAID = "Linux RAID"
    NTFS = "NTFS/exFAT"
    FAT = "FAT"
    EXTENDED = "extended"
    PROTECTIVE = "protective (GPT)"
    OTHER = "other"


_GUIDS = {
    ESP_GUID: PartitionType.ESP,
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": PartitionType.MSR,
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": PartitionType.MICROSOFT_DATA,
    "de94bba4-06d1-4d40-a16a-bfd50179d6ac": PartitionType.RECOVERY,
    "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": PartitionType.LDM_METADATA,
    "af9b60a0-1431-4f62-bc68-3311714a69ad": PartitionType.LDM_DATA,
    "e75caf8f-f680-4cee-afa3-b001e56efc2d": PartitionType.STORAGE_SPACES,
    "21686148-6449-6e6f-744e-656564454649": PartitionType.BIOS_BOOT,
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": PartitionType.XBOOTLDR,
    "0fc63daf-8483-4772-8e79-3d69d8477de4": PartitionType.LINUX,
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": PartitionType.LINUX,  # root, x86-64
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915": PartitionType.LINUX,  # home
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": PartitionType.SWAP,
    "e6d6d379-f507-44c2-a23c-238f2a3df928": PartitionType.LVM,
    "a19d880f-05fc-4d3b-a006-743f0f84911e": PartitionType.RAID,
}

PUBLIC_GUIDS = frozenset(_GUIDS)
"""Type GUIDs: the same on every computer."""

_BYTES = {
    0x05: PartitionType.EXTENDED,
    0x0F: PartitionType.EXTENDED,
    0x85: PartitionType.EXTENDED,
    0x07: PartitionType.NTFS,
    0x27: PartitionType.RECOVERY,
    0x42: PartitionType.LDM_DATA,
    0x82: PartitionType.SWAP,
    0x83: PartitionType.LINUX,
    0x8E: PartitionType.LVM,
    0xEE: PartitionType.PROTECTIVE,
    0xEF: PartitionType.ESP,
    0xFD: PartitionType.RAID,
} | dict.fromkeys((0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E), PartitionType.FAT)

# fdisk prints names in the user's language. Each type has words that all its translations share;
# the first type that fits decides, so the narrower ones stand first.
_NAME_WORDS = {
    PartitionType.LDM_METADATA: (
        r"\bLDM\b.*(?:m[eé]ta|мета|元|メタ)",
        r"(?:m[eé]ta|мета)\w*.*\bLDM\b",
    ),
    PartitionType.LDM_DATA: (r"\bLDM\b",),
    PartitionType.RECOVERY: (
        "recover|wiederherst|recupera|récupér|восстан|відновл|odtworz|obnov|återställ",
        "恢复|リカバリ",
    ),
    PartitionType.STORAGE_SPACES: (
        "storage space|espace de stockage|espacios de alm|espaços de arm|opslagruimte|lagringsutr",
        "存储空间|記憶域",
    ),
    PartitionType.MSR: (
        "microsoft.*(?:reserv|gereserv|zarezer|зарез|保留|予約)",
        r"(?:reserv|réserv|vyhraz|зарез)\w*.*microsoft",
    ),
    PartitionType.MICROSOFT_DATA: ("microsoft",),
    PartitionType.BIOS_BOOT: (r"\bbios\b", "biosu"),
    PartitionType.ESP: (r"\bEFI\b",),
    PartitionType.LVM: (r"\blvm\b",),
    PartitionType.RAID: (r"\braid\b",),
    PartitionType.SWAP: ("swap|échange|своп|wisselgeh|växling|スワップ",),
    PartitionType.XBOOTLDR: (
        "linux.*(?:extended boot|erweitert boot|étendu|extendida|estendida|uitgebreid)",
        "linux.*(?:rozszerz|розшир|rozšíř|utökad|扩展|拡張)|расширенная загрузка",
    ),
    PartitionType.LINUX: ("linux",),
}


@cache
def _name_patterns() -> tuple[tuple[PartitionType, re.Pattern[str]], ...]:
    """Compile the patterns when a name turns up that is not fdisk's English one."""
    return tuple(
        (kind, re.compile("|".join(words), re.IGNORECASE)) for kind, words in _NAME_WORDS.items()
    )


_ENGLISH_NAMES = {
    "EFI System": PartitionType.ESP,
    "Microsoft reserved": PartitionType.MSR,
    "Microsoft basic data": PartitionType.MICROSOFT_DATA,
    "Windows recovery environment": PartitionType.RECOVERY,
    "BIOS boot": PartitionType.BIOS_BOOT,
    "Linux filesystem": PartitionType.LINUX,
    "Linux swap": PartitionType.SWAP,
}


def type_of_id(identifier: str) -> PartitionType:
    """Tell the type of a GPT type GUID (any case) or of an MBR type byte (`7`, `0x07`, `ef`)."""
    identifier = identifier.lower()
    if len(identifier) > len("0xff"):
        return _GUIDS.get(identifier, PartitionType.OTHER)
    try:
        return _BYTES.get(int(identifier, 16), PartitionType.OTHER)
    except ValueError:
        return PartitionType.OTHER


def type_of_name(name: str) -> PartitionType:
    """Tell the type behind the name that fdisk prints for it, in any of fdisk's languages."""
    if known := _ENGLISH_NAMES.get(name):
        return known
    for kind, pattern in _name_patterns():
        if pattern.search(name):
            return kind
    return PartitionType.OTHER
