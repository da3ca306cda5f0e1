r"""The instance path of a partitionable GPU: the one exact name of a card on its host.

It reads `\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008#{GUID}\GPUPARAV`:
bus, device id, instance (the slot, or a serial number), the interface GUID of partitionable GPUs
and, for paravirtualisation, a suffix. A true partition (SR-IOV) has no suffix. Two equal cards
differ in the instance alone. Case carries no meaning.

Source: Microsoft, `Get-VMHostPartitionableGpu` and "Partition and assign GPUs to a virtual
machine"; the old suffix `\PARAV` in "GPU paravirtualization".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.errors import InputError
from labkit.gpupv.values import show_text

__all__ = ["GPU_INTERFACE_GUID", "InstancePath", "InstancePathError", "parse_instance_path"]

GPU_INTERFACE_GUID = "{064092b3-625e-43bf-9eb5-dc845897dd59}"
"""The device interface of partitionable GPUs; any other GUID names something else."""

_VENDORS = {"10DE": "NVIDIA", "1002": "AMD", "8086": "Intel", "1414": "Microsoft"}

_PATH = re.compile(
    r"""\\\\\?\\
    (?P<bus>[0-9A-Z_]+) \#
    (?P<device>[0-9A-Z_&.-]+) \#
    (?P<instance>[0-9A-Z_&.+-]+) \#
    (?P<interface>\{[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\})
    (?P<suffix>\\[0-9A-Z]+)?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_PCI_DEVICE = re.compile(
    r"VEN_[0-9A-F]{4}&DEV_[0-9A-F]{4}&SUBSYS_[0-9A-F]{8}&REV_[0-9A-F]{2}", re.IGNORECASE | re.ASCII
)
_SUFFIXES = ("", "\\GPUPARAV", "\\PARAV")


class InstancePathError(InputError):
    """A text that is no instance path of a partitionable GPU."""

    code = "gpv-instance-path"


@dataclass(frozen=True, slots=True)
class InstancePath:
    r"""A GPU's instance path, taken apart.

    Attributes:
        text: The path as it was written.
        bus: `PCI`, or another bus's name.
        device: What the card is: `VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1`.
        instance: Where it sits: `4&23b96b75&0&0008`, or a serial number.
        suffix: `\GPUPARAV`, `\PARAV` or nothing.
    """

    text: str
    bus: str
    device: str
    instance: str
    suffix: str

    @property
    def key(self) -> str:
        """The form in which two spellings of one path are equal."""
        return self.text.upper()

    @property
    def device_key(self) -> str:
        """The card at its place: equal for the paths that differ in the suffix alone."""
        return self.key.removesuffix(self.suffix.upper())

    @property
    def model_key(self) -> str:
        """The card's kind without its place: equal for equal cards and for a card that moved."""
        return f"{self.bus}#{self.device}".upper()

    @property
    def paravirtual(self) -> bool:
        """Whether the card is shared by paravirtualisation, not cut into true partitions."""
        return bool(self.suffix)

    @property
    def vendor(self) -> str | None:
        """The vendor's name, from the PCI vendor id; None where it is not a known one."""
        match = re.match(r"VEN_([0-9A-F]{4})", self.device.upper())
        return _VENDORS.get(match[1]) if match else None

    @property
    def pnp_id(self) -> str:
        r"""The Plug and Play device id, `PCI\VEN_...\4&...`, which finds the driver package."""
        return f"{self.bus}\\{self.device}\\{self.instance}"


def parse_instance_path(text: str) -> InstancePath:
    """Take an instance path apart.

    Raises:
        InstancePathError: The text is none; the message says what it looks like instead.
    """
    match = _PATH.fullmatch(text)
    if match is None:
        raise InstancePathError(f"not an instance path: {show_text(text)}", hint=_why_not(text))
    if match["interface"].lower() != GPU_INTERFACE_GUID:
        raise InstancePathError(
            f"the interface {match['interface']} is not that of a partitionable GPU: "
            f"{show_text(text)}",
            hint=f"take the Name from Get-VMHostPartitionableGpu; it contains {GPU_INTERFACE_GUID}",
        )
    suffix = match["suffix"] or ""
    if suffix.upper() not in _SUFFIXES:
        raise InstancePathError(
            f"the path ends in {suffix}, which no partitionable GPU does: {show_text(text)}",
            hint="copy the whole Name from Get-VMHostPartitionableGpu; it ends in \\GPUPARAV",
        )
    if match["bus"].upper() == "PCI" and not _PCI_DEVICE.fullmatch(match["device"]):
        raise InstancePathError(
            f"{match['device']} is no PCI device id: {show_text(text)}",
            hint="it has the form VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1",
        )
    return InstancePath(text, match["bus"], match["device"], match["instance"], suffix)


def _why_not(text: str) -> str:
    """Say what a text that is no instance path seems to be."""
    bare = text.strip(" \t\r\n\"'\u2018\u2019\u201c\u201d")
    if bare != text and _PATH.fullmatch(bare):
        return "remove the quotes and blanks around it"
    if "\\\\\\\\" in text:
        return "its backslashes are doubled, as JSON and WMI write them: write each once"
    if re.match(r"(?i)PCI\\VEN_", bare):
        return "this is a Plug and Play id; take the Name from Get-VMHostPartitionableGpu"
    if not bare.startswith("\\\\?\\"):
        return "it begins with \\\\?\\; copy the whole Name from Get-VMHostPartitionableGpu"
    return f"it has the form \\\\?\\PCI#ID#INSTANCE#{GPU_INTERFACE_GUID}\\GPUPARAV"
