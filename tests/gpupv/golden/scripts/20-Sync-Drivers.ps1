#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Copies the host's driver package of each card into the guest's disk.

.DESCRIPTION
Changes files in the guest's disk, with the machine off: the whole package
below Windows\System32\HostDriverStore, and the files that the driver's own
CopyToVm lists and a short vendor table name in System32 and SysWOW64. A file
that was there before is kept in HostDriverStore\labkit-backup. The manifest
(path, size, SHA-256) is kept on both sides; what an earlier run copied and
this one does not want any more is removed by it.
Undo: 90-Rollback.ps1.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed, 3 the guest's driver is stale (-CheckOnly).

.PARAMETER CheckOnly
Compares the host's packages with the manifest; mounts and changes nothing.

.PARAMETER Json
Writes one JSON object instead of text.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\20-Sync-Drivers.ps1 -CheckOnly
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param([switch]$CheckOnly, [switch]$Json)

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

# -- The guest's Windows volume, mounted in a folder: no drive letter, no partition number

function Find-WindowsPartition {
    # The one partition that holds a Windows; the folder must be empty and is left mounted.
    param([int]$DiskNumber, [string]$Folder)
    $skip = 'System', 'Reserved', 'Recovery'
    $found = @()
    foreach ($partition in @(Get-Partition -DiskNumber $DiskNumber)) {
        if ($skip -contains "$($partition.Type)") { continue }
        $place = @{ DiskNumber = $DiskNumber; PartitionNumber = $partition.PartitionNumber }
        Add-PartitionAccessPath @place -AccessPath $Folder -WhatIf:$false
        try {
            $hive = Join-Path -Path $Folder -ChildPath 'Windows\System32\config\SYSTEM'
            if (Test-Path -LiteralPath $hive -PathType Leaf) { $found += $partition.PartitionNumber }
        } finally {
            Remove-PartitionAccessPath @place -AccessPath $Folder -WhatIf:$false
        }
    }
    if ($found.Count -eq 1) { return $found[0] }
    $reason = 'no partition holds a Windows that can be read; is it locked by BitLocker?'
    if ($found.Count -gt 1) { $reason = "$($found.Count) partitions hold a Windows" }
    throw "GPV-VHD-WRONG-PARTITION: $reason"
}

function Confirm-OfflineDisk {
    # Neither in use, nor a link of a chain, nor another disk than the plan's.
    param([string]$Path)
    $disks = @(Get-VHD -Path $Path)
    if ($disks.Count -ne 1 -or $disks[0].Path -ne $Path) {
        throw "GPV-VHD-WRONG-PARTITION: $Path is not the disk that Hyper-V found for it"
    }
    if ($disks[0].Attached) { throw "GPV-VHD-IN-USE: $Path is in use" }
    if ($disks[0].ParentPath) { throw "GPV-VHD-AVHDX: $Path depends on $($disks[0].ParentPath)" }
}

function Mount-GuestVolume {
    param([string]$Path)
    Confirm-OfflineDisk -Path $Path
    # Short, since driver files have long paths of their own.
    $name = 'mount-' + [guid]::NewGuid().ToString('N').Substring(0, 8)
    $folder = Join-Path -Path $script:StateFolder -ChildPath $name
    [void][System.IO.Directory]::CreateDirectory($folder)
    $volume = @{ Path = $Path; Folder = $folder; Disk = $null; Partition = $null }
    try {
        $mounted = Mount-VHD -Path $Path -NoDriveLetter -Passthru
        if ($mounted.Path -ne $Path) { throw "GPV-VHD-IN-USE: mounted $($mounted.Path)" }
        $volume.Disk = $mounted.DiskNumber
        $partition = Find-WindowsPartition -DiskNumber $volume.Disk -Folder $folder
        $place = @{ DiskNumber = $volume.Disk; PartitionNumber = $partition }
        Add-PartitionAccessPath @place -AccessPath $folder
        $volume.Partition = $partition
        $volume
    } catch {
        Dismount-GuestVolume -Volume $volume
        throw
    }
}

function Dismount-GuestVolume {
    # Each step is tried whatever became of the one before; a disk must not stay mounted.
    param([hashtable]$Volume)
    try {
        if ($null -ne $Volume.Partition) {
            $place = @{ DiskNumber = $Volume.Disk; PartitionNumber = $Volume.Partition }
            Remove-PartitionAccessPath @place -AccessPath $Volume.Folder
        }
    } finally {
        if ($null -ne $Volume.Disk) { Dismount-VHD -Path $Volume.Path }
    }
    # Not recursive: a folder that is still a mount point is not emptied.
    [System.IO.Directory]::Delete($Volume.Folder, $false)
}

function Resolve-GuestPath {
    # A path below the volume. A link in the guest could lead to the host's own files: refused.
    param([string]$Root, [string]$Relative)
    $path = $Root
    foreach ($part in $Relative.Split('\')) {
        if ($part -eq '' -or $part -eq '.' -or $part -eq '..' -or $part.Contains(':')) {
            throw "GPV-DRIVER-OUTSIDE: $Relative is no path inside the guest"
        }
        $path = [System.IO.Path]::Combine($path, $part)
        $item = Get-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
        if ($null -ne $item -and ($item.Attributes -band [System.IO.FileAttributes]::ReparsePoint)) {
            throw "GPV-DRIVER-OUTSIDE: $Relative passes through a link"
        }
    }
    $path
}

# -- Manifest: which files of a guest come from this script set; only those are ever removed

$script:GuestStore = 'Windows\System32\HostDriverStore'
$script:GuestManifest = "$script:GuestStore\labkit-manifest.json"
$script:BackupFolder = "$script:GuestStore\labkit-backup"

function Get-ManifestFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).driver.json"
}

function Remove-GuestFile {
    # Puts the file back that was there before, or deletes; the caller has asked.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([string]$Root, [object]$Entry, [string]$Item)
    $path = Resolve-GuestPath -Root $Root -Relative $Entry.path
    if (-not $PSCmdlet.ShouldProcess($Entry.path, 'take back')) { return }
    if ($Entry.backup) {
        $backup = Resolve-GuestPath -Root $Root -Relative $Entry.backup
        if (Test-Path -LiteralPath $backup -PathType Leaf) {
            Move-Item -LiteralPath $backup -Destination $path -Force
            $folder = [System.IO.Path]::GetDirectoryName($Entry.backup)
            Remove-EmptyFolder -Root $Root -Relative $folder
            Add-Change -Item $Item -Setting $Entry.path -Before 'copied' -After 'as before'
            return
        }
    }
    if (Test-Path -LiteralPath $path -PathType Leaf) {
        Remove-Item -LiteralPath $path -Force
        Add-Change -Item $Item -Setting $Entry.path -Before 'copied' -After 'removed'
    }
    Remove-EmptyFolder -Root $Root -Relative ([System.IO.Path]::GetDirectoryName($Entry.path))
}

function Remove-EmptyFolder {
    # Upwards, below HostDriverStore only, and only while a folder holds nothing.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([string]$Root, [string]$Relative)
    while ($Relative.StartsWith("$script:GuestStore\", [StringComparison]::OrdinalIgnoreCase)) {
        $folder = Resolve-GuestPath -Root $Root -Relative $Relative
        if (@(Get-ChildItem -LiteralPath $folder -Force).Count -gt 0) { return }
        if (-not $PSCmdlet.ShouldProcess($Relative, 'remove the empty folder')) { return }
        Remove-Item -LiteralPath $folder -Force
        $Relative = [System.IO.Path]::GetDirectoryName($Relative)
    }
}

# -- Driver package: the one of this very card, and the files that it wants in the guest

$script:CopyLists = [ordered]@{
    CopyToVmOverwrite = @('System32', 'overwrite')
    CopyToVmWhenNewer = @('System32', 'newer')
    CopyToVmOverwriteWow64 = @('SysWOW64', 'overwrite')
    CopyToVmWhenNewerWow64 = @('SysWOW64', 'newer')
}

function Get-DeviceValue {
    param([string]$PnpId, [string]$KeyName)
    $property = Get-PnpDeviceProperty -InstanceId $PnpId -KeyName $KeyName
    if (-not $property.Data) { throw "GPV-DRIVER-UNRESOLVED: $PnpId has no $KeyName" }
    "$($property.Data)"
}

function Get-DriverPackage {
    # By Plug and Play id: two cards may share a name, and old packages stay in the store.
    param([string]$InstancePath)
    $pnpId = ConvertTo-PnpId -InstancePath $InstancePath
    $inf = Get-DeviceValue -PnpId $pnpId -KeyName 'DEVPKEY_Device_DriverInfPath'
    $drivers = @(Get-WindowsDriver -Online | Where-Object -FilterScript { $_.Driver -eq $inf })
    $folders = @($drivers | ForEach-Object -Process {
        [System.IO.Path]::GetDirectoryName($_.OriginalFileName)
    } | Sort-Object -Unique)
    if ($folders.Count -ne 1) {
        throw "GPV-DRIVER-UNRESOLVED: $($folders.Count) packages belong to $inf"
    }
    $store = Join-Path -Path $env:windir -ChildPath 'System32\DriverStore\FileRepository'
    if ([System.IO.Path]::GetDirectoryName($folders[0]) -ne $store) {
        throw "GPV-DRIVER-UNRESOLVED: $($folders[0]) is not in the driver store"
    }
    @{
        Folder = $folders[0]
        Name = [System.IO.Path]::GetFileName($folders[0])
        Inf = $inf
        Version = "$($drivers[0].Version)"
        ClassKey = Get-DeviceValue -PnpId $pnpId -KeyName 'DEVPKEY_Device_Driver'
        InstancePath = $InstancePath
    }
}

function Get-CopyRule {
    # The driver's own lists in the card's class key, and one level below it.
    param([hashtable]$Package)
    $root = "HKLM:\SYSTEM\CurrentControlSet\Control\Class\$($Package.ClassKey)"
    $keys = @(Get-Item -LiteralPath $root)
    $keys += @(Get-ChildItem -LiteralPath $root -ErrorAction SilentlyContinue)
    foreach ($key in $keys) {
        foreach ($list in $script:CopyLists.Keys) {
            $path = Join-Path -Path $key.PSPath -ChildPath $list
            if (-not (Test-Path -LiteralPath $path)) { continue }
            $values = Get-Item -LiteralPath $path
            foreach ($name in $values.GetValueNames()) {
                $pair = @($values.GetValue($name))
                $target = ''
                if ($pair.Count -gt 1) { $target = "$($pair[1])" }
                ConvertTo-FileRule -Package $Package -Source "$($pair[0])" -Target $target -List $list
            }
        }
    }
}

function ConvertTo-FileRule {
    # A source inside the package, a target that is a bare name; anything else is refused.
    param([hashtable]$Package, [string]$Source, [string]$Target, [string]$List)
    if ($Target -eq '') { $Target = $Source.Split('\')[-1] }
    $odd = $Source.Contains(':') -or $Source.StartsWith('\') -or $Source.Split('\') -contains '..'
    if ($odd -or $Target -match '[\\/:*?"<>|]' -or $Target -match '^\.*$') {
        throw "GPV-DRIVER-OUTSIDE: the driver wants '$Source' copied to '$Target'"
    }
    $folder, $rule = $script:CopyLists[$List]
    @{
        Source = Join-Path -Path $Package.Folder -ChildPath $Source
        Path = "Windows\$folder\$Target"
        Rule = $rule
    }
}

function Get-VendorRule {
    # Files that applications load by name and that the vendor's lists leave out.
    param([hashtable]$Package)
    $vendor = ''
    if ($Package.InstancePath -match 'VEN_([0-9A-F]{4})') { $vendor = "$($Matches[1])" }
    if (-not $script:VendorFiles.ContainsKey($vendor)) { return }
    foreach ($line in $script:VendorFiles[$vendor]) {
        $folder, $source, $target = $line.Split(' ')
        $file = Join-Path -Path $Package.Folder -ChildPath $source
        if (Test-Path -LiteralPath $file -PathType Leaf) {
            @{ Source = $file; Path = "Windows\$folder\$target"; Rule = 'vendor table' }
        }
    }
}

function Get-PackageFile {
    # The whole package, in the folder of the same name below HostDriverStore.
    param([hashtable]$Package)
    $below = "$script:GuestStore\FileRepository\$($Package.Name)"
    foreach ($file in @(Get-ChildItem -LiteralPath $Package.Folder -Recurse -File -Force)) {
        $relative = $file.FullName.Substring($Package.Folder.Length + 1)
        @{ Source = $file.FullName; Path = "$below\$relative"; Rule = 'package' }
    }
}

function Get-WantedFile {
    # The driver's own rules come before the vendor table; the first rule for a path holds.
    param([hashtable]$Package)
    $seen = @{}
    $rules = @(Get-PackageFile -Package $Package)
    $rules += @(Get-CopyRule -Package $Package)
    $rules += @(Get-VendorRule -Package $Package)
    foreach ($rule in $rules) {
        if ($seen.ContainsKey($rule.Path)) { continue }
        $seen[$rule.Path] = $true
        if (-not (Test-Path -LiteralPath $rule.Source -PathType Leaf)) { continue }
        $rule
    }
}

$script:VendorFiles = @{
    '10DE' = @(
        'System32 nvapi64.dll nvapi64.dll',
        'System32 nvcuda_loader64.dll nvcuda.dll',
        'System32 nvcudadebugger.dll nvcudadebugger.dll',
        'System32 nvcuvid64.dll nvcuvid.dll',
        'System32 nvEncodeAPI64.dll nvEncodeAPI64.dll',
        'System32 nvml_loader.dll nvml.dll',
        'System32 nvofapi64.dll nvofapi64.dll',
        'System32 NvFBC64.dll NvFBC64.dll',
        'System32 NvIFR64.dll NvIFR64.dll',
        'System32 OpenCL64.dll OpenCL.dll',
        'System32 vulkan-1-x64.dll vulkan-1.dll',
        'System32 vulkaninfo-x64.exe vulkaninfo.exe',
        'System32 nvidia-smi.exe nvidia-smi.exe',
        'SysWOW64 nvapi.dll nvapi.dll',
        'SysWOW64 nvcuda_loader32.dll nvcuda.dll',
        'SysWOW64 nvcuvid32.dll nvcuvid.dll',
        'SysWOW64 nvEncodeAPI.dll nvEncodeAPI.dll',
        'SysWOW64 nvofapi.dll nvofapi.dll',
        'SysWOW64 OpenCL32.dll OpenCL.dll',
        'SysWOW64 vulkan-1-x86.dll vulkan-1.dll'
    )
    '8086' = @(
        'System32 ControlLib.dll ControlLib.dll',
        'System32 intel_gfx_api-x64.dll intel_gfx_api-x64.dll',
        'System32 mfx_loader_dll_hw64.dll libmfxhw64.dll',
        'System32 vpl_dispatcher_64.dll libvpl.dll',
        'System32 vulkan-1-64.dll vulkan-1.dll',
        'System32 ze_loader.dll ze_loader.dll',
        'System32 ze_tracing_layer.dll ze_tracing_layer.dll',
        'System32 ze_validation_layer.dll ze_validation_layer.dll',
        'SysWOW64 ControlLib32.dll ControlLib32.dll',
        'SysWOW64 intel_gfx_api-x86.dll intel_gfx_api-x86.dll',
        'SysWOW64 mfx_loader_dll_hw32.dll libmfxhw32.dll',
        'SysWOW64 vpl_dispatcher_32.dll libvpl.dll',
        'SysWOW64 vulkan-1-32.dll vulkan-1.dll'
    )
    '1002' = @(
        'System32 atidxxstub64.dll atidxx64.dll',
        'System32 amdxcstub64.dll amdxc64.dll',
        'System32 amfrt64.dll amfrt64.dll',
        'System32 atiadlxx.dll atiadlxx.dll',
        'System32 amdadlx64.dll amdadlx64.dll',
        'System32 vulkan64.dll vulkan-1.dll',
        'SysWOW64 atidxxstub32.dll atidxx32.dll',
        'SysWOW64 amdxcstub32.dll amdxc32.dll',
        'SysWOW64 amfrt32.dll amfrt32.dll',
        'SysWOW64 atiadlxy.dll atiadlxx.dll',
        'SysWOW64 vulkan32.dll vulkan-1.dll'
    )
}

# -- This script

function Confirm-PackageCurrent {
    # By the names of the package folders: each version of a driver has its own.
    param([object]$VM, [object[]]$Packages)
    $manifest = Read-JsonFile -Path (Get-ManifestFile -VM $VM)
    $copied = @()
    if ($null -ne $manifest) { $copied = @($manifest.packages | ForEach-Object -Process { $_.folder }) }
    foreach ($package in $Packages) {
        if ($copied -contains $package.Name) {
            Add-Unchanged -Item $VM.Name -Setting 'driver' -Value $package.Name
        } else {
            $message = "the guest has not the driver $($package.Name); run this without -CheckOnly"
            Add-ManualStep -Item $VM.Name -Message $message
        }
    }
}

function Read-TrustedManifest {
    # The host's copy counts, and only while the guest still has the same one: a fresh Windows
    # on the disk has none, and then nothing in it is ours.
    param([object]$VM, [string]$Root)
    $file = Get-ManifestFile -VM $VM
    $guest = Resolve-GuestPath -Root $Root -Relative $script:GuestManifest
    if (-not (Test-Path -LiteralPath $file) -or -not (Test-Path -LiteralPath $guest)) { return }
    if ([System.IO.File]::ReadAllText($file) -ceq [System.IO.File]::ReadAllText($guest)) {
        Read-JsonFile -Path $file
    }
}

function Test-NewerFile {
    # Programs and libraries by version; the rest, and equal versions, by time.
    param([string]$Source, [string]$Target)
    $new = Get-Item -LiteralPath $Source -Force
    $old = Get-Item -LiteralPath $Target -Force
    if ('.dll', '.exe' -contains $new.Extension) {
        $newVersion = Get-FileVersion -File $new
        $oldVersion = Get-FileVersion -File $old
        if ($newVersion -ne $oldVersion) { return $newVersion -gt $oldVersion }
    }
    $new.LastWriteTimeUtc -gt $old.LastWriteTimeUtc
}

function Get-FileVersion {
    param([System.IO.FileInfo]$File)
    $info = $File.VersionInfo
    New-Object -TypeName System.Version -ArgumentList @(
        $info.FileMajorPart, $info.FileMinorPart, $info.FileBuildPart, $info.FilePrivatePart
    )
}

function Test-CopyNeeded {
    param([hashtable]$Rule, [string]$Target, [string]$Hash, [bool]$Ours)
    if (-not (Test-Path -LiteralPath $Target -PathType Leaf)) { return $true }
    if ((Get-FileHash -LiteralPath $Target -Algorithm SHA256).Hash -eq $Hash) { return $false }
    if ($Ours -or $Rule.Rule -eq 'package' -or $Rule.Rule -eq 'overwrite') { return $true }
    Test-NewerFile -Source $Rule.Source -Target $Target
}

function Copy-WantedFile {
    # Returns the file's entry in the manifest; nothing where the guest keeps its own file.
    param([string]$Root, [hashtable]$Rule, [hashtable]$Old, [string]$Item)
    $target = Resolve-GuestPath -Root $Root -Relative $Rule.Path
    $hash = (Get-FileHash -LiteralPath $Rule.Source -Algorithm SHA256).Hash
    $backup = Find-Backup -Root $Root -Path $Rule.Path
    $ours = $Old.ContainsKey($Rule.Path) -or $backup -ne ''
    if (Test-CopyNeeded -Rule $Rule -Target $target -Hash $hash -Ours $ours) {
        if (-not $ours -and (Test-Path -LiteralPath $target -PathType Leaf)) {
            $backup = "$script:BackupFolder\$($Rule.Path)"
            Copy-GuestFile -Source $target -Target (Resolve-GuestPath -Root $Root -Relative $backup)
        }
        Copy-GuestFile -Source $Rule.Source -Target $target
        if ((Get-FileHash -LiteralPath $target -Algorithm SHA256).Hash -ne $hash) {
            throw "the copy of $($Rule.Path) differs from its source"
        }
        Add-Change -Item $Item -Setting $Rule.Path -Before 'absent or other' -After $Rule.Rule
    } elseif (-not $ours -and $Rule.Rule -ne 'package') {
        return
    }
    $size = (Get-Item -LiteralPath $Rule.Source -Force).Length
    [ordered]@{ path = $Rule.Path; size = $size; sha256 = $hash; rule = $Rule.Rule; backup = $backup }
}

function Find-Backup {
    # A backup is there only if an earlier run replaced the file: the first one is kept.
    param([string]$Root, [string]$Path)
    $backup = "$script:BackupFolder\$Path"
    $file = Resolve-GuestPath -Root $Root -Relative $backup
    if (Test-Path -LiteralPath $file -PathType Leaf) { return $backup }
    return ''
}

function Copy-GuestFile {
    param([string]$Source, [string]$Target)
    [void][System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName($Target))
    Copy-Item -LiteralPath $Source -Destination $Target -Force
}

function Confirm-FreeSpace {
    # What is to be copied at most, against what the guest's volume has left.
    param([hashtable]$Volume, [object[]]$Rules)
    $size = [decimal]0
    foreach ($rule in $Rules) { $size += (Get-Item -LiteralPath $rule.Source -Force).Length }
    $place = @{ DiskNumber = $Volume.Disk; PartitionNumber = $Volume.Partition }
    $free = (Get-Partition @place | Get-Volume).SizeRemaining
    if ($size -gt $free) {
        throw "GPV-DISK-SPACE: the driver has $size bytes, the guest's volume $free left"
    }
}

function Invoke-GuestCopy {
    # The manifest is written also after an error: what was copied until then stays known.
    param([hashtable]$Volume, [object]$VM, [object[]]$Packages, [object[]]$Rules)
    $root = $Volume.Folder
    $manifest = Read-TrustedManifest -VM $VM -Root $root
    $old = @{}
    if ($null -eq $manifest) {
        Confirm-FreeSpace -Volume $Volume -Rules $Rules
    } else {
        foreach ($entry in @($manifest.files)) { $old[$entry.path] = $entry }
    }
    $left = $old.Clone()
    $files = New-Object -TypeName System.Collections.ArrayList
    $complete = @()
    try {
        foreach ($rule in $Rules) {
            $entry = Copy-WantedFile -Root $root -Rule $rule -Old $old -Item $VM.Name
            if ($null -eq $entry) { continue }
            [void]$files.Add($entry)
            $left.Remove($rule.Path)
        }
        foreach ($path in @($left.Keys)) {
            Remove-GuestFile -Root $root -Entry $left[$path] -Item $VM.Name -Confirm:$false
            $left.Remove($path)
        }
        $complete = $Packages
    } finally {
        $known = @($files) + @($left.Values)
        Save-DriverManifest -VM $VM -Root $root -Packages $complete -Files $known
    }
}

function Save-DriverManifest {
    param([object]$VM, [string]$Root, [object[]]$Packages, [object[]]$Files)
    $known = @(foreach ($package in $Packages) {
        [ordered]@{
            folder = $package.Name
            inf = $package.Inf
            version = $package.Version
            instance_path = $package.InstancePath
        }
    })
    $file = Get-ManifestFile -VM $VM
    $value = [ordered]@{ plan = $Plan.Hash; packages = $known; files = $Files }
    Write-JsonFile -Path $file -Value $value
    $guest = Resolve-GuestPath -Root $Root -Relative $script:GuestManifest
    Copy-GuestFile -Source $file -Target $guest
}

function Sync-GuestDriver {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [string]$Vhdx, [object[]]$Packages)
    $rules = @(foreach ($package in $Packages) { Get-WantedFile -Package $package })
    $names = @($Packages | ForEach-Object -Process { $_.Name }) -join ', '
    $action = "copy what differs of $($rules.Count) files ($names) into $Vhdx"
    if (-not $PSCmdlet.ShouldProcess($VM.Name, $action)) { return }
    $volume = Mount-GuestVolume -Path $Vhdx
    try {
        Invoke-GuestCopy -Volume $volume -VM $VM -Packages $Packages -Rules $rules
    } finally {
        Dismount-GuestVolume -Volume $volume
    }
}

function Invoke-DriverSync {
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        $gpus = @(Resolve-PlanGpu -Machine $machine)
        if ($null -eq $vm) { continue }
        if (-not $CheckOnly) {
            Confirm-MachineOff -VM $vm
            Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        }
        $packages = @(foreach ($gpu in $gpus) { Get-DriverPackage -InstancePath $gpu.Name })
        @{ VM = $vm; Vhdx = $machine.Vhdx; Packages = $packages }
    })
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $ready) {
        if ($CheckOnly) {
            Confirm-PackageCurrent -VM $item.VM -Packages $item.Packages
        } else {
            Sync-GuestDriver -VM $item.VM -Vhdx $item.Vhdx -Packages $item.Packages
        }
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Invoke-DriverSync
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
} finally {
    Write-Report -Script '20-Sync-Drivers' -ExitCode $exitCode
}
exit $exitCode
