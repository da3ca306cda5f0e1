"""Specifications: what is accepted to the byte, what is refused, and with which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.gpupv import Spec, plan_scripts, values
from labkit.gpupv.assembly import example_text
from labkit.gpupv.literals import string_literal
from labkit.gpupv.spec import SpecError
from labkit.gpupv.tokenizer import read_data

CHECKS = {
    "vm_name": values.existing_name,
    "switch_name": values.existing_name,
    "gpu_name": values.existing_name,
    "guest_user": values.account,
    "path": values.path,
    "gpu_instance_path": values.instance_path,
    "memory": values.memory,
    "percent": lambda text: values.whole_number(text, 1, 100),
}


def problems(table):
    """The problems of a table, by field."""
    with pytest.raises(SpecError) as caught:
        Spec.from_table(table)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_hostile_values_are_refused_or_survive_to_the_byte(shared_fixtures):
    """Of 44: 29 accepted, and each comes back out of its literal as it went in; 15 refused."""
    cases = json.loads((shared_fixtures / "gpupv/hostile.json").read_text(encoding="utf-8"))
    counts = {"accept": 0, "reject": 0, "round trip": 0}
    for case in cases:
        check = CHECKS.get(case["kind"])
        if check is None:  # a password has no place in a plan at all
            assert case["kind"] == "guest_password"
            counts["reject"] += 1
            continue
        try:
            value = check(case["value"])
        except ValueError:
            assert case["expect"] == "reject", case
            counts["reject"] += 1
            continue
        assert case["expect"] == "accept", case
        counts["accept"] += 1
        assert value == case["value"].replace("/", "\\" if case["kind"] == "path" else "/")
        assert read_data(f"$Plan = {string_literal(value)}", "Plan") == value
        counts["round trip"] += 1
    assert counts == {"accept": 29, "reject": 15, "round trip": 29}


def test_hostile_names_reach_every_script_as_data(shared_fixtures, table):
    """The name that each script's plan block decodes to is the name that was given."""
    cases = json.loads((shared_fixtures / "gpupv/hostile.json").read_text(encoding="utf-8"))
    for case in cases:
        if case["kind"] == "vm_name" and case["expect"] == "accept":
            scripts = plan_scripts(Spec.from_table(table(name=case["value"])))
            for name, text in scripts.items():
                if name.endswith(".ps1") and not name.startswith(("00-", "30-")):
                    assert read_data(text, "Plan")["Machines"][0]["Name"] == case["value"]


def test_example_is_a_correct_specification():
    """`init` prints what `plan` takes, also with every commented key put in."""
    assert Spec.parse(example_text()).machines[0].name == "Gaming VM"
    lines = example_text().splitlines()
    keys = [line.removeprefix("# ") if " = " in line else line for line in lines]
    full = "\n".join(keys).replace("# [vm.create]", "[vm.create]")
    full = full.replace('id = "6b2bd1b2-..."', "# id").replace("labkit gpupv", "# labkit")
    spec = Spec.parse(full)
    assert spec.machines[0].create.switch == "Default Switch"
    assert spec.host.address_bits == 39


def test_all_problems_come_at_once_with_their_lines():
    """Each with the line of its own key, in the order of the text."""
    text = '[host]\nmemroy = "1GiB"\n[[gpu]]\npath = "x"\n[[vm]]\nname = "a"\nmemory = "8"\n'
    with pytest.raises(SpecError) as caught:
        Spec.parse(text)
    found = [(problem.line, problem.field) for problem in caught.value.problems]
    assert found == [
        (2, "host.memroy"),
        (4, "gpu[1].path"),
        (5, "vm[1].vhdx"),
        (7, "vm[1].memory"),
    ]


def test_line_of_the_second_machine_is_its_own():
    """Arrays of tables are counted, sub-tables belong to the last one, long strings are skipped."""
    text = (
        '[[gpu]]\npath = "auto"\n[[vm]]\nname = """a\n"""\nvhdx = "C:/a.vhdx"\n'
        '[[vm]]\nname = "b"\nvhdx = "C:/b.vhdx"\nmemory = "1GiB"\n[vm.create]\niso = "x"\n'
    )
    with pytest.raises(SpecError) as caught:
        Spec.parse(text)
    lines = {problem.field: problem.line for problem in caught.value.problems}
    assert lines["vm[1].name"] == 4
    assert lines["vm[2].create.iso"] == 12


def test_unknown_key_is_refused_with_the_likely_one(table):
    """A typing error is never ignored."""
    assert "`resolution`" in problems(table(resolutoin="1x1"))["vm[1].resolutoin"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("memory", "8", "add a unit"),
        ("memory", 8, "quotes, with a unit"),
        ("memory", "8.5GiB", "no size"),
        ("memory", "3MB", "not between"),
        ("memory", "513MB", "multiple of 2 MiB"),
        ("memory", "0x10GB", "no size"),
        ("memory", "\u0668GiB", "no size"),
        ("memory", "8\u00a0GiB", "no size"),
        ("memory", "9" * 5000 + "GB", "more than"),
        ("mmio_low", "4GiB", "not between"),
        ("mmio_high", "4GiB", "not between"),
        ("vcpu", True, "is a whole number, not true"),
        ("vcpu", 8.0, "is a whole number, not 8.0"),
        ("memory", 8, "is text in quotes, with a unit for a size, not 8"),
        ("resolution", 2560, "is text in quotes, not 2560"),
        ("vcpu", "08", "whole number"),
        ("percent", "\u0665\u0660", "whole number"),
        ("percent", 101, "whole number"),
        ("percent", "9" * 5000, "whole number"),
        ("resolution", "2560X1440", "no resolution"),
        ("resolution", "100x100", "not between"),
        ("resolution_type", "Default", "none of Maximum, Single"),
        ("stop_action", "Save", "cannot do"),
        ("vhdx", r"D:\a.avhdx", "merge"),
        ("vhdx", r"D:\a.txt", ".vhdx or .vhd"),
        ("vhdx", r"\\.\PhysicalDrive0", "no file on a share"),
        ("vhdx", r"C:\a\..\b.vhdx", "segment"),
        ("vhdx", r"C:\a\\b.vhdx", "two in a row"),
        ("vhdx", r"C:\con\b.vhdx", "device"),
        ("vhdx", r"C:\a.vhdx:x.vhdx", "no Windows file name"),
        ("vhdx", "C:\\" + "a" * 260 + ".vhdx", "longer than"),
        ("vhdx", "\\\\?\\C:/a.vhdx", "forward slash"),
        ("vhdx", r"%USERPROFILE%\a.vhdx", "variable"),
        ("guest_user", "a:b", "no Windows account"),
        ("guest_user", "..", "1 to 20"),
        ("guest_user", "a" * 21, "1 to 20"),
        ("id", "{6b2bd1b2-0000-0000-0000-000000000000", "no GUID"),
        ("password", "hunter2", "Get-Credential"),
        ("guest_password", "hunter2", "Get-Credential"),
        ("remove_other_adapters", "yes", "true or false"),
        ("gpus", ["gpu1", "gpu1"], "twice"),
        ("gpus", [], "no card"),
        ("gpus", "gpu1", "list"),
        ("create", 5, "table"),
        ("name", 5, "quotes"),
    ],
)
def test_bad_value_is_refused_with_its_reason(table, key, value, words):
    """The message says what is wrong with it."""
    assert words in problems(table(**{key: value}))[f"vm[1].{key}"]


def test_new_machine_takes_no_vhd(table):
    """Generation 2 takes .vhdx only; an existing machine may have a .vhd."""
    create = {"iso": r"D:\w.iso", "vhd_size": "64GiB"}
    new = table(vhdx=r"D:\g.VHD", memory="8GiB", create=create)
    assert "generation 2" in problems(new)["vm[1].vhdx"]
    assert Spec.from_table(table(vhdx=r"D:\g.VHD"))


@pytest.mark.parametrize("gpu", [{}, {"gpu": []}, {"gpu": {"path": "auto"}}, {"gpu": 5}])
def test_missing_card_is_told_once(table, gpu):
    """Without a card, nothing is said of which machine has which."""
    whole = table()
    del whole["gpu"]
    assert list(problems(whole | gpu)) == ["gpu"]


def test_cards_are_offered_by_their_keys(table, path):
    """An example shows a key that there is."""
    cards = [{"key": "main", "path": path}, {"path": path.replace("0008", "0013")}]
    assert 'gpus = ["main"]' in problems(table() | {"gpu": cards})["vm[1].gpus"]


def test_unknown_key_is_not_answered_with_a_refused_one(table):
    """A password is no key that one may write."""
    message = problems(table(zzzzzz="x"))["vm[1].zzzzzz"]
    assert "there are name, id" in message
    assert "password" not in message


@pytest.mark.parametrize(
    ("key", "way_out"), [("name", True), ("vhdx", False), ("guest_user", False)]
)
def test_way_out_of_an_unseen_character(table, key, way_out):
    """The id stands for the name of a machine, for nothing else."""
    message = problems(table(**{key: "D:\\a\u202e.vhdx"}))[f"vm[1].{key}"]
    assert ("`id`" in message) == way_out
    assert "\u202e" not in message


@pytest.mark.parametrize("field", ["vhdx", "path"])
def test_path_in_a_message_is_the_path(table, path, field):
    """With each backslash once, and with the part that tells two cards apart."""
    text = {"vhdx": r"C:\dir \a.vhdx", "path": path + "X"}[field]
    whole = table(vhdx=text) if field == "vhdx" else table(gpu={"path": text})
    (message,) = problems(whole).values()
    assert text in message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"D:\VMs\g.vhdx", r"\\?\d:\vms\G.vhdx"),
        (r"\\srv\s\g.vhdx", r"\\?\UNC\SRV\s\g.vhdx"),
        (r"D:/VMs/g.vhdx", r"D:\VMs\g.vhdx"),
    ],
)
def test_one_disk_in_two_spellings_is_refused(table, one, other):
    """Two machines must not write to one disk."""
    assert "vm[2].vhdx" in problems(two(table, {"vhdx": one}, {"vhdx": other}))


def test_one_card_with_two_suffixes_is_refused(table, path):
    """The suffix tells the way of sharing, not the card."""
    old = path.replace("GPUPARAV", "PARAV")
    whole = table(gpus=["gpu1", "gpu2"]) | {"gpu": [{"path": path}, {"path": old}]}
    assert "gpu[2].path" in problems(whole)


def test_adapter_of_a_guest_is_no_card(table, path):
    """VEN_1414 is what a guest lists."""
    gpu = {"path": path.replace("10DE", "1414")}
    assert "inside a guest" in problems(table(gpu=gpu))["gpu[1].path"]


def test_space_beyond_the_cpu_has_its_line():
    """It is found with all other problems, where it stands, and says its way out once."""
    text = "[host]\naddress_bits = 37\n[[gpu]]\npath = 'auto'\n[[vm]]\nname = 'x'\n"
    text += "vhdx = 'D:\\x.vhdx'\nmmio_high = '128GiB'\nvcpu = 0\n"
    with pytest.raises(SpecError) as caught:
        Spec.parse(text)
    space, vcpu = caught.value.problems
    assert (space.field, space.line) == ("vm[1].mmio_high", 8)
    assert (vcpu.field, vcpu.line) == ("vm[1].vcpu", 9)
    assert str(space).count("66048 MB") == 1
    with pytest.raises(SpecError) as caught:
        Spec.parse(text.replace("37", "36").replace("mmio_high = '128GiB'\nvcpu = 0\n", ""))
    (bits,) = caught.value.problems
    assert (bits.field, bits.line) == ("host.address_bits", 2)


def test_password_is_not_repeated_in_the_message(table):
    """Not even the refusal writes it down."""
    assert "hunter2" not in str(problems(table(password="hunter2")))


@pytest.mark.parametrize(
    "accepted",
    [
        {"vhdx": r"\\?\UNC\server\share\a.vhdx"},
        {"vhdx": r"\\server\share\100% [x] 'y' $z\a.VHD"},
        {"guest_user": r"DOMAIN\Bob O'Neil"},
        {"guest_user": "a+b@lab.example"},
        {"memory": "8 gib", "vcpu": 8, "percent": "100"},
        {"id": "{6B2BD1B2-0000-0000-0000-000000000000}"},
    ],
)
def test_what_windows_allows_is_accepted(table, accepted):
    """Odd, and right."""
    assert Spec.from_table(table(**accepted))


def test_machine_with_an_id_needs_no_name(table):
    """The way out for names that cannot be written."""
    identity = "6b2bd1b2-0000-0000-0000-000000000000"
    without = table(id=identity)
    del without["vm"][0]["name"]
    assert Spec.from_table(without).machines[0].name == identity


def two(table, first, second, **more):
    """A table of two machines."""
    whole = table(**first)
    whole["vm"].append({"name": "other", "vhdx": r"D:\o.vhdx", **second})
    return {**whole, **more}


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        ({}, {"vhdx": r"d:\vms\G.VHDX"}, "vm[2].vhdx"),
        ({}, {"name": "Gaming VM"}, "vm[2].name"),
        ({"memory": "40GiB"}, {"memory": "40GiB"}, "host.memory"),
    ],
)
def test_machines_that_collide_are_refused(table, first, second, field):
    """One disk or one name twice, and more memory than the host has."""
    whole = two(table, first, second, host={"memory": "64GiB"})
    assert field in problems(whole)


def test_several_cards_need_paths_and_a_choice(table, path):
    """Auto is for one card, and a machine says which of several it gets."""
    cards = [{"path": "auto"}, {"path": path}, {"path": path.lower(), "key": "third"}]
    found = problems(two(table, {}, {"gpus": ["gpu9"]}, gpu=cards))
    assert "only card" in found["gpu[1].path"]
    assert "same" in found["gpu[3].path"]
    assert "several" in found["vm[1].gpus"]
    assert "no [[gpu]]" in found["vm[2].gpus"]


def test_more_than_32_machines_on_a_card_are_refused(table):
    """The limit of partition adapters."""
    machines = [{"name": f"m{n}", "vhdx": rf"D:\{n}.vhdx"} for n in range(33)]
    assert "33" in problems({**table(), "vm": machines})["gpu[1]"]
    assert Spec.from_table({**table(), "vm": machines[:32]})


def test_new_machine_has_a_plain_name_and_memory(table):
    """Its name becomes that of folders."""
    create = {"iso": r"D:\w.iso", "vhd_size": "64GiB"}
    found = problems(table(name="a/b", create=create))
    assert "ASCII" in found["vm[1].name"]
    assert "memory" in found["vm[1].create"]


@given(st.text())
def test_any_text_is_read_or_refused(text):
    """Never another error."""
    with pytest.raises(SpecError):
        Spec.parse(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["path", "name", "create", "gpus", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["host", "gpu", "vm", "name", "y"]), JSON, max_size=4))
def test_any_table_is_read_or_refused(whole):
    """Wrong types at any depth are problems, not crashes."""
    with pytest.raises(SpecError):
        Spec.from_table(whole)


@given(st.text(min_size=1, max_size=100))
def test_accepted_name_round_trips_through_a_whole_plan(name):
    """For arbitrary Unicode: refused, or byte for byte in the plan block."""
    whole = {
        "gpu": [{"path": "auto"}],
        "vm": [{"name": name, "vhdx": r"D:\g.vhdx"}],
    }
    try:
        spec = Spec.from_table(whole)
    except SpecError:
        return
    text = plan_scripts(spec)["10-Apply.ps1"]
    assert read_data(text, "Plan")["Machines"][0]["Name"] == name


def test_resolution_type_without_a_resolution_is_a_problem(table):
    """It would be dropped, and 40-Display would do nothing."""
    with pytest.raises(SpecError, match="needs `resolution`"):
        Spec.from_table(table(resolution_type="Single"))


@pytest.mark.parametrize("text", ["AUTO", "Auto"])
def test_auto_in_any_case_of_letters(table, text):
    """As the other words."""
    assert Spec.from_table(table(gpu={"path": text})).gpus[0].path is None
