"""GRUB itself is the judge: what labkit says starts is what grub-emu starts."""

from __future__ import annotations

import json
import os
import uuid

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from labkit.boot.default_entry import resolve_default
from labkit.boot.grub_cfg import parse_grub_cfg
from labkit.boot.menu import walk_entries
from support.grub_emu import booted_number, harmless
from support.menus import menus

CASES = int(os.environ.get("LABKIT_GRUB_EMU_CASES", "300"))

OBSERVED_MENU = """\
menuentry_id_option=--id
export menuentry_id_option
menuentry 'Debian GNU/Linux' --id gnulinux-simple-aa { true
}
submenu 'Advanced options' --id adv {
menuentry 'Debian new' --id gnulinux-new { true
}
menuentry 'Debian old' --id gnulinux-old { true
}
}
menuentry '2nd Windows' --id osprober-efi-1 { true
}
menuentry 'Windows Boot Manager (on /dev/sda1)' --id osprober-efi-2 { true
}
submenu "Joe's OS > 2" --id joe {
menuentry X { true
}
menuentry Y { true
}
}
menuentry 8 --id eight { true
}
"""
OBSERVED = {
    "0": "Debian GNU/Linux",
    "4": "X",
    "5": "8",
    "6": "Debian GNU/Linux",
    "9": "Debian GNU/Linux",
    "-1": "Debian GNU/Linux",
    "": "Debian GNU/Linux",
    "saved": "Debian GNU/Linux",
    "0x2": "2nd Windows",
    "02": "2nd Windows",
    "03": "Windows Boot Manager (on /dev/sda1)",
    "010": "Debian GNU/Linux",
    "0x": "Debian GNU/Linux",
    "2nd Windows": "2nd Windows",
    "3abc": "Windows Boot Manager (on /dev/sda1)",
    "8": "Debian GNU/Linux",
    "eight": "8",
    "1": "Debian new",
    "adv": "Debian new",
    "Advanced options": "Debian new",
    "1>0": "Debian new",
    "adv>0": "Debian new",
    "adv>1": "Debian old",
    "adv>gnulinux-old": "Debian old",
    "1>gnulinux-old": "Debian old",
    "adv>Debian old": "Debian old",
    "1>Debian old": "Debian old",
    "Advanced options>Debian old": "Debian old",
    "1>9": "Debian new",
    "1>Debian new>0": "Debian new",
    "Debian old": "Debian GNU/Linux",
    "gnulinux-old": "Debian GNU/Linux",
    "Advanced options > Debian old": "Debian GNU/Linux",
    "adv >gnulinux-old": "Debian GNU/Linux",
    "ADV>gnulinux-old": "Debian GNU/Linux",
    "Windows Boot Manager": "Debian GNU/Linux",
    "osprober-efi-2 ": "Debian GNU/Linux",
    "Windows Boot Manager (on /dev/sda1)": "Windows Boot Manager (on /dev/sda1)",
    "osprober-efi-2": "Windows Boot Manager (on /dev/sda1)",
    "Joe's OS > 2": "Debian GNU/Linux",
    "Joe's OS >> 2": "X",
    "Joe's OS >> 2>Y": "Y",
    "joe>1": "Y",
}


@pytest.mark.parametrize(("value", "title"), OBSERVED.items())
def test_values_observed_with_grub_2_06_resolve_as_observed(value, title):
    """The table of values that GRUB 2.06 was seen to resolve."""
    resolution = resolve_default(parse_grub_cfg(OBSERVED_MENU).entries, value)

    assert resolution.entry is not None
    assert resolution.entry.title == title


@pytest.mark.timeout(1800)
def test_generated_menus_boot_in_grub_what_labkit_says(grub_emu, tmp_path):
    """Hundreds of menus with hostile names, all constructs and values: GRUB agrees each time."""
    compared = 0

    @settings(
        max_examples=CASES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(menus())
    def agrees(menu):
        nonlocal compared
        text, value = menu
        cfg = parse_grub_cfg(text, platform="emu")
        assert cfg.syntax_error is None
        resolution = resolve_default(cfg.entries, cfg.value("default"))
        assert cfg.value("default") == value
        started = booted_number(grub_emu, tmp_path / uuid.uuid4().hex, text)
        assert started == _number(cfg, resolution.entry)
        compared += 1

    agrees()
    assert compared >= CASES


def _number(cfg, entry):
    """Give what the entry reports: its line, and which turn of a loop made it.

    An empty menu, or submenu, starts nothing: GRUB waits.
    """
    if entry is None or entry.kind == "submenu":
        return None
    menu = entry.path.rpartition(">")[0]
    turns = [
        other
        for other in walk_entries(cfg.entries)
        if other.line == entry.line and other.path.rpartition(">")[0] == menu
    ]
    return entry.line * 100 + turns.index(entry)


def _real_menus(boot_cases):
    for meta in sorted(boot_cases.glob("gh-*/meta.json")):
        expect = json.loads(meta.read_text())["expect"]
        files = {"grub.cfg": expect, **expect.get("per_file", {})}
        for name, facts in files.items():
            for value, title in facts.get("resolve", {}).items():
                yield meta.parent / name, value, title


def test_real_menus_boot_in_grub_what_labkit_says(grub_emu, boot_cases, tmp_path):
    """Generated files of Kali, SLES, Fedora and RHEL: labkit, GRUB and the record agree."""
    disagreements = []
    count = 0
    for path, value, title in _real_menus(boot_cases):
        text = path.read_text()
        entry = resolve_default(parse_grub_cfg(text).entries, value).entry
        booted = booted_number(
            grub_emu, tmp_path / str(count), harmless(text) + f"\nset default='{value}'\n"
        )
        count += 1
        if entry is None or (entry.title, entry.line) != (title, booted):
            disagreements.append((path.name, value, title, entry, booted))

    assert count >= 30
    assert disagreements == []
