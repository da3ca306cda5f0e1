"""Whose settings and menu: the distribution around a file, and what its GRUB reads."""

from __future__ import annotations

import pytest

from labkit.boot.distributions import Family
from labkit.boot.editor import plan_edit
from labkit.boot.installed import refuse_generated, root_of, system_at, system_settings
from labkit.boot.installed_menu import read_installed_menu
from labkit.boot.menu_status import menu_status
from labkit.errors import InputError, RefusedError
from support.installed_systems import FEDORA, make_system

SETTINGS = "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\n"


@pytest.mark.parametrize(
    "place",
    [
        "etc/default/grub",
        "etc/default/grub.d/50_x.cfg",
        "boot/grub/grub.cfg",
        "boot/grub2/grub.cfg",
    ],
)
def test_the_root_of_a_system_is_told_by_the_place_of_the_file(tmp_path, place):
    """On a mounted system, too; a loose file has none."""
    assert root_of(tmp_path / place) == tmp_path
    assert root_of(tmp_path / "grub.cfg") is None


@pytest.mark.parametrize(
    ("release", "family"),
    [
        ("ID=debian\n", Family.DEBIAN),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', Family.UBUNTU),
        ('ID=linuxmint\nPRETTY_NAME="LMDE 6 (faye)"\n', Family.DEBIAN),
        ("ID=fedora\n", Family.FEDORA),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', Family.FEDORA),
        ('ID="opensuse-tumbleweed"\n', Family.SUSE),
        ("ID=manjaro\nID_LIKE=arch\n", Family.ARCH),
        ("ID=void\n", Family.UNKNOWN),
    ],
)
def test_the_distribution_is_told_by_os_release(tmp_path, release, family):
    """That of the mounted system, never that of the computer that reads it."""
    root = make_system(tmp_path, release=release, settings=SETTINGS)

    assert system_at(root / "etc/default/grub").distribution.family is family


def test_a_link_to_os_release_stays_inside_the_mounted_system(tmp_path):
    """An absolute link means a path of that system."""
    root = make_system(tmp_path, release=None, settings=SETTINGS)
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text("ID=fedora\n")
    (root / "etc/os-release").symlink_to("/usr/lib/os-release")

    assert system_at(root / "etc/default/grub").distribution.family is Family.FEDORA


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("# If you change this file, run 'update-grub'\n", Family.DEBIAN),
        (
            "GRUB_DISTRIBUTOR=\"$(sed 's, release .*$,,g' /etc/system-release)\"\n",
            Family.FEDORA,
        ),
        ("SUSE_BTRFS_SNAPSHOT_BOOTING=true\n", Family.SUSE),
        ('GRUB_DISTRIBUTOR="Arch"\n', Family.ARCH),
        ("GRUB_TIMEOUT=1\n", Family.UNKNOWN),
    ],
)
def test_a_loose_settings_file_names_its_distribution(tmp_path, text, family):
    """By the lines that only one distribution writes; the option decides before them."""
    path = tmp_path / "default_grub"
    path.write_text(text)

    assert system_settings(path)[1].distribution.family is family
    chosen = system_settings(path, family=Family.ARCH)[1]
    assert chosen.distribution.family is Family.ARCH


@pytest.mark.parametrize(
    ("release", "value"),
    [("ID=ubuntu\n", "9"), ("ID=debian\n", "9"), ("ID=void\n", "9")]
    + [(f"ID={name}\n", "5") for name in ("fedora", "opensuse-leap", "arch")],
)
def test_drop_ins_count_only_where_they_are_read(tmp_path, release, value):
    """Debian's patch reads grub.d; upstream, Fedora, SUSE and Arch do not."""
    root = make_system(
        tmp_path, release=release, settings=SETTINGS, drop_ins={"50.cfg": "GRUB_TIMEOUT=9\n"}
    )

    settings, system = system_settings(root / "etc/default/grub")

    assert settings.value("GRUB_TIMEOUT") == value
    status = menu_status(settings=root / "etc/default/grub")
    assert status.timeout_s == int(value)
    assert status.distribution is system.distribution


def test_a_drop_in_is_overridden_by_a_later_one_only(tmp_path):
    """A file of grub.d can be edited itself, if nothing behind it sets the key again."""
    files = {"10.cfg": "GRUB_TIMEOUT=1\n", "50.cfg": "GRUB_TIMEOUT=9\n"}
    root = make_system(tmp_path, release="ID=debian\n", settings=SETTINGS, drop_ins=files)
    folder = root / "etc/default/grub.d"

    with pytest.raises(RefusedError, match=r"50\.cfg"):
        plan_edit(folder / "10.cfg", {"GRUB_TIMEOUT": "2"})
    assert plan_edit(folder / "50.cfg", {"GRUB_TIMEOUT": "2"}).after == b"GRUB_TIMEOUT=2\n"


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ('ID=fedora\nPRETTY_NAME="Silverblue"\nOSTREE_VERSION=41\n', "ostree system"),
        ("ID=nixos\n", "generates"),
    ],
)
def test_generated_settings_are_refused_with_what_counts_instead(tmp_path, release, words):
    """Systems of ostree and NixOS write the file, or do not read it."""
    path = make_system(tmp_path, release=release, settings=SETTINGS) / "etc/default/grub"

    with pytest.raises(RefusedError, match=words) as caught:
        refuse_generated(system_at(path), path)
    assert caught.value.exit_code == 6
    assert caught.value.hint


def test_a_booted_ostree_system_is_told_by_its_mark(tmp_path):
    """Also where os-release does not say it."""
    root = make_system(tmp_path, release="ID=chimeraos\n", settings=SETTINGS)
    (root / "run").mkdir()
    (root / "run/ostree-booted").touch()

    assert system_at(root / "etc/default/grub").is_ostree


def test_a_drop_in_that_nothing_reads_is_not_edited(tmp_path):
    """Fedora would never see the change."""
    root = make_system(
        tmp_path, release="ID=fedora\n", settings=SETTINGS, drop_ins={"1.cfg": "GRUB_TIMEOUT=1\n"}
    )
    path = root / "etc/default/grub.d/1.cfg"

    with pytest.raises(RefusedError, match="does not read"):
        refuse_generated(system_at(path), path)


def test_fedoras_entries_come_from_its_files_newest_first(tmp_path):
    """The files beside the menu are found, and the saved default names one of them."""
    menu = read_installed_menu(FEDORA.make(tmp_path) / "boot/grub2/grub.cfg")

    assert [(entry.path, entry.title) for entry in menu.cfg.entries] == [
        ("0", "Fedora Linux (6.10.3)"),
        ("1", "Fedora Linux (6.9.12)"),
        ("2", "Windows Boot Manager (on /dev/nvme0n1p1)"),
    ]
    assert menu.resolve().path == "1"
    assert menu.resolve("saved").path == "1"
    assert menu.reboot_program == "grub2-reboot"


def test_fedora_compares_names_before_numbers(tmp_path):
    """`6` is no entry's number there, nor a title; `2` is the third; an id goes first."""
    menu = read_installed_menu(FEDORA.make(tmp_path) / "boot/grub2/grub.cfg")

    assert menu.resolve("2").path == "2"
    assert menu.resolve("osprober-efi-7A8C-9328").path == "2"
    upstream = read_installed_menu(menu.path, family=Family.DEBIAN)
    assert upstream.resolve("6b1-6.9.12").path == "0"
    assert menu.resolve("6b1-6.9.12").path == "1"


def test_without_its_entry_files_a_default_is_not_guessed(tmp_path):
    """Only a name in grub.cfg itself is certain: the files would come before all numbers."""
    root = FEDORA.make(tmp_path)
    for file in (root / "boot/loader/entries").iterdir():
        file.unlink()
    menu = read_installed_menu(root / "boot/grub2/grub.cfg")

    assert menu.lacks_entries
    assert menu.resolve().entry is None
    assert menu.resolve("0").entry is None
    assert menu.resolve("osprober-efi-7A8C-9328").entry.kind == "windows"


def test_a_folder_of_entries_can_be_named(tmp_path):
    """For a loose grub.cfg; a name that is no folder is an error."""
    root = FEDORA.make(tmp_path)
    loose = tmp_path / "grub.cfg"
    loose.write_text((root / "boot/grub2/grub.cfg").read_text())

    assert len(read_installed_menu(loose).cfg.entries) == 1
    assert len(read_installed_menu(loose, bls=root / "boot/loader/entries").cfg.entries) == 3
    with pytest.raises(InputError, match="no folder"):
        read_installed_menu(loose, bls=loose)


def test_the_status_comes_from_the_settings_where_there_is_no_menu(tmp_path):
    """A loose settings file is enough; what overrides it is said."""
    path = tmp_path / "default_grub"
    path.write_text("GRUB_TIMEOUT_STYLE=hidden\nGRUB_TIMEOUT=3\n")

    status = menu_status(settings=path, family=Family.UBUNTU)

    assert (status.style, status.timeout_s, status.visible) == ("hidden", 3, False)
    assert status.effective_from == (f"{path}:1", f"{path}:2")
    assert "beside another system" in status.overrides[0]


def test_the_status_says_that_the_menu_is_older_than_the_settings(tmp_path):
    """What GRUB does comes first; the command that brings both together is named."""
    root = make_system(
        tmp_path,
        release="ID=arch\n",
        settings="GRUB_TIMEOUT=9\n",
        menu="set timeout_style=menu\nset timeout=5\n",
    )

    status = menu_status(root / "boot/grub/grub.cfg")

    assert status.timeout_s == 5
    assert status.effective_from == (
        f"{root}/boot/grub/grub.cfg:1",
        f"{root}/boot/grub/grub.cfg:2",
    )
    assert "menu, 9 s" in status.pending
    assert "grub-mkconfig -o /boot/grub/grub.cfg" in status.pending


def test_without_menu_and_settings_the_status_is_an_error(tmp_path):
    """Both names are the user's; nothing of this computer stands in for them."""
    with pytest.raises(InputError):
        menu_status(tmp_path / "none.cfg")
    with pytest.raises(InputError):
        menu_status(settings=tmp_path / "none")
