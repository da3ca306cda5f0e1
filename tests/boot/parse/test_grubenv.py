"""GRUB's environment block: what grub-editenv writes is read back, what GRUB ignores is refused."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.boot.grubenv import parse_grubenv
from labkit.errors import InputError

HEADER = b"# GRUB Environment Block\n"


@pytest.fixture
def block(need_tool, tmp_path):
    """A function that lets grub-editenv write variables."""
    editenv = need_tool("grub-editenv")
    path = tmp_path / "grubenv"

    def write(*assignments):
        subprocess.run([editenv, path, "create"], check=True, timeout=20)
        if assignments:
            subprocess.run([editenv, path, "set", *assignments], check=True, timeout=20)
        return path.read_bytes()

    return write


@pytest.mark.parametrize(
    "value",
    ["2", "gnulinux-advanced>old", "Joe's OS", "a=b", "back\\slash", "two\nlines", "\\\n\\", ""],
)
def test_what_grub_editenv_writes_is_read_back(block, value):
    """Backslashes, line ends and equals signs in a value included."""
    read = parse_grubenv(block(f"saved_entry={value}", "next_entry="))

    assert read.variables == {"saved_entry": value, "next_entry": ""}
    assert read.standard_size


def test_a_new_block_holds_nothing(block):
    """Only header and filler."""
    read = parse_grubenv(block())

    assert read.variables == {}
    assert read.filler_bytes > 800


@pytest.mark.parametrize("size", [1000, 1023, 1025, 2048, 4096])
def test_other_sizes_are_read_as_grub_reads_them(size):
    """GRUB 2.06 does; the size is merely told."""
    read = parse_grubenv((HEADER + b"saved_entry=2\n").ljust(size, b"#"))

    assert read.variables == {"saved_entry": "2"}
    assert not read.standard_size


@pytest.mark.parametrize(
    "data", [b"", b"saved_entry=2\n", HEADER.replace(b"\n", b"\r\n") + b"saved_entry=2\r\n"]
)
def test_a_block_that_grub_ignores_is_refused(data):
    """Empty, without header, with Windows line ends."""
    with pytest.raises(InputError, match="not a GRUB environment block"):
        parse_grubenv(data)


def test_a_last_value_without_line_end_is_lost():
    """As in GRUB: the filler follows it on the same line."""
    assert parse_grubenv(HEADER + b"a=1\nsaved_entry=2####").variables == {"a": "1"}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text("ab\\\n =#é")))
def test_any_variables_survive_the_format(variables):
    """Escaping by the format's rule and reading give the same."""
    data = HEADER + b"".join(
        f"{name}={value}".replace("\\", "\\\\").replace("\n", "\\\n").encode() + b"\n"
        for name, value in variables.items()
    )
    assert parse_grubenv(data + b"#" * 10).variables == variables
