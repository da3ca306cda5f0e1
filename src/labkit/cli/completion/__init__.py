"""`labkit completion`: completion scripts, generated from the command tree.

The scripts are static: a key press starts no program. Each shell has a module here that turns
the same tree (`tree.py`) into that shell's own language.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from labkit.cli.frame import Result, single_command

__all__ = ["SCRIPTS", "Shell", "completion", "completion_script"]

Shell = Literal["bash", "zsh", "fish", "powershell"]

SCRIPTS: dict[Shell, str] = {
    "bash": "labkit.bash",
    "zsh": "_labkit",
    "fish": "labkit.fish",
    "powershell": "labkit.ps1",
}
"""Shell -> the file's name in the folder `completions`."""


def completion_script(shell: Shell) -> str:
    """Generate the completion script for `shell` from the command tree."""
    from labkit.cli.app import root_command
    from labkit.cli.completion import bash, fish, powershell, zsh
    from labkit.cli.completion.tree import read_tree

    writers = {
        "bash": bash.script,
        "zsh": zsh.script,
        "fish": fish.script,
        "powershell": powershell.script,
    }
    return writers[shell](read_tree(root_command()))


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that is to complete.")],
) -> Result:
    """Print the completion script for a shell.

    Nothing is installed and no start-up file is touched. Put the script where the shell looks:

    \b
    bash        ~/.local/share/bash-completion/completions/labkit
    zsh         a file named _labkit in a folder of $fpath
    fish        ~/.config/fish/completions/labkit.fish
    powershell  labkit completion powershell | Out-String | Invoke-Expression, in $PROFILE
    """  # noqa: D301 - \b is the character that keeps these lines from being wrapped
    script = completion_script(shell)
    return Result(
        {"shell": shell, "script": script}, lambda output: output.line(script.rstrip("\n"))
    )


app = single_command(completion, "completion", "labkit completion bash")
