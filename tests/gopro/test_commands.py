"""`labkit gopro` as a user runs it: exit codes, JSON, text, bad input and bad states."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from labkit.errors import ExitCode
from labkit.gopro.destination import locked
from labkit.gopro.fake import FAULTS, Card, CardFile
from labkit.gopro.fake.media import make_mp4
from labkit.gopro.journal import JOURNAL_NAME


def host(fake):
    """The option that names the fake camera."""
    return ("--host", str(fake.address))


def test_pull_and_pull_again(camera_with, run_json, dest):
    """The first run brings everything, the second finds it."""
    fake = camera_with()
    code, document = run_json("pull", dest, *host(fake))
    data = document["data"]

    assert code == ExitCode.OK
    assert document["schema"] == "labkit.gopro.pull/1"
    assert (data["planned"], data["downloaded"], data["failed"]) == (12, 12, [])
    assert data["bytes"] == 4_460_000
    before = len(fake.requests)
    code, document = run_json("pull", dest, *host(fake))

    assert (code, document["data"]["downloaded"]) == (ExitCode.OK, 0)
    assert len(fake.requests) - before <= 3


@pytest.mark.parametrize("dialect", ["open-gopro", "legacy", "fusion"])
def test_a_second_run_makes_three_requests_at_most(camera_with, run, dest, dialect):
    """The dialect of last time is asked first."""
    fake = camera_with(dialect=dialect)
    run("pull", dest, *host(fake))
    before = len(fake.requests)
    run("pull", dest, *host(fake))

    assert len(fake.requests) - before <= 3


def test_dry_run_shows_and_does_nothing(camera_with, run_json, dest):
    """The plan, file by file; no folder is made."""
    code, document = run_json("pull", dest, *host(camera_with()), "--dry-run")
    first = document["data"]["plan"][0]

    assert code == ExitCode.OK
    assert first["path"] == "2024-06-15/GX010010.MP4"
    assert first["taken_at"] == "2024-06-15T09:00:00"
    assert {"folder", "name", "size_bytes", "kind", "clip", "chapter", "have"} <= set(first)
    assert not dest.exists()


def test_failures_are_partial_and_named(camera_with, run_json, dest):
    """Exit 5, each failed file with its code."""
    card = Card([CardFile("100GOPRO", "GX010001.MP4", make_mp4(50_000))])
    fake = camera_with("F29", files=card)
    code, document = run_json("pull", dest, *host(fake))

    assert code == ExitCode.PARTIAL
    assert document["ok"] is False
    assert document["data"]["failed"][0]["name"] == "GX010001.MP4"
    assert document["errors"][0]["code"] == "transfer-failed"


def test_refused_names_are_partial(camera_with, run, dest):
    """The rest comes; stderr shows each refused name on one harmless line."""
    code, out, err = run("pull", dest, *host(camera_with("F21")))

    assert code == ExitCode.PARTIAL
    assert "12 files pulled" in out
    assert "error: refused:" in err
    assert "\x1b[31mred" not in err


def test_ls_gathers_recordings(camera_with, run_json, run, dest):
    """Chapters, companions and groups are one line each."""
    fake = camera_with()
    code, document = run_json("ls", *host(fake), "--to", dest)
    clips = {
        clip["clip"]: clip for clip in document["data"]["clips"] if clip["folder"][:3] == "100"
    }

    assert code == ExitCode.OK
    assert document["data"]["camera"]["model"] == "HERO12 Black"
    assert clips["GX0010"]["chapters"] == 2
    assert [file["name"] for file in clips["GX0010"]["files"]][:2] == [
        "GX010010.MP4",
        "GX020010.MP4",
    ]
    assert clips["GX0010"]["size_bytes"] > 1_900_000
    assert len(clips["G001"]["files"]) == 4
    assert clips["G001"]["size_bytes"] == 400_000
    assert document["data"]["pull_s"] > 0
    run("pull", dest, *host(fake))
    _, out, _ = run("ls", *host(fake), "--to", dest)
    assert re.search(r"100GOPRO/GX0010\tvideo\t2024-06-15 09:00\t0:02\t.*\tyes", out)


def test_ls_asks_for_lengths(camera_with, run_json, dest):
    """With `--lengths` the camera is asked clip by clip."""
    _, document = run_json("ls", *host(camera_with()), "--to", dest, "--lengths")

    assert document["data"]["clips"][0]["duration_s"] == 2


@pytest.mark.parametrize("cut", [1, 300, 10_000, 400_000])
def test_verify_finds_a_truncated_clip(camera_with, run_json, run, dest, cut):
    """Exit 1, the path and the reason."""
    run("pull", dest, *host(camera_with()))
    assert run("verify", dest)[0] == ExitCode.OK
    clip = dest / "2024-06-15/GX010011.MP4"
    os.truncate(clip, clip.stat().st_size - cut)
    code, document = run_json("verify", dest)

    assert code == ExitCode.NO
    assert [bad["path"] for bad in document["data"]["bad"]] == ["2024-06-15/GX010011.MP4"]


def test_verify_without_a_journal_checks_structures(camera_with, run_json, run, dest):
    """Files that another tool brought are looked at as well."""
    run("pull", dest, *host(camera_with()))
    (dest / JOURNAL_NAME).unlink()
    clip = dest / "2024-06-15/GX010011.MP4"
    os.truncate(clip, clip.stat().st_size - 1)
    code, document = run_json("verify", dest)

    assert (code, document["data"]["checked"], len(document["data"]["bad"])) == (1, 12, 1)


def test_verify_finds_a_missing_file_and_a_wrong_sum(camera_with, run_json, run, dest):
    """What the journal knows is compared with what is there."""
    run("pull", dest, *host(camera_with("F36")))
    (dest / "2024-06-15/GOPR0012.JPG").unlink()
    _, document = run_json("verify", dest)
    reasons = [bad["reason"] for bad in document["data"]["bad"]]

    assert any("not here any more" in reason for reason in reasons)
    assert any("401000" in reason for reason in reasons)


def test_verify_against_the_camera_finds_what_looks_right(camera_with, run_json, run, dest):
    """A changed byte in the middle of a clip breaks no structure: only the camera tells."""
    fake = camera_with()
    run("pull", dest, *host(fake))
    with (dest / "2024-06-15/GX010011.MP4").open("r+b") as clip:
        clip.seek(300_000)
        clip.write(b"changed")
    assert run("verify", dest)[0] == ExitCode.OK
    code, document = run_json("verify", dest, "--against-camera", *host(fake))

    assert code == ExitCode.NO
    assert document["data"]["compared"] == 12
    assert "differs from the camera's" in document["data"]["bad"][0]["reason"]


def test_a_damaged_file_is_pulled_beside_not_over(camera_with, run_json, run, dest):
    """What was changed here is the user's: it is left alone."""
    fake = camera_with()
    run("pull", dest, *host(fake))
    clip = dest / "2024-06-15/GX010011.MP4"
    clip.write_bytes(b"edited")
    _, document = run_json("pull", dest, *host(fake))

    assert clip.read_bytes() == b"edited"
    assert (dest / "2024-06-15/GX010011-2.MP4").stat().st_size == 600_000
    assert "left alone" in document["data"]["warnings"][0]


def test_a_lost_journal_costs_no_download(camera_with, run_json, run, dest):
    """Files that are there are recognised by comparing their ends."""
    fake = camera_with()
    run("pull", dest, *host(fake))
    (dest / JOURNAL_NAME).unlink()
    _, document = run_json("pull", dest, *host(fake))

    assert (document["data"]["downloaded"], document["data"]["skipped"]) == (0, 12)


def test_info(camera_with, run_json, run):
    """Model, dialect, state; as text a line each."""
    fake = camera_with()
    code, document = run_json("info", *host(fake))

    assert code == ExitCode.OK
    assert document["data"]["camera"]["serial"] == "C3500000000789"
    assert document["data"]["dialect"] == "open-gopro"
    assert document["data"]["state"]["battery_percent"] == 87
    assert "battery\t87 %" in run("info", *host(fake))[1]


def test_info_of_a_camera_that_records(camera_with, run_json):
    """Its list is busy; its state is not."""
    code, document = run_json("info", *host(camera_with("F09-always")))

    assert code == ExitCode.OK
    assert document["data"]["state"]["recording"] is True


def test_clock(camera_with, run_json):
    """The drift is small: both clocks are this computer's."""
    code, document = run_json("clock", *host(camera_with()))

    assert code == ExitCode.OK
    assert abs(document["data"]["drift_s"]) < 3
    assert document["data"]["set"] is False


@pytest.mark.parametrize(
    ("dialect", "form"),
    [
        ("open-gopro", r"date=\d{4}_\d\d_\d\d&time=\d\d_\d\d_\d\d&tzone=-?\d+&dst=0"),
        ("legacy", r"p=(%[0-9a-fA-F]{2}){6}"),
    ],
)
def test_clock_set(camera_with, run_json, dialect, form):
    """In the form that the camera's generation expects."""
    fake = camera_with(dialect=dialect)
    _, document = run_json("clock", "--set", "--yes", *host(fake))

    assert document["data"]["set"] is True
    assert re.fullmatch(form, fake.clock)


def test_clock_set_asks(camera_with, run):
    """Without a terminal and without `--yes` nothing is changed: exit 2."""
    fake = camera_with()
    code, _, err = run("clock", "--set", *host(fake))

    assert code == ExitCode.USAGE
    assert "--yes" in err
    assert fake.clock is None


def test_clock_of_a_camera_that_does_not_tell(camera_with, run):
    """Exit 6."""
    assert run("clock", *host(camera_with(dialect="html")))[0] == ExitCode.REFUSED


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--layout", "{nme}"), "bad-layout"),
        (("--since", "someday"), "bad-date"),
        (("--until", "9999-12-31"), "bad-date"),
        (("--layout", "{date:%Q}/{name}"), "bad-layout"),
        (("--layout", "{date:%Y%}/{name}"), "bad-layout"),
        (("--only", "movies"), "bad-kind"),
        (("--max-size", "big"), "bad-size"),
        (("--shift", "later"), "bad-shift"),
        (("--usb", "abc"), "bad-address"),
        (("--host", "http://a b/"), "bad-address"),
        (("--host", "ftp://10.0.0.1"), "bad-address"),
    ],
)
def test_bad_options_end_before_a_camera_is_looked_for(run_json, dest, arguments, code):
    """Exit 2, the error's code, a hint."""
    ended, document = run_json("pull", dest, *arguments)

    assert ended == ExitCode.USAGE
    assert document["errors"][0]["code"] == code
    assert document["errors"][0]["hint"]


def test_nobody_answers(run, dest):
    """Exit 3, what was looked for is said first, and how to get into the camera's network."""
    code, out, err = run("pull", dest)

    assert code == ExitCode.UNREACHABLE
    assert out == ""
    assert err.startswith("looking for a camera at 127.0.0.1:9\nerror: no camera answers")
    assert "hint:" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_destination_without_permission(camera_with, run, tmp_path):
    """Exit 4."""
    tmp_path.chmod(0o500)
    assert run("pull", tmp_path / "dest", *host(camera_with()))[0] == ExitCode.UNMET
    tmp_path.chmod(0o700)


def test_a_destination_that_is_a_file(camera_with, run, dest):
    """Exit 2, and the file is untouched."""
    dest.write_text("mine")
    code, _, err = run("pull", dest, *host(camera_with()))

    assert code == ExitCode.USAGE
    assert "is a file" in err
    assert dest.read_text() == "mine"


def test_two_pulls_into_one_folder(camera_with, run, dest):
    """The second says so: exit 6."""
    with locked(dest):
        code, _, err = run("pull", dest, *host(camera_with()))

    assert code == ExitCode.REFUSED
    assert "another pull" in err


def test_a_damaged_journal(camera_with, run, dest):
    """Exit 2, and what to do about it."""
    dest.mkdir()
    (dest / JOURNAL_NAME).write_bytes(b"no database" * 1000)
    code, _, err = run("pull", dest, *host(camera_with()))

    assert code == ExitCode.USAGE
    assert "move it away" in err


def test_a_missing_wget(camera_with, run, dest, monkeypatch):
    """Exit 4 with the line that installs it, before a camera is looked for."""
    monkeypatch.setattr("labkit.programs.find_program", lambda _: None)
    code, _, err = run("pull", dest, "--backend", "wget", *host(camera_with()))

    assert code == ExitCode.UNMET
    assert "wget" in err.split("hint:")[1]
    assert "looking for" not in err


def test_the_configuration_names_cameras(camera_with, run_json, tmp_path, monkeypatch):
    """`--host helmet`."""
    fake = camera_with()
    path = tmp_path / "config.toml"
    path.write_text(f'[gopro.helmet]\naddress = "{fake.address}"\n')
    monkeypatch.setattr("labkit.config.config_path", lambda: path)
    code, document = run_json("info", "--host", "helmet")

    assert (code, document["data"]["camera"]["address"]) == (0, str(fake.address))


def test_faults_are_listed(run):
    """`--fault list` explains each."""
    code, out, _ = run("fake", "--fault", "list")

    assert code == ExitCode.OK
    assert all(name in out for name in FAULTS)


def test_an_unknown_fault(run):
    """Exit 2."""
    assert run("fake", "--fault", "F99")[0] == ExitCode.USAGE


def test_fake_serves_a_folder_until_it_is_stopped(run, tmp_path):
    """As in the README: one process serves, another pulls; SIGTERM ends it cleanly."""
    served = tmp_path / "card/100GOPRO"
    served.mkdir(parents=True)
    (served / "GX010001.MP4").write_bytes(make_mp4(50_000))
    command = [sys.executable, "-m", "labkit", "gopro", "fake", str(tmp_path / "card")]
    process = subprocess.Popen(
        [*command, "--port", "0", "--for", "60"], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        address = re.search(r"127\.0\.0\.1:\d+", process.stderr.readline()).group()
        code, out, _ = run("pull", tmp_path / "dest", "--host", address)
    finally:
        process.send_signal(signal.SIGTERM)
        out_fake, _ = process.communicate(timeout=20)

    assert code == ExitCode.OK
    assert out.startswith("1 file pulled")
    assert process.returncode == ExitCode.OK
    assert re.fullmatch(r"answered \d+ requests\n", out_fake)


def test_term_switches_turbo_off(camera_with, dest):
    """A pull that is asked to end leaves the camera as it was: exit 130."""
    card = Card([CardFile("100GOPRO", "GX010001.MP4", make_mp4(900_000))])
    fake = camera_with("F03", files=card, stall_s=30)
    command = [sys.executable, "-m", "labkit", "gopro", "pull", str(dest), "--turbo"]
    process = subprocess.Popen([*command, *host(fake)], stderr=subprocess.PIPE)
    for _ in range(200):
        if fake.file_requests():
            break
        time.sleep(0.05)
    time.sleep(0.2)
    assert fake.turbo
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    assert process.returncode == ExitCode.INTERRUPTED
    assert not fake.turbo


def test_only_what_is_needed_is_imported():
    """`labkit gopro --help` loads no HTTP, no tables."""
    code = (
        "import sys; from labkit.cli import app; app.main(['gopro', '--help']);"
        "print(sorted({'requests', 'rich', 'sqlite3', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert result.stdout.splitlines()[-1] == "[]"


def test_a_clock_that_was_not_taken_is_not_set(camera_with, run_json, monkeypatch):
    """The camera's answer is not believed, its clock is: exit 6."""
    fake = camera_with()
    late = {"date": "2020_01_01", "time": "00_00_00", "tzone": 0, "dst": 0}
    monkeypatch.setattr("labkit.gopro.fake.camera._open_gopro_time", lambda: late)
    code, document = run_json("clock", "--set", "--yes", *host(fake))

    assert (code, document["data"]["set"]) == (ExitCode.REFUSED, False)
    assert document["errors"][0]["code"] == "clock-not-set"


def test_a_declined_clock_says_so(camera_with, run, monkeypatch):
    """The question says how far it is off; `n` leaves it."""
    asked = []
    monkeypatch.setattr(
        "labkit.cli.output.Output.confirm",
        lambda _, question, **__: asked.append(question),
    )
    code, out, _ = run("clock", "--set", *host(camera_with()))

    assert code == ExitCode.OK
    assert out.startswith("not set; ")
    assert asked == ["The camera's clock is right. Set it?"]


@pytest.mark.parametrize(
    "option",
    [
        "--timeout=nan",
        "--timeout=inf",
        "--stall-timeout=inf",
        "--wait=nan",
        "--timeout=1e10",
        "--stall-timeout=1e300",
        "--wait=1e300",
    ],
)
def test_times_are_numbers_of_seconds(run, dest, option):
    """No number, endless, or longer than the system can wait: exit 2."""
    code, _, err = run("pull", dest, option)

    assert code == ExitCode.USAGE
    assert "no number of seconds" in err


@pytest.mark.parametrize("seconds", ["nan", "1e300"])
def test_the_fake_camera_ends_after_a_real_time(run, seconds):
    """As everywhere."""
    code, _, err = run("fake", "--port", 0, "--for", seconds)

    assert code == ExitCode.USAGE
    assert "no number of seconds" in err


@pytest.mark.parametrize("dialect", ["legacy", "fusion"])
def test_a_wrong_dialect_is_named(camera_with, run, dest, dialect):
    """It is a camera, and speaks another one."""
    code, _, err = run("pull", dest, *host(camera_with()), "--dialect", dialect)

    assert code == ExitCode.REFUSED
    assert f"does not speak {dialect}" in err


def test_verify_answers_whether_everything_is_there(camera_with, run_json, run, dest):
    """Nothing to check is no yes; against the camera, a narrow pull lacks files."""
    fake = camera_with()
    dest.mkdir()
    code, out, _ = run("verify", dest)
    assert (code, "nothing to check" in out) == (ExitCode.NO, True)
    run("pull", dest, *host(fake), "--match", "GOPR0012*", "--only", "photo")
    assert run("verify", dest)[0] == ExitCode.OK
    code, document = run_json("verify", dest, "--against-camera", *host(fake))

    assert code == ExitCode.NO
    assert len(document["data"]["missing"]) == 11
    assert "100GOPRO/GX010011.WAV" in document["data"]["missing"]
    run("pull", dest, *host(fake))
    assert run("verify", dest, "--against-camera", *host(fake))[0] == ExitCode.OK


def test_verify_names_what_a_pull_did_not_bring(camera_with, pull_from, run_json, dest):
    """The journal knows what was to come."""
    pull_from(camera_with("F20"), dest)
    code, document = run_json("verify", dest)

    assert code == ExitCode.NO
    assert document["data"]["missing"]


def test_a_file_of_the_camera_named_part_is_no_part(camera_with, run_json, run, dest):
    """Once it was pulled, it is a file as any other."""
    card = Card([CardFile("100GOPRO", "NOTES.part", b"what is this? " * 100)])
    run("pull", dest, *host(camera_with(files=card)))
    code, document = run_json("verify", dest)

    assert (code, document["data"]["unfinished"]) == (ExitCode.OK, [])


def test_a_sum_that_was_wrong_once_is_not_kept(camera_with, run, dest):
    """The second list's sum is the one that counts later."""
    run("pull", dest, *host(camera_with("F36-once")))

    assert run("verify", dest)[0] == ExitCode.OK


def test_filters_that_fit_nothing_say_so(camera_with, run, dest):
    """Not just 0 files."""
    code, out, _ = run("pull", dest, *host(camera_with()), "--match", "NOTHING*")

    assert code == ExitCode.OK
    assert "nothing that these options ask for" in out


def test_a_pull_that_is_stopped_says_that_it_goes_on(camera_with, run, dest, monkeypatch):
    """One line before the end by Ctrl-C or SIGTERM."""

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["labkit.gopro.pull"], "pull", stopped)
    _, _, err = run("pull", dest, *host(camera_with()))

    assert "stopped; what came is kept" in err


@pytest.mark.parametrize("dialect", ["open-gopro", "legacy", "fusion", "html"])
def test_the_counts_of_a_pull_fit_those_of_the_next(camera_with, run, run_json, dest, dialect):
    """As many files as were planned came, and so many are here then; `ls` shows the same bytes."""
    fake = camera_with(dialect=dialect)
    _, plan = run_json("pull", dest, "--dry-run", *host(fake))
    _, before = run_json("ls", "--to", dest, *host(fake))
    _, first, _ = run("pull", dest, *host(fake))
    _, again, _ = run("pull", dest, *host(fake))
    _, after = run_json("ls", "--to", dest, *host(fake))
    number = len(plan["data"]["plan"])

    assert first.startswith(f"{number} files pulled")
    assert again == f"0 files pulled to {dest}\n{number} here already\n"
    assert plan["data"]["to_pull_bytes"] == before["data"]["to_pull_bytes"]
    assert before["data"]["size_bytes"] == after["data"]["size_bytes"]
    assert after["data"]["to_pull_bytes"] == 0
