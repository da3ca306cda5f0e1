# -- Server policy: changed where the plan asks, and put back when no machine needs it

$script:PolicyFile = Join-Path -Path $script:StateFolder -ChildPath 'policy.state.json'

function Save-PolicyState {
    # The values before the first change, and the machines that ask for the new ones.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([string[]]$Id)
    $values = @{}
    $known = @()
    $state = Read-JsonFile -Path $script:PolicyFile
    foreach ($name in $script:PolicyNames) {
        if ($null -eq $state) {
            $values[$name] = Get-PolicyValue -Name $name
        } else {
            $values[$name] = $state.Values.$name
        }
    }
    if ($null -ne $state) { $known = @($state.Machines) }
    $all = @($known + $Id | Sort-Object -Unique)
    if ($all.Count -eq $known.Count) { return }
    if (-not $PSCmdlet.ShouldProcess('host', "save the policy to $script:PolicyFile")) { return }
    Write-JsonFile -Path $script:PolicyFile -Value @{ Values = $values; Machines = $all }
}

function Set-ServerPolicy {
    # This weakens device isolation; a plan has to ask for it with allow_policy.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([string[]]$Id)
    if ((Get-CimInstance -ClassName Win32_OperatingSystem).ProductType -eq 1) { return }
    Save-PolicyState -Id $Id
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
