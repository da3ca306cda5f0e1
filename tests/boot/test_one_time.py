"""Starting Windows once: which way suits the computer, and which entry is meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.boot.bundle import bundle_of
from labkit.boot.documents import Document
from labkit.boot.environment_place import unwritable_place
from labkit.boot.grub_cfg import parse_grub_cfg
from labkit.boot.join import join
from labkit.boot.one_time import GrubWay, plan_one_time_start, uses_bitlocker
from labkit.boot.parse.efibootmgr import parse_efibootmgr
from labkit.boot.via import Via
from labkit.errors import RefusedError, UnmetError, UsageError
from support.boot_inputs import BLKID, EFIBOOTMGR, FDISK, HEALTHY, ROOT_UUID

GRUB = GrubWay(parse_grub_cfg(HEALTHY["grub.cfg"]))
BITLOCKER = BLKID.replace('TYPE="ntfs"', 'TYPE="BitLocker"')
WINDOWS = next(line for line in EFIBOOTMGR.splitlines() if "Windows" in line)
SECOND = WINDOWS.replace("Boot0004", "Boot0007").replace("ae1d65ea", "bbbbbbbb")


def firmware(text=EFIBOOTMGR):
    """Read a firmware list."""
    return parse_efibootmgr(Document.of("efibootmgr.txt", text))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((FDISK, BITLOCKER), True),
        ((BITLOCKER,), True),
        ((FDISK, BLKID), False),
        ((FDISK,), None),
        ((EFIBOOTMGR,), None),
        ((BLKID.splitlines()[3] + "\n",), None),
    ],
)
def test_bitlocker_is_seen_excluded_or_not_known(texts, expected):
    """Only a list of file systems that shows Windows' volume can exclude it."""
    documents = [Document.of(f"{number}.txt", text) for number, text in enumerate(texts)]

    assert uses_bitlocker(join(bundle_of("x", documents))) is expected


@pytest.mark.parametrize(
    ("bitlocker", "way"), [(True, Via.FIRMWARE), (False, Via.GRUB), (None, Via.FIRMWARE)]
)
def test_the_way_that_suits_follows_from_bitlocker(bitlocker, way):
    """Where BitLocker may be in use, Windows starts as it starts by itself."""
    start = plan_one_time_start("windows", grub=GRUB, firmware=firmware(), bitlocker=bitlocker)

    assert (start.via, start.suits) == (way, way)
    other = Via.GRUB if way is Via.FIRMWARE else Via.FIRMWARE
    chosen = plan_one_time_start(
        "windows", via=other, grub=GRUB, firmware=firmware(), bitlocker=bitlocker
    )
    assert (chosen.via, chosen.suits) == (other, way)


def test_each_way_has_its_command():
    """By id in GRUB's menu, by number in the firmware's list."""
    by_grub = plan_one_time_start("windows", via=Via.GRUB, grub=GRUB)
    by_firmware = plan_one_time_start("windows", via=Via.FIRMWARE, firmware=firmware())

    assert by_grub.command == "sudo grub-reboot osprober-efi-7A8C-9328 && sudo systemctl reboot"
    assert by_firmware.command == "sudo efibootmgr --bootnext 0004 && sudo systemctl reboot"


def test_the_way_that_is_known_is_taken():
    """Without one of the two inputs the other decides."""
    assert plan_one_time_start("windows", grub=GRUB).via is Via.GRUB
    assert plan_one_time_start("windows", firmware=firmware()).via is Via.FIRMWARE


def test_bitlocker_without_a_firmware_list_asks_for_it():
    """The other way is taken only when it is asked for."""
    with pytest.raises(UnmetError, match="firmware's list is not known"):
        plan_one_time_start("windows", grub=GRUB, bitlocker=True)
    assert plan_one_time_start("windows", via=Via.GRUB, grub=GRUB, bitlocker=True).suits is (
        Via.FIRMWARE
    )


@pytest.mark.parametrize("via", [None, Via.FIRMWARE])
def test_several_windows_entries_are_listed(via):
    """Never the first in silence: both are named, and one can be chosen by its number."""
    two = firmware(f"{EFIBOOTMGR}{SECOND}\n")

    with pytest.raises(UsageError, match=r"Boot0004.*Boot0007") as caught:
        plan_one_time_start("windows", via=via, grub=GRUB, firmware=two)
    assert "once Boot0004" in caught.value.hint
    chosen = plan_one_time_start("Boot0007", via=Via.FIRMWARE, firmware=two)
    assert "--bootnext 0007" in chosen.command


def test_doubles_of_one_entry_are_no_question():
    """They start the same file; the first is taken, and all are named."""
    double = WINDOWS.replace("Boot0004", "Boot0007")
    start = plan_one_time_start("windows", firmware=firmware(f"{EFIBOOTMGR}{double}\n"))

    assert "--bootnext 0004" in start.command
    assert "Boot0007" in start.note


def test_an_entry_that_is_switched_off_comes_last():
    """Firmware may skip it: one that is on goes before it, and alone it is told."""
    off = WINDOWS.replace("Boot0004*", "Boot0004 ")
    alone = firmware(EFIBOOTMGR.replace(WINDOWS, off))
    both = firmware(EFIBOOTMGR.replace(WINDOWS, f"{off}\n{SECOND}"))

    assert "switched off" in plan_one_time_start("windows", firmware=alone).note
    assert "--bootnext 0007" in plan_one_time_start("windows", firmware=both).command


def test_a_legacy_computer_has_no_firmware_list():
    """GRUB is the way there."""
    legacy = firmware("EFI variables are not supported on this system.\n")

    assert plan_one_time_start("windows", grub=GRUB, firmware=legacy).via is Via.GRUB
    with pytest.raises(UnmetError, match="not started by UEFI"):
        plan_one_time_start("windows", via=Via.FIRMWARE, firmware=legacy)


ON_BTRFS = "UUID=1ff43d80 / btrfs subvol=@ 0 0\n"
ON_LVM = "/dev/mapper/vg-root / ext4 defaults 0 1\n"


@pytest.mark.parametrize(
    ("fstab", "module", "block", "place"),
    [
        (ON_BTRFS, "ext2", {}, "btrfs"),
        (ON_BTRFS, "ext2", {"env_block": "256+1"}, None),
        (ON_BTRFS + "UUID=2 /boot ext4 defaults 0 2\n", "ext2", {}, None),
        (ON_BTRFS + "/boot/efi/grub /boot/grub none bind 0 0\n", "zfs", {}, None),
        (ON_LVM, "ext2", {}, "/dev/mapper/vg-root"),
        ("/dev/md0 / ext4 defaults 0 1\n", "ext2", {}, "RAID (/dev/md0)"),
        (f"UUID={ROOT_UUID} / ext4 defaults 0 1\n", "ext2", {}, None),
        ("", "zfs", {}, "zfs"),
        ("", "lvm", {}, "LVM"),
        ("", "mdraid1x", {}, "RAID"),
        ("", "ext2", {}, None),
        ("", "luks", {}, None),
    ],
)
def test_where_grub_cannot_write_is_known(fstab, module, block, place):
    """By fstab, and by what the menu's own Linux entry loads; GRUB's own folder comes first."""
    cfg = parse_grub_cfg(HEALTHY["grub.cfg"].replace("\tlinux", f"\tinsmod {module}\n\tlinux", 1))
    facts = join(bundle_of("x", [Document.of("fstab", fstab)]))

    assert unwritable_place(facts, cfg, block) == place


def test_what_luks_maps_can_be_written():
    """GRUB writes through LUKS, not through LVM."""
    fstab = Document.of("fstab", "/dev/mapper/cr_root / ext4 defaults 0 1\n")
    for fstype, expected in (("crypto_LUKS", None), ("LVM2_member", "LVM (/dev/mapper/cr_root)")):
        blkid = Document.of("blkid.txt", BLKID.replace('"ext4"', f'"{fstype}"'))
        facts = join(bundle_of("x", [fstab, blkid]))

        assert unwritable_place(facts, GRUB.cfg) == expected


def test_grub_is_refused_where_it_could_not_clear_the_choice():
    """It would start Windows for ever: the firmware does it, and its command is the hint."""
    stuck = replace(GRUB, unwritable="btrfs")

    start = plan_one_time_start("windows", grub=stuck, firmware=firmware(), bitlocker=False)
    assert (start.via, start.suits) == (Via.FIRMWARE, Via.FIRMWARE)
    assert "btrfs" in start.reason
    with pytest.raises(RefusedError, match="every time") as caught:
        plan_one_time_start("windows", via=Via.GRUB, grub=stuck, firmware=firmware())
    assert "sudo efibootmgr --bootnext 0004" in caught.value.hint
    with pytest.raises(RefusedError) as caught:
        plan_one_time_start("windows", grub=stuck)
    assert "--efibootmgr" in caught.value.hint
    legacy = firmware("EFI variables are not supported on this system.\n")
    with pytest.raises(RefusedError) as caught:
        plan_one_time_start("windows", grub=stuck, firmware=legacy)
    assert "menu show" in caught.value.hint


@pytest.mark.parametrize(
    ("order", "way", "note"),
    [("0004,0003", Via.FIRMWARE, "first, not GRUB"), ("0003", Via.GRUB, "")],
)
def test_grub_does_not_suit_where_the_firmware_passes_it_by(order, way, note):
    """Where Windows or rEFInd is first, GRUB would not see its choice: it is told with it."""
    listed = firmware(EFIBOOTMGR.replace("0003,0004", order))

    assert plan_one_time_start("windows", grub=GRUB, firmware=listed, bitlocker=False).via is way
    by_grub = plan_one_time_start("windows", via=Via.GRUB, grub=GRUB, firmware=listed)
    assert note in by_grub.note
    assert bool(by_grub.note) is bool(note)
