# -- Server policy: two values that refuse paravirtual cards unless both are 0

$script:PolicyKey = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\HyperV'
$script:PolicyNames = 'RequireSecureDeviceAssignment', 'RequireSupportedDeviceAssignment'

function Get-PolicyValue {
    # $null is said outright: what a function leaves out, ConvertTo-Json writes as {}.
    param([string]$Name)
    if (-not (Test-Path -LiteralPath $script:PolicyKey)) { return $null }
    return (Get-Item -LiteralPath $script:PolicyKey).GetValue($Name)
}

function Find-RefusingPolicy {
    # Only Windows Server asks for them.
    if ((Get-CimInstance -ClassName Win32_OperatingSystem).ProductType -eq 1) { return }
    foreach ($name in $script:PolicyNames) {
        $value = Get-PolicyValue -Name $name
        if ($null -eq $value -or $value -ne 0) { $name }
    }
}
