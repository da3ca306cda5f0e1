# -- Base of the high memory-mapped space: moved only where the plan asks, and only WMI can

function Get-BaseFile {
    param([object]$VM)
    Join-Path -Path $script:StateFolder -ChildPath "$($VM.Id).base.json"
}

function Set-GapBase {
    # What counts is the value that is there afterwards: the method may end before the change.
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM, [uint64]$Megabyte)
    $data = Get-GapSetting -VM $VM
    $before = [uint64]$data.HighMmioGapBase
    if ($before -eq $Megabyte) {
        Add-Unchanged -Item $VM.Name -Setting 'HighMmioGapBase' -Value "$before MB"
        return
    }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "HighMmioGapBase: $before -> $Megabyte MB")) { return }
    Save-GapBase -VM $VM -Before $before -Applied $Megabyte
    $data.HighMmioGapBase = $Megabyte
    Update-GapSetting -Data $data -Confirm:$false
    for ($waits = 0; $waits -lt 50; $waits++) {
        $after = [uint64](Get-GapSetting -VM $VM).HighMmioGapBase
        if ($after -eq $Megabyte) {
            $change = @{ Before = "$before MB"; After = "$after MB" }
            Add-Change -Item $VM.Name -Setting 'HighMmioGapBase' @change
            return
        }
        Start-Sleep -Milliseconds 200
    }
    throw 'Hyper-V did not take the base of the high memory-mapped space'
}

function Save-GapBase {
    # The first base is the one to go back to, and only from the one that was set here.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$VM, [uint64]$Before, [uint64]$Applied)
    $file = Get-BaseFile -VM $VM
    $old = Read-JsonFile -Path $file
    $first = "$Before"
    if ($null -ne $old) { $first = "$($old.HighMmioGapBase)" }
    if (-not $PSCmdlet.ShouldProcess($VM.Name, "save the present base to $file")) { return }
    Write-JsonFile -Path $file -Value @{ HighMmioGapBase = $first; Applied = "$Applied" }
}

function Update-GapSetting {
    # 4096: accepted, and done a little later.
    [CmdletBinding(SupportsShouldProcess = $true)]
    param([object]$Data)
    if (-not $PSCmdlet.ShouldProcess("$($Data.ElementName)", 'modify system settings')) { return }
    $serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()
    $option = [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None
    $bytes = $serializer.Serialize($Data, $option)
    $text = [System.Text.Encoding]::Unicode.GetString($bytes)
    $place = @{
        Namespace = 'root\virtualization\v2'
        ClassName = 'Msvm_VirtualSystemManagementService'
    }
    $call = @{
        InputObject = (Get-CimInstance @place -ErrorAction Stop)
        MethodName = 'ModifySystemSettings'
        Arguments = @{ SystemSettings = $text }
        Confirm = $false
    }
    $result = Invoke-CimMethod @call -ErrorAction Stop
    if (0, 4096 -notcontains $result.ReturnValue) {
        throw "Hyper-V refused the base of the memory-mapped space: $($result.ReturnValue)"
    }
}

function Reset-GapBase {
    [CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
    param([object]$VM)
    $file = Get-BaseFile -VM $VM
    $old = Read-JsonFile -Path $file
    if ($null -eq $old) { return $true }
    $present = "$((Get-GapSetting -VM $VM).HighMmioGapBase)"
    if ($present -ne $old.Applied -and $present -ne $old.HighMmioGapBase) {
        $message = "$present MB, changed since; left"
        Add-Unchanged -Item $VM.Name -Setting 'HighMmioGapBase' -Value $message
        return $true
    }
    $action = "put HighMmioGapBase back to $($old.HighMmioGapBase) MB"
    if (-not $PSCmdlet.ShouldProcess($VM.Name, $action)) { return $false }
    Set-GapBase -VM $VM -Megabyte ([uint64]$old.HighMmioGapBase) -Confirm:$false
    Move-Item -LiteralPath $file -Destination "$file.restored" -Force
    return $true
}
