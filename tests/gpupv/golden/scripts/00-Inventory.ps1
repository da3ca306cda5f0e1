#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Writes what this host has to host.json, for `labkit gpupv doctor`.

.DESCRIPTION
Reads Windows, Hyper-V, the GPUs and the virtual machines. Changes nothing but the file that it
writes, so there is nothing to undo. The file holds names of machines and paths of disks.
Exit codes: 0 written, 1 failed.

.PARAMETER Path
Where to write; host.json in the present folder unless given. Written over is
only what an earlier run wrote.

.PARAMETER Json
Writes the facts to the console instead of the file.

.EXAMPLE
powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\00-Inventory.ps1
#>
[CmdletBinding()]
param(
    [string]$Path = 'host.json',
    [switch]$Json
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

function Get-PropertyValue {
    # A property that this version of Windows may not have; $null where it is missing. Said
    # outright: what a function leaves out, ConvertTo-Json writes as {}.
    param([object]$InputObject, [string]$Name)
    if ($null -eq $InputObject) { return $null }
    $property = $InputObject.PSObject.Properties[$Name]
    if ($null -eq $property) { return $null }
    return $property.Value
}

function ConvertTo-Text {
    # Large numbers as text: many JSON readers round what is beyond 2^53.
    param([object]$Value)
    if ($null -eq $Value) { return $null }
    return "$Value"
}

function ConvertTo-AsciiJson {
    # The console writes in the code page of the machine: other characters as \uXXXX, as JSON may.
    param([object]$Value)
    $text = ConvertTo-Json -InputObject $Value -Depth 6
    $escape = { param($Found) '\u{0:x4}' -f [int][char]$Found.Value }
    [regex]::Replace($text, '[^\x00-\x7F]', $escape)
}

function Test-CommandName {
    param([string]$Name)
    $null -ne (Get-Command -Name $Name -ErrorAction SilentlyContinue)
}

function Get-WindowsFact {
    $key = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    $values = Get-ItemProperty -LiteralPath $key
    $system = Get-CimInstance -ClassName Win32_OperatingSystem
    [ordered]@{
        build = [int]$values.CurrentBuild
        revision = Get-PropertyValue -InputObject $values -Name 'UBR'
        edition = "$($values.EditionID)"
        server = ($system.ProductType -ne 1)
    }
}

function Get-HyperVFact {
    $system = Get-CimInstance -ClassName Win32_ComputerSystem
    $service = Get-Service -Name 'vmms' -ErrorAction SilentlyContinue
    $hasPath = $null
    if (Test-CommandName -Name 'Add-VMGpuPartitionAdapter') {
        $command = Get-Command -Name 'Add-VMGpuPartitionAdapter'
        $hasPath = $command.Parameters.ContainsKey('InstancePath')
    }
    [ordered]@{
        installed = (Test-CommandName -Name 'Get-VM')
        hypervisor = [bool]$system.HypervisorPresent
        management_service = ($null -ne $service -and "$($service.Status)" -eq 'Running')
        instance_path_parameter = $hasPath
    }
}

function Get-PolicyFact {
    $key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\HyperV'
    $secure = $null
    $supported = $null
    if (Test-Path -LiteralPath $key) {
        $item = Get-Item -LiteralPath $key
        $secure = $item.GetValue('RequireSecureDeviceAssignment')
        $supported = $item.GetValue('RequireSupportedDeviceAssignment')
    }
    [ordered]@{ secure_assignment = $secure; supported_assignment = $supported }
}

function Get-HostGpu {
    # Windows 10 has the older name; on Windows 11 that name prints a warning and nothing else.
    if (Test-CommandName -Name 'Get-VMHostPartitionableGpu') { return Get-VMHostPartitionableGpu }
    if (Test-CommandName -Name 'Get-VMPartitionableGpu') { return Get-VMPartitionableGpu }
}

function Get-DeviceFact {
    # Name, class, driver version and memory of a card, by its Plug and Play id.
    param([string]$InstancePath)
    $id = ($InstancePath -replace '^\\\\\?\\', '' -replace '#\{.*$', '') -replace '#', '\'
    $device = Get-PnpDevice -InstanceId $id -ErrorAction SilentlyContinue
    if ($null -eq $device) { return $null }
    $names = 'DEVPKEY_Device_DriverVersion', 'DEVPKEY_Device_Driver'
    $found = @{}
    foreach ($name in $names) {
        $property = Get-PnpDeviceProperty -InstanceId $id -KeyName $name -ErrorAction SilentlyContinue
        $found[$name] = Get-PropertyValue -InputObject $property -Name 'Data'
    }
    $memory = $null
    $key = "HKLM:\SYSTEM\CurrentControlSet\Control\Class\$($found['DEVPKEY_Device_Driver'])"
    if (Test-Path -LiteralPath $key) {
        $memory = (Get-Item -LiteralPath $key).GetValue('HardwareInformation.qwMemorySize')
        if ($memory -isnot [long]) { $memory = $null }
    }
    @{
        Name = "$($device.FriendlyName)"
        Class = "$($device.Class)"
        Version = $found['DEVPKEY_Device_DriverVersion']
        Memory = $memory
    }
}

function Get-GpuFact {
    foreach ($gpu in @(Get-HostGpu)) {
        $totals = [ordered]@{}
        foreach ($name in 'VRAM', 'Encode', 'Decode', 'Compute') {
            $total = Get-PropertyValue -InputObject $gpu -Name "Total$name"
            $totals[$name] = ConvertTo-Text -Value $total
        }
        $fact = [ordered]@{
            instance_path = "$($gpu.Name)"
            partition_count = Get-PropertyValue -InputObject $gpu -Name 'PartitionCount'
            totals = $totals
        }
        $device = Get-DeviceFact -InstancePath "$($gpu.Name)"
        if ($null -ne $device) {
            $fact.name = $device.Name
            $fact.class = $device.Class
            $fact.driver_version = ConvertTo-Text -Value $device.Version
            $fact.vram_bytes = ConvertTo-Text -Value $device.Memory
        }
        $fact
    }
}

function Get-AdapterFact {
    param([object]$VM)
    if (-not (Test-CommandName -Name 'Get-VMGpuPartitionAdapter')) { return }
    foreach ($adapter in @(Get-VMGpuPartitionAdapter -VM $VM)) {
        $values = [ordered]@{}
        foreach ($capability in 'VRAM', 'Encode', 'Decode', 'Compute') {
            foreach ($bound in 'Min', 'Max', 'Optimal') {
                $name = "${bound}Partition${capability}"
                $value = Get-PropertyValue -InputObject $adapter -Name $name
                $values[$name] = ConvertTo-Text -Value $value
            }
        }
        $target = Get-PropertyValue -InputObject $adapter -Name 'InstancePath'
        [ordered]@{
            id = "$($adapter.Id)"
            instance_path = ConvertTo-Text -Value $target
            values = $values
        }
    }
}

function Get-MachineFact {
    $names = 'AutomaticCheckpointsEnabled', 'GuestControlledCacheTypes', 'IsClustered',
        'LowMemoryMappedIoSpace', 'HighMemoryMappedIoSpace'
    foreach ($vm in @(Get-VM)) {
        $optional = @{}
        foreach ($name in $names) {
            $optional[$name] = Get-PropertyValue -InputObject $vm -Name $name
        }
        $memory = Get-VMMemory -VM $vm
        $disks = @(Get-VMHardDiskDrive -VM $vm | ForEach-Object -Process { "$($_.Path)" })
        [ordered]@{
            name = "$($vm.Name)"
            id = "$($vm.Id)"
            state = "$($vm.State)"
            version = "$($vm.Version)"
            generation = [int]$vm.Generation
            stop_action = "$($vm.AutomaticStopAction)"
            checkpoint_type = "$($vm.CheckpointType)"
            automatic_checkpoints = $optional['AutomaticCheckpointsEnabled']
            checkpoints = @(Get-VMSnapshot -VM $vm).Count
            clustered = $optional['IsClustered']
            cache_types = $optional['GuestControlledCacheTypes']
            low_space_bytes = ConvertTo-Text -Value $optional['LowMemoryMappedIoSpace']
            high_space_bytes = ConvertTo-Text -Value $optional['HighMemoryMappedIoSpace']
            dynamic_memory = [bool]$memory.DynamicMemoryEnabled
            startup_bytes = ConvertTo-Text -Value $memory.Startup
            minimum_bytes = ConvertTo-Text -Value $memory.Minimum
            disks = $disks
            adapters = @(Get-AdapterFact -VM $vm)
        }
    }
}

function Get-HostFact {
    $computer = Get-CimInstance -ClassName Win32_ComputerSystem
    $processor = @(Get-CimInstance -ClassName Win32_Processor)[0]
    $hyperV = Get-HyperVFact
    $facts = [ordered]@{
        format = 'labkit-gpupv-host/1'
        windows = Get-WindowsFact
        hyper_v = $hyperV
        policy = Get-PolicyFact
        processor = "$($processor.Name)"
        memory_bytes = ConvertTo-Text -Value $computer.TotalPhysicalMemory
    }
    if ($hyperV.installed -and $hyperV.management_service) {
        $facts.gpus = @(Get-GpuFact)
        $facts.machines = @(Get-MachineFact)
    }
    $facts
}

function Confirm-Target {
    # Written over is only what an earlier run wrote.
    param([string]$Path)
    if (-not [System.IO.File]::Exists($Path)) { return }
    if ([System.IO.File]::ReadAllText($Path).Contains('labkit-gpupv-host/1')) { return }
    throw "$Path is another file; name a new one with -Path"
}

$exitCode = 1
try {
    # A 32-bit console sees another System32 and another registry.
    if (-not [Environment]::Is64BitProcess) {
        throw 'GPV-NOT-64BIT: run this in 64-bit PowerShell'
    }
    $text = ConvertTo-AsciiJson -Value (Get-HostFact)
    if ($Json) {
        Write-Output -InputObject $text
    } else {
        $target = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Path)
        Confirm-Target -Path $target
        [System.IO.File]::WriteAllText($target, $text)
        Write-Information -MessageData "wrote $target" -InformationAction Continue
    }
    $exitCode = 0
} catch {
    $place = "line $($_.InvocationInfo.ScriptLineNumber)"
    Write-Information -MessageData "failed: ${place}: $_" -InformationAction Continue
}
exit $exitCode
