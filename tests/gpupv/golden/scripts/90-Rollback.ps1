#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Puts back what 10-Apply, 40-Display and 20-Sync-Drivers found and changed.

.DESCRIPTION
Reads the state saved in C:\ProgramData\labkit\gpupv. In this order: adapters,
settings, adapters that were there before, driver files of the guest (exactly
those of the manifest), and the server policy. A state that was put back is
renamed to *.restored; running 10-Apply again saves a new one.
Run this before you take a card out of the host: an adapter whose card is
gone cannot be removed any more.
Undo: run 10-Apply again.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed.

.PARAMETER Json
Writes one JSON object instead of text.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\90-Rollback.ps1 -WhatIf
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

# -- Server policy: two values that refuse paravirtual cards unless they are 0

$script:PolicyKey = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\HyperV'
$script:PolicyNames = 'RequireSecureDeviceAssignment', 'RequireSupportedDeviceAssignment'
$script:PolicyFile = Join-Path -Path $script:StateFolder -ChildPath 'policy.state.json'

function Get-PolicyValue {
    param([string]$Name)
    if (Test-Path -LiteralPath $script:PolicyKey) {
        (Get-Item -LiteralPath $script:PolicyKey).GetValue($Name)
    }
}

function Save-PolicyState {
    [CmdletBinding(SupportsShouldProcess = $true)]
    param()
    if (Test-Path -LiteralPath $script:PolicyFile) { return }
    if (-not $PSCmdlet.ShouldProcess('host', "save the policy to $script:PolicyFile")) { return }
    $state = @{}
    foreach ($name in $script:PolicyNames) { $state[$name] = Get-PolicyValue -Name $name }
    Write-JsonFile -Path $script:PolicyFile -Value $state
}

function Set-ServerPolicy {
    # This weakens device isolation; a plan has to ask for it with allow_policy.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param()
    if ((Get-CimInstance -ClassName Win32_OperatingSystem).ProductType -eq 1) { return }
    Save-PolicyState
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

function Reset-ServerPolicy {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param()
    $state = Read-JsonFile -Path $script:PolicyFile
    if ($null -eq $state) { return }
    foreach ($name in $script:PolicyNames) {
        $old = $state.$name
        if (-not $PSCmdlet.ShouldProcess('host', "put $name back to '$old'")) { return }
        if ($null -eq $old) {
            Remove-ItemProperty -LiteralPath $script:PolicyKey -Name $name -ErrorAction SilentlyContinue
        } else {
            Set-ItemProperty -LiteralPath $script:PolicyKey -Name $name -Value $old -Type DWord
        }
        Add-Change -Item 'host' -Setting $name -Before '0' -After "$old"
    }
    Move-Item -LiteralPath $script:PolicyFile -Destination "$script:PolicyFile.restored" -Force
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

# -- This script

# Set where a question was answered with no: the saved state is then kept.
$script:Declined = $false

function Remove-NewAdapter {
    # By Id: the adapters that were not there when the state was saved.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $old = @($State.Adapters | ForEach-Object -Process { $_.Id })
    foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        if ($old -contains "$($adapter.Id)") { continue }
        if (-not $PSCmdlet.ShouldProcess($VM.Name, "remove GPU adapter $($adapter.Id)")) {
            $script:Declined = $true
            continue
        }
        Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id
        Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before "$($adapter.Id)" -After 'none'
    }
}

function Reset-MachineSetting {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    if (-not $PSCmdlet.ShouldProcess($VM.Name, 'put back settings, memory, processors, video')) {
        $script:Declined = $true
        return
    }
    $old = $State.Settings
    $settings = @{
        VM = $VM
        GuestControlledCacheTypes = ($old.GuestControlledCacheTypes -eq 'True')
        LowMemoryMappedIoSpace = [uint32]$old.LowMemoryMappedIoSpace
        HighMemoryMappedIoSpace = [uint64]$old.HighMemoryMappedIoSpace
        AutomaticCheckpointsEnabled = ($old.AutomaticCheckpointsEnabled -eq 'True')
        CheckpointType = $old.CheckpointType
        AutomaticStopAction = $old.AutomaticStopAction
    }
    Set-VM @settings
    Reset-MachineMemory -VM $VM -Old $State.Memory
    Set-VMProcessor -VM $VM -Count ([int64]$State.Processor.Count)
    $video = @{
        ResolutionType = $State.Video.ResolutionType
        HorizontalResolution = [uint16]$State.Video.HorizontalResolution
        VerticalResolution = [uint16]$State.Video.VerticalResolution
    }
    Set-VMVideo -VM $VM @video
    Add-Change -Item $VM.Name -Setting 'settings' -Before 'as planned' -After 'as saved'
}

function Reset-MachineMemory {
    # Left alone where it did not change: an adapter that stays may forbid any change.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM, [object]$Old)
    $actual = Get-VMMemory -VM $VM
    $dynamic = $Old.DynamicMemoryEnabled -eq 'True'
    $names = @('DynamicMemoryEnabled', 'Startup')
    if ($dynamic) { $names += 'Minimum', 'Maximum' }
    $same = @($names | Where-Object -FilterScript { "$($actual.$_)" -eq $Old.$_ })
    if ($same.Count -eq $names.Count) { return }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "memory: $($Old.Startup)")) { return }
    $memory = @{
        VM = $VM
        DynamicMemoryEnabled = $dynamic
        StartupBytes = [int64]$Old.Startup
    }
    if ($dynamic) {
        $memory.MinimumBytes = [int64]$Old.Minimum
        $memory.MaximumBytes = [int64]$Old.Maximum
    }
    Set-VMMemory @memory
}

function Add-OldAdapter {
    # What 10-Apply removed: the same card with the same values, under a new Id.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $present = @(Get-VMGpuPartitionAdapter -VM $VM | ForEach-Object -Process { "$($_.Id)" })
    foreach ($old in @($State.Adapters)) {
        if ($present -contains $old.Id) { continue }
        if (-not $PSCmdlet.ShouldProcess($VM.Name, "add GPU adapter $($old.Path)")) {
            $script:Declined = $true
            continue
        }
        $arguments = @{ VM = $VM }
        if ($old.Path) { $arguments.InstancePath = $old.Path }
        foreach ($value in $old.Values.PSObject.Properties) {
            if ($value.Value -ne '') { $arguments[$value.Name] = [uint64]$value.Value }
        }
        Add-VMGpuPartitionAdapter @arguments
        Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before 'none' -After $old.Path
    }
}

function Remove-GuestDriver {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [string]$Vhdx)
    $file = Get-ManifestFile -VM $VM
    $manifest = Read-JsonFile -Path $file
    if ($null -eq $manifest) { return }
    $count = @($manifest.files).Count
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "take back $count driver files in $Vhdx")) {
        $script:Declined = $true
        return
    }
    $volume = Mount-GuestVolume -Path $Vhdx
    try {
        foreach ($entry in @($manifest.files)) {
            Remove-GuestFile -Root $volume.Folder -Entry $entry -Item $VM.Name -Confirm:$false
        }
        $own = Resolve-GuestPath -Root $volume.Folder -Relative $script:GuestManifest
        if (Test-Path -LiteralPath $own) { Remove-Item -LiteralPath $own -Force }
    } finally {
        Dismount-GuestVolume -Volume $volume
    }
    Move-Item -LiteralPath $file -Destination "$file.restored" -Force
}

function Complete-Rollback {
    # Only a state that was wholly put back is set aside.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM)
    $file = Get-StateFile -VM $VM
    if ($PSCmdlet.ShouldProcess($file, 'rename to *.restored')) {
        Move-Item -LiteralPath $file -Destination "$file.restored" -Force
    }
}

function Invoke-Rollback {
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        if ($null -eq $vm) { continue }
        Confirm-MachineOff -VM $vm
        Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        $state = Read-JsonFile -Path (Get-StateFile -VM $vm)
        @{ VM = $vm; State = $state; Vhdx = $machine.Vhdx }
    })
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $ready) {
        $script:Declined = $false
        if ($null -eq $item.State) {
            Add-Unchanged -Item $item.VM.Name -Setting 'settings' -Value 'no saved state'
        } else {
            Remove-NewAdapter -VM $item.VM -State $item.State
            Reset-MachineSetting -VM $item.VM -State $item.State
            Add-OldAdapter -VM $item.VM -State $item.State
        }
        Remove-GuestDriver -VM $item.VM -Vhdx $item.Vhdx
        if ($null -ne $item.State -and -not $script:Declined) { Complete-Rollback -VM $item.VM }
    }
    Reset-ServerPolicy
}

$exitCode = 1
try {
    Confirm-WideProcess
    Invoke-Rollback
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
} finally {
    Write-Report -Script '90-Rollback' -ExitCode $exitCode
}
exit $exitCode
