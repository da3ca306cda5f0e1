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

# labkit: plan

# labkit: include report

# labkit: include machine

# labkit: include gpu

# labkit: include settings

# labkit: include state

# labkit: include volume

# labkit: include manifest

# labkit: include driver

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
