"""Bad advice in scripts and guides."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import InputError
from labkit.gpupv import lint
from labkit.gpupv.failures import load_failures
from labkit.gpupv.lint import lint_guide, lint_script
from labkit.gpupv.lint_rules import RULES

GUIDE = r"""# GPU-PV

You need NVIDIA Turing or newer, AMD RX 5000 or newer.

1. Disable Secure Boot, otherwise the ISO is not detected.

```powershell
Set-VM -Name gaming -AutomaticStopAction TurnOff  # no automatic checkpoints
Set-VMVideo gaming -ResolutionType Default -HorizontalResolution 2560 -VerticalResolution 1440
Set-VMFirmware -VMName gaming -EnableSecureBoot Off
.\$env:USERPROFILE\Downloads\New-GPUPDriverPackage.ps1
Invoke-WebRequest -Uri $url -OutFile x.ps1 -Filter "NVIDIA"
New-GPUPDriverPackage -Filter 'NVIDIA'
.\New-GPUPVirtualMachine.ps1
Set-VM -Name gaming -GuestControlledCacheTypes $true -LowMemoryMappedIoSpace 1GB
Copy-VMFile gaming -SourcePath GPUPDriverPackage.zip -DestinationPath C:\Windows -FileSource Host
Start-VM gaming
```

Copy `GPUPDriverPackage.zip` to the guest and extract it in `C:\Windows`.

Check with `Get-VMHostPartitionableGpu` that the VM's adapter is there.
"""

ERRORS_OF_THE_GUIDE = {
    3: "GPV-SCRIPT-GPU-LIST",
    5: "GPV-SCRIPT-SECUREBOOT",
    8: "GPV-SCRIPT-STOPACTION",
    9: "GPV-VIDEO-DEFAULT",
    10: "GPV-SCRIPT-SECUREBOOT",
    11: "GPV-SCRIPT-PATH",
    12: "GPV-SCRIPT-FILTER",
    13: "GPV-SCRIPT-ATTRIBUTE",
    14: "GPV-SCRIPT-DEFINES-ONLY",
    16: "GPV-SCRIPT-STATE",
    20: "GPV-SCRIPT-UNPACK",
    22: "GPV-SCRIPT-HOST-LIST",
}


def codes(script):
    """The codes found in a script."""
    return [finding.code for finding in lint_script(script.encode("utf-8-sig"))]


def test_every_error_of_the_guide():
    """Each error of the well-known guide is found, in its line, with the right form."""
    findings = lint_guide(GUIDE.encode())
    found = {(finding.line, finding.code) for finding in findings}

    assert set(ERRORS_OF_THE_GUIDE.items()) <= found
    assert all(finding.instead for finding in findings)


def test_guide_that_is_right():
    """The right forms, and warnings against the wrong ones, are not remarked on."""
    guide = r"""
Leave Secure Boot on; do not disable Secure Boot. With `-ResolutionType Default` the numbers are
ignored. Never use `Set-ExecutionPolicy Unrestricted`. It\u2019s a list: GTX 1060, Vega.

`Get-VMHostPartitionableGpu` lists the host's cards.

```powershell
Set-VM -VM $vm -AutomaticCheckpointsEnabled $false -CheckpointType Disabled `
    -AutomaticStopAction ShutDown -HighMemoryMappedIoSpace 32GB -LowMemoryMappedIoSpace 1GB
Set-VMVideo -VM $vm -ResolutionType Single -HorizontalResolution 2560 -VerticalResolution 1440
Set-VMFirmware -VM $vm -EnableSecureBoot On -SecureBootTemplate MicrosoftWindows
& "$env:USERPROFILE\Downloads\x.ps1"
Remove-VMGpuPartitionAdapter -VM $vm -AdapterId $adapter.Id
Start-VM -VM $vm
Copy-VMFile -VM $vm -SourcePath a -DestinationPath b -FileSource Host
```
"""

    assert lint_guide(guide.encode()) == ()


@pytest.mark.parametrize(
    "guide",
    [
        "Don\u2019t use `nv_dispi*`.",
        "That does **not** switch checkpoints off: `-AutomaticStopAction TurnOff`.",
        "It is a mistake to run `iex (irm https://example.invalid/x)`.",
        "Pascal works as well as Turing and newer cards.",
        "```powershell\n# wrong: Set-VMVideo x -ResolutionType Default\n```",
        "A stop action is never what you want\nthere, nor is `-ResolutionType Default`.",
        "Look whether the host lists the GPU with `Get-VMHostPartitionableGpu`.",
    ],
)
def test_sentence_that_warns_is_no_advice(guide):
    """Also with the apostrophe of the web, over the end of a line, and in a comment of code."""
    assert lint_guide(guide.encode()) == ()


@pytest.mark.parametrize(
    ("guide", "line", "code"),
    [
        ("Secure Boot must be disabled.", 1, "GPV-SCRIPT-SECUREBOOT"),
        ("If there is an error, turn off Secure Boot.", 1, "GPV-SCRIPT-SECUREBOOT"),
        ("One.\nDo not wait. Now disable\nSecure Boot.", 2, "GPV-SCRIPT-SECUREBOOT"),
        (
            "Check that the VM has the adapter\nwith `Get-VMHostPartitionableGpu`.",
            1,
            "GPV-SCRIPT-HOST-LIST",
        ),
        (
            "Now the VM shows its adapter:\n\n```\nGet-VMHostPartitionableGpu\n```",
            4,
            "GPV-SCRIPT-HOST-LIST",
        ),
        ("Run `.\\New-GPUPDriverPackage.ps1`.", 1, "GPV-SCRIPT-DEFINES-ONLY"),
    ],
)
def test_advice_in_sentences(guide, line, code):
    """A sentence may go over lines, and announce the command below it."""
    assert [(f.line, f.code) for f in lint_guide(guide.encode())] == [(line, code)]


@pytest.mark.parametrize("name", ["New-GPUPVirtualMachine", "New-GPUPDriverPackage"])
def test_right_form_names_the_file_of_the_line(name):
    """Not the other one of the two."""
    (finding,) = lint_script(f".\\{name}.ps1".encode())
    assert finding.instead == f". .\\{name}.ps1, then {name} with its parameters"


def test_own_scripts(project):
    """Nothing is found in labkit's own scripts."""
    scripts = sorted((project / "src/labkit/gpupv/scripts").rglob("*.ps1"))

    assert scripts
    assert {path.name: lint_script(path.read_bytes()) for path in scripts} == {
        path.name: () for path in scripts
    }


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("set-vm x -automaticstopaction 'save'", "GPV-SAVE-BLOCKED"),
        (
            "# No checkpoints\nSet-VM -VMName x `\n  -AutomaticStopAction `\n  TurnOff",
            "GPV-SCRIPT-STOPACTION",
        ),
        (
            "Set-VMFirmware x -SecureBootTemplate MicrosoftUEFICertificateAuthority",
            "GPV-SCRIPT-SECUREBOOT",
        ),
        ("param([ValidateNotNullOrEmpty] [string]$Filter)", "GPV-SCRIPT-ATTRIBUTE"),
        ("Get-VMHostPartitionableGpu -VMName x", "GPV-SCRIPT-HOST-LIST"),
        ("Get-VMPartitionableGpu", "GPV-CMDLET-DEPRECATED"),
        ("Set-VM x -LowMemoryMappedIoSpace 4GB", "GPV-MMIO-LOWGAP-RANGE"),
        ("Set-VM x -HighMemoryMappedIoSpace 4GB", "GPV-MMIO-LOW"),
        ("Set-VM x -HighMemoryMappedIoSpace 512MB", "GPV-MMIO-LOW"),
        ("Set-VM x -GuestControlledCacheTypes:$false", "GPV-CACHE-TYPES"),
        ("Set-VMGpuPartitionAdapter x -MaxPartitionEncode 0", "GPV-PARTITION-ZERO"),
        ("Remove-VMGpuPartitionAdapter -VMName x", "GPV-SCRIPT-REMOVE-ALL"),
        ("Enable-VMIntegrationService x -Name 'Guest Service Interface'", "GPV-IC-LOCALISED"),
        ("(Mount-VHD x -Passthru | Get-Disk | Get-Partition).DriveLetter", "GPV-VHD-NO-LETTER"),
        ("Copy-Item C:\\x\\nv_dispi.inf_amd64*", "GPV-SCRIPT-GLOB"),
        ("copy C:\\x\\nv_dispi*", "GPV-SCRIPT-GLOB"),
        ("robocopy C:\\Windows\\System32\\DriverStore\\FileRepository x", "GPV-STORE-BLOAT"),
        ("Set-ExecutionPolicy Unrestricted", "GPV-SCRIPT-POLICY"),
        ('@{\n  Password = "CoolestPassword!"\n}', "GPV-SCRIPT-PASSWORD"),
        ("$Password = 'a'", "GPV-SCRIPT-PASSWORD"),
        ("Add-VMGpuPartitionAdapter -VMName x", "GPV-GPU-AMBIGUOUS"),
        ("Set-VMGpuPartitionAdapter x -MaxPartitionVRAM 1", "GPV-PARTITION-ZERO"),
        ("Set-VMMemory x -DynamicMemoryEnabled $true", "GPV-MEM-DYNAMIC"),
        ("Set-VMMemory x -StartupBytes 4077MB", "GPV-MEM-ALIGN"),
        ("Set-VM x -CheckpointType Standard", "GPV-AUTO-CHECKPOINTS"),
        ("Set-VMProcessor -VMName Gam* -Count 4", "GPV-VM-AMBIGUOUS"),
        ("Set-VM x -HighMemoryMappedIoSpace 512GB", "GPV-MMIO-RANGE"),
        (
            "Set-VM x -AutomaticStopAction TurnOff # instead of a snapshot",
            "GPV-SCRIPT-STOPACTION",
        ),
        ("powershell.exe -File New-GPUPVirtualMachine.ps1", "GPV-SCRIPT-DEFINES-ONLY"),
        (
            "iwr https://example.invalid/New-GPUPDriverPackage.ps1 -OutFile a -Filter 'NVIDIA'",
            "GPV-SCRIPT-FILTER",
        ),
        ("ConvertTo-SecureString 'a' -AsPlainText -Force", "GPV-SCRIPT-PASSWORD"),
        ("iwr https://example.invalid/x.ps1 | iex", "GPV-SCRIPT-DOWNLOAD-RUN"),
        ("Set-VM x \u2013HighMemoryMappedIoSpace 32GB", "GPV-SCRIPT-DASH"),
        ("Set-VM \u201cx\u201d", "GPV-SCRIPT-QUOTE"),
        ("Start-VM x\nSet-VM x -GuestControlledCacheTypes $true", "GPV-SCRIPT-STATE"),
    ],
)
def test_bad_lines(script, code):
    """Each piece of bad advice is found, and nothing else in its line."""
    assert codes(script) == [code]


@pytest.mark.parametrize(
    "script",
    [
        "# Set-ExecutionPolicy Unrestricted",
        "<# Set-VM x\n-AutomaticStopAction TurnOff #>",
        "if (Get-Command Get-VMHostPartitionableGpu) { } else { Get-VMPartitionableGpu }",
        "Set-ExecutionPolicy Bypass -Scope Process",
        "Set-VM x -LowMemoryMappedIoSpace 3GB -HighMemoryMappedIoSpace 64GB",
        "Set-VM x -HighMemoryMappedIoSpace 32768MB",
        "Set-VMGpuPartitionAdapter x -MinPartitionVRAM 1 -MinPartitionEncode 1",
        "Set-VM x -AutomaticCheckpointsEnabled $false -AutomaticStopAction TurnOff",
        "Set-VM x -AutomaticStopAction TurnOff",
        "Set-VM x -AutomaticStopAction TurnOff\nGet-VM x | Checkpoint-VM",
        "(Get-Volume -FileSystemLabel DATA).DriveLetter",
        "Add-VMGpuPartitionAdapter -VM $vm -InstancePath $path",
        "Add-VMGpuPartitionAdapter @arguments",
        "Get-VM -Name *",
        "Set-VMMemory x -StartupBytes 4078MB -DynamicMemoryEnabled $false",
        "Set-VM x -HighMemoryMappedIoSpace 256GB",
        "$password = Read-Host -AsSecureString",
        "@{ Password = $secret; Other = '' }",
        "notepad .\\New-GPUPVirtualMachine.ps1",
        "Stop-VM x\nSet-VM x -GuestControlledCacheTypes $true\nStart-VM x\nCopy-VMFile x",
        ". .\\New-GPUPVirtualMachine.ps1",
    ],
)
def test_right_lines(script):
    """Comments and right forms are left alone."""
    assert codes(script) == []


def test_own_guides(project):
    """Nothing is found in labkit's own documentation."""
    for guide in [project / "README.md", *sorted((project / "docs").glob("gpupv*.md"))]:
        assert lint_guide(guide.read_bytes()) == (), guide.name


def test_comment_sign_in_a_string():
    """A # in a string begins no comment."""
    assert codes("Write-Output '#'; Set-ExecutionPolicy Unrestricted") == ["GPV-SCRIPT-POLICY"]


def test_line_numbers():
    """A finding names the first of the lines that a backtick joins, also after a comment."""
    script = "<#\n\n#>\r\n\r\nSet-VMVideo x `\r\n  -ResolutionType Default"

    assert [finding.line for finding in lint_script(script.encode())] == [5]


def test_missing_byte_order_mark():
    """Non-ASCII text without a mark is misread by Windows PowerShell; with one it is not."""
    script = "Write-Output 'Gr\u00fc\u00dfe'"

    assert [f.code for f in lint_script(script.encode())] == ["GPV-SCRIPT-NO-BOM"]
    assert lint_script(script.encode("utf-8-sig")) == ()
    assert lint_script(script.encode("utf-16")) == ()


def test_no_text():
    """What is no text is refused."""
    with pytest.raises(InputError):
        lint_script(b"MZ\0\0\x90")


def test_rules_are_in_the_catalogue():
    """Every rule's code can be explained, and the catalogue says that lint finds it."""
    failures = load_failures()

    assert all("lint" in failures[rule.code].seen for rule in RULES)


@given(st.binary() | st.text(alphabet="-`'\"#<>$.\n\\aSetVM\u2013 ").map(str.encode))
def test_any_bytes_are_read_or_refused(content):
    """No bytes make lint fail in another way."""
    with suppress(InputError):
        lint_script(content)
    with suppress(InputError):
        lint_guide(content)


def test_no_pattern_scans_to_the_end_of_a_line_from_each_start():
    """A gap without a bound makes a line of a megabyte take minutes; comments do end at the end."""
    own = [value for value in vars(lint).values() if isinstance(value, re.Pattern)]
    rules = [p for r in RULES for p in (r.pattern, r.unless, r.where, r.beside) if p]
    for pattern in [*own, *rules]:
        if r"\Z" not in pattern.pattern:
            assert not re.search(r"(?<!\\)(\.|\[\^[^]]*\])[*+]", pattern.pattern), pattern.pattern


@pytest.mark.parametrize(
    "script",
    [
        "Start-VM x; Set-VM x -Foo 1; Set-VM x -LowMemoryMappedIoSpace 1GB",
        "Start-VM x\nSet-VM x -Foo 1; Set-VM x -GuestControlledCacheTypes $true",
    ],
)
def test_setting_that_needs_the_machine_off_is_found_behind_another(script):
    """On a line with several calls, too; the order within one line is not looked at."""
    assert codes(script) == (["GPV-SCRIPT-STATE"] if "\n" in script else [])


@pytest.mark.parametrize("words", ["Set-VM -Foo 1; ", "expand", "GPUPDriverPackage", "nv", "nv_a"])
def test_long_line_of_a_rules_own_words_is_answered(words):
    """Such a line once took minutes; nothing in it is bad advice."""
    assert codes(words * (200_000 // len(words))) == []
