"""The folder pages of the fake camera, in the markup of both web servers that cameras use."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from labkit.gopro.fake.card import CardFile

__all__ = ["Markup", "folder_page", "root_page"]

Markup = Literal["civetweb", "cherokee"]

_KILO = 1024
_CHEROKEE_LIMIT = 973
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_HOSTILE = (
    ("../../etc/passwd", "passwd"),
    ("%2e%2e%2fevil.MP4", "evil.MP4"),
    ("http://127.0.0.2/GX010666.MP4", "GX010666.MP4"),
    ("?x=GX010667.MP4", "GX010667.MP4"),
    ("a%00b.JPG", "a.JPG"),
)


def root_page(path: str, folders: Iterable[str], markup: Markup) -> bytes:
    """Build the page that shows the folders below `path`."""
    rows = [
        (f"{quote(folder)}/", f"{escape(folder)}/", "01-Jan-2024 00:00", None) for folder in folders
    ]
    return _page(path, rows, markup)


def folder_page(
    path: str, files: Iterable[CardFile], markup: Markup, *, hostile: bool = False
) -> bytes:
    """Build the page of a folder's files, with hostile links among them where asked for."""
    rows: list[_Row] = [
        (quote(file.name), escape(file.name), _date(file.created), file.size) for file in files
    ]
    if hostile:
        rows += [(href, text, "01-Jan-2024 00:00", 1000) for href, text in _HOSTILE]
    return _page(path, rows, markup)


_Row = tuple[str, str, str, int | None]


def _page(path: str, rows: Iterable[_Row], markup: Markup) -> bytes:
    build = _civetweb_row if markup == "civetweb" else _cherokee_row
    body = "".join(build(*row) for row in rows)
    title = f"<title>Index of {path}</title>"
    if markup == "civetweb":
        page = (
            f"<html><head>{title}</head><body><h1>Index of {path}</h1><pre>"
            '<table cellpadding="0"><tr><th><a href="?nd">Name</a></th></tr>'
            '<tr><td><a href="..">Parent directory</a></td><td>&nbsp;-</td>'
            f"<td>&nbsp;&nbsp;-</td></tr>\n{body}</table></pre></body></html>"
        )
    else:
        page = (
            f'<html><head>{title}</head><body><div id="dirlist"><h1>Index of {path}</h1>'
            '<table><thead class="headings"><tr><td><a href="?order=N">Name</a></td></tr></thead>'
            f"<tbody>{body}</tbody></table></div></body></html>"
        )
    return page.encode()


def _civetweb_row(href: str, text: str, date: str, size: int | None) -> str:
    return (
        f'<tr><td><a href="{href}">{text}</a></td><td>&nbsp;{date}</td>'
        f"<td>&nbsp;&nbsp;{_civetweb_size(size)}</td></tr>\n"
    )


def _civetweb_size(size: int | None) -> str:
    if size is None:
        return "[DIRECTORY]"
    if size < _KILO:
        return str(size)
    if size < _KILO**2:
        return f"{size / _KILO:.1f}k"
    return f"{size / _KILO**2:.1f}M" if size < _KILO**3 else f"{size / _KILO**3:.1f}G"


def _cherokee_row(href: str, text: str, date: str, size: int | None) -> str:
    digits, unit = _cherokee_size(size)
    alt = "[DIR]" if size is None else "[   ]"
    return (
        f'<tr><td><img class="icon" src="/icons/x.png" alt="{alt}" /></td>'
        f'<td><a class="link" href="{href}">{text.rstrip("/")}</a></td>'
        f'<td><span class="date">{date}</span></td><td class="size">'
        f'<span class="size">{digits}</span><span class="unit">{unit}</span></td></tr>'
    )


def _cherokee_size(size: int | None) -> tuple[str, str]:
    """Print a size as Cherokee does, which cuts the text at its first character but a digit."""
    if size is None:
        return "-", ""
    value, units = float(size), iter(" KMGTPE")
    unit = next(units)
    while value >= _CHEROKEE_LIMIT:
        value /= _KILO
        unit = next(units)
    if unit == " ":
        text = str(size)
    elif value < 9.95:  # noqa: PLR2004 - Cherokee's own limit
        text = f"{value:.1f}{unit}"
    else:
        text = f"{value:3.0f}{unit}"
    cut = next((index for index, char in enumerate(text) if not char.isdigit()), len(text))
    return text[:cut], text[cut:]


def _date(created: int) -> str:
    wall = datetime.fromtimestamp(created, UTC)
    return f"{wall:%d}-{_MONTHS[wall.month - 1]}-{wall:%Y %H:%M}"
