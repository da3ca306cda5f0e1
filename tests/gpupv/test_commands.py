"""What a PowerShell host would refuse at run time, seen on the syntax trees of a whole set.

Every call reaches a function of the same script or a known cmdlet, with parameters that it has;
every variable that is read was set; every value of the plan that is asked for exists.
"""

from __future__ import annotations

import re

import pytest

from labkit.gpupv import Spec, plan_scripts
from labkit.gpupv.assembly import SCRIPTS
from labkit.gpupv.tokenizer import read_data
from support.powershell import commands, functions, parameters_of, parse, text_of, walk

COMMON = {"ErrorAction", "WhatIf", "Confirm"}
CMDLETS = {
    "Add-Member": "InputObject NotePropertyName NotePropertyValue Force",
    "Add-PartitionAccessPath": "DiskNumber PartitionNumber AccessPath",
    "Add-VMDvdDrive": "VM Path Passthru",
    "Add-VMGpuPartitionAdapter": "VM InstancePath *Partition",
    "Connect-VMNetworkAdapter": "VMNetworkAdapter VMSwitch",
    "ConvertFrom-Json": "InputObject",
    "ConvertTo-Json": "InputObject Depth",
    "Copy-Item": "LiteralPath Destination Force ToSession",
    "Dismount-VHD": "DiskNumber",
    "Enable-VMTPM": "VM",
    "ForEach-Object": "Process",
    "Get-Acl": "LiteralPath",
    "Get-ChildItem": "LiteralPath Recurse File Directory Force",
    "Get-CimInstance": "ClassName Namespace",
    "Get-Command": "Name",
    "Get-Credential": "UserName Message",
    "Get-FileHash": "LiteralPath Algorithm",
    "Get-Item": "LiteralPath Force",
    "Get-ItemProperty": "LiteralPath",
    "Get-Partition": "DiskNumber PartitionNumber",
    "Get-PnpDevice": "InstanceId",
    "Get-PnpDeviceProperty": "InstanceId KeyName",
    "Get-Service": "Name",
    "Get-VHD": "Path",
    "Get-VM": "Id",
    "Get-VMDvdDrive": "VM",
    "Get-VMFirmware": "VM",
    "Get-VMGpuPartitionAdapter": "VM",
    "Get-VMHardDiskDrive": "VM",
    "Get-VMHostPartitionableGpu": "",
    "Get-VMMemory": "VM",
    "Get-VMNetworkAdapter": "VM",
    "Get-VMPartitionableGpu": "",
    "Get-VMProcessor": "VM",
    "Get-VMSecurity": "VM",
    "Get-VMSnapshot": "VM",
    "Get-VMSwitch": "",
    "Get-VMVideo": "VM",
    "Get-Volume": "",
    "Get-WindowsDriver": "Online",
    "Invoke-CimMethod": "InputObject MethodName Arguments",
    "Invoke-Command": "Session ScriptBlock ArgumentList",
    "Join-Path": "Path ChildPath",
    "Mount-VHD": "Path NoDriveLetter Passthru",
    "Move-Item": "LiteralPath Destination Force",
    "New-Item": "Path Force",
    "New-Object": "TypeName ArgumentList",
    "New-PSSession": "VMId Credential",
    "New-VM": "Name Generation MemoryStartupBytes NewVHDPath NewVHDSizeBytes",
    "Remove-Item": "LiteralPath Force",
    "Remove-ItemProperty": "LiteralPath Name",
    "Remove-PSSession": "Session",
    "Remove-PartitionAccessPath": "DiskNumber PartitionNumber AccessPath",
    "Remove-VMGpuPartitionAdapter": "VM AdapterId",
    "Set-Acl": "LiteralPath AclObject",
    "Set-Item": "Path Value",
    "Set-ItemProperty": "LiteralPath Name Value Type",
    "Set-StrictMode": "Version",
    "Set-VM": (
        "VM GuestControlledCacheTypes LowMemoryMappedIoSpace HighMemoryMappedIoSpace "
        "AutomaticCheckpointsEnabled CheckpointType AutomaticStopAction AutomaticStartAction"
    ),
    "Set-VMFirmware": "VM EnableSecureBoot SecureBootTemplate FirstBootDevice",
    "Set-VMGpuPartitionAdapter": "VM AdapterId *Partition",
    "Set-VMKeyProtector": "VM NewLocalKeyProtector",
    "Set-VMMemory": "VM DynamicMemoryEnabled StartupBytes MinimumBytes MaximumBytes",
    "Set-VMProcessor": "VM Count",
    "Set-VMVideo": "VM ResolutionType HorizontalResolution VerticalResolution",
    "Sort-Object": "Unique",
    "Start-Sleep": "Milliseconds",
    "Test-Path": "LiteralPath PathType",
    "Where-Object": "FilterScript",
    "Write-Information": "MessageData InformationAction",
    "Write-Output": "InputObject",
}
"""The cmdlets in use, with the parameters that Microsoft documents for the forms in use."""

SWITCHES = {"Passthru", "Force", "Recurse", "File", "Online", "NoDriveLetter", "Unique"}
SWITCHES |= {"NewLocalKeyProtector", "Directory"}
AUTOMATIC = {
    *("_", "true", "false", "null", "PSCmdlet", "Matches", "PSVersionTable", "PSItem"),
    *("ErrorActionPreference", "ExecutionContext", "WhatIfPreference"),
}
RESERVED = {
    *("args", "input", "matches", "host", "error", "event", "foreach", "home", "pid", "profile"),
    *("psboundparameters", "pshome", "pwd", "sender", "shellid", "switch", "this", "psitem"),
}
each_script = pytest.mark.parametrize("name", SCRIPTS)


@pytest.fixture(scope="module")
def scripts():
    """A set with everything in it: two machines, two cards, a new machine, a display."""
    second = (
        r"\\?\PCI#VEN_8086&DEV_4692&SUBSYS_86941043&REV_0C#3&11583659&0&10"
        r"#{064092b3-625e-43bf-9eb5-dc845897dd59}\GPUPARAV"
    )
    first = second.replace("8086&DEV_4692", "10DE&DEV_2504")
    create = {"iso": r"D:\w.iso", "vhd_size": "64GiB", "switch": "LAN"}
    old = {"name": "Old", "vhdx": r"D:\o.vhdx", "gpus": ["a", "b"], "percent": 50}
    old |= {
        "mmio_base": "47GiB",
        "memory": "8GiB",
        "vcpu": 4,
        "resolution": "1920x1080",
        "guest_user": "bob",
    }
    new = {"name": "New", "vhdx": r"D:\n.vhdx", "gpus": ["b"], "memory": "8GiB", "create": create}
    gpus = [{"key": "a", "path": first}, {"key": "b", "path": second}]
    spec = Spec.from_table({"host": {"allow_policy": True}, "gpu": gpus, "vm": [old, new]})
    return {name: parse(text) for name, text in plan_scripts(spec).items() if name.endswith("ps1")}


def has(cmdlet, parameter):
    """Whether a cmdlet takes a parameter."""
    known = CMDLETS[cmdlet].split()
    if "*Partition" in known and re.fullmatch(
        r"(Min|Max|Optimal)Partition(VRAM|Encode|Decode|Compute)", parameter
    ):
        return True
    return parameter in known or parameter in COMMON


@each_script
def test_each_call_reaches_a_function_of_the_script_or_a_known_cmdlet(scripts, name):
    """A shared part that was not included would fail on the host only."""
    own = functions(scripts[name])
    for command in commands(scripts[name]):
        assert command.name in own or command.name in CMDLETS, (command.line, command.name)


@each_script
def test_each_parameter_exists_and_each_value_is_named(scripts, name):
    """Of own functions and of cmdlets alike."""
    own = functions(scripts[name])
    for command in commands(scripts[name], SWITCHES):
        for parameter in command.parameters:
            if command.name in own:
                assert parameter in own[command.name].parameters | COMMON, command
            else:
                assert has(command.name, parameter), command
        assert not command.positional, command


@each_script
def test_each_key_of_a_splatted_table_is_a_parameter(scripts, name):
    """Where the table is written in the same function."""
    own = functions(scripts[name])
    for function in own.values():
        keys = table_keys(function.node)
        for command in commands(function.node, SWITCHES):
            for table in command.splatted:
                for key in keys.get(table, ()):
                    if command.name in own:
                        assert key in own[command.name].parameters | COMMON, (function.name, key)
                    else:
                        assert has(command.name, key), (function.name, command.name, key)


def table_keys(node):
    """The keys of each hash literal that a variable is set to, and those added to it by name."""
    found = {}
    for assignment in walk(node, "assignment_expression"):
        left = text_of(assignment.children[0])
        table = next(walk(assignment, "hash_literal_expression"), None)
        direct = re.match(r"@\{", text_of(assignment.children[-1]).removeprefix("[ordered]"))
        if table is not None and direct and re.fullmatch(r"\$\w+", left):
            body = next(walk(table, "hash_literal_body"), None)
            entries = [entry for entry in body.children if entry.is_named] if body else []
            keys = [text_of(next(walk(entry, "key_expression"))) for entry in entries]
            found.setdefault(left[1:], set()).update(keys)
        elif added := re.fullmatch(r"\$(\w+)\.(\w+)", left):
            found.setdefault(added[1], set()).add(added[2])
    return found


@each_script
def test_each_variable_that_is_read_was_set(scripts, name):
    """Under Set-StrictMode a name that was never set ends the script."""
    root = scripts[name]
    outside = parameters_of(root)[0] | {"Plan"} | AUTOMATIC
    set_by_script = set(re.findall(r"\$script:(\w+) =", text_of(root)))
    for function in functions(root).values():
        known = outside | function.parameters | set_in(function.node)
        for variable in walk(function.node, "variable"):
            written = re.match(r"[$@]\{?([\w:]+)", text_of(variable))[1]
            scope, _, rest = written.rpartition(":")
            if scope == "script":
                assert rest in set_by_script, (function.name, rest)
            elif scope != "env":
                assert rest in known, (function.name, rest)


def set_in(node):
    """What a function sets: by assignment, in foreach, as a parameter of an inner block."""
    found = set()
    for assignment in walk(node, "assignment_expression"):
        left = assignment.children[0]
        found |= {text_of(variable)[1:] for variable in walk(left, "variable")}
    for loop in walk(node, "foreach_statement"):
        found.add(text_of(next(c for c in loop.children if c.type == "variable"))[1:])
    for block in walk(node, "script_block_expression"):
        found |= parameters_of(block)[0]
    return found


@each_script
def test_no_automatic_variable_is_set(scripts, name):
    """PowerShell sets them itself, at times of its own."""
    for function in functions(scripts[name]).values():
        used = {variable.lower() for variable in set_in(function.node) | function.parameters}
        assert not used & RESERVED, function.name


@each_script
def test_each_value_of_the_plan_that_is_asked_for_exists(scripts, name):
    """A key that the plan has not would end the script under Set-StrictMode."""
    if name.startswith("00-"):
        return
    plan = read_data(text_of(scripts[name]), "Plan")
    bodies = " ".join(text_of(function.node) for function in functions(scripts[name]).values())
    assert set(re.findall(r"\$Plan\.(\w+)", bodies)) <= set(plan)
    if "Machines" not in plan:
        return
    machine = plan["Machines"][1]
    assert set(re.findall(r"\$[Mm]achine\.(\w+)", bodies)) <= set(machine)
    assert set(re.findall(r"\.Create\.(\w+)|\$new\.(\w+)", bodies)) <= {
        pair for key in machine["Create"] for pair in ((key, ""), ("", key))
    }


@each_script
def test_exit_stands_outside_of_functions(scripts, name):
    """In a function it would end the host before `finally` has written the report."""
    for function in functions(scripts[name]).values():
        assert not re.search(r"(?m)^\s*exit\b(?! =)", text_of(function.node)), function.name
    assert text_of(scripts[name]).rstrip().endswith("exit $exitCode")


@each_script
def test_dictionary_count_is_asked_of_its_keys(scripts, name):
    """A dictionary with a key `Count`, as that of the processors, answers with its value."""
    for function in functions(scripts[name]).values():
        body = text_of(function.node)
        for variable in re.findall(r"\$(\w+) = Compare-Setting", body):
            assert f"${variable}.Count" not in body, function.name


@each_script
def test_json_on_the_console_is_ascii(scripts, name):
    """Windows PowerShell writes to a pipe in the machine's code page, which JSON readers garble."""
    body = text_of(scripts[name])
    for output in re.findall(r"Write-Output -InputObject (.*)", body):
        assert "AsciiJson" in output or "$text" in output
    assert "ConvertTo-AsciiJson" in body


@each_script
def test_count_is_asked_of_lists_only(scripts, name):
    """Under Set-StrictMode one object or none, which a pipeline may give, has no `Count`."""
    for function in functions(scripts[name]).values():
        body = text_of(function.node)
        for variable in set(re.findall(r"\$(\w+)\.Count\b", body)):
            lists = rf"\${variable} (\+)?= @\(|\${variable} = @\{{|\[object\[\]\]\${variable}\b"
            copies = rf"\${variable} = \$[\w.]+\.Clone\(\)"
            assert re.search(f"{lists}|{copies}", body), (function.name, variable)


@each_script
def test_text_in_double_quotes_ends_names_before_a_colon(scripts, name):
    """`"$name:"` would be a variable of the drive or scope `name`."""
    for node in walk(scripts[name], "expandable_string_literal"):
        assert not re.search(r"\$(?!script:|env:)\w+:", text_of(node)), text_of(node)
