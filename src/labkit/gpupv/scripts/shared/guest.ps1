# -- Files of a guest. These functions work below a root, by names alone: that of a volume which
# -- is mounted on the host, or, sent there by PowerShell Direct, that of the running guest.

function Get-GuestFolder {
    # Everything that is kept beside the driver lies below HostDriverStore.
    param([string]$Name)
    $store = 'Windows\System32\HostDriverStore'
    if ($Name) { return "$store\$Name" }
    $store
}

function Resolve-GuestPath {
    # A path below the root. A link in the guest could lead to the host's own files: refused.
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

function Get-FileVersion {
    param([System.IO.FileInfo]$File)
    $info = $File.VersionInfo
    New-Object -TypeName System.Version -ArgumentList @(
        $info.FileMajorPart, $info.FileMinorPart, $info.FileBuildPart, $info.FilePrivatePart
    )
}

function Test-NewerFile {
    # Programs and libraries by version; the rest, and equal versions, by time.
    param([hashtable]$Wanted, [string]$Target)
    $old = Get-Item -LiteralPath $Target -Force
    if ('.dll', '.exe' -contains $old.Extension) {
        $newVersion = New-Object -TypeName System.Version -ArgumentList "$($Wanted.Version)"
        $oldVersion = Get-FileVersion -File $old
        if ($newVersion -ne $oldVersion) { return $newVersion -gt $oldVersion }
    }
    [int64]$Wanted.Ticks -gt $old.LastWriteTimeUtc.Ticks
}

function Compare-GuestFile {
    # For each wanted file: copy, same, or keep (the guest's own is newer); SHA-256 decides. Ours is
    # only what is still as it was copied: a file that something replaced since is the guest's own.
    param([string]$Root, [object[]]$Files)
    foreach ($file in $Files) {
        $target = Resolve-GuestPath -Root $Root -Relative $file.Path
        $backup = Get-BackupName -Relative $file.Path
        if ($file.Backup) { $backup = $file.Backup }
        $saved = Resolve-GuestPath -Root $Root -Relative $backup
        $kept = Test-Path -LiteralPath $saved -PathType Leaf
        $found = @{ Path = $file.Path; Action = 'copy'; Backup = ''; Hash = ''; Ours = $true }
        if ($kept) { $found.Backup = $backup }
        if (Test-Path -LiteralPath $target -PathType Leaf) {
            $found.Hash = (Get-FileHash -LiteralPath $target -Algorithm SHA256 -ErrorAction Stop).Hash
            $same = $found.Hash -eq $file.Hash
            $found.Ours = $file.Known -contains $found.Hash -or ($kept -and $same)
            $always = $found.Ours -or 'package', 'overwrite' -contains $file.Rule
            if ($same) {
                $found.Action = 'same'
            } elseif (-not $always -and -not (Test-NewerFile -Wanted $file -Target $target)) {
                $found.Action = 'keep'
            } elseif (-not $found.Ours) {
                $found.Backup = Get-BackupPath -Root $Root -Relative $file.Path
            }
        }
        $found
    }
}

function Get-BackupName {
    # What is in HostDriverStore already is named from there: the path of a driver's own file is
    # long, and its backup's must not pass 260 characters where it does not.
    param([string]$Relative)
    $store = "$(Get-GuestFolder)\"
    if ($Relative.StartsWith($store, [StringComparison]::OrdinalIgnoreCase)) {
        $Relative = $Relative.Substring($store.Length)
    }
    "$(Get-GuestFolder -Name 'labkit-backup')\$Relative"
}

function Get-BackupPath {
    # A name that is free: what an earlier run has put aside is never overwritten.
    param([string]$Root, [string]$Relative)
    $first = Get-BackupName -Relative $Relative
    $backup = $first
    $number = 1
    while (Test-Path -LiteralPath (Resolve-GuestPath -Root $Root -Relative $backup)) {
        $number++
        $backup = "$first.$number"
    }
    $backup
}

function Move-GuestFile {
    param([string]$Root, [string]$From, [string]$To)
    $source = Resolve-GuestPath -Root $Root -Relative $From
    $target = Resolve-GuestPath -Root $Root -Relative $To
    [void][System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName($target))
    [System.IO.File]::Move($source, $target)
}

function Get-AsidePath {
    "$(Get-GuestFolder -Name 'labkit-work')\$([guid]::NewGuid().ToString('N'))"
}

function Install-GuestFile {
    # From the work folder to its place. What is there is moved away, to the backup unless it is
    # ours: a library in use can be renamed, but neither overwritten nor deleted.
    param([string]$Root, [string]$Staged, [hashtable]$Wanted)
    $new = Resolve-GuestPath -Root $Root -Relative $Staged
    if ((Get-FileHash -LiteralPath $new -Algorithm SHA256 -ErrorAction Stop).Hash -ne $Wanted.Hash) {
        throw "the copy of $($Wanted.Path) differs from its source"
    }
    $target = Resolve-GuestPath -Root $Root -Relative $Wanted.Path
    $aside = ''
    if (Test-Path -LiteralPath $target) {
        $aside = Get-AsidePath
        if (-not $Wanted.Ours) { $aside = $Wanted.Backup }
        Move-GuestFile -Root $Root -From $Wanted.Path -To $aside
    }
    try {
        Move-GuestFile -Root $Root -From $Staged -To $Wanted.Path
    } catch {
        if ($aside) { Move-GuestFile -Root $Root -From $aside -To $Wanted.Path }
        throw
    }
}

function Restore-GuestFile {
    # Puts back what was there before, or takes the file away; one that somebody changed stays.
    param([string]$Root, [string]$Path, [string[]]$Hashes, [string]$Backup)
    $target = Resolve-GuestPath -Root $Root -Relative $Path
    $outcome = 'absent'
    if (Test-Path -LiteralPath $target -PathType Leaf) {
        $hash = (Get-FileHash -LiteralPath $target -Algorithm SHA256 -ErrorAction Stop).Hash
        if ($Hashes -notcontains $hash) { return 'changed since' }
        Move-GuestFile -Root $Root -From $Path -To (Get-AsidePath)
        $outcome = 'removed'
    }
    if ($Backup) {
        $saved = Resolve-GuestPath -Root $Root -Relative $Backup
        if (Test-Path -LiteralPath $saved -PathType Leaf) {
            Move-GuestFile -Root $Root -From $Backup -To $Path
            Clear-EmptyFolder -Root $Root -Relative ([System.IO.Path]::GetDirectoryName($Backup))
            $outcome = 'as before'
        }
    }
    Clear-EmptyFolder -Root $Root -Relative ([System.IO.Path]::GetDirectoryName($Path))
    $outcome
}

function Clear-GuestFile {
    param([string]$Root, [string]$Path)
    $target = Resolve-GuestPath -Root $Root -Relative $Path
    if (Test-Path -LiteralPath $target -PathType Leaf) { Remove-Item -LiteralPath $target -Force }
}

function Clear-EmptyFolder {
    # Upwards, below HostDriverStore only, and only while a folder holds nothing.
    param([string]$Root, [string]$Relative)
    $store = "$(Get-GuestFolder)\"
    while ($Relative.StartsWith($store, [StringComparison]::OrdinalIgnoreCase)) {
        $folder = Resolve-GuestPath -Root $Root -Relative $Relative
        if (Test-Path -LiteralPath $folder -PathType Container) {
            if (@(Get-ChildItem -LiteralPath $folder -Force).Count -gt 0) { return }
            Remove-Item -LiteralPath $folder -Force
        }
        $Relative = [System.IO.Path]::GetDirectoryName($Relative)
    }
}

function Clear-WorkFolder {
    # Returns how many old files are still in use; a restart of the guest frees them.
    param([string]$Root)
    $relative = Get-GuestFolder -Name 'labkit-work'
    $folder = Resolve-GuestPath -Root $Root -Relative $relative
    if (-not (Test-Path -LiteralPath $folder -PathType Container)) { return 0 }
    foreach ($file in @(Get-ChildItem -LiteralPath $folder -File -Force)) {
        Remove-Item -LiteralPath $file.FullName -Force -ErrorAction SilentlyContinue
    }
    $left = @(Get-ChildItem -LiteralPath $folder -Force).Count
    if ($left -eq 0) { Clear-EmptyFolder -Root $Root -Relative $relative }
    $left
}

function Add-WorkFolder {
    param([string]$Root)
    $folder = Resolve-GuestPath -Root $Root -Relative (Get-GuestFolder -Name 'labkit-work')
    [void][System.IO.Directory]::CreateDirectory($folder)
}

function Read-GuestText {
    param([string]$Root, [string]$Relative)
    $file = Resolve-GuestPath -Root $Root -Relative $Relative
    if (Test-Path -LiteralPath $file -PathType Leaf) { [System.IO.File]::ReadAllText($file) }
}
