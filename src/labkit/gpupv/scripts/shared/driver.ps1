# -- Driver package: the one of this very card, and the files that it wants in the guest

$script:CopyLists = [ordered]@{
    CopyToVmOverwrite = @('System32', 'overwrite')
    CopyToVmWhenNewer = @('System32', 'newer')
    CopyToVmOverwriteWow64 = @('SysWOW64', 'overwrite')
    CopyToVmWhenNewerWow64 = @('SysWOW64', 'newer')
}

function Get-DeviceValue {
    param([string]$PnpId, [string]$KeyName)
    $property = Get-PnpDeviceProperty -InstanceId $PnpId -KeyName $KeyName -ErrorAction Stop
    $data = $property.PSObject.Properties['Data']
    if ($null -eq $data -or -not $data.Value) {
        throw "GPV-DRIVER-UNRESOLVED: $PnpId has no $KeyName"
    }
    "$($data.Value)"
}

function Get-DriverPackage {
    # By Plug and Play id: two cards may share a name, and old packages stay in the store.
    param([string]$InstancePath)
    $pnpId = ConvertTo-PnpId -InstancePath $InstancePath
    $inf = Get-DeviceValue -PnpId $pnpId -KeyName 'DEVPKEY_Device_DriverInfPath'
    $drivers = @(Get-WindowsDriver -Online | Where-Object -FilterScript { $_.Driver -eq $inf })
    $folders = @($drivers | ForEach-Object -Process {
        [System.IO.Path]::GetDirectoryName($_.OriginalFileName)
    } | Sort-Object -Unique)
    if ($folders.Count -ne 1) {
        throw "GPV-DRIVER-UNRESOLVED: $($folders.Count) packages belong to $inf"
    }
    $store = Join-Path -Path $env:windir -ChildPath 'System32\DriverStore\FileRepository'
    if ([System.IO.Path]::GetDirectoryName($folders[0]) -ne $store) {
        throw "GPV-DRIVER-UNRESOLVED: $($folders[0]) is not in the driver store"
    }
    $file = "$($drivers[0].OriginalFileName)"
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) {
        throw "GPV-DRIVER-UNRESOLVED: there is no $file"
    }
    @{
        Folder = $folders[0]
        Name = [System.IO.Path]::GetFileName($folders[0])
        Inf = $inf
        File = $file
        Version = "$($drivers[0].Version)"
        ClassKey = Get-DeviceValue -PnpId $pnpId -KeyName 'DEVPKEY_Device_Driver'
        InstancePath = $InstancePath
    }
}

function Get-InfValue {
    # Each value of a key of an INF file, without blanks and comments.
    param([string]$Path, [string]$Key)
    if (-not (Test-Path -LiteralPath $Path -PathType Leaf)) { return }
    $text = [System.IO.File]::ReadAllText($Path)
    foreach ($found in [regex]::Matches($text, "(?im)^[ \t]*${Key}[ \t]*=([^;\r\n]+)")) {
        $found.Groups[1].Value -replace '\s', ''
    }
}

function Find-CompanionPackage {
    # What the INF of an AMD card has copied along (OpenCL and the like): other packages of the
    # store, of the very same version. Where not exactly one fits, it is left out, and said.
    param([hashtable]$Package)
    if ($Package.InstancePath -notmatch 'VEN_1002') { return }
    $store = [System.IO.Path]::GetDirectoryName($Package.Folder)
    $version = "$(Get-InfValue -Path $Package.File -Key 'DriverVer')"
    $lists = @(Get-InfValue -Path $Package.File -Key 'CopyINF')
    $names = @($lists | ForEach-Object -Process { $_.Split(',') } | Sort-Object -Unique)
    foreach ($name in $names) {
        if ($name -notmatch '^(amdocl|amdwin-u[0-9a-z_-]*)\.inf$') { continue }
        $found = @(Get-ChildItem -LiteralPath $store -Directory | Where-Object -FilterScript {
            $file = Join-Path -Path $_.FullName -ChildPath $name
            $_.Name.StartsWith("${name}_", [StringComparison]::OrdinalIgnoreCase) -and
                "$(Get-InfValue -Path $file -Key 'DriverVer')" -eq $version
        })
        if ($found.Count -ne 1) {
            $message = "$($found.Count) packages $name of version $version; it is left out"
            Add-Note -Code 'GPV-DRIVER-UNRESOLVED' -Field $Package.Name -Message $message
            continue
        }
        $companion = $Package.Clone()
        $companion.Folder = $found[0].FullName
        $companion.Name = $found[0].Name
        $companion.Inf = $name
        $companion.ClassKey = ''
        $companion
    }
}

function Get-CopyRule {
    # The driver's own lists in the card's class key, and one level below it.
    param([hashtable]$Package)
    if (-not $Package.ClassKey) { return }
    $root = "HKLM:\SYSTEM\CurrentControlSet\Control\Class\$($Package.ClassKey)"
    $keys = @(Get-Item -LiteralPath $root)
    $keys += @(Get-ChildItem -LiteralPath $root -ErrorAction SilentlyContinue)
    foreach ($key in $keys) {
        foreach ($list in $script:CopyLists.Keys) {
            $path = Join-Path -Path $key.PSPath -ChildPath $list
            if (-not (Test-Path -LiteralPath $path)) { continue }
            $values = Get-Item -LiteralPath $path
            foreach ($name in $values.GetValueNames()) {
                $pair = @($values.GetValue($name))
                $target = ''
                if ("$($pair[0])" -eq '') { continue }
                if ($pair.Count -gt 1) { $target = "$($pair[1])" }
                ConvertTo-FileRule -Package $Package -Source "$($pair[0])" -Target $target -List $list
            }
        }
    }
}

function ConvertTo-FileRule {
    # A source inside the package, a target that is a bare name; anything else is refused.
    param([hashtable]$Package, [string]$Source, [string]$Target, [string]$List)
    if ($Target -eq '') { $Target = $Source.Split('\')[-1] }
    $odd = $Source -match '[:/]' -or $Source.StartsWith('\') -or $Source.Split('\') -contains '..'
    if ($odd -or $Target -match '[\\/:*?"<>|]' -or $Target -match '^\.*$') {
        throw "GPV-DRIVER-OUTSIDE: the driver wants '$Source' copied to '$Target'"
    }
    $folder, $rule = $script:CopyLists[$List]
    @{
        Source = Join-Path -Path $Package.Folder -ChildPath $Source
        Path = "Windows\$folder\$Target"
        Rule = $rule
    }
}

function Get-VendorRule {
    # Files that applications load by name and that the vendor's lists leave out.
    param([hashtable]$Package)
    $vendor = ''
    if ($Package.InstancePath -match 'VEN_([0-9A-F]{4})') { $vendor = "$($Matches[1])" }
    if (-not $script:VendorFiles.ContainsKey($vendor)) { return }
    foreach ($line in $script:VendorFiles[$vendor]) {
        $folder, $source, $target = $line.Split(' ')
        $file = Join-Path -Path $Package.Folder -ChildPath $source
        if (Test-Path -LiteralPath $file -PathType Leaf) {
            @{ Source = $file; Path = "Windows\$folder\$target"; Rule = 'vendor table' }
        }
    }
}

function Get-PackageFile {
    # The whole package, in the folder of the same name below HostDriverStore.
    param([hashtable]$Package)
    $below = Get-GuestFolder -Name "FileRepository\$($Package.Name)"
    foreach ($file in @(Get-ChildItem -LiteralPath $Package.Folder -Recurse -File -Force)) {
        $relative = $file.FullName.Substring($Package.Folder.Length + 1)
        @{ Source = $file.FullName; Path = "$below\$relative"; Rule = 'package' }
    }
}

function Get-WantedFile {
    # Of all cards of a machine together. The driver's own rules come before the vendor tables,
    # and the first rule for a path holds: two cards must not take turns with one file.
    param([object[]]$Packages)
    $rules = @(foreach ($package in $Packages) { Get-PackageFile -Package $package })
    $rules += @(foreach ($package in $Packages) { Get-CopyRule -Package $package })
    $rules += @(foreach ($package in $Packages) { Get-VendorRule -Package $package })
    $seen = @{}
    foreach ($rule in $rules) {
        if ($seen.ContainsKey($rule.Path)) { continue }
        if (-not (Test-Path -LiteralPath $rule.Source -PathType Leaf)) { continue }
        $seen[$rule.Path] = $true
        $rule
    }
}

$script:VendorFiles = @{
    '10DE' = @(
        'System32 nvapi64.dll nvapi64.dll',
        'System32 nvcuda_loader64.dll nvcuda.dll',
        'System32 nvcudadebugger.dll nvcudadebugger.dll',
        'System32 nvcuvid64.dll nvcuvid.dll',
        'System32 nvEncodeAPI64.dll nvEncodeAPI64.dll',
        'System32 nvml_loader.dll nvml.dll',
        'System32 nvofapi64.dll nvofapi64.dll',
        'System32 NvFBC64.dll NvFBC64.dll',
        'System32 NvIFR64.dll NvIFR64.dll',
        'System32 OpenCL64.dll OpenCL.dll',
        'System32 vulkan-1-x64.dll vulkan-1.dll',
        'System32 vulkaninfo-x64.exe vulkaninfo.exe',
        'System32 nvidia-smi.exe nvidia-smi.exe',
        'SysWOW64 nvapi.dll nvapi.dll',
        'SysWOW64 nvcuda_loader32.dll nvcuda.dll',
        'SysWOW64 nvcuvid32.dll nvcuvid.dll',
        'SysWOW64 nvEncodeAPI.dll nvEncodeAPI.dll',
        'SysWOW64 nvofapi.dll nvofapi.dll',
        'SysWOW64 OpenCL32.dll OpenCL.dll',
        'SysWOW64 vulkan-1-x86.dll vulkan-1.dll'
    )
    '8086' = @(
        'System32 ControlLib.dll ControlLib.dll',
        'System32 intel_gfx_api-x64.dll intel_gfx_api-x64.dll',
        'System32 mfx_loader_dll_hw64.dll libmfxhw64.dll',
        'System32 vpl_dispatcher_64.dll libvpl.dll',
        'System32 vulkan-1-64.dll vulkan-1.dll',
        'System32 ze_loader.dll ze_loader.dll',
        'System32 ze_tracing_layer.dll ze_tracing_layer.dll',
        'System32 ze_validation_layer.dll ze_validation_layer.dll',
        'SysWOW64 ControlLib32.dll ControlLib32.dll',
        'SysWOW64 intel_gfx_api-x86.dll intel_gfx_api-x86.dll',
        'SysWOW64 mfx_loader_dll_hw32.dll libmfxhw32.dll',
        'SysWOW64 vpl_dispatcher_32.dll libvpl.dll',
        'SysWOW64 vulkan-1-32.dll vulkan-1.dll'
    )
    '1002' = @(
        'System32 atidxxstub64.dll atidxx64.dll',
        'System32 amdxcstub64.dll amdxc64.dll',
        'System32 amfrt64.dll amfrt64.dll',
        'System32 atiadlxx.dll atiadlxx.dll',
        'System32 amdadlx64.dll amdadlx64.dll',
        'System32 vulkan64.dll vulkan-1.dll',
        'SysWOW64 atidxxstub32.dll atidxx32.dll',
        'SysWOW64 amdxcstub32.dll amdxc32.dll',
        'SysWOW64 amfrt32.dll amfrt32.dll',
        'SysWOW64 atiadlxy.dll atiadlxx.dll',
        'SysWOW64 vulkan32.dll vulkan-1.dll'
    )
}
