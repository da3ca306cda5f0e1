#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Gives the virtual machines of the plan their memory, memory-mapped space and
GPU adapters.

.DESCRIPTION
Changes only what differs from the plan, and shows each value before and
after. Nothing is changed unless every machine of the plan is ready. The
state before the first change is saved in C:\ProgramData\labkit\gpupv.
Undo: 90-Rollback.ps1.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed.

.PARAMETER Json
Writes one JSON object instead of text.

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

# labkit: include state

# labkit: include policy

# -- This script

function Confirm-OtherAdapter {
    # Adapters that the plan does not name are removed only if the plan says so.
    param([object]$VM, [hashtable]$Machine, [object[]]$Gpus)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    if ($Machine.RemoveOtherAdapters -or $adapters.Count -eq 0) { return }
    $named = @(foreach ($gpu in $Gpus) { Select-AdapterOfGpu -Adapters $adapters -Path $gpu.Name })
    if ($named.Count -lt $adapters.Count) {
        $message = 'it has an adapter that the plan does not name; see remove_other_adapters'
        Add-Problem -Code 'GPV-ADAPTER-OTHER' -Field $VM.Name -Message $message
    }
}

function Set-PlanMemory {
    # Memory cannot be relied on to change while an adapter is there: take it out, it comes back.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $actual = Get-VMMemory -VM $VM
    $wanted = Get-WantedMemory -Machine $Machine
    $different = Compare-Setting -Actual $actual -Wanted $wanted -Item $VM.Name
    if ($different.Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "memory: $text")) { return }
    $before = Get-ValueOfEach -Actual $actual -Name @($different.Keys)
    foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id
        Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before "$($adapter.Id)" -After 'none'
    }
    $arguments = @{ VM = $VM; DynamicMemoryEnabled = $false }
    if ($different.ContainsKey('Startup')) { $arguments.StartupBytes = $different['Startup'] }
    Set-VMMemory @arguments
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Set-PlanProcessor {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $actual = Get-VMProcessor -VM $VM
    $wanted = Get-WantedProcessor -Machine $Machine
    $different = Compare-Setting -Actual $actual -Wanted $wanted -Item $VM.Name
    if ($different.Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "processors: $text")) { return }
    $before = Get-ValueOfEach -Actual $actual -Name @($different.Keys)
    Set-VMProcessor -VM $VM -Count $different['Count']
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Set-PlanSetting {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $wanted = Get-WantedSetting -Machine $Machine
    $different = Compare-Setting -Actual $VM -Wanted $wanted -Item $VM.Name
    if ($different.Count -eq 0) { return }
    $text = Format-Change -Actual $VM -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "settings: $text")) { return }
    $before = Get-ValueOfEach -Actual $VM -Name @($different.Keys)
    Set-VM -VM $VM @different
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Remove-OtherAdapter {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object[]]$Gpus)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    if ($adapters.Count -eq 0) { return }
    $keep = @(foreach ($gpu in $Gpus) { Select-AdapterOfGpu -Adapters $adapters -Path $gpu.Name })
    $kept = @($keep | ForEach-Object -Process { "$($_.Id)" })
    foreach ($adapter in $adapters) {
        if ($kept -contains "$($adapter.Id)") { continue }
        if (-not $PSCmdlet.ShouldProcess($VM.Name, "remove GPU adapter $($adapter.Id)")) { continue }
        Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id
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
    if (Test-InstancePathSupport) { $arguments.InstancePath = $Gpu.Name }
    Add-VMGpuPartitionAdapter @arguments @Values
    Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before 'none' -After $Gpu.Name
}

function Set-PartitionValue {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$Adapter, [hashtable]$Values)
    $different = Compare-Setting -Actual $Adapter -Wanted $Values -Item $VM.Name
    if ($different.Count -eq 0) { return }
    $text = Format-Change -Actual $Adapter -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "partition: $text")) { return }
    $before = Get-ValueOfEach -Actual $Adapter -Name @($different.Keys)
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
        Confirm-MachineOff -VM $vm
        Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        Confirm-OtherAdapter -VM $vm -Machine $machine -Gpus $gpus
        @{ VM = $vm; Machine = $machine; Gpus = $gpus }
    })
    if ($script:Problems.Count -gt 0) { return }
    if ($Plan.AllowPolicy) { Set-ServerPolicy }
    foreach ($item in $ready) {
        Invoke-MachineChange -VM $item.VM -Machine $item.Machine -Gpus $item.Gpus
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Invoke-Apply
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
} finally {
    Write-Report -Script '10-Apply' -ExitCode $exitCode
}
exit $exitCode
