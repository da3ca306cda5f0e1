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

$Plan = @{
    Tool = 'labkit 0.1.0'
    Hash = 'd0016b850a0b2585459ed05e0bd655328aaec269717a2124c176fa71d567d330'
    Name = 'lab'
    AllowPolicy = $false
    Machines = @(
        @{
            Name = ('O' + [char]0x2019 + 'Brien''s VM')
            Id = $null
            Vhdx = ('D:\VMs\O' + [char]0x2019 + 'Brien''s VM\disk.vhdx')
            Gpus = @(
                '\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008#{064092b3-625e-43bf-9eb5-dc845897dd59}\GPUPARAV'
            )
            Percent = 50
            RemoveOtherAdapters = $false
            MemoryBytes = 17179869184
            ProcessorCount = 8
            LowMmioBytes = 1073741824
            HighMmioBytes = 34359738368
            StopAction = 'ShutDown'
            Width = 2560
            Height = 1440
            ResolutionType = 'Maximum'
            GuestUser = '.\Bob O''Neil'
            Create = $null
        },
        @{
            Name = 'Build 2'
            Id = $null
            Vhdx = 'D:\VMs\Build 2\disk.vhdx'
            Gpus = @(
                '\\?\PCI#VEN_8086&DEV_4692&SUBSYS_86941043&REV_0C#3&11583659&0&10#{064092b3-625e-43bf-9eb5-dc845897dd59}\GPUPARAV'
            )
            Percent = $null
            RemoveOtherAdapters = $false
            MemoryBytes = 8589934592
            ProcessorCount = 4
            LowMmioBytes = 1073741824
            HighMmioBytes = 34359738368
            StopAction = 'ShutDown'
            Width = $null
            Height = $null
            ResolutionType = 'Maximum'
            GuestUser = $null
            Create = @{
                Iso = 'D:\ISO\Win11.iso'
                VhdBytes = 137438953472
                Switch = 'Default Switch'
            }
        }
    )
}

# -- Report: what changed, what did not, what is wrong; text for a person, or one JSON object

$script:AsJson = $Json.IsPresent
$script:Changed = New-Object -TypeName System.Collections.ArrayList
$script:Unchanged = New-Object -TypeName System.Collections.ArrayList
$script:Problems = New-Object -TypeName System.Collections.ArrayList
$script:ManualSteps = New-Object -TypeName System.Collections.ArrayList

function Write-Line {
    param([string]$Text)
    if (-not $script:AsJson) {
        Write-Information -MessageData $Text -InformationAction Continue
    }
}

function Add-Change {
    param([string]$Item, [string]$Setting, [string]$Before, [string]$After)
    $entry = [ordered]@{ item = $Item; setting = $Setting; before = $Before; after = $After }
    [void]$script:Changed.Add($entry)
    Write-Line -Text "changed    ${Item}: ${Setting}: $Before -> $After"
}

function Add-Unchanged {
    param([string]$Item, [string]$Setting, [string]$Value)
    [void]$script:Unchanged.Add([ordered]@{ item = $Item; setting = $Setting; value = $Value })
    Write-Line -Text "unchanged  ${Item}: ${Setting}: $Value"
}

function Add-Problem {
    param([string]$Code, [string]$Field, [string]$Message)
    [void]$script:Problems.Add([ordered]@{ code = $Code; field = $Field; message = $Message })
    Write-Line -Text "problem    ${Field}: $Message ($Code)"
}

function Add-ManualStep {
    param([string]$Item, [string]$Message)
    [void]$script:ManualSteps.Add([ordered]@{ item = $Item; message = $Message })
    Write-Line -Text "next       ${Item}: $Message"
}

function Add-Failure {
    param([System.Management.Automation.ErrorRecord]$ErrorRecord)
    $place = "line $($ErrorRecord.InvocationInfo.ScriptLineNumber)"
    Add-Problem -Code 'GPV-FAILED' -Field $place -Message $ErrorRecord.Exception.Message
    if ($script:Changed.Count -gt 0) {
        Write-Line -Text 'what is listed as changed above stays changed; 90-Rollback.ps1 undoes it'
    }
}

function Get-ReportExitCode {
    if ($script:Problems.Count -gt 0) { return 2 }
    if ($script:ManualSteps.Count -gt 0) { return 3 }
    return 0
}

function Write-Report {
    param([string]$Script, [int]$ExitCode)
    if (-not $script:AsJson) {
        Write-Line -Text "${Script}: $($script:Changed.Count) changed, exit code $ExitCode"
        return
    }
    $report = [ordered]@{
        plan = $Plan.Hash
        script = $Script
        changed = @($script:Changed)
        unchanged = @($script:Unchanged)
        problems = @($script:Problems)
        manual = @($script:ManualSteps)
        exit = $ExitCode
    }
    Write-Output -InputObject (ConvertTo-Json -InputObject $report -Depth 6)
}

function Confirm-WideProcess {
    # A 32-bit console sees another System32 and another registry.
    if (-not [Environment]::Is64BitProcess) {
        throw 'GPV-NOT-64BIT: run this in 64-bit PowerShell'
    }
}

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
