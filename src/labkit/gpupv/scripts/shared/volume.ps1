# -- The guest's Windows volume, mounted in a folder: no drive letter, no partition number

function Wait-DiskVolume {
    # Volumes appear a little after their disk; one without a volume by then has none.
    param([int]$DiskNumber)
    for ($waits = 0; $waits -lt 20; $waits++) {
        $partitions = @(Get-Partition -DiskNumber $DiskNumber -ErrorAction SilentlyContinue)
        $basic = @($partitions | Where-Object -FilterScript {
            'System', 'Reserved', 'Recovery' -notcontains "$($_.Type)"
        })
        $volumes = @($basic | ForEach-Object -Process {
            $_ | Get-Volume -ErrorAction SilentlyContinue
        })
        if ($basic.Count -gt 0 -and $volumes.Count -eq $basic.Count) { return }
        Start-Sleep -Milliseconds 250
    }
}

function Find-WindowsPartition {
    # The one partition that holds a Windows; the folder is empty before and after.
    param([int]$DiskNumber, [string]$Folder)
    $skip = 'System', 'Reserved', 'Recovery'
    $blank = 0
    $found = @()
    foreach ($partition in @(Get-Partition -DiskNumber $DiskNumber -ErrorAction Stop)) {
        if ($skip -contains "$($partition.Type)") { continue }
        $own = @($partition | Get-Volume -ErrorAction SilentlyContinue)
        if ($own.Count -eq 0 -or "$($own[0].FileSystem)" -eq '') {
            $blank++
            continue
        }
        $number = $partition.PartitionNumber
        if (Test-WindowsPartition -DiskNumber $DiskNumber -Number $number -Folder $Folder) {
            $found += $number
        }
    }
    if ($found.Count -eq 1) { return $found[0] }
    if ($found.Count -gt 1) {
        throw "GPV-VHD-WRONG-PARTITION: $($found.Count) partitions hold a Windows"
    }
    if ($blank -gt 0) {
        throw 'GPV-VHD-BITLOCKER: its file system cannot be read; use -Transport Direct'
    }
    throw 'GPV-VHD-WRONG-PARTITION: no partition holds a Windows'
}

function Test-WindowsPartition {
    param([int]$DiskNumber, [int]$Number, [string]$Folder)
    $place = @{ DiskNumber = $DiskNumber; PartitionNumber = $Number; AccessPath = $Folder }
    $quiet = @{ Confirm = $false; ErrorAction = 'Stop' }
    [void](Add-PartitionAccessPath @place -ErrorAction Stop)
    try {
        $hive = Join-Path -Path $Folder -ChildPath 'Windows\System32\config\SYSTEM'
        Test-Path -LiteralPath $hive -PathType Leaf
    } finally {
        [void](Remove-PartitionAccessPath @place @quiet)
    }
}

function Confirm-OfflineDisk {
    # Neither in use, nor a link of a chain, nor another disk than the plan's.
    param([string]$Path)
    $disks = @(Get-VHD -Path $Path)
    $plain = ConvertTo-PlainPath -Path $Path
    if ($disks.Count -ne 1 -or (ConvertTo-PlainPath -Path $disks[0].Path) -ne $plain) {
        throw "GPV-VHD-WRONG-PARTITION: $Path is not the disk that Hyper-V found for it"
    }
    if ($disks[0].Attached) { throw "GPV-VHD-IN-USE: $Path is in use" }
    if ($disks[0].ParentPath) { throw "GPV-VHD-AVHDX: $Path depends on $($disks[0].ParentPath)" }
}

function Get-OfflineVolume {
    # What its caller knows before the mount, so as to undo what of it Ctrl-C leaves behind.
    param([string]$Path)
    @{
        Path = $Path
        Folder = ''
        Mounting = $false
        Disk = $null
        Partition = $null
        Free = [decimal]0
        Session = $null
    }
}

function Mount-GuestVolume {
    # Within `try`: the caller's `finally` dismounts, however far this came.
    param([hashtable]$Volume)
    $path = $Volume.Path
    Confirm-OfflineDisk -Path $path
    Protect-StateFolder
    # Short, since driver files have long paths of their own.
    $name = 'mount-' + [guid]::NewGuid().ToString('N').Substring(0, 8)
    $Volume.Folder = Join-Path -Path $script:StateFolder -ChildPath $name
    [void][System.IO.Directory]::CreateDirectory($Volume.Folder)
    $Volume.Mounting = $true
    try {
        $mounted = Mount-VHD -Path $path -NoDriveLetter -Passthru
    } catch {
        # Nothing was mounted here: who has it by now, keeps it.
        $Volume.Mounting = $false
        throw
    }
    $Volume.Disk = $mounted.DiskNumber
    if ((ConvertTo-PlainPath -Path $mounted.Path) -ne (ConvertTo-PlainPath -Path $path)) {
        throw "GPV-VHD-WRONG-PARTITION: $($mounted.Path) was mounted, not $path"
    }
    Wait-DiskVolume -DiskNumber $Volume.Disk
    $partition = Find-WindowsPartition -DiskNumber $Volume.Disk -Folder $Volume.Folder
    $place = @{ DiskNumber = $Volume.Disk; PartitionNumber = $partition }
    [void](Add-PartitionAccessPath @place -AccessPath $Volume.Folder -ErrorAction Stop)
    $Volume.Partition = $partition
    Confirm-GuestRoot -Folder $Volume.Folder
    Confirm-GuestShutdown -Folder $Volume.Folder
    $own = Get-Partition @place -ErrorAction Stop | Get-Volume -ErrorAction Stop
    $Volume.Free = [decimal]$own.SizeRemaining
}

function Confirm-GuestRoot {
    # What is copied would else land in this folder of the host.
    param([string]$Folder)
    $hive = Join-Path -Path $Folder -ChildPath 'Windows\System32\config\SYSTEM'
    if (-not (Test-Path -LiteralPath $hive -PathType Leaf)) {
        throw 'GPV-VHD-WRONG-PARTITION: the volume with Windows could not be mounted'
    }
}

function Confirm-GuestShutdown {
    # A Windows that sleeps on its disk (hibernation, fast start) goes on with what it knew of the
    # files: what is written meanwhile is lost, or damages the volume.
    param([string]$Folder)
    $file = Join-Path -Path $Folder -ChildPath 'hiberfil.sys'
    # By .NET: the file is hidden, and a system's.
    if (-not [System.IO.File]::Exists($file)) { return }
    $bytes = New-Object -TypeName byte[] -ArgumentList 4
    try {
        $stream = [System.IO.File]::OpenRead($file)
        try { [void]$stream.Read($bytes, 0, 4) } finally { $stream.Dispose() }
    } catch {
        $message = "whether the guest hibernates cannot be read ($_)"
        throw "GPV-VHD-HIBERNATED: $message; use -Transport Direct, with the guest running"
    }
    if ([System.Text.Encoding]::ASCII.GetString($bytes) -eq 'HIBR') {
        throw 'GPV-VHD-HIBERNATED: the guest hibernates; start it, and run: shutdown /s /t 0'
    }
}

function Get-MountedDisk {
    # Ctrl-C can come after the disk is attached and before its number is here.
    param([hashtable]$Volume)
    if ($null -ne $Volume.Disk) { return $Volume.Disk }
    if (-not $Volume.Mounting) { return }
    $disk = Get-VHD -Path $Volume.Path
    if ($disk.Attached) { $disk.DiskNumber }
}

function Dismount-GuestVolume {
    # Each step is tried whatever became of the one before; a disk must not stay mounted. A
    # failure here is reported and no more: an error before it is the cause, and is to be told.
    param([hashtable]$Volume)
    if ($Volume.Folder -eq '') { return }
    try {
        try {
            if ($null -ne $Volume.Partition) {
                $place = @{ DiskNumber = $Volume.Disk; PartitionNumber = $Volume.Partition }
                $quiet = @{ Confirm = $false; ErrorAction = 'Stop' }
                [void](Remove-PartitionAccessPath @place -AccessPath $Volume.Folder @quiet)
            }
        } finally {
            # By number: a path with brackets in it would be a wildcard.
            $disk = Get-MountedDisk -Volume $Volume
            if ($null -ne $disk) { Dismount-VHD -DiskNumber $disk -Confirm:$false }
        }
        # Not recursive: a folder that is still a mount point is not emptied.
        [System.IO.Directory]::Delete($Volume.Folder, $false)
    } catch {
        $message = "it may still be mounted in $($Volume.Folder); Dismount-VHD frees it ($_)"
        Add-Problem -Code 'GPV-VHD-IN-USE' -Field $Volume.Path -Message $message
    }
}
