"""The inputs of a made-up, healthy dual boot, to be broken one by one."""

from __future__ import annotations

from labkit.boot.bundle import bundle_of
from labkit.boot.diagnosis import diagnose
from labkit.boot.documents import decode

ESP_UUID = "7A8C-9328"
ROOT_UUID = "1ff43d80-d7a6-47b9-b0be-896f374c981f"
ESP_PARTUUID = "ae1d65ea-f03d-4af7-a98e-9aba530dd411"

FDISK = """\
Disk /dev/nvme0n1: 476.94 GiB, 512110190592 bytes, 1000215216 sectors
Units: sectors of 1 * 512 = 512 bytes
Sector size (logical/physical): 512 bytes / 512 bytes
I/O size (minimum/optimal): 512 bytes / 512 bytes
Disklabel type: gpt
Disk identifier: 9339D128-51DF-4FDC-9767-B78649431F5A

Device             Start        End   Sectors   Size Type
/dev/nvme0n1p1      2048     206847    204800   100M EFI System
/dev/nvme0n1p2    206848     239615     32768    16M Microsoft reserved
/dev/nvme0n1p3    239616  461590527 461350912   220G Microsoft basic data
/dev/nvme0n1p4 461590528 1000214527 538624000 256.8G Linux filesystem
"""
BLKID = f"""\
/dev/nvme0n1p1: UUID="{ESP_UUID}" TYPE="vfat" PARTLABEL="Basic data partition" PARTUUID="{ESP_PARTUUID}"
/dev/nvme0n1p2: PARTLABEL="Microsoft reserved partition" PARTUUID="b283f7b8-4c3d-40e7-975e-54a6ea5c5bfb"
/dev/nvme0n1p3: LABEL="Windows" UUID="BEC65C4DC65C07D3" TYPE="ntfs" PARTUUID="1ed51435-a38d-4a9c-97be-e098b5eddc11"
/dev/nvme0n1p4: UUID="{ROOT_UUID}" TYPE="ext4" PARTUUID="cd4e7757-36a0-42d1-9ec6-e0e64d6edfb9"
"""  # noqa: E501 - blkid prints a line each
EFIBOOTMGR = f"""\
BootCurrent: 0003
Timeout: 1 seconds
BootOrder: 0003,0004
Boot0003* ubuntu\tHD(1,GPT,{ESP_PARTUUID},0x800,0x32000)/File(\\EFI\\ubuntu\\shimx64.efi)
Boot0004* Windows Boot Manager\tHD(1,GPT,{ESP_PARTUUID},0x800,0x32000)/File(\\EFI\\Microsoft\\Boot\\bootmgfw.efi)WINDOWS.........x...B.C.D.O.B.J.E.C.T.=
"""  # noqa: E501 - efibootmgr prints a line each
ESP_FILES = """\
/EFI/BOOT/BOOTX64.EFI
/EFI/Microsoft/Boot/BCD
/EFI/Microsoft/Boot/bootmgfw.efi
/EFI/ubuntu/grub.cfg
/EFI/ubuntu/grubx64.efi
/EFI/ubuntu/shimx64.efi
"""
STUB = f"""\
search.fs_uuid {ROOT_UUID} root hd0,gpt4
set prefix=($root)'/boot/grub'
configfile $prefix/grub.cfg
"""
GRUB_CFG = f"""\
### BEGIN /etc/grub.d/00_header ###
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
menuentry_id_option="--id"
export menuentry_id_option
set timeout_style=menu
set timeout=5
### END /etc/grub.d/00_header ###
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Ubuntu' $menuentry_id_option 'gnulinux-simple-{ROOT_UUID}' {{
\tsearch --no-floppy --fs-uuid --set=root {ROOT_UUID}
\tlinux /boot/vmlinuz root=UUID={ROOT_UUID}
}}
submenu 'Advanced options for Ubuntu' $menuentry_id_option 'gnulinux-advanced-{ROOT_UUID}' {{
\tmenuentry 'Ubuntu, with Linux 6.8.0-1' $menuentry_id_option 'gnulinux-6.8.0-1' {{
\t\tlinux /boot/vmlinuz-6.8.0-1
\t}}
}}
### END /etc/grub.d/10_linux ###
### BEGIN /etc/grub.d/30_os-prober ###
menuentry 'Windows Boot Manager (on /dev/nvme0n1p1)' $menuentry_id_option 'osprober-efi-{ESP_UUID}' {{
\tsearch --no-floppy --fs-uuid --set=root {ESP_UUID}
\tchainloader /EFI/Microsoft/Boot/bootmgfw.efi
}}
### END /etc/grub.d/30_os-prober ###
"""  # noqa: E501 - GRUB writes a title's line so
DEFAULT_GRUB = """\
GRUB_DEFAULT=0
GRUB_TIMEOUT_STYLE=menu
GRUB_TIMEOUT=5
GRUB_DISABLE_OS_PROBER=false
"""
FSTAB = f"""\
UUID={ROOT_UUID} / ext4 errors=remount-ro 0 1
UUID={ESP_UUID} /boot/efi vfat umask=0077 0 1
"""
OS_RELEASE = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n'
HEALTHY = {
    "fdisk.txt": FDISK,
    "blkid.txt": BLKID,
    "efibootmgr.txt": EFIBOOTMGR,
    "esp_files.txt": ESP_FILES,
    "esp_ubuntu_grub.cfg": STUB,
    "grub.cfg": GRUB_CFG,
    "default_grub": DEFAULT_GRUB,
    "fstab": FSTAB,
    "os-release": OS_RELEASE,
}
"""A whole set of inputs in which nothing is wrong."""


def without_windows_entry(cfg=GRUB_CFG):
    """The menu with 30_os-prober's part empty."""
    begin = cfg.index("menuentry 'Windows")
    end = cfg.index("### END /etc/grub.d/30_os-prober")
    return cfg[:begin] + cfg[end:]


def bundle_from(files):
    """A bundle of texts or bytes by name."""
    raw = {n: t if isinstance(t, bytes) else t.encode() for n, t in files.items()}
    return bundle_of("test", [decode(data, name) for name, data in raw.items()])


def diagnosed(files):
    """The diagnosis of texts by name; a None leaves the input out."""
    return diagnose(bundle_from({n: t for n, t in files.items() if t is not None}))


def findings_by_rule(diagnosis):
    """Rule id -> its first finding."""
    found = {}
    for ranked in diagnosis.findings:
        found.setdefault(ranked.finding.rule, ranked.finding)
    return found
