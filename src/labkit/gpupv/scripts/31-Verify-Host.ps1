#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Compares the virtual machines with the plan, from the host.

.DESCRIPTION
Every setting of the plan, its disk and cards, and what it does not name: other
adapters, checkpoints. Run 40-Display first where the plan gives a resolution.
Changes nothing, so there is nothing to undo. With -InGuest it also asks for
the guest's credential and looks at the card inside the running guest.
Exit codes: 0 as planned, 1 failed, 2 something differs.

.PARAMETER InGuest
Looks inside the guest too, by PowerShell Direct.

.PARAMETER Json
Writes one JSON object instead of text.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\31-Verify-Host.ps1
#>
[CmdletBinding()]
param([switch]$InGuest, [switch]$Json)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# labkit: plan

# labkit: include report

# labkit: include machine

# labkit: include gpu

# labkit: include settings

# labkit: include server

# labkit: include session

# -- This script

function Confirm-Setting {
    param([object]$Actual, [System.Collections.IDictionary]$Wanted, [string]$Item)
    $different = Compare-Setting -Actual $Actual -Wanted $Wanted -Item $Item
    foreach ($name in ($different.Keys | Sort-Object)) {
        $message = "$name is $($Actual.$name), the plan says $($different[$name])"
        Add-Problem -Code 'GPV-DIFFERS' -Field $Item -Message $message
    }
}

function Confirm-PlanAdapter {
    param([object]$VM, [hashtable]$Machine, [object[]]$Gpus)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    Confirm-OtherAdapter -VM $VM -Gpus $Gpus -Adapters $adapters
    foreach ($gpu in $Gpus) {
        $present = @()
        if ($adapters.Count -gt 0) {
            $present = @(Select-AdapterOfGpu -Adapters $adapters -Path $gpu.Name)
        }
        if ($present.Count -gt 0) {
            Add-Unchanged -Item $VM.Name -Setting 'GPU adapter' -Value $gpu.Name
            if ($null -eq $Machine.Percent) { continue }
            $values = Get-PartitionValue -Gpu $gpu -Percent $Machine.Percent
            Confirm-Setting -Actual $present[0] -Wanted $values -Item $VM.Name
        } else {
            $message = "it has no adapter for $($gpu.Name); run 10-Apply.ps1"
            Add-Problem -Code 'GPV-ADAPTER-MISSING' -Field $VM.Name -Message $message
        }
    }
}

function Confirm-AllowedPolicy {
    if (-not $Plan.AllowPolicy) { return }
    foreach ($name in @(Find-RefusingPolicy)) {
        $message = "$name is not 0, which the plan asks for; run 10-Apply.ps1"
        Add-Problem -Code 'GPV-POLICY' -Field 'host' -Message $message
    }
}

function Confirm-GuestGpu {
    # The guest's adapter is Microsoft's 1414/008E; error code 0 means that it works.
    param([object]$VM, [string]$User)
    $session = Connect-GuestSession -VM $VM -User $User
    if ($null -eq $session) { return }
    $look = { Get-CimInstance -ClassName Win32_VideoController }
    $seen = @(Invoke-Command -Session $session -ScriptBlock $look -ErrorAction Stop)
    $shared = 'PCI\VEN_1414&DEV_008E*'
    $cards = @($seen | Where-Object -FilterScript { $_.PNPDeviceID -like $shared })
    if ($cards.Count -eq 0) {
        $message = 'the guest shows no shared card'
        Add-Problem -Code 'GPV-ADAPTER-MISSING' -Field $VM.Name -Message $message
    }
    foreach ($card in $cards) {
        if ($card.ConfigManagerErrorCode -eq 0) {
            Add-Unchanged -Item $VM.Name -Setting 'card in the guest' -Value $card.Name
        } else {
            $message = "$($card.Name) stopped with code $($card.ConfigManagerErrorCode)"
            Add-Problem -Code 'GPV-CODE43' -Field $VM.Name -Message $message
        }
    }
}

function Invoke-HostVerification {
    Confirm-AllowedPolicy
    foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        if ($null -eq $vm) { continue }
        $name = $vm.Name
        Confirm-Setting -Actual $vm -Wanted (Get-WantedSetting -Machine $machine) -Item $name
        $memory = Get-VMMemory -VM $vm
        Confirm-Setting -Actual $memory -Wanted (Get-WantedMemory -Machine $machine) -Item $name
        $processor = Get-VMProcessor -VM $vm
        $wanted = Get-WantedProcessor -Machine $machine
        Confirm-Setting -Actual $processor -Wanted $wanted -Item $name
        $video = Get-VMVideo -VM $vm
        Confirm-Setting -Actual $video -Wanted (Get-WantedVideo -Machine $machine) -Item $name
        if ($null -ne $machine.HighMmioBaseMb) {
            $wanted = @{ HighMmioGapBase = $machine.HighMmioBaseMb }
            Confirm-Setting -Actual (Get-GapSetting -VM $vm) -Wanted $wanted -Item $name
        }
        $gpus = @(Resolve-PlanGpu -Machine $machine)
        Confirm-PlanAdapter -VM $vm -Machine $machine -Gpus $gpus
        Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        if (-not $InGuest) { continue }
        if ("$($vm.State)" -eq 'Running') {
            Confirm-GuestGpu -VM $vm -User "$($machine.GuestUser)"
        } else {
            Confirm-MachineRunning -VM $vm
        }
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Invoke-HostVerification
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Disconnect-Guest
    Write-Report -Script '31-Verify-Host' -ExitCode $exitCode
}
exit $exitCode
