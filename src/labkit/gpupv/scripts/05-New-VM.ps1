#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Creates the virtual machines that the plan asks for.

.DESCRIPTION
Changes: a new virtual machine of generation 2 with its disk, a TPM, Secure
Boot with the Windows template and the installation image in its DVD drive.
A machine that exists is left alone; so is a disk that exists. Only a machine
whose creation was cut is finished, also by a second run.
Undo: delete the machine in Hyper-V Manager, then its disk.
The card comes later, with 10-Apply, when Windows is installed.
Exit codes: 0 nothing to do, 1 failed, 2 problem found, 3 created: install
Windows by hand next.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\05-New-VM.ps1 -WhatIf
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param([switch]$Json)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# labkit: plan

# labkit: include report

# labkit: include machine

# labkit: include folder

# labkit: include store

# -- This script

function Confirm-Ingredient {
    # Everything that creation needs, seen before the first change.
    param([hashtable]$Machine, [object]$VM)
    $new = $Machine.Create
    if (-not (Test-Path -LiteralPath $new.Iso -PathType Leaf)) {
        $message = "there is no installation image $($new.Iso)"
        Add-Problem -Code 'GPV-NEW-ISO' -Field $Machine.Name -Message $message
    }
    if ($null -ne $VM) {
        Confirm-MachineOff -VM $VM
    } elseif (Test-Path -LiteralPath $Machine.Vhdx) {
        $message = "the disk $($Machine.Vhdx) exists already; it is not overwritten"
        Add-Problem -Code 'GPV-NEW-DISK' -Field $Machine.Name -Message $message
    }
    if ($null -eq $new.Switch) { return }
    $switches = @(Get-VMSwitch | Where-Object -FilterScript { $_.Name -ceq $new.Switch })
    if ($switches.Count -ne 1) {
        $message = "$($switches.Count) switches are called $($new.Switch); it takes one"
        Add-Problem -Code 'GPV-NEW-SWITCH' -Field $Machine.Name -Message $message
    }
}

function New-PlanMachine {
    # Marked at once: what a cut leaves behind is finished by the next run.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([hashtable]$Machine)
    if (-not $PSCmdlet.ShouldProcess($Machine.Name, 'create this virtual machine')) { return }
    $arguments = @{
        Name = $Machine.Name
        Generation = 2
        MemoryStartupBytes = $Machine.MemoryBytes
        NewVHDPath = $Machine.Vhdx
        NewVHDSizeBytes = $Machine.Create.VhdBytes
    }
    # Before, since a machine that cannot be marked would never be finished.
    Protect-StateFolder
    [void][System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName($Machine.Vhdx))
    $vm = New-VM @arguments
    Write-JsonFile -Path (Get-MarkFile -VM $vm) -Value @{ Name = $vm.Name }
    Add-Change -Item $vm.Name -Setting 'virtual machine' -Before 'none' -After "$($vm.Id)"
    Complete-NewMachine -VM $vm -Machine $Machine -Confirm:$false
}

function Complete-NewMachine {
    # Each step looks first what is there, so that it can be taken again.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $action = 'set its memory, processors, checkpoints, switch, TPM, Secure Boot and DVD'
    if (-not $PSCmdlet.ShouldProcess($VM.Name, $action)) { return }
    Set-NewHardware -VM $VM -Machine $Machine
    Connect-NewNetwork -VM $VM -Name $Machine.Create.Switch
    Set-NewFirmware -VM $VM -Iso $Machine.Create.Iso
    Remove-Item -LiteralPath (Get-MarkFile -VM $VM) -Force
    Add-ManualStep -Item $VM.Name -Message 'start it, install Windows, update it, shut it down'
}

function Set-NewHardware {
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM, [hashtable]$Machine)
    if (-not $PSCmdlet.ShouldProcess($VM.Name, 'set memory, processors and stop action')) { return }
    Set-VMMemory -VM $VM -DynamicMemoryEnabled $false -StartupBytes $Machine.MemoryBytes
    if ($null -ne $Machine.ProcessorCount) { Set-VMProcessor -VM $VM -Count $Machine.ProcessorCount }
    $settings = @{
        VM = $VM
        AutomaticCheckpointsEnabled = $false
        CheckpointType = 'Disabled'
        AutomaticStopAction = $Machine.StopAction
        AutomaticStartAction = 'Nothing'
    }
    Set-VM @settings
    Add-Change -Item $VM.Name -Setting 'memory' -Before 'none' -After "$($Machine.MemoryBytes)"
}

function Connect-NewNetwork {
    # By object: a switch's name with brackets in it would be a wildcard.
    param([object]$VM, [string]$Name)
    if (-not $Name) { return }
    $network = Get-VMSwitch | Where-Object -FilterScript { $_.Name -ceq $Name }
    Get-VMNetworkAdapter -VM $VM | Connect-VMNetworkAdapter -VMSwitch $network
    Add-Change -Item $VM.Name -Setting 'switch' -Before 'none' -After $Name
}

function Set-NewFirmware {
    # A key protector is made only while there is no TPM: a second one would lose what it holds.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM, [string]$Iso)
    if (-not $PSCmdlet.ShouldProcess($VM.Name, 'set TPM, Secure Boot and DVD')) { return }
    $firmware = @{ VM = $VM }
    $present = Get-VMFirmware -VM $VM
    if ("$($present.SecureBoot)" -ne 'On') { $firmware.EnableSecureBoot = 'On' }
    if ("$($present.SecureBootTemplate)" -ne 'MicrosoftWindows') {
        $firmware.SecureBootTemplate = 'MicrosoftWindows'
    }
    if (-not (Get-VMSecurity -VM $VM).TpmEnabled) {
        Set-VMKeyProtector -VM $VM -NewLocalKeyProtector
        Enable-VMTPM -VM $VM
    }
    $drives = @(Get-VMDvdDrive -VM $VM | Where-Object -FilterScript { $_.Path -eq $Iso })
    if ($drives.Count -eq 0) { $drives = @(Add-VMDvdDrive -VM $VM -Path $Iso -Passthru) }
    $firmware.FirstBootDevice = $drives[0]
    Set-VMFirmware @firmware
    Add-Change -Item $VM.Name -Setting 'firmware' -Before 'default' -After 'TPM, Secure Boot, DVD first'
}

function Find-NewMachine {
    # Those to be created, and those whose creation was cut.
    foreach ($machine in $Plan.Machines) {
        if ($null -eq $machine.Create) { continue }
        $existing = @(Get-VM | Where-Object -FilterScript { $_.Name -ceq $machine.Name })
        if ($existing.Count -eq 0) {
            @{ Machine = $machine; VM = $null }
            continue
        }
        $cut = @($existing | Where-Object -FilterScript {
            Test-Path -LiteralPath (Get-MarkFile -VM $_)
        })
        if ($cut.Count -eq 0) {
            Add-Unchanged -Item $machine.Name -Setting 'virtual machine' -Value 'exists'
        }
        foreach ($vm in $cut) { @{ Machine = $machine; VM = $vm } }
    }
}

function Invoke-NewMachine {
    $todo = @(Find-NewMachine)
    foreach ($item in $todo) { Confirm-Ingredient -Machine $item.Machine -VM $item.VM }
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $todo) {
        if ($null -eq $item.VM) {
            New-PlanMachine -Machine $item.Machine
        } else {
            Complete-NewMachine -VM $item.VM -Machine $item.Machine
        }
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    Invoke-NewMachine
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Write-Report -Script '05-New-VM' -ExitCode $exitCode
}
exit $exitCode
