"""The kinds of input, and how a text is recognised as one of them by what it says."""

from __future__ import annotations

import re
from enum import StrEnum, unique
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.boot.documents import Document

__all__ = ["TABLE_KINDS", "Kind", "recognise"]


@unique
class Kind(StrEnum):
    """What an input is; the value is its name for the user and in JSON."""

    OS_PROBER = "os-prober"
    OS_PROBER_JSON = "os-prober-parsed"
    MKCONFIG_LOG = "mkconfig-log"
    FDISK = "fdisk"
    BOOTINFO_TABLE = "bootinfo-parttable"
    SFDISK_JSON = "sfdisk-json"
    SFDISK_DUMP = "sfdisk-dump"
    PARTED = "parted-m"
    SGDISK_TABLE = "sgdisk-p"
    SGDISK = "sgdisk"
    LSBLK_JSON = "lsblk-json"
    LSBLK_TREE = "lsblk-tree"
    BLKID = "blkid"
    BOOTINFO_BLKID = "bootinfo-blkid"
    BLKID_JSON = "blkid-json"
    UDEV_JSON = "udev-json"
    EFIBOOTMGR = "efibootmgr"
    ESP_LIST = "esp-list"
    ESP_STUB = "esp-stub"
    BOOT_FILES = "boot-files"
    BOOT_SECTORS = "bootinfo-mbr"
    DEFAULT_GRUB = "default-grub"
    DROP_IN = "default-grub-drop-in"
    GRUB_CFG = "grub-cfg"
    FILTERED_CFG = "grub-cfg-bootinfo"
    GRUBENV = "grubenv"
    BLS_ENTRY = "bls-entry"
    FSTAB = "fstab"
    DF = "df"
    FIRMWARE = "firmware"
    SECURE_BOOT = "mokutil"
    PACKAGES = "packages"
    OS_RELEASE = "os-release"
    GRUB_D = "grub.d"
    CLOCK = "clock"
    NTFS = "ntfs-probe"
    GRUB_INSTALL = "grub-install"
    LSPCI = "lspci"
    SCREEN = "screen"
    """What the screen showed: GRUB's or the firmware's error."""


TABLE_KINDS = (
    Kind.SFDISK_JSON,
    Kind.SFDISK_DUMP,
    Kind.FDISK,
    Kind.BOOTINFO_TABLE,
    Kind.SGDISK_TABLE,
    Kind.PARTED,
    Kind.LSBLK_JSON,
    Kind.LSBLK_TREE,
    Kind.UDEV_JSON,
)
"""Kinds that tell where partitions are, what type they have, or both; the best first."""

_JSON_SIGNS: tuple[tuple[Kind, str], ...] = (
    (Kind.SFDISK_JSON, r'"partitiontable"\s*:'),
    (Kind.LSBLK_JSON, r'"blockdevices"\s*:'),
    (Kind.UDEV_JSON, r'"(?:ID_PART_ENTRY_\w+|ID_FS_TYPE|DEVTYPE)"\s*:'),
    (Kind.OS_PROBER_JSON, r'"long"\s*:'),
    (Kind.BLKID_JSON, r'"/dev/[^"]+"\s*:\s*\{'),
)

_TEXT_SIGNS: tuple[tuple[Kind, str], ...] = (
    (Kind.GRUBENV, r"\A# GRUB Environment Block"),
    (
        Kind.EFIBOOTMGR,
        (
            r"^\s*Boot(?:Order|Current|Next): |^\s*Boot[0-9A-F]{4}[* ] "
            r"|EFI variables are not supported"
        ),
    ),
    (Kind.SFDISK_DUMP, r"^\S+ ?: start= *\d+, *size= *\d+"),
    (Kind.PARTED, r"^BYT;|^[^:\s]+:[^:]+:[^:]*:\d+:\d+:(?:gpt|msdos|unknown|loop):"),
    (Kind.BOOT_SECTORS, r"is installed in the MBR of|^\s*Boot sector type:"),
    (Kind.BOOTINFO_TABLE, r"Start Sector\s+End Sector"),
    (Kind.BOOTINFO_BLKID, r"^Device\s+UUID\s+TYPE\b"),
    (Kind.LSBLK_TREE, r"^NAME\s+[A-Z][A-Z:-]+(?:\s|$)"),
    (Kind.BLKID, r'^/dev/[^\s:]+: .*\b(?:UUID|TYPE|PARTUUID)="'),
    (
        Kind.FDISK,
        (
            r"^(?:\S+ )?\S+\s?[:\uff1a] ?[\d.,]+ [KMGTP]?i?B\b.*\d{6}"
            r"|^(?:/dev/\S+|(?:sd|nvme|vd|hd|mmcblk)\w+)\s+(?:\*\s+)?(?:\d+[+-]?\s+){3}"
        ),
    ),
    (Kind.SGDISK_TABLE, r"^Number +Start \(sector\) +End \(sector\)"),
    (Kind.SGDISK, r"^No problems found\.|^Problem: |^Caution: Partition \d+"),
    (
        Kind.MKCONFIG_LOG,
        (
            r"^Generating grub|^Sourcing file|os-prober will (?:not )?be executed"
            r"|^Found linux image|grub-mkconfig: |grub-mkconfig_lib: "
            r"|[:\uff1a] ?/boot/vmlinuz\S*\s*$"
            r"|^Skipped .* by user request"
        ),
    ),
    (
        Kind.OS_PROBER,
        (
            r"^/[^:@\s]*(?:@[^:]*)?:.*:[^:]*:(?:efi|chain|linux|macosx|hurd|minix)(?::|\s*$)"
            r"|unshare failed|/var/lib/os-prober"
        ),
    ),
    (Kind.BLS_ENTRY, r"\A(?:#.*\n|[ \t]*\n)*title[ \t]+\S"),
    (Kind.GRUB_CFG, r"^\s*(?:menuentry|submenu)\b|^### BEGIN /etc/grub\.d|^\s*set default="),
    (Kind.FILTERED_CFG, r"^### END /etc/grub\.d"),
    (Kind.DEFAULT_GRUB, r"^\s*(?:export\s+)?#?\s*GRUB_[A-Z_]+\s*="),
    (Kind.OS_RELEASE, r"^(?:PRETTY_NAME|VERSION_ID|ID_LIKE)="),
    (Kind.SECURE_BOOT, r"^\s*SecureBoot (?:enabled|disabled)"),
    (Kind.CLOCK, r"LocalRTC=|RTC in local TZ:|^(?:LOCAL|UTC)\s*$"),
    (Kind.GRUB_D, r"^-[rwxsStT-]{9}.*\b\d\d_\w+"),
    (
        Kind.GRUB_INSTALL,
        r"BIOS Boot Partition; embedding|^Installing for \S+ platform|grub-install: ",
    ),
    (Kind.NTFS, r"Windows is hibernated|unclean file system|hiberfil|ntfs-3g\.probe"),
    (
        Kind.SCREEN,
        r"^\s*(?:error: |grub(?: rescue)?>)|0xc000000[ef]|SBAT self|Security (?:Policy )?Violation",
    ),
    (
        Kind.LSPCI,
        r"RAID bus controller|Volume Management Device|SATA controller|^[0-9a-f]{2}:[0-9a-f]{2}\.",
    ),
    (Kind.FSTAB, r"^\s*(?:UUID=|LABEL=|PARTUUID=|/dev/)\S+\s+(?:/|none|swap)\S*\s+\w+\s"),
    (Kind.DF, r"^\S+\s.*\d{1,3}%\s+/"),
    (Kind.ESP_LIST, r"^\S*/?efi/[^\s]+/.*\.(?:efi|cfg)\s*$|^\S*/(?:efi|EFI)(?:/\S+)?:\s*$"),
    (Kind.BOOT_FILES, r"^(?:/dev/)?\w+\d+:\s+/\S+"),
    (Kind.PACKAGES, r"\bgrub-(?:pc|efi)\b"),
    (
        Kind.FIRMWARE,
        (
            r"EFI mode|Legacy|BIOS|/sys/firmware/efi|fw_platform_size|efivars"
            r"|\A(?:uefi|bios|64|32)\s*\Z"
        ),
    ),
)
_ANY_CASE = frozenset({Kind.ESP_LIST, Kind.FIRMWARE})


@cache
def _sign(kind: Kind) -> re.Pattern[str]:
    """Compile a kind's sign when it is first looked for."""
    pattern = dict((*_JSON_SIGNS, *_TEXT_SIGNS))[kind]
    return re.compile(pattern, re.MULTILINE | (re.IGNORECASE if kind in _ANY_CASE else 0))


# A name only decides where the content cannot: an empty file, a menu that overwrote the stub.
# Each row: all these words are in the name.
_NAMES: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (Kind.ESP_STUB, ("esp", "grub.cfg")),
    (Kind.ESP_STUB, ("efi/", "grub.cfg")),
    (Kind.DROP_IN, ("grub.d/", ".cfg")),
    (Kind.GRUBENV, ("grubenv",)),
    (Kind.OS_PROBER, ("os-prober",)),
    (Kind.OS_PROBER, ("os_prober",)),
    (Kind.MKCONFIG_LOG, ("update-grub",)),
    (Kind.MKCONFIG_LOG, ("mkconfig",)),
    (Kind.GRUB_D, ("grub.d",)),
    (Kind.DEFAULT_GRUB, ("default_grub",)),
    (Kind.DEFAULT_GRUB, ("default/grub",)),
    (Kind.GRUB_CFG, ("grub.cfg",)),
    (Kind.FSTAB, ("fstab",)),
    (Kind.EFIBOOTMGR, ("efibootmgr",)),
    (Kind.ESP_LIST, ("esp_files",)),
    (Kind.ESP_LIST, ("esp-list",)),
    (Kind.FDISK, ("fdisk",)),
    (Kind.LSBLK_TREE, ("lsblk",)),
    (Kind.BLKID, ("blkid",)),
    (Kind.OS_RELEASE, ("os-release",)),
    (Kind.CLOCK, ("adjtime",)),
    (Kind.CLOCK, ("timedatectl",)),
    (Kind.FIRMWARE, ("firmware",)),
    (Kind.SECURE_BOOT, ("mokutil",)),
    (Kind.LSPCI, ("lspci",)),
    (Kind.PACKAGES, ("packages",)),
)
# What a name suggests is looked for first; these kinds' signs also turn up inside other inputs.
_WEAK_SIGNS = frozenset(
    {Kind.FIRMWARE, Kind.LSPCI, Kind.PACKAGES, Kind.DF, Kind.ESP_STUB, Kind.GRUB_INSTALL}
)
# A stub is a few lines; a menu that leads somewhere is longer.
_STUB = re.compile(r"^\s*(?:search\.fs_uuid\b|configfile \$prefix/grub\.cfg)", re.MULTILINE)


def recognise(document: Document) -> Kind | None:
    """Tell what an input is: by its content; by its name only where the content leaves it open.

    None means that it is nothing that labkit reads.
    """
    name = document.name.lower()
    named = next((kind for kind, words in _NAMES if all(word in name for word in words)), None)
    if not document.text.strip():
        return named
    if named is not None and named not in _WEAK_SIGNS and _has_sign(named, document.text):
        return named
    content = _kind_of_content(document.text)
    if named is Kind.ESP_STUB and content in {Kind.GRUB_CFG, None}:
        return Kind.ESP_STUB
    if named is Kind.DROP_IN and content in {Kind.DEFAULT_GRUB, None}:
        return Kind.DROP_IN
    return content or named


def _has_sign(kind: Kind, text: str) -> bool:
    if kind is Kind.DROP_IN:
        kind = Kind.DEFAULT_GRUB
    return text.lstrip()[:1] not in {"{", "["} and bool(_sign(kind).search(text))


def _kind_of_content(text: str) -> Kind | None:
    if text.lstrip().startswith(("{", "[")):
        signs = _JSON_SIGNS
    elif _STUB.search(text) and not re.search(r"^\s*menuentry\b", text, re.MULTILINE):
        return Kind.ESP_STUB
    else:
        signs = _TEXT_SIGNS
    return next((kind for kind, _ in signs if _sign(kind).search(text)), None)
