"""`labkit.tv` as a library."""

import inspect
import re
from importlib import import_module

import pytest

import labkit.tv
from labkit.tv import fit


@pytest.mark.parametrize("name", labkit.tv.__all__)
def test_a_public_name_is_importable_from_the_package(name):
    """It is the object of the module that defines it."""
    module = import_module(f"labkit.tv.{labkit.tv._MODULES[name]}")
    assert getattr(labkit.tv, name) is getattr(module, name)


def test_an_unknown_name_is_an_attribute_error():
    """As in any module."""
    with pytest.raises(AttributeError, match="nonsense"):
        _ = labkit.tv.nonsense


def test_importing_the_package_loads_nothing_heavy(spawn_python):
    """Reading an APK needs neither adb nor apkInspector until a manifest is read."""
    result = spawn_python(
        "import sys; from labkit.tv import read_apk; "
        "print([m for m in ('adbutils', 'requests', 'apkInspector', 'labkit.tv.adb') "
        "if m in sys.modules])"
    )
    assert result.stdout == "[]\n"


def test_every_problem_of_a_check_is_documented(project):
    """docs/tv-apps.md names each code that `check` may give."""
    source = inspect.getsource(fit)
    codes = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)+)"(?:,| if| else)', source))
    page = (project / "docs" / "tv-apps.md").read_text("utf-8")
    assert "abi-mismatch" in codes
    assert "low-space" in codes
    assert {code for code in codes if f"`{code}`" not in page} <= {"data-loss"}
