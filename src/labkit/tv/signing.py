"""Whose certificates an APK carries, and which of them a TV goes by.

The schemes, newest first, and where they stand:

- v3.1, v3 and v2 in the signing block that lies in front of the zip directory
  (source.android.com/docs/security/features/apksigning). v3 names a range of Android versions for
  each signer and may prove that a new key follows old ones.
- v1 in `META-INF/`, as a PKCS#7 file (RFC 2315) beside a list of digests.

Certificates are read here, and nothing is checked: an app is "signed by" what this module returns,
never "verified". `labkit.tv.contents` compares the digests with the file; the TV verifies.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from labkit.tv import der
from labkit.tv.errors import ApkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

    from labkit.tv.ziparchive import ZipArchive, ZipEntry

__all__ = [
    "Certificate",
    "Scheme",
    "SchemeSignature",
    "Signatures",
    "Signer",
    "java_hash",
    "read_signatures",
]

Scheme = Literal["v1", "v2", "v3", "v3.1"]

_BLOCK_MAGIC = b"APK Sig Block 42"
_BLOCK_IDS: Mapping[int, Scheme] = {0x7109871A: "v2", 0xF05368C0: "v3", 0x1B93AD61: "v3.1"}
_ENTRY = struct.Struct("<QI")
_ID_BYTES = 4
_LINEAGE_ATTRIBUTE = 0x3BA06F8C
_MAX_SCHEME_BYTES = 4 << 20
_MAX_SIGNATURE_FILE_BYTES = 1 << 20
_MAX_DIGESTS_HEAD_BYTES = 1 << 20
_NEWEST_SDK = 0x7FFFFFFF

# The first API level that goes by each scheme.
_FIRST_SDK: Mapping[Scheme, int] = {"v3.1": 33, "v3": 28, "v2": 24, "v1": 0}


@dataclass(frozen=True)
class Certificate:
    """A signing certificate.

    Attributes:
        encoded: Its DER bytes.
    """

    encoded: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of its bytes in lower-case hexadecimal: what app makers publish."""
        return hashlib.sha256(self.encoded).hexdigest()

    @cached_property
    def java_hash(self) -> int:
        """The number that `dumpsys package` shows for it."""
        return java_hash(self.encoded)


def java_hash(data: bytes) -> int:
    """Compute `java.util.Arrays.hashCode` of a byte array, as an unsigned 32-bit number."""
    value = 1
    # A Java byte is signed: flipping and subtracting the top bit extends it.
    for byte in data:
        value = (31 * value + (byte ^ 0x80) - 0x80) & 0xFFFFFFFF
    return value


@dataclass(frozen=True)
class Signer:
    """One who signed an APK.

    Attributes:
        certificate: The signer's own certificate.
        min_sdk: The lowest API level that this signer is meant for.
        max_sdk: The highest.
        lineage: The certificates of older keys that this one was made to follow, oldest first.
        digests: What was signed (v2 and newer): numbers of algorithms and digests of the file.
    """

    certificate: Certificate
    min_sdk: int = 0
    max_sdk: int = _NEWEST_SDK
    lineage: tuple[Certificate, ...] = ()
    digests: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class SchemeSignature:
    """What an APK carries of one scheme.

    Attributes:
        scheme: The scheme; None where the APK is not signed for the TV in question.
        signers: Whom it names; empty where the signature cannot be read.
        fault: Why a TV would refuse it, as far as reading shows; None where nothing is wrong.
    """

    scheme: Scheme | None
    signers: tuple[Signer, ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class Signatures:
    """All signatures of an APK.

    Attributes:
        schemes: One entry per scheme that is present, the newest scheme first.
        announced: Newer schemes that the v1 signature says were applied as well, by number.
        block_offset: Where the signing block of v2 and newer begins; None where there is none.
    """

    schemes: tuple[SchemeSignature, ...] = ()
    announced: frozenset[int] = frozenset()
    block_offset: int | None = None

    def on(self, sdk: int | None = None) -> SchemeSignature:
        """Return the signature that a TV of API level `sdk` goes by (None: the newest).

        A newer scheme that is present beats an older one, also when it is broken: otherwise
        breaking it would let an attacker choose.
        """
        level = _NEWEST_SDK if sdk is None else sdk
        for signature in self.schemes:
            scheme = signature.scheme
            if scheme is None or level < _FIRST_SDK[scheme]:
                continue
            signers = tuple(s for s in signature.signers if s.min_sdk <= level <= s.max_sdk)
            if scheme == "v3.1" and signature.signers and not signers:
                continue  # meant for other versions: v3 holds the signer for this one
            if scheme == "v1" and (stripped := self._stripped(level)):
                return SchemeSignature(scheme, signers, stripped)
            fault = signature.fault
            if not signers and fault is None:
                fault = f"the {scheme} signature names no signer for this Android version"
            return SchemeSignature(scheme, signers, fault)
        return SchemeSignature(None)

    def _stripped(self, sdk: int) -> str | None:
        for number, scheme in ((2, "v2"), (3, "v3")):
            if number in self.announced and sdk >= _FIRST_SDK[scheme]:  # type: ignore[index]
                return f"the {scheme} signature that the file announces was removed"
        return None


def read_signatures(
    file: BinaryIO, archive: ZipArchive, meta_inf: Iterable[ZipEntry]
) -> Signatures:
    """Read all signatures of an APK.

    Args:
        file: The APK, open for reading.
        archive: The same as a zip archive.
        meta_inf: Its entries directly in `META-INF/`.
    """
    block_offset = _find_block(file, archive.directory_offset)
    found = {}
    if block_offset is not None:
        end = archive.directory_offset - _FOOTER_BYTES
        found = _read_entries(file, block_offset + 8, end)
    jar, announced = _read_v1(archive, meta_inf)
    if jar is not None:
        found["v1"] = jar
    schemes = tuple(found[scheme] for scheme in _FIRST_SDK if scheme in found)
    return Signatures(schemes, announced, block_offset)


# --- schemes v2 and newer ------------------------------------------------------------------


_FOOTER_BYTES = 8 + len(_BLOCK_MAGIC)


def _find_block(file: BinaryIO, directory_offset: int) -> int | None:
    """Find where the signing block begins; it ends where the zip directory begins.

    Layout: u64 size, entries of (u64 length, u32 id, value), u64 size again, 16 bytes of magic;
    the size counts everything but its own first field.
    """
    if directory_offset < _FOOTER_BYTES + 8:
        return None
    file.seek(directory_offset - _FOOTER_BYTES)
    footer = file.read(_FOOTER_BYTES)
    if footer[8:] != _BLOCK_MAGIC:
        return None
    (size,) = struct.unpack_from("<Q", footer)
    start: int = directory_offset - size - 8
    if size < _FOOTER_BYTES or start < 0:
        return None
    file.seek(start)
    return start if file.read(8) == footer[:8] else None


def _read_entries(file: BinaryIO, position: int, end: int) -> dict[Scheme, SchemeSignature]:
    found: dict[Scheme, SchemeSignature] = {}
    while position + _ENTRY.size <= end:
        file.seek(position)
        length, number = _ENTRY.unpack(file.read(_ENTRY.size))
        if length < _ID_BYTES or length > end - position - 8:
            break  # Android stops here as well, and keeps what it found before
        scheme = _BLOCK_IDS.get(number)
        if scheme is not None and scheme not in found:  # the first of an id counts
            found[scheme] = _read_scheme(file, scheme, length - _ID_BYTES)
        position += 8 + length
    return found


def _read_scheme(file: BinaryIO, scheme: Scheme, size: int) -> SchemeSignature:
    if size > _MAX_SCHEME_BYTES:
        return SchemeSignature(scheme, (), f"the {scheme} signature takes {size:,} bytes")
    try:
        sequence = _Reader(file.read(size)).nested()
        signers = []
        while sequence.remaining:
            signers.append(_read_signer(sequence.nested(), scheme))
    except ValueError as error:
        return SchemeSignature(scheme, (), f"the {scheme} signature is damaged: {error}")
    return SchemeSignature(scheme, tuple(signers))


class _Reader:
    """Reads little-endian fields from bytes, and checks every length against what is left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def remaining(self) -> int:
        return len(self._data) - self._position

    def u32(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def prefixed(self) -> bytes:
        """Read bytes that a u32 length stands before."""
        return self._take(self.u32())

    def nested(self) -> _Reader:
        return _Reader(self.prefixed())

    def rest(self) -> bytes:
        return self._take(self.remaining)

    def _take(self, count: int) -> bytes:
        if count > self.remaining:
            raise ValueError("a field is longer than what holds it")
        self._position += count
        return self._data[self._position - count : self._position]


def _read_signer(signer: _Reader, scheme: Scheme) -> Signer:
    signed = signer.nested()
    digests = tuple(_read_digests(signed.nested()))
    certificates = signed.nested()
    certificate = Certificate(certificates.prefixed())
    if scheme == "v2":
        return Signer(certificate, digests=digests)
    min_sdk, max_sdk = signed.u32(), signed.u32()
    attributes = signed.nested()
    lineage: tuple[Certificate, ...] = ()
    while attributes.remaining:
        attribute = attributes.nested()
        if attribute.u32() == _LINEAGE_ATTRIBUTE:
            lineage = _read_lineage(attribute, certificate)
    return Signer(certificate, min_sdk, max_sdk, lineage, digests)


def _read_digests(digests: _Reader) -> Iterator[tuple[int, bytes]]:
    while digests.remaining:
        digest = digests.nested()
        yield digest.u32(), digest.prefixed()


def _read_lineage(attribute: _Reader, current: Certificate) -> tuple[Certificate, ...]:
    """Read a proof of rotation: a version, then levels of (signed data, flags, algorithm, ...)."""
    attribute.u32()
    older = []
    while attribute.remaining:
        level = attribute.nested()
        older.append(Certificate(level.nested().prefixed()))
    return tuple(certificate for certificate in older if certificate != current)


# --- scheme v1 -----------------------------------------------------------------------------

_SIGNATURE_BLOCK = re.compile(r"META-INF/([^/]+)\.(?:RSA|DSA|EC)", re.IGNORECASE)
_ANNOUNCEMENT = re.compile(rb"^X-Android-APK-Signed: *([0-9, ]+)\r?$", re.MULTILINE)


def _read_v1(
    archive: ZipArchive, meta_inf: Iterable[ZipEntry]
) -> tuple[SchemeSignature | None, frozenset[int]]:
    entries = {entry.name.upper(): entry for entry in meta_inf}
    signers: list[Signer] = []
    announced: set[int] = set()
    faults: list[str] = []
    for entry in entries.values():
        match = _SIGNATURE_BLOCK.fullmatch(entry.name)
        digests = entries.get(f"META-INF/{match[1]}.SF".upper()) if match else None
        if digests is None:
            continue  # a signature of nothing: Android passes it over
        try:
            encoded = archive.read(entry, limit_bytes=_MAX_SIGNATURE_FILE_BYTES)
            signers.append(Signer(_v1_certificate(encoded)))
            announced.update(_announced(archive, digests))
        except (ValueError, ApkError) as error:
            faults.append(f"{entry.name} is damaged: {error}")
    if not signers and not faults:
        return None, frozenset()
    return SchemeSignature("v1", tuple(signers), "; ".join(faults) or None), frozenset(announced)


def _announced(archive: ZipArchive, digests: ZipEntry) -> Iterable[int]:
    """Read which newer schemes the head of a digest list announces."""
    head = b""
    for chunk in archive.chunks(digests):
        head += chunk
        if b"\n\n" in head or b"\r\n\r\n" in head or len(head) > _MAX_DIGESTS_HEAD_BYTES:
            break
    head = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    match = _ANNOUNCEMENT.search(head)
    return (int(number) for number in re.findall(rb"\d{1,9}", match[1])) if match else ()


def _v1_certificate(encoded: bytes) -> Certificate:
    """Find the signer's certificate in a PKCS#7 SignedData file.

    It is the one whose issuer and serial number the signature names, wherever it lies in the bag
    of certificates.

    Raises:
        ValueError: The file is damaged, or that certificate is not in it.
    """
    _, wrapped, *_ = _children(der.parse(encoded), der.SEQUENCE)
    signed_data = wrapped.children()[0]
    fields = _children(signed_data, der.SEQUENCE)
    bags = [part for part in fields if part.tag == der.context(0)]
    signer_infos = [part for part in fields[3:] if part.tag == der.SET]
    if not bags or not signer_infos:
        raise ValueError("no certificate or no signer in it")
    _, identifier, *_ = signer_infos[0].children()[0].children()
    issuer, serial = _children(identifier, der.SEQUENCE)
    for certificate in bags[0].children():
        if _issuer_and_serial(certificate) == (issuer.encoded, serial.content):
            return Certificate(certificate.encoded)
    raise ValueError("the signer's certificate is not in it")


def _children(element: der.Element, tag: int) -> list[der.Element]:
    if element.tag != tag:
        raise ValueError("not a signature file")
    return element.children()


def _issuer_and_serial(certificate: der.Element) -> tuple[bytes, bytes]:
    fields = _children(certificate, der.SEQUENCE)[0].children()
    if fields and fields[0].tag == der.context(0):  # the version
        fields = fields[1:]
    serial, _, issuer = fields[:3]
    return issuer.encoded, serial.content
