#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Creates the virtual machines that the plan asks for.

.DESCRIPTION
Changes: a new virtual machine of generation 2 with its disk, a TPM, Secure
Boot with the Windows template and the installation image in its DVD drive.
A machine that exists is left alone; so is a disk that exists.
Undo: delete the machine in Hyper-V Manager, then its disk.
The card comes later, with 10-Apply, when Windows is installed.
Exit codes: 0 nothing to do, 1 failed, 2 problem found, 3 created: install
Windows by hand next.

.PARAMETER Json
Writes one JSON object instead of text.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\05-New-VM.ps1 -WhatIf
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param([switch]$Json)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# labkit: plan

# labkit: include report

# -- This script

function Confirm-Ingredient {
    # Everything that creation needs, seen before the first change.
    param([hashtable]$Machine)
    $new = $Machine.Create
    if (-not (Test-Path -LiteralPath $new.Iso -PathType Leaf)) {
        $message = "there is no installation image $($new.Iso)"
        Add-Problem -Code 'GPV-NEW-ISO' -Field $Machine.Name -Message $message
    }
    if (Test-Path -LiteralPath $Machine.Vhdx) {
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
    $vm = New-VM @arguments
    Add-Change -Item $vm.Name -Setting 'virtual machine' -Before 'none' -After "$($vm.Id)"
    Set-NewHardware -VM $vm -Machine $Machine
    Connect-NewNetwork -VM $vm -Name $Machine.Create.Switch
    Set-NewFirmware -VM $vm -Iso $Machine.Create.Iso
    Add-ManualStep -Item $vm.Name -Message 'start it, install Windows, update it, shut it down'
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
    $switch = Get-VMSwitch | Where-Object -FilterScript { $_.Name -ceq $Name }
    Get-VMNetworkAdapter -VM $VM | Connect-VMNetworkAdapter -VMSwitch $switch
    Add-Change -Item $VM.Name -Setting 'switch' -Before 'none' -After $Name
}

function Set-NewFirmware {
    # A key protector is made here and only here: a second one would lose what the TPM holds.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM, [string]$Iso)
    if (-not $PSCmdlet.ShouldProcess($VM.Name, 'set TPM, Secure Boot and DVD')) { return }
    Set-VMKeyProtector -VM $VM -NewLocalKeyProtector
    Enable-VMTPM -VM $VM
    $dvd = Add-VMDvdDrive -VM $VM -Path $Iso -Passthru
    $firmware = @{
        VM = $VM
        EnableSecureBoot = 'On'
        SecureBootTemplate = 'MicrosoftWindows'
        FirstBootDevice = $dvd
    }
    Set-VMFirmware @firmware
    Add-Change -Item $VM.Name -Setting 'firmware' -Before 'default' -After 'TPM, Secure Boot, DVD first'
}

function Invoke-NewMachine {
    $missing = @(foreach ($machine in $Plan.Machines) {
        if ($null -eq $machine.Create) { continue }
        $existing = @(Get-VM | Where-Object -FilterScript { $_.Name -ceq $machine.Name })
        if ($existing.Count -gt 0) {
            Add-Unchanged -Item $machine.Name -Setting 'virtual machine' -Value 'exists'
        } else {
            Confirm-Ingredient -Machine $machine
            $machine
        }
    })
    if ($script:Problems.Count -gt 0) { return }
    foreach ($machine in $missing) { New-PlanMachine -Machine $machine }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Invoke-NewMachine
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
} finally {
    Write-Report -Script '05-New-VM' -ExitCode $exitCode
}
exit $exitCode
