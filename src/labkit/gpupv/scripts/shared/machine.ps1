# -- Virtual machines: exactly one for each entry of the plan, never a wildcard

function Find-PlanMachine {
    param([hashtable]$Machine)
    if ($Machine.Id) {
        $found = @(Get-VM | Where-Object -FilterScript { "$($_.Id)" -eq $Machine.Id })
    } else {
        $found = @(Get-VM | Where-Object -FilterScript { $_.Name -ceq $Machine.Name })
    }
    if ($found.Count -eq 1) { return $found[0] }
    if ($found.Count -eq 0) {
        $message = 'there is no such virtual machine'
        Add-Problem -Code 'GPV-VM-NOT-FOUND' -Field $Machine.Name -Message $message
    } else {
        $message = "$($found.Count) virtual machines have this name; give the id in the plan"
        Add-Problem -Code 'GPV-VM-AMBIGUOUS' -Field $Machine.Name -Message $message
    }
}

function Confirm-MachineOff {
    param([object]$VM)
    if ("$($VM.State)" -ne 'Off') {
        $message = "it is $($VM.State); shut it down, and delete a saved state"
        Add-Problem -Code 'GPV-VM-NOT-OFF' -Field $VM.Name -Message $message
    }
}

function Confirm-MachineDisk {
    # A differencing disk means checkpoints; writing to its parent would damage the chain.
    param([object]$VM, [string]$Vhdx)
    if (@(Get-VMSnapshot -VM $VM).Count -gt 0) {
        $message = 'it has checkpoints; delete them, which merges them, and wait for the merge'
        Add-Problem -Code 'GPV-VM-CHECKPOINTS' -Field $VM.Name -Message $message
    }
    $disks = @(Get-VMHardDiskDrive -VM $VM | ForEach-Object -Process { "$($_.Path)" })
    foreach ($disk in $disks) {
        if ([System.IO.Path]::GetExtension($disk) -eq '.avhdx') {
            $message = "it runs on the checkpoint disk $disk; merge it first"
            Add-Problem -Code 'GPV-VHD-AVHDX' -Field $VM.Name -Message $message
            return
        }
    }
    if ($disks -notcontains $Vhdx) {
        $message = "the plan's disk $Vhdx is not attached to it"
        Add-Problem -Code 'GPV-VM-DISK' -Field $VM.Name -Message $message
    }
}
