#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Puts back what 10-Apply, 40-Display and 20-Sync-Drivers found and changed.

.DESCRIPTION
Reads the state saved in C:\ProgramData\labkit\gpupv. In this order: adapters,
settings, adapters that were there before, driver files of the guest (exactly
those of the manifest, and only where they are still as copied), and, when no
machine is left that asked for it, the server policy. Only what these scripts set
and nobody changed since is put back. A state that was put back is renamed to
*.restored; running 10-Apply again saves a new one.
Run this before you take a card out of the host: an adapter whose card is
gone cannot be removed any more.
Undo: run 10-Apply again.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed, 3 a step is next: shut the guest down and run it without Direct.

.PARAMETER Transport
Offline (the default) works on machines that are off and puts everything back.
Direct takes the driver files out of a running guest, by PowerShell Direct,
and asks for an administrator's account inside it; nothing else.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\90-Rollback.ps1 -WhatIf
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param(
    [ValidateSet('Offline', 'Direct')]
    [string]$Transport = 'Offline',
    [switch]$Json
)

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

function Add-Note {
    # Worth knowing; it stops nothing.
    param([string]$Code, [string]$Field, [string]$Message)
    [void]$script:Notes.Add([ordered]@{ code = $Code; field = $Field; message = $Message })
    Write-Line -Text "note       ${Field}: $Message ($Code)"
}

function Add-ManualStep {
    param([string]$Item, [string]$Message)
    [void]$script:ManualSteps.Add([ordered]@{ item = $Item; message = $Message })
    Write-Line -Text "next       ${Item}: $Message"
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

function Get-AdapterPath {
    # Windows 10 has no such property; there the host has one card, so nothing is ambiguous.
    param([object]$Adapter)
    $property = $Adapter.PSObject.Properties['InstancePath']
    if ($property) { return "$($property.Value)" }
    return ''
}

# -- Settings: what the plan wants, what is there, and where the two differ

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

# -- Where states, manifests and marks are kept: for administrators alone, since all obey them

$script:StateFolder = Join-Path -Path $env:ProgramData -ChildPath 'labkit\gpupv'

function Get-StateFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).state.json"
}

function Read-JsonFile {
    param([string]$Path)
    if (Test-Path -LiteralPath $Path -PathType Leaf) {
        ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
    }
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

# -- Writing there

function Protect-StateFolder {
    # Full control for the system and administrators, nothing for others, nothing inherited.
    $sections = [System.Security.AccessControl.AccessControlSections]'Owner, Group, Access'
    $rules = 'O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
    Confirm-StateFolder
    foreach ($folder in [System.IO.Path]::GetDirectoryName($script:StateFolder), $script:StateFolder) {
        [void][System.IO.Directory]::CreateDirectory($folder)
        if ((Get-Acl -LiteralPath $folder).AreAccessRulesProtected) { continue }
        $security = New-Object -TypeName System.Security.AccessControl.DirectorySecurity
        $security.SetSecurityDescriptorSddlForm($rules, $sections)
        Set-Acl -LiteralPath $folder -AclObject $security -Confirm:$false
    }
}

function Write-JsonFile {
    # Written beside and renamed, so that a cut leaves the old file or the new one, whole.
    param([string]$Path, [object]$Value)
    Protect-StateFolder
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    $bytes = [System.Text.Encoding]::UTF8.GetBytes($text)
    $new = "$Path.new"
    $stream = [System.IO.File]::Create($new)
    try {
        $stream.Write($bytes, 0, $bytes.Length)
        $stream.Flush($true)
    } finally {
        $stream.Dispose()
    }
    if (Test-Path -LiteralPath $Path) {
        [System.IO.File]::Replace($new, $Path, [NullString]::Value)
    } else {
        [System.IO.File]::Move($new, $Path)
    }
}

# -- An adapter that was taken out, added again

function Add-SavedAdapter {
    # The same card with the same values, under a new Id.
    param([object]$VM, [object]$Adapter)
    $arguments = @{ VM = $VM }
    if ($Adapter.Path) { $arguments.InstancePath = $Adapter.Path }
    foreach ($value in $Adapter.Values.PSObject.Properties) {
        if ($value.Value -ne '') { $arguments[$value.Name] = [uint64]$value.Value }
    }
    Add-VMGpuPartitionAdapter @arguments
    Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before 'none' -After $Adapter.Path
}

# -- Base of the high memory-mapped space: moved only where the plan asks, and only WMI can

function Get-BaseFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).base.json"
}

function Set-GapBase {
    # What counts is the value that is there afterwards: the method may end before the change.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [uint64]$Megabyte)
    $data = Get-GapSetting -VM $VM
    $before = [uint64]$data.HighMmioGapBase
    if ($before -eq $Megabyte) {
        Add-Unchanged -Item $VM.Name -Setting 'HighMmioGapBase' -Value "$before MB"
        return
    }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "HighMmioGapBase: $before -> $Megabyte MB")) { return }
    Save-GapBase -VM $VM -Before $before -Applied $Megabyte
    $data.HighMmioGapBase = $Megabyte
    Update-GapSetting -Data $data -Confirm:$false
    for ($waits = 0; $waits -lt 50; $waits++) {
        $after = [uint64](Get-GapSetting -VM $VM).HighMmioGapBase
        if ($after -eq $Megabyte) {
            $change = @{ Before = "$before MB"; After = "$after MB" }
            Add-Change -Item $VM.Name -Setting 'HighMmioGapBase' @change
            return
        }
        Start-Sleep -Milliseconds 200
    }
    throw 'Hyper-V did not take the base of the high memory-mapped space'
}

function Save-GapBase {
    # The first base is the one to go back to, and only from the one that was set here.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM, [uint64]$Before, [uint64]$Applied)
    $file = Get-BaseFile -VM $VM
    $old = Read-JsonFile -Path $file
    $first = "$Before"
    if ($null -ne $old) { $first = "$($old.HighMmioGapBase)" }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "save the present base to $file")) { return }
    Write-JsonFile -Path $file -Value @{ HighMmioGapBase = $first; Applied = "$Applied" }
}

function Update-GapSetting {
    # 4096: accepted, and done a little later.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$Data)
    if (-not $PSCmdlet.ShouldProcess("$($Data.ElementName)", 'modify system settings')) { return }
    $serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()
    $option = [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None
    $bytes = $serializer.Serialize($Data, $option)
    $text = [System.Text.Encoding]::Unicode.GetString($bytes)
    $place = @{
        Namespace = 'root\virtualization\v2'
        ClassName = 'Msvm_VirtualSystemManagementService'
    }
    $call = @{
        InputObject = (Get-CimInstance @place -ErrorAction Stop)
        MethodName = 'ModifySystemSettings'
        Arguments = @{ SystemSettings = $text }
        Confirm = $false
    }
    $result = Invoke-CimMethod @call -ErrorAction Stop
    if (0, 4096 -notcontains $result.ReturnValue) {
        throw "Hyper-V refused the base of the memory-mapped space: $($result.ReturnValue)"
    }
}

function Reset-GapBase {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM)
    $file = Get-BaseFile -VM $VM
    $old = Read-JsonFile -Path $file
    if ($null -eq $old) { return $true }
    $present = "$((Get-GapSetting -VM $VM).HighMmioGapBase)"
    if ($present -ne $old.Applied -and $present -ne $old.HighMmioGapBase) {
        $message = "$present MB, changed since; left"
        Add-Unchanged -Item $VM.Name -Setting 'HighMmioGapBase' -Value $message
        return $true
    }
    $action = "put HighMmioGapBase back to $($old.HighMmioGapBase) MB"
    if (-not $PSCmdlet.ShouldProcess($VM.Name, $action)) { return $false }
    Set-GapBase -VM $VM -Megabyte ([uint64]$old.HighMmioGapBase) -Confirm:$false
    Move-Item -LiteralPath $file -Destination "$file.restored" -Force
    return $true
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

# -- Server policy: changed where the plan asks, and put back when no machine needs it

$script:PolicyFile = Join-Path -Path $script:StateFolder -ChildPath 'policy.state.json'

function Find-PolicyUser {
    # The machines, of whatever plan, that asked for the policy and were not rolled back yet.
    param([object]$State, [string[]]$Done)
    $present = @(Get-VM | ForEach-Object -Process { "$($_.Id)" })
    foreach ($id in @($State.Machines)) {
        if ($Done -contains $id -or $present -notcontains $id) { continue }
        if (Test-Path -LiteralPath (Get-StateFile -VM @{ Id = $id })) { $id }
    }
}

function Reset-ServerPolicy {
    # By the rollback after which no machine is left that asked for it.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([string[]]$Done)
    $state = Read-JsonFile -Path $script:PolicyFile
    if ($null -eq $state) { return }
    $users = @(Find-PolicyUser -State $state -Done $Done)
    if ($users.Count -gt 0) {
        $message = "stays: $($users.Count) other machines asked for it and were not rolled back"
        Add-Unchanged -Item 'host' -Setting 'policy' -Value $message
        return
    }
    foreach ($name in $script:PolicyNames) {
        $old = $state.Values.$name
        $present = Get-PolicyValue -Name $name
        if ("$present" -eq "$old") { continue }
        if ("$present" -ne '0') {
            Add-Unchanged -Item 'host' -Setting $name -Value "$present, changed since; left"
            continue
        }
        if (-not $PSCmdlet.ShouldProcess('host', "${name}: 0 -> '$old'")) { return }
        if ($null -eq $old) {
            Remove-ItemProperty -LiteralPath $script:PolicyKey -Name $name
        } else {
            Set-ItemProperty -LiteralPath $script:PolicyKey -Name $name -Value $old -Type DWord
        }
        Add-Change -Item 'host' -Setting $name -Before '0' -After "$old"
    }
    if (-not $WhatIfPreference) {
        Move-Item -LiteralPath $script:PolicyFile -Destination "$script:PolicyFile.restored" -Force
    }
}

# -- The guest's Windows volume, mounted in a folder: no drive letter, no partition number

function Wait-DiskVolume {
    # Volumes appear a little after their disk; one without a volume by then has none.
    param([int]$DiskNumber)
    for ($waits = 0; $waits -lt 20; $waits++) {
        $partitions = @(Get-Partition -DiskNumber $DiskNumber -ErrorAction SilentlyContinue)
        $basic = @($partitions | Where-Object -FilterScript {
            'System', 'Reserved', 'Recovery' -notcontains "$($_.Type)"
        })
        $volumes = @($basic | ForEach-Object -Process {
            $_ | Get-Volume -ErrorAction SilentlyContinue
        })
        if ($basic.Count -gt 0 -and $volumes.Count -eq $basic.Count) { return }
        Start-Sleep -Milliseconds 250
    }
}

function Find-WindowsPartition {
    # The one partition that holds a Windows; the folder is empty before and after.
    param([int]$DiskNumber, [string]$Folder)
    $skip = 'System', 'Reserved', 'Recovery'
    $blank = 0
    $found = @()
    foreach ($partition in @(Get-Partition -DiskNumber $DiskNumber -ErrorAction Stop)) {
        if ($skip -contains "$($partition.Type)") { continue }
        $own = @($partition | Get-Volume -ErrorAction SilentlyContinue)
        if ($own.Count -eq 0 -or "$($own[0].FileSystem)" -eq '') {
            $blank++
            continue
        }
        $number = $partition.PartitionNumber
        if (Test-WindowsPartition -DiskNumber $DiskNumber -Number $number -Folder $Folder) {
            $found += $number
        }
    }
    if ($found.Count -eq 1) { return $found[0] }
    if ($found.Count -gt 1) {
        throw "GPV-VHD-WRONG-PARTITION: $($found.Count) partitions hold a Windows"
    }
    if ($blank -gt 0) {
        throw 'GPV-VHD-BITLOCKER: its file system cannot be read; use -Transport Direct'
    }
    throw 'GPV-VHD-WRONG-PARTITION: no partition holds a Windows'
}

function Test-WindowsPartition {
    param([int]$DiskNumber, [int]$Number, [string]$Folder)
    $place = @{ DiskNumber = $DiskNumber; PartitionNumber = $Number; AccessPath = $Folder }
    $quiet = @{ Confirm = $false; ErrorAction = 'Stop' }
    [void](Add-PartitionAccessPath @place -ErrorAction Stop)
    try {
        $hive = Join-Path -Path $Folder -ChildPath 'Windows\System32\config\SYSTEM'
        Test-Path -LiteralPath $hive -PathType Leaf
    } finally {
        [void](Remove-PartitionAccessPath @place @quiet)
    }
}

function Confirm-OfflineDisk {
    # Neither in use, nor a link of a chain, nor another disk than the plan's.
    param([string]$Path)
    $disks = @(Get-VHD -Path $Path)
    $plain = ConvertTo-PlainPath -Path $Path
    if ($disks.Count -ne 1 -or (ConvertTo-PlainPath -Path $disks[0].Path) -ne $plain) {
        throw "GPV-VHD-WRONG-PARTITION: $Path is not the disk that Hyper-V found for it"
    }
    if ($disks[0].Attached) { throw "GPV-VHD-IN-USE: $Path is in use" }
    if ($disks[0].ParentPath) { throw "GPV-VHD-AVHDX: $Path depends on $($disks[0].ParentPath)" }
}

function Get-OfflineVolume {
    # What its caller knows before the mount, so as to undo what of it Ctrl-C leaves behind.
    param([string]$Path)
    @{
        Path = $Path
        Folder = ''
        Mounting = $false
        Disk = $null
        Partition = $null
        Free = [decimal]0
        Session = $null
    }
}

function Mount-GuestVolume {
    # Within `try`: the caller's `finally` dismounts, however far this came.
    param([hashtable]$Volume)
    $path = $Volume.Path
    Confirm-OfflineDisk -Path $path
    Protect-StateFolder
    # Short, since driver files have long paths of their own.
    $name = 'mount-' + [guid]::NewGuid().ToString('N').Substring(0, 8)
    $Volume.Folder = Join-Path -Path $script:StateFolder -ChildPath $name
    [void][System.IO.Directory]::CreateDirectory($Volume.Folder)
    $Volume.Mounting = $true
    try {
        $mounted = Mount-VHD -Path $path -NoDriveLetter -Passthru
    } catch {
        # Nothing was mounted here: who has it by now, keeps it.
        $Volume.Mounting = $false
        throw
    }
    $Volume.Disk = $mounted.DiskNumber
    if ((ConvertTo-PlainPath -Path $mounted.Path) -ne (ConvertTo-PlainPath -Path $path)) {
        throw "GPV-VHD-WRONG-PARTITION: $($mounted.Path) was mounted, not $path"
    }
    Wait-DiskVolume -DiskNumber $Volume.Disk
    $partition = Find-WindowsPartition -DiskNumber $Volume.Disk -Folder $Volume.Folder
    $place = @{ DiskNumber = $Volume.Disk; PartitionNumber = $partition }
    [void](Add-PartitionAccessPath @place -AccessPath $Volume.Folder -ErrorAction Stop)
    $Volume.Partition = $partition
    Confirm-GuestRoot -Folder $Volume.Folder
    Confirm-GuestShutdown -Folder $Volume.Folder
    $own = Get-Partition @place -ErrorAction Stop | Get-Volume -ErrorAction Stop
    $Volume.Free = [decimal]$own.SizeRemaining
}

function Confirm-GuestRoot {
    # What is copied would else land in this folder of the host.
    param([string]$Folder)
    $hive = Join-Path -Path $Folder -ChildPath 'Windows\System32\config\SYSTEM'
    if (-not (Test-Path -LiteralPath $hive -PathType Leaf)) {
        throw 'GPV-VHD-WRONG-PARTITION: the volume with Windows could not be mounted'
    }
}

function Confirm-GuestShutdown {
    # A Windows that sleeps on its disk (hibernation, fast start) goes on with what it knew of the
    # files: what is written meanwhile is lost, or damages the volume.
    param([string]$Folder)
    $file = Join-Path -Path $Folder -ChildPath 'hiberfil.sys'
    # By .NET: the file is hidden, and a system's.
    if (-not [System.IO.File]::Exists($file)) { return }
    $bytes = New-Object -TypeName byte[] -ArgumentList 4
    try {
        $stream = [System.IO.File]::OpenRead($file)
        try { [void]$stream.Read($bytes, 0, 4) } finally { $stream.Dispose() }
    } catch {
        $message = "whether the guest hibernates cannot be read ($_)"
        throw "GPV-VHD-HIBERNATED: $message; use -Transport Direct, with the guest running"
    }
    if ([System.Text.Encoding]::ASCII.GetString($bytes) -eq 'HIBR') {
        throw 'GPV-VHD-HIBERNATED: the guest hibernates; start it, and run: shutdown /s /t 0'
    }
}

function Get-MountedDisk {
    # Ctrl-C can come after the disk is attached and before its number is here.
    param([hashtable]$Volume)
    if ($null -ne $Volume.Disk) { return $Volume.Disk }
    if (-not $Volume.Mounting) { return }
    $disk = Get-VHD -Path $Volume.Path
    if ($disk.Attached) { $disk.DiskNumber }
}

function Dismount-GuestVolume {
    # Each step is tried whatever became of the one before; a disk must not stay mounted. A
    # failure here is reported and no more: an error before it is the cause, and is to be told.
    param([hashtable]$Volume)
    if ($Volume.Folder -eq '') { return }
    try {
        try {
            if ($null -ne $Volume.Partition) {
                $place = @{ DiskNumber = $Volume.Disk; PartitionNumber = $Volume.Partition }
                $quiet = @{ Confirm = $false; ErrorAction = 'Stop' }
                [void](Remove-PartitionAccessPath @place -AccessPath $Volume.Folder @quiet)
            }
        } finally {
            # By number: a path with brackets in it would be a wildcard.
            $disk = Get-MountedDisk -Volume $Volume
            if ($null -ne $disk) { Dismount-VHD -DiskNumber $disk -Confirm:$false }
        }
        # Not recursive: a folder that is still a mount point is not emptied.
        [System.IO.Directory]::Delete($Volume.Folder, $false)
    } catch {
        $message = "it may still be mounted in $($Volume.Folder); Dismount-VHD frees it ($_)"
        Add-Problem -Code 'GPV-VHD-IN-USE' -Field $Volume.Path -Message $message
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

# -- The guest's Windows volume, through a session

function Get-SessionMode {
    # FullLanguage, unless a policy (WDAC, AppLocker) restricts the guest; '' where nothing runs.
    param([System.Management.Automation.Runspaces.PSSession]$Session)
    $look = { "$($ExecutionContext.SessionState.LanguageMode)" }
    "$(Invoke-Command -Session $Session -ScriptBlock $look -ErrorAction SilentlyContinue)"
}

function Get-SessionFact {
    param([System.Management.Automation.Runspaces.PSSession]$Session)
    $look = {
        $identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
        $type = 'System.Security.Principal.WindowsPrincipal'
        $principal = New-Object -TypeName $type -ArgumentList $identity
        $role = [System.Security.Principal.WindowsBuiltInRole]::Administrator
        $root = [System.IO.Path]::GetPathRoot($env:windir)
        @{
            Administrator = $principal.IsInRole($role)
            Wide = [Environment]::Is64BitProcess
            Windows = $env:windir
            Root = $root
            Free = (New-Object -TypeName System.IO.DriveInfo -ArgumentList $root).AvailableFreeSpace
        }
    }
    Invoke-Command -Session $Session -ScriptBlock $look -ErrorAction Stop
}

function Connect-GuestVolume {
    # The guest's Windows volume as Mount-GuestVolume gives it, but through a session.
    param([object]$VM, [string]$User)
    $session = Connect-GuestSession -VM $VM -User $User
    if ($null -eq $session) { return }
    $mode = Get-SessionMode -Session $session
    if ($mode -ne 'FullLanguage') {
        $message = "a policy of the guest restricts PowerShell (language mode '$mode')"
        Add-Problem -Code 'GPV-DIRECT-POLICY' -Field $VM.Name -Message $message
        return
    }
    $fact = Get-SessionFact -Session $session
    if (-not $fact.Administrator) {
        $message = 'this account is no administrator of the guest'
        Add-Problem -Code 'GPV-DIRECT-CREDENTIAL' -Field $VM.Name -Message $message
        return
    }
    if (-not $fact.Wide -or $fact.Windows -ne [System.IO.Path]::Combine($fact.Root, 'Windows')) {
        $message = "the guest's Windows is $($fact.Windows), not a 64-bit one in \Windows"
        Add-Problem -Code 'GPV-DIRECT-NO-ANSWER' -Field $VM.Name -Message $message
        return
    }
    Send-GuestFunction -Session $session
    $volume = @{ Path = ''; Folder = "$($fact.Root)"; Disk = $null; Partition = $null }
    $volume.Free = [decimal]$fact.Free
    $volume.Session = $session
    $volume
}

function Send-GuestFunction {
    # The same text as here runs there.
    param([System.Management.Automation.Runspaces.PSSession]$Session)
    $texts = @{}
    $names = 'Get-GuestFolder', 'Resolve-GuestPath', 'Get-FileVersion', 'Test-NewerFile',
        'Compare-GuestFile', 'Get-BackupName', 'Get-BackupPath', 'Move-GuestFile', 'Get-AsidePath',
        'Install-GuestFile', 'Restore-GuestFile', 'Clear-GuestFile', 'Clear-EmptyFolder',
        'Clear-WorkFolder', 'Add-WorkFolder', 'Read-GuestText'
    foreach ($name in $names) { $texts[$name] = (Get-Command -Name $name).Definition }
    $define = {
        param([hashtable]$Texts)
        foreach ($name in $Texts.Keys) {
            Set-Item -Path "function:global:$name" -Value $Texts[$name]
        }
    }
    Invoke-Command -Session $Session -ScriptBlock $define -ArgumentList $texts -ErrorAction Stop
}

# -- Files of a guest. These functions work below a root, by names alone: that of a volume which
# -- is mounted on the host, or, sent there by PowerShell Direct, that of the running guest.

function Get-GuestFolder {
    # Everything that is kept beside the driver lies below HostDriverStore.
    param([string]$Name)
    $store = 'Windows\System32\HostDriverStore'
    if ($Name) { return "$store\$Name" }
    $store
}

function Resolve-GuestPath {
    # A path below the root. A link in the guest could lead to the host's own files: refused.
    param([string]$Root, [string]$Relative)
    $path = $Root
    foreach ($part in $Relative.Split('\')) {
        if ($part -eq '' -or $part -eq '.' -or $part -eq '..' -or $part.Contains(':')) {
            throw "GPV-DRIVER-OUTSIDE: $Relative is no path inside the guest"
        }
        $path = [System.IO.Path]::Combine($path, $part)
        $item = Get-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
        if ($null -ne $item -and ($item.Attributes -band [System.IO.FileAttributes]::ReparsePoint)) {
            throw "GPV-DRIVER-OUTSIDE: $Relative passes through a link"
        }
    }
    $path
}

function Get-FileVersion {
    param([System.IO.FileInfo]$File)
    $info = $File.VersionInfo
    New-Object -TypeName System.Version -ArgumentList @(
        $info.FileMajorPart, $info.FileMinorPart, $info.FileBuildPart, $info.FilePrivatePart
    )
}

function Test-NewerFile {
    # Programs and libraries by version; the rest, and equal versions, by time.
    param([hashtable]$Wanted, [string]$Target)
    $old = Get-Item -LiteralPath $Target -Force
    if ('.dll', '.exe' -contains $old.Extension) {
        $newVersion = New-Object -TypeName System.Version -ArgumentList "$($Wanted.Version)"
        $oldVersion = Get-FileVersion -File $old
        if ($newVersion -ne $oldVersion) { return $newVersion -gt $oldVersion }
    }
    [int64]$Wanted.Ticks -gt $old.LastWriteTimeUtc.Ticks
}

function Compare-GuestFile {
    # For each wanted file: copy, same, or keep (the guest's own is newer); SHA-256 decides. Ours is
    # only what is still as it was copied: a file that something replaced since is the guest's own.
    param([string]$Root, [object[]]$Files)
    foreach ($file in $Files) {
        $target = Resolve-GuestPath -Root $Root -Relative $file.Path
        $backup = Get-BackupName -Relative $file.Path
        if ($file.Backup) { $backup = $file.Backup }
        $saved = Resolve-GuestPath -Root $Root -Relative $backup
        $kept = Test-Path -LiteralPath $saved -PathType Leaf
        $found = @{ Path = $file.Path; Action = 'copy'; Backup = ''; Hash = ''; Ours = $true }
        if ($kept) { $found.Backup = $backup }
        if (Test-Path -LiteralPath $target -PathType Leaf) {
            $found.Hash = (Get-FileHash -LiteralPath $target -Algorithm SHA256 -ErrorAction Stop).Hash
            $same = $found.Hash -eq $file.Hash
            $found.Ours = $file.Known -contains $found.Hash -or ($kept -and $same)
            $always = $found.Ours -or 'package', 'overwrite' -contains $file.Rule
            if ($same) {
                $found.Action = 'same'
            } elseif (-not $always -and -not (Test-NewerFile -Wanted $file -Target $target)) {
                $found.Action = 'keep'
            } elseif (-not $found.Ours) {
                $found.Backup = Get-BackupPath -Root $Root -Relative $file.Path
            }
        }
        $found
    }
}

function Get-BackupName {
    # What is in HostDriverStore already is named from there: the path of a driver's own file is
    # long, and its backup's must not pass 260 characters where it does not.
    param([string]$Relative)
    $store = "$(Get-GuestFolder)\"
    if ($Relative.StartsWith($store, [StringComparison]::OrdinalIgnoreCase)) {
        $Relative = $Relative.Substring($store.Length)
    }
    "$(Get-GuestFolder -Name 'labkit-backup')\$Relative"
}

function Get-BackupPath {
    # A name that is free: what an earlier run has put aside is never overwritten.
    param([string]$Root, [string]$Relative)
    $first = Get-BackupName -Relative $Relative
    $backup = $first
    $number = 1
    while (Test-Path -LiteralPath (Resolve-GuestPath -Root $Root -Relative $backup)) {
        $number++
        $backup = "$first.$number"
    }
    $backup
}

function Move-GuestFile {
    param([string]$Root, [string]$From, [string]$To)
    $source = Resolve-GuestPath -Root $Root -Relative $From
    $target = Resolve-GuestPath -Root $Root -Relative $To
    [void][System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName($target))
    [System.IO.File]::Move($source, $target)
}

function Get-AsidePath {
    "$(Get-GuestFolder -Name 'labkit-work')\$([guid]::NewGuid().ToString('N'))"
}

function Install-GuestFile {
    # From the work folder to its place. What is there is moved away, to the backup unless it is
    # ours: a library in use can be renamed, but neither overwritten nor deleted.
    param([string]$Root, [string]$Staged, [hashtable]$Wanted)
    $new = Resolve-GuestPath -Root $Root -Relative $Staged
    if ((Get-FileHash -LiteralPath $new -Algorithm SHA256 -ErrorAction Stop).Hash -ne $Wanted.Hash) {
        throw "the copy of $($Wanted.Path) differs from its source"
    }
    $target = Resolve-GuestPath -Root $Root -Relative $Wanted.Path
    $aside = ''
    if (Test-Path -LiteralPath $target) {
        $aside = Get-AsidePath
        if (-not $Wanted.Ours) { $aside = $Wanted.Backup }
        Move-GuestFile -Root $Root -From $Wanted.Path -To $aside
    }
    try {
        Move-GuestFile -Root $Root -From $Staged -To $Wanted.Path
    } catch {
        if ($aside) { Move-GuestFile -Root $Root -From $aside -To $Wanted.Path }
        throw
    }
}

function Restore-GuestFile {
    # Puts back what was there before, or takes the file away; one that somebody changed stays.
    param([string]$Root, [string]$Path, [string[]]$Hashes, [string]$Backup)
    $target = Resolve-GuestPath -Root $Root -Relative $Path
    $outcome = 'absent'
    if (Test-Path -LiteralPath $target -PathType Leaf) {
        $hash = (Get-FileHash -LiteralPath $target -Algorithm SHA256 -ErrorAction Stop).Hash
        if ($Hashes -notcontains $hash) { return 'changed since' }
        Move-GuestFile -Root $Root -From $Path -To (Get-AsidePath)
        $outcome = 'removed'
    }
    if ($Backup) {
        $saved = Resolve-GuestPath -Root $Root -Relative $Backup
        if (Test-Path -LiteralPath $saved -PathType Leaf) {
            Move-GuestFile -Root $Root -From $Backup -To $Path
            Clear-EmptyFolder -Root $Root -Relative ([System.IO.Path]::GetDirectoryName($Backup))
            $outcome = 'as before'
        }
    }
    Clear-EmptyFolder -Root $Root -Relative ([System.IO.Path]::GetDirectoryName($Path))
    $outcome
}

function Clear-GuestFile {
    param([string]$Root, [string]$Path)
    $target = Resolve-GuestPath -Root $Root -Relative $Path
    if (Test-Path -LiteralPath $target -PathType Leaf) { Remove-Item -LiteralPath $target -Force }
}

function Clear-EmptyFolder {
    # Upwards, below HostDriverStore only, and only while a folder holds nothing.
    param([string]$Root, [string]$Relative)
    $store = "$(Get-GuestFolder)\"
    while ($Relative.StartsWith($store, [StringComparison]::OrdinalIgnoreCase)) {
        $folder = Resolve-GuestPath -Root $Root -Relative $Relative
        if (Test-Path -LiteralPath $folder -PathType Container) {
            if (@(Get-ChildItem -LiteralPath $folder -Force).Count -gt 0) { return }
            Remove-Item -LiteralPath $folder -Force
        }
        $Relative = [System.IO.Path]::GetDirectoryName($Relative)
    }
}

function Clear-WorkFolder {
    # Returns how many old files are still in use; a restart of the guest frees them.
    param([string]$Root)
    $relative = Get-GuestFolder -Name 'labkit-work'
    $folder = Resolve-GuestPath -Root $Root -Relative $relative
    if (-not (Test-Path -LiteralPath $folder -PathType Container)) { return 0 }
    foreach ($file in @(Get-ChildItem -LiteralPath $folder -File -Force)) {
        Remove-Item -LiteralPath $file.FullName -Force -ErrorAction SilentlyContinue
    }
    $left = @(Get-ChildItem -LiteralPath $folder -Force).Count
    if ($left -eq 0) { Clear-EmptyFolder -Root $Root -Relative $relative }
    $left
}

function Add-WorkFolder {
    param([string]$Root)
    $folder = Resolve-GuestPath -Root $Root -Relative (Get-GuestFolder -Name 'labkit-work')
    [void][System.IO.Directory]::CreateDirectory($folder)
}

function Read-GuestText {
    param([string]$Root, [string]$Relative)
    $file = Resolve-GuestPath -Root $Root -Relative $Relative
    if (Test-Path -LiteralPath $file -PathType Leaf) { [System.IO.File]::ReadAllText($file) }
}

# -- Manifest: which files of a guest come from this script set; only those are ever taken away

function Get-ManifestFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).driver.json"
}

function Get-GuestManifest {
    Get-GuestFolder -Name 'labkit-manifest.json'
}

function Invoke-GuestFunction {
    # The same function: here on the mounted volume, or in the running guest.
    param([hashtable]$Volume, [string]$Name, [hashtable]$Arguments)
    $all = $Arguments.Clone()
    $all['Root'] = $Volume.Folder
    if ($null -eq $Volume.Session) {
        & $Name @all
        return
    }
    $call = {
        param([string]$Name, [hashtable]$Arguments)
        $ErrorActionPreference = 'Stop'
        & $Name @Arguments
    }
    $place = @{ Session = $Volume.Session; ScriptBlock = $call; ErrorAction = 'Stop' }
    Invoke-Command @place -ArgumentList $Name, $all
}

function Read-TrustedManifest {
    # The host's copy counts, and only while the guest carries the mark of the same set: a fresh
    # Windows on the disk carries none, and then nothing in it is ours.
    param([object]$VM, [hashtable]$Volume)
    $manifest = Read-JsonFile -Path (Get-ManifestFile -VM $VM)
    if ($null -eq $manifest) { return }
    $arguments = @{ Relative = (Get-GuestManifest) }
    $text = "$(Invoke-GuestFunction -Volume $Volume -Name 'Read-GuestText' -Arguments $arguments)"
    if ($text -eq '') { return }
    if ((Get-GuestMark -Text $text -Item $VM.Name) -eq "$($manifest.mark)") { $manifest }
}

function Get-GuestMark {
    # A manifest that is cut or overwritten carries none.
    param([string]$Text, [string]$Item)
    try {
        "$((ConvertFrom-Json -InputObject $Text).mark)"
    } catch {
        $message = "the guest's $(Get-GuestManifest) cannot be read: what earlier runs copied counts"
        $message += ' as the guest''s own, and stays'
        Add-Note -Code 'GPV-DRIVER-STALE' -Field $Item -Message $message
        return ''
    }
}

function Undo-DriverFile {
    # One entry of the manifest, taken back; the caller has asked.
    param([hashtable]$Volume, [object]$Entry, [string]$Item)
    $arguments = @{
        Path = "$($Entry.path)"
        Hashes = @("$($Entry.sha256)", "$($Entry.before)")
        Backup = "$($Entry.backup)"
    }
    $outcome = "$(Invoke-GuestFunction -Volume $Volume -Name 'Restore-GuestFile' -Arguments $arguments)"
    if ($outcome -eq 'absent' -or $outcome -eq 'changed since') {
        Add-Unchanged -Item $Item -Setting $Entry.path -Value $outcome
    } else {
        Add-Change -Item $Item -Setting $Entry.path -Before 'copied' -After $outcome
    }
}

function Complete-GuestWork {
    # What the guest still uses, or has loaded, changes at its next start.
    param([hashtable]$Volume, [string]$Item, [int]$ChangesBefore)
    $left = [int]"$(Invoke-GuestFunction -Volume $Volume -Name 'Clear-WorkFolder' -Arguments @{})"
    if ($null -eq $Volume.Session -or $script:Changed.Count -eq $ChangesBefore) { return }
    $message = 'restart the guest, so that it loads the files as they are now'
    if ($left -gt 0) { $message += "; $left old ones are in use, the next run removes them" }
    Add-ManualStep -Item $Item -Message $message
}

# -- This script

# Set where a question was answered with no: the saved state is then kept.
$script:Declined = $false

function Remove-NewAdapter {
    # By Id: what 10-Apply added, or gave other values; one that somebody added since, stays.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $old = @($State.Adapters | ForEach-Object -Process { $_.Id })
    foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        $changed = $State.Applied.PSObject.Properties["Adapter.$($adapter.Id)"]
        if ($old -contains "$($adapter.Id)" -and $null -eq $changed) { continue }
        $path = Get-AdapterPath -Adapter $adapter
        $added = $State.Applied.PSObject.Properties["Added.$path"]
        if ($null -eq $added -and $null -eq $changed) {
            Add-Unchanged -Item $VM.Name -Setting 'GPU adapter' -Value "$path, added since; left"
            continue
        }
        if (-not $PSCmdlet.ShouldProcess($VM.Name, "remove GPU adapter $($adapter.Id) $path")) {
            $script:Declined = $true
            continue
        }
        Remove-VMGpuPartitionAdapter -VM $VM -AdapterId $adapter.Id -Confirm:$false
        Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before "$($adapter.Id)" -After 'none'
    }
}

function Get-OldValue {
    # Of what was set by this script set, what is still so: what somebody changed since, stays.
    param([object]$VM, [object]$State, [string]$Group, [object]$Actual)
    $values = @{}
    foreach ($old in $State.$Group.PSObject.Properties) {
        $name = $old.Name
        $applied = $State.Applied.PSObject.Properties["$Group.$name"]
        $present = "$($Actual.$name)"
        if ($null -eq $applied -or $present -eq $old.Value) { continue }
        if ($present -ne "$($applied.Value)") {
            Add-Unchanged -Item $VM.Name -Setting $name -Value "$present, changed since; left"
        } elseif ('True', 'False' -contains $old.Value) {
            $values[$name] = $old.Value -eq 'True'
        } else {
            $values[$name] = $old.Value
        }
    }
    $values
}

function Reset-MachineSetting {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $old = Get-OldValue -VM $VM -State $State -Group 'Settings' -Actual $VM
    if (@($old.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $VM -Different $old
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "settings: $text")) {
        $script:Declined = $true
        return
    }
    $before = Get-ValueOfEach -Actual $VM -Name @($old.Keys)
    Set-VM -VM $VM @old
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $old
}

function Reset-MachineMemory {
    # The range belongs to dynamic memory, and goes back with it.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $actual = Get-VMMemory -VM $VM
    $old = Get-OldValue -VM $VM -State $State -Group 'Memory' -Actual $actual
    if (@($old.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $old
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "memory: $text")) {
        $script:Declined = $true
        return
    }
    $before = Get-ValueOfEach -Actual $actual -Name @($old.Keys)
    $memory = @{ VM = $VM }
    if ($old.ContainsKey('Startup')) { $memory.StartupBytes = [int64]$old['Startup'] }
    if ($old.ContainsKey('DynamicMemoryEnabled')) {
        $memory.DynamicMemoryEnabled = $old['DynamicMemoryEnabled']
        if ($memory.DynamicMemoryEnabled) {
            $memory.MinimumBytes = [int64]$State.Memory.Minimum
            $memory.MaximumBytes = [int64]$State.Memory.Maximum
        }
    }
    Set-VMMemory @memory
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $old
}

function Reset-MachineProcessor {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $actual = Get-VMProcessor -VM $VM
    $old = Get-OldValue -VM $VM -State $State -Group 'Processor' -Actual $actual
    if (@($old.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $old
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "processors: $text")) {
        $script:Declined = $true
        return
    }
    $before = Get-ValueOfEach -Actual $actual -Name @($old.Keys)
    Set-VMProcessor -VM $VM -Count ([int64]$old['Count'])
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $old
}

function Reset-MachineVideo {
    # All three values together, also where only one goes back.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $actual = Get-VMVideo -VM $VM
    $old = Get-OldValue -VM $VM -State $State -Group 'Video' -Actual $actual
    if (@($old.Keys).Count -eq 0) { return }
    $text = Format-Change -Actual $actual -Different $old
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "video: $text")) {
        $script:Declined = $true
        return
    }
    $before = Get-ValueOfEach -Actual $actual -Name @($old.Keys)
    $video = Get-ValueOfEach -Actual $actual -Name @($State.Video.PSObject.Properties.Name)
    foreach ($name in @($old.Keys)) { $video[$name] = $old[$name] }
    Set-VMVideo -VM $VM @video
    Add-ChangeOfEach -Item $VM.Name -Before $before -Different $old
}

function Add-OldAdapter {
    # What 10-Apply removed: the same card with the same values, under a new Id.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [object]$State)
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    $present = @($adapters | ForEach-Object -Process { "$($_.Id)" })
    $paths = @($adapters | ForEach-Object -Process { Get-AdapterPath -Adapter $_ })
    $known = @(Get-HostGpu | ForEach-Object -Process { $_.Name })
    foreach ($old in @($State.Adapters)) {
        if ($present -contains $old.Id -or ($old.Path -and $paths -contains $old.Path)) { continue }
        if ($old.Path -and $known -notcontains $old.Path) {
            $message = "the host does not list the card $($old.Path) any more; it is not put back"
            Add-Note -Code 'GPV-GPU-NOT-FOUND' -Field $VM.Name -Message $message
            continue
        }
        if (-not $PSCmdlet.ShouldProcess($VM.Name, "add GPU adapter $($old.Path)")) {
            $script:Declined = $true
            continue
        }
        Add-SavedAdapter -VM $VM -Adapter $old
    }
}

function Remove-GuestDriver {
    # Of the volume that is mounted here, or of the running guest.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [string]$Vhdx, [hashtable]$Running)
    $file = Get-ManifestFile -VM $VM
    $manifest = Read-JsonFile -Path $file
    if ($null -eq $manifest) {
        Add-Unchanged -Item $VM.Name -Setting 'driver files' -Value 'none were copied'
        return
    }
    $count = @($manifest.files).Count
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "take back $count driver files of the guest")) {
        $script:Declined = $true
        return
    }
    if ($null -ne $Running) {
        Undo-DriverCopy -VM $VM -Volume $Running
    } else {
        $volume = Get-OfflineVolume -Path $Vhdx
        try {
            Mount-GuestVolume -Volume $volume
            Undo-DriverCopy -VM $VM -Volume $volume
        } finally {
            Dismount-GuestVolume -Volume $volume
        }
    }
    Move-Item -LiteralPath $file -Destination "$file.restored" -Force
}

function Undo-DriverCopy {
    # A Windows that was installed anew carries no mark: nothing in it is ours.
    param([object]$VM, [hashtable]$Volume)
    $start = $script:Changed.Count
    $manifest = Read-TrustedManifest -VM $VM -Volume $Volume
    if ($null -eq $manifest) {
        $message = 'the guest does not carry this manifest; its files are left alone'
        Add-Unchanged -Item $VM.Name -Setting 'driver files' -Value $message
        return
    }
    foreach ($entry in @($manifest.files)) {
        Undo-DriverFile -Volume $Volume -Entry $entry -Item $VM.Name
    }
    $own = @{ Path = (Get-GuestManifest) }
    Invoke-GuestFunction -Volume $Volume -Name 'Clear-GuestFile' -Arguments $own
    Complete-GuestWork -Volume $Volume -Item $VM.Name -ChangesBefore $start
}

function Complete-Rollback {
    # Only a state that was wholly put back is set aside.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM)
    $file = Get-StateFile -VM $VM
    if ($PSCmdlet.ShouldProcess($file, 'rename to *.restored')) {
        Move-Item -LiteralPath $file -Destination "$file.restored" -Force
    }
}

function Confirm-MachineGone {
    # One that was renamed is not gone: its saved state has the old name, and its id.
    param([hashtable]$Machine)
    if ($Machine.Id -or -not (Test-Path -LiteralPath $script:StateFolder)) { return }
    $files = @(Get-ChildItem -LiteralPath $script:StateFolder -File | Where-Object -FilterScript {
        $_.Name -like '*.state.json'
    })
    foreach ($file in $files) {
        $state = Read-JsonFile -Path $file.FullName
        if ("$($state.Name)" -cne $Machine.Name) { continue }
        $renamed = @(Get-VM | Where-Object -FilterScript { "$($_.Id)" -eq "$($state.Id)" })
        foreach ($vm in $renamed) {
            $message = "it is named $($vm.Name) now: give id = '$($vm.Id)' in the plan"
            Add-Problem -Code 'GPV-VM-NOT-FOUND' -Field $Machine.Name -Message $message
        }
    }
}

function Invoke-OfflineRollback {
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine -MayBeGone
        if ($null -eq $vm) {
            Confirm-MachineGone -Machine $machine
            continue
        }
        Confirm-MachineOff -VM $vm
        Confirm-MachineDisk -VM $vm -Vhdx $machine.Vhdx
        $state = Read-JsonFile -Path (Get-StateFile -VM $vm)
        @{ VM = $vm; State = $state; Vhdx = $machine.Vhdx }
    })
    if ($script:Problems.Count -gt 0) { return }
    $done = @()
    foreach ($item in $ready) {
        $script:Declined = $false
        if (-not (Reset-GapBase -VM $item.VM)) { $script:Declined = $true }
        # Anew: what Set-VM writes must not be from before the base moved.
        $item.VM = Get-VM -Id $item.VM.Id
        if ($null -eq $item.State) {
            Add-Unchanged -Item $item.VM.Name -Setting 'settings' -Value 'no saved state'
        } else {
            Remove-NewAdapter -VM $item.VM -State $item.State
            Reset-MachineSetting -VM $item.VM -State $item.State
            Reset-MachineMemory -VM $item.VM -State $item.State
            Reset-MachineProcessor -VM $item.VM -State $item.State
            Reset-MachineVideo -VM $item.VM -State $item.State
            Add-OldAdapter -VM $item.VM -State $item.State
        }
        Remove-GuestDriver -VM $item.VM -Vhdx $item.Vhdx
        if ($script:Declined -and -not $WhatIfPreference) { continue }
        $done += "$($item.VM.Id)"
        if ($null -ne $item.State) { Complete-Rollback -VM $item.VM }
    }
    Reset-ServerPolicy -Done $done
}

function Invoke-DirectRollback {
    # Settings change only while a machine is off: they stay for the offline run.
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        if ($null -eq $vm) { continue }
        Confirm-MachineRunning -VM $vm
        @{ VM = $vm; User = "$($machine.GuestUser)"; Volume = $null }
    })
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $ready) {
        $item.Volume = Connect-GuestVolume -VM $item.VM -User $item.User
    }
    if ($script:Problems.Count -gt 0) { return }
    foreach ($item in $ready) {
        Remove-GuestDriver -VM $item.VM -Running $item.Volume
        if (Test-Path -LiteralPath (Get-StateFile -VM $item.VM)) {
            $message = 'shut it down and run this without -Transport Direct for its settings'
            Add-ManualStep -Item $item.VM.Name -Message $message
        }
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    if ($Transport -eq 'Direct') { Invoke-DirectRollback } else { Invoke-OfflineRollback }
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Disconnect-Guest
    Write-Report -Script '90-Rollback' -ExitCode $exitCode
}
exit $exitCode
