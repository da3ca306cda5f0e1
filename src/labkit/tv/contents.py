"""Whether an APK's bytes are still those that were signed, or at least those that were packed.

A signature of scheme v2 or newer holds a digest of everything but its own block: the entries, the
directory and the end record, in chunks of 1 MiB
(source.android.com/docs/security/features/apksigning/v2#integrity-protected-contents). Without one
that can be computed here, every entry is unpacked and compared with the CRC-32 in the directory.

Two things are left to the TV: whether the key that the certificate names really signed that digest,
and the digests of a v1 signature. A file that was changed on purpose can pass here; one that was
damaged outside of its signing block cannot.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from labkit.tv.signing import SchemeSignature, Signatures
    from labkit.tv.ziparchive import ZipArchive, ZipEntry

__all__ = ["Contents", "Proof", "verify_contents"]

Proof = Literal["signed-digest", "entry-sums"]

_CHUNK_BYTES = 1 << 20
_CHUNK_MARK, _TOP_MARK = b"\xa5", b"\x5a"
# Where the end record says at what offset the directory begins.
_OFFSET_FIELD = slice(16, 20)
# Signature algorithms and the hash of the contents that belongs to them; those of fs-verity, which
# come beside one of these, have a hash tree instead.
_HASHES = {
    0x0101: "sha256",  # RSA-PSS
    0x0102: "sha512",
    0x0103: "sha256",  # RSA, PKCS #1 v1.5
    0x0104: "sha512",
    0x0201: "sha256",  # ECDSA
    0x0202: "sha512",
    0x0301: "sha256",  # DSA
}
# All of an app's entries together: packed ones unpack to four times as much, not to hundreds.
_BOMB_RATIO = 200
_BOMB_BYTES = 64 << 20


@dataclass(frozen=True)
class Contents:
    """What a comparison of an APK's bytes with its own sums showed.

    Attributes:
        proof: What they were compared with: the digest that was signed, or each entry's CRC-32.
        faults: What does not match, a sentence each.
    """

    proof: Proof
    faults: tuple[str, ...] = ()


def verify_contents(
    file: BinaryIO,
    archive: ZipArchive,
    entries: Iterable[ZipEntry],
    signatures: Signatures,
    name: str,
) -> Contents:
    """Compare every byte of an APK with its sums.

    Args:
        file: The APK, open for reading.
        archive: The same as a zip archive.
        entries: Its entries.
        signatures: Its signatures.
        name: What messages call it.
    """
    wrong = _wrong_schemes(file, archive, signatures)
    if wrong == ():
        return Contents("signed-digest")
    entries = tuple(entries)
    size = sum(entry.size_bytes for entry in entries)
    if size > _BOMB_BYTES and size > _BOMB_RATIO * archive.size_bytes:
        return Contents("entry-sums", (f"{name} would unpack to {size:,} bytes: no app does that",))
    faults = [fault for entry in entries if (fault := archive.fault(entry))]
    if not faults and wrong:
        schemes = " and ".join(wrong)
        faults = [f"{name} was altered: its {schemes} signature is for other contents"]
    return Contents("entry-sums", tuple(faults))


def _wrong_schemes(
    file: BinaryIO, archive: ZipArchive, signatures: Signatures
) -> tuple[str, ...] | None:
    """Name the schemes whose digest is of other contents; None where no digest can be compared."""
    if signatures.block_offset is None:
        return None
    expected = {
        str(scheme.scheme): tuple(_digests(scheme))
        for scheme in signatures.schemes
        if scheme.scheme != "v1"
    }
    if not expected or not all(expected.values()):
        return None
    found = {
        algorithm: _digest(file, archive, signatures.block_offset, algorithm)
        for algorithm in {algorithm for digests in expected.values() for algorithm, _ in digests}
    }
    return tuple(
        scheme
        for scheme, digests in expected.items()
        if any(found[algorithm] != digest for algorithm, digest in digests)
    )


def _digests(scheme: SchemeSignature) -> Iterator[tuple[str, bytes]]:
    for signer in scheme.signers:
        for number, digest in signer.digests:
            if number in _HASHES:
                yield _HASHES[number], digest


def _digest(file: BinaryIO, archive: ZipArchive, block_offset: int, algorithm: str) -> bytes:
    """Compute the digest that v2 and newer schemes sign."""
    end_record = bytearray(_read(file, archive.end_offset, archive.size_bytes))
    # It counts as it was before the signing block came between entries and directory.
    end_record[_OFFSET_FIELD] = struct.pack("<I", block_offset)
    digests = [
        _chunk_digest(chunk, algorithm)
        for start, end in ((0, block_offset), (archive.directory_offset, archive.end_offset))
        for chunk in _chunks(file, start, end)
    ]
    digests.append(_chunk_digest(bytes(end_record), algorithm))
    count = struct.pack("<I", len(digests))
    return hashlib.new(algorithm, _TOP_MARK + count + b"".join(digests)).digest()


def _chunks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    for position in range(start, end, _CHUNK_BYTES):
        yield _read(file, position, min(position + _CHUNK_BYTES, end))


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _chunk_digest(chunk: bytes, algorithm: str) -> bytes:
    digest = hashlib.new(algorithm, _CHUNK_MARK + struct.pack("<I", len(chunk)))
    digest.update(chunk)
    return digest.digest()
