"""Reading the tables of a specification: what each may hold, and every problem at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

from labkit.gpupv import values
from labkit.gpupv.instance_path import parse_instance_path
from labkit.gpupv.memory_mapped import (
    DEFAULT_HIGH_BASE_MB,
    LOW_SPACE_MB,
    AddressRangeError,
    plan_high_space,
)
from labkit.gpupv.spec import Gpu, Host, NewMachine, Problem, VirtualMachine
from labkit.gpupv.toml_lines import line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from labkit.gpupv.toml_lines import KeyPath

__all__ = ["Values", "read_table"]

Values = dict[str, Any]
"""Checked values by the name of the attribute that they become."""

_MIB = 2**20

MAX_SHARES = 32
"""How many partition adapters one card carries at most (Microsoft, GPU partitioning)."""

RESOLUTION_TYPES = ("Maximum", "Single")
STOP_ACTIONS = ("ShutDown", "TurnOff")


@dataclass(frozen=True, slots=True)
class _Key:
    check: Callable[[str], object]
    attribute: str = ""
    required: bool = False
    number: bool = False

    @property
    def form(self) -> str:
        """How the value is written."""
        if self.number:
            return "a whole number"
        size = self.attribute.endswith("_bytes")
        return "text in quotes, with a unit for a size" if size else "text in quotes"


def _one_of(choices: Sequence[str], text: str) -> str:
    for choice in choices:
        if choice.lower() == text.lower():
            return choice
    raise ValueError(f"is none of {', '.join(choices)}")


def _refused(reason: str) -> Callable[[str], object]:
    def check(_: str) -> object:
        raise ValueError(reason)

    return check


def _stop_action(text: str) -> str:
    if text.lower() == "save":
        raise ValueError("is Save, which a virtual machine with a GPU cannot do; use ShutDown")
    return _one_of(STOP_ACTIONS, text)


_Schema = dict[str, "_Key | type[bool]"]

_PASSWORDS = ("guest_password", "password")
"""Keys that are refused with a reason of their own, and never offered."""

_NO_PASSWORD = _Key(
    _refused("must not stand in a plan or a script; the scripts ask for it with Get-Credential")
)
_TOP: _Schema = {"name": _Key(values.existing_name)}
_HOST: _Schema = {
    "memory": _Key(partial(values.size, least=2**30, most=2**50), "memory_bytes"),
    "address_bits": _Key(partial(values.whole_number, least=32, most=57), number=True),
    "allow_policy": bool,
}
_GPU: _Schema = {
    "key": _Key(values.existing_name),
    "path": _Key(values.instance_path, required=True),
    "vram": _Key(values.card_memory, "vram_bytes"),
}
_CREATE: _Schema = {
    "iso": _Key(values.image_path, required=True),
    "vhd_size": _Key(values.vhd_size, "vhd_size_bytes", required=True),
    "switch": _Key(values.existing_name),
}
_MACHINE: _Schema = {
    "name": _Key(values.machine_name),
    "id": _Key(values.guid),
    "vhdx": _Key(values.vhdx_path, required=True),
    "memory": _Key(values.memory, "memory_bytes"),
    "vcpu": _Key(partial(values.whole_number, least=1, most=2048), number=True),
    "resolution": _Key(values.resolution),
    "resolution_type": _Key(partial(_one_of, RESOLUTION_TYPES)),
    "guest_user": _Key(values.account),
    **dict.fromkeys(_PASSWORDS, _NO_PASSWORD),
    "percent": _Key(partial(values.whole_number, least=1, most=100), number=True),
    "mmio_low": _Key(values.low_space, "mmio_low_bytes"),
    "mmio_high": _Key(values.high_space, "mmio_high_bytes"),
    "mmio_base": _Key(values.space_base, "mmio_base_bytes"),
    "stop_action": _Key(_stop_action),
    "remove_other_adapters": bool,
}


def read_table(
    table: Mapping[str, object], lines: Mapping[KeyPath, int] | None
) -> tuple[Values, list[Problem]]:
    """Read a whole specification: the arguments of `Spec`, and every problem on the way."""
    reader = _Reader(lines)
    return reader.spec(table), reader.problems


class _Reader:
    """Reads tables and collects every problem on the way."""

    def __init__(self, lines: Mapping[KeyPath, int] | None) -> None:
        self._lines = lines
        self.problems: list[Problem] = []

    def spec(self, table: Mapping[str, object]) -> Values:
        top = self._table(table, (), _TOP, nested=("host", "gpu", "vm"))
        host = self._table(self._sub_table(table, "host"), ("host",), _HOST)
        gpus = [self._gpu(item, index) for index, item in enumerate(self._tables(table, "gpu"))]
        machines = [
            self._machine(item, index, [str(gpu["key"]) for gpu in gpus])
            for index, item in enumerate(self._tables(table, "vm"))
        ]
        self._cross_check(gpus, machines, host)
        if self.problems:
            return {}
        return {
            "name": top.get("name", "gpupv"),
            "host": Host(**host),
            "gpus": tuple(Gpu(**gpu) for gpu in gpus),
            "machines": tuple(VirtualMachine(**machine) for machine in machines),
        }

    def _gpu(self, item: Mapping[str, object], index: int) -> Values:
        gpu = self._table(item, ("gpu", index), _GPU)
        gpu.setdefault("key", f"gpu{index + 1}")
        if gpu.get("path") == "auto":
            gpu["path"] = None
        return gpu

    def _machine(self, item: Mapping[str, object], index: int, cards: Sequence[str]) -> Values:
        place: KeyPath = ("vm", index)
        machine = self._table(item, place, _MACHINE, nested=("create", "gpus"))
        if "create" in item:
            new = self._table(self._sub_table(item, "create", place), (*place, "create"), _CREATE)
            self._checked(_Key(values.new_name), item.get("name"), (*place, "name"))
            if str(machine.get("vhdx") or "").lower().endswith(".vhd"):
                message = "is a .vhd; a new machine is of generation 2, which takes .vhdx only"
                self._problem((*place, "vhdx"), message)
            machine["create"] = None if self.problems else NewMachine(**new)
            if "memory" not in item:
                self._problem((*place, "create"), "a new virtual machine needs `memory`")
            if "id" in item:
                self._problem((*place, "id"), "a machine that is yet to be created has no id")
        elif "id" in item:
            machine.setdefault("name", machine["id"])
        if "name" not in machine:
            self._problem((*place, "name"), "is missing")
        machine["gpus"] = self._cards(item, place, cards)
        self._check_base(machine, (*place, "mmio_base"))
        if "resolution_type" in item and "resolution" not in item:
            message = "needs `resolution`; without it the console's size is not set at all"
            self._problem((*place, "resolution_type"), message)
        return machine

    def _check_base(self, machine: Values, where: KeyPath) -> None:
        """See that the machine's memory ends below the base; the low space pushes it up."""
        base = machine.get("mmio_base_bytes")
        if base is None:
            return
        memory = machine.get("memory_bytes")
        if memory is None:
            self._problem(where, "needs `memory`, which has to end below it")
            return
        end = memory + (machine.get("mmio_low_bytes") or LOW_SPACE_MB * _MIB)
        if end > base:
            self._problem(
                where,
                f"is {values.show_size(base)}; the machine's memory, moved up by the low space, "
                f"ends at {values.show_size(end)}, and has to end below it",
            )

    def _cards(
        self, item: Mapping[str, object], place: KeyPath, cards: Sequence[str]
    ) -> tuple[str, ...]:
        where = (*place, "gpus")
        wanted = item.get("gpus", list(cards[:1]) if len(cards) == 1 else None)
        if not cards:
            # That there is no card, or not as it should be, is said of the cards themselves.
            return ()
        if wanted is None:
            message = f'there are several cards: say which, as in gpus = ["{cards[0]}"]'
            self._problem(where, message)
            return ()
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            self._problem(where, f'is a list of card keys, as in ["{cards[0]}"]')
            return ()
        for name, count in Counter(wanted).items():
            if name not in cards:
                self._problem(
                    where, f"no [[gpu]] has the key {values.show_text(name)}{_likely(name, cards)}"
                )
            if count > 1:
                self._problem(where, f"names the card {values.show_text(name)} twice")
        if not wanted:
            self._problem(where, "names no card")
        return tuple(wanted)

    # -- checks across tables

    def _cross_check(self, gpus: list[Values], machines: list[Values], host: Values) -> None:
        if not gpus:
            self._problem(("gpu",), 'there is no card: add [[gpu]] with path = "auto" or a path')
        if not machines:
            self._problem(("vm",), "there is no virtual machine: add [[vm]]")
        self._unique("gpu", "key", gpus, str)
        self._unique("gpu", "path", gpus, lambda text: parse_instance_path(text).device_key)
        self._unique("vm", "vhdx", machines, values.same_file)
        self._unique("vm", "id", machines, str)
        unnamed = [machine if machine.get("id") is None else {} for machine in machines]
        self._unique("vm", "name", unnamed, str, "; give each its `id`")
        autos = [index for index, gpu in enumerate(gpus) if gpu.get("path", "") is None]
        if autos and len(gpus) > 1:
            message = '"auto" stands for the host\'s only card; give each of several its path'
            self._problem(("gpu", autos[0], "path"), message)
        users = Counter(name for machine in machines for name in machine["gpus"])
        for index, gpu in enumerate(gpus):
            if users[gpu["key"]] > MAX_SHARES:
                message = f"{users[gpu['key']]} virtual machines share it; {MAX_SHARES} can"
                self._problem(("gpu", index), message)
        self._memory_fits(machines, host)
        self._spaces_fit(gpus, machines, host.get("address_bits"))

    def _spaces_fit(
        self, gpus: list[Values], machines: list[Values], address_bits: int | None
    ) -> None:
        """See that the CPU reaches each machine's high memory-mapped space."""
        vram = {gpu["key"]: gpu.get("vram_bytes") or 0 for gpu in gpus}
        for index, machine in enumerate(machines):
            largest = max((vram.get(card, 0) for card in machine["gpus"]), default=0)
            given, base = machine.get("mmio_high_bytes"), machine.get("mmio_base_bytes")
            try:
                plan_high_space(
                    largest // _MIB or None,
                    address_bits,
                    base // _MIB if base else DEFAULT_HIGH_BASE_MB,
                    given // _MIB if given else None,
                )
            except AddressRangeError as error:
                place: KeyPath = ("host", "address_bits")
                if given or base:
                    place = ("vm", index, "mmio_high" if given else "mmio_base")
                self._problem(place, "; ".join(filter(None, (error.message, error.hint))))

    def _memory_fits(self, machines: list[Values], host: Values) -> None:
        total = sum(machine.get("memory_bytes") or 0 for machine in machines)
        if host.get("memory_bytes") and total > host["memory_bytes"]:
            self._problem(
                ("host", "memory"),
                f"the virtual machines have {values.show_size(total)} together, the host "
                f"{values.show_size(host['memory_bytes'])}; they cannot all run",
            )

    def _unique(
        self,
        table: str,
        key: str,
        items: list[Values],
        fold: Callable[[str], str],
        way_out: str = "",
    ) -> None:
        seen: dict[str, int] = {}
        for index, item in enumerate(items):
            if not isinstance(item.get(key), str):
                continue
            first = seen.setdefault(fold(item[key]), index)
            if first != index:
                message = f"is the same as that of {table}[{first + 1}]{way_out}"
                self._problem((table, index, key), message)

    # -- reading a table

    def _table(
        self,
        item: Mapping[str, object],
        place: KeyPath,
        schema: _Schema,
        nested: Sequence[str] = (),
    ) -> Values:
        found: Values = {}
        for name, value in item.items():
            if name in nested:
                continue
            if name not in schema:
                known = [key for key in (*schema, *nested) if key not in _PASSWORDS]
                self._problem((*place, name), f"there is no such key{_likely(name, known)}")
                continue
            key = schema[name]
            if key is bool:
                if not isinstance(value, bool):
                    self._problem((*place, name), "is true or false, without quotes")
                found[name] = value
            elif isinstance(key, _Key):
                found[key.attribute or name] = self._value(key, value, (*place, name))
        for name, key in schema.items():
            if isinstance(key, _Key) and key.required and name not in item:
                self._problem((*place, name), "is missing")
        return found

    def _value(self, key: _Key, value: object, place: KeyPath) -> object:
        if key.number and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return self._checked(key, value, place)

    def _checked(self, key: _Key, value: object, place: KeyPath) -> object:
        if not isinstance(value, str):
            if value is not None:
                self._problem(place, f"is {key.form}, not {_toml(value)}")
            return None
        try:
            return key.check(value)
        except ValueError as error:
            shown = "" if key is _NO_PASSWORD else f"{values.show_text(value)} "
            self._problem(place, f"{shown}{error}")
            return None

    def _sub_table(
        self, table: Mapping[str, object], name: str, place: KeyPath = ()
    ) -> Mapping[str, object]:
        found = table.get(name, {})
        if isinstance(found, dict):
            return found
        self._problem((*place, name), f"is a table: write [{name}]")
        return {}

    def _tables(self, table: Mapping[str, object], name: str) -> list[Values]:
        found = table.get(name, [])
        if isinstance(found, list) and all(isinstance(item, dict) for item in found):
            return found
        self._problem((name,), f"is a list of tables: write [[{name}]] with two brackets")
        return []

    def _problem(self, place: KeyPath, message: str) -> None:
        line = None if self._lines is None else line_of(self._lines, place)
        problem = Problem(_dotted(place), message, line)
        if problem.field not in {known.field for known in self.problems}:
            self.problems.append(problem)


def _dotted(place: KeyPath) -> str:
    """Write a place as `vm[2].memory`, counted from 1."""
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _toml(value: object) -> str:
    """Write a value that is no text as it stands in TOML."""
    return str(value).lower() if isinstance(value, bool) else values.show_text(str(value))[1:-1]


def _likely(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; there are {', '.join(known)}"
