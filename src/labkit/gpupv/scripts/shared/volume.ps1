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
