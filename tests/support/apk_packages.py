"""Real APKs from packages of public registries, fetched once into the project's ignored cache.

Only the registries' ordinary clients are used, by package name and version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import dataclass

import pytest

try:
    import fcntl
except ImportError:  # Windows: two processes may then fetch the same
    fcntl = None

ATTEMPTS = 3
PAUSE_S = 5
TIMEOUT_S = 180


@dataclass(frozen=True)
class Package:
    """A package that ships APKs."""

    registry: str
    name: str
    version: str

    def __str__(self):
        return f"{self.name}-{self.version}"


PACKAGES = (
    Package("pypi", "fdroidserver", "2.4.5"),  # 8.3 MB
    Package("pypi", "uiautomator2", "3.7.1"),  # 5.2 MB
    Package("npm", "io.appium.settings", "7.0.22"),  # 2.8 MB
    Package("npm", "io.appium.settings", "8.0.10"),  # 3.0 MB
    Package("npm", "android-apidemos", "5.0.0"),  # 5.0 MB
    Package("npm", "appium-uiautomator2-server", "10.6.6"),  # 17.5 MB
)


def package_files(package, cache):
    """Return the APKs of `package`, by their path inside it; skip where it cannot be had.

    Under LABKIT_REQUIRE_TOOLS=1 a missing client or registry is a failure.
    """
    folder = cache / "apk" / str(package)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Test processes run side by side: one fetches, the others wait for it.
    with folder.with_suffix(".lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            fetch(package, folder)
    return {
        str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()
    }


def fetch(package, folder):
    """Download `package` and unpack its APKs into `folder`, all or nothing."""
    if package.registry == "npm" and shutil.which("npm") is None:
        unavailable(f"needs npm to fetch {package}")
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    archives = partial / "archives"
    archives.mkdir(parents=True)
    download(package, archives)
    files = partial / "files"
    for archive in archives.iterdir():
        unpack(archive, files)
    files.rename(folder)
    shutil.rmtree(partial)


def download(package, target):
    """Run the registry's client, again after a pause when it fails."""
    if package.registry == "npm":
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--dest", "."]
        if package.name == "fdroidserver":  # its wheel leaves the tests out
            command += ["--no-binary", package.name]
        command.append(f"{package.name}=={package.version}")
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_S)
        try:
            subprocess.run(
                command, cwd=target, check=True, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        except subprocess.TimeoutExpired:
            reason = f"no answer within {TIMEOUT_S} seconds"
        else:
            return
    unavailable(f"cannot fetch {package} from {package.registry}: {reason}")


def unpack(archive, folder):
    """Take the APKs out of a package's archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name.endswith(".apk")]
            opened.extractall(folder, names)
    else:
        with tarfile.open(archive) as opened:
            members = [member for member in opened if member.name.endswith(".apk")]
            opened.extractall(folder, members, filter="data")


def unavailable(reason):
    """Skip, or fail where everything is required."""
    if os.environ.get("LABKIT_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
