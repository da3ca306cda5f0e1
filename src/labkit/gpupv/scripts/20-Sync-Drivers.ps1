#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Copies the host's driver package of each card into the guest.

.DESCRIPTION
Changes files of the guest: the whole package below
Windows\System32\HostDriverStore, and the files that the driver's own
CopyToVm lists and a short vendor table name in System32 and SysWOW64. Only
what differs is copied; SHA-256 decides, and is compared again after the copy.
A file that was there before is kept in HostDriverStore\labkit-backup. The
manifest (path, size, SHA-256) is kept on both sides; what an earlier run
copied and this one does not want any more is taken back by it.
Undo: 90-Rollback.ps1, with either transport.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed, 3 restart the guest (Direct), or the driver is stale (-CheckOnly).

.PARAMETER Transport
Offline (the default) mounts the disk of a machine that is off. Direct copies
into a running guest by PowerShell Direct and asks for an administrator's
account inside it; that also serves where BitLocker locks the disk.

.PARAMETER CheckOnly
Changes nothing. Offline compares the host's packages with the manifest and
mounts nothing; Direct compares each file inside the guest.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\20-Sync-Drivers.ps1 -CheckOnly

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\20-Sync-Drivers.ps1 -Transport Direct
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param(
    [ValidateSet('Offline', 'Direct')]
    [string]$Transport = 'Offline',
    [switch]$CheckOnly,
    [switch]$Json
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# labkit: plan

# labkit: include report

# labkit: include machine

# labkit: include gpu

# labkit: include settings

# labkit: include folder

# labkit: include store

# labkit: include volume

# labkit: include session

# labkit: include direct

# labkit: include guest

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

function Get-FileFact {
    # What the guest has to know of a source, and of an earlier copy, to judge its own file.
    param([hashtable]$Rule, [object]$Entry)
    $file = Get-Item -LiteralPath $Rule.Source -Force
    $known = @()
    $backup = ''
    if ($null -ne $Entry) {
        $known = @("$($Entry.sha256)", "$($Entry.before)")
        $backup = "$($Entry.backup)"
    }
    @{
        Path = $Rule.Path
        Rule = $Rule.Rule
        Known = $known
        Backup = $backup
        Size = [int64]$file.Length
        Hash = (Get-FileHash -LiteralPath $Rule.Source -Algorithm SHA256 -ErrorAction Stop).Hash
        Version = "$(Get-FileVersion -File $file)"
        Ticks = [int64]$file.LastWriteTimeUtc.Ticks
    }
}

function Get-CopyPlan {
    # What is known of the guest, and for each wanted file what to do with it; changes nothing.
    param([hashtable]$Volume, [object]$VM, [object[]]$Rules)
    Write-Line -Text "comparing  $($VM.Name): $($Rules.Count) files, on both sides"
    $manifest = Read-TrustedManifest -VM $VM -Volume $Volume
    $old = @{}
    $mark = [guid]::NewGuid().ToString()
    if ($null -ne $manifest) {
        $mark = "$($manifest.mark)"
        foreach ($entry in @($manifest.files)) { $old[$entry.path] = $entry }
    }
    $facts = @(foreach ($rule in $Rules) {
        Get-FileFact -Rule $rule -Entry $old[$rule.Path]
    })
    $verdicts = @{}
    $arguments = @{ Files = $facts }
    $found = Invoke-GuestFunction -Volume $Volume -Name 'Compare-GuestFile' -Arguments $arguments
    foreach ($verdict in @($found)) { $verdicts["$($verdict.Path)"] = $verdict }
    @{ Mark = $mark; Old = $old; Facts = $facts; Verdicts = $verdicts }
}

function Get-PlannedEntry {
    # The manifest's entry of a file that is, or is to become, ours; nothing for others. One that
    # is as wanted, and that no run of ours has copied, is somebody else's: also in the package.
    param([hashtable]$Fact, [object]$Verdict)
    if ($Verdict.Action -ne 'copy' -and -not $Verdict.Ours) { return }
    $before = ''
    if ($Verdict.Action -eq 'copy' -and $Verdict.Ours) { $before = "$($Verdict.Hash)" }
    [ordered]@{
        path = $Fact.Path
        size = $Fact.Size
        sha256 = $Fact.Hash
        rule = $Fact.Rule
        backup = "$($Verdict.Backup)"
        before = $before
    }
}

function Confirm-FreeSpace {
    param([hashtable]$Volume, [hashtable]$CopyPlan)
    $size = [decimal]0
    foreach ($fact in $CopyPlan.Facts) {
        if ($CopyPlan.Verdicts[$fact.Path].Action -eq 'copy') { $size += $fact.Size }
    }
    if ($size -gt $Volume.Free) {
        throw "GPV-DISK-SPACE: $size bytes are to be copied, the guest's volume has $($Volume.Free)"
    }
    if ($size -gt 0) { Write-Line -Text "copying    $size bytes; this can take minutes" }
}

function Copy-WantedFile {
    param([hashtable]$Volume, [string]$Source, [hashtable]$Fact, [object]$Verdict, [string]$Item)
    $staged = Send-GuestFile -Volume $Volume -Source $Source
    $wanted = @{
        Path = $Fact.Path
        Hash = $Fact.Hash
        Ours = [bool]$Verdict.Ours
        Backup = "$($Verdict.Backup)"
    }
    $arguments = @{ Staged = $staged; Wanted = $wanted }
    Invoke-GuestFunction -Volume $Volume -Name 'Install-GuestFile' -Arguments $arguments
    $before = 'the guest''s own, kept as a backup'
    if ($Verdict.Ours) { $before = 'an earlier copy' }
    if ("$($Verdict.Hash)" -eq '') { $before = 'absent' }
    Add-Change -Item $Item -Setting $Fact.Path -Before $before -After $Fact.Rule
}

function Invoke-GuestCopy {
    # The manifest is written before the first copy: what a cut leaves behind stays known.
    param([hashtable]$Volume, [object]$VM, [object[]]$Packages, [object[]]$Rules)
    $start = $script:Changed.Count
    $copy = Get-CopyPlan -Volume $Volume -VM $VM -Rules $Rules
    Confirm-FreeSpace -Volume $Volume -CopyPlan $copy
    $entries = @(foreach ($fact in $copy.Facts) {
        Get-PlannedEntry -Fact $fact -Verdict $copy.Verdicts[$fact.Path]
    })
    $left = $copy.Old.Clone()
    foreach ($entry in $entries) { $left.Remove($entry.path) }
    $todo = @($copy.Facts | Where-Object -FilterScript {
        $copy.Verdicts[$_.Path].Action -eq 'copy'
    })
    $manifest = @{ VM = $VM; Volume = $Volume; Mark = $copy.Mark }
    if ($todo.Count -gt 0 -or $left.Count -gt 0) {
        Save-DriverManifest @manifest -Packages @() -Files ($entries + @($left.Values))
    }
    $sources = @{}
    foreach ($rule in $Rules) { $sources[$rule.Path] = $rule.Source }
    if ($todo.Count -gt 0) {
        Invoke-GuestFunction -Volume $Volume -Name 'Add-WorkFolder' -Arguments @{}
    }
    foreach ($fact in $todo) {
        $arguments = @{ Fact = $fact; Verdict = $copy.Verdicts[$fact.Path]; Item = $VM.Name }
        Copy-WantedFile -Volume $Volume -Source $sources[$fact.Path] @arguments
    }
    foreach ($entry in @($left.Values)) {
        Undo-DriverFile -Volume $Volume -Entry $entry -Item $VM.Name
    }
    foreach ($entry in $entries) { $entry['before'] = '' }
    Save-DriverManifest @manifest -Packages $Packages -Files $entries
    Complete-GuestWork -Volume $Volume -Item $VM.Name -ChangesBefore $start
}

function Save-DriverManifest {
    # On the host first; the guest's copy carries the mark that ties the two together.
    param([object]$VM, [hashtable]$Volume, [string]$Mark, [object[]]$Packages, [object[]]$Files)
    $known = @(foreach ($package in $Packages) {
        [ordered]@{
            folder = $package.Name
            inf = $package.Inf
            version = $package.Version
            instance_path = $package.InstancePath
        }
    })
    $file = Get-ManifestFile -VM $VM
    $value = [ordered]@{ plan = $Plan.Hash; mark = $Mark; packages = $known; files = @($Files) }
    if (Test-SameManifest -File $file -Value $value -Volume $Volume) { return }
    Write-JsonFile -Path $file -Value $value
    $wanted = @{
        Path = (Get-GuestManifest)
        Hash = (Get-FileHash -LiteralPath $file -Algorithm SHA256 -ErrorAction Stop).Hash
        Ours = $true
        Backup = ''
    }
    Invoke-GuestFunction -Volume $Volume -Name 'Add-WorkFolder' -Arguments @{}
    $arguments = @{ Staged = (Send-GuestFile -Volume $Volume -Source $file); Wanted = $wanted }
    Invoke-GuestFunction -Volume $Volume -Name 'Install-GuestFile' -Arguments $arguments
}

function Test-SameManifest {
    # Then there is nothing to write: a second run changes no file at all.
    param([string]$File, [object]$Value, [hashtable]$Volume)
    if (-not (Test-Path -LiteralPath $File -PathType Leaf)) { return $false }
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    if ([System.IO.File]::ReadAllText($File) -cne $text) { return $false }
    $arguments = @{ Relative = (Get-GuestManifest) }
    $there = Invoke-GuestFunction -Volume $Volume -Name 'Read-GuestText' -Arguments $arguments
    "$there" -ceq $text
}

function Confirm-GuestCurrent {
    # By the SHA-256 of each file inside the running guest.
    param([hashtable]$Volume, [object]$VM, [object[]]$Rules)
    $copy = Get-CopyPlan -Volume $Volume -VM $VM -Rules $Rules
    $stale = @($copy.Verdicts.Values | Where-Object -FilterScript { $_.Action -eq 'copy' })
    if ($stale.Count -eq 0) {
        Add-Unchanged -Item $VM.Name -Setting 'driver' -Value "$($Rules.Count) files as on the host"
        return
    }
    $message = "$($stale.Count) of $($Rules.Count) files differ or are missing"
    Add-ManualStep -Item $VM.Name -Message "$message; run this without -CheckOnly"
}

function Format-Copy {
    # The packages by name, and each file that is to be in the guest's own folders.
    param([object[]]$Packages, [object[]]$Rules, [string]$Place)
    $names = @($Packages | ForEach-Object -Process { $_.Name }) -join ', '
    $outside = @($Rules | Where-Object -FilterScript { $_.Rule -ne 'package' })
    $paths = @($outside | ForEach-Object -Process { $_.Path }) -join ', '
    $text = "copy what differs of the $($Rules.Count - $outside.Count) files of $names"
    if ($paths) { $text += ", and of $paths," }
    "$text into $Place; take back what an earlier run copied and this one does not want"
}

function Sync-GuestDriver {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([hashtable]$Target)
    $vm = $Target.VM
    $packages = $Target.Packages
    $rules = @(Get-WantedFile -Packages $packages)
    if ($CheckOnly) {
        Confirm-GuestCurrent -Volume $Target.Volume -VM $vm -Rules $rules
        return
    }
    $place = $Target.Vhdx
    if ($null -ne $Target.Volume) { $place = 'the running guest' }
    $action = Format-Copy -Packages $packages -Rules $rules -Place $place
    if (-not $PSCmdlet.ShouldProcess($vm.Name, $action)) { return }
    if ($null -ne $Target.Volume) {
        Invoke-GuestCopy -Volume $Target.Volume -VM $vm -Packages $packages -Rules $rules
        return
    }
    $volume = Get-OfflineVolume -Path $Target.Vhdx
    try {
        Mount-GuestVolume -Volume $volume
        Invoke-GuestCopy -Volume $volume -VM $vm -Packages $packages -Rules $rules
    } finally {
        Dismount-GuestVolume -Volume $volume
    }
}

function Confirm-Transport {
    # Off and with its own disk for the one, running for the other; -CheckOnly mounts nothing.
    param([object]$VM, [hashtable]$Machine)
    if ($Transport -eq 'Direct') {
        Confirm-MachineRunning -VM $VM
    } elseif (-not $CheckOnly) {
        Confirm-MachineOff -VM $VM
        Confirm-MachineDisk -VM $VM -Vhdx $Machine.Vhdx
    }
}

function Invoke-DriverSync {
    # Everything is looked at, and every guest is reached, before anything is changed.
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        $gpus = @(Resolve-PlanGpu -Machine $machine)
        if ($null -eq $vm) { continue }
        Confirm-Transport -VM $vm -Machine $machine
        $packages = @(foreach ($gpu in $gpus) {
            $package = Get-DriverPackage -InstancePath $gpu.Name
            $package
            Find-CompanionPackage -Package $package
        })
        $target = @{ VM = $vm; Vhdx = $machine.Vhdx; Packages = $packages; Volume = $null }
        $target.User = "$($machine.GuestUser)"
        $target
    })
    if ($script:Problems.Count -gt 0) { return }
    if ($Transport -eq 'Direct') {
        foreach ($item in $ready) {
            $item.Volume = Connect-GuestVolume -VM $item.VM -User $item.User
        }
        if ($script:Problems.Count -gt 0) { return }
    }
    foreach ($item in $ready) {
        if ($CheckOnly -and $Transport -eq 'Offline') {
            Confirm-PackageCurrent -VM $item.VM -Packages $item.Packages
        } else {
            Sync-GuestDriver -Target $item
        }
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    Invoke-DriverSync
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Disconnect-Guest
    Write-Report -Script '20-Sync-Drivers' -ExitCode $exitCode
}
exit $exitCode
