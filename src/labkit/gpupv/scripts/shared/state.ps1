# -- State: how a virtual machine was before the first change, kept until the rollback

$script:StateFolder = Join-Path -Path $env:ProgramData -ChildPath 'labkit\gpupv'

function Get-StateFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).state.json"
}

function Get-MachineState {
    # Numbers as text: JSON readers round what is beyond 2^53.
    param([object]$VM)
    $settings = 'GuestControlledCacheTypes', 'LowMemoryMappedIoSpace', 'HighMemoryMappedIoSpace',
        'AutomaticCheckpointsEnabled', 'CheckpointType', 'AutomaticStopAction'
    $adapters = @(foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        $values = @{}
        foreach ($bound in 'Min', 'Max', 'Optimal') {
            foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
                $name = "${bound}Partition$capability"
                $values[$name] = "$($adapter.$name)"
            }
        }
        @{ Id = "$($adapter.Id)"; Path = (Get-AdapterPath -Adapter $adapter); Values = $values }
    })
    $memory = Get-VMMemory -VM $VM
    $memoryNames = 'DynamicMemoryEnabled', 'Startup', 'Minimum', 'Maximum'
    $videoNames = 'ResolutionType', 'HorizontalResolution', 'VerticalResolution'
    [ordered]@{
        Id = "$($VM.Id)"
        Name = $VM.Name
        Settings = Get-ValueOfEach -Actual $VM -Name $settings
        Memory = Get-ValueOfEach -Actual $memory -Name $memoryNames
        Processor = Get-ValueOfEach -Actual (Get-VMProcessor -VM $VM) -Name 'Count'
        Video = Get-ValueOfEach -Actual (Get-VMVideo -VM $VM) -Name $videoNames
        Adapters = $adapters
    }
}

function Write-JsonFile {
    # Written beside and renamed, so that a cut leaves the old file or the new one, whole.
    param([string]$Path, [object]$Value)
    $folder = [System.IO.Path]::GetDirectoryName($Path)
    [void][System.IO.Directory]::CreateDirectory($folder)
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    $new = "$Path.new"
    [System.IO.File]::WriteAllText($new, $text)
    Move-Item -LiteralPath $new -Destination $Path -Force
}

function Read-JsonFile {
    param([string]$Path)
    if (Test-Path -LiteralPath $Path -PathType Leaf) {
        ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
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
