"""APKs for the tests of `labkit tv`: real ones, and such as no registry has."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile

import pytest
from hypothesis import settings

from support.apk_builder import ApkBuilder
from support.apk_packages import PACKAGES, package_files

# A busy machine is no failure: no test here is about time.
settings.register_profile("tv", deadline=None)
settings.load_profile("tv")


@pytest.fixture(scope="session")
def registry_apks(project):
    """A function that returns the APKs of a package from a registry, by path inside it."""

    def get(package):
        return package_files(package, project / ".cache")

    return get


@pytest.fixture(scope="session")
def badging(shared_fixtures):
    """The recorded facts of real APKs, by the sample's id."""
    text = (shared_fixtures / "tv" / "badging.json").read_text("utf-8")
    return {sample["id"]: sample for sample in json.loads(text)["samples"]}


@pytest.fixture(scope="session")
def apk_sample(badging, registry_apks):
    """A function that returns the file of a recorded sample."""

    def get(sample_id):
        sample = badging[sample_id]
        source = sample["source"]
        package = next(
            p for p in PACKAGES if (p.name, p.version) == (source["name"], source["version"])
        )
        path = registry_apks(package)[source["path"]]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sample["sha256"]
        return path

    return get


@pytest.fixture(scope="session")
def apk_builder(tmp_path_factory, need_tool):
    """A builder of small signed APKs, by Debian's own tools."""
    for tool in ("aapt", "apksigner", "keytool"):
        need_tool(tool)
    return ApkBuilder(tmp_path_factory.mktemp("apks"))


@pytest.fixture(scope="session")
def small_apk(apk_builder):
    """The bytes of a small APK, signed by all schemes."""
    return apk_builder.build(abis=["armeabi-v7a"]).read_bytes()


@pytest.fixture(scope="session")
def small_manifest(apk_builder):
    """The bytes of a binary manifest."""
    text = apk_builder.manifest(attributes='android:versionCode="5"')
    with zipfile.ZipFile(apk_builder.build(text)) as archive:
        return archive.read("AndroidManifest.xml")


@pytest.fixture
def spawn_python():
    """A function that runs a script in a fresh interpreter."""

    def call(script):
        return subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )

    return call
