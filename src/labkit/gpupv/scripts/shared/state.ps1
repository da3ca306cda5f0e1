# -- State: how a virtual machine was before the first change, kept until the rollback

function Get-AdapterState {
    # Numbers as text: JSON readers round what is beyond 2^53.
    param([object]$Adapter)
    $values = @{}
    foreach ($bound in 'Min', 'Max', 'Optimal') {
        foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
            $name = "${bound}Partition$capability"
            $values[$name] = "$($Adapter.$name)"
        }
    }
    [pscustomobject]@{
        Id = "$($Adapter.Id)"
        Path = (Get-AdapterPath -Adapter $Adapter)
        Values = [pscustomobject]$values
    }
}

function Get-MachineState {
    param([object]$VM)
    $settings = 'GuestControlledCacheTypes', 'LowMemoryMappedIoSpace', 'HighMemoryMappedIoSpace',
        'AutomaticCheckpointsEnabled', 'CheckpointType', 'AutomaticStopAction'
    $memory = Get-VMMemory -VM $VM
    $memoryNames = 'DynamicMemoryEnabled', 'Startup', 'Minimum', 'Maximum'
    $videoNames = 'ResolutionType', 'HorizontalResolution', 'VerticalResolution'
    $adapters = @(Get-VMGpuPartitionAdapter -VM $VM)
    [ordered]@{
        Id = "$($VM.Id)"
        Name = $VM.Name
        Settings = Get-ValueOfEach -Actual $VM -Name $settings
        Memory = Get-ValueOfEach -Actual $memory -Name $memoryNames
        Processor = Get-ValueOfEach -Actual (Get-VMProcessor -VM $VM) -Name 'Count'
        Video = Get-ValueOfEach -Actual (Get-VMVideo -VM $VM) -Name $videoNames
        Adapters = @(foreach ($adapter in $adapters) { Get-AdapterState -Adapter $adapter })
        Applied = @{}
    }
}

function Save-MachineState {
    # The first state is the one to go back to; a later run must not replace it.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM)
    $file = Get-StateFile -VM $VM
    if (Test-Path -LiteralPath $file) { return }
    if ($PSCmdlet.ShouldProcess($VM.Name, "save the present settings to $file")) {
        Write-JsonFile -Path $file -Value (Get-MachineState -VM $VM)
        Write-Line -Text "saved      $($VM.Name): $file"
    }
}

function Save-AppliedValue {
    # Noted before each change: the rollback puts back only what was set here and still is so.
    param([object]$VM, [string]$Group, [hashtable]$Values)
    $file = Get-StateFile -VM $VM
    $state = Read-JsonFile -Path $file
    if ($null -eq $state) { throw "the present settings of $($VM.Name) were not saved" }
    foreach ($name in $Values.Keys) {
        $note = @{ NotePropertyName = "$Group.$name"; NotePropertyValue = "$($Values[$name])" }
        Add-Member -InputObject $state.Applied @note -Force
    }
    Write-JsonFile -Path $file -Value $state
}
