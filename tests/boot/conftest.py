"""What the tests of `labkit boot` share."""

from __future__ import annotations

import pytest

from support.grub_emu import MODULES


@pytest.fixture(scope="session")
def grub_emu(need_tool):
    """The path of grub-emu; skips where it or its modules are absent."""
    program = need_tool("grub-emu")
    if not MODULES.is_dir():
        pytest.skip(f"needs grub-emu's modules in {MODULES}")
    return program


@pytest.fixture(scope="session")
def boot_cases(shared_fixtures):
    """The folder of real cases."""
    return shared_fixtures / "boot"
