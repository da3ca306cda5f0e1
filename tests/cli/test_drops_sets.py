"""`labkit drops set`, `pity`, `plan` and `prd` as a user runs them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import get_args

import pytest

from labkit.cli.drops.banner import PresetName
from labkit.drops.presets import PRESETS
from labkit.errors import ExitCode

SET = ("set", "helm=1/500", "boots=1/500", "ring=1/750", "gem=1/750")
PLAN = ("plan", "--preset", "genshin", "--stage", "1:100", "--stage", "1:100")


@pytest.fixture
def data(run):
    """A function that runs a drops command with --json and returns its data."""

    def call(*arguments):
        result = run("drops", *arguments, "--json")
        assert result.code == ExitCode.OK, result.err
        return result.document["data"]

    return call


def test_set_answers_in_json(data):
    """The keys that scripts rely on, with their figures."""
    answer = data(*SET, "--tries", "1500", "--confidence", "50,95")

    assert math.isclose(answer["probability"], 0.6754027840697521, rel_tol=1e-10)
    assert math.isclose(answer["expected_tries"], 1328.5714285714287, rel_tol=1e-10)
    assert [(row["confidence"], row["tries"]) for row in answer["results"]] == [
        ("1/2", 1154),
        ("19/20", 2857),
    ]
    assert answer["items"][0]["name"] == "helm"
    assert answer["table"] == "exclusive"


def test_set_shows_the_expected_tries(run):
    """The mean of the example set, to twelve digits."""
    result = run("drops", *SET)

    assert "expected tries 1328.57142857" in result.out
    assert "exclusive table" in result.out


def test_items_that_are_alike_share_a_row(run):
    """A hundred equal kinds are one row; two of four stay by name."""
    kinds = run("drops", "set", "--types", "100").out

    assert "1 to 100, 100 alike\t1/100" in kinds
    assert kinds.count("1/100\t") == 1
    assert "boots\t" in run("drops", *SET).out


def test_a_name_that_is_no_text_is_refused(run):
    """It could not be written into a JSON document."""
    assert run("drops", "set", "a\udcff=1/5").code == ExitCode.USAGE


def test_prd_says_where_its_counts_begin(run):
    """Failed tries condition the answer, not the table of the distribution."""
    said = "counts tries from the last success"

    assert said in run("drops", "prd", "25%", "--failed", "4").out
    assert said not in run("drops", "prd", "25%").out


@pytest.mark.parametrize(
    ("options", "table", "tries"),
    [
        ((), "exclusive", 2857),
        (("--exclusive",), "exclusive", 2857),
        (("--independent",), "independent", 2857),
        (("--no-dupes",), "protected", 1161),
    ],
)
def test_set_knows_three_kinds_of_table(data, options, table, tries):
    """Each gives another number, and says which it is."""
    answer = data(*SET, *options, "--confidence", "95%")

    assert answer["table"] == table
    assert answer["results"][0]["tries"] == tries
    assert answer["results"][0]["certified"]


def test_set_asks_for_copies_and_knows_what_is_owned(data):
    """Two swords, the shield is there already."""
    answer = data(
        "set", "sword=2%", "shield=1%", "--need", "sword:2", "--owned", "shield", "--tries", "99"
    )

    assert [item["missing"] for item in answer["items"]] == [2, 0]
    assert answer["expected_tries"] == 100
    assert answer["fewest_tries"] == 2


def test_set_takes_equal_types(data):
    """The coupon collector with 100 kinds."""
    answer = data("set", "--types", "100", "--tries", "200")

    assert math.isclose(answer["probability"], 2.1315181214633564e-08, rel_tol=1e-10)


def test_set_adds_time_money_and_a_chart(data, run):
    """The options of all drops commands."""
    answer = data(*SET, "--per-hour", "100", "--cost", "2.5", "--confidence", "95", "--chart")

    assert answer["results"][0]["time_h"] == 28.57
    assert answer["results"][0]["cost"] == 7142.5
    assert answer["curves"][0]["points"][0] == {
        "x": 0,
        "probability": 0.0,
        "log10": None,
        "complement": 1.0,
        "log10_complement": 0.0,
        "one_in": None,
    }
    assert "█" in run("drops", *SET, "--chart").out


def test_every_preset_is_a_choice():
    """What --preset offers, and completes, are the presets that there are."""
    choices, _ = get_args(get_args(PresetName)[0])

    assert get_args(choices) == tuple(PRESETS)


def test_pity_answers_in_json(data):
    """The Genshin preset, with its origin."""
    answer = data("pity", "--preset", "genshin", "--pulls", "90")

    assert math.isclose(answer["mean_pulls"], 93.44599805944645, rel_tol=1e-12)
    assert math.isclose(answer["consolidated_rate"], 0.0160520517855, rel_tol=1e-11)
    assert math.isclose(answer["probability"], 0.5939383494228887, rel_tol=1e-12)
    assert answer["results"][0] == {
        "confidence": "1/2",
        "pulls": 80,
        "chance": pytest.approx(0.5102576639138189, rel=1e-12),
    }
    assert answer["preset"]["game"] == "Genshin Impact"
    assert answer["preset"]["as_of"]


def test_pity_shows_the_consolidated_rate(run):
    """Twelve digits of it."""
    assert "consolidated rate 0.0160520517855\n" in run("drops", "pity", "--preset", "genshin").out


def test_pity_says_what_your_pulls_are_good_for(run):
    """The chance within the pulls that are left, and the game it is about."""
    result = run("drops", "pity", "--preset", "genshin", "--pulls", "90")

    assert "Genshin Impact, character event" in result.out
    assert "1 featured within 90 pulls: 59.39383494 % (1 in 1.68368)" in result.out


def test_pity_starts_from_the_state_you_are_in(data):
    """Twenty pulls made, the guarantee held, three copies wanted."""
    options = ("--at", "20", "--guaranteed", "--copies", "3", "--pulls", "250")
    answer = data("pity", "--preset", "genshin", *options)

    assert math.isclose(answer["mean_pulls"], 235.8400252899752, rel_tol=1e-12)
    assert math.isclose(answer["probability"], 0.5906801690965694, rel_tol=1e-11)


def test_pity_options_override_the_preset(data):
    """Another share, and no guarantee."""
    answer = data("pity", "--preset", "genshin", "--featured", "1/4", "--no-guarantee")

    assert math.isclose(answer["mean_pulls"], 4 * 62.29733203963097, rel_tol=1e-12)
    assert answer["maximum_pulls"] is None


def test_pity_without_a_featured_item_is_about_any_hit(run):
    """The text says hits, and that there is no limit without hard pity."""
    result = run("drops", "pity", "--base", "10%", "--copies", "2")

    assert "2 hits: mean 20 pulls" in result.out
    assert "no limit" in result.out


def test_plan_answers_in_json(data):
    """The chance of the whole and of each stage, and where it fails."""
    answer = data(*PLAN)

    assert math.isclose(answer["probability"], 0.490482410796136, rel_tol=1e-11)
    assert [stage["budget"] for stage in answer["stages"]] == [100, 200]
    lost = math.fsum(stage["fails_here"] for stage in answer["stages"])
    assert math.isclose(answer["probability"] + lost, 1, rel_tol=1e-14)


def test_plan_mixes_presets(data):
    """A character, then a weapon with its own rule."""
    answer = data(*PLAN[:5], "--stage", "1:120:genshin-weapon")

    assert [stage["rule"]["hard"] for stage in answer["stages"]] == [90, 77]


def test_plan_never_calls_a_hope_impossible(run):
    """Seven copies in seven pulls: it fails nearly, but not quite, for sure."""
    result = run("drops", "plan", "--preset", "genshin", "--stage", "7:7")

    assert "1 - 2.187e-18" in result.out
    assert "certain" not in result.out.splitlines()[2]
    assert "impossible" not in result.out


def test_plan_shows_its_stages(run):
    """A row a stage."""
    result = run("drops", *PLAN)

    assert "0.490482410796136" in result.out
    assert "36.5812 %" in result.out


def test_prd_answers_in_json(data):
    """Constant, longest streak, mean and spread."""
    answer = data("prd", "25%", "--tries", "3")

    assert math.isclose(answer["c"], 0.08474409185231699, rel_tol=1e-12)
    assert answer["max_tries"] == 12
    assert answer["mean_tries"] == 4
    assert math.isclose(answer["sd"], 1.897492806312333, rel_tol=1e-12)
    assert math.isclose(answer["probability"], answer["distribution"][2]["within"], rel_tol=1e-14)


def test_prd_goes_back_from_the_constant(data):
    """--from-c gives the nominal chance."""
    assert math.isclose(data("prd", "--from-c", "0.5")["nominal"], 2 / 3, rel_tol=1e-15)


def test_prd_shows_the_distribution(run):
    """A row a try, and the failures already made."""
    result = run("drops", "prd", "25%", "--failed", "11", "--tries", "1")

    assert "a success within 1 try, after 11 failures: certain" in result.out
    assert "3\t25.4232 %\t19.3250 %\t43.3119 %" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set",), "give the items"),
        (("set", "a=1/2", "--types", "3"), "give the items"),
        (("set", "a=3/4", "b=1/2"), "sum to 5/4 (1.25), above 1"),
        (("set", "a=3/4", "b=1/2", "--no-dupes"), "sum to 5/4"),
        (("set", "a=1/2", "--exclusive", "--independent"), "either exclusive or independent"),
        (("set", "a=1/2", "--no-dupes", "--independent"), "exclusive table"),
        (("set", "a"), "not an item"),
        (("set", "a=0"), "rate of 0"),
        (("set", "a=-1"), "negative"),
        (("set", "a=5000"), "above 1"),
        (("set", "a=nan"), "not a rate"),
        (("set", "a=1/0"), "divides by zero"),
        (("set", "a=1/2", "--tries", "-1"), "below 0"),
        (("set", "a=1/2", "--tries", "1.5"), "not a whole number"),
        (("set", "a=1/2", "--tries", "1e400"), "too large"),
        (("set", "a=1/4", "b=1/4", "--tries", "1e16"), "too many"),
        (("set", "a=1/2", "--confidence", "0"), "asks for nothing"),
        (("set", "a=1/2", "--confidence", "1"), "two ways"),
        (("set", "a=1/2", "--confidence", "101"), "above 100 %"),
        (("set", "a=1/4", "b=1/4", "--confidence", "100"), "certain"),
        (("set", "a=1/2", "--need", "b:2"), "no item `b`"),
        (("set", "--types", "0"), "below 1"),
        (("set", "--types", "1e9"), "too large"),
        (("pity",), "base rate"),
        (("pity", "--preset", "gensin"), "is not one of 'genshin', "),
        (("pity", "--base", "2"), "above 1"),
        (("pity", "--base", "1%", "--soft", "5"), "both its start and its step"),
        (("pity", "--base", "1%", "--hard", "0"), "hard pity"),
        (("pity", "--base", "1%", "--hard", "1000000"), "too long"),
        (("pity", "--preset", "genshin", "--at", "90"), "without a hit"),
        (("pity", "--preset", "arknights", "--guaranteed"), "no guarantee"),
        (("pity", "--preset", "genshin", "--copies", "0"), "below 1"),
        (("pity", "--preset", "genshin", "--copies", "1e9"), "too large"),
        (("pity", "--preset", "genshin", "--pulls", "-3"), "below 0"),
        (("pity", "--base", "1e-12"), "too long"),
        (("pity", "--preset", "genshin", "--no-guarantee", "-c", "100%"), "certain"),
        (("plan", "--stage", "1:90"), "no rule"),
        (("plan", "--preset", "genshin", "--stage", "1"), "not a stage"),
        (("plan", "--stage", "1:90:gensin"), "no preset `gensin`"),
        (("plan", "--preset", "genshin", "--stage", "1:1e9"), "too large"),
        (("prd",), "nominal chance"),
        (("prd", "5%", "--from-c", "1%"), "nominal chance"),
        (("prd", "0"), "chance of 0"),
        (("prd", "5"), "above 1"),
        (("prd", "1e-9"), "too small"),
        (("prd", "25%", "--failed", "12"), "in a row"),
        (("prd", "25%", "--tries", "nan"), "not a whole number"),
    ],
)
def test_bad_input_is_one_error_with_a_hint(run, arguments, message):
    """Exit 2, one error line, a hint, no traceback and no number."""
    result = run("drops", *arguments)

    assert result.code == ExitCode.USAGE
    assert result.out == ""
    error, *hint = result.err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert len(hint) == 1
    assert hint[0].startswith("hint: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("pity", "--preset", "genshin", "--copies", "2", "--pulls", "90"),
        PLAN,
        ("prd", "25%"),
    ],
)
def test_pure_mathematics_runs_without_numpy(arguments):
    """Neither numpy nor scipy is loaded for what needs neither."""
    program = (
        "import sys; from labkit.cli import app; code = app.main(sys.argv[1:]); "
        "import json; heavy = [m for m in ('numpy', 'scipy') if m in sys.modules]; "
        "print(json.dumps([int(code), heavy]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "drops", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
