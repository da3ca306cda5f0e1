"""What all commands have in common, on a sample tool."""

from __future__ import annotations

import io
import json

import pytest

from labkit import __version__
from labkit.cli.output import Output
from labkit.errors import ExitCode

pytestmark = pytest.mark.usefixtures("sample")


@pytest.fixture
def terminal(monkeypatch):
    """Let the streams of this process claim to be a terminal."""
    monkeypatch.setattr(Output, "is_terminal", True)
    monkeypatch.setattr(Output, "colors", lambda self, _stream: self.wants_color is not False)


def test_result_is_text(run):
    """A command's result is written to standard output, and nothing else is."""
    result = run("sample", "number", "1/3")

    assert (result.code, result.out, result.err) == (ExitCode.OK, "1/3\n", "")


def test_json_envelope(run):
    """`--json` prints the one versioned document, with fractions as text."""
    result = run("sample", "number", "1/3", "--json")

    assert result.code == ExitCode.OK
    assert result.document == {
        "schema": "labkit.sample.number/1",
        "ok": True,
        "data": {"value": "1/3", "times": 1},
        "errors": [],
    }


def test_json_envelope_of_a_failure(run):
    """A command that fails after parsing still prints the document, with code and hint."""
    result = run("sample", "unreachable", "--json")

    assert result.code == ExitCode.UNREACHABLE
    assert result.document == {
        "schema": "labkit.sample.unreachable/1",
        "ok": False,
        "data": None,
        "errors": [
            {"code": "camera-unreachable", "message": "nobody answers", "hint": "switch it on"}
        ],
    }


def test_error_text(run):
    """A foreseen failure is an error line and a hint on standard error."""
    result = run("sample", "unreachable")

    assert result.out == ""
    assert result.err == "error: nobody answers\nhint: switch it on\n"


def test_partial_result(run):
    """A partial result is shown together with its errors, and is not ok."""
    text, document = run("sample", "partial"), run("sample", "partial", "--json")

    assert text.code == document.code == ExitCode.PARTIAL
    assert (text.out, text.err) == ("done 1\n", "error: one was left\nhint: again\n")
    assert document.document["data"] == {"done": 1}
    assert not document.document["ok"]


def test_bug_is_one_line(run):
    """An unforeseen exception is an error line and how to see the traceback."""
    result = run("sample", "bug", "--json")

    assert result.code == ExitCode.BUG
    assert result.err.startswith("error: labkit stumbled: ZeroDivisionError: by nothing\nhint: ")
    assert "Traceback" not in result.err
    assert result.document["errors"][0]["code"] == "bug"


def test_debug_shows_the_traceback(run, monkeypatch):
    """LABKIT_DEBUG=1 shows the traceback of an unforeseen exception."""
    monkeypatch.setenv("LABKIT_DEBUG", "1")

    assert 'raise ZeroDivisionError("by nothing")' in run("sample", "bug").err


def test_interrupt(run):
    """Ctrl-C ends with 130, silently."""
    result = run("sample", "interrupt")

    assert (result.code, result.out, result.err) == (ExitCode.INTERRUPTED, "", "")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["sampel"], "did you mean `labkit sample`?"),
        (["sample", "nmuber"], "did you mean `labkit sample number`?"),
        (["sample", "number", "1", "--tmies", "2"], "did you mean `--times`?"),
        (["sample", "number"], "see `labkit sample number --help`"),
        (["sample", "deep", "insde"], "did you mean `labkit sample deep inside`?"),
        (["sample", "number", "-1"], "a number here cannot be negative"),
        (["zzz"], "see `labkit --help`"),
    ],
)
def test_mistyped(run, arguments, hint):
    """A mistyped command or option ends with 2 and the likely one."""
    result = run(*arguments)

    assert result.code == ExitCode.USAGE
    assert result.out == ""
    assert f"hint: {hint}\n" in result.err


@pytest.mark.parametrize(
    "text", ["Umlaut ü", "a\U0001f3ae", "not UTF-8: \udcff", "\ufdd1", "x" * 200_000]
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_json_holds_every_character(text, encoding):
    """A JSON document says exactly what was put in, whatever the terminal's encoding lacks."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    output = Output(stream, io.StringIO(), io.StringIO(), {})

    output.document("labkit.sample.echo/1", 0, {"text": text}, [])

    stream.seek(0)
    assert json.load(stream)["data"] == {"text": text}


def test_interrupt_with_json(run):
    """Ctrl-C still leaves one document on standard output."""
    result = run("sample", "interrupt", "--json")

    assert result.code == ExitCode.INTERRUPTED
    assert result.document["errors"][0]["code"] == "interrupted"


def test_nothing_asked_shows_help(run):
    """`labkit` and a tool alone show their help on standard error and end with 2."""
    for arguments in ([], ["sample"], ["sample", "deep"]):
        result = run(*arguments)

        assert result.code == ExitCode.USAGE
        assert result.out == ""
        assert result.err.startswith("Usage: labkit")


def test_root_help_is_short(run):
    """`labkit` alone shows at most 25 lines."""
    assert len(run().err.splitlines()) <= 25


@pytest.mark.parametrize(
    "arguments", [["sample", "1/3"], ["sample", "--times", "1", "1/3"], ["sample", "number", "1/3"]]
)
def test_default_command(run, arguments):
    """A group's default command runs where the first word is not a command's name."""
    assert run(*arguments).out == "1/3\n"


def test_table_in_a_pipe(run):
    """A piped table is tab-separated, and a name in it cannot drive the terminal."""
    assert run("sample", "rows").out == "name\tsize\nplain\t1\n\\x1b]0;title\\x07evil name\t22\n"


def test_colors_in_names_are_shown_not_obeyed(run):
    """A colour sequence in an argument, or in a device's name, does not paint the terminal."""
    result = run("sample", "echo", "\x1b[31mred", "--color", "always")

    assert result.out == "\x1b[32m\\x1b[31mred\x1b[0m\n"
    assert "\\x1b[31mred" in run("sample", "echo", "fail\x1b[31mred").err
    assert "a\\u202eb" in run("sample", "echo", "a\u202eb").out


@pytest.mark.usefixtures("terminal")
def test_table_on_a_terminal(run):
    """On a terminal a table is aligned, numbers to the right."""
    lines = run("sample", "rows", "--color", "never").out.splitlines()

    assert [line.split() for line in lines if "plain" in line] == [["plain", "1"]]
    assert all("\x1b" not in line for line in lines)
    assert len({line.rstrip().rfind("2") for line in lines if "evil" in line}) == 1


@pytest.mark.usefixtures("terminal")
def test_narrow_terminal_gets_records(run, monkeypatch):
    """A table that is wider than a narrow terminal becomes one record a row."""
    monkeypatch.setenv("COLUMNS", "12")

    out = run("sample", "rows", "--color", "never").out

    assert "name  plain\nsize  1\n" in out


@pytest.mark.parametrize(
    ("environment", "arguments", "colored"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
        ({"TERM": "dumb"}, ["--color", "always"], True),
    ],
)
def test_colors(run, monkeypatch, environment, arguments, colored):
    """Option, NO_COLOR, FORCE_COLOR and the terminal decide on colours, in that order."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert ("\x1b[32m" in run("sample", "danger", "--yes", *arguments).out) == colored
    assert ("\x1b[1;32m" in run(*arguments, "--help").out) == colored
    assert ("\x1b[1;32m" in run("--help", *arguments).out) == colored
    assert ("\x1b[32m" in run(*arguments, "sample", "danger", "--yes").out) == colored


def test_dumb_terminal_has_no_colors(run, monkeypatch, terminal):
    """TERM=dumb means no colours, also on a terminal."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    assert run("sample", "danger", "--yes").out == "done\n"


def test_confirmation_without_a_terminal(run):
    """What asks needs `--yes` where nobody can answer."""
    result = run("sample", "danger")

    assert result.code == ExitCode.USAGE
    assert "`--yes`" in result.err
    assert run("sample", "danger", "--yes").out == "done\n"


@pytest.mark.parametrize(("answer", "code"), [("y\n", ExitCode.OK), ("\n", ExitCode.REFUSED)])
def test_confirmation_on_a_terminal(run, monkeypatch, answer, code):
    """On a terminal the question is asked on standard error, and no is the default."""
    monkeypatch.setattr(Output, "can_ask", True)
    monkeypatch.setattr("sys.stdin.readline", lambda: answer, raising=False)

    result = run("sample", "danger")

    assert result.code == code
    assert result.err.startswith("Really? [y/N] ")


def test_progress_without_a_terminal(run):
    """Without a terminal only messages and the end of the whole task are written."""
    result = run("sample", "work")

    assert result.out == "worked\n"
    lines = result.err.splitlines()
    assert lines[0] == "half way"
    assert lines[1].startswith("all: 100% [")
    assert lines[1].endswith("4 / 4")
    assert len(lines) == 2


def test_version(run, spawn):
    """`--version` prints the version, on the fast path and through the parser."""
    assert run("--version").out == spawn("--version").out == f"labkit {__version__}\n"


def test_short_help(run):
    """`-h` is `--help`."""
    assert run("sample", "number", "-h").out == run("sample", "number", "--help").out
