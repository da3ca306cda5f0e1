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
    values, codes = settings(table(gpu=gpu, host={"address_bits": 37}))
    assert values["HighMemoryMappedIoSpace"] == "64 GiB"
    assert codes == ["GPV-MMIO-RANGE"]


@pytest.mark.parametrize("more", [{}, {"mmio_high": "32GiB"}])
def test_cpu_of_36_bits_is_refused(table, more):
    """No size that fits would work."""
    with pytest.raises(SpecError, match="36 physical address bits"):
        settings(table(host={"address_bits": 36}, **more))


def test_given_space_beyond_the_cpu_is_refused(table):
    """With the largest that fits."""
    with pytest.raises(SpecError, match="66048 MB"):
        settings(table(host={"address_bits": 37}, mmio_high="128GiB"))


def test_percent_is_called_advisory(table):
    """It is accepted, and not sold as a limit."""
    assert settings(table(percent=50))[1] == ["GPV-PERCENT-ADVISORY"]


def test_odd_size_and_true_partition_are_warnings(table, path):
    """Accepted, with a word."""
    assert settings(table(mmio_high="9GiB"))[1] == ["GPV-MMIO-RANGE"]
    assert settings(table(gpu={"path": path.removesuffix("\\GPUPARAV")}))[1] == [
        "GPV-TRUE-PARTITION"
    ]


def test_every_setting_has_a_reason_and_a_source(table):
    """The table is for review."""
    create = {"iso": r"D:\w.iso", "vhd_size": "64GiB"}
    spec = Spec.from_table(table(memory="8GiB", vcpu=2, resolution="800x600", create=create))
    for setting in plan_settings(spec).settings:
        assert setting.why
        assert setting.source
