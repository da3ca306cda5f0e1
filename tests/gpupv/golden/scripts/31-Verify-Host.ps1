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
    if ($null -ne $Machine.ProcessorCount) { $wanted['Count'] = [int64]$Machine.ProcessorCount }
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

function Get-GapSetting {
    # Of the realized machine, not of its checkpoints; in MB, where the cmdlets speak of bytes.
    param([object]$VM)
    $place = @{
        Namespace = 'root\virtualization\v2'
        ClassName = 'Msvm_VirtualSystemSettingData'
    }
    $found = @(Get-CimInstance @place -ErrorAction Stop | Where-Object -FilterScript {
        $_.VirtualSystemType -eq 'Microsoft:Hyper-V:System:Realized' -and
            $_.ConfigurationID -eq "$($VM.Id)"
    })
    if ($found.Count -ne 1) { throw "$($found.Count) system settings belong to $($VM.Id)" }
    $found[0]
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

# -- PowerShell Direct: into a running guest over the machine bus, without any network

$script:GuestSessions = New-Object -TypeName System.Collections.ArrayList

function Confirm-MachineRunning {
    param([object]$VM)
    if ("$($VM.State)" -ne 'Running') {
        $message = "it is $($VM.State); PowerShell Direct needs it running, with Windows up"
        Add-Problem -Code 'GPV-DIRECT-NOT-RUNNING' -Field $VM.Name -Message $message
    }
}

function Read-GuestCredential {
    # Asked for at each run, kept in memory only; nothing where the question was cancelled.
    param([object]$VM, [string]$User)
    $question = @{ Message = "An administrator inside the guest $($VM.Name)" }
    if ($User) { $question.UserName = $User }
    Get-Credential @question
}

function Connect-GuestSession {
    # A session, or nothing and a problem that says why there is none.
    param([object]$VM, [string]$User)
    $credential = Read-GuestCredential -VM $VM -User $User
    if ($null -eq $credential) {
        Add-Problem -Code 'GPV-DIRECT-CREDENTIAL' -Field $VM.Name -Message 'no account was given'
        return
    }
    try {
        $session = New-PSSession -VMId $VM.Id -Credential $credential -ErrorAction Stop
        [void]$script:GuestSessions.Add($session)
        $session
    } catch {
        # By the kind of the exception: its text is in the host's language.
        $cause = $_.Exception.GetBaseException()
        $kinds = $_.Exception.GetType().Name, $cause.GetType().Name
        $code = 'GPV-DIRECT-NO-ANSWER'
        if ($kinds -contains 'PSDirectException') { $code = 'GPV-DIRECT-CREDENTIAL' }
        Add-Problem -Code $code -Field $VM.Name -Message $_.Exception.Message
    }
}

function Disconnect-Guest {
    # In each `finally`, also under -WhatIf: no session outlives the script.
    foreach ($session in @($script:GuestSessions)) {
        $quiet = @{ WhatIf = $false; Confirm = $false; ErrorAction = 'SilentlyContinue' }
        Remove-PSSession -Session $session @quiet
    }
    $script:GuestSessions.Clear()
}

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
