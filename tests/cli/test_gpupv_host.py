"""`labkit gpupv doctor`, `explain` and `lint`."""

from __future__ import annotations

import io
import json
import sys

import pytest

from labkit.errors import ExitCode
from labkit.gpupv.host import HOST_FORMAT

GUID = "{064092b3-625e-43bf-9eb5-dc845897dd59}"
PATH = rf"\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008#{GUID}\GPUPARAV"
MMIO = (
    "The upper MMIO region (0x00000017dffff000) is above the the supported physical address range. "
    "Make sure that the upper MMIO region is below 0x0000001000000000."
)


@pytest.fixture
def host_file(tmp_path):
    """A function that writes a host.json with one card and some facts of its own."""

    def write(**facts):
        host = {"format": HOST_FORMAT, "gpus": [{"instance_path": PATH}], "machines": []}
        path = tmp_path / "host.json"
        path.write_text(json.dumps(host | facts), "utf-8")
        return str(path)

    return write


def test_explain_code(run):
    """A code gives cause and fix; its prefix and case do not matter."""
    result = run("gpupv", "explain", "code43", "--json")

    assert result.code == ExitCode.OK
    assert result.document["data"]["code"] == "GPV-CODE43"
    assert result.document["data"]["fix"]


def test_explain_text_says_the_value(run):
    """An error text gives its numbers and what to do about them."""
    result = run("gpupv", "explain", "--text", MMIO)

    assert result.code == ExitCode.OK
    assert "physical_bits 36" in result.out
    assert "at most 512 MB" in result.out


def test_explain_text_json(run):
    """The first match stands at the top of the data, all of them in `matches`."""
    data = run("gpupv", "explain", "--text", f"Code 43 {MMIO}", "--json").document["data"]

    assert data["code"] == "GPV-MMIO-RANGE"
    assert data["numbers"]["max_size_mb"] == 512
    assert [match["code"] for match in data["matches"]] == ["GPV-MMIO-RANGE", "GPV-CODE43"]


def test_unknown_text(run):
    """A text that nothing matches is not recognised, which is a no."""
    result = run("gpupv", "explain", "--text", "something else")

    assert result.code == ExitCode.NO
    assert "not recognised" in result.out


@pytest.fixture
def paste(monkeypatch):
    """A function that puts a text on standard input."""

    def put(text, encoding="utf-8"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode(encoding))))

    return put


def test_explain_text_from_standard_input(run, paste):
    """`-` reads the message from there, as UTF-16 too."""
    paste(MMIO, "utf-16")

    assert "physical_bits 36" in run("gpupv", "explain", "--text", "-").out


def test_explain_text_with_the_name_of_a_file(run, tmp_path):
    """The text itself is wanted; for a file's name the way to read it is told."""
    path = tmp_path / "my err.txt"
    path.write_text(MMIO, "utf-8")
    result = run("gpupv", "explain", "--text", str(path))

    assert result.code == ExitCode.NO
    assert f"--text - < '{path}'" in result.out


def test_doctor_of_standard_input(run, paste, shared_fixtures):
    """`-` reads the paste from there."""
    paste((shared_fixtures / "gpupv/host_two_identical_gpus.txt").read_text("utf-8"))

    assert "GPV-GPU-DUPLICATE-NAME" in run("gpupv", "doctor", "--text", "-").out


def test_doctor_with_an_error_message(run):
    """A file is wanted; for the message itself the other command is told."""
    result = run("gpupv", "doctor", "--text", MMIO[:60])

    assert result.code == ExitCode.USAGE
    assert "labkit gpupv explain --text" in result.err


def test_doctor_names_what_it_examined(run, host_file):
    """Each machine is named with what was known of it."""
    machines = [
        {"name": "Gaming", "state": "Off", "adapters": [{"instance_path": PATH}]},
        {"name": "Ubuntu", "state": "Running", "stop_action": "Save", "adapters": []},
    ]
    path = host_file(machines=machines)
    result = run("gpupv", "doctor", path)

    assert "Gaming: Off, 1 GPU adapter\nUbuntu: Running, no GPU adapters\n" in result.out
    assert run("gpupv", "doctor", path, "--json").document["data"]["machines"][1] == {
        "name": "Ubuntu",
        "state": "Running",
        "adapters": 0,
    }


def test_doctor_of_a_table(run, tmp_path):
    """What Get-VM prints by itself holds nothing to judge, which is said."""
    path = tmp_path / "pasted.txt"
    path.write_text("Name   State\n----   -----\nGaming Off\n", "utf-8")
    result = run("gpupv", "doctor", "--text", str(path))

    assert result.code == ExitCode.USAGE
    assert "Get-VM | Format-List *" in result.err


@pytest.mark.parametrize("arguments", [(), ("GPV-CODE43", "--list"), ("GPV-CODE", "--text", "x")])
def test_explain_needs_one_question(run, arguments):
    """A code, a text or the list: exactly one."""
    assert run("gpupv", "explain", *arguments).code == ExitCode.USAGE


def test_mistyped_code(run):
    """A mistyped code gets the likely one."""
    result = run("gpupv", "explain", "GPV-CODE34")

    assert result.code == ExitCode.USAGE
    assert "GPV-CODE43" in result.err


def test_doctor_of_a_healthy_host(run, host_file):
    """A host with nothing in the way ends with 0."""
    result = run("gpupv", "doctor", host_file())

    assert result.code == ExitCode.OK
    assert "nothing found" in result.out


def test_doctor_finds(run, host_file):
    """A problem of the host is a no, with its code and fix."""
    result = run("gpupv", "doctor", host_file(hyper_v={"hypervisor": False}), "--json")
    (finding,) = result.document["data"]["findings"]

    assert result.code == ExitCode.NO
    assert finding["code"] == "GPV-NO-HYPERVISOR"
    assert finding["fix"]
    assert result.document["data"]["gpus"][0]["vendor"] == "NVIDIA"


def test_doctor_with_a_plan(run, host_file, tmp_path):
    """A plan is compared with the host."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f"[[gpu]]\npath = '{PATH}'\n[[vm]]\nname = 'Gaming'\nvhdx = 'D:\\gaming.vhdx'\n", "utf-8"
    )
    result = run("gpupv", "doctor", host_file(), "--plan", str(plan))

    assert result.code == ExitCode.NO
    assert "GPV-VM-NOT-FOUND" in result.out


def test_doctor_with_a_wrong_plan(run, host_file, tmp_path):
    """A plan that is none is refused with its problems."""
    plan = tmp_path / "plan.toml"
    plan.write_text("[[vm]]\nnam = 1\n", "utf-8")

    assert run("gpupv", "doctor", host_file(), "--plan", str(plan)).code == ExitCode.USAGE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_doctor_of_a_paste(run, shared_fixtures, tmp_path, encoding):
    """A paste is read in each encoding that Windows writes."""
    text = (shared_fixtures / "gpupv/host_two_identical_gpus.txt").read_text("utf-8")
    path = tmp_path / "pasted.txt"
    path.write_text(text, encoding)
    result = run("gpupv", "doctor", "--text", str(path))

    assert result.code == ExitCode.NO
    assert "GPV-GPU-DUPLICATE-NAME" in result.out


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"gpus": [', b"\xff\xff", b"[]", b"\0"],
)
def test_bad_host_file(run, tmp_path, content):
    """A host file that is cut or another thing is a clear error."""
    path = tmp_path / "host.json"
    path.write_bytes(content)
    result = run("gpupv", "doctor", str(path))

    assert result.code == ExitCode.USAGE
    assert result.err.startswith("error: ")


@pytest.mark.parametrize("arguments", [(), ("a.json", "--text", "b.txt"), ("missing.json",)])
def test_doctor_needs_one_file(run, arguments):
    """host.json or a paste, one of them, and it must be there."""
    assert run("gpupv", "doctor", *arguments).code == ExitCode.USAGE


@pytest.mark.parametrize("facts", [{"gpus": None, "machines": None}])
@pytest.mark.parametrize("plan", [False, True])
def test_doctor_without_facts_gives_no_verdict(run, host_file, tmp_path, facts, plan):
    """Nothing was examined, so nothing found says nothing: an input is missing."""
    spec = tmp_path / "g.toml"
    spec.write_text(f"[[gpu]]\npath = '{PATH}'\n[[vm]]\nname = 'x'\nvhdx = 'D:\\x.vhdx'\n", "utf-8")
    more = ("--plan", str(spec)) if plan else ()
    result = run("gpupv", "doctor", host_file(**facts), *more, "--json")
    assert result.code == ExitCode.UNMET
    assert not result.document["ok"]
    assert "machines" in result.document["errors"][0]["message"]


def test_plan_is_not_compared_with_half_a_host(run, host_file, tmp_path):
    """Its machines are not to be found where none are listed."""
    spec = tmp_path / "g.toml"
    spec.write_text(f"[[gpu]]\npath = '{PATH}'\n[[vm]]\nname = 'x'\nvhdx = 'D:\\x.vhdx'\n", "utf-8")
    half = host_file(machines=None)
    assert run("gpupv", "doctor", half).code == ExitCode.OK
    assert run("gpupv", "doctor", half, "--plan", str(spec)).code == ExitCode.UNMET


def test_lint(run, tmp_path):
    """A finding shows the line, what is wrong, and the right form."""
    path = tmp_path / "x.ps1"
    path.write_text("Set-VM x -AutomaticStopAction TurnOff # no checkpoints\n", "utf-8")
    result = run("gpupv", "lint", str(path))

    assert result.code == ExitCode.NO
    assert "x.ps1:1" in result.out
    assert "-AutomaticCheckpointsEnabled $false" in result.out


def test_lint_finds_nothing(run, tmp_path):
    """A script without bad advice ends with 0."""
    path = tmp_path / "x.ps1"
    path.write_text("Get-VM\n", "utf-8")

    assert run("gpupv", "lint", str(path)).code == ExitCode.OK


@pytest.mark.parametrize("name", ["x.txt", "missing.ps1", "."])
def test_lint_needs_a_script_or_guide(run, tmp_path, name):
    """Another kind of file, a missing one and a folder are refused."""
    assert run("gpupv", "lint", str(tmp_path / name)).code == ExitCode.USAGE
