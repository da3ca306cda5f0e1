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

# labkit: plan

# labkit: include report

# labkit: include machine

# labkit: include gpu

# labkit: include settings

# labkit: include state

# labkit: include policy

# labkit: include volume

# labkit: include manifest

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
