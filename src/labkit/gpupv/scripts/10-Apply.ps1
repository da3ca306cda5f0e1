#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Gives the virtual machines of the plan their settings and GPU adapters.

.DESCRIPTION
Changes, for each machine of the plan, only what differs:
  memory: dynamic memory off, and its size and processors if the plan has them
  memory-mapped space: low and high, its base if the plan has one, and the
  guest-controlled cache types on
  checkpoints and automatic checkpoints off, and the stop action
  GPU adapters: the plan's added; others removed only if the plan says so.
  To change the memory they are taken out, and put back with their values.
On Windows Server, with allow_policy in the plan, also two policy values.
Shows each value before and after. Nothing is changed unless every machine of
the plan is ready. The state before the first change is saved in
C:\ProgramData\labkit\gpupv.
Undo: 90-Rollback.ps1.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\10-Apply.ps1 -WhatIf
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

# labkit: include folder

# labkit: include store

# labkit: include state

# labkit: include adapter

# labkit: include gap

# labkit: include server

# labkit: include policy

# -- This script

# Adapters that were taken out, and that Hyper-V did not take back.
$script:Lost = 0

function Set-PlanMemory {
    # Memory cannot be relied on to change while an adapter is there: each is taken out, and put
    # back with its values whatever becomes of the change.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $actual = Get-VMMemory -VM $VM
    $wanted = Get-WantedMemory -Machine $Machine
    $different = Compare-Setting -Actual $actual -Wanted $wanted -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $different
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM | ForEach-Object -Process {
        Get-AdapterState -Adapter $_
    })
    foreach ($adapter in $adapters) {
        $text += "; for it remove GPU adapter $($adapter.Id), add it again: $($adapter.Path)"
    }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "memory: $text")) { return }
    $before = Get-ValueOfEach -Actual $actual -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Memory' -Values $different
    $arguments = @{ VM = $VM; DynamicMemoryEnabled = $false }
    if ($different.ContainsKey('Startup')) { $arguments.StartupBytes = $different['Startup'] }
    $removed = @()
    try {
        foreach ($adapter in $adapters) {
            Save-AppliedValue -VM $VM -Group 'Added' -Values @{ "$($adapter.Path)" = 'again' }
            Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id -Confirm:$false
            $removed += $adapter
            Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before $adapter.Id -After 'none'
        }
        Set-VMMemory @arguments
        Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
    } finally {
        foreach ($adapter in $removed) { Restore-Adapter -VM $VM -Adapter $adapter }
    }
    if ($script:Lost -gt 0) { throw "$script:Lost adapters of $($VM.Name) could not be put back" }
}

function Restore-Adapter {
    # One that fails must not keep the next one out, nor hide why the memory stayed as it was.
    param([object]$VM, [object]$Adapter)
    try {
        Add-SavedAdapter -VM $VM -Adapter $Adapter
    } catch {
        $script:Lost++
        $message = "its adapter for $($Adapter.Path) could not be put back: $_"
        Add-Problem -Code 'GPV-ADAPTER-MISSING' -Field $VM.Name -Message $message
    }
}

function Set-PlanProcessor {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $actual = Get-VMProcessor -VM $VM
    $wanted = Get-WantedProcessor -Machine $Machine
    $different = Compare-Setting -Actual $actual -Wanted $wanted -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "processors: $text")) { return }
    $before = Get-ValueOfEach -Actual $actual -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Processor' -Values $different
    Set-VMProcessor -VM $VM -Count $different['Count']
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Set-PlanSetting {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $wanted = Get-WantedSetting -Machine $Machine
    $different = Compare-Setting -Actual $VM -Wanted $wanted -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $VM -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "settings: $text")) { return }
    $before = Get-ValueOfEach -Actual $VM -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Settings' -Values $different
    Set-VM -VM $VM @different
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Remove-OtherAdapter {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object[]]$Gpus)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    foreach ($adapter in @(Select-OtherAdapter -Adapters $adapters -Gpus $Gpus)) {
        $action = "remove GPU adapter $($adapter.Id) $(Get-AdapterPath -Adapter $adapter)"
        if (-not $PSCmdlet.ShouldProcess($VM.Name, $action)) { continue }
        Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id -Confirm:$false
        Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before "$($adapter.Id)" -After 'none'
    }
}

function Add-PlanAdapter {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$Gpu, [hashtable]$Values)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    $present = @()
    if ($adapters.Count -gt 0) {
        $present = @(Select-AdapterOfGpu -Adapters $adapters -Path $Gpu.Name)
    }
    if ($present.Count -gt 0) {
        Add-Unchanged -Item $VM.Name -Setting 'GPU adapter' -Value $Gpu.Name
        Set-PartitionValue -VM $VM -Adapter $present[0] -Values $Values
        return
    }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "add a GPU adapter for $($Gpu.Name)")) { return }
    $arguments = @{ VM = $VM }
    $path = ''
    if (Test-InstancePathSupport) {
        $path = $Gpu.Name
        $arguments.InstancePath = $path
    }
    Save-AppliedValue -VM $VM -Group 'Added' -Values @{ "$path" = 'new' }
    Add-VMGpuPartitionAdapter @arguments @Values
    Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before 'none' -After $Gpu.Name
}

function Set-PartitionValue {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$Adapter, [hashtable]$Values)
    $different = Compare-Setting -Actual $Adapter -Wanted $Values -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $Adapter -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "partition: $text")) { return }
    $before = Get-ValueOfEach -Actual $Adapter -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Adapter' -Values @{ "$($Adapter.Id)" = 'values' }
    Set-VMGpuPartitionAdapter -VM $VM -AdapterId $Adapter.Id @Values
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Invoke-MachineChange {
    # Memory first, adapters last: Hyper-V may refuse the other order.
    param([object]$VM, [hashtable]$Machine, [object[]]$Gpus)
    Save-MachineState -VM $VM
    if ($Machine.RemoveOtherAdapters) { Remove-OtherAdapter -VM $VM -Gpus $Gpus }
    Set-PlanMemory -VM $VM -Machine $Machine
    Set-PlanProcessor -VM $VM -Machine $Machine
    if ($null -ne $Machine.HighMmioBaseMb) {
        Set-GapBase -VM $VM -Megabyte $Machine.HighMmioBaseMb
        # Anew: what Set-VM writes must not be from before the base moved.
        $VM = Get-VM -Id $VM.Id
    }
    Set-PlanSetting -VM $VM -Machine $Machine
    foreach ($gpu in $Gpus) {
        $values = @{}
        if ($null -ne $Machine.Percent) {
            $values = Get-PartitionValue -Gpu $gpu -Percent $Machine.Percent
        }
        Add-PlanAdapter -VM $VM -Gpu $gpu -Values $values
    }
}

function Invoke-Apply {
    # Everything is looked at before anything is changed.
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        $gpus = @(Resolve-PlanGpu -Machine $machine)
        if ($null -eq $vm) { continue }
        Confirm-FinishedMachine -VM $vm
        Confirm-MachineOff -VM $vm
        Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        Confirm-StaticMemory -VM $vm -Machine $machine
        $adapters = @(Get-VMGpuPartitionAdapter -VM $vm)
        if (-not $machine.RemoveOtherAdapters) {
            Confirm-OtherAdapter -VM $vm -Gpus $gpus -Adapters $adapters
        }
        @{ VM = $vm; Machine = $machine; Gpus = $gpus }
    })
    if ($script:Problems.Count -gt 0) { return }
    if ($Plan.AllowPolicy) {
        Set-ServerPolicy -Id @($ready | ForEach-Object -Process { "$($_.VM.Id)" })
    }
    foreach ($item in $ready) {
        Invoke-MachineChange -VM $item.VM -Machine $item.Machine -Gpus $item.Gpus
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    Invoke-Apply
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Write-Report -Script '10-Apply' -ExitCode $exitCode
}
exit $exitCode
