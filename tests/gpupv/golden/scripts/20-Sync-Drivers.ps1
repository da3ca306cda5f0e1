#Requires -Version 5.1
#Requires -RunAsAdministrator
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Copies the host's driver package of each card into the guest.

.DESCRIPTION
Changes files of the guest: the whole package below
Windows\System32\HostDriverStore, and the files that the driver's own
CopyToVm lists and a short vendor table name in System32 and SysWOW64. Only
what differs is copied; SHA-256 decides, and is compared again after the copy.
A file that was there before is kept in HostDriverStore\labkit-backup. The
manifest (path, size, SHA-256) is kept on both sides; what an earlier run
copied and this one does not want any more is taken back by it.
Undo: 90-Rollback.ps1, with either transport.
Exit codes: 0 done or nothing to do, 1 failed, 2 problem found, nothing
changed, 3 restart the guest (Direct), or the driver is stale (-CheckOnly).

.PARAMETER Transport
Offline (the default) mounts the disk of a machine that is off. Direct copies
into a running guest by PowerShell Direct and asks for an administrator's
account inside it; that also serves where BitLocker locks the disk.

.PARAMETER CheckOnly
Changes nothing. Offline compares the host's packages with the manifest and
mounts nothing; Direct compares each file inside the guest.

.PARAMETER Json
Writes one JSON object instead of text. The lines of -WhatIf are PowerShell's
own; they come before it.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\20-Sync-Drivers.ps1 -CheckOnly

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\20-Sync-Drivers.ps1 -Transport Direct
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param(
    [ValidateSet('Offline', 'Direct')]
    [string]$Transport = 'Offline',
    [switch]$CheckOnly,
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

# -- Where states, manifests and marks are kept: for administrators alone, since all obey them

$script:StateFolder = Join-Path -Path $env:ProgramData -ChildPath 'labkit\gpupv'

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

function Send-GuestFile {
    # Into the work folder of the guest; returns its path there.
    param([hashtable]$Volume, [string]$Source)
    $staged = Get-AsidePath
    $target = [System.IO.Path]::Combine($Volume.Folder, $staged)
    if ($null -eq $Volume.Session) {
        Copy-Item -LiteralPath $Source -Destination $target -Force
    } else {
        $there = @{ Destination = $target; ToSession = $Volume.Session }
        Copy-Item -LiteralPath $Source @there -Force -ErrorAction Stop
    }
    $staged
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

# -- Driver package: the one of this very card, and the files that it wants in the guest

$script:CopyLists = [ordered]@{
    CopyToVmOverwrite = @('System32', 'overwrite')
    CopyToVmWhenNewer = @('System32', 'newer')
    CopyToVmOverwriteWow64 = @('SysWOW64', 'overwrite')
    CopyToVmWhenNewerWow64 = @('SysWOW64', 'newer')
}

function Get-DeviceValue {
    param([string]$PnpId, [string]$KeyName)
    $property = Get-PnpDeviceProperty -InstanceId $PnpId -KeyName $KeyName -ErrorAction Stop
    $data = $property.PSObject.Properties['Data']
    if ($null -eq $data -or -not $data.Value) {
        throw "GPV-DRIVER-UNRESOLVED: $PnpId has no $KeyName"
    }
    "$($data.Value)"
}

function Get-DriverPackage {
    # By Plug and Play id: two cards may share a name, and old packages stay in the store.
    param([string]$InstancePath)
    $pnpId = ConvertTo-PnpId -InstancePath $InstancePath
    $inf = Get-DeviceValue -PnpId $pnpId -KeyName 'DEVPKEY_Device_DriverInfPath'
    $drivers = @(Get-WindowsDriver -Online | Where-Object -FilterScript { $_.Driver -eq $inf })
    $folders = @($drivers | ForEach-Object -Process {
        [System.IO.Path]::GetDirectoryName($_.OriginalFileName)
    } | Sort-Object -Unique)
    if ($folders.Count -ne 1) {
        throw "GPV-DRIVER-UNRESOLVED: $($folders.Count) packages belong to $inf"
    }
    $store = Join-Path -Path $env:windir -ChildPath 'System32\DriverStore\FileRepository'
    if ([System.IO.Path]::GetDirectoryName($folders[0]) -ne $store) {
        throw "GPV-DRIVER-UNRESOLVED: $($folders[0]) is not in the driver store"
    }
    $file = "$($drivers[0].OriginalFileName)"
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) {
        throw "GPV-DRIVER-UNRESOLVED: there is no $file"
    }
    @{
        Folder = $folders[0]
        Name = [System.IO.Path]::GetFileName($folders[0])
        Inf = $inf
        File = $file
        Version = "$($drivers[0].Version)"
        ClassKey = Get-DeviceValue -PnpId $pnpId -KeyName 'DEVPKEY_Device_Driver'
        InstancePath = $InstancePath
    }
}

function Get-InfValue {
    # Each value of a key of an INF file, without blanks and comments.
    param([string]$Path, [string]$Key)
    if (-not (Test-Path -LiteralPath $Path -PathType Leaf)) { return }
    $text = [System.IO.File]::ReadAllText($Path)
    foreach ($found in [regex]::Matches($text, "(?im)^[ \t]*${Key}[ \t]*=([^;\r\n]+)")) {
        $found.Groups[1].Value -replace '\s', ''
    }
}

function Find-CompanionPackage {
    # What the INF of an AMD card has copied along (OpenCL and the like): other packages of the
    # store, of the very same version. Where not exactly one fits, it is left out, and said.
    param([hashtable]$Package)
    if ($Package.InstancePath -notmatch 'VEN_1002') { return }
    $store = [System.IO.Path]::GetDirectoryName($Package.Folder)
    $version = "$(Get-InfValue -Path $Package.File -Key 'DriverVer')"
    $lists = @(Get-InfValue -Path $Package.File -Key 'CopyINF')
    $names = @($lists | ForEach-Object -Process { $_.Split(',') } | Sort-Object -Unique)
    foreach ($name in $names) {
        if ($name -notmatch '^(amdocl|amdwin-u[0-9a-z_-]*)\.inf$') { continue }
        $found = @(Get-ChildItem -LiteralPath $store -Directory | Where-Object -FilterScript {
            $file = Join-Path -Path $_.FullName -ChildPath $name
            $_.Name.StartsWith("${name}_", [StringComparison]::OrdinalIgnoreCase) -and
                "$(Get-InfValue -Path $file -Key 'DriverVer')" -eq $version
        })
        if ($found.Count -ne 1) {
            $message = "$($found.Count) packages $name of version $version; it is left out"
            Add-Note -Code 'GPV-DRIVER-UNRESOLVED' -Field $Package.Name -Message $message
            continue
        }
        $companion = $Package.Clone()
        $companion.Folder = $found[0].FullName
        $companion.Name = $found[0].Name
        $companion.Inf = $name
        $companion.ClassKey = ''
        $companion
    }
}

function Get-CopyRule {
    # The driver's own lists in the card's class key, and one level below it.
    param([hashtable]$Package)
    if (-not $Package.ClassKey) { return }
    $root = "HKLM:\SYSTEM\CurrentControlSet\Control\Class\$($Package.ClassKey)"
    $keys = @(Get-Item -LiteralPath $root)
    $keys += @(Get-ChildItem -LiteralPath $root -ErrorAction SilentlyContinue)
    foreach ($key in $keys) {
        foreach ($list in $script:CopyLists.Keys) {
            $path = Join-Path -Path $key.PSPath -ChildPath $list
            if (-not (Test-Path -LiteralPath $path)) { continue }
            $values = Get-Item -LiteralPath $path
            foreach ($name in $values.GetValueNames()) {
                $pair = @($values.GetValue($name))
                $target = ''
                if ("$($pair[0])" -eq '') { continue }
                if ($pair.Count -gt 1) { $target = "$($pair[1])" }
                ConvertTo-FileRule -Package $Package -Source "$($pair[0])" -Target $target -List $list
            }
        }
    }
}

function ConvertTo-FileRule {
    # A source inside the package, a target that is a bare name; anything else is refused.
    param([hashtable]$Package, [string]$Source, [string]$Target, [string]$List)
    if ($Target -eq '') { $Target = $Source.Split('\')[-1] }
    $odd = $Source -match '[:/]' -or $Source.StartsWith('\') -or $Source.Split('\') -contains '..'
    if ($odd -or $Target -match '[\\/:*?"<>|]' -or $Target -match '^\.*$') {
        throw "GPV-DRIVER-OUTSIDE: the driver wants '$Source' copied to '$Target'"
    }
    $folder, $rule = $script:CopyLists[$List]
    @{
        Source = Join-Path -Path $Package.Folder -ChildPath $Source
        Path = "Windows\$folder\$Target"
        Rule = $rule
    }
}

function Get-VendorRule {
    # Files that applications load by name and that the vendor's lists leave out.
    param([hashtable]$Package)
    $vendor = ''
    if ($Package.InstancePath -match 'VEN_([0-9A-F]{4})') { $vendor = "$($Matches[1])" }
    if (-not $script:VendorFiles.ContainsKey($vendor)) { return }
    foreach ($line in $script:VendorFiles[$vendor]) {
        $folder, $source, $target = $line.Split(' ')
        $file = Join-Path -Path $Package.Folder -ChildPath $source
        if (Test-Path -LiteralPath $file -PathType Leaf) {
            @{ Source = $file; Path = "Windows\$folder\$target"; Rule = 'vendor table' }
        }
    }
}

function Get-PackageFile {
    # The whole package, in the folder of the same name below HostDriverStore.
    param([hashtable]$Package)
    $below = Get-GuestFolder -Name "FileRepository\$($Package.Name)"
    foreach ($file in @(Get-ChildItem -LiteralPath $Package.Folder -Recurse -File -Force)) {
        $relative = $file.FullName.Substring($Package.Folder.Length + 1)
        @{ Source = $file.FullName; Path = "$below\$relative"; Rule = 'package' }
    }
}

function Get-WantedFile {
    # Of all cards of a machine together. The driver's own rules come before the vendor tables,
    # and the first rule for a path holds: two cards must not take turns with one file.
    param([object[]]$Packages)
    $rules = @(foreach ($package in $Packages) { Get-PackageFile -Package $package })
    $rules += @(foreach ($package in $Packages) { Get-CopyRule -Package $package })
    $rules += @(foreach ($package in $Packages) { Get-VendorRule -Package $package })
    $seen = @{}
    foreach ($rule in $rules) {
        if ($seen.ContainsKey($rule.Path)) { continue }
        if (-not (Test-Path -LiteralPath $rule.Source -PathType Leaf)) { continue }
        $seen[$rule.Path] = $true
        $rule
    }
}

$script:VendorFiles = @{
    '10DE' = @(
        'System32 nvapi64.dll nvapi64.dll',
        'System32 nvcuda_loader64.dll nvcuda.dll',
        'System32 nvcudadebugger.dll nvcudadebugger.dll',
        'System32 nvcuvid64.dll nvcuvid.dll',
        'System32 nvEncodeAPI64.dll nvEncodeAPI64.dll',
        'System32 nvml_loader.dll nvml.dll',
        'System32 nvofapi64.dll nvofapi64.dll',
        'System32 NvFBC64.dll NvFBC64.dll',
        'System32 NvIFR64.dll NvIFR64.dll',
        'System32 OpenCL64.dll OpenCL.dll',
        'System32 vulkan-1-x64.dll vulkan-1.dll',
        'System32 vulkaninfo-x64.exe vulkaninfo.exe',
        'System32 nvidia-smi.exe nvidia-smi.exe',
        'SysWOW64 nvapi.dll nvapi.dll',
        'SysWOW64 nvcuda_loader32.dll nvcuda.dll',
        'SysWOW64 nvcuvid32.dll nvcuvid.dll',
        'SysWOW64 nvEncodeAPI.dll nvEncodeAPI.dll',
        'SysWOW64 nvofapi.dll nvofapi.dll',
        'SysWOW64 OpenCL32.dll OpenCL.dll',
        'SysWOW64 vulkan-1-x86.dll vulkan-1.dll'
    )
    '8086' = @(
        'System32 ControlLib.dll ControlLib.dll',
        'System32 intel_gfx_api-x64.dll intel_gfx_api-x64.dll',
        'System32 mfx_loader_dll_hw64.dll libmfxhw64.dll',
        'System32 vpl_dispatcher_64.dll libvpl.dll',
        'System32 vulkan-1-64.dll vulkan-1.dll',
        'System32 ze_loader.dll ze_loader.dll',
        'System32 ze_tracing_layer.dll ze_tracing_layer.dll',
        'System32 ze_validation_layer.dll ze_validation_layer.dll',
        'SysWOW64 ControlLib32.dll ControlLib32.dll',
        'SysWOW64 intel_gfx_api-x86.dll intel_gfx_api-x86.dll',
        'SysWOW64 mfx_loader_dll_hw32.dll libmfxhw32.dll',
        'SysWOW64 vpl_dispatcher_32.dll libvpl.dll',
        'SysWOW64 vulkan-1-32.dll vulkan-1.dll'
    )
    '1002' = @(
        'System32 atidxxstub64.dll atidxx64.dll',
        'System32 amdxcstub64.dll amdxc64.dll',
        'System32 amfrt64.dll amfrt64.dll',
        'System32 atiadlxx.dll atiadlxx.dll',
        'System32 amdadlx64.dll amdadlx64.dll',
        'System32 vulkan64.dll vulkan-1.dll',
        'SysWOW64 atidxxstub32.dll atidxx32.dll',
        'SysWOW64 amdxcstub32.dll amdxc32.dll',
        'SysWOW64 amfrt32.dll amfrt32.dll',
        'SysWOW64 atiadlxy.dll atiadlxx.dll',
        'SysWOW64 vulkan32.dll vulkan-1.dll'
    )
}

# -- This script

function Confirm-PackageCurrent {
    # By the names of the package folders: each version of a driver has its own.
    param([object]$VM, [object[]]$Packages)
    $manifest = Read-JsonFile -Path (Get-ManifestFile -VM $VM)
    $copied = @()
    if ($null -ne $manifest) { $copied = @($manifest.packages | ForEach-Object -Process { $_.folder }) }
    foreach ($package in $Packages) {
        if ($copied -contains $package.Name) {
            Add-Unchanged -Item $VM.Name -Setting 'driver' -Value $package.Name
        } else {
            $message = "the guest has not the driver $($package.Name); run this without -CheckOnly"
            Add-ManualStep -Item $VM.Name -Message $message
        }
    }
}

function Get-FileFact {
    # What the guest has to know of a source, and of an earlier copy, to judge its own file.
    param([hashtable]$Rule, [object]$Entry)
    $file = Get-Item -LiteralPath $Rule.Source -Force
    $known = @()
    $backup = ''
    if ($null -ne $Entry) {
        $known = @("$($Entry.sha256)", "$($Entry.before)")
        $backup = "$($Entry.backup)"
    }
    @{
        Path = $Rule.Path
        Rule = $Rule.Rule
        Known = $known
        Backup = $backup
        Size = [int64]$file.Length
        Hash = (Get-FileHash -LiteralPath $Rule.Source -Algorithm SHA256 -ErrorAction Stop).Hash
        Version = "$(Get-FileVersion -File $file)"
        Ticks = [int64]$file.LastWriteTimeUtc.Ticks
    }
}

function Get-CopyPlan {
    # What is known of the guest, and for each wanted file what to do with it; changes nothing.
    param([hashtable]$Volume, [object]$VM, [object[]]$Rules)
    Write-Line -Text "comparing  $($VM.Name): $($Rules.Count) files, on both sides"
    $manifest = Read-TrustedManifest -VM $VM -Volume $Volume
    $old = @{}
    $mark = [guid]::NewGuid().ToString()
    if ($null -ne $manifest) {
        $mark = "$($manifest.mark)"
        foreach ($entry in @($manifest.files)) { $old[$entry.path] = $entry }
    }
    $facts = @(foreach ($rule in $Rules) {
        Get-FileFact -Rule $rule -Entry $old[$rule.Path]
    })
    $verdicts = @{}
    $arguments = @{ Files = $facts }
    $found = Invoke-GuestFunction -Volume $Volume -Name 'Compare-GuestFile' -Arguments $arguments
    foreach ($verdict in @($found)) { $verdicts["$($verdict.Path)"] = $verdict }
    @{ Mark = $mark; Old = $old; Facts = $facts; Verdicts = $verdicts }
}

function Get-PlannedEntry {
    # The manifest's entry of a file that is, or is to become, ours; nothing for others. One that
    # is as wanted, and that no run of ours has copied, is somebody else's: also in the package.
    param([hashtable]$Fact, [object]$Verdict)
    if ($Verdict.Action -ne 'copy' -and -not $Verdict.Ours) { return }
    $before = ''
    if ($Verdict.Action -eq 'copy' -and $Verdict.Ours) { $before = "$($Verdict.Hash)" }
    [ordered]@{
        path = $Fact.Path
        size = $Fact.Size
        sha256 = $Fact.Hash
        rule = $Fact.Rule
        backup = "$($Verdict.Backup)"
        before = $before
    }
}

function Confirm-FreeSpace {
    param([hashtable]$Volume, [hashtable]$CopyPlan)
    $size = [decimal]0
    foreach ($fact in $CopyPlan.Facts) {
        if ($CopyPlan.Verdicts[$fact.Path].Action -eq 'copy') { $size += $fact.Size }
    }
    if ($size -gt $Volume.Free) {
        throw "GPV-DISK-SPACE: $size bytes are to be copied, the guest's volume has $($Volume.Free)"
    }
    if ($size -gt 0) { Write-Line -Text "copying    $size bytes; this can take minutes" }
}

function Copy-WantedFile {
    param([hashtable]$Volume, [string]$Source, [hashtable]$Fact, [object]$Verdict, [string]$Item)
    $staged = Send-GuestFile -Volume $Volume -Source $Source
    $wanted = @{
        Path = $Fact.Path
        Hash = $Fact.Hash
        Ours = [bool]$Verdict.Ours
        Backup = "$($Verdict.Backup)"
    }
    $arguments = @{ Staged = $staged; Wanted = $wanted }
    Invoke-GuestFunction -Volume $Volume -Name 'Install-GuestFile' -Arguments $arguments
    $before = 'the guest''s own, kept as a backup'
    if ($Verdict.Ours) { $before = 'an earlier copy' }
    if ("$($Verdict.Hash)" -eq '') { $before = 'absent' }
    Add-Change -Item $Item -Setting $Fact.Path -Before $before -After $Fact.Rule
}

function Invoke-GuestCopy {
    # The manifest is written before the first copy: what a cut leaves behind stays known.
    param([hashtable]$Volume, [object]$VM, [object[]]$Packages, [object[]]$Rules)
    $start = $script:Changed.Count
    $copy = Get-CopyPlan -Volume $Volume -VM $VM -Rules $Rules
    Confirm-FreeSpace -Volume $Volume -CopyPlan $copy
    $entries = @(foreach ($fact in $copy.Facts) {
        Get-PlannedEntry -Fact $fact -Verdict $copy.Verdicts[$fact.Path]
    })
    $left = $copy.Old.Clone()
    foreach ($entry in $entries) { $left.Remove($entry.path) }
    $todo = @($copy.Facts | Where-Object -FilterScript {
        $copy.Verdicts[$_.Path].Action -eq 'copy'
    })
    $manifest = @{ VM = $VM; Volume = $Volume; Mark = $copy.Mark }
    if ($todo.Count -gt 0 -or $left.Count -gt 0) {
        Save-DriverManifest @manifest -Packages @() -Files ($entries + @($left.Values))
    }
    $sources = @{}
    foreach ($rule in $Rules) { $sources[$rule.Path] = $rule.Source }
    if ($todo.Count -gt 0) {
        Invoke-GuestFunction -Volume $Volume -Name 'Add-WorkFolder' -Arguments @{}
    }
    foreach ($fact in $todo) {
        $arguments = @{ Fact = $fact; Verdict = $copy.Verdicts[$fact.Path]; Item = $VM.Name }
        Copy-WantedFile -Volume $Volume -Source $sources[$fact.Path] @arguments
    }
    foreach ($entry in @($left.Values)) {
        Undo-DriverFile -Volume $Volume -Entry $entry -Item $VM.Name
    }
    foreach ($entry in $entries) { $entry['before'] = '' }
    Save-DriverManifest @manifest -Packages $Packages -Files $entries
    Complete-GuestWork -Volume $Volume -Item $VM.Name -ChangesBefore $start
}

function Save-DriverManifest {
    # On the host first; the guest's copy carries the mark that ties the two together.
    param([object]$VM, [hashtable]$Volume, [string]$Mark, [object[]]$Packages, [object[]]$Files)
    $known = @(foreach ($package in $Packages) {
        [ordered]@{
            folder = $package.Name
            inf = $package.Inf
            version = $package.Version
            instance_path = $package.InstancePath
        }
    })
    $file = Get-ManifestFile -VM $VM
    $value = [ordered]@{ plan = $Plan.Hash; mark = $Mark; packages = $known; files = @($Files) }
    if (Test-SameManifest -File $file -Value $value -Volume $Volume) { return }
    Write-JsonFile -Path $file -Value $value
    $wanted = @{
        Path = (Get-GuestManifest)
        Hash = (Get-FileHash -LiteralPath $file -Algorithm SHA256 -ErrorAction Stop).Hash
        Ours = $true
        Backup = ''
    }
    Invoke-GuestFunction -Volume $Volume -Name 'Add-WorkFolder' -Arguments @{}
    $arguments = @{ Staged = (Send-GuestFile -Volume $Volume -Source $file); Wanted = $wanted }
    Invoke-GuestFunction -Volume $Volume -Name 'Install-GuestFile' -Arguments $arguments
}

function Test-SameManifest {
    # Then there is nothing to write: a second run changes no file at all.
    param([string]$File, [object]$Value, [hashtable]$Volume)
    if (-not (Test-Path -LiteralPath $File -PathType Leaf)) { return $false }
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    if ([System.IO.File]::ReadAllText($File) -cne $text) { return $false }
    $arguments = @{ Relative = (Get-GuestManifest) }
    $there = Invoke-GuestFunction -Volume $Volume -Name 'Read-GuestText' -Arguments $arguments
    "$there" -ceq $text
}

function Confirm-GuestCurrent {
    # By the SHA-256 of each file inside the running guest.
    param([hashtable]$Volume, [object]$VM, [object[]]$Rules)
    $copy = Get-CopyPlan -Volume $Volume -VM $VM -Rules $Rules
    $stale = @($copy.Verdicts.Values | Where-Object -FilterScript { $_.Action -eq 'copy' })
    if ($stale.Count -eq 0) {
        Add-Unchanged -Item $VM.Name -Setting 'driver' -Value "$($Rules.Count) files as on the host"
        return
    }
    $message = "$($stale.Count) of $($Rules.Count) files differ or are missing"
    Add-ManualStep -Item $VM.Name -Message "$message; run this without -CheckOnly"
}

function Format-Copy {
    # The packages by name, and each file that is to be in the guest's own folders.
    param([object[]]$Packages, [object[]]$Rules, [string]$Place)
    $names = @($Packages | ForEach-Object -Process { $_.Name }) -join ', '
    $outside = @($Rules | Where-Object -FilterScript { $_.Rule -ne 'package' })
    $paths = @($outside | ForEach-Object -Process { $_.Path }) -join ', '
    $text = "copy what differs of the $($Rules.Count - $outside.Count) files of $names"
    if ($paths) { $text += ", and of $paths," }
    "$text into $Place; take back what an earlier run copied and this one does not want"
}

function Sync-GuestDriver {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([hashtable]$Target)
    $vm = $Target.VM
    $packages = $Target.Packages
    $rules = @(Get-WantedFile -Packages $packages)
    if ($CheckOnly) {
        Confirm-GuestCurrent -Volume $Target.Volume -VM $vm -Rules $rules
        return
    }
    $place = $Target.Vhdx
    if ($null -ne $Target.Volume) { $place = 'the running guest' }
    $action = Format-Copy -Packages $packages -Rules $rules -Place $place
    if (-not $PSCmdlet.ShouldProcess($vm.Name, $action)) { return }
    if ($null -ne $Target.Volume) {
        Invoke-GuestCopy -Volume $Target.Volume -VM $vm -Packages $packages -Rules $rules
        return
    }
    $volume = Get-OfflineVolume -Path $Target.Vhdx
    try {
        Mount-GuestVolume -Volume $volume
        Invoke-GuestCopy -Volume $volume -VM $vm -Packages $packages -Rules $rules
    } finally {
        Dismount-GuestVolume -Volume $volume
    }
}

function Confirm-Transport {
    # Off and with its own disk for the one, running for the other; -CheckOnly mounts nothing.
    param([object]$VM, [hashtable]$Machine)
    if ($Transport -eq 'Direct') {
        Confirm-MachineRunning -VM $VM
    } elseif (-not $CheckOnly) {
        Confirm-MachineOff -VM $VM
        Confirm-MachineDisk -VM $VM -Vhdx $Machine.Vhdx
    }
}

function Invoke-DriverSync {
    # Everything is looked at, and every guest is reached, before anything is changed.
    $ready = @(foreach ($machine in $Plan.Machines) {
        $vm = Find-PlanMachine -Machine $machine
        $gpus = @(Resolve-PlanGpu -Machine $machine)
        if ($null -eq $vm) { continue }
        Confirm-Transport -VM $vm -Machine $machine
        $packages = @(foreach ($gpu in $gpus) {
            $package = Get-DriverPackage -InstancePath $gpu.Name
            $package
            Find-CompanionPackage -Package $package
        })
        $target = @{ VM = $vm; Vhdx = $machine.Vhdx; Packages = $packages; Volume = $null }
        $target.User = "$($machine.GuestUser)"
        $target
    })
    if ($script:Problems.Count -gt 0) { return }
    if ($Transport -eq 'Direct') {
        foreach ($item in $ready) {
            $item.Volume = Connect-GuestVolume -VM $item.VM -User $item.User
        }
        if ($script:Problems.Count -gt 0) { return }
    }
    foreach ($item in $ready) {
        if ($CheckOnly -and $Transport -eq 'Offline') {
            Confirm-PackageCurrent -VM $item.VM -Packages $item.Packages
        } else {
            Sync-GuestDriver -Target $item
        }
    }
}

$exitCode = 1
try {
    Confirm-WideProcess
    Confirm-StateFolder
    Invoke-DriverSync
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Disconnect-Guest
    Write-Report -Script '20-Sync-Drivers' -ExitCode $exitCode
}
exit $exitCode
