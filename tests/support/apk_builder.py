"""Small APKs with what registries do not have: TV tiles, splits, several keys, rotated keys."""

from __future__ import annotations

import os
import subprocess
from itertools import count
from pathlib import Path

import pytest

FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
PASSWORD = "labkit-test"
TV_ACTIVITY = """
<activity android:name=".Main"><intent-filter>
  <action android:name="android.intent.action.MAIN"/>
  <category android:name="android.intent.category.LEANBACK_LAUNCHER"/>
</intent-filter></activity>"""


def run(*command, cwd=None):
    """Run a tool; its complaint is the test's failure."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, f"{command[0]}: {result.stdout}{result.stderr}"


class ApkBuilder:
    """Builds and signs APKs in a folder."""

    def __init__(self, folder):
        if not FRAMEWORK.exists():
            reason = f"needs {FRAMEWORK} (Debian: android-framework-res)"
            if os.environ.get("LABKIT_REQUIRE_TOOLS") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        self.folder = folder
        self._count = count()

    def manifest(self, package="org.labkit.sample", *, attributes="", sdk="", body="", app=""):
        """Write the text of a manifest."""
        sdk = f"<uses-sdk {sdk}/>" if sdk else ""
        return (
            '<manifest xmlns:android="http://schemas.android.com/apk/res/android" '
            f'package="{package}" {attributes}>{sdk}{body}'
            f"<application {app}>{'' if app.startswith('android:hasCode') else TV_ACTIVITY}"
            "</application></manifest>"
        )

    def build(self, manifest=None, *, abis=(), libraries=(), keys=("a",), schemes=(1, 2, 3)):
        """Build an APK: `libraries` are paths of extra entries; without `keys` it is unsigned."""
        work = self.folder / f"{next(self._count)}"
        work.mkdir()
        (work / "AndroidManifest.xml").write_text(manifest or self.manifest(), "utf-8")
        run("aapt", "package", "-f", "-M", "AndroidManifest.xml", "-I", FRAMEWORK, "-F", "app.apk",
            cwd=work)  # fmt: skip
        for name in (*(f"lib/{abi}/libx.so" for abi in abis), *libraries):
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\x7fELF")
            run("aapt", "add", "app.apk", name, cwd=work)
        apk = work / "app.apk"
        if keys:
            self.sign(apk, keys=keys, schemes=schemes)
        return apk

    def base(self, package="org.labkit.split", code=1, *, required=False, key="a", **options):
        """Build the base of a split app."""
        attributes = f'android:versionCode="{code}"'
        if required:
            attributes += ' android:isSplitRequired="true"'
        text = self.manifest(package, attributes=attributes, sdk='android:minSdkVersion="21"')
        return self.build(text, keys=(key,), **options)

    def split(self, name, package="org.labkit.split", code=1, *, key="a", owner=None, **options):
        """Build a part of a split app; `owner` is the part that it configures."""
        attributes = f'android:versionCode="{code}" split="{name}"'
        if owner is None:
            attributes += ' android:isFeatureSplit="true"'
        else:
            attributes += f' configForSplit="{owner}"'
        app = 'android:hasCode="false"'
        return self.build(
            self.manifest(package, attributes=attributes, app=app), keys=(key,), **options
        )

    def key(self, name):
        """Return the key store `name`, made when first wanted."""
        store = self.folder / f"{name}.p12"
        if not store.exists():
            run("keytool", "-genkeypair", "-keystore", store, "-storetype", "PKCS12",
                "-storepass", PASSWORD, "-alias", "a", "-keyalg", "RSA", "-keysize", "2048",
                "-validity", "10000", "-dname", f"CN=labkit test {name}")  # fmt: skip
        return store

    def sign(self, apk, *, keys=("a",), schemes=(1, 2, 3), lineage=None, min_sdk=None):
        """Sign `apk` in place; several keys make several signers, or a rotation with `lineage`."""
        command = ["apksigner", "sign", "--v4-signing-enabled", "false"]
        for scheme in (1, 2, 3):
            command += [f"--v{scheme}-signing-enabled", str(scheme in schemes).lower()]
        if min_sdk:
            command += ["--min-sdk-version", str(min_sdk)]
        for index, key in enumerate(keys):
            command += ["--next-signer"] if index else []
            command += ["--ks", self.key(key), "--ks-pass", f"pass:{PASSWORD}"]
            command += ["--v1-signer-name", key]
        if lineage:
            command += ["--lineage", lineage]
        run(*command, apk)

    def rotation(self, old, new):
        """Make the proof that the key `new` follows the key `old`."""
        lineage = self.folder / f"{old}-{new}.lineage"
        password = ("--ks-pass", f"pass:{PASSWORD}")
        run("apksigner", "rotate", "--out", lineage, "--old-signer", "--ks", self.key(old),
            *password, "--new-signer", "--ks", self.key(new), *password)  # fmt: skip
        return lineage
