"""What rules ask about: groups of inputs that answer the same question, and how to get each."""

from __future__ import annotations

from enum import StrEnum, unique

from labkit.boot.kinds import Kind

__all__ = ["COMMANDS", "Topic", "topics_of"]


@unique
class Topic(StrEnum):
    """A question about the computer; the value is its name in JSON."""

    TABLE = "partition-table"
    FILE_SYSTEMS = "file-systems"
    BOOT_LIST = "firmware-boot-list"
    ESP_FILES = "esp-files"
    ESP_STUB = "esp-stub"
    SETTINGS = "default-grub"
    MENU = "grub-cfg"
    ENTRY_FILES = "loader-entries"
    GRUBENV = "grubenv"
    FSTAB = "fstab"
    OS_PROBER = "os-prober"
    RUN_LOG = "update-grub-log"
    MODE = "firmware-mode"
    SECURE_BOOT = "secure-boot"
    BOOT_SECTORS = "boot-sectors"
    OS_RELEASE = "os-release"
    SCRIPTS = "grub.d"
    PACKAGES = "packages"
    SPACE = "disk-space"
    CLOCK = "clock"
    NTFS = "ntfs-state"
    GRUB_INSTALL = "grub-install-output"
    HARDWARE = "pci-devices"
    SCREEN = "screen-message"


COMMANDS = {
    Topic.TABLE: "sudo fdisk -l (or: sudo sfdisk --json /dev/sda)",
    Topic.FILE_SYSTEMS: "lsblk -o NAME,FSTYPE,UUID,PARTUUID,LABEL,PARTLABEL,PARTTYPE,MOUNTPOINTS",
    Topic.BOOT_LIST: "efibootmgr -v",
    Topic.ESP_FILES: "sudo find /boot/efi -type f",
    Topic.ESP_STUB: "sudo cat /boot/efi/EFI/*/grub.cfg",
    Topic.SETTINGS: "cat /etc/default/grub",
    Topic.MENU: "sudo cat /boot/grub/grub.cfg (Fedora, openSUSE: /boot/grub2/grub.cfg)",
    Topic.ENTRY_FILES: "the files of /boot/loader/entries (sudo labkit boot collect takes them)",
    Topic.GRUBENV: "sudo cat /boot/grub/grubenv",
    Topic.FSTAB: "cat /etc/fstab",
    Topic.OS_PROBER: "sudo os-prober",
    Topic.RUN_LOG: "sudo update-grub 2>&1",
    Topic.MODE: "ls /sys/firmware/efi",
    Topic.SECURE_BOOT: "mokutil --sb-state",
    Topic.BOOT_SECTORS: "a boot-info report (the package boot-info-script)",
    Topic.OS_RELEASE: "cat /etc/os-release",
    Topic.SCRIPTS: "ls -l /etc/grub.d",
    Topic.PACKAGES: "dpkg -l 'grub*' os-prober shim-signed",
    Topic.SPACE: "df -h",
    Topic.CLOCK: "timedatectl show -p LocalRTC",
    Topic.NTFS: "sudo ntfs-3g.probe --readwrite /dev/sda3",
    Topic.GRUB_INSTALL: "the output of grub-install",
    Topic.HARDWARE: "lspci",
    Topic.SCREEN: "the message that the screen shows",
}
"""The command whose output answers each topic."""

_TOPICS = {
    Kind.OS_PROBER: (Topic.OS_PROBER,),
    Kind.OS_PROBER_JSON: (Topic.OS_PROBER,),
    Kind.MKCONFIG_LOG: (Topic.RUN_LOG,),
    Kind.FDISK: (Topic.TABLE,),
    Kind.BOOTINFO_TABLE: (Topic.TABLE,),
    Kind.SFDISK_JSON: (Topic.TABLE,),
    Kind.SFDISK_DUMP: (Topic.TABLE,),
    Kind.PARTED: (Topic.TABLE, Topic.FILE_SYSTEMS),
    Kind.SGDISK_TABLE: (Topic.TABLE,),
    Kind.SGDISK: (Topic.TABLE,),
    Kind.LSBLK_JSON: (Topic.FILE_SYSTEMS, Topic.TABLE),
    Kind.LSBLK_TREE: (Topic.FILE_SYSTEMS,),
    Kind.BLKID: (Topic.FILE_SYSTEMS,),
    Kind.BOOTINFO_BLKID: (Topic.FILE_SYSTEMS,),
    Kind.BLKID_JSON: (Topic.FILE_SYSTEMS,),
    Kind.UDEV_JSON: (Topic.TABLE, Topic.FILE_SYSTEMS),
    Kind.EFIBOOTMGR: (Topic.BOOT_LIST,),
    Kind.ESP_LIST: (Topic.ESP_FILES,),
    Kind.ESP_STUB: (Topic.ESP_STUB,),
    Kind.BOOT_FILES: (Topic.BOOT_SECTORS,),
    Kind.BOOT_SECTORS: (Topic.BOOT_SECTORS,),
    Kind.DEFAULT_GRUB: (Topic.SETTINGS,),
    Kind.DROP_IN: (Topic.SETTINGS,),
    Kind.GRUB_CFG: (Topic.MENU,),
    Kind.FILTERED_CFG: (Topic.MENU,),
    Kind.GRUBENV: (Topic.GRUBENV,),
    Kind.BLS_ENTRY: (Topic.ENTRY_FILES,),
    Kind.FSTAB: (Topic.FSTAB,),
    Kind.DF: (Topic.SPACE,),
    Kind.FIRMWARE: (Topic.MODE,),
    Kind.SECURE_BOOT: (Topic.SECURE_BOOT,),
    Kind.PACKAGES: (Topic.PACKAGES,),
    Kind.OS_RELEASE: (Topic.OS_RELEASE,),
    Kind.GRUB_D: (Topic.SCRIPTS,),
    Kind.CLOCK: (Topic.CLOCK,),
    Kind.NTFS: (Topic.NTFS,),
    Kind.GRUB_INSTALL: (Topic.GRUB_INSTALL,),
    Kind.LSPCI: (Topic.HARDWARE,),
    Kind.SCREEN: (Topic.SCREEN,),
}


def topics_of(kind: Kind) -> tuple[Topic, ...]:
    """Name the questions that an input of this kind answers."""
    return _TOPICS[kind]
