"""The table of contents that bundletool writes into its `.apks` archives.

Format: message `BuildApksResult` in bundletool's `commands.proto`, as protobuf (`toc.pb`) or in
protobuf's JSON form (`toc.json`). Only the fields that decide which files belong together are read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

__all__ = ["TocVariant", "parse_toc_json", "parse_toc_pb"]

# Field numbers in commands.proto and targeting.proto.
_VARIANT = 1
_VARIANT_TARGETING, _VARIANT_APK_SET, _VARIANT_NUMBER = 1, 2, 3
_TARGETING_SDK = 1
_SDK_VALUE, _SDK_MIN, _INT32_VALUE = 1, 1, 1
_APK_SET_DESCRIPTION, _DESCRIPTION_PATH = 2, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


@dataclass(frozen=True)
class TocVariant:
    """A set of APKs made for the same devices.

    Attributes:
        number: Its rank: of those that fit, the highest is for the newest devices.
        min_sdk: The lowest API level that it is meant for.
        paths: Its files in the archive.
    """

    number: int
    min_sdk: int
    paths: tuple[str, ...]


def parse_toc_pb(data: bytes) -> tuple[TocVariant, ...]:
    """Read `toc.pb`.

    Raises:
        ValueError: It is damaged.
    """
    return tuple(_variant_pb(_bytes(value)) for value in _fields(data)[_VARIANT])


def parse_toc_json(data: bytes) -> tuple[TocVariant, ...]:
    """Read `toc.json`.

    Raises:
        ValueError: It is damaged.
    """
    try:
        return tuple(_variant_json(variant) for variant in json.loads(data).get("variant", []))
    except (AttributeError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("not a table of contents") from error


def _variant_pb(data: bytes) -> TocVariant:
    variant = _fields(data)
    levels = [
        _int(level)
        for targeting in variant[_VARIANT_TARGETING]
        for sdk in _fields(_bytes(targeting))[_TARGETING_SDK]
        for value in _fields(_bytes(sdk))[_SDK_VALUE]
        for minimum in _fields(_bytes(value))[_SDK_MIN]
        for level in _fields(_bytes(minimum))[_INT32_VALUE]
    ]
    paths = [
        _bytes(path).decode("utf-8")
        for apk_set in variant[_VARIANT_APK_SET]
        for description in _fields(_bytes(apk_set))[_APK_SET_DESCRIPTION]
        for path in _fields(_bytes(description))[_DESCRIPTION_PATH]
    ]
    numbers = [_int(number) for number in variant[_VARIANT_NUMBER]]
    return TocVariant(numbers[-1] if numbers else 0, max(levels, default=1), tuple(paths))


def _variant_json(variant: dict[str, Any]) -> TocVariant:
    levels = [
        # Protobuf's JSON form writes a wrapped number bare; other writers spell it out.
        int(minimum["value"] if isinstance(minimum, dict) else minimum)
        for value in variant.get("targeting", {}).get("sdkVersionTargeting", {}).get("value", [])
        if (minimum := value.get("min")) is not None
    ]
    paths = [
        str(description["path"])
        for apk_set in variant.get("apkSet", [])
        for description in apk_set.get("apkDescription", [])
    ]
    number = int(variant.get("variantNumber", 0))
    return TocVariant(number, max(levels, default=1), tuple(paths))


def _fields(data: bytes) -> defaultdict[int, list[bytes | int]]:
    """Split a protobuf message into its fields, by number."""
    fields: defaultdict[int, list[bytes | int]] = defaultdict(list)
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            fields[key >> 3].append(value)
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError("not a table of contents")
        if size > len(data) - position:
            raise ValueError("the table of contents is cut off")
        fields[key >> 3].append(data[position : position + size])
        position += size
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position + index >= len(data):
            break
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, position + index + 1
    raise ValueError("the table of contents is cut off")


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("not a table of contents")  # noqa: TRY004 - the data is wrong, no type
    return value


def _int(value: bytes | int) -> int:
    if isinstance(value, bytes):
        raise ValueError("not a table of contents")  # noqa: TRY004 - the data is wrong, no type
    return value
