"""`labkit boot entries`, `default`, `menu`, `lint` and `migrate` as a user runs them."""

from __future__ import annotations

import json

import pytest

from support.boot_inputs import FDISK, HEALTHY
from support.installed_systems import FEDORA, make_system

MENU = """\
menuentry_id_option=--id
export menuentry_id_option
set default="0"
set timeout_style=menu
set timeout=5
menuentry 'Debian' --id gnulinux-simple-aa {
  linux /vmlinuz
}
submenu 'Advanced options' --id adv {
  menuentry 'Debian old' --id gnulinux-old {
    linux /vmlinuz.old
  }
}
menuentry 'Windows Boot Manager (on /dev/sda1)' --id osprober-efi-7A8C-9328 {
  chainloader /EFI/Microsoft/Boot/bootmgfw.efi
}
"""
SETTINGS = "# mine\nGRUB_DEFAULT=0 # first\nGRUB_TIMEOUT=5\n"


@pytest.fixture
def debian(tmp_path):
    """The root folder of a Debian beside Windows."""
    return make_system(tmp_path, release="ID=debian\n", settings=SETTINGS, menu=MENU)


def test_entries_are_a_tree_with_what_a_default_starts(run, debian):
    """Paths, ids and kinds; the default with its reason, in text and in JSON."""
    cfg = str(debian / "boot/grub/grub.cfg")
    data = run("boot", "entries", "--grub-cfg", cfg, "--default", "1>0", "--json").document["data"]

    assert [(e["path"], e["id"], e["kind"]) for e in data["entries"]] == [
        ("0", "gnulinux-simple-aa", "linux"),
        ("1", "adv", "submenu"),
        ("1>0", "gnulinux-old", "linux"),
        ("2", "osprober-efi-7A8C-9328", "windows"),
    ]
    assert data["default"]["title"] == "Debian old"
    assert data["distribution"] == "Debian"
    text = run("boot", "entries", "--grub-cfg", cfg, "--default", "gnulinux-old").out
    assert "default `gnulinux-old` starts: Debian (" in text
    assert "submenu, whose path is needed" in text


def test_a_dry_run_shows_the_change_and_makes_none(run, debian):
    """The diff of one line; the file is as it was."""
    cfg, file = debian / "boot/grub/grub.cfg", debian / "etc/default/grub"
    result = run("boot", "default", "set", "windows", "--grub-cfg", str(cfg), "--dry-run")

    assert result.code == 0, result.err
    assert "-GRUB_DEFAULT=0 # first\n+GRUB_DEFAULT=osprober-efi-7A8C-9328 # first" in result.out
    assert file.read_text() == SETTINGS


def test_yes_writes_the_id_and_keeps_a_copy(run, debian):
    """Only the value changes; the update command is this distribution's; again does nothing."""
    file = debian / "etc/default/grub"
    arguments = ("boot", "default", "set", "windows", "--file", str(file), "--yes", "--json")
    data = run(*arguments).document["data"]

    assert file.read_text() == SETTINGS.replace("DEFAULT=0", "DEFAULT=osprober-efi-7A8C-9328")
    assert data["before"] == {"GRUB_DEFAULT": "0"}
    assert data["written"] is True
    assert data["next_command"] == "sudo update-grub"
    with open(data["backup"], encoding="utf-8") as backup:  # noqa: PTH123 - a path in JSON is text
        assert backup.read() == SETTINGS
    again = run(*arguments).document["data"]
    assert (again["written"], again["backup"], again["diff"]) == (False, None, "")


def test_without_a_terminal_a_change_needs_yes(run, debian):
    """Nothing is written where nobody was asked."""
    file = debian / "etc/default/grub"
    result = run("boot", "menu", "hide", "--file", str(file))

    assert result.code == 2
    assert "--yes" in result.err
    assert file.read_text() == SETTINGS


def test_the_default_shows_what_the_settings_ask_for(run, debian):
    """The menu is older than the settings: both are said, with the command between them."""
    file = debian / "etc/default/grub"
    file.write_text(SETTINGS.replace("DEFAULT=0", "DEFAULT='adv>gnulinux-old'"))
    result = run("boot", "default", "show", "--file", str(file))

    assert "default `0` starts: Debian (entry number 0)" in result.out
    assert "grub:2 asks for another; after `sudo update-grub`" in result.out
    assert "starts: Debian old" in result.out


@pytest.mark.parametrize("entry", ["nothing", "9"])
def test_an_unknown_entry_is_exit_2(run, debian, entry):
    """With the command that lists them."""
    file = str(debian / "etc/default/grub")
    result = run("boot", "default", "set", entry, "--file", file, "--dry-run")

    assert result.code == 2
    assert "labkit boot entries" in result.err


def test_an_overridden_default_is_exit_6_and_names_the_file(run, debian):
    """Editing the main file would have no effect."""
    folder = debian / "etc/default/grub.d"
    folder.mkdir()
    (folder / "50_mint.cfg").write_text("GRUB_DEFAULT=0\n")
    file = str(debian / "etc/default/grub")
    result = run("boot", "default", "set", "windows", "--file", file, "--yes")

    assert result.code == 6
    assert "50_mint.cfg, line 1" in result.err


def test_fedora_names_its_own_commands(run, tmp_path):
    """Entry files make the menu; the default is kept with them, the settings have their command."""
    root = FEDORA.make(tmp_path)
    cfg, file = str(root / "boot/grub2/grub.cfg"), str(root / "etc/default/grub")

    shown = run("boot", "default", "show", "--grub-cfg", cfg)
    assert "starts: Fedora Linux (6.9.12)" in shown.out
    refused = run("boot", "default", "set", "windows", "--file", file, "--yes")
    assert refused.code == 6
    assert "sudo grub2-set-default osprober-efi-7A8C-9328" in refused.err
    hidden = run("boot", "menu", "hide", "--file", file, "--yes")
    assert "sudo grub2-mkconfig -o /boot/grub2/grub.cfg" in hidden.out


def test_menu_show_and_hide_set_style_and_timeout(run, debian):
    """Both settings in one change; `status` of the settings alone sees it."""
    file = str(debian / "etc/default/grub")
    assert run("boot", "menu", "show", "--timeout", "10", "--file", file, "--yes").code == 0
    (debian / "boot/grub/grub.cfg").unlink()
    shown = run("boot", "menu", "status", "--file", file, "--json").document["data"]
    assert (shown["style"], shown["timeout_s"], shown["visible"]) == ("menu", 10, True)
    assert run("boot", "menu", "hide", "--file", file, "--yes").code == 0
    hidden = run("boot", "menu", "status", "--file", file)
    assert hidden.out.startswith("hidden, 10 s (from ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (FDISK, "holds fdisk, not a grub.cfg"),
        (SETTINGS, "holds default-grub, not a grub.cfg"),
        (HEALTHY["esp_ubuntu_grub.cfg"], "only leads to the menu"),
        ("", "holds no menu"),
        ("Dear all,\nmy menu is gone\n", "holds no menu"),
        ("configfile (hd0,gpt2)/grub/grub.cfg\n", "holds no menu"),
    ],
)
def test_entries_of_what_is_no_menu_are_refused(run, tmp_path, text, says):
    """Another file is no empty menu, whatever it is called: exit 2, and what it is."""
    path = tmp_path / "grub.cfg"
    path.write_text(text)
    result = run("boot", "entries", "--grub-cfg", str(path))
    assert result.code == 2
    assert says in result.err
    assert "hint:" in result.err


def test_a_menu_without_an_entry_is_exit_1(run, tmp_path):
    """A grub.cfg that sets things and lists nothing leads to GRUB's prompt."""
    path = tmp_path / "grub.cfg"
    path.write_text("set default=0\nset timeout=5\n")
    result = run("boot", "entries", "--grub-cfg", str(path))
    assert result.code == 1
    assert "GRUB shows its prompt" in result.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "--timeout", "99999999999"), "-1<=x<=3600"),
        (("show", "--timeout", "0"), "shows no menu"),
        (("hide", "--timeout", "-1"), "shows the menu"),
    ],
)
def test_a_timeout_that_cannot_be_meant_is_refused(run, debian, arguments, says):
    """Days of waiting, a menu of no time, a hidden menu for ever: nothing is written."""
    file = debian / "etc/default/grub"
    result = run("boot", "menu", *arguments, "--file", str(file), "--yes")
    assert result.code == 2
    assert says in result.err
    assert file.read_text() == SETTINGS


def test_a_fixed_default_says_that_it_ends_remembering(run, debian):
    """GRUB_SAVEDEFAULT=true and a saved choice lose their effect: told, in text and JSON."""
    file = debian / "etc/default/grub"
    file.write_text("GRUB_DEFAULT=saved\nGRUB_SAVEDEFAULT=true\n")
    arguments = ("boot", "default", "set", "windows", "--file", str(file), "--dry-run")
    text = run(*arguments).out
    assert f"note: GRUB_SAVEDEFAULT=true ({file}, line 2) has no effect" in text
    assert "grub-set-default) no longer counts" in text
    assert len(run(*arguments, "--json").document["data"]["remarks"]) == 2
    file.write_text(SETTINGS)
    assert run(*arguments, "--json").document["data"]["remarks"] == []


def test_the_status_of_a_menu_names_its_lines(run, debian):
    """The lines of grub.cfg that decide, and no others."""
    cfg = debian / "boot/grub/grub.cfg"
    data = run("boot", "menu", "status", "--grub-cfg", str(cfg), "--json").document["data"]

    assert data["effective_from"] == [f"{cfg}:4", f"{cfg}:5"]
    assert (data["style"], data["timeout_s"], data["pending"]) == ("menu", 5, None)


FAULTY = "GRUB_TIMOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=quiet splash\n"


@pytest.fixture
def faulty(tmp_path):
    """A settings file with two faults."""
    path = tmp_path / "default_grub"
    path.write_text(FAULTY)
    return path


def test_lint_names_each_fault_with_its_line(run, faulty):
    """Text for people; exit 1. A clean file is said to be clean, exit 0."""
    result = run("boot", "lint", str(faulty))
    assert result.code == 1
    assert f"{faulty}:1: F07 warn" in result.out
    assert f"{faulty}:2: F03" in result.out
    faulty.write_text(SETTINGS)
    clean = run("boot", "lint", str(faulty))
    assert (clean.code, clean.out) == (0, f"{faulty}: nothing to complain about\n")


def test_lint_writes_json(run, faulty):
    """The findings alone with --format, and in the envelope with --json."""
    plain = run("boot", "lint", str(faulty), "--format", "json")
    enveloped = run("boot", "lint", str(faulty), "--json").document["data"]["findings"]

    assert json.loads(plain.out) == enveloped
    assert [finding["rule"] for finding in enveloped] == ["F07", "F03"]


def test_lint_writes_sarif_as_its_standard_asks(run, faulty):
    """Version, driver, rules, levels, and a region for each result (SARIF 2.1.0, 3.13 to 3.27)."""
    log = json.loads(run("boot", "lint", str(faulty), "--format", "sarif").out)

    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (only,) = log["runs"]
    driver = only["tool"]["driver"]
    assert driver["name"] == "labkit"
    ids = {rule["id"] for rule in driver["rules"]}
    for rule in driver["rules"]:  # 3.49: a name without blanks, and texts for people.
        assert rule["name"].isalnum()
        texts = (rule["shortDescription"], rule["fullDescription"], rule["help"])
        assert all(text["text"] for text in texts)
        assert rule["defaultConfiguration"]["level"] in {"error", "warning", "note"}
    assert len(only["results"]) == 2
    for line, result in enumerate(only["results"], 1):
        assert result["ruleId"] in ids
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == str(faulty)
        assert place["region"]["startLine"] == line


def test_lint_writes_github_annotations(run, faulty):
    """One workflow command a finding."""
    lines = run("boot", "lint", str(faulty), "--format", "github").out.splitlines()

    assert len(lines) == 2
    assert lines[0].startswith(f"::warning file={faulty},line=1,title=F07::")


@pytest.mark.parametrize(("release", "code"), [("ID=debian\n", 1), ("ID=fedora\n", 0)])
def test_lint_reads_drop_ins_only_where_they_count(run, tmp_path, release, code):
    """A fault in a file that nothing reads is none."""
    root = make_system(tmp_path, release=release, settings=SETTINGS, drop_ins={"1.cfg": FAULTY})

    assert run("boot", "lint", str(root / "etc/default/grub")).code == code


def test_migrate_prints_layout_and_script(run, tmp_path):
    """In text and in JSON; a smaller disk is exit 6, a wrong size exit 2."""
    path = tmp_path / "fdisk.txt"
    path.write_text(FDISK)
    arguments = ("boot", "migrate", "--from", str(path), "--to-size")
    text = run(*arguments, "1TB")
    assert text.code == 0
    assert "create partition primary size=953556 offset=119808" in text.out
    assert r"bcdboot W:\Windows /s S: /f UEFI" in text.out
    data = run(*arguments, "1TB", "--json").document["data"]
    assert [p["offset_kib"] for p in data["partitions"]] == [1024, 103424, 119808]
    assert run(*arguments, "256GB").code == 6
    assert run(*arguments, "large").code == 2


def test_once_says_which_way_suits(run, tmp_path):
    """From single files and from a bundle; BitLocker decides."""
    for name, text in HEALTHY.items():
        (tmp_path / name).write_text(text)
    easy = run("boot", "once", "windows", "--from", str(tmp_path), "--json").document["data"]
    assert (easy["via"], easy["bitlocker"]) == ("grub", False)
    locked = tmp_path / "blkid.txt"
    locked.write_text(locked.read_text().replace('TYPE="ntfs"', 'TYPE="BitLocker"'))
    by_firmware = run("boot", "once", "windows", "--from", str(tmp_path))
    assert by_firmware.out == "sudo efibootmgr --bootnext 0004 && sudo systemctl reboot\n"
    assert "BitLocker is in use" in by_firmware.err
    by_grub = run("boot", "once", "windows", "--via", "grub", "--from", str(tmp_path))
    assert by_grub.out.startswith("sudo grub-reboot osprober-efi-7A8C-9328")
    assert "--via firmware suits this computer better" in by_grub.err
    given = ("--efibootmgr", str(tmp_path / "efibootmgr.txt"), "--blkid", str(locked))
    assert run("boot", "once", "windows", *given, "--json").document["data"]["bitlocker"] is True
    assert run("boot", "once", "windows", *given, "--from", str(tmp_path)).code == 2


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (MENU, "grub-reboot"),
        (MENU + "blscfg\n", "grub2-reboot"),
        ("# It is automatically generated by grub2-mkconfig\n" + MENU, "grub2-reboot"),
    ],
)  # fmt: skip
def test_once_names_the_program_of_a_loose_menu(run, tmp_path, text, program):
    """A grub.cfg that was sent alone still tells how its GRUB's programs are called."""
    path = tmp_path / "menu.cfg"
    path.write_text(text)
    printed = run("boot", "once", "windows", "--via", "grub", "--grub-cfg", str(path)).out
    assert printed.startswith(f"sudo {program} ")


def test_once_refuses_a_choice_that_would_stay(run, tmp_path):
    """On btrfs GRUB cannot clear it: from a bundle, and beside a mounted system's own fstab."""
    for name, text in HEALTHY.items():
        (tmp_path / name).write_text(text.replace(" ext4 ", " btrfs ") if name == "fstab" else text)
    given = ("boot", "once", "windows", "--from", str(tmp_path))
    assert "efibootmgr --bootnext 0004" in run(*given).out
    refused = run(*given, "--via", "grub")
    assert (refused.code, refused.out) == (6, "")
    assert "every time" in refused.err
    root = tmp_path / "mnt"
    (root / "boot/grub").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "boot/grub/grub.cfg").write_text(HEALTHY["grub.cfg"])
    (root / "etc/fstab").write_text("/dev/mapper/vg-root / ext4 defaults 0 1\n")
    menu = str(root / "boot/grub/grub.cfg")
    assert run("boot", "once", "windows", "--via", "grub", "--grub-cfg", menu).code == 6


@pytest.mark.parametrize("line", ["GRUB_DEFAULT = 0", "GRUB_DEFAULT+=1", "exit 0", "source /x"])
def test_no_change_is_made_to_a_file_that_update_grub_dies_of(run, tmp_path, line):
    """It would never reach the menu: the line in the way is named, and the file stays as it is."""
    menu, settings = tmp_path / "grub.cfg", tmp_path / "grub"
    menu.write_text(HEALTHY["grub.cfg"])
    settings.write_text(f"{line}\n")
    change = ("--file", str(settings), "--yes")
    for refused in (
        run("boot", "default", "set", "windows", "--grub-cfg", str(menu), *change),
        run("boot", "menu", "hide", *change),
    ):
        assert refused.code == 6
        assert "line 1" in refused.err
    assert settings.read_text() == f"{line}\n"
    assert run("boot", "lint", str(settings)).code == 1


def test_a_choice_for_one_start_is_told_beside_the_default(run, tmp_path):
    """`--default` asks for what lasts; the tree is indented for a person alone."""
    menu = tmp_path / "grub.cfg"
    menu.write_text(HEALTHY["grub.cfg"])
    lines = b"# GRUB Environment Block\nnext_entry=2\n"
    (tmp_path / "grubenv").write_bytes(lines.ljust(1024, b"#"))
    for command in (("entries",), ("default", "show"), ("entries", "--default", "0")):
        shown = run("boot", *command, "--grub-cfg", str(menu))
        assert "default `0` starts: Ubuntu (" in shown.out
        assert "next start only: Windows Boot Manager" in shown.out
    rows = run("boot", "entries", "--grub-cfg", str(menu)).out.splitlines()
    assert "1>0\tlinux\tUbuntu, with Linux 6.8.0-1\tgnulinux-6.8.0-1" in rows
    data = run("boot", "entries", "--grub-cfg", str(menu), "--json").document["data"]
    assert (data["default"]["path"], data["next_start"]["path"]) == ("0", "2")
