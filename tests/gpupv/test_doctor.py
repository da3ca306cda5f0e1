"""The diagnosis of a host."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.gpupv.doctor import diagnose_host
from labkit.gpupv.failures import load_failures
from labkit.gpupv.host import Adapter, Host, HostGpu, Machine, read_listing
from labkit.gpupv.instance_path import parse_instance_path
from labkit.gpupv.partition import CAPABILITIES
from labkit.gpupv.spec import Spec

GUID = "{064092b3-625e-43bf-9eb5-dc845897dd59}"
PATH = rf"\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008#{GUID}\GPUPARAV"
INTEL_PATH = PATH.replace("VEN_10DE", "VEN_8086")
OTHER_PATH = PATH.replace("0008", "0013")
GPU = HostGpu(parse_instance_path(PATH), device_class="Display")
UNSET = {f"{b}Partition{c}": None for c in CAPABILITIES for b in ("Min", "Max", "Optimal")}
ADAPTER = Adapter("Microsoft:A\\B", PATH.lower(), UNSET)
MACHINE = Machine(
    name="Gaming",
    state="Off",
    stop_action="ShutDown",
    checkpoint_type="Disabled",
    automatic_checkpoints=False,
    checkpoints=0,
    clustered=False,
    cache_types=True,
    high_space_bytes=32 * 2**30,
    dynamic_memory=False,
    startup_bytes=8 * 2**30,
    minimum_bytes=8 * 2**30,
    disks=("D:\\gaming.vhdx",),
    adapters=(ADAPTER,),
)
HOST = Host(
    gpus=(GPU,),
    machines=(MACHINE,),
    build=26100,
    revision=4946,
    server=False,
    processor="AMD Ryzen 7 5800X",
    memory_bytes=64 * 2**30,
    hyper_v=True,
    hypervisor=True,
    management_service=True,
    instance_path_parameter=True,
)


def codes(host, spec=None):
    """The codes that a diagnosis finds."""
    return [finding.code for finding in diagnose_host(host, spec)]


def test_healthy_host():
    """A host on which all is well has no finding; the case of a path means nothing."""
    assert codes(HOST) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"build": 16299}, "GPV-WINDOWS-BUILD"),
        ({"hyper_v": False}, "GPV-NO-HYPERV"),
        ({"hypervisor": False}, "GPV-NO-HYPERVISOR"),
        ({"management_service": False}, "GPV-WMI-NAMESPACE"),
        ({"revision": 4000}, "GPV-VMMEM-LEAK"),
        ({"processor": "Intel(R) Core(TM) i7-3770K CPU @ 3.50GHz"}, "GPV-MMIO-RANGE"),
        ({"server": True}, "GPV-POLICY"),
        ({"gpus": (), "machines": ()}, "GPV-NO-GPU"),
    ],
)
def test_host_findings(change, code):
    """Each fact of the host that is in the way gives its code."""
    assert codes(replace(HOST, **change)) == [code]


def test_server_with_policy_is_fine():
    """A server whose two values are 0 accepts the card."""
    assert codes(replace(HOST, server=True, secure_assignment=0, supported_assignment=0)) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"state": "Saved"}, "GPV-SAVE-BLOCKED"),
        ({"stop_action": "Save"}, "GPV-SAVE-BLOCKED"),
        (
            {"automatic_checkpoints": True, "checkpoint_type": "Standard"},
            "GPV-AUTO-CHECKPOINTS",
        ),
        ({"checkpoints": 2}, "GPV-VM-CHECKPOINTS"),
        ({"clustered": True}, "GPV-VM-CLUSTER"),
        ({"cache_types": False}, "GPV-CACHE-TYPES"),
        ({"high_space_bytes": 512 * 2**20}, "GPV-MMIO-LOW"),
        ({"dynamic_memory": True, "minimum_bytes": 2**30}, "GPV-MEM-DYNAMIC"),
        ({"startup_bytes": 4077 * 2**20}, "GPV-MEM-ALIGN"),
        ({"startup_bytes": 128 * 2**30}, "GPV-MEM-HOST"),
        ({"disks": ("D:\\a.AVHDX",)}, "GPV-VHD-AVHDX"),
        ({"version": "8.3"}, "GPV-VM-VERSION"),
        ({"adapters": (replace(ADAPTER, path=OTHER_PATH),)}, "GPV-ADAPTER-STALE"),
        ({"adapters": (ADAPTER, ADAPTER)}, "GPV-ADAPTER-STALE"),
        (
            {"adapters": (replace(ADAPTER, values=dict.fromkeys(UNSET, 0)),)},
            "GPV-PARTITION-ZERO",
        ),
        (
            {"adapters": (replace(ADAPTER, values=UNSET | {"MaxPartitionVRAM": 5}),)},
            "GPV-PARTITION-ZERO",
        ),
        (
            {"adapters": (replace(ADAPTER, values=dict.fromkeys(UNSET, 5)),)},
            "GPV-PERCENT-ADVISORY",
        ),
    ],
)
def test_machine_findings(change, code):
    """Each setting of a machine that is in the way gives its code."""
    assert codes(replace(HOST, machines=(replace(MACHINE, **change),))) == [code]


def test_machine_without_a_gpu_is_left_alone():
    """A machine with no adapter and no plan may have any settings."""
    machine = replace(MACHINE, adapters=(), stop_action="Save", checkpoints=3)

    assert codes(replace(HOST, machines=(machine,))) == []


def test_equal_cards():
    """Two equal cards are told apart by their paths alone."""
    gpus = (GPU, replace(GPU, path=parse_instance_path(OTHER_PATH)))
    adapter = replace(ADAPTER, path=None)

    assert codes(replace(HOST, gpus=gpus)) == ["GPV-GPU-DUPLICATE-NAME"]
    assert "GPV-NO-INSTANCEPATH" in codes(replace(HOST, gpus=gpus, instance_path_parameter=False))
    assert "GPV-GPU-AMBIGUOUS" in codes(
        replace(HOST, gpus=gpus, machines=(replace(MACHINE, adapters=(adapter,)),))
    )


@pytest.mark.parametrize(
    ("gpu", "code"),
    [
        (replace(GPU, device_class="ComputeAccelerator"), "GPV-GPU-NOT-DISPLAY"),
        (
            HostGpu(parse_instance_path(PATH.removesuffix("\\GPUPARAV"))),
            "GPV-TRUE-PARTITION",
        ),
        (HostGpu(parse_instance_path(PATH.replace("10DE", "1414"))), "GPV-GPU-GUEST-LISTING"),
    ],
)
def test_gpu_findings(gpu, code):
    """A device that is no card to share by paravirtualisation gives its code."""
    assert codes(Host(gpus=(gpu,))) == [code]


def test_crowd():
    """One card takes 32 adapters."""
    machines = tuple(replace(MACHINE, name=f"vm{n}") for n in range(33))

    assert codes(replace(HOST, machines=machines)) == ["GPV-GPU-COUNT"]


def spec(**machine):
    """A plan for one machine and the card of HOST."""
    values = {"name": "Gaming", "vhdx": "D:\\gaming.vhdx"} | machine
    return Spec.from_table({"gpu": [{"path": PATH}], "vm": [values]})


def test_plan_that_fits():
    """A plan for a card and a machine that the host has gives no finding."""
    assert codes(HOST, spec()) == []


def test_plan_against_another_host():
    """A card in another slot and a machine that is missing are named."""
    moved = replace(GPU, path=parse_instance_path(OTHER_PATH))
    host = replace(HOST, gpus=(moved,), machines=())
    findings = diagnose_host(host, spec())

    assert [finding.code for finding in findings] == ["GPV-GPU-NOT-FOUND", "GPV-VM-NOT-FOUND"]
    assert OTHER_PATH in findings[0].fix


def test_planned_machine_is_judged_without_an_adapter():
    """A machine that is to have a GPU has to be off and without checkpoints."""
    machine = replace(MACHINE, adapters=(), state="Running", checkpoints=1)

    assert codes(replace(HOST, machines=(machine,)), spec()) == [
        "GPV-VM-NOT-OFF",
        "GPV-VM-CHECKPOINTS",
        "GPV-DIFFERS",
    ]


@pytest.mark.parametrize(
    ("change", "wanted", "code", "words"),
    [
        ({"disks": ("E:\\x.vhdx",)}, {}, "GPV-VM-DISK", "E:\\x.vhdx"),
        ({"disks": ()}, {}, "GPV-VM-DISK", "none"),
        ({"startup_bytes": 4 * 2**30}, {"memory": "16GiB"}, "GPV-DIFFERS", "4 GiB, the plan"),
        ({"high_space_bytes": 16 * 2**30}, {}, "GPV-DIFFERS", "16 GiB, the plan says 32 GiB"),
        ({"low_space_bytes": 2**27}, {}, "GPV-DIFFERS", "128 MiB, the plan says 1 GiB"),
        ({}, {"stop_action": "TurnOff"}, "GPV-DIFFERS", "ShutDown, the plan says TurnOff"),
        ({"adapters": ()}, {}, "GPV-DIFFERS", "no adapter"),
        ({"dynamic_memory": True}, {}, "GPV-MEM-DYNAMIC", "left with 8 GiB"),
        ({"version": "9.0"}, {}, "GPV-VM-VERSION", "9.0"),
    ],
)
def test_plan_against_a_machine(change, wanted, code, words):
    """Each difference is told; what stops 10-Apply is an error, what it changes is a note."""
    machine = replace(MACHINE, **change)
    (finding,) = diagnose_host(replace(HOST, machines=(machine,)), spec(**wanted))

    assert finding.code == code
    assert words in finding.message
    assert (finding.severity == "note") == (code == "GPV-DIFFERS")


@pytest.mark.parametrize("vhdx", [r"\\?\d:\GAMING.vhdx", "D:/gaming.vhdx", "d:\\Gaming.VHDX"])
def test_other_spelling_of_the_disk(vhdx):
    """A disk may be written in several ways."""
    assert codes(HOST, spec(vhdx=vhdx)) == []


def test_adapter_that_the_plan_does_not_name():
    """It stops 10-Apply, unless the plan says that it is to go."""
    gpus = (GPU, replace(GPU, path=parse_instance_path(INTEL_PATH)))
    machine = replace(MACHINE, adapters=(ADAPTER, replace(ADAPTER, path=INTEL_PATH)))
    host = replace(HOST, gpus=gpus, machines=(machine,))
    (kept,) = diagnose_host(host, spec())
    (taken,) = diagnose_host(host, spec(remove_other_adapters=True))

    assert (kept.code, kept.severity) == ("GPV-ADAPTER-OTHER", "error")
    assert (taken.code, taken.severity) == ("GPV-ADAPTER-OTHER", "note")


def test_machines_of_which_no_adapter_is_known():
    """They are judged with a proviso, and not at all where a plan says which is meant."""
    machine = replace(MACHINE, adapters=None, stop_action="Save")
    (finding,) = diagnose_host(replace(HOST, machines=(machine,)))

    assert finding.message.startswith("if it is to have a GPU: ")
    assert codes(replace(HOST, machines=(MACHINE, replace(machine, name="Other"))), spec()) == []
    assert codes(replace(HOST, machines=(machine,)), spec()) == ["GPV-SAVE-BLOCKED"]


@pytest.mark.parametrize(
    ("processor", "old"),
    [
        ("Intel(R) Core(TM) i7-3930K CPU @ 3.20GHz", False),
        ("Intel(R) Core(TM) i7-3820 CPU @ 3.60GHz", False),
        ("Intel(R) Core(TM) i7-3820QM CPU @ 2.70GHz", True),
        ("Intel(R) Core(TM) i5-2500K CPU @ 3.30GHz", True),
        ("Intel(R) Core(TM) i7-12700K", False),
    ],
)
def test_old_processors(processor, old):
    """A processor that may have 36 bits is a warning; those of socket 2011 have 46."""
    findings = diagnose_host(replace(HOST, processor=processor))

    assert [(f.code, f.severity) for f in findings] == [("GPV-MMIO-RANGE", "warning")] * old


def test_name_that_two_machines_have():
    """A name that is not unique needs the id."""
    assert "GPV-VM-AMBIGUOUS" in codes(replace(HOST, machines=(MACHINE, MACHINE)), spec())


def test_memory_beyond_the_host():
    """The machines of a plan together must fit the host."""
    assert codes(HOST, spec(memory="128GiB")) == ["GPV-MEM-HOST", "GPV-DIFFERS"]


def test_worst_first():
    """Errors come before warnings, warnings before notes."""
    machine = replace(
        MACHINE,
        cache_types=False,
        automatic_checkpoints=True,
        checkpoint_type="Standard",
        adapters=(replace(ADAPTER, values=dict.fromkeys(UNSET, 5)),),
    )
    findings = diagnose_host(replace(HOST, machines=(machine,)))

    assert [finding.severity for finding in findings] == ["error", "warning", "note"]


def test_nothing_known_nothing_said():
    """What is not known is not judged."""
    assert codes(Host()) == []


def test_published_listings(shared_fixtures):
    """Of the published listings only the two equal cards are remarked on."""
    found = {
        path.name: codes(read_listing(path.read_text("utf-8")))
        for path in (shared_fixtures / "gpupv").glob("*.txt")
        if path.name.startswith(("host_", "adapter_"))
    }

    assert found.pop("host_two_identical_gpus.txt") == ["GPV-GPU-DUPLICATE-NAME"]
    assert set(map(tuple, found.values())) == {()}


_ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(0, 2**64 - 1), st.text(max_size=5))
_NUMBERS = st.none() | st.integers(0, 2**64 - 1)


@given(
    build=_NUMBERS,
    revision=_NUMBERS,
    processor=st.none() | st.text(),
    startup=_NUMBERS,
    values=st.dictionaries(st.sampled_from(sorted(UNSET)), _NUMBERS),
    path=st.none() | st.text(),
    state=st.none() | st.text(),
)
def test_any_facts_are_judged(build, revision, processor, startup, values, path, state):
    """No facts make a diagnosis fail, and each code is in the catalogue."""
    adapter = replace(ADAPTER, path=path, values=UNSET | values)
    machine = replace(MACHINE, startup_bytes=startup, state=state, adapters=(adapter,))
    host = replace(HOST, build=build, revision=revision, processor=processor, machines=(machine,))

    assert set(codes(host)) <= set(load_failures())


def test_every_fact_may_be_missing():
    """A host of which one fact is missing is judged by the others."""
    for fact in fields(Host):
        if fact.name != "loose_adapters":
            codes(replace(HOST, **{fact.name: None}))


@pytest.mark.parametrize(("others", "crowded"), [(31, False), (32, True)])
def test_adapters_of_a_card_are_counted_with_those_of_the_plan(others, crowded):
    """A card carries 32; the machine of the plan may have its own already."""
    more = tuple(replace(MACHINE, name=f"m{n}") for n in range(others))
    spec = Spec.from_table(
        {
            "gpu": [{"path": PATH}],
            "vm": [{"name": "Gaming", "vhdx": "D:\\gaming.vhdx", "memory": "8GiB"}],
        }
    )
    for own in ((), (ADAPTER,)):
        host = replace(HOST, machines=(replace(MACHINE, adapters=own), *more))
        assert ("GPV-GPU-COUNT" in codes(host, spec)) == crowded
