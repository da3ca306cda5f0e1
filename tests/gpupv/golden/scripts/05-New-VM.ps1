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

$Plan = @{
    Tool = 'labkit 0.1.0'
    Hash = '33d5d17abae078041650820a3225ace83d68908bd8e763f2c63d3d25bfc25565'
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
            HighMmioBaseMb = $null
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
            HighMmioBaseMb = $null
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
$script:Notes = New-Object -TypeName System.Collections.ArrayList

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
    $code = 'GPV-FAILED'
    $message = $ErrorRecord.Exception.Message
    if ($message -cmatch '^(GPV-[A-Z0-9-]+): (?s)(.*)$') {
        $code = $Matches[1]
        $message = $Matches[2]
    }
    Add-Problem -Code $code -Field $place -Message $message
    if ($script:Changed.Count -gt 0) {
        Write-Line -Text 'what is listed as changed above stays so; this script can be run again'
    }
}

function Get-FailureExitCode {
    # A failure with a code of its own, before any change, is a problem that was found in time.
    $last = $script:Problems[$script:Problems.Count - 1]
    if ($last.code -ne 'GPV-FAILED' -and $script:Changed.Count -eq 0) { return 2 }
    return 1
}

function Get-ReportExitCode {
    # 2 means that nothing was changed.
    if ($script:Problems.Count -gt 0 -and $script:Changed.Count -gt 0) { return 1 }
    if ($script:Problems.Count -gt 0) { return 2 }
    if ($script:ManualSteps.Count -gt 0) { return 3 }
    return 0
}

function ConvertTo-AsciiJson {
    # The console writes in the code page of the machine: other characters as \uXXXX, as JSON may.
    param([object]$Value)
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    $escape = { param($Found) '\u{0:x4}' -f [int][char]$Found.Value }
    [regex]::Replace($text, '[^\x00-\x7F]', $escape)
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
        notes = @($script:Notes)
        manual = @($script:ManualSteps)
        exit = $ExitCode
    }
    Write-Output -InputObject (ConvertTo-AsciiJson -Value $report)
}

function Confirm-WideProcess {
    # A 32-bit console sees another System32 and another registry.
    if (-not [Environment]::Is64BitProcess) {
        throw 'GPV-NOT-64BIT: run this in 64-bit PowerShell'
    }
}

# -- Virtual machines: exactly one for each entry of the plan, never a wildcard

function Confirm-MachineOff {
    param([object]$VM)
    if ("$($VM.State)" -ne 'Off') {
        $message = "it is $($VM.State); shut it down, and delete a saved state"
        Add-Problem -Code 'GPV-VM-NOT-OFF' -Field $VM.Name -Message $message
    }
}

# -- Where states, manifests and marks are kept: for administrators alone, since all obey them

$script:StateFolder = Join-Path -Path $env:ProgramData -ChildPath 'labkit\gpupv'

function Get-MarkFile {
    # Of a machine that 05-New-VM has made, and not yet finished.
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).new.json"
}

function Confirm-StateFolder {
    # Anybody may make folders in ProgramData; what lies in somebody else's is not obeyed.
    $trusted = 'S-1-5-18', 'S-1-5-32-544'
    foreach ($folder in [System.IO.Path]::GetDirectoryName($script:StateFolder), $script:StateFolder) {
        if (-not (Test-Path -LiteralPath $folder)) { return }
        $link = (Get-Item -LiteralPath $folder -Force).Attributes -band
            [System.IO.FileAttributes]::ReparsePoint
        $type = [System.Security.Principal.SecurityIdentifier]
        $owner = (Get-Acl -LiteralPath $folder).GetOwner($type).Value
        if ($link -or $trusted -notcontains $owner) {
            throw "GPV-STATE-FOLDER: $folder is a link, or belongs to $owner, no administrator"
        }
    }
}

# -- Writing there

function Protect-StateFolder {
    # Full control for the system and administrators, nothing for others, nothing inherited.
    $sections = [System.Security.AccessControl.AccessControlSections]'Owner, Group, Access'
    $rules = 'O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
    Confirm-StateFolder
    foreach ($folder in [System.IO.Path]::GetDirectoryName($script:StateFolder), $script:StateFolder) {
        [void][System.IO.Directory]::CreateDirectory($folder)
        if ((Get-Acl -LiteralPath $folder).AreAccessRulesProtected) { continue }
        $security = New-Object -TypeName System.Security.AccessControl.DirectorySecurity
        $security.SetSecurityDescriptorSddlForm($rules, $sections)
        Set-Acl -LiteralPath $folder -AclObject $security -Confirm:$false
    }
}

function Write-JsonFile {
    # Written beside and renamed, so that a cut leaves the old file or the new one, whole.
    param([string]$Path, [object]$Value)
    Protect-StateFolder
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    $bytes = [System.Text.Encoding]::UTF8.GetBytes($text)
    $new = "$Path.new"
    $stream = [System.IO.File]::Create($new)
    try {
        $stream.Write($bytes, 0, $bytes.Length)
        $stream.Flush($true)
    } finally {
        $stream.Dispose()
    }
    if (Test-Path -LiteralPath $Path) {
        [System.IO.File]::Replace($new, $Path, [NullString]::Value)
    } else {
        [System.IO.File]::Move($new, $Path)
    }
}

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
