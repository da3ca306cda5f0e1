"""Boot Loader Specification entries: their order, ids and keys."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.boot.bls import BlsEntry, compare_versions, parse_bls_entry, sort_bls_entries
from labkit.errors import InputError

OLDER_FIRST = [
    "1.0~rc1",
    "1.0",
    "1.0^git1",
    "1.0.a",
    "1.0.1",
    "1.2",
    "1.9",
    "1.10",
    "2",
]


@pytest.mark.parametrize(("older", "newer"), list(itertools.combinations(OLDER_FIRST, 2)))
def test_versions_compare_as_rpm_compares_them(older, newer):
    """Numbers by value, letters before numbers, a tilde before the end."""
    assert compare_versions(older, newer) == -1
    assert compare_versions(newer, older) == 1


@pytest.mark.parametrize(("one", "two"), [("1.0", "1.0"), ("1.010", "1.10"), ("1_0", "1.0")])
def test_equal_versions(one, two):
    """Leading zeros and the kind of separator do not count."""
    assert compare_versions(one, two) == 0


_VERSIONS = st.text("019ab.~^-", max_size=8)


@given(_VERSIONS, _VERSIONS)
def test_comparing_the_other_way_round_gives_the_opposite(one, two):
    """The order does not depend on which comes first."""
    assert compare_versions(one, two) == -compare_versions(two, one)


def test_the_menu_begins_with_the_newest_kernel():
    """By file name, as GRUB's blscfg sorts; the rescue entry comes last."""
    ids = ["6b1-0-rescue", "6b1-6.9.12-200.fc40", "6b1-6.10.3-200.fc40", "6b1-6.10.10-200.fc40"]
    ordered = sort_bls_entries(BlsEntry(name, name) for name in ids)

    assert [entry.id for entry in ordered] == [ids[3], ids[2], ids[1], ids[0]]


def test_an_entry_file_is_read():
    """Keys with blanks or TABs before the value; several initrd lines; the name is the id."""
    entry = parse_bls_entry(
        "/boot/loader/entries/6b1-6.9.conf",
        "# comment\ntitle\tFedora 6.9\nversion 6.9\nlinux /vmlinuz\ninitrd /a\ninitrd /b /c\n"
        "options root=UUID=x ro\noptions quiet\n",
    )
    assert entry == BlsEntry(
        "6b1-6.9",
        "Fedora 6.9",
        "6.9",
        "/vmlinuz",
        ("/a", "/b", "/c"),
        "root=UUID=x ro quiet",
    )
    assert parse_bls_entry("x.conf", "linux /vmlinuz\n").title == "x"
    with pytest.raises(InputError, match="not a boot loader entry"):
        parse_bls_entry("notes.conf", "hello\n")
