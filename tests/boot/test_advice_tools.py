"""The real tools accept the commands that a fix prints, and the undo brings the old state back."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import uuid

import pytest

from boot.test_rules import CASES
from support.boot_inputs import (
    BLKID,
    ESP_PARTUUID,
    FDISK,
    HEALTHY,
    diagnosed,
    findings_by_rule,
    without_windows_entry,
)

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
TABLE = """\
label: gpt
start=2048, size=20480, type={esp}
start=22528, size=20480, type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE
start=43008, size=20480, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7
start=63488, size=20480, type={root}
"""
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def advice(rule_id, changes):
    """The finding of a rule on the healthy computer with these changes."""
    return findings_by_rule(diagnosed(HEALTHY | changes))[rule_id]


def shell(command, **environment):
    """Run one printed command without sudo, as a shell would."""
    return subprocess.run(
        ["sh", "-c", command.removeprefix("sudo ")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "LC_ALL": "C", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        | environment,
    )


@pytest.mark.parametrize(
    ("rule_id", "changes", "types", "wanted"),
    [
        (
            "E01",
            CASES["E01"],
            {"esp": "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "root": ROOT},
            {1: ESP, 4: ROOT},
        ),
        (
            "E04",
            {
                "fdisk.txt": FDISK.replace("256.8G Linux filesystem", "256.8G EFI System"),
                "blkid.txt": BLKID,
            },
            {"esp": ESP, "root": ESP},
            {1: ESP, 4: ROOT},
        ),
    ],
)
def test_sfdisk_sets_the_type_and_takes_it_back(
    need_tool, tmp_path, rule_id, changes, types, wanted
):
    """The printed line changes the type alone, and the undo gives the table that was there."""
    sfdisk, image = need_tool("sfdisk"), tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(
        [sfdisk, "-q", image], input=TABLE.format(**types), text=True, timeout=30, check=True
    )
    before = shell(f"sfdisk -d {image}").stdout
    found = advice(rule_id, changes)
    command = next(line for line in found.fix.split("\n") if "--part-type" in line)
    assert shell(command.replace("/dev/nvme0n1", str(image))).returncode == 0
    for number, guid in wanted.items():
        assert shell(f"sfdisk --part-type {image} {number}").stdout.strip() == guid
    assert shell(found.undo.replace("/dev/nvme0n1", str(image))).returncode == 0
    assert shell(f"sfdisk -d {image}").stdout == before


def entry(label, path):
    """The content of a Boot variable, after its four bytes of attributes."""
    file = path.encode("utf-16-le") + b"\0\0"
    node = b"\x04\x01\x2a\x00" + struct.pack("<IQQ", 1, 2048, 204800)
    node += uuid.UUID(ESP_PARTUUID).bytes_le + b"\x02\x02"
    node += b"\x04\x04" + struct.pack("<H", 4 + len(file)) + file + b"\x7f\xff\x04\x00"
    return struct.pack("<IH", 1, len(node)) + label.encode("utf-16-le") + b"\0\0" + node


@pytest.fixture
def variables(need_tool, tmp_path):
    """A folder of firmware variables that efibootmgr reads and changes, as text of its list."""
    need_tool("efibootmgr")
    folder = tmp_path / "efivars"
    folder.mkdir()
    contents = {
        "Boot0003": entry("ubuntu", "\\EFI\\ubuntu\\shimx64.efi"),
        "Boot0004": entry("Windows Boot Manager", "\\EFI\\Microsoft\\Boot\\bootmgfw.efi"),
        "BootOrder": struct.pack("<3H", 4, 1, 3),
    }
    for name, content in contents.items():
        (folder / f"{name}-{GLOBAL}").write_bytes(b"\x07\0\0\0" + content)
    return {"EFIVARFS_PATH": f"{folder}/"}


def test_efibootmgr_takes_the_order_and_the_old_one(variables):
    """An order with a number that has no entry is refused: neither command names one."""
    listed = shell("efibootmgr -v", **variables).stdout
    assert "BootOrder: 0004,0001,0003" in listed
    assert shell("efibootmgr -o 0003,0004,0001", **variables).returncode != 0
    found = advice("N02", {"efibootmgr.txt": listed})
    command = found.fix.split("\n")[0]
    assert "BootOrder: 0003,0004" in shell(command, **variables).stdout
    assert "BootOrder: 0004,0003" in shell(found.undo, **variables).stdout


def test_efibootmgr_knows_the_options_of_a_new_entry(variables):
    """It gets as far as writing the variable, and refuses a number that is taken."""
    listed = shell("efibootmgr -v", **variables).stdout.replace("bootmgfw", "other")
    command = advice("N03", {"efibootmgr.txt": listed}).fix.split("\n")[0]
    taken = command.replace("-b 0000", "-b 0003")
    assert "already exists" in shell(taken, **variables).stderr
    assert "already exists" not in shell(command, **variables).stderr
    assert "usage" not in shell(command, **variables).stderr


def test_grub_reads_the_lines_for_its_prompt(need_tool, tmp_path):
    """What is to be typed at `grub>` is GRUB's own language."""
    lines = advice("C04", CASES["C04"]).fix.split("\n")
    typed = [line for line in lines if line.startswith(("search", "set ", "configfile"))]
    assert len(typed) == 3
    script = tmp_path / "typed.cfg"
    script.write_text("\n".join(typed) + "\n")
    checker = need_tool("grub-script-check")
    assert subprocess.run([checker, script], timeout=30, check=False).returncode == 0


@pytest.mark.parametrize("rule_id", sorted(CASES))
def test_a_shell_can_read_every_command(rule_id):
    """`sh -n` accepts each line that is to be run in Linux."""
    for found in findings_by_rule(diagnosed(HEALTHY | CASES[rule_id])).values():
        for line in (*found.fix.split("\n"), *found.undo.split("\n")):
            if line.startswith(("sudo ", "for ")):
                checked = subprocess.run(
                    ["sh", "-nc", line], capture_output=True, timeout=30, check=False
                )
                assert checked.returncode == 0, line


ODD_LINES = (
    "GRUB_DEFAULT='Windows Boot Manager (on /dev/nvme9n1p1)'  # mine",
    'export GRUB_DEFAULT="Windows Boot Manager (on /dev/nvme9n1p1)"',
    "GRUB_DISABLE_OS_PROBER='true' # switched off",
    "GRUB_DEFAULT='a b'\nGRUB_SAVEDEFAULT=true",
    "GRUB_TIMEOUT_STYLE='hidden'\nGRUB_TIMEOUT='0' # none",
)


@pytest.mark.parametrize("lines", ODD_LINES)
@pytest.mark.parametrize("log", [None, "Warning: os-prober will not be executed to detect other\n"])
def test_an_old_line_is_that_of_the_file(need_tool, lines, log):
    """What undo gives to be put back stands in the file as it is, and the shell reads it."""
    files = HEALTHY | {"default_grub": f"{lines}\n", "os-release": "ID=debian\n"}
    files["grub.cfg"] = without_windows_entry().replace(
        "timeout_style=menu", "timeout_style=hidden"
    )
    files["update-grub.txt"] = log
    old = [
        match[1]
        for ranked in diagnosed(files).findings
        for match in re.finditer(r"old line(?: of \S+)?: (.*)", ranked.finding.undo)
        if match[1] != "no GRUB_DEFAULT"
    ]
    assert old
    for line in old:
        assert line in lines.split("\n")
        check = subprocess.run(
            [need_tool("dash"), "-n"], input=line, text=True, capture_output=True, check=False
        )
        assert check.returncode == 0, line
