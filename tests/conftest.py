"""What every test may use."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


def pytest_configure():
    """Let the programs under test hear Ctrl-C: what a shell starts behind `&` is deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def project():
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_fixtures():
    """The folder of real data beside the project; skips where it is absent."""
    folder = PROJECT.parent / "shared" / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"needs the shared real data in {folder}")
    return folder


@pytest.fixture(scope="session")
def need_tool():
    """A function that finds an external program or skips; fails under LABKIT_REQUIRE_TOOLS=1."""

    def find(name: str) -> str:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        if found:
            return found
        reason = f"needs the program {name}"
        if os.environ.get("LABKIT_REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return find
