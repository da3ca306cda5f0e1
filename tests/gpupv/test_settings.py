"""The table of settings: values, reasons, warnings."""

from __future__ import annotations

import pytest

from labkit.gpupv import Spec, plan_settings
from labkit.gpupv.spec import SpecError


def settings(table):
    """The settings of a table by name, and the codes of its warnings."""
    found = plan_settings(Spec.from_table(table))
    return (
        {setting.name: setting.value for setting in found.settings},
        [warning.code for warning in found.warnings],
    )


@pytest.mark.parametrize(
    ("vram", "bits", "high"),
    [(None, None, "32 GiB"), ("12GiB", None, "32 GiB"), ("24GiB", 39, "64 GiB")],
)
def test_high_space_follows_the_card_and_the_cpu(table, path, vram, bits, high):
    """Twice the card's memory, at least 32 GiB."""
    gpu = {"path": path} | ({"vram": vram} if vram else {})
    host = {"address_bits": bits} if bits else {}
    assert settings(table(gpu=gpu, host=host))[0]["HighMemoryMappedIoSpace"] == high


def test_cut_high_space_is_a_warning(table, path):
    """37 bits reach 66048 MB."""
    gpu = {"path": path, "vram": "48GiB"}
    values, codes = settings(table(gpu=gpu, host={"address_bits": 37}, memory="8GiB"))
    assert values["HighMemoryMappedIoSpace"] == "64 GiB"
    assert codes == ["GPV-MMIO-RANGE"]


@pytest.mark.parametrize("more", [{}, {"mmio_high": "32GiB"}])
def test_cpu_of_36_bits_is_refused(table, more):
    """No size that fits would work."""
    with pytest.raises(SpecError, match="36 physical address bits"):
        settings(table(host={"address_bits": 36}, **more))


def test_moved_base_makes_room_on_a_cpu_of_36_bits(table):
    """With the base at 47 GiB, 17408 MB fit; the largest power of two of them is taken."""
    more = {"mmio_base": "47GiB", "memory": "16GiB"}
    values, codes = settings(table(host={"address_bits": 36}, **more))
    assert values["HighMmioGapBase"] == "47 GiB"
    assert values["HighMemoryMappedIoSpace"] == "16 GiB"
    assert codes == ["GPV-MMIO-RANGE"]
    with pytest.raises(SpecError, match="17408 MB"):
        settings(table(host={"address_bits": 36}, mmio_high="32GiB", **more))


@pytest.mark.parametrize(
    ("memory", "reason"), [({}, "needs `memory`"), ({"memory": "47GiB"}, "ends at 48 GiB")]
)
def test_memory_has_to_end_below_a_moved_base(table, memory, reason):
    """The low space pushes the upper part of it up."""
    with pytest.raises(SpecError, match=reason):
        settings(table(mmio_base="47GiB", **memory))


def test_base_stays_unless_the_plan_moves_it(table):
    """No row for it, and nothing for the scripts to do."""
    spec = Spec.from_table(table(memory="8GiB"))
    assert "HighMmioGapBase" not in {setting.name for setting in plan_settings(spec).settings}
    assert plan_settings(spec).values[0].base_mb is None


def test_given_space_beyond_the_cpu_is_refused(table):
    """With the largest that fits."""
    with pytest.raises(SpecError, match="66048 MB"):
        settings(table(host={"address_bits": 37}, mmio_high="128GiB"))


def test_percent_is_called_advisory(table):
    """It is accepted, and not sold as a limit."""
    assert settings(table(percent=50, memory="8GiB"))[1] == ["GPV-PERCENT-ADVISORY"]


def test_odd_size_and_true_partition_are_warnings(table, path):
    """Accepted, with a word."""
    assert settings(table(mmio_high="9GiB", memory="8GiB"))[1] == ["GPV-MMIO-RANGE"]
    gpu = {"path": path.removesuffix("\\GPUPARAV")}
    assert settings(table(gpu=gpu, memory="8GiB"))[1] == ["GPV-TRUE-PARTITION"]


def test_every_setting_has_a_reason_and_a_source(table):
    """The table is for review."""
    create = {"iso": r"D:\w.iso", "vhd_size": "64GiB"}
    spec = Spec.from_table(table(memory="8GiB", vcpu=2, resolution="800x600", create=create))
    for setting in plan_settings(spec).settings:
        assert setting.why
        assert setting.source


@pytest.mark.parametrize(
    ("vram", "bits", "high", "why"),
    [
        ("12GiB", None, "32 GiB", "twice the VRAM of 12 GiB; the CPU's limit shows"),
        ("200GiB", 40, "256 GiB", "Hyper-V's ceiling, less than twice the VRAM of 200 GiB"),
        ("96GiB", 38, "128 GiB", "twice the VRAM of 96 GiB is wanted; cut to what 38"),
    ],
)
def test_reason_of_the_high_space_is_true(table, path, vram, bits, high, why):
    """What a space holds is said of the size that is set."""
    host = {"address_bits": bits} if bits else {}
    spec = Spec.from_table(table(gpu={"path": path, "vram": vram}, host=host))
    (row,) = [s for s in plan_settings(spec).settings if s.name == "HighMemoryMappedIoSpace"]
    assert row.value == high
    assert row.why.startswith(why)


@pytest.mark.parametrize(("suffix", "word"), [("\\GPUPARAV", "advisory"), ("", "keeps to it")])
def test_percent_of_each_kind_of_card(table, path, suffix, word):
    """A paravirtualised card ignores it, a true partition does not."""
    gpu = {"path": path.removesuffix("\\GPUPARAV") + suffix}
    spec = Spec.from_table(table(gpu=gpu, percent=50))
    (row,) = [setting for setting in plan_settings(spec).settings if "%" in setting.value]
    assert word in row.why


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"memory": None}, "GPV-MEM-DYNAMIC"),
        ({"memory": "10TB"}, "GPV-MEM-HOST"),
        ({"host": {"allow_policy": True}}, "GPV-POLICY"),
    ],
)
def test_what_deserves_a_word(table, change, code):
    """A plan that is accepted, and may not be what was meant."""
    machine = {k: v for k, v in ({"memory": "8GiB"} | change).items() if v}
    assert settings(table(**machine))[1] == [code]


def test_prefix_of_long_paths_is_nothing_to_warn_of(table):
    """The scripts compare paths without it, and a long one is told to begin with it."""
    assert settings(table(vhdx=r"\\?\D:\g.vhdx", memory="8GiB"))[1] == []
