"""When the chain may be called healthy: what was seen, and what forbids it."""

from __future__ import annotations

import pytest

from labkit.boot.chain import seen
from support.boot_inputs import (
    BLKID,
    DEFAULT_GRUB,
    EFIBOOTMGR,
    ESP_FILES,
    ESP_PARTUUID,
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
NO_WINDOWS_MENU = {"grub.cfg": without_windows_entry()}
PROBED = "/dev/nvme0n1p1@/EFI/Microsoft/Boot/bootmgfw.efi:Windows Boot Manager:Windows:efi\n"
USB = "Boot0001* UEFI: SanDisk\tPciRoot(0x0)/Pci(0x14,0x0)/USB(3,0)/HD(1,MBR,0x1,0x800,0x3b)\n"
PXE = "Boot0001* PXE\tPciRoot(0x0)/Pci(0x1f,0x6)/MAC(001122334455,0)/IPv4(0.0.0.0)\n"


def environment(line):
    """An environment block with one line."""
    text = f"# GRUB Environment Block\n{line}\n"
    return text + "#" * (1024 - len(text))


def links(diagnosis):
    """Link -> whether it holds."""
    return {link.name: link.holds for link in diagnosis.links}


def test_a_whole_set_shows_every_link():
    """With all inputs each link of the chain is seen to hold."""
    diagnosis = diagnosed(HEALTHY)
    assert links(diagnosis) == dict.fromkeys(
        ("firmware", "esp-stub", "menu", "windows", "default"), True
    )
    assert len(seen(diagnosis.links)) == 5


@pytest.mark.parametrize("name", ["efibootmgr.txt", "grub.cfg", "blkid.txt"])
def test_without_a_deciding_input_there_is_no_verdict(name):
    """What the firmware starts, the menu and the file systems are each needed for a verdict."""
    assert diagnosed(HEALTHY | {name: None}).verdict == "no-verdict"


def test_a_menu_alone_is_no_verdict():
    """A grub.cfg says nothing about what leads to it, nor whether its file systems exist."""
    diagnosis = diagnosed({"grub.cfg": GRUB_CFG})
    assert diagnosis.verdict == "no-verdict"
    assert links(diagnosis)["menu"] is None
    assert links(diagnosis)["firmware"] is None


def test_what_was_not_seen_is_known_with_what_shows_it():
    """Without the stub the verdict stands, and the link names the input that shows it."""
    diagnosis = diagnosed(HEALTHY | {"esp_ubuntu_grub.cfg": None})
    assert diagnosis.verdict == "healthy"
    unseen = [link for link in diagnosis.links if not link.holds]
    assert [link.name for link in unseen] == ["esp-stub"]
    assert unseen[0].lacks(diagnosis.facts) == ("esp-stub",)


def test_a_session_after_the_last_start_proves_the_way_to_the_menu():
    """Fedora's boot_success=1 is written by a session that this GRUB led to; 0 proves nothing."""
    files = {"grub.cfg": GRUB_CFG, "grubenv": environment("boot_success=1")}
    assert diagnosed(files).verdict == "healthy"
    files["grubenv"] = environment("boot_success=0")
    assert diagnosed(files).verdict == "no-verdict"


def test_an_entry_proves_itself_by_having_started_or_by_its_loader():
    """From a live medium an active entry says nothing about a formatted ESP: its files do."""
    live = HEALTHY | {
        "efibootmgr.txt": EFIBOOTMGR.replace("BootCurrent: 0003", "BootCurrent: 0001")
    }
    assert links(diagnosed(live))["firmware"] is True
    unlisted = diagnosed(live | {"esp_files.txt": None})
    assert links(unlisted)["firmware"] is None
    assert unlisted.verdict == "no-verdict"
    assert unlisted.missing[0].value == "esp-files"
    assert diagnosed(HEALTHY | {"esp_files.txt": None}).verdict == "healthy"
    elsewhere = live["efibootmgr.txt"].replace(ESP_PARTUUID, "0" + ESP_PARTUUID[1:])
    assert links(diagnosed(live | {"efibootmgr.txt": elsewhere}))["firmware"] is None


def test_an_input_that_leaves_its_link_open_forbids_the_verdict():
    """os-prober agrees, but the firmware's list was given and has no Windows: not healthy."""
    windows_alone = {
        "fdisk.txt": FDISK.replace("Linux filesystem", "Microsoft basic data"),
        "blkid.txt": BLKID.replace('TYPE="ext4"', 'TYPE="ntfs"'),
        "os-prober.txt": PROBED,
    }
    assert diagnosed(windows_alone).verdict == "healthy"
    assert list(links(diagnosed(windows_alone))) == ["firmware", "windows"]
    empty = EFIBOOTMGR.replace(WINDOWS_ENTRY, "").replace(LINUX_ENTRY, PXE)
    assert diagnosed(windows_alone | {"efibootmgr.txt": empty}).verdict == "no-verdict"


def test_a_loader_that_carries_its_own_lines_needs_no_stub():
    """Arch's GRUB has no grub.cfg on the ESP; a signed one, beside shim, cannot do without."""
    listing = ESP_FILES.replace("/EFI/ubuntu/grub.cfg\n", "")
    files = HEALTHY | {"esp_files.txt": listing, "esp_ubuntu_grub.cfg": None}
    assert links(diagnosed(files))["esp-stub"] is False
    assert diagnosed(files).verdict == "no-verdict"
    files["esp_files.txt"] = listing.replace("/EFI/ubuntu/shimx64.efi\n", "")
    files["efibootmgr.txt"] = EFIBOOTMGR.replace("shimx64", "grubx64")
    assert "esp-stub" not in links(diagnosed(files))
    assert diagnosed(files).verdict == "healthy"


@pytest.mark.parametrize(
    "listing",
    [
        ESP_FILES.replace("/EFI/ubuntu/shimx64.efi\n", ""),
        ESP_FILES.replace("/ubuntu/", "/debian/"),
        "/EFI/Microsoft/Boot/bootmgfw.efi\n/EFI/Microsoft/Boot/BCD\n/EFI/BOOT/BOOTX64.EFI\n",
    ],
)
def test_a_firmware_entry_without_its_loader_is_found(listing):
    """The entry starts a file that the ESP does not have: E03, whatever else is there."""
    diagnosis = diagnosed(HEALTHY | {"esp_files.txt": listing})
    assert diagnosis.root_causes == ("E03",)
    assert "shimx64.efi" in findings_by_rule(diagnosis)["E03"].message
    assert links(diagnosis)["firmware"] is False


def test_a_second_entry_without_its_loader_is_a_remark():
    """The leftover of a removed distribution harms nobody while another entry works."""
    left = LINUX_ENTRY.replace("0003", "0009").replace("ubuntu\\", "debian\\")
    diagnosis = diagnosed(HEALTHY | {"efibootmgr.txt": f"{EFIBOOTMGR}{left}\n"})
    assert findings_by_rule(diagnosis)["E03"].severity == "info"
    assert diagnosis.verdict == "healthy"


@pytest.mark.parametrize(
    ("listing", "confidence"),
    [
        ("# /dev/nvme0n1p1\n", "certain"),
        ("", "likely"),
        ("/boot/efi\n/boot/efi/EFI\n", "certain"),
        ("/boot/efi:\ntotal 0\n", "certain"),
    ],
)
def test_a_wiped_esp_is_found(listing, confidence):
    """An empty list of files is an answer; where nothing is printed, the folder may be denied."""
    diagnosis = diagnosed(HEALTHY | {"esp_files.txt": listing} | NO_WINDOWS_MENU)
    found = findings_by_rule(diagnosis)
    assert {"E02", "E03"} <= set(diagnosis.root_causes)
    assert found["E03"].confidence == confidence


@pytest.mark.parametrize("first", [USB, PXE])
def test_windows_first_is_found_behind_a_stick_or_the_network(first):
    """What starts nothing without a medium does not hide that Windows comes before Linux."""
    order = EFIBOOTMGR.replace("0003,0004", "0001,0004,0003") + first
    found = findings_by_rule(diagnosed(HEALTHY | {"efibootmgr.txt": order}))
    assert "efibootmgr -o 0001,0003,0004" in found["N02"].fix.split("\n")[0]


def test_linux_outside_the_boot_order_is_found():
    """An active entry that BootOrder does not name is never started by itself."""
    order = EFIBOOTMGR.replace("0003,0004", "0004")
    found = findings_by_rule(diagnosed(HEALTHY | {"efibootmgr.txt": order}))
    assert "not in BootOrder" in found["N02"].message
    assert "efibootmgr -o 0003,0004" in found["N02"].fix.split("\n")[0]


def test_a_menu_older_than_what_os_prober_finds_is_stale():
    """os-prober finds Windows and grub.cfg lacks it: run the update command."""
    for files in (
        HEALTHY | NO_WINDOWS_MENU | {"os-prober.txt": PROBED},
        HEALTHY | NO_WINDOWS_MENU,
    ):
        diagnosis = diagnosed(files)
        assert diagnosis.root_causes == ("C01",)
        assert findings_by_rule(diagnosis)["C01"].severity == "error"
        assert "update-grub" in findings_by_rule(diagnosis)["C01"].fix


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"default_grub": DEFAULT_GRUB + "GRUB_DISABLE_OS_PROBER=true\n"}, "O01"),
        ({"fdisk.txt": FDISK.replace("EFI System", "Microsoft basic data")}, "E01"),
        ({"packages.txt": "ii  grub-pc-bin 2.06\nun  os-prober <none>\n"}, "O02"),
        ({"esp_files.txt": ESP_FILES.replace("Boot/BCD", "Boot/BOOTSTAT.DAT")}, "E05"),
    ],
)
def test_a_stale_menu_is_no_cause_beside_what_keeps_windows_out(more, cause):
    """Where an update would not bring Windows back, that is the cause."""
    assert diagnosed(HEALTHY | NO_WINDOWS_MENU | more).root_causes[0] == cause
    roots = diagnosed(HEALTHY | NO_WINDOWS_MENU | more).root_causes
    assert "C01" not in roots


MBR_DUAL = """\
Disk /dev/sda: 465.76 GiB, 500107862016 bytes, 976773168 sectors
Disklabel type: dos
Disk identifier: 0x2bd2c32a

Device     Boot     Start       End   Sectors   Size Id Type
/dev/sda1  *         2048   1026047   1024000   500M  7 HPFS/NTFS/exFAT
/dev/sda2         1026048 461590527 460564480 219.6G  7 HPFS/NTFS/exFAT
/dev/sda3       461590528 976773119 515182592 245.7G 83 Linux
"""
MBR_BLKID = f"""\
/dev/sda1: LABEL="System Reserved" UUID="8C72842A72841B5A" TYPE="ntfs" PARTUUID="2bd2c32a-01"
/dev/sda2: UUID="DE5C84F65C84CAAB" TYPE="ntfs" PARTUUID="2bd2c32a-02"
/dev/sda3: UUID="{ROOT_UUID}" TYPE="ext4" PARTUUID="2bd2c32a-03"
"""
LEGACY = {
    "fdisk.txt": MBR_DUAL,
    "blkid.txt": MBR_BLKID,
    "fstab": FSTAB.splitlines(keepends=True)[0],
    "default_grub": DEFAULT_GRUB,
    "os-release": HEALTHY["os-release"],
    "firmware.txt": "bios\n",
    "grub.cfg": without_windows_entry(),
}


def test_a_legacy_windows_is_recognised():
    """On an MBR disk there is no ESP: the active flag, the label and NTFS show Windows."""
    diagnosis = diagnosed(LEGACY)
    assert diagnosis.facts.legacy_windows
    assert diagnosis.root_causes == ("C01",)
    off = LEGACY | {"default_grub": DEFAULT_GRUB.replace("=false", "=true")}
    assert diagnosed(off).root_causes == ("O01",)
    assert "E02" not in findings_by_rule(diagnosed(LEGACY | {"firmware.txt": None}))


def test_a_legacy_windows_beside_a_uefi_linux_is_m02():
    """A UEFI GRUB cannot start a Windows on an MBR disk."""
    second = MBR_DUAL.replace("sda", "sdb").replace("83 Linux", " 7 HPFS/NTFS/exFAT")
    linux = FDISK.replace("Microsoft basic data", "Linux filesystem")
    files = (
        HEALTHY
        | NO_WINDOWS_MENU
        | {
            "fdisk.txt": linux.replace("Microsoft reserved", "Linux swap") + "\n" + second,
            "efibootmgr.txt": EFIBOOTMGR.replace(WINDOWS_ENTRY, "").replace(",0004", ""),
            "esp_files.txt": ESP_FILES.replace("/EFI/Microsoft/Boot/bootmgfw.efi\n", ""),
            "blkid.txt": BLKID.replace('TYPE="ntfs"', 'TYPE="ext4"'),
        }
    )
    assert diagnosed(files).root_causes == ("M02",)


def test_a_data_disk_with_ntfs_is_no_windows():
    """An NTFS partition without a sign of Windows, or alone on a second disk, is data."""
    data = MBR_DUAL.replace("*", " ")
    unlabelled = MBR_BLKID.replace('LABEL="System Reserved" ', "")
    files = LEGACY | {"fdisk.txt": data, "blkid.txt": unlabelled}
    assert not diagnosed(files).facts.windows_evidence
    alone = "".join(line for line in MBR_DUAL.splitlines(keepends=True) if "sda2" not in line)
    alone = "".join(line for line in alone.splitlines(keepends=True) if "sda3" not in line)
    beside = {"fdisk.txt": FDISK + "\n" + alone, "blkid.txt": BLKID}
    assert not diagnosed(beside).facts.legacy_windows


def test_a_bios_chain_has_no_stub():
    """A BIOS reads boot sectors: what is asked for is a report of them, not the ESP's files."""
    diagnosis = diagnosed(LEGACY)
    assert "esp-stub" not in links(diagnosis)
    firmware = diagnosis.links[0]
    assert firmware.lacks(diagnosis.facts) == ("boot-sectors",)


@pytest.mark.parametrize(
    ("stub", "fstab", "fires"),
    [
        ("/boot/grub", "UUID={root} / ext4 defaults 0 1\n", False),
        ("/grub", "UUID={root} / ext4 defaults 0 1\n", True),
        ("/grub", "UUID={root} /boot ext4 defaults 0 1\n/dev/sda9 / ext4 defaults 0 1\n", False),
        ("/boot/grub", "UUID={root} /boot ext4 defaults 0 1\n/dev/sda9 / ext4 x 0 1\n", True),
        ("/grub", "PARTUUID={part} / ext4 defaults 0 1\n", True),
        ("/boot/grub", "PARTUUID={part} /boot ext4 defaults 0 1\n", True),
        ("/@/boot/grub", "UUID={root} / btrfs subvol=@ 0 0\n", False),
        ("/boot/grub", "UUID={root} / btrfs x\nUUID={root} /boot btrfs subvol=boot\n", False),
        ("/grub", "UUID=4a4a4a4a-0000-4000-8000-000000000000 / ext4 defaults 0 1\n", False),
    ],
)  # fmt: skip
def test_the_stubs_prefix_is_judged_by_where_boot_is(stub, fstab, fires):
    """`/grub` fits a /boot of its own, `/boot/grub` one on the root; subvolumes have any path."""
    part = "cd4e7757-36a0-42d1-9ec6-e0e64d6edfb9"
    files = HEALTHY | {
        "esp_ubuntu_grub.cfg": STUB.replace("/boot/grub", stub),
        "fstab": fstab.format(root=ROOT_UUID, part=part),
    }
    assert ("C05" in findings_by_rule(diagnosed(files))) is fires


BLS_MENU = (
    GRUB_CFG[: GRUB_CFG.index("menuentry 'Ubuntu'")]
    + "blscfg\n"
    + GRUB_CFG[GRUB_CFG.index("### END /etc/grub.d/10_linux") :]
)


def test_a_menu_of_entry_files_needs_them():
    """Fedora's entries are not in grub.cfg: without them, or a good start, nothing is proved."""
    fedora = HEALTHY | {"grub.cfg": BLS_MENU, "os-release": "ID=fedora\nVERSION_ID=40\n"}
    lacking = diagnosed(fedora)
    assert links(lacking)["default"] is None
    assert lacking.verdict == "no-verdict"
    entry = "title Fedora Linux (6.9) 40\nversion 6.9\nlinux /vmlinuz-6.9\n"
    assert diagnosed(fedora | {"loader/entries/a-6.9.conf": entry}).verdict == "healthy"
    assert diagnosed(fedora | {"grubenv": environment("boot_success=1")}).verdict == "healthy"


def test_a_shim_without_its_grub_is_found():
    """A shim starts GRUB from its own folder; fwupd's entry names another second stage."""
    listing = ESP_FILES.replace("/EFI/ubuntu/grubx64.efi\n", "")
    diagnosis = diagnosed(HEALTHY | {"esp_files.txt": listing})
    assert findings_by_rule(diagnosis)["E03"].severity == "error"
    assert links(diagnosis)["firmware"] is False
    fwupd = LINUX_ENTRY.replace("0003", "0007") + "\\.f.w.u.p.d.x.6.4...e.f.i."
    more = {"efibootmgr.txt": f"{EFIBOOTMGR}{fwupd}\n"}
    assert "E03" not in findings_by_rule(diagnosed(HEALTHY | more))


@pytest.mark.parametrize("number", [1, 2])
def test_a_stub_that_does_not_load_the_menu_is_not_seen_to(number):
    """Its UUID alone is not enough: a line sets the prefix, another loads the menu."""
    cut = "".join(line for i, line in enumerate(STUB.splitlines(keepends=True)) if i != number)
    diagnosis = diagnosed(HEALTHY | {"esp_ubuntu_grub.cfg": cut})
    assert links(diagnosis)["esp-stub"] is None
    assert diagnosis.verdict == "no-verdict"


def test_a_root_that_is_gone_is_found_in_the_kernels_line():
    """GRUB finds the kernel, and the kernel does not find its root."""
    gone = GRUB_CFG.replace(f"root=UUID={ROOT_UUID}", f"root=UUID={ROOT_UUID[:-1]}0")
    found = findings_by_rule(diagnosed(HEALTHY | {"grub.cfg": gone}))
    assert "gives the kernel the root" in found["C03"].message
    assert found["C03"].evidence[0].line == 18


def test_an_fstab_of_another_root_leaves_the_menu_open():
    """Lists that contradict each other prove nothing."""
    other = FSTAB.replace(ROOT_UUID, f"{ROOT_UUID[:-1]}0")
    assert diagnosed(HEALTHY | {"fstab": other}).verdict == "no-verdict"


def test_a_menu_entry_whose_loader_is_elsewhere_is_found():
    """Windows is on the ESP, but not where the entry looks: error without another, else warn."""
    moved = GRUB_CFG.replace("/EFI/Microsoft/Boot/bootmgfw.efi", "/EFI/Windows/bootmgfw.efi")
    found = findings_by_rule(diagnosed(HEALTHY | {"grub.cfg": moved}))
    assert found["C06"].severity == "error"
    second = moved + GRUB_CFG[GRUB_CFG.index("menuentry 'Windows") :].replace("osprober", "own")
    found = findings_by_rule(diagnosed(HEALTHY | {"grub.cfg": second}))
    assert found["C06"].severity == "warn"
    gone = "".join(line for line in ESP_FILES.splitlines(keepends=True) if "Micro" not in line)
    assert diagnosed(HEALTHY | {"esp_files.txt": gone}).root_causes == ("E02",)


def test_a_wiped_esp_is_found_in_a_report():
    """boot-info looked into the ESP and lists no file; what it could not mount is not judged."""
    section = (
        "sda1:\n    File system:       ntfs\n    Boot sector type:  Windows 8: NTFS\n"
        "nvme0n1p1:\n    File system:       vfat\n    Boot sector type:  FAT32\n"
    )
    report = HEALTHY | {"esp_files.txt": None, "mbr_summary.txt": f"{section}    Boot files:\n"}
    found = findings_by_rule(diagnosed(report))
    assert {"E02", "E03"} <= found.keys()
    assert found["E03"].evidence[0].text == "Boot files:"
    report["mbr_summary.txt"] = f"{section}    Mounting failed:   mount: wrong fs type\n"
    assert "E03" not in findings_by_rule(diagnosed(report))
