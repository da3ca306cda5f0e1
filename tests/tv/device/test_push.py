"""A push that breaks off: a file has its name on the TV only when it is whole."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from labkit.cli import app
from labkit.errors import ExitCode, LabkitError, RefusedError
from labkit.tv import files

SIZE = 3_000_000
SENT = 7_000_000


@pytest.fixture
def folder(tmp_path):
    """Five files of random bytes, as a folder."""
    films = tmp_path / "films"
    films.mkdir()
    for number in range(5):
        (films / f"{number}.bin").write_bytes(os.urandom(SIZE))
    return films


def below(place):
    """All files below a place on the TV, by their path."""
    return {str(f.relative_to(place)): f.read_bytes() for f in place.rglob("*") if f.is_file()}


def press_ctrl_c(genuine, sent):
    """Press Ctrl-C once so many bytes more went to the TV."""
    limit = genuine.proxy.faults.sent + sent

    def press(so_far):
        if so_far > limit:
            genuine.proxy.faults.on_sent = None
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.5)

    genuine.proxy.faults.on_sent = press


def run(genuine, *words):
    """Run `labkit tv` on the TV."""
    return app.main(["tv", *map(str, words), "--tv", genuine.address, "--yes"])


@pytest.mark.parametrize("there", [False, True])
def test_ctrl_c_leaves_no_part_of_a_folder(genuine, adb_home, folder, capsys, there):
    """No truncated file and nothing temporary stays; a former file is whole; exit 130."""
    genuine.open()
    place = genuine.place("/sdcard/films")
    if there:
        place.mkdir()
        (place / "2.bin").write_bytes(b"former")
    press_ctrl_c(genuine, SENT)

    assert run(genuine, "push", folder, "/sdcard/") == ExitCode.INTERRUPTED
    assert below(genuine.place("/sdcard")) == ({"films/2.bin": b"former"} if there else {})
    assert "0 of 5 files were copied" in capsys.readouterr().err

    assert run(genuine, "push", folder, "/sdcard/") == ExitCode.OK
    assert below(genuine.place("/sdcard")) == {f"films/{k}": v for k, v in below(folder).items()}


def test_ctrl_c_keeps_the_former_file(genuine, adb_home, folder, capsys):
    """What a file would have replaced is there until the new one is whole."""
    genuine.open()
    former = genuine.place("/sdcard/one.bin")
    former.write_bytes(b"former")
    press_ctrl_c(genuine, SIZE * 8 // 10)

    assert run(genuine, "push", folder / "0.bin", "/sdcard/one.bin") == ExitCode.INTERRUPTED
    assert below(genuine.place("/sdcard")) == {"one.bin": b"former"}
    assert "0 of 1 files were copied" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["films", "films/0.bin"])
def test_a_cut_connection_leaves_what_was_there(genuine, folder, name):
    """Whatever breaks, nothing has its name in part, and the former file stays."""
    tv = genuine.open()
    former = genuine.place("/sdcard/films/0.bin")
    former.parent.mkdir()
    former.write_bytes(b"former")
    target = "/sdcard/" if name == "films" else "/sdcard/films/"
    plan = files.plan_push(tv, [folder.parent / name], target)
    genuine.proxy.faults.cut_after = genuine.proxy.faults.sent + SIZE // 2
    with pytest.raises(LabkitError):
        files.push(tv, plan)
    assert below(genuine.place("/sdcard")) == {"films/0.bin": b"former"}


def test_leftovers_of_the_same_push_go(tv, endpoint, folder):
    """What a killed push left is removed by its repetition; another push's is not."""
    plan = files.plan_push(tv, [folder], "/sdcard/films")
    staging, _ = files.staging_folder(tv, plan.folder, plan.target)
    other, _ = files.staging_folder(tv, plan.folder, "/sdcard/other")
    files.push(tv, plan)
    assert not endpoint.place(staging).exists()
    assert endpoint.place(other).exists()


def test_batches_are_merged_into_what_is_there(tv, endpoint, tmp_path, monkeypatch):
    """Several batches, hidden and odd names, many files: all arrive, others stay, times too."""
    monkeypatch.setattr(files, "_BATCH_BYTES", 1000)
    source = tmp_path / "tree"
    names = [*(f"many/{n}.txt" for n in range(250)), "a/.hidden", "a/..x", "a/b c/'q' $d", "-f"]
    for name in names:
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        os.utime(file, (1_600_000_000, 1_600_000_000))
    (source / "empty").mkdir()
    kept = endpoint.place("/sdcard/tree/many/kept.txt")
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    files.push(tv, files.plan_push(tv, [source], "/sdcard/"))
    there = endpoint.place("/sdcard/tree")
    assert below(there) == below(source) | {"many/kept.txt": b"kept"}
    assert (there / "empty").is_dir()
    assert {(there / n).stat().st_mtime for n in names} == {1_600_000_000}
    assert [c.name for c in endpoint.place("/sdcard").iterdir()] == ["tree"]


def test_a_file_does_not_slip_into_a_folder_of_its_name(tv, endpoint, tmp_path):
    """It is refused, and nothing stays behind."""
    (tmp_path / "a").write_text("a")
    endpoint.place("/sdcard/a").mkdir()
    with pytest.raises(RefusedError, match="is a folder"):
        files.push(tv, files.plan_push(tv, [tmp_path / "a"], "/sdcard/"))
    assert below(endpoint.place("/sdcard")) == {}
