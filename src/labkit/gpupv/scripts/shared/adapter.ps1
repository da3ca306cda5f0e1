# -- An adapter that was taken out, added again

function Add-SavedAdapter {
    # The same card with the same values, under a new Id.
    param([object]$VM, [object]$Adapter)
    $arguments = @{ VM = $VM }
    if ($Adapter.Path) { $arguments.InstancePath = $Adapter.Path }
    foreach ($value in $Adapter.Values.PSObject.Properties) {
        if ($value.Value -ne '') { $arguments[$value.Name] = [uint64]$value.Value }
    }
    Add-VMGpuPartitionAdapter @arguments
    Add-Change -Item $VM.Name -Setting 'GPU adapter' -Before 'none' -After $Adapter.Path
}
