"""efibootmgr's dialects, and its real program on made-up variables."""

from __future__ import annotations

import os
import struct
import subprocess
import uuid

import pytest

from labkit.boot.documents import Document
from labkit.boot.parse.efibootmgr import Starts, parse_efibootmgr
from labkit.errors import InputError

GUID = "7c56bd11-c5d6-4b00-9eb9-f80148632ee2"
VARIABLE_GUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


def entry(text):
    """The first entry of an output."""
    return parse_efibootmgr(Document.of("efibootmgr", text)).entries[0]


@pytest.mark.parametrize(
    "line",
    [
        rf"Boot0003* ubuntu HD(1,800,32000,{GUID})File(\EFI\ubuntu\shimx64.efi)",
        f"Boot0003* ubuntu\tHD(1,GPT,{GUID},0x800,0x32000)/File(\\EFI\\ubuntu\\shimx64.efi)",
        f"Boot0003* ubuntu\tHD(1,GPT,{GUID},0x800,0x32000)/\\EFI\\ubuntu\\shimx64.efi57494e44",
        f"Boot0003* ubuntu    HD(1,GPT,{GUID},0x800,0x32000)/File(\\EFI\\UBUNTU\\SHIMX64.EFI)RC",
    ],
    ids=["0.6", "17", "18 with efivar 39", "lost TAB"],
)
def test_every_dialect_gives_the_same_entry(line):
    """Label, partition and loader are read alike from each form of the line."""
    found = entry(line)
    assert (found.label, found.number, found.active) == ("ubuntu", 3, True)
    assert found.loader == "/efi/ubuntu/shimx64.efi"
    assert found.node.partuuid == GUID
    assert (found.node.number, found.node.start, found.node.size) == (1, 2048, 204800)
    assert found.starts is Starts.LINUX


def test_lost_backslashes_are_noticed():
    """A paste without backslashes still names Windows, and says that it is damaged."""
    found = entry(
        f"Boot0000* Windows    HD(1,GPT,{GUID},0x800,0x1)/File(EFIMICROSOFTBOOTBOOTMGFW.EFI)"
    )
    assert found.is_damaged
    assert found.starts is Starts.WINDOWS


def test_an_mbr_node_is_joined_by_its_signature():
    """Leading zeros that efibootmgr drops are put back."""
    found = entry(r"Boot0001* x	HD(2,MBR,0x4d2a1b,0x800,0x100)/File(\EFI\x.efi)")
    assert found.node.partuuid == "004d2a1b-02"


def test_numbers_are_compared_not_names():
    """Boot001a in lower case is 001A in BootOrder."""
    text = (
        "BootOrder: 001A\nBoot001a* ubuntu\n** Warning ** : Boot001a is not UEFI Spec compliant\n"
    )
    boot = parse_efibootmgr(Document.of("efibootmgr", text))
    assert [e.label for e in boot.in_order] == ["ubuntu"]
    assert not boot.unlisted
    assert len(boot.warnings) == 1


def test_legacy_mode_is_no_empty_list():
    """The refusal in legacy mode is read as what it is."""
    text = "EFI variables are not supported on this system.\n"
    assert not parse_efibootmgr(Document.of("efibootmgr", text)).is_supported


def test_another_tools_output_is_refused():
    """A table is no boot list."""
    with pytest.raises(InputError):
        parse_efibootmgr(Document.of("efibootmgr", "NAME FSTYPE\nsda ext4\n"))


def _file_node(path):
    data = path.encode("utf-16-le") + b"\0\0"
    return struct.pack("<BBH", 4, 4, 4 + len(data)) + data


def _load_option(label, path, *, active=True, data=b""):
    disk = struct.pack("<BBHIQQ", 4, 1, 42, 1, 2048, 204800) + uuid.UUID(GUID).bytes_le + b"\2\2"
    nodes = disk + _file_node(path) + b"\x7f\xff\x04\x00"
    head = struct.pack("<IIH", 7, int(active), len(nodes))
    return head + label.encode("utf-16-le") + b"\0\0" + nodes + data


def test_the_real_program_is_understood(need_tool, tmp_path):
    """What efibootmgr prints of variables made for it is read back exactly."""
    variables = {
        "Boot0003": _load_option("ubuntu (test) HD(", "\\EFI\\ubuntu\\shimx64.efi"),
        "Boot0004": _load_option(
            "Windows Boot Manager",
            "\\EFI\\Microsoft\\Boot\\bootmgfw.efi",
            active=False,
            data=b"WINDOWS\0\1\0\0\0",
        ),
        "BootOrder": struct.pack("<IHH", 7, 4, 3),
        "BootCurrent": struct.pack("<IH", 6, 3),
        "BootNext": struct.pack("<IH", 7, 4),
        "Timeout": struct.pack("<IH", 7, 2),
    }
    for name, raw in variables.items():
        (tmp_path / f"{name}-{VARIABLE_GUID}").write_bytes(raw)
    result = subprocess.run(
        [need_tool("efibootmgr"), "-v"],
        env={**os.environ, "EFIVARFS_PATH": f"{tmp_path}/"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    boot = parse_efibootmgr(Document.of("efibootmgr", result.stdout))
    assert (boot.order, boot.current, boot.next) == ((4, 3), 3, 4)
    ubuntu, windows = boot.entries
    assert (ubuntu.label, ubuntu.loader) == ("ubuntu (test) HD(", "/efi/ubuntu/shimx64.efi")
    assert (windows.active, windows.starts, windows.has_windows_data) == (
        False,
        Starts.WINDOWS,
        True,
    )
    assert windows.node.partuuid == GUID


PCI = struct.pack("<BBHII", 2, 1, 12, 0x0A0341D0, 0) + struct.pack("<BBHBB", 1, 1, 6, 0, 0x14)
END = struct.pack("<BBH", 0x7F, 0xFF, 4)
# UEFI 2.10, 10.3: type, subtype, length, and each node's own fields.
MEDIA = {
    "stick": PCI + struct.pack("<BBHBB", 3, 5, 6, 3, 0),
    "network": PCI + struct.pack("<BBH32sB", 3, 11, 37, bytes(range(6)) + bytes(26), 1),
    "network by IPv4": PCI
    + struct.pack("<BBH32sB", 3, 11, 37, bytes(range(6)) + bytes(26), 1)
    + struct.pack("<BBH", 3, 12, 27)
    + bytes(23),
    "legacy disk": struct.pack("<BBHHH", 5, 1, 13, 2, 0) + b"Disk\0",
    "setup": struct.pack("<BBH16s", 4, 6, 20, uuid.UUID(GUID).bytes_le),
}
DISKS = {
    "whole disk": PCI + struct.pack("<BBHIQ", 3, 23, 16, 1, 0x0102030405060708),
    "short form": b"",
}


@pytest.mark.parametrize("name", [*MEDIA, *DISKS])
def test_what_needs_a_medium_is_told_by_its_path(name, need_tool, tmp_path):
    """The real program's words for sticks, networks, legacy disks and setup, and for disks."""
    path = (MEDIA | DISKS)[name]
    if name in DISKS:
        hd = struct.pack("<BBHIQQ16sBB", 4, 1, 42, 1, 2048, 204800, uuid.UUID(GUID).bytes_le, 2, 2)
        file = "\\EFI\\tool.efi\0".encode("utf-16-le")
        path += hd + struct.pack("<BBH", 4, 4, 4 + len(file)) + file
    path += END
    label = "Entry\0".encode("utf-16-le")
    option = struct.pack("<IIH", 7, 1, len(path)) + label + path
    (tmp_path / f"Boot0001-{VARIABLE_GUID}").write_bytes(option)
    (tmp_path / f"BootOrder-{VARIABLE_GUID}").write_bytes(struct.pack("<IH", 7, 1))
    result = subprocess.run(
        [need_tool("efibootmgr"), "-v"],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "EFIVARFS_PATH": f"{tmp_path}/"},
        check=False,
    )
    found = entry(result.stdout)
    assert found.path, result.stdout
    assert found.starts is Starts.OTHER
    assert found.needs_medium is (name in MEDIA), found.path


@pytest.mark.parametrize(
    ("label", "needs"),
    [
        ("USB HDD", True),
        ("UEFI: PXE IPv4 Realtek", True),
        ("EFI DVD/CDROM", True),
        ("Network Boot", True),
        ("Setup", True),
        ("Windows Boot Manager", False),
        ("ubuntu", False),
        ("Samsung SSD 970", False),
    ],
)
def test_without_a_path_the_label_tells(label, needs):
    """A list without -v shows labels only."""
    assert entry(f"Boot0001* {label}").needs_medium is needs
