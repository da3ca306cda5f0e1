"""What the changing scripts promise: ask in full, survive a cut, undo no more than they did."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import labkit.gpupv
from labkit.gpupv import Spec, plan_scripts
from labkit.gpupv.assembly import SCRIPTS
from support.powershell import functions, parse, text_of

BODIES = Path(labkit.gpupv.__file__).parent / "scripts"


@pytest.fixture(scope="module")
def scripts():
    """The functions of each script of one set: script -> function -> text."""
    card = (
        r"\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008"
        r"#{064092b3-625e-43bf-9eb5-dc845897dd59}\GPUPARAV"
    )
    vm = {"name": "Gaming VM", "vhdx": r"D:\g.vhdx"}
    texts = plan_scripts(Spec.from_table({"gpu": [{"path": card}], "vm": [vm]}))
    return {
        name: {
            key: text_of(own.node).replace("\r", "") for key, own in functions(parse(text)).items()
        }
        for name, text in texts.items()
        if name.endswith(".ps1")
    }


def in_order(text, *parts):
    """Whether the parts stand in the text, each after the one before."""
    at = 0
    for part in parts:
        at = text.find(part, at) + 1
        if not at:
            return False
    return True


def test_memory_is_asked_for_with_the_adapters_that_are_taken_out(scripts):
    """By Id and path, before anything is removed."""
    body = scripts["10-Apply.ps1"]["Set-PlanMemory"]
    question = body.index("ShouldProcess($VM.Name")
    assert "remove GPU adapter $($adapter.Id), add it again: $($adapter.Path)" in body[:question]
    assert question < body.index("Remove-VMGpuPartitionAdapter")


def test_adapters_come_back_with_their_values_whatever_becomes_of_the_memory(scripts):
    """In `finally`, and with all twelve values that were read before."""
    own = scripts["10-Apply.ps1"]
    body = own["Set-PlanMemory"]
    assert in_order(body, "Get-AdapterState", "try {", "Remove-VMGpu", "Set-VMMemory", "finally {")
    assert "Restore-Adapter" in body[body.index("finally {") :]
    assert in_order(own["Restore-Adapter"], "try {", "Add-SavedAdapter", "catch {", "Add-Problem")
    assert in_order(body, "finally {", "if ($script:Lost -gt 0) { throw")
    assert "'Min', 'Max', 'Optimal'" in own["Get-AdapterState"]
    assert "'VRAM', 'Encode', 'Decode', 'Compute'" in own["Get-AdapterState"]
    assert "$arguments[$value.Name] = [uint64]$value.Value" in own["Add-SavedAdapter"]


@pytest.mark.parametrize(
    ("script", "function", "group"),
    [
        ("10-Apply.ps1", "Set-PlanMemory", "Memory"),
        ("10-Apply.ps1", "Set-PlanProcessor", "Processor"),
        ("10-Apply.ps1", "Set-PlanSetting", "Settings"),
        ("40-Display.ps1", "Set-PlanVideo", "Video"),
    ],
)
def test_each_change_is_noted_before_it_is_made(scripts, script, function, group):
    """After the question, so that -WhatIf writes nothing."""
    body = scripts[script][function]
    setter = re.search(r"^ +Set-VM", body, re.MULTILINE).start()
    assert body.index("ShouldProcess(") < body.index(f"Save-AppliedValue -VM $VM -Group '{group}'")
    assert body.index("Save-AppliedValue") < setter


def test_rollback_puts_back_only_what_was_set_and_still_is(scripts):
    """A value that nobody set here, or that somebody changed since, stays and is reported."""
    own = scripts["90-Rollback.ps1"]
    look = own["Get-OldValue"]
    assert "if ($null -eq $applied -or $present -eq $old.Value) { continue }" in look
    assert in_order(look, '$present -ne "$($applied.Value)"', "changed since; left", "else")
    for name in ("Setting", "Memory", "Processor", "Video"):
        body = own[f"Reset-Machine{name}"]
        assert in_order(body, "Get-OldValue", "Format-Change", "ShouldProcess(", "Set-VM")


def test_adapter_whose_share_was_changed_goes_back_with_its_old_share(scripts):
    """It is taken out by its Id and added again with the saved values, which may be none."""
    note = "Save-AppliedValue -VM $VM -Group 'Adapter'"
    body = scripts["10-Apply.ps1"]["Set-PartitionValue"]
    assert in_order(body, "ShouldProcess(", note, "Set-VMGpuPartitionAdapter")
    look = scripts["90-Rollback.ps1"]["Remove-NewAdapter"]
    assert in_order(look, 'Properties["Adapter.$($adapter.Id)"]', "continue", "Remove-VMGpu")


def test_adapter_that_somebody_added_since_stays(scripts):
    """10-Apply notes the cards of those that it adds, before; the rollback takes out no others."""
    own = scripts["10-Apply.ps1"]
    note = "Save-AppliedValue -VM $VM -Group 'Added'"
    assert in_order(own["Add-PlanAdapter"], "ShouldProcess(", note, "Add-VMGpuPartitionAdapter")
    assert in_order(own["Set-PlanMemory"], "ShouldProcess(", note, "Remove-VMGpuPartitionAdapter")
    look = scripts["90-Rollback.ps1"]["Remove-NewAdapter"]
    assert in_order(look, 'Properties["Added.$path"]', "added since; left", "Remove-VMGpu")
    back = scripts["90-Rollback.ps1"]["Add-OldAdapter"]
    assert in_order(back, "$paths -contains $old.Path", "continue", "Add-SavedAdapter")


def test_base_that_somebody_moved_since_stays(scripts):
    """The first base is kept by a second move; the rollback goes back from ours alone."""
    save = scripts["10-Apply.ps1"]["Save-GapBase"]
    assert in_order(save, "$first = ", "$null -ne $old", "$old.HighMmioGapBase", "Applied = ")
    back = scripts["90-Rollback.ps1"]["Reset-GapBase"]
    assert in_order(back, "$present -ne $old.Applied", "changed since; left", "ShouldProcess(")


def test_missing_value_is_said_outright_where_it_becomes_json():
    """Windows PowerShell 5.1 writes {} for what a function leaves out, and null for $null."""
    inventory, server = (
        functions(parse((BODIES / name).read_text(encoding="ascii")))
        for name in ("00-Inventory.ps1", "shared/server.ps1")
    )
    for body in (inventory["Get-PropertyValue"], inventory["ConvertTo-Text"]):
        assert "return $null" in text_of(body.node)
        assert text_of(body.node).rstrip("}\n ").splitlines()[-1].lstrip().startswith("return ")
    policy = text_of(server["Get-PolicyValue"].node)
    assert in_order(policy, "{ return $null }", "return (Get-Item")


def test_file_that_is_replaced_is_never_missing(scripts):
    """Flushed, then put in its place in one step: Move-Item -Force would delete first."""
    body = scripts["10-Apply.ps1"]["Write-JsonFile"]
    assert in_order(body, "$stream.Flush($true)", "[System.IO.File]::Replace($new, $Path")
    assert "Move-Item" not in body


def test_guest_that_sleeps_on_its_disk_is_not_written_to(scripts):
    """Hibernation and fast start would undo the change, or damage the volume."""
    own = scripts["20-Sync-Drivers.ps1"]
    assert in_order(own["Mount-GuestVolume"], "Confirm-GuestRoot", "Confirm-GuestShutdown")
    assert in_order(own["Confirm-GuestShutdown"], "'HIBR'", "throw 'GPV-VHD-HIBERNATED")


def test_volumes_of_a_disk_are_waited_for(scripts):
    """One that Windows has not brought up yet is no BitLocker volume."""
    body = scripts["20-Sync-Drivers.ps1"]["Mount-GuestVolume"]
    assert in_order(body, "= Mount-VHD", "Wait-DiskVolume", "Find-WindowsPartition")


def test_prefix_of_long_paths_makes_no_other_disk(scripts):
    """The plan may have it where Hyper-V has not."""
    own = scripts["20-Sync-Drivers.ps1"]
    for name in ("Confirm-MachineDisk", "Confirm-OfflineDisk", "Mount-GuestVolume"):
        assert "ConvertTo-PlainPath" in own[name]
    assert "ConvertTo-PlainPath" in scripts["01-Preflight.ps1"]["Confirm-DiskFree"]
    old = r"'^\\\\\?\\UNC\\', '\\' -replace '^\\\\\?\\', ''"
    assert old in own["ConvertTo-PlainPath"]


def test_machine_that_is_gone_keeps_no_other_from_its_rollback(scripts):
    """Nor the policy that it asked for; a script that changes a machine stops at it."""
    own = scripts["90-Rollback.ps1"]
    assert "Find-PlanMachine -Machine $machine -MayBeGone" in own["Invoke-OfflineRollback"]
    assert "-MayBeGone" not in scripts["10-Apply.ps1"]["Invoke-Apply"]


def test_rollback_shows_values_before_and_after(scripts):
    """Each question that puts settings back carries them."""
    own = scripts["90-Rollback.ps1"]
    for name in ("Setting", "Memory", "Processor", "Video"):
        assert re.search(r'ShouldProcess\(\$VM\.Name, "\w+: \$text"\)', own[f"Reset-Machine{name}"])


def test_policy_goes_back_with_the_last_machine_that_asked_for_it(scripts):
    """Not with another plan's, and not while a machine of its own was declined."""
    own = scripts["90-Rollback.ps1"]
    body = own["Reset-ServerPolicy"]
    assert in_order(body, "Find-PolicyUser", "-Done $Done", "$users.Count", "Remove-ItemP")
    assert "$Done -contains $id -or $present -notcontains $id" in own["Find-PolicyUser"]
    loop = own["Invoke-OfflineRollback"]
    assert in_order(loop, "$script:Declined -and", "continue }", "$done +=", "Reset-ServerPolicy")
    assert "Machines = $all" in scripts["10-Apply.ps1"]["Save-PolicyState"]


@pytest.mark.parametrize("name", ["01-Preflight.ps1", "10-Apply.ps1"])
def test_dynamic_memory_without_a_size_in_the_plan_is_a_problem(scripts, name):
    """It would be fixed at what the machine starts with."""
    own = scripts[name]
    body = own["Confirm-StaticMemory"]
    assert in_order(body, "-not $memory.DynamicMemoryEnabled -or $null -ne", "Add-Problem")
    caller = own["Confirm-Machine" if name.startswith("01") else "Invoke-Apply"]
    assert "Confirm-StaticMemory" in caller


def test_preflight_finds_what_apply_would_stop_at(scripts):
    """Each look of 10-Apply is one of 01-Preflight too."""
    looks = set(
        re.findall(r"Confirm-\w+|Resolve-\w+|Find-\w+", scripts["10-Apply.ps1"]["Invoke-Apply"])
    )
    assert len(looks) > 5
    reached = "".join(scripts["01-Preflight.ps1"][name] for name in reachable(scripts))
    for look in looks:
        assert look in reached, look


def reachable(scripts):
    """The functions of 01-Preflight that its main function comes to call."""
    own = scripts["01-Preflight.ps1"]
    todo, found = ["Invoke-Preflight"], set()
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        todo += [c for c in re.findall(r"\w+-\w+", own[name]) if c in own]
    return found


def test_verification_sees_what_the_plan_does_not_name(scripts):
    """Other adapters, checkpoints, another disk; and the policy where the plan asks for it."""
    own = scripts["31-Verify-Host.ps1"]
    assert "Confirm-OtherAdapter" in own["Confirm-PlanAdapter"]
    assert "RemoveOtherAdapters" not in own["Confirm-PlanAdapter"] + own["Confirm-OtherAdapter"]
    assert "Confirm-MachineDisk" in own["Invoke-HostVerification"]
    assert "GPV-POLICY" in own["Confirm-AllowedPolicy"]


def test_display_comes_before_the_looks_that_compare_it():
    """In the order of README.txt: a perfect host must not end in an alarm."""
    order = list(SCRIPTS)
    assert order.index("10-Apply.ps1") < order.index("40-Display.ps1")
    assert order.index("40-Display.ps1") < order.index("30-Verify-Guest.ps1")
    assert order.index("40-Display.ps1") < order.index("31-Verify-Host.ps1")


def test_question_of_the_copy_names_what_it_is_about(scripts):
    """The packages, and each file outside of HostDriverStore; so -WhatIf shows them."""
    own = scripts["20-Sync-Drivers.ps1"]
    assert in_order(own["Sync-GuestDriver"], "Format-Copy", "ShouldProcess($vm.Name, $action)")
    assert in_order(own["Format-Copy"], "-ne 'package'", "$_.Path", "$names", "$paths", "$Place")


@pytest.mark.parametrize(
    "word",
    [
        *("memory", "processors", "cache types", "checkpoints", "stop action", "policy"),
        *("memory-mapped", "adapters", "taken out"),
    ],
)
def test_header_of_apply_lists_what_it_changes(word):
    """Before a person runs it as administrator."""
    text = (BODIES / "10-Apply.ps1").read_text(encoding="ascii")
    assert word in text[: text.index(".PARAMETER")]


def test_json_help_speaks_of_what_if():
    """PowerShell writes its lines to the same stdout, and nothing in a script can stop it."""
    for path in sorted(BODIES.glob("*.ps1")):
        text = path.read_text(encoding="ascii")
        if "SupportsShouldProcess" in text and not path.name.startswith("00-"):
            assert "-WhatIf are PowerShell's" in text, path.name


def test_creation_that_was_cut_is_finished_by_the_next_run(scripts):
    """The mark is written at once and removed last; each step can be taken again."""
    own = scripts["05-New-VM.ps1"]
    assert in_order(own["New-PlanMachine"], "New-VM @", "Get-MarkFile", "Complete-NewMachine")
    finish = own["Complete-NewMachine"]
    assert in_order(finish, "Set-NewHardware", "Connect-New", "Set-NewFirmware", "Remove-Item")
    assert "Get-MarkFile" in own["Find-NewMachine"]
    firmware = own["Set-NewFirmware"]
    assert in_order(firmware, "TpmEnabled) {", "Set-VMKeyProtector", "Enable-VMTPM")
    assert in_order(firmware, "Get-VMDvdDrive", "$drives.Count -eq 0", "Add-VMDvdDrive")


@pytest.mark.parametrize("name", ["01-Preflight.ps1", "10-Apply.ps1"])
def test_half_made_machine_is_a_problem(scripts, name):
    """It may lack its TPM or Secure Boot."""
    assert "GPV-NEW-UNFINISHED" in scripts[name]["Confirm-FinishedMachine"]


def test_two_cards_never_take_turns_with_a_file(scripts):
    """The rules of all packages are one list, in which each path of the guest stands once."""
    body = scripts["20-Sync-Drivers.ps1"]["Get-WantedFile"]
    assert body.count("foreach ($package in $Packages)") == 3
    assert in_order(body, "$seen = @{}", "$seen.ContainsKey($rule.Path)) { continue }", "$rule\n")


def test_companions_of_an_amd_driver_are_copied_only_where_they_fit(scripts):
    """Named by the display INF, of the very same version, exactly one; else a note says so."""
    own = scripts["20-Sync-Drivers.ps1"]
    body = own["Find-CompanionPackage"]
    assert in_order(body, "VEN_1002", "-Key 'DriverVer'", "-Key 'CopyINF'", "-eq $version")
    assert in_order(body, "$found.Count -ne 1", "Add-Note", "continue", "$companion.Folder")
    assert in_order(own["Invoke-DriverSync"], "Get-DriverPackage", "Find-CompanionPackage")
    assert "if (-not $Package.ClassKey) { return }" in own["Get-CopyRule"]


@pytest.mark.parametrize(
    ("name", "companion"),
    [
        ("amdocl.inf", True),
        ("amdwin-u0412345.inf", True),
        ("oem7.inf", False),
        (r"..\amdocl.inf", False),
        ("amdocl.inf*", False),
    ],
)
def test_names_of_companions_are_exact(scripts, name, companion):
    """What the INF says becomes part of a path."""
    body = scripts["20-Sync-Drivers.ps1"]["Find-CompanionPackage"]
    pattern = re.search(r"\$name -notmatch '([^']+)'", body)[1]
    assert bool(re.search(pattern, name)) == companion


def test_values_of_an_inf_are_read_without_blanks_and_comments(scripts):
    """By the very pattern of the script."""
    body = scripts["20-Sync-Drivers.ps1"]["Get-InfValue"]
    pattern = re.search(r'\$text, "([^"]+)"', body)[1].replace("${Key}", "DriverVer")
    text = (
        "[Version]\r\n; DriverVer = 1\r\nDriverVer\t= 01/02/2025, 32.0.1 ; x\r\nDriverVers = 2\r\n"
    )
    assert [found.replace(" ", "") for found in re.findall(pattern, text)] == ["01/02/2025,32.0.1"]


def test_file_of_the_guest_is_ours_only_while_it_is_as_it_was_copied(scripts):
    """Else it is backed up first: a game replaced it, or a run that was cut never came to it."""
    own = scripts["20-Sync-Drivers.ps1"]
    body = own["Compare-GuestFile"]
    assert "$found.Ours = $file.Known -contains $found.Hash -or ($kept -and $same)" in body
    assert in_order(body, "-not $found.Ours", "Get-BackupPath")
    assert "while (Test-Path" in own["Get-BackupPath"]
    assert '$known = @("$($Entry.sha256)", "$($Entry.before)")' in own["Get-FileFact"]


def test_file_is_taken_back_only_while_it_is_as_it_was_copied(scripts):
    """And only from the guest that carries the mark of this manifest."""
    for name in ("20-Sync-Drivers.ps1", "90-Rollback.ps1"):
        own = scripts[name]
        restore = own["Restore-GuestFile"]
        assert in_order(restore, "-notcontains $hash) { return 'changed since' }", "Move-GuestFile")
        assert '-eq "$($manifest.mark)"' in own["Read-TrustedManifest"]
    assert in_order(
        scripts["90-Rollback.ps1"]["Undo-DriverCopy"], "Read-Trusted", "Undo-DriverFile"
    )


def test_failure_with_a_code_before_any_change_is_a_problem_found_in_time(scripts):
    """Exit 2, as the headers say; anything else is 1."""
    for name, own in scripts.items():
        if name.startswith("00-"):
            continue
        body = own["Get-FailureExitCode"]
        assert "-ne 'GPV-FAILED' -and $script:Changed.Count -eq 0) { return 2 }" in body
        text = (BODIES / name).read_text(encoding="ascii")
        assert in_order(text, "} catch {\n    Add-Failure", "$exitCode = Get-FailureExitCode")


def test_saved_state_is_obeyed_only_from_a_folder_of_the_administrators(scripts):
    """Its owner is looked at before anything is read, and users get no right to it."""
    for name, own in scripts.items():
        if not any("StateFolder" in body for body in own.values()):
            continue
        text = (BODIES / name).read_text(encoding="ascii")
        assert in_order(text, "    Confirm-WideProcess\n", "    Confirm-StateFolder\n"), name
        assert "'S-1-5-18', 'S-1-5-32-544'" in own["Confirm-StateFolder"]
    protect = scripts["10-Apply.ps1"]["Protect-StateFolder"]
    assert "O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)" in protect
    makers = [
        f"{name}: {key}"
        for name, own in scripts.items()
        for key, body in own.items()
        if "CreateDirectory($" in body and "StateFolder" in body and "Protect-State" not in body
    ]
    assert not makers


def test_disk_is_known_before_anything_else_of_the_mount_is_looked_at(scripts):
    """So that each later failure dismounts it."""
    body = scripts["20-Sync-Drivers.ps1"]["Mount-GuestVolume"]
    assert in_order(body, "= Mount-VHD", "$Volume.Disk = ", "$mounted.Path) -ne")


@pytest.mark.parametrize(
    ("name", "caller", "work"),
    [
        ("20-Sync-Drivers.ps1", "Sync-GuestDriver", "Invoke-GuestCopy"),
        ("90-Rollback.ps1", "Remove-GuestDriver", "Undo-DriverCopy"),
    ],
)
def test_disk_is_dismounted_also_where_the_mount_was_cut(scripts, name, caller, work):
    """Ctrl-C runs `finally` only; so the mount itself stands within the caller's `try`."""
    own = scripts[name]
    order = ("Get-OfflineVolume", "try {", "Mount-GuestVolume", work, "finally {", "Dismount-Guest")
    assert in_order(own[caller], *order)
    assert "Dismount-Guest" not in own["Mount-GuestVolume"]
    assert sum("Mount-GuestVolume -" in body for body in own.values()) == 1


def test_disk_whose_number_ctrl_c_withheld_is_found_by_its_path(scripts):
    """Mount-VHD may attach it and not return; one that it refused is somebody else's."""
    own = scripts["20-Sync-Drivers.ps1"]
    mount = own["Mount-GuestVolume"]
    begin = ("Confirm-OfflineDisk", "$Volume.Mounting = $true", "= Mount-VHD")
    assert in_order(mount, *begin, "catch {", "$Volume.Mounting = $false", "throw", ".Disk = ")
    find = own["Get-MountedDisk"]
    assert in_order(find, "return $Volume.Disk", "if (-not $Volume.Mounting) { return }", "Get-VHD")
    assert in_order(own["Dismount-GuestVolume"], "finally {", "Get-MountedDisk", "Dismount-VHD")


def test_dismount_that_fails_hides_no_error_before_it(scripts):
    """It is a problem of its own; after a change, a problem is no longer one found in time."""
    own = scripts["20-Sync-Drivers.ps1"]
    assert in_order(own["Dismount-GuestVolume"], "Dismount-VHD", "catch {", "Add-Problem")
    assert "throw" not in own["Dismount-GuestVolume"]
    for name, functions_of in scripts.items():
        if "Get-ReportExitCode" in functions_of:
            body = functions_of["Get-ReportExitCode"]
            assert in_order(body, "$script:Problems.Count", "$script:Changed.Count -gt 0", "1"), (
                name
            )


def test_space_for_the_copy_is_looked_at_before_each_copy(scripts):
    """Also of an update, which for a while holds both packages: what is there is not counted."""
    own = scripts["20-Sync-Drivers.ps1"]
    assert in_order(own["Invoke-GuestCopy"], "Confirm-FreeSpace", "Copy-WantedFile", "Undo-Driver")
    assert "Action -eq 'copy') { $size += $fact.Size }" in own["Confirm-FreeSpace"]


def test_identical_file_that_no_run_copied_is_not_claimed(scripts):
    """Not of the package either: another tool put it there, and the rollback leaves it."""
    own = scripts["20-Sync-Drivers.ps1"]
    body = own["Get-PlannedEntry"]
    assert "if ($Verdict.Action -ne 'copy' -and -not $Verdict.Ours) { return }" in body
    assert "'package'" not in body
    cut = own["Invoke-GuestCopy"]
    assert in_order(cut, "Get-PlannedEntry", "Save-DriverManifest", "Copy-WantedFile")


def test_adapters_of_a_card_are_counted_as_they_will_be(scripts):
    """Those of other machines, and one of each machine of the plan that names the card."""
    own = scripts["01-Preflight.ps1"]
    assert in_order(own["Confirm-Machine"], "Resolve-PlanGpu", "$Users[$gpu.Name]")
    body = own["Confirm-GpuUser"]
    order = ("Get-VM", "Test-PlannedMachine", "Select-AdapterOfGpu", "$Users[$path]", "-gt 32")
    assert in_order(body, *order)
    assert in_order(own["Invoke-Preflight"], "Confirm-Machine", "Confirm-GpuUser")
    same = own["Test-PlannedMachine"]
    assert in_order(same, "$machine.Id", "$VM.Name -ceq $machine.Name")


def test_renamed_machine_is_not_taken_for_one_that_is_gone(scripts):
    """Its saved state has the old name and the id of a machine that exists."""
    own = scripts["90-Rollback.ps1"]
    body = own["Confirm-MachineGone"]
    order = ("$Machine.Id", "return", "*.state.json", "-cne $Machine.Name", '-eq "$($state.Id)"')
    assert in_order(body, *order, "Add-Problem", "GPV-VM-NOT-FOUND")
    loop = own["Invoke-OfflineRollback"]
    assert in_order(loop, "-MayBeGone", "Confirm-MachineGone", "continue", "$script:Problems.Count")


def test_settings_are_compared_with_the_machine_after_its_base_moved(scripts):
    """Set-VM on an older copy of the machine might write the old base back."""
    body = scripts["10-Apply.ps1"]["Invoke-MachineChange"]
    assert in_order(body, "Set-GapBase", "$VM = Get-VM -Id $VM.Id", "Set-PlanSetting")
    back = scripts["90-Rollback.ps1"]["Invoke-OfflineRollback"]
    assert in_order(back, "Reset-GapBase", "$item.VM = Get-VM -Id", "Reset-MachineSetting")


def test_guest_whose_hibernation_cannot_be_read_is_not_written_to(scripts):
    """Direct is the way for it."""
    body = scripts["20-Sync-Drivers.ps1"]["Confirm-GuestShutdown"]
    assert in_order(body, "OpenRead", "catch {", "throw", "GPV-VHD-HIBERNATED", "Direct", "'HIBR'")
    assert "Add-Note" not in body


def test_backup_of_a_package_file_has_hardly_a_longer_path_than_the_file(scripts):
    """The mount folder, HostDriverStore and a driver's own folders come near 260 characters."""
    own = scripts["20-Sync-Drivers.ps1"]
    body = own["Get-BackupName"]
    assert in_order(body, 'Get-GuestFolder)\\"', "StartsWith", ".Substring(", "labkit-backup")
    for name in ("Compare-GuestFile", "Get-BackupPath"):
        assert "Get-BackupName" in own[name]
        assert "labkit-backup" not in own[name]


def test_damaged_manifest_in_the_guest_carries_no_mark(scripts):
    """Neither the next copy nor a rollback may stop at it for good."""
    for name in ("20-Sync-Drivers.ps1", "90-Rollback.ps1"):
        own = scripts[name]
        assert "Get-GuestMark" in own["Read-TrustedManifest"]
        mark = own["Get-GuestMark"]
        assert in_order(mark, "try {", "ConvertFrom-Json", "catch {", "Add-Note", "return ''")
    body = scripts["30-Verify-Guest.ps1"]["Confirm-DriverFile"]
    assert in_order(body, "try {", "ConvertFrom-Json", "catch {", "Add-Problem", "return")


def test_inventory_writes_over_nothing_but_an_inventory():
    """Another file under that name stays."""
    text = (BODIES / "00-Inventory.ps1").read_text(encoding="ascii")
    assert in_order(text, "Confirm-Target -Path $target", "WriteAllText($target")
    body = text_of(functions(parse(text))["Confirm-Target"].node)
    assert in_order(body, "Exists($Path)", "labkit-gpupv-host/1", "throw")


def test_missing_disk_file_is_told_once(scripts):
    """Where the machine has the plan's disk, that its file is gone; else that it has it not."""
    own = scripts["01-Preflight.ps1"]
    body = own["Confirm-Machine"]
    assert in_order(
        body, "$known = $script:Problems.Count", "Confirm-MachineDisk", "Confirm-DiskFree"
    )
