"""What an APK file is: its manifest, its native code, its signers. No device is needed for this."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.errors import InputError
from labkit.tv.android import PREVIEW_SDK
from labkit.tv.contents import verify_contents
from labkit.tv.errors import ApkError, not_an_apk
from labkit.tv.local_file import require_ordinary
from labkit.tv.manifest import read_manifest
from labkit.tv.signing import Signatures, read_signatures
from labkit.tv.ziparchive import LOCAL_HEADER_MAGIC, ZipArchive

if TYPE_CHECKING:
    from typing import BinaryIO

    from labkit.tv.contents import Contents
    from labkit.tv.manifest import Manifest, Requirement
    from labkit.tv.ziparchive import ZipEntry

__all__ = ["MANIFEST_NAME", "Apk", "read_apk", "read_apk_file", "require_zip"]

MANIFEST_NAME = "AndroidManifest.xml"

_LEANBACK = "android.software.leanback"
_TOUCHSCREEN = "android.hardware.touchscreen"
_NATIVE_LIBRARY = re.compile(r"lib/([^/]+)/[^/]+")
_MAX_MANIFEST_BYTES = 4 << 20  # the largest known ones have a quarter of that

# The beginnings of what is often saved under the name of an APK.
_OTHER_FORMATS = (
    (b"<", "it is a web page or other text; the link led to a page instead of the file"),
    (b"{", "it is text (JSON); the link led to an answer instead of the file"),
    (b"\x1f\x8b", "it is a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7-Zip archive; unpack it first"),
    (b"Rar!", "it is a RAR archive; unpack it first"),
    (b"%PDF", "it is a PDF document"),
    (b"dex\n", "it starts with bare program code, as files do that hide it from checks"),
    (b"\x7fELF", "it is a Linux program"),
    (b"MZ", "it is a Windows program"),
    (b"PK\x05\x06", "it is an empty zip archive"),
)


@dataclass(frozen=True)
class Apk:
    """One APK file.

    Attributes:
        name: What the user knows it by: a path, or a path inside a bundle.
        size_bytes: Its size.
        manifest: What it declares, as declared.
        abis: The processor types that it brings native code for, sorted; empty where it brings
            none and therefore runs on all.
        signatures: Its signatures by all schemes.
        contents: What a comparison with its own sums showed; None where it was not made.
    """

    name: str
    size_bytes: int
    manifest: Manifest
    abis: tuple[str, ...] = ()
    signatures: Signatures = field(default_factory=Signatures)
    contents: Contents | None = None

    @property
    def package(self) -> str:
        """The application id."""
        return self.manifest.package

    @property
    def version_code(self) -> int:
        """The long version code, by which Android tells newer from older; 0 where undeclared."""
        return ((self.manifest.version_code_major or 0) << 32) + (self.manifest.version_code or 0)

    @property
    def version_name(self) -> str | None:
        """The version for humans; None where undeclared or kept in the app's resources."""
        return self.manifest.version_name

    @property
    def min_sdk(self) -> int:
        """The lowest API level it runs on; `PREVIEW_SDK` for a preview's code name."""
        return _level(self.manifest.min_sdk, default=1)

    @property
    def target_sdk(self) -> int:
        """The API level it is made for; `PREVIEW_SDK` for a preview's code name."""
        return _level(self.manifest.target_sdk, default=self.min_sdk)

    @property
    def split(self) -> str | None:
        """The name of this part of a split app; None for a whole app or the base of a split one."""
        return self.manifest.split

    @property
    def tv_tile(self) -> bool:
        """Whether it shows up on a TV's home screen."""
        return self.manifest.tv_launcher

    @property
    def leanback_required(self) -> bool | None:
        """Whether it is for TVs alone; None where it does not say."""
        return self._requires(_LEANBACK)

    @property
    def touchscreen_required(self) -> bool | None:
        """Whether it needs a touchscreen; None where it does not say (stores assume that it does).

        Android installs it all the same.
        """
        return self._requires(_TOUCHSCREEN)

    @property
    def features(self) -> tuple[Requirement, ...]:
        """The device features that it names."""
        return self.manifest.features

    def signers(self, sdk: int | None = None) -> tuple[str, ...]:
        """Return the SHA-256 of the certificates that a TV of level `sdk` goes by, sorted."""
        return tuple(sorted(s.certificate.sha256 for s in self.signatures.on(sdk).signers))

    def _requires(self, feature: str) -> bool | None:
        declared = [f.required for f in self.features if f.name == feature]
        return any(declared) if declared else None


def _level(declared: int | str | None, *, default: int) -> int:
    if declared is None:
        return default
    return PREVIEW_SDK if isinstance(declared, str) else declared


def read_apk(path: Path | str, *, verify: bool = False) -> Apk:
    """Read an APK file, in memory that does not depend on its size.

    Args:
        path: The file.
        verify: Compare all of its bytes with its sums, too.

    Raises:
        InputError: It cannot be opened.
        ApkError: It is no APK, or a broken one.
    """
    try:
        require_ordinary(Path(path))
        with Path(path).open("rb") as file:
            return read_apk_file(file, str(path), verify=verify)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def read_apk_file(file: BinaryIO, name: str, *, verify: bool = False) -> Apk:
    """Read an APK from an open file, which may lie inside a bundle; `read_apk` tells more.

    Raises:
        ApkError: It is no APK, or a broken one.
    """
    require_zip(file, name)
    archive = ZipArchive(file, name)
    manifest: ZipEntry | None = None
    abis: set[str] = set()
    meta_inf: list[ZipEntry] = []
    entries: dict[str, ZipEntry] = {}
    for entry in archive.entries():
        if entry.name in entries:
            raise ApkError(
                f"{name} holds two entries named {entry.name}; Android refuses such a file",
                hint="download it again, from its maker",
            )
        entries[entry.name] = entry
        if entry.name == MANIFEST_NAME:
            manifest = entry
        elif match := _NATIVE_LIBRARY.fullmatch(entry.name):
            abis.add(match[1])
        elif entry.name.upper().startswith("META-INF/") and entry.name.count("/") == 1:
            meta_inf.append(entry)
    if manifest is None:
        raise not_an_apk(name, "it is a zip archive without AndroidManifest.xml")
    signatures = read_signatures(file, archive, meta_inf)
    return Apk(
        name=name,
        size_bytes=archive.size_bytes,
        manifest=read_manifest(archive.read(manifest, limit_bytes=_MAX_MANIFEST_BYTES), name),
        abis=tuple(sorted(abis)),
        signatures=signatures,
        contents=verify_contents(file, archive, entries.values(), signatures, name)
        if verify
        else None,
    )


def require_zip(file: BinaryIO, name: str) -> None:
    """Make sure that `file` starts as a zip archive does.

    Raises:
        ApkError: It does not; the message says what it looks like instead.
    """
    file.seek(0)
    head = file.read(512)
    if head.startswith(LOCAL_HEADER_MAGIC):
        return
    if not head:
        raise not_an_apk(name, "it is empty")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, reason in _OTHER_FORMATS:
        if text.startswith(magic):
            raise not_an_apk(name, reason)
    raise not_an_apk(name, "it is no zip archive")
