"""Partition tables: the real fdisk, sfdisk and parted on sparse images, and their translations."""

from __future__ import annotations

import gettext
import re
import subprocess

import pytest

from labkit.boot.documents import Document
from labkit.boot.kinds import Kind, recognise
from labkit.boot.parse.fdisk import parse_fdisk
from labkit.boot.parse.parted import parse_parted
from labkit.boot.parse.sfdisk import parse_sfdisk_dump, parse_sfdisk_json
from labkit.boot.parse.sgdisk import parse_sgdisk_table
from labkit.boot.partition_table import read_table
from labkit.boot.partition_types import PartitionType, type_of_name
from labkit.errors import InputError
from support.boot_inputs import FDISK

ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
DATA = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
MSR = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
WINDOWS_LAYOUT = f"""\
label: gpt
first-lba: 34
start=2048, size=204800, type={ESP}, name="Basic data partition"
start=206848, size=32768, type={MSR}
start=239616, size=20000000, type={DATA}
start=20240384, size=20000000, type={LINUX}
"""
WINDOWS_SHAPE = [
    (2048, 204800, PartitionType.ESP),
    (206848, 32768, PartitionType.MSR),
    (239616, 20000000, PartitionType.MICROSOFT_DATA),
    (20240384, 20000000, PartitionType.LINUX),
]


@pytest.fixture
def disk(need_tool, tmp_path):
    """A function that makes a sparse disk image from an sfdisk script."""
    sfdisk = need_tool("sfdisk")

    def make(script, size="40G", name="d.img"):
        image = tmp_path / name
        subprocess.run(["truncate", "-s", size, image], check=True, timeout=20)
        subprocess.run(
            [sfdisk, "-q", image], input=script, text=True, check=True, timeout=20, cwd=tmp_path
        )
        return image

    return make


@pytest.fixture
def output(need_tool):
    """A function that runs a tool and gives its outputs, complaints first, as a document."""

    def run(tool, *arguments):
        result = subprocess.run(
            [need_tool(tool), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            env={"LC_ALL": "C.UTF-8"},
            check=False,
        )
        return Document.of(tool, result.stderr + result.stdout)

    return run


def _shape(disks):
    return [(p.start, p.size, p.type) for d in disks for p in d.partitions]


def test_all_tools_tell_the_same_table(disk, output):
    """fdisk, sfdisk (JSON and dump) and parted give the same partitions of one image."""
    image = disk(WINDOWS_LAYOUT)
    assert _shape(parse_fdisk(output("fdisk", "-l", image))) == WINDOWS_SHAPE
    assert _shape(parse_sfdisk_json(output("sfdisk", "--json", image))) == WINDOWS_SHAPE
    assert _shape(parse_sfdisk_dump(output("sfdisk", "-d", image))) == WINDOWS_SHAPE
    with_ids = parse_sfdisk_json(output("sfdisk", "--json", image))[0].partitions[0]
    assert (with_ids.type_id, with_ids.name) == (ESP.lower(), "Basic data partition")


def test_parted_tells_the_same_table(disk, output):
    """Parted in sectors agrees, as far as its flags tell types."""
    disks = parse_parted(
        output("parted", "-s", "-m", str(disk(WINDOWS_LAYOUT)), "unit", "s", "print")
    )
    assert (disks[0].partitions[0].start, disks[0].partitions[0].size) == (2048, 204800)
    assert disks[0].partitions[0].type is PartitionType.ESP


def test_an_mbr_table_with_logical_partitions(disk, output):
    """Extended and logical partitions, flags and ids are read, and are no overlap."""
    script = (
        "label: dos\nlabel-id: 0x2bd2c32a\nstart=2048,size=1024000,type=7,bootable\n"
        "start=1026048,size=40000000,type=5\nstart=1028096,size=2000000,type=83\n"
    )
    # The third is logical: it lies inside the extended one.
    image = disk(script.replace("start=1028096", "5: start=1028096"))
    found = parse_fdisk(output("fdisk", "-l", image))[0]
    assert (found.scheme, found.disk_id) == ("dos", "0x2bd2c32a")
    assert [p.active for p in found.partitions] == [True, False, False]
    assert [p.type_id for p in found.partitions] == ["0x07", "0x05", "0x83"]
    assert not [f for f in read_table(output("fdisk", "-l", image)).findings if f.rule == "P01"]


def test_a_retyped_esp_is_seen(disk, output, need_tool):
    """What a Windows repair does to the type is told from the table alone."""
    image = disk(WINDOWS_LAYOUT)
    subprocess.run(
        [need_tool("sfdisk"), "-q", "--part-type", image, "1", DATA], check=True, timeout=20
    )
    found = parse_fdisk(output("fdisk", "-l", image))[0].partitions[0]
    assert found.type is PartitionType.MICROSOFT_DATA


def test_a_disk_copied_to_a_larger_one(disk, output):
    """The backup table in the middle is P03, with the command that moves it."""
    image = disk(WINDOWS_LAYOUT)
    subprocess.run(["truncate", "-s", "50G", image], check=True, timeout=20)
    findings = {f.rule: f for f in read_table(output("fdisk", "-l", image)).findings}
    assert findings["P03"].severity == "warn"
    assert "sgdisk -e" in findings["P03"].fix


def test_a_disk_copied_to_a_smaller_one(disk, output):
    """The tools see an MBR disk; labkit sees a damaged GPT."""
    image = disk(WINDOWS_LAYOUT)
    subprocess.run(["truncate", "-s", "15G", image], check=True, timeout=20)
    findings = {f.rule: f for f in read_table(output("fdisk", "-l", image)).findings}
    assert findings["P03"].severity == "error"
    assert "damaged GPT" in findings["P03"].message


def test_misalignment_is_told(disk, output):
    """A start off the mebibyte is a remark; MSR at sector 34 is none."""
    script = (
        f"label: gpt\nfirst-lba: 34\nstart=34,size=32734,type={MSR}\n"
        f"start=40961,size=2000000,type={LINUX}\n"
    )
    found = read_table(output("fdisk", "-l", disk(script)))
    misaligned = [f for f in found.findings if f.rule == "P02"]
    assert [f.severity for f in misaligned] == ["info"]
    assert "40961" in misaligned[0].message


def test_free_space_is_a_row(disk, output):
    """What lies between the partitions and behind the last is shown as free."""
    rows = read_table(output("fdisk", "-l", disk(WINDOWS_LAYOUT))).rows
    free = [(row.start, row.size_bytes) for row in rows if row.role == "free"]
    # 40 GiB: 83,886,080 sectors, of which GPT keeps the last 33.
    assert free == [(40240384, (83886080 - 33 - 40240384) * 512)]


def test_tables_read_out_of_boot_sectors_are_none():
    """A `table` on a partition or an optical drive is data that looks like one."""
    text = (
        '[{"partitiontable": {"label": "dos", "id": "0x73736572", "device": "/dev/%s",'
        ' "unit": "sectors", "partitions": []}}]'
    )
    for device in ("sda1", "nvme0n1p3", "sr0"):
        assert parse_sfdisk_json(Document.of("sfdisk", text % device)) == ()
    assert parse_sfdisk_json(Document.of("sfdisk", text % "nvme0n1"))


NAMES = {
    "EFI System": PartitionType.ESP,
    "Microsoft basic data": PartitionType.MICROSOFT_DATA,
    "Microsoft reserved": PartitionType.MSR,
    "BIOS boot": PartitionType.BIOS_BOOT,
    "Linux filesystem": PartitionType.LINUX,
    "Linux swap": PartitionType.SWAP,
    "Windows recovery environment": PartitionType.RECOVERY,
    "Microsoft LDM data": PartitionType.LDM_DATA,
    "Microsoft LDM metadata": PartitionType.LDM_METADATA,
    "Linux LVM": PartitionType.LVM,
    "Linux extended boot": PartitionType.XBOOTLDR,
    "Microsoft Storage Spaces": PartitionType.STORAGE_SPACES,
}
LANGUAGES = ["cs", "de", "es", "fr", "ja", "nl", "pl", "pt_BR", "ru", "sv", "uk", "zh_CN"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_types_are_known_in_every_language(language):
    """Fdisk's own translations of the types lead to the same types."""
    try:
        names = gettext.translation("util-linux", "/usr/share/locale", [language])
    except OSError:
        pytest.skip("needs the package util-linux-locales")
    assert {n: type_of_name(names.gettext(n)) for n in NAMES} == NAMES


@pytest.mark.parametrize(
    ("disk_line", "label", "heading"),
    [
        ("Festplatte /dev/sda: 477 GiB, 512110190592 Bytes, 1000215216 Sektoren",
         "Festplattenbezeichnungstyp: gpt", "Gerät Anfang Ende Sektoren Größe Typ"),
        ("Disco /dev/sda: 477 GiB, 512110190592 bytes, 1000215216 sectores",
         "Tipo de etiqueta de disco: gpt", "Disposit. Comienzo Final Sectores Tamaño Tipo"),
        ("Диск /dev/sda: 477 GiB, 512110190592 байт, 1000215216 секторов",
         "Тип метки диска: gpt", "Устр-во начало Конец Секторы Размер Тип"),
        ("Disque /dev/sda\u00a0: 477 GiB, 512110190592\u00a0octets, 1000215216\u00a0secteurs",
         "Type d'étiquette de disque\u00a0: gpt", "Périphérique Début Fin Secteurs Taille Type"),
    ],
    ids=["de", "es", "ru", "fr"],
)  # fmt: skip
def test_translated_tables_are_read(disk_line, label, heading):
    """The lines are known by their numbers, in any language."""
    row = "/dev/sda1    2048 206847 204800  100M EFI-System"
    disk = parse_fdisk(Document.of("fdisk", f"{disk_line}\n{label}\n\n{heading}\n{row}\n"))[0]
    assert (disk.device, disk.scheme, disk.sectors) == ("/dev/sda", "gpt", 1000215216)
    assert disk.partitions[0].type is PartitionType.ESP


def test_collapsed_blanks_do_not_matter():
    """A table whose columns were squeezed is the same table."""
    squeezed = re.sub(r" +", " ", FDISK)
    assert _shape(parse_fdisk(Document.of("f", squeezed))) == _shape(
        parse_fdisk(Document.of("f", FDISK))
    )


def test_old_layout_with_empty_slots():
    """Cylinder marks and empty slots of an old fdisk are no partitions."""
    text = (
        "Disk /dev/sda: 500.1 GB, 500107862016 bytes\n"
        "   Device Boot      Start         End      Blocks   Id  System\n"
        "/dev/sda1   *        2048     1026047      512000    7  HPFS/NTFS/exFAT\n"
        "/dev/sda2               0           0           0    0  Empty\n"
    )
    disk = parse_fdisk(Document.of("fdisk", text))[0]
    assert [p.device for p in disk.partitions] == ["/dev/sda1"]
    assert disk.partitions[0].active


def test_a_cut_json_is_refused():
    """Half a JSON document is an error that says so."""
    with pytest.raises(InputError, match="cut"):
        parse_sfdisk_json(Document.of("sfdisk", '{"partitiontable": {"label": "gpt"'))


def test_another_tools_output_is_refused():
    """A boot list is no table, and the message names what it is."""
    with pytest.raises(InputError, match="efibootmgr"):
        read_table(Document.of("x", "BootCurrent: 0001\nBootOrder: 0001\nBoot0001* x\n"))


MBR_SCRIPT = (
    "label: dos\nlabel-id: 0x2bd2c32a\nstart=2048,size=1024000,type=7,bootable\n"
    "start=1026048,size=40000000,type=5\n5: start=1028096,size=2000000,type=83\n"
)


@pytest.mark.parametrize("script", [WINDOWS_LAYOUT, MBR_SCRIPT], ids=["gpt", "mbr"])
def test_cylinders_are_no_places(disk, output, script):
    """Neighbours share a cylinder: types and rough lengths are told, no place and no overlap."""
    image = disk(script)
    exact = parse_fdisk(output("fdisk", "-l", image))
    rough = parse_fdisk(output("fdisk", "-l", "-u=cylinders", image))
    assert [p.type for d in rough for p in d.partitions] == [
        p.type for d in exact for p in d.partitions
    ]
    for one, other in zip(rough[0].partitions, exact[0].partitions, strict=True):
        assert one.start is None
        assert one.size_bytes == pytest.approx(other.size * 512, rel=0.05)
    assert not read_table(output("fdisk", "-l", "-u=cylinders", image)).findings


def test_cylinders_are_told_without_the_line_that_says_so(disk, output):
    """A paste that lost the line with the units is still no table of sectors."""
    lines = output("fdisk", "-l", "-u=cylinders", disk(MBR_SCRIPT)).lines
    cut = Document.of("fdisk", "\n".join(line for line in lines if "16065" not in line))
    assert {p.start for p in parse_fdisk(cut)[0].partitions} == {None}
    assert "P01" not in {f.rule for f in read_table(cut).findings}


def test_an_old_table_in_cylinders_is_known_by_its_blocks():
    """Before util-linux 2.22 cylinders were the default, and lengths are in blocks of 1 KiB."""
    text = (
        "Disk /dev/sda: 500.1 GB, 500107862016 bytes\n"
        "   Device Boot      Start         End      Blocks   Id  System\n"
        "/dev/sda1   *           1          13      102400    7  HPFS/NTFS\n"
        "Partition 1 does not end on cylinder boundary.\n"
        "/dev/sda2              13       60802   488282112+   7  HPFS/NTFS\n"
    )
    document = Document.of("fdisk", text)
    assert [p.start for p in parse_fdisk(document)[0].partitions] == [None, None]
    assert not [f for f in read_table(document).findings if f.rule == "P01"]


@pytest.mark.parametrize(
    "columns",
    [
        "Device,Start,End,Type",
        "Type,Device,Start,End,Sectors",
        "Device,Start,Sectors,Type-UUID,UUID,Name",
        "Device,Type-UUID,Start,End",
        "Device,Start,End,Type,Name,Attrs",
        "+UUID,Name",
    ],
)
def test_chosen_columns_are_read(disk, output, columns):
    """Whatever columns fdisk's -o shows, in any order, the partitions are the same."""
    image = disk(WINDOWS_LAYOUT)
    expected = _shape(parse_fdisk(output("fdisk", "-l", image)))
    assert _shape(parse_fdisk(output("fdisk", "-l", "-o", columns, image))) == expected


@pytest.mark.parametrize("columns", ["Device,Size,Type", "Device,Start,Type,Name", "Device,Type"])
def test_columns_without_places_still_tell_types(disk, output, columns):
    """What is not shown is not known; the types are."""
    found = parse_fdisk(output("fdisk", "-l", "-o", columns, disk(WINDOWS_LAYOUT)))[0]
    assert [p.type for p in found.partitions] == [kind for _, _, kind in WINDOWS_SHAPE]
    assert {p.size for p in found.partitions} == {None}


def test_chosen_columns_of_an_mbr_table(disk, output):
    """Flags and ids are read in any order."""
    columns = "Start,Device,Boot,End,Id"
    found = parse_fdisk(output("fdisk", "-l", "-o", columns, disk(MBR_SCRIPT)))[0]
    assert [p.active for p in found.partitions] == [True, False, False]
    assert [(p.start, p.type_id) for p in found.partitions] == [
        (2048, "0x07"),
        (1026048, "0x05"),
        (1028096, "0x83"),
    ]


@pytest.mark.parametrize("script", [WINDOWS_LAYOUT, MBR_SCRIPT], ids=["gpt", "mbr"])
def test_extra_details_of_fdisk_are_read(disk, output, script):
    """`fdisk -x` shows types as GUIDs, and each partition's own GUID and name."""
    image = disk(script)
    expected = _shape(parse_fdisk(output("fdisk", "-l", image)))
    found = parse_fdisk(output("fdisk", "-x", image))
    assert _shape(found) == expected
    by_sfdisk = parse_sfdisk_json(output("sfdisk", "--json", image))[0].partitions
    if script is WINDOWS_LAYOUT:
        told = [(p.partuuid, p.name, p.type_id) for p in found[0].partitions]
        assert told == [(p.partuuid, p.name, p.type_id) for p in by_sfdisk]


@pytest.mark.parametrize(
    ("program", "arguments"), [("sgdisk", ["-p"]), ("sgdisk", ["-v", "-p"]), ("gdisk", ["-l"])]
)
def test_gpt_fdisk_tells_the_same_table(disk, output, program, arguments):
    """Sgdisk and gdisk, with codes instead of types, give the same partitions."""
    image = disk(WINDOWS_LAYOUT)
    document = output(program, *arguments, image)
    assert recognise(document) is Kind.SGDISK_TABLE
    found = parse_sgdisk_table(document)
    assert _shape(found) == WINDOWS_SHAPE
    by_sfdisk = parse_sfdisk_json(output("sfdisk", "--json", image))[0]
    assert found[0].disk_id == by_sfdisk.disk_id
    assert [p.name for p in found[0].partitions] == [p.name for p in by_sfdisk.partitions]


def test_gpt_fdisk_shows_an_mbr_as_one(disk, output):
    """Sgdisk converts an MBR in memory: the types and places hold, the identifier is made up."""
    found = parse_sgdisk_table(output("sgdisk", "-p", disk(MBR_SCRIPT)))[0]
    assert (found.scheme, found.disk_id) == ("dos", None)
    assert [(p.number, p.start, p.type) for p in found.partitions] == [
        (1, 2048, PartitionType.NTFS),
        (5, 1028096, PartitionType.LINUX),
    ]


@pytest.mark.parametrize("arguments", [["-p"], ["-v", "-p"]])
def test_gpt_fdisk_shows_a_backup_that_is_not_at_the_end(disk, output, arguments):
    """A disk copied to a larger one is P03 by sgdisk, too."""
    image = disk(WINDOWS_LAYOUT)
    assert not read_table(output("sgdisk", *arguments, image)).findings
    subprocess.run(["truncate", "-s", "50G", image], check=True, timeout=20)
    assert "P03" in {f.rule for f in read_table(output("sgdisk", *arguments, image)).findings}
