"""The advice: no fix does harm, each names the disk it means, and its undo has the old values."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from boot.test_rules import CASES, LINUX_ENTRY, MBR, WINDOWS_ENTRY
from labkit.boot.bundle import read_bundle
from labkit.boot.diagnosis import diagnose
from labkit.boot.rules import RULES
from support.boot_inputs import (
    BLKID,
    EFIBOOTMGR,
    ESP_FILES,
    FDISK,
    HEALTHY,
    ROOT_UUID,
    diagnosed,
    findings_by_rule,
)

FORMAT = re.compile(r"mkfs|mkntfs|wipefs|format\b.*quick")
RUN = re.compile(r"^(?:sudo|for|bcdboot|bcdedit|mbr2gpt|manage-bde)\b|^(?:search|set|configfile) ")
PLACEHOLDER = re.compile(
    r"\b(?:DISK|NUMBER|LABEL|VENDOR|XXXX|TYPE|PARTITION|ID|UUID(?!=)|VALUE|LINUX|WINDOWS)\b|\.\.\.|<\w"
)


def found(changes):
    """The first finding of each rule, for a healthy computer with these changes."""
    return findings_by_rule(diagnosed(HEALTHY | changes))


def commands(text):
    """The lines of a fix that are to be run as they stand."""
    return [line for line in text.split("\n") if RUN.match(line)]


# --- what must not be formatted ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fstype", "number"),
    [
        ("ext4", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
        ("ntfs", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
        ("BitLocker", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
        ("LVM2_member", "E6D6D379-F507-44C2-A23C-238F2A3DF928"),
    ],
)
def test_a_system_that_was_typed_as_esp_is_retyped_and_never_formatted(fstype, number):
    """A root or Windows partition with the type of an ESP keeps its content; the type goes back."""
    mistyped = {
        "fdisk.txt": FDISK.replace("256.8G Linux filesystem", "256.8G EFI System"),
        "blkid.txt": BLKID.replace('TYPE="ext4"', f'TYPE="{fstype}"'),
    }
    advice = found(mistyped)["E04"]
    assert not FORMAT.search(advice.fix)
    assert commands(advice.fix) == [f"sudo sfdisk --part-type /dev/nvme0n1 4 {number}"]
    assert commands(advice.undo) == [
        "sudo sfdisk --part-type /dev/nvme0n1 4 C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    ]


EMPTY_ESP = BLKID.replace('UUID="7A8C-9328" TYPE="vfat" ', "")


def test_only_a_small_empty_esp_without_rival_is_formatted_and_after_a_look():
    """Mkfs stands behind a command that looks, and a copy of the partition."""
    fix = found({"blkid.txt": EMPTY_ESP})["E04"].fix
    order = [fix.index(word) for word in ("blkid -p", "dd if=/dev/nvme0n1p1", "mkfs.vfat")]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "fdisk.txt": FDISK.replace(
                "2048     206847    204800   100M", "2048  9000000  8997953  4.3G"
            )
        },
        {"fdisk.txt": FDISK.replace("Microsoft reserved", "EFI System")},
        {"fstab": f"UUID={ROOT_UUID} / ext4 defaults 0 1\n/dev/nvme0n1p1 /boot/efi vfat x 0 1\n"},
    ],
    ids=["large", "a rival", "in use"],
)
def test_an_esp_that_may_hold_something_is_not_formatted(changes):
    """Large, or not the only one, or in fstab: only the look is left."""
    fix = found({"blkid.txt": EMPTY_ESP} | changes)["E04"].fix
    assert not FORMAT.search(fix)
    assert "sudo blkid -p /dev/nvme0n1p1" in commands(fix)


def test_only_one_rule_formats_anything():
    """No other rule, in no case, tells to format or wipe."""
    for rule_id, changes in CASES.items():
        for name, finding in found(changes).items():
            assert name == "E04" or not FORMAT.search(finding.fix), rule_id


# --- firmware entries --------------------------------------------------------------------------

GONE = "deadbeef"


def moved(line):
    """The entry with a GUID that no partition has."""
    return line.replace("ae1d65ea", GONE)


def test_an_entry_whose_loader_is_there_is_made_anew_and_not_deleted():
    """Windows' own entry with a wrong GUID: a new one, before the old one, which stays."""
    listed = {"efibootmgr.txt": EFIBOOTMGR.replace(WINDOWS_ENTRY, moved(WINDOWS_ENTRY))}
    advice = found(listed)["N05"]
    create, order = commands(advice.fix)
    assert create == (
        "sudo efibootmgr -c -b 0000 -d /dev/nvme0n1 -p 1 -L 'Windows Boot Manager' "
        "-l '\\EFI\\Microsoft\\Boot\\bootmgfw.efi'"
    )
    assert order == "sudo efibootmgr -o 0003,0000,0004"
    assert commands(advice.undo) == [
        "sudo efibootmgr -b 0000 -B",
        "sudo efibootmgr -o 0003,0004",
    ]


def test_windows_entry_is_never_deleted_while_its_disk_may_only_be_out_of_sight():
    """Without a list of the ESP's files nothing says that Windows is gone."""
    listed = {
        "efibootmgr.txt": EFIBOOTMGR.replace(WINDOWS_ENTRY, moved(WINDOWS_ENTRY)),
        "esp_files.txt": None,
    }
    assert " -B" not in found(listed)["N05"].fix


def test_an_unplugged_stick_is_no_dead_entry():
    """Its entry starts the fallback loader, or says USB; it is left alone."""
    stick = moved(LINUX_ENTRY).replace("Boot0003* ubuntu", "Boot0007* {}")
    for label, loader in (("SanDisk Ultra", "BOOT\\BOOTX64"), ("UEFI: USB", "ubuntu\\shimx64")):
        line = stick.format(label).replace("ubuntu\\shimx64", loader)
        assert "N05" not in found({"efibootmgr.txt": f"{EFIBOOTMGR}{line}\n"})


def test_the_older_of_two_entries_for_one_loader_may_go():
    """A leftover of an earlier installation, while another entry starts the same file."""
    line = moved(LINUX_ENTRY).replace("0003", "0007")
    assert commands(found({"efibootmgr.txt": f"{EFIBOOTMGR}{line}\n"})["N05"].fix) == [
        "sudo efibootmgr -b 0007 -B"
    ]


@pytest.mark.parametrize("width", [40, 60, 72, 79, 80, 81, 100, 120])
def test_a_wrapped_list_loses_no_entry(width):
    """`fold` cuts anywhere, also in a GUID: no entry is dead by that."""
    wrapped = "".join(
        f"{line[i : i + width]}\n"
        for line in EFIBOOTMGR.splitlines()
        for i in range(0, len(line), width)
    )
    boot = diagnosed(HEALTHY | {"efibootmgr.txt": wrapped})
    assert not {"N05", "N01", "N03", "N08"} & findings_by_rule(boot).keys()
    assert [e.loader for e in boot.facts.boot_list.entries] == [
        "/efi/ubuntu/shimx64.efi",
        "/efi/microsoft/boot/bootmgfw.efi",
    ]
    assert [e.label for e in boot.facts.boot_list.entries] == ["ubuntu", "Windows Boot Manager"]


def test_a_list_in_one_line_is_read():
    """Line ends that a post has lost are found again at the names of the variables."""
    joined = EFIBOOTMGR.replace("\n", " ")
    boot = diagnosed({"efibootmgr.txt": joined}).facts.boot_list
    assert boot.order == (3, 4)
    assert [e.number for e in boot.entries] == [3, 4]
    assert boot.entries[0].node.partuuid.startswith("ae1d65ea")


def test_a_cut_guid_names_no_partition():
    """What is left of a damaged line is no reason to delete an entry."""
    cut = EFIBOOTMGR.replace("ae1d65ea-f03d-4af7-a98e-9aba530dd411,0x800", "ae1d65ea-f03d-4a,0x800")
    assert "N05" not in found({"efibootmgr.txt": cut})


def test_an_order_names_only_entries_that_are_there():
    """Efibootmgr refuses an order with a number that has no entry, and changes nothing."""
    gaps = EFIBOOTMGR.replace("0003,0004", "0004,0001,0003")
    advice = found({"efibootmgr.txt": gaps})["N02"]
    assert commands(advice.fix) == ["sudo efibootmgr -o 0003,0004"]
    assert commands(advice.undo) == ["sudo efibootmgr -o 0004,0003"]


# --- both systems ------------------------------------------------------------------------------


def test_a_legacy_windows_is_not_told_to_move_linux_to_uefi():
    """Where Windows is the legacy one, GRUB for UEFI is what cannot start it."""
    files = {
        "fdisk.txt": FDISK.replace("Microsoft reserved", "Linux swap") + MBR,
        "esp_files.txt": None,
        "efibootmgr.txt": EFIBOOTMGR.replace(WINDOWS_ENTRY + "\n", "").replace(",0004", ""),
        "boot_files.txt": "sda1: /bootmgr /Boot/BCD\n",
    }
    fix = found(files)["M02"].fix
    assert "grub-efi" not in fix
    assert "legacy mode" in fix
    assert fix.index("back the disk up") < fix.index("mbr2gpt /convert")


def test_windows_boot_sector_is_saved_before_it_is_written():
    """The copy, then testdisk; Windows' tool last, and only on the right active partition."""
    files = CASES["P08"] | CASES["W05"]
    advice = found(files)["W05"]
    words = ("dd if=/dev/sda1 of=", "testdisk /dev/sda", "fixboot", "sfdisk -A /dev/sda 1")
    order = [advice.fix.index(word) for word in words]
    assert order == sorted(order)
    assert "set the flag first" in advice.fix
    assert commands(advice.undo) == [
        "sudo dd if=pbr-sda1.bin of=/dev/sda1 bs=512 count=16",
        "sudo sfdisk -A /dev/sda 2",
    ]


def test_alignment_is_no_reason_to_lose_data():
    """Nothing is to be recreated, and the explanation says what recreating costs."""
    assert "Nothing must be done" in found(CASES["P02"])["P02"].fix
    rule = next(rule for rule in RULES if rule.id == "P02")
    assert "erases" in rule.fix
    assert "backup" in rule.undo


def test_a_copied_disk_is_named_and_what_is_mounted_said():
    """The disk in use is told from the other; nothing is erased before a trial."""
    tree = (
        "NAME        FSTYPE UUID                                 PARTUUID MOUNTPOINTS\n"
        f"nvme0n1p4   ext4   {ROOT_UUID} cd4e7757-36a0-42d1-9ec6-e0e64d6edfb9 /\n"
        f"sdb4        ext4   {ROOT_UUID} cd4e7757-36a0-42d1-9ec6-e0e64d6edfb9\n"
    )
    fix = found({"blkid.txt": None, "lsblk.txt": tree})["P04"].fix
    assert "/dev/nvme0n1 is in use now (mounted), /dev/sdb is not" in fix
    assert not re.search(r"sgdisk|tune2fs", fix)


# --- every rule --------------------------------------------------------------------------------

STARTS = ["E02", "E03", "E05", "M02", "N01", "N02", "N03", "N05", "N06", "N08", "N11", "S01", "S02"]


@pytest.mark.parametrize("rule_id", [*STARTS, "R01", "P08", "W05"])
def test_what_changes_the_start_says_what_bitlocker_needs(rule_id):
    """With BitLocker the key comes first; without it there is nothing to say."""
    closed = CASES[rule_id].get("blkid.txt") or BLKID
    encrypted = CASES[rule_id] | {"blkid.txt": closed.replace('"ntfs"', '"BitLocker"')}
    assert "recovery key" in found(encrypted)[rule_id].caution
    open_ = found(CASES[rule_id])[rule_id]
    assert not open_.caution or diagnosed(HEALTHY | CASES[rule_id]).facts.bitlocker is not False


def advice_of_everything():
    """Every fix, undo and caution of the made-up and the real cases."""
    bundles = [diagnosed(HEALTHY | changes) for changes in CASES.values()]
    bundles += [diagnosed({**HEALTHY, **c, "os-release": "ID=fedora\n"}) for c in CASES.values()]
    bundles += [diagnosed({**HEALTHY, **c, "fstab": None}) for c in CASES.values()]
    bundles += [diagnosed({**HEALTHY, **c, "fdisk.txt": None}) for c in CASES.values()]
    folder = Path(__file__).parents[2].parent / "shared/fixtures/boot"
    bundles += [diagnose(read_bundle(case.parent)) for case in sorted(folder.glob("*/meta.json"))]
    for diagnosis in bundles:
        for ranked in diagnosis.findings:
            yield ranked.finding


def test_a_command_of_a_finding_runs_as_shown():
    """No placeholder, no prose behind it, quotes closed."""
    for finding in advice_of_everything():
        for text in (finding.fix, finding.undo):
            for line in commands(text):
                assert not PLACEHOLDER.search(line), (finding.rule, line)
                assert not re.search(r" \(|, then", line), line
                assert shlex.split(line.replace("\\", "/"))


def test_a_command_names_a_disk_that_is_there():
    """What a finding writes to is one of the disks in its inputs."""
    for rule_id, changes in CASES.items():
        if rule_id == "W05":
            continue  # Its sector is told by a report of its own.
        diagnosis = diagnosed(HEALTHY | changes)
        disks = {p.disk for p in diagnosis.facts.partitions}
        devices = {p.device for p in diagnosis.facts.partitions}
        for ranked in diagnosis.findings:
            for line in commands(ranked.finding.fix):
                for device in re.findall(r"/dev/(?:sd|nvme)\w+", line):
                    assert device in disks | devices, line


@pytest.mark.parametrize("catalogued", RULES, ids=lambda rule: rule.id)
def test_an_explanation_is_complete(catalogued):
    """A fix that changes something says how to take it back; `nothing` is not undone by luck."""
    if catalogued.undo.startswith("Nothing was changed"):
        assert re.match(r"Nothing|Run|It |labkit", catalogued.fix), catalogued.fix
    assert len(catalogued.fix) < 620, len(catalogued.fix)


def test_a_choice_that_cannot_be_saved_comes_before_a_stale_menu():
    """On btrfs, running update-grub would only bring the error into the menu."""
    changes = CASES["D05"] | {"grub.cfg": HEALTHY["grub.cfg"]}
    diagnosis = diagnosed(HEALTHY | changes)
    assert diagnosis.root_causes[0] == "D05"
    assert {r.finding.rule: r.explained_by for r in diagnosis.findings}["C01"] == "D05"


def test_mixed_modes_and_a_missing_entry_do_not_contradict_each_other(boot_cases):
    """The real mixed computer: N01 points to M02 and offers no entry of its own."""
    diagnosis = diagnose(read_bundle(boot_cases / "uf-2024-09-mixed-uefi-legacy"))
    advice = findings_by_rule(diagnosis)
    assert diagnosis.root_causes[0] == "M02"
    assert "Linux is installed for UEFI" not in advice["N01"].message
    assert not commands(advice["N01"].fix)
    assert "grub-efi" in advice["M02"].fix


def test_no_entry_is_offered_for_a_loader_that_is_not_there():
    """The file is taken from the list; without one there is a sentence instead of a command."""
    entry = CASES["N01"]
    assert "shimx64.efi" in found(entry)["N01"].fix
    without_shim = {"esp_files.txt": ESP_FILES.replace("/EFI/ubuntu/shimx64.efi\n", "")}
    assert "\\EFI\\ubuntu\\grubx64.efi" in found(entry | without_shim)["N01"].fix
    for unknown in ({"esp_files.txt": None}, {"fdisk.txt": None}):
        fix = found(entry | unknown)["N01"].fix
        assert "efibootmgr" not in fix
        assert not PLACEHOLDER.search(fix)


def test_secure_boot_without_shim_on_the_esp_asks_to_install_it():
    """An entry for a file that is missing is no cure."""
    bare = {"esp_files.txt": ESP_FILES.replace("/EFI/ubuntu/shimx64.efi\n", "")}
    assert not commands(found(CASES["S01"] | bare)["S01"].fix)
    assert commands(found(CASES["S01"])["S01"].fix)


def test_the_skip_list_names_the_entry_and_keeps_what_is_on_it(boot_cases):
    """In 30_os-prober's own form: UUID@/path for EFI, UUID@/dev/... for a boot sector."""
    real = findings_by_rule(diagnose(read_bundle(boot_cases / "uf-2023-05-grub-in-ntfs-pbr")))
    assert 'GRUB_OS_PROBER_SKIP_LIST="CE8E-AA38@/dev/sda3"' in real["C06"].fix
    recovery = {
        "grub.cfg": HEALTHY["grub.cfg"].replace(
            "### END /etc/grub.d/30",
            "menuentry 'Windows Recovery Environment' --id 'osprober-chain-BEC65C4DC65C07D3' {\n"
            "search --fs-uuid --set=root BEC65C4DC65C07D3\nchainloader +1\n}\n"
            "### END /etc/grub.d/30",
        ),
        "default_grub": HEALTHY["default_grub"] + 'GRUB_OS_PROBER_SKIP_LIST="A@/x"\n',
    }
    advice = found(recovery)["C06"]
    assert '"A@/x BEC65C4DC65C07D3@/dev/nvme0n1p3"' in advice.fix
    assert '"A@/x"' in advice.undo


@pytest.mark.parametrize(
    ("ids", "update"),
    [
        ("ID=debian", "sudo update-grub"),
        ("ID=linuxmint\nID_LIKE=ubuntu", "sudo update-grub"),
        ("ID=fedora", "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"),
        ("ID=opensuse-tumbleweed", "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"),
        ("ID=arch", "sudo grub-mkconfig -o /boot/grub/grub.cfg"),
    ],
)
def test_commands_are_those_of_the_distribution(ids, update):
    """The menu is generated, and the loader written, as this distribution does it."""
    release = {"os-release": f"{ids}\n"}
    assert update in commands(found(CASES["O01"] | release)["O01"].fix)
    loader = commands(found(CASES["E03"] | release)["E03"].fix)
    assert any("grub-install" in line for line in loader) is (update.split()[1] != "grub2-mkconfig")
    assert "update-grub" in update or not any("update-grub" in line for line in loader)


@pytest.mark.parametrize("rule_id", ["E02", "E03", "E05", "N02", "N11"])
def test_an_undo_has_the_old_order(rule_id):
    """What puts another entry first says which order was there."""
    old = found(CASES[rule_id])[rule_id].undo
    expected = "0004,0003" if rule_id == "N02" else "0003,0004"
    assert f"sudo efibootmgr -o {expected}" in commands(old)


def test_a_windows_that_only_its_label_tells_counts():
    """A list without paths, nothing else known: the key comes first all the same."""
    labels = "".join(f"{line.split(chr(9))[0]}\n" for line in EFIBOOTMGR.splitlines())
    listed = {"efibootmgr.txt": labels.replace("0003,0004", "0004,0003")}
    assert "recovery key" in findings_by_rule(diagnosed(listed))["N02"].caution


def test_the_old_default_is_told_where_only_the_menu_is_known():
    """Without the settings the menu's own default is the old value."""
    files = {"grub.cfg": HEALTHY["grub.cfg"].replace('default="0"', 'default="2"')}
    undo = findings_by_rule(diagnosed(files))["D01"].undo
    assert undo.startswith("The old value: GRUB_DEFAULT=2")
