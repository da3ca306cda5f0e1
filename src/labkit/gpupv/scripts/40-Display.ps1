#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Sets the resolution of the console, where the plan gives one.

.DESCRIPTION
Changes Set-VMVideo of the machines of the plan, only where it differs; the
machine must be off. The state before is saved in C:\ProgramData\labkit\gpupv.
Undo: 90-Rollback.ps1.
The shared card has no outputs of its own. The console (Hyper-V Video) shows
about 60 Hz; for more, install a virtual display driver and a streaming
server in the guest, and close the console.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\40-Display.ps1 -WhatIf
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

function Set-PlanVideo {
    # All three values together: with the type Default the numbers would be ignored.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [hashtable]$Machine)
    $actual = Get-VMVideo -VM $VM
    $wanted = Get-WantedVideo -Machine $Machine
    $different = Compare-Setting -Actual $actual -Wanted $wanted -Item $VM.Name
    if (@($different.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $different
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "video: $text")) { return }
    $before = Get-ValueOfEach -Actual $actual -Name @($different.Keys)
    Save-AppliedValue -VM $VM -Group 'Video' -Values $different
    Set-VMVideo -VM $VM @wanted
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $different
}

function Invoke-Display {
    $ready = @(foreach ($machine in $Plan.Machines) {
        if ($null -eq $machine.Width) { continue }
        $vm = Find-PlanMachine -Machine $machine
        if ($null -eq $vm) { continue }
        Confirm-MachineOff -VM $vm
        @{ VM = $vm; Machine = $machine }
    })
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $ready) {
        Save-MachineState -VM $item.VM
        Set-PlanVideo -VM $item.VM -Machine $item.Machine
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    Invoke-Display
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Write-Report -Script '40-Display' -ExitCode $exitCode
}
exit $exitCode
