"""grub-mkconfig itself is the judge of what /etc/default/grub means, and of what makes it fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from labkit.boot.default_choice import find_entry, setting_for
from labkit.boot.default_grub import join_settings, parse_default_grub
from labkit.boot.distributions import Family, distribution_of
from labkit.boot.findings import Severity
from labkit.boot.grub_cfg import parse_grub_cfg
from labkit.boot.menu_display import menu_display, planned_display
from labkit.boot.settings_edit import edit_settings
from labkit.boot.settings_lint import lint_file
from support.boot_inputs import GRUB_CFG, HEALTHY, diagnosed
from support.grub_mkconfig import SCRIPTS, WINDOWS, make_menu

DEBIAN = distribution_of(Family.DEBIAN)
ON = "GRUB_DISABLE_OS_PROBER=false\n"


@pytest.fixture
def made(need_tool, tmp_path):
    """A function that makes grub.cfg from settings with the real scripts."""
    program = need_tool("grub-mkconfig")
    if not (SCRIPTS / "30_os-prober").is_file():
        pytest.skip(f"needs GRUB's scripts in {SCRIPTS}")

    def make(settings, **more):
        data = settings if isinstance(settings, bytes) else settings.encode()
        runs = len(list(tmp_path.glob("mkconfig*")))
        return make_menu(program, tmp_path / f"mkconfig{runs}", data, **more)

    return make


@pytest.mark.parametrize(
    "text",
    [
        "GRUB_TIMEOUT = 5\n",
        "GRUB_TIMEOUT= 5\n",
        "GRUB_DISTRIBUTOR=Debian (x)\n",
        "GRUB_DEFAULT='0\n",
        "GRUB_CMDLINE_LINUX_DEFAULT=quiet splash\n",
        "GRUB_TIMEOUT=7# seven\n",
        "GRUB_TERMINAL=foo\n",
        "exit 0\n",
        "\N{ZERO WIDTH NO-BREAK SPACE}GRUB_DEFAULT=0\n",
        "\N{NO-BREAK SPACE}GRUB_DEFAULT=0\n",
    ],
)
def test_what_stops_grub_mkconfig_is_never_clean_for_lint(made, text):
    """No menu is written, and lint says that something is wrong."""
    result = made(text)

    assert result.menu is None
    findings = lint_file(parse_default_grub(text.encode()))
    assert any(finding.severity is not Severity.INFO for finding in findings)


@pytest.mark.parametrize(
    "text",
    [
        "GRUB_TIMEOUT=7 # seven\n",
        "  GRUB_TIMEOUT=7\n",
        "export GRUB_TIMEOUT=7\n",
        "A=1; GRUB_TIMEOUT=7\n",
        "GRUB_TIMEOUT=\\\n7\n",
        "GRUB_TIMEOUT=1\nGRUB_TIMEOUT='7'\n",
        '[ -f /nowhere ] && true\nGRUB_TIMEOUT="7"\n',
        "GRUB_TIMEOUT=7",
    ],
)
def test_the_value_that_the_reader_sees_is_the_one_in_the_menu(made, text):
    """Blanks, export, several on a line, continuation, the last of two, no final newline."""
    result = made(text)

    assert result.code == 0, result.log
    assert parse_default_grub(text.encode()).values["GRUB_TIMEOUT"] == "7"
    assert menu_display(parse_grub_cfg(result.menu)).timeout_s == 7


def test_an_assignment_before_a_command_is_lost_in_silence(made):
    """grub-mkconfig succeeds without the value; the reader does not see it, lint tells."""
    text = "GRUB_TIMEOUT=7 true\n"
    result = made(text)

    assert result.code == 0
    assert menu_display(parse_grub_cfg(result.menu)).timeout_s == 5
    assert "GRUB_TIMEOUT" not in parse_default_grub(text.encode()).values
    assert [f.rule for f in lint_file(parse_default_grub(text.encode()))] == ["F03"]


@pytest.mark.parametrize(
    ("value", "runs"),
    [
        ("true", False),
        ('"true"', False),
        ("'true'", False),
        ("'true'  ", False),
        ("True", True),
        ("yes", True),
        ("1", True),
        ("no", True),
        ("False", True),
        ('"true "', True),
        ("false", True),
        ("true\r", True),
    ],
)
def test_only_the_word_true_switches_os_prober_off(made, value, runs):
    """The menu has Windows in all other cases, with `true` in wrong case or with blanks inside."""
    text = f"GRUB_DISABLE_OS_PROBER={value}\n"
    result = made(text)

    kinds = [entry.kind for entry in parse_grub_cfg(result.menu).entries]
    assert ("windows" in kinds) is runs
    assert (
        parse_default_grub(text.encode()).values["GRUB_DISABLE_OS_PROBER"] == "true"
    ) is not runs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GRUB_TIMEOUT=\n",
        "GRUB_TIMEOUT=0\n",
        "GRUB_TIMEOUT=-1\n",
        "GRUB_TIMEOUT=abc\n",
        "GRUB_TIMEOUT=3\nGRUB_TIMEOUT_STYLE=hidden\n",
        "GRUB_TIMEOUT=3\nGRUB_TIMEOUT_STYLE=countdown\n",
        "GRUB_TIMEOUT=3\nGRUB_TIMEOUT_STYLE=Menu\n",
        "GRUB_TIMEOUT=-1\nGRUB_TIMEOUT_STYLE=hidden\n",
        "GRUB_TIMEOUT=0\nGRUB_HIDDEN_TIMEOUT=3\n",
        "GRUB_TIMEOUT=9\nGRUB_HIDDEN_TIMEOUT=3\nGRUB_HIDDEN_TIMEOUT_QUIET=true\n",
        "GRUB_TIMEOUT=9\nGRUB_HIDDEN_TIMEOUT=0\nGRUB_HIDDEN_TIMEOUT_QUIET=true\n",
        "GRUB_TIMEOUT=9\nGRUB_HIDDEN_TIMEOUT=3\nGRUB_TIMEOUT_STYLE=menu\n",
        "GRUB_TIMEOUT=9\nGRUB_HIDDEN_TIMEOUT=\n",
    ],
)
def test_the_display_planned_from_settings_is_the_one_of_the_menu(made, text):
    """Style and timeout, the old way of hiding included."""
    display = menu_display(parse_grub_cfg(made(text).menu))
    planned = planned_display(join_settings(parse_default_grub(text.encode())), DEBIAN)

    assert (planned.style, planned.timeout_s) == (display.style, display.timeout_s)


def test_drop_ins_are_read_after_the_file(made, need_tool):
    """On Debian: the value of the drop-in is the one in the menu."""
    if "default/grub.d" not in Path(need_tool("grub-mkconfig")).read_text(encoding="utf-8"):
        pytest.skip("this grub-mkconfig reads no drop-ins")
    result = made("GRUB_TIMEOUT=1\n", drop_in="GRUB_TIMEOUT=9\n")

    assert menu_display(parse_grub_cfg(result.menu)).timeout_s == 9


def test_windows_becomes_the_default_of_a_menu_that_grub_mkconfig_made(made, need_tool, tmp_path):
    """The whole way: menu, choice, edited settings, new menu, which starts Windows."""
    first = made(f"{ON}#GRUB_DEFAULT=9\nGRUB_DEFAULT=0 # mine\n")
    cfg = parse_grub_cfg(first.menu)
    setting = setting_for(cfg, find_entry(cfg, "windows"))
    edited = edit_settings(f"{ON}GRUB_DEFAULT=0 # mine\n", {"GRUB_DEFAULT": setting})
    second = make_menu(need_tool("grub-mkconfig"), tmp_path / "again", edited.encode())
    menu = parse_grub_cfg(second.menu, environment_block={})

    assert setting == "osprober-efi-7A8C-9328"
    assert menu.value("default") == setting
    check = [need_tool("grub-script-check"), str(tmp_path / "again/grub.cfg")]
    assert subprocess.run(check, timeout=20, check=False).returncode == 0


def test_a_menu_from_before_os_prober_was_on_is_stale_until_it_is_made_again(made):
    """grub-mkconfig's own menus: without Windows while it was off, with it after the update."""
    begin, end = (GRUB_CFG.index(f"### BEGIN /etc/grub.d/{n}") for n in (10, 30))
    linux = GRUB_CFG[begin:end]
    inputs = HEALTHY | {"default_grub": f"GRUB_DEFAULT=0\n{ON}", "os-prober.txt": f"{WINDOWS}\n"}
    before = made("GRUB_DEFAULT=0\nGRUB_DISABLE_OS_PROBER=true\n").menu
    after = made(inputs["default_grub"]).menu
    assert diagnosed(inputs | {"grub.cfg": before + linux}).root_causes == ("C01",)
    assert diagnosed(inputs | {"grub.cfg": after + linux}).verdict == "healthy"
