"""Verdicts on odd but real computers: no harmful advice, and nothing broken called healthy."""

from __future__ import annotations

import re

import pytest

from labkit.boot.chain import installed
from support.boot_inputs import (
    BLKID,
    EFIBOOTMGR,
    ESP_FILES,
    ESP_UUID,
    FDISK,
    FSTAB,
    GRUB_CFG,
    HEALTHY,
    ROOT_UUID,
    STUB,
    diagnosed,
    findings_by_rule,
    without_windows_entry,
)

LINUX_ENTRY, WINDOWS_ENTRY = EFIBOOTMGR.splitlines()[3:5]


def found(changes):
    """The first finding of each rule, for a healthy computer with these changes."""
    return findings_by_rule(diagnosed(HEALTHY | changes))


def commands(finding):
    """The lines of a fix that run as they stand."""
    return [line for line in finding.fix.split("\n") if line.startswith("sudo ")]


# --- the MBR that protects a GPT -----------------------------------------------------------------

PROTECTION = """\
Disk /dev/nvme0n1: 232.89 GiB, 250059350016 bytes, 488397168 sectors
Sector size (logical/physical): 512 bytes / 512 bytes
Disklabel type: dos
Disk identifier: 0x00000000

Device         Boot Start        End    Sectors   Size Id Type
/dev/nvme0n1p1          1 1000215215 1000215215 476.9G ee GPT
"""
OLD_FDISK = """\
WARNING: GPT (GUID Partition Table) detected on '/dev/nvme0n1'! The util fdisk doesn't support GPT.

Disk /dev/nvme0n1: 512.1 GB, 512110190592 bytes
255 heads, 63 sectors/track, 62260 cylinders, total 1000215216 sectors
Units = sectors of 1 * 512 = 512 bytes
Disk identifier: 0x00000000

        Device Boot      Start         End      Blocks   Id  System
/dev/nvme0n1p1               1  1000215215   500107607+  ee  GPT
"""


@pytest.mark.parametrize("table", [PROTECTION, OLD_FDISK], ids=["damaged", "old fdisk"])
def test_the_entry_that_protects_a_gpt_is_no_partition(table):
    """It is not joined with the first partition: neither re-typed nor compared with entries."""
    rules = found({"fdisk.txt": table})
    assert not {"E01", "N11", "E04"} & rules.keys()
    assert not any("--part-type" in finding.fix for finding in rules.values())


def test_a_damaged_gpt_comes_first_and_old_fdisk_shows_none():
    """A tool that reads GPT saw none there; fdisk before 2.23 cannot see one."""
    assert diagnosed(HEALTHY | {"fdisk.txt": PROTECTION}).root_causes[0] == "P03"
    assert "P03" not in found({"fdisk.txt": OLD_FDISK})
    assert "partition-table" not in diagnosed(HEALTHY | {"fdisk.txt": OLD_FDISK}).facts.topics


# --- where the ESP is, and what starts Linux -----------------------------------------------------

NO_GRUB = {"grub.cfg": None, "default_grub": None, "esp_ubuntu_grub.cfg": None}


def esp_on(folder):
    """The healthy computer with its ESP mounted elsewhere."""
    return {"fstab": FSTAB.replace("/boot/efi", folder)}


@pytest.mark.parametrize("folder", ["/boot", "/efi", "/boot/EFI", "/esp"])
def test_the_esp_may_be_mounted_anywhere(folder):
    """Arch and systemd-boot mount it on /boot: no second mount is advised."""
    assert diagnosed(HEALTHY | esp_on(folder) | {"esp_ubuntu_grub.cfg": None}).verdict == "healthy"


@pytest.mark.parametrize("folder", ["/boot", "/efi"])
def test_grub_is_installed_where_the_esp_is_mounted(folder):
    """Grub-install looks on /boot/efi by itself: another place is named."""
    gone = "".join(line for line in ESP_FILES.splitlines(True) if "ubuntu" not in line)
    fix = commands(found(esp_on(folder) | {"esp_files.txt": gone})["E03"])
    assert f"sudo mount UUID={ESP_UUID} /mnt{folder}" in fix
    assert f"sudo grub-install --target=x86_64-efi --efi-directory={folder}" in fix
    assert not any("/boot/efi" in line for line in fix)


def started_by(path, *files):
    """A computer without GRUB: its Linux entry starts `path`, and these files are on the ESP."""
    listed = "".join(f"/boot/EFI/{file}\n" for file in files)
    kept = "".join(line for line in ESP_FILES.splitlines(True) if "Microsoft" in line)
    return {
        **NO_GRUB,
        **esp_on("/boot"),
        "efibootmgr.txt": EFIBOOTMGR.replace("\\EFI\\ubuntu\\shimx64.efi", path),
        "esp_files.txt": kept.replace("/EFI", "/boot/EFI") + listed,
        "os-release": "ID=arch\n",
    }


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("\\EFI\\systemd\\systemd-bootx64.efi", "systemd/systemd-bootx64.efi"),
        ("\\EFI\\Linux\\arch.efi", "Linux/arch.efi"),
        ("\\vmlinuz-linux", "systemd/leftover.txt"),
        ("\\EFI\\refind\\refind_x64.efi", "refind/refind_x64.efi"),
    ],
)
def test_a_linux_without_grub_is_left_alone(path, file):
    """Nothing is wrong; GRUB is neither installed nor asked for, and its menu is not judged."""
    diagnosis = diagnosed(HEALTHY | started_by(path, file))
    assert not diagnosis.findings
    assert diagnosis.verdict == "no-verdict"
    assert not diagnosis.missing
    assert "labkit judges the menus of GRUB alone" in diagnosis.links[1].detail


def test_a_lost_systemd_boot_is_written_by_bootctl():
    """The fix of a lost loader is that loader's own, and never GRUB."""
    gone = started_by("\\EFI\\systemd\\systemd-bootx64.efi")
    fix = found(gone)["E03"].fix
    assert "sudo bootctl install --esp-path=/boot" in fix
    assert "grub" not in fix


def test_a_lost_unified_image_is_no_work_for_grub():
    """A kernel that the firmware starts is written by the kernel's package."""
    fix = found(started_by("\\EFI\\Linux\\arch.efi"))["E03"].fix
    assert "mkinitcpio" in fix
    assert "grub" not in fix


def test_an_esp_without_a_line_is_mounted_by_systemd():
    """Without GRUB systemd mounts the ESP by its type: a missing line is no fault."""
    bare = started_by("\\EFI\\systemd\\systemd-bootx64.efi", "systemd/systemd-bootx64.efi")
    alone = FSTAB.splitlines(True)[0]
    assert "E07" not in found(bare | {"fstab": alone})
    assert "E07" in found({"fstab": alone})


def test_after_a_formatted_esp_the_new_one_is_mounted():
    """Windows was installed again: fstab names the old ESP, the steps mount the one there is."""
    advice = found(
        {
            "blkid.txt": BLKID.replace(ESP_UUID, "AAAA-1111"),
            "esp_files.txt": "".join(x for x in ESP_FILES.splitlines(True) if "Micro" in x),
        }
    )
    fix = advice["E03"].fix
    assert "sudo mount UUID=AAAA-1111 /mnt/boot/efi" in fix
    assert fix.index("UUID=AAAA-1111 /boot/efi vfat") < fix.index("grub-install")
    assert ESP_UUID not in fix


WRONG_ESPS = ["/dev/nvme1n1p1", "LABEL=EFI", "PARTUUID=deadbeef-01", "UUID=BEC65C4DC65C07D3"]


@pytest.mark.parametrize("spec", WRONG_ESPS)
def test_whatever_names_the_esp_in_fstab_must_exist_and_be_fat(spec):
    """A device, a label, a PARTUUID: each is looked up, and an NTFS volume is no ESP."""
    assert "E07" in found({"fstab": FSTAB.replace(f"UUID={ESP_UUID}", spec)})


def test_a_full_root_is_not_told_as_a_full_esp():
    """The advice is about the file system that is full."""
    df = "/dev/nvme0n1p4  200G  200G  0  100% /\n/dev/nvme0n1p1  99M  30M  69M  38% /boot/efi\n"
    finding = found({"df.txt": df})["E08"]
    assert "root file system is full" in finding.message
    assert "/boot/efi" not in finding.fix


# --- a part of the firmware's list ---------------------------------------------------------------

ORDER = re.compile(r"efibootmgr -o ([0-9A-F,]+)")
MORE = EFIBOOTMGR.replace("0003,0004", "0004,0003,0005,2001")


def lines(text, count):
    """The first lines of a text."""
    return "".join(text.splitlines(True)[:count])


@pytest.mark.parametrize(
    "listed",
    [lines(EFIBOOTMGR, 4), lines(EFIBOOTMGR, 3), EFIBOOTMGR[: EFIBOOTMGR.index("\\Boot\\boot")]],
    ids=["without Windows", "without any", "in a line"],
)
def test_nothing_rests_on_what_a_cut_list_does_not_show(listed):
    """Neither system is missing, and no order is set from a part."""
    diagnosis = diagnosed(HEALTHY | {"efibootmgr.txt": listed})
    assert not {"N01", "N03", "M02"} & findings_by_rule(diagnosis).keys()
    assert not diagnosis.root_causes


def test_no_command_sets_an_order_without_entries_that_may_be_there():
    """N02 is seen in the part, but its order waits for the whole list; the old one is told."""
    advice = found({"efibootmgr.txt": MORE})["N02"]
    assert advice.confidence == "likely"
    assert not [line for line in commands(advice) if ORDER.search(line)]
    assert "0004,0003,0005,2001" in advice.undo


def test_every_order_keeps_every_entry():
    """Whatever is mended, the new order names each entry of the old one."""
    extra = PXE + EFIBOOTMGR.replace("0003,0004", "0004,0001,0003")
    changed = [
        {"efibootmgr.txt": extra},
        {"efibootmgr.txt": extra.replace(",0x800,", ",0x1000,")},
        {"efibootmgr.txt": extra.replace(WINDOWS_ENTRY, WINDOWS_ENTRY.replace("ae1d", "dead"))},
        {"efibootmgr.txt": extra.replace(WINDOWS_ENTRY + "\n", "").replace("0004,", "")},
    ]
    orders = [
        set(match[1].split(","))
        for changes in changed
        for finding in found(changes).values()
        for match in ORDER.finditer(finding.fix)
    ]
    assert len(orders) >= len(changed)
    assert all(order >= {"0001", "0003"} for order in orders)
    assert all("0004" in order for order in orders[:-1])


PXE = "Boot0001* EFI Network\tRC\n"


def test_an_entry_with_a_word_of_its_maker_instead_of_a_path_starts_no_system():
    """HP's firmware lists its stick and network as `RC`: Windows behind it is first."""
    listed = EFIBOOTMGR.replace("0003,0004", "0001,0004,0003") + PXE
    assert "N02" in found({"efibootmgr.txt": listed})


def test_secure_boot_has_accepted_what_it_started():
    """Keys of the user's own sign GRUB itself: the entry of this start is no unsigned one."""
    enabled = {"mokutil.txt": "SecureBoot enabled\n"}
    grub = EFIBOOTMGR.replace("shimx64", "grubx64")
    assert "S01" not in found(enabled | {"efibootmgr.txt": grub})


def test_an_entry_that_started_this_system_needs_no_successor():
    """Only the length differs, and the firmware goes by the GUID: a remark."""
    larger = {"efibootmgr.txt": EFIBOOTMGR.replace("0x32000", "0x64000")}
    diagnosis = diagnosed(HEALTHY | larger)
    moved = [r.finding for r in diagnosis.findings if r.finding.rule == "N11"]
    assert [finding.severity for finding in moved] == ["warn", "info"]
    assert all("length in sectors 409600, the table has 204800" in f.message for f in moved)


# --- what the screen shows -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "rule_id"),
    [
        (f"error: no such device: {ROOT_UUID}.\nEntering rescue mode...\ngrub rescue>\n", "C03"),
        ("GNU GRUB  version 2.12\nMinimal BASH-like line editing is supported.\ngrub>\n", "C05"),
        ("error: file `/boot/grub/x86_64-efi/normal.mod' not found.\ngrub rescue>\n", "C05"),
        ("error: unknown filesystem.\nEntering rescue mode...\ngrub rescue>\n", "C05"),
        ("File: \\EFI\\Microsoft\\Boot\\BCD\nError code: 0xc000000f\n", "W06"),
        ("error: chainloader.c:603: invalid EFI file path.\n", None),
    ],
)
def test_a_computer_that_shows_an_error_is_not_healthy(message, rule_id):
    """All files may look right: what the screen shows is the last word."""
    diagnosis = diagnosed(HEALTHY | {"message.txt": message})
    assert diagnosis.verdict != "healthy"
    assert diagnosis.links[-1].holds is False
    assert list(diagnosis.root_causes) == ([rule_id] if rule_id else [])


def test_a_rescue_prompt_gets_no_commands_that_it_does_not_know():
    """`search` and `configfile` are commands of the full prompt alone."""
    rescue = found({"message.txt": "error: unknown filesystem.\ngrub rescue>\n"})["C05"].fix
    full = found({"message.txt": "GNU GRUB version 2.12\ngrub>\n"})["C05"].fix
    assert "configfile" in full
    assert "configfile" not in rescue
    assert "sudo chroot /mnt" in rescue


def test_what_grub_says_and_goes_on_is_no_failed_start():
    """A sparse environment block or a missing video mode stops nothing."""
    said = "error: sparse file not allowed.\nerror: no suitable video mode found.\n"
    assert diagnosed(HEALTHY | {"message.txt": said}).verdict == "healthy"


# --- systems that were removed -------------------------------------------------------------------

WITHOUT_WINDOWS = {
    "fdisk.txt": "".join(x for x in FDISK.splitlines(True) if "Microsoft" not in x),
    "blkid.txt": "".join(x for x in BLKID.splitlines(True) if "p2:" not in x and "p3:" not in x),
}
WITHOUT_LINUX = {
    **NO_GRUB,
    "fdisk.txt": "".join(x for x in FDISK.splitlines(True) if "Linux" not in x),
    "blkid.txt": "".join(x for x in BLKID.splitlines(True) if "p4:" not in x),
    "fstab": None,
    "os-release": None,
}


def test_a_removed_windows_is_not_seen():
    """Its loader, its entry and its line in the menu are left: a remark, and Linux is healthy."""
    diagnosis = diagnosed(HEALTHY | WITHOUT_WINDOWS)
    assert diagnosis.verdict == "healthy"
    assert installed(diagnosis.facts) == ("Linux",)
    assert findings_by_rule(diagnosis)["C06"].severity == "info"


def test_a_removed_windows_is_not_missed():
    """Os-prober may stay off where there is nothing to find."""
    off = {"grub.cfg": without_windows_entry(), "default_grub": "GRUB_DISABLE_OS_PROBER=true\n"}
    assert found(off)["O01"].severity == "error"
    assert found(off | WITHOUT_WINDOWS)["O01"].severity == "info"


def test_a_windows_on_an_unseen_disk_is_not_removed():
    """Its entry names a partition of a disk that no list shows."""
    unseen = EFIBOOTMGR.replace(WINDOWS_ENTRY, WINDOWS_ENTRY.replace("ae1d65ea", "deadbeef"))
    diagnosis = diagnosed(HEALTHY | WITHOUT_WINDOWS | {"efibootmgr.txt": unseen})
    assert "Windows" in installed(diagnosis.facts)


def test_for_a_removed_linux_nothing_is_installed():
    """Its GRUB is started and finds no menu: Windows is put first, and no GRUB is installed."""
    stub = {"esp_ubuntu_grub.cfg": STUB}
    advice = found(WITHOUT_LINUX | stub)["C04"]
    assert commands(advice) == ["sudo efibootmgr -o 0004,0003"]
    assert "grub-install" not in advice.fix


def test_a_first_entry_of_a_removed_linux_is_not_healthy():
    """Also where nothing but the lists of partitions and of the firmware is given."""
    few = WITHOUT_LINUX | {"esp_files.txt": None}
    diagnosis = diagnosed(HEALTHY | few)
    assert diagnosis.root_causes == ("C04",)
    assert diagnosis.links[0].holds is False
    swapped = EFIBOOTMGR.replace("0003,0004", "0004,0003").replace("t: 0003", "t: 0004")
    assert diagnosed(HEALTHY | few | {"efibootmgr.txt": swapped}).verdict == "healthy"


# --- the menu and what leads to it ---------------------------------------------------------------


def test_a_stub_that_leads_to_windows_leads_nowhere():
    """Its UUID exists, and no menu of GRUB is on NTFS."""
    diagnosis = diagnosed(HEALTHY | {"esp_ubuntu_grub.cfg": STUB.replace(ROOT_UUID, NTFS_UUID)})
    assert diagnosis.root_causes[0] == "C04"
    assert "/dev/nvme0n1p3 (ntfs)" in findings_by_rule(diagnosis)["C04"].message


NTFS_UUID = "BEC65C4DC65C07D3"


def test_the_file_system_of_boot_is_the_one_that_fstab_names():
    """A /boot of its own is named, not the root, in whichever order they stand."""
    own = FSTAB + f"UUID={NTFS_UUID} /boot ext4 defaults 0 2\n"
    gone = {"esp_ubuntu_grub.cfg": STUB.replace("1ff43d80", "df91df17"), "fstab": own}
    assert f"/boot is on {NTFS_UUID}" in found(gone)["C04"].message


def test_an_entry_that_a_cut_menu_lacks_may_be_in_the_rest():
    """The file is open at its end: that Windows is not in it proves nothing."""
    cut = GRUB_CFG[: GRUB_CFG.index("linux /boot/vmlinuz-6.8")]
    rules = found({"grub.cfg": cut, "default_grub": "GRUB_DISABLE_OS_PROBER=true\n"})
    assert rules["C08"].confidence == "likely"
    assert "C01" not in rules
    assert rules["O01"].severity == "info"


def test_mint_probes_from_21_on():
    """Ubuntu's default depends on the release, that of Mint is on; LMDE follows Debian."""
    absent = {"grub.cfg": without_windows_entry(), "default_grub": "GRUB_DEFAULT=0\n"}
    mint = "ID=linuxmint\nID_LIKE=ubuntu\nVERSION_ID={}\n"
    assert "O01" not in found(absent | {"os-release": mint.format('"22"')})
    assert "O01" in found(absent | {"os-release": mint.format('"20.3"')})


def test_a_menu_that_the_environment_hides_is_no_fault_of_the_settings():
    """With menu_auto_hide=2 the hidden style follows from it."""
    text = "# GRUB Environment Block\nmenu_auto_hide=2\n"
    hidden = GRUB_CFG.replace("style=menu", "style=hidden").replace("out=5", "out=0")
    diagnosis = diagnosed(
        HEALTHY | {"grubenv": text + "#" * (1024 - len(text)), "grub.cfg": hidden}
    )
    assert diagnosis.root_causes == ("C10",)


def test_os_prober_in_legacy_mode_follows_from_the_mode():
    """It does not look for loaders of UEFI there."""
    legacy = {
        "firmware.txt": "bios\n",
        "efibootmgr.txt": "EFI variables are not supported on this system.\n",
        "os-prober.txt": "",
    }
    diagnosis = diagnosed(HEALTHY | legacy)
    assert diagnosis.root_causes == ("M01",)
    assert "O03" in findings_by_rule(diagnosis)


# --- a BIOS --------------------------------------------------------------------------------------

BIOS_TABLE = """\
Disk /dev/sda: 465.76 GiB, 500107862016 bytes, 976773168 sectors
Disklabel type: dos
Disk identifier: 0x9f1c22a7

Device     Boot     Start       End   Sectors   Size Id Type
/dev/sda1  *         2048   1026047   1024000   500M  7 HPFS/NTFS/exFAT
/dev/sda2         1026048 462376959 461350912   220G  7 HPFS/NTFS/exFAT
/dev/sda3       462376960 962376959 500000000 238.4G 83 Linux
"""
BIOS = {
    **dict.fromkeys(HEALTHY),
    "fdisk.txt": BIOS_TABLE,
    "mbr_summary.txt": " => Windows 7/8/10/11/2012 is installed in the MBR of /dev/sda.\n\n"
    "sda1: ____\n\n    File system:       ntfs\n    Boot sector type:  Windows 8/10: NTFS\n"
    "    Boot files:        /bootmgr /Boot/BCD\n",
    "fstab": "/dev/sda3 / ext4 defaults 0 1\n",
    "grub.cfg": GRUB_CFG,
    "os-release": HEALTHY["os-release"],
}


def test_windows_code_in_the_mbr_starts_no_grub():
    """GRUB is written into the MBR again, its old code saved before."""
    diagnosis = diagnosed(BIOS)
    assert diagnosis.root_causes[0] == "N02"
    advice = findings_by_rule(diagnosis)["N02"]
    assert "sudo grub-install /dev/sda" in commands(advice)
    assert "sudo dd if=/dev/sda of=mbr-sda.bin bs=440 count=1" in commands(advice)
    assert advice.undo == "sudo dd if=mbr-sda.bin of=/dev/sda bs=440 count=1"
    assert "efi" not in advice.fix


def test_a_bios_is_not_asked_for_what_uefi_has():
    """No list of the firmware and no ESP are asked for."""
    missing = diagnosed(BIOS | {"mbr_summary.txt": None}).missing
    assert not {"firmware-boot-list", "esp-files", "esp-stub"} & set(missing)


@pytest.mark.parametrize(
    ("flags", "undo"),
    [
        (
            {"/dev/sda1  *": "/dev/sda1   ", "/dev/sda3   ": "/dev/sda3  *"},
            "sudo sfdisk -A /dev/sda 3",
        ),
        ({"/dev/sda1  *": "/dev/sda1   "}, "sudo sfdisk -A /dev/sda -"),
    ],
    ids=["on Linux", "nowhere"],
)
def test_bootmgr_needs_the_active_flag(flags, undo):
    """Windows' MBR starts the active partition: another one, or none, starts no Windows."""
    table = BIOS_TABLE
    for old, new in flags.items():
        table = table.replace(old, new)
    advice = findings_by_rule(diagnosed(BIOS | {"fdisk.txt": table}))["P08"]
    assert commands(advice) == ["sudo sfdisk -A /dev/sda 1"]
    assert advice.undo == undo


# --- inputs that contradict each other -----------------------------------------------------------


@pytest.mark.parametrize(
    "listed",
    [
        BLKID.replace("nvme0n1", "nvme1n1"),
        BLKID.replace("nvme0n1", "nvme1n1") + '/dev/nvme0n1p9: UUID="5555-6666" TYPE="vfat"\n',
    ],
    ids=["another disk", "swapped"],
)
def test_disks_that_were_numbered_anew_are_not_joined(listed):
    """A table of one start and a list of another: no command names a disk, and none is healthy."""
    diagnosis = diagnosed(
        HEALTHY | {"blkid.txt": listed, "fdisk.txt": FDISK.replace("EFI System", "Linux swap")}
    )
    assert "name different partitions" in diagnosis.facts.unread[0].message
    assert diagnosis.verdict == "no-verdict"
    assert "E01" not in findings_by_rule(diagnosis)


def test_a_cut_table_contradicts_nothing():
    """A partition that only the list of file systems has was cut off the table."""
    cut = "".join(line for line in FDISK.splitlines(True) if "p4 " not in line)
    assert not diagnosed(HEALTHY | {"fdisk.txt": cut}).facts.unread


def test_what_cannot_be_read_is_a_link_that_is_not_seen():
    """`5 of 5 links seen` is no reason for `no verdict`."""
    refused = "find: '/boot/efi': Permission denied\n"
    diagnosis = diagnosed(HEALTHY | {"esp_files.txt": refused})
    assert diagnosis.verdict == "no-verdict"
    assert diagnosis.links[-1].name == "inputs"
    assert not diagnosis.links[-1].holds


def test_a_name_makes_no_esp_beside_a_proper_one():
    """A stick that is called `EFI tools` is a remark at most."""
    stick = """
Disk /dev/sdb: 28.65 GiB, 30765219840 bytes, 60088320 sectors
Disklabel type: gpt

Device     Start      End  Sectors  Size Type
/dev/sdb1   2048 60088286 60086239 28.7G Microsoft basic data
"""
    blkid = '/dev/sdb1: UUID="1111-2222" TYPE="vfat" PARTLABEL="EFI tools" PARTUUID="77"\n'
    listed = {"fdisk.txt": FDISK + stick, "blkid.txt": BLKID + blkid}
    assert found(listed)["E01"].severity == "info"


def test_the_grub_cfg_of_another_folder_says_nothing():
    """The folder that is started has its own, and that was not given."""
    files = ESP_FILES + "/EFI/debian/grub.cfg\n/EFI/debian/shimx64.efi\n/EFI/debian/grubx64.efi\n"
    other = EFIBOOTMGR.replace("\\ubuntu\\", "\\debian\\")
    diagnosis = diagnosed(HEALTHY | {"efibootmgr.txt": other, "esp_files.txt": files})
    assert diagnosis.facts.stub is None
    assert diagnosis.verdict == "no-verdict"


def test_bcdboot_is_told_which_of_two_esps_is_meant():
    """On the ESP of Linux it would replace the fallback loader."""
    second = """
Disk /dev/sdb: 28.65 GiB, 30765219840 bytes, 60088320 sectors
Disklabel type: gpt

Device     Start      End  Sectors  Size Type
/dev/sdb1   2048  1050623  1048576  512M EFI System
"""
    gone = "".join(x for x in ESP_FILES.splitlines(True) if "Micro" not in x)
    files = f"# /dev/nvme0n1p1\n/EFI/BOOT/BOOTX64.EFI\n# /dev/sdb1\n{gone}"
    blkid = BLKID + '/dev/sdb1: UUID="1111-2222" TYPE="vfat" PARTUUID="77"\n'
    two = {"fdisk.txt": FDISK + second, "blkid.txt": blkid, "esp_files.txt": files}
    assert "Windows' own is /dev/nvme0n1p1, 100 MiB" in found(two)["E02"].fix


def test_grub_in_a_boot_sector_is_started_by_the_mbr_of_windows():
    """The code of Windows starts the active partition, and there GRUB is: rule W05, not N02."""
    sectors = BIOS["mbr_summary.txt"].replace("Windows 8/10: NTFS", "Grub2 (v1.99-2.00)")
    rules = findings_by_rule(diagnosed(BIOS | {"mbr_summary.txt": sectors}))
    assert "W05" in rules
    assert "N02" not in rules


# --- what follows from whole lists ---------------------------------------------------------------


def test_a_restored_root_has_another_uuid():
    """Every partition's content is told, so the root that fstab names is gone, not cut off."""
    restored = BLKID.replace(ROOT_UUID, "99999999-d7a6-47b9-b0be-896f374c981f")
    assert {"C03", "C04"} <= found({"blkid.txt": restored}).keys()
    inside = restored.replace('TYPE="ext4"', 'TYPE="LVM2_member"')
    assert not {"C03", "C04"} & found({"blkid.txt": inside}).keys()


def test_an_installed_windows_that_the_menu_lacks_is_not_healthy():
    """Os-prober is on and found none; the firmware alone starts Windows."""
    files = {
        "grub.cfg": without_windows_entry(),
        "os-prober.txt": "",
        "esp_files.txt": "".join(x for x in ESP_FILES.splitlines(True) if "Micro" not in x),
        "fdisk.txt": FDISK.replace("Microsoft reserved", "EFI System"),
        "blkid.txt": BLKID.replace(
            'PARTLABEL="Microsoft', 'UUID="1111-2222" TYPE="vfat" PARTLABEL="'
        ),
    }
    diagnosis = diagnosed(HEALTHY | files)
    assert diagnosis.verdict == "no-verdict"
    assert "esp-files" in diagnosis.missing


def test_an_esp_that_was_formatted_is_not_only_mistyped():
    """The firmware's entries start files from it: it was the ESP; a look and a copy come first."""
    fix = found({"blkid.txt": BLKID.replace('TYPE="vfat"', 'TYPE="ext4"')})["E04"].fix
    order = [fix.index(word) for word in ("mount -o ro", "dd if=", "mkfs.vfat")]
    assert order == sorted(order)
    assert "--part-type" not in fix


def test_a_list_of_files_is_of_the_esp_that_is_mounted_there():
    """Of two ESPs, fstab tells which one `find /boot/efi` has listed."""
    files = ESP_FILES.replace("/EFI/", "/boot/efi/EFI/")
    listed = lines(EFIBOOTMGR, 3).replace("0003,0004", "0004") + WINDOWS_ENTRY + "\n"
    two = {
        "fdisk.txt": FDISK.replace("Microsoft reserved", "EFI System"),
        "esp_files.txt": files,
        "efibootmgr.txt": listed,
    }
    assert "-d /dev/nvme0n1 -p 1 -L ubuntu" in found(two)["N01"].fix


def test_a_linux_on_an_unlisted_disk_is_no_removed_one():
    """A stick, or a disk that no list shows, may hold it."""
    gone = {**WITHOUT_LINUX, "esp_files.txt": None}
    for line in (
        LINUX_ENTRY.replace("ae1d65ea", "deadbeef"),
        LINUX_ENTRY.replace("HD(", "PciRoot(0x0)/USB(3,0)/HD("),
    ):
        assert "C04" not in found(gone | {"efibootmgr.txt": EFIBOOTMGR.replace(LINUX_ENTRY, line)})
