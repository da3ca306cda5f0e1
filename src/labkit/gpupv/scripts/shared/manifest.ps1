# -- Manifest: which files of a guest come from this script set; only those are ever removed

$script:GuestStore = 'Windows\System32\HostDriverStore'
$script:GuestManifest = "$script:GuestStore\labkit-manifest.json"
$script:BackupFolder = "$script:GuestStore\labkit-backup"

function Get-ManifestFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).driver.json"
}

function Remove-GuestFile {
    # Puts the file back that was there before, or deletes; the caller has asked.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([string]$Root, [object]$Entry, [string]$Item)
    $path = Resolve-GuestPath -Root $Root -Relative $Entry.path
    if (-not $PSCmdlet.ShouldProcess($Entry.path, 'take back')) { return }
    if ($Entry.backup) {
        $backup = Resolve-GuestPath -Root $Root -Relative $Entry.backup
        if (Test-Path -LiteralPath $backup -PathType Leaf) {
            Move-Item -LiteralPath $backup -Destination $path -Force
            $folder = [System.IO.Path]::GetDirectoryName($Entry.backup)
            Remove-EmptyFolder -Root $Root -Relative $folder
            Add-Change -Item $Item -Setting $Entry.path -Before 'copied' -After 'as before'
            return
        }
    }
    if (Test-Path -LiteralPath $path -PathType Leaf) {
        Remove-Item -LiteralPath $path -Force
        Add-Change -Item $Item -Setting $Entry.path -Before 'copied' -After 'removed'
    }
    Remove-EmptyFolder -Root $Root -Relative ([System.IO.Path]::GetDirectoryName($Entry.path))
}

function Remove-EmptyFolder {
    # Upwards, below HostDriverStore only, and only while a folder holds nothing.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([string]$Root, [string]$Relative)
    while ($Relative.StartsWith("$script:GuestStore\", [StringComparison]::OrdinalIgnoreCase)) {
        $folder = Resolve-GuestPath -Root $Root -Relative $Relative
        if (@(Get-ChildItem -LiteralPath $folder -Force).Count -gt 0) { return }
        if (-not $PSCmdlet.ShouldProcess($Relative, 'remove the empty folder')) { return }
        Remove-Item -LiteralPath $folder -Force
        $Relative = [System.IO.Path]::GetDirectoryName($Relative)
    }
}
