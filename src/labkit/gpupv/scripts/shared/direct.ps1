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
