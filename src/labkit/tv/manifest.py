"""What an app's binary manifest declares, as it declares it.

The document's structure is read through apkInspector. Strings are decoded here, because that
package (1.3.7) takes one byte for the length of every UTF-8 string, which cuts text that is long
or not ASCII, and decodes the whole pool at once, however large a hostile file makes it.
Attributes are told apart by their resource number, as Android does; their names may be missing.

Format: `ResourceTypes.h` of the Android Open Source Project.
"""

from __future__ import annotations

import io
import logging
import struct
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labkit.tv.errors import ApkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Manifest", "Requirement", "read_manifest"]

# Resource numbers of android: attributes (android.R.attr), public and therefore stable.
_ATTRIBUTES = {
    0x01010003: "name",
    0x0101000F: "debuggable",
    0x0101020C: "minSdkVersion",
    0x0101021B: "versionCode",
    0x0101021C: "versionName",
    0x01010270: "targetSdkVersion",
    0x01010271: "maxSdkVersion",
    0x01010272: "testOnly",
    0x0101028E: "required",
    0x010103F2: "banner",
    0x010104EA: "extractNativeLibs",
    0x0101055B: "isFeatureSplit",
    0x01010576: "versionCodeMajor",
    0x01010591: "isSplitRequired",
    0x0101064E: "requiredSplitTypes",
    0x0101064F: "splitTypes",
}
_ANDROID = "android:"
_NONE = 0xFFFFFFFF
_REFERENCE, _STRING, _DECIMAL, _HEXADECIMAL, _BOOLEAN = 0x01, 0x03, 0x10, 0x11, 0x12
_XML_CHUNK, _STRING_POOL_CHUNK, _RESOURCE_MAP_CHUNK, _FIRST_NODE_CHUNK = 0x3, 0x1, 0x180, 0x100
_CHUNK_HEADER = struct.Struct("<HHI")
_UTF8_POOL = 0x100
_MAX_TEXT_BYTES = 32 << 20

_MAIN = "android.intent.action.MAIN"
_TV_LAUNCHER = "android.intent.category.LEANBACK_LAUNCHER"
_LAUNCHER = "android.intent.category.LAUNCHER"


@dataclass(frozen=True)
class Requirement:
    """A feature of the device, or a library on it, that an app names.

    Attributes:
        name: For instance `android.hardware.touchscreen`.
        required: Whether the app says that it cannot do without.
    """

    name: str
    required: bool = True


@dataclass(frozen=True)
class Manifest:
    """The declarations of `AndroidManifest.xml`; None where the attribute is absent.

    Attributes:
        version_name: Its text; None as well where it refers to a resource.
        version_name_is_reference: Whether it refers to a resource of the app.
        min_sdk: The lowest Android API level, or the code name of a preview.
        target_sdk: The API level it is made for, or the code name of a preview.
        split: The name of the part, for a part of a split app; None for its base.
        config_for_split: The part that this configuration part belongs to; empty for the base.
        launcher: Whether it has an entry in a phone's app list.
        tv_launcher: Whether it has a tile on a TV's home screen.
        banner: Whether it has a banner image for that tile.
    """

    package: str
    version_code: int | None = None
    version_code_major: int | None = None
    version_name: str | None = None
    version_name_is_reference: bool = False
    min_sdk: int | str | None = None
    target_sdk: int | str | None = None
    max_sdk: int | None = None
    split: str | None = None
    config_for_split: str | None = None
    is_feature_split: bool = False
    is_split_required: bool = False
    required_split_types: tuple[str, ...] = ()
    split_types: tuple[str, ...] = ()
    debuggable: bool = False
    test_only: bool = False
    extract_native_libs: bool | None = None
    launcher: bool = False
    tv_launcher: bool = False
    banner: bool = False
    features: tuple[Requirement, ...] = ()
    libraries: tuple[Requirement, ...] = ()


@dataclass(frozen=True)
class _Reference:
    """A value that stands in the app's resources."""

    number: int


_Value = int | str | bool | _Reference | None


@dataclass
class _Element:
    tag: str
    attributes: Mapping[str, _Value]
    children: list[_Element] = field(default_factory=list)

    def android(self, name: str) -> _Value:
        return self.attributes.get(_ANDROID + name)

    def all(self, *tags: str) -> Iterable[_Element]:
        return (child for child in self.children if child.tag in tags)


def read_manifest(data: bytes, file_name: str) -> Manifest:
    """Read a binary `AndroidManifest.xml`.

    Args:
        data: The file's bytes.
        file_name: The APK that it comes from, for messages.

    Raises:
        ApkError: It is not a binary manifest, is damaged or names no package.
    """
    if data.lstrip()[:1] == b"<":
        raise ApkError(
            f"the manifest of {file_name} is plain text: this is an app's source, not an app",
            hint="build it first, or download the built APK",
        )
    try:
        root = _read_tree(data)
    except _BROKEN as error:
        raise ApkError(
            f"the manifest of {file_name} is damaged ({str(error) or type(error).__name__})",
            hint="download it again",
        ) from error
    package = root.attributes.get("package") if root else None
    if root is None or root.tag != "manifest" or not isinstance(package, str) or not package:
        raise ApkError(f"the manifest of {file_name} names no package", hint="download it again")
    return _declarations(root, package)


# What apkInspector and the reader below let out over damaged bytes.
_BROKEN = (
    struct.error,
    ValueError,
    IndexError,
    AttributeError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
)


def _declarations(root: _Element, package: str) -> Manifest:
    sdk: dict[str, _Value] = {}
    for element in root.all("uses-sdk"):
        sdk.update(element.attributes)
    applications = list(root.all("application"))
    application = applications[0] if applications else _Element("application", {})
    activities = list(application.all("activity", "activity-alias"))
    entries = [kind for activity in activities for kind in _entries(activity)]
    version_name = root.android("versionName")
    return Manifest(
        package=package,
        version_code=_number(root.android("versionCode")),
        version_code_major=_number(root.android("versionCodeMajor")),
        version_name=None if isinstance(version_name, _Reference) else _text(version_name),
        version_name_is_reference=isinstance(version_name, _Reference),
        min_sdk=_level(sdk.get(_ANDROID + "minSdkVersion")),
        target_sdk=_level(sdk.get(_ANDROID + "targetSdkVersion")),
        max_sdk=_number(sdk.get(_ANDROID + "maxSdkVersion")),
        split=_text(root.attributes.get("split")) or None,
        config_for_split=_text(root.attributes.get("configForSplit")),
        is_feature_split=_flag(root.android("isFeatureSplit")),
        is_split_required=_flag(root.android("isSplitRequired")),
        required_split_types=_names(root.android("requiredSplitTypes")),
        split_types=_names(root.android("splitTypes")),
        debuggable=_flag(application.android("debuggable")),
        test_only=_flag(application.android("testOnly")),
        extract_native_libs=_optional_flag(application.android("extractNativeLibs")),
        launcher=_LAUNCHER in entries,
        tv_launcher=_TV_LAUNCHER in entries,
        banner=any(part.android("banner") is not None for part in [application, *activities]),
        features=_requirements(root.all("uses-feature")),
        libraries=_requirements(application.all("uses-library")),
    )


def _entries(activity: _Element) -> Iterator[str]:
    """Iterate over the categories of the intent filters that make an activity an entry point."""
    for intent_filter in activity.all("intent-filter"):
        if any(action.android("name") == _MAIN for action in intent_filter.all("action")):
            for category in intent_filter.all("category"):
                yield str(category.android("name"))


def _requirements(elements: Iterable[_Element]) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(name, required=_flag(element.android("required"), default=True))
        for element in elements
        if isinstance(name := element.android("name"), str)
    )


def _text(value: _Value) -> str | None:
    if value is None or isinstance(value, _Reference):
        return None
    return str(value)


def _number(value: _Value) -> int | None:
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            return None
    return value if isinstance(value, int) else None


def _level(value: _Value) -> int | str | None:
    number = _number(value)
    return number if number is not None else _text(value)


def _flag(value: _Value, *, default: bool = False) -> bool:
    flag = _optional_flag(value)
    return default if flag is None else flag


def _optional_flag(value: _Value) -> bool | None:
    if isinstance(value, str):
        return value.lower() == "true"
    return bool(value) if isinstance(value, int) else None


def _names(value: _Value) -> tuple[str, ...]:
    return tuple(name.strip() for name in (_text(value) or "").split(",") if name.strip())


class _StringPool:
    """The strings of a document, decoded when asked for.

    Args:
        chunk: The whole chunk.
        header: Its header, as apkInspector reads it.
    """

    def __init__(self, chunk: bytes, header: Any) -> None:  # noqa: ANN401 - untyped package
        self._chunk = chunk
        self._count: int = header.string_count
        self._utf8 = bool(header.flags & _UTF8_POOL)
        self._first_offset: int = header.header.header_size
        self._strings_start: int = header.strings_start
        self._decoded: dict[int, str] = {}
        self._budget = _MAX_TEXT_BYTES

    def get(self, index: int) -> str | None:
        """Return the string number `index`; None where there is none."""
        if not 0 <= index < self._count:
            return None
        (offset,) = struct.unpack_from("<I", self._chunk, self._first_offset + 4 * index)
        if offset not in self._decoded:
            self._decoded[offset] = self._decode(self._strings_start + offset)
        return self._decoded[offset]

    def _decode(self, position: int) -> str:
        if self._utf8:
            _, position = self._length(position)  # in UTF-16 units: of no use here
            size, position = self._length(position)
        else:
            units, position = self._length(position)
            size = 2 * units
        self._budget -= size
        if size > len(self._chunk) - position or self._budget < 0:
            raise ValueError("strings larger than the file")
        raw = self._chunk[position : position + size]
        return raw.decode("utf-8" if self._utf8 else "utf-16-le", errors="replace")

    def _length(self, position: int) -> tuple[int, int]:
        """Read a length of one or two units, where the top bit says that a second one follows."""
        unit, bits = ("<B", 8) if self._utf8 else ("<H", 16)
        width = bits // 8
        (first,) = struct.unpack_from(unit, self._chunk, position)
        if not first >> (bits - 1):
            return first, position + width
        (second,) = struct.unpack_from(unit, self._chunk, position + width)
        return (first & ((1 << (bits - 1)) - 1)) << bits | second, position + 2 * width


def _read_tree(data: bytes) -> _Element | None:
    with _quiet_logging():
        from apkInspector import axml

        return _build_tree(axml, data)


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Keep apkInspector from configuring the root logger, and from writing to standard error.

    It calls `logging.basicConfig` when imported and logs through the root logger; both do nothing
    of their own as long as that logger has a handler.
    """
    handler = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _build_tree(axml: Any, data: bytes) -> _Element | None:  # noqa: ANN401 - untyped package
    strings, numbers, nodes = _split_chunks(axml, data)
    root: _Element | None = None
    stack: list[_Element] = []
    for node in axml.ManifestStruct.process_elements(io.BytesIO(nodes)):
        if isinstance(node, axml.XmlStartElement):
            attributes = dict(_attributes(node.attributes, strings, numbers))
            element = _Element(strings.get(node.attrext[1]) or "", attributes)
            if stack:
                stack[-1].children.append(element)
            root = root or element
            stack.append(element)
        elif isinstance(node, axml.XmlEndElement) and stack:
            stack.pop()
    return root


def _split_chunks(axml: Any, data: bytes) -> tuple[_StringPool, list[int], bytes]:  # noqa: ANN401
    """Find the string pool, the attributes' resource numbers and the nodes behind them."""
    start = axml.ResChunkHeader.parse(io.BytesIO(data))
    if start is None or start.header_size < _CHUNK_HEADER.size or start.type not in (0, _XML_CHUNK):
        raise ValueError("not binary XML")
    strings: _StringPool | None = None
    numbers: list[int] = []
    position = start.header_size
    while position + _CHUNK_HEADER.size <= len(data):
        kind, header_size, size = _CHUNK_HEADER.unpack_from(data, position)
        if kind >= _FIRST_NODE_CHUNK and kind != _RESOURCE_MAP_CHUNK:
            break
        if not _CHUNK_HEADER.size <= header_size <= size <= len(data) - position:
            raise ValueError("a record of impossible size")
        chunk = data[position : position + size]
        if kind == _STRING_POOL_CHUNK and strings is None:
            strings = _StringPool(chunk, axml.ResStringPoolHeader.parse(io.BytesIO(chunk)))
        elif kind == _RESOURCE_MAP_CHUNK:
            numbers = axml.XmlResourceMapType.parse(io.BytesIO(chunk)).resids
        position += size
    if strings is None:
        raise ValueError("no strings")
    return strings, numbers, data[position:]


def _attributes(
    attributes: Iterable[Any], strings: _StringPool, numbers: list[int]
) -> Iterator[tuple[str, _Value]]:
    for attribute in attributes:
        index = attribute.name_index
        name = _ATTRIBUTES.get(numbers[index]) if index < len(numbers) else None
        if name is not None:
            key = _ANDROID + name
        elif attribute.full_namespace_index == _NONE:
            key = strings.get(index) or ""
        else:
            key = _ANDROID + (strings.get(index) or "")
        yield key, _value(attribute, strings)


def _value(attribute: Any, strings: _StringPool) -> _Value:  # noqa: ANN401 - untyped package
    number: int = attribute.typed_value_data
    kind: int = attribute.typed_value_datatype
    if kind == _STRING:
        return strings.get(number)
    if kind == _REFERENCE:
        return _Reference(number)
    if kind == _BOOLEAN:
        return bool(number)
    if kind in (_DECIMAL, _HEXADECIMAL):
        return number
    return strings.get(attribute.raw_value_index)
