"""Where the camera is: every form of an address."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.gopro import DEFAULT_ADDRESS, Address, parse_address, usb_address
from labkit.gopro.link import reach_hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.5.5.9", Address("10.5.5.9", 8080, 80)),
        ("10.5.5.9:8080", Address("10.5.5.9", 8080, 80)),
        ("127.0.0.1:18080", Address("127.0.0.1", 18080, 18080)),
        ("http://127.0.0.1:18080/", Address("127.0.0.1", 18080, 18080)),
        ("gopro.local", Address("gopro.local", 8080, 80)),
        ("[::1]:8080", Address("::1", 8080, 80)),
        ("helmet", Address("192.168.7.7", 8080, 80)),
        ("boat", Address("172.27.189.51", 8080, 80)),
    ],
)
def test_forms(text, expected):
    """Host, port, URL, and names from the configuration."""
    devices = {"helmet": {"address": "192.168.7.7"}, "boat": {"usb": "789"}}

    assert parse_address(text, devices) == expected


@pytest.mark.parametrize(
    "text",
    ["", "a b", "https://10.5.5.9", "http://u:p@h", "h:99999", "h:0", "http://h/path", "h?x", "-h"],
)
def test_what_is_no_address(text):
    """A usage error that shows the forms."""
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert "host:port" in caught.value.hint


def test_a_name_without_address():
    """The configuration knows the name, and not where it is."""
    with pytest.raises(UsageError, match="no address"):
        parse_address("helmet", {"helmet": {}})


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_usage_error(text):
    """Nothing else."""
    with contextlib.suppress(UsageError):
        assert parse_address(text).host


@pytest.mark.parametrize(
    ("digits", "host"),
    [("789", "172.27.189.51"), ("000", "172.20.100.51"), ("C3461324500012", "172.20.112.51")],
)
def test_usb_addresses(digits, host):
    """The specification's rule: 172.2X.1YZ.51."""
    assert usb_address(digits).host == host


def test_urls():
    """Lists and files on one port, commands of older cameras on another; IPv6 in brackets."""
    assert DEFAULT_ADDRESS.url("/x") == "http://10.5.5.9:8080/x"
    assert DEFAULT_ADDRESS.url("/x", control=True) == "http://10.5.5.9:80/x"
    assert Address("::1").url("/x") == "http://[::1]:8080/x"
    assert str(Address("::1")) == "[::1]:8080"


@pytest.mark.parametrize(
    ("platform", "word"),
    [("linux", "nmcli"), ("darwin", "menu"), ("win32", "flyout"), ("aix", "--usb")],
)
def test_the_way_into_the_cameras_wifi(platform, word):
    """Each system has its own."""
    assert word in reach_hint(platform)
