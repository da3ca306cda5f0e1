"""Pasted reports are cut into the outputs that they hold."""

from __future__ import annotations

import html

import pytest

from labkit.boot.diagnosis import diagnose
from labkit.boot.documents import Document
from labkit.boot.join import join
from labkit.boot.kinds import Kind
from labkit.boot.paste import cut_paste
from labkit.errors import InputError
from support.boot_inputs import (
    BLKID,
    DEFAULT_GRUB,
    EFIBOOTMGR,
    ESP_FILES,
    FDISK,
    FSTAB,
    GRUB_CFG,
    STUB,
)

LSBLK = """\
NAME    FSTYPE   UUID                                 PARTUUID
sda
├─sda1  vfat     A00D-D3F7                            ae1d65ea-f03d-4af7-a98e-9aba530dd411
├─sda3  ntfs     BEC65C4DC65C07D3                     1ed51435-a38d-4a9c-97be-e098b5eddc11
└─sda5  ext4     1ff43d80-d7a6-47b9-b0be-896f374c981f cd4e7757-36a0-42d1-9ec6-e0e64d6edfb9
"""
REPORT = f"""\
boot-repair-4ppa200                                              [20240101_1200]

============================== Boot Info Summary ===============================

 => Grub2 (v2.00) is installed in the MBR of /dev/sda and looks at sector 1 of
    the same hard drive for core.img. core.img is at this location and looks
    for (,msdos5)/boot/grub.

sda1: __________________________________________________________________________

    File system:       ntfs
    Boot sector type:  Grub2 (v1.99-2.00)
    Boot files:        /bootmgr /Boot/BCD

===================================== UEFI =====================================

This live-session is in Legacy/BIOS/CSM mode (not in EFI mode).

============================= Drive/Partition Info =============================

fdisk -l (filtered): ___________________________________________________________

Disk sda: 465.76 GiB, 500107862016 bytes, 976773168 sectors
Disk identifier: 0x2bd2c32a
      Boot     Start       End   Sectors   Size Id Type
sda1            2048   4272127   4270080     2G  7 HPFS/NTFS/exFAT
sda5         4272128 976771071 972498944 463.7G 83 Linux

blkid (filtered): ______________________________________________________________

{LSBLK}
=================== sda5/etc/default/grub (filtered) ====================

{DEFAULT_GRUB}
======================== sda5/etc/fstab (filtered) ========================

{FSTAB}
"""


def kinds(reports):
    """The kinds of input of each report."""
    return [r.bundle.kinds for r in reports]


def test_a_boot_info_report_is_cut_at_its_headings():
    """Every section becomes the input that it is, and the diagnosis follows."""
    reports = cut_paste(Document.of("report", REPORT))
    assert len(reports) == 1
    assert reports[0].bundle.kinds >= {
        Kind.BOOT_SECTORS,
        Kind.FIRMWARE,
        Kind.FDISK,
        Kind.LSBLK_TREE,
        Kind.DEFAULT_GRUB,
        Kind.FSTAB,
    }
    assert diagnose(reports[0].bundle).root_causes[0] == "W05"


def test_evidence_keeps_the_line_of_the_paste():
    """A line number in the answer is the line in what was pasted."""
    found = diagnose(cut_paste(Document.of("report", REPORT))[0].bundle).findings[0].finding
    line = found.evidence[0].line
    assert "Boot sector type:  Grub2" in REPORT.splitlines()[line - 1]


def test_entities_and_tags_are_undone():
    """A report copied out of a page's source reads as the page."""
    escaped = "<pre>" + html.escape(REPORT).replace("├", "&#9500;").replace("\n", "<br>\n")
    plain, found = (cut_paste(Document.of("r", t)) for t in (REPORT, escaped))
    assert kinds(found) == kinds(plain)
    devices = [p.device for p in diagnose(found[0].bundle).facts.partitions]
    assert {"/dev/sda1", "/dev/sda5"} <= set(devices)


def test_two_reports_are_kept_apart():
    """A second summary begins a second report."""
    reports = cut_paste(
        Document.of("report", REPORT + REPORT.replace("Grub2 (v1.99", "Windows (v"))
    )
    assert len(reports) == 2
    assert diagnose(reports[0].bundle).root_causes[0] == "W05"
    assert "W05" not in diagnose(reports[1].bundle).root_causes


def test_a_terminal_session_is_cut_at_its_prompts():
    """Commands announce their outputs."""
    session = (
        f"me@host:~$ sudo fdisk -l\n{FDISK}me@host:~$ sudo efibootmgr -v\n{EFIBOOTMGR}"
        f"me@host:~$ sudo blkid\n{BLKID}me@host:~$ sudo os-prober\n"
        "/dev/nvme0n1p1@/efi/Microsoft/Boot/bootmgfw.efi:Windows Boot Manager:Windows:efi\n"
    )
    found = cut_paste(Document.of("paste", session))
    assert kinds(found) == [{Kind.FDISK, Kind.EFIBOOTMGR, Kind.BLKID, Kind.OS_PROBER}]


def test_outputs_without_headings_are_told_by_their_lines():
    """A forum post that strings outputs together is cut where the next tool's begins."""
    post = f"Hello,\nhere is what I have:\n\n{FDISK}\n{EFIBOOTMGR}\n{BLKID}\n{STUB}"
    found = cut_paste(Document.of("paste", post))
    assert kinds(found) == [{Kind.FDISK, Kind.EFIBOOTMGR, Kind.BLKID, Kind.ESP_STUB}]


def test_wrapped_boot_entries_are_joined():
    """An 80-column window breaks device paths; they are whole again, and so are their labels."""
    wrapped = []
    for line in EFIBOOTMGR.splitlines():
        wrapped += [line[i : i + 80] for i in range(0, len(line), 80)]
    found = cut_paste(Document.of("paste", "\n".join(wrapped)))[0].bundle
    boot = diagnose(found).facts.boot_list
    assert [e.loader for e in boot.entries] == [
        "/efi/ubuntu/shimx64.efi",
        "/efi/microsoft/boot/bootmgfw.efi",
    ]


def test_quoted_lines_are_unquoted():
    """A mail's `> ` before every line is no part of the outputs."""
    quoted = "".join(f"> {line}\n" for line in FDISK.splitlines())
    assert kinds(cut_paste(Document.of("mail", quoted))) == [{Kind.FDISK}]


@pytest.mark.parametrize(("old", "new"), [("  +", " "), ("├─", "|-"), ("└─", "`-")])
def test_a_damaged_tree_is_read(old, new):
    """Collapsed blanks and replaced glyphs leave the identifiers of lsblk readable."""
    import re

    damaged = re.sub(old, new, LSBLK)
    found = diagnose(cut_paste(Document.of("paste", damaged))[0].bundle).facts
    assert found.partition("/dev/sda5").uuid == "1ff43d80-d7a6-47b9-b0be-896f374c981f"
    assert found.partition("/dev/sda1").partuuid == "ae1d65ea-f03d-4af7-a98e-9aba530dd411"


def test_a_letter_is_no_report():
    """Text without any output is refused with what to paste."""
    with pytest.raises(InputError) as caught:
        cut_paste(Document.of("paste", "Dear forum, it does not work.\n"))
    assert "fdisk" in caught.value.hint


def test_the_raw_lines_of_a_newer_efibootmgr_are_no_wrapped_text():
    """`dp:` and `data:` lines of version 18 stay apart from the entry above them."""
    verbose = "".join(
        f"{line}\n      dp: 04 01 2a 00\n    data: 57 49 4e\n"
        if line.startswith("Boot0")
        else f"{line}\n"
        for line in EFIBOOTMGR.splitlines()
    )
    boot = diagnose(cut_paste(Document.of("paste", verbose))[0].bundle).facts.boot_list
    assert [e.data[:7] for e in boot.entries] == ["", "WINDOWS"]


def session(host, *outputs):
    """A terminal session: each command with its output."""
    return "".join(f"me@{host}:~$ sudo {command}\n{text}" for command, text in outputs)


OTHER_FDISK = FDISK.replace("9339D128", "11111111")
OTHER_LIST = EFIBOOTMGR.replace("ae1d65ea", "bbbbbbbb").replace("ubuntu", "fedora")
SDA = FDISK.replace("nvme0n1p", "sda").replace("nvme0n1", "sda")
CHANGED_ORDER = EFIBOOTMGR.replace("0003,0004", "0004,0003")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((FDISK, EFIBOOTMGR), (OTHER_FDISK, OTHER_LIST)),
        ((FDISK, EFIBOOTMGR), (FDISK, CHANGED_ORDER)),
        (
            (FDISK, EFIBOOTMGR),
            (FDISK.replace("nvme0n1p", "sda").replace("nvme0n1", "sda"), OTHER_LIST),
        ),
    ],
    ids=["two computers", "before and after", "other disks"],
)
def test_two_sessions_are_two_reports(first, second):
    """Outputs that contradict each other are never joined into one computer."""
    commands = ("fdisk -l", "efibootmgr -v")
    text = "".join(session("host", *zip(commands, part, strict=True)) for part in (first, second))
    reports = cut_paste(Document.of("paste", text))
    assert kinds(reports) == [{Kind.FDISK, Kind.EFIBOOTMGR}] * 2
    lists = [diagnose(r.bundle).facts.boot_list for r in reports]
    assert [b.evidence["BootOrder"].text for b in lists] == [
        next(line for line in part[1].splitlines() if "BootOrder" in line)
        for part in (first, second)
    ]
    assert text.splitlines()[reports[1].line - 1].startswith(("Disk ", "me@host"))


def test_sessions_without_prompts_are_told_apart():
    """Nothing but the outputs, of two computers, one after the other."""
    text = f"{FDISK}\n{EFIBOOTMGR}\n{BLKID}\n{OTHER_FDISK}\n{OTHER_LIST}"
    reports = cut_paste(Document.of("paste", text))
    assert [r.bundle.kinds for r in reports] == [
        {Kind.FDISK, Kind.EFIBOOTMGR, Kind.BLKID},
        {Kind.FDISK, Kind.EFIBOOTMGR},
    ]


def test_one_computer_asked_twice_is_one_report():
    """Disk by disk, with and without -v, or the same list again: nothing contradicts."""
    labels = "".join(f"{line.split(chr(9))[0]}\n" for line in EFIBOOTMGR.splitlines())
    sdb = FDISK.replace("nvme0n1p", "sdb").replace("nvme0n1", "sdb").replace("9339D128", "22222222")
    text = session(
        "host",
        ("fdisk -l /dev/nvme0n1", FDISK),
        ("fdisk -l /dev/sdb", sdb),
        ("efibootmgr", labels),
        ("efibootmgr -v", EFIBOOTMGR),
        ("efibootmgr -v", EFIBOOTMGR),
    )
    found = cut_paste(Document.of("paste", text))
    assert len(found) == 1
    assert {d.device for d in diagnose(found[0].bundle).facts.disks} == {"/dev/nvme0n1", "/dev/sdb"}


PLAIN = f"{FDISK}\n{EFIBOOTMGR}\n{BLKID}"


@pytest.mark.parametrize(
    "mark", ["> ", ">", ">> ", "> > ", ">> > ", ">>> ", "| ", "|", "    ", "\t"], ids=repr
)
def test_marked_lines_are_freed(mark):
    """Quoted once or several times, framed, or indented as code: the outputs are the same."""
    marked = "".join(f"{mark}{line}\n" for line in PLAIN.split("\n"))
    found = cut_paste(Document.of("mail", marked))
    assert kinds(found) == [{Kind.FDISK, Kind.EFIBOOTMGR, Kind.BLKID}]
    plain = diagnose(cut_paste(Document.of("mail", PLAIN))[0].bundle).facts
    facts = diagnose(found[0].bundle).facts
    assert [(p.device, p.start, p.uuid) for p in facts.partitions] == [
        (p.device, p.start, p.uuid) for p in plain.partitions
    ]
    assert [e.loader for e in facts.boot_list.entries] == [
        e.loader for e in plain.boot_list.entries
    ]


def test_code_between_prose_is_dedented():
    """A Markdown post: words at the margin, outputs indented by four blanks."""
    code = "".join(f"    {line}\n" for line in FDISK.splitlines())
    post = f"This is my table:\n\n{code}\nand nothing else, please help.\n"
    found = cut_paste(Document.of("post", post))
    assert diagnose(found[0].bundle).facts.partition("/dev/nvme0n1p4").start == 461590528


def test_a_mail_with_words_above_the_quote_is_unquoted():
    """`Somebody wrote:` stands unquoted above the quoted outputs."""
    quoted = "Somebody wrote:\n\n" + "".join(f">> {line}\n" for line in FDISK.splitlines())
    assert kinds(cut_paste(Document.of("mail", quoted))) == [{Kind.FDISK}]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_entities_escaped_again_are_undone(times):
    """Each system on the way may have escaped the text once more."""
    text = LSBLK + BLKID
    for _ in range(times):
        text = html.escape(text)
    facts = diagnose(cut_paste(Document.of("paste", text))[0].bundle).facts
    assert facts.partition("/dev/nvme0n1p4").fstype == "ext4"
    assert facts.partition("/dev/sda5").uuid == "1ff43d80-d7a6-47b9-b0be-896f374c981f"


def test_prompts_of_two_computers_are_two_reports():
    """Outputs that do not contradict each other are kept apart where the prompt says so."""
    text = session("pc", ("blkid", BLKID)) + session("laptop", ("efibootmgr -v", OTHER_LIST))
    reports = cut_paste(Document.of("paste", text))
    assert kinds(reports) == [{Kind.BLKID}, {Kind.EFIBOOTMGR}]


def test_one_boot_info_report_stays_one():
    """boot-repair lists the firmware's entries before and after its repair in one report."""
    lists = f"= efibootmgr =\n{EFIBOOTMGR}\n=== efibootmgr after ===\n{CHANGED_ORDER}\n"
    assert len(cut_paste(Document.of("report", REPORT + lists))) == 1


COMMANDS = {
    "sudo fdisk -l": FDISK,
    "sudo blkid": BLKID,
    "efibootmgr -v": EFIBOOTMGR,
    "sudo find /boot/efi -type f": "".join(f"/boot/efi{p}\n" for p in ESP_FILES.splitlines()),
    "sudo cat /boot/efi/EFI/ubuntu/grub.cfg": STUB,
    "cat /etc/default/grub": DEFAULT_GRUB,
    "cat /etc/fstab": FSTAB,
    "sudo cat /boot/grub/grub.cfg": GRUB_CFG,
}


@pytest.mark.parametrize("end", ["", "exit", "sudo reboot"])
@pytest.mark.parametrize(
    "prompt",
    [
        "anna@laptop:~$ ",
        "[anna@laptop ~]$ ",
        "anna@laptop ~> ",
        "anna@laptop ~/src % ",
        "root@laptop:/home/anna# ",
        "(base) anna@laptop:~/My Files$ ",
        "\u279c  ~ ",
        "\u279c  src git:(main) \u2717 ",
        "$ ",
        "% ",
    ],
)
def test_a_prompt_ends_an_output_whatever_follows_it(prompt, end):
    """Nothing, `exit`, another program: a session's last lines are no part of its last file."""
    session = "".join(f"{prompt}{command}\n{text}" for command, text in COMMANDS.items())
    [report] = cut_paste(Document.of("paste", f"{session}{prompt}{end}\n"))
    facts = join(report.bundle)

    assert len(report.bundle.inputs) == len(COMMANDS)
    assert facts.menu.syntax_error is None
    assert facts.windows_loader is not None


@pytest.mark.parametrize("form", ["[CODE]{}\n{}[/CODE]\n", "[code]\n{1}[/code]\n", "{1}"])
def test_code_blocks_of_a_forum_hold_an_output_each(form):
    """With the command or without, the end tag behind the last line or below it."""
    post = "".join(
        form.format(command, text.rstrip("\n") + "\n") for command, text in COMMANDS.items()
    )
    [report] = cut_paste(Document.of("paste", post))

    assert {i.kind for i in report.bundle.inputs} >= {Kind.ESP_LIST, Kind.EFIBOOTMGR, Kind.GRUB_CFG}
    assert join(report.bundle).menu.syntax_error is None
