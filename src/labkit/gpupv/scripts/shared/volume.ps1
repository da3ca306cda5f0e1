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

function Mount-GuestVolume {
    param([string]$Path)
    Confirm-OfflineDisk -Path $Path
    Protect-StateFolder
    # Short, since driver files have long paths of their own.
    $name = 'mount-' + [guid]::NewGuid().ToString('N').Substring(0, 8)
    $folder = Join-Path -Path $script:StateFolder -ChildPath $name
    [void][System.IO.Directory]::CreateDirectory($folder)
    $volume = @{ Path = $Path; Folder = $folder; Disk = $null; Partition = $null }
    $volume.Free = [decimal]0
    $volume.Session = $null
    try {
        $mounted = Mount-VHD -Path $Path -NoDriveLetter -Passthru
        $volume.Disk = $mounted.DiskNumber
        if ((ConvertTo-PlainPath -Path $mounted.Path) -ne (ConvertTo-PlainPath -Path $Path)) {
            throw "GPV-VHD-WRONG-PARTITION: $($mounted.Path) was mounted, not $Path"
        }
        Wait-DiskVolume -DiskNumber $volume.Disk
        $partition = Find-WindowsPartition -DiskNumber $volume.Disk -Folder $folder
        $place = @{ DiskNumber = $volume.Disk; PartitionNumber = $partition }
        [void](Add-PartitionAccessPath @place -AccessPath $folder -ErrorAction Stop)
        $volume.Partition = $partition
        Confirm-GuestRoot -Folder $folder
        Confirm-GuestShutdown -Folder $folder
        $own = Get-Partition @place -ErrorAction Stop | Get-Volume -ErrorAction Stop
        $volume.Free = [decimal]$own.SizeRemaining
        $volume
    } catch {
        # The first error is the cause, whatever becomes of the way back.
        $cause = $_
        try {
            Dismount-GuestVolume -Volume $volume
        } catch {
            $message = "it is still mounted in $folder; Dismount-VHD frees it ($_)"
            Add-Note -Code 'GPV-VHD-IN-USE' -Field $Path -Message $message
        }
        throw $cause
    }
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
    } catch [System.UnauthorizedAccessException] {
        $message = 'whether the guest hibernates cannot be read; make sure that it was shut down'
        Add-Note -Code 'GPV-VHD-HIBERNATED' -Field $Folder -Message $message
    }
    if ([System.Text.Encoding]::ASCII.GetString($bytes) -eq 'HIBR') {
        throw 'GPV-VHD-HIBERNATED: the guest hibernates; start it, and run: shutdown /s /t 0'
    }
}

function Dismount-GuestVolume {
    # Each step is tried whatever became of the one before; a disk must not stay mounted.
    param([hashtable]$Volume)
    try {
        if ($null -ne $Volume.Partition) {
            $place = @{ DiskNumber = $Volume.Disk; PartitionNumber = $Volume.Partition }
            $quiet = @{ Confirm = $false; ErrorAction = 'Stop' }
            [void](Remove-PartitionAccessPath @place -AccessPath $Volume.Folder @quiet)
        }
    } finally {
        # By number: a path with brackets in it would be a wildcard.
        if ($null -ne $Volume.Disk) { Dismount-VHD -DiskNumber $Volume.Disk -Confirm:$false }
    }
    # Not recursive: a folder that is still a mount point is not emptied.
    [System.IO.Directory]::Delete($Volume.Folder, $false)
}
