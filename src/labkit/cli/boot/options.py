"""Options that several commands of `labkit boot` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.boot.distributions import Family

# `readable=False`: what may not be read is told by the core, as an unmet need (exit code 4); the
# option's own check would make it a usage error.

__all__ = ["BlsOption", "CfgOption", "DistributionOption", "EnvOption", "FileOption"]

BlsOption = Annotated[
    Path | None,
    typer.Option(
        "--bls",
        metavar="DIR",
        readable=False,
        help="The folder loader/entries, where Linux is (BLS).",
    ),
]
CfgOption = Annotated[
    Path | None,
    typer.Option("--grub-cfg", metavar="FILE", readable=False, help="The generated grub.cfg."),
]
DistributionOption = Annotated[
    Family | None,
    typer.Option(
        "--distribution", case_sensitive=False, help="Whose GRUB it is, if no os-release says so."
    ),
]
EnvOption = Annotated[
    Path | None,
    typer.Option("--grubenv", metavar="FILE", readable=False, help="GRUB's environment block."),
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        readable=False,
        help="The settings file to read or change.",
        show_default="/etc/default/grub",
    ),
]
