"""Moving Windows to a larger disk: real sfdisk accepts the layout, and what cannot move is told."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.boot.documents import Document
from labkit.boot.migrate import MIB, parse_disk_size, plan_migration
from labkit.boot.partition_types import PartitionType
from labkit.errors import InputError, LabkitError, RefusedError, UsageError
from support.boot_inputs import FDISK

TB = 10**12
GUIDS = {
    PartitionType.ESP: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    PartitionType.MSR: "E3C9E316-0B5C-4DB8-817D-F92DF00215AE",
    PartitionType.MICROSOFT_DATA: "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
    PartitionType.RECOVERY: "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC",
}
# As Windows 8 was set up by makers: recovery first, a second volume, ends off every grid.
MAKERS_DISK = {
    "label": "gpt",
    "device": "/dev/sda",
    "unit": "sectors",
    "firstlba": 34,
    "lastlba": 976773134,
    "sectorsize": 512,
    "partitions": [
        {"node": f"/dev/sda{n}", "start": start, "size": size, "type": GUIDS[kind]}
        for n, (start, size, kind) in enumerate(
            [
                (2048, 819201, PartitionType.RECOVERY),
                (821250, 532480, PartitionType.ESP),
                (1353730, 262144, PartitionType.MSR),
                (1615874, 600000001, PartitionType.MICROSOFT_DATA),
                (601615875, 300000000, PartitionType.MICROSOFT_DATA),
            ],
            1,
        )
    ],
}


def table(text):
    """Give a text as a partition table."""
    return Document.of("table.txt", text)


def sfdisk_json(**changes):
    """Give the maker's disk in sfdisk's JSON, with changes."""
    return table(json.dumps({"partitiontable": {**MAKERS_DISK, **changes}}))


def roles(plan):
    """Name what the new disk holds, in order."""
    return [partition.role for partition in plan.partitions]


def test_windows_own_layout_is_kept_and_windows_gets_the_space():
    """100 MiB, 16 MiB, and the rest: at the offsets that Windows' setup uses, in KiB."""
    plan = plan_migration(table(FDISK), TB)

    assert roles(plan) == [PartitionType.ESP, PartitionType.MSR, PartitionType.MICROSOFT_DATA]
    assert [p.offset_kib for p in plan.partitions] == [1024, 103424, 119808]
    assert [p.size_mib for p in plan.partitions] == [100, 16, TB // MIB - 2 - 116]
    assert plan.left_behind == ("/dev/nvme0n1p4",)


def test_the_script_makes_each_partition_where_the_plan_says():
    """The diskpart commands; nothing is erased before a disk number has been put in."""
    plan = plan_migration(sfdisk_json(), TB)
    commands = [line for line in plan.script.splitlines() if not line.startswith("rem ")]

    assert commands[:3] == ["select disk N", "clean", "convert gpt"]
    assert [line for line in commands if line.startswith("create")] == [
        f"create partition {kind} size={p.size_mib} offset={p.offset_kib}"
        for kind, p in zip(
            ("efi", "msr", "primary", "primary", "primary"), plan.partitions, strict=True
        )
    ]
    recovery = commands.index('format quick fs=ntfs label="Recovery"')
    assert commands[recovery + 1 : recovery + 3] == [
        'set id="de94bba4-06d1-4d40-a16a-bfd50179d6ac"',
        "gpt attributes=0x8000000000000001",
    ]
    assert plan.bcdboot == r"bcdboot W:\Windows /s S: /f UEFI"
    assert 'assign letter="S"' in commands
    assert 'assign letter="W"' in commands


def test_recovery_follows_windows_and_other_data_keeps_its_size():
    """Wherever the old disk had them; sizes are rounded up to whole mebibytes, never down."""
    plan = plan_migration(sfdisk_json(), TB)

    assert roles(plan) == [
        PartitionType.ESP,
        PartitionType.MSR,
        PartitionType.MICROSOFT_DATA,
        PartitionType.RECOVERY,
        PartitionType.MICROSOFT_DATA,
    ]
    assert [p.source for p in plan.partitions] == [
        "/dev/sda2",
        None,
        "/dev/sda4",
        "/dev/sda1",
        "/dev/sda5",
    ]
    assert [p.size_mib for p in plan.partitions[3:]] == [401, 146485]


def test_sectors_of_4096_bytes_get_an_efi_partition_that_fat32_can_have():
    """100 MiB are too few clusters there."""
    parts = [
        {"node": "/dev/sda1", "start": 256, "size": 25600, "type": GUIDS[PartitionType.ESP]},
        {
            "node": "/dev/sda2",
            "start": 25856,
            "size": 10**7,
            "type": GUIDS[PartitionType.MICROSOFT_DATA],
        },
    ]
    plan = plan_migration(
        sfdisk_json(sectorsize=4096, firstlba=6, lastlba=12000000, partitions=parts), TB
    )

    assert plan.partitions[0].size_mib == 260


@pytest.mark.parametrize("size", ["1TB", "1TiB", "2000398934016", "501GB"])
def test_sfdisk_accepts_the_layout_on_a_disk_of_that_size(need_tool, tmp_path, size):
    """The real tool makes it, aligned and inside the disk, and finds nothing to complain about."""
    size_bytes = parse_disk_size(size)
    plan = plan_migration(sfdisk_json(), size_bytes)
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(size_bytes)
    script = "label: gpt\n" + "".join(
        f"start={p.offset_mib * 2048}, size={p.size_mib * 2048}, type={GUIDS[p.role]}\n"
        for p in plan.partitions
    )
    sfdisk = need_tool("sfdisk")
    subprocess.run([sfdisk, "-q", image], input=script, text=True, check=True, timeout=20)
    verify = subprocess.run(
        [sfdisk, "--verify", image], capture_output=True, text=True, timeout=20, check=True
    )
    made = json.loads(
        subprocess.run(
            [sfdisk, "--json", image], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    )["partitiontable"]["partitions"]

    assert "No errors detected" in verify.stdout
    assert [(p["start"], p["size"]) for p in made] == [
        (p.offset_mib * 2048, p.size_mib * 2048) for p in plan.partitions
    ]
    assert all(p["start"] % 2048 == 0 for p in made)


@given(st.integers(min_value=501 * 10**9, max_value=10**15))
def test_any_larger_disk_is_filled_without_overlap_or_loss(size_bytes):
    """Partitions touch, none shrinks, and the table's copy at the end stays free."""
    plan = plan_migration(sfdisk_json(), size_bytes)
    old = {p["node"]: p["size"] * 512 for p in MAKERS_DISK["partitions"]}
    end = 1
    for partition in plan.partitions:
        assert partition.offset_mib == end
        end += partition.size_mib
        if partition.source:
            assert partition.size_mib * MIB >= old[partition.source]
    assert MIB <= size_bytes - end * MIB < 2 * MIB


def test_a_smaller_disk_is_refused():
    """Also one that is smaller by a little: makers' sizes differ."""
    with pytest.raises(RefusedError, match="smaller than /dev/nvme0n1"):
        plan_migration(table(FDISK), 500 * 10**9)


def test_a_disk_without_room_for_the_alignment_is_refused():
    """The table does not tell the old disk's length, and rounding up needs more."""
    tight = [
        {"node": "/dev/sda1", "start": 34, "size": 204800, "type": GUIDS[PartitionType.ESP]},
        {
            "node": "/dev/sda2",
            "start": 204834,
            "size": 10**7,
            "type": GUIDS[PartitionType.MICROSOFT_DATA],
        },
    ]
    document = table(
        "label: gpt\ndevice: /dev/sda\nunit: sectors\n\n"
        + "".join(
            f"{p['node']} : start={p['start']}, size={p['size']}, type={p['type']}\n" for p in tight
        )
    )
    with pytest.raises(RefusedError, match="MiB too small"):
        plan_migration(document, (204834 + 10**7) * 512)


def test_an_overlapping_table_is_refused():
    """One of the two is wrong, and a layout would carry that over."""
    table = FDISK.replace("239616  461590527", "200000  461590527")
    with pytest.raises(RefusedError, match="overlap from sector 200000"):
        plan_migration(Document.of("fdisk.txt", table), TB)


def test_an_mbr_disk_is_told_how_to_become_gpt():
    """Windows' own converter comes first."""
    mbr = {
        "label": "dos",
        "id": "0x1234abcd",
        "device": "/dev/sda",
        "unit": "sectors",
        "sectorsize": 512,
        "partitions": [
            {"node": "/dev/sda1", "start": 2048, "size": 1024000, "type": "7", "bootable": True},
            {"node": "/dev/sda2", "start": 1026048, "size": 900000000, "type": "7"},
        ],
    }
    with pytest.raises(RefusedError, match="MBR") as caught:
        plan_migration(table(json.dumps({"partitiontable": mbr})), TB)
    assert "mbr2gpt" in (caught.value.hint or "")


def test_a_dynamic_disk_is_refused(boot_cases):
    """A real one, with volumes that partitions do not show."""
    case = boot_cases / "subiquity-ms-win-dyn-disk"
    documents = [Document.of(p.name, p.read_text()) for p in case.glob("*sfdisk*")]
    assert documents
    with pytest.raises(RefusedError, match="dynamic disk"):
        plan_migration(documents[0], 10 * TB)


def test_a_real_windows_11_disk_moves(boot_cases):
    """Its partitions have Windows' usual ends off the grid; all begin aligned on the new disk."""
    case = boot_cases / "subiquity-win11-along-ubuntu"
    document = next(Document.of(p.name, p.read_text()) for p in case.glob("*sfdisk*"))
    plan = plan_migration(document, 4 * TB)
    assert roles(plan)[:3] == [PartitionType.ESP, PartitionType.MSR, PartitionType.MICROSOFT_DATA]


def test_a_disk_without_windows_is_refused():
    """A Linux disk, and a text that is no table."""
    linux = FDISK.replace("Microsoft basic data", "Linux filesystem")
    with pytest.raises(InputError, match="no Windows"):
        plan_migration(table(linux), TB)
    with pytest.raises(InputError):
        plan_migration(table("BootOrder: 0001\nBoot0001* x\n"), TB)


def test_of_two_windows_disks_one_must_be_chosen():
    """Both are named; the wish decides, and a disk that is not there is an error."""
    two = table(FDISK + "\n" + FDISK.replace("nvme0n1", "nvme1n1"))
    with pytest.raises(UsageError, match="nvme0n1, /dev/nvme1n1"):
        plan_migration(two, TB)
    assert plan_migration(two, TB, disk="/dev/nvme1n1").disk == "/dev/nvme1n1"
    with pytest.raises(InputError, match="no disk /dev/sdz"):
        plan_migration(two, TB, disk="/dev/sdz")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1T", TB),
        ("1TB", TB),
        ("1 tb", TB),
        ("1TiB", 1 << 40),
        ("931.5GiB", 1000190509056),
        ("1000204886016", 1000204886016),
        ("512110190592B", 512110190592),
    ],
)
def test_sizes_are_read_as_they_are_written_on_disks(text, size):
    """Decimal prefixes count in thousands, binary ones in 1024s."""
    assert parse_disk_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "-1T", "big", "1e12", "1.5", "1X", "9" * 30, "\u0661TB", "T"]
)
def test_what_is_no_size_is_refused(text):
    """With the ways to write one."""
    with pytest.raises(UsageError, match="not the size"):
        parse_disk_size(text)


@given(st.text("0123456789.,kKMGTPiB- ", max_size=12))
def test_any_text_is_a_size_or_a_clear_error(text):
    """Never a traceback, never a size of nothing."""
    with contextlib.suppress(LabkitError):
        assert parse_disk_size(text) > 0


def test_rounded_sizes_are_refused():
    """Cylinders and `9.5G` are too coarse: a copy might not fit into what they say."""
    rows = re.sub(r"^(/dev/\S+)\s+\d+\s+\d+\s+\d+", r"\1", FDISK, flags=re.MULTILINE)
    rows = rows.replace("Device             Start        End   Sectors", "Device")
    with pytest.raises(InputError, match="rounded sizes") as caught:
        plan_migration(Document.of("fdisk", rows), 2 * 10**12)
    assert "without -u" in caught.value.hint
