"""Addresses that users type, and the TV that they mean."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import LabkitError, UnreachableError, UsageError
from labkit.tv.adb import ListedDevice
from labkit.tv.address import Address, looks_like_address, parse_address
from labkit.tv.known import KnownTv, choose_target, join_known, read_remembered, remember

PORTS = st.integers(1, 65535)


@given(st.ip_addresses(v=4), PORTS)
def test_an_ipv4_address_is_read_back(ip, port):
    """With and without a port."""
    assert parse_address(f"{ip}:{port}") == Address(str(ip), port)
    assert parse_address(f" {ip} ") == Address(str(ip), 5555)


@given(st.ip_addresses(v=6), PORTS)
def test_an_ipv6_address_is_read_back(ip, port):
    """Bare, and in brackets with a port."""
    assert parse_address(str(ip)) == Address(str(ip), 5555)
    address = parse_address(f"[{ip}]:{port}")
    assert address == Address(str(ip), port)
    assert ipaddress.IPv6Address(address.host) == ip
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "h:",
        "h:0",
        "h:65536",
        "h:99999",
        "h:-1",
        "h:+1",
        "h:٣",
        "1.2.3.4:" + "9" * 5000,
        "1.2.3",
        "1.2.3.400",
        "[::1",
        "::g",
        "-h",
        "a b",
        "https://1.2.3.4",
        "a/b",
        "h\n",
        "h:1:2",
    ],
)
def test_what_is_no_address_is_bad_usage(text):
    """Exit code 2, with an example of how it is written."""
    if text == "h\n":  # the shell leaves a line end now and then
        assert parse_address(text).host == "h"
        return
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert caught.value.code == "bad_address"
    assert "192.168.1.20" in caught.value.hint


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_bad_usage(text):
    """And what is one is read back from its own text."""
    looks_like_address(text)
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert parse_address(str(address)) == address


def test_a_pairing_address_needs_its_port():
    """There is no usual one."""
    with pytest.raises(UsageError, match="port is missing"):
        parse_address("192.168.1.20", port_needed=True)


# --- the TV that is meant ------------------------------------------------------------------

LIVING = KnownTv("livingroom", "10.0.0.2:5555", "configuration")
KITCHEN = KnownTv("kitchen", "10.0.0.3:5555", "remembered")


def listed(serial, state="device"):
    """A line of adb's device list."""
    return ListedDevice(serial, state)


@pytest.mark.parametrize(
    ("wanted", "known", "devices", "serial"),
    [
        ("livingroom", [LIVING], [], "10.0.0.2:5555"),
        ("10.0.0.2", [LIVING], [], "10.0.0.2:5555"),
        ("10.0.0.9:4000", [], [], "10.0.0.9:4000"),
        ("USB1", [], [listed("USB1")], "USB1"),
        (None, [LIVING, KITCHEN], [listed("10.0.0.3:5555")], "10.0.0.3:5555"),
        (None, [], [listed("A", "offline"), listed("B")], "B"),
        (None, [LIVING], [], "10.0.0.2:5555"),
    ],
)
def test_a_tv_is_found_by_name_address_serial_or_by_being_the_only_one(
    wanted, known, devices, serial
):
    """What is ready goes before what is not."""
    assert choose_target(wanted, known, devices).serial == serial


@pytest.mark.parametrize(
    ("wanted", "known", "devices", "kind", "said"),
    [
        (None, [], [listed("A"), listed("B")], UsageError, "A, B"),
        (None, [LIVING, KITCHEN], [], UsageError, "livingroom, kitchen"),
        (None, [], [], UnreachableError, "no TV is connected"),
        ("livingrom", [LIVING], [], UsageError, "no TV called livingrom"),
    ],
)
def test_a_tv_that_is_not_clear_is_an_error_that_names_the_choice(
    wanted, known, devices, kind, said
):
    """Several without `--tv`, none, or a typing error."""
    with pytest.raises(kind, match=said) as caught:
        choose_target(wanted, known, devices)
    assert caught.value.hint


def test_two_tvs_of_one_name_are_refused():
    """Configuration and memory must not disagree in silence."""
    with pytest.raises(UsageError, match="two TVs are called tv"):
        join_known({"tv": {"address": "10.0.0.2"}}, {"tv": "10.0.0.3:5555"})
    assert len(join_known({"tv": {"address": "10.0.0.2"}}, {"tv": "10.0.0.2:5555"})) == 1


def test_a_name_is_remembered_and_kept_for_its_tv(tmp_path):
    """Across runs, and a second TV cannot take it."""
    path = tmp_path / "state" / "tvs.json"
    remember(path, (), "tv", "10.0.0.2:5555")
    remember(path, (), "Küche", "10.0.0.3:5555")
    assert read_remembered(path) == {"tv": "10.0.0.2:5555", "Küche": "10.0.0.3:5555"}
    known = join_known({}, read_remembered(path))
    with pytest.raises(UsageError, match="name of another TV"):
        remember(path, known, "tv", "10.0.0.9:5555")
    for name in ("", "10.0.0.2", "a:1"):
        with pytest.raises(UsageError, match="no name"):
            remember(path, known, name, "10.0.0.9:5555")


@given(content=st.binary(max_size=60))
def test_a_damaged_memory_is_an_error_that_names_the_file(content, tmp_path_factory):
    """Or readable, but never a crash."""
    path = tmp_path_factory.mktemp("memory") / "tvs.json"
    path.write_bytes(content)
    with pytest.raises(LabkitError) as caught:
        read_remembered(path)
    assert str(path) in caught.value.hint
    path.unlink()
    assert read_remembered(path) == {}
