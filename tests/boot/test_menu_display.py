"""Whether the menu appears and for how long, from grub.cfg and from the settings."""

from __future__ import annotations

import pytest

from labkit.boot.default_grub import join_settings, parse_default_grub
from labkit.boot.distributions import Family, distribution_of
from labkit.boot.grub_cfg import parse_grub_cfg
from labkit.boot.menu_display import menu_display, planned_display, style_and_timeout


@pytest.mark.parametrize(
    ("style", "timeout", "effective"),
    [
        ("menu", "5", ("menu", 5)),
        ("", "0", ("menu", 0)),
        ("Menu", "5", ("menu", 5)),
        ("hidden", "3", ("hidden", 3)),
        ("countdown", "010", ("countdown", 8)),
        ("hidden", "-1", ("menu", -1)),
        ("countdown", "abc", ("menu", -1)),
        ("hidden", "", ("menu", -1)),
        ("hidden", "9" * 30, ("menu", -1)),
    ],
)
def test_the_two_variables_are_read_as_grub_reads_them(style, timeout, effective):
    """Unknown styles are `menu`; a timeout that is no number waits for ever, with the menu."""
    assert style_and_timeout(style, timeout) == effective


def test_the_last_assignment_that_is_executed_decides():
    """File order and conditions count; the lines are named."""
    text = "set timeout=5\nset timeout_style=hidden\nif false; then\nset timeout=9\nfi\n"
    display = menu_display(parse_grub_cfg(text))

    assert (display.style, display.timeout_s, display.visible) == ("hidden", 5, False)
    assert (display.style_line, display.timeout_line) == (2, 1)


def test_a_crash_mark_in_the_environment_block_lengthens_the_wait():
    """Debian's and Ubuntu's header asks for recordfail."""
    text = 'if [ "${recordfail}" = 1 ]; then\nset timeout=30\nelse\nset timeout=0\nfi\n'

    assert menu_display(parse_grub_cfg(text, environment_block={})).timeout_s == 0
    failed = parse_grub_cfg(f"load_env\n{text}", environment_block={"recordfail": "1"})
    assert menu_display(failed).timeout_s == 30


def planned(text, family=Family.DEBIAN):
    """Plan the display from the text of a settings file."""
    return planned_display(
        join_settings(parse_default_grub(text.encode())), distribution_of(family)
    )


def test_a_computed_value_is_not_guessed():
    """What the shell computes stays open; what is known is told."""
    display = planned("GRUB_TIMEOUT=$(cat /x)\nGRUB_TIMEOUT_STYLE=menu\n")
    assert (display.style, display.timeout_s) == (None, None)
    display = planned("GRUB_TIMEOUT=3\nGRUB_TIMEOUT_STYLE=`x`\n")
    assert (display.style, display.timeout_s) == (None, 3)


def test_a_hidden_timeout_of_zero_counts_on_ubuntu_only():
    """Debian ignores it and shows the menu."""
    text = "GRUB_TIMEOUT=9\nGRUB_HIDDEN_TIMEOUT=0\nGRUB_HIDDEN_TIMEOUT_QUIET=true\n"

    assert (planned(text).style, planned(text).timeout_s) == ("menu", 9)
    on_ubuntu = planned(text, Family.UBUNTU)
    assert (on_ubuntu.style, on_ubuntu.timeout_s) == ("hidden", 0)
