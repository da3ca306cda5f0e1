"""The completion scripts, in the real shells."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pexpect
import pytest

from labkit.cli.app import root_command
from labkit.cli.completion import SCRIPTS, completion_script
from labkit.cli.completion.tree import read_tree

# What is typed -> words that must be among those offered.
OFFERS = {
    "labkit ": {"completion", "doctor"},
    "labkit do": {"doctor"},
    "labkit completion ": {"bash", "zsh", "fish", "powershell"},
    "labkit completion f": {"fish"},
    "labkit doctor --js": {"--json"},
    "labkit --color ": {"auto", "always", "never"},
    "labkit doctor --json --color n": {"never"},
    "labkit drops ": {"need", "chance", "pity", "set"},
    "labkit drops pity --pre": {"--preset"},
    "labkit drops pity --preset gen": {"genshin"},
    "labkit drops 1/5000 --dr": {"--drops"},
    "labkit drops table READ": {"README.md"},
    "labkit drops 1/5000 --plot CHANGE": {"CHANGELOG.md"},
    "labkit tv kodi ba": {"backup"},
}


@pytest.fixture(params=SCRIPTS)
def shell(request):
    """Each shell by name."""
    return request.param


def test_script_is_fresh(project, shell):
    """The committed script is what the command tree gives; `.ci/generate` writes it."""
    committed = (project / "completions" / SCRIPTS[shell]).read_text(encoding="utf-8")

    assert committed == completion_script(shell)


def test_command_prints_the_script(run, shell):
    """`labkit completion SHELL` prints the script."""
    assert run("completion", shell).out == completion_script(shell)


def bash_offers(line, project, need_tool):
    """Complete `line` in bash."""
    words = line.split(" ")
    code = (
        f". completions/labkit.bash; COMP_WORDS=({' '.join(w or repr('') for w in words)}); "
        f"COMP_CWORD={len(words) - 1}; _labkit; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    command = [need_tool("bash"), "--norc", "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=True, cwd=project
    ).stdout.splitlines()


def fish_offers(line, project, need_tool):
    """Complete `line` in fish."""
    code = f"source completions/labkit.fish; complete -C '{line}'"
    command = [need_tool("fish"), "--no-config", "-c", code]
    output = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=True, cwd=project
    ).stdout
    return [row.split("\t")[0] for row in output.splitlines()]


def zsh_offers(line, project, need_tool):
    """Press Tab once in an interactive zsh that has never loaded the script."""
    child = pexpect.spawn(
        need_tool("zsh"),
        ["-f", "-i"],
        cwd=project,
        env={**os.environ, "TERM": "dumb"},
        timeout=30,
        encoding="utf-8",
        dimensions=(100, 150),
    )
    child.sendline(
        "fpath=($PWD/completions $fpath); autoload -Uz compinit; compinit -u -D; "
        "LISTMAX=1000; unsetopt zle_bracketed_paste; PS1='rea''dy> '"
    )
    child.expect_exact("ready> ")
    child.send(line + "\t")
    # A word that no completion offers marks the end of what the press wrote.
    child.send("\x05END\t")
    child.expect_exact("END")
    written = child.before
    child.close(force=True)
    return re.findall(r"[\w.-]+", written)


@pytest.mark.parametrize("line", OFFERS)
@pytest.mark.parametrize("offers", [bash_offers, fish_offers, zsh_offers])
def test_first_press(project, need_tool, offers, line):
    """The first press of Tab offers commands, choices and options."""
    assert OFFERS[line] <= set(offers(line, project, need_tool))


@pytest.mark.parametrize("offers", [bash_offers, fish_offers])
def test_prefix_is_heeded(project, need_tool, offers):
    """Only what begins like the typed word is offered."""
    assert offers("labkit completion f", project, need_tool) == ["fish"]


def test_bash_key_sequence(project, need_tool):
    """A Tab in an interactive bash completes the word."""
    child = pexpect.spawn(
        need_tool("bash"),
        ["--norc", "--noprofile", "-i"],
        cwd=project,
        env={**os.environ, "TERM": "dumb"},
        timeout=30,
        encoding="utf-8",
    )
    child.sendline("PS1='rea''dy> '; . completions/labkit.bash")
    child.expect_exact("ready> ")
    child.send("labkit doc\t")
    child.expect_exact("labkit doctor ")
    child.close(force=True)


def test_every_option_is_in_every_script(shell):
    """No command and no option is missing from a script."""
    script = completion_script(shell)

    for node in read_tree(root_command()).walk():
        assert node.name in script
        for option in node.options:
            assert all(name in script for name in option.names)


@pytest.mark.parametrize("program", ["bash", "zsh", "fish"])
def test_script_parses(project, need_tool, program):
    """The shell itself finds no syntax error in its script."""
    script = project / "completions" / SCRIPTS[program]
    result = subprocess.run(
        [need_tool(program), "-n", script], capture_output=True, text=True, timeout=30, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_powershell_script_parses():
    """The PowerShell script has no error under the PowerShell grammar."""
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip("tree_sitter_powershell")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))

    assert not parser.parse(completion_script("powershell").encode()).root_node.has_error


def test_wheel_carries_the_scripts(project):
    """Installers find the scripts where shells look, as shared data of the wheel."""
    settings = (project / "pyproject.toml").read_text(encoding="utf-8")

    for script, target in {
        "labkit.bash": "share/bash-completion/completions/labkit",
        "_labkit": "share/zsh/site-functions/_labkit",
        "labkit.fish": "share/fish/vendor_completions.d/labkit.fish",
    }.items():
        assert f'"completions/{script}" = "{target}"' in settings


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs an installation in a venv")
def test_installation_has_the_scripts():
    """An installed labkit has put the scripts into its environment."""
    from pathlib import Path

    assert (Path(sys.prefix) / "share/bash-completion/completions/labkit").is_file()
