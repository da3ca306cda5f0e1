"""The commands need, chance, luck, roll, table and rate of labkit drops."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.cli import app, drops
from labkit.cli.drops.tool import COMMANDS
from labkit.drops import Opening, read_loot
from labkit.errors import ExitCode

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def data(run):
    """A function that runs a drops command and returns the data of its JSON document."""

    def call(*arguments):
        result = run("drops", *arguments, "--json")
        assert result.err == ""
        assert result.document["ok"] == (result.code == ExitCode.OK)
        return result.document["data"]

    return call


@pytest.fixture
def boar(tmp_path):
    """A loot table file."""
    path = tmp_path / "boar.json"
    inner = {"roll": "or", "lines": [{"item": "Sap", "threshold": 85_000}]}
    lines = [
        {"item": "Hide", "threshold": 0, "quantity": "3-8"},
        {"item": "Rare", "threshold": 101_150},
        {"threshold": 95_000, "table": inner},
    ]
    path.write_text(json.dumps({"name": "Boar", "roll": "and", "lines": lines}), "utf-8")
    return str(path)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name):
    """A row of the static table has the name and the help line of the command it names."""
    group = typer.main.get_command(drops.app)
    command = group.get_command(None, name)

    assert command.name == name
    assert command.help.splitlines()[0] == COMMANDS[name][1]


def test_help_imports_no_command():
    """The list of commands comes from the table."""
    code = (
        "import sys; from labkit.cli.app import main; main(['drops', '--help']); "
        "assert not {m for m in sys.modules if m.startswith('labkit.cli.drops.')} "
        "- {'labkit.cli.drops.tool'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


# -- the documentation

CONSOLE = re.compile(r"```console\n\$ labkit (.*)\n((?:.*\n)+?)```")
DOCUMENTED = CONSOLE.findall((PROJECT / "docs/drops.md").read_text("utf-8"))
LOOT_TABLE = re.compile(r"```json\n(.*?)```", re.DOTALL)
README_LINES = re.findall(
    r"^labkit (drops [^#\n]*)", (PROJECT / "README.md").read_text("utf-8"), re.MULTILINE
)


@pytest.mark.parametrize(
    ("line", "output"), [pytest.param(*pair, id=pair[0]) for pair in DOCUMENTED]
)
def test_the_documentation_shows_what_labkit_prints(run, tmp_path, monkeypatch, line, output):
    """Every console block of docs/drops.md, word by word."""
    monkeypatch.chdir(tmp_path)
    tables = LOOT_TABLE.findall((PROJECT / "docs/drops.md").read_text("utf-8"))
    Path("boar.json").write_text(tables[0], "utf-8")

    assert output.split() == run(*shlex.split(line)).out.split()


@pytest.mark.parametrize("line", README_LINES)
def test_readmes_lines_run(run, line):
    """Every line of README's section prints a result."""
    result = run(*shlex.split(line))

    assert result.code == ExitCode.OK
    assert result.err == ""


def test_all_ways_to_write_the_documented_table_agree(tmp_path):
    """Docs/drops.md holds one table three times: nested, by name and as CSV."""
    text = (PROJECT / "docs/drops.md").read_text("utf-8")
    csv_tables = re.findall(r"```csv\n(table,.*?)```", text, re.DOTALL)
    (tmp_path / "boar.json").write_text(LOOT_TABLE.findall(text)[0], "utf-8")
    (tmp_path / "boar.csv").write_text(csv_tables[0], "utf-8")
    (tmp_path / "named.json").write_text(LOOT_TABLE.findall(text)[1], "utf-8")
    one, *others = (
        Opening(read_loot(tmp_path / name)) for name in ("boar.json", "named.json", "boar.csv")
    )

    for other in others:
        assert [(item, one.chance(item, 3000)) for item in one.items] == [
            (item, other.chance(item, 3000)) for item in other.items
        ]


# -- the figures


@pytest.mark.parametrize(
    ("arguments", "tries"),
    [
        (["1/15000", "--confidence", "90"], 34538),
        (["5%", "--drops", "200", "--confidence", "95"], 4464),
        (["0.1", "--confidence", "19%"], 2),
        (["need", "1e-12", "-c", "0.95"], 2995732273553),
        (["need", "1", "--drops", "7", "-c", "100%"], 7),
        (["need", "1/4096", "--rolls", "3", "-c", "50%"], 947),
        (["need", "1/100", "--drops", "3", "--tried", "50", "--got", "2", "-c", "95%"], 299),
        (["need", "1/100", "--each", "5", "--total", "5", "-c", "95%"], 299),
    ],
)
def test_need_finds_the_exact_minimum(data, arguments, tries):
    """The published figures and ties, also through the default command."""
    assert [row["tries"] for row in data(*arguments)["results"]] == [tries]


def test_need_tells_everything_about_the_wait(data):
    """Four confidences by default, both chances of each, mean, deviation and median."""
    answer = data("1/5000", "--per-hour", "100", "--cost", "0.5")

    assert answer["rate"] == "1/5000"
    assert answer["certified"] is True
    assert (answer["mean"], answer["median"]) == (5000, 3466)
    assert [row["confidence"] for row in answer["results"]] == ["1/2", "9/10", "19/20", "99/100"]
    for row in answer["results"]:
        level = float(Fraction(row["confidence"]))
        assert row["chance_one_fewer"] < level <= row["chance"]
        assert row["time_h"] == row["tries"] / 100
        assert row["cost"] == row["tries"] / 2


def test_what_was_tried_changes_nothing(data):
    """A dry streak is told, and added to the total, but the future is fresh."""
    fresh, dry = data("1/100", "-c", "95%"), data("1/100", "-c", "95%", "--tried", "300")

    assert dry["results"][0]["tries"] == fresh["results"][0]["tries"] == 299
    assert dry["results"][0]["total_tries"] == 599
    assert dry["chance_of_so_few"]["probability"] == pytest.approx(0.99**300, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "probability"),
    [
        (["1/12", "--tries", "40", "--drops", "4+"], 0.430148687130361),
        (["1/5000", "--tries", "1000"], 0.18128562355690053),
        (["40@1/120", "60@1/50", "--drops", "3+"], 0.19850754960068165),
        (["0.05", "--tries", "60", "--each", "3-8", "--total", "12"], 0.6660409120057282),
        (["1/4096", "--tries", "1", "--rolls", "3"], 0.0007322430756175891),
        (["1/1000", "--tries", "1", "--magic-find", "300:unique"], 0.00236),
    ],
)
def test_chance_is_precise(data, arguments, probability):
    """One rate, mixed sources, amounts, several rolls and magic find."""
    answer = data("chance", *arguments)

    assert answer["probability"] == pytest.approx(probability, rel=1e-11)
    assert answer["complement"] == pytest.approx(1 - probability, rel=1e-11)
    assert answer["one_in"] == pytest.approx(1 / probability, rel=1e-11)


def test_chance_shows_what_a_double_cannot_hold(run, data):
    """Neither 0 nor 1 stands for an uncertain event, in text or in JSON."""
    never = data("chance", "0.5", "--tries", "100000", "--drops", "0")

    assert never["probability"] is None
    assert never["log10"] == pytest.approx(-30102.99956639812, rel=1e-12)
    text = run("drops", "chance", "0.5", "--tries", "100000").out
    assert "probability\t1 - 1.001e-30103" in text
    assert "100 %" not in text


def test_luck_says_who_is_drier(run, data):
    """Fewer, equal and more, and the percentile in words."""
    answer = data("luck", "0.01", "--tries", "1000", "--got", "2")

    assert answer["fewer"] == pytest.approx(0.0004792444535789234, rel=1e-11)
    assert answer["equal"] == pytest.approx(0.0022001875402126105, rel=1e-11)
    assert answer["percentile"] == pytest.approx(0.15793382236852288, rel=1e-11)
    text = run("drops", "luck", "0.01", "--tries", "1000", "--got", "2").out
    assert "drier than 99.84 % of players" in text


def test_luck_reads_a_log(run, data, tmp_path):
    """Each line and the whole, by the total and with equal weight."""
    log = tmp_path / "log.csv"
    log.write_text("item,rate,tries,got\nfang,1/120,40,1\nclaw,1/50,60,2\n", "utf-8")
    answer = data("luck", "--log", str(log))

    assert [line["item"] for line in answer["lines"]] == ["fang", "claw"]
    assert answer["overall"]["equal"] == pytest.approx(0.1302936626223045, rel=1e-11)
    assert answer["overall"]["stouffer_percentile"] > 50
    assert "all drops together: luckier than" in run("drops", "luck", "--log", str(log)).out


def test_roll_gives_the_chance_and_the_tries(data):
    """Exact, with the tries for each confidence."""
    answer = data("roll", "101800", "--luck", "2000", "--tries", "100")

    assert (answer["exact"], answer["probability"]) == ("1/500", 0.002)
    assert answer["within"]["probability"] == pytest.approx(1 - 0.998**100)
    assert answer["tries"][2] == {
        "confidence": "19/20",
        "tries": 1497,
        "chance": pytest.approx(1 - 0.998**1497, rel=1e-12),
        "chance_one_fewer": pytest.approx(1 - 0.998**1496, rel=1e-12),
    }


def test_roll_solves_for_luck(data):
    """The smallest luck for a confidence within some tries."""
    arguments = ["101800", "--tries", "100", "--confidence", "95%", "--solve", "luck"]

    assert data("roll", *arguments)["luck_needed"] == 4752
    assert data("roll", *arguments, "--first-roll", "1")["luck_needed"] == 4751


def test_roll_multiplies_further_rolls(data):
    """Each further threshold rolls anew with the same luck."""
    answer = data("roll", "101800", "--then", "100001", "--luck", "5000")

    assert answer["probability"] == pytest.approx(0.00159968, abs=1e-15)


def test_an_impossible_roll_says_which_luck_it_takes(run, data):
    """Instead of a chance of zero."""
    assert data("roll", "101800")["possible_from_luck"] == 1801
    assert "impossible below luck 1801" in run("drops", "roll", "101800").out


def test_table_lists_every_item(run, data, boar):
    """Chance, mean amount, and from which luck an item can drop at all."""
    items = {item["name"]: item for item in data("table", boar)["items"]}

    assert list(items) == ["Hide", "Rare", "Sap"]
    assert (items["Hide"]["probability"], items["Hide"]["mean_amount"]) == (1, 5.5)
    assert items["Rare"]["probability"] == 0
    assert items["Rare"]["possible_luck"] == [{"first": 1151, "last": None}]
    assert items["Sap"]["probability"] == pytest.approx(0.05 * 0.15)
    assert "Rare is impossible below luck 1151" in run("drops", "table", boar).out


def test_table_sweeps_luck(data, boar):
    """One entry for each luck, and many openings of one item."""
    answer = data("table", boar, "--luck", "0..4000:2000", "--item", "Rare", "--rolls", "200")

    assert [point["luck"] for point in answer["sweep"]] == [0, 2000, 4000]
    chances = [point["items"][0]["probability"] for point in answer["sweep"]]
    assert chances == [0, pytest.approx(1 - 0.9915**200), pytest.approx(1 - 0.9715**200)]


def test_rate_estimates_with_three_intervals(data):
    """Clopper-Pearson, Wilson and Jeffreys for a fixed number of tries."""
    answer = data("rate", "--got", "8", "--tries", "10")

    assert answer["estimate"] == 0.8
    assert answer["claim"] is None
    assert set(answer["intervals"]) == {"clopper_pearson", "wilson", "jeffreys"}
    assert answer["intervals"]["clopper_pearson"] == pytest.approx([0.44390454, 0.97478927])


def test_an_implausible_claim_is_a_no(run):
    """The answer no is exit code 1; a plausible claim is 0."""
    arguments = ["drops", "rate", "--got", "0", "--tries", "1000", "--claim"]

    assert run(*arguments, "1/100").code == ExitCode.NO
    assert run(*arguments, "1/1000").code == ExitCode.OK


def test_a_claim_far_off_is_no_zero(run):
    """A chance below every double is told by its logarithm."""
    arguments = ["drops", "rate", "--got", "0", "--tries", "1e6", "--claim", "1/100"]
    claim = run(*arguments, "--json").document["data"]["claim"]

    assert claim["two_sided"]["probability"] is None
    assert claim["two_sided"]["log10"] == pytest.approx(-4364.504, abs=1e-2)
    assert "\t0 %" not in run(*arguments).out


def test_a_stopped_log_is_estimated_without_bias(data):
    """The last drop ended the log, so it does not count."""
    answer = data("rate", "--got", "5", "--tries", "812", "--stopped")

    assert answer["estimate"] == pytest.approx(4 / 811)
    assert answer["intervals"] == {"exact": pytest.approx([0.0020023007, 0.0125798222])}


def test_a_pity_log_has_its_own_estimate(data):
    """Only gaps whose end was bound to be seen count."""
    answer = data("rate", "--gaps", "70,10,80,20,10", "--leftover", "10", "--hard", "90")

    assert (answer["estimate"], answer["naive"], answer["kept"]) == (0.01875, 0.025, 3)


# -- what a player met


def test_an_amount_is_no_number_of_drops(data):
    """The mean of a question about amounts has a name of its own."""
    answer = data("chance", "1/20", "-n", "60", "--each", "3-8", "--total", "20")

    assert answer["mean_total"] == 16.5
    assert "mean_drops" not in answer
    assert answer["each"] == "3..8"


def test_what_counts_is_written_as_it_is_typed(data):
    """A specification, not prose, and logarithms without a negative zero."""
    answer = data("chance", "1/5", "--tries", "9", "--drops", "2..5")

    assert answer["drops"] == "2..5"
    assert str(data("chance", "1", "--tries", "9")["log10"]) == "0.0"


def test_an_exact_rate_has_exact_odds(data):
    """One in 100000, although 1/100000 is no double."""
    assert data("roll", "99999")["one_in"] == 100_000


@pytest.mark.parametrize(
    ("option", "value"),
    [("--claim", "1%"), ("-c", "90%"), ("--got", "5"), ("--plot", "p.svg")],
)
def test_a_log_of_gaps_passes_over_nothing(run, option, value):
    """An option that has no part in the answer is refused by name."""
    result = run("drops", "rate", "--gaps", "70,10,80", "--hard", "90", option, value)

    assert result.code == ExitCode.USAGE
    assert ("--confidence" if option == "-c" else option) in result.err


@pytest.mark.parametrize("option", ["--stopped", "--chart"])
def test_a_log_of_gaps_has_no_such_switch(run, option):
    """The same for switches."""
    result = run("drops", "rate", "--gaps", "70,10,80", "--hard", "90", option)

    assert result.code == ExitCode.USAGE
    assert f"leave {option} out" in result.err


@pytest.mark.parametrize("option", ["--hard", "--leftover"])
def test_counts_have_no_pity(run, option):
    """What describes gaps is refused where there are none."""
    result = run("drops", "rate", "--got", "5", "--tries", "100", option, "90")

    assert result.code == ExitCode.USAGE
    assert option in result.err


def test_gaps_take_time(data):
    """All pulls of the log count for the time, the unfinished ones too."""
    arguments = ["--gaps", "70,10,80", "--leftover", "40", "--hard", "90", "--per-hour", "50"]

    assert data("rate", *arguments)["pulls"] == 200
    assert data("rate", *arguments)["time_h"] == 4


def test_neither_estimate_of_gaps_is_called_low(run):
    """The biased estimate may be the higher one."""
    out = run("drops", "rate", "--gaps", "70,10,80,20,10", "--leftover", "10", "--hard", "90").out

    assert "all hits / all pulls, biased\t2.50000 %" in out
    assert "too low" not in out


def test_the_observed_share_is_shown_where_it_differs(run):
    """Once for a fixed number of tries, twice for a stopped log; ends in percent."""
    fixed = run("drops", "rate", "--got", "5", "--tries", "812").out

    assert "observed" not in fixed
    assert "clopper-pearson\t0.200230 %\t1.43109 %" in fixed
    assert "observed" in run("drops", "rate", "--got", "5", "--tries", "812", "--stopped").out


def test_the_proof_has_digits_enough(run):
    """Both chances differ from the confidence, unless the digits were asked for."""
    arguments = ["drops", "need", "5%", "--drops", "1e8", "-c", "95%"]
    row = run(*arguments).out.splitlines()[2].split("\t")

    assert float(row[3].split()[0]) < 95 < float(row[2].split()[0])
    assert "95.0 %\t95.0 %" in run(*arguments, "--digits", "3").out


def test_digits_hold_for_mean_and_deviation(run):
    """In the last line of the answer too."""
    out = run("drops", "1/300", "--digits", "3").out

    assert "standard deviation 299," in out


def test_who_has_it_all_hears_so(run):
    """And how to ask for one more."""
    result = run("drops", "1/5000", "--tried", "3000", "--got", "1")

    assert result.code == ExitCode.USAGE
    assert "you have the 1 drop that you ask for" in result.err
    assert "--drops 2" in result.err
    assert run("drops", "1/5000", "--drops", "2", "--tried", "3000", "--got", "1").code == 0


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["1/5,000"], "1/5000"),
        (["1:5000"], "1/5000"),
        (["0,02%"], "0.02%"),
        (["\u00bd"], "1/2"),
        (["5000"], "1/5000"),
        (["chance", "1/5", "-n", "9", "--drops", "3-5"], "3..5"),
        (["prd", "25"], "25%"),
        (["pity", "--preset", "genshin", "--featured", "50"], "50%"),
    ],
)
def test_a_near_miss_is_understood(run, arguments, meant):
    """The hint writes what was meant as labkit reads it."""
    assert f"did you mean {meant}?" in run("drops", *arguments).err


def test_a_figure_is_called_by_its_name(run):
    """Not every rate above its bounds is the rate of a drop."""
    arguments = ["drops", "pity", "--base", "50%", "--soft", "5", "--step", "0", "--hard", "3"]

    assert "a step of 0" in run(*arguments).err


def test_one_is_written_as_one(run):
    """One drop, one try."""
    assert "1 drop in 1 try at" in run("drops", "luck", "1/5", "--tries", "1", "--got", "1").out
    err = run("drops", "luck", "1/5", "--tries", "0", "--got", "1").err
    assert "1 drop cannot come from 0 tries" in err


def test_a_table_is_read_from_standard_input(boar, spawn):
    """As JSON or as CSV, whichever it is."""
    as_json = spawn("drops", "table", "-", input=Path(boar).read_text("utf-8"))
    as_csv = spawn("drops", "table", "-", input="item,weight\na,1\nb,3\n")

    assert "Sap" in as_json.out
    assert "b\t75.0000 %" in as_csv.out


def test_no_name_is_no_folder(run):
    """An empty argument is not the present folder."""
    assert "no loot table was named" in run("drops", "table", "").err


def test_weights_beyond_doubles_are_answered(run, tmp_path):
    """Weights are exact; so are the chances they make."""
    path = tmp_path / "x.json"
    for weight in ("1e309", "1e400", "1e-400"):
        lines = [{"item": "a", "weight": "1"}, {"item": "b", "weight": weight}]
        path.write_text(json.dumps({"lines": lines}), "utf-8")
        result = run("drops", "table", str(path), "--rolls", "20")

        assert result.code == ExitCode.OK
        assert "all but 1 in 10^" in result.out


def test_a_plot_is_silent_without_a_home(tmp_path, spawn):
    """Matplotlib's own words about its cache are nobody's business."""
    home = tmp_path / "file"
    home.touch()
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(tmp_path)}
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        environment.pop(name, None)
    result = spawn("drops", "1/5", "--plot", str(tmp_path / "x.svg"), env=environment)

    assert result.code == ExitCode.OK
    assert "matplotlib" not in result.err.lower()


DOCUMENTED_KEYS = dict(
    re.findall(
        r"^\| `(\w+)` \| (.*chance.*|.*`\w+`.*) \|$",
        (PROJECT / "docs/drops.md").read_text("utf-8").partition("## JSON")[2],
        re.MULTILINE,
    )
)
CHANCE_KEYS = {"probability", "complement", "log10", "log10_complement", "one_in"}


@pytest.mark.parametrize(
    "question",
    [
        ["need", "1/50", "--tried", "9"],
        ["need", "1/50", "--each", "3-8", "--total", "20"],
        ["chance", "1/12", "--tries", "40"],
        ["chance", "40@1/120", "60@1/50"],
        ["chance", "1/12", "--tries", "40", "--each", "2", "--total", "4"],
        ["luck", "1/50", "--tries", "100", "--got", "1"],
        ["roll", "101800", "--luck", "2000", "--tries", "5"],
        ["roll", "101800", "--tries", "100", "--solve", "luck"],
        ["set", "a=1/5", "b=1/9", "--tries", "9"],
        ["pity", "--preset", "genshin", "--pulls", "9"],
        ["plan", "--preset", "genshin", "--stage", "1:100"],
        ["rate", "--got", "5", "--tries", "812", "--claim", "1/100"],
        ["rate", "--gaps", "70,10,80", "--hard", "90"],
        ["prd", "25%", "--tries", "3"],
    ],
    ids=" ".join,
)
def test_every_key_is_documented(data, question):
    """In the table of docs/drops.md."""
    row = DOCUMENTED_KEYS[question[0]]
    known = set(re.findall(r"`(\w+)`", row)) | {"convention"}

    assert set(data(*question)) <= known | (CHANCE_KEYS if "*chance*" in row else set())


# -- what all of them share

QUESTIONS = [
    ["need", "1/50"],
    ["chance", "1/50", "--tries", "100"],
    ["luck", "1/50", "--tries", "100", "--got", "1"],
    ["roll", "101800", "--luck", "2000"],
    ["rate", "--got", "3", "--tries", "100"],
]
each_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q[0])


@each_question
def test_every_command_says_its_convention(run, data, question):
    """In the last line of the text, and in the document."""
    assert run("drops", *question).out.endswith(f"({data(*question)['convention']})\n")


@each_question
def test_every_command_draws_its_curve(run, data, question):
    """As bars, and as points of the document."""
    assert "█" in run("drops", *question, "--chart").out
    assert data(*question, "--chart")["curves"][0]["points"]


@pytest.mark.parametrize(
    ("suffix", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_a_plot_is_written(run, tmp_path, suffix, begin):
    """In the format that the name says, and nothing else is left behind."""
    path = tmp_path / f"curve.{suffix}"
    result = run("drops", "1/50", "--plot", str(path))

    assert result.code == ExitCode.OK
    assert path.read_bytes().startswith(begin)
    assert list(tmp_path.iterdir()) == [path]


def test_a_plot_without_matplotlib_names_the_extra(run, monkeypatch):
    """The error says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = run("drops", "1/50", "--plot", "curve.png")

    assert result.code == ExitCode.UNMET
    assert "pip install '.[plot]'" in result.err


def test_digits_are_what_was_asked_for(run):
    """In percentages and in the probability itself."""
    out = run("drops", "chance", "1/12", "--tries", "40", "--drops", "4+", "--digits", "3").out

    assert "probability\t0.43\n" in out
    assert "43.0 %, 1 in 2.32" in out


@pytest.mark.parametrize("question", QUESTIONS[:4], ids=lambda q: q[0])
def test_numpy_and_scipy_are_not_loaded(question):
    """What needs neither loads neither; the intervals of `rate` are the ones that need scipy."""
    code = (
        "import sys; from labkit.cli.app import main; main(sys.argv[1:]); "
        "print({'numpy', 'scipy', 'matplotlib', 'rich'} & set(sys.modules), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "drops", *question],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert result.stderr.strip() == "set()"


# -- bad input


@pytest.mark.parametrize(
    "arguments",
    [
        *(["need", rate] for rate in ("0", "1.5", "101%", "1/0", "nan", "inf", "text", "5000")),
        *(["need", "1/5", "-c", c] for c in ("95,5", "99,9%", "0,95", "99,99")),
        *(["need", "1/5", "-c", c] for c in ("0", "100", "101", "100%", "1", "nan", "x")),
        *(["chance", "1/5", "--tries", n] for n in ("-1", "1.5", "1e400", "nan", "many")),
        *(["need", "1/5", "--drops", k] for k in ("0", "-1", "1.5", "1e11")),
        ["need", "--", "-0.1"],
        ["need", "-0.1"],
        ["nan"],
        ["chance", "1/5"],
        ["chance", "1/5", "1/6", "--tries", "5"],
        ["chance", "1/5", "--tries", "5", "--drops", "6"],
        ["chance", "1/5", "--tries", "5", "--drops", "3..2"],
        ["chance", "5@1/5", "--tries", "5"],
        ["chance", "5@1/5", "--drops", "6+"],
        ["chance", "1/5", "--tries", "5", "--each", "3"],
        ["chance", "1/5", "--tries", "5", "--magic-find", "300"],
        ["chance", "1e9@1/2", "1e9@1/3", "--drops", "800000000+"],
        ["luck", "1/5"],
        ["luck", "1/5", "--tries", "3", "--got", "4"],
        ["luck", "1/5", "--log", "x.csv"],
        ["luck", "--log", "no such file"],
        ["roll", "101800", "--solve", "luck"],
        ["roll", "101800", "--die", "0"],
        ["roll", "-5"],
        ["roll", "5", "--first-roll", "2"],
        ["table", "no such file"],
        ["rate", "--got", "5"],
        ["rate", "--got", "5", "--tries", "4"],
        ["rate", "--got", "0", "--tries", "4", "--stopped"],
        ["rate", "--got", "1", "--tries", "4", "--confidence", "100%"],
        ["rate", "--got", "1", "--tries", "4", "--confidence", "0." + "9" * 150],
        ["rate", "--gaps", "1,2"],
        ["rate", "--gaps", "1,x", "--hard", "90"],
        ["need", "1/5", "--each", "3-8"],
        ["need", "1/5", "--drops", "2", "--each", "3-8", "--total", "5"],
        ["need", "1/5", "--each", "1-2", "--total", "1e6"],
        ["need", "1/5", "--got", "1"],
        ["need", "1e-50", "--drops", "1e8"],
        ["need", "1/5", "--per-hour", "0"],
        ["need", "1/5", "--cost", "free"],
        ["need", "1/5", "--cost", "1e400"],
        ["need", "1/5", "--per-hour", "1e-400"],
        ["need", "1/5", "--plot", "curve.gif"],
        ["need", "1/5", "--digits", "0"],
    ],
    ids=" ".join,
)
def test_bad_input_is_refused(run, arguments):
    """Exit code 2, one error line and a hint, nothing on standard output, no traceback."""
    result = run("drops", *arguments)

    assert result.code == ExitCode.USAGE
    assert result.out == ""
    error, hint = result.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--luck", "x"],
        ["--luck", "5..1"],
        ["--luck", "0..1e9:1"],
        ["--luck", "0..100000:1"],
        ["--item", "Saps"],
        ["--table", "Bore"],
        ["--rolls", "0"],
    ],
    ids=" ".join,
)
def test_bad_questions_to_a_table_are_refused(run, boar, arguments):
    """Exit code 2 and a hint, here too."""
    result = run("drops", "table", boar, *arguments)

    assert result.code == ExitCode.USAGE
    assert result.err.count("\n") == 2


def test_a_plot_that_cannot_be_written_is_an_error(run, tmp_path):
    """Something is unmet; the hint says what."""
    result = run("drops", "1/5", "--plot", str(tmp_path / "no folder" / "curve.png"))

    assert result.code == ExitCode.UNMET
    assert "cannot be written" in result.err


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("0123456789/%.e+-@in", max_size=8), max_size=3))
def test_no_arguments_end_in_a_traceback(arguments):
    """Whatever is typed, labkit ends with an answer or with a usage error."""
    for command in ("need", "chance"):
        assert app.main(["drops", command, *arguments]) in {ExitCode.OK, ExitCode.USAGE}
