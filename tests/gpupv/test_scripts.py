"""The scripts of a broad family of plans: they parse, keep the rules and are the same bytes."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Parser

import labkit.gpupv
from labkit.gpupv import Spec, plan_scripts
from labkit.gpupv.assembly import SCRIPTS
from labkit.gpupv.tokenizer import Kind, brackets_match, read_data, tokenize

BODIES = Path(labkit.gpupv.__file__).parent / "scripts"
FILES = sorted(BODIES.rglob("*.ps1"))
OWN = [path for path in FILES if not path.name.startswith("00-")]
PARSER = Parser(Language(tree_sitter_powershell.language()))
READ_ONLY = {"01-Preflight.ps1", "30-Verify-Guest.ps1", "31-Verify-Host.ps1"}
APPROVED = {
    *("Add", "Assert", "Clear", "Compare", "Complete", "Confirm", "Connect", "ConvertTo", "Copy"),
    *("Disconnect", "Dismount", "Find", "Format", "Get", "Install", "Invoke", "Mount", "Move"),
    "Protect",
    *("New", "Read", "Remove", "Reset", "Resolve", "Restore", "Save", "Select", "Send", "Set"),
    *("Sync", "Test", "Undo", "Update", "Wait", "Write"),
}
STATE_CHANGING = {"New", "Set", "Remove", "Start", "Stop", "Restart", "Reset", "Update"}
CREATE = {"iso": r"D:\Win 11.iso", "vhd_size": "64GiB", "switch": "Default Switch"}

each_body = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
each_own = pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)


def family(path):
    """Plans of every shape: sizes, cards, names, new machines, several machines."""
    names = ("Gaming VM", "O\u2019Brien's; $(x) `n #> <# @' {0}", "\u30b2\u30fc\u30e0\U0001f3ae")
    options = (
        {},
        {"memory": "8GiB", "vcpu": 4, "resolution": "2560x1440", "guest_user": r".\Bob O'Neil"},
        {"percent": 50, "mmio_high": "64GiB", "stop_action": "TurnOff"},
        {"memory": "4GiB", "create": CREATE},
    )
    for name, option, card in product(names, options, ("auto", path, path.lower())):
        if "create" in option and not name.isascii():
            continue
        title = "New VM (1)" if "create" in option else name
        vm = {"name": title, "vhdx": r"C:\[x] 'y'\d.vhdx", **option}
        for count in (1, 3):
            machines = [
                vm | {"name": f"{title}{n}", "vhdx": rf"D:\{n}.vhdx"} for n in range(1, count)
            ]
            yield Spec.from_table({"gpu": [{"path": card}], "vm": [vm, *machines]})


def errors(node):
    """The places where the grammar finds no sense."""
    if node.type == "ERROR" or node.is_missing:
        yield node.start_point
    for child in node.children:
        yield from errors(child)


def test_every_script_of_the_family_parses(path):
    """Under the tree-sitter grammar and our own tokenizer."""
    seen = 0
    for spec in family(path):
        for name, text in plan_scripts(spec).items():
            if name.endswith(".ps1"):
                assert not list(errors(PARSER.parse(text.encode("ascii")).root_node)), name
                brackets_match(text)
                seen += 1
    assert seen >= 60 * 8


def test_scripts_of_two_plans_differ_in_the_plan_block_alone(path):
    """The bodies are constant: a user's value stands nowhere else."""
    bodies = set()
    for spec in family(path):
        scripts = plan_scripts(spec)
        cut = (re.sub(r"(?ms)^\$Plan = @\{.*?^\}\r$", "PLAN", scripts[name]) for name in SCRIPTS)
        bodies.add(tuple(cut))
    assert len(bodies) == 1
    assert "PLAN" in next(iter(bodies))[1]


def test_plan_block_is_the_specification(path, table):
    """Paths, sizes and numbers, as the scripts will read them."""
    spec = Spec.from_table(table(memory="8GiB", vcpu=4, resolution="1920x1080", gpus=["gpu1"]))
    machine = read_data(plan_scripts(spec)["10-Apply.ps1"], "Plan")["Machines"][0]
    assert machine["Gpus"] == [path]
    assert machine["MemoryBytes"] == 8 * 2**30
    assert (machine["Width"], machine["Height"]) == (1920, 1080)
    assert machine["HighMmioBytes"] == 32 * 2**30
    assert machine["Create"] is None


def test_files_are_ascii_crlf_without_trailing_blanks(path):
    """So neither code page nor byte order mark matters, and equal plans give equal bytes."""
    for spec in family(path):
        scripts = plan_scripts(spec)
        assert scripts == plan_scripts(spec)
        for text in scripts.values():
            assert text.isascii()
            assert text.endswith("\r\n")
            assert "\n" not in text.replace("\r\n", "")
            assert not re.search(r"[ \t]\r\n|\t", text)


@each_own
def test_body_holds_none_of_the_forbidden(path):
    """No alias, no evaluation of text, no WMI cmdlet, no password, no syntax beyond 5.1."""
    tokens = list(tokenize(path.read_text(encoding="ascii")))
    words = {token.text.lower() for token in tokens if token.kind is Kind.WORD}
    forbidden = {"invoke-expression", "iex", "get-wmiobject", "invoke-wmimethod", "write-host"}
    forbidden |= {"convertto-securestring", "-asplaintext", "$input", "$args", "$global", "?", "%"}
    forbidden |= {"where", "select", "foreach-object.", "ls", "dir", "cat", "rm", "cp", "mv"}
    assert not words & forbidden
    assert not any(word.startswith("$global:") for word in words)
    code = "".join(
        token.text for token in tokens if token.kind not in {Kind.COMMENT, Kind.SINGLE, Kind.DOUBLE}
    )
    assert not re.search(r"&&|\|\||\?\?|`", code)
    assert not [token for token in tokens if token.kind is Kind.HERE]


@each_own
def test_functions_have_approved_verbs_singular_nouns_and_ask_before_changes(path):
    """A function that changes state declares ShouldProcess and calls it."""
    text = path.read_text(encoding="ascii")
    bodies = re.split(r"(?m)^function ", text)[1:]
    for body in bodies:
        name = body.split()[0]
        verb, _, noun = name.partition("-")
        assert verb in APPROVED, name
        assert not re.search(r"[^s]s$", noun) or noun == "Address", name
        if verb in STATE_CHANGING:
            assert "SupportsShouldProcess = $true" in body, name
        assert ("SupportsShouldProcess" in body) == ("$PSCmdlet.ShouldProcess(" in body), name


@each_own
def test_functions_are_short(path):
    """What a person reads before running it fits on a screen."""
    for body in re.split(r"(?m)^function ", path.read_text(encoding="ascii"))[1:]:
        assert body.split("\n}")[0].count("\n") < 45, body.split()[0]


@each_own
def test_parameters_and_variables_are_used(path):
    """Each parameter and each local variable is read somewhere in its function."""
    for body in re.split(r"(?m)^function ", path.read_text(encoding="ascii"))[1:]:
        function = body.split("\n}")[0]
        for name in set(re.findall(r"\$(\w+)\b(?!:)", function)) - {"_", "true", "false", "null"}:
            uses = re.findall(rf"(?i)[$@]\{{?{name}\b", function)
            outside = {"Plan", "PSCmdlet", "Matches", "CheckOnly", "InGuest", "Transport"}
            outside |= {"ExecutionContext", "ErrorActionPreference", "WhatIfPreference"}
            assert len(uses) > 1 or name in outside, (body.split()[0], name)


@each_own
def test_null_stands_on_the_left(path):
    """`$x -eq $null` filters a list instead of comparing it."""
    assert not re.search(r"-(eq|ne) \$null", path.read_text(encoding="ascii"))


@each_own
def test_names_are_never_wildcards(path):
    """Machines are handed over as objects, files by literal path, names compared exactly."""
    text = path.read_text(encoding="ascii")
    assert not re.search(r"-VMName\b|Get-VM -Name|Get-VM -VMName", text)
    assert not re.search(r"-i?(like|match|replace) \$(Machine|machine|Plan|new|Name)\b", text)
    for command in ("Test-Path", "Remove-Item", "Move-Item", "Copy-Item", "Get-FileHash"):
        for use in re.findall(rf"{command} (-\w+)", text):
            assert use == "-LiteralPath", command


@pytest.mark.parametrize("name", SCRIPTS)
def test_header_says_what_it_needs_changes_and_how_to_undo(name):
    """Before a person runs it as administrator."""
    text = (BODIES / name).read_text(encoding="ascii")
    head = text[: text.index("[CmdletBinding")]
    assert head.startswith("#Requires -Version 5.1\n")
    assert ".SYNOPSIS" in head
    assert ".EXAMPLE" in head
    if name.startswith("00-"):
        return
    assert "Exit codes:" in head
    alone = {"01-Preflight.ps1", "30-Verify-Guest.ps1"}  # the one says that Hyper-V is missing
    assert ("#Requires -Modules Hyper-V" in head) == (name not in alone)
    assert "ndo" in head
    assert ("SupportsShouldProcess" in text.split("param(")[0]) == (name not in READ_ONLY)


@pytest.mark.parametrize("name", sorted(READ_ONLY))
def test_read_only_script_calls_nothing_that_changes(name, table):
    """Not even in the shared functions that it carries; a session into the guest is no change."""
    text = plan_scripts(Spec.from_table(table()))[name]
    commands = {
        t.text for t in tokenize(text) if t.kind is Kind.WORD and re.match(r"\w+-\w", t.text)
    }
    changing = {command for command in commands if command.split("-")[0] in STATE_CHANGING}
    assert changing <= {"New-Object", "Set-StrictMode", "New-PSSession", "Remove-PSSession"}


def test_shared_functions_are_the_same_text_in_each_script(table):
    """One function, one text."""
    scripts = plan_scripts(Spec.from_table(table()))
    bodies = {}
    for name, text in scripts.items():
        if name.startswith("00-"):
            continue
        for body in re.split(r"(?m)^function ", text)[1:]:
            function = body.split("\r\n}")[0]
            assert bodies.setdefault(function.split()[0], function) == function


def test_every_function_of_a_script_is_called(table):
    """An administrator reads what can run, and nothing else; a name in a text counts as a call."""
    for name, text in plan_scripts(Spec.from_table(table())).items():
        for function in re.findall(r"(?m)^function ([\w-]+)", text):
            uses = re.findall(rf"(?<!^function )(?<![\w-]){function}(?![\w-])", text, re.MULTILINE)
            assert uses, (name, function)


def test_part_of_which_nothing_is_needed_leaves_no_title(table):
    """Nor does a function that was left out leave a gap."""
    for text in plan_scripts(Spec.from_table(table())).values():
        assert not re.search(r"(?m)^# -- .*\r\n\r\n# -- ", text)
        assert "\r\n\r\n\r\n" not in text
        assert "# labkit:" not in text


def test_every_code_of_the_scripts_is_explained():
    """`labkit gpupv explain CODE` knows each."""
    from labkit.gpupv.failures import find_failure

    for path in OWN:
        for code in set(re.findall(r"GPV-[A-Z0-9-]*[A-Z0-9]", path.read_text(encoding="ascii"))):
            assert find_failure(code)


def test_script_for_the_guest_says_nothing_of_the_host(table):
    """It is copied into one guest; other machines, paths and accounts are not its business."""
    scripts = plan_scripts(Spec.from_table(table(name="Secret VM", guest_user="bob")))
    assert set(read_data(scripts["30-Verify-Guest.ps1"], "Plan")) == {"Tool", "Hash", "Name"}


def test_manifest_names_every_file_and_the_plan(table):
    """With its SHA-256; the plan's own is that of the plan block."""
    scripts = plan_scripts(Spec.from_table(table()))
    manifest = json.loads(scripts["manifest.json"])
    assert set(manifest["files"]) == set(scripts) - {"manifest.json"}
    assert manifest["plan_sha256"] == read_data(scripts["10-Apply.ps1"], "Plan")["Hash"]


def test_plan_hash_changes_with_every_value(table):
    """Two plans never share a hash."""
    variants = [{}, {"memory": "8GiB"}, {"vcpu": 2}, {"name": "x"}, {"percent": 3}]
    hashes = {
        read_data(plan_scripts(Spec.from_table(table(**variant)))["10-Apply.ps1"], "Plan")["Hash"]
        for variant in variants
    }
    assert len(hashes) == len(variants)


UNDECIDED = {
    "GPV-NOT-ADMIN": "#Requires -RunAsAdministrator ends the script before its first line",
    "GPV-CMDLET-DEPRECATED": "the scripts ask for the newer name first",
    "GPV-MMIO-RANGE": "no class tells the address bits; noted by the processor's name",
    "GPV-MEM-ALIGN": "the specification is refused",
    "GPV-NO-ENCODER": "the driver's version is not the vendor's release number",
    "GPV-STORE-BLOAT": "only the mounted disk shows it; 20-Sync-Drivers prunes by its manifest",
    "GPV-VIDEO-DEFAULT": "40-Display never sets it",
}


def test_every_code_that_a_look_can_decide_is_decided():
    """By 01-Preflight or by the script that it is about; the rest is named with its reason."""
    from labkit.gpupv.failures import load_failures

    texts = "".join(path.read_text(encoding="ascii") for path in OWN)
    undecided = {
        code
        for code, failure in load_failures().items()
        if "preflight" in failure.seen and f"{code}'" not in texts and f"{code}:" not in texts
    }
    assert undecided <= set(UNDECIDED), undecided - set(UNDECIDED)
