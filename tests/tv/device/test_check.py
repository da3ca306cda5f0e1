"""`labkit tv check --tv`: the file against a TV's own answers, before a byte is sent."""

import json

import pytest

from labkit.cli import app
from labkit.tv.apk import read_apk
from support.apk_builder import TV_ACTIVITY


@pytest.fixture
def check(endpoint, capsys):
    """A function that checks files on a TV: exit code, app, and codes of its problems."""
    endpoint.open()

    def run(*files):
        code = app.main(["tv", "check", *map(str, files), "--tv", endpoint.address, "--json"])
        (found,) = json.loads(capsys.readouterr().out)["data"]["apps"]
        return code, found, [problem["code"] for problem in found["problems"]]

    return run


def test_an_app_that_fits_this_tv(check, apk_builder, endpoint):
    """Nothing is written on the TV for it."""
    code, _, problems = check(apk_builder.build(abis=["armeabi-v7a"]))
    assert (code, problems) == (0, [])
    assert not any("install-" in call for call in endpoint.state.read()["log"])


def test_native_code_for_another_processor(check, apk_builder):
    """The TV's own list decides."""
    code, found, problems = check(apk_builder.build(abis=["arm64-v8a"]))
    assert (code, problems) == (1, ["abi-mismatch"])
    assert found["problems"][0]["hint"] == "choose the armeabi-v7a file"


def test_an_app_that_is_installed_by_another_signer(check, apk_builder, endpoint):
    """The dump's hash against the certificate in the file; the right one passes."""
    apk = apk_builder.build()
    (signer,) = read_apk(apk).signatures.on(28).signers
    endpoint.state.add_package("org.labkit.sample", version_code=0, signers=["c0ffee"])
    assert check(apk)[::2] == (1, ["signer-mismatch"])
    endpoint.state.add_package(
        "org.labkit.sample", version_code=0, signers=[f"{signer.certificate.java_hash:x}"]
    )
    assert check(apk)[::2] == (0, [])


def test_the_parts_of_a_split_app_are_chosen_for_this_tv(check, apk_builder):
    """The parts that are not wanted are shown as such."""
    files = [
        apk_builder.base(),
        apk_builder.split("config.armeabi_v7a", owner="", abis=["armeabi-v7a"]),
        apk_builder.split("config.arm64_v8a", owner="", abis=["arm64-v8a"]),
    ]
    code, found, problems = check(*files)
    assert (code, problems) == (0, [])
    assert [part["split"] for part in found["parts"] if part["wanted"]] == [
        None,
        "config.armeabi_v7a",
    ]


@pytest.mark.parametrize("split", [False, True])
def test_a_tv_is_asked_only_for_what_decides(check, apk_builder, endpoint, split):
    """Density and libraries cost a weak TV seconds, and a whole app goes without."""
    files = [apk_builder.build()]
    if split:
        files = [apk_builder.base(), apk_builder.split("config.xhdpi", owner="")]
    check(*files)
    asked = endpoint.state.read()["log"]
    assert any(call.startswith("wm density") for call in asked) is split
    assert not any("list libraries" in call for call in asked)


def test_a_library_that_the_tv_lacks(check, apk_builder):
    """An app that needs one has the TV asked for its libraries."""
    app = f'{TV_ACTIVITY}<uses-library android:name="org.nowhere"/>'
    text = apk_builder.manifest().replace(TV_ACTIVITY, app)
    assert check(apk_builder.build(text))[::2] == (1, ["missing-library"])


def test_a_full_tv(check, apk_builder, endpoint):
    """What `df` says is compared with the size of the file."""
    with endpoint.state.edit() as state:
        state["free_kib"] = 1
    code, _, problems = check(apk_builder.build())
    assert (code, problems) == (1, ["no-space"])
