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
