"""The tool that the commands of `labkit gpupv` register themselves with."""

from __future__ import annotations

from labkit.cli.frame import Tool

__all__ = ["COMMANDS", "gpupv"]

_PACKAGE = "labkit.cli.gpupv"

COMMANDS = {
    "init": (f"{_PACKAGE}.init", "Print a commented example specification."),
    "plan": (f"{_PACKAGE}.plan", "Check a specification and write its script set."),
    "check": (f"{_PACKAGE}.check", "See that a script set is complete, unchanged and sound."),
    "diff": (f"{_PACKAGE}.diff", "Show what changes from one specification to another."),
    "inventory-script": (
        f"{_PACKAGE}.inventory_script",
        "Write the read-only script that describes a host in host.json.",
    ),
    "doctor": (f"{_PACKAGE}.doctor", "Diagnose a host from host.json or from pasted output."),
    "explain": (
        f"{_PACKAGE}.explaining",
        "Explain a failure by its code, or recognise an error message.",
    ),
    "lint": (f"{_PACKAGE}.lint", "Find known bad advice in a GPU-PV script or guide."),
}
"""Name -> the module that registers the command, and its line of help."""

gpupv = Tool("gpupv", "A GPU for the Hyper-V guest, as scripts to read first.", table=COMMANDS)
