#Requires -Version 5.1
<#
.SYNOPSIS
Looks at the shared card from inside the guest.

.DESCRIPTION
Run it in the guest, not on the host; it needs no Hyper-V module. It changes
nothing, so there is nothing to undo. It sees whether the card runs and
whether the driver files of 20-Sync-Drivers are all there and unchanged.
A Microsoft driver of 2006 on the adapter is normal.
Exit codes: 0 all well, 1 failed, 2 problems found.

.PARAMETER Json
Writes one JSON object instead of text.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\30-Verify-Guest.ps1
#>
[CmdletBinding()]
param([switch]$Json)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$Plan = @{
    Tool = 'labkit 0.1.0'
    Hash = '33d5d17abae078041650820a3225ace83d68908bd8e763f2c63d3d25bfc25565'
    Name = 'lab'
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

# -- This script

function Confirm-Card {
    # Hyper-V's adapter for a shared card is always vendor 1414, device 008E.
    $cards = @(Get-CimInstance -ClassName Win32_VideoController |
        Where-Object -FilterScript { $_.PNPDeviceID -like 'PCI\VEN_1414&DEV_008E*' })
    if ($cards.Count -eq 0) {
        $message = 'Windows shows no shared card; is the machine started after 10-Apply?'
        Add-Problem -Code 'GPV-ADAPTER-MISSING' -Field 'guest' -Message $message
    }
    foreach ($card in $cards) {
        if ($card.ConfigManagerErrorCode -eq 0) {
            Add-Unchanged -Item 'guest' -Setting 'card' -Value "$($card.Name) works"
        } else {
            $message = "$($card.Name) stopped with code $($card.ConfigManagerErrorCode)"
            Add-Problem -Code 'GPV-CODE43' -Field 'guest' -Message $message
        }
    }
}

function Confirm-DriverFile {
    $store = Join-Path -Path $env:windir -ChildPath 'System32\HostDriverStore'
    $file = Join-Path -Path $store -ChildPath 'labkit-manifest.json'
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) {
        $message = 'there are no driver files; run 20-Sync-Drivers.ps1 on the host'
        Add-Problem -Code 'GPV-DRIVER-MISSING' -Field 'guest' -Message $message
        return
    }
    try {
        $files = @((ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($file))).files)
    } catch {
        $message = "$file cannot be read ($_); run 20-Sync-Drivers.ps1 on the host"
        Add-Problem -Code 'GPV-DRIVER-STALE' -Field 'guest' -Message $message
        return
    }
    $good = 0
    foreach ($entry in $files) {
        $path = Join-Path -Path "$env:SystemDrive\" -ChildPath $entry.path
        if (-not (Test-Path -LiteralPath $path -PathType Leaf)) {
            $message = "$($entry.path) is missing"
            Add-Problem -Code 'GPV-DRIVER-STALE' -Field 'guest' -Message $message
            continue
        }
        $hash = (Get-FileHash -LiteralPath $path -Algorithm SHA256 -ErrorAction Stop).Hash
        if ($hash -ne $entry.sha256) {
            $message = "$($entry.path) is not the file that was copied"
            Add-Problem -Code 'GPV-DRIVER-STALE' -Field 'guest' -Message $message
        } else {
            $good++
        }
    }
    Add-Unchanged -Item 'guest' -Setting 'driver files' -Value "$good as copied"
}

function Invoke-GuestVerification {
    Confirm-Card
    Confirm-DriverFile
}

$exitCode = 1
try {
    Confirm-WideProcess
    Invoke-GuestVerification
    $exitCode = Get-ReportExitCode
} catch {
    Add-Failure -ErrorRecord $_
    $exitCode = Get-FailureExitCode
} finally {
    Write-Report -Script '30-Verify-Guest' -ExitCode $exitCode
}
exit $exitCode
