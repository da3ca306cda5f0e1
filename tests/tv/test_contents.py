"""Damage and changes in an APK's bytes, of which its manifest and certificates tell nothing."""

import struct
import zipfile

import pytest

from labkit.errors import InputError
from labkit.tv.apk import read_apk
from labkit.tv.bundles import open_apps
from labkit.tv.contents import Contents
from labkit.tv.fit import check_app

SAMPLES = [f"S{number:02}" for number in range(1, 30)]


def verified(path):
    """What a comparison of an APK's bytes shows."""
    return read_apk(path, verify=True).contents


def with_asset(apk_builder, path, data=b"picture " * 3000, *, method=zipfile.ZIP_STORED, **signing):
    """Add an asset to a new APK, then sign it."""
    apk = apk_builder.build(keys=())
    with zipfile.ZipFile(apk, "a", method) as archive:
        archive.writestr("assets/film", data)
    if signing:
        apk_builder.sign(apk, **signing)
    path.write_bytes(apk.read_bytes())
    return path


def write_block(path, entries):
    """Put a signing block in front of the directory of an archive that has none."""
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")
    directory = struct.unpack_from("<I", data, end + 16)[0]
    body = b"".join(struct.pack("<QI", len(v) + 4, number) + v for number, v in entries)
    size = struct.pack("<Q", len(body) + 24)
    block = size + body + size + b"APK Sig Block 42"
    tail = bytearray(data[end:])
    struct.pack_into("<I", tail, 16, directory + len(block))
    path.write_bytes(data[:directory] + block + data[directory:end] + tail)


def change(path, needle, *, by=1):
    """Change the first byte of `needle` in a file."""
    data = bytearray(path.read_bytes())
    data[data.index(needle)] ^= by
    path.write_bytes(data)


@pytest.mark.parametrize("sample", SAMPLES)
def test_real_apks_are_whole(sample, apk_sample, badging):
    """Where scheme v2 or newer signed them, by the digest that was signed."""
    contents = verified(apk_sample(sample))
    schemes = set(badging[sample]["signature"]["schemes"])
    assert contents.faults == ()
    assert contents.proof == ("signed-digest" if schemes & {"v2", "v3"} else "entry-sums")


@pytest.mark.parametrize("schemes", [(2,), (3,), (1, 2, 3)])
def test_one_changed_byte_in_a_signed_file_is_found(schemes, apk_builder, tmp_path):
    """The entry that does not match its sum is named."""
    path = with_asset(apk_builder, tmp_path / "a.apk", schemes=schemes, min_sdk=28)
    assert verified(path).proof == "signed-digest"
    change(path, b"picture ")
    (fault,) = verified(path).faults
    assert "assets/film does not match its sum" in fault


def test_a_block_without_a_signature_proves_nothing(apk_builder, tmp_path):
    """Stores keep notes of their own there: the sums of the entries must do."""
    path = with_asset(apk_builder, tmp_path / "a.apk", schemes=(1,), min_sdk=21)
    write_block(path, [(0x2146444E, b"a store's note")])
    assert verified(path) == Contents("entry-sums")
    change(path, b"picture ")
    assert verified(path).faults


def test_a_change_that_no_sum_shows_is_found_by_the_digest(apk_builder, tmp_path):
    """A time in the directory is covered by the signature alone."""
    path = with_asset(apk_builder, tmp_path / "a.apk", schemes=(2,), min_sdk=24)
    data = bytearray(path.read_bytes())
    directory = struct.unpack_from("<I", data, data.rindex(b"PK\5\6") + 16)[0]
    data[directory + 12] ^= 1
    path.write_bytes(data)
    (fault,) = verified(path).faults
    assert "its v2 signature is for other contents" in fault


def test_padding_between_entries_and_end_is_part_of_the_digest(apk_builder, tmp_path):
    """Also the comment behind the end record, into which something could be written."""
    path = with_asset(apk_builder, tmp_path / "a.apk", schemes=(3,), min_sdk=28)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\5\6")
    struct.pack_into("<H", data, end + 20, 3)
    path.write_bytes(data + b"new")
    assert verified(path).faults


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_in_an_unsigned_file_is_found_by_the_sums(method, apk_builder, tmp_path):
    """The CRC-32 of each entry, packed or not."""
    data = bytes(range(256)) * 40
    path = with_asset(apk_builder, tmp_path / "a.apk", data, method=method)
    assert verified(path) == Contents("entry-sums")
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("assets/film").header_offset
    raw = bytearray(path.read_bytes())
    raw[offset + 30 + len("assets/film") + 20] ^= 1
    path.write_bytes(raw)
    (fault,) = verified(path).faults
    assert "assets/film" in fault


def change_sum(path, name):
    """Change the sum that the directory has of an entry."""
    data = bytearray(path.read_bytes())
    data[data.rindex(name) - 30] ^= 1
    path.write_bytes(data)


def test_a_wrong_sum_in_the_directory_is_found(apk_builder, tmp_path):
    """The bytes are right there, and nobody can know."""
    path = with_asset(apk_builder, tmp_path / "a.apk")
    change_sum(path, b"assets/film")
    (fault,) = verified(path).faults
    assert "assets/film does not match its sum" in fault


def test_a_manifest_that_does_not_match_its_sum_is_no_input(apk_builder, tmp_path):
    """It is read anyway, and what it says cannot be trusted then."""
    path = with_asset(apk_builder, tmp_path / "a.apk")
    change_sum(path, b"AndroidManifest.xml")
    with pytest.raises(InputError, match=r"AndroidManifest\.xml does not match its sum"):
        read_apk(path)


def test_a_bomb_is_not_unpacked_to_be_compared(apk_builder, tmp_path):
    """A hundred megabytes of zeros would pack to a thousandth."""
    zeros = bytes(100_000_000)
    path = with_asset(apk_builder, tmp_path / "a.apk", zeros, method=zipfile.ZIP_DEFLATED)
    (fault,) = verified(path).faults
    assert "no app does that" in fault


def test_damage_keeps_an_app_from_being_called_sound(apk_builder, tmp_path):
    """It is an error of the check, and not made where nobody asks for it."""
    path = with_asset(apk_builder, tmp_path / "a.apk", schemes=(2,), min_sdk=24)
    change(path, b"picture ")
    with open_apps([path]) as (app,):
        assert check_app(app).fits
        assert app.variants[0].base.apk.contents is None
    with open_apps([path], verify=True) as (app,):
        check = check_app(app)
    assert [problem.code for problem in check.errors] == ["damaged"]


def test_damage_inside_a_bundle_is_found(apk_builder, tmp_path):
    """An APK that lies uncompressed in a bundle is compared where it lies."""
    path = with_asset(apk_builder, tmp_path / "a.apk", schemes=(2,), min_sdk=24)
    bundle = tmp_path / "a.apks"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.write(path, "base.apk")
    with open_apps([bundle], verify=True) as (app,):
        assert check_app(app).fits
    change(bundle, b"picture ")
    with open_apps([bundle], verify=True) as (app,):
        assert not check_app(app).fits
