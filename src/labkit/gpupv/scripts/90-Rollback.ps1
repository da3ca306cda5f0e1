#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Puts back what 10-Apply, 40-Display and 20-Sync-Drivers found and changed.

.DESCRIPTION
Reads the state saved in C:\ProgramData\labkit\gpupv. In this order: adapters,
settings, adapters that were there before, driver files of the guest (exactly
those of the manifest, and only where they are still as copied), and, when no
machine is left that asked for it, the server policy. Only what these scripts set
and nobody changed since is put back. A state that was put back is renamed to
*.restored; running 10-Apply again saves a new one.
Run this before you take a card out of the host: an adapter whose card is
gone cannot be removed any more.
Undo: run 10-Apply again.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed, 3 a step is next: shut the guest down and run it without Direct.

.PARAMETER Transport
Offline (the default) works on machines that are off and puts everything back.
Direct takes the driver files out of a running guest, by PowerShell Direct,
and asks for an administrator's account inside it; nothing else.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\90-Rollback.ps1 -WhatIf
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param(
    [ValidateSet('Offline', 'Direct')]
    [string]$Transport = 'Offline',
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

# labkit: include adapter

# labkit: include gap

# labkit: include server

# labkit: include policy

# labkit: include volume

# labkit: include session

# labkit: include direct

# labkit: include guest

# labkit: include manifest

# -- This script

# Set where a question was answered with no: the saved state is then kept.
$script:Declined = $false

function Remove-NewAdapter {
    # By Id: what 10-Apply added, or gave other values; one that somebody added since, stays.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $old = @($State.Adapters | ForEach-Object -Process { $_.Id })
    foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        $changed = $State.Applied.PSObject.Properties["Adapter.$($adapter.Id)"]
        if ($old -contains "$($adapter.Id)" -and $null -eq $changed) { continue }
        $path = Get-AdapterPath -Adapter $adapter
        $added = $State.Applied.PSObject.Properties["Added.$path"]
        if ($null -eq $added -and $null -eq $changed) {
            Add-Unchanged -Item $VM.Name -Setting 'GPU adapter' -Value "$path, added since; left"
            continue
        }
        if (-not $PSCmdlet.ShouldProcess($VM.Name, "remove GPU adapter $($adapter.Id) $path")) {
            $script:Declined = $true
            continue
        }
        Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id -Confirm:$false
        Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before "$($adapter.Id)" -After 'none'
    }
}

function Get-OldValue {
    # Of what was set by this script set, what is still so: what somebody changed since, stays.
    param([object]$VM, [object]$State, [string]$Group, [object]$Actual)
    $values = @{}
    foreach ($old in $State.$Group.PSObject.Properties) {
        $name = $old.Name
        $applied = $State.Applied.PSObject.Properties["$Group.$name"]
        $present = "$($Actual.$name)"
        if ($null -eq $applied -or $present -eq $old.Value) { continue }
        if ($present -ne "$($applied.Value)") {
            Add-Unchanged -Item $VM.Name -Setting $name -Value "$present, changed since; left"
        } elseif ('True', 'False' -contains $old.Value) {
            $values[$name] = $old.Value -eq 'True'
        } else {
            $values[$name] = $old.Value
        }
    }
    $values
}

function Reset-MachineSetting {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $old = Get-OldValue -VM $VM -State $State -Group 'Settings' -Actual $VM
    if (@($old.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $VM -Different $old
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "settings: $text")) {
        $script:Declined = $true
        return
    }
    $before = Get-ValueOfEach -Actual $VM -Name @($old.Keys)
    Set-VM -VM $VM @old
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $old
}

function Reset-MachineMemory {
    # The range belongs to dynamic memory, and goes back with it.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $actual = Get-VMMemory -VM $VM
    $old = Get-OldValue -VM $VM -State $State -Group 'Memory' -Actual $actual
    if (@($old.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $old
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "memory: $text")) {
        $script:Declined = $true
        return
    }
    $before = Get-ValueOfEach -Actual $actual -Name @($old.Keys)
    $memory = @{ VM = $VM }
    if ($old.ContainsKey('Startup')) { $memory.StartupBytes = [int64]$old['Startup'] }
    if ($old.ContainsKey('DynamicMemoryEnabled')) {
        $memory.DynamicMemoryEnabled = $old['DynamicMemoryEnabled']
        if ($memory.DynamicMemoryEnabled) {
            $memory.MinimumBytes = [int64]$State.Memory.Minimum
            $memory.MaximumBytes = [int64]$State.Memory.Maximum
        }
    }
    Set-VMMemory @memory
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $old
}

function Reset-MachineProcessor {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $actual = Get-VMProcessor -VM $VM
    $old = Get-OldValue -VM $VM -State $State -Group 'Processor' -Actual $actual
    if (@($old.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $old
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "processors: $text")) {
        $script:Declined = $true
        return
    }
    $before = Get-ValueOfEach -Actual $actual -Name @($old.Keys)
    Set-VMProcessor -VM $VM -Count ([int64]$old['Count'])
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $old
}

function Reset-MachineVideo {
    # All three values together, also where only one goes back.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $actual = Get-VMVideo -VM $VM
    $old = Get-OldValue -VM $VM -State $State -Group 'Video' -Actual $actual
    if (@($old.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $old
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "video: $text")) {
        $script:Declined = $true
        return
    }
    $before = Get-ValueOfEach -Actual $actual -Name @($old.Keys)
    $video = Get-ValueOfEach -Actual $actual -Name @($State.Video.PSObject.Properties.Name)
    foreach ($name in @($old.Keys)) { $video[$name] = $old[$name] }
    Set-VMVideo -VM $VM @video
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $old
}

function Add-OldAdapter {
    # What 10-Apply removed: the same card with the same values, under a new Id.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    $present = @($adapters | ForEach-Object -Process { "$($_.Id)" })
    $paths = @($adapters | ForEach-Object -Process { Get-AdapterPath -Adapter $_ })
    $known = @(Get-HostGpu | ForEach-Object -Process { $_.Name })
    foreach ($old in @($State.Adapters)) {
        if ($present -contains $old.Id -or ($old.Path -and $paths -contains $old.Path)) { continue }
        if ($old.Path -and $known -notcontains $old.Path) {
            $message = "the host does not list the card $($old.Path) any more; it is not put back"
            Add-Note -Code 'GPV-GPU-NOT-FOUND' -Field $VM.Name -Message $message
            continue
        }
        if (-not $PSCmdlet.ShouldProcess($VM.Name, "add GPU adapter $($old.Path)")) {
            $script:Declined = $true
            continue
        }
        Add-SavedAdapter -VM $VM -Adapter $old
    }
}

function Remove-GuestDriver {
    # Of the volume that is mounted here, or of the running guest.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [string]$Vhdx, [hashtable]$Running)
    $file = Get-ManifestFile -VM $VM
    $manifest = Read-JsonFile -Path $file
    if ($null -eq $manifest) {
        Add-Unchanged -Item $VM.Name -Setting 'driver files' -Value 'none were copied'
        return
    }
    $count = @($manifest.files).Count
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "take back $count driver files of the guest")) {
        $script:Declined = $true
        return
    }
    if ($null -ne $Running) {
        Undo-DriverCopy -VM $VM -Volume $Running
    } else {
        $volume = Get-OfflineVolume -Path $Vhdx
        try {
            Mount-GuestVolume -Volume $volume
            Undo-DriverCopy -VM $VM -Volume $volume
        } finally {
            Dismount-GuestVolume -Volume $volume
        }
    }
    Move-Item -LiteralPath $file -Destination "$file.restored" -Force
}

function Undo-DriverCopy {
    # A Windows that was installed anew carries no mark: nothing in it is ours.
    param([object]$VM, [hashtable]$Volume)
    $start = $script:Changed.Count
    $manifest = Read-TrustedManifest -VM $VM -Volume $Volume
    if ($null -eq $manifest) {
        $message = 'the guest does not carry this manifest; its files are left alone'
        Add-Unchanged -Item $VM.Name -Setting 'driver files' -Value $message
        return
    }
    foreach ($entry in @($manifest.files)) {
        Undo-DriverFile -Volume $Volume -Entry $entry -Item $VM.Name
    }
    $own = @{ Path = (Get-GuestManifest) }
    Invoke-GuestFunction -Volume $Volume -Name 'Clear-GuestFile' -Arguments $own
    Complete-GuestWork -Volume $Volume -Item $VM.Name -ChangesBefore $start
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

function Confirm-MachineGone {
    # One that was renamed is not gone: its saved state has the old name, and its id.
    param([hashtable]$Machine)
    if ($Machine.Id -or -not (Test-Path -LiteralPath $script:StateFolder)) { return }
    $files = @(Get-ChildItem -LiteralPath $script:StateFolder -File | Where-Object -FilterScript {
        $_.Name -like '*.state.json'
    })
    foreach ($file in $files) {
        $state = Read-JsonFile -Path $file.FullName
        if ("$($state.Name)" -cne $Machine.Name) { continue }
        $renamed = @(Get-VM | Where-Object -FilterScript { "$($_.Id)" -eq "$($state.Id)" })
        foreach ($vm in $renamed) {
            $message = "it is named $($vm.Name) now: give id = '$($vm.Id)' in the plan"
            Add-Problem -Code 'GPV-VM-NOT-FOUND' -Field $Machine.Name -Message $message
        }
    }
}

function Invoke-OfflineRollback {
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine -MayBeGone
        if ($null -eq $vm) {
            Confirm-MachineGone -Machine $machine
            continue
        }
        Confirm-MachineOff -VM $vm
        Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        $state = Read-JsonFile -Path (Get-StateFile -VM $vm)
        @{ VM = $vm; State = $state; Vhdx = $machine.Vhdx }
    })
    if ($script:Problems.Count -gt 0) { return }
    $done = @()
    foreach ($item in $ready) {
        $script:Declined = $false
        if (-not (Reset-GapBase -VM $item.VM)) { $script:Declined = $true }
        # Anew: what Set-VM writes must not be from before the base moved.
        $item.VM = Get-VM -Id $item.VM.Id
        if ($null -eq $item.State) {
            Add-Unchanged -Item $item.VM.Name -Setting 'settings' -Value 'no saved state'
        } else {
            Remove-NewAdapter -VM $item.VM -State $item.State
            Reset-MachineSetting -VM $item.VM -State $item.State
            Reset-MachineMemory -VM $item.VM -State $item.State
            Reset-MachineProcessor -VM $item.VM -State $item.State
            Reset-MachineVideo -VM $item.VM -State $item.State
            Add-OldAdapter -VM $item.VM -State $item.State
        }
        Remove-GuestDriver -VM $item.VM -Vhdx $item.Vhdx
        if ($script:Declined -and -not $WhatIfPreference) { continue }
        $done += "$($item.VM.Id)"
        if ($null -ne $item.State) { Complete-Rollback -VM $item.VM }
    }
    Reset-ServerPolicy -Done $done
}

function Invoke-DirectRollback {
    # Settings change only while a machine is off: they stay for the offline run.
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        if ($null -eq $vm) { continue }
        Confirm-MachineRunning -VM $vm
        @{ VM = $vm; User = "$($machine.GuestUser)"; Volume = $null }
    })
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $ready) {
        $item.Volume = Connect-GuestVolume -VM $item.VM -User $item.User
    }
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $ready) {
        Remove-GuestDriver -VM $item.VM -Running $item.Volume
        if (Test-Path -LiteralPath (Get-StateFile -VM $item.VM)) {
            $message = 'shut it down and run this without -Transport Direct for its settings'
            Add-ManualStep -Item $item.VM.Name -Message $message
        }
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    if ($Transport -eq 'Direct') { Invoke-DirectRollback } else { Invoke-OfflineRollback }
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Disconnect-Guest
    Write-Report -Script '90-Rollback' -ExitCode $exitCode
}
exit $exitCode
