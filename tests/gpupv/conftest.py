"""Specifications that the tests of labkit gpupv share."""

from __future__ import annotations

import pytest

PATH = (
    r"\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008"
    r"#{064092b3-625e-43bf-9eb5-dc845897dd59}\GPUPARAV"
)


@pytest.fixture
def path():
    """A real card's instance path."""
    return PATH


@pytest.fixture
def table():
    """A function that makes a specification's table of one machine, with more keys for it."""

    def make(gpu=None, host=None, **machine):
        vm = {"name": "Gaming VM", "vhdx": r"D:\VMs\g.vhdx", **machine}
        return {"host": host or {}, "gpu": [gpu or {"path": PATH}], "vm": [vm]}

    return make
