"""Opening files, folders and bundles, and choosing the parts that a TV needs."""

import json
import os
import shutil
import zipfile
from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import LabkitError, UnmetError
from labkit.tv.bundles import open_apps
from labkit.tv.errors import ApkError, BundleError
from labkit.tv.facts import DeviceFacts
from labkit.tv.splits import KNOWN_ABIS, choose_density, choose_parts, split_target
from labkit.tv.toc import TocVariant, parse_toc_json, parse_toc_pb
from labkit.tv.ziparchive import ZipArchive

PACKAGE = "org.labkit.split"
TV = DeviceFacts(sdk=28, abis=("armeabi-v7a", "armeabi"), density_dpi=320, languages=("de",))


@pytest.fixture(scope="module")
def parts(apk_builder):
    """The unsigned parts of a split app, by the names that stores give them."""
    unsigned = {"schemes": ()}
    builder = apk_builder

    def split(name, owner, **options):
        app = 'android:hasCode="false"'
        attributes = f'android:versionCode="1" split="{name}"'
        attributes += f' configForSplit="{owner}"' if owner is not None else ""
        text = builder.manifest(PACKAGE, attributes=attributes, app=app)
        return builder.build(text, keys=(), **options)

    base = builder.manifest(
        PACKAGE, attributes='android:versionCode="1"', sdk='android:minSdkVersion="21"'
    )
    return {
        "base.apk": builder.build(base, keys=(), **unsigned),
        "split_config.armeabi_v7a.apk": split("config.armeabi_v7a", "", abis=["armeabi-v7a"]),
        "split_config.arm64_v8a.apk": split("config.arm64_v8a", "", abis=["arm64-v8a"]),
        "split_config.xhdpi.apk": split("config.xhdpi", ""),
        "split_config.hdpi.apk": split("config.hdpi_v4", ""),
        "split_config.de.apk": split("config.de", ""),
        "split_config.fr.apk": split("config.fr", ""),
        "split_player.apk": split("player", None),
        "player-arm64.apk": split("player.config.arm64_v8a", "player", abis=["arm64-v8a"]),
        "player-v7.apk": split("player.config.armeabi_v7a", "player", abis=["armeabi-v7a"]),
    }


WANTED = {
    "config.armeabi_v7a",
    "config.xhdpi",
    "config.de",
    "player",
    "player.config.armeabi_v7a",
}


@pytest.fixture
def opened():
    """A function that opens sources for the length of the test."""
    with ExitStack() as stack:
        yield lambda *sources: stack.enter_context(open_apps(sources))


def bundle(path, files, *, method=zipfile.ZIP_STORED, extra=None):
    """Write a zip archive of files, and of texts by name."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, file in files.items():
            archive.write(file, name)
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return path


def chosen(app, device=TV):
    """The split names that a TV is sent."""
    return {part.apk.split for part in choose_parts(app, device).parts} - {None}


def content(part):
    """The bytes of a part."""
    with part.span.open() as file:
        return file.read()


# --- containers ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("app.apks", {"meta.sai_v2.json": "{}", "icon.png": "x"}),
        ("app.xapk", {"manifest.json": json.dumps({"package_name": PACKAGE, "version_code": "1"})}),
        ("app.apkm", {"info.json": "{}"}),
        ("build.zip", {"outputs/": "", "outputs/notes.txt": "hello"}),
    ],
)
def test_a_bundle_is_one_app_with_the_bytes_of_its_parts(
    name, extra, method, parts, opened, tmp_path
):
    """Whatever its name, and whether its APKs are packed; the choice is for the TV."""
    path = bundle(tmp_path / name, parts, method=method, extra=extra)
    (app,) = opened(path)
    assert app.package == PACKAGE
    assert chosen(app) == WANTED
    originals = {file.read_bytes() for file in parts.values()}
    assert {content(part) for variant in app.variants for part in variant.parts} == originals


def test_a_folder_is_one_app_at_any_depth(parts, opened, tmp_path):
    """Other files do not matter, links are not followed."""
    folder = tmp_path / "export"
    (folder / "deep").mkdir(parents=True)
    for index, (name, file) in enumerate(parts.items()):
        shutil.copy(file, (folder / "deep" if index % 2 else folder) / name)
    (folder / "notes.txt").write_text("x")
    (folder / "link.apk").symlink_to(parts["base.apk"])
    (app,) = opened(folder)
    assert chosen(app) == WANTED


def test_loose_files_are_joined_by_package(parts, opened, apk_builder):
    """Several apps may be given at once, and the parts of one in any order."""
    other = apk_builder.build(keys=())
    files = [parts["split_config.de.apk"], other, parts["base.apk"]]
    apps = opened(*files)
    assert [app.package for app in apps] == [PACKAGE, "org.labkit.sample"]
    assert len(apps[0].variants[0].parts) == 2


def test_unpacked_parts_are_gone_afterwards(parts, tmp_path):
    """The temporary folder lasts as long as the context."""
    path = bundle(tmp_path / "a.apks", parts, method=zipfile.ZIP_DEFLATED)
    with open_apps([path]) as (app,):
        unpacked = app.variants[0].base.span.path
        assert unpacked.exists()
        assert unpacked != path
    assert not unpacked.exists()


def test_expansions_of_an_xapk_are_found(parts, opened, tmp_path):
    """OBB files carry their place on the TV."""
    target = f"Android/obb/{PACKAGE}/main.1.obb"
    manifest = {"expansions": [{"file": target, "install_path": target}, "nonsense"]}
    path = bundle(
        tmp_path / "a.xapk",
        {"base.apk": parts["base.apk"]},
        extra={"manifest.json": json.dumps(manifest), target: "data"},
    )
    (app,) = opened(path)
    (expansion,) = app.expansions
    assert expansion.device_path == target
    assert content(expansion) == b"data"


# --- bad input -----------------------------------------------------------------------------


def refused(*sources):
    """The error that opening ends with."""
    with pytest.raises(LabkitError) as caught, open_apps(sources):
        pass
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "name", ["../base.apk", "/base.apk", "a/../../b.apk", "..\\b.apk", "C:/b.apk", "a/..", "../x"]
)
def test_a_path_that_leaves_the_bundle_is_refused(name, parts, tmp_path):
    """Also where it belongs to a file that would not be used."""
    path = bundle(tmp_path / "a.apks", {"base.apk": parts["base.apk"]}, extra={name: "x"})
    error = refused(path)
    assert (error.code, error.exit_code) == ("unsafe-path", 2)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "target", ["../../data/x", "/sdcard/x", "Android/data/x", "Android/obb/../../x", "x"]
)
def test_an_expansion_elsewhere_is_refused(target, parts, tmp_path):
    """Only the folder for expansions may be written."""
    manifest = {"expansions": [{"file": "m.obb", "install_path": target}]}
    path = bundle(
        tmp_path / "a.xapk",
        {"base.apk": parts["base.apk"]},
        extra={"manifest.json": json.dumps(manifest), "m.obb": "data"},
    )
    assert refused(path).code == "unsafe-path"


def test_a_zip_bomb_is_refused_before_it_is_unpacked(parts, tmp_path):
    """A hundred megabytes of zeros are no app."""
    path = tmp_path / "a.apks"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(parts["base.apk"], "base.apk")
        with archive.open("big.apk", "w") as entry:
            for _ in range(100):
                entry.write(bytes(1 << 20))
    assert refused(path).code == "zip-bomb"


def test_a_size_that_lies_is_noticed(parts, tmp_path):
    """An entry may not unpack to more than its directory promises."""
    path = bundle(tmp_path / "a.apks", parts, method=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ApkError, match="does not unpack to 10 bytes"), open_apps([path]):
        pass


def test_no_more_is_unpacked_than_promised(tmp_path):
    """The check of the size comes before the bytes are handed out, not after."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(5 << 20))
    with path.open("rb") as file:
        archive = ZipArchive(file, "a.zip")
        (entry,) = archive.entries()
        pieces = []
        with pytest.raises(ApkError, match="does not unpack"):
            pieces.extend(archive.chunks(replace(entry, size_bytes=2 << 20)))
    assert sum(map(len, pieces)) <= 2 << 20


def test_a_full_disk_is_said_before_unpacking(parts, tmp_path, monkeypatch):
    """The hint says how to choose another folder."""
    path = bundle(tmp_path / "a.apks", parts, method=zipfile.ZIP_DEFLATED)
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    error = refused(path)
    assert isinstance(error, UnmetError)
    assert "TMPDIR" in error.hint


def test_two_apps_in_one_bundle_are_named(parts, apk_builder, tmp_path):
    """One bundle is one app; which one was meant is the user's to say."""
    other = apk_builder.build(keys=())
    path = bundle(tmp_path / "a.zip", {"a.apk": parts["base.apk"], "b.apk": other})
    error = refused(path)
    assert error.code == "several-apps"
    assert "org.labkit.sample, org.labkit.split" in error.message


def test_a_split_without_its_base_is_refused(parts):
    """Alone it installs nothing."""
    error = refused(parts["split_config.de.apk"])
    assert (error.code, error.exit_code) == ("no-base", 2)


def test_a_part_that_is_there_twice_is_named(parts, tmp_path):
    """Android would say `defined multiple times`."""
    double = shutil.copy(parts["split_config.de.apk"], tmp_path / "again.apk")
    error = refused(parts["base.apk"], parts["split_config.de.apk"], double)
    assert error.code == "duplicate-split"
    assert "config.de" in error.message
    assert "again.apk" in error.message


def test_the_same_app_twice_is_refused(parts, tmp_path):
    """Two files, a file and a bundle: one of them has to be chosen."""
    double = shutil.copy(parts["base.apk"], tmp_path / "again.apk")
    assert refused(parts["base.apk"], double).code == "same-app-twice"
    path = bundle(tmp_path / "a.apks", {"base.apk": parts["base.apk"]})
    assert refused(parts["base.apk"], path).code == "same-app-twice"


def test_two_releases_of_an_app_are_no_alternatives(apk_builder):
    """Another version, or another key, for other devices: labkit does not choose for its user."""

    def build(version, key, *abis):
        attributes = f'android:versionCode="{version}" android:versionName="{version}.0"'
        return apk_builder.build(apk_builder.manifest(attributes=attributes), keys=key, abis=abis)

    first = build(1, "a", "armeabi-v7a")
    for other in (build(2, "a", "arm64-v8a"), build(1, "b", "arm64-v8a")):
        error = refused(first, other)
        assert (error.code, error.exit_code) == ("same-app-twice", 2)
        assert str(first) in error.message
        assert str(other) in error.message


def test_loose_parts_are_named_after_their_base(parts, opened):
    """In whatever order they were given."""
    (app,) = opened(parts["split_config.de.apk"], parts["base.apk"])
    assert app.name == str(parts["base.apk"])


def test_parts_of_two_versions_are_refused(parts, apk_builder):
    """A set comes from one release."""
    newer = apk_builder.build(
        apk_builder.manifest(PACKAGE, attributes='android:versionCode="2"'), keys=()
    )
    assert refused(newer, parts["split_config.de.apk"]).code == "mixed-versions"


def test_an_html_page_saved_as_an_app_is_called_so(tmp_path):
    """The most frequent download of all."""
    for name in ("a.apk", "a.xapk"):
        page = tmp_path / name
        page.write_text("<!doctype html><title>404</title>")
        error = refused(page)
        assert (error.code, error.exit_code) == ("not-an-apk", 2)
        assert "web page" in error.message


def test_an_old_apkm_is_called_encrypted(tmp_path):
    """It is no zip archive and cannot be opened."""
    path = tmp_path / "a.apkm"
    path.write_bytes(b"\x00" * 99)
    assert refused(path).code == "encrypted-bundle"


def test_a_cut_off_bundle_is_called_so(parts, tmp_path):
    """At whatever byte."""
    whole = bundle(tmp_path / "whole.apks", parts).read_bytes()
    path = tmp_path / "cut.apks"
    for size in (10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert refused(path).code == "truncated"


@pytest.mark.parametrize("name", ["nothing.apk", "nothing"])
def test_a_source_that_is_not_there_is_bad_input(name, tmp_path):
    """Exit code 2, no traceback."""
    with pytest.raises(LabkitError, match="there is no") as caught, open_apps([tmp_path / name]):
        pass
    assert (caught.value.code, caught.value.exit_code) == ("file-not-found", 2)


def test_a_folder_without_apps_is_bad_input(tmp_path):
    """The hint says how bundles are given."""
    assert refused(tmp_path).code == "no-apk"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_is_bad_input(tmp_path):
    """Nothing is passed over in silence."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    with pytest.raises(LabkitError, match="cannot be read"), open_apps([tmp_path]):
        pass


def test_a_zip_without_apps_is_no_app(tmp_path):
    """A zip archive of something else."""
    path = bundle(tmp_path / "a.zip", {}, extra={"readme.txt": "x"})
    assert refused(path).code == "not-an-apk"


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_in_a_zip_are_an_input_error(data, tmp_path_factory):
    """An entry called base.apk may hold anything."""
    path = tmp_path_factory.mktemp("any") / "a.apks"
    bundle(path, {}, extra={"base.apk": data, "toc.pb": data})
    with pytest.raises(LabkitError), open_apps([path]):
        pass


# --- alternatives --------------------------------------------------------------------------


def test_a_build_with_a_file_per_processor_yields_the_right_one(apk_builder, opened, tmp_path):
    """Build services publish one APK per processor type, and perhaps one for all."""
    files = {
        f"app-{'-'.join(abis) or 'none'}.apk": apk_builder.build(keys=(), abis=abis)
        for abis in (["arm64-v8a"], ["armeabi-v7a"], ["arm64-v8a", "armeabi-v7a", "x86"])
    }
    (app,) = opened(bundle(tmp_path / "build.zip", files))
    for runs in (["armeabi-v7a", "armeabi"], ["arm64-v8a"], ["arm64-v8a", "armeabi-v7a"]):
        choice = choose_parts(app, DeviceFacts(sdk=28, abis=tuple(runs)))
        assert choice.variant.base.apk.abis == (runs[0],)


def toc_pb(variants):
    """Encode a table of contents as bundletool does."""

    def field(number, content):
        if isinstance(content, int):
            return bytes([number << 3]) + varint(content)
        return bytes([number << 3 | 2]) + varint(len(content)) + content

    def varint(value):
        encoded = b""
        while value > 127:
            encoded += bytes([value & 127 | 128])
            value >>= 7
        return encoded + bytes([value])

    encoded = b""
    for variant in variants:
        sdk = field(1, field(1, field(1, field(1, variant.min_sdk))))
        files = b"".join(field(2, field(2, path.encode())) for path in variant.paths)
        apk_set = field(2, field(1, field(1, b"base")) + files)
        encoded += field(1, field(1, sdk) + apk_set + field(3, variant.number))
    return encoded + field(2, b"package")


def toc_json(variants):
    """Encode a table of contents as protobuf's JSON form does."""
    return json.dumps(
        {
            "variant": [
                {
                    "targeting": {"sdkVersionTargeting": {"value": [{"min": v.min_sdk}]}},
                    "apkSet": [{"apkDescription": [{"path": path} for path in v.paths]}],
                    "variantNumber": v.number,
                }
                for v in variants
            ]
        }
    ).encode()


VARIANTS = st.builds(
    TocVariant,
    st.integers(0, 300),
    st.integers(1, 40),
    st.lists(st.text(max_size=200), max_size=4).map(tuple),
)


@given(st.lists(VARIANTS, max_size=4))
def test_a_table_of_contents_is_read_back(variants):
    """Both forms, for any numbers and paths."""
    assert parse_toc_pb(toc_pb(variants)) == tuple(variants)
    assert parse_toc_json(toc_json(variants)) == tuple(variants)


@given(st.binary(max_size=100))
def test_a_damaged_table_of_contents_is_a_value_error(data):
    """Never anything else."""
    for parse in (parse_toc_pb, parse_toc_json):
        try:
            parse(data)
        except ValueError:
            continue


@pytest.mark.parametrize(("name", "encode"), [("toc.pb", toc_pb), ("toc.json", toc_json)])
def test_bundletools_archive_is_filtered_by_its_table(
    name, encode, parts, apk_builder, opened, tmp_path
):
    """Splits for new TVs, a standalone APK for old ones, nothing of the instant app."""
    standalone = apk_builder.build(
        apk_builder.manifest(PACKAGE, attributes='android:versionCode="1"'), keys=()
    )
    splits = {f"splits/{key}": file for key, file in parts.items()}
    files = {
        **splits,
        "standalones/standalone-armeabi_v7a.apk": standalone,
        "universal.apk": standalone,
        "instant/instant-base-master.apk": standalone,
    }
    toc = [
        TocVariant(0, 1, ("standalones/standalone-armeabi_v7a.apk",)),
        TocVariant(1, 21, tuple(splits)),
        TocVariant(2, 21, ("instant/instant-base-master.apk",)),
    ]
    path = bundle(tmp_path / "app.apks", files, extra={name: encode(toc)})
    (app,) = opened(path)
    assert chosen(app) == WANTED
    old = choose_parts(app, DeviceFacts(sdk=19, abis=("armeabi-v7a",)))
    assert [part.apk.name.split("!")[1] for part in old.parts] == [
        "standalones/standalone-armeabi_v7a.apk"
    ]


def test_a_table_that_names_what_is_missing_is_refused(parts, tmp_path):
    """Half an archive is no app."""
    toc = toc_pb([TocVariant(1, 21, ("splits/base.apk", "splits/gone.apk"))])
    path = bundle(tmp_path / "a.apks", {"splits/base.apk": parts["base.apk"]},
                  extra={"toc.pb": toc})  # fmt: skip
    assert refused(path).code == "missing-part"


def test_a_damaged_table_is_refused(parts, tmp_path):
    """Guessing what belongs together would install the wrong parts."""
    path = bundle(tmp_path / "a.apks", {"base.apk": parts["base.apk"]}, extra={"toc.pb": b"\xff"})
    with pytest.raises(BundleError, match="damaged"), open_apps([path]):
        pass


# --- choice of splits ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("config.armeabi_v7a", ("", "abi", "armeabi-v7a")),
        ("config.x86_64", ("", "abi", "x86_64")),
        ("config.xhdpi", ("", "density", "320")),
        ("config.xxhdpi_v4", ("", "density", "480")),
        ("config.tvdpi", ("", "density", "213")),
        ("config.de", ("", "language", "de")),
        ("config.iw", ("", "language", "he")),
        ("config.pt_BR", ("", "language", "pt")),
        ("config.b+sr+Latn", ("", "language", "sr")),
        ("player.config.arm64_v8a", ("player", "abi", "arm64-v8a")),
        ("config.astc", ("", "other", "astc")),
        ("player", ("player", "other", "")),
        ("myconfig.de", ("myconfig.de", "other", "")),
    ],
)
def test_a_split_name_says_what_the_part_is_for(name, expected):
    """The naming of bundletool and of aapt."""
    target = split_target(name)
    assert (target.module, target.kind, target.value) == expected


@pytest.mark.parametrize(
    ("offered", "wanted", "best"),
    [
        ([120, 160, 240, 320, 480, 640], 213, 240),
        ([160, 240, 320], 320, 320),
        ([160, 240], 480, 240),
        ([480, 640], 320, 480),
        ([240, 480], 320, 480),
        ([160, 320], 213, 320),
        ([160, 640], 200, 160),
        ([319, 640], 320, 319),
        ([310, 1000], 320, 310),
    ],
)
def test_the_density_that_scales_best_is_chosen(offered, wanted, best):
    """Next above, unless the lower neighbour is close and the upper one far."""
    assert choose_density(offered, wanted) == best


@given(
    st.lists(st.integers(1, 2000), min_size=1),
    st.integers(1, 2000),
)
def test_the_chosen_density_is_a_neighbour(offered, wanted):
    """Nothing offered lies between the choice and what was wanted."""
    best = choose_density(offered, wanted)
    low, high = sorted((best, wanted))
    assert best in offered
    assert not any(low < value < high for value in offered)


def test_one_processor_type_is_taken_in_all_modules(parts, opened):
    """The TV's preferred type that every module offers."""
    (app,) = opened(*parts.values())
    both = DeviceFacts(sdk=28, abis=("arm64-v8a", "armeabi-v7a"))
    assert {n for n in chosen(app, both) if "arm" in n} == {
        "config.arm64_v8a",
        "player.config.arm64_v8a",
    }
    without = [file for name, file in parts.items() if name != "player-arm64.apk"]
    (app,) = opened(*without)
    assert {n for n in chosen(app, both) if "arm" in n} == {
        "config.armeabi_v7a",
        "player.config.armeabi_v7a",
    }


def test_a_tv_that_runs_none_of_the_native_code_is_told(parts, opened):
    """The offered types are kept for the message."""
    (app,) = opened(*parts.values())
    choice = choose_parts(app, DeviceFacts(abis=("x86",)))
    assert choice.no_abi == ("arm64-v8a", "armeabi-v7a")


def test_without_facts_everything_is_taken(parts, opened):
    """Unknown density and language exclude nothing."""
    (app,) = opened(*parts.values())
    choice = choose_parts(app, DeviceFacts())
    assert len(choice.parts) == len(parts)
    assert choice.left_out == ()
    assert choice.size_bytes == sum(file.stat().st_size for file in parts.values())


def test_known_processor_types_have_split_names():
    """Each is recognised in a split name."""
    for abi in KNOWN_ABIS:
        assert split_target(f"config.{abi.replace('-', '_')}").value == abi
