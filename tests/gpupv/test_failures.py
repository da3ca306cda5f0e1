"""The failure catalogue and the recognition of error texts."""

from __future__ import annotations

import json
import re
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.gpupv.failures import UnknownCodeError, find_failure, load_failures, recognise


def codes(text):
    """The codes that a text is recognised as, in order."""
    return [match.failure.code for match in recognise(text)]


def test_entries_are_whole():
    """Every entry says something in every field, with a known severity and place."""
    for code, failure in load_failures().items():
        assert code.startswith("GPV-")
        assert all((failure.title, failure.cause, failure.check, failure.fix, failure.source))
        assert failure.severity in {"error", "warning", "note"}
        assert set(failure.seen) <= {"preflight", "text", "guest", "lint"}
        assert bool(failure.texts) == ("text" in failure.seen) or code == "GPV-GPU-GUEST-LISTING"


@pytest.mark.parametrize("code", ["GPV-MMIO-RANGE", "gpv-mmio-range", "mmio-range", " MMIO-RANGE "])
def test_find(code):
    """A code is found in any case and without its prefix."""
    assert find_failure(code).code == "GPV-MMIO-RANGE"


def test_unknown_code():
    """A mistyped code gets the likely one."""
    with pytest.raises(UnknownCodeError) as caught:
        find_failure("GPV-MMIO-RANG")

    assert "GPV-MMIO-RANGE" in caught.value.hint


def test_every_code_of_the_scripts_is_explained(project):
    """Each code that a script or a module names is in the catalogue."""
    sources = [
        path
        for path in (project / "src/labkit/gpupv").rglob("*")
        if path.suffix in {".ps1", ".py", ".txt"}
    ]
    named = {
        code
        for path in sources
        for code in re.findall(r"GPV-[A-Z0-9-]*[A-Z0-9]", path.read_text("utf-8"))
    }

    assert sorted(named - set(load_failures())) == []


def test_real_error_texts(shared_fixtures):
    """Every published error text is recognised as its code, first, with its numbers."""
    for case in json.loads((shared_fixtures / "gpupv/error_messages.json").read_text("utf-8")):
        first = recognise(case["text"])[0]

        assert first.failure.code == case["code"], case["text"]
        assert case.get("expect", {}).items() <= first.numbers.items()


@pytest.mark.parametrize("width", [7, 23, 40, 79])
def test_wrapped_error_texts(shared_fixtures, width):
    """A console may wrap a text anywhere, also within a word or a number."""
    for case in json.loads((shared_fixtures / "gpupv/error_messages.json").read_text("utf-8")):
        text = case["text"]
        wrapped = "\n".join(text[i : i + width] for i in range(0, len(text), width))

        assert codes(wrapped)[:1] == [case["code"]], wrapped


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            (
                "Get-VMHostPartitionableGpu : The term 'Get-VMHostPartitionableGpu' is not "
                "recognized as a name of a cmdlet, function, script file, or executable program."
            ),
            "GPV-CMDLET-OLD-HOST",
        ),
        (
            (
                "+ CategoryInfo : ObjectNotFound: (Get-VM:String) [], CommandNotFoundException\n"
                "+ FullyQualifiedErrorId : CommandNotFoundException"
            ),
            "GPV-NO-HYPERV",
        ),
        (
            (
                'The script cannot be run because it contains a "#requires" statement for running '
                "as Administrator."
            ),
            "GPV-NOT-ADMIN",
        ),
        (
            "File x.ps1 cannot be loaded because running scripts is disabled on this system.",
            "GPV-EXECUTION-POLICY",
        ),
        (
            (
                "Cannot convert 'System.Object[]' to the type 'System.String' required by "
                "parameter 'InstancePath'. Specified method is not supported."
            ),
            "GPV-GPU-DUPLICATE-NAME",
        ),
        (
            'Hyper-V was unable to find a virtual machine with name "x".',
            "GPV-VM-NOT-FOUND",
        ),
        (
            (
                "'GPU Partition Settings' (Instance ID 1): Insufficient system resources exist to "
                "complete the requested service. (0x800705AA)"
            ),
            "GPV-ADAPTER-STALE",
        ),
        ("Could not allocate 4096 MB of memory (0x800705AA).", "GPV-MEM-HOST"),
        (
            "GPU Partition: Failed to Power On with Error 'Access is denied' (0x80070005)",
            "GPV-START-DENIED",
        ),
        (
            "Windows has stopped this device because it has reported problems. (Code 43)",
            "GPV-CODE43",
        ),
        ("You cannot call a method on a null-valued expression.", "GPV-DRIVER-UNRESOLVED"),
        ("Die Zeichenfolge hat kein Abschlusszeichen: \u201e.", "GPV-SCRIPT-QUOTE"),
        (
            (
                "Cannot process argument transformation on parameter 'Filter'. Cannot convert the "
                '"NVIDIA" value of type "System.String" to type '
                '"System.Management.Automation.ValidateNotNullOrEmptyAttribute".'
            ),
            "GPV-SCRIPT-ATTRIBUTE",
        ),
        ("The given path's format is not supported.", "GPV-VHD-NO-LETTER"),
        ("This drive is locked by BitLocker Drive Encryption.", "GPV-VHD-BITLOCKER"),
        (
            "Copy cmd.exe failed: Access to the path 'C:\\Windows\\System32\\cmd.exe' is denied.",
            "GPV-DRIVER-OUTSIDE",
        ),
        ("New-PSSession : The credential is invalid.", "GPV-DIRECT-CREDENTIAL"),
        (
            (
                "New-PSSession : [Old] An error has occurred which Windows PowerShell cannot "
                "handle. A remote session might have ended."
            ),
            "GPV-DIRECT-NO-ANSWER",
        ),
    ],
)
def test_documented_texts(text, code):
    """Texts of the catalogue's sources are recognised, and as nothing else."""
    assert codes(text) == [code]


def test_first_error_of_a_chain_comes_first():
    """The machine was not found, so its adapter was not found either."""
    text = """
        Get-VM : Hyper-V was unable to find a virtual machine with name "gaming".
        Remove-VMGpuPartitionAdapter : Unable to find a Gpu partition adapter matching the given
        criteria.
    """

    assert codes(text) == ["GPV-VM-NOT-FOUND", "GPV-ADAPTER-MISSING"]


def test_order_is_that_of_the_text():
    """The catalogue's own order plays no part."""
    text = "Code 43. This drive is locked by BitLocker. Get-VMPartitionableGpu is deprecated."

    assert codes(text) == ["GPV-VHD-BITLOCKER", "GPV-CMDLET-DEPRECATED", "GPV-CODE43"]


def test_symptom_comes_after_its_explanation():
    """Code 43 has several causes; a text that names one of them names it first."""
    text = "Code 43. Set-VM: 'HighMemoryMappedIoSpace' ... upper MMIO region is too high"

    assert codes(text) == ["GPV-MMIO-RANGE", "GPV-CODE43"]


def test_quoted_source_line_is_noise():
    """What was typed is no error: only the message and the identifiers count."""
    text = textwrap.dedent("""
        At line:1 char:1
        + Add-VMGpuPartitionAdapter -VMName 'System.Object[]' -InstancePath $p # 0x80310000
        + ~~~~~~~~~~~~~~~~~~~~~~~~~
            + CategoryInfo          : PermissionDenied: (:) [], Exception
    """)

    assert codes(text) == []


@pytest.mark.parametrize(
    "text", ["", "hello", "0x800705AA", "0x80070005", "0x11", "Access is denied", "InstancePath"]
)
def test_nothing_is_guessed(text):
    """A text that could mean anything is not recognised."""
    assert codes(text) == []


@pytest.mark.parametrize(
    ("text", "number", "value", "advice"),
    [
        (
            "The memory value assigned ('4077' MB) is not properly aligned.",
            "suggested_size_mb",
            4078,
            "4078MB",
        ),
        (
            'Cannot convert value "4294967296" to type "System.UInt32".',
            "size_bytes",
            4294967296,
            "LowMemoryMappedIoSpace 1024MB",
        ),
        (
            (
                "The upper MMIO region (0x0000004fdffff000) is above the supported physical "
                "address range. Make sure that the upper MMIO region is below 0x0000004000000000."
            ),
            "suggested_size_mb",
            131072,
            "131072MB",
        ),
    ],
)
def test_numbers_give_the_value_to_use(text, number, value, advice):
    """The numbers of a text are read, and the advice names the value."""
    first = recognise(text)[0]

    assert first.numbers[number] == value
    assert advice in first.advice


def test_colours_and_curly_quotes_do_not_matter():
    """A paste from a coloured console with curly quotes is recognised."""
    text = (
        "\x1b[91mA parameter cannot be found that matches "
        "parameter name \u2018InstancePath\u2019\x1b[0m"
    )

    assert codes(text) == ["GPV-NO-INSTANCEPATH"]


@given(st.text() | st.text(alphabet="mMiIoO0xX123abcf'\"() \n|+"))
def test_any_text_is_taken(text):
    """No text makes recognition fail."""
    recognise(text)


def test_keys_that_a_fix_names_are_keys_of_a_plan(project):
    """What the catalogue tells to write in a plan can be written there."""
    text = (project / "src/labkit/gpupv/failures.toml").read_text("utf-8")
    example = (project / "src/labkit/gpupv/example.toml").read_text("ascii")
    named = re.findall(r"`?(\w+)`? in the plan\)", text)

    assert named
    assert all(re.search(rf"^#? ?{key} = ", example, re.MULTILINE) for key in named)


def test_switches_that_a_fix_names_are_parameters(project):
    """What the catalogue tells to add to a script of labkit is a parameter of it."""
    text = (project / "src/labkit/gpupv/failures.toml").read_text("utf-8")
    sync = (project / "src/labkit/gpupv/scripts/20-Sync-Drivers.ps1").read_text("ascii")

    assert "-Transport Direct" in text
    assert "'Direct'" in sync
    assert "$Transport" in sync


@pytest.mark.parametrize(
    "text",
    [
        (
            "The upper MMIO region (0x0) is above the supported physical address range. "
            "Make sure that the upper MMIO region is below 0x0."
        ),
        "The memory value assigned ('0' MB) is not properly aligned.",
    ],
)
def test_number_that_says_nothing_gives_no_advice(text):
    """A zero is no limit and no size."""
    for found in recognise(text):
        assert found.advice is None
