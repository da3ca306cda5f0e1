"""Reading and judging /etc/default/grub: real files, and what grub-mkconfig was seen to do."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.boot.default_grub import parse_default_grub
from labkit.boot.grub_cfg import parse_grub_cfg
from labkit.boot.grubenv import parse_grubenv
from labkit.boot.settings_lint import lint_file
from labkit.errors import LabkitError


def test_real_settings_files_give_the_recorded_values(boot_cases):
    """Debian, Fedora, SUSE, Arch, CachyOS: every recorded value, and what is computed."""
    for meta in boot_cases.glob("default-*/meta.json"):
        expect = json.loads(meta.read_text())["expect"]
        settings = parse_default_grub((meta.parent / "default_grub").read_bytes())
        wanted = expect.get("values", {})
        assert {key: settings.values.get(key) for key in wanted} == wanted
        assert settings.computed == set(expect.get("dynamic", []))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("GRUB_TIMEOUT = 5\n", "F02"),
        ("GRUB_TIMEOUT= 5\n", "F02"),
        ("GRUB_DISTRIBUTOR=Debian (x)\n", "F01"),
        ("GRUB_DEFAULT='0\n", "F01"),
        ("exit 0\n", "F01"),
        ("exec true\n", "F01"),
        ("sudo update-grub\n", "F01"),
        ("If you change this file, run update-grub\n", "F01"),
        ("source /etc/x\n", "F01"),
        ("false\n", "F01"),
        ("return\n", "F01"),
        ("set GRUB_TIMEOUT=5\n", "F01"),
        ("[ -f /x ] && GRUB_TIMEOUT=5\n", "F01"),
        ("[ -f /x ] && { GRUB_TIMEOUT=5; }\n", "F01"),
        ("GRUB_TIMEOUT: 5\n", "F02"),
        ("GRUB_TIMEOUT 5\n", "F02"),
        ("GRUB-TIMEOUT=5\n", "F02"),
        ("$GRUB_TIMEOUT=5\n", "F02"),
        ("GRUB_DEFAULT+=1\n", "F02"),
        ("GRUB_DEFAULT=0 &\n", "F03"),
        ("export GRUB_DEFAULT 5\n", "F03"),
        ("export GRUB_CMDLINE_LINUX=quiet splash\n", "F03"),
        ("export GRUB_CMDLINE_LINUX=quiet net.ifnames=0\n", "F03"),
        ("(GRUB_DEFAULT=0)\n", "F03"),
        ("GRUB_DEFAULT=1>2\n", "F03"),
        ("GRUB_CMDLINE_LINUX_DEFAULT=quiet splash\n", "F03"),
        ("GRUB_TIMEOUT=7 true\n", "F03"),
        ("GRUB_TIMEOUT=7# seven\n", "F03"),
        ("GRUB_DEFAULT=0\nGRUB_DEFAULT=1\n", "F05"),
        ("GRUB_TIMOUT=5\n", "F07"),
        ("GRUB_TIMEOUT_STYLE=Menu\n", "F08"),
        ("GRUB_DISABLE_OS_PROBER=yes\n", "F08"),
        ("GRUB_HIDDEN_TIMEOUT=3\n", "F09"),
        ("GRUB_DISABLE_OS_PROBER=true\r\n", "F10"),
        ("\ufeffGRUB_DEFAULT=0\n", "F10"),
    ],
)
def test_each_fault_of_a_settings_file_has_its_rule(text, rule):
    """What grub-mkconfig dies of, or accepts without a word, is named."""
    assert [finding.rule for finding in lint_file(parse_default_grub(text.encode()))] == [rule]


HARMLESS = """\
export GRUB_COLOR_NORMAL=light-gray/black GRUB_CMDLINE_LINUX="quiet splash"
export GRUB_THEME GRUB_FONT
[ -f /x ] && GRUB_TIMEOUT=5
if [ -f /x ]; then my-program; fi
later() { GRUB_TIMEOUT=5; }
later
. /etc/os-release
/usr/bin/printf x >/dev/null
"""


def test_what_the_shell_can_do_is_no_fault():
    """Functions, conditions before other lines, other files, programs by their path."""
    assert lint_file(parse_default_grub(HARMLESS.encode())) == ()


@pytest.mark.parametrize(
    "text", ["GRUB_DEFAULT+=1\n", "source /etc/x\n", "[[ -f /x ]] && GRUB_TIMEOUT=1\n:\n"]
)
def test_what_bash_knows_is_no_fault_where_it_is_sh(text):
    """On Fedora, SUSE and Arch it is; dash dies of it, or never does what it leads to."""
    file = parse_default_grub(text.encode())

    assert lint_file(file, sh_is_bash=True) == ()
    assert lint_file(file) != ()


def test_the_remedy_of_an_appended_value_is_another_line():
    """`+=` written without blanks would be the same dead line."""
    [finding] = lint_file(parse_default_grub(b"GRUB_CMDLINE_LINUX+=' quiet'\n"))

    assert finding.fix == 'write GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX quiet"'


@given(
    st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))
)
def test_no_input_raises_anything_but_labkit_errors(data):
    """Settings, menus and environment blocks of any bytes."""
    for read in (
        lambda: lint_file(parse_default_grub(data)),
        lambda: parse_grub_cfg(data.decode("utf-8", "replace")),
        lambda: parse_grubenv(b"# GRUB Environment Block\n" + data),
    ):
        with contextlib.suppress(LabkitError):
            read()
