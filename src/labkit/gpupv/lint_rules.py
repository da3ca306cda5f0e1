"""What `lint` looks for: known bad advice of GPU-PV scripts and guides, and the right form.

Each rule is a pattern over one logical line. Cause and source stand in the failure catalogue
under the rule's code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A piece of bad advice.

    Attributes:
        code: Its entry in the failure catalogue.
        pattern: Finds it in a line.
        message: What is wrong with it.
        instead: The right form.
        prose: Whether it is found in the sentences of a guide only.
        unless: Where this is found anywhere in the text, the rule is silent.
        where: Where this is not found anywhere in the text, the rule is silent.
        beside: Where this is found in the same line or sentence, the rule is silent.
    """

    code: str
    pattern: re.Pattern[str]
    message: str
    instead: str
    prose: bool = False
    unless: re.Pattern[str] | None = None
    where: re.Pattern[str] | None = None
    beside: re.Pattern[str] | None = None


def _re(pattern: str) -> re.Pattern[str]:
    # Gaps have an upper bound: a line of a megabyte must not take minutes.
    return re.compile(pattern, re.IGNORECASE)


_CHECKPOINTS = "Set-VM -VM $vm -AutomaticCheckpointsEnabled $false -CheckpointType Disabled"

RULES = (
    Rule(
        "GPV-SCRIPT-STOPACTION",
        _re(r"-AutomaticStopAction[\s:]+['\"]?TurnOff"),
        "this is what happens to the machine when the host shuts down, no checkpoint switch",
        f"{_CHECKPOINTS} -AutomaticStopAction ShutDown",
        unless=_re(r"-AutomaticCheckpointsEnabled\b|-CheckpointType\b"),
        # By itself it is a choice; cmdlets such as Checkpoint-VM do not speak of the switch.
        where=_re(r"(?<![\w-])(check-?points?|snapshots?)\b(?!-)"),
    ),
    Rule(
        "GPV-AUTO-CHECKPOINTS",
        _re(
            r"-CheckpointType[\s:]+['\"]?(Standard|Production)|-AutomaticCheckpointsEnabled[\s:]+\$true"
        ),
        "a checkpoint of a machine with a GPU fails, or keeps it from starting",
        _CHECKPOINTS,
    ),
    Rule(
        "GPV-MEM-DYNAMIC",
        _re(r"-DynamicMemoryEnabled[\s:]+\$true"),
        "with a GPU, dynamic memory is refused, or leaves the guest little",
        "Set-VMMemory -VM $vm -DynamicMemoryEnabled $false -StartupBytes 8GB",
    ),
    Rule(
        "GPV-MEM-ALIGN",
        _re(r"-(Memory)?StartupBytes[\s:]+\(?\d*[13579]\s*MB\b"),
        "memory is a multiple of 2 MB",
        "an even number of MB",
    ),
    Rule(
        "GPV-VM-AMBIGUOUS",
        _re(
            r"\b(?!Get-)[a-z]+-VM(?!HostP)\w*\b[^|;]{0,400}?-(VM)?Name[\s:]+"
            r"(['\"]?[^\s'\"|;]{0,100}\*)"
        ),
        "a wildcard: it changes every machine that fits",
        "$vm = Get-VM | Where-Object { $_.Name -ceq 'NAME' }, then -VM $vm",
    ),
    Rule(
        "GPV-SAVE-BLOCKED",
        _re(r"-AutomaticStopAction[\s:]+['\"]?Save\b"),
        "a machine with a GPU adapter cannot be saved",
        "Set-VM -VM $vm -AutomaticStopAction ShutDown",
    ),
    Rule(
        "GPV-VIDEO-DEFAULT",
        _re(r"-ResolutionType[\s:]+['\"]?Default\b"),
        "with Default the two numbers are ignored",
        "Set-VMVideo -VM $vm -ResolutionType Single -HorizontalResolution W -VerticalResolution H",
    ),
    Rule(
        "GPV-SCRIPT-SECUREBOOT",
        _re(r"-EnableSecureBoot[\s:]+['\"]?Off\b"),
        "Windows boots with Secure Boot; it does not hide an installation image",
        "Set-VMFirmware -VM $vm -EnableSecureBoot On -SecureBootTemplate MicrosoftWindows",
    ),
    Rule(
        "GPV-SCRIPT-SECUREBOOT",
        _re(
            r"(disable|uncheck|turn off|switch off|untick)\W+(the\W+)?(enable\W+)?secure boot"
            r"|secure boot\b.{0,40}\b(must|has to|have to|needs to|should) be\W+"
            r"(disabled|off|turned off|switched off|unchecked)"
        ),
        "Windows boots with Secure Boot; press a key when the image asks for one",
        "leave Secure Boot on, with the template MicrosoftWindows",
        prose=True,
    ),
    Rule(
        "GPV-SCRIPT-SECUREBOOT",
        _re(r"-SecureBootTemplate[\s:]+['\"]?MicrosoftUEFICertificateAuthority"),
        "this template is for Linux and stops Windows",
        "Set-VMFirmware -VM $vm -SecureBootTemplate MicrosoftWindows",
    ),
    Rule(
        "GPV-SCRIPT-PATH",
        _re(r"(?<!\.)\.[\\/]\$(env:|\{env:|HOME\b)"),
        "it expands to .\\C:\\..., which exists nowhere",
        '& "$env:USERPROFILE\\Downloads\\x.ps1"',
    ),
    Rule(
        "GPV-SCRIPT-FILTER",
        _re(r"\b(Invoke-WebRequest|iwr|wget|curl|Invoke-RestMethod|irm)\b[^|;]{0,400}\s-Filter\b"),
        "-Filter belongs to the downloaded function, which this line never calls",
        "save the file, read it, dot-source it and call its function with -Filter",
    ),
    Rule(
        "GPV-SCRIPT-ATTRIBUTE",
        _re(r"\[\s*Validate(NotNull|NotNullOrEmpty|NotNullOrWhiteSpace)\s*\]"),
        "without parentheses it is a type, and every call with a value fails",
        "[ValidateNotNullOrEmpty()]",
    ),
    Rule(
        "GPV-SCRIPT-ATTRIBUTE",
        _re(r"\bNew-GPUPDriverPackage\b[^|;]{0,400}\s-Filter\b"),
        "the published function fails on every call with -Filter: its attribute lacks ()",
        "write [ValidateNotNullOrEmpty()] in it, or use 20-Sync-Drivers.ps1",
        beside=_re(r"https?://"),
    ),
    *(
        Rule(
            "GPV-SCRIPT-DEFINES-ONLY",
            _re(
                r"(?:^|[|;&>]|-File\s|\b(?:run|execute|launch|start)\b[^\n]{0,60}[\s`])\s*['\"`]?"
                rf"(?:[^\s'\"`]{{0,200}}[\\/])?{name}\.ps1\b"
            ),
            "the file only defines a function; running it does nothing",
            f". .\\{name}.ps1, then {name} with its parameters",
            beside=_re(r"https?://|(^|[\s`])\. ['\"]?[.\\$]"),
        )
        for name in ("New-GPUPVirtualMachine", "New-GPUPDriverPackage")
    ),
    Rule(
        "GPV-SCRIPT-UNPACK",
        _re(
            r"(GPUPDriverPackage[^\s'\"]{0,200}\.zip.{0,400}(C:|\$env:windir|\$env:SystemRoot)\\?(Windows)?)"
            r"|(\b(unzip|extract|expand)\w{0,10}\b.{0,400}GPUPDriverPackage)"
        ),
        "the archive has a top folder, so its files land in C:\\Windows\\GPUPDriverPackage",
        "copy the contents of that folder into C:\\Windows of the guest",
    ),
    Rule(
        "GPV-SCRIPT-HOST-LIST",
        _re(r"Get-VMHostPartitionableGpu\s[^|;]{0,400}-VM(Name)?\b"),
        "it lists the host's GPUs and has no such parameter",
        "Get-VMGpuPartitionAdapter -VM $vm",
    ),
    Rule(
        "GPV-SCRIPT-HOST-LIST",
        _re(
            r"Get-VMHostPartitionableGpu\b.{0,400}\b((VM|guest|virtual machine)('s|s)?\b.{0,30}\b"
            r"(adapter|GPU)|adapter|(attached|assigned|added))"
            r"|\b(VM|guest|virtual machine)('s|s)?\b(?:(?!\bhost\b)[^.]){0,60}\b(adapter|GPU)\b"
            r"(?:(?!\bhost\b)[^.]){0,60}Get-VMHostPartitionableGpu\b"
        ),
        "it lists the host's GPUs, not a machine's adapter",
        "Get-VMGpuPartitionAdapter -VM $vm",
        prose=True,
    ),
    Rule(
        "GPV-SCRIPT-GPU-LIST",
        _re(
            r"((Turing|RTX\s?20\d\d|RDNA|RX\s?5000|Pascal|Kepler)\b.{0,40}"
            r"\b(or|and) (newer|later|above|up))"
        ),
        "older ones work too",
        "the one test is whether Get-VMHostPartitionableGpu lists the GPU",
        prose=True,
        beside=_re(r"\b(works? (too|also|as well)|also works?|older)\b"),
    ),
    Rule(
        "GPV-GPU-AMBIGUOUS",
        _re(r"\bAdd-VMGpuPartitionAdapter\b(?![^|;]{0,400}(-InstancePath\b|\s@))[^|;]{0,400}-VM"),
        "of several cards Hyper-V takes one, mostly the first",
        "Add-VMGpuPartitionAdapter -VM $vm -InstancePath (the Name of the card)",
        unless=_re(r"\bAdd-VMGpuPartitionAdapter\b[^|;\n]{0,400}-InstancePath\b"),
    ),
    Rule(
        "GPV-CMDLET-DEPRECATED",
        _re(r"\b[GS]et-VMPartitionableGpu\b"),
        "on Windows 11 it prints a warning and nothing else",
        "Get-VMHostPartitionableGpu where Get-Command finds it",
        unless=_re(r"\b[GS]et-VMHostPartitionableGpu\b"),
    ),
    Rule(
        "GPV-MMIO-LOWGAP-RANGE",
        _re(r"-LowMemoryMappedIoSpace[\s:]+\(?(([4-9]|[1-9]\d+)\s*GB|[1-9]\d*\s*TB|4294967296)\b"),
        "the parameter is a UInt32 of bytes",
        "Set-VM -VM $vm -LowMemoryMappedIoSpace 1GB",
    ),
    Rule(
        "GPV-MMIO-LOW",
        _re(r"-HighMemoryMappedIoSpace[\s:]+\(?([1-7]\s*GB|[1-7]?\d{1,3}\s*MB)\b"),
        "below 8 GB the guest shows Code 43",
        "Set-VM -VM $vm -HighMemoryMappedIoSpace 32GB",
    ),
    Rule(
        "GPV-MMIO-RANGE",
        _re(
            r"-HighMemoryMappedIoSpace[\s:]+\(?((25[7-9]|2[6-9]\d|[3-9]\d\d|[1-9]\d{3,})\s*GB"
            r"|[1-9]\d*\s*TB)\b"
        ),
        "above 256 GB Hyper-V does not start the machine",
        "Set-VM -VM $vm -HighMemoryMappedIoSpace 32GB",
    ),
    Rule(
        "GPV-CACHE-TYPES",
        _re(r"-GuestControlledCacheTypes[\s:]+\$false"),
        "the guest then has no write-combined memory",
        "Set-VM -VM $vm -GuestControlledCacheTypes $true",
    ),
    Rule(
        "GPV-PARTITION-ZERO",
        _re(r"-(Min|Max|Optimal)Partition(VRAM|Encode|Decode|Compute)[\s:]+0\b"),
        "0 switches a capability off",
        "pass no values, or all four capabilities with at least 1",
    ),
    Rule(
        "GPV-PARTITION-ZERO",
        _re(r"-(Min|Max|Optimal)PartitionVRAM\b"),
        "values for the memory alone: the other three capabilities may stay at 0",
        "pass no values, or all four capabilities with at least 1",
        unless=_re(r"Partition(Encode|Decode|Compute)\b"),
    ),
    Rule(
        "GPV-SCRIPT-REMOVE-ALL",
        _re(
            r"Remove-VMGpuPartitionAdapter\b(?![^|;]{0,400}-(AdapterId|VMGpuPartitionAdapter)\b)[^|;]{0,400}-VM"
        ),
        "without -AdapterId it removes every adapter of the machine",
        "Remove-VMGpuPartitionAdapter -VM $vm -AdapterId $adapter.Id",
    ),
    Rule(
        "GPV-IC-LOCALISED",
        _re(
            r"VMIntegrationService\b.{0,400}"
            r"['\"](Guest Service Interface|Gastdienstschnittstelle)['\"]"
        ),
        "the names are translated on other hosts",
        "match the Id that ends in 6C09BB55-D683-4DA0-8931-C9BF705F6480",
    ),
    Rule(
        "GPV-VHD-NO-LETTER",
        _re(
            r"Mount-(VHD|DiskImage)\b.{0,400}\.DriveLetter|\(.{0,400}Get-(Disk|Partition|Volume)\b.{0,400}\)\.DriveLetter"
        ),
        "there is no letter where automount is off",
        "Mount-VHD -NoDriveLetter and Add-PartitionAccessPath with an empty folder",
        where=_re(r"\bMount-(VHD|DiskImage)\b|\.vhdx?\b"),
    ),
    Rule(
        "GPV-SCRIPT-GLOB",
        _re(r"\b(nv|u0|iigd_)\w*(\.\w*)?\*"),
        "old packages have the same name, other cards other names",
        "find the one folder by the card's Plug and Play id",
    ),
    Rule(
        "GPV-STORE-BLOAT",
        _re(
            r"(Copy-Item|robocopy|xcopy)\b.{0,400}DriverStore\\FileRepository\\?['\"]?\*?['\"]?(\s|$)"
        ),
        "the whole driver store is tens of GB",
        "copy the one folder of the card's driver package",
    ),
    Rule(
        "GPV-SCRIPT-POLICY",
        _re(
            r"Set-ExecutionPolicy\b(?!.{0,400}-Scope[\s:]+['\"]?Process).{0,400}\b(Unrestricted|Bypass|RemoteSigned)\b"
        ),
        "it stays changed for every later script",
        "powershell.exe -NoProfile -ExecutionPolicy Bypass -File .\\SCRIPT.ps1",
    ),
    Rule(
        "GPV-SCRIPT-PASSWORD",
        _re(
            r"ConvertTo-SecureString\b.{0,400}-AsPlainText|(\$|^\s*|[;{(]\s*)\w*password\w*\s*=\s*['\"][^'\"$]"
        ),
        "who reads the file has the password",
        "Get-Credential when it runs",
    ),
    Rule(
        "GPV-SCRIPT-DOWNLOAD-RUN",
        _re(
            r"\b(iex|Invoke-Expression)\b.{0,400}\b(iwr|irm|Invoke-WebRequest|Invoke-RestMethod|"
            r"DownloadString)\b|\b(iwr|irm|Invoke-WebRequest|Invoke-RestMethod|DownloadString)\b.{0,400}"
            r"\|\s*(iex|Invoke-Expression)\b"
        ),
        "it runs as administrator what nobody has read",
        "save the file, read it, run it",
    ),
    Rule(
        "GPV-SCRIPT-DASH",
        _re(
            "(^|\\s)[\u2013\u2014\u2015]\\w+|\\w[\u2013\u2014\u2015]VM|\u00e2\u20ac[\u201c\u201d]\\w"
        ),
        "the dash is no ASCII hyphen; after a wrong code page the parameter is lost",
        "-",
    ),
    Rule(
        "GPV-SCRIPT-QUOTE",
        _re("[\u2018\u2019\u201a\u201b\u201c\u201d\u201e]"),
        "a curly quote from a web page: PowerShell takes it for a quote",
        "' or \" in ASCII",
    ),
)
