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
