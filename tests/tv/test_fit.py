"""Whether an app fits a TV: each rule, from facts alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.tv.android import describe_sdk, lowest_target_sdk
from labkit.tv.apk import Apk
from labkit.tv.apps import App, Part, Variant
from labkit.tv.catalogue import CATALOGUE
from labkit.tv.facts import DeviceFacts, InstalledApp
from labkit.tv.fit import check_app
from labkit.tv.manifest import Manifest, Requirement
from labkit.tv.signing import Certificate, SchemeSignature, Signatures, Signer
from labkit.tv.window import Span

OLD, NEW, FOREIGN = (Certificate(bytes([number]) * 40) for number in range(3))
TV = DeviceFacts(name="livingroom", sdk=28, abis=("armeabi-v7a", "armeabi"))


def signed(certificate=OLD, scheme="v2", **signer):
    """The signatures of an app by one key."""
    return Signatures((SchemeSignature(scheme, (Signer(certificate, **signer),)),))


def app(*, abis=(), signatures=None, size_bytes=1000, splits=(), min_sdk=1, **declared):
    """An app that fits everywhere, but for what is given."""
    declared = {"package": "a.b", "version_code": 5, "tv_launcher": True} | declared
    base = part(abis, signatures, size_bytes, **declared)
    return App("a.apk", "a.b", (Variant(base, tuple(splits), min_sdk),))


def part(abis=(), signatures=None, size_bytes=1000, **declared):
    """One part of an app."""
    signatures = signed() if signatures is None else signatures
    manifest = Manifest(**({"package": "a.b", "version_code": 5} | declared))
    return Part(
        Apk("a.apk", size_bytes, manifest, tuple(abis), signatures),
        Span(Path("a.apk"), 0, size_bytes),
    )


def tv(**facts):
    """The TV, but for what is given."""
    return DeviceFacts(**({"name": "livingroom", "sdk": 28, "abis": ("armeabi-v7a",)} | facts))


def installed(**facts):
    """A TV on which version 5 of the app is installed, signed by the old key."""
    present = {"version_code": 5, "version_name": "1.5", "signers": frozenset({OLD.java_hash})}
    return tv(installed={"a.b": InstalledApp("a.b", **(present | facts))})


def problems(app, device=TV):
    """The codes that a check finds, with their severity."""
    return {problem.code: problem.severity for problem in check_app(app, device).problems}


def the_problem(app, device=TV):
    """The only problem that a check finds."""
    (problem,) = check_app(app, device).problems
    return problem


def test_a_fitting_app_has_no_problems():
    """With and without a TV."""
    assert check_app(app()).problems == ()
    assert check_app(app(), TV).fits


def test_foreign_native_code_does_not_fit():
    """The message names both sides, the hint the file to look for."""
    problem = the_problem(app(abis=["arm64-v8a"]))
    assert (problem.code, problem.kind, problem.severity) == ("abi-mismatch", "unfit", "error")
    assert "arm64-v8a; livingroom runs armeabi-v7a, armeabi" in problem.message
    assert problem.hint == "choose the armeabi-v7a file"
    assert problems(app(abis=["arm64-v8a", "armeabi"])) == {}


def test_splits_for_other_processors_do_not_fit():
    """A split set may lack the part for this TV."""
    splits = [part(split="config.arm64_v8a", config_for_split="", abis=["arm64-v8a"])]
    assert problems(app(splits=splits)) == {"abi-mismatch": "error"}
    splits.append(part(split="config.armeabi", config_for_split="", abis=["armeabi"]))
    assert problems(app(splits=splits)) == {}


@pytest.mark.parametrize(("needed", "present", "fits"), [(28, 28, True), (29, 28, False)])
def test_an_older_android_does_not_fit(needed, present, fits):
    """Both are named as versions."""
    check = check_app(app(), tv(sdk=present))
    assert check.fits
    check = check_app(app_with_min_sdk(needed), tv(sdk=present))
    assert check.fits is fits
    if not fits:
        assert "needs Android 10 (API 29); livingroom has Android 9 (API 28)" in (
            check.errors[0].message
        )


def app_with_min_sdk(level):
    """An app whose base asks for an API level."""
    base = part(tv_launcher=True)
    manifest = Manifest("a.b", 5, min_sdk=level, tv_launcher=True)
    return App("a.apk", "a.b", (Variant(Part(Apk("a", 9, manifest, (), signed()), base.span)),))


def test_an_app_for_a_preview_fits_no_release():
    """A code name stands above all levels."""
    assert problems(app_with_min_sdk("Baklava"), tv(sdk=36)) == {"sdk-too-old": "error"}


@pytest.mark.parametrize(
    ("sdk", "target", "blocked"),
    [(33, 1, False), (34, 22, True), (34, 23, False), (35, 23, True), (36, 24, False)],
)
def test_the_block_on_apps_for_old_androids_is_announced(sdk, target, blocked):
    """A warning, since labkit asks Android to let it pass."""
    found = problems(app(target_sdk=target), tv(sdk=sdk))
    assert found == ({"low-target": "warning"} if blocked else {})


def test_an_undeclared_target_is_the_lowest_level():
    """Android takes the minimum, which is 1 where that is absent as well."""
    message = the_problem(app(), tv(sdk=34)).message
    assert "made for Android 1.0 (API 1); livingroom blocks" in message


@pytest.mark.parametrize(
    ("free", "expected"),
    [(999, {"no-space": "error"}), (1000, {"low-space": "warning"}), (2000, {}), (None, {})],
)
def test_free_space_is_compared_before_sending(free, expected):
    """The app is there twice for a moment."""
    assert problems(app(), tv(free_bytes=free)) == expected


def test_space_is_counted_for_the_parts_that_are_sent():
    """What this TV does not need takes no room."""
    splits = [part(split="config.arm64_v8a", config_for_split="", size_bytes=10**9)]
    splits.append(part(split="config.armeabi_v7a", config_for_split="", abis=["armeabi-v7a"]))
    assert problems(app(splits=splits), tv(free_bytes=4000)) == {}


def test_another_signer_is_refused_before_sending():
    """The class is data loss, and the hint says how to keep the data."""
    problem = the_problem(app(signatures=signed(FOREIGN)), installed())
    assert (problem.code, problem.kind) == ("signer-mismatch", "data-loss")
    assert "labkit tv save a.b" in problem.hint
    assert "--replace" in problem.hint


def test_the_same_signer_may_update():
    """Nothing to say."""
    assert problems(app(), installed()) == {}


def test_a_key_that_follows_the_installed_one_may_update():
    """Scheme 3 proves it, where Android reads scheme 3."""
    rotated = signed(NEW, "v3", lineage=(OLD,))
    assert problems(app(signatures=rotated), installed()) == {}
    assert problems(app(signatures=signed(NEW, "v3")), installed()) == {"signer-mismatch": "error"}


def test_a_past_key_may_update_only_where_it_kept_that_right():
    """The TV lists past keys with what they may still do."""
    rotated = {"signers": frozenset({NEW.java_hash})}
    allowed = rotated | {"rollback_signers": frozenset({OLD.java_hash})}
    assert problems(app(), installed(**rotated)) == {"signer-mismatch": "error"}
    assert problems(app(), installed(**allowed)) == {}


def test_an_unknown_signer_is_said_and_not_guessed():
    """Android 8 does not tell."""
    assert problems(app(), installed(signers=None)) == {"signer-unknown": "warning"}


def test_a_system_app_of_another_signer_can_only_be_disabled():
    """Uninstalling it would not help."""
    problem = the_problem(app(signatures=signed(FOREIGN)), installed(system=True))
    assert "disabled" in problem.hint


def test_an_older_version_is_refused_before_sending():
    """Both versions are named."""
    problem = the_problem(app(version_code=4, version_name="1.4"), installed())
    assert (problem.code, problem.kind) == ("downgrade", "data-loss")
    assert "1.4 (4) is older than 1.5 (5) on livingroom" in problem.message
    assert "--replace" in problem.hint


@pytest.mark.parametrize(("sdk", "hint"), [(33, "--downgrade"), (34, "--replace")])
def test_a_debug_build_may_be_downgraded_before_android_14(sdk, hint):
    """Newer ones refuse that as well."""
    device = DeviceFacts(
        sdk=sdk,
        installed={
            "a.b": InstalledApp("a.b", 5, signers=frozenset({OLD.java_hash}), debuggable=True)
        },
    )
    (problem,) = check_app(app(version_code=4, target_sdk=30), device).errors
    assert hint in problem.hint


def test_a_version_code_counts_with_its_upper_half():
    """The long version code, not the visible half."""
    assert problems(app(version_code=1, version_code_major=1), installed()) == {}


def test_an_unsigned_app_does_not_fit():
    """No Android installs it."""
    assert problems(app(signatures=Signatures())) == {"unsigned": "error"}
    assert problems(app(signatures=Signatures()), installed()) == {"unsigned": "error"}


def test_a_new_signature_alone_does_not_fit_an_old_android():
    """Android 6 reads scheme 1 only."""
    assert problems(app(), tv(sdk=23)) == {"not-signed-for-sdk": "error"}
    assert problems(app(), tv(sdk=24)) == {}


def test_an_altered_app_does_not_fit():
    """What the reader found is quoted."""
    broken = Signatures((SchemeSignature("v2", (), "the v2 signature is damaged: x"),))
    problem = the_problem(app(signatures=broken))
    assert problem.code == "bad-signature"
    assert "the v2 signature is damaged: x" in problem.message


@pytest.mark.parametrize(
    ("sdk", "target", "expected"),
    [
        (29, 30, {}),
        (30, 29, {}),
        (30, 30, {"v1-signature-only": "error"}),
        (None, 30, {"v1-signature-only": "warning"}),
    ],
)
def test_android_11_wants_newer_signatures_on_newer_apps(sdk, target, expected):
    """An app made for Android 11 needs scheme 2 there; older ones do not."""
    found = problems(app(target_sdk=target, signatures=signed(scheme="v1")), tv(sdk=sdk))
    assert found == expected


def test_parts_of_several_signers_do_not_fit():
    """All parts come from one maker."""
    splits = [part(split="config.de", config_for_split="", signatures=signed(FOREIGN))]
    assert problems(app(splits=splits)) == {"mixed-signers": "error"}


def test_a_base_that_needs_splits_does_not_fit_alone():
    """By the old attribute and by the new one, which names the kinds."""
    assert problems(app(is_split_required=True)) == {"missing-splits": "error"}
    wanted = ("base__abi", "base__density")
    splits = [part(split="config.armeabi_v7a", abis=["armeabi-v7a"], split_types=("base__abi",))]
    problem = the_problem(app(required_split_types=wanted, splits=splits))
    assert problem.code == "missing-splits"
    assert "missing: base__density" in problem.message


def test_a_missing_library_does_not_fit_and_a_missing_feature_warns():
    """Android enforces libraries; features concern stores."""
    demands = {
        "libraries": (Requirement("com.maps"), Requirement("com.extra", required=False)),
        "features": (Requirement("android.hardware.camera"), Requirement("x", required=False)),
    }
    found = problems(app(**demands), tv(libraries=frozenset(), features=frozenset()))
    assert found == {"missing-library": "error", "missing-feature": "warning"}
    assert problems(app(**demands), tv()) == {}


def test_an_app_without_a_tile_warns():
    """It installs, and the TV's home screen does not show it."""
    problem = the_problem(app(tv_launcher=False))
    assert (problem.code, problem.severity) == ("no-tv-tile", "warning")
    assert "labkit tv launch a.b" in problem.hint


@pytest.mark.parametrize(("required", "warns"), [(True, True), (False, False)])
def test_an_app_for_touchscreens_warns(required, warns):
    """Android installs it all the same."""
    features = (Requirement("android.hardware.touchscreen", required=required),)
    assert problems(app(features=features)) == (
        {"touchscreen-required": "warning"} if warns else {}
    )


def test_errors_come_first_and_decide():
    """Warnings alone do not keep an app away."""
    check = check_app(app(tv_launcher=False, abis=["x86"]), TV)
    assert [problem.severity for problem in check.problems] == ["error", "warning"]
    assert not check.fits
    assert check_app(app(tv_launcher=False), TV).fits


def test_most_errors_can_be_explained():
    """`labkit tv explain` knows what `check` says, where the TV would say it too."""
    explained = {alias for entry in CATALOGUE for alias in entry.aliases}
    assert {
        "abi-mismatch",
        "sdk-too-old",
        "signer-mismatch",
        "downgrade",
        "no-space",
        "unsigned",
        "missing-splits",
        "missing-library",
        "mixed-signers",
        "low-target",
    } <= explained


@given(
    st.builds(
        DeviceFacts,
        name=st.just("tv"),
        sdk=st.none() | st.integers(1, 40),
        abis=st.lists(st.sampled_from(["arm64-v8a", "armeabi-v7a", "x86"])).map(tuple),
        density_dpi=st.none() | st.integers(0, 700),
        languages=st.lists(st.text(max_size=3)).map(tuple),
        free_bytes=st.none() | st.integers(0, 4000),
        features=st.none() | st.just(frozenset()),
    ),
    st.lists(st.sampled_from(["arm64-v8a", "armeabi-v7a"]), unique=True),
    st.integers(1, 40),
)
def test_any_tv_gets_a_verdict_with_reasons(device, abis, level):
    """An app that does not fit says why, in one line each."""
    check = check_app(app(abis=abis, min_sdk=level, target_sdk=level), device)
    assert check.fits is not bool(check.errors)
    for problem in check.problems:
        assert "\n" not in problem.message
        assert problem.message.strip()


def test_levels_are_named_as_versions():
    """Known ones by version, others by number."""
    assert describe_sdk(28) == "Android 9 (API 28)"
    assert describe_sdk(99) == "Android API 99"
    assert [lowest_target_sdk(sdk) for sdk in (33, 34, 35)] == [0, 23, 24]
