"""Options that several commands of `labkit boot` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.boot.distributions import Family

__all__ = ["BlsOption", "CfgOption", "DistributionOption", "EnvOption", "FileOption"]

BlsOption = Annotated[
    Path | None,
    typer.Option("--bls", metavar="DIR", help="The folder loader/entries, where Linux is (BLS)."),
]
CfgOption = Annotated[
    Path | None, typer.Option("--grub-cfg", metavar="FILE", help="The generated grub.cfg.")
]
DistributionOption = Annotated[
    Family | None,
    typer.Option(
        "--distribution", case_sensitive=False, help="Whose GRUB it is, if no os-release says so."
    ),
]
EnvOption = Annotated[
    Path | None, typer.Option("--grubenv", metavar="FILE", help="GRUB's environment block.")
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="The settings file to read or change.",
        show_default="/etc/default/grub",
    ),
]
