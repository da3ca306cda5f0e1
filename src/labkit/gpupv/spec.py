"""The specification: which virtual machine is to have which card, and how.

`Spec.parse` reads TOML, `Spec.from_table` the same as a mapping. Either every value is one that
the scripts can carry, or a `SpecError` lists all problems at once.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.gpupv.toml_lines import key_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from labkit.gpupv.toml_lines import KeyPath

__all__ = ["Gpu", "Host", "NewMachine", "Problem", "Spec", "SpecError", "VirtualMachine"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one place of a specification.

    Attributes:
        field: The key, as `vm[1].memory`.
        message: What is wrong, with the way out.
        line: The line in the TOML text; None where the value did not come from one.
    """

    field: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        """Write the problem with its place."""
        place = self.field if self.line is None else f"line {self.line}: {self.field}"
        return f"{place}: {self.message}" if place else self.message


class SpecError(InputError):
    """A specification with problems; `problems` holds them all, in the order of the text."""

    code = "gpv-spec"

    def __init__(self, problems: Sequence[Problem], file: str = "the specification") -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "; ".join(map(str, problems)),
            hint=f"{count} in {file}; `labkit gpupv init` prints a correct one",
        )
        self.problems = tuple(problems)

    def in_file(self, file: str) -> SpecError:
        """Return the same error with the file's name in its hint."""
        return SpecError(self.problems, file)


@dataclass(frozen=True, slots=True)
class Host:
    """What the plan knows of the host; all of it may be left out.

    Attributes:
        memory_bytes: Its memory, to compare the virtual machines' with.
        address_bits: Physical address bits of the CPU; no CIM class tells them.
        allow_policy: Whether Server's policy against paravirtual cards may be switched off.
    """

    memory_bytes: int | None = None
    address_bits: int | None = None
    allow_policy: bool = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """A card of the host.

    Attributes:
        key: How the virtual machines of the plan name it.
        path: Its instance path, or None for the only card of the host.
        vram_bytes: Its memory, for the memory-mapped space.
    """

    key: str
    path: str | None
    vram_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class NewMachine:
    """What it takes to create a virtual machine."""

    iso: str
    vhd_size_bytes: int
    switch: str | None = None


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A virtual machine and what it is to have; None leaves a setting as it is."""

    name: str
    vhdx: str
    gpus: tuple[str, ...]
    id: str | None = None
    memory_bytes: int | None = None
    vcpu: int | None = None
    resolution: tuple[int, int] | None = None
    resolution_type: str = "Maximum"
    guest_user: str | None = None
    percent: int | None = None
    mmio_low_bytes: int | None = None
    mmio_high_bytes: int | None = None
    mmio_base_bytes: int | None = None
    stop_action: str = "ShutDown"
    remove_other_adapters: bool = False
    create: NewMachine | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked specification."""

    name: str
    host: Host
    gpus: tuple[Gpu, ...]
    machines: tuple[VirtualMachine, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a specification from TOML text.

        Raises:
            SpecError: It is no TOML, or values are wrong; all problems, with their lines.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SpecError([Problem("", f"this is no TOML: {error}")]) from error
        except (RecursionError, ValueError) as error:
            raise SpecError([Problem("", f"this is no TOML that can be read: {error}")]) from error
        return cls._from(table, key_lines(text))

    @classmethod
    def from_table(cls, table: Mapping[str, object]) -> Self:
        """Make a specification from a mapping of the TOML's form.

        Raises:
            SpecError: Values are wrong; all problems.
        """
        return cls._from(table, None)

    @classmethod
    def _from(cls, table: Mapping[str, object], lines: Mapping[KeyPath, int] | None) -> Self:
        from labkit.gpupv.spec_reader import read_table

        values, problems = read_table(table, lines)
        if problems:
            raise SpecError(sorted(problems, key=lambda problem: problem.line or 0))
        return cls(**values)

    def gpu(self, key: str) -> Gpu:
        """Return the card that virtual machines call `key`."""
        return next(gpu for gpu in self.gpus if gpu.key == key)
