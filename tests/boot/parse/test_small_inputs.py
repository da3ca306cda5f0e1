"""The small inputs: lsblk, blkid, the ESP, fstab, os-release, grub.d, df, boot-info's own parts."""

from __future__ import annotations

import json

import pytest

from labkit.boot.disks import disk_of, is_whole_disk, partition_number
from labkit.boot.distributions import Family, distribution_of_text, os_release_names
from labkit.boot.documents import Document
from labkit.boot.parse import bootinfo, bootinfo_tables, esp, host
from labkit.boot.parse.blkid import parse_blkid
from labkit.boot.parse.lsblk import parse_lsblk_json, parse_lsblk_tree
from labkit.boot.parse.os_prober import parse_os_prober
from labkit.boot.partition_types import PartitionType

GUID = "7c56bd11-c5d6-4b00-9eb9-f80148632ee2"


def doc(text):
    """A document of `text`."""
    return Document.of("input", text)


@pytest.mark.parametrize(
    ("device", "disk", "number"),
    [
        ("/dev/sda1", "/dev/sda", 1),
        ("/dev/sda12", "/dev/sda", 12),
        ("/dev/nvme0n1p3", "/dev/nvme0n1", 3),
        ("/dev/mmcblk0p2", "/dev/mmcblk0", 2),
        ("/dev/nvme0n1", "/dev/nvme0n1", None),
        ("/dev/mapper/vg-root1", "/dev/mapper/vg-root1", None),
        ("/dev/dm-1", "/dev/dm-1", None),
        ("disk.img1", "disk.img", 1),
    ],
)
def test_partitions_are_told_from_disks(device, disk, number):
    """A name that ends in a digit is a partition only where the kernel's rules say so."""
    assert (disk_of(device), partition_number(device)) == (disk, number)
    assert is_whole_disk(device) is (number is None)


def test_lsblk_json_with_nested_devices():
    """Partitions and what lies on them are read; nulls are unknown."""
    tree = {
        "blockdevices": [
            {
                "name": "sda",
                "type": "disk",
                "fstype": None,
                "children": [
                    {
                        "name": "sda1",
                        "type": "part",
                        "fstype": "vfat",
                        "parttype": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
                        "mountpoints": ["/boot/efi", None],
                    },
                    {"name": "sda2", "type": "part", "children": [{"name": "vg-a", "type": "lvm"}]},
                ],
            }
        ]
    }
    found = {p.device: p for p in parse_lsblk_json(doc(json.dumps(tree)))}
    assert list(found) == ["/dev/sda", "/dev/sda1", "/dev/sda2", "/dev/mapper/vg-a"]
    assert found["/dev/sda1"].type is PartitionType.ESP
    assert found["/dev/sda1"].mounts == ("/boot/efi",)
    assert found["/dev/sda2"].fstype is None


def test_labels_with_blanks_stay_whole():
    """A label of two words is not split over two columns."""
    tree = (
        f"NAME   FSTYPE UUID                 PARTUUID {'':30}LABEL      PARTLABEL\n"
        f"└─sda1 ntfs   9050082F50081F1A     {GUID}   New Volume Basic data partition\n"
    )
    found = parse_lsblk_tree(doc(tree))[0]
    assert (found.label, found.name) == ("New Volume", "Basic data partition")


def test_blkid_tags_in_any_order():
    """Each tag is read by its name; quotes inside a value do not end it."""
    line = f'/dev/sda1: PARTUUID="{GUID.upper()}" LABEL="A \\"b\\"" TYPE="ext4" UUID="x"\n'
    found = parse_blkid(doc(line))[0]
    assert (found.partuuid, found.fstype, found.uuid) == (GUID, "ext4", "x")


def test_the_esp_is_read_from_find_and_from_ls():
    """`find` and `ls -R` give the same files, in lower case and from /efi on."""
    find = "/boot/efi/EFI/ubuntu/shimx64.efi\n/boot/efi/EFI/Microsoft/Boot/BCD\n"
    listing = "/boot/efi/EFI/ubuntu:\nshimx64.efi\n\n/boot/efi/EFI/Microsoft/Boot:\nBCD\n"
    files = {"/efi/ubuntu/shimx64.efi", "/efi/microsoft/boot/bcd"}
    assert set(esp.parse_esp_list(doc(find))[0].files) == files
    assert set(esp.parse_esp_list(doc(listing))[0].files) == files


def test_several_esps_are_kept_apart():
    """Sections name the partitions."""
    text = "# /dev/sda1\n/EFI/ubuntu/shimx64.efi\n# /dev/sdb1\n/EFI/Microsoft/Boot/bootmgfw.efi\n"
    first, second = esp.parse_esp_list(doc(text))
    assert (first.device, first.has_windows) == ("/dev/sda1", False)
    assert (second.device, second.has_windows) == ("/dev/sdb1", True)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        (f"search.fs_uuid {GUID} root hd0,gpt2\nset prefix=($root)'/boot/grub'\n", "/boot/grub"),
        (
            f"""search --no-floppy --root-dev-only --fs-uuid --set=dev {GUID}
set prefix=($dev)/grub2
export $prefix
configfile $prefix/grub.cfg
""",
            "/grub2",
        ),
    ],
    ids=["Debian", "Fedora"],
)
def test_stubs_of_both_families(text, prefix):
    """The UUID and the prefix are found in Debian's and in Fedora's form."""
    stub = esp.parse_esp_stub(doc(text))
    assert (stub.uuid, stub.prefix, stub.is_overwritten) == (GUID, prefix, False)


def test_fstab_names_uuids_in_every_form():
    """UUID=, by-uuid paths and PARTUUID= are told apart; comments are none."""
    text = (
        f"# / was on /dev/sda2\nUUID={GUID} / ext4 defaults 0 1\n"
        "/dev/disk/by-uuid/7A8C-9328 /boot/efi vfat\nPARTUUID=AB-01 /data ntfs x\n"
    )
    root, efi, data = host.parse_fstab(doc(text))
    assert (root.uuid, efi.uuid, data.uuid, data.partuuid) == (GUID, "7A8C-9328", None, "ab-01")


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("this live-session is in Legacy/BIOS/CSM mode (not in EFI mode).", "bios"),
        ("The firmware is set in EFI-mode for this live-session.", "uefi"),
        ("ls: cannot access '/sys/firmware/efi': No such file or directory", "bios"),
        ("config_table  efivars  fw_platform_size  runtime", "uefi"),
        ("64", "uefi"),
        ("nothing of the kind", None),
    ],
)
def test_the_firmware_mode(text, mode):
    """Reports' sentences and commands' outputs tell the mode; other text does not."""
    found = host.parse_firmware_mode(doc(text))
    assert (found[0] if found else None) == mode


@pytest.mark.parametrize(
    ("release", "family"),
    [
        ("ID=linuxmint\nID_LIKE=ubuntu\n", Family.UBUNTU),
        ('ID=linuxmint\nPRETTY_NAME="LMDE 6 (faye)"\n', Family.DEBIAN),
        ('ID=rocky\nID_LIKE="rhel centos fedora"\n', Family.FEDORA),
        ("ID=opensuse-leap\nID_LIKE=suse\n", Family.SUSE),
        ("ID=manjaro\nID_LIKE=arch\n", Family.ARCH),
        ("ID=haiku\n", Family.UNKNOWN),
    ],
)
def test_the_distribution_by_os_release(release, family):
    """Derived distributions behave as their parents; LMDE is Debian, not Mint."""
    names = os_release_names(host.parse_os_release(doc(release)))
    assert distribution_of_text(names).family is family


def test_boot_info_lists_files_over_several_lines():
    """Boot files go on until the next heading, each with its partition."""
    text = "sda1: ____\n\n    Boot files:        /bootmgr /Boot/BCD\n    /extra\n\nsda2: ____\n"
    assert [(f.device, f.path) for f in bootinfo.parse_boot_files(doc(text))] == [
        ("/dev/sda1", "/bootmgr"),
        ("/dev/sda1", "/boot/bcd"),
        ("/dev/sda1", "/extra"),
    ]


def test_thousands_separators_of_old_reports():
    """The numbers of an old boot-info table are read without their commas."""
    text = "/dev/sda2             1,024,000     1,228,799       204,800 EFI System partition\n"
    found = bootinfo_tables.parse_bootinfo_table(doc(text))[0].partitions[0]
    assert (found.start, found.size, found.type) == (1024000, 204800, PartitionType.ESP)


def test_malformed_os_prober_lines_do_not_stop_the_rest():
    """boot-repair's rewritten line is named, the others are read."""
    text = "/dev/sda6:The OS now in use - Ubuntu:linux\n/dev/sda1:Windows 10:Windows:chain\n"
    output = parse_os_prober(doc(text))
    assert [s.long for s in output.systems] == ["Windows 10"]
    assert [e.line for e in output.malformed] == [1]
