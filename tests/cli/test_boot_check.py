"""`labkit boot check`, `paste`, `explain`, `table`, `collect` and `diff` as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from support.boot_inputs import EFIBOOTMGR, FDISK, HEALTHY, without_windows_entry

HEAVY = {"numpy", "scipy", "requests", "rich", "matplotlib", "adbutils", "wget"}


@pytest.fixture
def labkit():
    """A function that runs labkit as a process of its own."""

    def run(*arguments, stdin=None, cwd=None):
        return subprocess.run(
            [sys.executable, "-m", "labkit", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=cwd,
            env={**os.environ, "NO_COLOR": "1"},
            check=False,
        )

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder with the inputs of a healthy computer."""
    for name, text in HEALTHY.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_healthy_is_exit_0(labkit, folder):
    """A healthy chain is said to be one, with what was seen."""
    result = labkit("boot", "check", "--from", folder)
    assert result.returncode == 0, result.stderr
    assert "looks healthy (Windows and Linux seen): 5 of 5 links seen" in result.stdout


def test_a_part_of_the_chain_is_said_to_be_one(labkit, folder):
    """Text and JSON tell which links were seen, and which command shows the others."""
    (folder / "esp_ubuntu_grub.cfg").unlink()
    result = labkit("boot", "check", "--from", folder)
    assert result.returncode == 0, result.stderr
    assert "nothing wrong in what was given" in result.stdout
    assert "4 of 5 links seen" in result.stdout
    assert "not seen: esp-stub" in result.stdout
    assert "sudo cat /boot/efi/EFI/*/grub.cfg" in result.stdout
    data = json.loads(labkit("boot", "check", "--from", folder, "--json").stdout)["data"]
    assert (data["verdict"], data["links_seen"], data["links_total"]) == ("healthy", 4, 5)
    unseen = [link for link in data["chain"] if not link["holds"]]
    assert [(link["link"], link["missing_inputs"]) for link in unseen] == [
        ("esp-stub", ["esp-stub"])
    ]


def test_a_menu_alone_is_exit_4(labkit, folder):
    """grub.cfg says nothing about what leads to it: the links that were seen are named."""
    result = labkit("boot", "check", "--grub-cfg", folder / "grub.cfg")
    assert result.returncode == 4
    assert "no verdict: 2 of 5 links seen" in result.stdout


def test_a_finding_is_exit_1(labkit, folder):
    """The cause, its line and its fix are on the screen; the JSON document says the same."""
    (folder / "efibootmgr.txt").write_text(EFIBOOTMGR.replace("0003,0004", "0004,0003"))
    result = labkit("boot", "check", "--from", folder)
    assert result.returncode == 1
    assert "N02 error" in result.stdout
    assert "efibootmgr.txt:3" in result.stdout
    assert "    sudo efibootmgr -o 0003,0004\n" in result.stdout
    document = json.loads(labkit("boot", "check", "--from", folder, "--json").stdout)
    assert document["schema"] == "labkit.boot.check/1"
    finding = document["data"]["findings"][0]
    assert finding["undo"] == "sudo efibootmgr -o 0004,0003"
    assert not finding["caution"]  # Its volumes are listed, and none is encrypted.
    assert document["ok"] is False
    data = document["data"]
    assert (data["verdict"], data["root_causes"]) == ("findings", ["N02"])
    first = data["findings"][0]
    assert first["evidence"][0] == {
        "input": "efibootmgr.txt",
        "line": 3,
        "text": "BootOrder: 0004,0003",
    }


def test_no_verdict_is_exit_4(labkit, tmp_path):
    """Too little to judge is never 0, and the next input to give is named as a command."""
    path = tmp_path / "fdisk.txt"
    path.write_text(FDISK)
    result = labkit("boot", "check", "--table", path)
    assert result.returncode == 4
    assert "no verdict" in result.stderr
    assert "hint: give the output of: efibootmgr -v" in result.stderr or "hint:" in result.stderr
    document = json.loads(labkit("boot", "check", "--table", path, "--json").stdout)
    assert document["data"]["verdict"] == "no-verdict"
    assert document["data"]["missing_inputs"]


def test_the_wrong_input_is_exit_2(labkit, tmp_path):
    """A mix-up of files is caught."""
    path = tmp_path / "x.txt"
    path.write_text(EFIBOOTMGR)
    result = labkit("boot", "check", "--table", path)
    assert result.returncode == 2
    assert "not of table" in result.stderr


def test_sources_do_not_mix(labkit, folder):
    """A folder and a single input at once make no sense."""
    result = labkit("boot", "check", "--from", folder, "--table", folder / "fdisk.txt")
    assert result.returncode == 2


def test_this_machine_is_read_without_a_traceback(labkit):
    """On any machine there is a verdict or an honest `no verdict`."""
    result = labkit("boot", "check")
    assert result.returncode in {0, 1, 4}
    assert "Traceback" not in result.stderr


def test_a_paste_is_read_from_standard_input(labkit):
    """`paste -` judges what is piped in."""
    result = labkit("boot", "paste", "-", stdin=EFIBOOTMGR.replace("0003,0004", "0004,0003"))
    assert result.returncode == 1
    assert "N02" in result.stdout


def test_two_reports_ask_which(labkit):
    """With two reports in one paste, one must be chosen."""
    report = f"======= Boot Info Summary =======\n\n======= UEFI =======\n\n{EFIBOOTMGR}\n"
    both = report + report.replace("0003,0004", "0004,0003")
    refused = labkit("boot", "paste", "-", stdin=both)
    assert refused.returncode == 2
    assert "--report" in refused.stderr
    assert labkit("boot", "paste", "-", "--report", 2, stdin=both).returncode == 1


def test_explain_says_all(labkit):
    """A rule's page has its five parts; the list has every rule; a wrong id gets a hint."""
    page = labkit("boot", "explain", "e01").stdout
    for heading in ("what you see", "why", "check by hand", "fix", "undo"):
        assert heading in page
    rules = json.loads(labkit("boot", "explain", "--list", "--json").stdout)["data"]["rules"]
    assert len(rules) > 60
    wrong = labkit("boot", "explain", "E99")
    assert wrong.returncode == 2
    assert "explain --list" in wrong.stderr


def test_table_shows_roles_and_faults(labkit, tmp_path):
    """Tab-separated when piped; a serious finding ends with 1."""
    path = tmp_path / "fdisk.txt"
    path.write_text(FDISK)
    result = labkit("boot", "table", path)
    assert result.returncode == 0
    assert "/dev/nvme0n1p1\t2048\t100 MiB\tEFI system" in result.stdout
    path.write_text(FDISK.replace("239616  461590527 461350912", "200000  461590527 461390528"))
    assert labkit("boot", "table", path).returncode == 1


def test_table_says_what_it_could_not_check(labkit, tmp_path):
    """Cylinders tell no places: that nothing overlaps is not claimed."""
    path = tmp_path / "fdisk.txt"
    units = "Units: cylinders of 16065 * 512 = 8225280 bytes"
    path.write_text(FDISK.replace("Units: sectors of 1 * 512 = 512 bytes", units))
    result = labkit("boot", "table", path)
    assert result.returncode == 0
    assert "are not checked" in result.stderr
    assert json.loads(labkit("boot", "table", path, "--json").stdout)["data"]["has_places"] is False


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("mine.tar.gz", 6, "another name"),
        ("boot.zip", 2, "boot.tar.gz"),
        ("-", 2, "-o boot.tar.gz"),
        ("gone/boot.tar.gz", 4, "choose a folder"),
    ],
)
def test_a_name_that_will_not_do_is_refused_before_the_work(labkit, tmp_path, name, code, hint):
    """No command runs, and nothing is written under any name."""
    (tmp_path / "mine.tar.gz").write_text("mine")
    target = name if name == "-" else tmp_path / name
    result = labkit("boot", "collect", "-o", target, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (code, "")
    assert hint in result.stderr
    assert "running" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar.gz"]


def test_one_input_of_check_may_be_piped(labkit, folder):
    """`-` is standard input, as with `table` and `paste`; two cannot be."""
    table = ("--table", folder / "fdisk.txt")
    piped = labkit("boot", "check", *table, "--efibootmgr", "-", "--json", stdin=EFIBOOTMGR)
    named = labkit("boot", "check", *table, "--efibootmgr", folder / "efibootmgr.txt", "--json")
    assert piped.returncode == named.returncode
    assert json.loads(piped.stdout)["data"]["verdict"] == "no-verdict"
    both = labkit("boot", "check", "--table", "-", "--efibootmgr", "-", stdin=EFIBOOTMGR)
    assert both.returncode == 2
    assert "standard input is one input" in both.stderr


def test_collect_and_diff(labkit, folder, tmp_path):
    """What is collected can be read, and two alike collections do not differ."""
    archive = tmp_path / "boot.tar.gz"
    result = labkit("boot", "collect", "-o", archive, "--root", folder, "--redact")
    assert result.returncode == 0, result.stderr
    assert archive.exists()
    assert labkit("boot", "collect", "-o", archive, "--root", folder).returncode == 6
    assert labkit("boot", "diff", folder, folder).stdout.strip() == "nothing changed"


def test_diff_says_what_it_cannot_compare(labkit, folder, tmp_path_factory):
    """An input of one side only is no change, and no proof that nothing changed: exit 4."""
    less = tmp_path_factory.mktemp("less")
    (folder / "grub.cfg").write_text(without_windows_entry())
    for name, text in (HEALTHY | {"grub.cfg": without_windows_entry()}).items():
        if name != "esp_files.txt":
            (less / name).write_text(text)
    (folder / "esp_files.txt").write_text("/EFI/ubuntu/shimx64.efi\n/EFI/ubuntu/grub.cfg\n")
    result = labkit("boot", "diff", less, folder)
    assert result.returncode == 4
    assert "not comparable: E02 in after" in result.stdout
    assert "before lacks esp-files" in result.stdout
    document = json.loads(labkit("boot", "diff", less, folder, "--json").stdout)
    assert document["errors"][0]["code"] == "not-comparable"
    assert "E02" in {item["name"] for item in document["data"]["not_comparable"]}


def test_check_loads_nothing_heavy(folder):
    """Judging a whole bundle needs none of the packages that cost start-up time."""
    code = (
        "import sys; from labkit.cli.app import main;"
        f"main(['boot', 'check', '--from', {str(folder)!r}, '--json']);"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr.strip().endswith("[]")


def test_each_cause_is_shown_once(labkit, folder):
    """A fault on many lines is one entry on the screen; --all and JSON hold the others."""
    cfg = HEALTHY["grub.cfg"]
    stale = [f"search --fs-uuid --set=root 0000-{n:04d}\n" for n in range(5)]
    (folder / "grub.cfg").write_text(cfg + "".join(stale))
    short, whole = (labkit("boot", "check", "--from", folder, *more) for more in ((), ("--all",)))
    assert short.stdout.count("C03 error") == 1
    assert "4 more, shown by --all" in short.stdout
    assert whole.stdout.count("C03 error") == 5


def test_what_was_not_read_is_named_with_every_verdict(labkit, folder):
    """A finding or a healthy chain rests on what was read; the rest is named, --all tells why."""
    (folder / "fdisk-sdb.txt").write_bytes(bytes(range(32)) * 9)
    (folder / "README").write_text("nothing\n")
    result = labkit("boot", "check", "--from", folder)
    assert "not read: fdisk-sdb.txt, 1 file of no known kind (why: --all)" in result.stdout
    result = labkit("boot", "check", "--from", folder, "--all")
    assert "not read: fdisk-sdb.txt (fdisk-sdb.txt is a binary file" in result.stdout


def test_what_was_given_is_not_asked_for(labkit, folder):
    """Only what is missing, or given in part, is asked for; a part is called so."""
    for name in ("grub.cfg", "esp_ubuntu_grub.cfg", "esp_files.txt", "fstab"):
        (folder / name).unlink()
    result = labkit("boot", "check", "--from", folder)
    assert result.returncode == 4
    asked = result.stdout.partition("what would tell more:")[2]
    assert "grub-cfg:" in asked
    assert not {"partition-table:", "default-grub:", "firmware-boot-list:"} & set(asked.split())
    (folder / "grub.cfg").write_text("menuentry 'Other' {\n chainloader +1\n}\n")
    result = labkit("boot", "check", "--from", folder)
    assert "(what was given is a part)" in result.stdout
    assert "hint: give the whole output of: sudo cat /boot/grub/grub.cfg" in result.stderr


def test_a_paste_of_two_computers_is_a_question(labkit, folder):
    """Two sessions in one paste are never judged as one; --report chooses."""
    other = HEALTHY["efibootmgr.txt"].replace("ae1d65ea", "bbbbbbbb")
    text = HEALTHY["efibootmgr.txt"] + HEALTHY["blkid.txt"] + other
    result = labkit("boot", "paste", "-", stdin=text)
    assert result.returncode == 2
    assert "2 reports: of several computers, or of one before and after a change" in result.stderr
    assert "--report: 1 (line 1), 2 (line " in result.stderr


def test_an_explanation_names_what_it_leaves_open(labkit):
    """Values of one's own, BitLocker's key, and the update command of other distributions."""
    text = labkit("boot", "explain", "E02").stdout
    assert "before the fix" in text
    assert "recovery key" in text
    assert "Fedora, openSUSE: grub2-mkconfig" in text
    assert "words in capitals" in labkit("boot", "explain", "N01").stdout
    plain = labkit("boot", "explain", "N09").stdout
    assert not {"before the fix", "words in capitals"} & set(plain.splitlines())


@pytest.fixture
def nobody(need_tool):
    """The command that takes root's rights away, where the tests run as root."""
    if os.geteuid() != 0:
        return []
    prefix = [need_tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
    probe = subprocess.run(
        [*prefix, sys.executable, "-c", "import labkit"], cwd="/", timeout=60, check=False
    )
    if probe.returncode != 0:
        pytest.skip("only root can read this Python or labkit")
    return prefix


@pytest.mark.parametrize(
    "arguments",
    [
        "check --table FILE",
        "check --from FILE",
        "check --from FOLDER",
        "check --root FOLDER",
        "table FILE",
        "paste FILE",
        "lint FILE",
        "entries --grub-cfg FILE",
        "default show --grub-cfg FILE",
        "default set windows --dry-run --grub-cfg FILE",
        "menu status --grub-cfg FILE",
        "menu status --file FILE",
        "menu show --dry-run --file FILE",
        "migrate --to-size 1TB --from FILE",
        "once windows --efibootmgr FILE",
        "once windows --from FOLDER",
        "diff FILE FILE",
        "collect -o /tmp/never.tar.gz --root FOLDER",
    ],
)
def test_what_may_not_be_read_is_exit_4_everywhere(nobody, tmp_path, arguments):
    """A missing permission is an unmet need, whichever command meets it, with the way out."""
    file, folder = tmp_path / "locked.txt", tmp_path / "locked"
    file.write_text(FDISK)
    folder.mkdir()
    file.chmod(0)
    folder.chmod(0)
    paths = {"FILE": str(file), "FOLDER": str(folder)}
    command = [paths.get(word, word) for word in arguments.split()]
    result = subprocess.run(
        [*nobody, sys.executable, "-m", "labkit", "boot", *command],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        check=False,
    )
    assert result.returncode == 4, result.stderr
    assert "may not be read" in result.stderr
    assert "hint:" in result.stderr
