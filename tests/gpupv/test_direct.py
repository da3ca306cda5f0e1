"""PowerShell Direct and the copy into a guest: what the text of the scripts can state."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import labkit.gpupv
from labkit.gpupv import Spec, plan_scripts
from labkit.gpupv.tokenizer import Kind, tokenize

BODIES = Path(labkit.gpupv.__file__).parent / "scripts"
SESSION_USERS = ["20-Sync-Drivers.ps1", "31-Verify-Host.ps1", "90-Rollback.ps1"]


@pytest.fixture
def scripts(table):
    """One whole set, with an account of the guest in the plan."""
    return plan_scripts(Spec.from_table(table(guest_user=r".\Bob")))


def functions(text):
    """The functions of a script: name -> text."""
    parts = re.split(r"(?m)^function ", text.replace("\r\n", "\n"))[1:]
    return {part.split()[0]: part.split("\n}")[0] for part in parts}


def words(text):
    """The bare words of a text that name a command."""
    return {t.text for t in tokenize(text) if t.kind is Kind.WORD and re.match(r"\w+-\w", t.text)}


def test_functions_sent_into_the_guest_call_only_each_other(scripts):
    """What runs there finds no function of the host, and no variable of its script."""
    own = functions(scripts["20-Sync-Drivers.ps1"])
    sent = set(re.findall(r"'([A-Z]\w+-\w+)'", own["Send-GuestFunction"]))
    assert sent == set(functions((BODIES / "shared/guest.ps1").read_text(encoding="ascii")))
    for name in sent:
        assert words(own[name]) & set(own) <= sent, name
        assert "$script:" not in own[name]
        assert "$Plan" not in own[name]


def test_functions_called_in_the_guest_are_sent_and_take_what_they_are_given(scripts):
    """Each named call exists, and its arguments are parameters of it."""
    for name in ("20-Sync-Drivers.ps1", "90-Rollback.ps1"):
        text = scripts[name].replace("\r\n", "\n")
        own = functions(text)
        sent = set(re.findall(r"'([A-Z]\w+-\w+)'", own["Send-GuestFunction"]))
        calls = re.findall(r"Invoke-GuestFunction -Volume \$\w+ -Name '([\w-]+)'", text)
        assert calls
        for call in calls:
            assert call in sent
            assert "[string]$Root" in own[call]


@pytest.mark.parametrize("name", SESSION_USERS)
def test_sessions_end_with_the_script(scripts, name):
    """In the last `finally`, before the report, and under -WhatIf too."""
    text = scripts[name].replace("\r\n", "\n")
    assert re.search(r"\} finally \{\n    Disconnect-Guest\n    Write-Report", text)
    assert "WhatIf = $false" in functions(text)["Disconnect-Guest"]


def test_account_is_asked_for_and_never_kept():
    """Get-Credential at run time, and no text, file or variable of the script scope holds it."""
    for path in BODIES.rglob("*.ps1"):
        text = path.read_text(encoding="ascii")
        assert not re.search(
            r"SecureString|GetNetworkCredential|Export-Clixml|\$script:\w*redential", text
        )
        for line in re.findall(r".*Get-Credential.*", text):
            assert "-Credential" not in line.replace("Get-Credential", "")


def test_empty_account_name_is_left_out():
    """Get-Credential refuses an empty -UserName."""
    own = functions((BODIES / "shared/session.ps1").read_text(encoding="ascii"))
    assert "if ($User) { $question.UserName = $User }" in own["Read-GuestCredential"]


@pytest.mark.parametrize("name", ["20-Sync-Drivers.ps1", "90-Rollback.ps1"])
def test_every_guest_is_reached_before_the_first_change(scripts, name):
    """Problems of any machine end the run with 2 and nothing changed."""
    own = functions(scripts[name])
    body = own["Invoke-DriverSync" if name.startswith("20") else "Invoke-DirectRollback"]
    connect = body.index("Connect-GuestVolume")
    check = body.index("$script:Problems.Count -gt 0", connect)
    change = body.index("Sync-GuestDriver" if name.startswith("20") else "Remove-GuestDriver")
    assert connect < check < change


def test_manifest_is_written_before_the_first_copy_and_after_the_last(scripts):
    """A cut between the two leaves nothing that the rollback does not know."""
    body = functions(scripts["20-Sync-Drivers.ps1"])["Invoke-GuestCopy"]
    saves = [match.start() for match in re.finditer("Save-DriverManifest", body)]
    assert len(saves) == 2
    assert saves[0] < body.index("Copy-WantedFile") < body.index("Undo-DriverFile") < saves[1]
    assert "-Packages @()" in body[saves[0] : saves[0] + 60]


def test_copy_is_compared_before_it_replaces_anything(scripts):
    """By SHA-256, where it arrived; and a file is taken back only while it is the copied one."""
    own = functions(scripts["20-Sync-Drivers.ps1"])
    install = own["Install-GuestFile"]
    assert install.index("Get-FileHash") < install.index("Move-GuestFile")
    restore = own["Restore-GuestFile"]
    assert restore.index("-notcontains $hash") < restore.index("Move-GuestFile")


def test_cmdlets_of_script_modules_are_told_to_stop():
    """They do not see the script's $ErrorActionPreference, and would go on after an error."""
    names = r"Get-Partition|(?:Add|Remove)-PartitionAccessPath|Get-Volume|Get-PnpDevice\w*"
    names += "|Get-FileHash"
    for path in sorted(BODIES.rglob("*.ps1")):
        for line in path.read_text(encoding="ascii").splitlines():
            for use in re.finditer(rf"(?<![\w'-])(?:{names})(?![\w'-])([^|)]*)", line):
                assert re.search(r"-ErrorAction \w+|@quiet", use[1]), (path.name, line)


def test_disk_is_dismounted_by_number():
    """-Path of Dismount-VHD takes wildcards, and a path may hold brackets."""
    text = (BODIES / "shared/volume.ps1").read_text(encoding="ascii")
    assert re.findall(r"Dismount-VHD (-\w+)", text) == ["-DiskNumber"]


def test_locked_volume_is_named_as_such():
    """A volume without a readable file system is BitLocker's, not a missing Windows."""
    find = functions((BODIES / "shared/volume.ps1").read_text(encoding="ascii"))
    assert "GPV-VHD-BITLOCKER" in find["Find-WindowsPartition"]
    assert "FileSystem" in find["Find-WindowsPartition"]
    test = find["Test-WindowsPartition"]
    assert test.index("Add-PartitionAccessPath") < test.index("finally") < test.index("Remove-")


def test_base_is_moved_only_where_the_plan_asks_and_back_by_the_rollback(scripts):
    """Before the space that begins at it is set; its old value is saved before the first change."""
    change = functions(scripts["10-Apply.ps1"])["Invoke-MachineChange"]
    guard = change.index("if ($null -ne $Machine.HighMmioBaseMb) {")
    assert guard < change.index("Set-GapBase") < change.index("}", guard)
    assert change.index("Set-GapBase") < change.index("Set-PlanSetting")
    move = functions(scripts["10-Apply.ps1"])["Set-GapBase"]
    assert move.index("ShouldProcess") < move.index("Save-GapBase") < move.index("Update-Gap")
    assert "Reset-GapBase" in functions(scripts["90-Rollback.ps1"])["Invoke-OfflineRollback"]
