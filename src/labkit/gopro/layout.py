"""Where a file goes below the destination: `{date}/{name}` and its fields."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.gopro.errors import LayoutError
from labkit.gopro.names import escaped, file_name_fault, split_name

if TYPE_CHECKING:
    from datetime import datetime

    from labkit.gopro.listing import ListedFile
    from labkit.gopro.names import MediaName

__all__ = ["DEFAULT_LAYOUT", "FIELDS", "Layout", "parse_layout", "with_counter"]

DEFAULT_LAYOUT = "{date}/{name}"

FIELDS = {
    "name": "the name on the camera",
    "stem": "the name without its extension",
    "ext": "the extension, as written",
    "folder": "the folder on the camera",
    "clip": "the name that all chapters of a clip share",
    "chapter": "the part of the clip, 01 for what has no parts",
    "kind": "video, photo, raw, audio, proxy, thumb or other",
    "camera": "the model and the last digits of the serial number",
    "date": "the day, 2024-06-15; {date:%Y/%m} takes any strftime format",
}
"""Field -> what it stands for."""

UNDATED = "undated"
_DATE_FORMAT = "%Y-%m-%d"
# strftime writes a code that it does not know as it is: the codes of C and Python, and the GNU
# flags for padding and case.
_DATE_FORMATS = re.compile(r"(?:[^%]|%[-_0^#]?[aAbBcCdDeFfgGhHIjklmMnprRsStTuUVwWxXyYzZ%])*")


@dataclass(frozen=True)
class Layout:
    """A checked layout.

    Attributes:
        text: As the user wrote it.
        parts: Literal text, field, format; in order.
    """

    text: str
    parts: tuple[tuple[str, str | None, str], ...]

    def path(
        self, file: ListedFile, media: MediaName, taken_at: datetime | None, camera: str
    ) -> str:
        """Give the path of `file`, relative to the destination, with slashes.

        Raises:
            LayoutError: The result is no safe path.
        """
        stem, extension = split_name(file.name)
        values = {
            "name": file.name,
            "stem": stem,
            "ext": extension,
            "folder": file.folder,
            "clip": media.clip,
            "chapter": f"{media.chapter or 1:02d}",
            "kind": str(media.kind),
            "camera": camera,
        }
        text = "".join(
            literal + ("" if field is None else _value(field, form, values, taken_at))
            for literal, field, form in self.parts
        )
        segments = [segment for segment in text.split("/") if segment not in {"", "."}]
        for segment in segments:
            fault = file_name_fault(segment)
            if fault is not None:
                raise LayoutError(
                    f"the layout {self.text!r} makes {escaped(segment)} of {file.name}: {fault}",
                    hint=_FIELDS_HINT,
                )
        # No pathlib here: it would keep every part of every path in memory for good.
        return "/".join(segments)


_FIELDS_HINT = f"the fields are {', '.join(f'{{{name}}}' for name in FIELDS)}"


def _value(field: str, form: str, values: dict[str, str], taken_at: datetime | None) -> str:
    if field != "date":
        return values[field]
    if taken_at is None:
        return UNDATED
    try:
        return taken_at.strftime(form or _DATE_FORMAT)
    except ValueError as error:
        raise _no_date_format(form) from error


def _no_date_format(form: str) -> LayoutError:
    return LayoutError(
        f"{{date:{form}}} is no format of a date",
        hint="write it as strftime does: {date:%Y-%m-%d}, {date:%Y/%m}, {date:%H%M}",
    )


def parse_layout(text: str) -> Layout:
    """Read a layout such as `{camera}/{date:%Y-%m}/{clip}-{chapter}.{ext}`.

    Raises:
        LayoutError: A field is unknown, a brace is open, or it leads out of the destination.
    """
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise LayoutError(f"the layout {text!r} has an open brace", hint=_FIELDS_HINT) from error
    parts: list[tuple[str, str | None, str]] = []
    for literal, field, form, conversion in parsed:
        if field is not None and (field not in FIELDS or conversion):
            raise LayoutError(f"the layout has no field {{{field}}}", hint=_FIELDS_HINT)
        if form and field != "date":
            raise LayoutError(f"only {{date}} takes a format, not {{{field}}}", hint=_FIELDS_HINT)
        if form and not _DATE_FORMATS.fullmatch(form):
            raise _no_date_format(form)
        parts.append((literal, field, form or ""))
    if not text.strip() or text.endswith("/"):
        raise LayoutError(f"the layout {text!r} names no file", hint=_FIELDS_HINT)
    if text.startswith(("/", "~")) or ".." in text.split("/") or "\\" in text:
        raise LayoutError(f"the layout {text!r} leads out of the destination", hint=_FIELDS_HINT)
    return Layout(text, tuple(parts))


def with_counter(path: str, count: int) -> str:
    """Give the path for the `count`-th file of one name: `GX010001.MP4` -> `GX010001-2.MP4`."""
    folder, slash, name = path.rpartition("/")
    stem, extension = split_name(name)
    return f"{folder}{slash}{stem}-{count}" + (f".{extension}" if extension else "")
