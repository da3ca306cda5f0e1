#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Takes the GPU adapters out of the plan's machines, before a card is changed.

.DESCRIPTION
Run it while the old card is still in the host: an adapter whose card is gone
may neither be listed nor removed, and keeps its machine from starting.
Changes the adapters alone; settings and driver files stay. The state before
the first change is saved in C:\ProgramData\labkit\gpupv.
Undo: 10-Apply.ps1, with the path of the new card in the plan if it changed.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\91-Detach.ps1 -WhatIf
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

# -- This script

function Remove-EachAdapter {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    if ($adapters.Count -eq 0) {
        Add-Unchanged -Item $VM.Name -Setting 'GPU adapter' -Value 'none'
        return
    }
    Save-MachineState -VM $VM
    foreach ($adapter in $adapters) {
        $path = Get-AdapterPath -Adapter $adapter
        $action = "remove GPU adapter $($adapter.Id) $path"
        if (-not $PSCmdlet.ShouldProcess($VM.Name, $action)) { continue }
        Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id -Confirm:$false
        Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before "$($adapter.Id)" -After 'none'
    }
}

function Invoke-Detach {
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        if ($null -eq $vm) { continue }
        Confirm-MachineOff -VM $vm
        $vm
    })
    if ($script:Problems.Count -gt 0) { return }
    foreach ($vm in $ready) { Remove-EachAdapter -VM $vm }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    Invoke-Detach
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Write-Report -Script '91-Detach' -ExitCode $exitCode
}
exit $exitCode
