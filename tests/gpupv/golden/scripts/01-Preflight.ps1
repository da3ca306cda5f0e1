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

$Plan = @{
    Tool = 'labkit 0.1.0'
    Hash = '33d5d17abae078041650820a3225ace83d68908bd8e763f2c63d3d25bfc25565'
    Name = 'lab'
    AllowPolicy = $false
    Machines = @(
        @{
            Name = ('O' + [char]0x2019 + 'Brien''s VM')
            Id = $null
            Vhdx = ('D:\VMs\O' + [char]0x2019 + 'Brien''s VM\disk.vhdx')
            Gpus = @(
                '\\?\PCI#VEN_10DE&DEV_2504&SUBSYS_40741458&REV_A1#4&23b96b75&0&0008#{064092b3-625e-43bf-9eb5-dc845897dd59}\GPUPARAV'
            )
            Percent = 50
            RemoveOtherAdapters = $false
            MemoryBytes = 17179869184
            ProcessorCount = 8
            LowMmioBytes = 1073741824
            HighMmioBytes = 34359738368
            HighMmioBaseMb = $null
            StopAction = 'ShutDown'
            Width = 2560
            Height = 1440
            ResolutionType = 'Maximum'
            GuestUser = '.\Bob O''Neil'
            Create = $null
        },
        @{
            Name = 'Build 2'
            Id = $null
            Vhdx = 'D:\VMs\Build 2\disk.vhdx'
            Gpus = @(
                '\\?\PCI#VEN_8086&DEV_4692&SUBSYS_86941043&REV_0C#3&11583659&0&10#{064092b3-625e-43bf-9eb5-dc845897dd59}\GPUPARAV'
            )
            Percent = $null
            RemoveOtherAdapters = $false
            MemoryBytes = 8589934592
            ProcessorCount = 4
            LowMmioBytes = 1073741824
            HighMmioBytes = 34359738368
            HighMmioBaseMb = $null
            StopAction = 'ShutDown'
            Width = $null
            Height = $null
            ResolutionType = 'Maximum'
            GuestUser = $null
            Create = @{
                Iso = 'D:\ISO\Win11.iso'
                VhdBytes = 137438953472
                Switch = 'Default Switch'
            }
        }
    )
}

# -- Report: what changed, what did not, what is wrong; text for a person, or one JSON object

$script:AsJson = $Json.IsPresent
$script:Changed = New-Object -TypeName System.Collections.ArrayList
$script:Unchanged = New-Object -TypeName System.Collections.ArrayList
$script:Problems = New-Object -TypeName System.Collections.ArrayList
$script:ManualSteps = New-Object -TypeName System.Collections.ArrayList
$script:Notes = New-Object -TypeName System.Collections.ArrayList

function Write-Line {
    param([string]$Text)
    if (-not $script:AsJson) {
        Write-Information -MessageData $Text -InformationAction Continue
    }
}

function Add-Problem {
    param([string]$Code, [string]$Field, [string]$Message)
    [void]$script:Problems.Add([ordered]@{ code = $Code; field = $Field; message = $Message })
    Write-Line -Text "problem    ${Field}: $Message ($Code)"
}

function Add-Note {
    # Worth knowing; it stops nothing.
    param([string]$Code, [string]$Field, [string]$Message)
    [void]$script:Notes.Add([ordered]@{ code = $Code; field = $Field; message = $Message })
    Write-Line -Text "note       ${Field}: $Message ($Code)"
}

function Add-Failure {
    param([System.Management.Automation.ErrorRecord]$ErrorRecord)
    $place = "line $($ErrorRecord.InvocationInfo.ScriptLineNumber)"
    $code = 'GPV-FAILED'
    $message = $ErrorRecord.Exception.Message
    if ($message -cmatch '^(GPV-[A-Z0-9-]+): (?s)(.*)$') {
        $code = $Matches[1]
        $message = $Matches[2]
    }
    Add-Problem -Code $code -Field $place -Message $message
    if ($script:Changed.Count -gt 0) {
        Write-Line -Text 'what is listed as changed above stays so; this script can be run again'
    }
}

function Get-FailureExitCode {
    # A failure with a code of its own, before any change, is a problem that was found in time.
    $last = $script:Problems[$script:Problems.Count - 1]
    if ($last.code -ne 'GPV-FAILED' -and $script:Changed.Count -eq 0) { return 2 }
    return 1
}

function Get-ReportExitCode {
    # 2 means that nothing was changed.
    if ($script:Problems.Count -gt 0 -and $script:Changed.Count -gt 0) { return 1 }
    if ($script:Problems.Count -gt 0) { return 2 }
    if ($script:ManualSteps.Count -gt 0) { return 3 }
    return 0
}

function ConvertTo-AsciiJson {
    # The console writes in the code page of the machine: other characters as \uXXXX, as JSON may.
    param([object]$Value)
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    $escape = { param($Found) '\u{0:x4}' -f [int][char]$Found.Value }
    [regex]::Replace($text, '[^\x00-\x7F]', $escape)
}

function Write-Report {
    param([string]$Script, [int]$ExitCode)
    if (-not $script:AsJson) {
        Write-Line -Text "${Script}: $($script:Changed.Count) changed, exit code $ExitCode"
        return
    }
    $report = [ordered]@{
        plan = $Plan.Hash
        script = $Script
        changed = @($script:Changed)
        unchanged = @($script:Unchanged)
        problems = @($script:Problems)
        notes = @($script:Notes)
        manual = @($script:ManualSteps)
        exit = $ExitCode
    }
    Write-Output -InputObject (ConvertTo-AsciiJson -Value $report)
}

function Confirm-WideProcess {
    # A 32-bit console sees another System32 and another registry.
    if (-not [Environment]::Is64BitProcess) {
        throw 'GPV-NOT-64BIT: run this in 64-bit PowerShell'
    }
}

# -- Virtual machines: exactly one for each entry of the plan, never a wildcard

function Find-PlanMachine {
    # Of a machine that is gone there is nothing to undo: with -MayBeGone it stops nothing.
    param([hashtable]$Machine, [switch]$MayBeGone)
    if ($Machine.Id) {
        $found = @(Get-VM | Where-Object -FilterScript { "$($_.Id)" -eq $Machine.Id })
    } else {
        $found = @(Get-VM | Where-Object -FilterScript { $_.Name -ceq $Machine.Name })
    }
    if ($found.Count -eq 1) { return $found[0] }
    if ($found.Count -eq 0) {
        $report = @{ Code = 'GPV-VM-NOT-FOUND'; Field = $Machine.Name }
        $report.Message = 'there is no such virtual machine'
        if ($MayBeGone) { Add-Note @report } else { Add-Problem @report }
    } else {
        $message = "$($found.Count) virtual machines have this name; give the id in the plan"
        Add-Problem -Code 'GPV-VM-AMBIGUOUS' -Field $Machine.Name -Message $message
    }
}

function Confirm-MachineOff {
    param([object]$VM)
    if ("$($VM.State)" -ne 'Off') {
        $message = "it is $($VM.State); shut it down, and delete a saved state"
        Add-Problem -Code 'GPV-VM-NOT-OFF' -Field $VM.Name -Message $message
    }
}

function ConvertTo-PlainPath {
    # The plan may write a path with the prefix for long ones, and Hyper-V the same without.
    param([string]$Path)
    $Path -replace '^\\\\\?\\UNC\\', '\\' -replace '^\\\\\?\\', ''
}

function Confirm-MachineDisk {
    # A differencing disk means checkpoints; writing to its parent would damage the chain.
    param([object]$VM, [string]$Vhdx)
    if (@(Get-VMSnapshot -VM $VM).Count -gt 0) {
        $message = 'it has checkpoints; delete them, which merges them, and wait for the merge'
        Add-Problem -Code 'GPV-VM-CHECKPOINTS' -Field $VM.Name -Message $message
    }
    $disks = @(Get-VMHardDiskDrive -VM $VM | ForEach-Object -Process { "$($_.Path)" })
    foreach ($disk in $disks) {
        if ('.avhdx', '.avhd' -contains [System.IO.Path]::GetExtension($disk)) {
            $message = "it runs on the checkpoint disk $disk; merge it first"
            Add-Problem -Code 'GPV-VHD-AVHDX' -Field $VM.Name -Message $message
            return
        }
    }
    $plain = @($disks | ForEach-Object -Process { ConvertTo-PlainPath -Path $_ })
    if ($plain -notcontains (ConvertTo-PlainPath -Path $Vhdx)) {
        $message = "the plan's disk $Vhdx is not attached to it"
        Add-Problem -Code 'GPV-VM-DISK' -Field $VM.Name -Message $message
    }
}

# -- Cards of the host and adapters of a virtual machine

function Get-HostGpu {
    # Windows 10 has the older name; on Windows 11 that name prints a warning and nothing else.
    if (Get-Command -Name 'Get-VMHostPartitionableGpu' -ErrorAction SilentlyContinue) {
        return Get-VMHostPartitionableGpu
    }
    Get-VMPartitionableGpu
}

function Test-InstancePathSupport {
    (Get-Command -Name 'Add-VMGpuPartitionAdapter').Parameters.ContainsKey('InstancePath')
}

function Resolve-PlanGpu {
    # The host's object for each card that the plan names; whole paths, in any case of letters.
    param([hashtable]$Machine)
    $cards = @(Get-HostGpu)
    if ($cards.Count -eq 0) {
        $message = 'the host lists no card that can be shared; install the vendor''s driver'
        Add-Problem -Code 'GPV-NO-GPU' -Field $Machine.Name -Message $message
        return
    }
    if ($cards.Count -gt 1 -and -not (Test-InstancePathSupport)) {
        $message = 'this Windows cannot say which of several cards is meant; use Windows 11'
        Add-Problem -Code 'GPV-NO-INSTANCEPATH' -Field $Machine.Name -Message $message
        return
    }
    foreach ($path in $Machine.Gpus) {
        $found = @($cards | Where-Object -FilterScript { $null -eq $path -or $_.Name -eq $path })
        if ($found.Count -eq 1) {
            $found[0]
        } elseif ($found.Count -gt 1) {
            $message = "the host has $($found.Count) cards; write the path of one in the plan"
            Add-Problem -Code 'GPV-GPU-AMBIGUOUS' -Field $Machine.Name -Message $message
        } else {
            $message = "the host does not list the card $path"
            foreach ($card in $cards) {
                # The same model in another slot: the part after the first # names it.
                if ($card.Name.Split('#')[1] -ne $path.Split('#')[1]) { continue }
                $message += "; an equal one is at $($card.Name)"
            }
            Add-Problem -Code 'GPV-GPU-NOT-FOUND' -Field $Machine.Name -Message $message
        }
    }
}

function ConvertTo-PnpId {
    # \\?\PCI#VEN...#4&...#{guid}\GPUPARAV -> PCI\VEN...\4&...
    param([string]$InstancePath)
    $parts = $InstancePath.Substring(4).Split('#')
    "$($parts[0])\$($parts[1])\$($parts[2])"
}

function Get-AdapterPath {
    # Windows 10 has no such property; there the host has one card, so nothing is ambiguous.
    param([object]$Adapter)
    $property = $Adapter.PSObject.Properties['InstancePath']
    if ($property) { return "$($property.Value)" }
    return ''
}

function Select-AdapterOfGpu {
    # The adapters that point to this card; where adapters have no path, all of them do.
    param([object[]]$Adapters, [string]$Path)
    foreach ($adapter in $Adapters) {
        $own = Get-AdapterPath -Adapter $adapter
        if ($own -eq $Path -or ($own -eq '' -and -not (Test-InstancePathSupport))) { $adapter }
    }
}

function Select-OtherAdapter {
    # The adapters that point to no card of the plan.
    param([object[]]$Adapters, [object[]]$Gpus)
    $named = @(foreach ($gpu in $Gpus) { Select-AdapterOfGpu -Adapters $Adapters -Path $gpu.Name })
    $known = @($named | ForEach-Object -Process { "$($_.Id)" })
    foreach ($adapter in $Adapters) {
        if ($known -notcontains "$($adapter.Id)") { $adapter }
    }
}

function Confirm-OtherAdapter {
    # Adapters that the plan does not name are removed only if the plan says so.
    param([object]$VM, [object[]]$Gpus, [object[]]$Adapters)
    foreach ($adapter in @(Select-OtherAdapter -Adapters $Adapters -Gpus $Gpus)) {
        $message = "the plan does not name its adapter $($adapter.Id)"
        $message += " $(Get-AdapterPath -Adapter $adapter); see remove_other_adapters"
        Add-Problem -Code 'GPV-ADAPTER-OTHER' -Field $VM.Name -Message $message
    }
}

# -- Settings: what the plan wants, what is there, and where the two differ

function Confirm-StaticMemory {
    # Switched off without a size, dynamic memory would leave the machine what it starts with.
    param([object]$VM, [hashtable]$Machine)
    $memory = Get-VMMemory -VM $VM
    if (-not $memory.DynamicMemoryEnabled -or $null -ne $Machine.MemoryBytes) { return }
    $message = "its memory is dynamic: it would stay at the $($memory.Startup) bytes that it starts"
    $message += " with, of at most $($memory.Maximum); give its memory in the plan"
    Add-Problem -Code 'GPV-MEM-DYNAMIC' -Field $VM.Name -Message $message
}

# -- Where states, manifests and marks are kept: for administrators alone, since all obey them

$script:StateFolder = Join-Path -Path $env:ProgramData -ChildPath 'labkit\gpupv'

function Get-MarkFile {
    # Of a machine that 05-New-VM has made, and not yet finished.
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).new.json"
}

function Confirm-StateFolder {
    # Anybody may make folders in ProgramData; what lies in somebody else's is not obeyed.
    $trusted = 'S-1-5-18', 'S-1-5-32-544'
    foreach ($folder in [System.IO.Path]::GetDirectoryName($script:StateFolder), $script:StateFolder) {
        if (-not (Test-Path -LiteralPath $folder)) { return }
        $link = (Get-Item -LiteralPath $folder -Force).Attributes -band
            [System.IO.FileAttributes]::ReparsePoint
        $type = [System.Security.Principal.SecurityIdentifier]
        $owner = (Get-Acl -LiteralPath $folder).GetOwner($type).Value
        if ($link -or $trusted -notcontains $owner) {
            throw "GPV-STATE-FOLDER: $folder is a link, or belongs to $owner, no administrator"
        }
    }
}

function Confirm-FinishedMachine {
    param([object]$VM)
    if (Test-Path -LiteralPath (Get-MarkFile -VM $VM)) {
        $message = '05-New-VM has not finished it; run that again'
        Add-Problem -Code 'GPV-NEW-UNFINISHED' -Field $VM.Name -Message $message
    }
}

# -- Server policy: two values that refuse paravirtual cards unless both are 0

$script:PolicyKey = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\HyperV'
$script:PolicyNames = 'RequireSecureDeviceAssignment', 'RequireSupportedDeviceAssignment'

function Get-PolicyValue {
    # $null is said outright: what a function leaves out, ConvertTo-Json writes as {}.
    param([string]$Name)
    if (-not (Test-Path -LiteralPath $script:PolicyKey)) { return $null }
    return (Get-Item -LiteralPath $script:PolicyKey).GetValue($Name)
}

function Find-RefusingPolicy {
    # Only Windows Server asks for them.
    if ((Get-CimInstance -ClassName Win32_OperatingSystem).ProductType -eq 1) { return }
    foreach ($name in $script:PolicyNames) {
        $value = Get-PolicyValue -Name $name
        if ($null -eq $value -or $value -ne 0) { $name }
    }
}

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
