"""Many files, one reason: one line."""

from __future__ import annotations

from labkit.cli.gopro.folding import fold_errors, fold_lines
from labkit.errors import ExitCode, PartialError


def failure(name, text="it is cut", code="cut", hint="try again"):
    """A failed file."""
    return name, PartialError(f"{name}: {text}", hint=hint, code=code)


def test_errors_that_say_the_same_become_one():
    """With the first in full, how many more there are, and some of their names."""
    errors = fold_errors(failure(f"GX0100{n:02d}.MP4") for n in range(12))

    assert [(error.message, error.hint, error.code) for error in errors] == [
        (
            "GX010000.MP4: it is cut (and 11 more: GX010001.MP4, GX010002.MP4, GX010003.MP4, ...)",
            "try again",
            "cut",
        )
    ]


def test_numbers_make_no_difference():
    """Each file has its own size."""
    failures = [failure(f"{n}.JPG", f"it has {n} bytes of {n * n}") for n in range(4)]

    assert [error.message for error in fold_errors(failures)] == [
        "0.JPG: it has 0 bytes of 0 (and 3 more: 1.JPG, 2.JPG, 3.JPG)"
    ]


def test_two_are_shown_as_they_are():
    """A count would be longer."""
    assert len(fold_errors([failure("a.JPG"), failure("b.JPG")])) == 2


def test_other_reasons_stay_apart():
    """Another text, another code, another next step: another line, in the order they came."""
    failures = [
        failure(name, *rest)
        for rest in (("x",), ("y",), ("x", "other"), ("x", "cut", "wait"))
        for name in ("a", "b", "c")
    ]
    messages = [error.message for error in fold_errors(failures)]

    assert messages == [f"a: {text} (and 2 more: b, c)" for text in "xyxx"]


def test_warnings_fold_over_names_and_sizes():
    """The file's name stands somewhere in them."""
    lines = [f"100GOPRO/GX01000{n}.MP4: the list gives no size" for n in range(5)]

    assert fold_lines(["one", *lines, "two"]) == [
        "one",
        "100GOPRO/GX010000.MP4: the list gives no size (and 4 more like it)",
        "two",
    ]
    assert fold_lines(lines[:2]) == lines[:2]


def test_a_pull_that_fails_throughout_says_so_in_few_lines(camera_with, run, run_json, dest):
    """One line for people; the document has every file."""
    host = ("--host", str(camera_with("F29").address))
    code, _, err = run("pull", dest, *host)
    assert code == ExitCode.PARTIAL
    assert err.count("error:") == 1
    assert "GX010010.MP4: the server compresses" in err
    assert "(and 11 more: GX020010.MP4, GX010011.MP4, GX010011.WAV, ...)" in err
    _, document = run_json("pull", dest, *host)
    assert len(document["data"]["failed"]) == 12


def test_refusals_beyond_twenty_are_counted(camera_with, run, dest):
    """None is left out without a word."""
    _, _, err = run("pull", dest, "--host", str(camera_with("F21").address))

    assert "refused: 2 more; `--json` names them all" in err
