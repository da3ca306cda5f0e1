#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Sets the resolution of the console, where the plan gives one.

.DESCRIPTION
Changes Set-VMVideo of the machines of the plan, only where it differs; the
machine must be off. The state before is saved in C:\ProgramData\labkit\gpupv.
Undo: 90-Rollback.ps1.
The shared card has no outputs of its own. The console (Hyper-V Video) shows
about 60 Hz; for more, install a virtual display driver and a streaming
server in the guest, and close the console.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed.

.PARAMETER Json
Writes one JSON object instead of text.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\40-Display.ps1 -WhatIf
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

# -- Virtual machines: exactly one for each entry of the plan, never a wildcard

function Find-PlanMachine {
    param([hashtable]$Machine)
    if ($Machine.Id) {
        $found = @(Get-VM | Where-Object -FilterScript { "$($_.Id)" -eq $Machine.Id })
    } else {
        $found = @(Get-VM | Where-Object -FilterScript { $_.Name -ceq $Machine.Name })
    }
    if ($found.Count -eq 1) { return $found[0] }
    if ($found.Count -eq 0) {
        $message = 'there is no such virtual machine'
        Add-Problem -Code 'GPV-VM-NOT-FOUND' -Field $Machine.Name -Message $message
    } else {
        $message = "$($found.Count) virtual machines have this name; give the id in the plan"
        Add-Problem -Code 'GPV-VM-AMBIGUOUS' -Field $Machine.Name -Message $message
    }
}

function Confirm-MachineOff {
    param([object]$VM)
    if ("$($VM.State)" -ne 'Off') {
        $message = "it is $($VM.State); shut it down, and delete a saved state"
        Add-Problem -Code 'GPV-VM-NOT-OFF' -Field $VM.Name -Message $message
    }
}

function Confirm-MachineDisk {
    # A differencing disk means checkpoints; writing to its parent would damage the chain.
    param([object]$VM, [string]$Vhdx)
    if (@(Get-VMSnapshot -VM $VM).Count -gt 0) {
        $message = 'it has checkpoints; delete them, which merges them, and wait for the merge'
        Add-Problem -Code 'GPV-VM-CHECKPOINTS' -Field $VM.Name -Message $message
    }
    $disks = @(Get-VMHardDiskDrive -VM $VM | ForEach-Object -Process { "$($_.Path)" })
    foreach ($disk in $disks) {
        if ([System.IO.Path]::GetExtension($disk) -eq '.avhdx') {
            $message = "it runs on the checkpoint disk $disk; merge it first"
            Add-Problem -Code 'GPV-VHD-AVHDX' -Field $VM.Name -Message $message
            return
        }
    }
    if ($disks -notcontains $Vhdx) {
        $message = "the plan's disk $Vhdx is not attached to it"
        Add-Problem -Code 'GPV-VM-DISK' -Field $VM.Name -Message $message
    }
}

# -- Cards of the host and adapters of a virtual machine

function Get-HostGpu {
    # Windows 10 has the older name; on Windows 11 that name prints a warning and nothing else.
    if (Get-Command -Name 'Get-VMHostPartitionableGpu' -ErrorAction SilentlyContinue) {
        return Get-VMHostPartitionableGpu
    }
    Get-VMPartitionableGpu
}

function Test-InstancePathSupport {
    (Get-Command -Name 'Add-VMGpuPartitionAdapter').Parameters.ContainsKey('InstancePath')
}

function Resolve-PlanGpu {
    # The host's object for each card that the plan names; whole paths, in any case of letters.
    param([hashtable]$Machine)
    $cards = @(Get-HostGpu)
    if ($cards.Count -eq 0) {
        $message = 'the host lists no card that can be shared; install the vendor''s driver'
        Add-Problem -Code 'GPV-NO-GPU' -Field $Machine.Name -Message $message
        return
    }
    if ($cards.Count -gt 1 -and -not (Test-InstancePathSupport)) {
        $message = 'this Windows cannot say which of several cards is meant; use Windows 11'
        Add-Problem -Code 'GPV-NO-INSTANCEPATH' -Field $Machine.Name -Message $message
        return
    }
    foreach ($path in $Machine.Gpus) {
        $found = @($cards | Where-Object -FilterScript { $null -eq $path -or $_.Name -eq $path })
        if ($found.Count -eq 1) {
            $found[0]
        } elseif ($found.Count -gt 1) {
            $message = "the host has $($found.Count) cards; write the path of one in the plan"
            Add-Problem -Code 'GPV-GPU-AMBIGUOUS' -Field $Machine.Name -Message $message
        } else {
            $message = "the host does not list the card $path"
            Add-Problem -Code 'GPV-GPU-NOT-FOUND' -Field $Machine.Name -Message $message
        }
    }
}

function ConvertTo-PnpId {
    # \\?\PCI#VEN...#4&...#{guid}\GPUPARAV -> PCI\VEN...\4&...
    param([string]$InstancePath)
    $parts = $InstancePath.Substring(4).Split('#')
    "$($parts[0])\$($parts[1])\$($parts[2])"
}

function Get-AdapterPath {
    # Windows 10 has no such property; there the host has one card, so nothing is ambiguous.
    param([object]$Adapter)
    $property = $Adapter.PSObject.Properties['InstancePath']
    if ($property) { return "$($property.Value)" }
    return ''
}

function Select-AdapterOfGpu {
    # The adapters that point to this card; where adapters have no path, all of them do.
    param([object[]]$Adapters, [string]$Path)
    foreach ($adapter in $Adapters) {
        $own = Get-AdapterPath -Adapter $adapter
        if ($own -eq $Path -or ($own -eq '' -and -not (Test-InstancePathSupport))) { $adapter }
    }
}

function Get-PartitionValue {
    # Percent of the card's totals. [decimal] holds 2^64 * 100 exactly; [double] would not.
    param([object]$Gpu, [int]$Percent)
    $values = @{}
    foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
        $total = [decimal]$Gpu."Total$capability"
        $share = [uint64][Math]::Max([decimal]1, [Math]::Floor($total * $Percent / 100))
        $values["MinPartition$capability"] = [uint64]1
        $values["MaxPartition$capability"] = $share
        $values["OptimalPartition$capability"] = $share
    }
    $values
}

# -- Settings: what the plan wants, what is there, and where the two differ

function Get-WantedSetting {
    param([hashtable]$Machine)
    [ordered]@{
        GuestControlledCacheTypes = $true
        LowMemoryMappedIoSpace = [uint32]$Machine.LowMmioBytes
        HighMemoryMappedIoSpace = [uint64]$Machine.HighMmioBytes
        AutomaticCheckpointsEnabled = $false
        CheckpointType = 'Disabled'
        AutomaticStopAction = $Machine.StopAction
    }
}

function Get-WantedMemory {
    param([hashtable]$Machine)
    $wanted = [ordered]@{ DynamicMemoryEnabled = $false }
    if ($null -ne $Machine.MemoryBytes) { $wanted.Startup = [int64]$Machine.MemoryBytes }
    $wanted
}

function Get-WantedProcessor {
    param([hashtable]$Machine)
    $wanted = [ordered]@{}
    if ($null -ne $Machine.ProcessorCount) { $wanted.Count = [int64]$Machine.ProcessorCount }
    $wanted
}

function Get-WantedVideo {
    param([hashtable]$Machine)
    $wanted = [ordered]@{}
    if ($null -ne $Machine.Width) {
        $wanted.ResolutionType = $Machine.ResolutionType
        $wanted.HorizontalResolution = [uint16]$Machine.Width
        $wanted.VerticalResolution = [uint16]$Machine.Height
    }
    $wanted
}

function Compare-Setting {
    # The wanted values that differ; enumerations and numbers are equal when their texts are.
    param([object]$Actual, [System.Collections.IDictionary]$Wanted, [string]$Item)
    $different = @{}
    foreach ($name in $Wanted.Keys) {
        if ("$($Actual.$name)" -eq "$($Wanted[$name])") {
            Add-Unchanged -Item $Item -Setting $name -Value "$($Wanted[$name])"
        } else {
            $different[$name] = $Wanted[$name]
        }
    }
    $different
}

function Format-Change {
    param([object]$Actual, [hashtable]$Different)
    $parts = foreach ($name in ($Different.Keys | Sort-Object)) {
        "${name}: $($Actual.$name) -> $($Different[$name])"
    }
    $parts -join ', '
}

function Add-ChangeOfEach {
    param([string]$Item, [hashtable]$Before, [hashtable]$Different)
    foreach ($name in ($Different.Keys | Sort-Object)) {
        Add-Change -Item $Item -Setting $name -Before "$($Before[$name])" -After "$($Different[$name])"
    }
}

function Get-ValueOfEach {
    # The present values as text, taken before the object changes under our hands.
    param([object]$Actual, [string[]]$Name)
    $found = @{}
    foreach ($key in $Name) { $found[$key] = "$($Actual.$key)" }
    $found
}

# -- State: how a virtual machine was before the first change, kept until the rollback

$script:StateFolder = Join-Path -Path $env:ProgramData -ChildPath 'labkit\gpupv'

function Get-StateFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).state.json"
}

function Get-MachineState {
    # Numbers as text: JSON readers round what is beyond 2^53.
    param([object]$VM)
    $settings = 'GuestControlledCacheTypes', 'LowMemoryMappedIoSpace', 'HighMemoryMappedIoSpace',
        'AutomaticCheckpointsEnabled', 'CheckpointType', 'AutomaticStopAction'
    $adapters = @(foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        $values = @{}
        foreach ($bound in 'Min', 'Max', 'Optimal') {
            foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
                $name = "${bound}Partition$capability"
                $values[$name] = "$($adapter.$name)"
            }
        }
        @{ Id = "$($adapter.Id)"; Path = (Get-AdapterPath -Adapter $adapter); Values = $values }
    })
    $memory = Get-VMMemory -VM $VM
    $memoryNames = 'DynamicMemoryEnabled', 'Startup', 'Minimum', 'Maximum'
    $videoNames = 'ResolutionType', 'HorizontalResolution', 'VerticalResolution'
    [ordered]@{
        Id = "$($VM.Id)"
        Name = $VM.Name
        Settings = Get-ValueOfEach -Actual $VM -Name $settings
        Memory = Get-ValueOfEach -Actual $memory -Name $memoryNames
        Processor = Get-ValueOfEach -Actual (Get-VMProcessor -VM $VM) -Name 'Count'
        Video = Get-ValueOfEach -Actual (Get-VMVideo -VM $VM) -Name $videoNames
        Adapters = $adapters
    }
}

function Write-JsonFile {
    # Written beside and renamed, so that a cut leaves the old file or the new one, whole.
    param([string]$Path, [object]$Value)
    $folder = [System.IO.Path]::GetDirectoryName($Path)
    [void][System.IO.Directory]::CreateDirectory($folder)
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    $new = "$Path.new"
    [System.IO.File]::WriteAllText($new, $text)
    Move-Item -LiteralPath $new -Destination $Path -Force
}

function Read-JsonFile {
    param([string]$Path)
    if (Test-Path -LiteralPath $Path -PathType Leaf) {
        ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
    }
}

function Save-MachineState {
    # The first state is the one to go back to; a later run must not replace it.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM)
    $file = Get-StateFile -VM $VM
    if (Test-Path -LiteralPath $file) { return }
    if ($PSCmdlet.ShouldProcess($VM.Name, "save the present settings to $file")) {
        Write-JsonFile -Path $file -Value (Get-MachineState -VM $VM)
        Write-Line -Text "saved      $($VM.Name): $file"
    }
}

# -- This script

function Set-PlanVideo {
    # All three values together: with the type Default the numbers would be ignored.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $actual = Get-VMVideo -VM $VM
    $wanted = Get-WantedVideo -Machine $Machine
    $different = Compare-Setting -Actual $actual -Wanted $wanted -Item $VM.Name
    if ($different.Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "video: $text")) { return }
    $before = Get-ValueOfEach -Actual $actual -Name @($different.Keys)
    Set-VMVideo -VM $VM @wanted
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Invoke-Display {
    $ready = @(foreach ($machine in $Plan.Machines) {
        if ($null -eq $machine.Width) { continue }
        $vm = Find-PlanMachine -Machine $machine
        if ($null -eq $vm) { continue }
        Confirm-MachineOff -VM $vm
        @{ VM = $vm; Machine = $machine }
    })
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $ready) {
        Save-MachineState -VM $item.VM
        Set-PlanVideo -VM $item.VM -Machine $item.Machine
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Invoke-Display
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
} finally {
    Write-Report -Script '40-Display' -ExitCode $exitCode
}
exit $exitCode
