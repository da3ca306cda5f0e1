"""What Android's programs print, as they print it and damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.tv.dumps import (
    parse_abis,
    parse_density,
    parse_free_bytes,
    parse_languages,
    parse_names,
    parse_package,
    parse_properties,
)

DUMP = """\
Activity Resolver Table:
  Non-Data Actions: a.b
Packages:
  Package [a.b.extra] (1111111):
    versionCode=99 minSdk=21 targetSdk=30
  Package [a.b] (69d2964):
    userId=10055
    versionCode=34 minSdk=21 targetSdk=30
    versionName=1.2.3 beta
    splits=[base, config.armeabi_v7a]
    pkgFlags=[ HAS_CODE DEBUGGABLE ALLOW_CLEAR_USER_DATA ]
    signatures=PackageSignatures{69d2964 version:3, signatures:[d7f1f224, 1a2b], past signatures:[\
c0ffee flags: 17, badcafe flags: 8]}
    User 0: ceDataInode=1 installed=true hidden=false stopped=true enabled=0
  Package [z.z] (2222222):
    versionCode=1 minSdk=1 targetSdk=1
Hidden system packages:
  Package [a.b] (3333333):
    versionCode=1 minSdk=21 targetSdk=30
    pkgFlags=[ SYSTEM ]
    signatures=PackageSignatures{3333333 version:3, signatures:[1], past signatures:[]}
"""


NEW_DF = """\
Filesystem     1K-blocks    Used Available Use% Mounted on
/dev/block/dm-0  5000000 1000000   4000000  20% /data
"""


@pytest.mark.parametrize("text", [DUMP, DUMP.replace("\n", "\r\n")])
def test_an_installed_app_is_read_from_its_own_block(text):
    """Neighbours and the factory's copy do not count; line ends may be Windows'."""
    app = parse_package(text, "a.b", sdk=28)
    assert (app.version_code, app.version_name) == (34, "1.2.3 beta")
    assert app.signers == {0xD7F1F224, 0x1A2B}
    assert app.rollback_signers == {0xBADCAFE}
    assert app.splits == ("base", "config.armeabi_v7a")
    assert app.debuggable
    assert not app.system


def test_identity_numbers_of_old_androids_are_no_signers():
    """Up to Android 8.1 the dump shows a number that changes at every start."""
    text = DUMP.replace("69d2964 version:3, signatures:[d7f1f224, 1a2b]", "69d2964 [a2b14acf]")
    assert parse_package(text, "a.b", sdk=27).signers is None
    assert parse_package(text, "a.b", sdk=28).signers is None
    assert parse_package(DUMP, "a.b", sdk=None).signers is None


@pytest.mark.parametrize(
    "text",
    ["Unable to find package: a.b\n", "", DUMP.replace("installed=true", "installed=false")],
)
def test_an_app_that_is_not_installed_is_none(text):
    """For the TV's user."""
    assert parse_package(text, "a.b", sdk=28) is None
    assert parse_package(text, "a", sdk=28) is None


def test_only_a_factory_copy_is_not_installed():
    """The block of hidden packages alone does not count."""
    text = DUMP[DUMP.index("Hidden") :]
    assert parse_package(text, "a.b", sdk=28) is None


def test_an_absent_version_name_is_none():
    """`null` is Java's word for it."""
    text = DUMP.replace("versionName=1.2.3 beta", "versionName=null")
    assert parse_package(text, "a.b", sdk=28).version_name is None


def test_properties_are_read_with_their_line_breaks():
    """A value may span lines and contain brackets."""
    text = "[a.b]: [1]\n[c]: [x\ny]\n[d]: [[z]]\n[e]: []\n"
    assert parse_properties(text) == {"a.b": "1", "c": "x\ny", "d": "[z]", "e": ""}


def test_the_preferred_processor_comes_first():
    """Old Androids have two properties instead of a list."""
    assert parse_abis({"ro.product.cpu.abilist": "arm64-v8a, armeabi"}) == ("arm64-v8a", "armeabi")
    assert parse_abis({"ro.product.cpu.abi": "x86", "ro.product.cpu.abi2": "armeabi"}) == (
        "x86",
        "armeabi",
    )
    assert parse_abis({}) == ()


@pytest.mark.parametrize(
    ("properties", "languages"),
    [
        ({"persist.sys.locale": "de-DE", "ro.product.locale": "en-US"}, ("de",)),
        ({"ro.product.locale": "en-US"}, ("en",)),
        ({"ro.product.locale.language": "fr"}, ("fr",)),
        ({"persist.sys.locale": ""}, ()),
    ],
)
def test_the_users_language_goes_before_the_makers(properties, languages):
    """Properties of three generations."""
    assert parse_languages(properties) == languages


@pytest.mark.parametrize(
    ("text", "dpi"),
    [
        ("Physical density: 320\n", 320),
        ("Physical density: 320\nOverride density: 213\n", 213),
        ("error\n", None),
    ],
)
def test_an_override_of_the_density_wins(text, dpi):
    """The user's choice counts."""
    assert parse_density(text) == dpi


@pytest.mark.parametrize(
    ("text", "free"),
    [
        (NEW_DF, 4_000_000 * 1024),
        ("Filesystem Size Used Free Blksize\n/data 5.1G 1.1G 4.0G 4096\n", 4 * 1024**3),
        ("df: /data: Permission denied\n", None),
        ("", None),
    ],
)
def test_free_space_is_read_from_new_and_old_forms(text, free):
    """In bytes."""
    assert parse_free_bytes(text) == free


def test_lists_keep_their_order_and_pass_over_the_rest():
    """Warnings may stand between the lines."""
    text = "WARNING: linker: x\npackage:b\r\npackage:a\nfeature:c\n"
    assert parse_names(text, "package") == ("b", "a")


LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(DUMP.splitlines()),
        st.from_regex(r"    versionCode=\d{1,5000} ", fullmatch=True),
        st.from_regex(r"/data( \d{1,400}[KMGT]?){3,4}", fullmatch=True),
    ),
    max_size=12,
).map("\n".join)


@given(LINES)
def test_any_output_is_read_without_a_crash(text):
    """TVs print what they like."""
    parse_package(text, "a.b", sdk=28)
    parse_free_bytes(text)
    parse_density(text)
    parse_names(text, "package")
    parse_languages(parse_properties(text))


@pytest.mark.parametrize("digits", [400, 5000])
def test_absurd_numbers_are_unknown(digits):
    """Too large for Python's own conversions."""
    number = "9" * digits
    parse_free_bytes(f"/data {number} {number} {number} 1")
    parse_package(DUMP.replace("versionCode=34", f"versionCode={number}"), "a.b", sdk=28)
