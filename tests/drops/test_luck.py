from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.drops.luck import LogLine, log_luck, luck_of, read_log, stouffer
from labkit.errors import InputError


@pytest.fixture
def log(tmp_path):
    """A function that writes a log and reads it."""

    def write(text, encoding="utf-8"):
        path = tmp_path / "log.csv"
        path.write_bytes(text.encode(encoding))
        return read_log(path)

    return write


@given(st.integers(0, 40), st.integers(0, 40), st.fractions(0, 1, max_denominator=1000))
def test_fewer_equal_and_more_are_everything(got, extra, rate):
    """The three parts add up to one, and the percentile splits the middle one."""
    luck = luck_of(got, got + extra, rate)
    parts = luck.fewer.value, luck.equal.value, luck.more.value

    assert sum(parts) == pytest.approx(1, rel=1e-13)
    assert luck.percentile == pytest.approx(100 * (parts[0] + parts[1] / 2), rel=1e-12)
    assert 0 <= luck.percentile <= 100


def test_extreme_luck_keeps_its_digits():
    """Nothing after a million tries at one half is below every double, and no zero."""
    luck = luck_of(0, 10**6, Fraction(1, 2))

    assert luck.luckier_than.log10 == pytest.approx(-301030.297, abs=1e-3)
    assert not luck.luckier_than.impossible


def test_a_log_of_one_line_is_that_line():
    """Together, one line stands where it stands alone; equal weight agrees."""
    line = LogLine("fang", Fraction(1, 128), 300, 1)

    assert log_luck([line]).percentile == pytest.approx(line.luck.percentile, rel=1e-12)
    assert 100 * stouffer([line]).value == pytest.approx(line.luck.percentile, rel=1e-9)


def test_opposite_luck_cancels_with_equal_weight():
    """An item at the 10th and one at the 90th percentile make the 50th."""
    dry = LogLine("dry", Fraction(1, 2), 1, 0)
    lucky = LogLine("lucky", Fraction(1, 2), 1, 1)

    assert stouffer([dry, lucky]).value == pytest.approx(0.5)


def test_lines_never_tried_say_nothing():
    """Without a try there is no luck."""
    assert stouffer([LogLine("none", Fraction(1, 2), 0, 0)]).value == 0.5


def test_a_log_is_read_with_columns_in_any_order(log):
    """Names of columns count, not their order; blank lines and a byte order mark do not."""
    lines = log("Rate,item,got,tries\n1/128,fang,1,300\n\n0.2%,claw,0,1e3\n", "utf-8-sig")

    assert lines == [
        LogLine("fang", Fraction(1, 128), 300, 1),
        LogLine("claw", Fraction(1, 500), 1000, 0),
    ]


def test_a_log_with_semicolons_is_read(log):
    """As spreadsheets of some countries write it."""
    assert log("item;rate;tries;got\nfang;1/2;3;1\n") == [LogLine("fang", Fraction(1, 2), 3, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("item,rate,tries\n", "no column `got`"),
        ("item,rate,tries,got\n", "no line below"),
        ("item,rate,tries,got\nfang,1/128,300\n", "line 2: 3 cells"),
        ("item,rate,tries,got\nfang,1/2,3,1\nclaw,5000,3,1\n", "line 3: a rate of 5000"),
        ("item,rate,tries,got\nfang,1/2,3,4\n", "line 2: 4 drops cannot come from 3"),
        ("item,rate,tries,got\nfang,1/2,-3,0\n", "line 2: tries: -3"),
        ('item,rate,tries,got\n"a' + "x" * 140_000 + '",1/2,3,1\n', "line"),
    ],
)
def test_a_malformed_log_says_where(log, text, message):
    """The error names the line and what is wrong with it."""
    with pytest.raises(InputError, match=message):
        log(text)


def test_a_log_that_is_no_text_is_refused(log, tmp_path):
    """Neither a missing file nor UTF-16 ends in a traceback."""
    with pytest.raises(InputError, match="not UTF-8"):
        log("item,rate,tries,got\nfäng,1/2,3,1\n", "utf-16")
    with pytest.raises(InputError, match="cannot be read"):
        read_log(tmp_path / "none.csv")
