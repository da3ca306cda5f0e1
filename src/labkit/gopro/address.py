"""Where the camera is: the forms of an address that a user may give."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from labkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["DEFAULT_ADDRESS", "Address", "parse_address", "usb_address"]

_MEDIA_PORT = 8080
_CONTROL_PORT = 80


@dataclass(frozen=True)
class Address:
    """A camera's host and ports.

    Attributes:
        host: A name or an IP address.
        port: Where lists and files are.
        control_port: Where cameras before Open GoPro take commands: 80, unless the user named a
            port, who then means a camera behind some other service.
    """

    host: str
    port: int = _MEDIA_PORT
    control_port: int = _CONTROL_PORT

    def url(self, path: str, *, control: bool = False) -> str:
        """Give the URL of `path`, which begins with a slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.control_port if control else self.port}{path}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


DEFAULT_ADDRESS = Address("10.5.5.9")
"""Where every GoPro is for a computer in its own wifi."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


def parse_address(text: str, devices: Mapping[str, Mapping[str, Any]] | None = None) -> Address:
    """Read an address, `host:port`, a URL, or the name of a camera in the configuration.

    Args:
        text: What the user gave.
        devices: Name -> settings, of which `address` or `usb` says where the camera is.

    Raises:
        UsageError: It is none of these.
    """
    settings = (devices or {}).get(text)
    if settings is not None:
        if "usb" in settings:
            return usb_address(str(settings["usb"]))
        if "address" not in settings:
            raise UsageError(
                f"the configuration names the camera {text!r}, but gives it no address",
                hint=f'write `address = "10.5.5.9"` or `usb = "789"` below [gopro.{text}]',
            )
        text = str(settings["address"])
    parts = _split(text if "://" in text else f"http://{text}")
    if parts is None:
        raise _bad_address(text)
    host, port = parts
    return Address(host) if port is None else Address(host, port, _control_port(port))


def _control_port(port: int) -> int:
    return _CONTROL_PORT if port == _MEDIA_PORT else port


def _split(url: str) -> tuple[str, int | None] | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or parts.username or not host or port == 0:
        return None
    if parts.path.strip("/") or parts.query:
        return None
    return (host, port) if _is_host(host) else None


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(_HOST.fullmatch(host))
    return True


def _bad_address(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is no camera's address",
        hint="give a host, host:port or http URL, or a name from the configuration; "
        "for a camera on a USB cable, `--usb` with the last three digits of its serial number",
        code="bad-address",
    )


def usb_address(digits: str) -> Address:
    """Compute the address of a camera on a USB cable: `789` -> 172.27.189.51.

    The rule is that of GoPro's specification: 172.2X.1YZ.51 for a serial number that ends in XYZ.

    Args:
        digits: The serial number, or its last three digits.

    Raises:
        UsageError: It does not end in three digits.
    """
    match = re.search(r"([0-9])([0-9])([0-9])$", digits.strip(), re.ASCII)
    if match is None:
        raise UsageError(
            f"{digits!r} does not end in three digits",
            hint="the serial number is inside the battery door and in the camera's About menu",
            code="bad-address",
        )
    x, y, z = match.groups()
    return Address(f"172.2{x}.1{y}{z}.51")
