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

$Plan = @{
    Tool = 'labkit 0.1.0'
    Hash = 'd0016b850a0b2585459ed05e0bd655328aaec269717a2124c176fa71d567d330'
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

function Write-Line {
    param([string]$Text)
    if (-not $script:AsJson) {
        Write-Information -MessageData $Text -InformationAction Continue
    }
}

function Add-Change {
    param([string]$Item, [string]$Setting, [string]$Before, [string]$After)
    $entry = [ordered]@{ item = $Item; setting = $Setting; before = $Before; after = $After }
    [void]$script:Changed.Add($entry)
    Write-Line -Text "changed    ${Item}: ${Setting}: $Before -> $After"
}

function Add-Unchanged {
    param([string]$Item, [string]$Setting, [string]$Value)
    [void]$script:Unchanged.Add([ordered]@{ item = $Item; setting = $Setting; value = $Value })
    Write-Line -Text "unchanged  ${Item}: ${Setting}: $Value"
}

function Add-Problem {
    param([string]$Code, [string]$Field, [string]$Message)
    [void]$script:Problems.Add([ordered]@{ code = $Code; field = $Field; message = $Message })
    Write-Line -Text "problem    ${Field}: $Message ($Code)"
}

function Add-ManualStep {
    param([string]$Item, [string]$Message)
    [void]$script:ManualSteps.Add([ordered]@{ item = $Item; message = $Message })
    Write-Line -Text "next       ${Item}: $Message"
}

function Add-Failure {
    param([System.Management.Automation.ErrorRecord]$ErrorRecord)
    $place = "line $($ErrorRecord.InvocationInfo.ScriptLineNumber)"
    Add-Problem -Code 'GPV-FAILED' -Field $place -Message $ErrorRecord.Exception.Message
    if ($script:Changed.Count -gt 0) {
        Write-Line -Text 'what is listed as changed above stays changed; 90-Rollback.ps1 undoes it'
    }
}

function Get-ReportExitCode {
    if ($script:Problems.Count -gt 0) { return 2 }
    if ($script:ManualSteps.Count -gt 0) { return 3 }
    return 0
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
        manual = @($script:ManualSteps)
        exit = $ExitCode
    }
    Write-Output -InputObject (ConvertTo-Json -InputObject $report -Depth 6)
}

function Confirm-WideProcess {
    # A 32-bit console sees another System32 and another registry.
    if (-not [Environment]::Is64BitProcess) {
        throw 'GPV-NOT-64BIT: run this in 64-bit PowerShell'
    }
}

# -- Virtual machines: exactly one for each entry of the plan, never a wildcard

function Find-PlanMachine {
    param([hashtable]$Machine)
    if ($Machine.Id) {
        $found = @(Get-VM | Where-Object -FilterScript { "$($_.Id)" -eq $Machine.Id })
    } else {
        $found = @(Get-VM | Where-Object -FilterScript { $_.Name -ceq $Machine.Name })
    }
    if ($found.Count -eq 1) { return $found[0] }
    if ($found.Count -eq 0) {
        $message = 'there is no such virtual machine'
        Add-Problem -Code 'GPV-VM-NOT-FOUND' -Field $Machine.Name -Message $message
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

function Confirm-MachineDisk {
    # A differencing disk means checkpoints; writing to its parent would damage the chain.
    param([object]$VM, [string]$Vhdx)
    if (@(Get-VMSnapshot -VM $VM).Count -gt 0) {
        $message = 'it has checkpoints; delete them, which merges them, and wait for the merge'
        Add-Problem -Code 'GPV-VM-CHECKPOINTS' -Field $VM.Name -Message $message
    }
    $disks = @(Get-VMHardDiskDrive -VM $VM | ForEach-Object -Process { "$($_.Path)" })
    foreach ($disk in $disks) {
        if ([System.IO.Path]::GetExtension($disk) -eq '.avhdx') {
            $message = "it runs on the checkpoint disk $disk; merge it first"
            Add-Problem -Code 'GPV-VHD-AVHDX' -Field $VM.Name -Message $message
            return
        }
    }
    if ($disks -notcontains $Vhdx) {
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

function Get-PartitionValue {
    # Percent of the card's totals. [decimal] holds 2^64 * 100 exactly; [double] would not.
    param([object]$Gpu, [int]$Percent)
    $values = @{}
    foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
        $total = [decimal]$Gpu."Total$capability"
        $share = [uint64][Math]::Max([decimal]1, [Math]::Floor($total * $Percent / 100))
        $values["MinPartition$capability"] = [uint64]1
        $values["MaxPartition$capability"] = $share
        $values["OptimalPartition$capability"] = $share
    }
    $values
}

# -- Settings: what the plan wants, what is there, and where the two differ

function Get-WantedSetting {
    param([hashtable]$Machine)
    [ordered]@{
        GuestControlledCacheTypes = $true
        LowMemoryMappedIoSpace = [uint32]$Machine.LowMmioBytes
        HighMemoryMappedIoSpace = [uint64]$Machine.HighMmioBytes
        AutomaticCheckpointsEnabled = $false
        CheckpointType = 'Disabled'
        AutomaticStopAction = $Machine.StopAction
    }
}

function Get-WantedMemory {
    param([hashtable]$Machine)
    $wanted = [ordered]@{ DynamicMemoryEnabled = $false }
    if ($null -ne $Machine.MemoryBytes) { $wanted.Startup = [int64]$Machine.MemoryBytes }
    $wanted
}

function Get-WantedProcessor {
    param([hashtable]$Machine)
    $wanted = [ordered]@{}
    if ($null -ne $Machine.ProcessorCount) { $wanted.Count = [int64]$Machine.ProcessorCount }
    $wanted
}

function Get-WantedVideo {
    param([hashtable]$Machine)
    $wanted = [ordered]@{}
    if ($null -ne $Machine.Width) {
        $wanted.ResolutionType = $Machine.ResolutionType
        $wanted.HorizontalResolution = [uint16]$Machine.Width
        $wanted.VerticalResolution = [uint16]$Machine.Height
    }
    $wanted
}

function Compare-Setting {
    # The wanted values that differ; enumerations and numbers are equal when their texts are.
    param([object]$Actual, [System.Collections.IDictionary]$Wanted, [string]$Item)
    $different = @{}
    foreach ($name in $Wanted.Keys) {
        if ("$($Actual.$name)" -eq "$($Wanted[$name])") {
            Add-Unchanged -Item $Item -Setting $name -Value "$($Wanted[$name])"
        } else {
            $different[$name] = $Wanted[$name]
        }
    }
    $different
}

function Format-Change {
    param([object]$Actual, [hashtable]$Different)
    $parts = foreach ($name in ($Different.Keys | Sort-Object)) {
        "${name}: $($Actual.$name) -> $($Different[$name])"
    }
    $parts -join ', '
}

function Add-ChangeOfEach {
    param([string]$Item, [hashtable]$Before, [hashtable]$Different)
    foreach ($name in ($Different.Keys | Sort-Object)) {
        Add-Change -Item $Item -Setting $name -Before "$($Before[$name])" -After "$($Different[$name])"
    }
}

function Get-ValueOfEach {
    # The present values as text, taken before the object changes under our hands.
    param([object]$Actual, [string[]]$Name)
    $found = @{}
    foreach ($key in $Name) { $found[$key] = "$($Actual.$key)" }
    $found
}

# -- State: how a virtual machine was before the first change, kept until the rollback

$script:StateFolder = Join-Path -Path $env:ProgramData -ChildPath 'labkit\gpupv'

function Get-StateFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).state.json"
}

function Get-MachineState {
    # Numbers as text: JSON readers round what is beyond 2^53.
    param([object]$VM)
    $settings = 'GuestControlledCacheTypes', 'LowMemoryMappedIoSpace', 'HighMemoryMappedIoSpace',
        'AutomaticCheckpointsEnabled', 'CheckpointType', 'AutomaticStopAction'
    $adapters = @(foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        $values = @{}
        foreach ($bound in 'Min', 'Max', 'Optimal') {
            foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
                $name = "${bound}Partition$capability"
                $values[$name] = "$($adapter.$name)"
            }
        }
        @{ Id = "$($adapter.Id)"; Path = (Get-AdapterPath -Adapter $adapter); Values = $values }
    })
    $memory = Get-VMMemory -VM $VM
    $memoryNames = 'DynamicMemoryEnabled', 'Startup', 'Minimum', 'Maximum'
    $videoNames = 'ResolutionType', 'HorizontalResolution', 'VerticalResolution'
    [ordered]@{
        Id = "$($VM.Id)"
        Name = $VM.Name
        Settings = Get-ValueOfEach -Actual $VM -Name $settings
        Memory = Get-ValueOfEach -Actual $memory -Name $memoryNames
        Processor = Get-ValueOfEach -Actual (Get-VMProcessor -VM $VM) -Name 'Count'
        Video = Get-ValueOfEach -Actual (Get-VMVideo -VM $VM) -Name $videoNames
        Adapters = $adapters
    }
}

function Write-JsonFile {
    # Written beside and renamed, so that a cut leaves the old file or the new one, whole.
    param([string]$Path, [object]$Value)
    $folder = [System.IO.Path]::GetDirectoryName($Path)
    [void][System.IO.Directory]::CreateDirectory($folder)
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    $new = "$Path.new"
    [System.IO.File]::WriteAllText($new, $text)
    Move-Item -LiteralPath $new -Destination $Path -Force
}

function Read-JsonFile {
    param([string]$Path)
    if (Test-Path -LiteralPath $Path -PathType Leaf) {
        ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
    }
}

function Save-MachineState {
    # The first state is the one to go back to; a later run must not replace it.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM)
    $file = Get-StateFile -VM $VM
    if (Test-Path -LiteralPath $file) { return }
    if ($PSCmdlet.ShouldProcess($VM.Name, "save the present settings to $file")) {
        Write-JsonFile -Path $file -Value (Get-MachineState -VM $VM)
        Write-Line -Text "saved      $($VM.Name): $file"
    }
}

# -- Server policy: two values that refuse paravirtual cards unless they are 0

$script:PolicyKey = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\HyperV'
$script:PolicyNames = 'RequireSecureDeviceAssignment', 'RequireSupportedDeviceAssignment'
$script:PolicyFile = Join-Path -Path $script:StateFolder -ChildPath 'policy.state.json'

function Get-PolicyValue {
    param([string]$Name)
    if (Test-Path -LiteralPath $script:PolicyKey) {
        (Get-Item -LiteralPath $script:PolicyKey).GetValue($Name)
    }
}

function Save-PolicyState {
    [CmdletBinding(SupportsShouldProcess = $true)]
    param()
    if (Test-Path -LiteralPath $script:PolicyFile) { return }
    if (-not $PSCmdlet.ShouldProcess('host', "save the policy to $script:PolicyFile")) { return }
    $state = @{}
    foreach ($name in $script:PolicyNames) { $state[$name] = Get-PolicyValue -Name $name }
    Write-JsonFile -Path $script:PolicyFile -Value $state
}

function Set-ServerPolicy {
    # This weakens device isolation; a plan has to ask for it with allow_policy.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param()
    if ((Get-CimInstance -ClassName Win32_OperatingSystem).ProductType -eq 1) { return }
    Save-PolicyState
    foreach ($name in $script:PolicyNames) {
        $before = Get-PolicyValue -Name $name
        if ($null -ne $before -and $before -eq 0) {
            Add-Unchanged -Item 'host' -Setting $name -Value '0'
            continue
        }
        if (-not $PSCmdlet.ShouldProcess('host', "${name}: $before -> 0")) { continue }
        if (-not (Test-Path -LiteralPath $script:PolicyKey)) {
            [void](New-Item -Path $script:PolicyKey -Force)
        }
        Set-ItemProperty -LiteralPath $script:PolicyKey -Name $name -Value 0 -Type DWord
        Add-Change -Item 'host' -Setting $name -Before "$before" -After '0'
    }
}

function Reset-ServerPolicy {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param()
    $state = Read-JsonFile -Path $script:PolicyFile
    if ($null -eq $state) { return }
    foreach ($name in $script:PolicyNames) {
        $old = $state.$name
        if (-not $PSCmdlet.ShouldProcess('host', "put $name back to '$old'")) { return }
        if ($null -eq $old) {
            Remove-ItemProperty -LiteralPath $script:PolicyKey -Name $name -ErrorAction SilentlyContinue
        } else {
            Set-ItemProperty -LiteralPath $script:PolicyKey -Name $name -Value $old -Type DWord
        }
        Add-Change -Item 'host' -Setting $name -Before '0' -After "$old"
    }
    Move-Item -LiteralPath $script:PolicyFile -Destination "$script:PolicyFile.restored" -Force
}

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
