"""A specification from the few options of the quick form: one machine, one card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.gpupv.spec import Problem, Spec, SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["quick_spec"]

_PLACES = {
    "vm": ("vm", "name"),
    "vhdx": ("vm", "vhdx"),
    "memory": ("vm", "memory"),
    "vcpu": ("vm", "vcpu"),
    "resolution": ("vm", "resolution"),
    "guest_user": ("vm", "guest_user"),
    "percent": ("vm", "percent"),
    "gpu": ("gpu", "path"),
    "vram": ("gpu", "vram"),
    "address_bits": ("host", "address_bits"),
    "iso": ("create", "iso"),
    "vhd_size": ("create", "vhd_size"),
    "switch": ("create", "switch"),
}
"""Option -> the table and the key that it stands for."""

_FIELDS = {"vm": "vm[1].", "gpu": "gpu[1].", "host": "host.", "create": "vm[1].create."}


def quick_spec(options: Mapping[str, str]) -> Spec:
    """Make a specification from options like `vm`, `gpu`, `vhdx` and `memory`.

    Raises:
        SpecError: Values are wrong or missing; the problems name the options.
    """
    tables: dict[str, dict[str, object]] = {"vm": {}, "gpu": {}, "host": {}, "create": {}}
    for option, value in options.items():
        table, key = _PLACES[option]
        tables[table][key] = value
    machine = {**tables["vm"]}
    if tables["create"]:
        machine["create"] = tables["create"]
    try:
        return Spec.from_table({"host": tables["host"], "gpu": [tables["gpu"]], "vm": [machine]})
    except SpecError as error:
        raise SpecError([_renamed(problem) for problem in error.problems]) from error


def _renamed(problem: Problem) -> Problem:
    for option, (table, key) in _PLACES.items():
        if problem.field == _FIELDS[table] + key:
            return Problem(f"--{option.replace('_', '-')}", problem.message)
    return problem
