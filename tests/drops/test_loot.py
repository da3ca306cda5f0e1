from __future__ import annotations

import json
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.drops.loot import Line, LootTables, LuckRange, Opening, Table
from labkit.drops.loot_files import read_loot
from labkit.drops.quantities import Amount
from labkit.errors import InputError, LabkitError, UsageError

ONE = Amount(1, 1)
ONE_LINE = {"lines": [{"item": "x", "weight": 1}]}
M = 6


def line(target, number, amount=ONE):
    """A line that pays an item, or leads to the table of that name in capitals."""
    table = target if target.isupper() else None
    return Line(None if table else target, table, Fraction(number), amount)


LINES = st.lists(st.builds(line, st.sampled_from("ab"), st.integers(0, 9)), min_size=1, max_size=3)


def die_table(name, rule, lines, **settings):
    """A table on a small die."""
    return Table(name, rule, "threshold", tuple(lines), M, **settings)


def loot(*tables):
    """The tables, the first one being the root."""
    return LootTables({table.name: table for table in tables}, tables[0].name)


def brute_chance(table, item, luck, *, shared):
    """P(at least one of the item) by going through every combination of rolls."""
    dice = 1 if shared or table.rule == "or" else len(table.lines)
    hits = 0
    for rolls in product(range(M), repeat=dice):
        reached = [
            entry
            for i, entry in enumerate(table.lines)
            if rolls[i if dice > 1 else 0] + luck >= entry.number
        ]
        if table.rule == "or" and reached:
            top = max(entry.number for entry in reached)
            paying = [entry for entry in reached if entry.number == top]
            hits += Fraction(sum(entry.item == item for entry in paying), len(paying))
        else:
            hits += any(entry.item == item for entry in reached)
    return Fraction(hits) / M**dice


@given(LINES, st.sampled_from(["and", "or"]), st.integers(0, 12), st.booleans())
def test_a_table_agrees_with_every_combination_of_rolls(lines, rule, luck, shared):
    """AND and OR, one roll for all lines or one for each, below and above the die."""
    table = die_table("T", rule, lines)
    opening = Opening(loot(table), shared_roll=shared)

    for item in opening.items:
        assert opening.chance(item, luck) == brute_chance(table, item, luck, shared=shared)


@given(LINES, LINES, st.sampled_from(["and", "or"]), st.sampled_from(["and", "or"]))
def test_the_possible_luck_is_where_the_chance_is_not_zero(outer, inner, rule, inner_rule):
    """Also where a high luck starves a low line, and through a nested table."""
    outer = [*outer[:-1], line("N", outer[-1].number)]
    tables = loot(die_table("T", rule, outer), die_table("N", inner_rule, inner))
    opening = Opening(tables)

    for item in opening.items:
        ranges = opening.possible_luck(item)
        for luck in range(25):
            inside = any(r.first <= luck and (r.last is None or luck <= r.last) for r in ranges)
            assert inside == (opening.chance(item, luck) > 0)


def test_a_nested_table_rolls_again():
    """The chances multiply, with the same luck at each table."""
    tables = loot(die_table("T", "and", [line("N", 6)]), die_table("N", "or", [line("x", 5)]))

    assert Opening(tables).chance("x", 2) == Fraction(2, 6) * Fraction(3, 6)


def test_a_luck_safe_table_ignores_luck():
    """Luck moves the outer table and not the inner one."""
    inner = die_table("N", "or", [line("x", 5)], luck_safe=True)
    tables = loot(die_table("T", "and", [line("N", 6)]), inner)

    assert Opening(tables).chance("x", 2) == Fraction(2, 6) * Fraction(1, 6)
    assert Opening(tables).possible_luck("x") == [LuckRange(1, None)]


def test_the_first_roll_shifts_a_chance_by_one_face():
    """Rolls 1..M reach one threshold more than 0..M-1."""
    tables = loot(die_table("T", "or", [line("x", 6)]))

    assert Opening(tables).chance("x") == 0
    assert Opening(tables, first_roll=1).chance("x") == Fraction(1, 6)


def test_weights_and_rates_are_exact():
    """Weights share one; rates are the chances themselves; luck moves neither."""
    weights = Table("T", "or", "weight", (line("a", 1), line("b", 2)))
    rates = Table("T", "and", "rate", (line("a", "0.1"), line("a", "0.2")))

    assert Opening(loot(weights)).chance("b", 500) == Fraction(2, 3)
    assert Opening(loot(rates)).chance("a") == 1 - Fraction(9, 10) * Fraction(8, 10)


def test_the_mean_amount_counts_every_line():
    """Amounts average over their range, and lines add up whatever the rolls share."""
    tables = loot(
        die_table("T", "and", [line("a", 3, Amount(3, 8)), line("N", 0)]),
        die_table("N", "and", [line("a", 0, Amount(0, 1))]),
    )

    assert Opening(tables).mean_amount("a") == Fraction(11, 2) / 2 + Fraction(1, 2)
    assert Opening(tables).chance("a") == 1 - Fraction(1, 2) * Fraction(1, 2)


def test_levels_choose_the_bracket():
    """A line applies from its level up to the next one's."""
    lines = [line("low", 1), line("high", 20), line("same", 20)]
    tables = loot(Table("T", "or", "threshold", tuple(lines), 5, by_level=True))

    assert Opening(tables, level=19).chance("low") == 1
    assert Opening(tables, level=20).chance("same") == Fraction(1, 2)
    assert Opening(tables, level=0).chance("low") == 0
    with pytest.raises(UsageError, match="level"):
        Opening(tables)


def test_an_unknown_table_gets_a_suggestion():
    """A slip in the name is answered with the name that is close."""
    with pytest.raises(UsageError) as caught:
        Opening(loot(die_table("Boar", "or", [line("x", 1)])), "Bore")

    assert caught.value.hint == "did you mean Boar?"


# -- files


@pytest.fixture
def read(tmp_path):
    """A function that writes a file and reads its tables."""

    def write(content, name="loot.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return read_loot(path)

    return write


def test_json_with_a_nested_table_is_read(read):
    """An inner table may stand in its line; the die defaults to New World's."""
    inner = {"lines": [{"item": "x", "threshold": 99_000, "quantity": "3-8"}]}
    tables = read({"name": "Boar", "roll": "and", "lines": [{"table": inner, "threshold": 50_000}]})

    assert Opening(tables).chance("x") == Fraction(1, 2) * Fraction(1, 100)
    assert Opening(tables).mean_amount("x") == Fraction(1, 200) * Fraction(11, 2)


def test_json_with_named_tables_is_read(read):
    """Tables may stand side by side, and decimals stay exact."""
    tables = read(
        '{"root": "B", "tables": {"A": {"lines": [{"item": "x", "rate": 0.1}]},'
        ' "B": {"roll": "and", "lines": [{"table": "A", "rate": 1e-3}, {"rate": "1/3"}]}}}'
    )

    assert Opening(tables).chance("x") == Fraction(1, 10_000)


def test_a_table_with_lines_beside_tables_is_the_root(read):
    """It is opened under its own name, and the others are there for it to lead to."""
    extra = {"roll": "or", "lines": [{"item": "Sap", "threshold": 85_000}]}
    lines = [{"item": "Hide", "threshold": 0}, {"threshold": 95_000, "table": "Extra"}]
    tables = read({"name": "Boar", "roll": "and", "lines": lines, "tables": {"Extra": extra}})

    assert tables.root == "Boar"
    assert Opening(tables).items == ["Hide", "Sap"]
    assert Opening(tables, "Extra").items == ["Sap"]


def test_csv_is_read(read):
    """One row a line; a table's settings stand in any of its rows."""
    tables = read(
        "table,roll,die,item,then,threshold,quantity\n"
        "Boar,and,1000,Hide,,0,3-8\n"
        "Boar,,,,Extra,950,\n\n"
        "Extra,,100,Sap,,85,\n",
        "loot.csv",
    )

    assert Opening(tables).chance("Sap") == Fraction(50, 1000) * Fraction(15, 100)
    assert Opening(tables).items == ["Hide", "Sap"]


def test_a_short_csv_is_a_list_of_rates(read):
    """Two columns are enough: the items of one exclusive table."""
    assert Opening(read("item;weight\na;1\nb;3\n", "x.csv")).chance("b") == Fraction(3, 4)


def rows(**settings):
    """Datasheet rows of one table with a rare line above the die, and a nested one."""
    main = {"LootTableID": "Boar", "AND/OR": "AND", "MaxRoll": 0, "Item1": "Hide"}
    return [
        main | {"Item2": "[LTID]Rare", "Item3": "[LBID]Bucket"} | settings,
        {"LootTableID": "Boar_Probs", "MaxRoll": 100_000, "Item1": "0"}
        | {"Item2": "101150", "Item3": "90000"},
        {"LootTableID": "Boar_Qty", "Item1": "19-25", "Item2": "1", "Item3": "1"},
        {"LootTableID": "Rare", "AND/OR": "OR", "Item1": "Ring"},
        {"LootTableID": "Rare_Probs", "MaxRoll": 100, "Item1": "50"},
    ]


def test_a_datasheet_is_read(read):
    """Three rows a table, the die in the second; small dice are not moved by luck, and said so."""
    tables = read(rows())
    opening = Opening(tables)

    assert opening.items == ["Hide", "[LBID]Bucket", "Ring"]
    assert opening.chance("Ring") == 0
    assert opening.chance("Ring", 4390) == Fraction(324, 10_000) / 2
    assert opening.mean_amount("Hide") == 22
    assert any("dice below" in note for note in tables.notes)


def test_a_datasheet_in_csv_is_the_same(read):
    """The columns of its rows are the keys of the JSON, an absent one an empty cell."""
    sheet = rows()
    columns = list(dict.fromkeys(key for row in sheet for key in row))
    lines = [",".join(str(row.get(column, "")) for column in columns) for row in sheet]
    tables = read("\n".join([",".join(columns), *lines]), "loot.csv")

    assert tables == read(sheet)


def test_a_datasheet_with_levels_asks_for_one(read):
    """Numbers of a table that depends on a level are no thresholds."""
    tables = read(rows(Conditions="MinPOIContLevel"))

    assert Opening(tables, level=95_000).chance("[LBID]Bucket") == 1
    with pytest.raises(UsageError, match="level"):
        Opening(tables)


def test_a_table_without_a_die_is_refused_only_when_it_is_opened(read):
    """Thresholds with MaxRoll 0 have no known meaning; the rest of the file stays usable."""
    sheet = rows()
    sheet[1]["MaxRoll"] = 0
    tables = read(sheet)

    assert Opening(tables, "Rare").chance("Ring") == Fraction(1, 2)
    with pytest.raises(InputError, match="MaxRoll 0"):
        Opening(tables)


def test_a_table_that_rolls_nothing_shares_or_pays(read):
    """MaxRoll 0 and thresholds 0: OR is uniform over its lines, AND is certain."""
    names = {"LootTableID": "T", "Item1": "a", "Item2": "b"}
    for rule, chance in (("OR", Fraction(1, 2)), ("AND", 1)):
        sheet = [names | {"AND/OR": rule}, {"LootTableID": "T_Probs", "MaxRoll": 0}]
        assert Opening(read(sheet)).chance("a") == chance


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1, column 2: this is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("3", "neither a table nor"),
        ("[]", "holds no table"),
        ("[3]", "row 1: it is no datasheet row"),
        ({"lines": []}, "table `table`: `lines` must be"),
        ({"lines": [3]}, "line 1: it must be an object"),
        ({"lines": [{"item": "x"}]}, "line 1: it needs one of"),
        ({"lines": [{"item": "x"}]}, "a threshold of 0 is always reached"),
        ({"lines": [{"item": "x", "threshold": "five"}]}, "line 1: `threshold` is `five`"),
        ({"lines": [{"item": "x", "threshold": 1.5}]}, "whole number"),
        ({"lines": [{"item": "x", "threshold": -1}]}, "from 0 up"),
        ({"lines": [{"item": "x", "threshold": True}]}, "must be a number"),
        ({"lines": [{"item": 3, "threshold": 1}]}, "`item` must be a name"),
        ({"lines": [{"item": "x", "threshold": 1, "quantity": "8-3"}]}, "quantity 8-3 is empty"),
        ({"lines": [{"item": "x", "threshold": 1, "quantity": "some"}]}, "quantity `some`"),
        ({"lines": [{"item": "x", "threshold": 1}, {"item": "y", "weight": 1}]}, "mix"),
        ({"lines": [{"item": "x", "rate": 0.6}, {"item": "y", "rate": 0.5}]}, "add up to 11/10"),
        ({"lines": [{"item": "x", "rate": 2}]}, "line 1: a rate of 2 is above 1"),
        ({"roll": "and", "lines": [{"item": "x", "weight": 1}]}, "weights choose one line"),
        ({"roll": "xor", "lines": [{"item": "x", "weight": 1}]}, "neither `and` nor `or`"),
        ({"die": 0, "lines": [{"item": "x", "threshold": 1}]}, "no number of faces"),
        ({"die": 6, "lines": [{"item": "x", "weight": 1}]}, "a die goes with thresholds"),
        ({"colour": 1, "lines": [{"item": "x", "weight": 1}]}, "`colour` is unknown"),
        ({"lines": [{"table": "N", "weight": 1}]}, "there is no table `N`"),
        ({"lines": [{"table": "N", "item": "x", "weight": 1}]}, "both an item and a table"),
        ({"tables": {}}, "must be an object with a table"),
        ({"tables": {"A": {}}, "lines": []}, "table `A`: `lines` must be"),
        ({"tables": {"A": ONE_LINE}, "roll": "and"}, "beside `tables`: `roll` is unknown"),
        ({"tables": {"A": ONE_LINE}, "root": "A", "die": 6}, "`die` is unknown"),
        ({"name": "A", "tables": {"A": ONE_LINE}} | ONE_LINE, "two tables of that name"),
        ({"lines": []}, "loot.json`, table"),
        ({"name": "T", "lines": [{"table": "T", "weight": 1}]}, "back to itself: T -> T"),
    ],
)
def test_malformed_json_says_where_and_what(read, content, message):
    """The error names the place in the file and what is wrong there."""
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as caught:
        read(content)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "needs a line of column names"),
        ("item,weight\n", "at least one line below"),
        ("item,colour\nx,1\n", "line 1: `colour` is unknown"),
        ("item,weight\nx\n", "line 2: 1 cells instead of 2"),
        ("item,weight\nx,1\ny,many\n", "line 3: `weight` is `many`"),
        ("table,roll,item,weight\nT,or,x,1\nT,and,y,1\n", "line 3: `roll` of table `T` was or"),
    ],
)
def test_malformed_csv_says_where_and_what(read, content, message):
    """The error names the line of the file and what is wrong there."""
    with pytest.raises(InputError, match=message):
        read(content, "loot.csv")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["lines", "tables", "item", "table", "threshold", "weight", "die", "roll"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(document=JSON)
def test_no_json_makes_the_reader_fall_over(tmp_path_factory, document):
    """Any document is either read or refused with a LabkitError."""
    path = tmp_path_factory.mktemp("json") / "x.json"
    path.write_text(json.dumps(document), "utf-8")
    try:
        tables = read_loot(path)
    except LabkitError:
        return
    assert tables.tables
