"""Inputs as people really send them: read in spite of it, or refused with a reason."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from labkit.boot import read_bundle
from labkit.boot.documents import Document, decode, read_document
from labkit.boot.inputs import bundle_of_files
from labkit.boot.kinds import Kind, recognise
from labkit.boot.parse.efibootmgr import parse_efibootmgr
from labkit.boot.parse.mkconfig_log import RunState, parse_mkconfig_log
from labkit.boot.parse.os_prober import parse_os_prober
from labkit.errors import InputError, UnmetError
from support.boot_inputs import (
    EFIBOOTMGR,
    FDISK,
    HEALTHY,
    diagnosed,
    findings_by_rule,
    without_windows_entry,
)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_utf_16_is_read(encoding):
    """PowerShell's redirection, with and without a byte order mark, is text all the same."""
    assert decode(FDISK.encode(encoding), "fdisk.txt").text == FDISK


def test_crlf_is_read():
    """Line ends of Windows make no difference to any tool's output."""
    files = {name: text.replace("\n", "\r\n") for name, text in HEALTHY.items()}
    del files["default_grub"]  # There they make a difference to the shell: rule F10.
    assert diagnosed(files).root_causes == ()
    assert diagnosed(files).verdict == "healthy"


def test_a_binary_file_is_refused():
    """A disk image or a picture is no output."""
    with pytest.raises(InputError, match="binary") as caught:
        decode(b"\x7fELF" + bytes(range(32)) * 20, "image.bin")
    assert caught.value.code == "binary-input"


def test_an_unreadable_file_is_named(tmp_path):
    """A file that this user may not read is an unmet need, not a traceback."""
    path = tmp_path / "grub.cfg"
    path.write_text("x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(UnmetError, match="may not be read"):
        read_document(path)


def test_a_missing_file_is_named(tmp_path):
    """The path that is not there stands in the message."""
    with pytest.raises(InputError, match=r"gone\.txt"):
        read_document(tmp_path / "gone.txt")


def test_an_unreadable_file_in_a_folder_does_not_stop_the_rest(tmp_path):
    """What cannot be read is named, and the others are judged."""
    (tmp_path / "efibootmgr.txt").write_text(EFIBOOTMGR)
    (tmp_path / "image.bin").write_bytes(bytes(range(256)) * 4)
    bundle = read_bundle(tmp_path)
    assert bundle.kinds == {Kind.EFIBOOTMGR}
    assert [s.name for s in bundle.skipped] == ["image.bin"]


def test_a_folder_without_outputs_is_refused(tmp_path):
    """A folder of other things is an error, not an empty verdict."""
    (tmp_path / "letter.txt").write_text("Dear all,\nmy computer does not start.\n")
    with pytest.raises(InputError) as caught:
        read_bundle(tmp_path)
    assert caught.value.code == "no-inputs"


def test_a_name_that_lies_is_only_a_hint(tmp_path):
    """A boot list in a file called fdisk.txt is read as a boot list."""
    (tmp_path / "fdisk.txt").write_text(EFIBOOTMGR)
    assert read_bundle(tmp_path).kinds == {Kind.EFIBOOTMGR}


def test_the_wrong_file_for_an_option_is_refused(tmp_path):
    """`--table` with a boot list says what it is."""
    path = tmp_path / "x.txt"
    path.write_text(EFIBOOTMGR)
    with pytest.raises(InputError, match="output of efibootmgr, not of table"):
        bundle_of_files({"table": path})


def test_a_damaged_archive_is_refused(tmp_path):
    """A cut archive is an error with a next step."""
    path = tmp_path / "boot.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for number in range(50):
            data = os.urandom(4000)
            info = tarfile.TarInfo(f"boot/{number}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(InputError, match="damaged archive"):
        read_bundle(path)


def test_no_damage_of_an_archive_is_read_over(tmp_path):
    """Cut anywhere or with any byte changed, it is refused: the checksum at its end is verified."""
    path = tmp_path / "boot.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("boot/fdisk.txt")
        info.size = len(FDISK)
        archive.addfile(info, io.BytesIO(FDISK.encode()))
    whole = path.read_bytes()
    name_ends = whole.index(b"\0", 10)  # The header holds flags, the time and the name.
    for place in range(1, len(whole), 7):
        flipped = bytes([*whole[:place], whole[place] ^ 0x10, *whole[place + 1 :]])
        for damaged in (whole[:place], flipped):
            if damaged is flipped and 3 < place <= name_ends:
                continue
            path.write_bytes(damaged)
            with pytest.raises(InputError):
                read_bundle(path)


def test_an_archive_is_never_unpacked(tmp_path):
    """Names that climb out of the archive touch nothing; the content is read all the same."""
    path = tmp_path / "evil.tar.gz"
    raw = EFIBOOTMGR.encode()
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("../../evil-efibootmgr.txt")
        info.size = len(raw)
        archive.addfile(info, io.BytesIO(raw))
        link = tarfile.TarInfo("boot/passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(read_bundle(path).inputs) == 1
    assert not (tmp_path.parent / "evil-efibootmgr.txt").exists()


def test_a_cut_table_is_still_a_table():
    """Half an fdisk listing shows the partitions that it has; nothing is made up."""
    cut = FDISK[: FDISK.index("/dev/nvme0n1p3") + 20]
    diagnosis = diagnosed({"fdisk.txt": cut})
    assert [p.number for p in diagnosis.facts.partitions] == [1, 2]
    assert diagnosis.verdict == "no-verdict"


def test_a_cut_boot_list_is_no_missing_system():
    """Entries that BootOrder names and the list lacks may be cut off: nothing rests on that."""
    cut = "\n".join(EFIBOOTMGR.splitlines()[:3]) + "\n"
    found = {
        r.finding.rule: r.finding for r in diagnosed(HEALTHY | {"efibootmgr.txt": cut}).findings
    }
    assert found["N09"].confidence == "likely"
    assert found.keys() == {"N09"}


@pytest.mark.parametrize(
    ("line", "probing"),
    [
        ("Warning: os-prober will be executed to detect other bootable partitions.", True),
        ("Warning: os-prober will not be executed to detect other bootable partitions.", False),
        ("Warnung: os-prober wird nicht ausgeführt, um andere Partitionen zu erkennen.", False),
        ("Aviso: os-prober no se ejecutará para detectar otras particiones.", False),
        ("Advertencia: os-prober se ejecutará para detectar otras particiones.", True),
        ("Предупреждение: os-prober не будет запущен для поиска разделов.", False),
        ("警告\uff1a os-prober 将运行以检测其它可引导分区。", True),
        ("警告\uff1a os-prober 将不会运行以检测其它可引导分区。", False),
    ],
)
def test_the_os_prober_notice_is_read_in_any_language(line, probing):
    """Whether it ran is told by the negation, not by one language's words."""
    log = parse_mkconfig_log(Document.of("log", f"{line}\ndone\n"))
    assert log.probing is probing
    assert log.state is RunState.DONE


@pytest.mark.parametrize(
    "line",
    [
        "Found Windows Boot Manager on /dev/sda1@/EFI/Microsoft/Boot/bootmgfw.efi",
        "Windows Boot Manager auf /dev/sda1@/EFI/Microsoft/Boot/bootmgfw.efi gefunden",
        "Encontrado Windows Boot Manager en /dev/sda1@/EFI/Microsoft/Boot/bootmgfw.efi",
        "Найден Windows Boot Manager на /dev/sda1@/efi/Microsoft/Boot/bootmgfw.efi",
    ],
)
def test_a_found_system_is_read_in_any_language(line):
    """The device and the path stand in every translation."""
    assert len(parse_mkconfig_log(Document.of("log", line)).found) == 1


def test_a_cut_log_is_no_died_run():
    """Without an error line, a log without `done` is only cut."""
    log = parse_mkconfig_log(Document.of("log", "Generating grub configuration file ...\n"))
    assert log.state is RunState.CUT


def test_colons_in_a_name_do_not_shift_the_fields():
    """os-prober does not escape names; they are read from the right."""
    line = "/dev/sda5:Linux: the sequel (1:2):Linux:linux:btrfs:1234:/@\n"
    found = parse_os_prober(Document.of("os-prober", line)).systems[0]
    assert (found.long, found.kind) == ("Linux: the sequel (1:2)", "linux")


@pytest.mark.parametrize(
    "complaint",
    [
        "bash: os-prober: command not found",
        "sudo: os-prober: Befehl nicht gefunden",
        "-bash: /usr/bin/os-prober: Ficheiro ou pasta inexistente",
        "zsh: command not found: os-prober",
        "fish: Unknown command: os-prober",
        "Command 'os-prober' not found, but can be installed with:\nsudo apt install os-prober",
    ],
)
def test_a_program_that_is_not_there_has_not_run(complaint):
    """In any language: it is missing, and has not looked for anything."""
    files = HEALTHY | {"os-prober.txt": f"$ sudo os-prober\n{complaint}\n"}
    files["grub.cfg"] = without_windows_entry()
    found = findings_by_rule(diagnosed(files))
    assert "O02" in found
    assert "O03" not in found


@pytest.mark.parametrize("text", ["whatever this is\n", "Traceback\n  in x\n"])
def test_other_text_is_not_what_os_prober_found(text):
    """A file called os-prober.txt that holds something else was not read; it proves nothing."""
    files = HEALTHY | {"os-prober.txt": text, "grub.cfg": without_windows_entry()}
    diagnosis = diagnosed(files)
    assert not {"O02", "O03"} & set(findings_by_rule(diagnosis))
    assert any("os-prober.txt" in error.message for error in diagnosis.facts.unread)


@pytest.mark.parametrize("text", ["", "$ sudo os-prober\n", "# os-prober\nroot@x:~#\n"])
def test_an_empty_output_is_one(text):
    """Also with the command before it and the next prompt behind it."""
    assert parse_os_prober(Document.of("os-prober", text)).missing == ()


def test_colours_do_not_hide_a_boot_list():
    """Escape sequences of a terminal recording are taken out of a paste."""
    from labkit.boot.paste import cut_paste

    painted = f"$ sudo efibootmgr -v\n\x1b[1m{EFIBOOTMGR}\x1b[0m"
    boot = cut_paste(Document.of("paste", painted))[0].bundle.first(Kind.EFIBOOTMGR)
    assert len(parse_efibootmgr(boot).entries) == 2


def test_an_empty_file_is_known_by_its_name():
    """An empty os-prober output is an input, which proves nothing."""
    assert recognise(Document.of("os-prober.txt", "")) is Kind.OS_PROBER
    assert recognise(Document.of("notes.txt", "")) is None


def test_lsblk_without_the_telling_columns_answers_nothing():
    """Its default columns show sizes only: file systems are still asked for."""
    text = "NAME   MAJ:MIN RM SIZE RO TYPE MOUNTPOINT\nsda      8:0    0  10G  0 disk\n"
    diagnosis = diagnosed({"lsblk.txt": text + "└─sda1   8:1    0  10G  0 part /\n"})
    assert diagnosis.facts.partitions
    assert "file-systems" in diagnosis.missing
    assert "partition-table" in diagnosis.missing


CRLF = {name: text.replace("\n", "\r\n") for name, text in HEALTHY.items()}


def test_line_ends_that_all_inputs_share_are_one_remark():
    """Copied by way of Windows: one remark, and the verdict of the inputs as they were."""
    block = "# GRUB Environment Block\nsaved_entry=x\n".ljust(1024, "#")
    diagnosis = diagnosed(CRLF | {"grubenv": block.replace("\n", "\r\n")})
    assert [(r.finding.rule, r.finding.severity) for r in diagnosis.findings] == [("F10", "info")]
    assert diagnosis.verdict == "healthy"
    assert diagnosis.facts.environment.block.variables == {"saved_entry": "x"}


def test_line_ends_of_the_settings_alone_are_a_fault():
    """Where the other inputs have plain line ends, the file itself has Windows' ones."""
    settings = CRLF["default_grub"]
    for files in ({**HEALTHY, "default_grub": settings}, {"default_grub": settings}):
        found = {r.finding.rule: r.finding.severity for r in diagnosed(files).findings}
        assert found["F10"] == "warn"
