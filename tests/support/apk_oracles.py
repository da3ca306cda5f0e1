"""What Debian's aapt and apksigner say about an APK, in the terms of `labkit.tv`."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field

ANDROID = "http://schemas.android.com/apk/res/android"
ATTRIBUTE = re.compile(r"A: (?P<name>[^(=]+)(?:\(0x[0-9a-f]+\))?=(?P<value>.*?)(?: \(Raw: .*\))?$")


@dataclass
class Element:
    """An element of `aapt dump xmltree`."""

    tag: str
    attributes: dict = field(default_factory=dict)
    children: list = field(default_factory=list)

    def all(self, *tags):
        """Return the children of these tags."""
        return [child for child in self.children if child.tag in tags]

    def get(self, name, default=None):
        """Return an attribute."""
        return self.attributes.get(name, default)


def aapt(*arguments):
    """Run aapt; None where it fails."""
    result = subprocess.run(
        ["aapt", *map(str, arguments)], capture_output=True, check=False, timeout=60
    )
    return result.stdout.decode("utf-8", "replace") if result.returncode == 0 else None


def value_of(text):
    """Read a value as aapt prints it."""
    if text.startswith('"'):
        return text.strip('"')
    if text.startswith("@"):
        return text
    match = re.match(r"\(type 0x([0-9a-f]+)\)0x([0-9a-f]+)", text)
    kind, number = int(match[1], 16), int(match[2], 16)
    return bool(number) if kind == 0x12 else number


def xml_tree(text):
    """Read `aapt dump xmltree` by its indentation."""
    root = Element("")
    stack = [(-1, root)]
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        content = line.strip()
        if content.startswith("E: "):
            while stack[-1][0] >= depth:
                stack.pop()
            element = Element(content[3:].split(" (line=")[0])
            stack[-1][1].children.append(element)
            stack.append((depth, element))
        elif match := ATTRIBUTE.match(content):
            stack[-1][1].attributes[match["name"].removeprefix("android:")] = value_of(
                match["value"]
            )
    return root


def manifest_facts(path):
    """Return what aapt says about the manifest and the native code; None where it cannot."""
    text = aapt("dump", "xmltree", path, "AndroidManifest.xml")
    listing = aapt("list", path)
    if text is None or listing is None:
        return None
    manifest = xml_tree(text).children[0]
    sdk = {}
    for element in manifest.all("uses-sdk"):
        sdk |= element.attributes
    application = (manifest.all("application") or [Element("application")])[0]
    activities = application.all("activity", "activity-alias")
    categories = [
        category.get("name")
        for activity in activities
        for intent_filter in activity.all("intent-filter")
        if any(a.get("name") == "android.intent.action.MAIN" for a in intent_filter.all("action"))
        for category in intent_filter.all("category")
    ]
    version_name = manifest.get("versionName")
    return {
        "package": manifest.get("package"),
        "version_code": manifest.get("versionCode"),
        "version_code_major": manifest.get("versionCodeMajor"),
        "version_name": None if str(version_name).startswith("@") else version_name,
        "version_name_is_reference": str(version_name).startswith("@"),
        "min_sdk": sdk.get("minSdkVersion"),
        "target_sdk": sdk.get("targetSdkVersion"),
        "max_sdk": number if isinstance(number := sdk.get("maxSdkVersion"), int) else None,
        "split": manifest.get("split"),
        "config_for_split": manifest.get("configForSplit"),
        "is_feature_split": manifest.get("isFeatureSplit", False),
        "is_split_required": manifest.get("isSplitRequired", False),
        "debuggable": application.get("debuggable", False),
        "test_only": application.get("testOnly", False),
        "launcher": "android.intent.category.LAUNCHER" in categories,
        "tv_launcher": "android.intent.category.LEANBACK_LAUNCHER" in categories,
        "banner": any(part.get("banner") for part in [application, *activities]),
        "features": [
            (feature.get("name"), feature.get("required", True))
            for feature in manifest.all("uses-feature")
            if feature.get("name")
        ],
        "libraries": [
            (library.get("name"), library.get("required", True))
            for library in application.all("uses-library")
        ],
        "abis": sorted(set(re.findall(r"^lib/([^/\n]+)/[^/\n]+$", listing, re.MULTILINE))),
    }


def signer_facts(path, sdk=None):
    """Return the SHA-256 of the signers that apksigner verifies; None where it does not."""
    command = ["apksigner", "verify", "--print-certs"]
    if sdk is not None:
        command += ["--min-sdk-version", str(sdk), "--max-sdk-version", str(sdk)]
    result = subprocess.run(
        [*command, str(path)], capture_output=True, text=True, check=False, timeout=120
    )
    if result.returncode != 0:
        return None
    return sorted(set(re.findall(r"certificate SHA-256 digest: ([0-9a-f]{64})", result.stdout)))
