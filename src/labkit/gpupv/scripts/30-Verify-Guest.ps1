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

# labkit: plan

# labkit: include report

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
