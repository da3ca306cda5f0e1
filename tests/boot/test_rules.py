"""Each rule fires on the fault that it is about, and is silent on the healthy computer."""

from __future__ import annotations

import pytest

from labkit.boot.facts import Facts
from labkit.boot.findings import Severity
from labkit.boot.rules import RULES, find_rule
from labkit.boot.rules.base import Effect, Hit, rule
from labkit.boot.topics import Topic
from labkit.errors import UsageError
from support.boot_inputs import (
    BLKID,
    DEFAULT_GRUB,
    EFIBOOTMGR,
    ESP_FILES,
    ESP_PARTUUID,
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

NO_WINDOWS_MENU = {"grub.cfg": without_windows_entry()}
LOG = "Generating grub configuration file ...\nFound linux image: /boot/vmlinuz-6.8.0-1\n"
PROBING = "Warning: os-prober will be executed to detect other bootable partitions.\n"
LINUX_ENTRY, WINDOWS_ENTRY = EFIBOOTMGR.splitlines()[3:5]
ENV_HEADER = "# GRUB Environment Block\n"


def environment(*lines, size=1024):
    """An environment block with `lines`."""
    text = ENV_HEADER + "".join(f"{line}\n" for line in lines)
    return text + "#" * (size - len(text))


def settings(*lines):
    """The settings file with `lines` behind its own."""
    return DEFAULT_GRUB + "".join(f"{line}\n" for line in lines)


def menu_with_default(value):
    """The settings and the menu that they give, with another default."""
    return {
        "default_grub": DEFAULT_GRUB.replace("GRUB_DEFAULT=0", f"GRUB_DEFAULT='{value}'"),
        "grub.cfg": GRUB_CFG.replace('set default="0"', f'set default="{value}"'),
    }


MBR = """\
Disk /dev/sda: 465.76 GiB, 500107862016 bytes, 976773168 sectors
Disklabel type: dos
Disk identifier: 0x2bd2c32a

Device     Boot     Start       End   Sectors   Size Id Type
/dev/sda1            2048   1026047   1024000   500M  7 HPFS/NTFS/exFAT
/dev/sda2  *      1026048 976773119 975747072 465.3G 83 Linux
"""
SECOND_DISK = """
Disk /dev/sdb: 931.51 GiB, 1000204886016 bytes, 1953525168 sectors
Disklabel type: gpt
Disk identifier: 11111111-51DF-4FDC-9767-B78649431F5A

Device     Start        End    Sectors   Size Type
/dev/sdb1   2048 1953525134 1953523087 931.5G {type}
"""

CASES = {
    "O01": NO_WINDOWS_MENU | {"default_grub": settings("GRUB_DISABLE_OS_PROBER=true")},
    "O02": NO_WINDOWS_MENU | {"packages.txt": "ii  grub-pc-bin 2.06\nun  os-prober <none>\n"},
    "O03": NO_WINDOWS_MENU | {"update-grub.txt": LOG + PROBING + "done\n"},
    "O04": {"update-grub.txt": LOG + "/usr/sbin/grub-mkconfig: 9: foo: not found\n"},
    "O05": {"default_grub": settings(f'GRUB_OS_PROBER_SKIP_LIST="{ESP_UUID}@/efi"')},
    "O06": {"grub.d.txt": "-rwxr-xr-x 1 0 0 99 10_linux\n-rw-r--r-- 1 0 0 99 30_os-prober\n"},
    "N01": {"efibootmgr.txt": EFIBOOTMGR.replace(LINUX_ENTRY + "\n", "").replace("0003,", "")},
    "N02": {"efibootmgr.txt": EFIBOOTMGR.replace("0003,0004", "0004,0003")},
    "N03": {"efibootmgr.txt": EFIBOOTMGR.replace(WINDOWS_ENTRY + "\n", "").replace(",0004", "")},
    "N04": {"efibootmgr.txt": EFIBOOTMGR + LINUX_ENTRY.replace("0003", "0005") + "\n"},
    "N05": {
        "efibootmgr.txt": EFIBOOTMGR
        + LINUX_ENTRY.replace("0003", "0007").replace("ae1d65ea", "deadbeef")
        + "\n"
    },
    "N06": {"efibootmgr.txt": EFIBOOTMGR.replace("Boot0003*", "Boot0003 ")},
    "N07": {"efibootmgr.txt": "BootNext: 0004\n" + EFIBOOTMGR},
    "N08": {"efibootmgr.txt": EFIBOOTMGR.replace("Microsoft\\Boot\\bootmgfw", "ubuntu\\grubx64")},
    "N09": {"efibootmgr.txt": EFIBOOTMGR.replace("0003,0004", "0003,0004,0009")},
    "N10": {
        "efibootmgr.txt": "** Warning ** : Boot001a is not UEFI Spec compliant (lowercase hex in"
        f" name)\n{EFIBOOTMGR}"
    },
    "N11": {"efibootmgr.txt": EFIBOOTMGR.replace("0x800,0x32000", "0x1000,0x32000")},
    "C01": {"default_grub": DEFAULT_GRUB.replace("GRUB_DEFAULT=0", "GRUB_DEFAULT=uefi-firmware")},
    "C02": {"esp_ubuntu_grub.cfg": GRUB_CFG},
    "C03": {"grub.cfg": GRUB_CFG.replace(f"root {ROOT_UUID}", f"root {ROOT_UUID[:-1]}0")},
    "C04": {"esp_ubuntu_grub.cfg": STUB.replace("1ff43d80", "df91df17")},
    "C05": {"fstab": FSTAB.replace(" / ext4", " /boot ext4")},
    "C06": {
        "grub.cfg": GRUB_CFG.replace(
            "### END /etc/grub.d/30",
            f"menuentry 'Windows' $menuentry_id_option 'osprober-efi-{ESP_UUID}' {{\n"
            "chainloader /EFI/Microsoft/Boot/bootmgfw.efi\n}\n### END /etc/grub.d/30",
        )
    },
    "C07": {"grub.cfg": GRUB_CFG.replace("/EFI/Microsoft/Boot/bootmgfw.efi", "+1")},
    "C08": {"grub.cfg": GRUB_CFG + "menuentry 'cut {\n"},
    "C10": {"grubenv": environment("menu_auto_hide=2")},
    "C11": {"grubenv": environment().replace("# GRUB", "# Grub")},
    "D01": menu_with_default("2"),
    "D02": menu_with_default("Windows"),
    "D03": menu_with_default("saved")
    | {
        "grub.cfg": GRUB_CFG.replace('default="0"', 'default="${saved_entry}"'),
        "grubenv": environment("saved_entry=gone"),
    },
    "D04": {"default_grub": settings("GRUB_SAVEDEFAULT=true")},
    "D05": {
        "default_grub": settings("GRUB_DEFAULT=saved", "GRUB_SAVEDEFAULT=true"),
        "fstab": FSTAB.replace("ext4", "btrfs"),
    },
    "D06": menu_with_default("2nd Windows"),
    "D07": menu_with_default("gnulinux-6.8.0-1"),
    "D08": menu_with_default("Windows Boot Manager (on /dev/sda9)"),
    "D09": {"grubenv": environment("next_entry=2"), "fstab": FSTAB.replace("ext4", "btrfs")},
    "F01": {"default_grub": settings("GRUB_DISTRIBUTOR=Debian (x)")},
    "F02": {"default_grub": settings("GRUB_GFXMODE = auto")},
    "F03": {"default_grub": settings("GRUB_CMDLINE_LINUX=quiet splash")},
    "F04": {
        "grub.cfg": GRUB_CFG.replace("style=menu", "style=hidden").replace("out=5", "out=0"),
    },
    "F05": {"default_grub": settings("GRUB_TIMEOUT=9")},
    "F06": {"default_grub.d/50.cfg": "GRUB_TIMEOUT=9\n"},
    "F07": {"default_grub": settings("GRUB_TIMEOUTS=9")},
    "F08": {"default_grub": settings("GRUB_DISABLE_RECOVERY=True")},
    "F09": {"default_grub": settings("GRUB_HIDDEN_TIMEOUT=3")},
    "F10": {"default_grub": DEFAULT_GRUB.replace("\n", "\r\n")},
    "F12": {"grubenv": environment("recordfail=1")},
    "M01": {
        "firmware.txt": "bios\n",
        "efibootmgr.txt": "EFI variables are not supported on this system.\n",
    },
    "M02": {
        "fdisk.txt": FDISK.replace("16M Microsoft reserved", "16M BIOS boot"),
        "packages.txt": "ii  grub-pc  2.12\n",
        "efibootmgr.txt": EFIBOOTMGR.replace(LINUX_ENTRY + "\n", ""),
    },
    "M03": {
        "grub-install.txt": "grub-install: warning: this GPT partition label contains no BIOS Boot "
        "Partition; embedding won't be possible.\n"
    },
    "E01": {"fdisk.txt": FDISK.replace("EFI System", "Microsoft basic data")},
    "E02": NO_WINDOWS_MENU
    | {
        "esp_files.txt": "".join(line for line in ESP_FILES.splitlines(True) if "Micro" not in line)
    },
    "E03": {"esp_files.txt": "/EFI/Microsoft/Boot/bootmgfw.efi\n/EFI/Microsoft/Boot/BCD\n"},
    "E04": {"blkid.txt": BLKID.replace('TYPE="vfat"', 'TYPE="ext4"')},
    "E05": {"esp_files.txt": ESP_FILES.replace("Boot/BCD", "Boot/BOOTSTAT.DAT")},
    "E06": {"fdisk.txt": FDISK.replace("Microsoft reserved", "EFI System")},
    "E07": {"fstab": FSTAB.replace(ESP_UUID, "0000-1111")},
    "E08": {"df.txt": "/dev/nvme0n1p1   99M  100% /boot/efi\n"},
    "P01": {"fdisk.txt": FDISK.replace("461590528 1000214527", "461590000 1000214527")},
    "P02": {"fdisk.txt": FDISK.replace("461590528 1000214527", "461590529 1000214527")},
    "P03": {
        "fdisk.txt": "GPT PMBR size mismatch (1 != 2) will be corrected by write.\n"
        f"The backup GPT table is not on the end of the device.\n{FDISK}"
    },
    "P04": {"blkid.txt": BLKID + BLKID.splitlines()[2].replace("nvme0n1p3", "sdb1") + "\n"},
    "P06": {"fdisk.txt": FDISK + SECOND_DISK.format(type="Microsoft LDM data")},
    "P08": {
        "fdisk.txt": MBR,
        "blkid.txt": '/dev/sda1: UUID="BEC65C4DC65C07D3" TYPE="ntfs" PARTUUID="2bd2c32a-01"\n',
        "boot_files.txt": "sda1: /bootmgr /Boot/BCD\n",
        "efibootmgr.txt": None,
        "grub.cfg": None,
        "fstab": None,
        "esp_files.txt": None,
        "esp_ubuntu_grub.cfg": None,
    },
    "W01": {"ntfs-probe.txt": "Windows is hibernated, refused to mount.\n"},
    "W02": {"blkid.txt": BLKID.replace('TYPE="ntfs"', 'TYPE="BitLocker"')},
    "W05": {
        "mbr_summary.txt": "sda1:\n    File system:       ntfs\n"
        "    Boot sector type:  Grub2 (v1.99-2.00)\n"
    },
    "W06": {"screen.txt": "error: The boot configuration data is missing: 0xc000000e\n"},
    "S01": {
        "mokutil.txt": "SecureBoot enabled\n",
        "efibootmgr.txt": EFIBOOTMGR.replace("shimx64", "grubx64").replace("t: 0003", "t: 0004"),
    },
    "S02": {"screen.txt": "SBAT self-check failed: Security Policy Violation\n"},
    "R01": {
        "efibootmgr.txt": EFIBOOTMGR.replace(
            WINDOWS_ENTRY, WINDOWS_ENTRY.replace(ESP_PARTUUID, "d" + ESP_PARTUUID[1:])
        ),
        "lspci.txt": "00:0e.0 RAID bus controller: Intel Volume Management Device NVMe\n",
    },
    "T01": {"adjtime": "0.0 1700000000 0.0\n1700000000\nUTC\n"},
}


def test_every_rule_has_a_case():
    """No rule of the catalogue is without a test of its own."""
    assert {rule.id for rule in RULES} == set(CASES)


@pytest.mark.parametrize("rule_id", CASES)
def test_a_rule_finds_its_fault(rule_id):
    """The fault that a rule is about is found by it, with a line to look at and a fix."""
    diagnosis = diagnosed(HEALTHY | CASES[rule_id])
    found = findings_by_rule(diagnosis)
    assert rule_id in found, (found, diagnosis.facts.unread)
    assert found[rule_id].evidence
    assert found[rule_id].fix


def test_a_healthy_computer_is_said_to_be_healthy():
    """Without a fault there is no finding, and the verdict says so."""
    diagnosis = diagnosed(HEALTHY)
    assert diagnosis.verdict == "healthy"
    assert not diagnosis.findings


@pytest.mark.parametrize("catalogued", RULES, ids=lambda rule: rule.id)
def test_a_rule_explains_itself(catalogued):
    """Every rule says what is seen, why, how to check, the fix and how to undo it."""
    assert all(
        getattr(catalogued, part)
        for part in ("title", "see", "why", "check", "fix", "undo", "needs")
    )


def test_explained_rules_exist():
    """No rule claims to explain one that is not in the catalogue."""
    known = {rule.id for rule in RULES}
    assert {symptom for rule in RULES for symptom in rule.explains} <= known


@pytest.mark.parametrize("catalogued", RULES, ids=lambda rule: rule.id)
def test_a_rule_without_its_input_is_silent(catalogued):
    """Taking away what a rule needs takes its finding away, and the rule counts as unchecked."""
    files = HEALTHY | CASES[catalogued.id]
    empty = diagnosed({"os-release": files["os-release"]})
    assert catalogued.id in empty.unchecked
    assert catalogued.id not in findings_by_rule(empty)


@pytest.mark.parametrize(
    ("broken", "root", "symptom"),
    [
        (CASES["E02"] | {"default_grub": settings("GRUB_DISABLE_OS_PROBER=true")}, "E02", "O01"),
        (CASES["M02"], "M02", "N01"),
        (CASES["F02"] | CASES["O04"], "F02", "O04"),
    ],
)
def test_a_cause_comes_before_its_symptom(broken, root, symptom):
    """What makes another finding true is the root; the other is shown as following from it."""
    diagnosis = diagnosed(HEALTHY | broken)
    assert diagnosis.root_causes[0] == root
    followers = {r.finding.rule: r.explained_by for r in diagnosis.findings}
    assert followers[symptom] == root


def test_at_most_three_causes_are_named():
    """However much is broken, three causes are enough to begin with."""
    broken = CASES["C04"] | CASES["N02"] | CASES["P03"] | CASES["D04"] | CASES["W01"]
    assert len(diagnosed(HEALTHY | broken).root_causes) == 3


def test_a_name_is_no_type():
    """An ESP that is called `Basic data partition`, as Windows 11 does, is no fault."""
    assert "Basic data partition" in BLKID
    assert "E01" not in findings_by_rule(diagnosed(HEALTHY))


def test_ubuntu_undoes_a_hidden_menu_beside_windows():
    """Hidden in the settings is no fault where the distribution shows the menu all the same."""
    hidden = DEFAULT_GRUB.replace("STYLE=menu", "STYLE=hidden")
    ubuntu = HEALTHY | {"default_grub": hidden, "grub.cfg": None}
    arch = ubuntu | {"os-release": "ID=arch\nPRETTY_NAME=Arch\n"}
    assert "F04" not in findings_by_rule(diagnosed(ubuntu))
    assert "F04" in findings_by_rule(diagnosed(arch))


def test_fedora_probes_without_being_told():
    """An absent variable is off upstream and on in Fedora."""
    absent = {"default_grub": "GRUB_DEFAULT=saved\n", "os-release": "ID=fedora\nVERSION_ID=40\n"}
    assert "O01" not in findings_by_rule(diagnosed(absent))
    absent["os-release"] = "ID=arch\nPRETTY_NAME=Arch\n"
    assert "O01" in findings_by_rule(diagnosed(absent))


def test_an_empty_os_prober_output_proves_nothing():
    """Nothing printed is no proof of `no Windows`, and no verdict."""
    diagnosis = diagnosed({"os-prober.txt": ""})
    assert diagnosis.verdict == "no-verdict"
    assert not diagnosis.root_causes


def test_os_prober_without_root_is_told_from_an_empty_result():
    """The `unshare` line says that the run proves nothing."""
    output = "unshare failed: Operation not permitted\n"
    found = findings_by_rule(diagnosed({"os-prober.txt": output}))
    assert found["O03"].severity == "info"


def test_a_closed_container_hides_file_systems():
    """With LUKS in the list, a UUID that is not listed may be inside: no error is claimed."""
    closed = BLKID.replace('TYPE="ext4"', 'TYPE="crypto_LUKS"').replace(ROOT_UUID, "f" * 8)
    found = findings_by_rule(diagnosed(HEALTHY | {"blkid.txt": closed, "fstab": None}))
    assert not {"C03", "C04"} & found.keys()


def test_rules_are_found_in_any_case_and_near_misses_get_a_hint():
    """`e01` is E01; an unknown id names a close one."""
    assert find_rule("e01").id == "E01"
    with pytest.raises(UsageError) as caught:
        find_rule("E1")
    assert "did you mean E" in caught.value.hint


def test_a_hidden_menu_is_no_fault_where_there_is_nothing_to_choose():
    """Ubuntu alone hides its menu by design: a remark, and the chain is healthy."""
    alone = {
        "grub.cfg": without_windows_entry(CASES["F04"]["grub.cfg"]),
        "os-release": HEALTHY["os-release"],
        "esp_ubuntu_grub.cfg": STUB,
        "blkid.txt": BLKID.replace('TYPE="ntfs"', 'TYPE="ext4"'),
        "efibootmgr.txt": EFIBOOTMGR.replace(WINDOWS_ENTRY, ""),
    }
    diagnosis = diagnosed(alone)
    assert findings_by_rule(diagnosis)["F04"].severity == "info"
    assert diagnosis.verdict == "healthy"


def test_a_leftover_stub_of_another_system_does_not_count():
    """The stub that the firmware starts is judged, not the one of a removed distribution."""
    left = {"esp_debian_grub.cfg": STUB.replace("1ff43d80", "df91df17")}
    assert "C04" not in findings_by_rule(diagnosed(HEALTHY | left))


def test_a_makers_recovery_partition_is_no_esp():
    """A firmware entry for a fallback loader on a FAT recovery partition is normal."""
    rows = FDISK + "/dev/nvme0n1p5 1000214528 1000215182 655 328K Windows recovery environment\n"
    blkid = BLKID + '/dev/nvme0n1p5: UUID="AAAA-BBBB" TYPE="vfat" PARTUUID="11111111-2222"\n'
    entry = "Boot0009* Recovery\tHD(5,GPT,11111111-2222)/File(\\EFI\\BOOT\\BOOTX64.EFI)\n"
    files = {"fdisk.txt": rows, "blkid.txt": blkid, "efibootmgr.txt": EFIBOOTMGR + entry}
    assert "E01" not in findings_by_rule(diagnosed(HEALTHY | files))


def test_grub_as_fallback_loader_is_no_missing_loader():
    """`grub-install --removable` leaves only BOOTX64.EFI: Linux is there."""
    alone = {
        "esp_files.txt": "/EFI/BOOT/BOOTX64.EFI\n",
        "fstab": FSTAB,
        "fdisk.txt": FDISK.replace("Microsoft basic data", "Linux filesystem"),
    }
    assert "E03" not in findings_by_rule(diagnosed(alone))


def test_lvm_on_luks_is_a_whole_list():
    """With the container open, its file systems count, and the chain can be judged."""
    rows = [
        ("NAME", "FSTYPE", "UUID", "PARTUUID"),
        ("nvme0n1", "", "", ""),
        ("├─nvme0n1p1", "vfat", ESP_UUID, ESP_PARTUUID),
        ("├─nvme0n1p3", "ntfs", "BEC65C4DC65C07D3", "1ed51435-a38d-4a9c-97be-e098b5eddc11"),
        ("└─nvme0n1p4", "crypto_LUKS", "", "cd4e7757-36a0-42d1-9ec6-e0e64d6edfb9"),
        ("  └─luks-1", "LVM2_member", "AAAAAA-bbbb-cccc-dddd-eeee-ffff-gggggg", ""),
        ("    ├─vg-root1", "ext4", ROOT_UUID, ""),
        ("    └─vg-swap", "swap", "22222222-5d5e-4f5e-8f5e-111111111111", ""),
    ]
    tree = "".join(f"{n:16}{fs:12}{uuid:39}{part}\n" for n, fs, uuid, part in rows)
    diagnosis = diagnosed(HEALTHY | {"blkid.txt": None, "lsblk.txt": tree})
    assert diagnosis.facts.lists_every_file_system
    assert diagnosis.verdict == "healthy"
    stale = HEALTHY | {"blkid.txt": None, "lsblk.txt": tree} | CASES["C04"]
    assert diagnosed(stale).root_causes == ("C04",)


def test_what_cannot_start_comes_before_what_starts_wrongly():
    """Of two independent errors, the one that leaves no menu is mended first."""
    assert diagnosed(HEALTHY | CASES["N02"] | CASES["C04"]).root_causes == ("C04", "N02")


def test_a_rule_is_not_run_without_its_inputs():
    """A detector need not check its inputs itself: without them it is never called."""
    declared = rule(
        "X01",
        "a test",
        Severity.INFO,
        Effect.SIDE_NOTE,
        needs=(Topic.CLOCK, (Topic.MENU, Topic.SETTINGS)),
        see="",
        why="",
        check="",
        fix="mend",
        undo="",
    )(lambda _: [Hit("found")])
    assert not list(declared.apply(Facts(topics=frozenset({Topic.CLOCK}))))
    assert declared.missing(frozenset({Topic.CLOCK})) == (Topic.MENU,)
    found = list(declared.apply(Facts(topics=frozenset({Topic.CLOCK, Topic.SETTINGS}))))
    assert [(f.message, f.fix) for f in found] == [("found", "mend")]


def test_a_removed_windows_is_not_missed():
    """A firmware entry without a loader and a volume is a leftover, no missing menu entry."""
    linux_only = HEALTHY | {
        "fdisk.txt": FDISK.replace("Microsoft basic data", "Linux filesystem"),
        "blkid.txt": BLKID.replace('TYPE="ntfs"', 'TYPE="ext4"'),
        "esp_files.txt": "/EFI/ubuntu/shimx64.efi\n/EFI/ubuntu/grubx64.efi\n",
        "default_grub": settings("GRUB_DISABLE_OS_PROBER=true"),
    }
    found = findings_by_rule(diagnosed(linux_only | NO_WINDOWS_MENU))
    assert found["O01"].severity == "info"
    assert "E02" not in found


def test_a_changed_timeout_waits_for_an_update():
    """Debian writes the timeout as it is; Ubuntu's scripts may change it beside Windows."""
    changed = HEALTHY | {"default_grub": DEFAULT_GRUB.replace("TIMEOUT=5", "TIMEOUT=9")}
    debian = changed | {"os-release": "ID=debian\nPRETTY_NAME=Debian\n"}
    assert "C01" in findings_by_rule(diagnosed(debian))
    assert "C01" not in findings_by_rule(diagnosed(changed))


def test_a_choice_for_one_start_is_told_and_no_fault():
    """It is the default's exception: the chain is healthy, and what starts next is named."""
    diagnosis = diagnosed(HEALTHY | {"grubenv": environment("next_entry=2")})
    found = findings_by_rule(diagnosis)["D09"]
    assert (diagnosis.verdict, found.severity) == ("healthy", Severity.INFO)
    assert "Windows Boot Manager" in found.message
    assert "sudo grub-editenv - unset next_entry" in found.fix
