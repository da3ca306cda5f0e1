#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Checks this host against the plan, before anything is changed.

.DESCRIPTION
Changes nothing, so there is nothing to undo. Each problem and each note has a
code; `labkit gpupv explain CODE` tells its cause and the fix. A problem has to
be solved first; a note is worth knowing.
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

# labkit: include settings

# labkit: include folder

# labkit: include server

# -- This script: the host

function Confirm-WindowsBuild {
    # Home has no Hyper-V cmdlets; paravirtual cards came with build 17134.
    $key = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    $values = Get-Item -LiteralPath $key
    $build = [int]$values.GetValue('CurrentBuild')
    $revision = [int]$values.GetValue('UBR', 0)
    $edition = "$($values.GetValue('EditionID'))"
    Write-Line -Text "ok         host: Windows $edition, build $build.$revision"
    if ($build -lt 17134) {
        $message = "build $build has no paravirtual cards; 17134 is the first"
        Add-Problem -Code 'GPV-WINDOWS-BUILD' -Field 'host' -Message $message
    } elseif ($build -lt 19041) {
        $message = "build ${build}: guests show the card's real name from 19041 on"
        Add-Note -Code 'GPV-WINDOWS-BUILD' -Field 'host' -Message $message
    }
    if ($build -eq 26100 -and $revision -lt 4946) {
        $message = "build 26100.$revision leaks memory with shared cards; update the host"
        Add-Note -Code 'GPV-VMMEM-LEAK' -Field 'host' -Message $message
    }
    if (Get-Command -Name 'Get-VM' -ErrorAction SilentlyContinue) { return }
    $message = "Windows $edition has no Hyper-V cmdlets; enable Microsoft-Hyper-V-All and restart"
    if ($edition.StartsWith('Core')) { $message = 'Windows Home has no Hyper-V; use Pro or better' }
    Add-Problem -Code 'GPV-NO-HYPERV' -Field 'host' -Message $message
}

function Confirm-Hypervisor {
    $system = Get-CimInstance -ClassName Win32_ComputerSystem
    if (-not $system.HypervisorPresent) {
        $message = 'no hypervisor runs; switch on VT-x or SVM in the firmware'
        Add-Problem -Code 'GPV-NO-HYPERVISOR' -Field 'host' -Message $message
    }
    $service = Get-Service -Name 'vmms' -ErrorAction SilentlyContinue
    if ($null -eq $service -or "$($service.Status)" -ne 'Running') {
        $message = 'the service vmms does not run; enable all of Hyper-V and restart'
        Add-Problem -Code 'GPV-WMI-NAMESPACE' -Field 'host' -Message $message
    }
}

function Confirm-ServerPolicy {
    if ($Plan.AllowPolicy) { return }
    foreach ($name in @(Find-RefusingPolicy)) {
        $message = "Windows Server asks for $name = 0; set allow_policy in the plan"
        Add-Problem -Code 'GPV-POLICY' -Field 'host' -Message $message
    }
}

function Confirm-HostMemory {
    # All machines of the plan at once: against the memory that the host has, and has free.
    $system = Get-CimInstance -ClassName Win32_OperatingSystem
    $wanted = [decimal]0
    foreach ($machine in $Plan.Machines) {
        if ($null -ne $machine.MemoryBytes) { $wanted += $machine.MemoryBytes }
    }
    $total = [decimal]$system.TotalVisibleMemorySize * 1024
    $free = [decimal]$system.FreePhysicalMemory * 1024
    if ($wanted -gt $total) {
        $message = "the plan's machines have $wanted bytes, the host $total"
        Add-Problem -Code 'GPV-MEM-HOST' -Field 'host' -Message $message
    } elseif ($wanted -gt $free) {
        $message = "the plan's machines have $wanted bytes, $free are free now"
        Add-Note -Code 'GPV-MEM-HOST' -Field 'host' -Message $message
    }
}

function Confirm-Processor {
    # No class tells the physical address bits; these generations may have 36.
    $processors = @(Get-CimInstance -ClassName Win32_Processor)
    $name = "$($processors[0].Name)"
    if ($name -match 'i[357]-(?!(?:3820|3930K|3960X|3970X)\b)[23][0-9]{3}[A-Z]{0,2}\b') {
        $message = "$name may reach only 36 address bits; give address_bits in the plan"
        Add-Note -Code 'GPV-MMIO-RANGE' -Field 'host' -Message $message
    }
    $threads = 0
    foreach ($processor in $processors) { $threads += $processor.NumberOfLogicalProcessors }
    foreach ($machine in $Plan.Machines) {
        if ($null -ne $machine.ProcessorCount -and $machine.ProcessorCount -gt $threads) {
            $message = "it is to have $($machine.ProcessorCount) processors, the host has $threads"
            Add-Problem -Code 'GPV-CPU-COUNT' -Field $machine.Name -Message $message
        }
    }
}

function Confirm-Cmdlet {
    # Windows 10 has the older name, and no way to say which card is meant.
    if (-not (Get-Command -Name 'Get-VMHostPartitionableGpu' -ErrorAction SilentlyContinue)) {
        $message = 'this Windows has the cmdlets of Windows 10; the scripts use them'
        Add-Note -Code 'GPV-CMDLET-OLD-HOST' -Field 'host' -Message $message
    }
}

# -- This script: the cards

function Confirm-DisplayClass {
    # An NPU is partitionable too, and no display.
    param([object]$Gpu, [hashtable]$Machine)
    $pnpId = ConvertTo-PnpId -InstancePath $Gpu.Name
    $device = Get-PnpDevice -InstanceId $pnpId -ErrorAction SilentlyContinue
    if ($null -eq $device) {
        $message = "Windows has no device $pnpId; restart the host"
        Add-Problem -Code 'GPV-GPU-NOT-FOUND' -Field $Machine.Name -Message $message
    } elseif ("$($device.Class)" -ne 'Display') {
        $message = "$($device.FriendlyName) is a $($device.Class) device, no display adapter"
        Add-Problem -Code 'GPV-GPU-NOT-DISPLAY' -Field $Machine.Name -Message $message
    } else {
        Write-Line -Text "ok         $($Machine.Name): $($device.FriendlyName)"
    }
    if ($Gpu.Name -notmatch 'PARAV$') {
        $message = 'its card is a true partition, for which these scripts are not written'
        Add-Note -Code 'GPV-TRUE-PARTITION' -Field $Machine.Name -Message $message
    } elseif ($null -ne $Machine.Percent) {
        $message = "$($Machine.Percent) % is advisory: a paravirtual card is shared whole"
        Add-Note -Code 'GPV-PERCENT-ADVISORY' -Field $Machine.Name -Message $message
    }
}

function Test-PlannedMachine {
    param([object]$VM)
    foreach ($machine in $Plan.Machines) {
        if ($machine.Id) {
            if ("$($VM.Id)" -eq $machine.Id) { return $true }
        } elseif ($VM.Name -ceq $machine.Name) {
            return $true
        }
    }
    return $false
}

function Confirm-GpuUser {
    # A card carries 32 adapters at most: one of each machine of the plan that names it, and those
    # of the other machines.
    param([hashtable]$Users)
    $others = @(foreach ($vm in @(Get-VM)) {
        if (-not (Test-PlannedMachine -VM $vm)) { Get-VMGpuPartitionAdapter -VM $vm }
    })
    foreach ($path in @($Users.Keys | Sort-Object)) {
        $present = @(Select-AdapterOfGpu -Adapters $others -Path $path)
        $count = $present.Count + $Users[$path]
        if ($count -gt 32) {
            $message = "with this plan $count adapters would point to the card $path; 32 can"
            Add-Problem -Code 'GPV-GPU-COUNT' -Field 'host' -Message $message
        }
    }
}

function Confirm-EqualCard {
    # The part of a path after its first # names the model.
    $models = @(Get-HostGpu | ForEach-Object -Process { $_.Name.Split('#')[1] })
    foreach ($model in @($models | Sort-Object -Unique)) {
        $equal = @($models | Where-Object -FilterScript { $_ -eq $model })
        if ($equal.Count -gt 1) {
            $message = "$($equal.Count) cards are $model; only the whole path tells them apart"
            Add-Note -Code 'GPV-GPU-DUPLICATE-NAME' -Field 'host' -Message $message
        }
    }
}

# -- This script: the machines

function Confirm-AdapterTarget {
    # An adapter whose card is gone keeps the machine from starting.
    param([object]$VM, [hashtable]$Machine, [object[]]$Gpus)
    $known = @(Get-HostGpu | ForEach-Object -Process { $_.Name })
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    foreach ($adapter in $adapters) {
        Confirm-PartitionValue -VM $VM -Adapter $adapter
        $path = Get-AdapterPath -Adapter $adapter
        if ($path -and $known -notcontains $path) {
            $message = "its adapter $($adapter.Id) points to a card that the host does not list"
            Add-Problem -Code 'GPV-ADAPTER-STALE' -Field $VM.Name -Message $message
        }
    }
    if (-not $Machine.RemoveOtherAdapters) {
        Confirm-OtherAdapter -VM $VM -Gpus $Gpus -Adapters $adapters
    }
}

function Confirm-PartitionValue {
    # A 0 switches a capability off; an empty value means that none was given.
    param([object]$VM, [object]$Adapter)
    foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
        $name = "MaxPartition$capability"
        if ("$($Adapter.$name)" -eq '0') {
            $message = "its adapter has $name = 0"
            Add-Note -Code 'GPV-PARTITION-ZERO' -Field $VM.Name -Message $message
        }
    }
}

function Confirm-DriverCopy {
    # Whether it is the active package, 20-Sync-Drivers -CheckOnly says.
    param([object]$VM)
    $file = Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).driver.json"
    if (Test-Path -LiteralPath $file -PathType Leaf) { return }
    $message = 'no driver files were copied yet; 20-Sync-Drivers does'
    Add-Note -Code 'GPV-DRIVER-MISSING' -Field $VM.Name -Message $message
}

function Confirm-MachineKind {
    # What no script of the set changes.
    param([object]$VM)
    $clustered = $VM.PSObject.Properties['IsClustered']
    if ($null -ne $clustered -and $clustered.Value) {
        $message = 'it belongs to a cluster, and its card to one node; take it out'
        Add-Problem -Code 'GPV-VM-CLUSTER' -Field $VM.Name -Message $message
    }
    $version = New-Object -TypeName System.Version -ArgumentList "$($VM.Version)"
    if ($version.Major -lt 9 -or ($version.Major -eq 9 -and $version.Minor -eq 0)) {
        $message = "configuration version ${version}: cards were reported not to work in it"
        Add-Note -Code 'GPV-VM-VERSION' -Field $VM.Name -Message $message
    } elseif ($version.Major -ge 12) {
        $message = "configuration version ${version}: Code 43 was reported with older guests"
        Add-Note -Code 'GPV-VM-VERSION' -Field $VM.Name -Message $message
    }
}

function Confirm-MachineSetting {
    # What 10-Apply is going to change, where it alone would keep the card from working.
    param([object]$VM, [hashtable]$Machine)
    if (-not $VM.GuestControlledCacheTypes) {
        $message = 'GuestControlledCacheTypes is off; 10-Apply switches it on'
        Add-Note -Code 'GPV-CACHE-TYPES' -Field $VM.Name -Message $message
    }
    if ($VM.HighMemoryMappedIoSpace -lt 8589934592) {
        $message = "its high memory-mapped space is $($VM.HighMemoryMappedIoSpace) bytes"
        Add-Note -Code 'GPV-MMIO-LOW' -Field $VM.Name -Message "$message; 10-Apply raises it"
    }
    if ($VM.AutomaticCheckpointsEnabled -and "$($VM.CheckpointType)" -ne 'Disabled') {
        $message = 'automatic checkpoints are on; 10-Apply switches them off'
        Add-Note -Code 'GPV-AUTO-CHECKPOINTS' -Field $VM.Name -Message $message
    }
    if ("$($VM.AutomaticStopAction)" -eq 'Save') {
        $message = 'its stop action is Save; 10-Apply changes it'
        Add-Note -Code 'GPV-SAVE-BLOCKED' -Field $VM.Name -Message $message
    }
    if ((Get-VMMemory -VM $VM).DynamicMemoryEnabled -and $null -ne $Machine.MemoryBytes) {
        $message = "its memory is dynamic; 10-Apply makes it $($Machine.MemoryBytes) bytes, static"
        Add-Note -Code 'GPV-MEM-DYNAMIC' -Field $VM.Name -Message $message
    }
}

function Confirm-DiskFree {
    # Off, and yet attached: mounted on the host, or used by another machine.
    param([object]$VM, [string]$Vhdx)
    $spellings = $Vhdx, (ConvertTo-PlainPath -Path $Vhdx)
    if (@(Test-Path -LiteralPath $spellings -PathType Leaf) -notcontains $true) {
        Add-Problem -Code 'GPV-VM-DISK' -Field $VM.Name -Message "there is no file $Vhdx"
        return
    }
    if ("$($VM.State)" -ne 'Off') { return }
    foreach ($disk in @(Get-VHD -Path $Vhdx)) {
        if ($disk.Attached) {
            $message = "$Vhdx is mounted or in use by another machine"
            Add-Problem -Code 'GPV-VHD-IN-USE' -Field $VM.Name -Message $message
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

function Confirm-Machine {
    # Counts in $Users what the plan adds to each card.
    param([hashtable]$Machine, [hashtable]$Users)
    $gpus = @(Resolve-PlanGpu -Machine $Machine)
    foreach ($gpu in $gpus) {
        Confirm-DisplayClass -Gpu $gpu -Machine $Machine
        $Users[$gpu.Name] = 1 + $Users[$gpu.Name]
    }
    if ($null -ne $Machine.Create -and -not (Confirm-NewMachine -Machine $Machine)) { return }
    $vm = Find-PlanMachine -Machine $Machine
    if ($null -eq $vm) { return }
    Confirm-FinishedMachine -VM $vm
    Confirm-MachineOff -VM $vm
    $known = $script:Problems.Count
    Confirm-MachineDisk -VM $vm -Vhdx $Machine.Vhdx
    # That the machine has not this disk is said already.
    if ($script:Problems.Count -eq $known) { Confirm-DiskFree -VM $vm -Vhdx $Machine.Vhdx }
    Confirm-MachineKind -VM $vm
    Confirm-StaticMemory -VM $vm -Machine $Machine
    Confirm-MachineSetting -VM $vm -Machine $Machine
    Confirm-DriverCopy -VM $vm
    Confirm-AdapterTarget -VM $vm -Machine $Machine -Gpus $gpus
}

function Invoke-Preflight {
    Confirm-WindowsBuild
    Confirm-Hypervisor
    Confirm-ServerPolicy
    Confirm-HostMemory
    Confirm-Processor
    $fatal = 'GPV-NO-HYPERV', 'GPV-WMI-NAMESPACE'
    if (@($script:Problems | Where-Object -FilterScript { $fatal -contains $_.code }).Count -gt 0) {
        return
    }
    Confirm-Cmdlet
    Confirm-EqualCard
    $users = @{}
    foreach ($machine in $Plan.Machines) { Confirm-Machine -Machine $machine -Users $users }
    Confirm-GpuUser -Users $users
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    Invoke-Preflight
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Write-Report -Script '01-Preflight' -ExitCode $exitCode
}
exit $exitCode
