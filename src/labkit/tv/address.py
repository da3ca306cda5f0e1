"""Where a TV is: the address that the user types."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from labkit.errors import UsageError
from labkit.tv.faults import adb_error

__all__ = ["DEFAULT_PORT", "Address", "looks_like_address", "parse_address", "probe"]

DEFAULT_PORT = 5555
_LAST_PORT = 65535
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")


@dataclass(frozen=True)
class Address:
    """A TV's place in the network.

    Attributes:
        host: A name or an IP address, an IPv6 one without brackets.
        port: The TCP port, 1 to 65535.
    """

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str, *, port_needed: bool = False) -> Address:
    """Read `HOST`, `HOST:PORT`, `[IPv6]:PORT` or a bare IPv6 address.

    Args:
        text: What the user typed.
        port_needed: Whether it must name its port.

    Raises:
        UsageError: It is no address, or its port is none.
    """
    host, port = _split(text.strip())
    if port is None:
        if port_needed:
            raise _bad(text, "the port is missing; the TV shows it beside the address")
        return Address(_checked_host(host, text))
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) <= _LAST_PORT:
        raise _bad(text, f"{port!r} is no port; ports go from 1 to {_LAST_PORT}")
    return Address(_checked_host(host, text), int(port))


def looks_like_address(text: str) -> bool:
    """Tell whether `text` can be an address that labkit may connect to: it has a dot or a colon."""
    try:
        parse_address(text)
    except UsageError:
        return False
    return "." in text or ":" in text or text == "localhost"


def probe(address: Address, *, timeout_s: float) -> None:
    """Open and close a TCP connection, which tells why a TV does not answer better than adb does.

    Raises:
        UnreachableError: The name is unknown, the port is closed, or nothing answers.
    """
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout_s):
            return
    except socket.gaierror as error:
        raise adb_error("resolve", str(address)) from error
    except TimeoutError as error:
        raise adb_error("conn_timeout", str(address)) from error
    except ConnectionRefusedError as error:
        raise adb_error("conn_refused", str(address)) from error
    except (OSError, UnicodeError) as error:
        raise adb_error("no_route", str(address), str(error)) from error


def _split(text: str) -> tuple[str, str | None]:
    if match := re.fullmatch(r"\[(.*)\](?::(.*))?", text):
        return match[1], match[2]
    if text.count(":") > 1:  # a bare IPv6 address
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _checked_host(host: str, text: str) -> str:
    if "://" in text:
        raise _bad(text, "leave out what stands before ://")
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise _bad(text, str(error)) from error
    if re.fullmatch(r"[\d.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise _bad(text, str(error)) from error
    if not _HOST_NAME.fullmatch(host):
        raise _bad(text, "it names no host")
    return host


def _bad(text: str, reason: str) -> UsageError:
    return UsageError(
        f"{text!r} is not an address: {reason}",
        hint="write HOST or HOST:PORT, for instance 192.168.1.20 or 192.168.1.20:5555",
        code="bad_address",
    )
