"""Collecting: only reading commands, a whole archive or none, and nothing personal in it."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from labkit.boot import collect as collecting
from labkit.boot import diagnose, read_bundle
from labkit.boot.changes import compare
from labkit.boot.collect import Collection, collect_machine, host_names, write_archive
from labkit.boot.documents import decode
from labkit.boot.kinds import Kind
from labkit.boot.parse.esp import parse_esp_list
from labkit.boot.redact import Redactor
from labkit.errors import RefusedError, UnmetError
from support.boot_inputs import (
    BLKID,
    DEFAULT_GRUB,
    FSTAB,
    GRUB_CFG,
    HEALTHY,
    OS_RELEASE,
    bundle_from,
)


@pytest.fixture
def root(tmp_path):
    """A mounted system with its files and a mounted ESP."""
    files = {
        "etc/default/grub": DEFAULT_GRUB,
        "etc/default/grub.d/50.cfg": "GRUB_TIMEOUT=3\n",
        "etc/fstab": FSTAB,
        "etc/os-release": OS_RELEASE,
        "etc/grub.d/30_os-prober": "#!/bin/sh\n",
        "boot/grub/grub.cfg": GRUB_CFG,
        "boot/efi/EFI/ubuntu/shimx64.efi": "",
        "boot/efi/EFI/ubuntu/grub.cfg": HEALTHY["esp_ubuntu_grub.cfg"],
        "boot/efi/EFI/Microsoft/Boot/bootmgfw.efi": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_mounted_system_is_collected(root):
    """The files below the root are taken, the ESP's are listed, and all is recognised."""
    bundle = collect_machine(root).bundle("root")
    assert bundle.kinds >= {
        Kind.DEFAULT_GRUB,
        Kind.DROP_IN,
        Kind.FSTAB,
        Kind.OS_RELEASE,
        Kind.GRUB_CFG,
        Kind.ESP_LIST,
        Kind.ESP_STUB,
        Kind.GRUB_D,
    }
    facts = diagnose(bundle).facts
    assert facts.linux_uefi_folders == ("ubuntu",)
    assert facts.windows_loader is not None
    assert not facts.scripts[0].is_executable


def test_nothing_below_the_root_is_changed(root):
    """Collecting leaves every file and folder as it was."""
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    collect_machine(root)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


def test_os_prober_is_never_run(monkeypatch, root):
    """It mounts file systems: the archive says so instead."""
    ran = []
    monkeypatch.setattr(
        collecting,
        "run_program",
        lambda command, **_: ran.append(Path(command[0]).name) or _silent(),
    )
    failed = {s.name: s.reason for s in collect_machine(root).failed}
    assert "os-prober" not in ran
    assert "mounts" in failed["os-prober.txt"]
    assert set(ran) <= {"fdisk", "lsblk", "blkid", "efibootmgr", "mokutil", "lspci"}


def _silent():
    import subprocess

    return subprocess.CompletedProcess([], 1, "", "permission denied")


def test_the_whole_way_through_an_archive(root, tmp_path):
    """What is stored is what is read: the same inputs, with what failed and why."""
    collection = collect_machine(root)
    archive = tmp_path / "boot.tar.gz"
    write_archive(collection, archive)
    bundle = read_bundle(archive)
    assert bundle.kinds == collection.bundle("x").kinds
    assert {s.name for s in collection.failed} <= {s.name for s in bundle.skipped}
    with tarfile.open(archive) as stored:
        manifest = json.load(stored.extractfile("boot/collect.json"))
    assert manifest["format"] == 1
    assert manifest["files"]["fstab"].endswith("etc/fstab")


def test_an_archive_is_not_overwritten(tmp_path):
    """A file of that name stays as it is."""
    path = tmp_path / "boot.tar.gz"
    path.write_text("mine")
    with pytest.raises(RefusedError):
        write_archive(Collection(), path)
    assert path.read_text() == "mine"


def test_a_failed_write_leaves_nothing(tmp_path):
    """A missing folder is a clear error; a broken write leaves no half archive."""
    with pytest.raises(UnmetError):
        write_archive(Collection(), tmp_path / "gone" / "boot.tar.gz")

    def broken(raw):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_archive(Collection({"a": b"x"}), tmp_path / "b.tar.gz", redact=broken)
    assert list(tmp_path.iterdir()) == []


def test_a_mounted_system_has_a_name_of_its_own(root):
    """It is as personal as that of the computer that collects, with and without its domain."""
    (root / "etc/hostname").write_text("annas-box.example.org\n")
    assert {"annas-box.example.org", "annas-box"} <= set(host_names(root))


def test_what_is_personal_is_replaced():
    """Addresses, identifiers, names and password hashes go; public GUIDs stay."""
    raw = (
        b"Boot0000* PXE MAC(020000000001,0) 02:00:5e:10:00:01 on thinkpad of /home/ann/x\n"
        b"password_pbkdf2 root grub.pbkdf2.sha512.10000.AB12.CD34\n"
        b"c12a7328-f81f-11d2-ba4b-00a0c93ec93b 1ff43d80-d7a6-47b9-b0be-896f374c981f\n"
    )
    hidden = Redactor(["thinkpad"], salt=b"1")(raw)
    for secret in (b"020000000001", b"02:00:5e", b"thinkpad", b"ann", b"AB12", b"1ff43d80"):
        assert secret not in hidden
    assert b"c12a7328-f81f-11d2-ba4b-00a0c93ec93b" in hidden


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("//192.168.7.33/secret /mnt/s cifs username=secret,password=secret 0 0", "/mnt/s cifs"),
        ("secret:/secret /mnt/n nfs defaults 0 0", "/mnt/n nfs"),
        ("secret@secret.example.org:/x /mnt fuse.sshfs defaults 0 0", "/mnt fuse.sshfs"),
        ("/dev/disk/by-id/ata-Disk_secret12-part2 / ext4 defaults 0 1", "-part2 / ext4"),
        ('GRUB_CMDLINE_LINUX="quiet luks.pw=secret ip=secret:10.1.2.3"', '"quiet luks.pw='),
        ("linux /vmlinuz rd.luks.key=/secret root=UUID=1 ip=10.1.2.3:::secret", "root=UUID=1"),
        ('set superusers="secret"', "superusers="),
        ("password_pbkdf2 secret grub.pbkdf2.sha512.10000.AB12", "password_pbkdf2 "),
        ("menuentry 'x' --users secret --hotkey=w {", "--hotkey=w {"),
        ("# ask secret@example.org, 2001:db8::10.1.2.3 at 07:42:52", "07:42:52"),
        ("Uri(https://secret:secret@example.org/boot)", "example.org/boot"),
        ("hostname=secret PRETTY_NAME=Debian", "PRETTY_NAME=Debian"),
        ("grub-common 2.12-1ubuntu7.3 6.8.0-31 Version=5.1.0", "2.12-1ubuntu7.3 6.8.0-31"),
    ],
)
def test_secrets_and_addresses_are_replaced(line, kept):
    """Passwords, keys, users, servers and addresses go; what the finding needs stays."""
    hidden = Redactor(salt=b"1")(line.encode()).decode()
    assert "secret" not in hidden
    assert "10.1.2.3" not in hidden
    assert "192.168" not in hidden
    assert kept in hidden


def test_identifiers_stay_joined_however_they_are_written():
    """Lower case in fstab, lost zeros in the firmware's list; sectors and zeros are none."""
    hidden = Redactor(salt=b"1")(
        b"7A8C-9328 UUID=7a8c-9328 1234-5678 UUID=1234-5678 identifier: 0x00000000\n"
        b"004d2a1b-01 HD(1,MBR,0x4d2a1b,0x800,0x1b836000)\n"
    ).decode()
    words = re.split(r"[ \n,=]+", hidden)
    assert words[0] == words[2].upper() != "7A8C-9328"
    assert words[3] == words[5] != "1234-5678"
    assert words[8].removesuffix("-01") == words[11].removeprefix("0x") != "004d2a1b"
    assert "0x00000000" in words
    assert "0x1b836000)" in words


def test_mbr_identifiers_stay_joined():
    """The disk's identifier and its partitions' PARTUUIDs are replaced alike."""
    raw = b'Disk identifier: 0x2bd2c32a\n/dev/sda1: PARTUUID="2bd2c32a-01"\n'
    hidden = Redactor(salt=b"1")(raw).decode()
    identifier = hidden.split("0x")[1][:8]
    assert identifier != "2bd2c32a"
    assert f'PARTUUID="{identifier}-01"' in hidden


def test_an_update_is_told_by_its_changes():
    """Before and after: the order of the entries, the finding that it brings, and its rules."""
    after = HEALTHY | {
        "efibootmgr.txt": HEALTHY["efibootmgr.txt"].replace("0003,0004", "0004,0003"),
        "default_grub": DEFAULT_GRUB.replace("TIMEOUT=5", "TIMEOUT=9"),
    }
    changes = compare(diagnose(bundle_from(HEALTHY)), diagnose(bundle_from(after))).changes
    told = {(c.what, c.name): (c.before, c.after) for c in changes}
    assert told["boot-order", "BootOrder"] == ("0003,0004", "0004,0003")
    assert told["setting", "GRUB_TIMEOUT"] == ("5", "9")
    assert ("finding", "N02") in told
    assert ("N02", "N09") in [c.rules for c in changes]


def test_an_input_that_was_not_collected_is_no_change():
    """A missing file in one bundle says nothing about the computer."""
    less = {n: t for n, t in HEALTHY.items() if n not in {"efibootmgr.txt", "esp_files.txt"}}
    found = compare(diagnose(bundle_from(HEALTHY)), diagnose(bundle_from(less)))
    assert found.changes == ()
    assert {(u.what, u.only_in) for u in found.uncompared} == {
        ("boot-order", "before"),
        ("boot-entry", "before"),
        ("esp-file", "before"),
    }


def test_a_cause_that_one_side_could_not_show_is_named():
    """Without the ESP's files before, E02 may have been there: it is neither new nor left out."""
    before = {n: t for n, t in HEALTHY.items() if n != "esp_files.txt"}
    after = HEALTHY | {"esp_files.txt": "/EFI/ubuntu/shimx64.efi\n/EFI/ubuntu/grub.cfg\n"}
    found = compare(diagnose(bundle_from(before)), diagnose(bundle_from(after)))
    assert "E02" not in {c.name for c in found.changes}
    named = {u.name: u for u in found.uncompared}
    assert named["E02"].only_in == "after"
    assert [topic.value for topic in named["E02"].missing] == ["esp-files"]


def test_a_finding_by_an_optional_input_is_not_new_either():
    """C06 is shown here by the ESP's files, which the other side lacks, though it may run."""
    before = {n: t for n, t in HEALTHY.items() if n != "esp_files.txt"}
    moved = GRUB_CFG.replace("/EFI/Microsoft/Boot", "/EFI/Windows")
    after = HEALTHY | {"grub.cfg": moved}
    found = compare(
        diagnose(bundle_from(before | {"grub.cfg": moved})), diagnose(bundle_from(after))
    )
    assert "C06" not in {c.name for c in found.changes}
    named = {u.name: [topic.value for topic in u.missing] for u in found.uncompared}
    assert named["C06"] == ["esp-files"]


def test_a_finding_that_says_something_else_is_a_change():
    """The same rule about another entry is told, not taken for the same."""
    swapped = HEALTHY["efibootmgr.txt"].replace("0003,0004", "0004,0003")
    renamed = swapped.replace("Boot0003* ubuntu", "Boot0003* Ubuntu 24.04")
    before, after = (
        diagnose(bundle_from(HEALTHY | {"efibootmgr.txt": text})) for text in (swapped, renamed)
    )
    told = {c.name: (c.before, c.after) for c in compare(before, after).changes}
    assert "ubuntu" in told["N02"][0]
    assert "Ubuntu 24.04" in told["N02"][1]


def test_a_folder_that_may_not_be_looked_into(monkeypatch, tmp_path):
    """No permission is an unmet need with a next step, not a fault of labkit."""

    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(UnmetError, match="Permission denied"):
        write_archive(Collection(), tmp_path / "boot.tar.gz")


def test_a_wiped_esp_is_collected_as_an_empty_list(monkeypatch, root):
    """A mounted partition without a loader is listed under its device; a mere folder is no ESP."""
    shutil.rmtree(root / "boot/efi/EFI")
    assert "esp_files.txt" not in collect_machine(root).files
    monkeypatch.setattr(
        collecting, "_mounted_device", lambda f: "/dev/sda1" if f.name == "efi" else None
    )
    listing = collect_machine(root).files["esp_files.txt"]
    assert listing == b"# /dev/sda1\n"
    esp = parse_esp_list(decode(listing, "esp_files.txt"))[0]
    assert (esp.device, esp.files, esp.is_certain) == ("/dev/sda1", (), True)


def test_only_a_mount_point_has_a_device(root):
    """The device of / is a block device's node; a folder below it has none."""
    found = collecting._mounted_device(Path("/"))
    assert found is None or Path(found).is_block_device()
    assert collecting._mounted_device(root / "boot") is None
    assert collecting._mounted_device(root / "gone") is None


def test_a_volume_that_bitlocker_took_is_told():
    """It has no UUID any more, and is not gone."""
    locked = BLKID.replace('UUID="BEC65C4DC65C07D3" TYPE="ntfs"', 'TYPE="BitLocker"')
    after = HEALTHY | {"blkid.txt": locked}
    found = compare(diagnose(bundle_from(HEALTHY)), diagnose(bundle_from(after)))
    told = {c.name: (c.before, c.after) for c in found.changes}
    assert told["/dev/nvme0n1p3"] == ("ntfs BEC65C4DC65C07D3", "BitLocker")


@pytest.mark.parametrize("host", ["ubuntu", "fedora", "localhost", "EFI", "boot", "home", "linux"])
def test_a_host_called_like_its_system_changes_no_finding(host):
    """Installers name hosts after distributions; the loaders' folders keep their names."""
    redact = Redactor([host], salt=b"1")
    files = {name: redact(text.encode()) for name, text in HEALTHY.items()}
    assert diagnose(bundle_from(files)).verdict == "healthy"


def test_entries_that_are_files_stay_what_is_saved(tmp_path):
    """Their names hold the machine's id, as grubenv does: both are replaced alike."""
    machine = "0123456789abcdef0123456789abcdef"
    name = f"loader/entries/{machine}-6.8.conf"
    path = tmp_path / "boot.tar.gz"
    write_archive(
        Collection({name: b"title Fedora\n", "grubenv": f"saved_entry={machine}-6.8\n".encode()}),
        path,
        redact=Redactor(salt=b"1"),
    )
    documents = {i.document.name: i.document.text for i in read_bundle(path).inputs}
    [entry] = [known for known in documents if known.endswith(".conf")]
    assert machine not in entry
    assert entry.rpartition("/")[2].removesuffix(".conf") in documents["boot/grubenv"]
