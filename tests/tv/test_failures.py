"""The failure catalogue: raw text in; code, class, exit code and hint out."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import (
    ExitCode,
    LabkitError,
    RefusedError,
    UnmetError,
    UnreachableError,
    UsageError,
)
from labkit.tv.catalogue import CATALOGUE, CLASS_EXIT_CODES
from labkit.tv.failures import explain, outcome_of, read_outcome

EXIT_CODES = {
    "ok": 0,
    "local": 4,
    "usage": 2,
    "unreachable": 3,
    "unauthorised": 4,
    "unfit": 1,
    "refused": 6,
    "data-loss": 6,
}

INSTALL_CODES = {
    "data-loss": {
        "INSTALL_FAILED_UPDATE_INCOMPATIBLE": -7,
        "INSTALL_FAILED_VERSION_DOWNGRADE": -25,
        "INSTALL_FAILED_PERMISSION_MODEL_DOWNGRADE": -26,
        "INSTALL_FAILED_SANDBOX_VERSION_DOWNGRADE": -27,
    },
    "unfit": {
        "INSTALL_FAILED_NO_MATCHING_ABIS": -113,
        "INSTALL_FAILED_CPU_ABI_INCOMPATIBLE": -16,
        "INSTALL_FAILED_MULTI_ARCH_NOT_MATCH_ALL_NATIVE_ABIS": -131,
        "INSTALL_FAILED_OLDER_SDK": -12,
        "INSTALL_FAILED_NEWER_SDK": -14,
        "INSTALL_FAILED_DEPRECATED_SDK_VERSION": -29,
        "INSTALL_FAILED_MISSING_SPLIT": -28,
        "INSTALL_FAILED_INVALID_APK": -2,
        "INSTALL_FAILED_TEST_ONLY": -15,
        "INSTALL_PARSE_FAILED_NOT_APK": -100,
        "INSTALL_PARSE_FAILED_BAD_MANIFEST": -101,
        "INSTALL_PARSE_FAILED_UNEXPECTED_EXCEPTION": -102,
        "INSTALL_PARSE_FAILED_BAD_PACKAGE_NAME": -106,
        "INSTALL_PARSE_FAILED_BAD_SHARED_USER_ID": -107,
        "INSTALL_PARSE_FAILED_MANIFEST_MALFORMED": -108,
        "INSTALL_PARSE_FAILED_MANIFEST_EMPTY": -109,
        "INSTALL_PARSE_FAILED_RESOURCES_ARSC_COMPRESSED": -124,
        "INSTALL_PARSE_FAILED_SKIPPED": -125,
        "INSTALL_PARSE_FAILED_NO_CERTIFICATES": -103,
        "INSTALL_PARSE_FAILED_INCONSISTENT_CERTIFICATES": -104,
        "INSTALL_PARSE_FAILED_CERTIFICATE_ENCODING": -105,
        "INSTALL_FAILED_BAD_SIGNATURE": -118,
        "INSTALL_FAILED_MISSING_SHARED_LIBRARY": -9,
        "INSTALL_FAILED_MISSING_FEATURE": -17,
        "INSTALL_FAILED_PROCESS_NOT_DEFINED": -122,
        "INSTALL_FAILED_SHARED_LIBRARY_BAD_CERTIFICATE_DIGEST": -130,
        "INSTALL_FAILED_BAD_DEX_METADATA": -117,
        "INSTALL_FAILED_DUPLICATE_PACKAGE": -5,
        "INSTALL_FAILED_WRONG_INSTALLED_VERSION": -121,
    },
    "refused": {
        "INSTALL_FAILED_INSUFFICIENT_STORAGE": -4,
        "INSTALL_FAILED_CONTAINER_ERROR": -18,
        "INSTALL_FAILED_INVALID_INSTALL_LOCATION": -19,
        "INSTALL_FAILED_MEDIA_UNAVAILABLE": -20,
        "INSTALL_FAILED_VERIFICATION_FAILURE": -22,
        "INSTALL_FAILED_VERIFICATION_TIMEOUT": -21,
        "INSTALL_FAILED_USER_RESTRICTED": -111,
        "INSTALL_FAILED_ABORTED": -115,
        "INSTALL_FAILED_CONFLICTING_PROVIDER": -13,
        "INSTALL_FAILED_DUPLICATE_PERMISSION": -112,
        "INSTALL_FAILED_DUPLICATE_PERMISSION_GROUP": -126,
        "INSTALL_FAILED_BAD_PERMISSION_GROUP": -127,
        "INSTALL_FAILED_SHARED_USER_INCOMPATIBLE": -8,
        "INSTALL_FAILED_NO_SHARED_USER": -6,
        "INSTALL_FAILED_UID_CHANGED": -24,
        "INSTALL_FAILED_INVALID_URI": -3,
        "INSTALL_FAILED_ALREADY_EXISTS": -1,
        "INSTALL_FAILED_REPLACE_COULDNT_DELETE": -10,
        "INSTALL_FAILED_DEXOPT": -11,
        "INSTALL_FAILED_PACKAGE_CHANGED": -23,
        "INSTALL_FAILED_INTERNAL_ERROR": -110,
        "INSTALL_FAILED_SESSION_INVALID": -116,
        "INSTALL_FAILED_OTHER_STAGED_SESSION_IN_PROGRESS": -119,
        "INSTALL_FAILED_MULTIPACKAGE_INCONSISTENCY": -120,
        "INSTALL_FAILED_PRE_APPROVAL_NOT_AVAILABLE": -129,
    },
}
ALL_INSTALL_CODES = [
    (code, number, kind) for kind, codes in INSTALL_CODES.items() for code, number in codes.items()
]


@pytest.mark.parametrize(("code", "number", "kind"), ALL_INSTALL_CODES)
def test_an_install_code_is_read_from_every_form_that_programs_print(code, number, kind):
    """Streamed, pushed, wrapped by a build tool, on Windows, and as a bare number."""
    forms = [
        f"adb: failed to install a.apk: Failure [{code}: some text]\n",
        f"Performing Push Install\nFailure [{code}]\n",
        f"com.android.ddmlib.InstallException: {code}: some text",
        f"Failed to finalize session : {code}: some text",
        f"adb.exe: failed to install a.apk: Failure [{code}: some text]\r\n\r\n",
        f"Failure [{number}]",
    ]
    for text in forms:
        outcome = read_outcome(text, operation="install")
        assert (outcome.code, outcome.failure_class) == (code, kind), text
        assert outcome.exit_code == EXIT_CODES[kind]
        assert outcome.meaning
        assert outcome.hint


@pytest.mark.parametrize(
    ("number", "code"),
    list(
        enumerate(
            [
                "DELETE_FAILED_INTERNAL_ERROR",
                "DELETE_FAILED_DEVICE_POLICY_MANAGER",
                "DELETE_FAILED_USER_RESTRICTED",
                "DELETE_FAILED_OWNER_BLOCKED",
                "DELETE_FAILED_ABORTED",
                "DELETE_FAILED_USED_SHARED_LIBRARY",
                "DELETE_FAILED_APP_PINNED",
            ],
            start=1,
        )
    ),
)
def test_a_refused_uninstallation_is_read_and_offers_to_disable(number, code):
    """By its code and by its number, which means something else for installations."""
    for text in (f"Failure [{code}]", f"Failure [-{number}]"):
        outcome = read_outcome(text, operation="uninstall")
        assert (outcome.code, outcome.exit_code) == (code, ExitCode.REFUSED)
        assert "disable" in outcome.hint


ROWS = json.loads(Path(__file__).with_name("failure_texts.json").read_text("utf-8"))
TEXTS = [tuple(row.values()) for row in ROWS["texts"]]


@pytest.mark.parametrize(("operation", "text", "code", "kind"), TEXTS)
def test_a_text_without_a_code_is_recognised(operation, text, code, kind):
    """The rows of the table that are known by their wording, as real programs print them."""
    outcome = read_outcome(text, operation=operation)
    assert (outcome.code, outcome.failure_class) == (code, kind)
    assert outcome.exit_code == EXIT_CODES[kind]
    assert outcome.raw == text


@pytest.mark.parametrize(("text", "expected"), [row.values() for row in ROWS["details"]])
def test_the_sentence_beside_a_code_is_put_into_words(text, expected):
    """Names, versions and API levels of the package manager's sentence appear in the meaning."""
    assert expected in read_outcome(f"adb: failed to install x: Failure [{text}]").meaning


def test_a_packaging_fault_is_never_called_a_wrong_processor():
    """`res=-2` looks like the processor mismatch `res=-113` and is not one."""
    outcome = read_outcome(
        "Failure [INSTALL_FAILED_INVALID_APK: Failed to extract native libraries, res=-2]"
    )
    assert "processor" not in outcome.meaning
    assert "armeabi" not in outcome.hint


def test_the_clean_up_after_an_installation_does_not_hide_its_failure():
    """A DELETE code in an installation's log is the echo of what came before."""
    text = "Failure [DELETE_FAILED_INTERNAL_ERROR]\nFailure [INSTALL_FAILED_OLDER_SDK]\n"
    assert read_outcome(text, operation="install").code == "INSTALL_FAILED_OLDER_SDK"
    assert read_outcome(text).code == "INSTALL_FAILED_OLDER_SDK"
    assert read_outcome(text, operation="uninstall").code == "DELETE_FAILED_INTERNAL_ERROR"


def test_a_bracket_may_span_lines_and_contain_brackets():
    """The text ends at the bracket that ends a line."""
    text = "Failure [INSTALL_FAILED_ABORTED: a [b] c\r\nUser rejected permissions]\r\n"
    outcome = read_outcome(text)
    assert outcome.detail == "a [b] c\nUser rejected permissions"


def test_success_counts_only_as_a_line_of_its_own():
    """Some failure lines end in the word."""
    assert read_outcome("it was a Success").code == "unknown"
    assert read_outcome("Success", operation="install").ok


def test_a_failure_beats_a_success_in_the_same_text():
    """The push of an old installation succeeds before the installation fails."""
    text = "Success\nFailure [INSTALL_FAILED_DEXOPT]"
    assert read_outcome(text, operation="install").code == "INSTALL_FAILED_DEXOPT"


def test_noise_is_passed_over():
    """The server's start, linker warnings and percentages say nothing."""
    noise = "* daemon started successfully\nWARNING: linker: libfoo\n[ 42%] a.apk\n"
    assert read_outcome(noise, operation="install").code == "lost"
    assert read_outcome(noise + "Success\n", operation="install").ok


@pytest.mark.parametrize("code", ["INSTALL_FAILED_VENDOR_SAYS_NO", "-99"])
def test_an_unknown_code_is_kept_and_shown_whole(code):
    """Vendors invent codes; theirs is the best name for what happened."""
    text = f"adb: failed to install a.apk: Failure [{code}: because]"
    outcome = read_outcome(text, operation="install")
    assert (outcome.code, outcome.known) == (code, False)
    assert outcome.exit_code == ExitCode.REFUSED
    assert text in outcome.error("installing a.apk").message


def test_unknown_text_is_shown_whole():
    """Nothing is swallowed."""
    error = read_outcome("the TV\nsaid moo", operation="install").error("installing a.apk")
    assert "the TV\nsaid moo" in error.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INSTALL_FAILED_OLDER_SDK", LabkitError),
        ("many_devices", UsageError),
        ("lost", UnreachableError),
        ("unauthorized", UnmetError),
        ("adb_missing", UnmetError),
        ("INSTALL_FAILED_UPDATE_INCOMPATIBLE", RefusedError),
    ],
)
def test_an_outcome_becomes_the_error_of_its_exit_code(code, kind):
    """The error carries code, hint and exit code."""
    outcome = explain(code)
    error = outcome.error("installing a.apk")
    assert type(error) is kind
    assert (error.code, error.hint, error.exit_code) == (code, outcome.hint, outcome.exit_code)
    assert error.message.startswith("installing a.apk: ")


@pytest.mark.parametrize(
    "name",
    [
        "INSTALL_FAILED_UPDATE_INCOMPATIBLE",
        "install_failed_update_incompatible",
        "UPDATE_INCOMPATIBLE",
        "update-incompatible",
        "signer-mismatch",
        "-7",
        "7",
    ],
)
def test_a_code_is_explained_under_every_name_it_has(name):
    """Whole, without prefix, in any case, by number, and by the name that `check` uses."""
    assert explain(name).code == "INSTALL_FAILED_UPDATE_INCOMPATIBLE"


def test_explaining_an_unknown_code_suggests_a_near_one():
    """A typing error is a usage error."""
    with pytest.raises(UsageError) as caught:
        explain("INSTALL_FAILED_OLDR_SDK")
    assert "INSTALL_FAILED_OLDER_SDK" in caught.value.hint


def test_the_catalogue_is_sound():
    """Codes, numbers and aliases are unique; texts are short sentences; templates fill."""
    names = [name for entry in CATALOGUE for name in (entry.code, *entry.aliases)]
    assert len(names) == len(set(names))
    for prefix in ("INSTALL_", "DELETE_"):
        numbers = [e.number for e in CATALOGUE if e.code.startswith(prefix)]
        assert len(numbers) == len(set(numbers))
    for entry in CATALOGUE:
        assert entry.meaning
        assert entry.hint
        assert not entry.meaning.endswith(".")
        assert not entry.hint.endswith(".")
        for detail in entry.details:
            groups = re.compile(detail.pattern).groupindex
            for template in filter(None, (detail.meaning, detail.hint)):
                assert set(re.findall(r"\{(\w+)\}", template)) <= set(groups)


def test_every_class_has_its_exit_code():
    """The classes follow the one table of exit codes."""
    assert dict(CLASS_EXIT_CODES) == EXIT_CODES


def test_every_code_of_the_catalogue_is_tested_here():
    """A new entry needs a row above."""
    tested = {code for code, _, _ in ALL_INSTALL_CODES} | {code for _, _, code, _ in TEXTS}
    rest = {entry.code for entry in CATALOGUE} - tested
    # The connection's state decides `unpaired`, not a text; `unknown` has tests of its own.
    assert {code for code in rest if not code.startswith("DELETE_")} == {"unpaired", "unknown"}


@given(st.text(), st.sampled_from([None, "install", "uninstall", "connect", "pair", "push"]))
def test_any_text_can_be_read(text, operation):
    """Whatever a TV says, there is an outcome, and it keeps the whole text."""
    outcome = read_outcome(text, operation=operation)
    assert outcome.raw == text
    assert outcome_of(CATALOGUE[0]).code == CATALOGUE[0].code
    outcome.error("x")
