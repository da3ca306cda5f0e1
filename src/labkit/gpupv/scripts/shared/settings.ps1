# -- Settings: what the plan wants, what is there, and where the two differ

function Get-WantedSetting {
    param([hashtable]$Machine)
    [ordered]@{
        GuestControlledCacheTypes = $true
        LowMemoryMappedIoSpace = [uint32]$Machine.LowMmioBytes
        HighMemoryMappedIoSpace = [uint64]$Machine.HighMmioBytes
        AutomaticCheckpointsEnabled = $false
        CheckpointType = 'Disabled'
        AutomaticStopAction = $Machine.StopAction
    }
}

function Get-WantedMemory {
    param([hashtable]$Machine)
    $wanted = [ordered]@{ DynamicMemoryEnabled = $false }
    if ($null -ne $Machine.MemoryBytes) { $wanted.Startup = [int64]$Machine.MemoryBytes }
    $wanted
}

function Confirm-StaticMemory {
    # Switched off without a size, dynamic memory would leave the machine what it starts with.
    param([object]$VM, [hashtable]$Machine)
    $memory = Get-VMMemory -VM $VM
    if (-not $memory.DynamicMemoryEnabled -or $null -ne $Machine.MemoryBytes) { return }
    $message = "its memory is dynamic: it would stay at the $($memory.Startup) bytes that it starts"
    $message += " with, of at most $($memory.Maximum); give its memory in the plan"
    Add-Problem -Code 'GPV-MEM-DYNAMIC' -Field $VM.Name -Message $message
}

function Get-WantedProcessor {
    param([hashtable]$Machine)
    $wanted = [ordered]@{}
    if ($null -ne $Machine.ProcessorCount) { $wanted['Count'] = [int64]$Machine.ProcessorCount }
    $wanted
}

function Get-WantedVideo {
    param([hashtable]$Machine)
    $wanted = [ordered]@{}
    if ($null -ne $Machine.Width) {
        $wanted.ResolutionType = $Machine.ResolutionType
        $wanted.HorizontalResolution = [uint16]$Machine.Width
        $wanted.VerticalResolution = [uint16]$Machine.Height
    }
    $wanted
}

function Get-GapSetting {
    # Of the realized machine, not of its checkpoints; in MB, where the cmdlets speak of bytes.
    param([object]$VM)
    $place = @{
        Namespace = 'root\virtualization\v2'
        ClassName = 'Msvm_VirtualSystemSettingData'
    }
    $found = @(Get-CimInstance @place -ErrorAction Stop | Where-Object -FilterScript {
        $_.VirtualSystemType -eq 'Microsoft:Hyper-V:System:Realized' -and
            $_.ConfigurationID -eq "$($VM.Id)"
    })
    if ($found.Count -ne 1) { throw "$($found.Count) system settings belong to $($VM.Id)" }
    $found[0]
}

function Compare-Setting {
    # The wanted values that differ; enumerations and numbers are equal when their texts are.
    param([object]$Actual, [System.Collections.IDictionary]$Wanted, [string]$Item)
    $different = @{}
    foreach ($name in $Wanted.Keys) {
        if ("$($Actual.$name)" -eq "$($Wanted[$name])") {
            Add-Unchanged -Item $Item -Setting $name -Value "$($Wanted[$name])"
        } else {
            $different[$name] = $Wanted[$name]
        }
    }
    $different
}

function Format-Change {
    param([object]$Actual, [hashtable]$Different)
    $parts = foreach ($name in ($Different.Keys | Sort-Object)) {
        "${name}: $($Actual.$name) -> $($Different[$name])"
    }
    $parts -join ', '
}

function Add-ChangeOfEach {
    param([string]$Item, [hashtable]$Before, [hashtable]$Different)
    foreach ($name in ($Different.Keys | Sort-Object)) {
        Add-Change -Item $Item -Setting $name -Before "$($Before[$name])" -After "$($Different[$name])"
    }
}

function Get-ValueOfEach {
    # The present values as text, taken before the object changes under our hands.
    param([object]$Actual, [string[]]$Name)
    $found = @{}
    foreach ($key in $Name) { $found[$key] = "$($Actual.$key)" }
    $found
}
