"""Reading APK files: every field against aapt and apksigner, on real and on built ones."""

import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import LabkitError
from labkit.tv.android import PREVIEW_SDK
from labkit.tv.apk import read_apk, read_apk_file
from labkit.tv.errors import ApkError
from labkit.tv.manifest import Requirement, read_manifest
from support.apk_oracles import manifest_facts, signer_facts
from support.apk_packages import PACKAGES

SAMPLES = [f"S{number:02}" for number in range(1, 30)]
SDKS = (19, 23, 25, 28, 30, 34)
each_package = pytest.mark.parametrize("package", PACKAGES, ids=str)


def requirement(apk, feature):
    """A feature's requirement, in the words of the recorded facts."""
    declared = {f.name: f.required for f in apk.features}
    return {None: None, True: "required", False: "not_required"}[declared.get(feature)]


SHARED_FIELDS = (
    "package",
    "version_code",
    "version_code_major",
    "version_name",
    "version_name_is_reference",
    "min_sdk",
    "target_sdk",
    "max_sdk",
    "split",
    "config_for_split",
    "is_feature_split",
    "is_split_required",
    "debuggable",
    "test_only",
    "launcher",
    "tv_launcher",
    "banner",
)


def facts(apk):
    """What aapt also knows about an APK."""
    manifest = apk.manifest
    return {name: getattr(manifest, name) for name in SHARED_FIELDS} | {
        "features": [(feature.name, feature.required) for feature in manifest.features],
        "libraries": [(library.name, library.required) for library in manifest.libraries],
        "abis": list(apk.abis),
    }


def starts_as_zip(path):
    """Whether Android would look at the file at all."""
    return path.read_bytes()[:4] == b"PK\x03\x04"


@pytest.mark.parametrize("sample_id", SAMPLES)
def test_a_recorded_sample_is_read_as_recorded(sample_id, badging, apk_sample):
    """All fields of the manifest, and the signer that a TV of each Android version sees."""
    sample = badging[sample_id]
    apk = read_apk(apk_sample(sample_id))
    wanted, manifest = sample["manifest"], apk.manifest
    reference = wanted["versionName_is_resource_ref"]
    assert wanted == {
        "package": apk.package,
        "versionCode": manifest.version_code,
        "versionCodeMajor": manifest.version_code_major,
        # What a reference resolves to stands in the resources, which are not read.
        "versionName": wanted["versionName"] if reference else apk.version_name,
        "versionName_is_resource_ref": manifest.version_name_is_reference,
        "minSdk": manifest.min_sdk,
        "targetSdk": manifest.target_sdk,
        "maxSdk": manifest.max_sdk,
        "abis": list(apk.abis),
        "split": apk.split,
        "isSplitRequired": manifest.is_split_required,
        "requiredSplitTypes": manifest.required_split_types or None,
        "debuggable": manifest.debuggable,
        "testOnly": manifest.test_only,
        "leanback": requirement(apk, "android.software.leanback"),
        "touchscreen": requirement(apk, "android.hardware.touchscreen"),
        "tv_launcher": apk.tv_tile,
        "launcher": manifest.launcher,
        "banner": manifest.banner,
    }
    assert apk.size_bytes == sample["size"]
    for sdk, seen in sample["signature"]["per_sdk"].items():
        signature = apk.signatures.on(int(sdk))
        hashes = [f"{signer.certificate.java_hash:x}" for signer in signature.signers]
        assert hashes == ([seen["signer_java_hash"]] if seen["verifies"] else [])
    if sample["signature"]["verifies"]:
        assert apk.signers() == (sample["signature"]["signer_sha256"],)
        assert {s.scheme for s in apk.signatures.schemes} >= set(sample["signature"]["schemes"])


@each_package
def test_every_manifest_of_a_registry_agrees_with_aapt(package, registry_apks, need_tool):
    """All fields of all APKs of a package; what aapt cannot read must not crash labkit."""
    need_tool("aapt")
    differences = {}
    for name, path in registry_apks(package).items():
        wanted = manifest_facts(path)
        if wanted is None or not starts_as_zip(path):
            with pytest.raises(ApkError):
                read_apk(path)
            continue
        found = facts(read_apk(path))
        if found != wanted:
            differences[name] = {k: (found[k], wanted[k]) for k in wanted if found[k] != wanted[k]}
    assert differences == {}


@each_package
def test_every_signer_of_a_registry_agrees_with_apksigner(package, registry_apks, need_tool):
    """Where apksigner verifies, the same certificates; among them forged signing blocks."""
    need_tool("apksigner")
    differences = {}
    for name, path in registry_apks(package).items():
        wanted = signer_facts(path)
        if wanted is None or not starts_as_zip(path):
            continue
        found = list(read_apk(path).signers())
        if found != wanted:
            differences[name] = (found, wanted)
    assert differences == {}


def test_code_in_front_of_the_archive_is_refused(registry_apks):
    """Old Androids ran such code although the signature covers the rest alone."""
    path = next(p for n, p in registry_apks(PACKAGES[0]).items() if n.endswith("janus.apk"))
    with pytest.raises(ApkError, match="bare program code"):
        read_apk(path)


def test_a_tv_app_has_a_tile_and_runs_everywhere(apk_builder):
    """MAIN and LEANBACK_LAUNCHER in one filter make the tile; no native code, no limits."""
    apk = read_apk(apk_builder.build())
    assert apk.tv_tile
    assert not apk.manifest.launcher
    assert (apk.abis, apk.min_sdk, apk.target_sdk, apk.version_code) == ((), 1, 1, 0)
    assert (apk.leanback_required, apk.touchscreen_required) == (None, None)


def test_an_alias_makes_a_tile_and_two_half_filters_do_not(apk_builder):
    """`aapt dump badging` gets both wrong; the filters of one activity must not be mixed."""
    alias = """<activity-alias android:name=".A" android:targetActivity=".B"><intent-filter>
      <action android:name="android.intent.action.MAIN"/>
      <category android:name="android.intent.category.LEANBACK_LAUNCHER"/>
    </intent-filter></activity-alias>"""
    halves = """<activity android:name=".B">
      <intent-filter><action android:name="android.intent.action.MAIN"/></intent-filter>
      <intent-filter>
        <category android:name="android.intent.category.LEANBACK_LAUNCHER"/></intent-filter>
    </activity>"""
    for content, tile in ((alias + halves, True), (halves, False)):
        text = (
            '<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="a.b">'
            f"<application>{content}</application></manifest>"
        )
        path = apk_builder.build(text)
        assert read_apk(path).tv_tile is tile
        assert facts(read_apk(path)) == manifest_facts(path)


def test_declarations_of_a_built_app_agree_with_aapt(apk_builder):
    """Split attributes, features, libraries, test builds, text outside of ASCII and long text."""
    name = "Фильмы 映画 " + "x" * 300
    text = apk_builder.manifest(
        attributes=f'android:versionCode="7" android:versionName="{name}" '
        'android:isSplitRequired="true" android:versionCodeMajor="2"',
        sdk='android:minSdkVersion="21" android:targetSdkVersion="34" android:maxSdkVersion="40"',
        body='<uses-feature android:name="android.software.leanback"/>'
        '<uses-feature android:name="android.hardware.touchscreen" android:required="false"/>',
        app='android:testOnly="true" android:debuggable="true"',
    )
    path = apk_builder.build(text, abis=("armeabi-v7a", "x86"))
    apk = read_apk(path)
    assert facts(apk) == manifest_facts(path)
    assert apk.version_name == name
    assert apk.version_code == (2 << 32) + 7
    assert apk.abis == ("armeabi-v7a", "x86")
    assert (apk.leanback_required, apk.touchscreen_required) == (True, False)
    assert Requirement("android.software.leanback") in apk.features


def test_attributes_are_known_by_number_where_their_names_are_gone(small_manifest):
    """Packers blank the names; Android goes by the resource numbers."""
    name = "versionCode".encode("utf-16-le")
    assert name in small_manifest
    manifest = read_manifest(small_manifest.replace(name, bytes(len(name))), "a.apk")
    assert manifest.version_code == 5


def test_a_preview_of_android_stands_above_all_levels(apk_builder):
    """A code name cannot be compared as a number."""
    apk = read_apk(apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="Tiramisu"')))
    assert apk.manifest.min_sdk == "Tiramisu"
    assert (apk.min_sdk, apk.target_sdk) == (PREVIEW_SDK, PREVIEW_SDK)


def test_a_split_says_what_it_belongs_to(apk_builder):
    """Feature, and configuration of a feature."""
    feature = read_apk(apk_builder.split("player"))
    config = read_apk(
        apk_builder.split("player.config.arm64_v8a", owner="player", abis=["arm64-v8a"])
    )
    assert (feature.split, feature.manifest.is_feature_split) == ("player", True)
    assert (config.split, config.manifest.config_for_split) == ("player.config.arm64_v8a", "player")
    assert config.abis == ("arm64-v8a",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\xef\xbb\xbf\n <html>", "web page"),
        (b'{"error": 404}', "JSON"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"Rar!\x1a", "RAR"),
        (b"\x00" * 100, "no zip archive"),
        (b"PK\x05\x06" + bytes(18), "empty zip"),
    ],
)
def test_something_else_under_the_name_of_an_apk_is_named(content, message, tmp_path):
    """The message says what the file is, and the hint what to do."""
    path = tmp_path / "app.apk"
    path.write_bytes(content)
    with pytest.raises(ApkError, match=message) as caught:
        read_apk(path)
    assert caught.value.code == "not-an-apk"
    assert "download it again" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_missing_file_is_bad_input(tmp_path):
    """No traceback for a typing error."""
    with pytest.raises(LabkitError, match="No such file") as caught:
        read_apk(tmp_path / "nothing.apk")
    assert caught.value.exit_code == 2


def test_a_cut_off_download_is_recognised(apk_builder, tmp_path):
    """At whatever byte the download stopped."""
    whole = apk_builder.build().read_bytes()
    path = tmp_path / "cut.apk"
    for size in range(4, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ApkError) as caught:
            read_apk(path)
        assert caught.value.code == "truncated"


def test_two_entries_of_one_name_are_refused(apk_builder, tmp_path):
    """Tools disagree about which of them counts; Android refuses the file."""
    data = apk_builder.build(libraries=["assets/a", "assets/b"], keys=()).read_bytes()
    path = tmp_path / "twice.apk"
    path.write_bytes(data.replace(b"assets/b", b"assets/a"))
    with pytest.raises(ApkError, match="two entries named assets/a"):
        read_apk(path)


def test_more_files_than_android_counts_are_refused(tmp_path):
    """Also so that a hostile directory cannot fill the memory."""
    path = tmp_path / "many.apk"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(65_536):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    with pytest.raises(ApkError, match="more than 65,535 files"):
        read_apk(path)


def test_a_manifest_that_unpacks_to_too_much_is_refused(tmp_path):
    """A few kilobytes of packed zeros are no manifest."""
    path = tmp_path / "bomb.apk"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("AndroidManifest.xml", bytes(50 << 20))
    with pytest.raises(ApkError, match="would unpack to 52,428,800 bytes"):
        read_apk(path)


def test_a_source_manifest_is_called_by_its_name():
    """An unbuilt app's manifest is text."""
    with pytest.raises(ApkError, match="plain text"):
        read_manifest(b'<?xml version="1.0"?><manifest package="a"/>', "a.apk")


def test_reading_an_app_leaves_logging_alone(apk_builder, spawn_python):
    """ApkInspector sets up the root logger and logs; neither shows."""
    path = apk_builder.build()
    script = (
        "import logging; from labkit.tv.apk import read_apk; read_apk(%r); "
        "print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    result = spawn_python(script % str(path))
    assert (result.stdout, result.stderr) == ("[] 30\n", "")


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_an_apk_error(data):
    """Nothing but a LabkitError comes out of bytes that are no APK."""
    for content in (data, b"PK\x03\x04" + data):
        with pytest.raises(LabkitError):
            read_apk_file(io.BytesIO(content), "a.apk")


@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_a_manifest_error(data):
    """The same for the manifest, with and without a plausible beginning."""
    header = struct.pack("<HHI", 3, 8, len(data) + 8)
    for content in (data, header + data):
        with pytest.raises(LabkitError):
            read_manifest(content, "a.apk")


@given(data=st.data())
def test_a_damaged_app_is_read_or_refused(data, small_apk):
    """Any byte of a real APK may be wrong: there is an answer or a LabkitError, never a crash."""
    damaged = bytearray(small_apk)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        apk = read_apk_file(io.BytesIO(damaged), "a.apk")
    except LabkitError:
        return
    for sdk in SDKS:
        apk.signatures.on(sdk)


@given(data=st.data())
def test_a_damaged_manifest_is_read_or_refused(data, small_manifest):
    """The same for the manifest alone, which zip's checks do not guard."""
    damaged = bytearray(small_manifest)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_manifest(bytes(damaged), "a.apk")
    except LabkitError:
        return
