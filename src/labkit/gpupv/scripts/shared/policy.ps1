# -- Server policy: two values that refuse paravirtual cards unless they are 0

$script:PolicyKey = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\HyperV'
$script:PolicyNames = 'RequireSecureDeviceAssignment', 'RequireSupportedDeviceAssignment'
$script:PolicyFile = Join-Path -Path $script:StateFolder -ChildPath 'policy.state.json'

function Get-PolicyValue {
    param([string]$Name)
    if (Test-Path -LiteralPath $script:PolicyKey) {
        (Get-Item -LiteralPath $script:PolicyKey).GetValue($Name)
    }
}

function Save-PolicyState {
    [CmdletBinding(SupportsShouldProcess = $true)]
    param()
    if (Test-Path -LiteralPath $script:PolicyFile) { return }
    if (-not $PSCmdlet.ShouldProcess('host', "save the policy to $script:PolicyFile")) { return }
    $state = @{}
    foreach ($name in $script:PolicyNames) { $state[$name] = Get-PolicyValue -Name $name }
    Write-JsonFile -Path $script:PolicyFile -Value $state
}

function Set-ServerPolicy {
    # This weakens device isolation; a plan has to ask for it with allow_policy.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param()
    if ((Get-CimInstance -ClassName Win32_OperatingSystem).ProductType -eq 1) { return }
    Save-PolicyState
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

function Reset-ServerPolicy {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param()
    $state = Read-JsonFile -Path $script:PolicyFile
    if ($null -eq $state) { return }
    foreach ($name in $script:PolicyNames) {
        $old = $state.$name
        if (-not $PSCmdlet.ShouldProcess('host', "put $name back to '$old'")) { return }
        if ($null -eq $old) {
            Remove-ItemProperty -LiteralPath $script:PolicyKey -Name $name -ErrorAction SilentlyContinue
        } else {
            Set-ItemProperty -LiteralPath $script:PolicyKey -Name $name -Value $old -Type DWord
        }
        Add-Change -Item 'host' -Setting $name -Before '0' -After "$old"
    }
    Move-Item -LiteralPath $script:PolicyFile -Destination "$script:PolicyFile.restored" -Force
}
