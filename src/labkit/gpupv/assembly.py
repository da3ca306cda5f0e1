"""From a specification to the texts of the script set.

The bodies are constant texts of this package. A body names its data by a line `# labkit: plan`;
the plan block is the one place where the user's values stand. Equal specifications give equal
bytes on every platform.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import __version__
from labkit.gpupv.bodies import read_body, script_body
from labkit.gpupv.literals import literal
from labkit.gpupv.settings import plan_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labkit.gpupv.literals import Data
    from labkit.gpupv.settings import MachineValues
    from labkit.gpupv.spec import Spec, VirtualMachine

__all__ = [
    "MANIFEST",
    "README",
    "SCRIPTS",
    "assemble_set",
    "example_text",
    "inventory_script",
    "plan_data",
    "plan_hash",
    "plan_scripts",
    "readme_text",
    "script_text",
]

SCRIPTS = {
    "00-Inventory.ps1": "writes host.json for `labkit gpupv doctor`; changes nothing",
    "01-Preflight.ps1": "checks the host against this plan; changes nothing",
    "05-New-VM.ps1": "creates the virtual machines that the plan asks for",
    "10-Apply.ps1": "sets memory, memory-mapped space and GPU adapters",
    "40-Display.ps1": "sets the resolution of the console, where the plan gives one",
    "20-Sync-Drivers.ps1": "copies the host's GPU driver into the guest",
    "30-Verify-Guest.ps1": "run inside the guest: is the GPU alive; changes nothing",
    "31-Verify-Host.ps1": "checks every setting against this plan; changes nothing",
    "90-Rollback.ps1": "puts back what 10-Apply, 40-Display and 20-Sync-Drivers changed",
    "91-Detach.ps1": "takes the adapters out, before a card is changed",
}
"""The scripts in the order in which they are run, and what each does."""

MANIFEST = "manifest.json"
README = "README.txt"
_GUEST = "30-Verify-Guest.ps1"
"""It is copied into a guest, which need not learn of the host's other machines."""

_PLAN = "# labkit: plan"


def plan_scripts(spec: Spec) -> dict[str, str]:
    """Write the script set: file name -> text, ASCII, lines ending in CRLF.

    Raises:
        AddressRangeError: A memory-mapped space that the host's CPU does not reach; what
            `Spec.parse` returns holds none.
    """
    return assemble_set(plan_data(spec))


def assemble_set(data: Mapping[str, Data]) -> dict[str, str]:
    """Write the script set of a `$Plan` block: file name -> text."""
    digest = str(data["Hash"])
    files = {name: script_text(name, data) for name in SCRIPTS}
    files[README] = readme_text(digest)
    files[MANIFEST] = _manifest(files, digest)
    return files


def script_text(name: str, data: Mapping[str, Data]) -> str:
    """Write one script of a set."""
    public = {key: data[key] for key in ("Tool", "Hash", "Name") if key in data}
    block = public if name == _GUEST else data
    return _crlf(_assembled(name, f"$Plan = {literal(block)}"))


def readme_text(digest: str) -> str:
    """Write the README.txt of a set, whose plan has the SHA-256 `digest`."""
    order = "\n".join(f"  {name:<22}{what}" for name, what in SCRIPTS.items())
    return _crlf(read_body(README).replace("@ORDER@", order).replace("@HASH@", digest))


def inventory_script() -> str:
    """Return the read-only script that writes host.json, as in every set."""
    return script_text("00-Inventory.ps1", {})


def example_text() -> str:
    """Return a commented example specification, TOML."""
    return (Path(__file__).parent / "example.toml").read_text(encoding="ascii")


def _manifest(files: Mapping[str, str], digest: str) -> str:
    manifest = {
        "labkit": __version__,
        "plan_sha256": digest,
        "files": {
            name: hashlib.sha256(text.encode("ascii")).hexdigest()
            for name, text in sorted(files.items())
        },
    }
    return _crlf(json.dumps(manifest, indent=2) + "\n")


def plan_data(spec: Spec) -> dict[str, Data]:
    """Return what the `$Plan` block of every script holds, with the hash of all the rest."""
    numbers = plan_settings(spec).values
    plan: dict[str, Data] = {
        "Name": spec.name,
        "AllowPolicy": spec.host.allow_policy,
        "Machines": [
            _machine(spec, machine, values)
            for machine, values in zip(spec.machines, numbers, strict=True)
        ],
    }
    return {"Tool": f"labkit {__version__}", "Hash": plan_hash(plan), **plan}


def plan_hash(data: Mapping[str, Data]) -> str:
    """Return the SHA-256 of what a plan says, whichever labkit wrote it."""
    plan = {key: value for key, value in data.items() if key not in {"Tool", "Hash"}}
    canonical = json.dumps(plan, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _machine(spec: Spec, machine: VirtualMachine, values: MachineValues) -> dict[str, Data]:
    create: Data = None
    if machine.create:
        new = machine.create
        create = {"Iso": new.iso, "VhdBytes": new.vhd_size_bytes, "Switch": new.switch}
    width, height = machine.resolution or (None, None)
    return {
        "Name": machine.name,
        "Id": machine.id,
        "Vhdx": machine.vhdx,
        "Gpus": [spec.gpu(key).path for key in machine.gpus],
        "Percent": machine.percent,
        "RemoveOtherAdapters": machine.remove_other_adapters,
        "MemoryBytes": machine.memory_bytes,
        "ProcessorCount": machine.vcpu,
        "LowMmioBytes": values.low_bytes,
        "HighMmioBytes": values.high_bytes,
        "HighMmioBaseMb": values.base_mb,
        "StopAction": machine.stop_action,
        "Width": width,
        "Height": height,
        "ResolutionType": machine.resolution_type,
        "GuestUser": machine.guest_user,
        "Create": create,
    }


def _assembled(name: str, plan_block: str) -> str:
    return script_body(name).replace(f"\n{_PLAN}\n", f"\n{plan_block}\n")


def _crlf(text: str) -> str:
    return text.replace("\n", "\r\n")
