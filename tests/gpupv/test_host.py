"""Reading a host from host.json and from pasted output."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import InputError, LabkitError
from labkit.gpupv.host import HOST_FORMAT, HostFileError, read_host, read_listing
from labkit.gpupv.listing import parse_listing, parse_number

GUID = "{064092b3-625e-43bf-9eb5-dc845897dd59}"
PATH = rf"\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008#{GUID}\GPUPARAV"
VM_ID = "9abb95e2-d12d-43c3-b840-6f4a9cfb217b"
HOST = {
    "format": HOST_FORMAT,
    "windows": {"build": 26100, "revision": 4946, "edition": "Professional", "server": False},
    "gpus": [{"instance_path": PATH, "totals": {"Encode": "18446744073709551615"}}],
    "machines": [{"name": "Gaming", "adapters": [{"instance_path": PATH}], "disks": ["D:\\a.vhd"]}],
}


@pytest.fixture
def sample(shared_fixtures):
    """A function that reads a published listing."""
    return lambda name: read_listing((shared_fixtures / "gpupv" / name).read_text("utf-8"))


def test_wrapped_name(sample):
    """A name that goes on in the next line is joined without a blank."""
    (gpu,) = sample("host_rtx3060_win11_24h2.txt").gpus

    assert gpu.path.text == PATH
    assert gpu.totals["Encode"] == 2**64 - 1
    assert gpu.valid_partition_counts == (32,)


def test_thousands_and_a_blank_line_within(sample):
    """Commas in numbers and a blank line in the object do not matter."""
    (gpu,) = sample("host_gtx1060_win10_thousands.txt").gpus

    assert gpu.path.model_key.startswith("PCI#VEN_10DE&DEV_1C02")
    assert gpu.totals == dict.fromkeys(("VRAM", "Decode", "Compute"), 10**9) | {"Encode": 2**64 - 1}


def test_two_equal_cards(sample):
    """Two equal cards are two, with a wrapped label of another kind between them."""
    one, other = sample("host_two_identical_gpus.txt").gpus

    assert one.path.model_key == other.path.model_key
    assert one.path.key != other.path.key


def test_totals_without_a_name(sample):
    """A paste without names still gives its totals."""
    gpus = sample("host_totals_rtx3090_p600.txt").gpus

    assert [gpu.path for gpu in gpus] == [None, None]
    assert gpus[0].totals == gpus[1].totals


def test_adapter_without_values(sample):
    """An empty value is not set, which is not 0."""
    (adapter,) = sample("adapter_unset_msdocs.txt").loose_adapters

    assert set(adapter.values.values()) == {None}
    assert adapter.path is None
    assert adapter.machine_name == "TEST"
    assert adapter.machine_id == "9abb95e2-d12d-43c3-b840-6f4a9cfb217b"


def test_lost_indent(shared_fixtures):
    """A paste that lost the indent of a wrapped line is read all the same."""
    text = (shared_fixtures / "gpupv/host_rtx3060_win11_24h2.txt").read_text("utf-8")
    flat = "\n".join(line.strip() for line in text.splitlines())

    assert read_listing(flat).gpus[0].path.text == PATH


def test_counts_cut_by_powershell():
    """PowerShell shows four numbers and three dots."""
    text = f"Name                 : {PATH}\nValidPartitionCounts : {{32, 16, 8, 4...}}\n"
    (gpu,) = read_listing(text).gpus

    assert gpu.valid_partition_counts == (32, 16, 8, 4)
    assert gpu.counts_truncated


TABLE = (
    "Name       State CPUUsage(%) MemoryAssigned(M) Uptime   Status             Version\n"
    "----       ----- ----------- ----------------- ------   ------             -------\n"
    "Gaming VM  Off   0           0                 00:00:00 Operating normally 12.0\n"
)


def test_machine_table(shared_fixtures):
    """The table that Get-VM prints is read by its columns, beside a listing that says more."""
    gpu = (shared_fixtures / "gpupv/host_rtx3060_win11_24h2.txt").read_text("utf-8")
    (machine,) = read_listing(f"{gpu}\n{TABLE}").machines

    assert (machine.name, machine.state, machine.version) == ("Gaming VM", "Off", "12.0")
    assert not machine.settings_known


@pytest.mark.parametrize("text", [TABLE, "Name  : Gaming\nState : Off\nUptime : 00:00:00\n"])
def test_machines_without_settings(text):
    """What shows names and states only is refused, with what to paste instead."""
    with pytest.raises(InputError, match="no settings") as caught:
        read_listing(text)

    assert "Get-VM | Format-List *" in caught.value.hint


GPU_LIST = f"Name            : {PATH}\nPartitionCount  : 32\nTotalVRAM       : 1000000000\n"
MACHINE_LISTS = {
    first: f"{first:<24}: 2\nName                    : Gaming\nId                      : {VM_ID}\n"
    "State                   : Off\nAutomaticStopAction     : ShutDown\n"
    for first in ("VMName", "ParentSnapshotId", "AutomaticStartAction", "Generation")
} | {"Name": "Name           : Gaming\nState          : Off\nCheckpointType : Disabled\n"}
_VALUES = "".join(f"MinPartition{c:<12}: 1\n" for c in ("VRAM", "Encode", "Decode", "Compute"))
_OWNER = f"Name                    : GPU Partition Settings\nVMId                    : {VM_ID}\n"
_OWNER += "VMName                  : Gaming\n"
ADAPTER_LISTS = {
    "InstancePath": f"InstancePath            : {PATH}\n{_VALUES}{_OWNER}",
    "Min": f"{_VALUES}InstancePath            : {PATH}\n{_OWNER}",
    "Name": f"{_OWNER}{_VALUES}InstancePath            : {PATH}\n",
}


@pytest.mark.parametrize("machine", MACHINE_LISTS.values(), ids=MACHINE_LISTS)
@pytest.mark.parametrize("adapter", ADAPTER_LISTS.values(), ids=ADAPTER_LISTS)
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("gap", ["\n\n", "PS C:\\Users\\me> Get-VM | Format-List *\n"])
def test_kinds_of_objects_are_told_apart(machine, adapter, order, gap):
    """A card, a machine and an adapter are three objects, whatever label each begins with."""
    parts = [GPU_LIST, machine, adapter]
    host = read_listing(gap.join(parts[at] for at in order))

    assert [gpu.path.text for gpu in host.gpus] == [PATH]
    assert [machine.name for machine in host.machines] == ["Gaming"]
    assert [a.path for a in host.machines[0].adapters] == [PATH]
    assert host.loose_adapters == ()


def machine_list(name, number):
    """A listed machine."""
    return (
        f"VMId                : {number}\nName : {name}\nState : Off\nCheckpointType : Disabled\n"
    )


def adapter_list(owner):
    """An adapter with the labels that say whose it is."""
    return f"InstancePath : {PATH}\n{owner}\n"


@pytest.mark.parametrize(
    ("owners", "adapters"),
    [
        ([], [None, None]),
        ([f"VMId : {VM_ID.upper()}"], [1, 0]),
        (["VMName : Gaming"], [1, 0]),
        (["VMName : Gaming", "VMName : Gaming"], [2, 0]),
        (["PartitionId : 1"], [None, None]),
        (["VMName : Elsewhere"], [0, 0]),
    ],
)
def test_machine_without_an_adapter_among_those_listed(owners, adapters):
    """It has none where the text lists others'; else nothing is known of it."""
    other = "0" * 8 + VM_ID[8:]
    parts = [machine_list("Gaming", VM_ID), machine_list("Ubuntu", other)]
    host = read_listing("\n".join([*parts, *map(adapter_list, owners)]))
    found = [None if m.adapters is None else len(m.adapters) for m in host.machines]

    assert found == adapters


@pytest.mark.parametrize("mark", [",", ".", " ", "\u00a0", "\u202f", "'", "\u2019"])
def test_thousands_of_every_language(mark):
    """Numbers are set off in thousands as the host's language does it."""
    assert parse_number(f"1{mark}073{mark}741{mark}824", "TotalVRAM") == 2**30


def test_colors_of_a_console():
    """PowerShell 7 colours the labels; the sequences are left out."""
    text = f"\x1b[32;1mName           : \x1b[0m{PATH}\n\x1b[32;1mPartitionCount : \x1b[0m32\n"

    assert read_listing(text).gpus[0].partition_count == 32


def test_machine_list():
    """Get-VM | Format-List gives the settings, in bytes."""
    text = (
        "Name                        : Gaming\nState                       : Off\n"
        "HighMemoryMappedIoSpace     : 536870912\nGuestControlledCacheTypes   : False\n"
        "AutomaticStopAction         : Save\n"
        "VMId                        : 9abb95e2-d12d-43c3-b840-6f4a9cfb217b\n"
    )
    (machine,) = read_listing(text).machines

    assert machine.high_space_bytes == 512 * 2**20
    assert machine.id == "9abb95e2-d12d-43c3-b840-6f4a9cfb217b"
    assert machine.cache_types is False
    assert machine.stop_action == "Save"


def test_host_file():
    """host.json is read with its types, large numbers as texts."""
    host = read_host("\ufeff" + json.dumps(HOST))

    assert host.build == 26100
    assert host.gpus[0].totals == {"Encode": 2**64 - 1}
    assert host.machines[0].adapters[0].path == PATH
    assert host.hypervisor is None


def test_value_that_windows_powershell_left_out():
    """It may write {} where nothing is known; that is no error, and no value."""
    machine = {"name": "a", "clustered": {}, "startup_bytes": {}, "adapters": []}
    host = read_host(json.dumps(HOST | {"memory_bytes": {}, "machines": [machine]}))
    assert host.machines[0].name == "a"
    assert host.machines[0].startup_bytes is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_host_file(share):
    """A host file that was cut says so."""
    text = json.dumps(HOST)

    with pytest.raises(HostFileError, match="cut off"):
        read_host(text[: int(len(text) * share)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "no host file"),
        ({"gpus": {}}, "gpus"),
        ({"gpus": [1]}, r"gpus\[0\]"),
        ({"windows": []}, "windows"),
        ({"windows": {"build": 1.5}}, "build"),
        ({"memory_bytes": str(2**64)}, "memory_bytes"),
        ({"memory_bytes": -1}, "memory_bytes"),
        ({"machines": [{"disks": [1]}]}, "disks"),
        ({"machines": [{"clustered": "no"}]}, "clustered"),
    ],
)
def test_wrong_host_file(change, message):
    """A value of another type is named."""
    with pytest.raises(InputError, match=message):
        read_host(json.dumps(HOST | change))


@pytest.mark.parametrize("text", ["", "hello", "Name : x", "a: b\nc: d", "Get-VM : error"])
def test_nothing_to_read(text):
    """A text without a GPU or machine is refused, with what to paste."""
    with pytest.raises(InputError) as caught:
        read_listing(text)

    assert "Get-VMHostPartitionableGpu" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["1,0", "1.5", "1,000.000", "-1", "\u0663", "1" * 5000, str(2**64), "1e9"]
)
def test_no_number(text):
    """What is no 64-bit whole number is refused."""
    with pytest.raises(InputError):
        parse_number(text, "TotalVRAM")


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][A-Za-z]{0,20}", fullmatch=True),
        st.from_regex(r"[!-9;-~]{0,200}", fullmatch=True),
        min_size=1,
    ),
    st.integers(40, 200),
)
def test_list_round_trip(entry, width):
    """What is printed as a list of any width is read back."""
    label_width = max(map(len, entry))
    room = max(1, width - label_width - 3)
    lines = []
    for label, value in entry.items():
        parts = [value[i : i + room] for i in range(0, len(value), room)] or [""]
        lines.append(f"{label:<{label_width}} : {parts[0]}")
        lines += [" " * (label_width + 3) + part for part in parts[1:]]

    assert parse_listing("\n".join(lines)) == [entry]


@given(st.text() | st.text(alphabet="Name :TotalVRAM{}\\?#-01,\n\r "))
def test_any_text_is_read_or_refused(text):
    """No text fails in another way."""
    with suppress(LabkitError):
        read_listing(text)
    with suppress(LabkitError):
        read_host(text)


def test_inventory_script_writes_what_is_read(project, monkeypatch):
    """Each key that a host file may hold is one that the inventory script writes."""
    script = (project / "src/labkit/gpupv/scripts/00-Inventory.ps1").read_text("ascii")
    asked = set()

    class Everything(dict):
        def get(self, key, default=None):
            asked.add(key)
            return super().get(key, default)

    host = {**HOST, "gpus": [Everything(HOST["gpus"][0])], "machines": [Everything(name="x")]}
    parts = {name: Everything() for name in ("windows", "hyper_v", "policy")}
    monkeypatch.setattr(json, "loads", lambda _: Everything(host | parts))
    read_host("{}")
    written = set(re.findall(r"\b([a-z][a-z_0-9]*) = ", script))

    assert len(asked) > 30
    assert asked - written == set()
