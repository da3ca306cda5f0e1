"""Strings, comments and brackets of PowerShell, where the syntax tree is not to be trusted."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.gpupv.tokenizer import (
    DOUBLE_QUOTES,
    SINGLE_QUOTES,
    Kind,
    ScriptError,
    brackets_match,
    tokenize,
)


def kinds(script):
    """The kinds and texts of a script's tokens, without newlines."""
    return [(t.kind, t.text) for t in tokenize(script) if t.kind is not Kind.NEWLINE]


@pytest.mark.parametrize("quote", SINGLE_QUOTES)
def test_each_of_five_characters_opens_and_closes_a_single_quoted_string(quote):
    """A mixed pair is one string, as in PowerShell."""
    assert kinds(f"{quote}a'") == [(Kind.SINGLE, f"{quote}a'")]
    assert kinds(f"'a{quote} b")[0] == (Kind.SINGLE, f"'a{quote}")


@pytest.mark.parametrize("quote", DOUBLE_QUOTES)
def test_each_of_four_characters_closes_a_double_quoted_string(quote):
    """The curly ones count too."""
    assert kinds(f'"a{quote} b')[0] == (Kind.DOUBLE, f'"a{quote}')


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("'it''s'", [(Kind.SINGLE, "'it''s'")]),
        ('"a`"b"', [(Kind.DOUBLE, '"a`"b"')]),
        ('"$(Get-Item -Path \'a"b\')"', [(Kind.DOUBLE, '"$(Get-Item -Path \'a"b\')"')]),
        ("a#b # c", [(Kind.WORD, "a#b"), (Kind.COMMENT, "# c")]),
        ("<# ' #> b", [(Kind.COMMENT, "<# ' #>"), (Kind.WORD, "b")]),
        ("@'\nit's \"\n'@", [(Kind.HERE, "@'\nit's \"\n'@")]),
        ('@"\nx\n\u201d@', [(Kind.HERE, '@"\nx\n\u201d@')]),
        ("@'\r\n'@", [(Kind.HERE, "@'\r\n'@")]),
    ],
)
def test_strings_and_comments_end_where_powershell_ends_them(script, expected):
    """Quotes inside comments, comments inside strings, here-strings, nested expressions."""
    assert kinds(script) == expected


@pytest.mark.parametrize(
    "script", ["'a", '"a', "@'\na", "<# a", '"$(a"', "(a", "a)", "@{ a = ( }", '"a`"']
)
def test_what_is_never_closed_is_an_error(script):
    """Strings, here-strings, comments and brackets."""
    with pytest.raises(ScriptError):
        brackets_match(script)


def test_error_names_the_line():
    """The line where the string begins."""
    with pytest.raises(ScriptError) as caught:
        brackets_match("a\r\nb\r\n'c\r\n")
    assert caught.value.line == 3


@given(st.text(st.sampled_from("'\"`$@(){}[]#<>\r\n ab-\u2019\u201d"), max_size=60))
def test_tokens_and_blanks_make_up_the_script(script):
    """Any text either tokenises without loss or is refused."""
    with contextlib.suppress(ScriptError):
        rest = script
        for token in tokenize(script):
            before, found, rest = rest.partition(token.text)
            assert found
            assert not before.replace("`", "").strip()
        assert not rest.replace("`", "").strip()
