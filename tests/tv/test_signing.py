"""Signing certificates against apksigner, also where somebody tries to mislead a reader."""

import hashlib
import shutil
import struct
import subprocess
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.tv import der
from labkit.tv.apk import read_apk
from labkit.tv.signing import Certificate, java_hash
from support.apk_oracles import signer_facts

V2, V3, V3_1, PADDING = 0x7109871A, 0xF05368C0, 0x1B93AD61, 0x42726577
SDKS = (23, 24, 27, 28, 33)


@pytest.fixture(scope="module")
def certificates(apk_builder):
    """A function that returns the SHA-256 of a test key's certificate."""

    def sha256(key):
        command = ["keytool", "-exportcert", "-keystore", apk_builder.key(key), "-storepass"]
        command += ["labkit-test", "-alias", "a"]
        encoded = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
        return hashlib.sha256(encoded).hexdigest()

    return sha256


def copy(path, name):
    """Copy an APK beside itself."""
    return shutil.copy(path, path.with_name(name))


def end_record(data):
    """Find the end record of an archive without a comment, and where its directory begins."""
    end = data.rindex(b"PK\x05\x06")
    return end, struct.unpack_from("<I", data, end + 16)[0]


def read_block(path):
    """Return the entries of an APK's signing block, as (id, value)."""
    data = path.read_bytes()
    _, directory = end_record(data)
    (size,) = struct.unpack_from("<Q", data, directory - 24)
    position, entries = directory - size, []
    while position < directory - 24:
        length, number = struct.unpack_from("<QI", data, position)
        entries.append((number, data[position + 12 : position + 8 + length]))
        position += 8 + length
    return entries


def write_block(path, entries, *, first_size=None):
    """Put a signing block in, or in the place of the old one; `first_size` forges its beginning."""
    data = path.read_bytes()
    end, directory = end_record(data)
    signed = data[directory - 16 : directory] == b"APK Sig Block 42"
    size = struct.unpack_from("<Q", data, directory - 24)[0] if signed else -8
    body = b"".join(struct.pack("<QI", len(v) + 4, n) + v for n, v in entries)
    size_field = struct.pack("<Q", len(body) + 24)
    block = (first_size or size_field) + body + size_field + b"APK Sig Block 42"
    start = directory - size - 8
    tail = bytearray(data[end:])
    struct.pack_into("<I", tail, 16, start + len(block))
    path.write_bytes(data[:start] + block + data[directory:end] + tail)


def assert_agrees(path):
    """Every Android version sees the signers that apksigner verifies, or none."""
    apk = read_apk(path)
    for sdk in SDKS:
        signature = apk.signatures.on(sdk)
        wanted = signer_facts(path, sdk)
        if wanted is None:
            assert signature.fault or not signature.signers, sdk
        else:
            assert (list(apk.signers(sdk)), signature.fault) == (wanted, None), sdk
    return apk


@pytest.mark.parametrize("schemes", [(1,), (2,), (3,), (1, 2), (2, 3), (1, 3), (1, 2, 3)])
def test_each_android_version_goes_by_its_newest_scheme(schemes, apk_builder):
    """A file without v1 is unsigned for Android 6, one with v3 alone for Android 8."""
    text = apk_builder.manifest(sdk='android:minSdkVersion="21"')
    path = apk_builder.build(text, keys=())
    apk_builder.sign(path, schemes=schemes, min_sdk=min({1: 21, 2: 24, 3: 28}[s] for s in schemes))
    apk = assert_agrees(path)
    assert {s.scheme for s in apk.signatures.schemes} == {f"v{s}" for s in schemes}


def test_several_signers_count_together(apk_builder, certificates):
    """Two keys signed: the TV keeps both."""
    path = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="21"'), keys=())
    apk_builder.sign(path, keys=("a", "b"), schemes=(1, 2))
    apk = assert_agrees(path)
    assert set(apk.signers(23)) == set(apk.signers(28)) == {certificates("a"), certificates("b")}


def test_a_rotated_key_shows_old_signers_to_old_androids(apk_builder, certificates):
    """From Android 9 on the new key counts, and it names the one it follows."""
    path = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="21"'), keys=())
    apk_builder.sign(path, keys=("a", "b"), lineage=apk_builder.rotation("a", "b"))
    apk = assert_agrees(path)
    assert apk.signers(27) == (certificates("a"),)
    assert apk.signers(28) == (certificates("b"),)
    (signer,) = apk.signatures.on(28).signers
    assert [old.sha256 for old in signer.lineage] == [certificates("a")]


def test_scheme_3_1_counts_for_the_versions_it_names(apk_builder, certificates):
    """Here from Android 14 on; elsewhere the signer of scheme 3 stays in charge."""
    text = apk_builder.manifest(sdk='android:minSdkVersion="21"')
    path = apk_builder.build(text)
    rotated = dict(read_block(apk_builder.build(text, keys=("b",), schemes=(1, 2, 3))))[V3]
    highest = struct.pack("<I", 2**31 - 1)
    lowest = rotated[rotated.index(highest) - 4 : rotated.index(highest)]
    assert rotated.count(lowest + highest) == 2  # in the signed data and beside it
    rotated = rotated.replace(lowest + highest, struct.pack("<I", 34) + highest)
    write_block(path, [*read_block(path), (V3_1, rotated)])
    apk = read_apk(path)
    assert [apk.signers(sdk) for sdk in (28, 33)] == [(certificates("a"),)] * 2
    assert [apk.signers(sdk) for sdk in (34, None)] == [(certificates("b"),)] * 2


def test_the_first_of_two_entries_of_one_scheme_counts(apk_builder, certificates):
    """An entry appended to the signing block must not speak for the file."""
    unsigned = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="24"'), keys=())
    ours, theirs = copy(unsigned, "ours.apk"), copy(unsigned, "theirs.apk")
    apk_builder.sign(ours, keys=("a",), schemes=(2,))
    apk_builder.sign(theirs, keys=("b",), schemes=(2,))
    value = dict(read_block(theirs))[V2]
    write_block(ours, [*read_block(ours), (V2, value)])
    assert signer_facts(ours, 28) == [certificates("a")]
    assert read_apk(ours).signers(28) == (certificates("a"),)


def test_unknown_entries_are_passed_over(apk_builder, certificates):
    """Stores add entries of their own."""
    path = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="24"'), schemes=(2,))
    write_block(path, [(0x2146444E, b"x" * 99), *read_block(path), (PADDING, bytes(500))])
    assert_agrees(path)
    assert read_apk(path).signers(28) == (certificates("a"),)


def test_a_newer_scheme_beats_a_forged_older_one(apk_builder, certificates):
    """META-INF of another signer lies in the file; Android 7 and newer do not look at it."""
    text = apk_builder.manifest(sdk='android:minSdkVersion="21"')
    forged = apk_builder.build(text, keys=("b",), schemes=(1,))
    genuine = apk_builder.build(
        apk_builder.manifest(sdk='android:minSdkVersion="24"'), schemes=(2,)
    )
    write_block(forged, read_block(genuine))
    apk = read_apk(forged)
    assert apk.signers(23) == (certificates("b"),)
    assert apk.signers(28) == (certificates("a"),)


def test_sizes_that_disagree_make_no_signing_block(apk_builder):
    """The block's size stands at both ends; Android then sees no newer scheme."""
    path = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="24"'), schemes=(2,))
    write_block(path, read_block(path), first_size=struct.pack("<Q", 99))
    assert signer_facts(path, 28) is None
    assert read_apk(path).signatures.schemes == ()


def test_a_damaged_newer_scheme_does_not_fall_back(apk_builder):
    """Otherwise breaking one signature would let the attacker choose another."""
    path = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="21"'))
    entries = [(n, b"\xff" * 40 if n in (V2, V3) else v) for n, v in read_block(path)]
    write_block(path, entries)
    signature = read_apk(path).signatures.on(28)
    assert (signature.scheme, signature.signers) == ("v3", ())
    assert "damaged" in signature.fault
    assert signer_facts(path, 28) is None


def test_a_removed_newer_scheme_is_noticed(apk_builder):
    """The v1 signature announces the newer ones; without them the file was altered."""
    path = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="21"'))
    write_block(path, [(PADDING, bytes(8))])
    apk = read_apk(path)
    assert signer_facts(path, 28) is None
    assert "was removed" in apk.signatures.on(28).fault
    assert apk.signatures.on(23).fault is None
    assert signer_facts(path, 23) == list(apk.signers(23))


def test_a_signature_of_nothing_is_passed_over(apk_builder, certificates):
    """A .RSA file without its list of digests, or in a folder below, signs nothing."""
    path = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="21"'), schemes=(1,))
    other = apk_builder.build(apk_builder.manifest(), keys=("b",), schemes=(1,))
    with zipfile.ZipFile(other) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".RSA"))
        block = archive.read(name)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("META-INF/OTHER.RSA", block)
        archive.writestr("META-INF/sub/OTHER.RSA", block)
        archive.writestr("META-INF/sub/OTHER.SF", "")
    assert read_apk(path).signers(23) == (certificates("a"),)


def test_an_archive_comment_cannot_pose_as_the_end(apk_builder, certificates):
    """A comment may contain what looks like an end record."""
    path = apk_builder.build(apk_builder.manifest(sdk='android:minSdkVersion="21"'), schemes=(1,))
    data = path.read_bytes()
    end, _ = end_record(data)
    comment = b"PK\x05\x06" + bytes(18) + b"more"
    path.write_bytes(data[: end + 20] + struct.pack("<H", len(comment)) + comment)
    assert read_apk(path).signers(23) == (certificates("a"),)


# --- PKCS#7 --------------------------------------------------------------------------------


def encode(tag, *parts):
    """Encode a DER element."""
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def indefinite(tag, *parts):
    """Encode a BER element of indefinite length, as streaming signers do."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def certificate(issuer, serial, *, versioned=True):
    """Encode as much of a certificate as identifies its holder."""
    version = [encode(0xA0, encode(2, b"\x02"))] if versioned else []
    return encode(
        0x30, encode(0x30, *version, encode(2, bytes([serial])), encode(0x30), issuer), b"\5\0"
    )


def signed_data(bag, issuer, serial, form=encode):
    """Encode a signature file whose signer is named by issuer and serial number."""
    identifier = encode(0x30, issuer, encode(2, bytes([serial])))
    info = encode(0x31, encode(0x30, encode(2, b"\x01"), identifier))
    fields = [encode(2, b"\x01"), encode(0x31), encode(0x30), form(0xA0, *bag), info]
    return form(0x30, encode(6, b"\x2a"), form(0xA0, form(0x30, *fields)))


ISSUER = encode(0x30, encode(0x0C, b"maker"))
OTHER = encode(0x30, encode(0x0C, b"other"))


@pytest.fixture
def v1_signers(tmp_path, small_manifest):
    """A function that returns the signers of an app with a given v1 signature file."""

    def read(block):
        path = tmp_path / "v1.apk"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("AndroidManifest.xml", small_manifest)
            archive.writestr("META-INF/CERT.SF", "Signature-Version: 1.0\r\n\r\n")
            archive.writestr("META-INF/CERT.RSA", block)
        return read_apk(path).signatures.on(23)

    return read


@pytest.mark.parametrize("form", [encode, indefinite])
@pytest.mark.parametrize("versioned", [True, False])
def test_the_signer_is_the_named_one_wherever_it_lies(v1_signers, form, versioned):
    """The bag may hold other certificates first, of the same issuer or the same number."""
    wanted = certificate(ISSUER, 7, versioned=versioned)
    bag = [certificate(OTHER, 7), certificate(ISSUER, 8), wanted]
    (signer,) = v1_signers(signed_data(bag, ISSUER, 7, form)).signers
    assert signer.certificate == Certificate(wanted)


def test_a_bag_without_the_signer_is_a_fault(v1_signers):
    """No other certificate stands in for it."""
    signature = v1_signers(signed_data([certificate(OTHER, 7)], ISSUER, 7))
    assert signature.signers == ()
    assert "is not in it" in signature.fault


@given(block=st.binary(max_size=200))
def test_arbitrary_signature_files_are_read_or_faulty(block):
    """DER from a stranger raises ValueError or nothing."""
    try:
        element = der.parse(block)
        element.children()
    except ValueError:
        return


@pytest.mark.parametrize("block", [b"", b"\x30\x80", b"\x30\x80" * 5000, b"\x1f\x81\x00", b"0\x84"])
def test_hostile_signature_files_are_a_fault(v1_signers, block):
    """Endless nesting, long tags and lengths that are cut off."""
    signature = v1_signers(block)
    assert signature.signers == ()
    assert "damaged" in signature.fault


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 1), (b"\x00", 31), (b"\xff", 30), (b"abc", 126145), (bytes(9), None)],
)
def test_the_hash_is_javas(data, value):
    """`Arrays.hashCode`: bytes are signed and the result wraps at 32 bits."""
    signed = struct.unpack(f"{len(data)}b", data)
    result = 1
    for byte in signed:
        result = 31 * result + byte
    assert java_hash(data) == result % 2**32
    assert value in (None, java_hash(data))
