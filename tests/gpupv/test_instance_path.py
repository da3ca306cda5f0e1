"""Instance paths."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.gpupv.instance_path import InstancePathError, parse_instance_path

GUID = "{064092b3-625e-43bf-9eb5-dc845897dd59}"
PATH = rf"\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008#{GUID}\GPUPARAV"


def test_parts():
    """A path is taken apart, and the Plug and Play id follows from it."""
    path = parse_instance_path(PATH)

    assert path.vendor == "NVIDIA"
    assert path.paravirtual
    assert path.pnp_id == r"PCI\VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1\4&23b96b75&0&0008"


def test_real_paths(shared_fixtures):
    """Every published path is accepted, in its own spelling."""
    paths = json.loads((shared_fixtures / "gpupv/instance_paths.json").read_text("utf-8"))

    assert [parse_instance_path(text).text for text in paths] == paths
    assert all(parse_instance_path(text).paravirtual for text in paths)


def test_case_carries_no_meaning():
    """Two spellings of one path are equal by their key."""
    assert parse_instance_path(PATH.lower()).key == parse_instance_path(PATH).key


def test_true_partition_has_no_suffix():
    """A path that ends in the GUID is a partition, not paravirtualised."""
    assert not parse_instance_path(PATH.removesuffix(r"\GPUPARAV")).paravirtual


def test_equal_cards_share_the_model():
    """Equal cards differ in the whole path and agree in the model."""
    one, other = parse_instance_path(PATH), parse_instance_path(PATH.replace("0008", "0013"))

    assert one.key != other.key
    assert one.model_key == other.model_key


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begins with"),
        (f'"{PATH}"', "quotes"),
        (f" {PATH}", "blanks"),
        (PATH.replace("\\", "\\\\"), "doubled"),
        (r"PCI\VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1\4&23b96b75&0&0008", "Plug and Play"),
        (PATH.removeprefix("\\\\?\\"), "begins with"),
        (PATH.replace("064092b3", "5b45201d"), "Get-VMHostPartitionableGpu"),
        (PATH.replace("GPUPARAV", "GPU"), "whole Name"),
        (PATH.replace("VEN_10DE&", ""), "VEN_10DE"),
        (PATH[:-20], "form"),
        (PATH + "\n", "quotes and blanks"),
    ],
)
def test_refusals_say_why(text, why):
    """What is no instance path is refused, with what it looks like."""
    with pytest.raises(InstancePathError) as caught:
        parse_instance_path(text)

    assert why in caught.value.hint


@given(st.text() | st.text(alphabet="\\?#&{}PCIVEN_10DE-" + GUID))
def test_any_text_is_refused_or_read(text):
    """No text fails in another way."""
    with suppress(InstancePathError):
        assert parse_instance_path(text).text == text
