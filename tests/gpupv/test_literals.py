"""User values as PowerShell literals: ASCII, one value each, and they decode to the input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.gpupv.literals import literal, string_literal
from labkit.gpupv.tokenizer import SINGLE_QUOTES, ScriptError, read_data

TEXTS = st.text(st.characters(codec=None), max_size=40) | st.text(
    st.sampled_from("'\u2018\u2019\u201a\u201b\"\u201c\u201d\u201e`$@(){}#<>-\u2013;\r\n \u0085ab"),
    max_size=30,
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**64 - 1) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True), inner)
    ),
    max_leaves=12,
)


@given(DATA)
def test_every_literal_decodes_to_what_went_in(value):
    """Any text, lone surrogates and controls included, survives as itself."""
    assert read_data(f"$Plan = {literal(value)}\n", "Plan") == value


@given(TEXTS)
def test_literal_of_a_text_is_printable_ascii_on_one_line(value):
    """No quote but U+0027, no control and nothing that a code page could change is left."""
    assert all(" " <= character <= "~" for character in string_literal(value))


@pytest.mark.parametrize("quote", SINGLE_QUOTES)
def test_none_of_the_five_quotes_ends_a_literal(quote):
    """What follows a quote in a value stays part of the value."""
    value = f"x{quote}; Stop-Computer -Force #"
    assert read_data(f"$Plan = {string_literal(value)}", "Plan") == value


def test_sum_begins_with_a_string():
    """A leading [char] would make PowerShell add numbers."""
    assert string_literal("\u2019a") == "('' + [char]0x2019 + 'a')"


def test_character_beyond_the_first_plane_is_two_units():
    """PowerShell strings are UTF-16."""
    assert string_literal("\U0001f3ae") == "('' + [char]0xD83C + [char]0xDFAE)"


def test_number_beyond_int64_is_cast():
    """18446744073709551615 alone is a Decimal in PowerShell."""
    assert literal(2**64 - 1) == "[uint64]18446744073709551615"
    assert literal(2**63 - 1) == "9223372036854775807"


@pytest.mark.parametrize("value", [-1, 2**64, {"a b": 1}, {"$x": 1}, {"": 1}])
def test_what_has_no_literal_is_refused(value):
    """Negative and huge numbers and odd keys never reach a script."""
    with pytest.raises(ValueError, match="is no"):
        literal(value)


@pytest.mark.parametrize(
    "script",
    [
        "$Plan = 'a' 'b'.Length + (Get-Date)",
        "$Plan = (Get-Date)",
        "$Plan = @{ a = $x }",
        "$Plan = @( 'a'",
        "$Plan = [int]5",
        "$Plan = @{ a = 1\n a = 2 }",
        "$Other = 1",
    ][1:],
)
def test_data_that_is_no_plain_literal_is_refused(script):
    """The reader of a data block evaluates nothing."""
    with pytest.raises(ScriptError):
        read_data(script, "Plan")
