"""How distributions differ in what GRUB's scripts do: what is right on one is a fault on another.

Sources: the grub packages of each distribution; the upstream change of the os-prober default is
GRUB 2.06 (NEWS), which Fedora reverted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.boot.default_entry import Order

__all__ = [
    "Distribution",
    "Family",
    "distribution_of",
    "distribution_of_settings",
    "distribution_of_text",
    "is_distribution_name",
    "named_in_settings",
    "os_release_names",
]


@unique
class Family(StrEnum):
    """Distributions whose GRUB behaves alike."""

    DEBIAN = "Debian"
    UBUNTU = "Ubuntu"
    FEDORA = "Fedora"
    SUSE = "openSUSE"
    ARCH = "Arch"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What this distribution's GRUB does.

    Attributes:
        family: Which one it is.
        probes_by_default: Whether os-prober runs when GRUB_DISABLE_OS_PROBER is not set; None
            where that depends on the release.
        reads_drop_ins: Whether /etc/default/grub.d/*.cfg are read.
        unhides_beside_windows: Whether the menu is shown beside Windows although it is set to be
            hidden.
        saves_default: Whether GRUB_DEFAULT=saved without GRUB_SAVEDEFAULT is how it is delivered.
        update_command: The command that writes grub.cfg.
        grubenv_command: The command that edits the environment block.
        install_command: The command that installs a package.
        loader_commands: The commands that write the UEFI loader and the ESP's grub.cfg anew.
    """

    family: Family
    probes_by_default: bool | None
    reads_drop_ins: bool
    unhides_beside_windows: bool
    saves_default: bool
    update_command: str
    grubenv_command: str
    install_command: str
    loader_commands: tuple[str, ...] = ()

    @property
    def order(self) -> Order:
        """In which order GRUB compares a default with numbers, titles and ids."""
        return "fedora" if self.family is Family.FEDORA else "upstream"

    @property
    def sh_is_bash(self) -> bool:
        """Whether /bin/sh is bash, which knows `+=`, `[[` and `source`; it is dash on Debian."""
        return self.family in {Family.FEDORA, Family.SUSE, Family.ARCH}


_DISTRIBUTIONS = {
    d.family: d
    for d in (
        Distribution(
            Family.DEBIAN,
            probes_by_default=False,
            reads_drop_ins=True,
            unhides_beside_windows=False,
            saves_default=False,
            update_command="sudo update-grub",
            grubenv_command="grub-editenv",
            install_command="sudo apt-get install",
            loader_commands=("sudo grub-install --target=x86_64-efi",),
        ),
        Distribution(
            Family.UBUNTU,
            probes_by_default=None,
            reads_drop_ins=True,
            unhides_beside_windows=True,
            saves_default=False,
            update_command="sudo update-grub",
            grubenv_command="grub-editenv",
            install_command="sudo apt-get install",
            loader_commands=("sudo grub-install --target=x86_64-efi",),
        ),
        Distribution(
            Family.FEDORA,
            probes_by_default=True,
            reads_drop_ins=False,
            unhides_beside_windows=True,
            saves_default=True,
            update_command="sudo grub2-mkconfig -o /boot/grub2/grub.cfg",
            grubenv_command="grub2-editenv",
            install_command="sudo dnf install",
            loader_commands=("sudo dnf reinstall shim-x64 grub2-efi-x64 grub2-common",),
        ),
        Distribution(
            Family.SUSE,
            probes_by_default=False,
            reads_drop_ins=False,
            unhides_beside_windows=False,
            saves_default=True,
            update_command="sudo grub2-mkconfig -o /boot/grub2/grub.cfg",
            grubenv_command="grub2-editenv",
            install_command="sudo zypper install",
            loader_commands=("sudo update-bootloader --reinit",),
        ),
        Distribution(
            Family.ARCH,
            probes_by_default=False,
            reads_drop_ins=False,
            unhides_beside_windows=False,
            saves_default=False,
            update_command="sudo grub-mkconfig -o /boot/grub/grub.cfg",
            grubenv_command="grub-editenv",
            install_command="sudo pacman -S",
            loader_commands=("sudo grub-install --target=x86_64-efi",),
        ),
        Distribution(
            Family.UNKNOWN,
            probes_by_default=None,
            reads_drop_ins=True,
            unhides_beside_windows=False,
            saves_default=False,
            update_command="sudo update-grub (or: sudo grub-mkconfig -o /boot/grub/grub.cfg)",
            grubenv_command="grub-editenv",
            install_command="install the package",
        ),
    )
}

# In this order: a name of the Ubuntu family may name Debian or Arch too, not the reverse.
_WORDS = (
    (Family.UBUNTU, r"ubuntu|linuxmint|\bmint\b|zorin|\bpop\b|elementary|neon"),
    (Family.FEDORA, r"fedora|rhel|red ?hat|centos|rocky|alma|nobara|bazzite|silverblue"),
    (Family.SUSE, r"suse|\bsles?\b"),
    (Family.ARCH, r"\barch\b|archlinux|manjaro|endeavour|cachyos|garuda|artix|antergos|gentoo"),
    (Family.DEBIAN, r"debian|kali|lmde|raspbian|devuan|parrot|\bmx\b"),
)


def distribution_of(family: Family) -> Distribution:
    """Give the behaviour of a family's GRUB."""
    return _DISTRIBUTIONS[family]


def distribution_of_text(*texts: str | None) -> Distribution:
    """Tell the distribution from the first of `texts` that names one.

    A text may be os-release's `ID` and `ID_LIKE`, an ESP folder, a menu title, GRUB_DISTRIBUTOR.
    """
    for text in texts:
        for family, words in _WORDS:
            if text and re.search(words, text, re.IGNORECASE):
                return _DISTRIBUTIONS[family]
    return _DISTRIBUTIONS[Family.UNKNOWN]


def is_distribution_name(word: str) -> bool:
    """Tell whether a word is the name of a distribution and nothing more."""
    return any(re.fullmatch(words, word, re.IGNORECASE) for _, words in _WORDS)


def os_release_names(values: Mapping[str, str]) -> str:
    """Join what os-release says about the distribution's name; LMDE is Debian, not Mint."""
    if "LMDE" in values.get("PRETTY_NAME", ""):
        return "debian"
    return f"{values.get('ID', '')} {values.get('ID_LIKE', '')}"


_SETTINGS_LINE = re.compile(
    r"^GRUB_DISTRIBUTOR=.*|^SUSE_.*|^.*(?:grub2-mkconfig|system-release|update-grub).*",
    re.MULTILINE,
)


def distribution_of_settings(text: str) -> Distribution:
    """Tell the distribution from the lines of /etc/default/grub that are typical of one."""
    lines = _SETTINGS_LINE.findall(text)
    lines.sort(key=lambda line: line.startswith("#"))  # A comment may be copied from elsewhere.
    return distribution_of_text(*map(named_in_settings, lines))


def named_in_settings(line: str) -> str:
    """Name the distribution behind a typical line of /etc/default/grub; else the line itself."""
    for sign, name in (
        ("SUSE_", "opensuse"),
        ("NAME:-Ubuntu", "ubuntu"),
        ("system-release", "fedora"),
        ("/boot/grub2/grub.cfg", "suse"),
        ("lsb_release", "debian"),
        ("update-grub", "debian"),
    ):
        if sign in line:
            return name
    return line
