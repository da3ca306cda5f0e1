#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Gives the virtual machines of the plan their settings and GPU adapters.

.DESCRIPTION
Changes, for each machine of the plan, only what differs:
  memory: dynamic memory off, and its size and processors if the plan has them
  memory-mapped space: low and high, its base if the plan has one, and the
  guest-controlled cache types on
  checkpoints and automatic checkpoints off, and the stop action
  GPU adapters: the plan's added; others removed only if the plan says so.
  To change the memory they are taken out, and put back with their values.
On Windows Server, with allow_policy in the plan, also two policy values.
Shows each value before and after. Nothing is changed unless every machine of
the plan is ready. The state before the first change is saved in
C:\ProgramData\labkit\gpupv.
Undo: 90-Rollback.ps1.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\10-Apply.ps1 -WhatIf
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

function Add-Note {
    # Worth knowing; it stops nothing.
    param([string]$Code, [string]$Field, [string]$Message)
    [void]$script:Notes.Add([ordered]@{ code = $Code; field = $Field; message = $Message })
    Write-Line -Text "note       ${Field}: $Message ($Code)"
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

function Find-PlanMachine {
    # Of a machine that is gone there is nothing to undo: with -MayBeGone it stops nothing.
    param([hashtable]$Machine, [switch]$MayBeGone)
    if ($Machine.Id) {
        $found = @(Get-VM | Where-Object -FilterScript { "$($_.Id)" -eq $Machine.Id })
    } else {
        $found = @(Get-VM | Where-Object -FilterScript { $_.Name -ceq $Machine.Name })
    }
    if ($found.Count -eq 1) { return $found[0] }
    if ($found.Count -eq 0) {
        $report = @{ Code = 'GPV-VM-NOT-FOUND'; Field = $Machine.Name }
        $report.Message = 'there is no such virtual machine'
        if ($MayBeGone) { Add-Note @report } else { Add-Problem @report }
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

function ConvertTo-PlainPath {
    # The plan may write a path with the prefix for long ones, and Hyper-V the same without.
    param([string]$Path)
    $Path -replace '^\\\\\?\\UNC\\', '\\' -replace '^\\\\\?\\', ''
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
        if ('.avhdx', '.avhd' -contains [System.IO.Path]::GetExtension($disk)) {
            $message = "it runs on the checkpoint disk $disk; merge it first"
            Add-Problem -Code 'GPV-VHD-AVHDX' -Field $VM.Name -Message $message
            return
        }
    }
    $plain = @($disks | ForEach-Object -Process { ConvertTo-PlainPath -Path $_ })
    if ($plain -notcontains (ConvertTo-PlainPath -Path $Vhdx)) {
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
            foreach ($card in $cards) {
                # The same model in another slot: the part after the first # names it.
                if ($card.Name.Split('#')[1] -ne $path.Split('#')[1]) { continue }
                $message += "; an equal one is at $($card.Name)"
            }
            Add-Problem -Code 'GPV-GPU-NOT-FOUND' -Field $Machine.Name -Message $message
        }
    }
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

function Select-OtherAdapter {
    # The adapters that point to no card of the plan.
    param([object[]]$Adapters, [object[]]$Gpus)
    $named = @(foreach ($gpu in $Gpus) { Select-AdapterOfGpu -Adapters $Adapters -Path $gpu.Name })
    $known = @($named | ForEach-Object -Process { "$($_.Id)" })
    foreach ($adapter in $Adapters) {
        if ($known -notcontains "$($adapter.Id)") { $adapter }
    }
}

function Confirm-OtherAdapter {
    # Adapters that the plan does not name are removed only if the plan says so.
    param([object]$VM, [object[]]$Gpus, [object[]]$Adapters)
    foreach ($adapter in @(Select-OtherAdapter -Adapters $Adapters -Gpus $Gpus)) {
        $message = "the plan does not name its adapter $($adapter.Id)"
        $message += " $(Get-AdapterPath -Adapter $adapter); see remove_other_adapters"
        Add-Problem -Code 'GPV-ADAPTER-OTHER' -Field $VM.Name -Message $message
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

function Confirm-StaticMemory {
    # Switched off without a size, dynamic memory would leave the machine what it starts with.
    param([object]$VM, [hashtable]$Machine)
    $memory = Get-VMMemory -VM $VM
    if (-not $memory.DynamicMemoryEnabled -or $null -ne $Machine.MemoryBytes) { return }
    $message = "its memory is dynamic: it would stay at the $($memory.Startup) bytes that it starts"
    $message += " with, of at most $($memory.Maximum); give its memory in the plan"
    Add-Problem -Code 'GPV-MEM-DYNAMIC' -Field $VM.Name -Message $message
}

function Get-WantedProcessor {
    param([hashtable]$Machine)
    $wanted = [ordered]@{}
    if ($null -ne $Machine.ProcessorCount) { $wanted['Count'] = [int64]$Machine.ProcessorCount }
    $wanted
}

function Get-GapSetting {
    # Of the realized machine, not of its checkpoints; in MB, where the cmdlets speak of bytes.
    param([object]$VM)
    $place = @{
        Namespace = 'root\virtualization\v2'
        ClassName = 'Msvm_VirtualSystemSettingData'
    }
    $found = @(Get-CimInstance @place -ErrorAction Stop | Where-Object -FilterScript {
        $_.VirtualSystemType -eq 'Microsoft:Hyper-V:System:Realized' -and
            $_.ConfigurationID -eq "$($VM.Id)"
    })
    if ($found.Count -ne 1) { throw "$($found.Count) system settings belong to $($VM.Id)" }
    $found[0]
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

# -- Where states, manifests and marks are kept: for administrators alone, since all obey them

$script:StateFolder = Join-Path -Path $env:ProgramData -ChildPath 'labkit\gpupv'

function Get-StateFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).state.json"
}

function Get-MarkFile {
    # Of a machine that 05-New-VM has made, and not yet finished.
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).new.json"
}

function Read-JsonFile {
    param([string]$Path)
    if (Test-Path -LiteralPath $Path -PathType Leaf) {
        ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
    }
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

function Confirm-FinishedMachine {
    param([object]$VM)
    if (Test-Path -LiteralPath (Get-MarkFile -VM $VM)) {
        $message = '05-New-VM has not finished it; run that again'
        Add-Problem -Code 'GPV-NEW-UNFINISHED' -Field $VM.Name -Message $message
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

# -- State: how a virtual machine was before the first change, kept until the rollback

function Get-AdapterState {
    # Numbers as text: JSON readers round what is beyond 2^53.
    param([object]$Adapter)
    $values = @{}
    foreach ($bound in 'Min', 'Max', 'Optimal') {
        foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
            $name = "${bound}Partition$capability"
            $values[$name] = "$($Adapter.$name)"
        }
    }
    [pscustomobject]@{
        Id = "$($Adapter.Id)"
        Path = (Get-AdapterPath -Adapter $Adapter)
        Values = [pscustomobject]$values
    }
}

function Get-MachineState {
    param([object]$VM)
    $settings = 'GuestControlledCacheTypes', 'LowMemoryMappedIoSpace', 'HighMemoryMappedIoSpace',
        'AutomaticCheckpointsEnabled', 'CheckpointType', 'AutomaticStopAction'
    $memory = Get-VMMemory -VM $VM
    $memoryNames = 'DynamicMemoryEnabled', 'Startup', 'Minimum', 'Maximum'
    $videoNames = 'ResolutionType', 'HorizontalResolution', 'VerticalResolution'
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    [ordered]@{
        Id = "$($VM.Id)"
        Name = $VM.Name
        Settings = Get-ValueOfEach -Actual $VM -Name $settings
        Memory = Get-ValueOfEach -Actual $memory -Name $memoryNames
        Processor = Get-ValueOfEach -Actual (Get-VMProcessor -VM $VM) -Name 'Count'
        Video = Get-ValueOfEach -Actual (Get-VMVideo -VM $VM) -Name $videoNames
        Adapters = @(foreach ($adapter in $adapters) { Get-AdapterState -Adapter $adapter })
        Applied = @{}
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

function Save-AppliedValue {
    # Noted before each change: the rollback puts back only what was set here and still is so.
    param([object]$VM, [string]$Group, [hashtable]$Values)
    $file = Get-StateFile -VM $VM
    $state = Read-JsonFile -Path $file
    if ($null -eq $state) { throw "the present settings of $($VM.Name) were not saved" }
    foreach ($name in $Values.Keys) {
        $note = @{ NotePropertyName = "$Group.$name"; NotePropertyValue = "$($Values[$name])" }
        Add-Member -InputObject $state.Applied @note -Force
    }
    Write-JsonFile -Path $file -Value $state
}

# -- An adapter that was taken out, added again

function Add-SavedAdapter {
    # The same card with the same values, under a new Id.
    param([object]$VM, [object]$Adapter)
    $arguments = @{ VM = $VM }
    if ($Adapter.Path) { $arguments.InstancePath = $Adapter.Path }
    foreach ($value in $Adapter.Values.PSObject.Properties) {
        if ($value.Value -ne '') { $arguments[$value.Name] = [uint64]$value.Value }
    }
    Add-VMGpuPartitionAdapter @arguments
    Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before 'none' -After $Adapter.Path
}

# -- Base of the high memory-mapped space: moved only where the plan asks, and only WMI can

function Get-BaseFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).base.json"
}

function Set-GapBase {
    # What counts is the value that is there afterwards: the method may end before the change.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [uint64]$Megabyte)
    $data = Get-GapSetting -VM $VM
    $before = [uint64]$data.HighMmioGapBase
    if ($before -eq $Megabyte) {
        Add-Unchanged -Item $VM.Name -Setting 'HighMmioGapBase' -Value "$before MB"
        return
    }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "HighMmioGapBase: $before -> $Megabyte MB")) { return }
    Save-GapBase -VM $VM -Before $before -Applied $Megabyte
    $data.HighMmioGapBase = $Megabyte
    Update-GapSetting -Data $data -Confirm:$false
    for ($waits = 0; $waits -lt 50; $waits++) {
        $after = [uint64](Get-GapSetting -VM $VM).HighMmioGapBase
        if ($after -eq $Megabyte) {
            $change = @{ Before = "$before MB"; After = "$after MB" }
            Add-Change -Item $VM.Name -Setting 'HighMmioGapBase' @change
            return
        }
        Start-Sleep -Milliseconds 200
    }
    throw 'Hyper-V did not take the base of the high memory-mapped space'
}

function Save-GapBase {
    # The first base is the one to go back to, and only from the one that was set here.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM, [uint64]$Before, [uint64]$Applied)
    $file = Get-BaseFile -VM $VM
    $old = Read-JsonFile -Path $file
    $first = "$Before"
    if ($null -ne $old) { $first = "$($old.HighMmioGapBase)" }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "save the present base to $file")) { return }
    Write-JsonFile -Path $file -Value @{ HighMmioGapBase = $first; Applied = "$Applied" }
}

function Update-GapSetting {
    # 4096: accepted, and done a little later.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$Data)
    if (-not $PSCmdlet.ShouldProcess("$($Data.ElementName)", 'modify system settings')) { return }
    $serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()
    $option = [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None
    $bytes = $serializer.Serialize($Data, $option)
    $text = [System.Text.Encoding]::Unicode.GetString($bytes)
    $place = @{
        Namespace = 'root\virtualization\v2'
        ClassName = 'Msvm_VirtualSystemManagementService'
    }
    $call = @{
        InputObject = (Get-CimInstance @place -ErrorAction Stop)
        MethodName = 'ModifySystemSettings'
        Arguments = @{ SystemSettings = $text }
        Confirm = $false
    }
    $result = Invoke-CimMethod @call -ErrorAction Stop
    if (0, 4096 -notcontains $result.ReturnValue) {
        throw "Hyper-V refused the base of the memory-mapped space: $($result.ReturnValue)"
    }
}

# -- Server policy: two values that refuse paravirtual cards unless both are 0

$script:PolicyKey = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\HyperV'
$script:PolicyNames = 'RequireSecureDeviceAssignment', 'RequireSupportedDeviceAssignment'

function Get-PolicyValue {
    # $null is said outright: what a function leaves out, ConvertTo-Json writes as {}.
    param([string]$Name)
    if (-not (Test-Path -LiteralPath $script:PolicyKey)) { return $null }
    return (Get-Item -LiteralPath $script:PolicyKey).GetValue($Name)
}

# -- Server policy: changed where the plan asks, and put back when no machine needs it

$script:PolicyFile = Join-Path -Path $script:StateFolder -ChildPath 'policy.state.json'

function Save-PolicyState {
    # The values before the first change, and the machines that ask for the new ones.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([string[]]$Id)
    $values = @{}
    $known = @()
    $state = Read-JsonFile -Path $script:PolicyFile
    foreach ($name in $script:PolicyNames) {
        if ($null -eq $state) {
            $values[$name] = Get-PolicyValue -Name $name
        } else {
            $values[$name] = $state.Values.$name
        }
    }
    if ($null -ne $state) { $known = @($state.Machines) }
    $all = @($known + $Id | Sort-Object -Unique)
    if ($all.Count -eq $known.Count) { return }
    if (-not $PSCmdlet.ShouldProcess('host', "save the policy to $script:PolicyFile")) { return }
    Write-JsonFile -Path $script:PolicyFile -Value @{ Values = $values; Machines = $all }
}

function Set-ServerPolicy {
    # This weakens device isolation; a plan has to ask for it with allow_policy.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([string[]]$Id)
    if ((Get-CimInstance -ClassName Win32_OperatingSystem).ProductType -eq 1) { return }
    Save-PolicyState -Id $Id
    foreach ($name in $script:PolicyNames) {
        $before = Get-PolicyValue -Name $name
        if ($null -ne $before -and $before -eq 0) {
            Add-Unchanged -Item 'host' -Setting $name -Value '0'
            continue
        }
        if (-not $PSCmdlet.ShouldProcess('host', "${name}: $before -> 0")) { continue }
        if (-not (Test-Path -LiteralPath $script:PolicyKey)) {
            [void](New-Item -Path $script:PolicyKey -Force)
        }
        Set-ItemProperty -LiteralPath $script:PolicyKey -Name $name -Value 0 -Type DWord
        Add-Change -Item 'host' -Setting $name -Before "$before" -After '0'
    }
}

# -- This script

# Adapters that were taken out, and that Hyper-V did not take back.
$script:Lost = 0

function Set-PlanMemory {
    # Memory cannot be relied on to change while an adapter is there: each is taken out, and put
    # back with its values whatever becomes of the change.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $actual = Get-VMMemory -VM $VM
    $wanted = Get-WantedMemory -Machine $Machine
    $different = Compare-Setting -Actual $actual -Wanted $wanted -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $different
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM | ForEach-Object -Process {
        Get-AdapterState -Adapter $_
    })
    foreach ($adapter in $adapters) {
        $text += "; for it remove GPU adapter $($adapter.Id), add it again: $($adapter.Path)"
    }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "memory: $text")) { return }
    $before = Get-ValueOfEach -Actual $actual -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Memory' -Values $different
    $arguments = @{ VM = $VM; DynamicMemoryEnabled = $false }
    if ($different.ContainsKey('Startup')) { $arguments.StartupBytes = $different['Startup'] }
    $removed = @()
    try {
        foreach ($adapter in $adapters) {
            Save-AppliedValue -VM $VM -Group 'Added' -Values @{ "$($adapter.Path)" = 'again' }
            Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id -Confirm:$false
            $removed += $adapter
            Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before $adapter.Id -After 'none'
        }
        Set-VMMemory @arguments
        Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
    } finally {
        foreach ($adapter in $removed) { Restore-Adapter -VM $VM -Adapter $adapter }
    }
    if ($script:Lost -gt 0) { throw "$script:Lost adapters of $($VM.Name) could not be put back" }
}

function Restore-Adapter {
    # One that fails must not keep the next one out, nor hide why the memory stayed as it was.
    param([object]$VM, [object]$Adapter)
    try {
        Add-SavedAdapter -VM $VM -Adapter $Adapter
    } catch {
        $script:Lost++
        $message = "its adapter for $($Adapter.Path) could not be put back: $_"
        Add-Problem -Code 'GPV-ADAPTER-MISSING' -Field $VM.Name -Message $message
    }
}

function Set-PlanProcessor {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $actual = Get-VMProcessor -VM $VM
    $wanted = Get-WantedProcessor -Machine $Machine
    $different = Compare-Setting -Actual $actual -Wanted $wanted -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "processors: $text")) { return }
    $before = Get-ValueOfEach -Actual $actual -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Processor' -Values $different
    Set-VMProcessor -VM $VM -Count $different['Count']
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Set-PlanSetting {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $wanted = Get-WantedSetting -Machine $Machine
    $different = Compare-Setting -Actual $VM -Wanted $wanted -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $VM -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "settings: $text")) { return }
    $before = Get-ValueOfEach -Actual $VM -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Settings' -Values $different
    Set-VM -VM $VM @different
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Remove-OtherAdapter {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object[]]$Gpus)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    foreach ($adapter in @(Select-OtherAdapter -Adapters $adapters -Gpus $Gpus)) {
        $action = "remove GPU adapter $($adapter.Id) $(Get-AdapterPath -Adapter $adapter)"
        if (-not $PSCmdlet.ShouldProcess($VM.Name, $action)) { continue }
        Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id -Confirm:$false
        Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before "$($adapter.Id)" -After 'none'
    }
}

function Add-PlanAdapter {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$Gpu, [hashtable]$Values)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    $present = @()
    if ($adapters.Count -gt 0) {
        $present = @(Select-AdapterOfGpu -Adapters $adapters -Path $Gpu.Name)
    }
    if ($present.Count -gt 0) {
        Add-Unchanged -Item $VM.Name -Setting 'GPU adapter' -Value $Gpu.Name
        Set-PartitionValue -VM $VM -Adapter $present[0] -Values $Values
        return
    }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "add a GPU adapter for $($Gpu.Name)")) { return }
    $arguments = @{ VM = $VM }
    $path = ''
    if (Test-InstancePathSupport) {
        $path = $Gpu.Name
        $arguments.InstancePath = $path
    }
    Save-AppliedValue -VM $VM -Group 'Added' -Values @{ "$path" = 'new' }
    Add-VMGpuPartitionAdapter @arguments @Values
    Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before 'none' -After $Gpu.Name
}

function Set-PartitionValue {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$Adapter, [hashtable]$Values)
    $different = Compare-Setting -Actual $Adapter -Wanted $Values -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $Adapter -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "partition: $text")) { return }
    $before = Get-ValueOfEach -Actual $Adapter -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Adapter' -Values @{ "$($Adapter.Id)" = 'values' }
    Set-VMGpuPartitionAdapter -VM $VM -AdapterId $Adapter.Id @Values
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Invoke-MachineChange {
    # Memory first, adapters last: Hyper-V may refuse the other order.
    param([object]$VM, [hashtable]$Machine, [object[]]$Gpus)
    Save-MachineState -VM $VM
    if ($Machine.RemoveOtherAdapters) { Remove-OtherAdapter -VM $VM -Gpus $Gpus }
    Set-PlanMemory -VM $VM -Machine $Machine
    Set-PlanProcessor -VM $VM -Machine $Machine
    if ($null -ne $Machine.HighMmioBaseMb) {
        Set-GapBase -VM $VM -Megabyte $Machine.HighMmioBaseMb
        # Anew: what Set-VM writes must not be from before the base moved.
        $VM = Get-VM -Id $VM.Id
    }
    Set-PlanSetting -VM $VM -Machine $Machine
    foreach ($gpu in $Gpus) {
        $values = @{}
        if ($null -ne $Machine.Percent) {
            $values = Get-PartitionValue -Gpu $gpu -Percent $Machine.Percent
        }
        Add-PlanAdapter -VM $VM -Gpu $gpu -Values $values
    }
}

function Invoke-Apply {
    # Everything is looked at before anything is changed.
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        $gpus = @(Resolve-PlanGpu -Machine $machine)
        if ($null -eq $vm) { continue }
        Confirm-FinishedMachine -VM $vm
        Confirm-MachineOff -VM $vm
        Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        Confirm-StaticMemory -VM $vm -Machine $machine
        $adapters = @(Get-VMGpuPartitionAdapter -VM $vm)
        if (-not $machine.RemoveOtherAdapters) {
            Confirm-OtherAdapter -VM $vm -Gpus $gpus -Adapters $adapters
        }
        @{ VM = $vm; Machine = $machine; Gpus = $gpus }
    })
    if ($script:Problems.Count -gt 0) { return }
    if ($Plan.AllowPolicy) {
        Set-ServerPolicy -Id @($ready | ForEach-Object -Process { "$($_.VM.Id)" })
    }
    foreach ($item in $ready) {
        Invoke-MachineChange -VM $item.VM -Machine $item.Machine -Gpus $item.Gpus
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    Invoke-Apply
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Write-Report -Script '10-Apply' -ExitCode $exitCode
}
exit $exitCode
