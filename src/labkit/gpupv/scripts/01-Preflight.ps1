#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Checks this host against the plan, before anything is changed.

.DESCRIPTION
Changes nothing, so there is nothing to undo. Each problem has a code;
`labkit gpupv explain CODE` tells its cause and the fix.
Exit codes: 0 all well, 1 failed, 2 problems found.

.PARAMETER Json
Writes one JSON object instead of text.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\01-Preflight.ps1
#>
[CmdletBinding()]
param([switch]$Json)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# labkit: plan

# labkit: include report

# labkit: include machine

# labkit: include gpu

# -- This script

function Confirm-Hypervisor {
    $system = Get-CimInstance -ClassName Win32_ComputerSystem
    if (-not $system.HypervisorPresent) {
        $message = 'no hypervisor runs; switch on VT-x or SVM in the firmware'
        Add-Problem -Code 'GPV-NO-HYPERVISOR' -Field 'host' -Message $message
    }
    if ("$((Get-Service -Name 'vmms').Status)" -ne 'Running') {
        $message = 'the service vmms does not run; enable all of Hyper-V and restart'
        Add-Problem -Code 'GPV-WMI-NAMESPACE' -Field 'host' -Message $message
    }
}

function Confirm-ServerPolicy {
    # Server refuses paravirtual cards unless both values are 0.
    $system = Get-CimInstance -ClassName Win32_OperatingSystem
    if ($system.ProductType -eq 1 -or $Plan.AllowPolicy) { return }
    $key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\HyperV'
    foreach ($name in 'RequireSecureDeviceAssignment', 'RequireSupportedDeviceAssignment') {
        $value = $null
        if (Test-Path -LiteralPath $key) { $value = (Get-Item -LiteralPath $key).GetValue($name) }
        if ($value -ne 0) {
            $message = "Windows Server asks for $name = 0; set allow_policy in the plan"
            Add-Problem -Code 'GPV-POLICY' -Field 'host' -Message $message
        }
    }
}

function Confirm-HostMemory {
    # All machines of the plan at once, against the memory that the host has.
    $system = Get-CimInstance -ClassName Win32_ComputerSystem
    $wanted = [decimal]0
    foreach ($machine in $Plan.Machines) {
        if ($null -ne $machine.MemoryBytes) { $wanted += $machine.MemoryBytes }
    }
    if ($wanted -gt $system.TotalPhysicalMemory) {
        $message = "the plan's machines have $wanted bytes, the host $($system.TotalPhysicalMemory)"
        Add-Problem -Code 'GPV-MEM-HOST' -Field 'host' -Message $message
    }
}

function Confirm-DisplayClass {
    # An NPU is partitionable too, and no display.
    param([object]$Gpu, [string]$Item)
    $device = Get-PnpDevice -InstanceId (ConvertTo-PnpId -InstancePath $Gpu.Name)
    if ("$($device.Class)" -ne 'Display') {
        $message = "$($device.FriendlyName) is a $($device.Class) device, no display adapter"
        Add-Problem -Code 'GPV-GPU-NOT-DISPLAY' -Field $Item -Message $message
    } else {
        Write-Line -Text "ok         ${Item}: $($device.FriendlyName)"
    }
}

function Confirm-AdapterTarget {
    # An adapter whose card is gone keeps the machine from starting.
    param([object]$VM)
    $known = @(Get-HostGpu | ForEach-Object -Process { $_.Name })
    foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        $path = Get-AdapterPath -Adapter $adapter
        if ($path -and $known -notcontains $path) {
            $message = "its adapter $($adapter.Id) points to a card that the host does not list"
            Add-Problem -Code 'GPV-ADAPTER-STALE' -Field $VM.Name -Message $message
        }
    }
}

function Confirm-NewMachine {
    param([hashtable]$Machine)
    $existing = @(Get-VM | Where-Object -FilterScript { $_.Name -ceq $Machine.Name })
    if ($existing.Count -gt 0) { return $true }
    if (-not (Test-Path -LiteralPath $Machine.Create.Iso -PathType Leaf)) {
        $message = "there is no installation image $($Machine.Create.Iso)"
        Add-Problem -Code 'GPV-NEW-ISO' -Field $Machine.Name -Message $message
    }
    Write-Line -Text "next       $($Machine.Name): 05-New-VM.ps1 creates it"
    return $false
}

function Invoke-Preflight {
    Confirm-Hypervisor
    Confirm-ServerPolicy
    Confirm-HostMemory
    foreach ($machine in $Plan.Machines) {
        foreach ($gpu in @(Resolve-PlanGpu -Machine $machine)) {
            Confirm-DisplayClass -Gpu $gpu -Item $machine.Name
        }
        if ($null -ne $machine.Create -and -not (Confirm-NewMachine -Machine $machine)) { continue }
        $vm = Find-PlanMachine -Machine $machine
        if ($null -eq $vm) { continue }
        Confirm-MachineOff -VM $vm
        Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        Confirm-AdapterTarget -VM $vm
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Invoke-Preflight
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
} finally {
    Write-Report -Script '01-Preflight' -ExitCode $exitCode
}
exit $exitCode
